import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from sklearn_kmfeat import (
    ClusterClassifier,
    ClusterGalleryDisplay,
    DeepClusterEstimator,
    FilterDisplay,
    HistoryDisplay,
)
from sklearn_kmfeat._utils import device
from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample
from sklearn_kmfeat.metrics import purity_score

# The method


def test_digits(head):
    X, y = load_mnist_sample(return_X_y=True)
    keep = np.isin(y, [0, 1, 4])[:2000]
    X, y = X[:2000][keep][:450], y[:2000][keep][:450]
    estimator = DeepClusterEstimator(
        3, head=head, max_epochs=6, batch_size=32, net_params={"module__width": 8}, random_state=0
    )
    estimator.fit(X, y)
    assert purity_score(y, estimator.labels_) > 0.85
    losses = [record["loss"] for record in estimator.history_]
    nmi = [record["nmi"] for record in estimator.history_]
    assert losses[-1] < losses[0]
    assert nmi[-1] > nmi[1]
    assert np.isnan(nmi[0])


def test_attributes(head, tiny, images):
    X, y = images()
    estimator = tiny(head=head).fit(X, y)
    assert estimator.labels_.shape == (40,)
    assert set(estimator.labels_) == {0, 1, 2}
    assert estimator.n_iter_ == len(estimator.history_) == 2
    assert estimator.n_features_in_ == 64
    assert estimator.image_shape_ == (8, 8, 1)
    assert estimator.n_pseudo_labels_ == (6,)
    assert estimator.filters_.shape == (4, 3, 3, 1)
    first, second = estimator.history_
    assert {"loss", "nmi", "nmi_true", "purity_true", "n_empty", "entropy", "largest"} <= set(first)
    assert {"seconds_features", "seconds_clustering", "seconds_learning"} <= set(second)
    assert 0 <= second["nmi"] <= 1
    assert 0 < second["entropy"] <= 1
    assert second["n_empty"] == 0
    rows = estimator.set_params(layer="clusters").transform(X)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    distances = np.linalg.norm(rows[:, None] - estimator.cluster_centers_, axis=2)
    np.testing.assert_array_equal(distances.argmin(1), estimator.labels_)
    assert estimator.inertia_ == pytest.approx((distances.min(1) ** 2).sum(), rel=1e-4)


def test_predict_is_labels_on_the_training_images(head, tiny, images):
    X, _ = images()
    estimator = tiny(head=head)
    labels = estimator.fit_predict(X)
    np.testing.assert_array_equal(labels, estimator.labels_)
    np.testing.assert_array_equal(estimator.predict(X), labels)
    np.testing.assert_array_equal(estimator.predict(X[5:9]), labels[5:9])
    np.testing.assert_allclose(estimator.transform(X[5:9]), estimator.transform(X)[5:9], atol=1e-4)


def test_space_of_the_clusters(tiny, images, assert_same_fit):
    X, _ = images((8, 8, 3))
    fits = {
        space: tiny(head="prototypes", cluster_space=space, layer="clusters").fit(X)
        for space in ("auto", "projection", "embedding")
    }
    assert_same_fit(fits["auto"], fits["projection"])
    rows = fits["projection"].transform(X)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(6), atol=1e-3)
    rows = fits["embedding"].transform(X)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    for fit in fits.values():
        np.testing.assert_array_equal(fit.predict(X), fit.labels_)
    with pytest.raises(ValueError, match="is that of head='prototypes', but head is 'reset'"):
        tiny(cluster_space="projection").fit(X)


def test_classes_only_watch(tiny, images, assert_same_fit):
    X, y = images()
    with_y = tiny().fit(X, y)
    assert_same_fit(with_y, tiny().fit(X))
    assert_same_fit(with_y, tiny().fit(X, np.array(["a", "b", "c"])[y]))
    with pytest.raises(ValueError, match="y has 39 classes for 40 images"):
        tiny().fit(X, y[1:])


def test_without_an_epoch(tiny, images):
    X, _ = images()
    estimator = tiny(max_epochs=0).fit(X)
    assert estimator.history_ == []
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


