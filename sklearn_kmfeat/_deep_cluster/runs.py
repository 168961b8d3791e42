"""Independent runs of deep clustering; the one that agrees most with the others is kept."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._core.consensus import agreement_matrix, mean_agreement
from .._inputs.base import ImageSource
from .._utils.progress import FitProgress
from .checkpoint import write_checkpoint
from .final import fitted_attributes
from .layers import SPACES, check_layer, layer_width
from .parameters import clusters_projections
from .ranks import Ranks
from .resume import net_of_run, start_of
from .sharing import bring_together, take_from_first, whole_state
from .sources import ImageBatches
from .state import state_of
from .training import train


class Runs:
    """The runs of a fit, one after the other.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read, and with `warm_start` its `net_`.
    batches : ImageBatches
        The training images.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    ranks : Ranks
    checkpoint : Path or None
        The file that holds all runs; they go on from it if it exists. In the first process.
    known : dict
        Fitted attributes that all runs share.

    Attributes
    ----------
    n_runs : int
        How many there are to be: `n_init`, or one that goes on from the last fit.
    """

    def __init__(
        self,
        estimator: Any,
        batches: ImageBatches,
        shape: tuple[int, int, int],
        ranks: Ranks,
        checkpoint: Path | None,
        known: dict[str, Any],
    ):
        self.estimator, self.checkpoint = estimator, checkpoint
        self.images, self.ranks = (batches, shape), ranks
        self.start = start_of(estimator, batches, shape, checkpoint, ranks)
        self.known = known | {"_fingerprint": self.start.fingerprint}
        self.n_runs = 1 if self.start.warm else estimator.n_init
        # What the file holds: in the order of the runs, more of them where `n_init` was larger.
        self.states = list(self.start.states)

    def best(self, classes: np.ndarray | None, progress: FitProgress) -> tuple[dict, bool]:
        """Do all runs and choose one.

        An interrupt by the user drops the run that it hits, unless there is no other.

        Parameters
        ----------
        classes : int ndarray of shape (n,) or None
            Which pseudo-labels are compared with.
        progress : FitProgress

        Returns
        -------
        attributes : dict
            The fitted attributes of the run, with ``agreement_``.
        finished : bool
            False if the run that was kept was interrupted.
        """
        runs, ended = [], []
        for i in range(self.n_runs):
            try:
                attributes, end, interrupted = self._run(i, classes, progress)
            except KeyboardInterrupt:
                if not runs or self.ranks.size > 1:
                    raise
                break
            if not interrupted or not runs:
                runs.append(attributes)
                ended.append(end)
            if interrupted:
                break
        best, matrix = most_agreeing(
            [each["labels_"] for each in runs], [each["inertia_"] for each in runs]
        )
        return runs[best] | {"agreement_": matrix}, ended[best]

    def _run(self, i, classes, progress):
        """Attributes of a run, whether it was finished, and whether the user interrupted it."""
        estimator, (batches, shape) = self.estimator, self.images
        net = net_of_run(estimator, self.start, i, batches, shape, self.ranks)
        if estimator.layer not in SPACES:
            check_layer(net, estimator.layer, SPACES)
            layer_width(net, estimator.layer, shape)
        on_projection = clusters_projections(estimator, shape)

        def fitted():
            parts = (net, batches, shape, estimator.n_clusters, on_projection)
            return self.known | {"agreement_": np.ones((1, 1))} | fitted_attributes(*parts)

        def in_the_end():
            take_from_first(net)
            attributes = fitted()
            bring_together(net)
            return attributes

        finished = self._stopped_before(i)
        if finished is not None:
            return in_the_end(), finished, False
        save = None if estimator.checkpoint is None else partial(self._save, i, net)
        place = i, self.n_runs
        finished = train(estimator, net, batches, classes, progress, place, save, fitted)
        stopped = net.stopped_ and len(net.records_) < estimator.max_epochs
        if save is not None and stopped and self.n_runs > 1:
            save(state_of(net) | {"stopped": [estimator.max_epochs, finished]})
        return in_the_end(), finished, not finished and not net.stopped_

    def _stopped_before(self, i):
        """Whether a run of the file was finished, if a callback stopped it; otherwise None.

        With the same number of epochs it would not go on if the fit had never been killed.
        """
        if i >= len(self.start.states):
            return None
        n_epochs, finished = self.start.states[i].get("stopped", (None, None))
        return finished if n_epochs == self.estimator.max_epochs and self.n_runs > 1 else None

    def _save(self, i, net, state):
        state = whole_state(net, state)
        if self.checkpoint is None:
            return
        self.states[i : i + 1] = [state]
        write_checkpoint(self.checkpoint, self.start.fingerprint, {"runs": self.states})


def known_of(source: ImageSource) -> dict[str, Any]:
    """The fitted attributes that the images alone decide."""
    known = {"image_shape_": source.image_shape}
    if source.n_features is not None:
        known["n_features_in_"] = source.n_features
    return known


def most_agreeing(
    labelings: Sequence[np.ndarray], inertias: Sequence[float]
) -> tuple[int, np.ndarray]:
    """The clustering that agrees most with the others.

    Parameters
    ----------
    labelings : r int arrays of shape (n,)
    inertias : r floats
        The lower one is chosen of two that agree as much, as two alone always do.

    Returns
    -------
    best : int
    agreement : ndarray of shape (r, r)
        Adjusted Rand indices.
    """
    matrix = agreement_matrix(labelings)
    # The last key is the first in order.
    return int(np.lexsort([inertias, -mean_agreement(matrix)])[0]), matrix
