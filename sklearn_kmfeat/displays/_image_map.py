"""Where the thumbnails of a map go, and the one picture that they make.

Places on the picture are pixels: to the right, and down from the top.
"""

import math

import numpy as np

# How far beyond the quartiles the limits reach, in distances between these: 5.4 standard deviations
# of a normal distribution. What lies farther out would squash the rest.
_REACH = 3.5
# But no more images than these on each side are left out: a cluster of its own is no outlier.
_LEFT_OUT = 0.04


def limits(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest coordinates that are drawn, without outliers, each of shape (2,).

    There are outliers among ten images or more.
    """
    low, high = np.transpose([_limits_of(values) for values in np.sort(positions, axis=0).T])
    same = high == low
    return np.where(same, low - 0.5, low), np.where(same, high + 0.5, high)


def _limits_of(ordered):
    """Those of one coordinate, of all images in increasing order."""
    n_out = math.ceil(_LEFT_OUT * len(ordered)) if len(ordered) >= 10 else 0
    first, third = np.quantile(ordered, [0.25, 0.75])
    reach = _REACH * (third - first)
    lowest, highest = min(first - reach, ordered[n_out]), max(third + reach, ordered[-1 - n_out])
    inside = ordered[(ordered >= lowest) & (ordered <= highest)]
    low, high = inside[0], inside[-1]
    # What is drawn at the edge keeps off the rest.
    margin = 0.1 * (high - low)
    return max(ordered[0], low - margin), min(ordered[-1], high + margin)


class Canvas:
    """A picture, and how coordinates become its pixels.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the picture.
    size : (int, int)
        Height and width of the largest thumbnail.
    frame : int
        Width of the frame around a thumbnail.
    low, high : ndarray of shape (2,)
        Coordinates, x and y, whose thumbnails just fit in.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        size: tuple[int, int],
        frame: int,
        low: np.ndarray,
        high: np.ndarray,
    ):
        self.frame = frame
        self.tile = np.array([size[1], size[0]]) + 2 * frame
        self.shape = tuple(np.maximum(shape, 2 * self.tile[::-1]).tolist())
        inner = np.array([self.shape[1], self.shape[0]]) - self.tile
        unit = (high - low) / inner
        self._scale = np.array([1, -1]) / unit
        self._left_top = np.array([low[0], high[1]]) - self.tile / 2 / self._scale
        self.low, self.high = low, high

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the picture, in coordinates."""
        right_bottom = self._left_top + np.array(self.shape[::-1]) / self._scale
        return self._left_top[0], right_bottom[0], right_bottom[1], self._left_top[1]

    def pixels(self, positions: np.ndarray) -> np.ndarray:
        """Pixels of coordinates, a float array of shape (n, 2); outliers are at the edge."""
        return (positions.clip(self.low, self.high) - self._left_top) * self._scale

    def with_room(
        self, positions: np.ndarray, min_distance: float, n_images: int | None
    ) -> np.ndarray:
        """Which thumbnails are drawn, none of them over another, in increasing order.

        From one corner to the opposite one, every image gets a place that is not taken yet. So a
        quarter more of them find room than in random order, nearly as many as where each next one
        shuts out the fewest others.

        Parameters
        ----------
        positions : ndarray of shape (n, 2)
        min_distance : float
            Between the centers of two, in widths or in heights of a thumbnail.
        n_images : int or None
            The most of them, then drawn at random.
        """
        apart = np.ceil(min_distance * self.tile).astype(int)
        centers = np.rint(self.pixels(positions)).astype(int)
        # The places where a center would be too near to those of before.
        taken = np.zeros(np.array(self.shape) + 1, dtype=bool)
        chosen = []
        for i in np.argsort(centers.sum(axis=1), kind="stable").tolist():
            x, y = centers[i].tolist()
            if not taken[y, x]:
                left, top = (max(0, k - d + 1) for k, d in zip((x, y), apart, strict=True))
                taken[top : y + apart[1], left : x + apart[0]] = True
                chosen.append(i)
        chosen = np.array(chosen, dtype=int)
        if n_images is not None and n_images < len(chosen):
            chosen = np.random.RandomState(0).choice(chosen, n_images, replace=False)
        return np.sort(chosen)

    def picture(self, tiles: np.ndarray, positions: np.ndarray, colors: np.ndarray) -> np.ndarray:
        """Draw thumbnails in frames, on what is transparent.

        Parameters
        ----------
        tiles : ndarray of shape (n, h, w, 3)
            Values in 0..1, NaN where blank: what is blank around an image is left out, so that
            its frame is close to it; inside it is white.
        positions : ndarray of shape (n, 2)
        colors : ndarray of shape (n, 3)
            Of the frames, in 0..1.

        Returns
        -------
        ndarray of shape (*shape, 4), dtype uint8
        """
        # Transparent white: on the border of a frame, no black shines through.
        picture = np.full((*self.shape, 4), 255, dtype=np.uint8)
        picture[..., 3] = 0
        centers = np.rint(self.pixels(positions)).astype(int)
        frame = self.frame
        for tile, (x, y), color in zip(tiles, centers, colors, strict=True):
            tile = _without_margin(tile)
            height, width = tile.shape[:2]
            top, left = y - height // 2, x - width // 2
            top = min(max(frame, top), self.shape[0] - frame - height)
            left = min(max(frame, left), self.shape[1] - frame - width)
            around = np.s_[top - frame : top + height + frame, left - frame : left + width + frame]
            picture[around] = (*_as_bytes(color), 255)
            picture[top : top + height, left : left + width, :3] = _as_bytes(tile)
        return picture


def _as_bytes(values):
    return np.rint(255 * np.nan_to_num(values, nan=1.0)).astype(np.uint8)


def _without_margin(tile):
    """Cut off rows and columns at the sides that are blank; a blank tile stays."""
    seen = ~np.isnan(tile[..., 0])
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return tile
    return tile[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
