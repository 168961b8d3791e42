import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize

from sklearn_kmfeat import ClusterClassifier, NeighborAverager, purity_score, to_torch
from sklearn_kmfeat._neighbor_averager import neighborhood_means


@pytest.fixture
def rows():
    return np.random.RandomState(0).normal(size=(60, 4))


def naive(train, new, n_neighbors, n_iter):
    """Row by row, with a table of all distances."""
    distances = np.sqrt(((new[:, None] - train) ** 2).sum(-1))
    nearest = distances.argsort(1)[:, : n_neighbors + 1]
    if n_iter == 1:
        return np.array([train[near].mean(0) for near in nearest])
    means = naive(train, train, n_neighbors, n_iter - 1)
    return np.array([means[near].mean(0) for near in nearest])


@pytest.mark.parametrize(("n_neighbors", "n_iter"), [(1, 1), (3, 2), (10, 10)])
def test_as_a_plain_loop_does_it(rows, n_neighbors, n_iter):
    train, new = rows[:40], rows[40:]
    averager = NeighborAverager(n_neighbors, n_iter)
    expected = naive(train, train, n_neighbors, n_iter)
    np.testing.assert_allclose(averager.fit_transform(train), expected, atol=1e-12)
    np.testing.assert_allclose(
        averager.transform(new), naive(train, new, n_neighbors, n_iter), atol=1e-12
    )


def test_as_powers_of_a_graph(rows):
    graph = kneighbors_graph(rows, 5, include_self=False)
    graph.setdiag(1)
    graph = normalize(graph, norm="l1").toarray()
    expected = np.linalg.matrix_power(graph, 7) @ rows
    np.testing.assert_allclose(NeighborAverager(5, 7).fit_transform(rows), expected, atol=1e-12)


def test_by_hand():
    train = np.array([[0.0], [1.0], [3.0], [10.0]])
    averager = NeighborAverager(n_neighbors=1, n_iter=2)
    # The neighbours are 1, 0, 1 and 3: first 0.5, 0.5, 2 and 6.5, then these among each other.
    assert averager.fit_transform(train).ravel().tolist() == [0.5, 0.5, 1.25, 4.25]
    # Between 3 and 10: the mean of their means after one iteration, 2 and 6.5.
    assert averager.transform([[6.0]]).tolist() == [[4.25]]
    assert averager.transform([[-5.0]]).tolist() == [[0.5]]


def test_a_row_of_fit_is_what_it_was_in_fit(rows):
    averager = NeighborAverager(3, 4)
    fitted = averager.fit_transform(rows)
    np.testing.assert_array_equal(averager.transform(rows), fitted)
    np.testing.assert_array_equal(clone(averager).fit(rows).transform(rows), fitted)
    np.testing.assert_allclose(averager.transform(rows[7:9]), fitted[7:9], atol=1e-12)


def test_moving_all_rows_moves_the_means(rows):
    turned = np.linalg.qr(np.random.RandomState(1).normal(size=(4, 4)))[0]
    means = NeighborAverager(4, 3).fit_transform(rows)
    moved = NeighborAverager(4, 3).fit_transform(rows @ turned + 5)
    np.testing.assert_allclose(moved, means @ turned + 5, atol=1e-10)


def test_any_order_of_the_rows(rows):
    order = np.random.RandomState(1).permutation(len(rows))
    means = NeighborAverager(4, 3).fit_transform(rows)
    np.testing.assert_allclose(
        NeighborAverager(4, 3).fit_transform(rows[order]), means[order], atol=1e-12
    )


def test_means_stay_between_the_rows(rows):
    found = NeighborAverager(5, 20).fit(rows).transform(rows * 100)
    assert (found >= rows.min(0)).all()
    assert (found <= rows.max(0)).all()


def test_clusters_of_digits_are_purer():
    X, y = load_digits(return_X_y=True)
    alone = KMeans(10, n_init=5, random_state=0)
    averaged = make_pipeline(NeighborAverager(), clone(alone))
    clusters = [model.fit_predict(X[:1200]) for model in (alone, averaged)]
    before, after = (purity_score(y[:1200], labels) for labels in clusters)
    assert after > before + 0.02
    before, after = (purity_score(y[1200:], m.predict(X[1200:])) for m in (alone, averaged))
    assert after > before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_fit(rows, dtype):
    averager = NeighborAverager(3, 2)
    assert averager.fit_transform(rows.astype(dtype)).dtype == dtype
    assert averager.transform(rows).dtype == dtype
    assert averager.transform(rows.astype(np.float32)).dtype == dtype


def test_precision_of_float32(rows):
    single = NeighborAverager(3, 10).fit_transform(rows.astype(np.float32))
    np.testing.assert_allclose(single, NeighborAverager(3, 10).fit_transform(rows), atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0, 1e30])
