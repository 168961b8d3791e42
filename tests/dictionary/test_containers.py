"""The containers and dtypes of what transformers give, whatever comes in."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline

from sklearn_kmfeat import (
    BagOfPatches,
    ContrastNormalizer,
    ConvKMeans,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)

FEW = {"n_patches": 300, "max_iter": 2, "patch_size": 3, "random_state": 0}
TRANSFORMERS = {
    "learner": KMeansFilterLearner(4, **FEW),
    "maps": KMeansFilterLearner(4, output="maps", **FEW),
    "bag": BagOfPatches(4, **FEW),
    "windows": ConvKMeans(4, patch_size=3, n_windows=300, max_iter=2, random_state=0),
    "contrast": ContrastNormalizer(),
    "whitener": ZCAWhitener(),
    "patches": PatchExtractor(3, n_patches=50, random_state=0),
}
CONTAINERS = ["pandas", "polars"]


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).randint(0, 256, (20, 8, 8), dtype=np.uint8)


@pytest.fixture
def frame(images):
    pandas = pytest.importorskip("pandas")
    rows = images.reshape(20, -1)
    names = [f"pixel{i}" for i in range(rows.shape[1])]
    return pandas.DataFrame(rows, columns=names, index=[f"image {i}" for i in range(20)])


def for_rows(name):
    """The transformer for flattened images."""
    transformer = clone(TRANSFORMERS[name])
    if "image_shape" in transformer.get_params():
        transformer.set_params(image_shape=(8, 8))
    return transformer


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("how", ["config", "set_output"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_images_in_any_container(images, name, how, container):
    pytest.importorskip(container)
    transformer = clone(TRANSFORMERS[name])
    expected = transformer.fit_transform(images)
    if how == "set_output":
        found = transformer.set_output(transform=container).fit_transform(images)
    else:
        with config_context(transform_output=container):
            found = transformer.fit_transform(images)
    makes_images = name in ("maps", "contrast", "whitener")
    assert isinstance(found, np.ndarray) == makes_images
    np.testing.assert_array_equal(np.asarray(found), expected)
    listed = transformer.set_output(transform=container).fit(images)
    if name != "whitener":
        assert len(listed.transform(list(images))) == len(expected)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_frames_of_flattened_images(frame, name, container):
    pytest.importorskip(container)
    transformer = for_rows(name)
    expected = transformer.fit_transform(frame)
    with config_context(transform_output=container):
        for found in (transformer.fit_transform(frame), transformer.transform(frame)):
            np.testing.assert_array_equal(np.asarray(found), expected)
            if name == "maps":
                assert isinstance(found, np.ndarray)
                continue
            assert type(found).__module__.startswith(container)
            assert list(found.columns) == list(transformer.get_feature_names_out())
            if container == "pandas":
                own_rows = name == "patches"
                assert list(found.index) == (list(range(50)) if own_rows else list(frame.index))


def test_names_of_rows_and_none_of_images(images):
    assert not hasattr(ZCAWhitener().fit(images), "get_feature_names_out")
    rows = ContrastNormalizer().fit(images.reshape(20, -1))
    assert rows.get_feature_names_out()[:2].tolist() == ["x0", "x1"]
    pipeline = make_pipeline(ContrastNormalizer(), KMeansFilterLearner(4, **FEW)).fit(images)
    assert len(pipeline.set_output(transform="default").transform(images)) == 20


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_another_container_is_refused(name):
    with pytest.raises(ValueError, match=r"transform must be one of .*, got 'xarray'"):
        clone(TRANSFORMERS[name]).set_output(transform="xarray")


@pytest.mark.parametrize("first", [np.uint8, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("then", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_fitted_transformer_gives_one_dtype(images, name, first, then):
    transformer = clone(TRANSFORMERS[name]).fit(images.astype(first))
    expected = transformer.transform(images.astype(first))
    assert expected.dtype == (np.float64 if first is np.float64 else np.float32)
    for X in (images.astype(then), list(images.astype(then))):
        found = transformer.transform(X)
        assert {each.dtype for each in found} == {expected.dtype}
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-4)
    if hasattr(transformer, "partial_fit"):
        transformer.partial_fit(images.astype(then))
        assert transformer.transform(images).dtype == expected.dtype


@pytest.mark.parametrize("first", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("then", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in TRANSFORMERS if name != "maps"])
def test_kmeans_follows_whatever_the_dtype(frame, name, first, then):
    """The KMeans of scikit-learn takes one dtype only."""
    pipeline = make_pipeline(for_rows(name), KMeans(3, random_state=0))
    expected = pipeline.fit(frame.to_numpy(first)).predict(frame.to_numpy(first))
    for X in (frame.to_numpy(then), frame.to_numpy(then).tolist()):
        np.testing.assert_array_equal(pipeline.predict(X), expected)
    pipeline.fit(frame.astype(first))
    for X in (frame, frame.astype(then)):
        np.testing.assert_array_equal(pipeline.predict(X), expected)
