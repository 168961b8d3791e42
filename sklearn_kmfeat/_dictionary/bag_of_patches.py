"""Bags of patches: counts of visual words."""

from .._utils.validation import POSITIVE_INT, as_pair
from .base import PatchDictionary
from .learners import LEARNERS


class BagOfPatches(PatchDictionary):
    """Describe each image by how often each visual word occurs in it.

    K-means over patches gives a vocabulary; `transform` finds the nearest word at every
    location and counts. Images may differ in size.

    Parameters
    ----------
    n_words : int, default=50
        Size of the vocabulary.
    patch_size : int or (int, int), default=6
        Height and width, in pixels.
    stride : int or (int, int), default=1
        Step from location to location, in pixels.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C). None:
        each row is a ready patch, one location.
    n_patches : int or None, default=400_000
        Patches to learn from, drawn evenly over the images, without replacement; None
        is all of them.
    contrast : {"image", "patch"} or None, default="image"
        What is brought to mean zero and about the same contrast.
    contrast_eps : "auto" or float, default="auto"
        Added to the variance, in squared pixel units: see `ContrastNormalizer`.
    whiten_eps : float or None, default=None
        Added to the eigenvalues of the patches' covariance: see `ZCAWhitener`. None: no
        whitening.
    init : {"auto", "sample", "k-means++", "hierarchical"}, default="auto"
        Where to start: ``"auto"`` is ``"hierarchical"`` for 200 words or more, otherwise
        ``"k-means++"``. See `KMeansFilterLearner`.
    max_iter : int, default=100
        Iterations of each run.
    tol : float, default=1e-4
        Stop when the squared distance of all words from the means of their patches, relative to
        the mean variance of the patches' values, is no more than this.
    n_init : int, default=1
        Runs from different starts; the one with the least inertia is kept. Of more than
        100,000 patches (and 400 for each word), 50,000 (or 200 for each) rank the starts,
        and the best goes on with all of them.
    encoder : {"hard", "triangle", "soft_threshold", "knn"}, default="hard"
        ``"hard"`` counts the nearest word; the others make soft bags: see
        `KMeansFilterLearner`.
    alpha : float, default=0.25
        Threshold of ``"soft_threshold"``.
    knn_fraction : float, default=0.4
        Share of the words, in (0, 1], for ``"knn"``.
    split_sign : bool, default=False
        Encode with the words and their negatives, twice as many codes.
    mirror : bool, default=False
        Count each word together with its mirror image, left and right exchanged, so that an image
        and its mirror image get equal bags. Takes twice the time: see `KMeansFilterLearner`.
    pool : {"sum", "mean", "max"}, default="sum"
        ``"sum"`` counts; ``"mean"`` gives shares, which compare images of different sizes.
    pool_grid : int, (int, int) or None, default=(1, 1)
        (1, 1) is one bag an image; more cells down and across make a spatial bag.
    pool_size : int, (int, int) or None, default=None
        Pool local windows of so many locations instead.
    pool_stride : int, (int, int) or None, default=None
        Step from window to window of `pool_size`, in locations; those that are smaller than a
        window make them overlap. None: `pool_size`.
    output : {"features", "maps"}, default="features"
        One row per image, or (n, H', W', K').
    device : str, torch.device or None, default=None
        None is the CPU; ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"auto"``.
    precision : {"exact", "fast"}, default="exact"
        As in `KMeansFilterLearner`.
    random_state : int, RandomState or None, default=None
        Decides which patches are drawn and where k-means starts.
        With one seed the dictionary is the same to the bit, whatever the number of threads.
    verbose : int, default=0
        1 writes a line per iteration.

    Attributes
    ----------
    filters_ : ndarray of shape (K, h, w, C)
        The vocabulary to look at: `cluster_centers_` as patches. Of ready patches, C is
        what their length and `patch_size` leave, or the shape is (K, 1, 1, d).
    cluster_centers_ : ndarray of shape (K, h * w * C)
        In whitened space. K is `n_words`, or fewer, with a ConvergenceWarning, when
        the patches have not so many different values.
    counts_ : ndarray of shape (K,)
        Patches assigned to each word; never zero.
    inertia_ : float
        Sum of squared errors of the patches; after `partial_fit`, of those of the last
        batch.
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
    KMeansFilterLearner : Triangle codes of whitened patches, for classifiers.
    sklearn.feature_extraction.text.TfidfTransformer : Weighs words by how rare they are.
    sklearn.preprocessing.Normalizer : Makes bags of images of different sizes comparable.

    Notes
    -----
    `X` takes the forms named in `KMeansFilterLearner`. The counts of one cell sum to the
    number of locations in it. With `mirror`, those of all cells sum to the number of all
    locations, since a mirrored word counts in the mirrored cell; where steps of `stride` do not
    end at the right edge, they are means of an image and its mirror image.

    References
    ----------
    .. [1] Csurka, Dance, Fan, Willamowski, Bray (2004). "Visual categorization with bags of
       keypoints." ECCV workshop.

    Examples
    --------
    >>> from sklearn_kmfeat import BagOfPatches
    >>> from sklearn_kmfeat.datasets import load_mnist_sample
    >>> digits = load_mnist_sample().images[:100]
    >>> bags = BagOfPatches(n_words=10, n_patches=5000, random_state=0).fit_transform(digits)
    >>> bags.shape
    (100, 10)
    >>> bool((bags.sum(axis=1) == 23 * 23).all())
    True
    """

    _parameter_constraints = {
        **PatchDictionary._parameter_constraints,
        "n_words": [POSITIVE_INT],
        "n_patches": [POSITIVE_INT, None],
    }

    def __init__(
        self,
        n_words=50,
        *,
        patch_size=6,
        stride=1,
        image_shape=None,
        n_patches=400_000,
        contrast="image",
        contrast_eps="auto",
        whiten_eps=None,
        init="auto",
        max_iter=100,
        tol=1e-4,
        n_init=1,
        encoder="hard",
        alpha=0.25,
        knn_fraction=0.4,
        split_sign=False,
        mirror=False,
        pool="sum",
        pool_grid=(1, 1),
        pool_size=None,
        pool_stride=None,
        output="features",
        device=None,
        precision="exact",
        random_state=None,
        verbose=0,
    ):
        self.n_words = n_words
        self.patch_size = patch_size
        self.stride = stride
        self.image_shape = image_shape
        self.n_patches = n_patches
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

    _size_name = "n_words"
    _expects_images = True

    def _learner(self, chosen):
        return LEARNERS["lloyd"](
            self.n_words,
            as_pair(self.patch_size, "patch_size"),
            init=self.init,
            max_iter=self.max_iter,
            tol=self.tol,
            init_of_few="k-means++",
        )
