from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_kmfeat.displays import (
    HistoryDisplay,
)


class TestHistoryDisplay:
    def test_losses_left_and_scores_right(self):
        history = [
            {"epoch": 1, "loss": 2.0, "nmi": None, "batches": [1, 2], "best": True},
            {"epoch": 2, "loss": 1.0, "nmi": 0.5, "batches": [1, 2], "best": False},
        ]
        display = HistoryDisplay(history).plot()
        assert list(display.lines_) == ["loss", "nmi"]
        assert display.lines_["loss"].axes is display.ax_
        assert display.lines_["nmi"].axes is display.right_ax_
        np.testing.assert_array_equal(display.lines_["loss"].get_xydata(), [[1, 2], [2, 1]])
        np.testing.assert_array_equal(display.lines_["nmi"].get_ydata(), [np.nan, 0.5])

    def test_dict_of_lists_and_keys(self):
        history = {"nmi": [0.1, 0.2, 0.3], "purity": [0.3, 0.4, 0.5]}
        display = HistoryDisplay(history).plot(keys=["purity"])
        assert list(display.lines_) == ["purity"]
        assert display.right_ax_ is None
        np.testing.assert_array_equal(display.lines_["purity"].get_xdata(), [1, 2, 3])

    def test_a_key_that_begins_later(self):
        display = HistoryDisplay([{"loss": 1.0}, {"loss": 0.5, "nmi": 0.2}]).plot()
        np.testing.assert_array_equal(display.lines_["nmi"].get_ydata(), [np.nan, 0.2])

    def test_from_estimator(self):
        display = HistoryDisplay.from_estimator(SimpleNamespace(history_={"loss": [3, 2]}))
        np.testing.assert_array_equal(display.lines_["loss"].get_ydata(), [3, 2])


def test_one_key_is_a_name_and_no_letters():
    history = [{"epoch": 1, "loss": 2.0, "nmi": 0.1}, {"epoch": 2, "loss": 1.0, "nmi": 0.3}]
    assert list(HistoryDisplay(history).plot(keys="loss").lines_) == ["loss"]
    with pytest.raises(ValueError, match=r"keys must be among .*'nmi'.*, got \['accuracy'\]"):
        HistoryDisplay(history).plot(keys=["loss", "accuracy"])
