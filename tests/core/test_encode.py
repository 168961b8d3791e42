import numpy as np
import pytest
import torch
import torch.nn.functional as F

from naive import cut, encode, normalize, pool, squared_distances
from sklearn_kmfeat._core.encode import (
    PatchCode,
    affinity_maps,
    encode_pooled,
    encode_strips,
    nearest_maps,
    normalized_images,
    project,
)
from sklearn_kmfeat._core.encoders import ENCODERS, triangle
from sklearn_kmfeat._core.patches import PatchGrid
from sklearn_kmfeat._core.pooling import POOLS, Pooling
from sklearn_kmfeat._core.whitening import Moments, Whitening, zca_matrices
from sklearn_kmfeat._core.workspace import Tiling, Workspace

N_FILTERS = 20
CELLS = {
    "whole": ((1, 1), None),
    "grid": ((2, 2), None),
    "window": (None, (2, 2)),
    "none": (None, None),
}


# Images and rows of a tile and of a block; maps of the machine's images have 6 rows.
TILINGS = [
    ((3, 6), (3, 6)),
    ((2, 6), (1, 6)),
    ((2, 6), (1, 4)),
    ((1, 4), (1, 4)),
    ((1, 5), (1, 2)),
    ((1, 1), (1, 1)),
    ((50, 100), (50, 100)),
]
every_tiling = pytest.mark.parametrize(("tile", "block"), TILINGS)


def tiled(images, code, tile, block):
    """A tiling, and a workspace that holds something else."""
    _, across = code.grid.map_size(images.shape[1:3])
    n_values = 60 * images.numel(), block[0] * block[1] * across * code.n_codes
    tiling = Tiling(tile, tile, block, *n_values)
    workspace = Workspace.empty(images.dtype, images.device).holding(tiling)
    for memory in workspace:
        memory.fill_(torch.nan)
    return tiling, workspace


class Machine:
    """Images, a dictionary and its whitening, and what naive code makes of them."""

    def __init__(
        self,
        encoder="triangle",
        *,
        contrast="patch",
        whitening=True,
        n_channels=3,
        stride=(1, 1),
        size=(3, 2),
        n_filters=N_FILTERS,
        dtype=torch.float64,
    ):
        rng = np.random.RandomState(0)
        self.images = 100 * rng.rand(3, 8, 9, n_channels)
        self.eps = 5.0
        self.options = encoder, contrast, size, stride, dtype
        patches = self.patches(self.images)
        d = patches.shape[-1]
        self.mean, self.whitening = None, None
        prepared = patches.reshape(-1, d)
        if whitening:
            moments = Moments.of(torch.from_numpy(prepared))
            self.mean = moments.mean.numpy()
            self.whitening = zca_matrices(moments.covariance(), 0.1)[0].numpy()
            prepared = (prepared - self.mean) @ self.whitening
        self.filters = prepared[rng.choice(len(prepared), n_filters)] + rng.randn(n_filters, d) / 3
        self.alpha = 0.3 * prepared.std()

    def patches(self, images):
        _, contrast, size, stride, _ = self.options
        if contrast == "image":
            images = normalize(images.reshape(len(images), -1), self.eps).reshape(images.shape)
        patches = cut(images, size, stride)
        return normalize(patches, self.eps) if contrast == "patch" else patches

    def whitened(self, images):
        patches = self.patches(images)
        return patches if self.mean is None else (patches - self.mean) @ self.whitening

    def spans(self, cells):
        _, _, size, stride, _ = self.options
        map_size = PatchGrid(size, stride).map_size(self.images.shape[1:3])
        return Pooling("sum", *CELLS[cells]).spans(map_size)

    def naive(self, cells, how):
        codes = encode(self.whitened(self.images), self.filters, self.options[0], self.alpha)
        return pool(codes, *self.spans(cells), how)

    def tensors(self, filters=None, locations_first=None):
        encoder, contrast, size, stride, dtype = self.options
        filters = torch.tensor(self.filters, dtype=dtype) if filters is None else filters
        whitening = None
        if self.mean is not None:
            whitening = Whitening(*map(torch.from_numpy, (self.mean, self.whitening)))
        projection = project(filters, ENCODERS[encoder].affinity, whitening)
        code = ENCODERS[encoder].bind({"alpha": self.alpha, "knn_fraction": 0.4})
        eps = self.eps if contrast == "patch" else None
        code = PatchCode(
            PatchGrid(size, stride), eps, projection, code, locations_first=locations_first
        )
        return torch.tensor(self.images, dtype=dtype), code

    def normalized(self, images):
        return normalized_images(images, self.eps if self.options[1] == "image" else None)

    def fused(self, cells, how, tile=None, block=None, locations_first=None):
        images, code = self.tensors(locations_first=locations_first)
        images, pooling = self.normalized(images), Pooling(how, *CELLS[cells])
        if tile is None:
            return encode_pooled(images, code, pooling)
        cells = pooling.cells(code.grid.map_size(images.shape[1:3]))
        strips = encode_strips(images, code, cells, 0, *tiled(images, code, tile, block))
        return cells.join(strips)


