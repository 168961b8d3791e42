"""What the library does, on the images that ship with it: run it with `make demo`.

It learns filters from small photographs and lets the same linear classifier judge raw pixels and
learned features; then it clusters whole handwritten digits. Two pictures and a table are written
to `demo_output/`.
"""

import argparse
import math
from pathlib import Path
from time import perf_counter

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import track
from sklearn.callback import ProgressBar
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample
from sklearn_kmfeat.displays import FilterDisplay
from sklearn_kmfeat.metrics import purity_score

#: Purity on 10,000 digits in the notebook that the second half follows.
PUBLISHED_PURITY = {10: 0.5722, 20: 0.6957}
PENALTIES = np.logspace(1, 6, 11)

console = Console()


def learn_filters(images, n_filters=400, n_patches=400_000, max_iter=40):
    """Learn a dictionary of 6x6 filters, with a progress bar."""
    learner = KMeansFilterLearner(n_filters, n_patches=n_patches, max_iter=max_iter, random_state=0)
    return learner.set_callbacks(ProgressBar()).fit(images)


def encode(learner, images, batch=100):
    """Turn images into rows of features, with a progress bar."""
    starts = track(range(0, len(images), batch), "Encoding images", console=console)
    return np.concatenate([learner.transform(images[start : start + batch]) for start in starts])


def linear_classifier(*first_steps):
    """Standardise and classify linearly; the penalty is chosen inside the training set."""
    return make_pipeline(*first_steps, StandardScaler(), RidgeClassifierCV(PENALTIES))


def held_out_accuracy(model, train, test, name):
    """Fit on training (features, labels) and score on test ones."""
    with console.status(f"Training the linear classifier on {name}"):
        return model.fit(*train).score(*test)


def compare_features(photos, n_test=500, **learning):
    """Accuracy of the same classifier on raw pixels and on learned features.

    The filters see the training images only, and no labels.

    Returns
    -------
    learner : KMeansFilterLearner
    accuracies : dict
        By name of the features.
    """
    train, test, y_train, y_test = train_test_split(
        photos.images, photos.target, test_size=n_test, stratify=photos.target, random_state=0
    )
    learner = learn_filters(train, **learning)
    pixels = [images.reshape(len(images), -1).astype(np.float32) for images in (train, test)]
    features = [encode(learner, images) for images in (train, test)]
    judged = {
        "raw pixels": (linear_classifier(), pixels),
        "learned features": (linear_classifier(FunctionTransformer(np.sqrt)), features),
    }
    accuracies = {
        name: held_out_accuracy(model, (X_train, y_train), (X_test, y_test), name)
        for name, (model, (X_train, X_test)) in judged.items()
    }
    return learner, accuracies


def cluster_digits(digits, n_clusters, n_init=4):
    """Cluster whole digits: each flattened image is one large patch.

    Returns
    -------
    learner : KMeansFilterLearner
    purity : float
    """
    rows = digits.images.reshape(len(digits.images), -1)
    learner = KMeansFilterLearner(
        n_clusters,
        patch_size=digits.images.shape[1:],
        n_patches=None,
        contrast=None,
        whiten_eps=None,
        init="k-means++",
        n_init=n_init,
        max_iter=300,
        random_state=0,
    )
    learner.set_callbacks(ProgressBar()).fit(rows)
    return learner, purity_score(digits.target, learner.predict(rows))


def draw_filters(learner, path, n_cols=25):
    """Write the mosaic of the filters, those that win most patches first."""
    display = FilterDisplay.from_estimator(learner, sort="counts", n_cols=n_cols)
    save(display.figure_, path)


def draw_centroids(learners, path):
    """Write the centroids of several clusterings of digits, one above the other."""
    rows = [math.ceil(len(learner.filters_) / 10) for learner in learners]
    figure, axes = plt.subplots(
        len(learners), figsize=(8, 3.4), layout="constrained", height_ratios=rows
    )
    for learner, ax in zip(learners, np.atleast_1d(axes), strict=True):
        FilterDisplay.from_estimator(learner, sort="counts", ax=ax, n_cols=10)
        ax.set_title(f"{len(learner.filters_)} clusters of 10,000 digits, the largest first")
    save(figure, path)


def save(figure, path):
    """Write a figure without margins and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)


def make_table(accuracies, purities):
    """The results as a Markdown table."""
    rows = [("", "here", "published")]
    rows += [("---", "---:", "---:")]
    rows += [(f"CIFAR-10 sample, {name}: accuracy", f"{a:.1%}", "") for name, a in accuracies]
    rows += [
        (f"MNIST sample, {k} clusters of whole images: purity", f"{purity:.4f}", f"{published}")
        for k, purity, published in purities
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def run(folder):
    """The whole demo."""
    start = perf_counter()
    console.rule("Filters from 1,500 photographs, judged on 500 others")
    learner, accuracies = compare_features(load_cifar10_sample())
    draw_filters(learner, folder / "filters.png")

    console.rule("Whole-image clusters of 10,000 digits")
    digits = load_mnist_sample()
    clusterings = {k: cluster_digits(digits, k) for k in PUBLISHED_PURITY}
    draw_centroids([learner for learner, _ in clusterings.values()], folder / "centroids.png")

    purities = [(k, purity, PUBLISHED_PURITY[k]) for k, (_, purity) in clusterings.items()]
    table = make_table(accuracies.items(), purities)
    (folder / "table.md").write_text(table, encoding="utf-8")
    console.rule("What came out")
    console.print(Markdown(table))
    names = ", ".join(path.name for path in sorted(folder.iterdir()))
    console.print(f"{perf_counter() - start:.0f} seconds. In {folder}: {names}")


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder to fill")
    parser.add_argument(
        "--picture", type=Path, help="only draw the filters of all 2,000 photographs, to this file"
    )
    options = parser.parse_args()
    if options.picture:
        draw_filters(learn_filters(load_cifar10_sample().images), options.picture)
    else:
        run(options.output)


if __name__ == "__main__":
    main()
