"""Warnings when a clustering collapses, with what to change."""

import math
from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .._utils.warn import warn

# Of embeddings of float32 at unit length: their directions then differ by a few thousandths.
_LEAST_SPREAD = 1e-5
# Share of the clusters. K-means moves empty ones to other rows, so that some are left empty only
# where there are hardly more different rows than clusters.
_MOST_EMPTY = 0.2
# Share of the loss of guessing, log k. Pseudo-labels change, so that a loss near it is no sign in
# the first epochs; later one that learns is well below.
_NEARLY_GUESSING = 0.98
_EPOCHS_TO_START = 10


def signs_of_collapse(record: dict[str, Any], n_labels: Sequence[int]) -> dict[str, str]:
    """What is wrong with the clustering of an epoch.

    Parameters
    ----------
    record : dict
        With ``epoch``, ``loss``, ``largest``, ``n_empty`` and ``spread``, as in `history_`.
    n_labels : sequence of int
        Clusters asked for, of each classifier; all but the loss are of the first.

    Returns
    -------
    dict
        From the name of each sign to a sentence.
    """
    signs = {}
    guessing = sum(map(math.log, n_labels)) / len(n_labels)
    if record["epoch"] >= _EPOCHS_TO_START and record["loss"] > _NEARLY_GUESSING * guessing > 0:
        signs["loss"] = (
            f"the loss, {record['loss']:.2f}, is that of guessing ({guessing:.2f}): nothing is "
            "learned. Try a smaller batch_size, a larger lr, or fewer n_pseudo_labels"
        )
    if "largest" not in record:
        return signs
    n_labels = n_labels[0]
    # Half of the images, or half between an equal share and all of them where clusters are few.
    if n_labels > 1 and record["largest"] > 0.5 + 0.5 / n_labels:
        signs["largest"] = (
            f"one cluster holds {record['largest']:.0%} of the images: the network gives few "
            "different embeddings. Try more n_pseudo_labels, stronger augment, or a smaller lr"
        )
    if record["n_empty"] > _MOST_EMPTY * n_labels:
        signs["n_empty"] = (
            f"{record['n_empty']} of {n_labels} clusters are empty: there are fewer different "
            "embeddings than clusters. Try fewer n_pseudo_labels or a smaller lr"
        )
    if record["spread"] < _LEAST_SPREAD:
        signs["spread"] = (
            f"the embeddings hardly differ (variance {record['spread']:.1e} at unit length). "
            "Try a smaller lr, a network with batch normalisation, or sampling='uniform'"
        )
    return signs


class CollapseGuard:
    """Warns of each sign of collapse once in a fit.

    Parameters
    ----------
    n_labels : sequence of int
        Clusters asked for, of each classifier.
    """

    def __init__(self, n_labels: Sequence[int]):
        self.n_labels = n_labels
        self.warned_of = set()

    def __call__(self, record: dict[str, Any]) -> None:
        """Warn of the signs in the record of an epoch."""
        for sign, sentence in signs_of_collapse(record, self.n_labels).items():
            if sign not in self.warned_of:
                self.warned_of.add(sign)
                warn(f"Epoch {record['epoch']}: {sentence}.", ConvergenceWarning)
