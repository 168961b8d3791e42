from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.signal import correlate2d
from sklearn import config_context
from sklearn.metrics import accuracy_score
from sklearn.metrics.cluster import contingency_matrix

from sklearn_kmfeat.metrics import (
    clustering_accuracy_score,
    filter_redundancy,
    match_clusters,
    purity_score,
)

SCORES = [clustering_accuracy_score, match_clusters, purity_score]

# What the cats-and-dogs project that this library starts from found in its two clusters.
DOGS_AND_CATS = {"dog": (4627, 1379), "cat": (2765, 3231)}


def labels_from(contingency):
    """Lists of classes and clusters that have the given contingency table."""
    pairs = [
        (label, cluster)
        for label, counts in contingency.items()
        for cluster, count in enumerate(counts)
        for _ in range(count)
    ]
    return [label for label, _ in pairs], [cluster for _, cluster in pairs]


def naive_purity(labels_true, labels_pred, weight):
    best = 0.0
    for cluster in set(labels_pred):
        sums = {}
        for label, other, w in zip(labels_true, labels_pred, weight, strict=True):
            if other == cluster:
                sums[label] = sums.get(label, 0.0) + w
        best += max(sums.values())
    return best / sum(weight)


@pytest.fixture
def random_labels():
    rng = np.random.RandomState(0)
    return rng.randint(-2, 3, size=200), rng.randint(0, 7, size=200), rng.rand(200)


def test_purity_of_the_published_clusters():
    labels_true, labels_pred = labels_from(DOGS_AND_CATS)
    assert purity_score(labels_true, labels_pred) == 0.6547242126312282
    expected = (4627 + 3231 - 6006) / (12002 - 6006)
    assert purity_score(labels_true, labels_pred, adjusted=True) == pytest.approx(expected)
    assert match_clusters(labels_true, labels_pred) == {0: "dog", 1: "cat"}


@pytest.mark.parametrize("convert", [np.asarray, list, lambda y: y.astype(str), lambda y: y > 0])
def test_purity_equals_a_naive_loop(random_labels, convert):
    labels_true, labels_pred, weight = random_labels
    labels_true, labels_pred = convert(labels_true), convert(labels_pred)
    ones = np.ones(len(weight))
    assert purity_score(labels_true, labels_pred) == pytest.approx(
        naive_purity(labels_true, labels_pred, ones), abs=1e-12
    )
    assert purity_score(labels_true, labels_pred, sample_weight=weight) == pytest.approx(
        naive_purity(labels_true, labels_pred, weight), abs=1e-12
    )


def test_purity_is_the_accuracy_of_the_majority_match(random_labels):
    labels_true, labels_pred, _ = random_labels
    match = match_clusters(labels_true, labels_pred)
    predicted = [match[cluster] for cluster in labels_pred]
    assert purity_score(labels_true, labels_pred) == accuracy_score(labels_true, predicted)


def test_integer_weights_repeat_the_samples(random_labels):
    labels_true, labels_pred, _ = random_labels
    weight = np.arange(200) % 4
    repeated = np.repeat(labels_true, weight), np.repeat(labels_pred, weight)
    for adjusted in (False, True):
        assert purity_score(
            labels_true, labels_pred, sample_weight=weight, adjusted=adjusted
        ) == pytest.approx(purity_score(*repeated, adjusted=adjusted))
    assert match_clusters(labels_true, labels_pred, sample_weight=weight) == match_clusters(
        *repeated
    )
    found = clustering_accuracy_score(labels_true, labels_pred, sample_weight=weight)
    assert found == clustering_accuracy_score(*repeated)


def test_adjusted_runs_from_no_information_to_pure():
    labels_true = [0, 0, 0, 1, 1, 2]
    assert purity_score(labels_true, [5] * 6, adjusted=True) == 0.0
    assert purity_score(labels_true, [0, 0, 1, 0, 1, 1], adjusted=True) == 0.0
    assert purity_score(labels_true, [3, 3, 9, 4, 4, 7], adjusted=True) == 1.0


