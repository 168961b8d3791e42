import threading
import time

import numpy as np
import pytest
import torch

from naive import cut, normalize
from sklearn_kmfeat import ContrastNormalizer
from sklearn_kmfeat._core import preparation
from sklearn_kmfeat._core.contrast import contrast_normalize
from sklearn_kmfeat.datasets import load_cifar10_sample

GREY_LEVELS = [0, 0.1, 1 / 3, 77.7, 128, 255]


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


def test_rows_are_normalised_in_several_threads(monkeypatch):
    """With the same digits; the caller's rows are left as they are."""
    rows = np.random.RandomState(0).randn(30_000, 108)
    normalizer, before = ContrastNormalizer(1.0).fit(rows), rows.copy()
    expected, seen = normalize(rows, 1.0), set()

    def noted(*args, **options):
        seen.add(threading.get_ident())
        time.sleep(0.005)
        return contrast_normalize(*args, **options)

    monkeypatch.setattr(preparation, "contrast_normalize", noted)
    n_threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            seen.clear()
            found.append(normalizer.transform(rows))
            assert len(seen) == n
    finally:
        torch.set_num_threads(n_threads)
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], expected, rtol=1e-9)
    np.testing.assert_array_equal(rows, before)
