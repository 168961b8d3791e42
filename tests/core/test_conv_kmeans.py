from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sklearn_kmfeat._core.conv_kmeans import WindowStep, best_offsets, convolutional, sums_beside
from sklearn_kmfeat._core.gain_shape import coding, gain_shape, spherical
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.seeding import energy_plusplus, sample_rows
from sklearn_kmfeat._core.whitening import Moments, Whitening, zca_matrices
from sklearn_kmfeat._core.windows import Windows
from windows_machine import Machine, every_dtype, every_preparation, every_shape


def start_of(windows, k, seed=0):
    return sample_rows(windows.middle_patches(), k, np.random.RandomState(seed))


def naive_best_offsets(rows, filters):
    """The first offset with the largest response, one product at a time."""
    found = []
    for patches in rows:
        best, place = -1.0, None
        for offset, patch in enumerate(patches):
            for d in filters:
                if abs(d @ patch) > best:
                    best, place = abs(d @ patch), offset
        found.append(place)
    return found


def naive_convolutional(rows, D, n_iter, damping):
    """Filters, labels, offsets and inertia of windows (n, n_offsets, d), all products at once."""
    D = D / np.linalg.norm(D, axis=1, keepdims=True)
    largest = (rows**2).sum(-1).max(1)
    for done in range(n_iter + 1):
        responses = (rows @ D.T).reshape(len(rows), -1)
        best = np.abs(responses).argmax(1)
        offsets, labels = np.divmod(best, len(D))
        gains = responses[np.arange(len(rows)), best]
        if done < n_iter:
            S = np.where(np.arange(len(D)) == labels[:, None], gains[:, None], 0)
            D = S.T @ rows[np.arange(len(rows)), offsets] + damping * D
            D /= np.linalg.norm(D, axis=1, keepdims=True)
    return D, labels, offsets, (largest - gains**2).sum()


# Responses


@every_shape
@every_preparation
@every_dtype
@pytest.mark.parametrize("k", [1, 7])
def test_the_best_response_of_each_window(shape, eps, whitening, dtype, k):
    machine = Machine(shape, eps, whitening, dtype, k=k)
    rows = machine.rows()
    offsets = best_offsets(machine.windows(), machine.centers())
    assert offsets.dtype == torch.int64
    responses = np.abs(rows @ machine.filters.T).max(2)
    machine.close(responses[np.arange(40), offsets], responses.max(1))
    if dtype is torch.float64:
        assert offsets.tolist() == naive_best_offsets(rows, machine.filters)


@pytest.mark.parametrize("shape", ["square", "wide"])
@every_preparation
@pytest.mark.parametrize("tile_bytes", [1, 10_000, 100_000])
def test_any_tiles_give_the_same(shape, eps, whitening, tile_bytes):
    machine = Machine(shape, eps, whitening)
    whole = machine.windows()
    expected = [best_offsets(whole, machine.centers()), whole.norms, whole.largest]
    windows = machine.windows(tile_bytes=tile_bytes)
    tiles = windows.tiles(500)
    assert len(tiles) > 1 or tile_bytes >= 10_000
    assert [i for tile in tiles for i in range(tile.start, tile.stop)] == list(range(40))
    found = [best_offsets(windows, machine.centers()), windows.norms, windows.largest]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_responses_are_torchs_convolution():
    """Filters and windows have one order of values, and no kernel is turned round."""
    machine = Machine("wide", None, False)
    images = torch.tensor(machine.pixels).permute(3, 2, 0, 1)
    kernels = machine.centers().view(7, 3, 5, 5).permute(0, 3, 1, 2)
    maps = F.conv2d(images, kernels).abs().flatten(2)
    offsets = best_offsets(machine.windows(), machine.centers())
    assert torch.equal(maps.amax((1, 2)), maps.amax(1)[torch.arange(40), offsets])


