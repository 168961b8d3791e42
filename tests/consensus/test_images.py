"""Tests for sklearn_kmfeat._consensus.images."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_kmfeat import ConsensusClusterer
from sklearn_kmfeat._consensus.images import checked_source, in_memory, input_size_of


def given(X, **params):
    consensus = ConsensusClusterer(**params)
    source = checked_source(consensus, X, reset=True)
    return source, input_size_of(consensus, source)


@pytest.mark.parametrize(
    ("shape", "params", "size"),
    [
        ((2, 20, 30), {}, (20, 30)),
        ((2, 100, 128, 3), {}, (64, 82)),
        ((2, 20, 30), {"input_size": 16}, (16, 16)),
        ((2, 20, 30), {"input_size": (8, 12)}, (8, 12)),
        ((2, 600), {"image_shape": (20, 30)}, (20, 30)),
        ((2, 7), {}, None),
    ],
)
def test_input_size(shape, params, size):
    X = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    source, found = given(X, **params)
    assert found == size
    images = in_memory(source, X, found)
    if size is None:
        assert images is X
    else:
        assert images.shape == (2, *size, shape[3] if len(shape) == 4 else 1)


def test_an_array_of_the_right_size_is_not_copied():
    X = np.zeros((3, 20, 30), np.uint8)
    source, size = given(X)
    assert np.shares_memory(in_memory(source, X, size), X)


def test_bytes_stay_bytes():
    X = np.full((3, 70, 80), 200, np.uint8)
    source, size = given(X)
    images = in_memory(source, X, size)
    assert images.dtype == np.uint8
    assert_array_equal(images, np.full((3, 64, 73, 1), 200))
