import matplotlib
import numpy as np
import pytest
from sklearn.cluster import KMeans

matplotlib.use("Agg")

from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def images():
    """Twelve 4x4 images: eight of brightness 0..0.07, four of brightness 0.9..0.93."""
    levels = np.concatenate([np.arange(8) / 100, 0.9 + np.arange(4) / 100])
    return np.tile(levels[:, np.newaxis, np.newaxis], (1, 4, 4))


@pytest.fixture
def fitted(images):
    return KMeans(n_clusters=2, n_init=3, random_state=0).fit(images.reshape(12, 16))
