"""Bags of patches, step by step as the notebook they replace makes them."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_kmfeat import BagOfPatches, ClusterClassifier, FilterDisplay
from sklearn_kmfeat.datasets import load_mnist_sample


@pytest.fixture(scope="module")
def digits():
    return load_mnist_sample().images[:150]


@pytest.fixture(scope="module")
def bag(digits):
    return BagOfPatches(n_words=20, n_patches=6000, contrast_eps=0.0, random_state=0).fit(digits)


def naive_bag(images, words):
    counts = np.zeros((len(images), len(words)))
    for i, image in enumerate(images.astype(float)):
        image = (image - image.mean()) / image.std(ddof=1)
        patches = extract_patches_2d(image, (6, 6)).reshape(-1, 36)
        counts[i] = np.bincount(cdist(patches, words).argmin(axis=1), minlength=len(words))
    return counts


def test_counts_by_definition(bag, digits):
    counts = bag.transform(digits)
    naive = naive_bag(digits, bag.cluster_centers_)
    # A word on the border between two may be rounded to either.
    assert np.abs(counts - naive).sum() <= 1e-4 * naive.sum()
    np.testing.assert_array_equal(counts.sum(axis=1), 23 * 23)
    np.testing.assert_array_equal(counts, np.round(counts))


def test_the_callers_images_are_not_changed(digits):
    images = digits.astype(np.float32)
    before = images.copy()
    BagOfPatches(n_words=5, n_patches=500, random_state=0).fit(images).transform(images)
    np.testing.assert_array_equal(images, before)


def test_spatial_bag(bag, digits):
    spatial = BagOfPatches(**(bag.get_params() | {"pool_grid": (3, 2)})).fit_transform(digits)
    cells = spatial.reshape(150, 6, 20)
    np.testing.assert_array_equal(cells.sum(axis=1), bag.transform(digits))
    assert cells.sum(axis=2)[0].tolist() == [8 * 12, 8 * 11, 8 * 12, 8 * 11, 7 * 12, 7 * 11]


@pytest.mark.parametrize("stride", [1, 4])
def test_mirrored_words_count_in_all_cells_together(digits, stride):
    """Steps of four pixels do not end at the right edge: means of an image and its mirror image."""
    params = {"n_patches": 800, "random_state": 0, "stride": stride, "mirror": True, "pool_grid": 2}
    counts = BagOfPatches(5, **params).fit_transform(digits)
    n_locations = len(range(0, 23, stride)) ** 2
    np.testing.assert_array_equal(counts.sum(1), n_locations)
    factor = 1 if stride == 1 else 2
    np.testing.assert_array_equal(factor * counts, np.round(factor * counts))


def test_word_map_of_one_digit(bag, digits):
    words = bag.predict(digits[:1])
    assert words.shape == (1, 23, 23)
    np.testing.assert_array_equal(
        np.bincount(words.ravel(), minlength=20), bag.transform(digits[:1])[0]
    )


def test_images_of_different_sizes(bag, digits):
    images = [digits[0], digits[1][:20], digits[2][:, 3:17]]
    bags = BagOfPatches(n_words=4, n_patches=300, random_state=0).fit(images)
    np.testing.assert_array_equal(bags.transform(images).sum(axis=1), [529, 15 * 23, 23 * 9])
    with pytest.raises(ValueError, match=r"larger than an image of size \(5, 28\) \(image 1"):
        bags.transform([digits[0], digits[1][:5]])


@pytest.mark.parametrize("encoder", ["triangle", "soft_threshold", "knn"])
def test_soft_bags(digits, encoder):
    soft = BagOfPatches(n_words=8, n_patches=1000, encoder=encoder, random_state=0)
    bags = soft.fit_transform(digits)
    assert bags.shape == (150, 8)
    assert np.isfinite(bags).all()
    assert bags.min() >= 0


def test_partial_fit(digits):
    bag = BagOfPatches(n_words=10, n_patches=2000, random_state=0)
    for part in np.array_split(digits, 3):
        bag.partial_fit(part)
    assert bag.counts_.sum() == 6000
    np.testing.assert_array_equal(bag.transform(digits).sum(axis=1), 529)


def test_pipelines(digits):
    y = load_mnist_sample().target[:150]
    bag = BagOfPatches(n_words=30, n_patches=4000, pool_grid=(2, 2), random_state=0)
    classifier = make_pipeline(bag, TfidfTransformer(), Normalizer(), LogisticRegression())
    assert classifier.fit(digits, y).score(digits, y) > 0.6
    clusters = make_pipeline(bag, Normalizer(), KMeans(n_clusters=20, random_state=0))
    assert ClusterClassifier(clusters).fit(digits, y).score(digits, y) > 0.3


def test_words_to_look_at(bag):
    assert bag.filters_.shape == (20, 6, 6, 1)
    assert FilterDisplay.from_estimator(bag).filters.shape == (20, 6, 6, 1)


def test_bad_input(digits):
    with pytest.raises(
        ValueError, match=r"n_words=600 needs at least as many patches, .* only 529"
    ):
        BagOfPatches(n_words=600).fit(digits[:1])


def test_no_warning_for_patches_or_declared_images(digits):
    flat = digits[:40].reshape(40, -1)
    bag = BagOfPatches(n_words=3, image_shape=(28, 28), n_patches=200, random_state=0)
    np.testing.assert_array_equal(
        bag.fit(flat).transform(flat),
        BagOfPatches(**(bag.get_params() | {"image_shape": None}))
        .fit(digits[:40])
        .transform(digits[:40]),
    )
    BagOfPatches(n_words=3, random_state=0).fit(flat[:, 400:436])
