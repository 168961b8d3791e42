"""The epochs of a fit, and what happens after each of them outside the net."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from skorch import NeuralNet

from .._utils.progress import FitProgress
from .guard import CollapseGuard
from .messages import epoch_note
from .sources import ImageBatches


def train(
    estimator: Any,
    net: NeuralNet,
    batches: ImageBatches,
    classes: np.ndarray | None,
    progress: FitProgress,
    place: tuple[int, int],
    save: Callable[[dict[str, Any]], None] | None,
    fitted: Callable[[], dict[str, Any]],
) -> bool:
    """Run the epochs that are left: write checkpoints, warn of a collapse, report progress.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read.
    net : _DeepClusterNet
        In the state from which the fit goes on.
    batches : ImageBatches
    classes : int ndarray of shape (n,) or None
        Which pseudo-labels are compared with.
    progress : FitProgress
    place : (int, int)
        Which run this is, from zero, and how many there are.
    save : callable or None
        Called with the state of the net after each epoch.
    fitted : callable
        Gives the fitted attributes as if the fit ended now, for callbacks of scikit-learn. Those
        are called in the first of several processes, which cannot make them alone.

    Returns
    -------
    bool
        False if the user interrupted, or a callback of skorch.
    """
    fitted = fitted if net.ranks.size == 1 else _refuse_fitted
    guard = CollapseGuard(net.recipe.n_labels)
    begin, n_before = perf_counter(), len(net.records_)
    n_epochs, (run, n_runs) = estimator.max_epochs, place
    name = "epoch" if n_runs == 1 else f"run {run + 1}/{n_runs}, epoch"

    def on_epoch(state):
        if save is not None:
            save(state)
        record = state["records"][-1]
        guard(record)
        seconds_each = (perf_counter() - begin) / (record["epoch"] - n_before)
        n_left = (n_runs - run) * n_epochs - record["epoch"]
        return task.step(epoch_note(record, n_epochs, seconds_each * n_left), fitted)

    with progress.task(name, n_epochs or None) as task:
        task.n_steps = n_before
        return net.train(batches, n_epochs, classes, on_epoch)


def _refuse_fitted():
    raise RuntimeError(
        "A callback asked for the fitted attributes between two epochs, which distributed=True "
        "does not offer: without it, or after the fit, they are there."
    )
