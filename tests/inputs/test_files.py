"""Files and Pillow images as X: the same numbers as from arrays, within a bounded memory."""

import threading

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.base import clone

from pictures import folder_of_photos, mixed_photos, saved, scene
from sklearn_kmfeat import (
    ClusterClassifier,
    DeepClusterEstimator,
    ImageFiles,
    KMeansFilterLearner,
    ZCAWhitener,
)
from sklearn_kmfeat._inputs import files as module
from sklearn_kmfeat._inputs.check import check_images
from sklearn_kmfeat._inputs.files import PictureSource
from small import ESTIMATORS, SMALL, assert_same_fit

# A dozen images are few for a network.
pytestmark = pytest.mark.filterwarnings("ignore:Epoch:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("photos")


@pytest.fixture(scope="module")
def photos(folder):
    return folder_of_photos(folder, 12, (18, 20))


@pytest.fixture(scope="module")
def files(folder, photos):
    return ImageFiles.from_folder(folder)


def opened(files):
    return [Image.open(path) for path in files.paths]


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


class Picture:
    """Of an image library: numpy makes an image of it."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __array__(self, dtype=None, copy=None):
        return self.pixels


FORMS = {
    "files": lambda files: files,
    "paths": lambda files: files.paths,
    "array of paths": lambda files: np.array(files.paths),
    "objects of paths": lambda files: objects(files.paths),
    "pandas paths": lambda files: pd.Series(files.paths, index=range(5, 17)),
    "pandas column": lambda files: pd.DataFrame({"file": files.paths}),
    "polars paths": lambda files: pl.Series(files.paths),
    "polars column": lambda files: pl.DataFrame({"file": files.paths}),
    "Pillow": opened,
    "pandas Pillow": lambda files: pd.Series(opened(files)),
    "pandas images": lambda files: pd.Series(list(files)),
    "pandas lists": lambda files: pd.Series([image.tolist() for image in files]),
    "objects": lambda files: objects(list(files)),
    "pictures": lambda files: [Picture(image) for image in files],
    "Pillow and arrays": lambda files: [*opened(files[:3]), *list(files)[3:]],
}
ARRAYS_IN_LISTS = list(FORMS)[list(FORMS).index("pandas images") :]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("form", FORMS)
def test_the_same_as_from_arrays(estimator, form, files, photos):
    if isinstance(estimator, ZCAWhitener) and form in ARRAYS_IN_LISTS:
        return  # it needs one size, which lists of arrays may not have
    X = FORMS[form](files)
    expected, found = (clone(estimator).fit(each) for each in (photos, X))
    # Read again: of Pillow's images, what was decoded is still there.
    assert_same_fit(found, expected, X)


def test_labels_and_files(files):
    model = ClusterClassifier(ESTIMATORS[-1]).fit(files, files.labels)
    assert set(model.predict(files)) <= {"cats", "dogs"}


def test_image_shape(files):
    learner = KMeansFilterLearner(4, image_shape=(18, 20, 3), n_patches=200, **SMALL).fit(files)
    assert learner.image_shape_ == learner.fit(np.asarray(files)).image_shape_ == (18, 20, 3)
    with pytest.raises(ValueError, match=r"image 0 of the files has shape \(18, 20, 3\)"):
        learner.set_params(image_shape=(18, 21, 3)).fit(files)


def test_files_of_every_kind(tmp_path):
    files = ImageFiles.from_folder(mixed_photos(tmp_path, 20, (12, 20)))
    learner = KMeansFilterLearner(4, n_patches=400, **SMALL)
    expected = learner.fit(list(files)).transform(list(files))
    np.testing.assert_array_equal(learner.fit(files).transform(files), expected)
    assert learner.image_shape_ == (None, None, 3)
    # As they are opened by Pillow, the same decision is made.
    np.testing.assert_array_equal(learner.fit(opened(files)).transform(opened(files)), expected)


def test_thirty_two_bits(tmp_path):
    paths = [
        saved(tmp_path / f"{i}.tif", scene(8, 9, i)[..., 0].astype(np.float32) / 7)
        for i in range(6)
    ]
    learner = KMeansFilterLearner(3, patch_size=3, **SMALL)
    X = np.stack([np.asarray(Image.open(path)) for path in paths])
    np.testing.assert_array_equal(learner.fit(paths).transform(paths), learner.fit_transform(X))
    for value, message in [(np.nan, "3.tif contains NaN at row 2, column 1"), (1e30, "3.tif")]:
        X[3, 2, 1] = value
        saved(tmp_path / "3.tif", X[3])
        with pytest.raises(ValueError, match=message):
            learner.fit(paths)


# Memory and threads


def test_what_is_decoded_ahead_is_bounded(files, monkeypatch):
    monkeypatch.setattr(module, "_BYTES_AHEAD", 2 * 18 * 20 * 3)
    decoded, most, lock = 0, 0, threading.Lock()
    read = ImageFiles.read

    def counted(self, i):
        nonlocal decoded, most
        with lock:
            decoded += 1
            most = max(most, decoded - asked)
        return read(self, i)

    monkeypatch.setattr(ImageFiles, "read", counted)
    source = check_images(ESTIMATORS[0], files)
    asked = 0
    for index, _ in source.batches(lambda size: 1):
        asked = index.stop
    assert (decoded, asked) == (12, 12)
    assert most <= 3


def test_decoding_goes_ahead(files, monkeypatch):
    """While the caller works on the first batch, files of the next are decoded."""
    ahead = threading.Event()
    read = ImageFiles.read

    def noting(self, i):
        if i >= 3:
            ahead.set()
        return read(self, i)

    monkeypatch.setattr(ImageFiles, "read", noting)
    batches = check_images(ESTIMATORS[0], files).batches(lambda size: 2)
    next(batches)
    assert ahead.wait(5)
    batches.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("ahead")]


def test_a_network_gets_files_in_its_size(tmp_path):
    for i in range(12):
        saved(tmp_path / f"{i}.png", np.kron(scene(20, 30, i), np.ones((8, 8, 1), np.uint8)))
    files = ImageFiles.from_folder(tmp_path)
    deep = DeepClusterEstimator(2, max_epochs=1, random_state=0)
    assert deep.fit(files)._input_shape == (64, 96, 3)
    assert deep.predict(files).tolist() == deep.labels_.tolist()
    # An array, and files with a size, have the size that the user wants.
    assert deep.fit(files.in_size(80))._input_shape == (53, 80, 3)
    assert deep.set_params(input_size=32).fit(files)._input_shape == (32, 32, 3)


def test_files_are_decoded_once_for_all_epochs(files, monkeypatch):
    n_read, read = 0, ImageFiles.read

    def counted(self, i):
        nonlocal n_read
        n_read += 1
        return read(self, i)

    monkeypatch.setattr(ImageFiles, "read", counted)
    DeepClusterEstimator(2, max_epochs=3, random_state=0, input_size=16).fit(files)
    assert n_read == 12


def test_what_is_too_large_to_keep_is_read_again(files, monkeypatch):
    from sklearn_kmfeat._inputs import resize

    deep = DeepClusterEstimator(2, max_epochs=2, random_state=0, input_size=16)
    expected = deep.fit(files).labels_
    monkeypatch.setattr(resize, "_KEPT_SHARE", 0)
    np.testing.assert_array_equal(deep.fit(files).labels_, expected)


def test_sources_pickle_without_reading(files):
    source = PictureSource(files, threads=True)
    restored = joblib.hash(source), source
    assert restored[1].n_images == 12
