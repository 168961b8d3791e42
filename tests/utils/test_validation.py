import numpy as np
import pytest

from sklearn_kmfeat._utils.validation import as_pair, names_in


@pytest.mark.parametrize("value", [3, np.int64(3), (3, 3), [3, 3], np.array([3, 3])])
def test_pair(value):
    assert as_pair(value, "size") == (3, 3)
    assert all(type(side) is int for side in as_pair(value, "size"))


def test_pair_of_two_lengths():
    assert as_pair((2, 5), "size") == (2, 5)


@pytest.mark.parametrize("value", [0, -1, (2, 0), (1, 2, 3), (1,), (2.0, 2.0), (), "ab"])
def test_pair_says_what_is_wrong(value):
    with pytest.raises(ValueError, match="stride must be a positive int or two of them, got"):
        as_pair(value, "stride")


def test_names_entered_later_are_accepted():
    table = {"one": 1}
    constraint = names_in(table)
    assert constraint.is_satisfied_by("one")
    assert not constraint.is_satisfied_by("two")
    table["two"] = 2
    assert constraint.is_satisfied_by("two")
    assert "'one'" in str(constraint)
    assert "'two'" in str(constraint)
