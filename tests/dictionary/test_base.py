"""What every learner does: invariants, errors, pipelines, progress, memory."""

import linecache
import subprocess
import sys

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from on_disk import OnDisk
from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ConvKMeans,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)
from sklearn_kmfeat.datasets import load_cifar10_sample

ENCODERS = ["hard", "triangle", "soft_threshold", "knn"]


@pytest.fixture(scope="module")
def images():
    return load_cifar10_sample().images[:60]


@pytest.fixture(scope="module")
def learner(images):
    return KMeansFilterLearner(n_filters=32, n_patches=6000, random_state=0).fit(images)


def variant(learner, images, **params):
    """The same dictionary under other parameters of the encoder."""
    other = clone(learner).set_params(**params)
    fitted = set(vars(learner)) - set(learner.get_params())
    vars(other).update({name: vars(learner)[name] for name in fitted})
    return other


class TestInvariants:
    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_brightness(self, learner, images, encoder):
        coder = variant(learner, images, encoder=encoder)
        dark = images.astype(np.float32)
        np.testing.assert_allclose(coder.transform(dark + 50), coder.transform(dark), atol=2e-3)

    def test_pixel_range(self, learner, images):
        unit = clone(learner).fit(images / np.float32(255))
        assert unit.contrast_eps_ == pytest.approx(learner.contrast_eps_ / 255**2, rel=1e-4)
        np.testing.assert_allclose(
            unit.transform(images / np.float32(255)),
            learner.transform(images),
            rtol=1e-3,
            atol=0.02,
        )

    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_permuted_filters(self, learner, images, encoder):
        coder = variant(learner, images, encoder=encoder)
        order = np.random.RandomState(0).permutation(32)
        permuted = variant(coder, images)
        permuted.cluster_centers_ = coder.cluster_centers_[order]
        expected = coder.transform(images).reshape(60, 4, 32)[:, :, order].reshape(60, -1)
        np.testing.assert_allclose(permuted.transform(images), expected, rtol=1e-5, atol=1e-4)

    @pytest.mark.parametrize("encoder", ENCODERS)
    @pytest.mark.parametrize("memory", [0.05, 0.5, 4])
    def test_memory_budget_and_threads(self, learner, images, encoder, memory):
        coder = variant(learner, images, encoder=encoder)
        expected = coder.transform(images)
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(3)
            with sklearn.config_context(working_memory=memory):
                got = coder.transform(images)
        finally:
            torch.set_num_threads(threads)
        # Of two filters as near, rounding may choose the other one.
        differ = ~np.isclose(got, expected, rtol=1e-5, atol=3e-5 * expected.max())
        assert differ.mean() <= (1e-3 if encoder in ("hard", "knn") else 0)
        assert np.abs(got - expected).max() <= 1

    @pytest.mark.parametrize("pool", ["sum", "max"])
    def test_cells_make_up_the_whole(self, learner, images, pool):
        cells = variant(learner, images, pool=pool, pool_grid=(3, 2)).transform(images)
        whole = variant(learner, images, pool=pool, pool_grid=1).transform(images)
        reduce = {"sum": np.sum, "max": np.max}[pool]
        np.testing.assert_allclose(reduce(cells.reshape(60, 6, 32), axis=1), whole, rtol=1e-5)

    def test_maps_pool_to_features(self, learner, images):
        maps = variant(learner, images, output="maps").transform(images)
        assert maps.shape == (60, 27, 27, 32)
        features = learner.transform(images).reshape(60, 2, 2, 32)
        np.testing.assert_allclose(maps[:, :14, 14:].sum((1, 2)), features[:, 0, 1], rtol=1e-4)
        windows = variant(learner, images, output="maps", pool="max", pool_size=4).transform(images)
        assert windows.shape == (60, 7, 7, 32)
        np.testing.assert_array_equal(windows[:, 6, 0], maps[:, 24:, :4].max((1, 2)))

    def test_codes(self, learner, images):
        hard = variant(learner, images, encoder="hard").transform(images)
        np.testing.assert_array_equal(hard.sum(axis=1), 27 * 27)
        nearest = variant(learner, images, output="maps", encoder="knn", knn_fraction=0.25)
        np.testing.assert_array_equal(nearest.transform(images).sum(axis=-1), 8)

    def test_triangle_codes_of_natural_patches_are_half_empty(self):
        natural = load_cifar10_sample().images[:500]
        learner = KMeansFilterLearner(
            n_filters=100, n_patches=40_000, output="maps", max_iter=10, random_state=0
        ).fit(natural)
        codes = learner.transform(natural[:20])
        assert codes.min() >= 0
        assert 0.3 < (codes == 0).mean() < 0.7

    def test_predict_is_the_hard_code(self, learner, images):
        codes = variant(learner, images, encoder="hard", output="maps").transform(images)
        labels = learner.predict(images)
        assert labels.shape == (60, 27, 27)
        np.testing.assert_array_equal(labels, codes.argmax(axis=-1))

    def test_mean_pooling_is_the_sum_over_cell_sizes(self, learner, images):
        mean = variant(learner, images, pool="mean").transform(images).reshape(60, 4, 32)
        total = learner.transform(images).reshape(60, 4, 32)
        sizes = np.array([14 * 14, 14 * 13, 13 * 14, 13 * 13])
        np.testing.assert_allclose(mean, total / sizes[:, None], rtol=1e-5)