def test_the_first_of_equal_places_wins():
    pixels = torch.zeros(2, 4, 1, 3)
    pixels[0, 2, 0, 1] = 1
    pixels[0, 1, 0, 2] = pixels[1, 3, 0, 2] = -1
    windows = Windows.of(pixels, (1, 2), Preparation())
    assert best_offsets(windows, torch.tensor([[1.0, 0.0]])).tolist() == [0, 2, 1]
    assert windows.largest.tolist() == [0, 1, 0]


@pytest.mark.parametrize("huge", [1e25, 1e38])
def test_overflowing_responses_stay_inside_the_window(huge):
    pixels = huge * torch.rand(4, 4, 1, 5, generator=torch.manual_seed(0))
    windows = Windows.of(pixels, (2, 2), Preparation())
    offsets = best_offsets(windows, torch.full((2, 4), 1e20))
    assert ((offsets >= 0) & (offsets < 9)).all()


@every_dtype
@pytest.mark.parametrize("whitening", [False, True])
def test_brightness_of_windows_changes_nothing(dtype, whitening):
    machine = Machine(whitening=whitening, dtype=dtype)
    start = machine.centers()
    options = {"max_iter": 5, "tol": 0}
    expected = convolutional(machine.windows(), start, **options)
    brightness = np.random.RandomState(1).randint(-100, 100, size=40)
    found = convolutional(machine.windows(machine.pixels + brightness), start, **options)
    machine.close(found.centers, expected.centers.numpy())
    assert torch.equal(found.counts, expected.counts)
    assert torch.equal(found.offset_counts, expected.offset_counts)


@pytest.mark.parametrize("shape", ["square", "wide"])
@every_preparation
@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_far_from_zero_float32_keeps_its_digits(shape, eps, whitening, offset):
    machine = Machine(shape, eps, whitening, torch.float32)
    # Multiples of 1/64 keep their value beside 1e4.
    machine.pixels = np.round(64 * machine.pixels) / 64 + offset
    if whitening:
        mean = machine.whitening.mean + (offset if not eps else 0)
        machine.whitening = machine.whitening._replace(mean=mean)
    if not whitening and eps is None:  # all filters would respond to the grey level alone
        machine.filters -= machine.filters.mean(1, keepdims=True)
    windows, rows = machine.windows(), machine.rows()
    norms = (rows**2).sum(-1).max(1)
    np.testing.assert_allclose(windows.norms, norms, rtol=1e-4)
    offsets = best_offsets(windows, machine.centers())
    responses = np.abs(rows @ machine.filters.T).max(2)
    np.testing.assert_allclose(responses[np.arange(40), offsets], responses.max(1), rtol=2e-3)


@pytest.mark.parametrize("level", [0.0, 0.1, 255.0])
@every_dtype
@every_preparation
def test_flat_windows_are_finite(level, dtype, eps, whitening):
    machine = Machine(eps=eps, whitening=whitening, dtype=dtype)
    machine.pixels[..., :10] = level
    machine.pixels[:3, :3, :, 10:20] = level
    windows = machine.windows()
    found = convolutional(windows, machine.centers(), max_iter=5, tol=0)
    assert windows.norms.isfinite().all()
    assert found.centers.isfinite().all()
    assert found.counts.sum() == 40
    if eps is not None and not whitening:
        assert (windows.norms[:10] == 0).all()


# The algorithm


@every_shape
@every_preparation
@pytest.mark.parametrize(
    ("damping", "n_iter", "dtype"),
    [
        (0.0, 6, torch.float64),
        (1.0, 1, torch.float64),
        (1.0, 6, torch.float64),
        (50.0, 1, torch.float64),
        (1.0, 2, torch.float32),
    ],
)
def test_equals_the_formula(shape, eps, whitening, dtype, damping, n_iter):
    machine = Machine(shape, eps, whitening, dtype, n=200, k=4)
    D, labels, offsets, inertia = naive_convolutional(
        machine.rows(), machine.filters, n_iter, damping
    )
    counts = np.bincount(labels, minlength=4)
    assert counts.all()
    options = {"max_iter": n_iter, "tol": 0, "damping": damping}
    found = convolutional(machine.windows(), machine.centers(), **options)
    machine.close(found.centers, D)
    machine.close(found.inertia, inertia)
    assert found.n_iter == n_iter
    assert found.offset_counts.shape == machine.offsets
    if dtype is torch.float64:
        np.testing.assert_array_equal(found.counts, counts)
        np.testing.assert_array_equal(
            found.offset_counts.flatten(),
            np.bincount(offsets, minlength=np.prod(machine.offsets)),
        )


