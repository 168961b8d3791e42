"""Other people's settings of the process decide nothing; neither do threads."""

import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from torch import nn

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ClusterClassifier,
    ConsensusClusterer,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)

FEW = {"n_patches": 500, "max_iter": 3, "patch_size": 4, "random_state": 0}
TINY = {"max_epochs": 2, "batch_size": 16, "net_params": {"module__width": 4}, "random_state": 0}


class Dropping(nn.Module):
    """A network that draws random numbers in each step."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 3)
        self.drop = nn.Dropout2d(0.2)
        self.fc = nn.LazyLinear(8)

    def forward(self, x):
        return nn.functional.dropout(
            self.fc(self.drop(self.conv1(x)).relu().flatten(1)), 0.1, self.training
        )


ESTIMATORS = {
    "learner": KMeansFilterLearner(6, **FEW),
    "spherical": KMeansFilterLearner(
        6, algorithm="spherical", contrast="image", encoder="soft_threshold", **FEW
    ),
    "knn": KMeansFilterLearner(6, encoder="knn", whiten_eps=None, pool="max", **FEW),
    "windows": ConvKMeans(6, patch_size=4, n_windows=300, max_iter=3, random_state=0),
    "groups": ConvKMeans(
        3,
        patch_size=4,
        n_windows=300,
        max_iter=3,
        connections=ChannelConnections(2, 2, random_state=0),
        random_state=0,
    ),
    "bag": BagOfPatches(6, **FEW),
    "contrast": ContrastNormalizer(),
    "whitener": ZCAWhitener(),
    "patches": PatchExtractor(4, n_patches=100, random_state=0),
    "supervised": ChannelConnections(
        2, 2, method="supervised", max_epochs=2, n_hidden=8, random_state=0
    ),
    "reset": DeepClusterEstimator(3, **TINY),
    "prototypes": DeepClusterEstimator(3, head="prototypes", augment="color", **TINY),
    "dropping": DeepClusterEstimator(3, module=Dropping, max_epochs=2, random_state=0),
    "classifier": ClusterClassifier(DeepClusterEstimator(4, **TINY)),
    "consensus": ConsensusClusterer(3, n_runs=1, random_state=0),
}


@pytest.fixture(scope="module")
def images():
    rng = np.random.RandomState(0)
    blobs = rng.randint(0, 200, (4, 12, 12, 3))[np.arange(48) % 4]
    return (blobs + rng.randint(0, 56, blobs.shape)).astype(np.uint8)


def outcome(estimator, X, y):
    """All arrays that a fit and what follows it give."""
    estimator = clone(estimator).fit(X, y)
    arrays = {
        name: value
        for name, value in vars(estimator).items()
        if isinstance(value, np.ndarray) and name.endswith("_")
    }
    for method in ("transform", "predict"):
        if hasattr(estimator, method):
            arrays[method] = getattr(estimator, method)(X)
    if hasattr(estimator, "to_torch"):
        module, rows = estimator.to_torch(), torch.as_tensor(np.asarray(X), device="cpu")
        with torch.no_grad():
            arrays["torch"] = module(rows.permute(0, 3, 1, 2)).cpu().numpy()
    return arrays


@pytest.fixture(scope="module")
def expected(images):
    labels = np.arange(48) % 4
    return {name: outcome(each, images, labels) for name, each in ESTIMATORS.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def low_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


SETTINGS = {
    "default dtype": default_dtype,
    "default device": default_device,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "low precision": low_precision,
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "array_api": lambda: sklearn.config_context(array_api_dispatch=True),
    "NumPy raises": lambda: np.errstate(all="raise", under="ignore"),
}


#: scikit-learn dispatches only if SciPy was imported with this.
CAN_DISPATCH = os.environ.get("SCIPY_ARRAY_API") == "1"


def test_array_api():
    """The tests of this file that need a process of their own."""
    if CAN_DISPATCH:
        return
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"]
    command += ["-k", "array_api or dispatch"]
    done = subprocess.run(
        command, env=os.environ | {"SCIPY_ARRAY_API": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_settings_of_others_decide_nothing(images, expected, name, setting):
    if setting == "array_api" and not CAN_DISPATCH:
        pytest.skip("see test_array_api")
    with SETTINGS[setting]():
        found = outcome(ESTIMATORS[name], images, np.arange(48) % 4)
    # A torch module is the user's, and runs in the precision that the user has set.
    left_out = {"torch"} if setting == "low precision" else set()
    before, now = (
        {key: value for key, value in arrays.items() if key not in left_out}
        for arrays in (expected[name], found)
    )
    assert_same(now, before)


@pytest.mark.parametrize("dispatch", ["dispatch"] if CAN_DISPATCH else [""])
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "classifier"])
def test_tensors_are_arrays(images, expected, name, dispatch):
    X, y = torch.from_numpy(images), torch.arange(48) % 4
    with sklearn.config_context(array_api_dispatch=bool(dispatch)):
        assert_same(outcome(ESTIMATORS[name], X, y), expected[name])


@pytest.mark.parametrize("dispatch", ["dispatch"] if CAN_DISPATCH else [""])
def test_rows_of_tensors_are_arrays(images, dispatch):
    rows = images.reshape(48, -1).astype(np.float32)
    for estimator in (ZCAWhitener(), ContrastNormalizer(), KMeansFilterLearner(4, random_state=0)):
        expected = clone(estimator).fit(rows).transform(rows)
        with sklearn.config_context(array_api_dispatch=bool(dispatch)):
            found = clone(estimator).fit(torch.from_numpy(rows)).transform(torch.from_numpy(rows))
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, expected)


class Watched:
    """Runs work in threads, while others draw from torch's global generator in this one."""

    def __init__(self, *work):
        self.results, self.errors = [None] * len(work), []
        self.threads = [
            threading.Thread(target=self.run, args=(i, each)) for i, each in enumerate(work)
        ]

    def run(self, i, work):
        try:
            self.results[i] = work()
        except Exception as error:
            self.errors.append(error)

    def draws(self):
        """What the global generators give meanwhile."""
        for thread in self.threads:
            thread.start()
        drawn = []
        while any(thread.is_alive() for thread in self.threads):
            drawn.append((float(torch.rand(1)), float(np.random.mtrand._rand.rand())))
        for thread in self.threads:
            thread.join()
        return drawn


