"""Accuracy on CIFAR-10: raw pixels, encoders, whitening and the number of filters."""

from time import perf_counter

import numpy as np
from _data import train_and_test
from _linear import ridge_accuracy
from sklearn.model_selection import ParameterGrid

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample

TITLE = "CIFAR-10: linear classifiers on k-means features"
#: Coates, Lee & Ng 2011: (filters, encoder, whitened) -> accuracy.
PUBLISHED = {(1600, "hard", True): 0.686, (1600, "triangle", True): 0.779}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        On the shipped sample, with fewer filters.

    Returns
    -------
    list of dict
    """
    data = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    sizes, n_patches = ((25, 100, 400), 50_000) if quick else ((100, 400, 1600), 400_000)
    rows = [raw_pixels(*data)]
    for n_filters in sizes:
        # The smaller dictionaries only show how accuracy grows with size.
        codes = {"encoder": ["triangle"]}
        if n_filters != sizes[0]:
            codes = [{"encoder": ["hard"]}, codes | {"precision": ["exact", "fast"]}]
        rows += dictionary(*data, n_filters, codes, n_patches=n_patches)
        if n_filters != sizes[0]:
            codes = {"encoder": ["triangle"]}
            rows += dictionary(*data, n_filters, codes, n_patches=n_patches, whiten_eps=None)
    return rows


def remarks(rows):
    """Sentences on the order of the rows."""
    largest = max(row["n_filters"] or 0 for row in rows)
    exact = [row for row in rows if row.get("precision") != "fast"]
    found = {(r["n_filters"], r["encoder"], r["whitened"]): r["accuracy"] for r in exact}
    raw = found[None, None, None]
    hard, triangle = (found[largest, encoder, "yes"] for encoder in ("hard", "triangle"))
    sizes = sorted({row["n_filters"] for row in rows} - {None})
    by_size = [found[size, "triangle", "yes"] for size in sizes]
    return [
        "Accuracy is that on the 10,000 test images. Published figures: Coates, Lee & Ng 2011.",
        _order(
            "Encoding matters most",
            ["pixels", f"{largest} filters, hard", f"{largest} filters, triangle"],
            [raw, hard, triangle],
        ),
        _order(
            "Whitening helps",
            ["without it", "with it"],
            [found[largest, "triangle", "no"], triangle],
        ),
        _order("More filters help", [f"{size} filters" for size in sizes], by_size),
        "Filters are learned from the training images (fit); features are those of training and "
        "test images (transform). The classifier is a ridge on standardised square roots, with a "
        "penalty chosen on a fifth of the training images.",
    ]


def raw_pixels(X, X_test, y, y_test):
    """The row of the pixels themselves."""
    features, features_test = (
        images.reshape(len(images), -1).astype(np.float32) for images in (X, X_test)
    )
    row = dict.fromkeys(("n_filters", "encoder", "precision", "whitened"))
    return _judged(row, (features, y), (features_test, y_test))


def dictionary(X, X_test, y, y_test, n_filters, codes, **params):
    """One row for each point of a grid of parameters, all with the same filters."""
    learner = KMeansFilterLearner(n_filters, random_state=0, **params)
    fit_seconds = _seconds(lambda: learner.fit(X))[0]
    whitened = learner.whitener_ is not None
    rows = []
    for code in ParameterGrid(codes):
        learner.set_params(**{"precision": "exact"} | code)
        seconds, features = _seconds(lambda: [learner.transform(part) for part in (X, X_test)])
        for part in features:
            np.sqrt(part, out=part)
        row = {"n_filters": n_filters, "encoder": learner.encoder, "precision": learner.precision}
        row["whitened"] = "yes" if whitened else "no"
        times = {"fit (s)": fit_seconds, "transform (s)": seconds}
        published = PUBLISHED.get((n_filters, learner.encoder, whitened))
        train, test = zip(features, (y, y_test), strict=True)
        del features
        rows.append(_judged(row, train, test, times, published))
    return rows


def _judged(row, train, test, times=None, published=None):
    """Complete a row with accuracy and seconds, and print it."""
    seconds, (accuracy, penalty) = _seconds(lambda: ridge_accuracy(train, test))
    times = times or {"fit (s)": None, "transform (s)": None}
    row |= {"accuracy": accuracy, "published": published, "penalty": penalty}
    row |= times | {"classifier (s)": seconds}
    print(row, flush=True)
    return row


def _seconds(call):
    """Seconds that a call takes, rounded, and what it returns."""
    start = perf_counter()
    result = call()
    return round(perf_counter() - start, 1), result


def _order(what, names, values):
    """A sentence: values in the order of their names, and whether they grow in it."""
    pairs = zip(names, values, strict=True)
    text = "; ".join(f"{name}: {100 * value:.1f} %" for name, value in pairs)
    return (
        f"{what}{'' if all(np.diff(values) > 0) else ' (NOT HERE)'}. {text[0].upper() + text[1:]}."
    )