def test_one_class_is_pure_however_it_is_clustered():
    assert purity_score(["a"] * 4, [0, 0, 1, 2]) == 1.0
    assert purity_score(["a"] * 4, [0, 0, 1, 2], adjusted=True) == 1.0


def test_many_clusters_do_not_need_a_dense_table():
    labels = np.arange(50_000)
    assert purity_score(labels, labels) == 1.0


def test_majority_takes_the_first_of_equally_frequent_classes():
    assert match_clusters(["b", "a", "b", "a", "c"], [1, 1, 0, 0, 0]) == {0: "a", 1: "a"}


def test_hungarian_pairs_one_to_one():
    labels_true, labels_pred = labels_from({"a": (5, 4), "b": (3, 0)})
    assert match_clusters(labels_true, labels_pred) == {0: "a", 1: "a"}
    assert match_clusters(labels_true, labels_pred, "hungarian") == {0: "b", 1: "a"}


def test_hungarian_gives_surplus_clusters_their_majority():
    labels_true, labels_pred = labels_from({"a": (5, 2, 3), "b": (0, 4, 2)})
    assert match_clusters(labels_true, labels_pred, "hungarian") == {0: "a", 1: "b", 2: "a"}


def test_hungarian_leaves_surplus_classes_without_a_cluster():
    labels_true, labels_pred = labels_from({"a": (5, 1), "b": (0, 4), "c": (1, 1)})
    assert match_clusters(labels_true, labels_pred, "hungarian") == {0: "a", 1: "b"}


def test_hungarian_agrees_with_trying_every_pairing(random_labels):
    labels_true, labels_pred, weight = random_labels
    labels_pred = labels_pred % 5
    match = match_clusters(labels_true, labels_pred, "hungarian", sample_weight=weight)
    agreement = weight[np.array([match[c] for c in labels_pred]) == labels_true].sum()
    best = max(
        weight[np.asarray(classes)[labels_pred] == labels_true].sum()
        for classes in permutations(np.unique(labels_true))
    )
    assert agreement == pytest.approx(best)


def naive_accuracy(labels_true, labels_pred, weight):
    """Try every way to give the clusters different classes, or none."""
    clusters = sorted(set(labels_pred) - {-1})
    nothing = [object() for _ in clusters]
    best = 0.0
    for classes in permutations([*sorted(set(labels_true)), *nothing], len(clusters)):
        match = dict(zip(clusters, classes, strict=True))
        right = [match.get(k) == c for c, k in zip(labels_true, labels_pred, strict=True)]
        best = max(best, weight[right].sum())
    return best / weight.sum()


@pytest.mark.parametrize("seed", range(20))
def test_accuracy_equals_trying_every_match(seed):
    rng = np.random.RandomState(seed)
    labels_true = rng.randint(-1, rng.randint(1, 4), size=30)
    labels_pred = rng.randint(rng.randint(-1, 1), rng.randint(1, 5), size=30)
    for weight in (np.ones(30), rng.rand(30)):
        found = clustering_accuracy_score(labels_true, labels_pred, sample_weight=weight)
        assert found == pytest.approx(naive_accuracy(labels_true, labels_pred, weight), abs=1e-12)
        assert found <= purity_score(labels_true, labels_pred, sample_weight=weight) + 1e-12


@pytest.mark.parametrize("n_clusters", [3, 10, 40])
def test_accuracy_equals_a_match_on_a_square_table(n_clusters):
    rng = np.random.RandomState(n_clusters)
    labels_true, labels_pred = rng.randint(10, size=500), rng.randint(n_clusters, size=500)
    square = np.zeros((40, 40))
    square[:10, :n_clusters] = contingency_matrix(labels_true, labels_pred)
    expected = square[linear_sum_assignment(-square)].sum() / 500
    assert clustering_accuracy_score(labels_true, labels_pred) == expected


