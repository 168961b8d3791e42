"""A fitted stack of estimators as one torch module."""

from functools import singledispatch
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._cluster_classifier import ClusterClassifier
from ._core.contrast import contrast_normalize
from ._deep_cluster.deep_cluster_estimator import DeepClusterEstimator
from ._deep_cluster.exported import Distances
from ._dictionary.base import PatchDictionary
from ._dictionary.contrast_normalizer import ContrastNormalizer
from ._dictionary.zca_whitener import ZCAWhitener
from ._utils.settings import standard_settings

_LINEAR = (
    LinearRegression,
    LinearSVC,
    LinearDiscriminantAnalysis,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    Ridge,
    RidgeCV,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
_CLUSTERERS = (DeepClusterEstimator, KMeans, MiniBatchKMeans)
_SEARCHES = (GridSearchCV, RandomizedSearchCV)


@standard_settings()
def to_torch(estimator: Any) -> nn.Module:
    """Make one torch module of a fitted estimator, or of a whole stack of them.

    What is learned in the learners, in a network, in centers and in a linear model becomes
    parameters, so that the stack can be fine-tuned by backpropagation; scaling and components
    stay fixed.

    Parameters
    ----------
    estimator : fitted estimator
        A learner, `ContrastNormalizer`, `ZCAWhitener`, `DeepClusterEstimator`, `ClusterClassifier`;
        scikit-learn's `StandardScaler`, `Normalizer`, `PCA`, `FunctionTransformer` of NumPy's
        ``sqrt``, ``abs``, ``square``, ``log1p`` or ``tanh``, `KMeans`, `MiniBatchKMeans`, a
        linear classifier or regressor; a `Pipeline` or `FeatureUnion` of these; or a
        `GridSearchCV` or `RandomizedSearchCV` over one, which stands for its
        ``best_estimator_``.

    Returns
    -------
    torch.nn.Module
        Takes tensors (n, C, H, W) in the pixel range of `fit`, rows and ready patches as (n, d),
        and gives the numbers of `transform` (maps as (n, K', H', W')); or, by the last step,

        - of the `decision_function` of a linear classifier, or of a regressor's `predict`;
        - the distances (n, n_clusters) to the centers of clusters: the least is that of the
          cluster that `predict` gives;
        - scores (n, n_classes) of a `ClusterClassifier`, the negative distances to the nearest
          cluster of each class: the largest is at the place in ``classes_`` of what `predict`
          gives. A class that no cluster stands for has minus infinity.

        On the CPU.

    Raises
    ------
    TypeError
        For an estimator that has no torch counterpart here.
    NotFittedError
        For one that is not fitted.

    Notes
    -----
    Each of these modules goes through `torch.jit.trace`, `torch.export.export` and
    ``torch.onnx.export(..., dynamo=True)``, with any number of images and images of one size. A
    `DeepClusterEstimator` with a network of your own does so if the network does.

    Examples
    --------
    >>> import torch
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_kmfeat import ConvKMeans, to_torch
    >>> from sklearn_kmfeat.datasets import load_mnist_sample
    >>> X, y = load_mnist_sample(return_X_y=True)
    >>> learner = ConvKMeans(n_filters=8, n_windows=1000, max_iter=3, random_state=0)
    >>> model = make_pipeline(learner, RidgeClassifier()).fit(X[:200], y[:200])
    >>> module = to_torch(model)
    >>> scores = module(torch.from_numpy(X[:5])[:, None])
    >>> scores.shape
    torch.Size([5, 10])
    >>> bool((abs(scores.detach().numpy() - model.decision_function(X[:5])) < 1e-4).all())
    True

    For programs without this package, with any number of images:

    >>> images, n = torch.from_numpy(X[:2])[:, None], torch.export.Dim("n")
    >>> program = torch.export.export(module.eval(), (images,), dynamic_shapes=({0: n},))
    >>> program.module()(torch.from_numpy(X[:7])[:, None]).shape
    torch.Size([7, 10])
    """
    if not isinstance(estimator, Pipeline | FeatureUnion):
        check_is_fitted(estimator)
    return _module(estimator)


@singledispatch
def _module(estimator):
    raise TypeError(
        f"to_torch knows no torch counterpart of {type(estimator).__name__}: it takes learners "
        "of this package, ContrastNormalizer, ZCAWhitener, DeepClusterEstimator, "
        "ClusterClassifier, StandardScaler, Normalizer, PCA, FunctionTransformer, KMeans, "
        "MiniBatchKMeans, linear models, Pipeline and FeatureUnion of them, and GridSearchCV and "
        "RandomizedSearchCV over them."
    )


def _transformer(estimator):
    """The module of a step with others after it: what its `transform` gives."""
    if isinstance(estimator, _SEARCHES):
        return _transformer(_best(estimator))
    if isinstance(estimator, Pipeline):
        return nn.Sequential(*map(_transformer, _steps(estimator)))
    if isinstance(estimator, DeepClusterEstimator):
        return estimator.to_torch("transform")
    if isinstance(estimator, _LINEAR):
        raise TypeError(
            f"to_torch takes {type(estimator).__name__} as the last step of a Pipeline only, for "
            "its scores."
        )
    return to_torch(estimator)


def _steps(pipeline):
    steps = (step for _, step in pipeline.steps)
    return [step for step in steps if step is not None and step != "passthrough"]


def _best(search):
    if not hasattr(search, "best_estimator_"):
        raise TypeError(
            f"to_torch takes the best_estimator_ of {type(search).__name__}, which has none with "
            f"refit={search.refit!r}."
        )
    return search.best_estimator_


@_module.register(PatchDictionary)
@_module.register(DeepClusterEstimator)
def _(estimator):
    return estimator.to_torch()


@_module.register
def _(estimator: Pipeline):
    steps = _steps(estimator)
    if not steps or steps[-1] is not estimator.steps[-1][1]:  # it ends with "passthrough"
        return _transformer(estimator)
    return nn.Sequential(*map(_transformer, steps[:-1]), to_torch(steps[-1]))


@_module.register
def _(estimator: FeatureUnion):
    weights = estimator.transformer_weights or {}
    kept = [(name, part) for name, part in estimator.transformer_list if part != "drop"]
    modules = [nn.Identity() if part == "passthrough" else _transformer(part) for _, part in kept]
    return Concatenation(modules, [weights.get(name, 1.0) for name, _ in kept])


@_module.register
def _(estimator: ContrastNormalizer):
    return Contrast(estimator.eps_)


@_module.register
def _(estimator: ZCAWhitener):
    return Whiten(estimator.mean_, estimator.whitening_)


@_module.register
def _(estimator: Normalizer):
    return Rescale({"l1": 1.0, "l2": 2.0, "max": np.inf}[estimator.norm])


@_module.register
def _(estimator: FunctionTransformer):
    if estimator.func is None:
        return nn.Identity()
    if estimator.func not in _FUNCTIONS or estimator.kw_args:
        raise TypeError(
            "to_torch knows FunctionTransformer of NumPy's "
            f"{', '.join(f.__name__ for f in _FUNCTIONS)}, got {estimator.func!r}."
        )
    return Elementwise(estimator.func)


@_module.register
def _(estimator: StandardScaler):
    mean = estimator.mean_ if estimator.with_mean else 0.0
    scale = estimator.scale_ if estimator.with_std else 1.0
    return Affine(np.broadcast_to(mean, estimator.n_features_in_), 1 / np.asarray(scale))


@_module.register
def _(estimator: PCA):
    matrix = estimator.components_.T
    if estimator.whiten:
        matrix = matrix / np.sqrt(estimator.explained_variance_).clip(np.finfo(matrix.dtype).tiny)
    return Affine(estimator.mean_, matrix)


@_module.register(KMeans)
@_module.register(MiniBatchKMeans)
def _(estimator):
    return Distances(torch.tensor(estimator.cluster_centers_))


@_module.register
def _(estimator: ClusterClassifier):
    clusterer = estimator.clusterer_
    last = clusterer[-1] if isinstance(clusterer, Pipeline) else clusterer
    if not isinstance(last, _CLUSTERERS):
        raise TypeError(
            "to_torch takes a ClusterClassifier of DeepClusterEstimator, KMeans or "
            f"MiniBatchKMeans, alone or at the end of a Pipeline, got {type(last).__name__}."
        )
    n_classes, n_clusters = len(estimator.classes_), len(last.cluster_centers_)
    of_class = [[] for _ in range(n_classes)]
    for cluster, place in enumerate(estimator._places_of(range(n_clusters))):
        of_class[place].append(cluster)
    return nn.Sequential(to_torch(clusterer), ClassScores(of_class))


@_module.register(GridSearchCV)
@_module.register(RandomizedSearchCV)
def _(estimator):
    return to_torch(_best(estimator))


def _linear(estimator):
    return Linear(np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_))


