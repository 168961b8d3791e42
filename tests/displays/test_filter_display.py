from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.displays import (
    FilterDisplay,
)


def tile(mosaic, row, col, size=4, gap=1):
    top, left = row * (size + gap), col * (size + gap)
    return np.asarray(mosaic)[top : top + size, left : left + size]


class TestFilterDisplay:
    def test_each_filter_is_stretched(self):
        filters = np.arange(48.0).reshape(3, 4, 4) * np.array([1, 10, -1])[:, None, None]
        mosaic = FilterDisplay(filters).plot(n_cols=2).im_.get_array()
        assert mosaic.shape == (9, 9)
        ramp = np.arange(16).reshape(4, 4) / 15
        np.testing.assert_allclose(tile(mosaic, 0, 0), ramp)
        np.testing.assert_allclose(tile(mosaic, 0, 1), ramp)
        np.testing.assert_allclose(tile(mosaic, 1, 0), 1 - ramp)
        assert np.ma.getmaskarray(mosaic)[4].all()
        assert tile(np.ma.getmaskarray(mosaic), 1, 1).all()

    @pytest.mark.parametrize(
        ("normalize", "expected"),
        [
            ("each", [[0, 1], [0, 1]]),
            ("symmetric", [[0.25, 1], [0, 1]]),
            ("all", [[3 / 8, 6 / 8], [0, 1]]),
            (None, [[0, 1], [0, 1]]),
        ],
    )
    def test_normalize(self, normalize, expected):
        filters = np.array([[-1.0, 2.0], [-4.0, 4.0]]).reshape(2, 1, 2)
        mosaic = FilterDisplay(filters).plot(n_cols=1, normalize=normalize).im_.get_array()
        np.testing.assert_allclose(mosaic[[0, 2]], expected)

    @pytest.mark.parametrize("normalize", ["each", "symmetric", "all"])
    def test_constant_filters_are_grey(self, normalize):
        display = FilterDisplay(np.zeros((1, 2, 2))).plot(normalize=normalize)
        np.testing.assert_array_equal(display.im_.get_array(), 0.5)

    @pytest.mark.parametrize("channels", [1, 2, 3, 8])
    def test_channels(self, channels):
        filters = np.random.RandomState(0).rand(4, 5, 5, channels)
        mosaic = FilterDisplay(filters).plot(normalize=None).im_.get_array()
        if channels == 3:
            assert mosaic.shape == (11, 11, 3)
            np.testing.assert_array_equal(mosaic[5], 1.0)
            np.testing.assert_array_equal(tile(mosaic, 1, 0, size=5), filters[2])
        else:
            assert mosaic.shape == (11, 11)
            np.testing.assert_allclose(tile(mosaic, 1, 0, size=5), filters[2].mean(axis=-1))

    def test_bands(self):
        filters = np.random.RandomState(0).rand(4, 5, 5, 8)
        learner = SimpleNamespace(filters_=filters)
        display = FilterDisplay.from_estimator(learner, bands=(7, 3, 1), normalize=None)
        mosaic = display.im_.get_array()
        np.testing.assert_array_equal(tile(mosaic, 1, 0, size=5), filters[2][..., [7, 3, 1]])
        for bands in (6, (6,)):
            mosaic = FilterDisplay(filters).plot(bands=bands, normalize=None).im_.get_array()
            np.testing.assert_array_equal(tile(mosaic, 1, 0, size=5), filters[2][..., 6])
        for bands in (8, -1, (0, 1), (0, 1, 8), (0, 1, 2, 3)):
            with pytest.raises(ValueError, match="as the images have 8 channels"):
                FilterDisplay(filters).plot(bands=bands)

    def test_from_estimator_with_filters(self):
        filters = np.random.RandomState(0).rand(3, 4, 4, 1)
        learner = SimpleNamespace(filters_=filters, counts_=np.array([3, 9, 5]))
        as_is = FilterDisplay.from_estimator(learner)
        np.testing.assert_array_equal(as_is.filters, filters)
        by_counts = FilterDisplay.from_estimator(learner, sort="counts", n_cols=3)
        np.testing.assert_array_equal(by_counts.filters, filters[[1, 2, 0]])

    def test_from_estimator_with_centers(self, fitted):
        display = FilterDisplay.from_estimator(fitted, image_shape=(4, 4))
        np.testing.assert_array_equal(display.filters, fitted.cluster_centers_.reshape(2, 4, 4))

    def test_errors(self, fitted):
        with pytest.raises(ValueError, match="need an image_shape"):
            FilterDisplay.from_estimator(fitted)
        with pytest.raises(ValueError, match=r"need an image_shape .* got \(5, 4\)"):
            FilterDisplay.from_estimator(fitted, image_shape=(5, 4))
        with pytest.raises(ValueError, match="is it fitted"):
            FilterDisplay.from_estimator(KMeans())
        with pytest.raises(ValueError, match="sort must be"):
            FilterDisplay.from_estimator(fitted, image_shape=(4, 4), sort="size")
        with pytest.raises(ValueError, match="normalize must be"):
            FilterDisplay(np.ones((1, 2, 2))).plot(normalize="some")
        with pytest.raises(ValueError, match="Images of shape"):
            FilterDisplay(np.ones((2, 2))).plot()


def test_filters_of_whole_images():
    rows = np.random.RandomState(0).rand(20, 12)
    learner = KMeansFilterLearner(n_filters=3, contrast=None, whiten_eps=None, random_state=0)
    display = FilterDisplay.from_estimator(learner.fit(rows), image_shape=(3, 4))
    np.testing.assert_array_equal(display.filters.reshape(3, 12), learner.cluster_centers_)
