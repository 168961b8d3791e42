"""Warnings when a clustering collapses, with what to change."""

import math
import warnings

from sklearn.exceptions import ConvergenceWarning

_LEAST_SPREAD = 1e-5
_MOST_EMPTY = 0.2
_GUESSING = 0.98
_EPOCHS_TO_START = 10


def signs_of_collapse(record, n_labels):
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
    found = {}
    guessing = sum(map(math.log, n_labels)) / len(n_labels)
    if record["epoch"] >= _EPOCHS_TO_START and record["loss"] > _GUESSING * guessing > 0:
        found["loss"] = (
            f"the loss, {record['loss']:.2f}, is that of guessing ({guessing:.2f}): nothing is "
            "learned. Try a smaller batch_size, a larger lr, or fewer n_pseudo_labels"
        )
    if "largest" not in record:
        return found
    n_labels = n_labels[0]
    if n_labels > 1 and record["largest"] > 0.5 + 0.5 / n_labels:
        found["largest"] = (
            f"one cluster holds {record['largest']:.0%} of the images: the network tells few of "
            "them apart. Try more n_pseudo_labels, stronger augment, or a smaller lr"
        )
    if record["n_empty"] > _MOST_EMPTY * n_labels:
        found["n_empty"] = (
            f"{record['n_empty']} of {n_labels} clusters are empty: there are fewer different "
            "embeddings than clusters. Try fewer n_pseudo_labels or a smaller lr"
        )
    if record["spread"] < _LEAST_SPREAD:
        found["spread"] = (
            f"the embeddings hardly differ (variance {record['spread']:.1e} at unit length). "
            "Try a smaller lr, a network with batch normalisation, or sampling='uniform'"
        )
    return found


class CollapseGuard:
    """Warns of each sign of collapse once in a fit.

    Parameters
    ----------
    n_labels : sequence of int
    """

    def __init__(self, n_labels):
        self.n_labels = n_labels
        self.told = set()

    def __call__(self, record):
        """Look at an epoch."""
        for sign, sentence in signs_of_collapse(record, self.n_labels).items():
            if sign not in self.told:
                self.told.add(sign)
                warnings.warn(
                    f"Epoch {record['epoch']}: {sentence}.", ConvergenceWarning, stacklevel=2
                )
