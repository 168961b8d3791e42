import numpy as np
import pytest
from scipy.signal import correlate2d
from sklearn.metrics import accuracy_score

from sklearn_kmfeat.metrics import filter_redundancy, match_clusters, purity_score

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
    from itertools import permutations

    labels_true, labels_pred, weight = random_labels
    labels_pred = labels_pred % 5
    match = match_clusters(labels_true, labels_pred, "hungarian", sample_weight=weight)
    agreement = weight[np.array([match[c] for c in labels_pred]) == labels_true].sum()
    best = max(
        weight[np.asarray(classes)[labels_pred] == labels_true].sum()
        for classes in permutations(np.unique(labels_true))
    )
    assert agreement == pytest.approx(best)


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
        ([0.5, 1.5], [0, 1], "continuous"),
        ([0, 1], [0.1, 0.2], "continuous"),
        ([0, np.nan], [0, 1], "labels_true must hold known labels only, got 1 unknown .* of 2"),
    ],
)
@pytest.mark.parametrize("function", [purity_score, match_clusters])
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
