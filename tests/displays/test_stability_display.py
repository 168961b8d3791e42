import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_kmfeat import ConsensusClusterer
from sklearn_kmfeat.displays import StabilityDisplay

STABILITY = {"n_clusters": np.array([2, 3, 5]), "agreement": np.array([0.5, 0.8, 0.4])}


def test_the_curve_and_the_best_number():
    display = StabilityDisplay(STABILITY).plot(line_kw={"color": "red"})
    np.testing.assert_array_equal(display.line_.get_xydata(), [[2, 0.5], [3, 0.8], [5, 0.4]])
    assert display.line_.get_color() == "red"
    np.testing.assert_array_equal(display.chosen_.get_xdata(), [3, 3])


class Fitted(ConsensusClusterer):
    stability_ = STABILITY | {"standard_error": np.full(3, 0.1)}
    n_clusters_ = 2


def test_from_estimator():
    with pytest.raises(NotFittedError):
        StabilityDisplay.from_estimator(ConsensusClusterer())
    display = StabilityDisplay.from_estimator(Fitted())
    np.testing.assert_array_equal(display.line_.get_ydata(), STABILITY["agreement"])
    np.testing.assert_array_equal(display.chosen_.get_xdata(), [2, 2])
    (band,) = display.ax_.collections
    assert band.get_paths()[0].vertices[:, 1].max() == 0.9
