"""Images in another range than those of fit are warned about, with the cure."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils.data import Dataset, TensorDataset

from on_disk import OnDisk
from pictures import saved
from sklearn_kmfeat import DeepClusterEstimator, ImageFiles, KMeansFilterLearner, ZCAWhitener
from sklearn_kmfeat._inputs.pixel_range import differs
from sklearn_kmfeat._inputs.values import ValueRange
from small import ESTIMATORS

pytestmark = pytest.mark.filterwarnings("ignore:Epoch:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def images():
    ramp = np.linspace(0, 90, 16)[:, None, None]
    X = np.random.RandomState(0).randint(0, 160, (20, 16, 18, 3)) + ramp
    X[0, 0, 0] = 255
    return X.astype(np.uint8)


def calls(fitted, X):
    for name in ("transform", "predict", "partial_fit"):
        if hasattr(fitted, name):
            yield getattr(fitted, name), X


@pytest.mark.parametrize(
    "estimator",
    [each for each in ESTIMATORS if hasattr(each, "transform") or hasattr(each, "predict")],
    ids=lambda each: type(each).__name__,
)
def test_every_estimator_warns(estimator, images):
    for call, X in calls(clone(estimator).fit(images), images / np.float32(255)):
        with pytest.warns(UserWarning, match=r"from 0 to 1, but .* from 0 to 255.*X \* 255"):
            call(X)
    for call, X in calls(clone(estimator).fit(images / np.float32(255)), images):
        with pytest.warns(UserWarning, match=r"0 to 255, but .* 0 to 1\. .*X / 255"):
            call(X)
    for call, X in calls(clone(estimator).fit(images), images // 3 + 4):
        call(X)  # warnings are errors


def forms(images, folder):
    """The images in every form, as bytes or floats."""
    yield images
    yield list(images)
    yield torch.from_numpy(images)
    yield OnDisk(images)
    yield TensorDataset(torch.from_numpy(np.moveaxis(images, -1, 1)))
    if images.dtype == np.uint8:
        for i, image in enumerate(images):
            saved(folder / f"{i:02d}.png", image)
        yield ImageFiles.from_folder(folder)


def test_every_form_warns_once(images, tmp_path):
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0)
    unit = images / np.float32(255)
    for X in forms(unit, tmp_path):
        learner.fit(images)
        with pytest.warns(UserWarning, match="was fitted on pixels from 0 to 255") as log:
            learner.transform(X)
        assert len(log) == 1
        assert log[0].filename == __file__
    for X in forms(images, tmp_path):
        learner.fit(unit)
        with pytest.warns(UserWarning, match="was fitted on pixels from 0 to 1"):
            learner.transform(X)
        # And every form is remembered.
        learner.fit(X)
        with pytest.warns(UserWarning, match="fitted on pixels from 0 to 255"):
            learner.transform(unit)
        learner.transform(X)


def test_a_network_warns_of_files(images, tmp_path):
    files = list(forms(images, tmp_path))[-1]
    deep = DeepClusterEstimator(2, max_epochs=1, net_params={"module__width": 4}, random_state=0)
    deep.fit(images / np.float32(255))
    with pytest.warns(UserWarning, match="was fitted on pixels from 0 to 1"):
        deep.predict(files)
    deep.fit(files)
    with pytest.warns(UserWarning, match="was fitted on pixels from 0 to 255"):
        deep.predict(images / np.float32(255))


def test_rows_that_are_images_and_ready_patches(images):
    rows = images.reshape(20, -1)
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0)
    learner.set_params(image_shape=images.shape[1:]).fit(rows)
    with pytest.warns(UserWarning, match="fitted on pixels"):
        learner.transform(rows / 255)
    learner.set_params(image_shape=None).fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.transform(rows / 255)  # of rows nothing is known


@pytest.mark.parametrize(
    ("fitted", "values", "expected"),
    [
        ((0, 255), (0, 255), False),
        ((0, 255), (3, 40), False),
        ((0, 255), (0, 1), True),
        ((0, 1), (0, 255), True),
        ((0, 255), (0, 65535), True),
        ((0, 65535), (0, 255), True),
        ((0, 255), (-3, 3), True),
        ((-3, 3), (0, 255), True),
        ((0, 1), (-1, 1), True),
        ((0, 1), (-0.03, 1.02), False),
        ((-1, 1), (0, 1), True),
        ((-1, 1), (-0.1, 1), False),
        ((0, 255), (0, 0), False),
        ((0, 0), (0, 255), False),
    ],
)
def test_what_differs(fitted, values, expected):
    assert differs(ValueRange(*fitted), ValueRange(*values)) is expected


def test_fits_of_before_know_no_range(images):
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0).fit(images)
    del learner._pixel_range
    learner.transform(images / 255.0)


def test_what_is_transformed_back_has_another_range(images):
    whitener = ZCAWhitener().fit(images)
    back = whitener.inverse_transform(whitener.transform(images))
    np.testing.assert_allclose(back, images, atol=0.1)


def test_the_cure_for_files(images, tmp_path):
    for i, image in enumerate(images):
        saved(tmp_path / f"{i:02d}.png", image)
        saved(tmp_path / f"deep{i:02d}.png", image[..., 0].astype(np.uint16) * 257)
    both = ImageFiles.from_folder(tmp_path)
    plain = ImageFiles([path for path in both.paths if "deep" not in path])
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0).fit(both)
    with pytest.warns(UserWarning, match=r"with ImageFiles\(\.\.\., dtype='uint16'\)"):
        learner.transform(plain)
    learner.transform(ImageFiles(plain.paths, dtype="uint16"))
    learner.fit(plain)
    with pytest.warns(UserWarning, match=r"with ImageFiles\(\.\.\., dtype='uint8'\)"):
        learner.transform(both)
    learner.transform(ImageFiles(both.paths, dtype="uint8"))
    learner.fit(images / np.float32(255))
    with pytest.warns(UserWarning, match=r"bring them to the range of fit\.$"):
        learner.transform(plain)


def test_a_few_images_may_have_nothing_below_zero(images):
    unit = images / np.float32(127.5) - 1
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0).fit(unit)
    learner.transform(unit[:3].clip(0.1))
    with pytest.warns(UserWarning, match=r"from 0\.1 to 1, but .* range of fit\.$"):
        learner.transform(unit.clip(0.1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dark_images_of_the_same_kind(images, dtype, tmp_path):
    """A night frame is no other range, whatever else is in the batch or not."""
    bright, dark = images.astype(dtype), (images[:9, :12, :14] // 100).astype(dtype)
    bright = bright * dtype(257) if dtype is np.uint16 else bright
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0).fit(bright)
    mixed = [dark[0], *bright, dark[1]]
    learner.fit(mixed)
    learner.transform([dark[0]])
    for i, image in enumerate(mixed):
        saved(tmp_path / f"{i:02d}.png", image[..., 0])
    files = ImageFiles.from_folder(tmp_path)
    learner.fit(files).transform(files)
    learner.transform(files[:1])


def test_one_dark_image_among_others_of_a_dataset(images):
    mixed = [np.zeros((12, 12, 3), np.float32) + 1, *images.astype(np.float32)]
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0)
    learner.fit(Items(mixed)).transform(Items(mixed))


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize(
    ("fitted", "given", "cure"),
    [
        (np.uint8, "f4", r"X \* 255\.$"),
        ("f4", np.uint8, r"X / 255\.$"),
        (np.uint16, np.uint8, r"X\.astype\(float\) \* 257\.$"),
        (np.uint8, np.uint16, r"X / 257\.$"),
        (np.uint16, "f4", r"X \* 65535\.$"),
        (np.uint8, "signed", r"range of fit\.$"),
    ],
)
def test_cures_cure(images, fitted, given, cure):
    kinds = {
        np.uint8: images,
        np.uint16: images.astype(np.uint16) * 257,
        "f4": images / np.float32(255),
        "signed": images / np.float32(127.5) - 1,
    }
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0).fit(kinds[fitted])
    X = kinds[given]
    with pytest.warns(UserWarning, match=cure) as log:
        learner.transform(X)
    typed = str(log[0].message).partition("with ")[2].rstrip(".")
    if typed:
        cured = eval(typed, {"X": X})
        np.testing.assert_allclose(
            learner.transform(cured), learner.transform(kinds[fitted]), rtol=1e-3, atol=1e-3
        )
