import pickle

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import get_tags

from sklearn_kmfeat import ConvKMeans
from sklearn_kmfeat._dictionary import channel_connections as connections
from sklearn_kmfeat._dictionary.channel_connections import ChannelConnections

METHODS = ["correlation", "random", "supervised"]
QUICK = {"max_epochs": 2, "batch_size": 16, "random_state": 0}


@pytest.fixture
def maps():
    return np.random.RandomState(0).rand(30, 6, 5, 8).astype(np.float32)


@pytest.fixture
def y():
    return np.arange(30) % 3


def chooser(method="correlation", n_groups=5, group_size=3, **parameters):
    return ChannelConnections(n_groups, group_size, method=method, **{**QUICK, **parameters})


def paired_maps(order, n=60):
    """Channels whose strength is common to pairs, (0, 1), (2, 3), ... before `order`."""
    rng = np.random.RandomState(1)
    strength = rng.rand(n, 7, 7, len(order) // 2)
    return (np.repeat(strength, 2, axis=3) * rng.randn(n, 7, 7, len(order)))[..., order]


def exclusive_or(n=1000, n_channels=12):
    """Maps whose class is whether channels 3 and 8 are bright or dark together."""
    rng = np.random.RandomState(0)
    maps = rng.randn(n, 5, 5, n_channels).astype(np.float32)
    signs = rng.choice([-1, 1], size=(n, 2))
    maps[..., 3] += signs[:, :1, None]
    maps[..., 8] += signs[:, 1:, None]
    return maps, signs.prod(1)


# All methods


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("n_groups", "group_size"), [(1, 1), (5, 3), (8, 1), (20, 2), (1, 8), (3, 8)]
)
def test_groups_hold_different_channels_in_order(method, n_groups, group_size, maps, y):
    estimator = chooser(method, n_groups, group_size, max_epochs=1)
    assert estimator.fit(maps, y) is estimator
    found = estimator.connections_
    assert found.shape == (n_groups, group_size)
    assert found.dtype == np.int64
    assert (np.diff(found, axis=1) > 0).all()
    assert found.min() >= 0
    assert found.max() < 8
    assert estimator.n_features_in_ == 240
    assert estimator.image_shape_ == (6, 5, 8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["u1", "i4", ">f4", "f4", "f8"])
def test_dtypes_and_read_only_arrays(method, dtype, maps, y):
    X = (200 * maps).astype(dtype)
    X.flags.writeable = False
    copy = X.copy()
    found = chooser(method).fit(X, y).connections_
    np.testing.assert_array_equal(X, copy)
    expected = chooser(method).fit(copy.astype(np.float32), y).connections_
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_all_forms_of_the_same_images(method, maps, y, tmp_path):
    expected = chooser(method).fit(maps, y).connections_
    np.save(tmp_path / "maps.npy", maps)
    mapped = np.load(tmp_path / "maps.npy", mmap_mode="r")
    for X in (mapped, list(maps), tuple(maps)):
        np.testing.assert_array_equal(chooser(method).fit(X, y).connections_, expected)
    flat = chooser(method, image_shape=(6, 5, 8)).fit(maps.reshape(30, -1), y)
    np.testing.assert_array_equal(flat.connections_, expected)


@pytest.mark.parametrize("method", METHODS)
def test_any_batch_gives_the_same(method, maps, y):
    expected = chooser(method).fit(maps, y).connections_
    with sklearn.config_context(working_memory=1e-6):
        found = chooser(method).fit(maps, y).connections_
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_ready_patches_are_pixels(method, maps, y):
    pixels = maps[:, 0, 0]
    found = chooser(method).fit(pixels, y)
    assert found.image_shape_ is None
    expected = chooser(method).fit(pixels[:, None, None], y)
    np.testing.assert_array_equal(found.connections_, expected.connections_)


@pytest.mark.parametrize("method", METHODS)
def test_global_generators_are_neither_read_nor_changed(method, maps, y):
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        results.append(chooser(method).fit(maps, y))
        np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(results[0].connections_, results[1].connections_)
    if method == "supervised":
        np.testing.assert_array_equal(results[0].weights_, results[1].weights_)