def test_equal_rows_stay_as_they_are(value):
    X = np.full((30, 3), value)
    np.testing.assert_allclose(NeighborAverager(4, 5).fit_transform(X), X, rtol=1e-12)


def test_rows_that_occur_often(rows):
    X = np.concatenate([rows[:20], rows[:20], np.repeat(rows[:1], 30, axis=0)])
    averager = NeighborAverager(3, 5)
    found = averager.fit_transform(X)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[40:], X[40:], atol=1e-12)  # among themselves
    np.testing.assert_allclose(averager.transform(X), found, atol=1e-12)


@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_few_rows(rows, n_samples):
    X = rows[:n_samples]
    averager = NeighborAverager(n_neighbors=5, n_iter=2)
    with pytest.warns(UserWarning, match=f"no more than {n_samples - 1} others"):
        found = averager.fit_transform(X)
    np.testing.assert_allclose(found, np.broadcast_to(X.mean(0), X.shape), atol=1e-12)
    assert averager.n_neighbors_ == n_samples - 1
    assert NeighborAverager(n_neighbors=5).fit(rows[:6]).n_neighbors_ == 5


def test_metric(rows):
    lengths = np.random.RandomState(1).uniform(0.1, 10, size=(60, 1))
    by_angle = NeighborAverager(5, 1, metric="cosine").fit(rows * lengths)
    unit = NeighborAverager(5, 1).fit(normalize(rows))
    np.testing.assert_array_equal(
        np.sort(by_angle.nbrs_.kneighbors(rows, return_distance=False)),
        np.sort(unit.nbrs_.kneighbors(normalize(rows), return_distance=False)),
    )


def test_jobs(rows):
    one, two = (NeighborAverager(3, 2, n_jobs=n).fit_transform(rows) for n in (None, 2))
    np.testing.assert_array_equal(one, two)


def test_later_changes_of_the_array(rows):
    averager = NeighborAverager(3, 1).fit(rows)
    before, original = averager.transform(rows), rows.copy()
    rows += 3
    np.testing.assert_array_equal(averager.transform(original), before)
    again = averager.transform(original)
    again += 1  # nor does what comes out belong to the estimator
    np.testing.assert_array_equal(averager.transform(original), before)


def test_columns(rows):
    frame = pd.DataFrame(rows, columns=list("abcd"), index=range(5, 65))
    averager = NeighborAverager(3, 2).set_output(transform="pandas")
    found = averager.fit_transform(frame)
    assert found.columns.tolist() == averager.get_feature_names_out().tolist() == list("abcd")
    assert found.index.tolist() == frame.index.tolist()
    pd.testing.assert_frame_equal(averager.transform(frame), found)
    with pytest.raises(ValueError, match="feature names should match"):
        averager.transform(frame[["b", "a", "c", "d"]])


def test_pickle(rows):
    averager = NeighborAverager(3, 2).fit(rows)
    restored = pickle.loads(pickle.dumps(averager))
    np.testing.assert_array_equal(restored.transform(rows), averager.transform(rows))


def test_searched_in_a_pipeline():
    X, y = make_blobs(120, centers=3, cluster_std=2.0, random_state=0)
    model = ClusterClassifier(
        make_pipeline(NeighborAverager(n_iter=2), Normalizer(), KMeans(3, random_state=0))
    )
    grid = {"clusterer__neighboraverager__n_neighbors": [2, 10]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    assert search.best_params_["clusterer__neighboraverager__n_neighbors"] in (2, 10)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_neighbors": 0},
        {"n_neighbors": 2.5},
        {"n_iter": 0},
        {"metric": "precomputed"},
        {"n_jobs": "all"},
    ],
)
def test_wrong_parameters(rows, wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter"):
        NeighborAverager(**wrong).fit(rows)


def test_interrupted_fit_leaves_no_trace(rows):
    def distance(a, b):
        raise KeyboardInterrupt

    averager = NeighborAverager(3, 2).fit(rows)
    before = dict(vars(averager))
    averager.set_params(metric=distance)
    with pytest.raises(KeyboardInterrupt):
        averager.fit(rows[:, :2])
    assert vars(averager) == before | {"metric": distance}


def test_no_torch_counterpart(rows):
    model = make_pipeline(NeighborAverager(3), KMeans(2, random_state=0)).fit(rows)
    with pytest.raises(TypeError, match="no torch counterpart of NeighborAverager: it takes"):
        to_torch(model)


def test_neighborhood_means():
    values = np.array([[1.0, 0.0], [3.0, 0.0], [8.0, 6.0]], dtype=np.float32)
    means = neighborhood_means(values, np.array([[0, 1], [2, 1], [1, 0], [2, 2]]))
    assert means.dtype == np.float32
    assert means.tolist() == [[2, 0], [5.5, 3], [2, 0], [8, 6]]
