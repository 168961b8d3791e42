"""A fitted stack of estimators as one torch module."""

from functools import singledispatch
from typing import Any

import numpy as np
import torch
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
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._core.contrast import contrast_normalize
from ._dictionary.base import PatchDictionary
from ._dictionary.contrast_normalizer import ContrastNormalizer
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


@standard_settings()
def to_torch(estimator: Any) -> nn.Module:
    """Make one torch module of a fitted estimator, or of a whole stack of them.

    What is learned in the learners and in a linear model becomes parameters, so that the
    stack can be fine-tuned with labels by backpropagation; scaling and components stay fixed.

    Parameters
    ----------
    estimator : fitted estimator
        A learner, `ContrastNormalizer`, scikit-learn's `StandardScaler`, `Normalizer`, `PCA`,
        `FunctionTransformer` of NumPy's ``sqrt``, ``abs``, ``square``, ``log1p`` or ``tanh``,
        a linear classifier or regressor, or a `Pipeline` or `FeatureUnion` of these.

    Returns
    -------
    torch.nn.Module
        Takes tensors (n, C, H, W) in the pixel range of `fit` and gives the numbers of
        `transform` (maps as (n, K', H', W')), of the `decision_function` of a classifier, or
        of a regressor's `predict`.

    Raises
    ------
    TypeError
        For an estimator that has no torch counterpart here.
    NotFittedError
        For one that is not fitted.

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
    """
    if not isinstance(estimator, Pipeline | FeatureUnion):
        check_is_fitted(estimator)
    return _module(estimator)


@singledispatch
def _module(estimator):
    raise TypeError(
        f"to_torch knows no torch counterpart of {type(estimator).__name__}: it takes learners "
        "of this package, ContrastNormalizer, StandardScaler, Normalizer, PCA, "
        "FunctionTransformer, linear models, and Pipeline and FeatureUnion of them."
    )


@_module.register
def _(estimator: PatchDictionary):
    return estimator.to_torch()


@_module.register
def _(estimator: Pipeline):
    steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
    for step in steps[:-1]:
        _refuse_as_transformer(step)
    return nn.Sequential(*map(to_torch, steps))


@_module.register
def _(estimator: FeatureUnion):
    weights = estimator.transformer_weights or {}
    kept = [(name, part) for name, part in estimator.transformer_list if part != "drop"]
    for _, part in kept:
        _refuse_as_transformer(part)
    modules = [nn.Identity() if part == "passthrough" else to_torch(part) for _, part in kept]
    return Concatenation(modules, [weights.get(name, 1.0) for name, _ in kept])


@_module.register
def _(estimator: ContrastNormalizer):
    return Contrast(estimator.eps_)


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


def _refuse_as_transformer(estimator):
    if isinstance(estimator, _LINEAR):
        raise TypeError(
            f"to_torch takes {type(estimator).__name__} as the last step of a Pipeline only, for "
            "its scores."
        )


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

    def forward(self, x):
        """Scores (n, n_targets), or (n,)."""
        scores = nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)
        return scores[:, 0] if len(self.weight) == 1 else scores


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
