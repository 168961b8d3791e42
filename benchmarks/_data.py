"""Images for the benchmarks: the full sets where they are, otherwise the shipped samples."""

from pathlib import Path

import numpy as np
from joblib import hash as hash_of
from sklearn.model_selection import train_test_split

from sklearn_kmfeat import datasets


def cifar10_images(n_images):
    """Training images of CIFAR-10; the shipped sample, repeated, where the full set is not there.

    Returns
    -------
    images : uint8 ndarray of shape (n_images, 32, 32, 3)
    origin : str
        Which of both.
    """
    try:
        return datasets.fetch_cifar10().images[:n_images], "CIFAR-10"
    except OSError:
        sample = datasets.load_cifar10_sample().images
        return np.resize(sample, (n_images, *sample.shape[1:])), "the shipped CIFAR-10 sample"


def revision():
    """What a measurement is kept for: the code of the package and of the classifiers."""
    package = Path(datasets.__file__).parents[1]
    files = [*sorted(package.rglob("*.py")), Path(__file__).parent / "_linear.py"]
    return hash_of([file.read_text(encoding="utf-8") for file in files])


#: Training images of CIFAR-10 that settings are compared on, and others of them that judge.
N_TRAINING, N_HELD_OUT = 8_000, 6_000


def held_out(quick):
    """Images and labels, each of so many training images and of those that judge."""
    fetch, load_sample = datasets.fetch_cifar10, datasets.load_cifar10_sample
    X, _, y, _ = train_and_test(fetch, load_sample, quick)
    order = np.random.RandomState(0).permutation(len(X))
    fitted, judges = (1000, 500) if quick else (N_TRAINING, N_HELD_OUT)
    parts = order[:fitted], order[fitted : fitted + judges]
    return [X[part] for part in parts], [y[part] for part in parts]


def train_and_test(fetch, load_sample, quick, n_test=500):
    """X_train, X_test, y_train, y_test of a full set, or of the shipped sample when `quick`."""
    if not quick:
        (X, y), (X_test, y_test) = (
            fetch(subset=subset, return_X_y=True) for subset in ("train", "test")
        )
        return X, X_test, y, y_test
    X, y = load_sample(return_X_y=True)
    return train_test_split(X, y, test_size=n_test, stratify=y, random_state=0)