for _kind in _LINEAR:
    _module.register(_kind, _linear)


class Concatenation(nn.Module):
    """The features of several modules side by side.

    Parameters
    ----------
    modules : list of nn.Module
    weights : list of float
        Multiply the features of each.
    """

    def __init__(self, modules, weights):
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.weights = weights

    def forward(self, x):
        """Features (n, sum of all)."""
        pairs = zip(self.parts, self.weights, strict=True)
        return torch.cat([part(x) * weight for part, weight in pairs], 1)


class ClassScores(nn.Module):
    """From distances to clusters to a score of each class.

    Parameters
    ----------
    of_class : list of list of int
        The clusters of each class.
    """

    def __init__(self, of_class):
        super().__init__()
        longest = max(map(len, of_class))
        # A class without clusters gets any, and loses; shorter ones their last cluster again.
        some = [clusters or [0] for clusters in of_class]
        padded = [clusters + clusters[-1:] * (longest - len(clusters)) for clusters in some]
        self.register_buffer("clusters", torch.tensor(padded))
        self.register_buffer("missing", torch.tensor([not clusters for clusters in of_class]))

    def forward(self, distances):
        """Scores (n, n_classes) of distances (n, n_clusters)."""
        nearest = distances[:, self.clusters].amin(2)
        return (-nearest).masked_fill(self.missing, -torch.inf)


