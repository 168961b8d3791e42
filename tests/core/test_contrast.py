import numpy as np
import pytest
import torch

from naive import cut, normalize
from sklearn_kmfeat._core.contrast import (
    ContrastVariance,
    auto_eps,
    center_and_scale,
    contrast_normalize,
)
from sklearn_kmfeat.datasets import load_cifar10_sample

DTYPES = [torch.float32, torch.float64]
GREY_LEVELS = [0.0, 1e-7, 0.1, 1 / 3, -7.7, 128.0, 254.9, 1e6]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("eps", [0.0, 0.1, 10.0])
def test_equals_the_formula(dtype, dim, eps):
    x = 50 * np.random.RandomState(0).randn(7, 12) + 100
    expected = np.moveaxis(normalize(np.moveaxis(x, dim, -1), eps), -1, dim)
    x = torch.tensor(x, dtype=dtype)
    result = contrast_normalize(x, eps, dim)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_divides_by_the_number_of_values_less_one():
    result = contrast_normalize(torch.tensor([[0.0, 2.0, 4.0]]), 1.0)  # the variance is 4
    np.testing.assert_allclose(result, [[-2 / 5**0.5, 0, 2 / 5**0.5]], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [0.0, 1e-9, 10.0])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("width", [1, 2, 27, 108, 3072])
def test_flat_vectors_become_exactly_zero_at_every_grey_level(dtype, eps, dim, width):
    x = torch.tensor(GREY_LEVELS, dtype=dtype)[:, None].expand(-1, width)
    x = x.T.contiguous() if dim == 0 else x.contiguous()
    assert (contrast_normalize(x, eps, dim) == 0).all()


@pytest.mark.parametrize("level", GREY_LEVELS[2:])
def test_a_weak_pattern_on_any_grey_level_is_kept(level):
    pattern = torch.tensor([[1.0, -1.0]]).repeat(1, 54) * 1e-4 * abs(level)
    result = contrast_normalize(pattern + level, 0.0)
    np.testing.assert_allclose(result.abs().mean(), 1.0, rtol=0.02)


def test_an_empty_batch():
    assert contrast_normalize(torch.empty(0, 5), 1.0).shape == (0, 5)


def test_brightness_changes_nothing():
    x = torch.rand(20, 27, generator=torch.manual_seed(0)) * 255
    torch.testing.assert_close(
        contrast_normalize(x + 100, 10.0), contrast_normalize(x, 10.0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("factor", [1 / 255, 255, 1000.0])
def test_eps_follows_the_pixel_range(factor):
    x = torch.rand(50, 27, generator=torch.manual_seed(0), dtype=torch.float64)
    results = [contrast_normalize(y, auto_eps(ContrastVariance.of(y))) for y in (x, x * factor)]
    torch.testing.assert_close(*results)
    fixed = contrast_normalize(x * factor, auto_eps(ContrastVariance.of(x)))
    assert (fixed - results[0]).abs().max() > 1e-3


def test_auto_eps_is_the_ten_of_coates():
    patches = cut(load_cifar10_sample().images[:40].astype(np.float64), (6, 6), (5, 5))
    eps = auto_eps(ContrastVariance.of(torch.from_numpy(patches)))
    assert 7 < eps < 14


def test_auto_eps_without_contrast():
    assert auto_eps(ContrastVariance()) == auto_eps(ContrastVariance(0.0, 5)) == 1.0
    assert auto_eps(ContrastVariance(3000.0, 3)) == 6.5


def test_writes_only_where_it_is_told():
    x = torch.rand(4, 9, generator=torch.manual_seed(0))
    before = x.clone()
    expected = contrast_normalize(x, 0.1)
    assert torch.equal(x, before)
    out = torch.empty_like(x)
    assert contrast_normalize(x, 0.1, out=out) is out
    assert torch.equal(out, expected)
    assert torch.equal(x, before)
    assert contrast_normalize(x, 0.1, out=x) is x
    assert torch.equal(x, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("eps", [0.0, 10.0])
def test_the_two_factors(dtype, dim, eps):
    x = 50 * np.random.RandomState(0).randn(7, 12) + 100
    centred, scale = center_and_scale(torch.tensor(x, dtype=dtype), eps, dim)
    assert centred.dtype == scale.dtype == dtype
    np.testing.assert_allclose(centred, x - x.mean(dim, keepdims=True), rtol=1e-4, atol=1e-4)
    var = x.var(dim, ddof=1, keepdims=True)
    assert scale.shape == var.shape
    np.testing.assert_allclose(scale, 1 / np.sqrt(var + eps), rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [0.0, 10.0])
def test_the_scale_of_flat_vectors_is_zero(dtype, eps):
    x = torch.tensor(GREY_LEVELS, dtype=dtype)[:, None].repeat(1, 27)
    x[0] = torch.arange(27)
    _, scale = center_and_scale(x, eps)
    assert scale[0] > 0
    assert (scale[1:] == 0).all()


def test_the_factors_of_three_values():
    centred, scale = center_and_scale(torch.tensor([[0.0, 2.0, 4.0]]), 1.0)  # the variance is 4
    assert centred.tolist() == [[-2, 0, 2]]
    np.testing.assert_allclose(scale, [[5**-0.5]], rtol=1e-6)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_the_factors_are_written_where_they_are_told(dim):
    x = torch.rand(4, 5, 6, generator=torch.manual_seed(0))
    before = x.clone()
    expected = center_and_scale(x, 0.1, dim)
    assert torch.equal(x, before)
    scratch = torch.full_like(x, torch.nan)
    centred, scale = center_and_scale(x, 0.1, dim, x, scratch)
    assert centred is x
    assert torch.equal(centred, expected[0])
    assert torch.equal(scale, expected[1])


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_gradients_are_finite(eps):
    x = torch.rand(3, 8, generator=torch.manual_seed(0), dtype=torch.float64)
    x[1] = 0.1
    x.requires_grad_()
    contrast_normalize(x, eps).square().sum().backward()
    assert x.grad.isfinite().all()
    moving = x.detach()[[0, 2]].requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: contrast_normalize(rows, eps), moving)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_mean_variance(dtype, dim):
    x = 10 * np.random.RandomState(0).randn(5, 6, 7) + 3
    variance = ContrastVariance.of(torch.tensor(x, dtype=dtype).movedim(dim, -1))
    np.testing.assert_allclose(variance.mean, x.var(dim, ddof=1).mean(), rtol=1e-5)
    assert variance.count == 5 * 6 * 7 / x.shape[dim]


def test_mean_variance_of_single_values_is_zero():
    assert ContrastVariance.of(torch.tensor([[3.0], [5.0]])).mean == 0


def test_variances_merge():
    x = torch.tensor(np.random.RandomState(0).randn(20, 7))
    whole = ContrastVariance.of(x)
    parts = ContrastVariance() + ContrastVariance.of(x[:3]) + ContrastVariance.of(x[3:])
    assert parts.count == whole.count == 20
    assert parts.mean == pytest.approx(whole.mean)
