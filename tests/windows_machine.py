"""Windows, filters, and what naive code makes of them; tests compare with it."""

from itertools import product

import numpy as np
import pytest
import torch

from naive import normalize
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.whitening import Moments, Whitening, zca_matrices
from sklearn_kmfeat._core.windows import Windows

DTYPES = [torch.float32, torch.float64]


SHAPES = {  # window, patch, channels
    "square": ((6, 6), (3, 3), 3),
    "one offset": ((3, 4), (3, 4), 2),
    "tall": ((7, 4), (2, 4), 1),
    "wide": ((4, 9), (3, 5), 5),
    "pixels": ((3, 2), (1, 1), 4),
}


PREPARATIONS = list(product([None, 5.0], [False, True]))


every_shape = pytest.mark.parametrize("shape", SHAPES)


every_preparation = pytest.mark.parametrize(("eps", "whitening"), PREPARATIONS)


every_dtype = pytest.mark.parametrize("dtype", DTYPES)


class Machine:
    """Windows, filters, and the prepared patches of all windows as naive code finds them."""

    def __init__(self, shape="square", eps=5.0, whitening=True, dtype=torch.float64, n=40, k=7):
        rng = np.random.RandomState(0)
        size, self.patch, n_channels = SHAPES[shape]
        self.offsets = tuple(w - p + 1 for w, p in zip(size, self.patch, strict=True))
        self.pixels = 100 * rng.rand(*size, n_channels, n) - 50
        self.eps, self.dtype = eps, dtype
        self.whitening = None
        if whitening:
            moments = Moments.of(torch.from_numpy(self.rows()).flatten(0, 1))
            self.whitening = Whitening(moments.mean, *zca_matrices(moments.covariance(), 0.1)[:2])
        self.filters = rng.randn(k, self.raw().shape[-1])

    def raw(self):
        """Patches (n, n_offsets, d)."""
        (h, w), (down, across), n = self.patch, self.offsets, self.pixels.shape[-1]
        cuts = [self.pixels[i : i + h, j : j + w] for i in range(down) for j in range(across)]
        return np.array([patches.reshape(-1, n).T for patches in cuts]).swapaxes(0, 1)

    def rows(self):
        """Prepared patches (n, n_offsets, d)."""
        patches = self.raw() if self.eps is None else normalize(self.raw(), self.eps)
        if self.whitening is None:
            return patches
        return (patches - self.whitening.mean.numpy()) @ self.whitening.matrix.numpy()

    def windows(self, pixels=None, tile_bytes=None):
        pixels = torch.tensor(self.pixels if pixels is None else pixels, dtype=self.dtype)
        preparation = Preparation(self.eps, self.whitening)
        return Windows.of(pixels, self.patch, preparation, tile_bytes)

    def centers(self):
        return torch.tensor(self.filters, dtype=self.dtype)

    def close(self, found, expected):
        digits = 1e-4 if self.dtype is torch.float32 else 1e-10
        expected = np.asarray(expected)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=digits, atol=digits * scale)