class Contrast(nn.Module):
    """Contrast normalisation of whole images.

    Parameters
    ----------
    eps : float
    """

    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        """Images as they came."""
        x = x if x.is_floating_point() else x.float()
        return contrast_normalize(x.flatten(1), self.eps).view(x.shape)


class Rescale(nn.Module):
    """Rows of length one; rows of zeros stay.

    Parameters
    ----------
    order : float
        Of the norm.
    """

    def __init__(self, order):
        super().__init__()
        self.order = order

    def forward(self, x):
        """Rows (n, features)."""
        return nn.functional.normalize(x, self.order, 1, torch.finfo(x.dtype).tiny)


class Elementwise(nn.Module):
    """A function of each value.

    Parameters
    ----------
    function : NumPy function
    """

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        """The shape stays."""
        return _FUNCTIONS[self.function](x)


class Affine(nn.Module):
    """``(x - mean) * matrix`` for a vector, ``(x - mean) @ matrix`` for a matrix; fixed.

    Parameters
    ----------
    mean, matrix : ndarray
    """

    def __init__(self, mean, matrix):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("matrix", torch.tensor(matrix))

    def forward(self, x):
        """Rows (n, features)."""
        wide = (x - self.mean).to(self.matrix.dtype)
        moved = wide * self.matrix if self.matrix.ndim < 2 else wide @ self.matrix
        return moved.to(x.dtype)


class Whiten(Affine):
    """Whitening of rows, or of whole images.

    Parameters
    ----------
    mean, matrix : ndarray
        In the order (row, column, channel).
    """

    def forward(self, x):
        """Rows (n, features), or images (n, C, H, W)."""
        x = x if x.is_floating_point() else x.float()
        if x.ndim == 2:
            return super().forward(x)
        last = x.permute(0, 2, 3, 1)
        rows = super().forward(last.flatten(1))
        return rows.unflatten(1, last.shape[1:]).permute(0, 3, 1, 2)


class Linear(nn.Module):
    """A linear model; one target is a vector.

    Parameters
    ----------
    weight : ndarray of shape (n_targets, features)
    bias : ndarray of shape (n_targets,)
    """

    def __init__(self, weight, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=self.weight.dtype))
        self.one_target = len(weight) == 1

    def forward(self, x):
        """Scores (n, n_targets), or (n,)."""
        scores = nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)
        return scores[:, 0] if self.one_target else scores


def _root(x):
    # Where a feature is zero, the slope of its root would be infinite.
    return x.clamp_min(torch.finfo(x.dtype).tiny).sqrt() * (x > 0)


_FUNCTIONS = {
    np.sqrt: _root,
    np.abs: torch.abs,
    np.square: torch.square,
    np.log1p: torch.log1p,
    np.tanh: torch.tanh,
}
