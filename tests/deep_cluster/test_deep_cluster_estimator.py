import os
import pickle
import signal
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
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

TINY = {
    "n_clusters": 3,
    "n_pseudo_labels": 6,
    "batch_size": 16,
    "max_epochs": 2,
    "net_params": {"module__width": 4},
    "random_state": 0,
}
HEADS = ["reset", "prototypes"]


def tiny(**params):
    return DeepClusterEstimator(**(TINY | params))


def images(shape=(8, 8), n=40, dtype=np.uint8):
    """Three kinds of pictures, and their kinds."""
    rng = np.random.RandomState(0)
    kinds = rng.randint(0, 3, n)
    X = rng.randint(0, 60, (n, *shape))
    for k in range(3):
        X[kinds == k, 2 * k : 2 * k + 3] += 150
    return X.astype(dtype), kinds


def assert_same_fit(a, b):
    np.testing.assert_array_equal(a.labels_, b.labels_)
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    states = a.net_.module_.state_dict(), b.net_.module_.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# The method


@pytest.mark.parametrize("head", HEADS)
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


@pytest.mark.parametrize("head", HEADS)
def test_attributes(head):
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


@pytest.mark.parametrize("head", HEADS)
def test_predict_is_labels_on_the_training_images(head):
    X, _ = images()
    estimator = tiny(head=head)
    labels = estimator.fit_predict(X)
    np.testing.assert_array_equal(labels, estimator.labels_)
    np.testing.assert_array_equal(estimator.predict(X), labels)
    np.testing.assert_array_equal(estimator.predict(X[5:9]), labels[5:9])
    np.testing.assert_allclose(estimator.transform(X[5:9]), estimator.transform(X)[5:9], atol=1e-4)


def test_space_of_the_clusters():
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


def test_classes_only_watch():
    X, y = images()
    with_y = tiny().fit(X, y)
    assert_same_fit(with_y, tiny().fit(X))
    assert_same_fit(with_y, tiny().fit(X, np.array(["a", "b", "c"])[y]))
    with pytest.raises(ValueError, match="y has 39 classes for 40 images"):
        tiny().fit(X, y[1:])


def test_without_an_epoch():
    X, _ = images()
    estimator = tiny(max_epochs=0).fit(X)
    assert estimator.history_ == []
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


def test_how_many_pseudo_labels():
    X, _ = images(n=60)
    assert tiny(n_pseudo_labels="auto").fit(X).n_pseudo_labels_ == (6,)
    assert tiny(n_pseudo_labels="auto", n_clusters=8).fit(X).n_pseudo_labels_ == (8,)
    for wrong in (61, (3, 0), (2.5,), ()):
        with pytest.raises(ValueError, match="n_pseudo_labels must be ints from 1 to"):
            tiny(n_pseudo_labels=wrong).fit(X)
    with pytest.raises(ValueError, match=r"n_samples=2 should be >= 3"):
        tiny().fit(X[:2])


def test_sobel_is_for_colours():
    colour, _ = images((8, 8, 3))
    grey, _ = images()
    assert tiny().fit(colour).filters_.shape == (4, 5, 5, 1)
    assert tiny(sobel=False).fit(colour).filters_.shape == (4, 3, 3, 3)
    assert tiny().fit(grey).filters_.shape == (4, 3, 3, 1)
    assert tiny(sobel=True).fit(grey).filters_.shape == (4, 5, 5, 1)
    labels = tiny().fit(colour).predict(colour[..., ::-1])
    np.testing.assert_array_equal(labels, tiny().fit(colour).labels_)


def test_a_network_of_torchvision():
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


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)
        self.never = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(self.layer(x)).flatten(1)


def own_factory(in_channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], 4))


@pytest.mark.parametrize("module", [Own, own_factory, Own(1)])
def test_own_networks(module):
    X, _ = images()
    estimator = tiny(module=module, net_params=None)
    clone(estimator).fit(X).predict(X)
    pickle.loads(pickle.dumps(estimator.fit(X))).transform(X)


def test_a_network_that_gives_nonsense():
    X, _ = images()
    with pytest.raises(ValueError, match=r"module must give embeddings \(n, d\)"):
        tiny(module=nn.Flatten(0), net_params=None).fit(X)
    with pytest.raises(ValueError, match=r"module must give.* gave tuple"):
        tiny(module=nn.AdaptiveMaxPool2d(1, return_indices=True), net_params=None).fit(X)


