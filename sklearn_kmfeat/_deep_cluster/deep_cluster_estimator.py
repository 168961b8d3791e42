"""Deep clustering as a scikit-learn estimator."""

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

from .._core.assign import nearest
from .._inputs.check import check_images, set_fitted, warn_if_flattened
from .._utils.progress import FitProgress
from .._utils.tensors import shared_tensor
from .._utils.version import Versioned
from .checkpoint_file import reserved
from .clustering import simple_silhouette
from .computing import computing
from .exported import Exported
from .joined import joined
from .layers import layer_width
from .messages import warn_of_the_end
from .output import output_rows
from .parameters import CONSTRAINTS, check_parameters, class_indices
from .plain import PlainState
from .runs import Runs, known_of
from .sharing import check_enough, check_same, merge_seen
from .sources import training_batches


class DeepClusterEstimator(
    PlainState,
    Versioned,
    Exported,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Cluster images with a network that learns from its own clusters.

    Before each epoch k-means clusters the embeddings of the images. Their clusters are
    pseudo-labels, which the network learns to predict from random views of the images
    (DeepCluster, [1]_). At the end k-means makes `n_clusters` clusters in the learned space.

    Parameters
    ----------
    n_clusters : int, default=10
        Number of clusters in `labels_` and `predict`.
    n_pseudo_labels : "auto", int or tuple of int, default="auto"
        Number of clusters that the network learns to predict. More than `n_clusters` work
        better; ``"auto"`` is ten times as many, or fewer where they would have less than ten
        images on average. With several numbers as many classifiers are learned side by side.
    module : {"small", "alexnet", "vgg16", "resnet18", "resnet50"}, class, callable or nn.Module,\
            default="small"
        The network: a small one for images of 28 to 64 pixels; the AlexNet of [1]_ with batch
        normalisation; those of torchvision; or any that outputs rows (n, d) or maps (n, d, H, W).
        A class or callable is called with `in_channels` and `image_size` if it has parameters of
        these names; a network is copied, with its weights. If it outputs rows and ends with a
        ReLU, the embedding is the input of this ReLU.
    head : {"reset", "prototypes"}, default="reset"
        ``"reset"``: whitened embeddings are clustered, and a linear classifier starts anew with
        each clustering [1]_; better for digits, and for few images. ``"prototypes"``: projections
        of the embeddings are clustered, those computed while learning, and the centroids are the
        classifier [2]_; only the first clustering needs a pass over the images of its own; better
        for photographs, from some thousands of them.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C).
    input_size : int, (int, int) or None, default=None
        Height and width, in pixels, of the input of the network. None: those of the images; where
        they differ, and for files, the median shorter side, but at most 64 for ``"small"`` and
        224 for others (of a Dataset, by some of its images). `verbose` tells what was chosen.
    max_epochs : int, default=30
        Total number of epochs. 0 leaves the network untrained, for comparison.
    n_init : int, default=1
        Number of runs, each with a seed of its own; the first is that of ``n_init=1``. Kept is the
        run whose clusters agree most with those of the others (`agreement_`), of two the one with
        the lower `inertia_`. All networks are in memory until the end.
    reassign_every : int, default=1
        Number of epochs from one clustering to the next.
    n_components : int, default=256
        Number of principal components that are clustered; for ``head="prototypes"`` in the first
        clustering only.
    kmeans_iter : int, default=20
        Number of iterations of k-means in each clustering.
    sobel : "auto" or bool, default="auto"
        Whether the input of the network is the edges of the grey image instead of its colours.
        ``"auto"``: for images with three channels, and for ``"alexnet"``; not if `module` is a
        network, or has no parameter `in_channels`.
    augment : {"default", "crop", "color", "affine"}, callable or None, default="default"
        Random views: ``"crop"``, crops and mirror images; ``"color"``, the same with changes of
        colour, for a network whose input is colours (`sobel`); ``"affine"``, small rotations,
        shears, changes of scale and shifts; ``"default"``, ``"affine"`` for images with one
        channel, otherwise ``"crop"``; a transform of torchvision, applied image by image, to
        values in [0, 1] (bytes are divided by 255, other ranges are scaled); or any callable from
        a batch (n, C, H, W) of float32 tensors to another.
    sampling : {"auto", "uniform", "shuffle"}, default="auto"
        The images of an epoch. ``"uniform"``: as many of each cluster (of the first classifier);
        ``"shuffle"``: each image once. ``"auto"``: uniform for ``head="reset"``. With prototypes,
        images that are not drawn keep their projection of an earlier epoch.
    optimizer : type, default=torch.optim.SGD
        Class of the optimiser.
    lr : float, default=0.05
        Learning rate.
    lr_schedule : {"cosine", "constant"}, default="cosine"
        ``"cosine"``: the learning rate falls to zero over the `max_epochs`, as half a cosine, but
        for that of a classifier that starts anew, so that the clusters come to rest.
        ``"constant"`` is for fits that are to go on to more epochs than they began with, and for
        the schedules of `callbacks`.
    momentum : float, default=0.9
        For optimisers that have this parameter. A classifier that starts anew is learned without
        momentum.
    weight_decay : float, default=1e-5
        Penalty on the squared weights.
    batch_size : "auto" or int, default="auto"
        Number of images in a step. ``"auto"``: 256, or fewer (at least 16) so that an epoch has
        40 steps: a classifier that starts anew with each clustering needs them.
    cluster_space : {"auto", "embedding", "projection"}, default="auto"
        The space of the final clusters: the first 2 * `n_clusters` (at least six) whitened
        principal components of the embeddings, brought to unit length; or those of the
        projections in the head, for ``head="prototypes"``. ``"auto"``: the projections for
        prototypes of images with three channels, which was better for photographs; the embeddings
        were better for digits.
    layer : str, default="embedding"
        The output of `transform`: ``"embedding"``, the output of the network, before its last
        ReLU; ``"clusters"``, the space of the final clusters (`cluster_space`); or the name of a
        layer of the network (``"conv3"``), whose maps are pooled as for linear probes.
    device : str, torch.device or None, default=None
        None is the CPU; ``"auto"`` the first of CUDA, MPS and CPU that is available.
    distributed : bool, default=False
        Whether several processes, started by ``torchrun --nproc_per_node=N script.py``, share the
        work of `fit`, `predict` and `transform`, which all of them must call. Each is given all
        images, embeds and learns its share of them, and gets the whole result; the first one writes
        checkpoints, progress and warnings. With CUDA, ``device="cuda"`` gives each process the GPU
        of its LOCAL_RANK. Set it to False before the fitted estimator is saved for other scripts.
    precision : {"exact", "fast"}, default="exact"
        ``"fast"``: the network computes in bfloat16, on CUDA and on processors with units for it
        (AMX, AVX-512: an epoch of the small network takes a quarter less time); on others it
        changes nothing. For k-means as in `KMeansFilterLearner`.
    checkpoint : path-like or None, default=None
        A file that is written after each epoch, by one `fit` at a time, with all runs. If it
        exists already, from the same parameters and images, `fit` continues from it.
    callbacks : list or None, default=None
        Callbacks of skorch, such as ``EarlyStopping(monitor="train_loss")``; if one stops the
        training, `fit` warns. Their state is not part of a checkpoint. `LRScheduler` does not
        change the learning rate of a classifier that starts anew, and needs a constant
        `lr_schedule`.
    net_params : dict or None, default=None
        More parameters of `skorch.NeuralNet`. ``module__NAME`` goes to the network (``width`` of
        the small one, 16), ``head__NAME`` to the head (of ``"prototypes"``: ``temperature``,
        ``n_hidden``, ``n_projected``), ``head_optimizer__NAME`` to the SGD of a classifier that
        starts anew (its ``lr`` is `lr` / (1 - `momentum`), or 0.5 if `optimizer` is not SGD).
    warm_start : bool, default=False
        Whether `fit` continues the last fit, up to `max_epochs` in total; of several runs the
        one that was kept. Other images, or a Dataset without `samples`, are clustered anew.
    random_state : int, RandomState or None, default=None
        Determines all random numbers: weights, views, clusterings. Runs repeat for one number
        of threads; with another, rounding differs, training amplifies it, and clusters with the
        same seed may agree as little as those of two seeds (adjusted Rand index 0.14 to 0.5).
    verbose : int, default=0
        1 prints a line for each epoch: loss, NMI, time left. For progress bars:
        ``estimator.set_callbacks(sklearn.callback.ProgressBar())``.

    Attributes
    ----------
    labels_ : ndarray of shape (n,)
        The cluster of each image.
    cluster_centers_ : ndarray of shape (n_clusters, d)
        In the space of `cluster_space`, which is that of `transform` with ``layer="clusters"``.
    inertia_ : float
        Sum of squared distances of the images to their centers in this space.
    agreement_ : ndarray of shape (r, r)
        Adjusted Rand indices between the clusters of the runs; fewer after an interrupt.
    history_ : list of dict
        For each epoch the ``loss``. For each epoch with a new clustering ``nmi`` with the
        clustering before, ``n_empty`` clusters, ``entropy`` of the sizes (1: all equal),
        ``largest`` share of a cluster, ``spread`` (variance of the embeddings at unit length),
        and with `y` ``nmi_true`` and ``purity_true``. And the seconds of each part.
    n_iter_ : int
        Number of epochs done.
    n_pseudo_labels_ : tuple of int
        Number of clusters that each classifier learned to predict.
    filters_ : ndarray of shape (k, h, w, C) or None
        The first convolution, as it acts on the standardised image: with `sobel` on its grey
        values, (k, h + 2, w + 2, 1). None if there is no convolution.
    net_ : skorch.NeuralNet
        The trained net; its network is `net_.module_`.
    image_shape_ : tuple or None
        (H, W, C); (None, None, C) for images that may differ in size; None for rows that are
        not images.
    n_features_in_ : int
        H * W * C, where all images have one size.
    feature_names_in_ : ndarray of str
        When `X` has column names.

    See Also
    --------
    KMeansFilterLearner : Features without a network, in seconds.
    ClusterClassifier : Classes from clusters and a few labels.
    ConsensusClusterer : A vote of all runs, and of other clusterers.
    HistoryDisplay : Plots `history_`.

    Notes
    -----
    `X` may be an array (n, H, W) or (n, H, W, C) of integers or floats in any range, a list of
    images of different sizes, flattened images (n, f) with `image_shape`, rows (n, f) which
    count as images of one pixel, or any other form that `KMeansFilterLearner` takes. Everything is
    computed in float32. Arrays on disk and Datasets are read a batch at a time, never loaded
    whole; files are decoded once, in the size of the input, if they then fit in memory.

    When the user interrupts it, `fit` ends with the state after the last complete epoch, or after
    the first of several runs with the best of the complete ones. In the first epoch, and while the
    final clusters are made, the interrupt is raised; a `checkpoint` holds what was done.

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
        n_init=1,
        reassign_every=1,
        n_components=256,
        kmeans_iter=20,
        sobel="auto",
        augment="default",
        sampling="auto",
        optimizer=torch.optim.SGD,
        lr=0.05,
        lr_schedule="cosine",
        momentum=0.9,
        weight_decay=1e-5,
        batch_size="auto",
        cluster_space="auto",
        layer="embedding",
        device=None,
        distributed=False,
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
        self.n_init = n_init
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
        self.distributed = distributed
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
        X : array, ImageFiles, list of images or torch Dataset
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
            another run, `distributed` without a job, and the like.
        RuntimeError
            When another process of the job failed.
        """
        with (
            joined(self.distributed, self.device) as ranks,
            computing(ranks.device, self.precision, True),
            reserved(self.checkpoint if ranks.is_first else None) as file,
        ):
            source = check_images(self, X, image_shape=self.image_shape, needs_sizes=False)
            warn_if_flattened(self, source)
            check_same(ranks, self, source)
            check_enough(ranks, len(source))
            check_parameters(self, len(source))
            batches, shape = training_batches(self, source, ranks.device)
            classes = class_indices(y, len(batches))
            progress = FitProgress(self, X, y)
            runs = Runs(self, batches, shape, ranks, file, known_of(source))
            attributes, finished = runs.best(classes, progress)
            merge_seen(ranks, source)
            progress.end(lambda: attributes)
            warn_of_the_end(self, attributes, finished, runs.n_runs)
        set_fitted(self, X, source, attributes)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The cluster of each image.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
            In the form and pixel range of `fit`.

        Returns
        -------
        labels : ndarray of shape (n,)
            On the images of `fit` these are `labels_`.
        """
        return self._nearest(output_rows(self, X, "clusters")).cpu().numpy()

    def transform(self, X: Any) -> np.ndarray:
        """The embeddings of images, or the output of another `layer`.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
            In the form and pixel range of `fit`.

        Returns
        -------
        ndarray of shape (n, d), float32
            The `layer`.
        """
        return output_rows(self, X, self.layer).cpu().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """How clear the clusters of images are, or how well they agree with classes.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
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
        rows = output_rows(self, X, "clusters")
        if y is None:
            return simple_silhouette(rows, shared_tensor(self.cluster_centers_).to(rows))
        classes = class_indices(y, len(rows))
        return float(normalized_mutual_info_score(classes, self._nearest(rows).cpu().numpy()))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _nearest(self, rows):
        """The nearest center of each row."""
        return nearest(rows, shared_tensor(self.cluster_centers_).to(rows))[0]

    @property
    def _n_features_out(self):
        if self.layer == "embedding":
            return self.net_.module_.n_features
        if self.layer == "clusters":
            return self.cluster_centers_.shape[1]
        return layer_width(self.net_, self.layer, self._input_shape)
