"""What the runs become: the vote, and the fitted attributes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

from .._core.consensus import Vote, agreement_matrix
from .._utils.warn import warn
from .members import Job, run_weights
from .number_of_clusters import stability, stablest
from .runs import Run


def voted(
    jobs: Sequence[Job],
    fits: Sequence[Sequence[Run]],
    candidates: Sequence[int],
    weights: Any,
    random_state: int,
) -> dict[str, Any]:
    """The fitted attributes of a `ConsensusClusterer`.

    Parameters
    ----------
    jobs : sequence of Job
    fits : sequence of sequence of Run
        Of each job, for each number of clusters.
    candidates : sequence of int
        The numbers of clusters.
    weights : "agreement", None or dict
    random_state : int
        Of the vote.

    Returns
    -------
    dict
    """
    curve = stability(candidates, [[run.labels for run in fit] for fit in fits])
    best = stablest(curve)
    runs, names = [fit[best] for fit in fits], [job.name for job in jobs]
    labelings = [run.labels for run in runs]
    agreement = agreement_matrix(labelings)
    shares = run_weights(weights, names, agreement)
    sizes = [max(1, len(run.classes)) for run in runs]
    n_groups = len(np.unique(np.stack(labelings, 1), axis=0))
    n_clusters = min(n_groups, candidates[best])
    vote = Vote.of(labelings, sizes, n_clusters, shares, random_state)
    labels = vote.predict(labelings)
    n_clusters = len(np.unique(labels))
    if n_clusters < candidates[best]:
        warn(
            f"Only {n_clusters} clusters instead of {candidates[best]}: the runs tell {n_groups} "
            "groups of images apart. Give the estimators more clusters.",
            ConvergenceWarning,
        )
    return {
        "labels_": labels,
        "n_clusters_": n_clusters,
        "confidence_": vote.confidence(labelings, labels),
        "agreement_": agreement,
        "weights_": shares,
        "member_weights_": _sums_by_name(names, shares),
        "estimators_": [run.estimator for run in runs],
        "named_estimators_": _by_name(names, [run.estimator for run in runs]),
        "stability_": curve,
        "_classes": [run.classes for run in runs],
        # Plain arrays, which any way of storing a model takes.
        "_vote": asdict(vote),
    }


def _by_name(names, estimators):
    named = Bunch()
    for name, estimator in zip(names, estimators, strict=True):
        named.setdefault(name, []).append(estimator)
    return named


def _sums_by_name(names, weights):
    sums = dict.fromkeys(names, 0.0)
    for name, weight in zip(names, weights.tolist(), strict=True):
        sums[name] += weight
    return sums