def test_own_augmentation_and_optimiser():
    X, _ = images()
    for augment in (None, "crop", torch.neg):
        tiny(augment=augment, max_epochs=1).fit(X)
    net = tiny(optimizer=torch.optim.Adam, lr=1e-3, max_epochs=1).fit(X).net_
    assert isinstance(net.optimizer_, torch.optim.Adam)
    net = tiny(net_params=TINY["net_params"] | {"optimizer__nesterov": True}).fit(X).net_
    assert net.optimizer_.defaults["nesterov"]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.Rprop])
def test_rate_of_what_starts_anew(optimizer):
    X, _ = images()

    def rate(**net_params):
        params = {"optimizer": optimizer, "lr": 0.01, "max_epochs": 1}
        fit = tiny(net_params=TINY["net_params"] | net_params, **params).fit(X)
        return fit.net_.head_optimizer_.param_groups[0]["lr"]

    assert rate() == pytest.approx(0.1 if optimizer is torch.optim.SGD else 0.5)
    assert rate(head_optimizer__lr=0.3) == 0.3
    with pytest.raises(ValueError, match="head_optimizer__lr, but only head='reset'"):
        tiny(head="prototypes", net_params={"head_optimizer__lr": 0.3}).fit(X)


@pytest.mark.filterwarnings("ignore:Epoch")
@pytest.mark.parametrize("head", HEADS)
def test_no_batch_of_one(head):
    X, _ = images(n=5)
    params = {"n_clusters": 2, "n_pseudo_labels": 2, "batch_size": 2}
    assert tiny(head=head, **params).fit(X).labels_.shape == (5,)