def test_sobel_is_for_colours(tiny, images):
    colour, _ = images((8, 8, 3))
    grey, _ = images()
    assert tiny().fit(colour).filters_.shape == (4, 5, 5, 1)
    assert tiny(sobel=False).fit(colour).filters_.shape == (4, 3, 3, 3)
    assert tiny().fit(grey).filters_.shape == (4, 3, 3, 1)
    assert tiny(sobel=True).fit(grey).filters_.shape == (4, 5, 5, 1)
    labels = tiny().fit(colour).predict(colour[..., ::-1])
    np.testing.assert_array_equal(labels, tiny().fit(colour).labels_)


def test_a_network_of_torchvision(tiny, images):
    X, _ = images((16, 16, 3), n=6)
    estimator = tiny(
        module="resnet18", max_epochs=1, net_params=None, batch_size=6, n_pseudo_labels=3
    )
    assert estimator.fit(X).predict(X).shape == (6,)


class Own(nn.Module):
    def __init__(self, in_channels, width=5):
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.norm(self.first(x)).relu()


def own_factory(in_channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], 4))


@pytest.mark.parametrize("module", [Own, own_factory, Own(1)])
def test_own_networks(module, tiny, images, assert_same_fit):
    X, _ = images()
    estimator = tiny(module=module, net_params=None)
    fit = clone(estimator).fit(X)
    rows = fit.transform(X)
    assert rows.shape == (40, 4 if module is own_factory else 5)
    assert len(np.unique(rows, axis=0)) == 40
    np.testing.assert_array_equal(fit.predict(X), fit.labels_)
    if isinstance(module, nn.Module):
        assert not torch.equal(fit.net_.module_.network.first.weight, module.first.weight)
    restored = pickle.loads(pickle.dumps(estimator.fit(X)))
    assert_same_fit(restored, fit)
    np.testing.assert_array_equal(restored.transform(X), rows)


def test_a_network_that_gives_nonsense(tiny, images):
    X, _ = images()
    with pytest.raises(ValueError, match=r"module must give embeddings \(n, d\)"):
        tiny(module=nn.Flatten(0), net_params=None).fit(X)
    with pytest.raises(ValueError, match=r"module must give.* gave tuple"):
        tiny(module=nn.AdaptiveMaxPool2d(1, return_indices=True), net_params=None).fit(X)


def test_own_augmentation_and_optimiser(tiny, images, net_params):
    X, _ = images()
    for augment in (None, "crop", torch.neg):
        tiny(augment=augment, max_epochs=1).fit(X)
    net = tiny(optimizer=torch.optim.Adam, lr=1e-3, max_epochs=1).fit(X).net_
    assert isinstance(net.optimizer_, torch.optim.Adam)
    net = tiny(net_params=net_params(**{"optimizer__nesterov": True})).fit(X).net_
    assert net.optimizer_.defaults["nesterov"]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.Rprop])
def test_rate_of_what_starts_anew(optimizer, tiny, images, net_params):
    X, _ = images()

    def rate(**more):
        params = {"optimizer": optimizer, "lr": 0.01, "max_epochs": 1}
        fit = tiny(net_params=net_params(**more), **params).fit(X)
        return fit.net_.head_optimizer_.param_groups[0]["lr"]

    assert rate() == pytest.approx(0.1 if optimizer is torch.optim.SGD else 0.5)
    assert rate(head_optimizer__lr=0.3) == 0.3
    with pytest.raises(ValueError, match="head_optimizer__lr, but only head='reset'"):
        tiny(head="prototypes", net_params={"head_optimizer__lr": 0.3}).fit(X)


@pytest.mark.filterwarnings("ignore:Epoch")
def test_no_batch_of_one(head, tiny, images):
    X, _ = images(n=5)
    params = {"n_clusters": 2, "n_pseudo_labels": 2, "batch_size": 2}
    assert tiny(head=head, **params).fit(X).labels_.shape == (5,)


