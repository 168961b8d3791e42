"""A call of every function of the core that computes with tensors.

The tensors here are on the CPU; a test moves the arguments to a device. What belongs on the CPU in
all use, such as a whitening, is bound to the function instead.
"""

from functools import partial

import numpy as np
import torch

from sklearn_kmfeat._core import (
    assign,
    channel_groups,
    contrast,
    conv_kmeans,
    encode,
    encoders,
    gain_shape,
    hierarchical,
    kmeans,
    mirror,
    patches,
    pooling,
    preparation,
    products,
    restarts,
    rows,
    seeding,
    selection,
    streaming,
    whitening,
    windows,
    workspace,
)

_DRAW = torch.Generator().manual_seed(0)
ROWS = torch.randn(300, 12, generator=_DRAW)
FILTERS = torch.randn(9, 12, generator=_DRAW)
MANY = torch.randn(260, 12, generator=_DRAW)
IMAGES = 50 * torch.rand(5, 7, 8, 3, generator=_DRAW)
PIXELS = 50 * torch.rand(5, 5, 3, 40, generator=_DRAW)
LABELS = torch.randint(0, 9, (300,), generator=_DRAW)
OTHERS = torch.where(torch.arange(300) % 7 == 0, 0, LABELS)
AFFINITIES = torch.randn(50, 9, generator=_DRAW)
GRID = patches.PatchGrid((2, 2), (1, 1))
LIMITS = {"max_iter": 3, "tol": 0.0}

_MOMENTS = whitening.Moments.of(ROWS @ torch.diag(torch.arange(1.0, 13)))
_WHITENING = whitening.Whitening(_MOMENTS.mean, *_MOMENTS.whitening_matrices(0.1)[:2])
PREPARATION = preparation.Preparation(1.0, _WHITENING)


def drawn(function, *more):
    """A function of rows that draws rows by a seed."""
    return lambda rows: function(rows, *more, np.random.RandomState(0))


def coded(rows, centers, exact=False):
    code = gain_shape.coding(rows, rows.square().sum(1), centers)
    return gain_shape.coded_sums(code, code.errors, rows.__getitem__, exact)


def in_windows(function):
    """A function of windows and filters, as one of pixels and filters."""
    return lambda pixels, *more: function(
        windows.Windows.of(pixels.clone(), (2, 2), PREPARATION), *more
    )


def beside(measured, filters):
    offsets = conv_kmeans.best_offsets(measured, filters)
    code = gain_shape.coding(measured.at(offsets), measured.norms, filters)
    return conv_kmeans.sums_beside(measured, offsets, code, len(filters))


def code_of(filters, affinity="distance", encoder=encoders.triangle, prepared=PREPARATION):
    return encode.patch_code(filters, prepared, GRID, affinity, encoder)


def tiled(images, code, n_rows=2):
    """A tiling of two rows of one image at a time, and its workspace."""
    across = code.grid.map_size(images.shape[1:3])[1]
    block = 1, n_rows
    tiling = workspace.Tiling(block, block, block, 2**12, n_rows * across * code.n_codes)
    return tiling, workspace.Workspace.empty(images.dtype, images.device).holding(tiling)


def encoded(images, filters, affinity, encoder, prepared=PREPARATION, pool="sum", cells=(2, 2)):
    """Pooled codes at once, and in strips of two rows in a workspace that is used again."""
    code, how = code_of(filters, affinity, encoder, prepared), pooling.Pooling(pool, cells)
    cells = how.cells(code.grid.map_size(images.shape[1:3]))
    strips = encode.encode_strips(images, code, cells, 0, *tiled(images, code))
    return encode.encode_pooled(images, code, how), cells.join(strips)


def nearest_maps(images, filters):
    code = code_of(filters, "nearness", encoders.hard)
    return encode.nearest_maps(images, code, *tiled(images, code))


def moved_empty(rows, centers):
    """Two centers far from all rows move to the worst ones."""
    centers = centers.clone()
    centers[:2] += 100
    sums = kmeans.RowStep(rows)(centers)
    return kmeans.move_empty(centers, sums.counts, sums.worst), centers


def recentered(measured, filters):
    filters = gain_shape.unit_length(filters)
    sums = conv_kmeans.WindowStep(measured)(filters)
    return gain_shape.recenter(filters, sums), filters


def pooled(how, grid, window, codes):
    cells = pooling.Pooling(how, grid, window).cells((7, 8))
    return cells.join([cells.reduce(codes[:, :3], 0), cells.reduce(codes[:, 3:], 3)])


def mirror_pooled(how, codes):
    codes, pool = (
        torch.cat([codes, 2 * codes], -1),
        mirror.MirrorPooling(pooling.Pooling(how, (2, 2))),
    )
    return pool.both(pool.pool(codes), pool.pool(codes.flip(2)))