def test_accuracy_does_not_depend_on_names(random_labels):
    labels_true, labels_pred, weight = random_labels
    expected = clustering_accuracy_score(labels_true, labels_pred, sample_weight=weight)
    names, numbers = np.array(list("kfaxb")), np.random.RandomState(1).permutation(7) * 10 - 9
    for classes, clusters in [
        (names[labels_true + 2], numbers[labels_pred]),
        (labels_true * 3.0, labels_pred.astype(str)),
        (labels_true.tolist(), np.array(list("abcdefg"), dtype=object)[labels_pred]),
        (labels_pred, labels_true + 2),  # only noise knows which are the classes
    ]:
        found = clustering_accuracy_score(classes, clusters, sample_weight=weight)
        assert found == pytest.approx(expected, abs=1e-12)


def test_left_over_clusters_count_as_wrong():
    labels_true, labels_pred = ["a"] * 10, [0] * 7 + [1] * 3
    assert clustering_accuracy_score(labels_true, labels_pred) == 0.7
    match = match_clusters(labels_true, labels_pred, "hungarian")
    assert match == {0: "a", 1: "a"}  # so that all of its classes are right
    labels_true, labels_pred = labels_from({"a": (5, 2, 3), "b": (0, 4, 2)})
    assert clustering_accuracy_score(labels_true, labels_pred) == 9 / 16
    assert clustering_accuracy_score(*labels_from({"a": (5, 1), "b": (0, 4), "c": (1, 1)})) == 0.75
    assert clustering_accuracy_score(*labels_from(DOGS_AND_CATS)) == (4627 + 3231) / 12002


def test_noise_is_wrong_for_the_accuracy_and_a_cluster_for_the_others():
    labels_true = ["a", "a", "a", "b", "b", "b"]
    labels_pred = [0, 0, 0, -1, -1, 1]
    assert clustering_accuracy_score(labels_true, labels_pred) == 4 / 6
    assert clustering_accuracy_score(labels_true, np.array(labels_pred, dtype=float)) == 4 / 6
    assert clustering_accuracy_score(labels_true, [-1] * 6) == 0.0
    assert clustering_accuracy_score([-1, -1, 0], [-1, -1, 0]) == 1 / 3
    assert clustering_accuracy_score([-1, -1, 0], [5, 5, -2]) == 1.0
    assert purity_score(labels_true, labels_pred) == 1.0
    for strategy in ("majority", "hungarian"):
        match = match_clusters(labels_true, labels_pred, strategy)
        assert match == {-1: "b", 0: "a", 1: "b"}


def polars_series(values):
    return pytest.importorskip("polars").Series(values)


def with_instead(unknown):
    return lambda values: [unknown if value is None else value for value in values]


def masked(values):
    return np.ma.masked_array(with_instead(0)(values), [value is None for value in values])


with_nan = with_instead(np.nan)
UNKNOWN = {
    "list": list,
    "list of nan": with_nan,
    "list of NA": with_instead(pd.NA),
    "list of NaT": with_instead(pd.NaT),
    "objects": lambda values: np.array(values, dtype=object),
    "objects with nan": lambda values: np.array(with_nan(values), dtype=object),
    "masked": masked,
    "pandas": pd.Series,
    "pandas category": lambda values: pd.Series(values, dtype="category"),
    "pandas nullable": lambda values: pd.Series(values).convert_dtypes(),
    "polars": polars_series,
}
UNKNOWN_NUMBERS = UNKNOWN | {
    "array": lambda values: np.array(with_nan(values)),
    "float32": lambda values: np.array(with_nan(values), dtype=np.float32),
    "Int64": lambda values: pd.array(values, dtype="Int64"),
    "tensor": lambda values: torch.tensor(with_nan(values)),
    "list of tensors": lambda values: list(torch.tensor(with_nan(values))),
}


@pytest.mark.parametrize("function", SCORES)
@pytest.mark.parametrize("form", UNKNOWN_NUMBERS)
def test_unknown_numbers_are_refused(function, form):
    unknown = UNKNOWN_NUMBERS[form]([0, None, 1, None, 1])
    for name, labels in [("labels_true", (unknown, [0] * 5)), ("labels_pred", ([0] * 5, unknown))]:
        message = rf"{name} must hold known labels only, got 2 unknown .* of 5\. .* known = "
        with pytest.raises(ValueError, match=message):
            function(*labels)