def test_two_windows_by_hand():
    pixels = torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 1.0]]).view(1, 3, 1, 2)
    windows = Windows.of(pixels, (1, 2), Preparation())
    assert windows.norms.tolist() == [25, 1]
    assert windows.largest.tolist() == [0, 1]
    start = torch.tensor([[6.0, 8.0]])
    assert best_offsets(windows, start / 10).tolist() == [0, 1]
    found = convolutional(windows, start, max_iter=1, tol=0)
    # 5 [3, 4] + 0.8 [0, 1] + [0.6, 0.8] = [15.6, 21.6]
    length = (15.6**2 + 21.6**2) ** 0.5
    np.testing.assert_allclose(found.centers, [[15.6 / length, 21.6 / length]], rtol=1e-6)
    gains = (3 * 15.6 + 4 * 21.6) / length, 21.6 / length
    assert found.inertia == pytest.approx(26 - gains[0] ** 2 - gains[1] ** 2, rel=1e-4)
    assert found.counts.tolist() == [2]
    assert found.offset_counts.tolist() == [[1, 1]]
    assert found.weights.tolist() == pytest.approx([gains[0] ** 2 + gains[1] ** 2])


@every_preparation
@every_dtype
@pytest.mark.parametrize("damping", [0.0, 1.0])
def test_windows_of_one_patch_are_spherical_kmeans(eps, whitening, dtype, damping):
    machine = Machine("one offset", eps, whitening, dtype, n=300, k=9)
    options = {"max_iter": 10, "tol": 0, "damping": damping}
    windows = machine.windows()
    found = convolutional(windows, machine.centers(), **options)
    expected = spherical(windows.middle_patches(), machine.centers(), **options)
    machine.close(found.centers, expected.centers.numpy())
    machine.close(found.inertia, expected.inertia)
    assert torch.equal(found.counts, expected.counts)
    assert found.offset_counts.tolist() == [[300]]


@pytest.mark.parametrize("shape", ["square", "wide"])
@every_preparation
@every_dtype
@pytest.mark.parametrize("seed", range(3))
def test_undamped_the_objective_never_gets_worse(shape, eps, whitening, dtype, seed):
    windows = Machine(shape, eps, whitening, dtype, n=200).windows()
    start = start_of(windows, 20, seed)
    start[10:] = start[0]  # these win nothing and are moved
    objectives = []
    found = convolutional(
        windows,
        start,
        max_iter=15,
        tol=0,
        damping=0.0,
        on_iteration=lambda centers, inertia: objectives.append(inertia),
    )
    objectives.append(found.inertia)
    rounding = 1e-5 if dtype is torch.float32 else 1e-12
    scale = float(windows.norms.sum())
    assert (np.diff(objectives) <= rounding * scale).all()
    assert objectives[-1] < objectives[0]


@every_dtype
@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("max_iter", [1, 20])
@pytest.mark.parametrize("start", ["all the same", "all zero", "some zero", "turned round"])
def test_dead_filters_are_moved(dtype, damping, max_iter, start):
    windows = Machine(dtype=dtype, n=300).windows()
    filters = start_of(windows, 12)
    if start == "some zero":
        filters[::2] = 0
    else:
        filters = {"all the same": 1, "all zero": 0, "turned round": -1}[start] * filters[:1]
        filters = torch.cat([filters.repeat(6, 1), filters.abs().sign() * filters.repeat(6, 1)])
    found = convolutional(windows, filters, max_iter=max_iter, tol=0, damping=damping)
    assert found.centers.shape == (12, 27)
    assert (found.counts > 0).all()
    assert found.counts.sum() == found.offset_counts.sum() == 300
    np.testing.assert_allclose(found.centers.norm(dim=1), np.ones(12), rtol=1e-5)
    assert len(np.unique(found.centers.numpy(), axis=0)) == 12


