import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from sklearn_kmfeat import ContrastNormalizer, ConvKMeans, KMeansFilterLearner, ZCAWhitener
from sklearn_kmfeat._core.whitening import Moments


def state_of(whitener):
    names = ("mean_", "whitening_", "unwhitening_", "eigenvalues_")
    return [getattr(whitener, name) for name in names]


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize("eps", [0, 0.1, 5.0])
def test_whitened_covariance(correlated, eps):
    whitener = ZCAWhitener(eps)
    white = whitener.fit_transform(correlated)
    eigenvalues = np.linalg.eigvalsh(np.cov(correlated.T))
    np.testing.assert_allclose(whitener.eigenvalues_, eigenvalues[::-1])
    np.testing.assert_allclose(
        np.linalg.eigvalsh(np.cov(white.T)), eigenvalues / (eigenvalues + eps)
    )
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(whitener.mean_, correlated.mean(0))
    np.testing.assert_allclose(whitener.whitening_, whitener.whitening_.T, atol=1e-12)
    assert whitener.n_samples_seen_ == 300
    assert whitener.n_features_in_ == 8


def test_whitening_is_that_of_pca_turned_back(correlated):
    pca = PCA(whiten=True).fit(correlated)
    expected = pca.transform(correlated) @ pca.components_
    np.testing.assert_allclose(ZCAWhitener(eps=0).fit_transform(correlated), expected, atol=1e-9)


def test_covariance_is_divided_by_the_rows_less_one():
    whitener = ZCAWhitener(eps=0).fit(np.array([[0.0, 1.0], [4.0, 1.0]]))  # the variance is 8
    np.testing.assert_allclose(whitener.eigenvalues_, [8, 0])
    np.testing.assert_allclose(whitener.whitening_, [[8**-0.5, 0], [0, 0]], atol=1e-12)
    np.testing.assert_array_equal(whitener.mean_, [2, 1])


@pytest.mark.parametrize("ends", [[], [1], [150], [299], [2, 3, 4], range(10, 300, 10)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_split_gives_what_one_fit_gives(correlated, ends, dtype):
    X = correlated.astype(dtype)
    whole, parts = ZCAWhitener().fit(X), ZCAWhitener()
    for part in np.split(X, list(ends)):
        assert parts.partial_fit(part) is parts
    assert parts.n_samples_seen_ == 300
    for a, b in zip(state_of(parts), state_of(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def test_fit_starts_afresh_and_partial_fit_goes_on(correlated):
    expected = state_of(ZCAWhitener().fit(correlated[:100]))
    whitener = ZCAWhitener().fit(correlated).fit(correlated[:100])
    assert whitener.n_samples_seen_ == 100
    for a, b in zip(state_of(whitener), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    whitener.partial_fit(correlated[100:])
    for a, b in zip(state_of(whitener), state_of(ZCAWhitener().fit(correlated)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def test_partial_fit_on_other_rows(correlated):
    whitener = ZCAWhitener().partial_fit(correlated)
    with pytest.raises(ValueError, match="X has 7 features"):
        whitener.partial_fit(correlated[:, 1:])
    assert whitener.n_samples_seen_ == 300


@pytest.mark.parametrize("eps", [0, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(300, 8), (300, 4, 2), (300, 2, 2, 2)])
def test_inverse(correlated, eps, dtype, shape):
    X = correlated.reshape(shape).astype(dtype)
    whitener = ZCAWhitener(eps).fit(X)
    back = whitener.inverse_transform(whitener.transform(X))
    assert back.shape == shape
    assert back.dtype == dtype
    np.testing.assert_allclose(back, X, rtol=1e-3, atol=1e-3 if dtype is np.float32 else 1e-9)


def test_rank_deficient_data(rng):
    X = rng.randn(100, 3) @ rng.randn(3, 9) + 5
    whitener = ZCAWhitener(eps=0)
    white = whitener.fit_transform(X)
    values = np.linalg.eigvalsh(np.cov(white.T))
    np.testing.assert_allclose(values, [0] * 6 + [1] * 3, atol=1e-6)
    assert np.abs(whitener.whitening_).max() < 1e3
    np.testing.assert_allclose(whitener.inverse_transform(white), X, atol=1e-9)


def test_fewer_rows_than_columns(rng):
    white = ZCAWhitener(eps=0).fit_transform(rng.randn(5, 20))
    values = np.linalg.eigvalsh(np.cov(white.T))
    np.testing.assert_allclose(values, [0] * 16 + [1] * 4, atol=1e-6)


@pytest.mark.parametrize("eps", [0, 0.1])
def test_constant_data_and_one_row(eps):
    for X in (np.full((10, 4), 3.0), np.array([[1.0, 2.0, 3.0]])):
        white = ZCAWhitener(eps).fit_transform(X)
        np.testing.assert_array_equal(white, np.zeros_like(X))


def test_float32_far_from_the_origin(correlated):
    X = (correlated + 1e4).astype(np.float32)
    found = ZCAWhitener().fit_transform(X)
    np.testing.assert_allclose(found, ZCAWhitener().fit_transform(X.astype(float)), atol=1e-4)


def test_images_of_different_sizes_have_no_covariance(ragged):
    with pytest.raises(ValueError, match="ZCAWhitener needs rows or images of one size"):
        ZCAWhitener().fit(ragged)


def test_a_list_of_images_like_those_of_fit(correlated):
    images = correlated.reshape(300, 4, 2)
    whitener = ZCAWhitener().fit(images)
    white = whitener.transform(list(images[:3]))
    assert isinstance(white, list)
    np.testing.assert_allclose(white, whitener.transform(images[:3]))


def test_from_moments(correlated):
    moments = Moments.of(torch.from_numpy(correlated))
    whitener, fitted = ZCAWhitener.from_moments(moments, 0.3), ZCAWhitener(0.3).fit(correlated)
    for a, b in zip(state_of(whitener), state_of(fitted), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whitener.transform(correlated), fitted.transform(correlated))
    whitener.partial_fit(correlated)
    assert whitener.n_samples_seen_ == 600
    assert whitener.get_params() == {"eps": 0.3}


@pytest.mark.parametrize("eps", [0, 1e-6])
def test_after_contrast_normalisation_float32_agrees_with_float64(eps):
    rows = np.random.RandomState(0).randint(0, 255, (3000, 12))
    pipeline = make_pipeline(ContrastNormalizer(), ZCAWhitener(eps))
    expected = pipeline.fit_transform(rows / 255.0)
    found = pipeline.fit_transform((rows / 255).astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_too_many_columns_are_refused_at_once(method):
    images = np.broadcast_to(np.uint8(3), (2, 1000, 1000, 3))
    with pytest.raises(ValueError, match=r"rows of 3000000 values takes .* GB"):
        getattr(ZCAWhitener(), method)(images)


def test_too_large_patches_are_refused_at_once():
    images = np.broadcast_to(np.uint8(3), (2, 1000, 1000, 3))
    for learner in (
        KMeansFilterLearner(2, patch_size=1000, pool_grid=1),
        ConvKMeans(2, patch_size=900, window_size=1000),
    ):
        with pytest.raises(ValueError, match="Whitening rows of"):
            learner.fit(images)
