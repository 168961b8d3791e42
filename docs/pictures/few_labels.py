"""The curve of few labels of the front page: python docs/pictures/few_labels.py."""

import json
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "few_labels.png"
NUMBERS = ("10", "100", "500", "1000")
#: Rows of `benchmarks/results/few_labels.json`: name there, name here, colour.
LINES = (
    ("ClusterClassifier, 50 of neighbour means", "ClusterClassifier", "#c4561b"),
    ("network embedding, ridge CV", "DeepClusterEstimator, ridge", "#1b6ac4"),
    ("filters, ridge CV", "KMeansFilterLearner, ridge", "#2a8c57"),
    ("pixels, ridge CV", "pixels, ridge", "0.45"),
)


def draw(path=PICTURE):
    """Accuracy on held-out digits by the number of labels; 8,000 images to learn from."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "few_labels.json").read_text())["rows"]
    of_digits = {row["by"]: row for row in rows if row["of"] == "digits"}
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for key, name, colour in LINES:
        accuracies = [of_digits[key][n] for n in NUMBERS]
        ax.plot([int(n) for n in NUMBERS], accuracies, marker="o", color=colour, label=name)
    ax.set_xscale("log")
    ax.set_xticks([int(n) for n in NUMBERS], NUMBERS)
    ax.minorticks_off()
    ax.set(xlabel="labelled images", ylabel="accuracy", ylim=(0.35, 1))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw()