def running(kind, rows, filters):
    fits = {"of_means": kmeans.kmeans, "of_directions": gain_shape.spherical}
    dictionary = fits.get(kind, kmeans.kmeans)(rows, filters, **LIMITS)
    sums = getattr(streaming.RunningSums, kind)(dictionary, PREPARATION)
    return sums, sums.means(PREPARATION), sums.directions(PREPARATION)


def running_step(rows, filters):
    step = gain_shape.GainStep(rows)(gain_shape.unit_length(filters), exact=True)
    return streaming.RunningSums.of(step, PREPARATION) + streaming.RunningSums.zero(9, 12)


def best_of(rows):
    fit = partial(kmeans.kmeans, **LIMITS)
    ranked = {"n_centers": 4, "n_init": 3, "n_ranked": 50, "rng": np.random.RandomState(0)}
    return restarts.best_of_restarts(
        rows, lambda rows, rng: seeding.sample_rows(rows, 4, rng), fit, **ranked
    )


def zca(rows):
    covariance = rows.T @ rows
    noise = covariance.diagonal() * 1e-9
    return [whitening.zca_matrices(covariance, eps, noise=noise, zero_sum=True) for eps in (0, 1)]


def both(function, *more, **options):
    """Of a function of rows and centers, what it gives for few and for many of them."""
    return lambda *given: [function(given[0], each, *more, **options) for each in given[1:]]


_FEW_AND_MANY = (ROWS, FILTERS, MANY)
_ENCODERS = {
    "hard": ("nearness", encoders.hard),
    "triangle": ("distance", encoders.triangle),
    "soft_threshold": ("response", partial(encoders.soft_threshold, alpha=0.5)),
    "knn": ("nearness", partial(encoders.knn, knn_fraction=0.3)),
}