def assert_same(found, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_naive_way(encoder, how, cells, dtype):
    machine = Machine(encoder, dtype=dtype)
    found = machine.fused(cells, how)
    assert found.dtype == dtype
    assert_same(found, machine.naive(cells, how))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("contrast", ["patch", "image", None])
@pytest.mark.parametrize("whitening", [True, False])
@pytest.mark.parametrize("n_channels", [1, 3, 13])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_equals_the_naive_way_for_every_preparation(
    encoder, contrast, whitening, n_channels, stride
):
    options = {"contrast": contrast, "whitening": whitening}
    machine = Machine(encoder, n_channels=n_channels, stride=stride, **options)
    assert_same(machine.fused("grid", "sum"), machine.naive("grid", "sum"))
    assert_same(machine.fused("grid", "sum", (1, 2), (1, 1)), machine.naive("grid", "sum"))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize("cells", CELLS)
@every_tiling
def test_any_tiling_gives_the_same(encoder, how, cells, tile, block):
    machine = Machine(encoder)
    expected = machine.fused(cells, how).numpy()
    for locations_first in (False, True):
        assert_same(machine.fused(cells, how, tile, block, locations_first), expected)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("n_filters", [1, 255, 256, 300])
def test_both_layouts_equal_the_naive_way(encoder, n_filters):
    machine = Machine(encoder, n_filters=n_filters)
    expected = machine.naive("grid", "sum")
    assert_same(machine.fused("grid", "sum"), expected)
    assert_same(machine.fused("grid", "sum", (1, 2), (1, 2)), expected)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize("cells", CELLS)
def test_locations_first_equal_the_naive_way(encoder, how, cells):
    machine = Machine(encoder)
    assert_same(machine.fused(cells, how, locations_first=True), machine.naive(cells, how))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("contrast", ["patch", "image", None])
def test_images_are_left_alone(encoder, contrast):
    machine = Machine(encoder, contrast=contrast)
    images, code = machine.tensors()
    before, matrix = images.clone(), code.projection.matrix.clone()
    cells = Pooling("sum", (2, 2)).cells((6, 8))
    encode_strips(images, code, cells, 0, *tiled(images, code, (1, 4), (1, 2)))
    assert torch.equal(images, before)
    assert torch.equal(code.projection.matrix, matrix)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("contrast", ["patch", "image"])
def test_brightness_and_pixel_range_change_nothing(encoder, contrast):
    machine = Machine(encoder, contrast=contrast)
    expected = machine.fused("grid", "sum").numpy()
    machine.images = machine.images + 50
    assert_same(machine.fused("grid", "sum"), expected)
    machine.images, machine.eps = machine.images / 255, machine.eps / 255**2
    assert_same(machine.fused("grid", "sum"), expected)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_permuted_filters_give_permuted_features(encoder):
    machine = Machine(encoder)
    expected = machine.fused("grid", "sum").numpy()
    order = np.random.RandomState(1).permutation(N_FILTERS)
    machine.filters = machine.filters[order]
    assert_same(machine.fused("grid", "sum"), expected[..., order])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("contrast", ["patch", "image"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_images_are_the_same_at_every_grey_level(encoder, contrast, dtype):
    machine = Machine(encoder, contrast=contrast, dtype=dtype)
    levels = np.array([0, 0.1, 1 / 3, 128, 255]).reshape(-1, 1, 1, 1)
    machine.images = np.broadcast_to(levels, (5, 8, 9, 3)).copy()
    features = machine.fused("grid", "sum")
    assert features.isfinite().all()
    assert_same(features, features[:1].expand(5, -1, -1, -1).numpy())


def test_quadrants_summed_are_the_whole():
    machine = Machine()
    quadrants, whole = machine.fused("grid", "sum"), machine.fused("whole", "sum")
    assert_same(quadrants.sum((1, 2)), whole[:, 0, 0].numpy())


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_hard_codes_count_the_locations(how):
    features = Machine("hard").fused("grid", how)
    counts = 3 * 4 if how == "sum" else 1
    np.testing.assert_allclose(features.sum(3), np.full((3, 2, 2), counts), rtol=1e-12)


def test_responses_are_torchs_convolution():
    """Filters and patches have one order of channels, and no kernel is turned round."""
    machine = Machine("soft_threshold", contrast=None, whitening=False, n_channels=13)
    images, code = machine.tensors()
    maps = affinity_maps(images, code)
    kernels = torch.tensor(machine.filters).view(N_FILTERS, 3, 2, 13).permute(0, 3, 1, 2)
    expected = F.conv2d(images.permute(0, 3, 1, 2), kernels).permute(0, 2, 3, 1)
    assert_same(maps, expected.numpy())


@pytest.mark.parametrize("affinity", ["response", "nearness", "distance"])
@pytest.mark.parametrize("whitening", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whitening_folded_into_the_filters_agrees(affinity, whitening, dtype):
    encoder = {"response": "soft_threshold", "nearness": "hard", "distance": "triangle"}[affinity]
    machine = Machine(encoder, whitening=whitening, dtype=dtype)
    images, code = machine.tensors()
    assert code.projection.matrix.dtype == dtype
    rows = machine.whitened(machine.images)
    responses = rows @ machine.filters.T
    expected = {
        "response": responses,
        "nearness": responses - (machine.filters**2).sum(1) / 2,
        "distance": squared_distances(rows, machine.filters),
    }[affinity]
    assert_same(affinity_maps(images, code), expected)


@pytest.mark.parametrize("contrast", ["patch", "image", None])
@pytest.mark.parametrize("whitening", [True, False])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@every_tiling
def test_labels_are_the_nearest_filters(contrast, whitening, stride, tile, block):
    machine = Machine("hard", contrast=contrast, whitening=whitening, stride=stride)
    images, code = machine.tensors()
    images = machine.normalized(images)
    labels = nearest_maps(images, code, *tiled(images, code, tile, block))
    expected = squared_distances(machine.whitened(machine.images), machine.filters).argmin(-1)
    assert labels.dtype == torch.int64
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("encoder", ["triangle", "soft_threshold"])
@pytest.mark.parametrize("contrast", ["patch", "image", None])
@pytest.mark.parametrize("whitening", [True, False])
def test_gradients_reach_images_and_filters(encoder, contrast, whitening):
    machine = Machine(encoder, contrast=contrast, whitening=whitening)
    filters = torch.tensor(machine.filters, requires_grad=True)
    images, code = machine.tensors(filters)
    images.requires_grad_()
    pooling = Pooling("mean", (2, 2))
    features = encode_pooled(machine.normalized(images), code, pooling)
    assert_same(features.detach(), machine.fused("grid", "mean").numpy())
    features.square().sum().backward()
    for leaf in (images, filters):
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0

    # one directional derivative by differences
    step = torch.randn(filters.shape, generator=torch.manual_seed(0), dtype=filters.dtype) * 1e-6
    values = []
    for moved in (filters.detach() + step, filters.detach() - step):
        moved_code = machine.tensors(moved)[1]
        normal = machine.normalized(images.detach())
        moved_features = encode_pooled(normal, moved_code, pooling)
        values.append(moved_features.square().sum())
    slope = (filters.grad * step).sum()
    np.testing.assert_allclose((values[0] - values[1]) / 2, slope, rtol=1e-3, atol=1e-9)


PIXEL = PatchGrid((1, 1), (1, 1))


def test_one_location_and_one_filter():
    code = PatchCode(PIXEL, None, project(torch.tensor([[3.0, 4.0]]), "distance"), triangle)
    maps = affinity_maps(torch.zeros(1, 1, 1, 2), code)
    np.testing.assert_allclose(maps, [[[[25]]]], rtol=1e-6)


@pytest.mark.parametrize("encoder", ["hard", "triangle", "knn"])
def test_far_from_the_origin(encoder):
    rng = np.random.RandomState(0)
    filters = rng.randn(10, 6).astype(np.float32)
    rows = rng.randn(50, 1, 1, 6).astype(np.float32)
    codes = []
    for offset in (0, 1e4):
        # Multiples of 1/64 keep their value beside 1e4.
        moved = [np.round(64 * a) / 64 + np.float32(offset) for a in (filters, rows)]
        dictionary, images = (torch.from_numpy(a.astype(np.float32)) for a in moved)
        projection = project(dictionary, ENCODERS[encoder].affinity)
        code = PatchCode(PIXEL, None, projection, ENCODERS[encoder].bind({"knn_fraction": 0.4}))
        codes.append(encode_pooled(images, code, Pooling("sum")).flatten(1))
    np.testing.assert_allclose(codes[1], codes[0], atol=1e-2)
