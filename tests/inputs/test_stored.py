"""Arrays on disk: zarr, h5py, xarray, memmap; each chunk is read as seldom as can be."""

from uuid import uuid4

import dask.array as da
import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from on_disk import OnDisk
from sklearn_kmfeat import ConsensusClusterer, KMeansFilterLearner
from sklearn_kmfeat._inputs.check import check_images
from sklearn_kmfeat._inputs.stored import StoredSource
from small import ESTIMATORS, assert_same_fit

CHUNK = 7


@pytest.fixture(scope="module")
def images():
    ramp = np.linspace(0, 90, 18)[:, None, None]
    return (np.random.RandomState(0).randint(0, 160, (30, 18, 20, 3)) + ramp).astype(np.uint8)


def in_zarr(X, folder):
    array = zarr.create_array(
        store=str(folder / "a.zarr"),
        shape=X.shape,
        chunks=(CHUNK, *X.shape[1:]),
        dtype=X.dtype,
        overwrite=True,
    )
    array[:] = X
    return array


def in_h5py(X, folder):
    path = folder / f"{uuid4()}.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=X, chunks=(CHUNK, *X.shape[1:]), compression="gzip")
    return h5py.File(path)["X"]


def in_h5py_without_chunks(X, folder):
    path = folder / f"{uuid4()}.h5"
    with h5py.File(path, "w") as file:
        file["X"] = X
    return h5py.File(path)["X"]


def in_xarray(X, folder):
    in_zarr(X, folder)
    lazy = zarr.open_array(str(folder / "a.zarr"))
    return xr.DataArray(lazy[:], dims=("image", "y", "x", "band")[: X.ndim])


def in_memmap(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


KINDS = [in_zarr, in_h5py, in_h5py_without_chunks, in_xarray, in_memmap]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_the_same_as_in_memory(estimator, kind, dtype, images, tmp_path):
    images = images.astype(dtype)
    X = kind(images, tmp_path)
    expected, found = (clone(estimator).fit(each) for each in (images, X))
    assert_same_fit(found, expected, images)
    assert_same_fit(found, expected, X)


@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind, images, tmp_path):
    rows = images.reshape(30, -1)
    learner = KMeansFilterLearner(4, n_patches=200, max_iter=2, random_state=0)
    for image_shape in (None, images.shape[1:]):
        learner.set_params(image_shape=image_shape)
        expected = learner.fit_transform(rows)
        X = kind(rows, tmp_path)
        np.testing.assert_allclose(learner.fit(X).transform(X), expected, rtol=1e-5, atol=1e-5)


def test_shuffled_as_a_search_does(images, tmp_path):
    y = np.arange(30) % 2
    model = make_pipeline(
        KMeansFilterLearner(4, n_patches=200, max_iter=2, random_state=0), RidgeClassifier()
    )
    expected = cross_val_score(model, images, y, cv=3)
    for kind in (in_xarray, in_memmap, in_h5py):
        np.testing.assert_array_equal(
            cross_val_score(model, kind(images, tmp_path), y, cv=3), expected
        )
    for kind in (in_xarray, in_memmap):
        part = train_test_split(kind(images, tmp_path), random_state=0)[0]
        expected = train_test_split(images, random_state=0)[0]
        np.testing.assert_allclose(
            model[0].fit(part).transform(part),
            model[0].fit(expected).transform(expected),
            rtol=1e-5,
        )


