import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score

from sklearn_kmfeat._core.seeding import sample_rows
from sklearn_kmfeat._deep_cluster import clustering
from sklearn_kmfeat._deep_cluster.clustering import (
    euclidean_clusters,
    final_clusters,
    fit_pca_whitening,
    simple_silhouette,
    size_entropy,
    spherical_clusters,
    spread,
    uniform_draw,
)


@pytest.fixture
def blobs():
    X, y = make_blobs(300, n_features=6, centers=5, cluster_std=0.5, random_state=0)
    return torch.tensor(X, dtype=torch.float32), y


def test_whitening_is_that_of_scikit_learn(blobs):
    X, _ = blobs
    expected = PCA(3, whiten=True).fit_transform(X.double().numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    got = fit_pca_whitening(X, 3)(X).numpy()
    signs = np.sign((got * expected).sum(0))
    np.testing.assert_allclose(got * signs, expected, atol=1e-4)
    longer = fit_pca_whitening(X, 3, unit_length=False).cpu()(X)
    np.testing.assert_allclose(longer.var(0), 1, rtol=1e-4)
    torch.testing.assert_close(F.normalize(longer), fit_pca_whitening(X, 3)(X))


def test_whitening_leaves_out_what_does_not_vary(blobs):
    X, _ = blobs
    flat = torch.cat([X, X[:, :2], torch.zeros(len(X), 3)], 1)
    assert fit_pca_whitening(flat, 256)(flat).shape == (300, 6)
    constant = fit_pca_whitening(torch.ones(5, 4), 256)(torch.ones(5, 4))
    assert constant.shape == (5, 1)
    assert constant.isfinite().all()


@pytest.mark.parametrize("cluster", [euclidean_clusters, spherical_clusters])
def test_clusters_of_blobs(cluster, blobs):
    X, y = blobs
    X = F.normalize(X - X.mean(0))
    best = max(
        adjusted_rand_score(y, cluster(X, 5, 20, np.random.RandomState(seed))) for seed in range(20)
    )
    assert best > 0.95


def test_spherical_clusters_converge_and_none_is_lost():
    rows = F.normalize(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)))
    rows = torch.cat([rows[:1].expand(60, -1), rows])
    labels = spherical_clusters(rows, 12, 50, np.random.RandomState(0))
    assert len(labels.unique()) == 12
    centers = F.normalize(torch.stack([rows[labels == k].sum(0) for k in range(12)]))
    assert torch.equal(labels, (rows @ centers.T).argmax(1))


def test_other_seeds_give_other_clusters(blobs):
    X, _ = blobs
    first, again, other = (
        euclidean_clusters(X, 20, 5, np.random.RandomState(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_final_clusters_are_as_good_as_scikit_learns(blobs):
    X, _ = blobs
    dictionary = final_clusters(X, 8, np.random.RandomState(0))
    expected = KMeans(8, n_init=10, random_state=0).fit(X.numpy()).inertia_
    assert dictionary.inertia <= 1.02 * expected


def test_final_clusters_of_many_rows(blobs):
    X, y = blobs
    dictionary = final_clusters(X, 5, np.random.RandomState(0), n_ranked=100)
    assert dictionary.counts.sum() == 300
    assert adjusted_rand_score(y, torch.cdist(X, dictionary.centers).argmin(1)) > 0.95


@pytest.mark.parametrize(("k", "n_init"), [(2, 50), (20, 50), (40, 25), (200, 10)])
def test_number_of_starts(k, n_init, monkeypatch):
    starts = []

    def one_start(rows, k, rng):
        starts.append(k)
        return rows[:k]

    monkeypatch.setattr(clustering, "kmeans_plusplus", one_start)
    final_clusters(torch.rand(300, 2), k, np.random.RandomState(0), max_iter=1)
    assert starts == [k] * n_init


def test_uniform_draw():
    labels = torch.tensor([0] * 900 + [1] * 90 + [3] * 10)
    torch.manual_seed(0)
    drawn = uniform_draw(labels, 5, 1000)
    assert drawn.shape == (1000,)
    shares = torch.bincount(labels[drawn], minlength=5)
    assert shares[[2, 4]].tolist() == [0, 0]
    assert (shares[[0, 1, 3]] - 333).abs().max() <= 2
    once = drawn[labels[drawn] == 0]
    assert len(once.unique()) == len(once)
    assert len(drawn[labels[drawn] == 3].unique()) == 10
    assert not torch.equal(labels[drawn], labels[drawn].sort().values)
    assert not torch.equal(uniform_draw(labels, 5, 1000), drawn)


def test_uniform_draw_of_equal_clusters_is_a_permutation():
    labels = torch.arange(12) % 4
    drawn = uniform_draw(labels, 4, 12)
    # Each cluster gives one more than its share, and the surplus is cut off.
    assert len(drawn) == 12
    assert torch.bincount(labels[drawn]).max() <= 4


def test_entropy():
    assert size_entropy(torch.arange(8), 8) == pytest.approx(1)
    assert size_entropy(torch.zeros(8, dtype=torch.int64), 8) == 0
    assert size_entropy(torch.zeros(8, dtype=torch.int64), 1) == 1


def test_silhouette(blobs):
    X, y = blobs
    centers = torch.stack([X[torch.from_numpy(y == k)].mean(0) for k in range(5)])
    assert simple_silhouette(X, centers) == pytest.approx(silhouette_score(X, y), abs=0.1)
    assert simple_silhouette(X, centers[:1]) == 0


def test_spread():
    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    assert spread(rows) == 0
    assert spread(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])) == 1


@pytest.mark.parametrize("n_rows", [300, 9000])
def test_threads_change_no_digit(n_rows, monkeypatch):
    """k-means divides its rows; what is done between has torch on one thread."""
    rows = F.normalize(torch.randn(n_rows, 8, generator=torch.Generator().manual_seed(0)))
    before, found, inside = torch.get_num_threads(), [], set()

    def noted(*args):
        inside.add(torch.get_num_threads())
        return sample_rows(*args)

    monkeypatch.setattr(clustering, "sample_rows", noted)
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            rng = np.random.RandomState(0)
            found.append(
                [
                    fit_pca_whitening(rows, 5)(rows),
                    euclidean_clusters(rows, 7, 5, rng),
                    spherical_clusters(rows, 7, 5, rng),
                    final_clusters(rows, 7, rng, n_init=2).centers,
                ]
            )
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert inside == {1}
    for one, three in zip(*found, strict=True):
        assert torch.equal(one, three)
