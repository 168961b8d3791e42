import numpy as np
import pytest
import torch

from naive import encode as naive_encode
from naive import pool as naive_pool
from sklearn_kmfeat._core.encode import encode_pooled, patch_code
from sklearn_kmfeat._core.encoders import ENCODERS
from sklearn_kmfeat._core.mirror import MirrorPooling, mirrored, symmetric, with_mirrored
from sklearn_kmfeat._core.patches import PatchGrid, patch_columns
from sklearn_kmfeat._core.pooling import POOLS, Pooling
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.whitening import Moments, Whitening

OPTIONS = {"alpha": 0.25, "knn_fraction": 0.4}
#: Grid, window, stride: of maps of 6 x 7 locations, cells of one width and of several.
CELLS = [
    ((2, 1), None, None),
    ((2, 2), None, None),
    ((3, 5), None, None),
    ((5, 4), None, None),
    (None, (2, 3), None),
    (None, (4, 3), (2, 2)),
    (None, (3, 3), (2, 3)),
    (None, None, None),
]


def test_mirrored_literally():
    """One patch of 1 x 3 pixels and two channels, and one of 3 x 1."""
    patch = torch.tensor([[1, 2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(mirrored(patch, (1, 3)), [[5, 6, 3, 4, 1, 2]])
    np.testing.assert_array_equal(mirrored(patch, (3, 1)), patch)


@pytest.mark.parametrize("size", [(2, 3), (3, 2), (1, 6), (1, 1)])
def test_mirrored_is_the_patch_of_the_mirrored_image(size):
    images = torch.randn(4, *size, 2, generator=torch.manual_seed(0))
    grid = PatchGrid(size, (1, 1))
    patches, expected = (patch_columns(each, grid)[:-1].T for each in (images, images.flip(2)))
    torch.testing.assert_close(mirrored(patches, size), expected, rtol=0, atol=0)
    torch.testing.assert_close(mirrored(mirrored(patches, size), size), patches, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(2, 3), (3, 1)])
def test_moments_are_those_of_both(size, dtype):
    patches = 5 + torch.randn(50, 2 * size[0] * size[1], generator=torch.manual_seed(0)).to(dtype)
    patches[:, 0] *= 3
    found = with_mirrored(Moments.of(patches), size)
    expected = Moments.of(torch.cat([patches, mirrored(patches, size)]))
    assert found.count == 100
    assert found.rounding == expected.rounding
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.scatter, expected.scatter)
    rows = torch.cat([patches, mirrored(patches, size)]).numpy()
    np.testing.assert_allclose(found.covariance(), np.cov(rows.T), rtol=1e-5)
    parts = [with_mirrored(Moments.of(part), size) for part in patches.split([13, 37])]
    torch.testing.assert_close((parts[0] + parts[1]).scatter, expected.scatter)


def test_whitening_treats_left_and_right_alike():
    size = (3, 4)
    patches = torch.randn(200, 24, generator=torch.manual_seed(0)).double().cumsum(1)
    matrix, _, _ = with_mirrored(Moments.of(patches), size).whitening_matrices(0.1)
    flipped = mirrored(mirrored(matrix, size).T, size)
    torch.testing.assert_close(flipped, matrix, rtol=1e-9, atol=1e-12)
    alone, _, _ = Moments.of(patches).whitening_matrices(0.1)
    assert (mirrored(mirrored(alone, size).T, size) - alone).abs().max() > 1e-3


class Fixture:
    """Images of 8 x 9 pixels, a dictionary of 10 filters of 3 x 3, and its whitening."""

    size = (3, 3)

    def __init__(self, stride=(1, 1), whitening=True, dtype=torch.float64):
        generator = torch.manual_seed(0)
        self.grid = PatchGrid(self.size, stride)
        self.images = torch.randn(3, 8, 9, 2, generator=generator).to(dtype)
        self.images[..., 1] += self.images[..., 0].cumsum(2)
        patches = patch_columns(self.images, self.grid)[:-1].T
        whitening_ = None
        if whitening:
            moments = with_mirrored(Moments.of(patches), self.size)
            whitening_ = Whitening(moments.mean, *moments.whitening_matrices(0.1)[:2])
        self.preparation = Preparation(None, whitening_)
        prepared = self.preparation.apply_(patches.clone())
        self.filters = prepared[torch.randperm(len(prepared), generator=generator)[:10]].clone()

    def dictionary(self):
        return torch.cat([self.filters, mirrored(self.filters, self.size)])

    def code(self, encoder, filters=None):
        entry = ENCODERS[encoder]
        filters = self.dictionary() if filters is None else filters
        bound = entry.bind(OPTIONS)
        return patch_code(filters, self.preparation, self.grid, entry.affinity, bound)

    def naive_maps(self, images, encoder):
        """Codes (n, H', W', 2K) in plain NumPy."""
        down, across = self.grid.map_size(images.shape[1:3])
        patches = patch_columns(images, self.grid)[:-1].T.contiguous()
        rows = self.preparation.apply_(patches).view(len(images), down, across, -1)
        return naive_encode(rows.numpy(), self.dictionary().numpy(), encoder)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize(("grid", "window", "stride"), CELLS)
def test_the_codes_of_an_image_and_its_mirror_image(encoder, how, grid, window, stride):
    """Folded codes are the first half of those of the image and of the mirrored image."""
    fixture, pooling = Fixture(), Pooling(how, grid, window, stride)
    images = fixture.images
    found = encode_pooled(images, fixture.code(encoder), MirrorPooling(pooling))
    spans = pooling.spans((6, 7))
    both = [
        naive_pool(fixture.naive_maps(each, encoder), *spans, how)[..., :10]
        for each in (images, images.flip(2))
    ]
    expected = np.maximum(*both) if how == "max" else np.add(*both)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    again = encode_pooled(images.flip(2), fixture.code(encoder), MirrorPooling(pooling))
    np.testing.assert_allclose(again, found, atol=1e-9)


@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize("n_rows", [1, 2, 4])
def test_strips_of_a_few_rows(how, n_rows):
    fixture, pooling = Fixture(), MirrorPooling(Pooling(how, (2, 2)))
    codes = torch.from_numpy(fixture.naive_maps(fixture.images, "triangle"))
    cells = pooling.cells((6, 7))
    strips = [cells.reduce(codes[:, row : row + n_rows], row) for row in range(0, 6, n_rows)]
    torch.testing.assert_close(cells.join(strips), pooling.pool(codes))


@pytest.mark.parametrize(
    ("stride", "width", "expected"), [(1, 9, True), (2, 9, True), (2, 8, False)]
)
def test_symmetric(stride, width, expected):
    """Patches of 3 pixels begin at 0, 2, 4, 6 of nine, and at 0, 2, 4 of eight: not at 5."""
    assert symmetric(PatchGrid((3, 3), (4, stride)), width) is expected


@pytest.mark.parametrize("how", POOLS)
def test_a_grid_that_is_not_symmetric(how):
    """Both images are encoded, and what they have in common is that of both."""
    fixture = Fixture(stride=(1, 4))
    pooling = MirrorPooling(Pooling(how, (2, 2)))
    images, code = fixture.images[:, :, :8], fixture.code("soft_threshold")
    assert not symmetric(fixture.grid, 8)

    first, second = (encode_pooled(each, code, pooling) for each in (images, images.flip(2)))
    assert (first - second).abs().max() > 0.01
    found = pooling.both(first, second)
    torch.testing.assert_close(pooling.both(second, first), found)
    expected = torch.maximum(first, second) if how == "max" else (first + second) / 2
    torch.testing.assert_close(found, expected)


def test_two_locations_literally():
    """Codes of one filter and of its mirror image, of three locations in cells of 2 and 1."""
    codes = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]).view(1, 1, 3, 2)
    expected = {"sum": [63, 14], "mean": [31.5, 14], "max": [40, 10]}
    for how, numbers in expected.items():
        found = MirrorPooling(Pooling(how, (1, 2))).pool(codes)
        # Cell one: locations 0 and 1, mirrored 2 and 1; cell two: location 2, mirrored 0.
        np.testing.assert_array_equal(found.flatten(), numbers)


