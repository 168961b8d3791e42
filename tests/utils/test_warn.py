import linecache

import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_kmfeat._utils.warn import warn


def deeper(module, message, category=UserWarning):
    """Call `warn` from a function of the given module."""
    scope = {"__name__": module, "warn": warn}
    exec("def call(message, category): warn(message, category)", scope)
    scope["call"](message, category)


def line_of(record):
    return linecache.getline(record.filename, record.lineno).strip()


def test_points_outside_the_library():
    with pytest.warns(ConvergenceWarning, match="look") as records:
        deeper("sklearn_kmfeat._core.deep", "look", ConvergenceWarning)
    assert records[0].filename == __file__
    assert line_of(records[0]) == 'scope["call"](message, category)'


def test_passes_the_libraries_in_between():
    with pytest.warns(UserWarning, match="look") as records:
        deeper("skorch.net", "look")
    assert records[0].filename == __file__
