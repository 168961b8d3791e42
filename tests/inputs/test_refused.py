"""What cannot be X says what to type instead."""

import io

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import xarray as xr
import zarr
from PIL import Image
from sklearn.base import clone
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from pictures import saved, scene
from sklearn_kmfeat import ChannelConnections, ConvKMeans, KMeansFilterLearner
from sklearn_kmfeat._inputs.refused import refuse
from small import ESTIMATORS


class Stream(IterableDataset):
    def __iter__(self):
        yield scene()


@pytest.fixture
def photo(tmp_path):
    return saved(tmp_path / "photo.png", scene())


MISTAKES = {
    "folder": (
        lambda photo: str(photo.parent),
        r"the path '.*' as X: .*Files\.from_folder\('",
    ),
    "folder as a path": (lambda photo: photo.parent, r"ImageFiles\.from_folder\('"),
    "no folder": (lambda photo: "photos", r"path 'photos' as X: .*from_folder\('photos'\)"),
    "file": (str, r"for one image file use ImageFiles\(\['.*photo\.png'\]\)"),
    "bytes": (lambda photo: photo.read_bytes(), r"a bytes as X: decode it first"),
    "one Pillow image": (Image.open, r"a PngImageFile as X: for one image use a list, \[X\]"),
    "generator": (lambda photo: (i for i in [scene()]), r"a generator as X: .*use list\(X\)"),
    "iterator": (lambda photo: iter([scene()]), r"use list\(X\)"),
    "map": (lambda photo: map(Image.open, [photo]), r"a map as X.*use list\(X\)"),
    "stream": (lambda photo: Stream(), r"a Stream as X.*map-style Dataset"),
    "loader": (lambda photo: DataLoader(TensorDataset(torch.ones(2, 1))), r"X\.dataset"),
    "dict": (lambda photo: {"images": [scene()], "y": 1}, r"X\['images'\].*'images', 'y'"),
    "set": (lambda photo: {str(photo)}, r"a set has no order"),
    "None": (lambda photo: None, r"a NoneType as X"),
    "zarr group": (
        lambda photo: zarr.open_group(str(photo.parent / "g"), mode="w"),
        r"a Group as X: give one of its arrays",
    ),
    "xarray": (lambda photo: xr.Dataset({"a": ("x", [1.0])}), r"Dataset as X.*it has 'a'"),
}


ITEMS = {
    "None": (lambda photo: [None, None], r"a list of None: expected"),
    "bytes": (lambda photo: [photo.read_bytes()], r"a list of bytes: decode them"),
    "dicts": (lambda photo: [{"image": scene()}], r"a list of dicts: .*it has 'image'"),
    "BytesIO": (lambda photo: [io.BytesIO(b"")], r"a list of open files: decode them"),
    "pairs": (
        lambda photo: [(scene(), 1)],
        r"a list of tuples that begin with an .*item\[0\]",
    ),
    "Pillow pairs": (lambda photo: [(Image.fromarray(scene()), 1)], r"SliceDataset\(dataset\)"),
    "paths in a list": (lambda photo: [[str(photo)]], r"give one list of paths"),
    "table": (lambda photo: pd.DataFrame({"n": [1], "path": [str(photo)]}), r"X\['path'\]"),
    "polars": (lambda photo: pl.DataFrame({"n": [1], "path": [str(photo)]}), r"X\['path'\]"),
    "keys": (lambda photo: {"a": 1}.keys(), r"use list\(X\)"),
}


@pytest.mark.parametrize("mistake", ITEMS)
def test_what_a_container_should_hold(mistake, photo):
    make, message = ITEMS[mistake]
    with pytest.raises(TypeError, match=rf"^KMeansFilterLearner got .*{message}"):
        KMeansFilterLearner().fit(make(photo))


def test_lists_of_numbers_and_a_column_of_paths(photo):
    images = scene(20, 20).astype(float)[np.newaxis]
    learner = KMeansFilterLearner(2, n_patches=50, max_iter=1, random_state=0)
    expected = learner.fit(images).transform(images)
    np.testing.assert_allclose(learner.fit(images.tolist()).transform(images.tolist()), expected)
    assert learner.fit(np.array([[str(photo)]])).image_shape_ == (9, 12, 3)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_to_type_instead(estimator, mistake, photo):
    make, message = MISTAKES[mistake]
    X = make(photo)
    with pytest.raises(TypeError, match=rf"^{type(estimator).__name__} got .*{message}"):
        clone(estimator).fit(X)
    if isinstance(X, Image.Image):
        X.close()


@pytest.mark.parametrize("mistake", ["folder", "generator", "None"])
def test_after_fit_too(mistake, photo):
    make, message = MISTAKES[mistake]
    learner = KMeansFilterLearner(2, n_patches=50, max_iter=1).fit(scene()[None])
    for method in (learner.transform, learner.predict):
        with pytest.raises(TypeError, match=message):
            method(make(photo))


@pytest.mark.parametrize(
    "X", [[], (), pd.Series([], dtype=object), pl.Series([]), np.empty(0, object)], ids=repr
)
def test_nothing(X):
    with pytest.raises(ValueError, match="X is an empty"):
        KMeansFilterLearner().fit(X)


@pytest.mark.parametrize(
    "X", [np.ones((2, 3)), [[1, 2]], torch.ones(2, 3), pd.DataFrame({"a": [1]}), [scene()]]
)
def test_the_rest_is_not_refused(X):
    refuse(X, "Estimator")


