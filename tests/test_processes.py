"""Other processes: started anew they give the same as this one."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from test_settings import ESTIMATORS, assert_same, outcome

NAMES = ["learner", "supervised", "reset"]
METHODS = [m for m in ("spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).randint(0, 256, (48, 12, 12, 3), dtype=np.uint8)


def arrays(name, X):
    return outcome(clone(ESTIMATORS[name]), X, np.arange(len(X)) % 4)


@pytest.mark.parametrize("method", METHODS)
def test_processes_that_begin_anew(images, method):
    """After this one has computed, so that a fork would hang."""
    expected = [arrays(name, images) for name in NAMES]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = list(pool.map(arrays, NAMES, [images] * len(NAMES)))
    for each, same in zip(found, expected, strict=True):
        assert_same(each, same)


def test_workers_of_joblib(images):
    expected = arrays("learner", images)
    for found in Parallel(n_jobs=2)(delayed(arrays)("learner", images) for _ in range(2)):
        assert_same(found, expected)
    model = make_pipeline(clone(ESTIMATORS["learner"]), RidgeClassifier())
    grid = {"kmeansfilterlearner__n_filters": [4, 8]}
    scores = [
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, error_score="raise")
        .fit(images, np.arange(48) % 4)
        .cv_results_["mean_test_score"]
        for n_jobs in (None, 2)
    ]
    np.testing.assert_array_equal(*scores)


COMPARES = """
import numpy as np, torch
from sklearn_kmfeat import BagOfPatches, ChannelConnections, ConvKMeans, KMeansFilterLearner
X = np.random.RandomState(0).randint(0, 256, (60, 14, 14, 3), dtype=np.uint8)
common = {"random_state": 0, "max_iter": 5}
patches = common | {"n_patches": 4000}
groups = ChannelConnections(3, 2, random_state=0)
for learner in (
    KMeansFilterLearner(12, **patches),
    KMeansFilterLearner(260, pool_size=5, pool_stride=2, mirror=True, **patches),
    KMeansFilterLearner(40, init="k-means++", encoder="hard", stride=2, **patches),
    KMeansFilterLearner(700, algorithm="random", encoder="knn", output="maps", **patches),
    KMeansFilterLearner(12, algorithm="spherical", encoder="soft_threshold", **patches),
    BagOfPatches(30, patch_size=4, n_init=2, **patches),
    ConvKMeans(8, patch_size=4, n_windows=2000, **common),
    ConvKMeans(4, patch_size=4, n_windows=500, connections=groups, **common),
):
    found = []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        found.append((learner.fit(X).cluster_centers_, learner.transform(X)))
    for one, several in zip(*found, strict=True):
        assert one.tobytes() == several.tobytes(), learner
"""


def test_learners_are_equal_to_the_bit_with_any_number_of_threads():
    subprocess.run([sys.executable, "-c", COMPARES], check=True)


def test_torchvision_is_imported_where_it_is_needed():
    """It takes half as long as `import torch`, and most uses need none of it."""
    code = "import sys, sklearn_kmfeat; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