@pytest.mark.parametrize("form", UNKNOWN)
def test_unknown_strings_are_refused(form):
    with pytest.raises(ValueError, match="labels_true must hold known labels only, got 1 unknown"):
        purity_score(UNKNOWN[form](["a", None, "b", "b"]), [0] * 4)


@pytest.mark.parametrize("form", UNKNOWN_NUMBERS)
def test_known_labels_of_any_container(form):
    labels_true, labels_pred = [0, 1, 1, 2, 2, 2], [0, 0, 1, 1, 2, 2]
    both = UNKNOWN_NUMBERS[form](labels_true), UNKNOWN_NUMBERS[form](labels_pred)
    assert clustering_accuracy_score(*both) == 4 / 6
    assert match_clusters(*both) == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize("array_api_dispatch", [False, True])
def test_tensors_give_the_numbers_of_arrays(random_labels, array_api_dispatch, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # scikit-learn asks for it
    labels_true, labels_pred, weight = random_labels
    tensors = [torch.from_numpy(labels) for labels in random_labels]
    for score in (clustering_accuracy_score, purity_score):
        expected = score(labels_true, labels_pred, sample_weight=weight)
        with config_context(array_api_dispatch=array_api_dispatch):
            for kind in (torch.int8, torch.int64, torch.float32, torch.bfloat16):
                classes, clusters = (labels.to(kind) for labels in tensors[:2])
                found = score(classes, clusters, sample_weight=tensors[2].requires_grad_())
                assert found == expected


def test_match_is_made_of_python_scalars_in_sorted_order():
    match = match_clusters(np.array([1, 0, 1]), np.array([7, -1, 3]))
    assert list(match.items()) == [(-1, 0), (3, 1), (7, 1)]
    assert {type(value) for pair in match.items() for value in pair} == {int}


@pytest.mark.parametrize(
    ("labels_true", "labels_pred", "message"),
    [
        ([0, 1], [0, 1, 1], "inconsistent numbers of samples"),
        ([], [], "minimum of 1 is required"),
        ([[0, 1]], [[0, 1]], "must be 1D"),
        ([[0], [1]], [0, 1], r"must be 1D: shape is \(2, 1\). Use np.ravel\(labels_true\)"),
        (None, [0, 1], "must be 1D"),
        ([1, "a"], [0, 1], "labels_true must be all strings or all numbers, got strings and 1"),
        ([0.5, 1.5], [0, 1], "continuous"),
        ([0, 1], [0.1, 0.2], "continuous"),
        ([0, np.nan], [0, 1], "labels_true must hold known labels only, got 1 unknown .* of 2"),
    ],
)
@pytest.mark.parametrize("function", SCORES)
def test_bad_labels(function, labels_true, labels_pred, message):
    with pytest.raises(ValueError, match=message):
        function(labels_true, labels_pred)


@pytest.mark.parametrize(
    ("sample_weight", "message"),
    [
        ([1, 2, 3], "inconsistent numbers of samples"),
        ([1, -1], "non-negative"),
        ([0, 0], "not all zero"),
        ([[1], [1]], "must be 1D"),
        ([1, np.nan], "contains NaN"),
    ],
)
def test_bad_weights(sample_weight, message):
    with pytest.raises(ValueError, match=message):
        purity_score([0, 1], [0, 1], sample_weight=sample_weight)


def test_unknown_strategy():
    with pytest.raises(ValueError, match="strategy must be one of"):
        match_clusters([0], [0], "greedy")


def naive_redundancy(filters):
    """One pair of filters, one channel at a time."""
    found = []
    for i, one in enumerate(filters):
        best = 0.0
        for j, other in enumerate(filters):
            lengths = np.linalg.norm(one) * np.linalg.norm(other)
            if i == j or lengths == 0:
                continue
            channels = zip(np.moveaxis(one, 2, 0), np.moveaxis(other, 2, 0), strict=True)
            sums = sum(correlate2d(a, b) for a, b in channels)
            best = max(best, np.abs(sums).max() / lengths)
        found.append(best)
    return np.array(found)


@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 2), (1, 6), (1, 1)])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("n_filters", [1, 2, 16, 17, 35])
def test_redundancy_equals_a_naive_loop(shape, n_channels, n_filters):
    filters = np.random.RandomState(0).randn(n_filters, *shape, n_channels) * 7 + 1
    found = filter_redundancy(filters)
    assert found.shape == (n_filters,)
    np.testing.assert_allclose(found, naive_redundancy(filters), rtol=1e-10)
    if n_channels == 1:
        np.testing.assert_array_equal(filter_redundancy(filters[..., 0]), found)


