import numpy as np
import pytest
import torch

from sklearn_kmfeat._core.channel_groups import (
    balanced_groups,
    deal_channels,
    draw_seeds,
    most_similar,
    slot_weights,
    square_similarities,
    strongest_channels,
)


@pytest.fixture
def rows(rng):
    """Channels with common strength, heavy tails, different scales and offsets."""
    strength = rng.rand(500, 3) ** 2
    rows = strength[:, [0, 0, 1, 1, 2, 2, 2]] * rng.standard_exponential((500, 7))
    return (rows @ (np.eye(7) + 0.2 * rng.randn(7, 7))) * 10.0 ** rng.uniform(-2, 2, 7) + 3


def pairwise_whitened(z):
    """Two standardised channels (n, 2) after symmetric whitening; null directions dropped."""
    values, vectors = np.linalg.eigh(np.cov(z.T, ddof=0))
    roots = np.where(values > 1e-6, 1 / np.sqrt(np.maximum(values, 1e-12)), 0)
    return z @ (vectors * roots) @ vectors.T


def naive_similarities(rows):
    z = (rows - rows.mean(0)) / rows.std(0)
    found = np.eye(rows.shape[1])
    for j in range(len(found)):
        for k in range(j):
            squares = pairwise_whitened(z[:, [j, k]]) ** 2
            found[j, k] = found[k, j] = np.corrcoef(squares.T)[0, 1]
    return found


# Dealing


@pytest.mark.parametrize(
    ("n_channels", "n_groups", "group_size"),
    [(7, 5, 3), (7, 1, 7), (7, 4, 7), (7, 2, 3), (1, 4, 1), (5, 11, 4), (96, 24, 4), (96, 100, 7)],
)
@pytest.mark.parametrize("seed", range(3))
def test_channels_are_dealt_evenly(n_channels, n_groups, group_size, seed):
    groups = deal_channels(n_channels, n_groups, group_size, np.random.RandomState(seed))
    assert groups.shape == (n_groups, group_size)
    assert groups.dtype == np.int64
    assert (np.diff(groups, axis=1) > 0).all()
    for end in range(1, n_groups + 1):
        times = np.bincount(groups[:end].ravel(), minlength=n_channels)
        assert np.ptp(times) <= 1


def test_each_channel_is_as_likely_in_each_group(rng):
    firsts = [deal_channels(5, 2, 2, rng)[0] for _ in range(2000)]
    times = np.bincount(np.ravel(firsts), minlength=5)
    np.testing.assert_allclose(times, 800, atol=100)


# Similarities


def test_similarities_equal_a_loop_over_pairs(rows):
    found = square_similarities(torch.tensor(rows))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, naive_similarities(rows), atol=1e-9)
    assert torch.equal(found, found.T)


def test_similarities_of_float32(rows):
    rows = rows.astype(np.float32)
    expected = naive_similarities(rows.astype(np.float64))
    np.testing.assert_allclose(square_similarities(torch.tensor(rows)), expected, atol=1e-6)


@pytest.mark.parametrize("chunk_bytes", [1, 8 * 7 * 33])
def test_any_chunk_gives_the_same_similarities(rows, chunk_bytes):
    expected = square_similarities(torch.tensor(rows))
    found = square_similarities(torch.tensor(rows), chunk_bytes)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_similarities_do_not_depend_on_scale_offset_or_sign(rows, rng):
    expected = square_similarities(torch.tensor(rows))
    changed = rows * rng.choice([-3, 0.01, 40], 7) + 50 * rng.randn(7)
    np.testing.assert_allclose(square_similarities(torch.tensor(changed)), expected, atol=1e-7)


def test_permuted_channels_permute_the_similarities(rows, rng):
    order = rng.permutation(7)
    expected = square_similarities(torch.tensor(rows))[order][:, order]
    found = square_similarities(torch.tensor(rows[:, order]))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_independent_channels_are_not_similar_whatever_their_correlation(rng):
    rows = rng.randn(200_000, 2) @ np.array([[1.0, 0.8], [0, 0.6]])
    assert abs(square_similarities(torch.tensor(rows))[0, 1]) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0, 0.1, 77.7, 1e4])
def test_constant_channels_are_similar_to_none(rows, level, dtype):
    rows = torch.tensor(rows, dtype=dtype)
    rows[:, 2] = level
    rows[:, 5] = level
    found = square_similarities(rows)
    assert not found[[2, 5]].any()
    assert not found[:, [2, 5]].any()
    others = [0, 1, 3, 4, 6]
    np.testing.assert_allclose(
        found[others][:, others], square_similarities(rows[:, others]), atol=1e-10
    )


