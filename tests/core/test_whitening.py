import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sklearn_kmfeat._core.whitening import (
    CHUNK_BYTES,
    Moments,
    Whitening,
    check_size,
    zca_matrices,
)

DTYPES = [torch.float32, torch.float64]


@pytest.fixture
def rows():
    rng = np.random.RandomState(0)
    return rng.randn(200, 6) @ rng.randn(6, 6) + rng.randn(6)


def moments_of(*parts, chunk_bytes=CHUNK_BYTES):
    moments = Moments.zero(parts[0].shape[1])
    for part in parts:
        moments += Moments.of(torch.as_tensor(part), chunk_bytes)
    return moments


@pytest.mark.parametrize("dtype", DTYPES)
def test_covariance_equals_numpy(rows, dtype):
    moments = moments_of(torch.tensor(rows, dtype=dtype))
    assert moments.count == 200
    assert moments.mean.dtype == moments.scatter.dtype == torch.float64
    np.testing.assert_allclose(moments.mean, rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T), atol=1e-5)


def test_covariance_is_divided_by_the_rows_less_one():
    moments = moments_of(np.array([[0.0, 0.0, 1.0], [2.0, 4.0, 1.0]]))
    expected = [[2, 4, 0], [4, 8, 0], [0, 0, 0]]
    np.testing.assert_array_equal(moments.covariance(), expected)


@pytest.mark.parametrize("ends", [[], [1], [100], [199], [1, 2, 3], [50, 51, 120]])
def test_any_split_gives_the_same(rows, ends):
    whole, parts = moments_of(rows), moments_of(*np.split(rows, ends))
    assert whole.count == parts.count
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.scatter, whole.scatter, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("chunk_bytes", [1, 8 * 6 * 7, 10**6])
def test_any_chunk_gives_the_same(rows, chunk_bytes):
    whole, chunks = moments_of(rows), moments_of(rows, chunk_bytes=chunk_bytes)
    np.testing.assert_allclose(chunks.scatter, whole.scatter, rtol=1e-10, atol=1e-10)


def test_one_row_has_no_covariance():
    moments = moments_of(np.array([[3.0, 4.0]]))
    np.testing.assert_array_equal(moments.mean, [3, 4])
    np.testing.assert_array_equal(moments.covariance(), np.zeros((2, 2)))


def test_float32_far_from_the_origin(rows):
    shifted = torch.tensor(rows + 1e4, dtype=torch.float32)
    expected = np.cov(shifted.double().numpy().T)
    np.testing.assert_allclose(moments_of(shifted).covariance(), expected, rtol=1e-9)


def test_arguments_are_left_alone(rows):
    first, tensor = moments_of(rows), torch.tensor(rows)
    before = [part.clone() for part in (first.mean, first.scatter, tensor)]
    first + Moments.of(tensor)
    for part, copy in zip((first.mean, first.scatter, tensor), before, strict=True):
        assert torch.equal(part, copy)


@pytest.mark.parametrize("eps", [0, 0.01, 0.1, 3.0])
def test_whitened_covariance_has_eigenvalues_l_over_l_plus_eps(rows, eps):
    covariance = np.cov(rows.T)
    matrix, inverse, eigenvalues = zca_matrices(torch.tensor(covariance), eps)
    found = torch.linalg.eigvalsh(matrix @ torch.tensor(covariance) @ matrix)
    expected = np.linalg.eigvalsh(covariance)
    np.testing.assert_allclose(found, expected / (expected + eps), rtol=1e-8)
    np.testing.assert_allclose(eigenvalues, expected[::-1], rtol=1e-10)
    assert not eigenvalues.is_complex()
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(matrix @ inverse, np.eye(6), atol=1e-10)
    assert (torch.linalg.eigvalsh(matrix) > 0).all()


def test_a_diagonal_example():
    matrix, inverse, eigenvalues = zca_matrices(torch.diag(torch.tensor([3.0, 8.0]).double()), 1.0)
    np.testing.assert_allclose(matrix, np.diag([1 / 2, 1 / 3]), atol=1e-12)
    np.testing.assert_allclose(inverse, np.diag([2.0, 3.0]), atol=1e-12)
    np.testing.assert_allclose(eigenvalues, [8, 3], atol=1e-12)


def test_is_pca_whitening_turned_back(rows):
    pca = PCA(whiten=True).fit(rows)
    moments = moments_of(rows)
    matrix = zca_matrices(moments.covariance(), 0)[0].numpy()
    expected = pca.transform(rows) @ pca.components_
    np.testing.assert_allclose((rows - moments.mean.numpy()) @ matrix, expected, atol=1e-9)


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
def test_eps_zero_drops_null_directions(rank):
    rng = np.random.RandomState(rank)
    factor = rng.randn(6, rank)
    covariance = torch.tensor(factor @ factor.T)
    matrix, inverse, eigenvalues = zca_matrices(covariance, 0)
    assert matrix.isfinite().all()
    assert (eigenvalues >= 0).all()
    projection = factor @ np.linalg.pinv(factor)
    np.testing.assert_allclose(matrix @ covariance @ matrix, projection, atol=1e-7)
    np.testing.assert_allclose(matrix @ inverse, projection, atol=1e-7)


def test_eps_keeps_null_directions():
    matrix, inverse, _ = zca_matrices(torch.zeros(2, 2, dtype=torch.float64), 0.25)
    np.testing.assert_allclose(matrix, 2 * np.eye(2))
    np.testing.assert_allclose(inverse, np.eye(2) / 2)


