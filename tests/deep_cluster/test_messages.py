"""What the user reads: progress, and warnings that point at the line of the call."""

import linecache

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from sklearn_kmfeat._deep_cluster.messages import (
    epoch_note,
    warn_of_fewer_clusters,
    warn_of_other_n_epochs,
)


def test_line_of_an_epoch():
    record = {"epoch": 1, "loss": 1.25, "nmi": np.nan}
    assert epoch_note(record, 2, 61) == f" [{'#' * 10}{'.' * 10}] loss 1.2500, 1:01 left"
    record = {"epoch": 2, "loss": 0.5, "nmi": 0.75}
    assert epoch_note(record, 2, -1) == f" [{'#' * 20}] loss 0.5000, NMI 0.750, 0:00 left"
    assert "NMI" not in epoch_note({"epoch": 2, "loss": 0.5}, 2, 0)


def test_warnings_are_for_what_differs():
    with pytest.warns(ConvergenceWarning, match="Interrupted.* after 2 of 5 epochs"):
        warn_of_other_n_epochs(2, 5, finished=False)
    with pytest.warns(ConvergenceWarning, match="There were more before.* after 5 of 2 epochs"):
        warn_of_other_n_epochs(5, 2, finished=True)
    with pytest.warns(ConvergenceWarning, match="Only 2 clusters came out of n_clusters=3"):
        warn_of_fewer_clusters(2, 3)
    # Warnings are errors in these tests.
    warn_of_other_n_epochs(5, 5, finished=True)
    warn_of_fewer_clusters(3, 3)


def two_images():
    return np.repeat(np.random.RandomState(0).randint(0, 256, (2, 8, 8)), 20, axis=0)


def flattened():
    return np.random.RandomState(0).rand(20, 144)


class Interrupt:
    """An augmentation during which the user interrupts the second epoch."""

    def __init__(self):
        self.n_calls = 0

    def __call__(self, batch):
        self.n_calls += 1
        # Three steps an epoch.
        if self.n_calls == 5:
            raise KeyboardInterrupt
        return batch


def interrupted():
    return {"augment": Interrupt(), "max_epochs": 3}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize(
    ("message", "params", "make_images"),
    [
        ("clusters are empty", lambda: {"augment": None, "max_epochs": 1}, two_images),
        ("Only [12] clusters came out", lambda: {"augment": None, "max_epochs": 1}, two_images),
        ("Interrupted", interrupted, lambda: np.random.RandomState(0).rand(40, 8, 8)),
        ("flattened images", lambda: {"max_epochs": 1}, flattened),
    ],
)
def test_warnings_point_at_the_line_of_the_call(message, params, make_images, in_pipeline, tiny):
    estimator, X = tiny(**params()), make_images()
    estimator = make_pipeline(estimator) if in_pipeline else estimator
    with pytest.warns(UserWarning, match=message) as records:
        estimator.fit(X)
    for record in records:
        assert record.filename == __file__
        assert linecache.getline(record.filename, record.lineno).strip() == "estimator.fit(X)"
