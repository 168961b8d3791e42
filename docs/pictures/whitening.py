"""Filters learned with too little, the default and too much added to the eigenvalues."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample
from sklearn_kmfeat.displays import FilterDisplay

IMAGES = Path(__file__).parents[1] / "images"

photographs = load_cifar10_sample().images
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.75))
titles = ["1e-4: noise", "0.1, the default", "30: blobs and slopes"]
for whiten_eps, title, ax in zip([1e-4, 0.1, 30], titles, axes, strict=True):
    learner = KMeansFilterLearner(
        64, whiten_eps=whiten_eps, n_patches=40_000, max_iter=10, random_state=0
    ).fit(photographs)
    FilterDisplay.from_estimator(learner, sort="counts", ax=ax)
    ax.set_title(title, fontsize=11)
figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.9, wspace=0.06)
figure.savefig(IMAGES / "whitening.png", dpi=130)
