"""Fits on dask arrays beside fits of the same images in memory."""

import pickle
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone

from on_task_end import OnTaskEnd
from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)
from sklearn_kmfeat import dask as kd
from sklearn_kmfeat.datasets import load_cifar10_sample

IMAGES = load_cifar10_sample().images[:120]
SHAPE = IMAGES.shape[1:]
learner = partial(KMeansFilterLearner, n_filters=12, n_patches=2000, max_iter=5, random_state=0)
windows = partial(ConvKMeans, n_filters=6, n_windows=600, max_iter=4, random_state=0)
bag = partial(BagOfPatches, n_words=8, n_patches=1500, max_iter=5, random_state=0)

ESTIMATORS = {
    **{
        f"{algorithm} {init}": learner(algorithm=algorithm, init=init)
        for algorithm in ("lloyd", "spherical", "random")
        for init in ("sample", "k-means++")
    },
    "in levels": learner(init="hierarchical"),
    "restarts": learner(n_init=3),
    "plain": learner(contrast=None, whiten_eps=None),
    "contrast of images": learner(contrast="image"),
    "all patches": learner(n_patches=None, stride=9),
    "fewer patches than images": learner(n_filters=5, n_patches=40),
    "mirror": learner(mirror=True),
    "bag": bag(),
    **{f"windows {init}": windows(init=init) for init in ("sample", "k-means++", "energy")},
    "windows of one patch": windows(window_size=6),
    "connections": windows(connections=[[0, 1], [1, 2]]),
    "chosen connections": windows(connections=ChannelConnections(2, 2)),
    "channels": ChannelConnections(3, 2, random_state=0),
    "contrast": ContrastNormalizer(),
    "patches": PatchExtractor(n_patches=50),
}
CHUNKS = {"even": 40, "uneven": (50, 7, 63), "one": 120, "many": 13}


def same_fit(found, expected):
    """All fitted attributes, up to rounding."""
    for name in vars(expected):
        if name.endswith("_") and not name.startswith("_"):
            _same(name, getattr(found, name), getattr(expected, name))
    if not isinstance(expected, PatchExtractor):  # whose fit looks at no pixels
        assert (found._pixel_range or [None])[-1] == (expected._pixel_range or [None])[-1]


def _same(name, found, expected):
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(name, one, other)
    elif isinstance(expected, ZCAWhitener):
        scale = np.abs(expected.whitening_).max()
        np.testing.assert_allclose(found.whitening_, expected.whitening_, atol=1e-12 * scale)
        np.testing.assert_allclose(found.mean_, expected.mean_, rtol=1e-12, atol=1e-12)
    elif name.startswith("contrast_eps") and expected is not None:
        assert found == pytest.approx(expected, rel=1e-12)
    elif hasattr(expected, "get_params"):
        same_fit(found, expected)
    elif isinstance(expected, np.ndarray):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=1e-6 * scale)
        assert found.dtype == expected.dtype
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6)
    else:
        assert found == expected


def in_blocks(images, chunks=40):
    return da.from_array(images, chunks=(chunks, *images.shape[1:]))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_fit_is_that_in_memory(name):
    expected = clone(ESTIMATORS[name]).fit(IMAGES)
    with dask.config.set(scheduler="synchronous"):
        found = kd.fit(clone(ESTIMATORS[name]), in_blocks(IMAGES))
    same_fit(found, expected)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_chunks_and_threads_decide_nothing(chunks, scheduler):
    with dask.config.set(scheduler=scheduler):
        found = kd.fit(learner(init="hierarchical"), in_blocks(IMAGES, CHUNKS[chunks]))
    same_fit(found, learner(init="hierarchical").fit(IMAGES))


FORMS = {
    "grey": (IMAGES[..., 0], {}),
    "floats": (IMAGES / 255, {}),
    "float32": ((IMAGES / 255).astype(np.float32), {}),
    "large integers": (IMAGES.astype(np.int32) * 1000, {}),
    "far from zero": (IMAGES.astype(np.float32) / 255 + 20_000, {}),
    "flattened": (IMAGES.reshape(120, -1), {"image_shape": SHAPE}),
    "ready": (IMAGES.reshape(120, -1)[:, :50], {}),
}


