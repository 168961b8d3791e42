import warnings
from types import SimpleNamespace

import pytest

from sklearn_kmfeat._utils.progress import FitProgress, report
from sklearn_kmfeat._utils.quiet import is_quiet, quiet
from sklearn_kmfeat._utils.warn import warn


def test_nothing_is_said_inside(capsys):
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("error")
        warn("nobody reads this")
        report(SimpleNamespace(), "nor this")
        assert is_quiet()
        with quiet(False):
            assert not is_quiet()
    assert capsys.readouterr().out == ""
    assert not is_quiet()
    with pytest.warns(UserWarning, match="this is read"):
        warn("this is read")


def test_callbacks_are_not_called():
    """An estimator that has none of the methods of a context of callbacks."""
    with quiet():
        progress = FitProgress(SimpleNamespace(verbose=0), None)
        with progress.task("epoch", 2) as task:
            assert task.step("", dict) is False
        progress.end(dict)
