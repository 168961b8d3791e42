import copy
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone

import sklearn_kmfeat
from sklearn_kmfeat._utils import version
from sklearn_kmfeat._utils.version import package_version
from test_settings import ESTIMATORS

NAMES = [name for name in ESTIMATORS if name not in ("dropping", "prototypes")]


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).randint(0, 256, (24, 12, 12, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def fitted(images):
    y = np.arange(24) % 4
    return {name: clone(ESTIMATORS[name]).fit(images, y) for name in NAMES}


def outputs(estimator, X):
    methods = [name for name in ("transform", "predict") if hasattr(estimator, name)]
    return [np.asarray(getattr(estimator, method)(X)) for method in methods]


def test_version_is_that_of_the_package():
    assert package_version() == sklearn_kmfeat.__version__


@pytest.mark.parametrize("name", NAMES)
def test_the_same_version_says_nothing(fitted, images, name):
    for again in (pickle.loads(pickle.dumps(fitted[name])), copy.deepcopy(fitted[name])):
        assert vars(again).keys() == vars(fitted[name]).keys()
        for found, expected in zip(
            outputs(again, images), outputs(fitted[name], images), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_another_version_that_lacks_something(fitted, images, name, monkeypatch):
    old = copy.copy(fitted[name])
    lost = [each for each in vars(old) if each not in old.get_params(deep=False)]
    monkeypatch.setattr(version, "package_version", lambda: "0.0.7")
    pickled = pickle.dumps(old)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r"pickled by sklearn_kmfeat 0\.0\.7 is read by"):
        again = pickle.loads(pickled)
    for each in lost:
        vars(again).pop(each)
    message = r"has no attribute '.*'\. It was pickled by sklearn_kmfeat 0\.0\.7, .* fit it again"
    with pytest.raises(AttributeError, match=message):
        again.image_shape_  # noqa: B018
    assert not hasattr(again, "__len__")


def test_a_pickle_of_no_version(fitted):
    learner = clone(fitted["learner"])
    with pytest.warns(UserWarning, match="pickled by sklearn_kmfeat 0.1.0 is"):
        learner.__setstate__({"n_filters": 3})


def test_any_other_attribute_is_missing_as_usual(fitted):
    with pytest.raises(AttributeError, match=r"^'BagOfPatches' object has no attribute 'bank'$"):
        fitted["bag"].bank  # noqa: B018


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("name", NAMES)
def test_models_that_are_mapped_into_memory(fitted, images, name, mode, tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(fitted[name], path)
    again, y = joblib.load(path, mmap_mode=mode), np.arange(24) % 4
    for found, expected in zip(outputs(again, images), outputs(fitted[name], images), strict=True):
        np.testing.assert_array_equal(found, expected)
    if hasattr(again, "to_torch"):
        again.to_torch()
    if hasattr(again, "inverse_transform") and name == "whitener":
        again.inverse_transform(again.transform(images))
    if hasattr(again, "partial_fit"):
        expected = outputs(copy.deepcopy(fitted[name]).partial_fit(images), images)
        for found, each in zip(outputs(again.partial_fit(images), images), expected, strict=True):
            np.testing.assert_array_equal(found, each)
    clone(again).fit(images, y)