@pytest.mark.parametrize("contrast", ["patch", "image"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_images(form, contrast):
    images, more = FORMS[form]
    make = partial(learner, n_filters=5, n_patches=110, contrast=contrast, **more)
    same_fit(kd.fit(make(), in_blocks(images)), make().fit(images))


def test_rows_are_whitened():
    rows = IMAGES.reshape(120, -1)[:, :40] / 255
    found, expected = kd.fit(ZCAWhitener(), in_blocks(rows)), ZCAWhitener().fit(rows)
    np.testing.assert_allclose(found.whitening_, expected.whitening_, rtol=1e-9, atol=1e-9)
    assert found.n_samples_seen_ == 120


def test_classes_choose_connections():
    y = np.arange(120) % 3
    chooser = ChannelConnections(2, 2, method="supervised", max_epochs=1, random_state=0)
    make = partial(windows, connections=chooser)
    same_fit(kd.fit(make(), in_blocks(IMAGES), da.from_array(y)), make().fit(IMAGES, y))


# On workers


@pytest.mark.parametrize("name", ["lloyd k-means++", "in levels", "windows sample", "connections"])
def test_on_a_cluster(client, name):
    found = kd.fit(clone(ESTIMATORS[name]), in_blocks(IMAGES))
    same_fit(found, clone(ESTIMATORS[name]).fit(IMAGES))


def test_nothing_is_left_on_the_workers(client):
    kd.fit(learner(), in_blocks(IMAGES))
    assert all_are_freed(client)
    interrupted = learner().set_callbacks(OnTaskEnd(interrupt, 6))
    with pytest.raises(KeyboardInterrupt) as held:  # and with it all its frames
        kd.fit(interrupted, in_blocks(IMAGES))
    assert held
    assert not hasattr(interrupted, "cluster_centers_")
    assert all_are_freed(client)


def test_what_is_not_needed_is_freed_during_a_fit(client):
    numbers = []
    count = OnTaskEnd(lambda: numbers.append(client.run_on_scheduler(_n_tasks)))
    kd.fit(learner(n_filters=40, init="k-means++").set_callbacks(count), in_blocks(IMAGES))
    # Rows of two parts, and what is computed of them now; not what each of 40 centers left.
    assert max(numbers) < 40


def test_an_error_on_a_worker_leaves_nothing_there(client):
    images = IMAGES / 255
    images[93, 2, 3, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN in image 93") as held:
        kd.fit(learner(), in_blocks(images))
    assert held
    assert all_are_freed(client)


def all_are_freed(client):
    """Whether the scheduler has no tasks any more, in the seconds in which it hears of that."""
    for _ in range(50):
        if not client.run_on_scheduler(_n_tasks):
            return True
        time.sleep(0.1)
    return False


def _n_tasks(dask_scheduler):
    return len(dask_scheduler.tasks)


def interrupt():
    raise KeyboardInterrupt


# What is computed


COMPUTED = Counter()


def _counted(block, block_info):
    COMPUTED[block_info[0]["chunk-location"][0]] += 1
    return block


@pytest.mark.parametrize(
    ("images", "contrast", "n_times"),
    [
        (IMAGES, "patch", 1),
        (IMAGES, "image", 2),
        (IMAGES / 255, "patch", 2),
        (IMAGES / 255, "image", 2),
    ],
)
@pytest.mark.parametrize("groups", [None, [[0, 1], [1, 2]]])
def test_how_often_a_block_is_computed(images, contrast, n_times, groups):
    COMPUTED.clear()
    X = in_blocks(images).map_blocks(_counted, dtype=images.dtype, meta=images[:0])
    estimator = learner(contrast=contrast)
    if groups is not None:
        estimator = windows(contrast=contrast, connections=groups)
    with dask.config.set(scheduler="synchronous"):
        kd.fit(estimator, X)
    assert {0: n_times, 1: n_times, 2: n_times} == COMPUTED


def test_blocks_without_images_and_of_unknown_length():
    X = in_blocks(IMAGES, 30)
    X = da.concatenate([X[:30], X[:0], X[30:]])
    keep = da.from_array(np.ones(120, bool), chunks=30)
    expected = learner().fit(IMAGES)
    same_fit(kd.fit(learner(), X), expected)
    same_fit(kd.fit(learner(), in_blocks(IMAGES, 30)[keep]), expected)


# What comes out


def test_an_ordinary_estimator_comes_out():
    estimator = learner()
    fitted = kd.fit(estimator, in_blocks(IMAGES))
    assert fitted is estimator
    code = (
        "import pickle, sys; est = pickle.load(sys.stdin.buffer); import numpy as np;"
        "print(est.transform(np.zeros((2, 32, 32, 3), np.uint8)).shape, 'dask' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(fitted), capture_output=True, check=True
    )
    assert run.stdout.decode().split() == ["(2,", "48)", "False"]


def test_it_goes_on_from_there():
    fitted = kd.fit(learner(), in_blocks(IMAGES)).partial_fit(IMAGES)
    assert fitted.counts_.sum() == 4000


def test_progress(capsys):
    kd.fit(learner(verbose=1, tol=0), in_blocks(IMAGES))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("] ")[1].split(",")[0] for line in lines] == [
        *(f"reading patches {i}/3" for i in (1, 2, 3)),
        *(f"k-means {i}/5" for i in (1, 2, 3, 4, 5)),
    ]


# What is refused


def test_other_estimators():
    with pytest.raises(TypeError, match=r"got DeepClusterEstimator.*torchrun"):
        kd.fit(DeepClusterEstimator(), in_blocks(IMAGES))


def test_other_arrays():
    with pytest.raises(TypeError, match=r"expects a dask array as X for KMeansFilterLearner"):
        kd.fit(learner(), IMAGES)


def test_another_device(monkeypatch):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    with pytest.raises(ValueError, match=r"workers compute on their CPUs: use device=None"):
        kd.fit(learner(device="mps"), in_blocks(IMAGES))


def test_schedulers_that_keep_nothing():
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(ValueError, match=r'scheduler "processes" keeps nothing'),
    ):
        kd.fit(learner(), in_blocks(IMAGES))


def test_inside_a_task(client):
    future = client.submit(kd.fit, learner(), in_blocks(IMAGES))
    with pytest.raises(ValueError, match="called inside a task"):
        future.result(timeout=60)


def test_nan_is_named_by_the_image_of_all():
    images = IMAGES / 255
    images[93, 2, 3, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN in image 93, at row 2, column 3, channel 1"):
        kd.fit(learner(), in_blocks(images))


def test_fewer_patches_than_filters():
    with pytest.raises(ValueError, match="needs at least as many patches"):
        kd.fit(learner(n_filters=50, n_patches=20), in_blocks(IMAGES))
