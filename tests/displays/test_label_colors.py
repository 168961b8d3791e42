import numpy as np
import pytest

from sklearn_kmfeat.displays._label_colors import NEUTRAL, label_colors


@pytest.mark.parametrize("n_labels", [1, 3, 8, 10, 11, 20, 25, 60])
def test_labels_look_different(n_labels):
    labels = np.arange(n_labels).repeat(2)
    colors, names = label_colors(labels, np.zeros(len(labels), dtype=bool))
    assert list(names) == list(range(n_labels))
    assert len(set(names.values())) == n_labels
    assert NEUTRAL not in names.values()
    np.testing.assert_array_equal(colors, [names[label] for label in labels])
    assert colors.min() >= 0
    assert colors.max() <= 1


def test_noise_and_unknown_are_grey():
    labels, unknown = np.array([5, -1, 7, 5]), np.array([False, False, True, False])
    colors, names = label_colors(labels, unknown)
    assert list(names) == [-1, 5]
    np.testing.assert_array_equal(colors[1:3], [NEUTRAL, NEUTRAL])
    np.testing.assert_array_equal(colors[0], colors[3])
    colors, names = label_colors(labels, np.ones(4, dtype=bool))
    assert names == {}
    np.testing.assert_array_equal(colors, [NEUTRAL] * 4)
