"""What every dictionary learner does, and what it takes to add one."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sklearn_kmfeat import BagOfPatches, ConvKMeans, KMeansFilterLearner
from sklearn_kmfeat._core.gain_shape import spherical
from sklearn_kmfeat._core.kmeans import MOMENTUM, Dictionary, RowStep, kmeans
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.streaming import RunningSums
from sklearn_kmfeat._core.windows import Windows
from sklearn_kmfeat._dictionary.learners import LEARNERS, Convolutional, DictionaryLearner
from sklearn_kmfeat.datasets import load_cifar10_sample


@dataclass(frozen=True)
class FarthestPoints(DictionaryLearner):
    """A toy: filters are patches, each as far as possible from those before; one pass."""

    def fit(self, samples, centers, on_iteration):
        chosen = [int(samples.norm(dim=1).argmax())]
        while len(chosen) < self.n_centers:
            chosen.append(int(torch.cdist(samples, samples[chosen]).amin(1).argmax()))
            on_iteration(samples[chosen], 0.0)
        centers = samples[chosen]
        sums = self.step(samples)(centers, exact=True)
        return Dictionary(centers, sums.counts, sums.inertia, 1)

    def step(self, samples):
        return RowStep(samples)

    def sums_of_fitted(self, dictionary, preparation):
        return RunningSums.of_means(dictionary, preparation)

    def centers(self, sums, preparation):
        return sums.means(preparation)


@pytest.fixture(scope="module")
def images():
    return load_cifar10_sample().images[:40]


def test_a_new_learner_is_one_class_and_one_entry(images, monkeypatch):
    monkeypatch.setitem(LEARNERS, "farthest", FarthestPoints)
    params = {"n_patches": 300, "algorithm": "farthest", "random_state": 0}
    learner = KMeansFilterLearner(n_filters=6, **params).fit(images)
    assert learner.counts_.sum() == 300
    assert learner.transform(images).shape == (40, 24)
    assert learner.predict(images).max() == 5
    again = pickle.loads(pickle.dumps(learner)).partial_fit(images).partial_fit(images)
    assert again.counts_.sum() == 900
    assert np.isfinite(again.transform(images)).all()
    with pytest.raises(ValueError, match=r"'algorithm' parameter .* 'farthest'"):
        learner.set_params(algorithm="nearest").fit(images)


CONTRACT = {
    **{name: (learner, {}) for name, learner in LEARNERS.items()},
    "convolutional": (Convolutional, {"patch_size": (2, 2), "sample_size": (3, 3)}),
    "one offset": (Convolutional, {"patch_size": (3, 3), "sample_size": (3, 3)}),
}


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract(name):
    make, sizes = CONTRACT[name]
    learner = make(**({"n_centers": 4, "sample_size": (3, 3), "max_iter": 3} | sizes))
    drawn = torch.rand(50, 9, generator=torch.manual_seed(0), dtype=torch.float64)
    samples, preparation = learner.prepare(drawn.clone(), lambda rows: (rows, Preparation()))
    assert len(samples) == 50
    pixels = samples.pixels if isinstance(samples, Windows) else samples
    before = pixels.clone()
    some = samples[torch.tensor([3, 1])]
    assert len(some) == 2
    centers = learner.start(samples, np.random.RandomState(0))
    assert centers.shape == (4, learner.patch_size[0] ** 2 if sizes else 9)
    dictionary = learner.fit(samples, centers, lambda centers, inertia: None)
    assert dictionary.centers.shape == centers.shape
    assert dictionary.counts.sum() == 50
    sums = learner.initial_sums(dictionary, preparation)
    assert sums.counts.sum() == 0
    for n_batches in (1, 2):
        sums, dictionary = learner.update(sums, samples, preparation, dictionary.centers)
        assert dictionary.counts.sum() == 50 * n_batches
    sums_of_fitted = learner.sums_of_fitted(
        learner.fit(samples, centers, lambda *now: None), preparation
    )
    assert sums_of_fitted.counts.sum() == 50
    assert torch.equal(pixels, before)


@pytest.mark.parametrize(
    ("name", "few", "n_centers", "expected"),
    [
        ("lloyd", "sample", 199, "sample"),
        ("lloyd", "k-means++", 199, "k-means++"),
        ("lloyd", "sample", 200, "hierarchical"),
        ("spherical", "sample", 200, "sample"),
        ("spherical", "k-means++", 199, "k-means++"),
    ],
)
def test_auto_starts_many_filters_in_levels(name, few, n_centers, expected):
    rows = torch.rand(900, 9, generator=torch.manual_seed(0))
    learner = LEARNERS[name](n_centers, (3, 3), init="auto", init_of_few=few)
    plain = LEARNERS[name](n_centers, (3, 3), init=expected)
    starts = [one.start(rows, np.random.RandomState(0)) for one in (learner, plain)]
    assert torch.equal(*starts)


def test_bags_start_few_words_by_kmeans_plusplus(images):
    params = {"n_words": 20, "n_patches": 3000, "random_state": 0}
    auto, plusplus = (
        BagOfPatches(init=init, **params).fit(images) for init in ("auto", "k-means++")
    )
    np.testing.assert_array_equal(auto.cluster_centers_, plusplus.cluster_centers_)


@pytest.mark.parametrize("n_init", [1, 2])
def test_the_levels_lead_to_less_inertia_than_random_patches(images, n_init):
    params = {"n_filters": 200, "n_patches": 20_000, "max_iter": 1, "n_init": n_init}
    inertias = {
        init: KMeansFilterLearner(init=init, random_state=0, **params).fit(images).inertia_
        for init in ("auto", "sample")
    }
    assert inertias["auto"] < 0.97 * inertias["sample"]


def test_windows_have_no_levels(images):
    with pytest.raises(ValueError, match="'init' parameter"):
        ConvKMeans(4, init="hierarchical").fit(images)


@pytest.mark.parametrize("name", ["lloyd", "spherical"])
def test_learners_have_momentum(name):
    rows = torch.randn(600, 5, generator=torch.manual_seed(0))
    learner = LEARNERS[name](7, (1, 1), "sample", max_iter=6, tol=0)
    start = learner.start(rows, np.random.RandomState(0))
    core = {"lloyd": kmeans, "spherical": spherical}[name]
    found = learner.fit(rows, start, None)
    for momentum, equal in ((MOMENTUM, True), (0.0, False)):
        other = core(rows, start, max_iter=6, tol=0, momentum=momentum)
        assert torch.equal(found.centers, other.centers) == equal


def test_a_stream_of_random_patches_keeps_them(images):
    params = {"n_patches": 300, "algorithm": "random", "random_state": 0}
    learner = KMeansFilterLearner(n_filters=5, whiten_eps=None, **params).partial_fit(images[:20])
    first = learner.cluster_centers_.copy()
    drawn = KMeansFilterLearner(n_filters=5, whiten_eps=None, **params).fit(images[:20])
    np.testing.assert_allclose(first, drawn.cluster_centers_, rtol=1e-6)
    assert (np.abs(first).max(axis=1) > 0.1).all()
    learner.partial_fit(images[20:])
    np.testing.assert_allclose(learner.cluster_centers_, first, rtol=1e-6)
    assert learner.counts_.sum() == 600


def test_a_stream_of_random_patches_whitens_them_anew(images):
    params = {"n_patches": 300, "algorithm": "random", "random_state": 0}
    learner = KMeansFilterLearner(n_filters=5, **params).partial_fit(images[:20])
    unwhitened = learner.whitener_.inverse_transform(learner.cluster_centers_)
    learner.partial_fit(images[20:])
    again = learner.whitener_.inverse_transform(learner.cluster_centers_)
    np.testing.assert_allclose(again, unwhitened, atol=1e-4)
