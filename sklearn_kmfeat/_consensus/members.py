"""The members of a vote: their names, how often each is fitted, and how much it weighs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor

from .._core.consensus import mean_agreement


class Job(NamedTuple):
    """One run of one member.

    Attributes
    ----------
    name : str
    member : estimator
    seed : int
    """

    name: str
    member: Any
    seed: int


def checked_members(estimators: Any) -> list[tuple[str, Any]]:
    """Names and estimators, as `VotingClassifier` takes them, less those that are "drop".

    Raises
    ------
    ValueError, TypeError
        With what was expected.
    """
    expected = 'estimators must be a list of (name, estimator), such as [("pixels", KMeans(10))]'
    try:
        members = [(name, member) for name, member in estimators]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected}, got {estimators!r}.") from error
    for name, member in members:
        if not isinstance(name, str):
            raise ValueError(f"{expected}; {name!r} is no name.")
        if not _is_drop(member):
            _check_member(name, member, expected)
    kept = [(name, member) for name, member in members if not _is_drop(member)]
    if not kept:
        raise ValueError(f"{expected}; there is none to fit.")
    return kept


def _check_member(name, member, expected):
    if isinstance(member, type) or not (hasattr(member, "fit") and hasattr(member, "get_params")):
        raise TypeError(f"{expected}; for {name!r} there is {member!r}.")
    if is_classifier(member) or is_regressor(member):
        raise TypeError(f"{expected}; {name!r} learns from labels, and there are none.")
    if not (hasattr(member, "predict") or hasattr(member, "fit_predict")):
        raise TypeError(
            f"{expected}; {name!r} finds no clusters: put a clusterer after it, in a Pipeline."
        )


def jobs_of(
    members: Sequence[tuple[str, Any]], n_runs: int, rng: np.random.RandomState
) -> list[Job]:
    """The runs of each member: `n_runs` if it draws random numbers, otherwise one."""
    return [
        Job(name, member, int(rng.randint(2**31 - 1)))
        for name, member in members
        for _ in range(n_runs if _is_random(member) else 1)
    ]


def run_weights(weights: Any, names: Sequence[str], agreement: np.ndarray) -> np.ndarray:
    """The weight of each run; they sum to one.

    Parameters
    ----------
    weights : "agreement", None or dict
        A dict gives the weight of each member.
    names : sequence of str
        The member of each run.
    agreement : ndarray of shape (r, r)
        Between the runs.

    Returns
    -------
    float64 ndarray of shape (r,)
    """
    if isinstance(weights, dict):
        raw = np.array([weights[name] / names.count(name) for name in names])
    elif weights is None:
        raw = np.ones(len(names))
    else:
        raw = agreement_with_others(names, agreement).clip(min=0)
    # Runs of which none agrees with another are all as good, or as bad.
    return raw / raw.sum() if raw.any() else np.full(len(names), 1 / len(names))


def agreement_with_others(names: Sequence[str], agreement: np.ndarray) -> np.ndarray:
    """The mean agreement (r,) of each run with those of other members.

    A member that is wrong in the same way each time agrees with itself. Of two members nobody can
    tell which is wrong: then the other runs of the same one count, too.
    """
    if len(set(names)) < 3:
        return mean_agreement(agreement)
    others = np.array([[a != b for b in names] for a in names])
    return (agreement * others).sum(1) / others.sum(1)


def weights_by_name(weights: Any, estimators: Sequence[tuple[str, Any]]) -> Any:
    """The weights of members as a dict, where they are an array; otherwise as they are.

    Raises
    ------
    ValueError
        For another number of weights than estimators, and for weights below zero.
    """
    if weights is None or isinstance(weights, str):
        return weights
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (len(estimators),):
        raise ValueError(
            f"weights must be one number for each of the {len(estimators)} estimators, got "
            f"{weights!r}."
        )
    if not np.isfinite(values).all() or values.min() < 0 or not values.any():
        raise ValueError(f"weights must not be negative, nor all zero, got {weights!r}.")
    return {name: value for (name, _), value in zip(estimators, values.tolist(), strict=True)}


def _is_drop(member):
    return isinstance(member, str) and member == "drop"


def _is_random(member):
    names = member.get_params()
    return any(name == "random_state" or name.endswith("__random_state") for name in names)