class InChunks(OnDisk):
    """Counts how often each chunk is decompressed."""

    def __init__(self, data, chunk=CHUNK, most=None):
        super().__init__(data, most)
        self.chunks = (chunk, *data.shape[1:])
        self.counts = np.zeros(-(-len(data) // chunk), int)

    def __getitem__(self, index):
        rows = np.arange(len(self))[index]
        self.counts[np.unique(rows // self.chunks[0])] += 1
        return super().__getitem__(index)


def ends_of(chunk, n=30):
    return np.array([*range(chunk, n, chunk), n])


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("chunk", [1, 2, 7, 30, 100])
@pytest.mark.parametrize("n_patches", [6, 40, 4000])
@pytest.mark.parametrize(
    "estimator", [*ESTIMATORS[:3], ESTIMATORS[5]], ids=lambda each: type(each).__name__
)
def test_a_chunk_is_read_once_in_transform_and_twice_in_fit(
    estimator, chunk, n_patches, dtype, images
):
    X = InChunks(images.astype(dtype), chunk)
    learner = clone(estimator)
    if hasattr(learner, "n_patches") and not hasattr(learner, "max_patches"):
        learner.set_params(n_patches=n_patches)
    learner.fit(X)
    assert X.counts.max() <= 2
    X.counts[:] = 0
    learner.transform(X)
    np.testing.assert_array_equal(X.counts, 1)


@pytest.mark.parametrize("step", [1, 2, 5, 7, 8, 20, 50])
@pytest.mark.parametrize("chunk", [1, 3, 7, 50])
@pytest.mark.parametrize("some", [None, [0, 1, 2, 8, 9, 10, 11, 29], [3], list(range(0, 30, 2))])
def test_batches_end_where_chunks_do(images, step, chunk, some):
    X = InChunks(images, chunk, most=max(step, min(chunk, 30)))
    source = StoredSource(X, images.shape[1:], ends=ends_of(chunk))
    members = None if some is None else np.array(some)
    seen, n_batches = [], 0
    for index, batch in source.batches(lambda size: step, members):
        n_batches += 1
        rows = np.arange(30)[index]
        assert len(rows) <= step
        np.testing.assert_array_equal(batch.numpy(), images[rows])
        seen += rows.tolist()
    assert seen == (list(range(30)) if some is None else some)
    assert source.n_batches(lambda size: step, members) == n_batches
    assert X.counts.max() == 1


def test_fit_reports_more_batches_than_whole_ones_would_be(images):
    """Batches that end where chunks do are more than images over images in a batch."""
    X = InChunks(np.concatenate([images] * 10), chunk=70)
    learner = KMeansFilterLearner(4, n_patches=600, max_iter=1, random_state=0)
    with config_context(working_memory=1):  # 121 images are read at once, and so 70
        fitted = clone(learner).fit(X)
    expected = clone(learner).fit(X.data)
    np.testing.assert_array_equal(fitted.filters_, expected.filters_)


def test_any_index(images):
    source = StoredSource(InChunks(images), images.shape[1:], ends=ends_of(CHUNK))
    for index in (slice(3, 20), np.array([2]), np.array([1, 4, 25]), np.arange(5, 29)):
        np.testing.assert_array_equal(source.read(index).numpy(), images[index])


@pytest.mark.parametrize("kind", [in_zarr, in_h5py])
def test_what_is_not_finite_is_found_while_it_is_read(kind, images, tmp_path):
    learner = KMeansFilterLearner(4, n_patches=200, max_iter=2, random_state=0).fit(images)
    bad = images.astype("f4")
    bad[16, 3, 4, 1] = np.nan
    X = kind(bad, tmp_path)
    for method in (learner.transform, learner.predict, learner.fit):
        with pytest.raises(ValueError, match=r"NaN in image 16, at row 3, column 4, channel 1"):
            method(X)
    bad[16, 3, 4, 1] = 1e30
    X = kind(bad, tmp_path)
    with pytest.raises(ValueError, match=r"values up to 1e\+30, whose squares torch\.float32"):
        learner.transform(X)


def test_what_is_no_image(tmp_path, images):
    strings = zarr.create_array(store=str(tmp_path / "s.zarr"), shape=(3, 4, 5), dtype="bool")
    with pytest.raises(TypeError, match="integer or float dtype, got bool"):
        check_images(KMeansFilterLearner(), strings)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        check_images(KMeansFilterLearner(), in_h5py_without_chunks(images[:0], tmp_path))
    with pytest.raises(ValueError, match="channels come first"):
        check_images(KMeansFilterLearner(), in_zarr(np.moveaxis(images, -1, 1), tmp_path))
    with pytest.raises(ValueError, match=r"X\[np\.newaxis\]"):
        check_images(KMeansFilterLearner(), in_zarr(images[0], tmp_path))


UNEVEN = ((8, 0, 5, 1, 9, 7), -1, -1, -1)


def in_dask(X, chunks):
    """A dask array, and a list that grows with each block that is computed."""
    computed = []

    def note(block, block_info):
        computed.append(block_info[0]["chunk-location"])
        return block

    blocks = da.from_array(X, chunks=chunks).map_blocks(note, dtype=X.dtype, meta=X[:0])
    return blocks, computed


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("chunks", [UNEVEN, (7, 10, -1, 2)])
@pytest.mark.parametrize("estimator", ESTIMATORS[:6], ids=lambda each: type(each).__name__)
def test_a_block_of_dask_is_computed_once_in_transform_and_twice_in_fit(
    estimator, chunks, dtype, images
):
    images = images.astype(dtype)
    learner, expected = clone(estimator), clone(estimator).fit(images)
    X, computed = in_dask(images, chunks)
    name = type(learner).__name__
    with pytest.warns(UserWarning, match=f"dask array, which {name} reads .*fit\\(") as caught:
        learner.fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    contrast_of_images = name in ("ContrastNormalizer", "BagOfPatches")
    most = 2 if dtype == "f4" or contrast_of_images else 1
    assert max(map(computed.count, computed), default=0) <= most
    computed.clear()
    with pytest.warns(
        UserWarning, match=r"sklearn_kmfeat\.dask\.transform\(estimator, X\)"
    ) as caught:
        found = learner.transform(X)
    assert len(caught) == 1
    np.testing.assert_allclose(found, expected.transform(images), rtol=1e-5, atol=1e-5)
    assert len(computed) == len(set(computed))


def test_dask_in_other_estimators(images):
    X, _ = in_dask(images, UNEVEN)
    network = ESTIMATORS[-1]
    with pytest.warns(UserWarning, match=r"DeepClusterEstimator reads .* X\.compute\(\) is faster"):
        found = clone(network).fit(X)
    with pytest.warns(UserWarning, match="read"):
        labels = found.predict(X)
    np.testing.assert_array_equal(labels, clone(network).fit(images).labels_)
    consensus = ConsensusClusterer(2, n_runs=2, random_state=0)
    expected = clone(consensus).fit(images)
    with pytest.warns(UserWarning, match=r"ConsensusClusterer reads .* X\.compute\(\)"):
        consensus.fit(X)
    with pytest.warns(UserWarning, match=r"sklearn_kmfeat\.dask\.predict\(estimator, X\)"):
        labels = consensus.predict(X)
    np.testing.assert_array_equal(labels, expected.labels_)


def test_dask_inside_xarray(images):
    blocks = da.from_array(images, chunks=7)
    with pytest.warns(UserWarning, match=r"sklearn_kmfeat\.dask\.fit\(estimator, X\.data\)"):
        ESTIMATORS[3].fit(xr.DataArray(blocks, dims=("image", "y", "x", "band")))


def test_blocks_of_unknown_length(images):
    X = da.from_array(images, chunks=7)
    X = X[da.ones(30, chunks=7, dtype=bool)]
    with pytest.raises(ValueError, match=r"unknown length: call X\.compute_chunk_sizes\(\)"):
        KMeansFilterLearner().fit(X)


@pytest.mark.parametrize("kind", [in_zarr, in_h5py])
def test_consensus_of_stored_images(kind, images, tmp_path):
    consensus = ConsensusClusterer(2, n_runs=2, random_state=0)
    expected = clone(consensus).fit(images)
    found = consensus.fit(kind(images, tmp_path))
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    np.testing.assert_array_equal(found.predict(kind(images, tmp_path)), expected.labels_)
