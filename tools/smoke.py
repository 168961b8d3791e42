"""What an installed wheel must do with nothing else in its environment.

    python -I tools/smoke.py

Fits, transforms, predicts, loads the samples, and asks for a picture where matplotlib is missing.
"""

from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import sklearn_kmfeat
from sklearn_kmfeat import BagOfPatches, ConsensusClusterer, FilterDisplay, KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample

CHECKOUT = Path(__file__).parents[1]


def main():
    """Raise where something is wrong."""
    extras = [name for name in ("dask", "distributed", "matplotlib", "rich") if find_spec(name)]
    assert not extras, f"{extras} are here: the environment should hold the package alone"
    home = Path(sklearn_kmfeat.__file__)
    assert CHECKOUT not in home.parents, f"{home} is the checkout, not the wheel"
    assert version("sklearn-kmfeat") == sklearn_kmfeat.__version__
    assert files("sklearn_kmfeat").joinpath("py.typed").is_file()

    digits, photographs = load_mnist_sample().images, load_cifar10_sample().images
    assert (digits.shape, photographs.shape) == ((10_000, 28, 28), (2000, 32, 32, 3))
    learner = KMeansFilterLearner(8, n_patches=2000, max_iter=5, random_state=0)
    assert learner.fit_transform(photographs[:50]).shape == (50, 32)
    assert BagOfPatches(8, n_patches=2000, random_state=0).fit_transform(digits[:50]).shape[1] == 8
    labels = ConsensusClusterer(3, n_runs=1, random_state=0).fit_predict(digits[:100])
    assert set(labels) == {0, 1, 2}
    refused(lambda: FilterDisplay.from_estimator(learner), "matplotlib")
    refused(lambda: __import__("sklearn_kmfeat.dask"), "dask")
    print(f"sklearn_kmfeat {sklearn_kmfeat.__version__} runs from {home.parent}")


def refused(call, missing):
    """Check that an ImportError names the package that is missing."""
    try:
        call()
    except ImportError as error:
        if missing in str(error):
            return
        raise
    raise AssertionError(f"{missing} was not missed")


if __name__ == "__main__":
    main()
