"""The filters of the front page: python docs/pictures/filters.py."""

from pathlib import Path

from sklearn_kmfeat import FilterDisplay, KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample

PICTURE = Path(__file__).parents[1] / "images" / "filters.png"


def draw(path=PICTURE):
    """Filters of 6x6 pixels, learned from the shipped photographs; the most frequent first."""
    learner = KMeansFilterLearner(160, n_patches=200_000, random_state=0)
    learner.fit(load_cifar10_sample().images)
    display = FilterDisplay.from_estimator(learner, sort="counts", n_cols=16)
    display.figure_.set_size_inches(6, 3.9)
    display.figure_.savefig(path, dpi=130)


if __name__ == "__main__":
    draw()
