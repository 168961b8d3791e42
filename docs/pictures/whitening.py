"""Filters by what is added to the eigenvalues: python docs/pictures/whitening.py."""

from pathlib import Path

import matplotlib.pyplot as plt

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample
from sklearn_kmfeat.displays import FilterDisplay

PICTURE = Path(__file__).parents[1] / "images" / "whitening.png"
TITLES = {1e-4: "1e-4: noise", 0.1: "0.1, the default", 30: "30: blobs and slopes"}


def draw(path=PICTURE):
    """Three dictionaries, the filters that win most patches first."""
    photographs = load_cifar10_sample().images
    figure, axes = plt.subplots(1, 3, figsize=(6, 2.4))
    for (whiten_eps, title), ax in zip(TITLES.items(), axes, strict=True):
        learner = KMeansFilterLearner(
            49, whiten_eps=whiten_eps, n_patches=40_000, max_iter=10, random_state=0
        ).fit(photographs)
        FilterDisplay.from_estimator(learner, sort="counts", ax=ax)
        ax.set_title(title, fontsize=11)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.88, wspace=0.08)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    draw()