def test_colours_of_torchvision_keep_the_range(tiny, images):
    X, _ = images((8, 8, 3), n=16)
    for pixels in (X, X / 255, X * 10.0):
        fit = tiny(augment=v2.Compose([v2.ColorJitter(0.1)]), max_epochs=1).fit(pixels)
        views = fit.net_.recipe.augment(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        np.testing.assert_allclose(views.std(), pixels.std(), rtol=0.15)


def test_views_are_brought_to_the_input_size(tiny, images):
    X, _ = images((12, 16))
    estimator = tiny(input_size=6, augment=torch.neg, module=own_factory, net_params=None)
    assert estimator.fit(X).predict(X).shape == (40,)


def test_networks_with_channels_of_their_own(tiny, images):
    X, _ = images((8, 8, 3))
    for module in (Own(3), three_channels):
        assert tiny(module=module, net_params=None).fit(X).filters_.shape == (5, 3, 3, 3)
    assert tiny(module=Own, net_params=None).fit(X).filters_.shape == (5, 5, 5, 1)


def three_channels():
    return Own(3)


def test_fit_where_gradients_are_off(tiny, images, assert_same_fit):
    X, _ = images()
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            inside = tiny().fit(X)
        assert_same_fit(inside, tiny().fit(X))


# What comes in and out


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_forms_of_arrays(shape, dtype, tiny, images):
    X, _ = images(shape, dtype=dtype)
    before = X.copy()
    X.flags.writeable = False
    estimator = tiny(max_epochs=1)
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    rows = estimator.fit_transform(X)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(X, before)
    flat = tiny(max_epochs=1, image_shape=shape).fit(X.reshape(40, -1))
    np.testing.assert_array_equal(flat.labels_, estimator.labels_)
    with pytest.raises(ValueError, match="ready patches"):
        estimator.predict(X.reshape(40, -1))


def test_images_of_different_sizes(tiny):
    rng = np.random.RandomState(0)
    X = [rng.randint(0, 256, (8 + i % 3, 9, 3)).astype(np.uint8) for i in range(20)]
    estimator = tiny(max_epochs=1).fit(X)
    assert estimator.image_shape_ == (None, None, 3)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    assert estimator.predict(rng.randint(0, 256, (2, 30, 20, 3))).shape == (2,)
    with pytest.raises(ValueError, match="1 channels"):
        estimator.predict([image[..., 0] for image in X])


def test_smaller_input(tiny, images):
    X, _ = images((12, 16))
    estimator = tiny(input_size=6).fit(X)
    assert estimator._input_shape == (6, 6, 1)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


class Pictures(Dataset):
    def __init__(self, X):
        self.X = X
        self.largest_batch = 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.from_numpy(self.X[i]).permute(2, 0, 1), 0


def test_dataset(tiny, images, assert_same_fit):
    X, y = images((8, 8, 3))
    estimator = tiny().fit(Pictures(X), y)
    array = tiny().fit(X, y)
    assert_same_fit(estimator, array)
    np.testing.assert_array_equal(estimator.predict(Pictures(X)), estimator.labels_)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    assert not hasattr(estimator, "n_features_in_")
    assert estimator.image_shape_ == (None, None, 3)


class Noise(Dataset):
    """Images that a transform with random numbers makes."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.rand(1, 8, 8)


@pytest.mark.filterwarnings("ignore:Epoch")
def test_random_numbers_of_a_dataset_are_those_of_the_seed(tiny, assert_same_fit):
    fits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        fits.append(tiny(n_pseudo_labels=3, augment=v2.ColorJitter(0.1)).fit(Noise()))
        np.testing.assert_array_equal(fits[-1].predict(Noise()), fits[-1].labels_)
        fits[-1].transform(Noise())
        assert torch.equal(torch.get_rng_state(), before)
    assert_same_fit(*fits)


@pytest.mark.filterwarnings("ignore:Epoch")
@pytest.mark.parametrize("n_workers", [0, 1])
def test_random_transforms_of_a_dataset_differ_in_each_epoch(n_workers, tiny, net_params):
    means = []

    def watch(batch):
        means.append(float(batch.mean()))
        return batch

    options = net_params(**{"iterator_train__num_workers": n_workers})
    tiny(net_params=options, augment=watch, n_pseudo_labels=3).fit(Noise())
    assert len(means) == 2
    assert means[0] != means[1]


def test_dataset_with_workers(tiny, images, assert_same_fit, net_params):
    X, _ = images((8, 8, 3))
    workers = {"iterator_train__num_workers": 1, "iterator_train__persistent_workers": True}
    estimator = tiny(net_params=net_params(**workers)).fit(Pictures(X))
    assert_same_fit(estimator, tiny().fit(X))


def test_score(tiny, images):
    X, y = images()
    estimator = tiny(max_epochs=4).fit(X)
    assert -1 <= estimator.score(X) <= 1
    assert 0 <= estimator.score(X, y) <= 1
    from sklearn.metrics import normalized_mutual_info_score

    expected = normalized_mutual_info_score(y, estimator.labels_)
    assert estimator.score(X, y) == pytest.approx(expected)


# Seeds, copies, searches


def test_global_generators_are_neither_read_nor_changed(head, tiny, images, assert_same_fit):
    X, _ = images()
    fits = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        estimator = tiny(head=head, module=dropping, net_params=None).fit(X)
        estimator.predict(X)
        np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])
        fits.append(estimator)
    assert_same_fit(*fits)
    other = tiny(head=head, module=dropping, net_params=None, random_state=1).fit(X)
    assert not np.array_equal(other.filters_, fits[0].filters_)


def dropping(in_channels):
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)
    )


def test_copies(tmp_path, tiny, images, assert_same_fit):
    X, _ = images()
    estimator = tiny().fit(X)
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    restored = joblib.load(tmp_path / "estimator.joblib")
    assert_same_fit(estimator, restored)
    np.testing.assert_array_equal(restored.transform(X), estimator.transform(X))
    assert "DeepClusterEstimator" in estimator._repr_html_()
    assert not hasattr(clone(estimator), "net_")
    cloned = clone(estimator).fit(X)
    assert_same_fit(cloned, estimator)


def test_fast_is_about_the_same(monkeypatch, tiny, images):
    monkeypatch.setattr(device, "has_bfloat16", lambda: True)
    X, _ = images((8, 8, 3))
    exact, fast = (
        tiny(max_epochs=0, precision=precision).fit(X).transform(X)
        for precision in ("exact", "fast")
    )
    np.testing.assert_allclose(fast, exact, atol=0.1)
    assert not np.array_equal(fast, exact)
    fast = tiny(precision="fast").fit(X)
    np.testing.assert_array_equal(fast.predict(X), fast.labels_)
    assert all(p.dtype == torch.float32 for p in fast.net_.module_.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_fitted_on_cuda(tiny, images):
    X, _ = images((8, 8, 3))
    estimator = tiny(device="cuda").fit(X)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


def test_search_and_pipeline(tiny, images):
    X, y = images()
    search = GridSearchCV(tiny(max_epochs=1), {"lr": [0.05]}, cv=2, n_jobs=2)
    assert search.fit(X, y).best_estimator_.predict(X).shape == (40,)
    assert np.isfinite(GridSearchCV(tiny(), {"n_clusters": [2, 3]}, cv=2).fit(X).best_score_)
    flat = make_pipeline(StandardScaler(), tiny(image_shape=(8, 8)))
    assert flat.fit(X.reshape(40, -1)).predict(X.reshape(40, -1)).shape == (40,)
    classifier = ClusterClassifier(tiny()).fit(X, y)
    assert classifier.predict(X).shape == (40,)


def test_flattened_images_are_suspected(tiny):
    with pytest.warns(UserWarning, match=r"image_shape=\(12, 12\)"):
        tiny(max_epochs=1).fit(np.random.RandomState(0).rand(20, 144))


@pytest.mark.filterwarnings("ignore:Epoch 1")
def test_fewer_clusters_than_asked(tiny, images):
    X = np.repeat(images(n=2)[0], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"Only [12] clusters came out of n_clusters=3"):
        estimator = tiny(augment=None, max_epochs=1).fit(X)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


def test_displays(tiny, images):
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot

    estimator = tiny().fit(images((8, 8))[0])
    display = HistoryDisplay.from_estimator(estimator, keys=["loss", "nmi"])
    assert set(display.lines_) == {"loss", "nmi"}
    FilterDisplay.from_estimator(estimator)
    ClusterGalleryDisplay.from_estimator(estimator, images()[0])
    gaps = HistoryDisplay.from_estimator(tiny(max_epochs=3, reassign_every=2).fit(images()[0]))
    assert set(gaps.lines_) == {"loss", "nmi", "n_empty", "entropy", "largest", "spread"}
    pyplot.close("all")


def test_photos(tiny):
    X, y = load_cifar10_sample(return_X_y=True)
    estimator = tiny(max_epochs=1).fit(X[:60], y[:60])
    assert estimator._input_shape == (32, 32, 3)
