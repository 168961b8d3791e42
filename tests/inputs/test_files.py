"""Files and Pillow images as X: the same numbers as from arrays, within a bounded memory."""

import pickle
import threading

import numpy as np
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
from sklearn_kmfeat._inputs.items import items_of
from small import ARRAYS_IN_LISTS, ESTIMATORS, FORMS, SMALL, assert_same_fit, opened

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


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("form", FORMS)
def test_the_same_as_from_arrays(estimator, form, files, photos):
    if isinstance(estimator, ZCAWhitener) and form in ARRAYS_IN_LISTS:
        return  # it needs one size, which lists of arrays may not have
    X = FORMS[form](files)
    expected, found = (clone(estimator).fit(each) for each in (photos, X))
    # Read again: of Pillow's images, what was decoded is still there.
    assert_same_fit(found, expected, X)
    close(X)


def close(X):
    """Pillow's images were not read: what is read is opened again."""
    for item in items_of(X) or []:
        if isinstance(item, Image.Image):
            item.close()


def test_pillow_images_stay_as_they_are(tmp_path):
    for i in range(4):
        saved(tmp_path / f"{i}.jpg", np.kron(scene(20, 30, i), np.ones((16, 16, 1), np.uint8)))
    images = opened(ImageFiles.from_folder(tmp_path))
    deep = DeepClusterEstimator(2, max_epochs=1, input_size=16, random_state=0).fit(images)
    assert [image.size for image in images] == [(480, 320)] * 4
    assert all(image.tile for image in images)  # nothing is decoded in them
    assert deep.predict(images).tolist() == deep.labels_.tolist()
    found = deep.predict(ImageFiles.from_folder(tmp_path))
    assert found.tolist() == deep.labels_.tolist()
    close(images)
    # Those that are decoded already, or stand for another frame, are taken as they are.
    loaded = [Image.open(path).convert("L") for path in ImageFiles.from_folder(tmp_path).paths]
    learner = KMeansFilterLearner(4, n_patches=200, **SMALL).fit(loaded)
    assert learner.image_shape_ == (320, 480, 1)


def test_grey_files_for_a_model_of_colours(files, tmp_path):
    learner = KMeansFilterLearner(4, n_patches=200, **SMALL).fit(files)
    grey = saved(tmp_path / "grey.png", scene(18, 20)[..., 0])
    expected = learner.transform(ImageFiles([grey], mode="RGB"))
    np.testing.assert_array_equal(learner.transform([grey]), expected)
    with Image.open(grey) as image:
        np.testing.assert_array_equal(learner.transform([image]), expected)
    with pytest.raises(ValueError, match=r"has 1 channels.* on 3\. Give ImageFiles mode='RGB'"):
        learner.transform(ImageFiles([grey], mode="L"))
    learner.fit(ImageFiles(files.paths, mode="L"))
    with pytest.raises(ValueError, match=r"has 3 channels.* on 1\. Give ImageFiles mode='L'"):
        learner.transform(files)


def test_the_file_is_named(files, tmp_path):
    small = saved(tmp_path / "small.png", scene(3, 4))
    with pytest.raises(ValueError, match=r"larger than an image of size \(3, 4\) \(.*small\.png\)"):
        KMeansFilterLearner(2).fit([*files.paths, small])


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
    images = opened(files)
    np.testing.assert_array_equal(learner.fit(images).transform(images), expected)
    close(images)


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


def test_sources_pickle_without_reading(files, photos, monkeypatch):
    source = check_images(ESTIMATORS[0], files)
    with monkeypatch.context() as patch:
        patch.setattr(ImageFiles, "read", lambda self, i: 1 / 0)
        pickled = pickle.dumps(source)
    assert len(pickled) < photos.nbytes / 2
    read = pickle.loads(pickled).read(slice(None))
    np.testing.assert_array_equal(read.numpy(), photos)