def test_colours_of_torchvision_keep_the_range():
    X, _ = images((8, 8, 3), n=16)
    for pixels in (X, X / 255, X * 10.0):
        fit = tiny(augment=v2.Compose([v2.ColorJitter(0.1)]), max_epochs=1).fit(pixels)
        views = fit.net_.recipe.augment(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        np.testing.assert_allclose(views.std(), pixels.std(), rtol=0.15)


def test_views_are_brought_to_the_input_size():
    X, _ = images((12, 16))
    estimator = tiny(input_size=6, augment=torch.neg, module=own_factory, net_params=None)
    assert estimator.fit(X).predict(X).shape == (40,)


def test_networks_with_channels_of_their_own():
    X, _ = images((8, 8, 3))
    for module in (Own(3), three_channels):
        assert tiny(module=module, net_params=None).fit(X).filters_.shape == (5, 3, 3, 3)
    assert tiny(module=Own, net_params=None).fit(X).filters_.shape == (5, 5, 5, 1)


def three_channels():
    return Own(3)


def test_fit_where_gradients_are_off():
    X, _ = images()
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            inside = tiny().fit(X)
        assert_same_fit(inside, tiny().fit(X))


# What comes in and out


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_forms_of_arrays(shape, dtype):
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


def test_images_of_different_sizes():
    rng = np.random.RandomState(0)
    X = [rng.randint(0, 256, (8 + i % 3, 9, 3)).astype(np.uint8) for i in range(20)]
    estimator = tiny(max_epochs=1).fit(X)
    assert estimator.image_shape_ == (None, None, 3)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    assert estimator.predict(rng.randint(0, 256, (2, 30, 20, 3))).shape == (2,)
    with pytest.raises(ValueError, match="1 channels"):
        estimator.predict([image[..., 0] for image in X])


def test_smaller_input():
    X, _ = images((12, 16))
    estimator = tiny(input_size=6).fit(X)
    assert estimator._seen == (6, 6, 1)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


class Pictures(Dataset):
    def __init__(self, X):
        self.X = X
        self.largest_batch = 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.from_numpy(self.X[i]).permute(2, 0, 1), 0


def test_dataset():
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
def test_random_numbers_of_a_dataset_are_those_of_the_seed():
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
def test_random_transforms_of_a_dataset_differ_in_each_epoch(n_workers):
    means = []

    def watch(batch):
        means.append(float(batch.mean()))
        return batch

    options = TINY["net_params"] | {"iterator_train__num_workers": n_workers}
    tiny(net_params=options, augment=watch, n_pseudo_labels=3).fit(Noise())
    assert len(means) == 2
    assert means[0] != means[1]


def test_dataset_with_workers():
    X, _ = images((8, 8, 3))
    workers = {"iterator_train__num_workers": 1, "iterator_train__persistent_workers": True}
    estimator = tiny(net_params=TINY["net_params"] | workers).fit(Pictures(X))
    assert_same_fit(estimator, tiny().fit(X))


def test_layers():
    X, _ = images((16, 16))
    estimator = tiny().fit(X)
    for layer, width in [
        ("conv1", 4 * 16 * 16),
        ("conv3", 16 * 4 * 4),
        ("fc", 16),
        ("clusters", 6),
    ]:
        estimator.set_params(layer=layer)
        rows = estimator.transform(X)
        assert rows.shape == (40, width)
        assert len(estimator.get_feature_names_out()) == width
        np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    estimator.set_params(layer="fc.1")
    assert estimator.transform(X).min() < 0
    twice = tiny(module=Twice, net_params=None, max_epochs=0).fit(X)
    for layer, n in {"layer": 2, "never": 0}.items():
        with pytest.raises(ValueError, match=f"layer='{layer}' runs {n} times"):
            twice.set_params(layer=layer).transform(X)
    with pytest.raises(ValueError, match=r"layer='conv9' is no layer.*'conv1'"):
        estimator.set_params(layer="conv9").transform(X)
    with pytest.raises(ValueError, match="layer='conv9' is no layer"):
        tiny(layer="conv9").fit(X)
    with pytest.raises(ValueError, match="layer='never' runs 0 times"):
        tiny(module=Twice, net_params=None, layer="never").fit(X)
    frame = tiny(layer="fc").set_output(transform="pandas").fit(X).transform(X)
    assert list(frame.columns[:2]) == ["deepclusterestimator0", "deepclusterestimator1"]


def test_score():
    X, y = images()
    estimator = tiny(max_epochs=4).fit(X)
    assert -1 <= estimator.score(X) <= 1
    assert 0 <= estimator.score(X, y) <= 1
    from sklearn.metrics import normalized_mutual_info_score

    expected = normalized_mutual_info_score(y, estimator.labels_)
    assert estimator.score(X, y) == pytest.approx(expected)


# Seeds, copies, searches


@pytest.mark.parametrize("head", HEADS)
def test_global_generators_are_neither_read_nor_changed(head):
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


def test_copies(tmp_path):
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


def test_fast_is_about_the_same(monkeypatch):
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
def test_fitted_on_cuda():
    X, _ = images((8, 8, 3))
    estimator = tiny(device="cuda").fit(X)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


def test_search_and_pipeline():
    X, y = images()
    search = GridSearchCV(tiny(max_epochs=1), {"lr": [0.05]}, cv=2, n_jobs=2)
    assert search.fit(X, y).best_estimator_.predict(X).shape == (40,)
    assert np.isfinite(GridSearchCV(tiny(), {"n_clusters": [2, 3]}, cv=2).fit(X).best_score_)
    flat = make_pipeline(StandardScaler(), tiny(image_shape=(8, 8)))
    assert flat.fit(X.reshape(40, -1)).predict(X.reshape(40, -1)).shape == (40,)
    classifier = ClusterClassifier(tiny()).fit(X, y)
    assert classifier.predict(X).shape == (40,)


def test_flattened_images_are_suspected():
    with pytest.warns(UserWarning, match=r"image_shape=\(12, 12\)"):
        tiny(max_epochs=1).fit(np.random.RandomState(0).rand(20, 144))


# Long runs


@pytest.mark.parametrize("head", HEADS)
def test_warm_start_goes_on(head):
    X, _ = images()
    whole = tiny(head=head, max_epochs=4).fit(X)
    parts = tiny(head=head, max_epochs=2, warm_start=True).fit(X)
    parts.set_params(max_epochs=4).fit(X)
    assert_same_fit(whole, parts)
    assert [r["epoch"] for r in parts.history_] == [1, 2, 3, 4]
    other = images(n=50)[0]
    assert parts.set_params(max_epochs=5).fit(other).labels_.shape == (50,)
    with pytest.raises(ValueError, match="warm_start goes on with the network of the last fit"):
        parts.set_params(n_pseudo_labels=7).fit(X)


@pytest.mark.parametrize("head", HEADS)
def test_warm_start_on_other_images_of_the_same_number(head):
    X, _ = images()
    other = 255 - X
    warm = tiny(head=head, warm_start=True, reassign_every=3).fit(X)
    labels = warm.net_.labels_
    warm.set_params(max_epochs=3).fit(other)
    assert np.isnan(warm.history_[2]["nmi"])
    assert not torch.equal(warm.net_.labels_, labels)
    more = np.concatenate([other, other[-1:]])
    assert warm.set_params(max_epochs=4).fit(more).net_.labels_.shape == (1, 41)


def test_warm_start_takes_new_rates():
    X, _ = images()
    warm = tiny(warm_start=True, lr_schedule="cosine").fit(X)
    changed = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.1, "lr_schedule": "constant"}
    warm.set_params(max_epochs=3, **changed).fit(X)
    (group,) = warm.net_.optimizer_.param_groups
    assert [group[name] for name in ("lr", "momentum", "weight_decay")] == [0.001, 0.5, 0.1]
    for other in (torch.optim.Adam, torch.optim.RMSprop):
        with pytest.raises(ValueError, match="warm_start goes on with the network of the last fit"):
            warm.set_params(max_epochs=4, optimizer=other).fit(X)