def naive_features(learner, images):
    """The definition, one patch at a time."""
    rows = []
    for image in images.astype(float):
        codes = np.zeros((27, 27, len(learner.cluster_centers_)))
        for r in range(27):
            for c in range(27):
                patch = image[r : r + 6, c : c + 6].ravel()
                patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + learner.contrast_eps_)
                patch = (patch - learner.whitener_.mean_) @ learner.whitener_.whitening_
                distance = np.sqrt(((learner.cluster_centers_ - patch) ** 2).sum(axis=1))
                codes[r, c] = np.maximum(0, distance.mean() - distance)
        cells = [
            codes[a, b].sum((0, 1))
            for a in (np.s_[:14], np.s_[14:])
            for b in (np.s_[:14], np.s_[14:])
        ]
        rows.append(np.concatenate(cells))
    return np.array(rows)


def test_features_by_definition(learner, images):
    np.testing.assert_allclose(
        learner.transform(images[:2]), naive_features(learner, images[:2]), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("output", ["features", "maps"])
@pytest.mark.parametrize("split_sign", [False, True])
def test_to_torch(learner, images, encoder, output, split_sign):
    coder = variant(
        learner, images, encoder=encoder, output=output, split_sign=split_sign, pool="max"
    )
    module = coder.to_torch()
    tensor = torch.from_numpy(images[:10]).permute(0, 3, 1, 2)
    with torch.no_grad():
        got = module(tensor)
    if output == "maps":
        got = got.permute(0, 2, 3, 1)
    np.testing.assert_allclose(got.numpy(), coder.transform(images[:10]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("encoder", ["triangle", "soft_threshold"])
def test_to_torch_can_be_trained(learner, images, encoder):
    module = variant(learner, images, encoder=encoder).to_torch()
    tensor = torch.from_numpy(images[:4]).permute(0, 3, 1, 2).float().requires_grad_()
    module(tensor).square().mean().backward()
    assert torch.isfinite(module.filters.grad).all()
    assert module.filters.grad.abs().sum() > 0
    assert torch.isfinite(tensor.grad).all()
    assert set(module.state_dict()) == {"filters", "whitening", "mean"}


class TestPartialFit:
    @pytest.mark.parametrize("algorithm", ["lloyd", "spherical", "random"])
    def test_whitening_is_that_of_all_patches(self, images, algorithm):
        params = {"n_filters": 8, "n_patches": None, "algorithm": algorithm, "random_state": 0}
        params |= {"contrast_eps": 10.0, "stride": 3, "max_iter": 3}
        whole = KMeansFilterLearner(**params).fit(images)
        parts = KMeansFilterLearner(**params)
        for part in (images[:20], images[20:50], images[50:]):
            assert parts.partial_fit(part) is parts
        np.testing.assert_allclose(
            parts.whitener_.whitening_, whole.whitener_.whitening_, atol=1e-8
        )
        assert parts.whitener_.n_samples_seen_ == whole.whitener_.n_samples_seen_
        assert parts.counts_.sum() == whole.counts_.sum()
        assert np.isfinite(parts.transform(images)).all()
        if algorithm == "spherical":
            np.testing.assert_allclose(np.linalg.norm(parts.cluster_centers_, axis=1), 1, rtol=1e-5)

    def test_each_filter_is_the_mean_of_what_it_won(self):
        rng = np.random.RandomState(0)
        rows = rng.randn(300, 5)
        learner = KMeansFilterLearner(
            n_filters=4, contrast=None, whiten_eps=0.5, random_state=0, n_patches=None
        ).partial_fit(rows[:200])
        won = learner.predict(rows[:200])
        between = learner.partial_fit(rows[200:])
        # In the whitening of now, with the centres of before, as the second batch met them.
        whitener = ZCAWhitener(eps=0.5).fit(rows)
        raw = np.array([rows[:200][won == k].mean(axis=0) for k in range(4)])
        distances = np.linalg.norm(
            whitener.transform(rows[200:])[:, None] - whitener.transform(raw)[None], axis=2
        )
        labels = np.concatenate([won, distances.argmin(axis=1)])
        means = np.array([rows[labels == k].mean(axis=0) for k in range(4)])
        np.testing.assert_allclose(between.cluster_centers_, whitener.transform(means), atol=1e-8)
        np.testing.assert_array_equal(between.counts_, np.bincount(labels))

    def test_spherical_filters_are_gain_weighted_directions(self):
        rng = np.random.RandomState(0)
        first = np.array([10.0, 0, 0]) + 0.1 * rng.randn(500, 3)
        second = np.tile([10.0, 10, 0], (10, 1))
        learner = KMeansFilterLearner(
            n_filters=1, algorithm="spherical", contrast=None, whiten_eps=None, random_state=0
        ).partial_fit(first)
        before = learner.cluster_centers_[0]
        learner.partial_fit(second)
        rows = np.concatenate([first, second])
        total = (rows * (rows @ before)[:, None]).sum(axis=0)
        expected = total / np.linalg.norm(total)
        np.testing.assert_allclose(learner.cluster_centers_[0], expected, atol=1e-5)

    def test_after_spherical_fit_old_patches_keep_their_weight(self):
        rng = np.random.RandomState(0)
        first = np.array([10.0, 0, 0]) + 0.1 * rng.randn(500, 3)
        learner = KMeansFilterLearner(
            n_filters=1, algorithm="spherical", contrast=None, whiten_eps=None, random_state=0
        ).fit(first)
        learner.partial_fit(np.tile([10.0, 10, 0], (10, 1)))
        np.testing.assert_allclose(learner.cluster_centers_[0, 1], 10 / 510, atol=2e-3)

    def test_batches_are_drawn_differently(self, images):
        learner = KMeansFilterLearner(n_filters=4, n_patches=60, algorithm="random", random_state=0)
        inertia = [learner.partial_fit(images).inertia_ for _ in range(3)]
        assert len(set(inertia)) == 3

    def test_large_streams_keep_their_digits(self):
        rows = 1 + 1e-3 * np.random.RandomState(0).randn(200_000, 1).astype(np.float32)
        learner = KMeansFilterLearner(
            n_filters=1, contrast=None, whiten_eps=None, random_state=0
        ).partial_fit(rows)
        learner.partial_fit(rows)
        assert learner.cluster_centers_[0, 0] == pytest.approx(rows.mean(dtype=float), abs=1e-6)

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"whiten_eps": None}, "whitening"),
            ({"contrast": None}, "contrast"),
            ({"patch_size": 5}, "patch_size"),
            ({"n_filters": 9}, "n_filters"),
            ({"algorithm": "spherical"}, "algorithm"),
        ],
    )
    def test_parameters_that_a_dictionary_cannot_follow(self, images, change, name):
        learner = KMeansFilterLearner(n_filters=8, n_patches=600, max_iter=2, random_state=0)
        learner.partial_fit(images)
        with pytest.raises(
            ValueError, match=rf"{name} was .* in fit and is .* now: call fit again"
        ):
            learner.set_params(**change).partial_fit(images)

    @pytest.mark.parametrize("params", [{"n_init": 3}, {"contrast": "image"}])
    def test_other_forms(self, images, params):
        batches = [
            [image[: 20 + k] for k, image in enumerate(images[:10])],
            images[10:30, :, :24].astype(np.float64),
        ]
        learner = KMeansFilterLearner(n_filters=5, n_patches=300, random_state=0, **params)
        for batch in batches:
            learner.partial_fit(list(batch))
        assert np.isfinite(learner.transform(batches[0])).all()

    def test_interrupted_batch_leaves_no_trace(self, images, monkeypatch):
        learner = KMeansFilterLearner(n_filters=5, n_patches=300, random_state=0)
        learner.partial_fit(images)
        before = dict(vars(learner))

        def interrupt(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("sklearn_kmfeat._core.kmeans.nearest_and_sums", interrupt)
        with pytest.raises(KeyboardInterrupt):
            learner.partial_fit(images)
        assert vars(learner).keys() == before.keys()
        assert all(vars(learner)[name] is before[name] for name in before)

    def test_goes_on_after_fit(self, images):
        learner = KMeansFilterLearner(n_filters=8, n_patches=1000, random_state=0).fit(images)
        seen = learner.counts_.sum()
        learner.partial_fit(images[:10])
        assert learner.counts_.sum() > seen
        learner.fit(images)
        assert learner.counts_.sum() == seen


class TestChangedParameters:
    """Encoding parameters may change after the fit; names and checks follow."""

    def test_names_follow(self, learner, images):
        changed = variant(learner, images, split_sign=True, pool_grid=3)
        assert len(changed.get_feature_names_out()) == changed.transform(images).shape[1] == 576
        changed.set_params(pool_grid=1).set_output(transform="pandas")
        assert changed.transform(images).shape == (60, 64)

    @pytest.mark.parametrize("params", [{"pool_size": 9}, {"pool_grid": None, "pool_size": 5}])
    @pytest.mark.parametrize("change", [{"stride": 2}, {"stride": (3, 1)}, {"pool_size": 4}])
    def test_names_follow_the_size_of_the_maps(self, images, params, change):
        fitted = KMeansFilterLearner(**SMALL, **params).fit(images).set_params(**change)
        assert len(fitted.get_feature_names_out()) == fitted.transform(images).shape[1]
        frame = fitted.set_output(transform="pandas").transform(images)
        assert list(frame.columns) == list(fitted.get_feature_names_out())

    def test_nonsense_is_refused(self, learner, images):
        with pytest.raises(ValueError, match="'encoder' parameter"):
            variant(learner, images, encoder="zz").transform(images)
        with pytest.raises(ValueError, match=r"patch_size was \(6, 6\) in fit"):
            variant(learner, images, patch_size=5).transform(images)

    def test_pandas_is_remembered_while_there_are_maps(self, learner, images):
        maps = variant(learner, images, output="maps").set_output(transform="pandas")
        assert isinstance(maps.transform(images), np.ndarray)
        assert hasattr(maps.set_params(output="features").transform(images), "columns")


@pytest.mark.parametrize("params", [{"output": "maps"}, {"pool_size": 9}, {"pool_grid": None}])
def test_list_of_equal_images(learner, images, params):
    coder = variant(learner, images, **params)
    np.testing.assert_allclose(coder.transform(list(images)), coder.transform(images), rtol=1e-5)
    assert clone(coder).fit(list(images)).transform(images).shape == coder.transform(images).shape


def test_predict_in_little_memory(learner, images):
    expected = learner.predict(images)
    with sklearn.config_context(working_memory=0.05):
        np.testing.assert_array_equal(learner.predict(images), expected)


def test_flattened_images_on_disk(images):
    rows = images.reshape(60, -1)
    learner = KMeansFilterLearner(**SMALL, image_shape=(32, 32, 3))
    expected = clone(learner).fit(rows).transform(rows)
    np.testing.assert_array_equal(learner.fit(OnDisk(rows)).transform(OnDisk(rows)), expected)
    ready = KMeansFilterLearner(**SMALL).fit(OnDisk(rows[:, :100]))
    with pytest.raises(ValueError, match=r"X has 9 features, but .* expecting 100"):
        ready.transform(OnDisk(rows[:, :9]))


class TestPipelines:
    def test_steps_one_by_one(self, images):
        pipeline = make_pipeline(
            PatchExtractor(patch_size=6, n_patches=2000, random_state=0),
            ZCAWhitener(),
            KMeansFilterLearner(n_filters=16, contrast=None, whiten_eps=None, random_state=0),
        )
        codes = pipeline.fit_transform(images)
        assert codes.shape == (2000, 16)
        assert pipeline[-1].filters_.shape == (16, 6, 6, 3)

    def test_grid_search(self, images):
        y = np.arange(60) % 3
        pipeline = make_pipeline(
            KMeansFilterLearner(n_patches=600, max_iter=3, random_state=0),
            StandardScaler(),
            RidgeClassifier(),
        )
        grid = {
            "kmeansfilterlearner__n_filters": [4, 8],
            "kmeansfilterlearner__patch_size": [5, 6],
            "kmeansfilterlearner__whiten_eps": [None, 0.1],
            "kmeansfilterlearner__encoder": ["triangle", "soft_threshold"],
        }
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
        search.fit(images, y)
        assert len(search.cv_results_["params"]) == 16
        assert search.predict(images).shape == (60,)

    def test_another_process_gives_the_same(self, learner, images, tmp_path):
        joblib.dump((learner, images[:5]), tmp_path / "learner.joblib")
        code = (
            "import joblib, sys; learner, images = joblib.load(sys.argv[1] + '/learner.joblib'); "
            "joblib.dump(learner.transform(images), sys.argv[1] + '/features.joblib')"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        np.testing.assert_array_equal(
            joblib.load(tmp_path / "features.joblib"), learner.transform(images[:5])
        )

    def test_pandas_output_and_names(self, learner, images):
        names = learner.get_feature_names_out()
        assert len(names) == 128
        assert names[0] == "kmeansfilterlearner0"
        frame = clone(learner).set_output(transform="pandas").fit_transform(images)
        assert list(frame.columns) == list(names)
        maps = clone(learner).set_params(output="maps").set_output(transform="pandas").fit(images)
        assert maps.transform(images).shape == (60, 27, 27, 32)
        assert not hasattr(maps, "get_feature_names_out")

    def test_workers_do_not_take_all_threads(self):
        threads = joblib.Parallel(n_jobs=2)(joblib.delayed(_threads_in_worker)() for _ in range(2))
        assert max(threads) <= max(1, joblib.cpu_count() // 2)

    def test_channels_of_maps(self, images):
        first = KMeansFilterLearner(
            n_filters=13, n_patches=1000, output="maps", pool_size=3, max_iter=3, random_state=0
        )
        second = KMeansFilterLearner(n_filters=7, patch_size=3, n_patches=500, random_state=0)
        rows = make_pipeline(first, second).fit_transform(images)
        assert rows.shape == (60, 28)
        assert second.filters_.shape == (7, 3, 3, 13)


def _threads_in_worker():
    import sklearn_kmfeat  # noqa: F401

    return torch.get_num_threads()


class Recorder:
    """A callback that keeps what it is told."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.names = []
        self.states = []

    def setup(self, estimator, context):
        self.names.append("setup")

    def teardown(self, estimator, context):
        self.names.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.names.append(context.task_name)
        if fitted_estimator is not None and context.task_name == "k-means step":
            self.states.append(fitted_estimator)
        return self.stop_after is not None and len(self.states) >= self.stop_after


class TestProgress:
    def test_callbacks_see_every_iteration(self, images):
        recorder = Recorder()
        learner = KMeansFilterLearner(
            n_filters=8, n_patches=1000, max_iter=4, tol=0, random_state=0
        )
        learner.set_callbacks(recorder).fit(images)
        assert recorder.names[0] == "setup"
        assert recorder.names[-2:] == ["fit", "teardown"]
        assert len(recorder.states) == learner.n_iter_
        features = [state.transform(images[:3]) for state in recorder.states]
        assert all(f.shape == (3, 32) for f in features)
        assert recorder.states[0].inertia_ > recorder.states[-1].inertia_

    def test_stopping_ends_all_starts(self, images):
        recorder = Recorder(stop_after=2)
        learner = KMeansFilterLearner(n_filters=8, n_patches=1000, n_init=5, random_state=0)
        learner.set_callbacks(recorder).fit(images)
        assert len(recorder.states) == 2

    def test_a_callback_can_stop(self, images):
        learner = KMeansFilterLearner(n_filters=8, n_patches=1000, tol=0, random_state=0)
        learner.set_callbacks(Recorder(stop_after=2)).fit(images)
        assert learner.n_iter_ == 2

    def test_progress_bar(self, images, capsys):
        learner = KMeansFilterLearner(n_filters=8, n_patches=1000, max_iter=2, random_state=0)
        pipeline = make_pipeline(learner, StandardScaler(), LogisticRegression(max_iter=1000))
        pipeline.set_callbacks(ProgressBar()).fit(images, np.arange(60) % 2)
        assert "KMeansFilterLearner" in capsys.readouterr().out

    def test_verbose(self, images, capsys):
        KMeansFilterLearner(
            n_filters=8, n_patches=1000, max_iter=3, tol=0, random_state=0, verbose=1
        ).fit(images).transform(images)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("[KMeansFilterLearner] reading patches 1/1")
        assert sum("k-means" in line and "inertia" in line for line in lines) == 3
        assert lines[-1] == "[KMeansFilterLearner] encoded 60/60 images"

    def test_interrupted_fit_leaves_no_trace(self, images):
        class Interrupt(Recorder):
            def on_fit_task_end(self, estimator, context, *, fitted_estimator):
                if context.task_name == "k-means step":
                    raise KeyboardInterrupt

        learner = KMeansFilterLearner(n_filters=8, n_patches=1000, random_state=0)
        with pytest.raises(KeyboardInterrupt):
            learner.set_callbacks(Interrupt()).fit(images)
        assert not [name for name in vars(learner) if name.endswith("_")]

        learner.set_callbacks().fit(images)
        before = learner.transform(images)
        with pytest.raises(KeyboardInterrupt):
            learner.set_callbacks(Interrupt()).fit(images[:, :20])
        np.testing.assert_array_equal(learner.transform(images), before)


SMALL = {"n_filters": 4, "n_patches": 200, "max_iter": 2, "random_state": 0}


@pytest.mark.parametrize(
    ("params", "change", "error", "message"),
    [
        ({}, lambda X: np.where(X.max() == X, np.nan, X), ValueError, "contains NaN"),
        ({}, lambda X: np.where(X.max() == X, np.inf, X), ValueError, "contains infinity"),
        ({}, lambda X: X[:0], ValueError, r"0 sample\(s\)"),
        ({"patch_size": 33}, None, ValueError, r"patch_size=\(33, 33\) is larger than an image"),
        ({}, lambda X: X.transpose(0, 3, 1, 2), ValueError, r"np\.moveaxis\(X, 1, -1\)"),
        ({}, lambda X: X.transpose(0, 3, 1, 2)[:, :, :, :20], ValueError, r"np\.moveaxis"),
        ({"n_filters": 300}, None, ValueError, "n_filters=300 needs at least as many patches"),
        ({}, lambda X: X > 100, TypeError, "integer or float dtype, got bool"),
        ({}, lambda X: X.astype(object), TypeError, "integer or float dtype, got object"),
        ({"encoder": "tri"}, None, ValueError, "'encoder' parameter .* must be a str among"),
        ({"pool_grid": 40}, None, ValueError, r"pool_grid=\(40, 40\) is finer than the map of 27"),
        ({"pool_grid": (2, 0)}, None, ValueError, "pool_grid must be"),
        ({"patch_size": (3, 3, 3)}, None, ValueError, "patch_size must be"),
        ({"image_shape": (8, 8)}, None, ValueError, r"images of shape \(32, 32, 3\)"),
        ({"image_shape": (0, 8)}, None, ValueError, "image_shape must be"),
        ({"output": "maps"}, lambda X: [X[0], X[1][:20]], ValueError, "different sizes"),
        ({"pool_size": 3}, lambda X: [X[0], X[1][:20]], ValueError, "different sizes"),
        ({}, lambda X: [X[0], X[1][:5]], ValueError, r"image of size \(5, 32\) \(image 1"),
        ({}, lambda X: [X[0], X[1][..., 0]], ValueError, "same number of channels"),
        ({"device": "nowhere"}, None, ValueError, "device must be"),
        ({}, lambda X: X[..., None], ValueError, r"got an array of shape \(60, 32, 32, 3, 1\)"),
    ],
)
def test_bad_input(images, params, change, error, message):
    X = images if change is None else change(images)
    with pytest.raises(error, match=message):
        KMeansFilterLearner(**(SMALL | params)).fit(X)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_no_cuda(images):
    with pytest.raises(ValueError, match="device='cuda' was asked for, but this machine has none"):
        KMeansFilterLearner(**SMALL, device="cuda").fit(images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_cuda_agrees(learner, images, encoder):
    coder = variant(learner, images, encoder=encoder)
    np.testing.assert_allclose(
        variant(coder, images, device="cuda").transform(images),
        coder.transform(images),
        rtol=1e-4,
        atol=1e-2,
    )
    fits = [clone(coder).set_params(device="cuda").fit(images) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].cluster_centers_, fits[1].cluster_centers_)


def test_fast_precision_puts_the_switches_back(learner, images):
    before = torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    fast = variant(learner, images, precision="fast").transform(images)
    after = torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    assert after == before
    np.testing.assert_allclose(fast, learner.transform(images), rtol=0.1, atol=5)


def line_of(record):
    assert record.filename == __file__
    return linecache.getline(record.filename, record.lineno)


class TestWarningsPointAtTheUsersLine:
    def test_fewer_filters(self):
        rows = np.repeat(np.eye(3, 9), 10, axis=0)
        learner = KMeansFilterLearner(n_filters=5, contrast=None, whiten_eps=None)
        fits = learner.fit, clone(learner).partial_fit, make_pipeline(clone(learner)).fit
        for fit in fits:
            with pytest.warns(ConvergenceWarning, match="Only 3 different filters") as records:
                fit(rows)  # the user's line
            assert "the user's line" in line_of(records[0])

    def test_flattened_images(self, images):
        flat = images.reshape(60, -1)
        bag = BagOfPatches(n_words=3, max_iter=2, random_state=0)
        for fit in (bag.fit, make_pipeline(bag).fit_transform):
            with pytest.warns(UserWarning, match="image_shape") as records:
                fit(flat)  # the user's line
            assert "the user's line" in line_of(records[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("contrast", ["patch", "image", None])
def test_the_users_array_is_never_changed(images, dtype, contrast):
    """Where the dtype is that of the computation, images may be read without a copy."""
    X = images.astype(dtype)
    before = X.copy()
    for learner in (
        KMeansFilterLearner(**SMALL, contrast=contrast),
        BagOfPatches(n_words=4, n_patches=200, contrast=contrast, random_state=0),
        ConvKMeans(n_filters=4, n_windows=200, contrast=contrast, max_iter=2, random_state=0),
    ):
        learner.fit(X).transform(X)
        learner.partial_fit(X).predict(X)
        learner.to_torch()(torch.from_numpy(X).permute(0, 3, 1, 2))
        np.testing.assert_array_equal(X, before)


def test_flattened_images_without_a_shape_warn(images):
    flat = images.reshape(60, -1)
    with pytest.warns(UserWarning, match=r"image_shape=\(32, 32, 3\)"):
        BagOfPatches(n_words=3, max_iter=2, random_state=0).fit(flat)


def test_feature_names_of_another_patch_size_are_refused(learner, images):
    other = variant(learner, images)
    other.set_params(patch_size=5)
    with pytest.raises(ValueError, match=r"patch_size was \(6, 6\) in fit and is \(5, 5\) now"):
        other.get_feature_names_out()


def test_of_an_estimator_the_parameter_that_changed_is_named(images):
    fitted = ConvKMeans(
        n_filters=2, connections=ChannelConnections(1, 2), n_windows=500, random_state=0
    ).fit(images)
    fitted.set_params(connections=ChannelConnections(1, 3))
    with pytest.raises(ValueError, match=r"^connections__group_size was 2 in fit and is 3"):
        fitted.partial_fit(images)