def test_any_calls_in_threads_equal_the_same_calls_in_a_row(images, expected):
    """Two rounds of all estimators at once; whoever draws beside them is not disturbed."""
    labels, names = np.arange(48) % 4, [*ESTIMATORS, "reset", "prototypes", "supervised"]
    calls = [
        lambda each=ESTIMATORS[name]: outcome(each, images, labels)
        for name in names
        if name != "dropping"
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.mtrand._rand.seed(0)
        watched = Watched(*calls)
        drawn = watched.draws()
        torch.manual_seed(0)
        np.random.mtrand._rand.seed(0)
        alone = [(float(torch.rand(1)), float(np.random.mtrand._rand.rand())) for _ in drawn]
    assert watched.errors == []
    assert drawn == alone
    for name, found in zip([n for n in names if n != "dropping"], watched.results, strict=True):
        assert_same(found, expected[name])


def test_dropout_in_threads(images, expected):
    labels = np.arange(48) % 4
    watched = Watched(*[lambda: outcome(ESTIMATORS["dropping"], images, labels)] * 3)
    watched.draws()
    assert watched.errors == []
    for found in watched.results:
        assert_same(found, expected["dropping"])


def test_a_layer_in_threads(images):
    estimator = clone(ESTIMATORS["reset"]).fit(images).set_params(layer="conv1")
    expected = estimator.transform(images)
    watched = Watched(*[lambda: estimator.transform(images)] * 4)
    watched.draws()
    assert watched.errors == []
    for found in watched.results:
        np.testing.assert_array_equal(found, expected)


class Drawing(torch.utils.data.Dataset):
    """Images that are other ones each time they are read: of torch, NumPy and Python."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        noise = np.random.mtrand._rand.randint(0, 9) + random.randint(0, 9)
        noise += int(torch.randint(0, 9, (1,)))
        return (self.images[i] // 2 + 3 * noise).astype(np.uint8)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_dataset_that_draws_for_deep_clusters(images, n_workers):
    if n_workers and sys.platform == "win32":
        pytest.skip("no fork")
    estimator = clone(ESTIMATORS["reset"])
    workers = {"num_workers": n_workers}
    if n_workers:
        workers["multiprocessing_context"] = "fork"
    params = {f"iterator_{each}__{k}": v for each in ("train", "valid") for k, v in workers.items()}
    estimator.set_params(net_params={"module__width": 4} | params)
    before = random.getstate(), np.random.mtrand._rand.get_state()[1].tolist()
    first = estimator.fit(Drawing(images)).labels_
    np.testing.assert_array_equal(estimator.predict(Drawing(images)), first)
    random.random()
    np.random.mtrand._rand.rand()
    again = clone(estimator).fit(Drawing(images))
    np.testing.assert_array_equal(again.labels_, first)
    np.testing.assert_array_equal(again.cluster_centers_, estimator.cluster_centers_)
    random.setstate(before[0])
    assert len(before[1]) == 624


@pytest.mark.parametrize("name", ["learner", "windows", "bag", "contrast", "patches"])
def test_a_dataset_that_draws_for_patches(images, name):
    estimator = clone(ESTIMATORS[name])
    with torch.random.fork_rng(devices=[]):
        before = random.getstate(), torch.get_rng_state().tolist()
        first = np.asarray(estimator.fit(Drawing(images)).transform(Drawing(images)))
        assert (random.getstate(), torch.get_rng_state().tolist()) == before
    reread = np.asarray(estimator.transform(Drawing(images)))
    np.testing.assert_array_equal(reread, first)
    np.testing.assert_array_equal(clone(estimator).fit_transform(Drawing(images)), first)