def test_ridge_on_folded_codes_is_ridge_on_mirrored_images_with_a_vote():
    """Of a dictionary that holds its mirror images; both halves of the codes, by NumPy alone."""
    fixture = Fixture()
    rng = np.random.RandomState(0)
    images, new = torch.from_numpy(rng.rand(2, 30, 8, 8, 2))  # maps of 6 x 6: cells of 3
    y = rng.rand(30)
    code = fixture.code("triangle")

    def features(images):
        return encode_pooled(images, code, Pooling("sum", (2, 2))).flatten(1).numpy()

    X, X_mirrored = features(images), features(images.flip(2))
    X, y_both = np.vstack([X, X_mirrored]), np.concatenate([y, y])
    weights = np.linalg.solve(X.T @ X + 50 * np.eye(X.shape[1]), X.T @ y_both)
    vote = (features(new) + features(new.flip(2))) @ weights / 2

    def folded(images):
        pooling = MirrorPooling(Pooling("sum", (2, 2)))
        return encode_pooled(images, code, pooling).flatten(1).numpy()

    Z = folded(images)
    weights = np.linalg.solve(Z.T @ Z + 50 * np.eye(Z.shape[1]), Z.T @ y)
    np.testing.assert_allclose(folded(new) @ weights, vote, rtol=1e-8)