def test_more_epochs_were_done_than_asked_for():
    X, _ = images()
    warm = tiny(warm_start=True).fit(X)
    with pytest.warns(ConvergenceWarning, match="There were more before.*after 2 of 1 epochs"):
        warm.set_params(max_epochs=1).fit(X)


def test_checkpoint_goes_on(tmp_path):
    X, _ = images()
    path = tmp_path / "run.pt"
    whole = tiny(max_epochs=4).fit(X)
    tiny(max_epochs=2, checkpoint=path).fit(X)
    content = torch.load(path, weights_only=True)
    assert len(content["state"]["records"]) == 2
    assert_same_fit(tiny(max_epochs=4, checkpoint=str(path)).fit(X), whole)
    assert_same_fit(tiny(max_epochs=4, checkpoint=path).fit(X), whole)


def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.BatchNorm1d(8), nn.ReLU())


@pytest.mark.parametrize(
    "params",
    [
        {"lr": np.float64(0.05), "head": np.str_("reset")},
        {"module": lazy, "net_params": None},
        {"module": lazy(), "net_params": None},
        {"net_params": TINY["net_params"] | {"optimizer__nesterov": np.bool_(True)}},
        {"net_params": TINY["net_params"] | {"head_optimizer__momentum": 0.5}},
        {"head": "reset", "reassign_every": 3, "optimizer": torch.optim.AdamW, "lr": 0.01},
    ],
)
def test_checkpoints_of_all_kinds_of_parameters(params, tmp_path):
    X, _ = images()
    path = tmp_path / "run.pt"
    tiny(max_epochs=2, checkpoint=path, **params).fit(X)
    gone_on = tiny(max_epochs=4, checkpoint=path, **params).fit(X)
    assert_same_fit(gone_on, tiny(max_epochs=4, **params).fit(X))


def test_a_network_of_other_weights_goes_on_from_a_checkpoint(tmp_path):
    X, _ = images()
    path = tmp_path / "run.pt"
    first = tiny(module=Own(1), net_params=None, checkpoint=path).fit(X)
    assert_same_fit(tiny(module=Own(1), net_params=None, checkpoint=path).fit(X), first)


class InterruptEpoch(Callback):
    """The user loses patience in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.records_) + 1 == self.epoch:
            raise KeyboardInterrupt


def test_checkpoint_of_a_falling_rate(tmp_path):
    X, _ = images()
    path = tmp_path / "run.pt"
    params = {"lr_schedule": "cosine", "max_epochs": 4}
    whole = tiny(**params).fit(X)
    with pytest.warns(ConvergenceWarning, match="state after 2 of 4 epochs"):
        tiny(**params, checkpoint=path, callbacks=[InterruptEpoch(3)]).fit(X)
    assert_same_fit(tiny(**params, checkpoint=path).fit(X), whole)
    with pytest.raises(ValueError, match="max_epochs was 4, here it is 5"):
        tiny(**(params | {"max_epochs": 5}), checkpoint=path).fit(X)


def test_checkpoint_without_a_seed_keeps_its_own(tmp_path):
    X, _ = images()
    first = tiny(random_state=None, checkpoint=tmp_path / "run.pt").fit(X)
    assert_same_fit(tiny(random_state=None, checkpoint=tmp_path / "run.pt").fit(X), first)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.01}, r"lr was 0\.05, here it is 0\.01"),
        ({"random_state": 1}, "random_state was 0, here it is 1"),
        ({"module": "resnet18", "net_params": None}, "module was 'small', here it is 'resnet18'"),
        ({"n_pseudo_labels": 7}, r"n_pseudo_labels was \(6,\), here it is \(7,\)"),
    ],
)
def test_foreign_checkpoint(params, message, tmp_path):
    X, _ = images()
    path = tmp_path / "run.pt"
    tiny(max_epochs=1, checkpoint=path).fit(X)
    with pytest.raises(ValueError, match=f"belongs to another run.*{message}"):
        tiny(checkpoint=path, **params).fit(X)


def test_checkpoint_of_other_images(tmp_path):
    X, _ = images()
    path = tmp_path / "run.pt"
    tiny(max_epochs=1, checkpoint=path).fit(X)
    with pytest.raises(ValueError, match=r"another run.*checksum of images"):
        tiny(checkpoint=path).fit(X[::-1])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        tiny(checkpoint=path).fit(X)


KILLED = """
    import os, signal, sys
    import numpy as np
    from sklearn_kmfeat import DeepClusterEstimator
    from skorch.callbacks import Callback

    class Kill(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.records_) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    X = np.load(sys.argv[1])
    DeepClusterEstimator(
        n_clusters=3, n_pseudo_labels=6, batch_size=16, max_epochs=4,
        net_params={"module__width": 4}, random_state=0, checkpoint=sys.argv[2],
        callbacks=[Kill()],
    ).fit(X)