def test_moments_of_nothing():
    moments = Moments.zero(2) + Moments.zero(2)
    assert moments.count == 0
    np.testing.assert_array_equal(moments.covariance(), np.zeros((2, 2)))


# The map


@pytest.fixture
def whitening(rows):
    moments = moments_of(rows)
    return Whitening(moments.mean, *zca_matrices(moments.covariance(), 0.1)[:2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_apply_and_back(rows, whitening, dtype):
    tensor = torch.tensor(rows, dtype=dtype)
    before = tensor.clone()
    white = whitening.apply(tensor)
    assert white.dtype == dtype
    expected = (rows - rows.mean(0)) @ whitening.matrix.numpy()
    np.testing.assert_allclose(white, expected, atol=1e-5)
    np.testing.assert_allclose(whitening.invert(white), rows, atol=1e-5)
    assert torch.equal(tensor, before)
    assert whitening.apply(tensor, out=tensor) is tensor
    assert torch.equal(tensor, white)


def test_folded_filters_respond_as_to_whitened_rows(rows, whitening):
    filters = torch.randn(4, 6, generator=torch.manual_seed(0), dtype=torch.float64)
    matrix, bias = whitening.fold(filters)
    expected = whitening.apply(torch.tensor(rows)) @ filters.T
    np.testing.assert_allclose(torch.tensor(rows) @ matrix.T + bias.T, expected, atol=1e-10)


def test_sums_of_whitened_rows_and_back(rows, whitening):
    weights = torch.rand(3, 200, generator=torch.manual_seed(0), dtype=torch.float64)
    sums, totals = weights @ torch.tensor(rows), weights.sum(1)
    white = weights @ whitening.apply(torch.tensor(rows))
    np.testing.assert_allclose(whitening.apply_to_sums(sums, totals), white, atol=1e-9)
    np.testing.assert_allclose(whitening.undo_sums(white, totals), sums, atol=1e-9)


def zero_sum_rows(dtype):
    """Rows whose values sum to zero up to the rounding of their dtype."""
    rng = np.random.RandomState(0)
    rows = torch.tensor(rng.rand(4000, 12) * np.linspace(0.5, 1.5, 12) + 5, dtype=dtype)
    return rows - rows.mean(1, keepdim=True)


@pytest.mark.parametrize("eps", [0, 1e-9, 1e-6])
@pytest.mark.parametrize("zero_sum", [None, True])
def test_rounding_along_the_direction_of_equal_values_is_dropped(eps, zero_sum):
    whitened = []
    for dtype in (torch.float32, torch.float64):
        rows = zero_sum_rows(dtype)
        moments = Moments.of(rows)
        matrix, _, eigenvalues = moments.whitening_matrices(eps, zero_sum)
        whitened.append(Whitening(moments.mean, matrix).apply(rows))
        if dtype is torch.float32:
            np.testing.assert_allclose(matrix.sum(0), np.zeros(12), atol=1e-8)
            assert eigenvalues[-1] < 1e-14
    np.testing.assert_allclose(*whitened, atol=1e-4)


def test_an_eps_that_magnifies_nothing_keeps_the_formula():
    moments = Moments.of(zero_sum_rows(torch.float32))
    expected = zca_matrices(moments.covariance(), 0.1)
    for found, part in zip(moments.whitening_matrices(0.1), expected, strict=True):
        assert torch.equal(found, part)


def test_a_small_direction_that_is_no_rounding_is_kept():
    """A value of a hundredth of the others' size has a rounding of its own."""
    rng = np.random.RandomState(0)
    rows = rng.randn(500, 3) * [1000, 1, 1e-3]
    found = Moments.of(torch.tensor(rows, dtype=torch.float32)).whitening_matrices(0)[0]
    expected = zca_matrices(torch.tensor(np.cov(rows.T)), 0)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_rounding_of_a_sum_is_that_of_the_coarser_rows():
    coarse, fine = (Moments.of(torch.ones(2, 2, dtype=each)) for each in (torch.half, torch.double))
    assert (coarse + fine).rounding == (fine + coarse).rounding == torch.finfo(torch.half).eps


def test_a_covariance_that_does_not_fit_is_refused():
    check_size(1000, memory=40_000_000)
    with pytest.raises(ValueError, match=r"rows of 1001 values takes 0.0401 GB.*PCA\("):
        check_size(1001, memory=40_000_000)
    with pytest.raises(ValueError, match=r"rows of 3000000 values takes 3.6e\+05 GB"):
        Moments.zero(3_000_000)


def test_a_sum_of_other_values_is_dropped_up_to_its_rounding():
    rng = np.random.RandomState(0)
    rows = torch.tensor(rng.rand(5000, 3), dtype=torch.float32)
    rows = torch.cat([rows, (0.3 * rows[:, :1] + 0.6 * rows[:, 1:2])], 1)
    matrix, inverse, eigenvalues = Moments.of(rows).whitening_matrices(0)
    assert 0 < eigenvalues[-1] < 1e-14
    np.testing.assert_allclose(torch.linalg.eigvalsh(matrix)[0], 0, atol=1e-9)
    assert matrix.abs().max() < 10
    np.testing.assert_allclose(matrix @ inverse @ matrix, matrix, atol=1e-9)
