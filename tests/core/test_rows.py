"""K-means and its starts over rows in parts, beside the same over one tensor."""

from functools import partial

import numpy as np
import pytest
import torch

from blobs import start_of
from many_parts import ManyParts, in_many_parts
from sklearn_kmfeat._core.channel_groups import square_similarities
from sklearn_kmfeat._core.conv_kmeans import convolutional
from sklearn_kmfeat._core.gain_shape import spherical
from sklearn_kmfeat._core.hierarchical import hierarchical
from sklearn_kmfeat._core.kmeans import kmeans, patch_dictionary
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.restarts import best_of_restarts
from sklearn_kmfeat._core.rows import ForEach, by_part, in_parts, plain
from sklearn_kmfeat._core.seeding import (
    energy_plusplus,
    is_far_from_zero,
    kmeans_plusplus,
    mean_of,
    sample_rows,
)
from sklearn_kmfeat._core.whitening import Moments
from sklearn_kmfeat._core.windows import Windows

ENDS = [[1], [50, 400], [100, 100, 599]]  # the last with an empty part
LIMITS = {"max_iter": 20, "tol": 1e-6}


def same_dictionary(found, expected):
    torch.testing.assert_close(found.centers, expected.centers, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.counts, expected.counts)
    assert found.inertia == pytest.approx(expected.inertia)
    assert found.n_iter == expected.n_iter
    for name in ("weights", "offset_counts"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


# What rows promise


def test_where_rows_are():
    found = by_part(np.array([5, 0, 3, 2]), [2, 0, 4])
    assert [(which.tolist(), at.tolist()) for which, at in found] == [
        ([1], [0]),
        ([], []),
        ([0, 2, 3], [3, 1, 0]),
    ]


def test_one_part_is_the_tensor_itself(blobs):
    rows = in_parts(blobs)
    assert in_parts(rows) is rows
    assert plain(rows) is blobs
    assert (rows.lengths, rows.dtype, rows.device) == ([600], blobs.dtype, blobs.device)
    assert rows.map_own(torch.Tensor.add_, 0).rows is blobs
    assert rows.each(lambda part, *args: args, rows, ForEach([7]), 8) == [(blobs, 7, 8)]
    assert rows.added(len) == 600
    assert torch.equal(rows[torch.tensor([4, 2])], blobs[[4, 2]])
    found = rows.grouped(lambda some, k: some + k, [np.array([1, 0]), np.array([2])], [(1,), (2,)])
    assert torch.equal(torch.cat(found), blobs[[1, 0, 2]] + torch.tensor([[1.0], [1.0], [2.0]]))


def test_of_parts_that_are_needed_copies_are_changed(blobs):
    rows, before = in_many_parts(blobs, [50]), blobs.clone()
    changed = rows.map_own(torch.Tensor.mul_, 2)
    assert torch.equal(changed[:], 2 * before)
    assert torch.equal(blobs, before)


# K-means


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("start", ["sampled", "far away"])
@pytest.mark.parametrize("method", [kmeans, spherical])
def test_a_dictionary_of_parts_is_that_of_all_rows(blobs, method, start, momentum, ends):
    centers = start_of(blobs, 12)
    if start == "far away":  # without rows: they move to the worst ones
        centers[6:] = 1e3
    fit = partial(method, centers=centers, momentum=momentum, **LIMITS)
    same_dictionary(fit(in_many_parts(blobs, ends)), fit(blobs))


@pytest.mark.parametrize("ends", ENDS)
def test_rows_far_from_zero(blobs, ends):
    far, centers = blobs + 1e3, start_of(blobs, 12) + 1e3
    assert is_far_from_zero(mean_of(far), far)
    seen = []
    expected = kmeans(far, centers, **LIMITS)
    note = {"on_iteration": lambda centers, inertia: seen.append(centers)}
    same_dictionary(kmeans(in_many_parts(far, ends), centers, **LIMITS, **note), expected)
    torch.testing.assert_close(seen[-1], expected.centers)


def test_only_sums_leave_the_parts_and_once_in_an_iteration(blobs):
    rows = in_many_parts(blobs, [300])
    n_before = 2  # the mean and the spread
    found = kmeans(rows, start_of(blobs, 12), **LIMITS)
    assert rows.n_calls == [n_before + found.n_iter + 1]  # and once for what comes out


@pytest.mark.parametrize("ends", ENDS)
def test_patches_themselves(blobs, ends):
    same_dictionary(
        patch_dictionary(in_many_parts(blobs, ends), blobs[:7]), patch_dictionary(blobs, blobs[:7])
    )


@pytest.mark.parametrize("ends", [[13], [3, 20]])
@pytest.mark.parametrize("recenter", [True, False])
@pytest.mark.parametrize("contrast_eps", [None, 1.0])
def test_windows(ends, recenter, contrast_eps):
    pixels = 50 * torch.rand(5, 5, 2, 60, generator=torch.manual_seed(0), dtype=torch.float64)

    def measured(pixels):
        return Windows.of(pixels.clone(), (3, 3), Preparation(contrast_eps))

    whole = measured(pixels)
    parts = ManyParts([measured(some) for some in pixels.tensor_split(ends, dim=-1)])
    torch.testing.assert_close(Windows.joined(parts.parts).pixels, whole.pixels)
    assert torch.equal(parts[torch.tensor([40, 2])].norms, whole.norms[[40, 2]])
    start = sample_rows(whole.middle_patches(), 5, np.random.RandomState(0))
    fit = partial(convolutional, centers=start, recenter=recenter, **LIMITS)
    same_dictionary(fit(parts), fit(whole))


# Starts


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize(
    "start",
    [sample_rows, kmeans_plusplus, energy_plusplus, partial(hierarchical, rows_per_group=1)],
)
def test_a_start_from_parts_is_that_from_all_rows(blobs, start, shift, ends):
    X = blobs + shift
    rows = in_many_parts(X, ends)
    found, expected = (start(each, 25, np.random.RandomState(3)) for each in (rows, X))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("start", [sample_rows, kmeans_plusplus, energy_plusplus])
def test_fewer_different_rows_than_asked_for(start):
    few = torch.eye(3, 4).repeat(5, 1)
    found = start(in_many_parts(few, [2, 9]), 6, np.random.RandomState(0))
    assert sorted(found.tolist()) == sorted(torch.eye(3, 4).tolist())


def test_rows_of_zeros_have_no_energy():
    zeros = in_many_parts(torch.zeros(4, 2), [1])
    assert energy_plusplus(zeros, 3, np.random.RandomState(0)).tolist() == [[0.0, 0.0]]


def test_starts_are_ranked_on_a_part_that_comes_here(blobs):
    def best(rows):
        return best_of_restarts(
            rows,
            lambda rows, rng: sample_rows(rows, 6, rng),
            partial(kmeans, **LIMITS),
            **{"n_centers": 6, "n_init": 3, "n_ranked": 100, "rng": np.random.RandomState(0)},
        )

    same_dictionary(best(in_many_parts(blobs, [50, 400])), best(blobs))


# Sums


def test_moments_and_similarities(blobs):
    rows = in_many_parts(blobs, [50, 400])
    found, expected = rows.added(Moments.of), Moments.of(blobs)
    torch.testing.assert_close(found.scatter, expected.scatter)
    torch.testing.assert_close(square_similarities(rows), square_similarities(blobs))
    torch.testing.assert_close(mean_of(rows), blobs.mean(0))
