"""Tests for sklearn_kmfeat._consensus.recipe."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from sklearn_kmfeat import ConsensusClusterer
from sklearn_kmfeat._consensus.images import checked_source, input_size_of
from sklearn_kmfeat._consensus.recipe import _WhitenedComponents, recipe


def members_for(X, n_clusters):
    consensus = ConsensusClusterer()
    source = checked_source(consensus, X, reset=True)
    return dict(recipe(source, input_size_of(consensus, source), n_clusters))


def test_members_for_images():
    members = members_for(np.zeros((400, 28, 28), np.uint8), 10)
    assert list(members) == ["words", "sums", "places", "shapes"]
    assert [member[0].patch_size for member in members.values()] == [6] * 4
    assert members["words"][0].n_words == 200
    assert all("neighbors" in member.named_steps for member in members.values())
    assert all(member[-1].n_clusters == 10 for member in members.values())


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8])
def test_tiny_images(side):
    X = np.random.RandomState(0).randint(0, 256, (40, side, side)).astype(np.uint8)
    consensus = ConsensusClusterer(2, n_runs=1, random_state=0).fit(X)
    assert set(consensus.labels_) == {0, 1}


@pytest.mark.parametrize(
    ("n_images", "n_components"), [(300, 20), (1000, 25), (2000, 50), (10_000, 80)]
)
def test_small_sets_have_fewer_components(n_images, n_components):
    member = members_for(np.zeros((n_images, 8, 8), np.uint8), 10)["sums"]
    assert member["components"].n_components == n_components


def test_few_rows_are_not_averaged():
    X = np.zeros((59, 3))
    assert "neighbors" not in members_for(X, 2)["components"].named_steps
    assert "neighbors" in members_for(np.zeros((60, 3)), 2)["components"].named_steps


@pytest.mark.parametrize("n_images", [1, 9])
def test_fewer_images_than_clusters(n_images):
    with pytest.raises(ValueError, match=f"n_samples={n_images} should be >= n_clusters=10"):
        members_for(np.zeros((n_images, 28, 28), np.uint8), 10)


def test_as_many_components_as_there_are(rng):
    X = rng.normal(size=(30, 5))
    found = _WhitenedComponents(40).fit_transform(X)
    assert_allclose(found, PCA(5, whiten=True).fit_transform(X))
    assert _WhitenedComponents(2).fit_transform(X).shape == (30, 2)