def test_redundancy_of_two_columns_and_a_flat_filter():
    left, right, flat = np.zeros((3, 2, 2))
    left[:, 0], right[:, 1], flat[:] = 1, 1, 1
    found = filter_redundancy([left, right, flat])
    np.testing.assert_allclose(found, [1, 1, 0.5**0.5])


@pytest.mark.parametrize("factor", [1, -1, 1e-3, -1e6])
def test_copies_are_redundant_at_any_scale_and_sign(factor):
    rng = np.random.RandomState(0)
    filters = rng.randn(4, 5, 6, 3)
    filters[3] = factor * filters[1]
    found = filter_redundancy(filters)
    np.testing.assert_allclose(found[[1, 3]], 1)
    assert (found[[0, 2]] < 0.9).all()
    assert (found <= 1).all()


def test_shifted_copies_are_redundant():
    pattern = np.random.RandomState(0).randn(3, 4, 2)
    filters = np.zeros((3, 8, 8, 2))
    filters[0, :3, :4] = pattern
    filters[1, 5:, 4:] = -pattern
    filters[2, 3:6, 2:6] = pattern[::-1, ::-1]
    found = filter_redundancy(filters)
    np.testing.assert_allclose(found[:2], 1)
    assert found[2] < 0.95


def test_a_cut_off_copy_counts_by_what_overlaps():
    filters = np.zeros((2, 1, 4))
    filters[0, 0] = [1, 1, 1, 1]
    filters[1, 0] = [0, 0, 0, 1]
    np.testing.assert_allclose(filter_redundancy(filters), [0.5, 0.5])


def test_channels_are_shifted_together():
    filters = np.zeros((2, 1, 2, 2))
    filters[0, 0] = [[1, 0], [0, 1]]  # the channels hold their value at different places
    filters[1, 0] = [[0, 1], [1, 0]]
    np.testing.assert_allclose(filter_redundancy(filters), [0.5, 0.5])


def test_filters_of_zeros_and_single_filters_are_not_redundant():
    filters = np.random.RandomState(0).randn(4, 3, 3)
    filters[[1, 3]] = 0
    found = filter_redundancy(filters)
    assert found[1] == found[3] == 0
    assert found[0] == found[2] > 0
    assert filter_redundancy(filters[:1]) == [0]
    assert filter_redundancy(np.zeros((3, 2, 2, 5))).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_redundancy_of_any_numbers_leaves_them_alone(dtype):
    filters = np.random.RandomState(0).randint(0, 200, size=(5, 4, 4)).astype(dtype)
    before = filters.copy()
    filters.flags.writeable = False
    found = filter_redundancy(filters)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, naive_redundancy(before.astype(float)[..., None]))
    np.testing.assert_array_equal(filters, before)
    np.testing.assert_array_equal(filter_redundancy(before.tolist()), found)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (np.ones((3, 16)), r"\(K, h, w\) or \(K, h, w, C\), got \(3, 16\)"),
        (np.ones((2, 3, 3, 2, 2)), r"\(K, h, w, C\), got \(2, 3, 3, 2, 2\)"),
        (np.full((2, 3, 3), np.nan), "contains NaN"),
        (np.full((2, 3, 3), np.inf), "contains infinity"),
        (np.ones((0, 3, 3)), r"0 sample\(s\)"),
    ],
)
def test_bad_filters(filters, message):
    with pytest.raises(ValueError, match=message):
        filter_redundancy(filters)


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 3, 3, 0)])
def test_filters_without_values_are_refused(shape):
    with pytest.raises(ValueError, match="filters"):
        filter_redundancy(np.ones(shape))