@pytest.mark.parametrize("method", METHODS)
def test_seeds_matter_and_refits_do_not(method, maps, y):
    estimator = chooser(method)
    first = estimator.fit(maps, y).connections_
    np.testing.assert_array_equal(estimator.fit(maps, y).connections_, first)
    other = chooser(method, random_state=1).fit(maps, y).connections_
    assert not np.array_equal(other, first)


@pytest.mark.parametrize("method", METHODS)
def test_pickle_joblib_and_html(method, maps, y, tmp_path):
    estimator = chooser(method).fit(maps, y)
    assert "ChannelConnections" in estimator._repr_html_()
    dumped = pickle.dumps(estimator)
    assert len(dumped) < 10_000
    joblib.dump(estimator, tmp_path / "connections.joblib")
    for restored in (pickle.loads(dumped), joblib.load(tmp_path / "connections.joblib")):
        np.testing.assert_array_equal(restored.connections_, estimator.connections_)
    assert not hasattr(clone(estimator), "connections_")


@pytest.mark.parametrize("method", METHODS)
def test_another_fit_leaves_nothing_of_the_first(method, maps, y):
    fresh = chooser(method).fit(maps, y)
    for before in METHODS:
        refitted = chooser(before).fit(maps, y).set_params(method=method).fit(maps, y)
        assert set(vars(refitted)) == set(vars(fresh))


@pytest.mark.parametrize("method", METHODS)
def test_for_convolutional_kmeans(method, maps, y):
    learner = ConvKMeans(
        n_filters=2,
        patch_size=2,
        n_windows=200,
        max_iter=20,
        connections=ChannelConnections(3, 2, method=method, max_epochs=1),
        random_state=0,
    )
    learner.fit(maps, y)
    assert learner.connections_.shape == (3, 2)
    assert not hasattr(learner.connections, "connections_")


@pytest.mark.parametrize("method", METHODS)
def test_input_errors(method, maps, y):
    with pytest.raises(ValueError, match=r"group_size=9 is more than the 8 channels of X"):
        chooser(method, group_size=9).fit(maps, y)
    for n_groups, group_size in [(2, 1), (1, 2), (24, 4)]:
        with pytest.raises(ValueError, match=r"single channel .* nothing to group"):
            chooser(method, n_groups, group_size).fit(maps[..., 0], y)
    bad = maps.copy()
    bad[3, 2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        chooser(method).fit(bad, y)
    for name in ("n_groups", "group_size", "n_images", "n_locations", "max_epochs"):
        with pytest.raises(ValueError, match=name):
            chooser(method).set_params(**{name: 0}).fit(maps, y)
    with pytest.raises(ValueError, match="'method' parameter"):
        chooser("unsupervised").fit(maps, y)


@pytest.mark.parametrize("method", METHODS)
def test_one_group_of_one_channel(method, maps, y):
    found = chooser(method, 1, 1).fit(maps[..., 0], y).connections_
    np.testing.assert_array_equal(found, [[0]])


@pytest.mark.parametrize("method", METHODS)
def test_a_failed_fit_changes_nothing(method, maps, y):
    estimator = chooser(method).fit(maps, y)
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match="group_size"):
        estimator.fit(maps[..., :2], y)
    assert vars(estimator) == before


@pytest.mark.parametrize("method", METHODS)
def test_tags(method):
    tags = get_tags(chooser(method))
    assert tags.target_tags.required == (method == "supervised")
    assert tags.input_tags.three_d_array


# Random


def test_random_groups_use_every_channel_once_first(maps):
    found = chooser("random", 4, 2).fit(maps).connections_
    assert sorted(found.ravel()) == list(range(8))


# Correlation


