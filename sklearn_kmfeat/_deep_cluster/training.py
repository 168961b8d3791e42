"""The epochs of a fit, and what happens after each of them outside the net."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from skorch import NeuralNet

from .._utils.progress import FitProgress
from .checkpoint import write_checkpoint
from .guard import CollapseGuard
from .messages import epoch_note
from .sources import ImageBatches


def train(
    estimator: Any,
    net: NeuralNet,
    batches: ImageBatches,
    classes: np.ndarray | None,
    progress: FitProgress,
    checkpoint: Path | None,
    fingerprint: dict[str, Any],
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
    checkpoint : Path or None
        The file that is written after each epoch.
    fingerprint : dict
        That of the run, for its checkpoints.
    fitted : callable
        Gives the fitted attributes as if the fit ended now, for callbacks of scikit-learn.

    Returns
    -------
    bool
        False if the user interrupted.
    """
    guard = CollapseGuard(net.recipe.n_labels)
    begin, n_before = perf_counter(), len(net.records_)
    n_epochs = estimator.max_epochs

    def on_epoch(state):
        if checkpoint is not None:
            write_checkpoint(checkpoint, fingerprint, state)
        record = state["records"][-1]
        guard(record)
        seconds_each = (perf_counter() - begin) / (record["epoch"] - n_before)
        seconds_left = seconds_each * (n_epochs - record["epoch"])
        return task.step(epoch_note(record, n_epochs, seconds_left), fitted)

    with progress.task("epoch", n_epochs or None) as task:
        task.n_steps = n_before
        return net.train(batches, n_epochs, classes, on_epoch)