def test_one_image():
    rng = np.random.RandomState(0)
    photo, grey = rng.rand(20, 30, 3), rng.rand(20, 30)
    learner = KMeansFilterLearner(3, n_patches=100, max_iter=2, random_state=0)
    learner.set_params(patch_size=3)
    for X in (photo, rng.rand(20, 30, 4), rng.rand(20, 30, 1), photo.astype("f4")):
        with pytest.raises(ValueError, match=r"looks like one image.*X\[np\.newaxis\]"):
            learner.fit(X)
    # Said to be grey images, and patches as small as that.
    grey_images = {"image_shape": (30, 3), "pool_grid": 1}
    assert clone(learner).set_params(**grey_images).fit(photo).image_shape_ == (30, 3, 1)
    learner.set_params(patch_size=2)
    assert learner.fit(rng.rand(20, 3, 3)).image_shape_ == (3, 3, 1)
    learner.fit(photo[np.newaxis])
    for method in (learner.transform, learner.predict, learner.partial_fit):
        with pytest.raises(ValueError, match=r"channels first.*moveaxis\(X, 0, -1\)\[np\."):
            method(photo.transpose(2, 0, 1))
        with pytest.raises(ValueError, match=r"looks like one image.*X\[np\.newaxis\]"):
            method(photo)
        with pytest.raises(ValueError, match=r"looks like one image \(H, W\).*X\[np\.newaxis\]"):
            method(grey)
    learner.fit(grey[np.newaxis])
    with pytest.raises(ValueError, match=r"looks like one image \(H, W\).*X\[np\.newaxis\]"):
        learner.transform(grey)
    # 20 grey images of 30 x 3 pixels, if that is what was fitted.
    learner.set_params(**grey_images).fit(photo)
    assert len(learner.transform(photo)) == 20


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((20, 3, 32, 32), True),
        ((20, 4, 20, 50), True),
        ((20, 13, 64, 96), True),
        ((20, 6, 48, 40), True),
        ((20, 64, 96, 13), False),
        ((20, 30, 30, 40), False),
        ((20, 27, 27, 96), False),
        ((20, 9, 9, 256), False),
        ((20, 13, 15, 300), False),
    ],
)
def test_channels_first(shape, first):
    learner = KMeansFilterLearner(2, patch_size=2, n_patches=50, max_iter=1, random_state=0)
    X = np.random.RandomState(0).randint(0, 255, shape)
    if first:
        for images in (X, list(X)):
            with pytest.raises(ValueError, match=r"channels come first.*np\.moveaxis"):
                learner.fit(images)
        learner.set_params(image_shape=shape[1:])
    learner.fit(X)
    # What fit knows is not asked again.
    assert len(learner.set_params(image_shape=None).transform(X)) == 20


def test_maps_of_wide_images():
    """They look like images with channels first, and go on to second layers."""
    images = np.random.RandomState(0).randint(0, 255, (12, 32, 128), dtype=np.uint8)
    small = {"n_patches": 300, "max_iter": 1, "random_state": 0}
    first = KMeansFilterLearner(32, output="maps", pool_size=4, **small)
    maps = first.fit(images).transform(images)
    assert maps.shape == (12, 7, 31, 32)
    ConvKMeans(4, patch_size=3, n_windows=100, max_iter=1, random_state=0).fit(maps)
    ChannelConnections(2, 2, random_state=0).fit(np.pad(maps, [(0, 0)] * 3 + [(0, 32)]))
    KMeansFilterLearner(4, patch_size=3, **small).fit(maps)
    for estimator in (KMeansFilterLearner(4, **small), ConvKMeans(4)):
        with pytest.raises(ValueError, match="channels come first"):
            estimator.fit(np.zeros((20, 13, 64, 96), np.uint8))
    with pytest.raises(ValueError, match="channels come first"):
        KMeansFilterLearner(4, **small).fit(np.zeros((20, 13, 64, 96)))


def test_axes_of_a_dataset():
    image = np.random.RandomState(0).randint(0, 255, (30, 40, 3), dtype=np.uint8)
    learner = KMeansFilterLearner(2, n_patches=50, max_iter=1, random_state=0)
    for item, message in [
        (torch.from_numpy(image), r"channels come last.*image\.permute\(2, 0, 1\)"),
        (image.transpose(2, 0, 1), r"channels come first.*moveaxis"),
        (np.ma.masked_greater(image, 10), "hides"),
    ]:
        with pytest.raises(ValueError, match=message):
            learner.fit(Pairs(item))
    learner.fit(Pairs(torch.from_numpy(image).permute(2, 0, 1)))
    learner.fit(Pairs(image))


class Pairs:
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return self.item, i


def test_masked_arrays():
    X = np.ma.masked_array(np.random.RandomState(0).rand(6, 9, 9))
    learner = KMeansFilterLearner(2, n_patches=50, max_iter=1, random_state=0)
    expected = learner.fit(X.data).transform(X.data)
    np.testing.assert_array_equal(learner.fit(X).transform(X), expected)
    X[2, 3, 4] = X[1, 0, 0] = np.ma.masked
    for images in (X, X.reshape(6, 81)):
        with pytest.raises(ValueError, match=r"hides 2 values.*X\.filled\(X\.mean\(\)\)"):
            learner.fit(images)
        with pytest.raises(ValueError, match="hides 2 values"):
            learner.transform(images)
    with pytest.raises(ValueError, match="hides 1 values"):
        learner.fit(list(X))


def test_bytes_of_an_image_are_no_image(photo):
    with Image.open(io.BytesIO(photo.read_bytes())) as image:
        assert len(KMeansFilterLearner(2, n_patches=50, max_iter=1).fit([image]).filters_) == 2
