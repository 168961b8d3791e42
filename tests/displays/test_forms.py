"""The displays of images take what the estimators take."""

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.helper import SliceDataset
from torch.utils.data import Dataset

from pictures import folder_of_photos, mixed_photos
from sklearn_kmfeat import (
    ClusterGalleryDisplay,
    DeepClusterEstimator,
    EmbeddingDisplay,
    ImageFiles,
    KMeansFilterLearner,
)
from small import FORMS


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    array = folder_of_photos(folder, 12, (18, 20))
    return ImageFiles.from_folder(folder), array


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return {"image": self.items[i], "i": i}


def in_zarr(X, folder):
    array = zarr.create_array(store=str(folder / "a.zarr"), shape=X.shape, dtype=X.dtype)
    array[:] = X
    return array


def in_h5py(X, folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["X"] = X
    return h5py.File(folder / "a.h5")["X"]


ARRAYS = {
    "tensor": lambda X, folder: torch.from_numpy(X),
    "zarr": in_zarr,
    "h5py": in_h5py,
    "xarray": lambda X, folder: xr.DataArray(X),
    "Dataset": lambda X, folder: Items(list(X)),
    "SliceDataset": lambda X, folder: SliceDataset(Items(list(X)), idx="image"),
}


@pytest.fixture
def form(request, photos, tmp_path):
    files, array = photos
    if request.param in FORMS:
        X = FORMS[request.param](files)
        for item in X if "Pillow" in request.param else []:
            getattr(item, "load", list)()  # their files close
        return X
    return ARRAYS[request.param](array, tmp_path)


@pytest.mark.parametrize("form", [*FORMS, *ARRAYS], indirect=True)
@pytest.mark.parametrize("n_labels", [1, 3])
def test_galleries(form, photos, n_labels):
    labels = np.arange(12) % n_labels
    distances = np.arange(12)[::-1]
    found = ClusterGalleryDisplay.from_predictions(form, labels, distances, n_images=3)
    expected = ClusterGalleryDisplay.from_predictions(photos[1], labels, distances, n_images=3)
    np.testing.assert_allclose(found.im_.get_array(), expected.im_.get_array(), atol=1e-6)
    assert len(found.text_) == n_labels
    plt.close("all")


@pytest.mark.parametrize("form", [*FORMS, *ARRAYS], indirect=True)
def test_maps(form, photos):
    positions = np.random.RandomState(0).rand(12, 2)
    found = EmbeddingDisplay.from_predictions(form, positions)
    expected = EmbeddingDisplay.from_predictions(photos[1], positions)
    # In 0..255; what is scaled is rounded.
    different = np.abs(found.im_.get_array().astype(int) - expected.im_.get_array())
    assert different.max() <= 2
    plt.close("all")


@pytest.mark.filterwarnings("ignore:Epoch:sklearn.exceptions.ConvergenceWarning")
def test_files_of_every_kind(tmp_path):
    files = ImageFiles.from_folder(mixed_photos(tmp_path, 15, (20, 40)))
    deep = DeepClusterEstimator(2, max_epochs=1, net_params={"module__width": 4}, random_state=0)
    ClusterGalleryDisplay.from_estimator(deep.fit(files), files)
    learner = KMeansFilterLearner(4, n_patches=200, max_iter=2, random_state=0).fit(files)
    assert EmbeddingDisplay.from_estimator(learner, files).positions_.shape == (15, 2)
    plt.close("all")


def test_a_pipeline_encodes_once(photos, monkeypatch):
    files, array = photos
    learner = KMeansFilterLearner(4, n_patches=200, max_iter=2, random_state=0)
    model = make_pipeline(learner, StandardScaler(), KMeans(3, n_init=1, random_state=0)).fit(array)
    expected = model.transform(array)
    calls, transform = [], KMeansFilterLearner.transform

    def counted(self, X):
        calls.append(X)
        return transform(self, X)

    monkeypatch.setattr(KMeansFilterLearner, "transform", counted)
    display = ClusterGalleryDisplay.from_estimator(model, files)
    assert len(calls) == 1
    np.testing.assert_array_equal(display.labels, model.predict(array))
    np.testing.assert_allclose(display.distances, expected.min(1), rtol=1e-5)
    calls.clear()
    EmbeddingDisplay.from_estimator(model, files)
    assert len(calls) == 1
    plt.close("all")
