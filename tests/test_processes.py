"""Other processes: started anew they give the same as this one."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

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


PRINTS = """
import sys, numpy as np, torch
from sklearn_kmfeat import ConvKMeans, KMeansFilterLearner
torch.set_num_threads(int(sys.argv[1]))
X = np.random.RandomState(0).randint(0, 256, (60, 14, 14, 3), dtype=np.uint8)
for learner in (
    KMeansFilterLearner(12, n_patches=4000, max_iter=5, random_state=0),
    KMeansFilterLearner(12, algorithm="spherical", n_patches=4000, random_state=0),
    ConvKMeans(8, patch_size=4, n_windows=2000, max_iter=5, random_state=0),
):
    print(learner.fit(X).cluster_centers_.tobytes().hex())
"""


def test_learners_are_equal_to_the_bit_with_any_number_of_threads():
    one, two = (
        subprocess.run(
            [sys.executable, "-c", PRINTS, str(n)], capture_output=True, text=True, check=True
        ).stdout
        for n in (1, 2)
    )
    assert one == two


def test_torchvision_is_imported_where_it_is_needed():
    """It takes half as long as `import torch`, and most uses need none of it."""
    code = "import sys, sklearn_kmfeat; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