"""


def test_a_killed_run_goes_on(tmp_path):
    X, _ = images()
    np.save(tmp_path / "X.npy", X)
    path = tmp_path / "run.pt"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "X.npy"), str(path)],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert len(torch.load(path, weights_only=True)["state"]["records"]) == 2
    assert_same_fit(tiny(max_epochs=4, checkpoint=path).fit(X), tiny(max_epochs=4).fit(X))


class Interrupt:
    """An augmentation at which the user loses patience."""

    def __init__(self, at):
        self.at = at
        self.n_calls = 0

    def __call__(self, batch):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return batch


def test_ctrl_c_keeps_the_last_whole_epoch():
    X, _ = images()
    whole = tiny(head="reset", augment=None, max_epochs=2).fit(X)
    # Three steps an epoch.
    with pytest.warns(ConvergenceWarning, match="state after 2 of 5 epochs"):
        stopped = tiny(head="reset", augment=Interrupt(8), max_epochs=5).fit(X)
    assert stopped.n_iter_ == 2
    assert_same_fit(stopped, whole)
    before = dict(vars(stopped))
    stopped.augment.n_calls = 6
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X)
    assert vars(stopped) == before


def test_skorch_callbacks_stop():
    from skorch.callbacks import EarlyStopping

    X, _ = images()
    stop = EarlyStopping(monitor="loss", patience=1, threshold=1e9, sink=lambda text: None)
    with pytest.warns(ConvergenceWarning, match="state after 2 of 9 epochs"):
        assert tiny(callbacks=[stop], max_epochs=9).fit(X).n_iter_ == 2


def test_progress(capsys):
    X, _ = images()
    tiny(verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "epoch 1/2 [##########..........] loss " in lines[0]
    assert "NMI" not in lines[0]
    assert "NMI" in lines[1]
    assert "0:00 left" in lines[1]


def test_callbacks_of_scikit_learn():
    from sklearn.callback import ScoringMonitor

    X, _ = images()
    estimator = tiny()
    monitor = ScoringMonitor(scoring=lambda est, X, y=None: len(set(est.predict(X))))
    estimator.set_callbacks(monitor)
    estimator.fit(X)


@pytest.mark.parametrize("head", HEADS)
def test_collapse_is_told(head):
    X = np.repeat(images(n=2)[0], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match="clusters are empty"):
        tiny(head=head, n_clusters=2, augment=None).fit(X)


@pytest.mark.filterwarnings("ignore:Epoch 1")
def test_fewer_clusters_than_asked():
    X = np.repeat(images(n=2)[0], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"Only [12] clusters came out of n_clusters=3"):
        estimator = tiny(augment=None, max_epochs=1).fit(X)
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)


def test_divergence_is_an_error():
    X, _ = images()
    with pytest.raises(ValueError, match=r"loss became (nan|inf) in epoch [123]: try a smaller lr"):
        tiny(module=own_factory, net_params=None, lr=1e20, max_epochs=3).fit(X)


def test_displays():
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


def test_photos():
    X, y = load_cifar10_sample(return_X_y=True)
    estimator = tiny(max_epochs=1).fit(X[:60], y[:60])
    assert estimator._seen == (32, 32, 3)
