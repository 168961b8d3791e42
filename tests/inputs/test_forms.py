"""What it takes to add a form of X; torch Datasets for both families."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.helper import SliceDataset
from torch.utils.data import Dataset

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    PatchExtractor,
)
from sklearn_kmfeat._inputs.base import ImageSource
from sklearn_kmfeat._inputs.check import FORMS, Form
from sklearn_kmfeat.datasets import load_cifar10_sample

pytestmark = pytest.mark.filterwarnings("ignore:Epoch:sklearn.exceptions.ConvergenceWarning")
SMALL = {"n_filters": 4, "n_patches": 200, "max_iter": 2, "random_state": 0}
DEEP = {"n_clusters": 2, "max_epochs": 1, "net_params": {"module__width": 4}, "random_state": 0}
ESTIMATORS = [
    KMeansFilterLearner(**SMALL),
    BagOfPatches(n_words=4, n_patches=200, max_iter=2, random_state=0),
    ConvKMeans(n_filters=4, n_windows=100, max_iter=2, random_state=0),
    ContrastNormalizer(),
    PatchExtractor(max_patches=2, random_state=0),
    DeepClusterEstimator(**DEEP),
]


class Stripes:
    """A toy: images that are made when they are asked for."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n


class StripesSource(ImageSource):
    def __init__(self, stripes):
        super().__init__(len(stripes), (12, 14, 1), 1, torch.float32, np.dtype(np.uint8))

    def read(self, index, writable=False):
        places = np.arange(len(self))[index]
        stripes = (np.arange(14) * (1 + places[:, None])) % 7
        return torch.from_numpy(stripes).float()[:, None, :, None].repeat(1, 12, 1, 1)


def is_stripes(X):
    return isinstance(X, Stripes)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_a_new_source_is_one_class_and_one_entry(estimator, monkeypatch):
    entry = Form(is_stripes, lambda X, request: StripesSource(X))
    monkeypatch.setitem(FORMS, "stripes", entry)
    array = StripesSource(Stripes(20)).read(slice(None)).numpy()
    expected = estimator.fit(array).transform(array)
    found = estimator.fit(Stripes(20)).transform(Stripes(20))
    assert estimator.image_shape_ == (12, 14, 1)
    np.testing.assert_array_equal(np.reshape(found, expected.shape), expected)


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i], i % 2


@pytest.fixture(scope="module")
def images():
    return load_cifar10_sample().images[:30]


@pytest.mark.parametrize(
    "estimator",
    [*ESTIMATORS[:3], ESTIMATORS[4], ChannelConnections(2, 2, method="random", random_state=0)],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_a_dataset_is_read_as_its_images(estimator, images, kind):
    items = list(images)
    if kind == "tensors":
        items = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    fits = [estimator.fit(X).__dict__ for X in (list(images), Items(items))]
    for name in ("cluster_centers_", "connections_", "image_shape_", "patch_shape_"):
        if fits[0].get(name) is not None:
            np.testing.assert_array_equal(fits[0][name], fits[1][name])
    if hasattr(estimator, "transform"):
        found, expected = estimator.transform(Items(items)), estimator.transform(list(images))
        np.testing.assert_array_equal(found, expected)


def test_a_dataset_of_images_of_two_sizes(images):
    items = [image[: 20 + 4 * (i % 2)] for i, image in enumerate(images)]
    learner = ESTIMATORS[0]
    expected = learner.fit(items).transform(items)
    np.testing.assert_array_equal(learner.fit(Items(items)).transform(Items(items)), expected)
    assert learner.image_shape_ == (None, None, 3)
    for one, other in zip(learner.predict(items), learner.predict(Items(items)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image.astype(float) * np.nan, "Image 5 of the Dataset contains NaN"),
        (lambda image: image[..., 0], "Image 5 of the Dataset has 1 channels, others have 3"),
    ],
)
def test_bad_items_are_named(images, change, message):
    items = list(images)
    items[5] = change(items[5])
    with pytest.raises(ValueError, match=message):
        ESTIMATORS[0].fit(Items(items))


def test_a_dataset_in_bfloat16(images):
    items = [torch.from_numpy(image).permute(2, 0, 1).bfloat16() for image in images]
    expected = [item.permute(1, 2, 0).float().numpy() for item in items]
    learner = ESTIMATORS[0]
    np.testing.assert_array_equal(
        learner.fit(Items(items)).cluster_centers_, learner.fit(expected).cluster_centers_
    )


def test_image_shape_of_a_dataset(images):
    learner = KMeansFilterLearner(image_shape=(32, 32, 3), **SMALL).fit(images.reshape(30, -1))
    assert learner.transform(Items(list(images))).shape == (30, 16)
    with pytest.raises(ValueError, match=r"image 0 of the Dataset has shape \(20, 32, 3\)"):
        learner.transform(Items([image[:20] for image in images]))
    deep = DeepClusterEstimator(image_shape=(32, 32, 3), **DEEP).fit(images.reshape(30, -1))
    assert deep.predict(Items([image[:20] for image in images])).shape == (30,)


def test_an_empty_dataset():
    with pytest.raises(ValueError, match="length of at least one"):
        ESTIMATORS[0].fit(Items([]))


class Named(Items):
    """Items as dicts, as Hugging Face's datasets give them."""

    def __getitem__(self, i):
        return {"label": i % 2, "image": self.items[i], "name": str(i)}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_dicts_with_one_image(estimator, images):
    found = estimator.fit(Named(list(images))).transform(Named(list(images)))
    expected = estimator.fit(Items(list(images))).transform(Items(list(images)))
    np.testing.assert_array_equal(np.stack(list(found)), np.stack(list(expected)))


def test_dicts_with_two_images_or_none(images):
    for item in ({"a": images[0], "b": images[1]}, {"a": 3}):
        with pytest.raises(TypeError, match=r"dicts that hold one.*Got dict as item 0"):
            ESTIMATORS[0].fit(Items([item]))


def test_slice_datasets_in_a_search(images):
    y = np.arange(30) % 2
    dataset = SliceDataset(Items(list(images)))
    model = make_pipeline(ESTIMATORS[0], RidgeClassifier())
    expected = cross_val_score(model, list(images), y, cv=3)
    np.testing.assert_array_equal(cross_val_score(model, dataset, y, cv=3), expected)


def test_palettes_and_transparency_of_a_dataset(images):
    pictures = [Image.fromarray(image) for image in images]
    kinds = [image.convert(mode) for image in pictures for mode in ("RGB", "RGBA", "CMYK")]
    expected = [np.asarray(image) for image in pictures for _ in range(3)]
    learner = ESTIMATORS[0]
    found = learner.fit(Items(kinds)).transform(Items(kinds))
    np.testing.assert_array_equal(found, learner.fit(expected).transform(expected))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_tensors(estimator, images):
    X = torch.from_numpy(images)
    for tensor in (X.bfloat16(), X.float().requires_grad_(), X.float()[:, :, ::1]):
        same = tensor.float().detach().numpy()
        expected = estimator.fit(same).transform(same)
        np.testing.assert_array_equal(estimator.fit(tensor).transform(tensor), expected)


class Own:
    """Map-style, of no library: items and a length."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return {"image": self.items[i], "label": i}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_what_has_items_and_a_length_is_a_dataset(estimator, images):
    found = estimator.fit(Own(list(images))).transform(Own(list(images)))
    expected = estimator.fit(Items(list(images))).transform(Items(list(images)))
    np.testing.assert_array_equal(np.stack(list(found)), np.stack(list(expected)))
