"""What the user reads of a fit: the line of an epoch, and warnings at the end."""

import math
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .._utils.warn import warn

# Characters of the bar: a line with all numbers stays below 80.
_BAR_WIDTH = 20


def epoch_note(record: dict[str, Any], n_epochs: int, seconds_left: float) -> str:
    """The end of a line of `verbose`: a bar, loss, NMI and time left.

    Parameters
    ----------
    record : dict
        Of the epoch that has ended, as in `history_`.
    n_epochs : int
        In all.
    seconds_left : float
        Of all runs.
    """
    done = round(_BAR_WIDTH * record["epoch"] / n_epochs)
    minutes, seconds = divmod(round(max(0.0, seconds_left)), 60)
    nmi = record.get("nmi", math.nan)
    return (
        f" [{'#' * done}{'.' * (_BAR_WIDTH - done)}] loss {record['loss']:.4f}"
        f"{'' if math.isnan(nmi) else f', NMI {nmi:.3f}'}, {minutes}:{seconds:02d} left"
    )


def warn_of_the_end(
    estimator: Any, attributes: dict[str, Any], finished: bool, n_runs: int
) -> None:
    """Warn where a fit did not come to what was asked for.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read.
    attributes : dict
        The fitted ones.
    finished : bool
        Whether no interrupt ended the run that was kept.
    n_runs : int
        How many there were to be.
    """
    warn_of_other_n_epochs(attributes["n_iter_"], estimator.max_epochs, finished)
    warn_of_fewer_runs(len(attributes["agreement_"]), n_runs)
    warn_of_fewer_clusters(len(attributes["cluster_centers_"]), estimator.n_clusters)


def warn_of_other_n_epochs(n_done: int, n_epochs: int, finished: bool) -> None:
    """Warn where more or fewer epochs were done than asked for."""
    if finished and n_done <= n_epochs:
        return
    cause = "There were more before" if finished else "Interrupted"
    warn(f"{cause}: this is the state after {n_done} of {n_epochs} epochs.", ConvergenceWarning)


def warn_of_fewer_runs(n_done: int, n_runs: int) -> None:
    """Warn where the user interrupted the runs."""
    if n_done < n_runs:
        warn(f"Interrupted: this is the best of {n_done} of {n_runs} runs.", ConvergenceWarning)


def warn_of_fewer_clusters(n_found: int, n_clusters: int) -> None:
    """Warn where fewer clusters came out than asked for."""
    if n_found < n_clusters:
        warn(
            f"Only {n_found} clusters came out of n_clusters={n_clusters}: the network gives no "
            "more different embeddings than that.",
            ConvergenceWarning,
        )