def test_a_dead_filter_becomes_the_largest_patch_of_the_worst_window():
    pixels = np.zeros((1, 3, 1, 3))
    pixels[0, 0, 0] = [3.0, 2.0, 0.0]
    pixels[0, 1:, 0, 2] = [-7.0, 8.0]  # responds weakly to [1, 0]; its largest patch is [-7, 8]
    windows = Windows.of(torch.tensor(pixels), (1, 2), Preparation())
    start = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = convolutional(windows, start, max_iter=1, tol=0, damping=1e6)
    np.testing.assert_allclose(found.centers[1], np.array([-7, 8]) / 113**0.5)
    assert found.counts.tolist() == [2, 1]


def test_fewer_come_out_where_windows_repeat():
    machine = Machine(n=4, k=9)
    windows = machine.windows(np.tile(machine.pixels, 25))
    found = convolutional(windows, machine.centers(), max_iter=50, tol=0)
    assert len(found.centers) == 4
    assert found.counts.tolist() == [25] * 4
    assert found.inertia == pytest.approx(0, abs=1e-8 * float(windows.norms.sum()))


def test_tolerance_and_callback_stop():
    windows = Machine(n=300).windows()
    start = start_of(windows, 8)
    runs = [convolutional(windows, start, max_iter=500, tol=t).n_iter for t in (0.5, 1e-2, 1e-4)]
    assert runs == sorted(runs)
    assert 1 <= runs[0] < runs[-1] < 500
    told = []
    found = convolutional(
        windows, start, max_iter=500, tol=0, on_iteration=lambda *now: told.append(now) or True
    )
    assert found.n_iter == len(told) == 1


def test_arguments_are_left_alone_and_runs_repeat():
    windows = Machine(n=300).windows()
    start = start_of(windows, 8)
    start[4:] = 1e3
    before = windows.pixels.clone(), start.clone()
    found = [convolutional(windows, start, max_iter=5, tol=0) for _ in range(2)]
    assert torch.equal(windows.pixels, before[0])
    assert torch.equal(start, before[1])
    assert torch.equal(found[0].centers, found[1].centers)


# Filters are centred again


def naive_sums_beside(rows, D, across):
    """Of windows (n, n_offsets, d), one patch and one direction at a time."""
    directions = [shift for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0)]
    sums = np.zeros((8, *D.shape))
    for patches in rows:
        responses = patches @ D.T
        place, label = np.unravel_index(np.abs(responses).argmax(), responses.shape)
        for to_direction, (dy, dx) in zip(sums, directions, strict=True):
            y, x = place // across + dy, place % across + dx
            if 0 <= y < len(patches) // across and 0 <= x < across:
                to_direction[label] += responses[place, label] * patches[y * across + x]
    return sums


def looked_beside(windows, centers):
    offsets = best_offsets(windows, centers)
    coded = coding(windows.at(offsets), windows.norms, centers)
    return sums_beside(windows, offsets, coded, len(centers))


@every_shape
@every_preparation
@every_dtype
@pytest.mark.parametrize("tile_bytes", [None, 5_000])
def test_sums_of_the_patches_beside(shape, eps, whitening, dtype, tile_bytes):
    machine = Machine(shape, eps, whitening, dtype)
    found = looked_beside(machine.windows(tile_bytes=tile_bytes), machine.centers())
    expected = naive_sums_beside(machine.rows(), machine.filters, machine.offsets[1])
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found, expected, atol=(1e-4 if dtype is torch.float32 else 1e-10) * np.abs(expected).max()
    )
    assert expected.any() or shape == "one offset"


