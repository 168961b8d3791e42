import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sklearn_kmfeat.displays import (
    ClusterGalleryDisplay,
    ContingencyDisplay,
    EmbeddingDisplay,
    FilterDisplay,
    HistoryDisplay,
    StabilityDisplay,
)


def all_displays(ax=None):
    rng = np.random.RandomState(0)
    labels = np.arange(12) % 3
    return [
        FilterDisplay(rng.rand(5, 4, 4)).plot(ax=ax),
        ContingencyDisplay.from_predictions(labels, labels, ax=ax),
        ClusterGalleryDisplay.from_predictions(rng.rand(12, 4, 4), labels, ax=ax),
        EmbeddingDisplay.from_predictions(rng.rand(12, 4, 4), rng.rand(12, 2), ax=ax),
        HistoryDisplay([{"loss": 1.0}, {"loss": 0.5}]).plot(ax=ax),
        StabilityDisplay({"n_clusters": [2, 3], "agreement": [0.5, 0.7]}).plot(ax=ax),
    ]


def test_displays_make_a_figure_or_use_the_given_axes():
    for display in all_displays():
        assert display.ax_.figure is display.figure_
        display.figure_.canvas.draw()
    figure, ax = plt.subplots()
    for display in all_displays(ax):
        assert display.ax_ is ax
        assert display.figure_ is figure
    figure.canvas.draw()


def test_drawing_without_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sklearn-kmfeat\[plot\]"):
        FilterDisplay(np.ones((1, 2, 2))).plot()
