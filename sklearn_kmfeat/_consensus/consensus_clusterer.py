"""A vote of several clusterings as a scikit-learn estimator."""

from contextlib import nullcontext
from numbers import Integral
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, ClusterMixin, MetaEstimatorMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    process_routing,
)
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._core.consensus import Vote
from .._inputs.check import set_fitted
from .._utils.progress import FitProgress
from .._utils.version import Versioned
from .images import checked_source, in_memory, input_size_of
from .members import checked_members, jobs_of, weights_by_name
from .number_of_clusters import candidates_of
from .recipe import recipe
from .runs import fit_runs, predicted
from .voting import voted


def _own_settings(has_recipe):
    """Where other people's settings of scikit-learn decide nothing: the PCA of the recipe."""
    return config_context(array_api_dispatch=False) if has_recipe else nullcontext()


class ConsensusClusterer(
    Versioned,
    CallbackSupportMixin,
    MetaEstimatorMixin,
    ClusterMixin,
    _BaseComposition,
    BaseEstimator,
):
    """A vote of several clusterings of the same images.

    Every estimator is fitted several times, each time with other random numbers. The clusters of
    all these runs are clustered in turn: k-means on their stacked one-hot labels [1]_ is the start
    of a mixture of multinomials [2]_, in which a run weighs as much as it agrees with the others.
    What most runs have in common stays, and what is an accident of one of them is voted down.

    Parameters
    ----------
    n_clusters : int, "auto" or sequence of int, default=10
        Number of clusters. With several, such as ``range(2, 16)``, the number is taken at which the
        agreement of the runs has its highest peak, see `stability_`; ``"auto"`` compares 2 to 20,
        or to a tenth of the number of images. The clusterers are then fitted with each of them,
        on features that are learned once in each run (the recipe is that for the largest number);
        otherwise they keep their own number.
    estimators : list of (str, estimator) or None, default=None
        Clusterers, or Pipelines that end in one; ``"drop"`` leaves one out. None: the best recipe
        for images, see Notes; or for rows without `image_shape`, k-means on the rows and on their
        whitened principal components.
    n_runs : int, default=3
        How often each estimator is fitted. Those with a `random_state`, also of a nested
        estimator, get another one in each run; the others are fitted once.
    weights : {"agreement"}, array-like of shape (n_estimators,) or None, default="agreement"
        Of the votes. ``"agreement"``: the mean adjusted Rand index of a run with those of the
        other estimators (of less than three estimators, with all other runs), which needs no
        labels; zero if it is negative. With an array the runs of an estimator share its weight;
        None: all runs weigh the same.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C). Only for
        ``estimators=None``; other estimators have a parameter of their own.
    input_size : int, (int, int) or None, default=None
        Height and width, in pixels, to which images are brought for ``estimators=None``. None:
        their own; where they differ, or are files, the median shorter side; but 64 pixels on the
        shorter side at most, since larger ones take longer and were not clustered better.
    n_jobs : int or None, default=None
        Number of runs that are fitted at the same time, as in scikit-learn. The recipe gives the
        same result with any number.
    random_state : int, RandomState or None, default=None
        Determines the random numbers of all runs and of the vote.
    verbose : int, default=0
        1 prints a line for each run. For a progress bar:
        ``consensus.set_callbacks(sklearn.callback.ProgressBar())``.

    Attributes
    ----------
    labels_ : ndarray of shape (n,)
        The cluster of each image, from 0 to `n_clusters_` - 1.
    n_clusters_ : int
        Number of clusters.
    confidence_ : ndarray of shape (n,)
        The share of the votes for the cluster of each image, between 0 and 1: a run votes for the
        cluster to which most images of its own cluster went.
    agreement_ : ndarray of shape (r, r)
        Adjusted Rand index between each two of the r runs: 1 if they are the same, 0 if they
        agree as by chance.
    weights_ : ndarray of shape (r,)
        The weight of each run; they sum to one.
    member_weights_ : dict
        From the name of each estimator to the weight of its runs together.
    estimators_ : list of r estimators
        The fitted runs: the first estimator's, then the second's, and so on.
    named_estimators_ : Bunch
        The fitted runs of each estimator, a list, by name.
    stability_ : dict of ndarray
        For each number of clusters that was compared, ``n_clusters``, the mean ``agreement`` of
        the runs, and its ``standard_error``.
    n_features_in_ : int
        If the estimators tell.
    feature_names_in_ : ndarray of str
        If the estimators tell.

    See Also
    --------
    StabilityDisplay : Plots `stability_`.
    DeepClusterEstimator : With `n_init`, keeps the run that agrees best with the others.
    ClusterClassifier : Classes from clusters and a few labels.

    Notes
    -----
    The recipe for images is a vote of four dictionaries, three runs each: counts of 200 visual
    words (:class:`BagOfPatches`) in 3 x 3 cells; responses of 256 filters, summed over quadrants;
    the largest responses of 96 filters in 4 x 4 cells; and of 128 filters of patches whose contrast
    is that of the image, in 3 x 3 cells (:class:`KMeansFilterLearner`). Roots of these features,
    standardised, become 40 or 80 whitened principal components (of less than 3,000 images fewer),
    rows of unit length, means of ten neighbours (:class:`NeighborAverager`), and clusters of
    k-means. It was chosen on MNIST and CIFAR-10; the guide tells what it gives on other sets.

    Agreement tells good runs of one estimator from bad ones. It does not tell which of two
    estimators is better: what is simple, or wrong in the same way each time, agrees best with
    itself. So a run is held against the runs of other estimators, and that is a weight; no
    estimator is chosen.

    `X` may have any form that the estimators take. For ``estimators=None`` that is any form that
    :class:`KMeansFilterLearner` takes; files are decoded once.

    References
    ----------
    .. [1] J. Wu, H. Liu, H. Xiong, J. Cao, J. Chen, "K-means-based consensus clustering: a
       unified view", IEEE Transactions on Knowledge and Data Engineering 27(1), 2015.
    .. [2] A. Topchy, A. K. Jain, W. Punch, "Clustering ensembles: models of consensus and weak
       partitions", IEEE Transactions on Pattern Analysis and Machine Intelligence 27(12), 2005.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.mixture import GaussianMixture
    >>> from sklearn_kmfeat import ConsensusClusterer
    >>> X, y = make_blobs(centers=3, random_state=0, cluster_std=0.5)
    >>> members = [("k-means", KMeans(3)), ("mixture", GaussianMixture(3))]
    >>> consensus = ConsensusClusterer(3, members, random_state=0).fit(X)
    >>> consensus.predict(X[:5]).shape, len(consensus.estimators_)
    ((5,), 6)
    """

    _parameter_constraints = {
        "n_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            *(range, list, tuple, np.ndarray),
        ],
        "estimators": [list, tuple, None],
        "n_runs": [Interval(Integral, 1, None, closed="left")],
        "weights": [StrOptions({"agreement"}), "array-like", None],
        "image_shape": [tuple, list, None],
        "input_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters=10,
        estimators=None,
        *,
        n_runs=3,
        weights="agreement",
        image_shape=None,
        input_size=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.estimators = estimators
        self.n_runs = n_runs
        self.weights = weights
        self.image_shape = image_shape
        self.input_size = input_size
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def get_params(self, deep=True):
        """Get the parameters of this estimator and, nested, of its `estimators`.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of the estimators are among them.

        Returns
        -------
        params : dict
            The values by name.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters of this estimator or, nested, of its `estimators`.

        Parameters
        ----------
        **params : dict
            ``name=estimator`` replaces one, ``name__parameter=value`` sets one of its parameters.

        Returns
        -------
        self : estimator
            This one.
        """
        return self._set_params("estimators", **params)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> "ConsensusClusterer":
        """Fit every estimator several times, and vote.

        Parameters
        ----------
        X : array, list of images, ImageFiles or any other form that the estimators take
            The images.
        y : object
            Ignored.
        **params : dict
            Metadata for the estimators, by scikit-learn's metadata routing.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError
            For fewer images than clusters, estimators without a name of their own, and what the
            estimators themselves refuse.
        """
        candidates = candidates_of(self.n_clusters, X)
        rng = check_random_state(self.random_state)
        if self.estimators is None:
            source = checked_source(self, X, reset=True)
            size = input_size_of(self, source)
            members = recipe(source, size, max(candidates))
            images = in_memory(source, X, size)
        else:
            self._check_own()
            members, images, source, size = checked_members(self.estimators), X, None, None
        weights = weights_by_name(self.weights, members)
        routed = self._routed(members, params)
        jobs = jobs_of(members, self.n_runs, rng)
        if len(candidates) > 1 and len(jobs) == 1:
            raise ValueError(
                "To compare several n_clusters takes two runs or more: set n_runs=2, or give "
                "another estimator. One that draws no random numbers is fitted once."
            )
        progress = FitProgress(self, X, y)
        with _own_settings(self.estimators is None):
            runs = self._fit_runs(jobs, images, candidates, routed, progress)
        fitted = voted(jobs, runs, candidates, weights, rng.randint(2**31 - 1))
        progress.end(lambda: fitted)
        self._set(X, source, size, fitted)
        return self

    def _check_own(self):
        """Check what holds for estimators that were given only."""
        for name in ("image_shape", "input_size"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is for estimators=None. Give {name} to your estimators themselves, "
                    "where they have such a parameter."
                )
        self._validate_names([name for name, _ in checked_members(self.estimators)])

    def _fit_runs(self, jobs, X, candidates, routed, progress):
        """Fit all runs: for each job a list of one `Run` for each number of clusters."""
        # A member keeps its own number of clusters unless several are compared.
        sizes = (None,) if len(candidates) == 1 else candidates
        fits = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(fit_runs)(job.member, X, job.seed, sizes, routed[job.name]["fit"])
            for job in jobs
        )
        runs = []
        with progress.task("run", len(jobs)) as task:
            for job, fit in zip(jobs, fits, strict=True):
                runs.append(fit)
                task.step(f": {job.name}")
        return runs

    def _set(self, X, source, size, fitted):
        """Set all fitted attributes at once."""
        if source is not None:
            set_fitted(self, X, source, fitted | {"_input_size": size, "_has_recipe": True})
            return
        first = fitted["estimators_"][0]
        names = ("n_features_in_", "feature_names_in_")
        of_first = {name: getattr(first, name) for name in names if hasattr(first, name)}
        old = {*names, "image_shape_", "_input_size", "_dtype", "_pixel_range"}
        kept = {name: value for name, value in vars(self).items() if name not in old}
        self.__dict__ = kept | of_first | fitted | {"_has_recipe": False}

    def predict(self, X: Any) -> np.ndarray:
        """The cluster of each image, by the vote of all runs.

        Parameters
        ----------
        X : array, list of images, ImageFiles or any other form that the estimators take
            In the form and pixel range of `fit`.

        Returns
        -------
        labels : ndarray of shape (n,)
            On the images of `fit` these are `labels_`, if that holds for the estimators.

        Raises
        ------
        AttributeError
            If an estimator has no method `predict`.
        """
        check_is_fitted(self)
        images = X
        for name, (run, *_) in self.named_estimators_.items():
            if not hasattr(run, "predict"):
                raise AttributeError(
                    f"New images cannot be clustered: the estimator {name!r} has no method "
                    "predict. labels_ holds the clusters of the images of fit."
                )
        if self._has_recipe:
            images = in_memory(checked_source(self, X, reset=False), X, self._input_size)
        with _own_settings(self._has_recipe):
            labelings = Parallel(n_jobs=self.n_jobs)(
                delayed(predicted)(run, classes, images)
                for run, classes in zip(self.estimators_, self._classes, strict=True)
            )
        return Vote(**self._vote).predict(labelings)

    def get_metadata_routing(self):
        """Tell where metadata goes: from `fit` to the `fit` of each estimator.

        Returns
        -------
        routing : MetadataRouter
            As in scikit-learn.
        """
        return self._router(self._named_members())

    def _named_members(self):
        """The estimators that were given, less those that are "drop"."""
        return [] if self.estimators is None else checked_members(self.estimators)

    def _router(self, members):
        router = MetadataRouter(owner=self)
        for name, member in members:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(**{name: member}, method_mapping=mapping)
        return router

    def _routed(self, members, params):
        """The metadata for each member."""
        _raise_for_params(params, self, "fit")
        if not params or self.estimators is None:
            return {name: {"fit": {}} for name, _ in members}
        return process_routing(self, "fit", **params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            of_members = [get_tags(member).input_tags for _, member in self._named_members()]
        except (TypeError, ValueError):  # told by `fit`; a notebook shows what is wrong, too
            of_members = []
        tags.input_tags.sparse = bool(of_members) and all(each.sparse for each in of_members)
        tags.input_tags.three_d_array = all(each.three_d_array for each in of_members)
        return tags