def test_a_filter_is_shifted_to_the_longer_sum_by_hand():
    pixels = torch.tensor([[0.0, 2, 0], [3, 0, 0], [4, 0, 0], [0, 0, 1]]).view(1, 4, 1, 3)
    windows = Windows.of(pixels, (1, 2), Preparation())
    start = torch.tensor([[1.0, 0.0]])
    assert best_offsets(windows, start).tolist() == [2, 0, 0]
    # gains 4, 2 and 0. One to the left: 4 [3, 4], the second leaves its window. To the right:
    # the first leaves, 2 [0, 0].
    sums = looked_beside(windows, start)
    assert sums[3].tolist() == [[12.0, 16.0]]
    assert sums[4].tolist() == [[0.0, 0.0]]
    assert not sums[[0, 1, 2, 5, 6, 7]].any()
    # [12, 16] is as long as 4 [4, 0] + 2 [2, 0] = [20, 0]: not longer, so that nothing moves.
    found = convolutional(windows, start, max_iter=1, tol=0)
    assert found.centers.tolist() == start.tolist()
    # Without the second window it is longer, and what the filter was before has no weight.
    windows = windows[torch.tensor([0, 2])]
    found = convolutional(windows, start, max_iter=1, tol=0, damping=100.0)
    np.testing.assert_allclose(found.centers, [[0.6, 0.8]], rtol=1e-6)
    assert found.inertia == pytest.approx(1 - 0.8**2, rel=1e-4)
    unshifted = convolutional(windows, start, max_iter=1, tol=0, recenter=False)
    np.testing.assert_allclose(unshifted.centers, start)


def test_windows_of_one_patch_have_nothing_beside():
    windows = Machine("one offset").windows()
    assert WindowStep(windows)(torch.eye(7, 24, dtype=torch.float64)).beside is None
    windows = Machine().windows()
    filters = Machine().centers()
    assert WindowStep(windows)(filters).beside is not None
    assert WindowStep(windows, recenter=False)(filters).beside is None
    assert WindowStep(windows)(filters, exact=True).beside is None


def test_sums_beside_of_two_parts_are_added():
    machine = Machine()
    windows, filters = machine.windows(), machine.centers()
    parts = [WindowStep(windows[torch.arange(*ends)])(filters) for ends in ((0, 15), (15, 40))]
    machine.close((parts[0] + parts[1]).beside(), WindowStep(windows)(filters).beside().numpy())
    plain = WindowStep(windows, recenter=False)(filters)
    assert (parts[0] + plain).beside is None


class Looks:
    """The step over windows, which counts in which calls patches beside were added up."""

    def __init__(self, windows):
        self.step, self.n_calls, self.at = WindowStep(windows), 0, []

    def __call__(self, centers, exact=False):
        totals = self.step(centers, exact)
        self.n_calls += 1
        return totals if exact else replace(totals, beside=partial(self.look, totals.beside))

    def look(self, beside):
        self.at.append(self.n_calls)
        return beside()


def test_looks_beside_become_rare_where_nothing_moves():
    windows = Machine(n=300).windows()
    looks = Looks(windows)
    gain_shape(looks, start_of(windows, 8), max_iter=40, tol=0)
    assert looks.at == [1, 3, 7, 15, 31]


def test_the_last_look_comes_before_the_end():
    windows = Machine(n=300).windows()
    looks = Looks(windows)
    found = gain_shape(looks, start_of(windows, 8), max_iter=500, tol=0.02)
    assert found.n_iter not in (1, 3, 7, 15, 31, 500)
    assert looks.at[-1] == found.n_iter


