import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import euclidean_distances

from naive import encode, squared_distances
from sklearn_kmfeat._core.encoders import ENCODERS, Encoder, hard, knn, soft_threshold, triangle

DTYPES = [torch.float32, torch.float64]
OPTIONS = {"alpha": 0.25, "knn_fraction": 0.4}


def affinity(kind, rows, filters):
    if kind == "distance":
        return squared_distances(rows, filters)
    bias = (filters**2).sum(1) / 2 if kind == "nearness" else 0
    return rows @ filters.T - bias


@pytest.fixture
def rows_and_filters():
    rng = np.random.RandomState(0)
    return rng.randn(60, 8), rng.randn(11, 8)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["C", "F"])
def test_equals_the_formula(rows_and_filters, name, dtype, layout):
    encoder = ENCODERS[name]
    values = np.array(affinity(encoder.affinity, *rows_and_filters), order=layout)
    codes = encoder.bind(OPTIONS)(torch.from_numpy(values).to(dtype))
    assert codes.dtype == dtype
    np.testing.assert_allclose(codes, encode(*rows_and_filters, name), atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_permuted_filters_give_permuted_codes(rows_and_filters, name):
    rows, filters = rows_and_filters
    order = np.random.RandomState(1).permutation(len(filters))
    kind, code = ENCODERS[name].affinity, ENCODERS[name].bind(OPTIONS)
    codes = code(torch.from_numpy(affinity(kind, rows, filters)))
    permuted = code(torch.from_numpy(affinity(kind, rows, filters[order])))
    torch.testing.assert_close(permuted, codes[:, order])


@pytest.mark.parametrize("name", ENCODERS)
def test_with_gradients_as_without(rows_and_filters, name):
    kind, code = ENCODERS[name].affinity, ENCODERS[name].bind(OPTIONS)
    values = torch.from_numpy(affinity(kind, *rows_and_filters))
    leaf = values.clone().requires_grad_()
    with_gradients = code(leaf * 1.0)
    torch.testing.assert_close(with_gradients.detach(), code(values.clone()))
    if with_gradients.requires_grad:
        with_gradients.sum().backward()
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("n_filters", [1, 2])
def test_few_filters(name, n_filters):
    rows = np.random.RandomState(0).randn(9, 4)
    filters = np.random.RandomState(1).randn(n_filters, 4)
    kind, code = ENCODERS[name].affinity, ENCODERS[name].bind(OPTIONS)
    codes = code(torch.from_numpy(affinity(kind, rows, filters)))
    np.testing.assert_allclose(codes, encode(rows, filters, name), atol=1e-10)


@pytest.mark.parametrize("name", ENCODERS)
def test_no_locations(name):
    assert ENCODERS[name].bind(OPTIONS)(torch.empty(0, 5)).shape == (0, 5)


def test_hard_takes_the_first_of_several_nearest():
    values = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, 1.0, 0.5], [4.0, 4.0, -1.0]])
    expected = [[0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(hard(values), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gradients", [False, True])
def test_hard_gives_one_one_a_row_whatever_ties(dtype, gradients):
    values = torch.randint(3, (500, 7), generator=torch.manual_seed(0)).to(dtype)
    codes = hard(values.clone().requires_grad_(gradients))
    np.testing.assert_array_equal(codes.sum(1), np.ones(500))
    np.testing.assert_array_equal(codes.argmax(1), values.argmax(1))
    assert set(codes.unique().tolist()) == {0, 1}


def test_triangle_of_three_distances():
    codes = triangle(torch.tensor([[1.0, 4.0, 36.0]]))  # distances 1, 2, 6 around 3
    np.testing.assert_array_equal(codes, [[2, 1, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_triangle_uses_true_distances(rows_and_filters, dtype):
    z = euclidean_distances(*rows_and_filters)
    codes = triangle(torch.tensor(z**2, dtype=dtype))
    np.testing.assert_allclose(codes, np.maximum(0, z.mean(1)[:, None] - z), atol=1e-6)
    assert (codes >= 0).all()
    assert 0.2 < (codes == 0).float().mean() < 0.8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gradients", [False, True])
def test_triangle_takes_rounding_below_zero_for_zero(dtype, gradients):
    distance = torch.tensor([[-1.5e-5, 4.0, 16.0], [1.0, 4.0, 1.0]], dtype=dtype)
    codes = triangle(distance.requires_grad_(gradients) * 1.0)
    np.testing.assert_allclose(codes.detach(), [[2, 0, 0], [1 / 3, 0, 1 / 3]], atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_triangle_of_rows_that_are_filters(dtype):
    """The expanded square of float32 misses zero by about 1e-5 on either side."""
    filters = torch.randn(200, 108, generator=torch.manual_seed(0)).to(dtype)
    squares = filters.square().sum(1)
    distance = squares[:, None] + squares - 2 * filters @ filters.T
    codes = triangle(distance)
    assert codes.isfinite().all()
    assert torch.equal(codes.argmax(1), torch.arange(200))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zero", [0.0, -1e-6])
def test_gradient_of_triangle_is_finite_at_a_filter(dtype, zero):
    leaf = torch.tensor([[zero, 4.0, 16.0], [zero, zero, zero]], dtype=dtype).requires_grad_()
    triangle(leaf * 1.0).sum().backward()
    assert leaf.grad.isfinite().all()


def test_gradient_of_triangle():
    distance = 1 + torch.rand(4, 5, generator=torch.manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda d: triangle(d * 1.0), distance.requires_grad_())


@pytest.mark.parametrize("alpha", [0, 0.25, 2.0])
def test_soft_threshold(alpha):
    response = torch.tensor([[-1.0, 0.0, 0.2, 0.25, 1.0, 3.0]])
    expected = np.maximum(0, response.numpy() - alpha)
    np.testing.assert_allclose(soft_threshold(response, alpha=alpha), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("fraction", "n_filters", "admitted"),
    [(0.4, 10, 4), (0.4, 1, 1), (0.01, 10, 1), (1.0, 7, 7), (0.5, 5, 2), (0.34, 9, 3)],
)
def test_knn_admits_the_right_number(dtype, fraction, n_filters, admitted):
    values = torch.randn(50, n_filters, generator=torch.manual_seed(0)).to(dtype)
    codes = knn(values.clone(), knn_fraction=fraction)
    np.testing.assert_array_equal(codes.sum(1), np.full(50, admitted))
    lowest = values.masked_fill(codes == 0, np.inf).amin(1)
    assert (values.masked_fill(codes == 1, -np.inf).amax(1) < lowest).all()


def test_knn_admits_ties_with_the_last():
    codes = knn(torch.tensor([[5.0, 1.0, 3.0, 3.0]]), knn_fraction=0.5)
    np.testing.assert_array_equal(codes, [[1, 0, 1, 1]])


def test_knn_with_one_is_hard(rows_and_filters):
    nearness = torch.from_numpy(affinity("nearness", *rows_and_filters))
    torch.testing.assert_close(knn(nearness.clone(), knn_fraction=0.01), hard(nearness.clone()))


def test_an_entry_names_the_parameters_it_takes():
    values = torch.tensor([[1.0, 4.0]])
    encoder = Encoder("response", lambda r, *, power, shift: r**power + shift, ("power", "shift"))
    code = encoder.bind({"shift": 1, "power": 2, "alpha": 99})
    assert code(values).tolist() == [[2, 17]]
    with pytest.raises(KeyError, match="power"):
        encoder.bind({"shift": 1})
