"""Convolutional k-means: filters for patterns that may lie anywhere in a window."""

from typing import Any, Self

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods

from .._inputs.sampling import patch_grid
from .._utils.fingerprint import described
from .._utils.validation import POSITIVE_INT, as_pair, names_in
from .base import PatchDictionary
from .learners import Convolutional


class ConvKMeans(PatchDictionary):
    """Learn filters by convolutional k-means, and encode images with them.

    K-means on patches learns the same edge at many places. Here a filter slides over
    windows larger than itself: from each window, only the patch to which some filter
    responds most is learned by that filter. So one filter can stand for all shifts of a
    pattern: patterns that occur again and again at unknown places in noise are recovered, with
    ``contrast=None`` and ``whiten_eps=None``.
    On photographs, of which windows show no such patterns, filters may be less redundant
    than those of k-means, or more: see the notes. With `connections`, the channels of the
    input, such as the maps of a first layer, are split in groups, and every group learns
    filters of its own.

    Parameters
    ----------
    n_filters : int, default=96
        Size of the dictionary; with `connections`, of that of each group.
    patch_size : int or (int, int), default=6
        Height and width of a filter, in pixels.
    stride : int or (int, int), default=1
        Step from location to location, in pixels.
    window_size : int, (int, int) or None, default=None
        Height and width of the windows that filters slide over while learning, in pixels.
        None is twice `patch_size`, or the (smallest) image where that is less. With
        `patch_size` this is spherical k-means.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C). None:
        each row is a ready patch, one location and its own window.
    n_windows : int or None, default=100_000
        Windows to learn from, drawn evenly over the images, without replacement; None
        is all of them.
    connections : estimator, array-like of int of shape (n_groups, group_size) or None, \
            default=None
        Which channels the filters of each group see: an estimator such as
        `ChannelConnections`, which is cloned, fitted to `X` and `y`, and asked for its
        `connections_`; or these themselves. None: every filter sees all channels. Where the
        estimator has None for its `image_shape` or `device`, it gets those given here.
    contrast : {"patch", "image"} or None, default="patch"
        What is brought to mean zero and about the same contrast: each patch inside the
        windows by itself, as in `transform`, so that the filters respond to the shape of a
        patch and not to how bright its part of the window is; or each image, all channels
        together, before windows are cut, so that strong edges win their windows.
    contrast_eps : "auto" or float, default="auto"
        Added to the variance, in squared pixel units. ``"auto"`` follows the range of
        the pixels, for patches that of the windows' centers: see `ContrastNormalizer`.
    whiten_eps : float or None, default=0.1
        Added to the eigenvalues of the covariance of the patches in the windows' centers:
        see `ZCAWhitener`. Whitening works on each patch inside the windows, not on whole
        windows, because it is the patch that a filter sees in `transform`. None: no
        whitening.
    init : {"sample", "k-means++", "energy"}, default="sample"
        Where to start: among the patches in the windows' centers; or, with ``"energy"``, among
        the patches of largest energy of all windows, drawn as in k-means++, in proportion to
        the energy that no multiple of those before captures. Patterns that stand out from the
        noise are then found in a fraction of the iterations. On photographs it makes no
        difference that we could measure; on handwritten digits inertia is less by a ninth,
        and the features are no better for it. (``"hierarchical"`` of `KMeansFilterLearner` is not
        offered: from levels of the patches in the middle, filters end at more inertia.)
    max_iter : int, default=50
        Iterations of each run.
    tol : float, default=1e-4
        Stop when the root mean square distance of a filter, which has unit length, from the one
        that its patches make is no more than this.
    n_init : int, default=1
        Runs from different starts; the one with the least inertia is kept. Of more than
        100,000 windows (and 400 for each filter), 50,000 (or 200 for each) rank the starts,
        and the best goes on with all of them.
    encoder : {"soft_threshold", "triangle", "hard", "knn"}, default="soft_threshold"
        ``"soft_threshold"``: max(0, d.x - alpha). The others, and `knn_fraction`, as in
        `KMeansFilterLearner`, inside each group.
    alpha : float, default=0.0
        Threshold of ``"soft_threshold"``; 0 makes it a rectifier.
    knn_fraction : float, default=0.4
        Share of the filters, in (0, 1], for ``"knn"``.
    split_sign : bool, default=False
        Encode with the filters and their negatives, twice as many codes.
    mirror : bool, default=False
        Equal rows for an image and its mirror image: see `KMeansFilterLearner`.
    pool : {"max", "sum", "mean"}, default="max"
        How the codes of a cell become one.
    pool_grid : int, (int, int) or None, default=(2, 2)
        Cells down and across that cover every location. None: every location is a cell.
        Not used for ``output="maps"``.
    pool_size : int, (int, int) or None, default=None
        Pool local windows of so many locations instead.
    pool_stride : int, (int, int) or None, default=None
        Step from window to window of `pool_size`, in locations. None: `pool_size`.
    output : {"features", "maps"}, default="features"
        One row per image, or (n, H', W', K') for a next layer: every location, or every
        window of `pool_size`.
    device : str, torch.device or None, default=None
        None is the CPU; ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"auto"``.
    precision : {"exact", "fast"}, default="exact"
        As in `KMeansFilterLearner`.
    random_state : int, RandomState or None, default=None
        Decides which windows are drawn, where k-means starts, and `connections` where
        they have no random state of their own.
        With one seed the dictionary is the same to the bit, whatever the number of threads.
    verbose : int, default=0
        1 writes a line per iteration.

    Attributes
    ----------
    filters_ : ndarray of shape (K, h, w, C)
        The dictionary to look at: `cluster_centers_` as patches. With groups, C is the
        size of a group, and the filters stand in the order of the groups: only filters of
        one group see the same channels. Of ready
        patches, C is what their length and `patch_size` leave, or the shape is
        (K, 1, 1, d).
    cluster_centers_ : ndarray of shape (K, h * w * C)
        In whitened space, each of length one. K is `n_filters` times the number of groups,
        or less, with a ConvergenceWarning, when there are not so many different patches.
    connections_ : ndarray of shape (n_groups, group_size) or None
        The channels that each group sees.
    chooser_ : estimator or None
        That of `connections`, fitted.
    counts_ : ndarray of shape (K,)
        Windows assigned to each filter, by the largest ``|d.x|``; never zero. (`predict` and
        ``encoder="hard"`` tell light from dark: they go by the distance.)
    offset_counts_ : ndarray of shape (n_down, n_across) or (n_groups, n_down, n_across)
        How often each place of a patch in its window was chosen. Without steps and without
        one dominant place when all is well; on photographs the border is chosen a few times
        as often as the middle. All windows in one corner are a sign that patterns are larger than
        `patch_size`, or the windows too small.
    window_size_ : (int, int)
        Height and width of the windows.
    inertia_ : float
        Sum over windows of ``|x|^2 - s^2``, where s is the best response and x the largest
        patch of the window, in whitened space; of all groups together.
    n_iter_ : int
        Iterations of the run that is kept; the most of all groups.
    whitener_ : ZCAWhitener, list of ZCAWhitener or None
        Fitted; one for each group.
    contrast_eps_ : float, list of float or None
        What is added to the variance; one for each group.
    image_shape_ : tuple or None
        (H, W, C); (None, None, C) for images that differ in size; None for ready patches.
    n_features_in_ : int
        H * W * C, where it is fixed.
    feature_names_in_ : ndarray of str
        When `X` has column names.

    See Also
    --------
    ChannelConnections : Chooses groups of channels.
    KMeansFilterLearner : Filters from patches.
    sklearn_kmfeat.metrics.filter_redundancy : Shifted copies among filters.

    Notes
    -----
    `X` takes the forms named in `KMeansFilterLearner`, with any number of channels.

    In an iteration every filter responds at every offset of every window: as many products
    as a convolution of all windows; patches and responses exist only for a few megabytes of
    windows at a time. The windows themselves are held: memory in `fit`, beyond the input, is
    two to three times theirs, 4 bytes times `n_windows` times the values of a window of one
    group. With groups, as many of them are cut in one pass over the images as scikit-learn's
    ``working_memory`` holds.

    **Patterns.** Three patterns of 7×7 pixels in noise of their own strength are recovered
    from each of 20 starts, without whitening and with ``contrast=None`` (`benchmarks/planted`).
    Whitening, the default, is made for photographs: it makes weak directions, and so noise,
    as strong as patterns. Where pattern and noise differ in contrast, as in most recordings,
    ``contrast="patch"`` hides it; with it, use ``init="energy"``.

    Filters tend to take hold of a pattern off its middle, and stay there, since all their
    patches are off by as much. The paper leaves it at that. Here, after an update, the
    patches one pixel beside those of a filter are added up, in each of the eight directions,
    times the same responses; where such a sum is longer, the filter becomes its direction.
    This never lowers the energy that filters capture. As long as it shifts none, it is done
    in iterations 1, 3, 7, 15, ..., and before the end: a fit of 50 iterations takes about a
    tenth longer. On whitened photographs it shifts hardly any filter. `partial_fit` goes without
    from the second batch on, because its sums are of patches long gone.

    **Redundancy.** Whether filters are less redundant depends on the images and their
    preparation: with whitening mostly, without it the opposite (`benchmarks/conv_filters`).

    The damped update follows Coates & Ng: a filter becomes the direction of itself plus the sum
    of its patches, each times its response. It has momentum, as in `KMeansFilterLearner`.

    References
    ----------
    .. [1] Dundar, Jin, Culurciello (2015). "Convolutional clustering for unsupervised learning."
       arXiv:1511.06241, algorithm 1.
    .. [2] Arthur, Vassilvitskii (2007). "k-means++: the advantages of careful seeding." SODA.
    .. [3] Coates, Ng (2011). "Selecting receptive fields in deep networks." NIPS.

    Examples
    --------
    >>> from sklearn_kmfeat import ConvKMeans
    >>> from sklearn_kmfeat.datasets import load_cifar10_sample
    >>> images = load_cifar10_sample().images[:50]
    >>> learner = ConvKMeans(n_filters=16, n_windows=2000, max_iter=5, random_state=0)
    >>> learner.fit_transform(images).shape
    (50, 64)
    >>> learner.filters_.shape, learner.offset_counts_.shape
    ((16, 6, 6, 3), (7, 7))
    """

    _parameter_constraints = {
        **PatchDictionary._parameter_constraints,
        "n_filters": [POSITIVE_INT],
        "init": [names_in(Convolutional.seedings)],
        "window_size": [POSITIVE_INT, tuple, list, None],
        "n_windows": [POSITIVE_INT, None],
        "connections": [HasMethods("fit"), "array-like", None],
    }
    _count_name = "n_windows"
    _sample_size_name = "window_size"
    _expects_images = True
    _takes_maps = True

    def __init__(
        self,
        n_filters=96,
        *,
        patch_size=6,
        stride=1,
        window_size=None,
        image_shape=None,
        n_windows=100_000,
        connections=None,
        contrast="patch",
        contrast_eps="auto",
        whiten_eps=0.1,
        init="sample",
        max_iter=50,
        tol=1e-4,
        n_init=1,
        encoder="soft_threshold",
        alpha=0.0,
        knn_fraction=0.4,
        split_sign=False,
        mirror=False,
        pool="max",
        pool_grid=(2, 2),
        pool_size=None,
        pool_stride=None,
        output="features",
        device=None,
        precision="exact",
        random_state=None,
        verbose=0,
    ):
        self.n_filters = n_filters
        self.patch_size = patch_size
        self.stride = stride
        self.window_size = window_size
        self.image_shape = image_shape
        self.n_windows = n_windows
        self.connections = connections
        self.contrast = contrast
        self.contrast_eps = contrast_eps
        self.whiten_eps = whiten_eps
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.encoder = encoder
        self.alpha = alpha
        self.knn_fraction = knn_fraction
        self.split_sign = split_sign
        self.mirror = mirror
        self.pool = pool
        self.pool_grid = pool_grid
        self.pool_size = pool_size
        self.pool_stride = pool_stride
        self.output = output
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the connections, where they are asked for, and the filters.

        An interrupted fit leaves the estimator as it was.

        Parameters
        ----------
        X : array of shape (n, H, W), (n, H, W, C) or (n, f), or list of images
            Integers or floats in any range; see the class for the forms.
        y : array-like of shape (n,) or None, default=None
            Handed to `connections`; filters are learned without it.

        Returns
        -------
        self : ConvKMeans
            Fitted.

        Raises
        ------
        ValueError
            For images that do not fit the parameters: a window larger than an image or
            smaller than a patch, connections to channels that are not there or of images
            with one channel, fewer windows than filters, NaN or infinity, and the like;
            and for connections that need y where there is none.
        """
        return self._fit(X, y)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one more batch of images.

        The first batch sets the connections, the size of windows and the epsilon of contrast,
        and runs k-means; each later batch draws up to `n_windows` windows, updates the
        whitening with their centers, finds the best patch of each window, and updates every
        filter once, without shifts: it is the direction of all patches assigned to it so far,
        each times its response, in the whitening of now. The result depends on the order of
        the batches. `counts_` and `offset_counts_` count over all batches, `inertia_` is that
        of the last.

        Parameters
        ----------
        X : array or list of images
            As in `fit`.
        y : array-like of shape (n,) or None, default=None
            For `connections`, with the first batch; ignored later.

        Returns
        -------
        self : ConvKMeans
            Fitted.
        """
        return super().partial_fit(X, y)

    def _choose(self, X, y, source, rng):
        window = self._window(source)
        connections = chooser = None
        if self.connections is not None:
            connections, chooser = self._connect(X, y, source, rng)
        return {
            "window_size_": window,
            "connections_": connections,
            "chooser_": chooser,
            "_channel_groups": None if connections is None else list(connections),
        }

    def _learner(self, chosen):
        return Convolutional(
            self.n_filters,
            chosen["window_size_"],
            init=self.init,
            max_iter=self.max_iter,
            tol=self.tol,
            patch_size=as_pair(self.patch_size, "patch_size"),
        )

    def _identity(self):
        window = self.window_size
        return super()._identity() | {
            "window_size": window and as_pair(window, "window_size"),
            "connections": _described_connections(self.connections),
        }

    def _window(self, source):
        """Height and width of windows; of a patch for ready patches."""
        patch = as_pair(self.patch_size, "patch_size")
        if source.ready:
            return patch
        if self.window_size is None:
            smallest = source.sizes.min(axis=0).tolist()
            return tuple(min(2 * p, side) for p, side in zip(patch, smallest, strict=True))
        window = as_pair(self.window_size, "window_size")
        if any(w < p for w, p in zip(window, patch, strict=True)):
            raise ValueError(f"window_size={window} is smaller than patch_size={patch}.")
        return patch_grid(window, self.stride, source, "window_size").size

    def _connect(self, X, y, source, rng):
        """The channels that each group sees, and the estimator that chose them, if one did."""
        if source.n_channels == 1:
            raise ValueError(
                "connections choose among the channels of the images, but these have one "
                "channel: use connections=None."
            )
        if not hasattr(self.connections, "fit"):
            return _checked_connections(self.connections, source.n_channels), None
        values = {
            "random_state": lambda: rng.randint(np.iinfo(np.int32).max),
            "image_shape": lambda: self.image_shape,
            "device": lambda: self.device,
        }
        chooser = clone(self.connections)
        unset = [name for name, value in chooser.get_params().items() if value is None]
        chooser.set_params(**{name: values[name]() for name in values if name in unset})
        chooser.fit(X, y)
        if not hasattr(chooser, "connections_"):
            raise ValueError(
                "connections must be an estimator that fits connections_, such as "
                f"ChannelConnections, got {type(chooser).__name__}, which has none."
            )
        return _checked_connections(chooser.connections_, source.n_channels), chooser

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if hasattr(self.connections, "__sklearn_tags__"):
            tags.target_tags.required = get_tags(self.connections).target_tags.required
        return tags


def _described_connections(connections):
    """Connections so that equal ones compare equal, also after a pickle."""
    if connections is None or hasattr(connections, "fit"):
        return described(connections)
    try:
        return np.asarray(connections).tolist()
    except ValueError:  # groups of different lengths, which are refused later
        return described(connections)


def _checked_connections(connections, n_channels):
    """Connections as an int array (n_groups, group_size), checked against the channels."""
    try:
        checked = np.asarray(connections)
    except ValueError:
        raise ValueError("connections must name as many channels in every group.") from None
    if checked.ndim != 2 or not checked.size or checked.dtype.kind not in "iu":
        raise ValueError(
            "connections must be integers of shape (n_groups, group_size), got "
            f"{checked.dtype} of shape {checked.shape}."
        )
    wrong = checked[(checked < 0) | (checked >= n_channels)]
    if len(wrong):
        raise ValueError(
            f"connections name channel {wrong[0]}, but the images have {n_channels} channels, "
            f"0 to {n_channels - 1}."
        )
    for i, group in enumerate(checked.tolist()):
        if len(set(group)) < len(group):
            raise ValueError(f"connections name a channel twice in group {i}: {group}.")
    return checked.astype(np.int64)
