"""The choices of `init`: from samples, the number of centers and `rng` to centers."""

import numpy as np
import torch

from .hierarchical import hierarchical
from .seeding import energy_plusplus, kmeans_plusplus, sample_rows

_MANY = 400


def auto(X: torch.Tensor, n_rows: int, rng: np.random.RandomState) -> torch.Tensor:
    """`hierarchical` for many centers, otherwise `sample_rows`."""
    return (hierarchical if n_rows >= _MANY else sample_rows)(X, n_rows, rng)


#: The choices of `init`.
SEEDINGS = {
    "auto": auto,
    "sample": sample_rows,
    "k-means++": kmeans_plusplus,
    "hierarchical": hierarchical,
}
#: Those that suit filters of unit length alone.
DIRECTION_SEEDINGS = {"energy": energy_plusplus}
