"""K-means filters: the learner of Coates, Lee & Ng and its relatives."""

from .._utils.validation import POSITIVE_INT, as_pair, names_in
from .base import PatchDictionary
from .learners import LEARNERS


class KMeansFilterLearner(PatchDictionary):
    """Learn filters from images by k-means, and encode images with them.

    Patches are cut from the images, normalised in contrast and whitened; k-means makes a
    dictionary of them. `transform` encodes every location of an image and pools the
    codes, so that each image becomes one row.

    Parameters
    ----------
    n_filters : int, default=256
        Size of the dictionary.
    patch_size : int or (int, int), default=6
        Height and width, in pixels.
    stride : int or (int, int), default=1
        Step from location to location, in pixels. Accuracy falls with larger steps.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C). None:
        each row is a ready patch, one location.
    n_patches : int or None, default=400_000
        Patches to learn from, drawn evenly over the images, without replacement; None
        is all of them.
    contrast : {"patch", "image"} or None, default="patch"
        What is brought to mean zero and about the same contrast.
    contrast_eps : "auto" or float, default="auto"
        Added to the variance, in squared pixel units. ``"auto"`` follows the range of
        the pixels: see `ContrastNormalizer`.
    whiten_eps : float or None, default=0.1
        Added to the eigenvalues of the patches' covariance: see `ZCAWhitener`. None: no
        whitening.
    algorithm : {"lloyd", "spherical", "random"}, default="lloyd"
        Euclidean k-means; gain-shape k-means with unit filters and the damped update
        (Coates & Ng 2012), in which a patch may be a negative multiple of its filter; or
        patches themselves.
    init : {"auto", "sample", "k-means++", "hierarchical"}, default="auto"
        Where to start: ``"sample"``: random different patches. ``"k-means++"``: greedy
        k-means++, as many passes over the patches as there are filters. ``"hierarchical"``:
        k-means in levels, coarse clusters and fine ones inside each, which takes as long as two
        iterations for 1,600 filters and is worth six from random patches. ``"auto"``:
        ``"hierarchical"`` for 200 filters or more of ``"lloyd"``, otherwise ``"sample"``.
    max_iter : int, default=20
        Iterations of each run. K-means uses momentum (see Notes): 20 iterations reach a lower
        inertia than 50 of Lloyd's algorithm.
    tol : float, default=1e-4
        When to stop. ``"lloyd"``: the squared distance of all filters from the means of their
        patches, relative to the mean variance of the patches' values. ``"spherical"``: the root
        mean square distance of a filter from the one that its patches make.
    n_init : int, default=1
        Runs from different starts; the one with the least inertia is kept. Of more than
        100,000 patches (and 400 for each filter), 50,000 (or 200 for each) rank the starts,
        and the best goes on with all of them.
    encoder : {"triangle", "hard", "soft_threshold", "knn"}, default="triangle"
        ``"triangle"``: max(0, mean distance to all filters - distance). ``"hard"``: one
        at the nearest filter. ``"soft_threshold"``: max(0, d.x - alpha). ``"knn"``: one
        at each of the nearest `knn_fraction` of the filters.
    alpha : float, default=0.25
        Threshold of ``"soft_threshold"``.
    knn_fraction : float, default=0.4
        Share of the filters, in (0, 1], for ``"knn"``.
    split_sign : bool, default=False
        Encode with the filters and their negatives, twice as many codes.
    mirror : bool, default=False
        Encode with the filters and their mirror images, left and right exchanged, and add the
        codes of both, in the mirrored cell for the mirror images: so an image and its mirror
        image get equal rows, those of both together. Takes twice the time; four times where steps
        of `stride` do not end at the right edge, so that a mirrored image has other patches. For
        ``output="maps"``, which have a left and a right, nothing is added: twice as many codes.
        `fit` then whitens by the moments of patches and their mirror images. `predict` looks at
        the filters themselves.
    pool : {"sum", "mean", "max"}, default="sum"
        How the codes of a cell become one.
    pool_grid : int, (int, int) or None, default=(2, 2)
        Cells down and across that cover every location; they differ by at most one
        location, the larger ones first. None: every location is a cell. Not used for
        ``output="maps"``.
    pool_size : int, (int, int) or None, default=None
        Pool local windows of so many locations instead; the last window of a row or
        column holds what is left.
    pool_stride : int, (int, int) or None, default=None
        Step from window to window of `pool_size`, in locations; those that are smaller than a
        window make them overlap. None: `pool_size`.
    output : {"features", "maps"}, default="features"
        One row per image, or (n, H', W', K') for a next layer: every location, or every
        window of `pool_size`.
    device : str, torch.device or None, default=None
        None is the CPU; ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"auto"``.
    precision : {"exact", "fast"}, default="exact"
        ``"fast"`` lets float32 products run in TF32 on CUDA, with a switch that belongs to
        the process while the call runs, and those of `transform` and `predict` with the
        filters in bfloat16 on CPUs that multiply in it (AVX-512 BF16: 1.1 to 1.4 times as
        fast; AMX); products then carry 10 or 8 bits. Elsewhere it changes nothing.
    random_state : int, RandomState or None, default=None
        Decides which patches are drawn and where k-means starts.
        With one seed the dictionary is the same to the bit, whatever the number of threads.
    verbose : int, default=0
        1 writes a line per iteration. For progress bars:
        ``learner.set_callbacks(sklearn.callback.ProgressBar())``.

    Attributes
    ----------
    filters_ : ndarray of shape (K, h, w, C)
        The dictionary to look at: `cluster_centers_` as patches. Of ready patches, C is
        what their length and `patch_size` leave, or the shape is (K, 1, 1, d).
    cluster_centers_ : ndarray of shape (K, h * w * C)
        In whitened space. K is `n_filters`, or fewer, with a ConvergenceWarning, when
        the patches have not so many different values.
    counts_ : ndarray of shape (K,)
        Patches assigned to each filter, by distance or, for ``"spherical"``, by the largest
        ``|d.x|``; never zero.
    inertia_ : float
        Sum of squared errors of the patches in whitened space; after `partial_fit`, of
        those of the last batch.
    n_iter_ : int
        Iterations of the run that is kept.
    whitener_ : ZCAWhitener or None
        Fitted.
    contrast_eps_ : float or None
        What is added to the variance.
    image_shape_ : tuple or None
        (H, W, C); (None, None, C) for images that differ in size; None for ready patches.
    n_features_in_ : int
        H * W * C, where it is fixed.
    feature_names_in_ : ndarray of str
        When `X` has column names.

    See Also
    --------
    BagOfPatches : Counts of visual words.
    sklearn.cluster.MiniBatchKMeans : K-means alone.

    Notes
    -----
    `X` may be an array (n, H, W) or (n, H, W, C) of integers or floats in any range,
    channels last; a list of images of different sizes; flattened images (n, f) with
    `image_shape`; or ready patches (n, f), for example after `PatchExtractor` and
    `ZCAWhitener`. Also `ImageFiles`, or a list of paths; a list of Pillow images; a Series of any
    of these; arrays of zarr, h5py and xarray; and a torch Dataset, whose items are images, tuples
    that begin with one, or dicts that hold one: Pillow images, arrays (H, W) or (H, W, C), or
    tensors (C, H, W). float64 is computed in float64, everything else in float32. What is on disk
    is read a batch at a time: a chunk of an array once in `transform` and at most twice in `fit`;
    of a Dataset, all items are read once more for their sizes. Pixels in another range than in
    `fit` are warned about.

    K-means uses Nesterov's momentum of 0.9. Each iteration computes the mean of the patches of
    each cluster; the next one begins with centers that lie beyond these means, by 0.9 times the
    difference from the previous means. With 1,600 filters and 400,000 patches, 12 iterations reach
    the inertia of 50 iterations of Lloyd's algorithm. `verbose` and callbacks show the inertia of
    the centers with which an iteration began; `inertia_` is that of `cluster_centers_`.

    More iterations lower the inertia, but hardly change the accuracy of a classifier. With 400
    filters of CIFAR-10 and a linear classifier trained on 8,000 images, the accuracy on 6,000 other
    images is 67.5 % after one iteration (inertia 1.4 % above that after 50 iterations), 68.3 %
    after 5 (0.5 % above), 68.3 % after 20 and 68.4 % after 50, each ± 0.6 %. With random patches as
    filters it is 65.2 % (inertia 26 % above). See the benchmarks.

    Memory beyond input and output is, in `fit`, two (``"spherical"``: three) times that of
    the drawn patches, which take 4 bytes times `n_patches` times the values of a patch; in
    `transform`, scikit-learn's ``working_memory`` at most.

    References
    ----------
    .. [1] Coates, Lee, Ng (2011). "An analysis of single-layer networks in unsupervised feature
       learning." AISTATS.
    .. [2] Coates, Ng (2012). "Learning feature representations with k-means."
    .. [3] Kuffo, Hepkema, Boncz (2026). "A super fast k-means for indexing vector embeddings."
    .. [4] Thiry, Arbel, Belilovsky, Oyallon (2021). "The unreasonable effectiveness of patches in
       deep convolutional kernels methods." ICLR.

    Examples
    --------
    >>> from sklearn_kmfeat import KMeansFilterLearner
    >>> from sklearn_kmfeat.datasets import load_cifar10_sample
    >>> images = load_cifar10_sample().images[:50]
    >>> learner = KMeansFilterLearner(n_filters=16, n_patches=2000, random_state=0)
    >>> learner.fit_transform(images).shape
    (50, 64)
    >>> learner.filters_.shape
    (16, 6, 6, 3)
    """

    _parameter_constraints = {
        **PatchDictionary._parameter_constraints,
        "n_filters": [POSITIVE_INT],
        "n_patches": [POSITIVE_INT, None],
        "algorithm": [names_in(LEARNERS)],
    }

    def __init__(
        self,
        n_filters=256,
        *,
        patch_size=6,
        stride=1,
        image_shape=None,
        n_patches=400_000,
        contrast="patch",
        contrast_eps="auto",
        whiten_eps=0.1,
        algorithm="lloyd",
        init="auto",
        max_iter=20,
        tol=1e-4,
        n_init=1,
        encoder="triangle",
        alpha=0.25,
        knn_fraction=0.4,
        split_sign=False,
        mirror=False,
        pool="sum",
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
        self.image_shape = image_shape
        self.n_patches = n_patches
        self.contrast = contrast
        self.contrast_eps = contrast_eps
        self.whiten_eps = whiten_eps
        self.algorithm = algorithm
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

    def _identity(self):
        return super()._identity() | {"algorithm": self.algorithm}

    def _learner(self, chosen):
        return LEARNERS[self.algorithm](
            self.n_filters,
            as_pair(self.patch_size, "patch_size"),
            init=self.init,
            max_iter=self.max_iter,
            tol=self.tol,
        )