@pytest.mark.parametrize("seed", range(3))
def test_partners_are_found(seed):
    order = np.random.RandomState(seed).permutation(10)
    X = paired_maps(order)
    estimator = chooser(n_groups=10, group_size=2, balanced=False, random_state=seed).fit(X)
    pairs = np.sort(order[estimator.connections_] // 2, axis=1)
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    assert sorted(estimator.seeds_) == list(range(10))
    partner = order[:, None] // 2 == order // 2
    others = estimator.similarities_[~partner]
    assert estimator.similarities_[partner].min() > 2 * others.max()


@pytest.mark.parametrize("seed", range(3))
def test_balanced_groups_use_every_channel(seed):
    order = np.random.RandomState(seed).permutation(10)
    X = paired_maps(order)
    found = chooser(n_groups=5, group_size=2, random_state=seed).fit(X)
    assert sorted(found.connections_.ravel()) == list(range(10))
    pairs = np.sort(order[found.connections_] // 2, axis=1)
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    more = chooser(n_groups=7, group_size=3, random_state=seed).fit(X)
    times = np.bincount(more.connections_.ravel(), minlength=10)
    assert set(times) == {2, 3}
    assert all(s in group for s, group in zip(more.seeds_, more.connections_, strict=True))


def test_permuted_channels_permute_the_similarities(maps):
    order = np.random.RandomState(0).permutation(8)
    whole = chooser().fit(maps)
    found = chooser().fit(maps[..., order])
    expected = whole.similarities_[order][:, order]
    np.testing.assert_allclose(found.similarities_, expected, atol=1e-8)


def test_locations_are_a_sample(maps):
    whole = chooser(n_locations=None).fit(maps)
    assert 30 * 6 * 5 < 100_000
    enough = chooser().fit(maps)
    np.testing.assert_array_equal(enough.similarities_, whole.similarities_)
    few = chooser(n_locations=45).fit(maps)
    assert not np.array_equal(few.similarities_, whole.similarities_)
    many = np.concatenate([maps] * 10)
    assert chooser(n_locations=20).fit(many).connections_.shape == (5, 3)


def test_images_of_different_sizes(maps):
    rng = np.random.RandomState(0)
    X = [rng.rand(*size, 8) for size in [(4, 5), (3, 3), (4, 5), (9, 2)]]
    pixels = np.concatenate([image.reshape(-1, 8) for image in X])
    found, expected = chooser().fit(X), chooser().fit(pixels)
    np.testing.assert_allclose(found.similarities_, expected.similarities_, atol=1e-12)
    assert found.image_shape_ == (None, None, 8)
    assert chooser("random").fit(X).connections_.shape == (5, 3)


def test_channels_that_do_not_vary_are_no_seeds(maps):
    maps[..., [0, 5]] = 0.3
    for balanced in (False, True):
        estimator = chooser(n_groups=12, group_size=2, balanced=balanced).fit(maps)
        assert not estimator.similarities_[[0, 5]].any()
        assert not np.isin(estimator.seeds_, [0, 5]).any()
        assert np.isfinite(estimator.similarities_).all()
    assert not np.isin(estimator.connections_, [0, 5]).any()


def test_nothing_varies():
    estimator = chooser().fit(np.ones((3, 4, 4, 8)))
    assert not estimator.similarities_.any()
    assert (np.diff(estimator.connections_, axis=1) > 0).all()


# Supervised


@pytest.mark.parametrize("seed", range(3))
def test_channels_that_matter_together_are_found(seed):
    X, y = exclusive_or()
    estimator = ChannelConnections(
        4, 2, method="supervised", max_epochs=15, batch_size=64, random_state=seed
    )
    found = estimator.fit(X, y).connections_
    # A random pair is this one once in 66.
    assert (found == [3, 8]).all(1).sum() >= 2
    assert estimator.accuracy_curve_[-1] > 0.95
    assert estimator.loss_curve_[-1] < 0.5 * estimator.loss_curve_[0]
    assert estimator.weights_.max(2).mean() > 0.5  # at first it is one in 12


def test_what_is_shown_of_the_net(maps, y):
    estimator = chooser("supervised", max_epochs=4).fit(maps, y)
    assert estimator.weights_.shape == (5, 3, 8)
    np.testing.assert_allclose(estimator.weights_.sum(2), 1, rtol=1e-5)
    assert len(estimator.loss_curve_) == len(estimator.accuracy_curve_) == 4
    strongest = estimator.weights_.argmax(2)
    for group, channels in zip(estimator.connections_, strongest, strict=True):
        if len(set(channels)) == 3:
            np.testing.assert_array_equal(group, np.sort(channels))


@pytest.mark.parametrize("names", [["b", "a", "c"], [10, -1, 7], [2.0, 0.0, 1.0]])
def test_labels_of_any_kind(maps, y, names):
    found = chooser("supervised").fit(maps, np.array(names)[y])
    ranks = np.argsort(np.argsort(names))
    expected = chooser("supervised").fit(maps, ranks[y])
    np.testing.assert_array_equal(found.weights_, expected.weights_)


def test_scale_and_offset_of_channels_do_not_matter(maps, y):
    expected = chooser("supervised").fit(maps.astype(np.float64), y)
    found = chooser("supervised").fit(maps * np.logspace(-3, 3, 8) - 5.0, y)
    np.testing.assert_allclose(found.weights_, expected.weights_, atol=1e-3)


def test_images_to_learn_from_are_drawn_evenly_over_the_classes(maps, monkeypatch):
    y = np.repeat([0, 1, 2], [20, 7, 3])
    seen = []

    def spy(images, members):
        seen.append(np.bincount(y[members]))
        return original(images, members)

    original = connections._standardized
    monkeypatch.setattr(connections, "_standardized", spy)
    for n_images in (None, 100, 9, 15):
        chooser("supervised", n_images=n_images).fit(maps, y)
    np.testing.assert_array_equal(seen, [[20, 7, 3], [20, 7, 3], [3, 3, 3], [6, 6, 3]])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 4), (4, 4)])
