from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch.utils.data import Dataset

from sklearn_kmfeat.displays import (
    ClusterGalleryDisplay,
)


class Tensors(Dataset):
    """Items (1, H, W), which note that they were read."""

    def __init__(self, images):
        self.images, self.read = images, set()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.read.add(i)
        return self.images[i][None]


class TestClusterGalleryDisplay:
    def test_most_and_least_typical(self, images):
        labels = np.repeat([4, 9], [8, 4])
        distances = np.array([5, 3, 1, 0, 2, 4, 6, 7, 3, 2, 1, 0])
        display = ClusterGalleryDisplay(images, labels, distances).plot(n_images=3)
        mosaic = display.im_.get_array()
        gap, first, second = 2, 2, 9  # of half a tile; rows where the images begin
        for top, near, far in [(first, [3, 2, 4], [0, 6, 7]), (second, [11, 10], [9, 8])]:
            columns = [5 * i for i in range(3)]
            right = [14 + gap + 5 * i for i in range(3)]
            lefts = columns[: len(near)] + right[: len(far)]
            for left, index in zip(lefts, near + far, strict=True):
                drawn = mosaic[top : top + 4, left : left + 4]
                np.testing.assert_array_equal(drawn, images[index])
        assert np.ma.getmaskarray(mosaic)[second:, 10:14].all()

    def test_titles(self, images):
        labels = np.repeat([0, 1], [8, 4])
        y = np.array(["cat"] * 6 + ["dog"] * 6)
        display = ClusterGalleryDisplay.from_predictions(images, labels, y=y)
        assert [text.get_text() for text in display.text_] == [
            "cluster 0 · 8 images · cat (75%)",
            "cluster 1 · 4 images · dog (100%)",
        ]
        display = ClusterGalleryDisplay.from_predictions(images, labels)
        assert display.text_[1].get_text() == "cluster 1 · 4 images"
        display = ClusterGalleryDisplay.from_predictions(list(images[:1]), [3])
        assert display.text_[0].get_text() == "cluster 3 · 1 image"

    def test_from_kmeans_uses_its_distances(self, fitted, images):
        X = images.reshape(12, 16)
        display = ClusterGalleryDisplay.from_estimator(fitted, X, image_shape=(4, 4))
        expected = fitted.transform(X).min(axis=1)
        np.testing.assert_array_equal(display.distances, expected)
        assert display.images is X

    def test_from_an_embedding_with_centers(self, fitted, images):
        X = images.reshape(12, 16)
        embedding = SimpleNamespace(
            predict=fitted.predict,
            transform=lambda X: X,
            cluster_centers_=fitted.cluster_centers_,
        )
        display = ClusterGalleryDisplay.from_estimator(embedding, X, image_shape=(4, 4))
        np.testing.assert_allclose(display.distances, fitted.transform(X).min(axis=1))

    def test_without_transform_the_mean_image_is_the_centre(self, images):
        X = images.reshape(12, 16) + np.random.RandomState(0).rand(12, 16) / 100
        mixture = GaussianMixture(2, covariance_type="spherical", random_state=0).fit(X)
        display = ClusterGalleryDisplay.from_estimator(mixture, X, image_shape=(4, 4), n_images=1)
        assert display.distances is None
        dark = X[:8]
        nearest = np.linalg.norm(dark - dark.mean(axis=0), axis=1).argmin()
        row = int(mixture.predict(X)[0])
        drawn = display.im_.get_array()[2 + 7 * row : 6 + 7 * row, :4]
        np.testing.assert_allclose(drawn, dark[nearest].reshape(4, 4))

    def test_uint8_int_and_float_look_alike(self, images):
        labels = np.repeat([0, 1], [8, 4])
        levels = np.round(images * 255)
        levels[0], levels[11] = 0, 255
        drawn = [
            ClusterGalleryDisplay.from_predictions(X, labels).im_.get_array()
            for X in (levels.astype(np.uint8), levels.astype(int), levels, levels / 255)
        ]
        for other in drawn[1:]:
            np.testing.assert_allclose(other, drawn[0])

    def test_colour_and_unchanged_images(self):
        images = np.random.RandomState(0).randint(0, 256, (6, 4, 5, 3)).astype(np.uint8)
        images.flags.writeable = False
        display = ClusterGalleryDisplay.from_predictions(images, [0] * 6, n_images=3)
        assert display.images is images
        mosaic = display.im_.get_array()
        assert mosaic.shape == (2 + 4, 3 * 6 - 1 + 2 + 3 * 6 - 1, 3)
        np.testing.assert_array_equal(mosaic[:2], 1.0)

    def test_images_of_different_sizes(self):
        wide, tall = np.full((2, 8), 0.25), np.full((12, 4, 3), 0.75)
        wide[:, 0] = np.nan
        display = ClusterGalleryDisplay.from_predictions([wide, tall], [0, 1], n_images=1)
        mosaic = display.im_.get_array()  # tiles of 7 x 6, below 4 rows for the title
        first, second = mosaic[4:11, :6], mosaic[4 + 7 + 4 + 1 :, :6]
        np.testing.assert_allclose(first[2:4, 1:], 0.25)
        np.testing.assert_array_equal(first[[0, 1, 4, 5, 6]], 1)
        np.testing.assert_allclose(second[:, 2:4], 0.75)
        np.testing.assert_array_equal(second[:, [0, 1, 4, 5]], 1)

    def test_distances_between_images_of_different_sizes(self):
        levels = [0.9, 0.5, 0.45, 0.6, 0.2]
        images = [np.full((4 + i, 9 - i), level) for i, level in enumerate(levels)]
        display = ClusterGalleryDisplay.from_predictions(images, [0] * 5, n_images=2)
        height, width = 6, 7
        mosaic = np.ma.filled(display.im_.get_array(), np.nan)[3:]
        middle = [mosaic[height // 2, left + width // 2] for left in (0, 8, 18, 26)]
        np.testing.assert_allclose(middle, [0.5, 0.45, 0.2, 0.9])

    def test_blank_pixels_do_not_count_in_distances(self, images):
        images = images.copy()
        images[3, :2], images[4] = np.nan, 0.06
        display = ClusterGalleryDisplay.from_predictions(images, [0] * 8 + [1] * 4, n_images=1)
        drawn = display.im_.get_array()[2:6, :4]
        assert np.ma.getmaskarray(drawn)[:2].all()
        np.testing.assert_allclose(drawn[2:], 0.03)  # the nearest to the mean, 0.0375

    def test_tensors_and_datasets(self, images):
        labels = np.repeat([0, 1], [8, 4])
        tensor = torch.from_numpy(images)
        expected = ClusterGalleryDisplay.from_predictions(images, labels).im_.get_array()
        for X in (tensor, list(tensor), Tensors(tensor)):
            found = ClusterGalleryDisplay.from_predictions(X, labels).im_.get_array()
            np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_only_drawn_images_are_read(self, images):
        dataset = Tensors(torch.from_numpy(images))
        display = ClusterGalleryDisplay(dataset, [0] * 12, np.arange(12))
        display.plot(n_images=2)
        assert dataset.read <= {0, 1, 10, 11}

    def test_bands(self):
        images = np.random.RandomState(0).rand(1, 4, 4, 8)
        display = ClusterGalleryDisplay.from_predictions(images, [0], n_images=1, bands=(7, 3, 1))
        drawn = display.im_.get_array()[2:, :4]
        np.testing.assert_array_equal(drawn, images[0][..., [7, 3, 1]])
        with pytest.raises(ValueError, match="as the images have 8 channels"):
            display.plot(bands=(7, 3))

    def test_large_images_are_drawn_smaller(self):
        images = np.zeros((1, 512, 256))
        display = ClusterGalleryDisplay.from_predictions(images, [0], n_images=1)
        assert display.im_.get_array().shape == (64 + 128, 64 + 32 + 64)

    @pytest.mark.parametrize(("n_clusters", "n_columns"), [(10, 1), (50, 2), (100, 3)])
    def test_many_clusters_are_laid_out_in_columns(self, n_clusters, n_columns):
        labels = np.arange(2 * n_clusters) % n_clusters
        images = np.random.RandomState(0).rand(2 * n_clusters, 4, 4)
        display = ClusterGalleryDisplay.from_predictions(images, labels, n_images=1)
        assert len(display.text_) == n_clusters
        assert len({text.get_position()[0] for text in display.text_}) == n_columns
        height, width = display.im_.get_array().shape
        for text in display.text_:
            x, y = text.get_position()
            assert 0 <= x < width
            assert 0 <= y < height

    def test_errors(self, images, fitted):
        with pytest.raises(ValueError, match="need an image_shape"):
            ClusterGalleryDisplay.from_predictions(images.reshape(12, 16), np.zeros(12))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            ClusterGalleryDisplay.from_predictions(images, np.zeros(5))
        many = SimpleNamespace(predict=lambda X: np.zeros((12, 2, 2)))
        with pytest.raises(ValueError, match="One cluster for each sample"):
            ClusterGalleryDisplay.from_estimator(many, images)
