"""An interrupted fit leaves an estimator whole, as it was before, or unfitted."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import sklearn_kmfeat
from sklearn_kmfeat import ClusterClassifier, ZCAWhitener
from test_settings import ESTIMATORS

PACKAGE = str(Path(sklearn_kmfeat.__file__).parent)
NAMES = [name for name in ESTIMATORS if name not in ("dropping", "prototypes")]


class Interrupted:
    """Raises at the n-th line of the package that runs inside the block; counts the lines."""

    def __init__(self, n=None, error=KeyboardInterrupt):
        self.n, self.error, self.n_lines = n, error, 0

    def line(self, frame, event, arg):
        if event == "line":
            self.n_lines += 1
            if self.n_lines == self.n:
                raise self.error
        return self.line

    def call(self, frame, event, arg):
        return self.line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.call)
        return self

    def __exit__(self, kind, error, trace):
        sys.settrace(self.before)
        return kind is self.error


@pytest.fixture(scope="module")
def images():
    rng = np.random.RandomState(0)
    return rng.randint(0, 256, (24, 12, 12, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def others():
    """Images of another number of channels: a half fit would not work."""
    return np.random.RandomState(1).randint(0, 256, (24, 10, 10, 4), dtype=np.uint8)


# An interrupt between two epochs of deep clustering ends the fit, with this warning.
@pytest.mark.filterwarnings("ignore:Interrupted")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", NAMES)
def test_a_line_that_raises(images, others, name, method):
    estimator, y = clone(ESTIMATORS[name]), np.arange(24) % 4
    if not hasattr(estimator, method):
        pytest.skip("has no such method")
    epochs = [param for param in estimator.get_params() if param.endswith("max_epochs")]
    if name != "supervised":
        estimator.set_params(**dict.fromkeys(epochs, 1))
    run = getattr(estimator, method)
    with Interrupted() as counted:
        run(images, y)
    before, old = dict(vars(estimator)), estimator
    rng = np.random.RandomState(0)
    places = [*rng.randint(1, counted.n_lines + 1, 12).tolist(), counted.n_lines]
    X = others if method == "fit" else images
    for n in places:
        error = (KeyboardInterrupt, MemoryError)[n % 2]
        estimator = clone(old)
        with Interrupted(n, error):
            getattr(estimator, method)(images, y)
        fitted = [attribute for attribute in vars(estimator) if attribute.endswith("_")]
        if not fitted:
            assert not hasattr(estimator, "_dtype")
        else:
            assert_whole(estimator, images, y, method)
        vars(old).clear()
        vars(old).update(before)
        with Interrupted(n, error):
            getattr(old, method)(X, y)
        same = vars(old).keys() == before.keys() and all(
            vars(old)[each] is before[each] for each in before
        )
        if not same:
            assert_whole(old, X, y, method)
    assert torch.is_grad_enabled()


def assert_whole(estimator, X, y, method):
    """All attributes belong to the new fit, which was stopped in its last lines."""
    if method == "partial_fit":
        estimator.partial_fit(X)
        return
    for other in ("transform", "predict"):
        if hasattr(estimator, other):
            again = clone(estimator).fit(X, y)
            np.testing.assert_array_equal(
                np.asarray(getattr(estimator, other)(X)), np.asarray(getattr(again, other)(X))
            )


def test_a_decomposition_that_fails_leaves_the_old_whitener(monkeypatch):
    rng = np.random.RandomState(0)
    old, new = rng.rand(30, 4), rng.rand(30, 7)
    whitener = ZCAWhitener().fit(old)
    expected = whitener.transform(old)

    def fail(matrix):
        raise torch.linalg.LinAlgError("no convergence")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    for method in (whitener.fit, ZCAWhitener().fit):
        with pytest.raises(torch.linalg.LinAlgError):
            method(new)
    with pytest.raises(torch.linalg.LinAlgError):
        whitener.partial_fit(old)
    assert whitener.n_features_in_ == 4
    assert whitener.n_samples_seen_ == 30
    np.testing.assert_array_equal(whitener.transform(old), expected)


def test_a_clusterer_that_fails_leaves_the_old_classifier(images):
    y = np.arange(24) % 4
    classifier = ClusterClassifier(ESTIMATORS["reset"]).fit(images, y)
    before = dict(vars(classifier))
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit(np.full(images.shape, np.nan), y)
    assert vars(classifier) == before


class Raising:
    """A callback of scikit-learn that raises at its n-th call."""

    def __init__(self, n=None):
        self.n, self.n_calls = n, 0

    def call(self):
        self.n_calls += 1
        if self.n_calls == self.n:
            raise KeyboardInterrupt

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **given):
        self.call()

    def on_fit_task_end(self, estimator, context, **given):
        self.call()


@pytest.mark.filterwarnings("ignore:Interrupted")
@pytest.mark.parametrize("name", ["learner", "windows", "bag", "reset"])
def test_a_callback_that_raises(images, others, name):
    estimator = clone(ESTIMATORS[name])
    if name == "reset":
        estimator.set_params(max_epochs=1)
    counter = Raising()
    estimator.set_callbacks(counter).fit(images)
    assert counter.n_calls > 5
    before = dict(vars(estimator))
    for n in range(1, counter.n_calls + 1):
        estimator.set_callbacks(Raising(n))
        vars(estimator).update(before)
        try:
            estimator.fit(others)
        except KeyboardInterrupt:
            changed = [name for name in before if vars(estimator).get(name) is not before[name]]
            assert set(changed) <= {"_skl_callbacks", "_callbacks"}, n