def test_small_maps(size, y):
    X = np.random.RandomState(0).rand(30, *size, 8)
    assert chooser("supervised").fit(X, y).connections_.shape == (5, 3)


def test_a_constant_channel_does_no_harm(maps, y):
    maps[..., 2] = 0.1
    estimator = chooser("supervised").fit(maps, y)
    assert np.isfinite(estimator.weights_).all()


def test_label_errors(maps, y):
    estimator = chooser("supervised")
    with pytest.raises(ValueError, match=r"learns from labels.*but the target y is None"):
        estimator.fit(maps)
    with pytest.raises(ValueError, match=r"X holds 30 images, but y has 29 labels"):
        estimator.fit(maps, y[:-1])
    with pytest.raises(ValueError, match=r"at least two classes, but y has 1 class: 4"):
        estimator.fit(maps, np.full(30, 4))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        estimator.fit(maps, y + 0.5)
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(maps, np.where(y == 2, np.nan, y))
    with pytest.raises(ValueError, match=r"images of one size.*2 sizes.*\(5, 5\).*\(6, 5\)"):
        estimator.fit([maps[0], maps[1, 1:], maps[2]], y[:3])
    with pytest.warns(DataConversionWarning):
        estimator.fit(maps, y[:, None])


def test_other_methods_ignore_y(maps, y):
    for method in ("correlation", "random"):
        expected = chooser(method).fit(maps).connections_
        np.testing.assert_array_equal(chooser(method).fit(maps, y[:4]).connections_, expected)


def test_verbose(maps, y, capsys):
    chooser("supervised").fit(maps, y)
    assert capsys.readouterr().out == ""
    chooser("supervised", verbose=1).fit(maps, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("[ChannelConnections] epoch 1/2, loss ")


def test_a_net_that_diverges(maps, y):
    with pytest.raises(ValueError, match=r"diverged: .* learning_rate=1e\+30 is too large"):
        chooser("supervised", learning_rate=1e30).fit(maps, y)


def test_fewer_images_than_classes(maps, y):
    with pytest.raises(ValueError, match=r"n_images=2 images cannot show all of the 3 classes"):
        chooser("supervised", n_images=2).fit(maps, y)
