import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_kmfeat import ContrastNormalizer, ZCAWhitener

TRANSFORMERS = [
    ContrastNormalizer(),
    ContrastNormalizer(eps=2.0),
    ZCAWhitener(),
    ZCAWhitener(eps=1),
]


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