#: Names of functions and classes of the core, and in brackets what is special about a call: the
#: call, and its arguments.
CALLS = {
    "nearest": (both(assign.nearest), _FEW_AND_MANY),
    "nearest (directions, tiles)": (
        both(assign.nearest, direction=True, tile_bytes=2**10),
        _FEW_AND_MANY,
    ),
    "sums_by_label": (lambda rows, labels: assign.sums_by_label(rows, labels, 9), (ROWS, LABELS)),
    "nearest_and_sums": (
        lambda rows, centers: [
            assign.nearest_and_sums(rows, centers, direction=each) for each in (False, True)
        ],
        (ROWS, FILTERS),
    ),
    "squared_norms": (assign.squared_norms, (ROWS,)),
    "squared_errors": (assign.squared_errors, (ROWS, FILTERS, LABELS)),
    "RowStep": (
        lambda rows, centers: [kmeans.RowStep(rows)(centers, exact) for exact in (False, True)],
        (ROWS, FILTERS),
    ),
    "Sums": (
        lambda rows, centers: (
            kmeans.RowStep(rows[:100])(centers) + kmeans.RowStep(rows[100:])(centers)
        ),
        (ROWS, FILTERS),
    ),
    "Sums (worst)": (
        lambda rows, centers: (
            kmeans.RowStep(rows[:100])(centers) + kmeans.RowStep(rows[100:])(centers)
        ).worst(5),
        (ROWS, FILTERS),
    ),
    "means_of": (
        lambda sums, before: kmeans.means_of(sums, (sums[:, 0] > 0).long(), before),
        (FILTERS, FILTERS + 1),
    ),
    "PartsStep": (
        lambda X, centers: kmeans.PartsStep(rows.OnePart(kmeans.RowStep(X)), False)(centers),
        (ROWS, FILTERS),
    ),
    "step_over": (lambda X, centers: kmeans.step_over(X, kmeans.RowStep)(centers), (ROWS, FILTERS)),
    "kmeans": (both(kmeans.kmeans, **LIMITS), _FEW_AND_MANY),
    "kmeans (far from zero)": (both(kmeans.kmeans, **LIMITS), (ROWS + 9, FILTERS + 9)),
    "lloyd": (
        lambda rows, centers: kmeans.lloyd(kmeans.RowStep(rows), centers, **LIMITS),
        (ROWS, FILTERS),
    ),
    "patch_dictionary": (kmeans.patch_dictionary, (ROWS, ROWS[:5])),
    "assigned": (
        lambda rows, centers: kmeans.assigned(kmeans.RowStep(rows), centers, 1),
        (ROWS, torch.cat([FILTERS, FILTERS[:2] + 50])),
    ),
    "move_empty": (moved_empty, (ROWS, FILTERS)),
    "worst_rows": (
        lambda rows, errors: kmeans.worst_rows(5, errors, errors + 1, rows.__getitem__),
        (ROWS, ROWS.square().sum(1)),
    ),
    "total": (kmeans.total, (ROWS,)),
    "GainStep": (
        lambda rows, centers: [
            gain_shape.GainStep(rows)(centers, exact) for exact in (False, True)
        ],
        (ROWS, gain_shape.unit_length(FILTERS)),
    ),
    "coding": (
        lambda rows, centers: gain_shape.coding(rows, rows.square().sum(1), centers),
        (ROWS, gain_shape.unit_length(FILTERS)),
    ),
    "coded_sums": (
        lambda rows, centers: [coded(rows, centers, exact) for exact in (False, True)],
        (ROWS, gain_shape.unit_length(FILTERS)),
    ),
    "spherical": (both(gain_shape.spherical, **LIMITS), _FEW_AND_MANY),
    "gain_shape": (
        in_windows(
            lambda measured, filters: gain_shape.gain_shape(
                conv_kmeans.WindowStep(measured), filters, **LIMITS
            )
        ),
        (PIXELS, FILTERS),
    ),
    "recenter": (in_windows(recentered), (PIXELS, FILTERS)),
    "parallel": (gain_shape.parallel, (FILTERS, torch.cat([ROWS[:4], -FILTERS[2:4]]))),
    "unit_length": (gain_shape.unit_length, (torch.cat([FILTERS, 0 * FILTERS[:1]]),)),
    "Windows": (in_windows(vars), (PIXELS,)),
    "Windows (parts)": (
        in_windows(
            lambda measured, index: [
                *(measured[index].middle_patches(), measured.count(measured.largest)),
                measured.at(measured.largest[index], index),
            ]
        ),
        (PIXELS, torch.tensor([3, 1, 30])),
    ),
    "WindowStep": (in_windows(lambda w, d: conv_kmeans.WindowStep(w)(d)), (PIXELS, FILTERS)),
    "convolutional": (
        in_windows(partial(conv_kmeans.convolutional, **LIMITS)),
        (PIXELS, FILTERS),
    ),
    "sums_beside": (in_windows(beside), (PIXELS, gain_shape.unit_length(FILTERS))),
    "best_offsets": (in_windows(conv_kmeans.best_offsets), (PIXELS, FILTERS)),
    "hierarchical": (drawn(hierarchical.hierarchical, 30), (ROWS,)),
    "ahead": (
        lambda a, b, live: kmeans.ahead(a, b, live, 0.9),
        (FILTERS, FILTERS + 1, torch.arange(9) > 3),
    ),
    "sample_rows": (drawn(seeding.sample_rows, 20), (ROWS,)),
    "kmeans_plusplus": (drawn(seeding.kmeans_plusplus, 6), (ROWS + 9,)),
    "energy_plusplus": (drawn(seeding.energy_plusplus, 6), (ROWS,)),
    "without_repeats": (seeding.without_repeats, (torch.cat([ROWS[:5], ROWS[:5]]),)),
    "is_far_from_zero": (
        lambda rows: [seeding.is_far_from_zero(each.mean(0), each) for each in (rows, rows + 9)],
        (ROWS,),
    ),
    "mean_of": (seeding.mean_of, (ROWS,)),
    "shifted": (rows.shifted, (ROWS, FILTERS[0])),
    "best_of_restarts": (best_of, (ROWS,)),
    "RunningSums": (running_step, (ROWS, FILTERS)),
    **{
        f"RunningSums ({kind})": (partial(running, kind), (ROWS, FILTERS))
        for kind in ("of_means", "of_directions", "of_patches")
    },
    "Moments": (
        lambda rows: [
            (whitening.Moments.of(rows[:50]) + whitening.Moments.of(rows[50:])),
            whitening.Moments.of(rows, 2**10).whitening_matrices(0.1),
        ],
        (ROWS,),
    ),
    "Whitening": (
        lambda rows, filters: [
            *(_WHITENING.apply(rows), _WHITENING.invert(rows), _WHITENING.fold(filters)),
            *(_WHITENING.apply(rows, out=rows.clone()),),
        ],
        (ROWS, FILTERS),
    ),
    "zca_matrices": (zca, (ROWS.double(),)),
    "affine_rows": (
        lambda rows: whitening.affine_rows(rows, torch.eye(12, dtype=torch.float64), 1.0, 2.0),
        (ROWS,),
    ),
    "row_chunks": (lambda rows: whitening.row_chunks(rows, 2**10), (ROWS,)),
    "contrast_normalize": (
        lambda rows: [
            contrast.contrast_normalize(rows, 1.0),
            contrast.contrast_normalize(rows, 1.0, 0, rows.clone(), torch.empty_like(rows)),
        ],
        (torch.cat([ROWS, torch.full((1, 12), 7.0)]),),
    ),
    "center_and_scale": (lambda rows: contrast.center_and_scale(rows, 1.0), (ROWS,)),
    "ContrastVariance": (contrast.ContrastVariance.of, (ROWS,)),
    "Preparation": (
        lambda rows, filters: [PREPARATION.apply_(rows.clone()), PREPARATION.fold(filters)],
        (ROWS, FILTERS),
    ),
    "all_patches": (lambda images: patches.all_patches(images, GRID), (IMAGES,)),
    "patch_columns": (lambda images: patches.patch_columns(images, GRID), (IMAGES,)),
    "patches_at": (
        lambda images, *places: patches.patches_at(images, *places, GRID),
        (IMAGES, torch.tensor([0, 4, 2]), torch.tensor([0, 41, 8])),
    ),
    "overlap_average": (
        lambda rows: patches.overlap_average(rows, (7, 8, 3), GRID),
        (patches.all_patches(IMAGES, GRID).reshape(-1, 12),),
    ),
    **{
        f"Pooling ({how}, {grid or window})": (partial(pooled, how, grid, window), (IMAGES,))
        for how in pooling.POOLS
        for grid, window in (((1, 1), None), ((2, 2), None), ((5, 5), None), (None, (3, 2)))
    },
    "MirrorPooling": (
        lambda codes: [mirror_pooled(how, codes) for how in pooling.POOLS],
        (IMAGES,),
    ),
    "mirrored": (lambda rows: mirror.mirrored(rows, (2, 2)), (ROWS,)),
    "dividing": (
        lambda values: values >= selection.dividing(values, 30, few=10),
        (ROWS @ MANY.T,),
    ),
    "first_of_largest": (products.first_of_largest, (AFFINITIES,)),
    "first_of_smallest": (products.first_of_smallest, (AFFINITIES,)),
    "in_two_parts": (lambda rows: products.in_two_parts(rows, torch.bfloat16), (ROWS,)),
    **{name: (code, (AFFINITIES.square(),)) for name, (_, code) in _ENCODERS.items()},
    "hard (ties)": (encoders.hard, (AFFINITIES.round(),)),
    "knn (ties)": (partial(encoders.knn, knn_fraction=0.3), (AFFINITIES.round(),)),
    "triangle (below zero)": (encoders.triangle, (AFFINITIES,)),
    "project": (
        lambda filters: [
            encode.project(filters + shift, affinity, given)
            for affinity in ("response", "nearness", "distance")
            for given in (None, _WHITENING)
            for shift in (0, 50)
        ],
        (FILTERS,),
    ),
    "patch_code": (lambda filters: code_of(filters).projection, (FILTERS,)),
    "Projection": (lambda filters: code_of(filters).projection, (FILTERS,)),
    "PatchCode": (lambda filters: code_of(filters).n_codes, (FILTERS,)),
    "Workspace": (
        lambda images: (
            workspace.Workspace.empty(images.dtype, images.device)
            .holding(workspace.Tiling((1, 2), (1, 2), (1, 2), 60, 40))
            .pair(2, 3)
            .zero_()
        ),
        (IMAGES,),
    ),
    "normalized_images": (lambda images: encode.normalized_images(images, 1.0), (IMAGES,)),
    **{
        f"encode_pooled ({name})": (
            partial(encoded, affinity=kind, encoder=code),
            (IMAGES, FILTERS),
        )
        for name, (kind, code) in _ENCODERS.items()
    },
    "encode_strips": (
        partial(encoded, affinity="distance", encoder=encoders.triangle, pool="mean"),
        (IMAGES, FILTERS),
    ),
    "encode_pooled (many filters)": (
        partial(encoded, affinity="distance", encoder=encoders.triangle, pool="max"),
        (IMAGES, MANY),
    ),
    "encode_pooled (as it is)": (
        partial(
            encoded,
            affinity="distance",
            encoder=encoders.triangle,
            prepared=preparation.Preparation(),
            pool="mean",
            cells=(5, 5),
        ),
        (IMAGES / 10, FILTERS + 2),
    ),
    "nearest_maps": (nearest_maps, (IMAGES, FILTERS)),
    "affinity_maps": (
        lambda images, filters: list(encode.affinity_maps(images, code_of(filters))),
        (IMAGES, FILTERS),
    ),
    "prepared_columns": (
        lambda images, filters: encode.prepared_columns(images, code_of(filters)),
        (IMAGES, FILTERS),
    ),
    "affinities": (
        lambda columns, filters: encode.affinities(columns, code_of(filters, "response")),
        (torch.cat([ROWS.T, torch.ones(1, 300)]), FILTERS),
    ),
    "inverse_deviations": (
        lambda rows: channel_groups.inverse_deviations(whitening.Moments.of(rows), rows.dtype),
        (ROWS,),
    ),
    "square_similarities": (channel_groups.square_similarities, (ROWS,)),
    "slot_weights": (lambda logits: channel_groups.slot_weights(logits, 0.5), (FILTERS,)),
}
