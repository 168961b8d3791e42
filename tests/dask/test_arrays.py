"""Dask arrays as images: checked whole, computed nowhere, with a source of each block."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from scipy.sparse import csr_array

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat._inputs.check import check_images
from sklearn_kmfeat._inputs.values import ValueRange
from sklearn_kmfeat.dask._arrays import (
    DaskImages,
    block_values,
    dask_images,
    image_blocks,
    in_numpy,
)

LEARNER = KMeansFilterLearner()


def make(shape=(20, 14, 16, 3), dtype=np.uint8):
    return np.random.RandomState(0).randint(0, 200, shape).astype(dtype)


def counted(X, chunks):
    """A dask array, and a list that grows with each block that is computed."""
    computed = []

    def note(block, block_info):
        if block.size and block_info:
            computed.append(block_info[0]["chunk-location"])
        return block

    return da.from_array(X, chunks=chunks).map_blocks(note, dtype=X.dtype, meta=X[:0]), computed


def unknown(X):
    """The same array, whose blocks have an unknown length."""
    return X[da.ones(len(X), chunks=X.chunks[0], dtype=bool)]


@pytest.mark.parametrize("shape", [(20, 14, 16, 3), (20, 14, 16), (20, 672)])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", ">f4", "i8"])
def test_all_is_decided_as_for_an_array_in_memory(shape, dtype):
    X = make(shape, dtype)
    found, computed = counted(X, (7, *shape[1:]))
    for image_shape in (None, (14, 16, 3)[: 3 if shape != (20, 14, 16) else 2]):
        source = check_images(LEARNER, X, image_shape=image_shape)
        images = dask_images(LEARNER, found, image_shape)
        for name in ("shape", "ready", "dtype", "pixel_dtype", "image_shape", "n_features"):
            assert getattr(images, name) == getattr(source, name)
        assert len(images) == 20
        np.testing.assert_array_equal(images.sizes, source.sizes)
    assert computed == []


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_a_source_of_each_block(dtype):
    X = make(dtype=dtype)
    images = dask_images(LEARNER, da.from_array(X, chunks=((8, 0, 5, 7), 14, 16, 3)))
    assert (images.lengths, images.starts) == ([8, 5, 7], [0, 8, 13])
    blocks = [images.data.blocks[i].compute() for i in range(3)]
    values = [block_values(*each) for each in zip(blocks, images.starts, strict=True)]
    whole = check_images(LEARNER, X)
    assert values[0] | values[1] | values[2] == whole.values
    images = DaskImages(images.data, images.shape, images.ready, values[0] | values[1] | values[2])
    assert images.dtype is whole.dtype
    of_block = pickle.loads(pickle.dumps(images.of_block))
    assert len(pickle.dumps(images.of_block)) < 1000
    for block, start, length in zip(blocks, images.starts, images.lengths, strict=True):
        source = of_block(block)
        assert (len(source), source.dtype) == (length, whole.dtype)
        part = slice(start, start + length)
        assert torch.equal(source.read(slice(None)), whole.read(part))
    if dtype == "u1":
        images.seen.values = ValueRange(0, 3)
        assert images.pixel_range == (0, 3)
    else:
        assert images.pixel_range == whole.pixel_range


def test_the_dtype_is_that_of_all_images():
    X = make(dtype=np.float32)
    X[15] += 1e16
    images = dask_images(LEARNER, da.from_array(X, chunks=(8, 14, 16, 3)))
    assert images.dtype is torch.float32
    images = DaskImages(images.data, images.shape, images.ready, check_images(LEARNER, X).values)
    assert images.of_block(X[:8]).dtype is images.dtype is torch.float64


def test_chunks_of_parts_of_images_are_joined():
    X = make()
    found, computed = counted(X, (7, 5, 16, 2))
    images = dask_images(LEARNER, found)
    assert images.data.chunks == ((7, 7, 6), (14,), (16,), (3,))
    np.testing.assert_array_equal(images.data.compute(scheduler="synchronous"), X)
    assert sorted(computed) == sorted(set(computed))
    assert len(computed) == found.npartitions


def test_whole_blocks_stay_as_they_are():
    X = da.from_array(make(), chunks=(7, -1, -1, -1))
    assert image_blocks(X, "learner") is X
    assert dask_images(LEARNER, X).data is X


def test_unknown_lengths_are_computed_on_a_copy():
    X = unknown(da.from_array(make(), chunks=(7, -1, -1, -1)))
    images = dask_images(LEARNER, X)
    assert images.lengths == [7, 7, 6]
    assert np.isnan(X.shape[0])
    none = da.from_array(make(), chunks=(7, -1, 8, -1))
    none = none[da.from_array(np.arange(20) > 8, chunks=7)]
    images = dask_images(LEARNER, none)
    assert images.lengths == [5, 6]
    np.testing.assert_array_equal(images.data, make()[9:])


@pytest.mark.parametrize(
    ("X", "advice"),
    [
        (make(), r"numpy\.ndarray: use dask\.array\.from_array\(X, chunks=\(1000, \*X\.shape"),
        (xr.DataArray(da.zeros((3, 4, 5))), r"xarray.*: use X\.data"),
        (["a.png"], "list: for files and lists use the method of the estimator"),
        (dask.delayed(make)(), r"Delayed: use dask\.array\.from_delayed"),
    ],
)
def test_what_is_no_dask_array(X, advice):
    with pytest.raises(TypeError, match="KMeansFilterLearner, got .*" + advice):
        dask_images(LEARNER, X)


class Cupy:
    """As cupy's array looks from here."""

    __module__ = "cupy"


@pytest.mark.parametrize(
    ("block", "advice"),
    [
        (np.ma.masked_array(np.ones((2, 3))), r"use dask\.array\.ma\.filled\(X, value\)"),
        (csr_array(np.ones((2, 3))), r"csr_array.*X\.map_blocks\(lambda block: .*todense"),
        (Cupy(), r"cupy\.Cupy.*X\.map_blocks\(cupy\.asnumpy\)"),
        ([1], r"builtins\.list.*X\.map_blocks\(numpy\.asarray\)"),
    ],
)
def test_other_blocks_are_refused(block, advice):
    with pytest.raises(TypeError, match=advice):
        in_numpy(block)


def test_the_blocks_that_dask_announces():
    masked = da.ma.masked_equal(da.from_array(make(), chunks=7), 3)
    with pytest.raises(TypeError, match=r"dask\.array\.ma\.filled"):
        dask_images(LEARNER, masked)
    sparse = da.from_array(make((6, 5)), chunks=(3, 5)).map_blocks(csr_array)
    with pytest.raises(TypeError, match="todense"):
        dask_images(LEARNER, sparse)


def test_what_are_no_images():
    for X, message in [
        (da.zeros((3, 4, 5), dtype=bool), "integer or float dtype, got bool"),
        (da.zeros(5), r"array of shape \(5,\)"),
        (da.zeros((0, 4, 5)), r"Found array with 0 sample\(s\)"),
        (da.zeros((9, 3, 32, 32)), r"X of shape \(9, 3, 32, 32\) looks as if .* channels come fir"),
        (da.zeros((32, 32, 3)), r"X\[np\.newaxis\]"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            dask_images(LEARNER, X)
    with pytest.raises(ValueError, match="6 features, but KMeansFilterLearner is expecting 12"):
        dask_images(LEARNER, da.zeros((5, 6)), (3, 4))


def test_values_that_are_not_finite_have_the_number_of_the_image():
    X = make(dtype=np.float32)
    X[16, 3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN in image 16, at row 3, column 4"):
        block_values(X[13:], 13)
