"""Deep clustering as a scikit-learn estimator."""

import os
import warnings
from contextlib import contextmanager
from numbers import Integral, Real
from time import perf_counter

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
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._core.assign import nearest
from .._inputs.check import check_images, remember, warn_if_flattened
from .._utils.device import matmul_precision, resolve_device
from .._utils.progress import FitProgress
from .assembly import new_net
from .checkpoint import read_checkpoint, run_fingerprint, write_checkpoint
from .clustering import final_clusters, fit_projection, simple_silhouette
from .guard import CollapseGuard
from .heads import HEADS
from .net import own_generators, seed_generators
from .networks import NETWORKS, probe_rows
from .sources import is_dataset, source_of
from .views import AUGMENTATIONS

_POSITIVE = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_IMAGES_PER_LABEL = 10
# K clusters lie in K - 1 dimensions; whitening many more drowns them in what varies little.
_COMPONENTS_PER_CLUSTER = 2
_LEAST_COMPONENTS = 6
_SPACES = ("embedding", "clusters")
_BAR = 20


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

    _parameter_constraints = {
        "n_clusters": [_POSITIVE],
        "n_pseudo_labels": [StrOptions({"auto"}), _POSITIVE, tuple, list],
        "module": [StrOptions(set(NETWORKS)), nn.Module, callable],
        "head": [StrOptions(set(HEADS))],
        "image_shape": [tuple, list, None],
        "input_size": [_POSITIVE, tuple, list, None],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "reassign_every": [_POSITIVE],
        "n_components": [_POSITIVE],
        "kmeans_iter": [_POSITIVE],
        "sobel": [StrOptions({"auto"}), "boolean"],
        "augment": [StrOptions({"default"} | set(AUGMENTATIONS)), callable, None],
        "sampling": [StrOptions({"auto", "uniform", "shuffle"})],
        "optimizer": [callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"constant", "cosine"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [_NOT_NEGATIVE],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "cluster_space": [StrOptions({"auto", "embedding", "projection"})],
        "layer": [str],
        "device": [str, torch.device, None],
        "precision": [StrOptions({"exact", "fast"})],
        "checkpoint": [str, os.PathLike, None],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

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
    def fit(self, X, y=None):
        """Learn the network and the clusters.

        Parameters
        ----------
        X : array, list of images or torch Dataset
            See the class for the forms.
        y : array-like of shape (n,) or None, default=None
            Classes. They only watch: purity and NMI go into `history_`.

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
        images = self._checked(X, reset=True)
        given = X if images is None else images
        with (
            own_generators(device),
            matmul_precision(self.precision),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            source, shape = source_of(given, self.input_size, device)
            self._check_parameters(len(source))
            y = _as_classes(y, len(source))
            progress = FitProgress(self, X)
            net, fingerprint = self._net_for(source, shape, device)
            finished = self._learn(net, source, y, progress, fingerprint, shape)
            fitted = self._fitted(net, source, shape) | {"_fingerprint": fingerprint}
        progress.end(lambda: fitted)
        if not finished or fitted["n_iter_"] > self.max_epochs:
            cause = "There were more before" if finished else "Interrupted"
            warnings.warn(
                f"{cause}: this is the state after {fitted['n_iter_']} of {self.max_epochs} "
                "epochs.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._remember(X, images, shape)
        self.__dict__.update(fitted)
        self._warn_if_fewer()
        return self

    def predict(self, X):
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
        return self._clusters(self._rows(X, "clusters")).cpu().numpy()

    def transform(self, X):
        """Describe images.

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
        with self._describing(X) as source:
            self._check_layer(self.net_)
            return self.net_.layer_rows(source, self.layer, probe_rows).numpy()

    def score(self, X, y=None):
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
            its own centre and b to the next: a silhouette that compares networks of different
            scale. With `y` the normalised mutual information.
        """
        rows = self._rows(X, "clusters")
        if y is None:
            return simple_silhouette(rows, torch.from_numpy(self.cluster_centers_).to(rows))
        classes = _as_classes(y, len(rows))
        return float(normalized_mutual_info_score(classes, self._clusters(rows).cpu().numpy()))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # From X to a source of batches

    def _checked(self, X, reset):
        """Checked images, or None for a Dataset."""
        if is_dataset(X):
            return None
        images = check_images(self, X, image_shape=self.image_shape, reset=reset)
        if reset:
            warn_if_flattened(self, images)
        return images

    def _source(self, X):
        """Batches of images for a fitted estimator."""
        self._validate_params()
        images = self._checked(X, reset=False)
        device = torch.device(self.net_.device)
        source, shape = source_of(X if images is None else images, self._seen[:2], device)
        if shape[2] != self._seen[2]:
            raise ValueError(f"X has {shape[2]} channels, but fit saw {self._seen[2]}.")
        return source

    def _check_parameters(self, n_images):
        if n_images < max(2, self.n_clusters):
            raise ValueError(
                f"n_samples={n_images} should be >= {max(2, self.n_clusters)}, for "
                f"n_clusters={self.n_clusters}."
            )
        if self.cluster_space == "projection" and self.head != "prototypes":
            raise ValueError(
                "cluster_space='projection' is that of head='prototypes', but head is "
                f"{self.head!r}."
            )
        asked = self._pseudo_labels(n_images)
        if not asked or not all(isinstance(k, Integral) and 1 <= k <= n_images for k in asked):
            raise ValueError(
                f"n_pseudo_labels must be ints from 1 to n_samples={n_images}, got {asked!r}."
            )

    def _pseudo_labels(self, n_images):
        asked = self.n_pseudo_labels
        if asked == "auto" and self.warm_start and hasattr(self, "net_"):
            return self.n_pseudo_labels_
        if asked == "auto":
            most = max(self.n_clusters, n_images // _IMAGES_PER_LABEL)
            return (min(10 * self.n_clusters, most),)
        return tuple(asked) if isinstance(asked, tuple | list) else (asked,)

    def _remember(self, X, images, shape):
        if images is not None:
            remember(self, X, images)
            return
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        self.image_shape_ = (None, None, shape[2])

    def _warn_if_fewer(self):
        found = len(self.cluster_centers_)
        if found < self.n_clusters:
            warnings.warn(
                f"Only {found} clusters came out of n_clusters={self.n_clusters}: the network "
                "tells no more images apart than that.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # From a source to a net

    def _net_for(self, source, shape, device):
        """A net, new or as an earlier run left it, and the fingerprint of the run."""
        n_labels = tuple(int(k) for k in self._pseudo_labels(len(source)))
        fingerprint = run_fingerprint(self.get_params(deep=False), source, shape, n_labels)
        state = None
        if self.checkpoint is not None:
            state = read_checkpoint(self.checkpoint, fingerprint)
        warm = state is None and self.warm_start and hasattr(self, "net_")
        if warm:
            state = self.net_.state()
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        seed = int(seed if state is None else state["seed"])
        seed_generators(seed, device)
        net = new_net(self, source, shape, n_labels, seed, device).initialize()
        if self.layer not in _SPACES:
            self._check_layer(net)
            net.layer_width(self.layer, shape, probe_rows)
        if warm and not _same_images(self._fingerprint, fingerprint):
            state = _without_images(state, net)
        if state is not None:
            _load(net, state, warm)
        return net, fingerprint

    def _check_layer(self, net):
        names = [name for name, _ in net.module_.network.named_modules() if name]
        if self.layer not in names:
            raise ValueError(
                f"layer={self.layer!r} is no layer of the network; there are 'embedding', "
                f"'clusters', {', '.join(map(repr, names))}."
            )

    # From a net to fitted attributes

    def _learn(self, net, source, y, progress, fingerprint, shape):
        """Run the epochs; returns False if the user interrupted."""
        guard = CollapseGuard(net.recipe.n_labels)
        begin, done = perf_counter(), len(net.records_)

        def on_epoch(state):
            if self.checkpoint is not None:
                write_checkpoint(self.checkpoint, fingerprint, state)
            record = state["records"][-1]
            guard(record)
            each = (perf_counter() - begin) / (record["epoch"] - done)
            left = each * (self.max_epochs - record["epoch"])
            return task.step(
                _told(record, self.max_epochs, left), lambda: self._fitted(net, source, shape)
            )

        with progress.task("epoch", self.max_epochs or None) as task:
            task.n_steps = done
            return net.train(source, self.max_epochs, y, on_epoch)

    def _fitted(self, net, source, shape):
        """The fitted attributes of a net."""
        seed_generators(net.recipe.derived_seed(5), torch.device(net.device))
        with torch.no_grad():
            projected = self._uses_projection(shape)
            described = net.embeddings(source)
            described = net.projected(described) if projected else described
            n_components = max(_LEAST_COMPONENTS, _COMPONENTS_PER_CLUSTER * self.n_clusters)
            space = fit_projection(described, n_components, unit_length=not projected)
            rows = space(described)
            rng = np.random.RandomState(net.recipe.derived_seed(3))
            found = final_clusters(rows, self.n_clusters, rng)
            labels = nearest(rows, found.centers)[0]
            filters = net.module_.first_filters()
        return {
            "labels_": labels.cpu().numpy(),
            "cluster_centers_": found.centers.cpu().numpy(),
            "inertia_": found.inertia,
            "history_": [dict(record) for record in net.records_],
            "n_iter_": len(net.records_),
            "n_pseudo_labels_": net.recipe.n_labels,
            "filters_": None if filters is None else filters.cpu().numpy(),
            "net_": net,
            "_space": space.cpu(),
            "_projected": projected,
            "_seen": shape,
        }

    def _uses_projection(self, shape):
        """Whether the final clusters are made of what the head makes of the embeddings."""
        if self.cluster_space == "auto":
            return self.head == "prototypes" and shape[2] == 3
        return self.cluster_space == "projection"

    def _rows(self, X, layer):
        """The embedding (n, d) of images, or where they are in the space of the clusters."""
        with self._describing(X) as source:
            embeddings = self.net_.forward(source, device=self.net_.device)
            if layer == "embedding":
                return embeddings
            return self._space(self.net_.projected(embeddings) if self._projected else embeddings)

    @contextmanager
    def _describing(self, X):
        """Batches of X, without gradients; a Dataset that draws numbers draws those of `fit`."""
        check_is_fitted(self)
        device = torch.device(self.net_.device)
        with own_generators(device), matmul_precision(self.precision), torch.no_grad():
            source = self._source(X)
            seed_generators(self.net_.recipe.derived_seed(5), device)
            yield source

    def _clusters(self, rows):
        return nearest(rows, torch.from_numpy(self.cluster_centers_).to(rows))[0]

    @property
    def _n_features_out(self):
        if self.layer == "embedding":
            return self.net_.module_.n_features
        if self.layer == "clusters":
            return self.cluster_centers_.shape[1]
        return self.net_.layer_width(self.layer, self._seen, probe_rows)


def _as_classes(y, n_images):
    """Classes as ints (n,), or None."""
    if y is None:
        return None
    y = column_or_1d(y)
    if len(y) != n_images:
        raise ValueError(f"y has {len(y)} classes for {n_images} images.")
    return np.unique(y, return_inverse=True)[1]


def _same_images(before, now):
    """Whether two runs are sure to have the same images."""
    names = ("n_images", "checksum of images")
    return now[names[1]] is not None and all(before[name] == now[name] for name in names)


def _without_images(state, net):
    """A state without what belongs to the images that it was learned from."""
    own = net.module_.state_dict()
    module = {name: own[name] if name == "head.bank" else v for name, v in state["module"].items()}
    return state | {"module": module, "labels": None}


def _load(net, state, warm):
    try:
        net.load_state(state, own_rates=warm)
    except (RuntimeError, ValueError, KeyError) as error:
        source = "warm_start goes on with the network of the last fit"
        if not warm:
            source = "the checkpoint goes on with its network"
        raise ValueError(
            f"{source}, but module, head, n_pseudo_labels, optimizer or the kind of images are "
            "others now."
        ) from error


def _told(record, n_epochs, seconds_left):
    """The end of a line of `verbose`: a bar, loss, NMI and time left."""
    done = round(_BAR * record["epoch"] / n_epochs)
    minutes, seconds = divmod(round(max(0.0, seconds_left)), 60)
    nmi = record.get("nmi", np.nan)
    return (
        f" [{'#' * done}{'.' * (_BAR - done)}] loss {record['loss']:.4f}"
        f"{'' if np.isnan(nmi) else f', NMI {nmi:.3f}'}, {minutes}:{seconds:02d} left"
    )
