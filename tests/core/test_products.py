import numpy as np
import pytest
import torch

from sklearn_kmfeat._core import products
from sklearn_kmfeat._core.products import first_of_largest, in_two_parts, reduced_dtype

CPU_ROWS = torch.ones(2, 2)


@pytest.fixture(params=[True, False])
def has_units(request, monkeypatch):
    """Whether the processor multiplies in bfloat16."""
    monkeypatch.setattr(products, "has_bfloat16", lambda: request.param)
    return request.param


def test_products_are_reduced_where_they_are_faster(has_units):
    assert reduced_dtype("fast", CPU_ROWS) == (torch.bfloat16 if has_units else None)
    assert reduced_dtype("exact", CPU_ROWS) is None
    assert reduced_dtype("fast", CPU_ROWS.double()) is None
    assert reduced_dtype("fast", CPU_ROWS.to("meta")) is None


def test_two_parts_have_the_digits_of_both():
    values = torch.randn(1000, generator=torch.manual_seed(0)) * 100
    high, low = in_two_parts(values, torch.bfloat16)
    assert high.dtype == low.dtype == torch.bfloat16
    np.testing.assert_allclose(high.double() + low.double(), values, rtol=2**-16)
    np.testing.assert_allclose(high.double(), values, rtol=2**-8)


def test_parts_of_a_literal_number():
    high, low = in_two_parts(torch.tensor([257.0]), torch.bfloat16)
    assert (high.item(), low.item()) == (256, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(50, 7), (3, 4, 5, 300), (1, 1), (7,)])
def test_the_first_of_the_largest(dtype, shape):
    values = torch.randint(5, shape, generator=torch.manual_seed(0)).to(dtype)
    expected = np.argmax(values.numpy(), -1)
    found = first_of_largest(values)
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found, expected)
    if len(shape) == 2:
        np.testing.assert_array_equal(first_of_largest(values.T.contiguous().T), expected)


def test_the_first_of_literal_rows():
    assert first_of_largest(torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])).tolist() == [1, 0]