@pytest.fixture(scope="module")
def planted():
    """Templates (3, 16), and windows (8, 8) that show one of them anywhere."""
    rng = np.random.RandomState(0)
    side = np.array([-1.0, -1, 1, 1]) / 4
    templates = np.array([np.tile(side, (4, 1)), np.tile(side, (4, 1)).T, 4 * np.outer(side, side)])
    pixels = 0.05 * rng.randn(8, 8, 1, 600)
    for i, (row, column) in enumerate(rng.randint(0, 5, size=(600, 2))):
        gain = rng.choice([-1, 1]) * rng.uniform(1, 2)
        pixels[row : row + 4, column : column + 4, 0, i] += gain * templates[i % 3]
    return templates.reshape(3, -1), torch.tensor(pixels, dtype=torch.float32)


def recovered(templates, dictionaries):
    """The correlation of each template with the best filter of the best run."""
    best = min(dictionaries, key=lambda found: found.inertia)
    return np.abs(templates @ best.centers.double().numpy().T).max(1)


@every_dtype
@every_preparation
@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_shifted_filters_never_capture_less(planted, eps, whitening, dtype, damping, seed):
    pixels = planted[1].to(dtype)
    preparation = Preparation(eps and 0.1)
    if whitening:
        patches = Windows.of(pixels.clone(), (4, 4), preparation).middle_patches()
        moments = Moments.of(patches)
        matrices = zca_matrices(moments.covariance(), 0.1)[:2]
        preparation = preparation._replace(whitening=Whitening(moments.mean, *matrices))
    windows = Windows.of(pixels.clone(), (4, 4), preparation)
    start, seen = start_of(windows, 5, seed), []
    found = convolutional(
        windows,
        start,
        max_iter=30,
        tol=0,
        damping=damping,
        on_iteration=lambda centers, inertia: seen.append(inertia),
    )
    plain = convolutional(windows, start, max_iter=30, tol=0, damping=damping, recenter=False)
    assert not torch.equal(found.centers, plain.centers)  # some were shifted
    rounding = 1e-5 if dtype is torch.float32 else 1e-12
    assert (np.diff([*seen, found.inertia]) <= rounding * float(windows.norms.sum())).all()


@pytest.mark.parametrize("first_seed", [0, 10, 20])
def test_planted_templates_are_recovered(planted, first_seed):
    """Of several starts, as with `n_init`."""
    templates, pixels = planted
    windows = Windows.of(pixels.clone(), (4, 4), Preparation())
    options = {"max_iter": 50, "tol": 1e-4}
    starts = [start_of(windows, 3, first_seed + i) for i in range(8)]
    found = [convolutional(windows, start, **options) for start in starts]
    assert (recovered(templates, found) > 0.9).all()
    centres = windows.middle_patches()
    plain = [spherical(centres, start, **options) for start in starts]
    assert recovered(templates, plain).min() < 0.8


@pytest.mark.parametrize("init", ["sample", "energy"])
def test_planted_patterns_are_recovered_exactly_from_any_start(init):
    """Patterns of 7 x 7 pixels in noise; a filter off by a pixel correlates by 0.3 at most."""
    n_found = {True: 0, False: 0}
    for seed in range(6):
        rng = np.random.RandomState(seed)
        patterns = rng.randn(3, 7, 7)
        pixels = rng.randn(14, 14, 1, 600)
        for i, (row, column) in enumerate(rng.randint(0, 8, size=(600, 2))):
            pixels[row : row + 7, column : column + 7, 0, i] += patterns[i % 3]
        windows = Windows.of(torch.tensor(pixels, dtype=torch.float32), (7, 7), Preparation())
        start = start_of(windows, 3, seed)
        if init == "energy":
            start = energy_plusplus(windows.at(windows.largest), 3, np.random.RandomState(seed))
        unit = patterns.reshape(3, -1) / np.linalg.norm(patterns, axis=(1, 2))[:, None]
        for recenter in n_found:
            found = convolutional(windows, start, max_iter=50, tol=1e-4, recenter=recenter)
            correlations = np.abs(unit @ found.centers.double().numpy().T)
            n_found[recenter] += bool((correlations.max(1) > 0.95).all())
    assert n_found[True] == 6
    assert n_found[False] <= 3
