"""Convolutional k-means as an estimator: windows, groups of channels, batches."""

import pickle

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state, get_tags

from naive import cut, encode, normalize, pool
from on_disk import OnDisk
from sklearn_kmfeat import ChannelConnections, ConvKMeans, KMeansFilterLearner, PatchExtractor
from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample

SMALL = {"n_filters": 5, "patch_size": 4, "n_windows": 600, "max_iter": 5, "random_state": 0}
GROUPS = np.array([[0, 2], [3, 1], [2, 3]])
PREPARATIONS = [
    (contrast, whiten_eps) for contrast in ("patch", "image", None) for whiten_eps in (0.1, None)
]
every_preparation = pytest.mark.parametrize(("contrast", "whiten_eps"), PREPARATIONS)


@pytest.fixture(scope="module")
def images():
    return load_cifar10_sample().images[:40]


@pytest.fixture(scope="module")
def maps(images):
    """Images with four channels."""
    return np.concatenate([images, 255 - images[..., :1]], axis=-1)[:, :16, :18]


def fitted(X, **params):
    return ConvKMeans(**(SMALL | params)).fit(X)


def same_fit(a, b):
    for name in ("cluster_centers_", "counts_", "offset_counts_", "filters_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.inertia_ == b.inertia_
    assert a.n_iter_ == b.n_iter_


# Windows


@every_preparation
@pytest.mark.parametrize(("init", "dtype"), [("sample", np.uint8), ("k-means++", np.float64)])
def test_windows_of_a_patch_are_spherical_kmeans(images, contrast, whiten_eps, init, dtype):
    X = images.astype(dtype)
    shared = {"n_filters": 8, "patch_size": (4, 5), "max_iter": 10, "n_init": 2, "init": init}
    shared |= {"contrast": contrast, "whiten_eps": whiten_eps, "random_state": 3}
    conv = ConvKMeans(n_windows=500, window_size=(4, 5), **shared).fit(X)
    coder = {"encoder": "soft_threshold", "alpha": 0.0, "pool": "max"}
    plain = KMeansFilterLearner(algorithm="spherical", n_patches=500, **shared, **coder).fit(X)
    np.testing.assert_array_equal(conv.cluster_centers_, plain.cluster_centers_)
    np.testing.assert_array_equal(conv.counts_, plain.counts_)
    np.testing.assert_array_equal(conv.transform(X), plain.transform(X))
    np.testing.assert_array_equal(conv.predict(X), plain.predict(X))
    assert (conv.inertia_, conv.n_iter_) == (plain.inertia_, plain.n_iter_)
    assert conv.offset_counts_.tolist() == [[500]]
    assert conv.window_size_ == (4, 5)
    for learner in (conv, plain):
        learner.partial_fit(X[:9])
    np.testing.assert_array_equal(conv.cluster_centers_, plain.cluster_centers_)
    assert conv.offset_counts_.tolist() == [[500 + 500]]


@pytest.mark.parametrize(
    ("patch_size", "window_size"),
    [(4, None), ((4, 3), (8, 3)), ((4, 5), (4, 7)), (1, 3), ((1, 4), (3, 9)), (4, (8, 4))],
)
@every_preparation
def test_the_algorithm_by_definition(images, patch_size, window_size, contrast, whiten_eps):
    """All windows of some images, from the preparation to the second coding."""
    X = images[:4, :9, :10] + np.random.RandomState(0).rand(4, 9, 10, 3)  # no two pixels equal
    learner = ConvKMeans(
        n_filters=3,
        patch_size=patch_size,
        window_size=window_size,
        n_windows=None,
        contrast=contrast,
        contrast_eps=20.0,
        whiten_eps=whiten_eps,
        max_iter=300,
        tol=1e-9,
        random_state=0,
    ).fit(X)
    patch = tuple(np.broadcast_to(patch_size, 2))
    if contrast == "image":
        X = normalize(X.reshape(4, -1), 20.0).reshape(X.shape)
    windows = cut(X, learner.window_size_, (1, 1))
    windows = windows.reshape(-1, *learner.window_size_, 3)
    raw = cut(windows, patch, (1, 1))
    down, across = raw.shape[1:3]
    if contrast == "patch":
        raw = normalize(raw, 20.0)
    rows = raw
    if whiten_eps is not None:
        centres = raw[:, (down - 1) // 2, (across - 1) // 2]
        np.testing.assert_allclose(learner.whitener_.mean_, centres.mean(0), atol=1e-9)
        values, vectors = np.linalg.eigh(np.cov(centres.T))
        whitening = vectors / np.sqrt(values.clip(0) + whiten_eps) @ vectors.T
        np.testing.assert_allclose(learner.whitener_.whitening_, whitening, atol=1e-7)
        rows = (raw - centres.mean(0)) @ whitening
    rows = rows.reshape(len(rows), down * across, -1)
    responses = (rows @ learner.cluster_centers_.T).reshape(len(rows), -1)
    best = np.abs(responses).argmax(1)
    offsets, labels = np.divmod(best, 3)
    gains = responses[np.arange(len(rows)), best]
    np.testing.assert_array_equal(learner.counts_, np.bincount(labels, minlength=3))
    counts = np.bincount(offsets, minlength=down * across).reshape(down, across)
    np.testing.assert_array_equal(learner.offset_counts_, counts)
    largest = (rows**2).sum(2).max(1)
    assert learner.inertia_ == pytest.approx((largest - gains**2).sum(), rel=1e-8)
    if learner.n_iter_ < 300:  # the filters stay where they are
        S = np.where(np.arange(3) == labels[:, None], gains[:, None], 0)
        D = S.T @ rows[np.arange(len(rows)), offsets] + learner.cluster_centers_
        D /= np.linalg.norm(D, axis=1, keepdims=True)
        np.testing.assert_allclose(learner.cluster_centers_, D, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "window"),
    [
        ({"patch_size": 6}, (12, 12)),
        ({"patch_size": (3, 5)}, (6, 10)),
        ({"patch_size": (10, 12)}, (16, 18)),
        ({"patch_size": (4, 12)}, (8, 18)),
        ({"patch_size": 16, "pool_grid": 1}, (16, 18)),
        ({"window_size": 7}, (7, 7)),
        ({"window_size": [16, 18]}, (16, 18)),
        ({"window_size": (4, 9)}, (4, 9)),
    ],
)
def test_size_of_windows(maps, params, window):
    learner = fitted(maps, **(params | {"n_windows": None, "max_iter": 2, "stride": 2}))
    assert learner.window_size_ == window
    height, width = np.broadcast_to(learner.patch_size, 2)
    assert learner.offset_counts_.shape == (window[0] - height + 1, window[1] - width + 1)
    places = ((16 - window[0]) // 2 + 1) * ((18 - window[1]) // 2 + 1)
    assert learner.offset_counts_.sum() == learner.counts_.sum() == 40 * places
    assert learner.counts_.min() > 0
    assert learner.filters_.shape == (5, height, width, 4)
    np.testing.assert_allclose(np.linalg.norm(learner.cluster_centers_, axis=1), 1, rtol=1e-5)


def test_windows_are_clipped_to_the_smallest_image(images):
    several = [images[0], images[1][:9], images[2][:, :7]]
    assert fitted(several, patch_size=6, n_windows=300).window_size_ == (9, 7)


def test_offsets_of_stationary_images_are_flat():
    X = np.random.RandomState(0).randn(60, 24, 24)
    learner = fitted(X, n_filters=16, n_windows=8000, max_iter=10)
    counts = learner.offset_counts_
    assert counts.shape == (5, 5)
    assert counts.sum() == 8000
    assert (counts > 0.3 * counts.mean()).all()
    assert (counts < 3 * counts.mean()).all()


@every_preparation
@pytest.mark.parametrize("init", ["sample", "k-means++", "energy"])
def test_filters_are_live_different_and_of_unit_length(images, contrast, whiten_eps, init):
    learner = fitted(images, n_filters=60, contrast=contrast, whiten_eps=whiten_eps, init=init)
    assert learner.counts_.min() > 0
    assert learner.counts_.sum() == 600
    assert len(np.unique(learner.cluster_centers_, axis=0)) == 60
    np.testing.assert_allclose(np.linalg.norm(learner.cluster_centers_, axis=1), 1, rtol=1e-5)


def test_more_starts_keep_the_least_inertia(images):
    every = {"n_windows": None, "stride": 8}
    alone = [fitted(images, **every, random_state=seed).inertia_ for seed in range(4)]
    best = fitted(images, **every, n_init=6)
    assert best.inertia_ <= alone[0]
    assert best.inertia_ < max(alone)


def test_runs_follow_each_other_and_the_best_is_kept(images):
    recorder = Recorder()
    learner = ConvKMeans(**SMALL, n_init=4, tol=0).set_callbacks(recorder).fit(images)
    last = [state.inertia_ for state in recorder.steps[4::5]]
    assert len(last) == 4
    assert learner.inertia_ <= min(last)


def test_starts_are_ranked_on_a_part_of_many_windows(images):
    grey = images[:, :, :, 0].repeat(4, axis=0)
    n_windows = 101_000
    params = {"n_windows": n_windows, "patch_size": 2, "window_size": 3, "max_iter": 2}
    recorder = Recorder()
    learner = ConvKMeans(n_filters=4, n_init=3, random_state=0, **params)
    learner.set_callbacks(recorder).fit(grey)
    assert learner.counts_.sum() == learner.offset_counts_.sum() == n_windows
    assert recorder.tasks.count("k-means") == 4  # three starts, and the best on all windows
    inertias = [step.inertia_ for step in recorder.steps]
    assert 1.5 < inertias[6] / min(inertias[:6]) < 2.5  # of twice as many windows


def test_tolerance_stops_early(images):
    runs = [fitted(images, max_iter=200, tol=tol).n_iter_ for tol in (0.2, 1e-2, 1e-4)]
    assert runs == sorted(runs)
    assert runs[0] < runs[-1] < 200


def test_a_shifted_pattern_needs_one_filter():
    """What the algorithm is for: spherical k-means needs a filter for each shift."""
    rng = np.random.RandomState(0)
    X = np.zeros((300, 12, 12))
    for image, (row, column) in zip(X, rng.randint(0, 7, size=(300, 2)), strict=True):
        image[row : row + 6, column : column + 6] = [0, -1, -1, 1, 1, 0]
    params = {"n_filters": 1, "patch_size": 6, "n_windows": None, "n_init": 8, "tol": 0}
    params |= {"contrast": None, "whiten_eps": None, "max_iter": 30, "random_state": 0}
    conv = ConvKMeans(**params).fit(X)
    plain = ConvKMeans(window_size=6, stride=3, **params).fit(X)
    pattern = X[0][np.abs(X[0]).any(1)][:, np.abs(X[0]).any(0)][0] / 24**0.5
    found = np.abs(conv.filters_[0, :, :, 0] @ np.array([0, *pattern, 0])).sum()
    assert found > 0.99
    assert conv.inertia_ < 1e-3 * plain.inertia_


def test_energy_starts_from_the_largest_patch_of_each_window():
    """A patch of 3 x 3 in each image is bright and off the middle; the rest is weak."""
    X = 1e-3 * np.random.RandomState(0).randn(50, 9, 9)
    for i, (row, column) in enumerate(np.random.RandomState(1).randint(0, 6, size=(50, 2))):
        X[i, row : row + 4, column : column + 4] += np.diag([1, 2, 3, 4]) if i % 2 else 1
    params = {"n_filters": 2, "patch_size": 4, "window_size": 9, "n_windows": None}
    params |= {"contrast": None, "whiten_eps": None, "max_iter": 1}
    learner = ConvKMeans(init="energy", random_state=0, **params).fit(X)
    assert learner.inertia_ < 1e-3 * ConvKMeans(random_state=0, **params).fit(X).inertia_
    assert sorted(learner.counts_) == [25, 25]


@pytest.mark.parametrize("window_size", [4, None])
def test_energy_with_groups_and_more_starts(maps, window_size):
    params = {"init": "energy", "n_init": 2, "window_size": window_size}
    grouped = fitted(maps, connections=GROUPS, **params)
    alone = fitted(maps[..., [0, 2]], **params)
    np.testing.assert_allclose(grouped.cluster_centers_[:5], alone.cluster_centers_, atol=1e-5)
    assert grouped.counts_.min() > 0
    grouped.partial_fit(maps)
    assert grouped.counts_.sum() == 2 * 3 * 600


def test_energy_is_for_filters_of_unit_length(images):
    with pytest.raises(ValueError, match="'init' parameter of KMeansFilterLearner"):
        KMeansFilterLearner(init="energy").fit(images)


# Groups of channels


def naive_features(learner, X, how=np.max):
    """Codes of each group computed from its part of the fitted attributes, side by side."""
    groups = [range(X.shape[-1])] if learner.connections_ is None else learner.connections_
    size = learner.n_filters
    X = X.astype(np.float64)
    grouped = learner.connections_ is not None
    codes = []
    for g, channels in enumerate(groups):
        whitener = learner.whitener_[g] if grouped and learner.whitener_ else learner.whitener_
        eps = (
            learner.contrast_eps_[g]
            if grouped and learner.contrast_eps_
            else (learner.contrast_eps_)
        )
        filters = learner.cluster_centers_[g * size : (g + 1) * size].astype(np.float64)
        filters = np.concatenate([filters, -filters]) if learner.split_sign else filters
        seen = X
        if learner.contrast == "image":
            seen = normalize(X.reshape(len(X), -1), eps).reshape(X.shape)
        rows = cut(seen[..., list(channels)], (4, 4), (1, 1))
        rows = normalize(rows, eps) if learner.contrast == "patch" else rows
        if whitener is not None:
            rows = (rows - whitener.mean_) @ whitener.whitening_
        codes.append(encode(rows, filters, learner.encoder, learner.alpha, learner.knn_fraction))
    down, across = codes[0].shape[1:3]
    halves = ([(0, (n + 1) // 2), ((n + 1) // 2, n)] for n in (down, across))
    return pool(np.concatenate(codes, -1), *halves, learner.pool).reshape(len(X), -1)


@every_preparation
@pytest.mark.parametrize("encoder", ["soft_threshold", "triangle", "hard", "knn"])
@pytest.mark.parametrize("connections", [None, GROUPS])
def test_features_are_those_of_the_groups(maps, contrast, whiten_eps, encoder, connections):
    learner = fitted(
        maps.astype(np.float64),
        contrast=contrast,
        whiten_eps=whiten_eps,
        encoder=encoder,
        connections=connections,
        pool="mean",
        split_sign=encoder != "hard",
        n_windows=200,
        max_iter=1,
    )
    few = maps[:2].astype(np.float64)
    np.testing.assert_allclose(learner.transform(few), naive_features(learner, few), atol=1e-7)


@every_preparation
def test_shapes_with_groups(maps, contrast, whiten_eps):
    learner = fitted(maps, connections=GROUPS, contrast=contrast, whiten_eps=whiten_eps)
    assert learner.cluster_centers_.shape == (15, 4 * 4 * 2)
    assert learner.filters_.shape == (15, 4, 4, 2)
    np.testing.assert_array_equal(learner.connections_, GROUPS)
    assert learner.counts_.shape == (15,)
    assert learner.counts_.min() > 0
    np.testing.assert_array_equal(learner.counts_.reshape(3, 5).sum(1), [600, 600, 600])
    assert learner.offset_counts_.shape == (3, 5, 5)
    np.testing.assert_array_equal(learner.offset_counts_.sum((1, 2)), [600, 600, 600])
    assert learner.transform(maps).shape == (40, 4 * 15)
    assert len(learner.get_feature_names_out()) == 60
    assert learner.set_params(output="maps").transform(maps).shape == (40, 13, 15, 15)
    if whiten_eps is None:
        assert learner.whitener_ is None
    else:
        assert [w.whitening_.shape for w in learner.whitener_] == [(32, 32)] * 3
    if contrast is None:
        assert learner.contrast_eps_ is None


@pytest.mark.parametrize("contrast", ["patch", None])
def test_the_first_group_is_a_fit_to_its_channels(maps, contrast):
    grouped = fitted(maps, connections=GROUPS, contrast=contrast)
    alone = fitted(maps[..., [0, 2]], contrast=contrast)
    np.testing.assert_allclose(grouped.cluster_centers_[:5], alone.cluster_centers_, atol=1e-5)
    np.testing.assert_array_equal(grouped.counts_[:5], alone.counts_)
    np.testing.assert_array_equal(grouped.offset_counts_[0], alone.offset_counts_)


def test_one_group_of_all_channels_is_no_group(maps):
    grouped = fitted(maps, connections=[[0, 1, 2, 3]])
    alone = fitted(maps)
    np.testing.assert_array_equal(grouped.cluster_centers_, alone.cluster_centers_)
    np.testing.assert_array_equal(grouped.transform(maps), alone.transform(maps))
    assert grouped.inertia_ == alone.inertia_
    assert grouped.offset_counts_.shape == (1, 5, 5)
    assert alone.connections_ is None


@pytest.mark.parametrize("form", [list, tuple, np.uint8, np.int32, torch.tensor])
def test_connections_in_any_form(maps, form):
    connections = GROUPS.astype(form) if form in (np.uint8, np.int32) else form(GROUPS.tolist())
    found = fitted(maps, connections=connections)
    assert found.connections_.dtype == np.int64
    same_fit(found, fitted(maps, connections=GROUPS))


@pytest.mark.parametrize("window_size", [None, 4])
def test_nearest_filter_of_each_group(maps, window_size):
    X = maps[:6].astype(np.float64)
    learner = fitted(X, connections=GROUPS, window_size=window_size)
    labels = learner.predict(X)
    assert labels.shape == (6, 13, 15, 3)
    assert labels.dtype == np.int64
    for g, channels in enumerate(GROUPS):
        rows = normalize(cut(X[..., channels], (4, 4), (1, 1)), learner.contrast_eps_[g])
        rows = (rows - learner.whitener_[g].mean_) @ learner.whitener_[g].whitening_
        filters = learner.cluster_centers_[5 * g : 5 * g + 5]
        nearest = (rows @ filters.T).argmax(-1)  # of unit length
        np.testing.assert_array_equal(labels[..., g], nearest + 5 * g)


def test_predict_without_groups(maps):
    learner = fitted(maps)
    assert learner.predict(maps).shape == (40, 13, 15)
    hard = clone(learner).set_params(encoder="hard", output="maps").fit(maps).transform(maps)
    np.testing.assert_array_equal(learner.predict(maps), hard.argmax(-1))


class Chooser(BaseEstimator):
    """Two random pairs of channels; notes what it is given."""

    calls = []

    def __init__(self, random_state=None, n_pairs=2):
        self.random_state = random_state
        self.n_pairs = n_pairs

    def fit(self, X, y=None):
        self.calls.append({"chooser": self, "X": X, "y": y, "random_state": self.random_state})
        rng = check_random_state(self.random_state)
        self.connections_ = np.array([rng.permutation(4)[:2] for _ in range(self.n_pairs)])
        return self


class Fixed(BaseEstimator):
    """Knows nothing of random states."""

    def fit(self, X, y=None):
        self.connections_ = [[3, 0]]
        return self


class TestConnectionsEstimator:
    @pytest.fixture(autouse=True)
    def calls(self):
        Chooser.calls.clear()
        return Chooser.calls

    def test_is_cloned_and_given_images_and_labels(self, maps, calls):
        chooser, y = Chooser(), np.arange(40) % 3
        learner = ConvKMeans(**SMALL, connections=chooser).fit(maps, y)
        assert learner.connections is chooser
        assert not hasattr(chooser, "connections_")
        assert chooser.random_state is None
        assert calls[0]["chooser"] is not chooser
        assert calls[0]["X"] is maps
        assert calls[0]["y"] is y
        assert learner.connections_.shape == (2, 2)
        assert learner.connections_.dtype == np.int64

    def test_labels_pass_through_a_pipeline(self, maps, calls):
        y = np.arange(40) % 3
        first = ConvKMeans(**SMALL, output="maps", pool_size=2)
        pipeline = make_pipeline(first, ConvKMeans(**(SMALL | {"connections": Chooser()})))
        rows = pipeline.fit_transform(maps, y)
        assert rows.shape == (40, 2 * 5 * 4)
        assert calls[0]["y"] is y

    def test_random_state_follows_the_learners(self, maps, calls):
        for seed in (0, 0, 1):
            ConvKMeans(**(SMALL | {"random_state": seed}), connections=Chooser()).fit(maps)
        first, again, other = (call["random_state"] for call in calls)
        assert isinstance(first, int)
        assert first == again != other

    def test_own_random_state_is_kept(self, maps, calls):
        learners = [
            ConvKMeans(**(SMALL | {"random_state": s}), connections=Chooser(7)).fit(maps)
            for s in (0, 1)
        ]
        assert [call["random_state"] for call in calls] == [7, 7]
        np.testing.assert_array_equal(*[learner.connections_ for learner in learners])

    def test_needs_no_random_state(self, maps):
        learner = ConvKMeans(**SMALL, connections=Fixed()).fit(maps)
        assert learner.connections_.tolist() == [[3, 0]]
        assert learner.transform(maps).shape == (40, 20)

    def test_the_learners_image_shape_is_handed_on(self, maps):
        class Shaped(Fixed):
            def __init__(self, image_shape=None, device=None):
                self.image_shape = image_shape
                self.device = device

            def fit(self, X, y=None):
                shapes.append((self.image_shape, self.device))
                return super().fit(X, y)

        shapes = []
        params = {"image_shape": (16, 18, 4), "device": "cpu"}
        rows = maps.reshape(40, -1)
        ConvKMeans(**SMALL, **params, connections=Shaped()).fit(rows)
        ConvKMeans(**SMALL, **params, connections=Shaped((8, 8, 18), "auto")).fit(rows)
        assert shapes == [((16, 18, 4), "cpu"), ((8, 8, 18), "auto")]

    def test_parameters_can_be_searched(self, maps):
        learner = ConvKMeans(**SMALL, connections=Chooser(0))
        learner.set_params(connections__n_pairs=3).fit(maps)
        assert learner.connections_.shape == (3, 2)
        assert clone(learner).get_params()["connections__n_pairs"] == 3

    def test_is_asked_once_for_a_stream(self, maps, calls):
        learner = ConvKMeans(**SMALL, connections=Chooser())
        learner.partial_fit(maps[:20])
        found = learner.connections_
        learner.partial_fit(maps[20:])
        np.testing.assert_array_equal(learner.connections_, found)
        assert len(calls) == 1

    def test_a_stream_hands_on_labels(self, maps, calls):
        y = np.arange(40) % 3
        ConvKMeans(**SMALL, connections=Chooser()).partial_fit(maps, y)
        assert calls[0]["y"] is y

    def test_what_it_finds_is_checked(self, maps):
        class Wrong(Fixed):
            def fit(self, X, y=None):
                self.connections_ = np.array([[0, 9]])
                return self

        with pytest.raises(ValueError, match=r"connections name channel 9, but .* 4 channels"):
            ConvKMeans(**SMALL, connections=Wrong()).fit(maps)


def test_the_chooser_is_kept(maps):
    y = np.arange(40) % 2
    chooser = ChannelConnections(2, 2, method="supervised", max_epochs=1)
    learner = ConvKMeans(**SMALL, connections=chooser)
    assert get_tags(learner).target_tags.required
    assert not get_tags(ConvKMeans(connections=GROUPS)).target_tags.required
    learner.fit(maps, y)
    assert learner.chooser_.weights_.shape == (2, 2, 4)
    np.testing.assert_array_equal(learner.chooser_.connections_, learner.connections_)
    assert ConvKMeans(**SMALL, connections=GROUPS).fit(maps).chooser_ is None


def test_connections_survive_clone_and_print(maps):
    learner = ConvKMeans(**SMALL, connections=GROUPS)
    again = clone(learner)
    np.testing.assert_array_equal(again.connections, GROUPS)
    assert again.connections is not GROUPS
    assert "connections" in repr(learner)
    same_fit(again.fit(maps), learner.fit(maps))
    assert "ConvKMeans" in learner._repr_html_()


# Bad input


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({"window_size": 17}, None, r"window_size=\(17, 17\) is larger than an image of .*16, 18"),
        (
            {"window_size": 12},
            lambda X: [X[0], X[1][:11]],
            r"window_size=\(12, 12\) is larger than an image of size \(11, 18\) \(image 1 of the",
        ),
        ({"patch_size": 17}, None, r"patch_size=\(17, 17\) is larger than an image"),
        ({"window_size": 3}, None, r"window_size=\(3, 3\) is smaller than patch_size=\(4, 4\)"),
        ({"window_size": (9, 3)}, None, r"window_size=\(9, 3\) is smaller than patch_size=\(4, 4"),
        ({"window_size": (9, 9, 9)}, None, r"window_size must be a positive int or two of them"),
        ({"window_size": 0}, None, r"The 'window_size' parameter of ConvKMeans must be"),
        ({"n_windows": 0}, None, r"The 'n_windows' parameter of ConvKMeans must be"),
        ({"n_windows": 4}, None, r"n_filters=5 needs at least as many windows, but .* only 4\."),
        (
            {"n_windows": None},
            lambda X: X[:4, :8, :8],
            r"n_filters=5 needs at least as many windows, but n_samples=4 images gave only 4",
        ),
        ({"connections": [[0, 4]]}, None, r"connections name channel 4, but .* 4 channels, 0 to 3"),
        ({"connections": [[0, 1], [-1, 2]]}, None, r"connections name channel -1, but the images"),
        ({"connections": [0, 1]}, None, r"\(n_groups, group_size\), got int64 of shape \(2,\)"),
        ({"connections": np.zeros((0, 2), int)}, None, r"got int64 of shape \(0, 2\)"),
        ({"connections": np.zeros((2, 0), int)}, None, r"got int64 of shape \(2, 0\)"),
        ({"connections": [[0.0, 1.0]]}, None, r"must be integers of shape .* got float64"),
        ({"connections": [[True, False]]}, None, r"must be integers of shape .* got bool"),
        ({"connections": [["0", "1"]]}, None, r"must be integers of shape .* got <U1"),
        ({"connections": [[0, 1], [2, 2]]}, None, r"name a channel twice in group 1: \[2, 2\]"),
        (
            {"connections": PatchExtractor(patch_size=2)},
            None,
            r"that fits connections_.* got PatchExtractor",
        ),
        ({"connections": "correlation"}, None, r"The 'connections' parameter of ConvKMeans"),
        (
            {"connections": [[0]]},
            lambda X: X[..., 0],
            r"connections choose among the channels .* one channel: use connections=None",
        ),
        (
            {"connections": Chooser(0)},
            lambda X: X[..., :1],
            r"connections choose among the channels .* one channel: use connections=None",
        ),
        ({"contrast": "window"}, None, r"The 'contrast' parameter of ConvKMeans must be"),
        ({}, lambda X: X[:0], r"0 sample\(s\)"),
        ({}, lambda X: np.where(X.max() == X, np.nan, X), "contains NaN"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_input(maps, params, change, message, method):
    X = maps if change is None else change(maps)
    learner = ConvKMeans(**(SMALL | params))
    with pytest.raises(ValueError, match=message):
        getattr(learner, method)(X)
    assert not [name for name in vars(learner) if name.endswith("_")]


def test_groups_of_different_sizes_are_refused(maps):
    with pytest.raises(ValueError, match="connections must name as many channels in every group"):
        ConvKMeans(**SMALL, connections=[[0, 1], [2]]).fit(maps)


def test_fewer_different_windows_than_filters(maps):
    X = np.repeat(maps[:3, :8, :8], 10, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"Only \d different filters .* of n_filters=5"):
        learner = ConvKMeans(**SMALL).fit(X)
    assert learner.counts_.sum() == 30
    assert len(learner.counts_) <= 3
    assert learner.transform(X).shape == (30, 4 * len(learner.counts_))


def test_groups_may_have_different_numbers_of_filters(maps):
    X = maps.copy()
    X[..., :2] = 7
    connections = [[0, 1], [2, 3]]
    with pytest.warns(ConvergenceWarning, match=r"Only 1 .* the patches of some groups of channel"):
        learner = ConvKMeans(**SMALL, connections=connections).fit(X)
    assert learner.counts_.shape == (6,)
    assert learner.counts_[0] == 600
    assert learner.transform(X).shape == (40, 24)
    assert len(learner.get_feature_names_out()) == 24
    labels = learner.predict(X)
    assert (labels[..., 0] == 0).all()
    assert labels[..., 1].min() >= 1
    assert labels.max() <= 5
    assert learner.partial_fit(X).counts_.shape == (6,)
    with torch.no_grad():
        got = learner.to_torch()(torch.from_numpy(X).permute(0, 3, 1, 2))
    np.testing.assert_allclose(got, learner.transform(X), rtol=1e-5, atol=1e-5)


# Batches


@pytest.mark.parametrize("connections", [None, GROUPS])
@pytest.mark.parametrize("window_size", [None, 4, (8, 4)])
class TestPartialFit:
    def test_counts_add_up(self, maps, connections, window_size):
        learner = ConvKMeans(**SMALL, connections=connections, window_size=window_size)
        per_group = (-1,) if connections is None else (3, -1)
        for n_batches, batch in enumerate((maps[:20], maps[20:30], maps[30:]), 1):
            learner.partial_fit(batch)
            n = 600 * n_batches
            assert (learner.counts_.reshape(per_group).sum(-1) == n).all()
            assert (learner.offset_counts_.reshape(per_group).sum(-1) == n).all()
            norms = np.linalg.norm(learner.cluster_centers_, axis=1)
            np.testing.assert_allclose(norms, 1, rtol=1e-5)
        assert np.isfinite(learner.transform(maps)).all()

    def test_the_first_batch_is_nearly_a_fit(self, maps, connections, window_size):
        params = {"connections": connections, "window_size": window_size, "max_iter": 30}
        stream = ConvKMeans(**(SMALL | params)).partial_fit(maps)
        whole = fitted(maps, **params)
        same = (stream.cluster_centers_ * whole.cluster_centers_).sum(1)
        assert same.min() > 0.98
        np.testing.assert_array_equal(stream.counts_, whole.counts_)
        np.testing.assert_array_equal(stream.offset_counts_, whole.offset_counts_)

    def test_goes_on_after_fit(self, maps, connections, window_size):
        learner = fitted(maps, connections=connections, window_size=window_size)
        seen, offsets = learner.counts_.sum(), learner.offset_counts_.sum()
        before = learner.cluster_centers_
        learner.partial_fit(maps[:10])
        assert learner.counts_.sum() > seen
        assert learner.offset_counts_.sum() - offsets == learner.counts_.sum() - seen
        assert learner.connections_ is None or (learner.connections_ == GROUPS).all()
        assert (learner.cluster_centers_ * before).sum(1).min() > 0.5
        assert learner.fit(maps).counts_.sum() == seen


@pytest.mark.parametrize("whiten_eps", [None, 0.5])
@pytest.mark.parametrize("window_size", [None, (8, 4)])
def test_whitening_of_a_stream_is_that_of_all_windows(maps, whiten_eps, window_size):
    params = {"n_windows": None, "stride": 3, "contrast_eps": 10.0, "whiten_eps": whiten_eps}
    params |= {"connections": GROUPS, "window_size": window_size}
    whole = fitted(maps, **params)
    stream = ConvKMeans(**(SMALL | params))
    for batch in (maps[:20], maps[20:35], maps[35:]):
        stream.partial_fit(batch)
    assert whole.counts_.sum() == stream.counts_.sum()
    for a, b in zip(whole.whitener_ or [], stream.whitener_ or [], strict=True):
        np.testing.assert_allclose(a.mean_, b.mean_, atol=1e-6)
        np.testing.assert_allclose(a.whitening_, b.whitening_, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_size": 5}, r"window_size was None in fit and is \(5, 5\) now: call fit again"),
        (
            {"connections": [[0, 1]]},
            r"connections was None in fit and is \[\[0, 1\]\] now: call fit again",
        ),
        ({"patch_size": 3}, r"patch_size was \(4, 4\) in fit and is \(3, 3\) now: call fit again"),
        ({"n_filters": 4}, r"n_filters was 5 in fit and is 4 now: call fit again"),
        ({"contrast": None}, r"contrast was 'patch' in fit and is None now: call fit again"),
        ({"whiten_eps": None}, r"whitening was True in fit and is False now: call fit again"),
    ],
)
def test_parameters_that_filters_cannot_follow(maps, change, message):
    learner = ConvKMeans(**SMALL).partial_fit(maps).set_params(**change)
    with pytest.raises(ValueError, match=message):
        learner.partial_fit(maps)


def test_other_connections_are_refused_in_a_stream(maps):
    learner = ConvKMeans(**SMALL, connections=GROUPS).partial_fit(maps)
    learner.partial_fit(maps)
    with pytest.raises(ValueError, match=r"connections was .* call fit again"):
        learner.set_params(connections=GROUPS[::-1].copy()).partial_fit(maps)
    chooser = ChannelConnections(2, 2, method="random")
    learner = ConvKMeans(**SMALL, connections=chooser).partial_fit(maps).partial_fit(maps)
    with pytest.raises(ValueError, match=r"connections__\w+ was .* call fit again"):
        learner.set_params(connections__n_groups=3).partial_fit(maps)


@pytest.mark.parametrize("connections", [None, GROUPS])
def test_inertia_means_the_same_in_a_stream(maps, connections):
    # All windows are drawn, and nothing moves any more.
    params = SMALL | {"n_windows": None, "max_iter": 100, "tol": 0}
    whole = ConvKMeans(**params, connections=connections).fit(maps)
    stream = ConvKMeans(**params, connections=connections).partial_fit(maps)
    assert stream.inertia_ == pytest.approx(whole.inertia_, rel=1e-3)


def test_a_stream_of_smaller_images_is_refused(maps):
    learner = ConvKMeans(**SMALL).partial_fit(list(maps))
    with pytest.raises(ValueError, match=r"window_size=\(8, 8\) is larger than .*\(7, 18\)"):
        learner.partial_fit([maps[0], maps[1][:7]])


# Torch


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@every_preparation
@pytest.mark.parametrize("encoder", ["soft_threshold", "triangle", "hard", "knn"])
@pytest.mark.parametrize("connections", [None, GROUPS])
@pytest.mark.parametrize("split_sign", [False, True])
def test_to_torch(maps, contrast, whiten_eps, encoder, connections, split_sign):
    learner = fitted(
        maps.astype(np.float64),
        connections=connections,
        contrast=contrast,
        whiten_eps=whiten_eps,
        encoder=encoder,
        split_sign=split_sign,
        n_windows=200,
        max_iter=1,
    )
    few = maps[:2].astype(np.float64)
    tensor = torch.from_numpy(few).permute(0, 3, 1, 2)
    with torch.no_grad():
        close(learner.to_torch()(tensor), learner.transform(few))
        learner.set_params(output="maps", pool_size=2)
        close(learner.to_torch()(tensor).permute(0, 2, 3, 1), learner.transform(few))


@pytest.mark.parametrize("connections", [None, GROUPS])
@pytest.mark.parametrize("encoder", ["soft_threshold", "triangle"])
def test_to_torch_can_be_trained(maps, connections, encoder):
    learner = fitted(maps, connections=connections, encoder=encoder, pool="mean")
    module = learner.to_torch()
    tensor = torch.from_numpy(maps[:4]).permute(0, 3, 1, 2).float().requires_grad_()
    module(tensor).square().mean().backward()
    assert module.filters.shape == learner.cluster_centers_.shape
    assert torch.isfinite(module.filters.grad).all()
    assert (module.filters.grad.abs().sum(1) > 0).all()
    assert torch.isfinite(tensor.grad).all()
    seen = np.unique(GROUPS) if connections is not None else np.arange(4)
    assert (tensor.grad.abs().sum((0, 2, 3)) > 0)[seen].all()
    before = learner.cluster_centers_.copy()
    with torch.no_grad():
        module.filters.zero_()
    np.testing.assert_array_equal(learner.cluster_centers_, before)


# Forms of input


@pytest.mark.parametrize("connections", [None, GROUPS])
class TestForms:
    def test_on_disk(self, maps, connections, tmp_path):
        expected = fitted(maps, connections=connections)
        np.save(tmp_path / "maps.npy", maps)
        for X in (np.load(tmp_path / "maps.npy", mmap_mode="r"), OnDisk(maps)):
            learner = fitted(X, connections=connections)
            same_fit(learner, expected)
            np.testing.assert_array_equal(learner.transform(X), expected.transform(maps))

    def test_lists(self, maps, connections):
        several = [maps[0], maps[1][:9], maps[2][:, :8], *maps[3:20]]
        learner = fitted(several, connections=connections)
        assert learner.window_size_ == (8, 8)
        assert learner.image_shape_ == (None, None, 4)
        assert learner.counts_.min() > 0
        one_by_one = [learner.transform([image]) for image in several]
        np.testing.assert_allclose(
            learner.transform(several), np.concatenate(one_by_one), rtol=1e-5, atol=1e-5
        )
        more = () if connections is None else (3,)
        labels = learner.predict(several)
        assert [found.shape for found in labels[:3]] == [
            (13, 15, *more),
            (6, 15, *more),
            (13, 5, *more),
        ]
        np.testing.assert_array_equal(labels[2], learner.predict([several[2]])[0])

    def test_flattened(self, maps, connections):
        rows = maps.reshape(40, -1)
        learner = fitted(rows, connections=connections, image_shape=(16, 18, 4))
        expected = fitted(maps, connections=connections)
        same_fit(learner, expected)
        np.testing.assert_array_equal(learner.transform(rows), expected.transform(maps))

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
    def test_dtypes_and_the_callers_array(self, maps, connections, dtype):
        X = maps.astype(dtype)
        X.flags.writeable = False
        before = X.copy()
        learner = fitted(X, connections=connections)
        learner.partial_fit(X)
        result = learner.transform(X)
        np.testing.assert_array_equal(X, before)
        expected = np.float64 if dtype is np.float64 else np.float32
        assert result.dtype == learner.cluster_centers_.dtype == expected

    def test_another_process_gives_the_same(self, maps, connections, tmp_path):
        learner = fitted(maps, connections=connections)
        joblib.dump(learner, tmp_path / "learner.joblib")
        restored = joblib.load(tmp_path / "learner.joblib")
        np.testing.assert_array_equal(restored.transform(maps), learner.transform(maps))
        same_fit(restored.partial_fit(maps), learner.partial_fit(maps))

    def test_refit_does_not_depend_on_what_ran_before(self, maps, connections):
        learner = fitted(maps, connections=connections)
        expected = clone(learner).fit(maps)
        learner.partial_fit(maps[:5])
        learner.fit(maps[:20, :12])
        torch.rand(3), np.random.rand()  # noqa: NPY002
        same_fit(learner.fit(maps), expected)

    def test_global_generators_are_left_alone(self, maps, connections):
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        fitted(maps, connections=connections, n_init=2).partial_fit(maps).transform(maps)
        np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])

    def test_any_threads_and_memory(self, maps, connections):
        import sklearn

        learner = fitted(maps, connections=connections)
        expected = learner.transform(maps)
        with sklearn.config_context(working_memory=0.05):
            got = learner.transform(maps)
            np.testing.assert_array_equal(learner.predict(maps), fitted_labels(learner, maps))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * expected.max())


def fitted_labels(learner, X):
    return np.concatenate([learner.predict(X[i : i + 7]) for i in range(0, len(X), 7)])


def test_pixel_range_changes_nothing(maps):
    unit = fitted(maps / np.float64(255), connections=GROUPS)
    learner = fitted(maps.astype(np.float64), connections=GROUPS)
    np.testing.assert_allclose(np.array(unit.contrast_eps_) * 255**2, learner.contrast_eps_)
    np.testing.assert_allclose(unit.cluster_centers_, learner.cluster_centers_, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1e6, 1e8])
def test_flat_patches_do_not_win_at_any_scale(scale):
    digits = load_mnist_sample().images[:60].astype(np.float32)
    params = SMALL | {"patch_size": 5, "n_windows": 300}
    unit = ConvKMeans(**params).fit(digits)
    scaled = ConvKMeans(**params).fit(digits * np.float32(scale))
    np.testing.assert_allclose(scaled.cluster_centers_, unit.cluster_centers_, atol=1e-3)
    np.testing.assert_array_equal(scaled.offset_counts_, unit.offset_counts_)


def test_ready_patches_are_windows_of_their_own():
    rows = np.random.RandomState(0).randn(300, 12)
    learner = fitted(rows, n_windows=None)
    plain = KMeansFilterLearner(
        n_filters=5, patch_size=4, algorithm="spherical", max_iter=5, random_state=0, n_patches=None
    ).fit(rows)
    np.testing.assert_array_equal(learner.cluster_centers_, plain.cluster_centers_)
    assert learner.offset_counts_.tolist() == [[300]]
    assert learner.image_shape_ is None
    assert learner.transform(rows).shape == (300, 5)
    assert learner.predict(rows).shape == (300,)
    learner.partial_fit(rows[:100])
    assert learner.offset_counts_.tolist() == [[400]]


def test_groups_of_ready_values():
    rows = np.random.RandomState(0).randn(300, 4)
    learner = fitted(rows, connections=GROUPS, contrast=None)
    assert learner.cluster_centers_.shape == (15, 2)
    assert learner.filters_.shape == (15, 1, 1, 2)
    assert learner.transform(rows).shape == (300, 15)
    assert learner.predict(rows).shape == (300, 3)


def test_flattened_images_without_a_shape_warn():
    rows = np.random.RandomState(0).rand(50, 28 * 28)
    with pytest.warns(UserWarning, match=r"give ConvKMeans image_shape=\(28, 28\)"):
        ConvKMeans(**SMALL).fit(rows)


def test_maps_of_a_first_layer(images):
    first = ConvKMeans(**SMALL, output="maps", pool_size=3)
    second = ConvKMeans(**(SMALL | {"patch_size": 3}), connections=[[0, 1], [2, 4]])
    rows = make_pipeline(first, second).fit_transform(images)
    assert rows.shape == (40, 4 * 10)
    assert second.filters_.shape == (10, 3, 3, 2)
    assert second.window_size_ == (6, 6)


def test_to_torch_follows_no_changed_parameters(maps):
    learner = fitted(maps)
    for change, message in [
        ({"patch_size": (2, 8)}, r"patch_size was \(4, 4\) in fit"),
        ({"contrast": None}, r"contrast was 'patch' in fit"),
        ({"encoder": "bogus"}, r"The 'encoder' parameter"),
    ]:
        with pytest.raises(ValueError, match=message):
            clone_fitted(learner).set_params(**change).to_torch()


def clone_fitted(learner):
    return pickle.loads(pickle.dumps(learner))


@pytest.mark.parametrize("connections", [None, GROUPS])
def test_names_of_features(maps, connections):
    learner = fitted(maps, connections=connections, split_sign=True, pool_grid=3)
    names = learner.get_feature_names_out()
    assert len(names) == learner.transform(maps).shape[1]
    assert names[0] == "convkmeans0"
    frame = clone(learner).set_output(transform="pandas").fit_transform(maps)
    assert list(frame.columns) == list(names)


# Progress


class Recorder:
    """A callback that keeps what it is told."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.steps = []
        self.tasks = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.tasks.append(context.task_name)
        if context.task_name.endswith("k-means step"):
            self.steps.append(fitted_estimator)
        return self.stop_after is not None and len(self.steps) >= self.stop_after


def test_callbacks_see_every_iteration(maps):
    recorder = Recorder()
    learner = ConvKMeans(**(SMALL | {"tol": 0})).set_callbacks(recorder).fit(maps)
    assert len(recorder.steps) == learner.n_iter_ == 5
    assert [state.transform(maps[:3]).shape for state in recorder.steps] == [(3, 20)] * 5
    assert recorder.steps[0].inertia_ > recorder.steps[-1].inertia_


def test_callbacks_see_every_group(maps):
    recorder = Recorder()
    learner = ConvKMeans(**(SMALL | {"tol": 0}), connections=GROUPS).set_callbacks(recorder)
    learner.fit(maps)
    assert len(recorder.steps) == 3 * 5
    assert learner.n_iter_ == 5
    for i in range(1, 4):
        assert recorder.tasks.count(f"group {i}/3: k-means") == 1
    assert recorder.tasks.count("reading windows") == 1
    assert recorder.tasks[-1] == "fit"


def test_a_callback_can_stop(maps):
    learner = ConvKMeans(**SMALL, tol=0).set_callbacks(Recorder(stop_after=2)).fit(maps)
    assert learner.n_iter_ == 2


@pytest.mark.parametrize(("connections", "n_groups"), [(None, 1), (GROUPS, 3)])
def test_verbose(maps, connections, n_groups, capsys):
    learner = fitted(maps, connections=connections, verbose=1, tol=0)
    learner.transform(maps)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[ConvKMeans] reading windows 1/1"
    assert sum("reading windows" in line for line in lines) == 1
    prefix = "" if connections is None else "group 1/3: "
    assert lines[1].startswith(f"[ConvKMeans] {prefix}k-means 1/5, inertia")
    assert sum("k-means" in line and "inertia" in line for line in lines) == 5 * n_groups
    assert lines[-1] == "[ConvKMeans] encoded 40/40 images"


def test_interrupted_fit_leaves_no_trace(maps, monkeypatch):
    learner = fitted(maps, connections=GROUPS)
    before = dict(vars(learner))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_kmfeat._dictionary.learners.convolutional", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learner.fit(maps[:, :12])
    monkeypatch.setattr("sklearn_kmfeat._core.gain_shape.nearest_and_sums", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learner.partial_fit(maps)
    assert vars(learner).keys() == before.keys()
    assert all(vars(learner)[name] is before[name] for name in before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("connections", [None, GROUPS])
def test_cuda_agrees(maps, connections):
    learner = fitted(maps, connections=connections)
    fits = [fitted(maps, connections=connections, device="cuda") for _ in range(2)]
    same_fit(*fits)
    np.testing.assert_allclose(fits[0].cluster_centers_, learner.cluster_centers_, atol=1e-3)
    np.testing.assert_allclose(
        fits[0].transform(maps), learner.transform(maps), rtol=1e-3, atol=1e-2
    )


# Groups are cut in one pass


@pytest.mark.parametrize("stream", [False, True])
def test_every_image_is_read_once_for_all_groups(maps, stream):
    counted = OnDisk(maps)
    learner = fitted(counted, connections=GROUPS)
    assert counted.n_read == len(maps)
    if stream:
        counted.n_read = 0
        learner.partial_fit(counted)
        assert counted.n_read == len(maps)
    same_fit(fitted(maps, connections=GROUPS), fitted(counted, connections=GROUPS))


def test_more_passes_where_memory_is_short_give_the_same(maps):
    expected, counted = fitted(maps, connections=GROUPS), OnDisk(maps)
    with sklearn.config_context(working_memory=0.01):
        learner = fitted(counted, connections=GROUPS)
    assert counted.n_read == len(GROUPS) * len(maps)
    same_fit(learner, expected)


def test_all_groups_learn_from_the_same_windows(maps):
    learner = fitted(maps, connections=[[0, 1], [0, 1]], n_init=1)
    one, other = np.split(learner.whitener_[0].mean_, 1)[0], learner.whitener_[1].mean_
    np.testing.assert_array_equal(one, other)


# Connections in a stream


@pytest.mark.parametrize("method", ["random", "correlation"])
def test_a_stream_goes_on_after_a_pickle(maps, method):
    rng = np.random.RandomState(0)
    chooser = ChannelConnections(2, 2, method=method, random_state=rng)
    learner = ConvKMeans(**SMALL, connections=chooser).partial_fit(maps)
    again = pickle.loads(pickle.dumps(learner)).partial_fit(maps)
    assert again.counts_.sum() == 2 * learner.counts_.sum()
    with pytest.raises(ValueError, match="connections__group_size was 2 in fit and is 1 now"):
        again.set_params(connections__group_size=1).partial_fit(maps)


def test_equal_connections_in_another_container(maps):
    learner = ConvKMeans(**SMALL, connections=np.array(GROUPS)).partial_fit(maps)
    for same in (np.array(GROUPS).tolist(), tuple(map(tuple, np.array(GROUPS).tolist()))):
        learner.set_params(connections=same).partial_fit(maps)