@pytest.mark.parametrize("factor", [1, -1, 2.5])
def test_a_copy_is_most_similar(rows, factor):
    rows = np.column_stack([rows, factor * rows[:, 3]])
    found = square_similarities(torch.tensor(rows))
    assert found.isfinite().all()
    np.testing.assert_allclose(found[3, 7], 1)
    np.testing.assert_allclose(found[7, :3], found[3, :3], atol=1e-8)


def test_similarities_of_one_row_and_of_signs(rng):
    assert not square_similarities(torch.tensor([[1.0, 2.0, 3.0]])).any()
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(square_similarities(signs), np.eye(2))


def test_rows_are_left_alone(rows):
    tensor = torch.tensor(rows)
    square_similarities(tensor)
    np.testing.assert_array_equal(tensor, rows)


# Seeds and their neighbours


@pytest.mark.parametrize("n_seeds", [1, 4, 5, 9, 12])
def test_seeds_are_different_and_vary(n_seeds, rng):
    varies = np.array([True, False, True, True, False, True])
    times = np.bincount(draw_seeds(varies, n_seeds, rng), minlength=6)
    assert times.sum() == n_seeds
    assert not times[~varies].any()
    assert np.ptp(times[varies]) <= 1


def test_seeds_where_nothing_varies(rng):
    assert sorted(draw_seeds(np.zeros(3, bool), 3, rng)) == [0, 1, 2]


def test_most_similar_by_hand():
    similarity = torch.tensor([[1, 0.2, 0.9, 0.2], [0.2, 1, 0, 0], [0.9, 0, 1, 1], [0.2, 0, 1, 1]])
    groups = most_similar(similarity, np.array([0, 1, 2, 3, 0]), 2)
    np.testing.assert_array_equal(groups, [[0, 2], [0, 1], [2, 3], [2, 3], [0, 2]])
    assert groups.dtype == np.int64
    three = most_similar(similarity, np.array([0, 1]), 3)
    np.testing.assert_array_equal(three, [[0, 1, 2], [0, 1, 2]])


def test_a_seed_is_in_its_group_however_similar_others_are():
    groups = most_similar(torch.zeros(4, 4), np.array([3, 2]), 1)
    np.testing.assert_array_equal(groups, [[3], [2]])
    groups = most_similar(torch.ones(4, 4), np.array([3]), 2)
    np.testing.assert_array_equal(groups, [[0, 3]])


# Slots


def test_slots_keep_the_variance(rng):
    logits = torch.tensor(rng.randn(3, 1000))
    mixed = torch.tensor(rng.randn(5000, 1000)) @ slot_weights(logits, 1.0).T
    np.testing.assert_allclose(mixed.var(0), 1, rtol=0.1)


def test_cold_slots_keep_to_their_strongest_channel():
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 1.0]])
    np.testing.assert_allclose(slot_weights(logits, 0.01), [[0, 0, 1], [1, 0, 0]], atol=1e-6)
    flat = slot_weights(logits, 1e6)
    np.testing.assert_allclose(flat, np.full((2, 3), 3**-0.5), atol=1e-5)


def test_strongest_channels_are_different_ones():
    weights = np.array(
        [
            [[0.9, 0.1, 0.0], [0.6, 0.1, 0.3]],  # both want 0: the second gives way
            [[0.5, 0.1, 0.4], [0.9, 0.1, 0.0]],  # here the first does
            [[0.0, 0.8, 0.2], [0.7, 0.2, 0.1]],
        ]
    )
    found = strongest_channels(weights)
    np.testing.assert_array_equal(found, [[0, 2], [0, 2], [0, 1]])
    assert found.dtype == np.int64


def test_balanced_by_hand(rng):
    similarity = torch.tensor([[1, 0.9, 0.8, 0], [0.9, 1, 0.1, 0], [0.8, 0.1, 1, 0], [0, 0, 0, 0]])
    varies = np.array([True, True, True, False])
    for _ in range(5):
        groups, seeds = balanced_groups(similarity, varies, 3, 2, rng)
        assert np.bincount(groups.ravel(), minlength=4).tolist() == [2, 2, 2, 0]
        first = {0: [0, 1], 1: [0, 1], 2: [0, 2]}[int(seeds[0])]
        assert groups[0].tolist() == first
    assert balanced_groups(similarity, varies, 1, 4, rng)[0].tolist() == [[0, 1, 2, 3]]
