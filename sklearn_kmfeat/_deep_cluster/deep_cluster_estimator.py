"""Deep clustering as a scikit-learn estimator."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import normalized_mutual_info_score
from sklearn.utils.validation import check_is_fitted

from .._core.assign import nearest
from .._inputs.check import check_images, remember, warn_if_flattened
from .._utils.device import matmul_precision, resolve_device
from .._utils.generators import preserved_generators, seed_generators
from .._utils.progress import FitProgress
from .clustering import simple_silhouette
from .final import fitted_attributes
from .layers import check_layer, layer_rows, layer_width
from .messages import warn_of_fewer_clusters, warn_of_other_n_epochs
from .parameters import CONSTRAINTS, check_parameters, class_indices, clusters_projections
from .recipe import Purpose
from .resume import net_to_train
from .sources import ImageBatches, image_batches
from .training import train

# Values of `layer` that are no layers of the network.
_SPACES = ("embedding", "clusters")


class DeepClusterEstimator(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Cluster images with a network that learns from its own clusters.

    Before each epoch k-means clusters what the network says of the images; in the epoch the
    network learns to tell these clusters apart, from random views of the images (DeepCluster,
    [1]_). At the end k-means finds `n_clusters` clusters in the learned space.

    Parameters
    ----------
    n_clusters : int, default=10
        Clusters that come out: `labels_`, `predict`.
    n_pseudo_labels : "auto", int or tuple of int, default="auto"
        Clusters that the network learns from. More than `n_clusters` work better; ``"auto"``
        is ten times as many, but leaves ten images to each where it can. Several numbers:
        as many classifiers side by side.
    module : {"small", "alexnet", "vgg16", "resnet18", "resnet50"}, class, callable or nn.Module,\
            default="small"
        The network: a small one for images of 28 to 64 pixels; the AlexNet of [1]_ with batch
        normalisation; torchvision's; or any that gives rows (n, d) or maps (n, d, H, W). A class
        or callable is called with `in_channels` and `image_size` if it knows these names; a
        network is copied, with its weights. A ReLU that ends it, if it gives rows, is moved into
        the head.
    head : {"reset", "prototypes"}, default="reset"
        ``"reset"``: clusters of whitened features, and a linear classifier made new for each
        clustering [1]_; better for digits, and for few images. ``"prototypes"``: clusters of
        projected views, whose centroids are the classifier [2]_; no pass over the images for
        features alone, but for the first clusters; better for photographs, from some thousands.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C).
    input_size : int, (int, int) or None, default=None
        Height and width, in pixels, of what the network sees. None: that of the images; where
        they differ, a square of the median shorter side; the size of the first of a Dataset.
    max_epochs : int, default=30
        Epochs in all. 0 leaves the network as it starts, for comparison.
    reassign_every : int, default=1
        Epochs from one clustering to the next.
    n_components : int, default=256
        Principal components that are clustered; for ``head="prototypes"`` in the first clustering
        only.
    kmeans_iter : int, default=20
        Iterations of k-means, each time.
    sobel : "auto" or bool, default="auto"
        Whether the network sees edges of the grey image instead of colours. ``"auto"``: of
        images with three channels, and for ``"alexnet"``; not if `module` is a network, or does not
        ask for `in_channels`.
    augment : {"default", "crop", "color", "affine"}, callable or None, default="default"
        Random views: ``"crop"``, crops and mirror images; ``"color"``, the same in other colours,
        for a network that sees them (`sobel`); ``"affine"``, small rotations, shears,
        changes of size and shifts; ``"default"``, ``"affine"`` for images with one channel,
        otherwise ``"crop"``; a transform of torchvision, applied image by image, to values in
        [0, 1] (bytes are divided by 255, other ranges are scaled); or any callable from a batch
        (n, C, H, W) of float32 tensors to another.
    sampling : {"auto", "uniform", "shuffle"}, default="auto"
        ``"uniform"``: in an epoch each cluster (of the first classifier) has the same share;
        ``"shuffle"``: each image comes once. ``"auto"``: uniform for ``head="reset"``. With
        prototypes, images that do not come keep their projection of an earlier epoch.
    optimizer : type, default=torch.optim.SGD
        Class of the optimiser.
    lr : float, default=0.05
        Learning rate.
    lr_schedule : {"constant", "cosine"}, default="constant"
        ``"cosine"``: the learning rate falls to zero over the `max_epochs`, as half a cosine. A run
        that goes on from a checkpoint is where it would have been. For other schedules see
        `callbacks`.
    momentum : float, default=0.9
        For optimisers that know it. The classifier that is made new is learned without.
    weight_decay : float, default=1e-5
        Penalty on the squared weights.
    batch_size : "auto" or int, default="auto"
        Images in a step. ``"auto"``: 256, or fewer (16 at least) so that an epoch has 40 steps:
        a classifier that is made new for each clustering needs them.
    cluster_space : {"auto", "embedding", "projection"}, default="auto"
        Where the final clusters are made, of the first 2 * `n_clusters` (at least six) whitened
        principal components: those of the embedding, brought to unit length; or those of the
        projection in the head, for ``head="prototypes"``. ``"auto"``: the projection for
        prototypes of images with three channels, which was better for photographs; the embedding
        was better for digits.
    layer : str, default="embedding"
        What `transform` gives: ``"embedding"``, what the network says, before its last ReLU;
        ``"clusters"``, the space in which the clusters are; or the name of a layer of the
        network (``"conv3"``), its maps pooled as for linear probes.
    device : str, torch.device or None, default=None
        None is the CPU; ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"auto"``.
    precision : {"exact", "fast"}, default="exact"
        ``"fast"``: the network computes in bfloat16, on CUDA and on processors that have units for
        it (AMX, AVX-512: an epoch of the small one takes a quarter less time); the rest as in
        `KMeansFilterLearner`. Elsewhere it changes nothing.
    checkpoint : path-like or None, default=None
        A file that is written after each epoch. If it is there already, from the same
        arguments and images, `fit` goes on from it.
    callbacks : list or None, default=None
        Of skorch, such as ``EarlyStopping(monitor="train_loss")``; if one stops it, `fit` warns.
        What they remember is not part of a checkpoint. `LRScheduler` does not change the rate of a
        classifier that is made new, and goes with a constant `lr_schedule` only.
    net_params : dict or None, default=None
        More for `skorch.NeuralNet`; ``module__NAME`` goes to the network (``width`` of the small
        one, 16), ``head__NAME`` to the head (of ``"prototypes"``: ``temperature``, ``n_hidden``,
        ``n_projected``), ``head_optimizer__NAME`` to the SGD of a classifier that is made new (its
        ``lr`` is `lr` / (1 - `momentum`), or 0.5 beside optimisers that are no SGD).
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit, up to `max_epochs` in all. Of other images, or a
        Dataset without `samples`, new clusters are made; the network is kept.
    random_state : int, RandomState or None, default=None
        Decides everything that is random.
    verbose : int, default=0
        1 writes a line an epoch: loss, NMI, time left. For progress bars:
        ``estimator.set_callbacks(sklearn.callback.ProgressBar())``.

    Attributes
    ----------
    labels_ : ndarray of shape (n,)
        The cluster of each image.
    cluster_centers_ : ndarray of shape (n_clusters, d)
        In the space of `transform` with ``layer="clusters"``, that of `cluster_space`.
    inertia_ : float
        Sum of squared distances of the images to their centres.
    history_ : list of dict
        Of each epoch ``loss``; and when clusters were made anew ``nmi`` with those before,
        ``n_empty``, ``entropy`` of the sizes (1: all equal), ``largest`` share, ``spread``
        (variance of the embeddings at unit length), with `y` ``nmi_true`` and ``purity_true``;
        and the seconds of each part.
    n_iter_ : int
        Epochs done.
    n_pseudo_labels_ : tuple of int
        Clusters that the network learned from.
    filters_ : ndarray of shape (k, h, w, C) or None
        The first convolution, as it acts on the standardised image: with `sobel` on its grey
        values, (k, h + 2, w + 2, 1).
    net_ : skorch.NeuralNet
        With the network, `net_.module_`.
    image_shape_ : tuple or None
        (H, W, C); (None, None, C) for images that may differ in size; None for rows that are
        no images.
    n_features_in_ : int
        H * W * C, where it is fixed.
    feature_names_in_ : ndarray of str
        When `X` has column names.

    See Also
    --------
    KMeansFilterLearner : Features without a network, in seconds.
    ClusterClassifier : Classes from clusters and a few labels.
    HistoryDisplay : Draws `history_`.

    Notes
    -----
    `X` may be an array (n, H, W) or (n, H, W, C) of integers or floats in any range, a list of
    images of different sizes, flattened images (n, f) with `image_shape`, rows (n, f) which
    count as images of one pixel, or a torch Dataset. Everything is computed in float32. Arrays
    on disk and Datasets are read a batch at a time, never held whole.

    When the user interrupts it, `fit` ends with the state of the last whole epoch. In the first
    epoch, and while the final clusters are made, there is nothing to end with: the interrupt is
    raised, and a `checkpoint` has the epochs that were done.

    References
    ----------
    .. [1] M. Caron, P. Bojanowski, A. Joulin, M. Douze, "Deep clustering for unsupervised
       learning of visual features", ECCV 2018.
    .. [2] M. Caron, I. Misra, J. Mairal, P. Goyal, P. Bojanowski, A. Joulin, "Unsupervised
       learning of visual features by contrasting cluster assignments", NeurIPS 2020.

    Examples
    --------
    >>> from sklearn_kmfeat import DeepClusterEstimator
    >>> from sklearn_kmfeat.datasets import load_mnist_sample
    >>> digits = load_mnist_sample().images[:200]
    >>> estimator = DeepClusterEstimator(n_clusters=5, max_epochs=1, random_state=0)
    >>> estimator.fit_predict(digits).shape
    (200,)
    >>> estimator.transform(digits[:3]).shape
    (3, 64)
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        n_clusters=10,
        *,
        n_pseudo_labels="auto",
        module="small",
        head="reset",
        image_shape=None,
        input_size=None,
        max_epochs=30,
        reassign_every=1,
        n_components=256,
        kmeans_iter=20,
        sobel="auto",
        augment="default",
        sampling="auto",
        optimizer=torch.optim.SGD,
        lr=0.05,
        lr_schedule="constant",
        momentum=0.9,
        weight_decay=1e-5,
        batch_size="auto",
        cluster_space="auto",
        layer="embedding",
        device=None,
        precision="exact",
        checkpoint=None,
        callbacks=None,
        net_params=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.n_pseudo_labels = n_pseudo_labels
        self.module = module
        self.head = head
        self.image_shape = image_shape
        self.input_size = input_size
        self.max_epochs = max_epochs
        self.reassign_every = reassign_every
        self.n_components = n_components
        self.kmeans_iter = kmeans_iter
        self.sobel = sobel
        self.augment = augment
        self.sampling = sampling
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.cluster_space = cluster_space
        self.layer = layer
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "DeepClusterEstimator":
        """Learn the network and the clusters.

        Parameters
        ----------
        X : array, list of images or torch Dataset
            See the class for the forms.
        y : array-like of shape (n,) or None, default=None
            Classes. They change nothing: purity and NMI go into `history_`.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError
            For fewer images than clusters, NaN or infinity, a checkpoint that is damaged or of
            another run, and the like.
        """
        device = resolve_device(self.device)
        with (
            preserved_generators(device),
            matmul_precision(self.precision),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            source = check_images(self, X, image_shape=self.image_shape, needs_sizes=False)
            warn_if_flattened(self, source)
            batches, shape = image_batches(source, self.input_size, device)
            check_parameters(self, len(batches))
            classes = class_indices(y, len(batches))
            progress = FitProgress(self, X)
            net, fingerprint = net_to_train(self, batches, shape, device)
            if self.layer not in _SPACES:
                check_layer(net, self.layer, _SPACES)
                layer_width(net, self.layer, shape)
            on_projection = clusters_projections(self, shape)

            def fitted():
                attributes = fitted_attributes(net, batches, shape, self.n_clusters, on_projection)
                return attributes | {"_fingerprint": fingerprint}

            finished = train(self, net, batches, classes, progress, fingerprint, fitted)
            attributes = fitted()
        progress.end(lambda: attributes)
        warn_of_other_n_epochs(attributes["n_iter_"], self.max_epochs, finished)
        remember(self, X, source)
        self.__dict__.update(attributes)
        warn_of_fewer_clusters(len(self.cluster_centers_), self.n_clusters)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The cluster of each image.

        Parameters
        ----------
        X : array, list of images or torch Dataset
            In the form and pixel range of `fit`.

        Returns
        -------
        labels : ndarray of shape (n,)
            On the images of `fit` these are `labels_`.
        """
        return self._nearest(self._rows(X, "clusters")).cpu().numpy()

    def transform(self, X: Any) -> np.ndarray:
        """The embeddings of images, or the output of another `layer`.

        Parameters
        ----------
        X : array, list of images or torch Dataset
            In the form and pixel range of `fit`.

        Returns
        -------
        ndarray of shape (n, d), float32
            The `layer`.
        """
        if self.layer in _SPACES:
            return self._rows(X, self.layer).cpu().numpy()
        with self._batches(X) as batches:
            check_layer(self.net_, self.layer, _SPACES)
            return layer_rows(self.net_, self.layer, batches).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """How clear the clusters of images are, or how well they agree with classes.

        Parameters
        ----------
        X : array, list of images or torch Dataset
            In the form and pixel range of `fit`.
        y : array-like of shape (n,) or None, default=None
            Classes.

        Returns
        -------
        float
            Without `y` the mean of ``(b - a) / max(a, b)``, with the distances a of an image to
            its nearest center and b to the next: a silhouette that compares networks of different
            scale. With `y` the normalised mutual information.
        """
        rows = self._rows(X, "clusters")
        if y is None:
            return simple_silhouette(rows, torch.from_numpy(self.cluster_centers_).to(rows))
        classes = class_indices(y, len(rows))
        return float(normalized_mutual_info_score(classes, self._nearest(rows).cpu().numpy()))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @contextmanager
    def _batches(self, X: Any) -> Iterator[ImageBatches]:
        """Batches of X for the fitted net, without gradients.

        A Dataset that draws random numbers draws those that it drew at the end of `fit`.
        """
        check_is_fitted(self)
        device = torch.device(self.net_.device)
        with preserved_generators(device), matmul_precision(self.precision), torch.no_grad():
            self._validate_params()
            source = check_images(
                self, X, image_shape=self.image_shape, reset=False, needs_sizes=False
            )
            batches, _ = image_batches(source, self._input_shape[:2], device)
            seed_generators(self.net_.recipe.derived_seed(Purpose.EMBEDDING), device)
            yield batches

    def _rows(self, X, layer):
        """The embeddings (n, d) of images, or their coordinates in the space of the clusters."""
        with self._batches(X) as batches:
            embeddings = self.net_.forward(batches, device=self.net_.device)
            if layer == "embedding":
                return embeddings
            projects = self._on_projection
            return self._whitening(self.net_.projected(embeddings) if projects else embeddings)

    def _nearest(self, rows):
        """The nearest center of each row."""
        return nearest(rows, torch.from_numpy(self.cluster_centers_).to(rows))[0]

    @property
    def _n_features_out(self):
        if self.layer == "embedding":
            return self.net_.module_.n_features
        if self.layer == "clusters":
            return self.cluster_centers_.shape[1]
        return layer_width(self.net_, self.layer, self._input_shape)
