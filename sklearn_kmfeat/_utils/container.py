"""Containers of what a transformer gives, beyond scikit-learn's own wrapping."""

from typing import Any

import numpy as np
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_container_adapter


def set_container(estimator: Any, transform: str | None) -> Any:
    """What `set_output` does, whether or not the estimator gives rows now.

    scikit-learn has no `set_output` where there are no names of features: an estimator whose
    parameters decide that would lose the setting, and stop a whole Pipeline.

    Parameters
    ----------
    estimator : estimator
    transform : str or None
        The container.

    Returns
    -------
    estimator
    """
    if transform is None:
        return estimator
    if transform not in ADAPTERS_MANAGER.supported_outputs:
        raise ValueError(
            f"transform must be one of {sorted(ADAPTERS_MANAGER.supported_outputs)}, got "
            f"{transform!r}."
        )
    estimator._sklearn_output_config = {"transform": transform}
    return estimator


def in_container(estimator: Any, rows: np.ndarray) -> Any:
    """Rows that are not those of X, in the container asked for.

    scikit-learn would give them the index of X.

    Parameters
    ----------
    estimator : estimator
    rows : ndarray of shape (n, f)

    Returns
    -------
    ndarray or DataFrame
    """
    adapter = _get_container_adapter("transform", estimator)
    if adapter is None:
        return rows
    return adapter.create_container(rows, None, estimator.get_feature_names_out)
