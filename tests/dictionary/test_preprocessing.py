import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from naive import cut, normalize
from sklearn_kmfeat import ContrastNormalizer, ZCAWhitener
from sklearn_kmfeat._core.whitening import Moments
from sklearn_kmfeat.datasets import load_cifar10_sample

TRANSFORMERS = [
    ContrastNormalizer(),
    ContrastNormalizer(eps=2.0),
    ZCAWhitener(),
    ZCAWhitener(eps=1),
]
GREY_LEVELS = [0, 0.1, 1 / 3, 77.7, 128, 255]


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def rows(rng):
    return 100 * rng.rand(60, 12)


@pytest.fixture
def correlated(rng):
    return rng.randn(300, 8) @ rng.randn(8, 8) + 10 * rng.randn(8)


@pytest.fixture
def ragged(rng):
    return [100 * rng.rand(*size) for size in [(4, 5), (3, 3), (4, 5), (6, 2)]]


@pytest.fixture(params=["one batch", "one row a batch"])
def batches(request):
    memory = 1e-6 if request.param == "one row a batch" else None
    with sklearn.config_context(working_memory=memory):
        yield


# Both


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.parametrize("shape", [(60, 12), (60, 3, 4), (60, 2, 2, 3)])
def test_an_image_is_a_row(transformer, rows, shape):
    expected = clone(transformer).fit_transform(rows)
    found = clone(transformer).fit_transform(rows.reshape(shape))
    assert found.shape == shape
    np.testing.assert_allclose(found.reshape(60, 12), expected, atol=1e-9)


@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.parametrize("dtype", ["u1", "i4", "u2", ">f4", "f4", "f8", ">f8"])
@pytest.mark.parametrize("shape", [(60, 12), (60, 3, 4)])
def test_dtypes(transformer, rows, dtype, shape):
    X = rows.reshape(shape).astype(dtype)
    copy = X.copy()
    result = clone(transformer).fit_transform(X)
    assert result.dtype == (np.float64 if dtype.endswith("f8") else np.float32)
    expected = clone(transformer).fit_transform(copy.astype(float))
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(X, copy)
    result[...] = 0
    np.testing.assert_array_equal(X, copy)


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_read_only_and_strided_arrays(transformer, rows):
    expected = clone(transformer).fit_transform(rows)
    constant = rows.copy()
    constant.setflags(write=False)
    strided = np.repeat(rows, 2, axis=1)[:, ::2]
    for X in (constant, strided, np.asfortranarray(rows)):
        np.testing.assert_allclose(clone(transformer).fit_transform(X), expected, atol=1e-9)


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_test_data_are_transformed_by_what_was_learned(transformer, rows):
    fitted = clone(transformer).fit(rows[:40])
    whole = fitted.transform(rows)
    state = {name: np.copy(value) for name, value in vars(fitted).items() if name[-1] == "_"}
    np.testing.assert_allclose(fitted.transform(rows[50:]), whole[50:], atol=1e-9)
    np.testing.assert_allclose(fitted.transform(rows[7:8] * 2), fitted.transform(rows * 2)[7:8])
    for name, value in state.items():
        np.testing.assert_array_equal(getattr(fitted, name), value)


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_not_fitted_or_fitted_on_others(transformer, rows):
    with pytest.raises(NotFittedError):
        clone(transformer).transform(rows)
    fitted = clone(transformer).fit(rows)
    with pytest.raises(ValueError, match="X has 11 features"):
        fitted.transform(rows[:, 1:])
    with pytest.raises(ValueError, match="fitted on ready patches"):
        fitted.transform(rows.reshape(60, 3, 4))
    fitted.fit(rows.reshape(60, 3, 4))
    with pytest.raises(ValueError, match=r"images of shape \(4, 3, 1\)"):
        fitted.transform(rows.reshape(60, 4, 3))


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_bad_values(transformer, rows):
    rows[3, 4] = np.nan
    for X in (rows, rows.reshape(60, 3, 4)):
        with pytest.raises(ValueError, match="NaN"):
            clone(transformer).fit(X)
    with pytest.raises(ValueError, match="'eps' parameter"):
        type(transformer)(eps=-1).fit(np.ones((3, 3)))


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_names_of_features(transformer, rows):
    fitted = clone(transformer).fit(rows)
    assert fitted.get_feature_names_out().tolist() == [f"x{i}" for i in range(12)]


# ContrastNormalizer


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize("eps", ["auto", 0, 0.1, 100.0])
def test_contrast_equals_the_formula(rows, eps):
    normalizer = ContrastNormalizer(eps).fit(rows)
    expected = 0.0065 * rows.var(1, ddof=1).mean() if eps == "auto" else eps
    np.testing.assert_allclose(normalizer.eps_, expected, rtol=1e-12)
    np.testing.assert_allclose(normalizer.transform(rows), normalize(rows, expected), rtol=1e-9)


@pytest.mark.parametrize("factor", [255, 1 / 255, 65535.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_all_pixels_changes_nothing(rows, factor, dtype):
    expected = ContrastNormalizer().fit_transform(rows.astype(dtype))
    found = ContrastNormalizer().fit_transform((rows * factor).astype(dtype))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    fixed = ContrastNormalizer(10.0)  # does not follow the pixel range
    assert np.abs(fixed.fit_transform(rows / 255) - fixed.fit_transform(rows)).max() > 0.1


def test_bytes_and_fractions_are_the_same():
    images = load_cifar10_sample().images[:20]
    expected = ContrastNormalizer().fit_transform(images)
    found = ContrastNormalizer().fit_transform(images / np.float32(255))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_auto_is_the_ten_of_coates():
    patches = cut(load_cifar10_sample().images[:40], (6, 6), (5, 5)).reshape(-1, 108)
    assert 7 < ContrastNormalizer().fit(patches).eps_ < 14


@pytest.mark.parametrize("eps", ["auto", 0, 10.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_rows_are_the_same_at_every_grey_level(rows, eps, dtype):
    X = rows.astype(dtype)
    X[: len(GREY_LEVELS)] = np.array(GREY_LEVELS)[:, None]
    found = ContrastNormalizer(eps).fit_transform(X)
    assert np.isfinite(found).all()
    assert (found[: len(GREY_LEVELS)] == 0).all()


@pytest.mark.parametrize("eps", ["auto", 0])
def test_nothing_but_constant_rows(eps):
    X = np.repeat(np.array(GREY_LEVELS, np.float32)[:, None], 27, axis=1)
    normalizer = ContrastNormalizer(eps).fit(X)
    assert (normalizer.transform(X) == 0).all()
    assert ContrastNormalizer().fit(np.zeros((3, 4))).eps_ == 1


def test_contrast_of_images_of_different_sizes(ragged):
    normalizer = ContrastNormalizer().fit(ragged)
    variances = [image.var(ddof=1) for image in ragged]
    np.testing.assert_allclose(normalizer.eps_, 0.0065 * np.mean(variances))
    copies = [image.copy() for image in ragged]
    for found, image, copy in zip(normalizer.transform(ragged), ragged, copies, strict=True):
        assert found.shape == image.shape
        np.testing.assert_allclose(found.ravel(), normalize(copy.ravel(), normalizer.eps_))
        np.testing.assert_array_equal(image, copy)


def test_bytes_do_not_wrap():
    found = ContrastNormalizer(1.0).fit_transform(np.array([[5, 10], [250, 255]], np.uint8))
    expected = 2.5 / np.sqrt(12.5 + 1)
    np.testing.assert_allclose(found, [[-expected, expected]] * 2, rtol=1e-6)


# ZCAWhitener


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
