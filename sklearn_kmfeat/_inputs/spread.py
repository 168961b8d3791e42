"""Images that lie on several machines: what is computed goes to them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core.patches import PatchGrid
from .._core.rows import Rows
from .base import ImageSource
from .locations import Locations
from .request import Request


class SpreadSource(ImageSource):
    """Images in blocks, none of which is here.

    The contract for a new one: `added` and `cut` compute where the blocks are, and `read` brings
    some images here, for what cannot be divided. A batch is what lies together.
    """

    @abstractmethod
    def cut(
        self,
        grid: PatchGrid,
        locations: Locations,
        *,
        image_eps: float | None = None,
        groups: Sequence[np.ndarray | None] = (None,),
        on_batch: Callable[[], Any] | None = None,
    ) -> list[Rows]:
        """The patches at given locations, which stay where they are; see `cut_patches`."""


class SpreadImages(ABC):
    """An X that becomes a `SpreadSource`."""

    @abstractmethod
    def source(self, request: Request) -> SpreadSource:
        """The source of X, checked."""


def is_spread(X: Any) -> bool:
    """Whether the images of X lie on several machines."""
    return isinstance(X, SpreadImages)


def spread_source(X: SpreadImages, request: Request) -> SpreadSource:
    """The source of images on several machines."""
    return X.source(request)
