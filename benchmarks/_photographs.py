"""Photographs of 96 pixels, few of them: the 265 photographic stamps of Tux Paint.

`tools/make_image_sets.py` makes the set from a Debian package; without it the table is empty. It
stands in for STL-10, which cannot be had here: photographs of this size with few labels.
"""

import numpy as np
from _clusters import CACHE, data_home
from _data import revision
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import KMeansFilterLearner

TITLE = "Small set of photographs: 265 of 96 pixels"
COMMON = {"n_filters": 200, "n_patches": 100_000, "max_iter": 20, "random_state": 0}
N_REPEATS = 2
#: Windows of pooling, three by three: of 91 locations, and of 43 in images of 48 pixels.
ROWS = {
    "pixels": (None, 1),
    "filters, quadrants": ({}, 1),
    "filters, 3 x 3 windows": ({"pool_size": 45, "pool_stride": 23}, 1),
    "the same, mirror images": ({"pool_size": 45, "pool_stride": 23, "mirror": True}, 1),
    "the same, of 48 pixels": ({"pool_size": 21, "pool_stride": 11, "mirror": True}, 2),
}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        With few filters, and once.

    Returns
    -------
    list of dict
    """
    path = data_home() / "image_sets" / "stamps96.npz"
    if not path.exists():
        return [{"features": None, "accuracy": None}]
    rows = []
    for name, (parameters, step) in ROWS.items():
        few = {"n_filters": 20, "n_patches": 5000} if quick else {}
        parameters = None if parameters is None else COMMON | parameters | few
        rows.append({"features": name} | measured(str(path), parameters, step, quick, revision()))
        print(rows[-1], flush=True)
    return rows


def remarks(rows):
    """Sentences on what was measured."""
    return [
        "The five classes are animals, food, household, plants and vehicles: chance is 20 %.",
        "Each row is the mean of five-fold cross-validation, done twice; the dictionary is learned "
        "anew in each fold. The standard error over the folds is somewhat too small, since folds "
        "share images.",
        "The classifier is a ridge with balanced classes on standardised square roots (of pixels: "
        "on the standardised pixels); its penalty is chosen by leave-one-out.",
    ]


@CACHE.cache
def measured(path, parameters, step, quick, revision):
    """Cross-validated accuracy of a linear classifier, kept for a revision of the code."""
    with np.load(path) as content:
        X, y = content["images"], content["labels"]
    X = X.reshape(len(X), 96 // step, step, 96 // step, step, 3).mean((2, 4), dtype=np.float32)
    classifier = RidgeClassifierCV(np.logspace(1, 6, 11), class_weight="balanced")
    steps = [StandardScaler(), classifier]
    if parameters is None:
        X = X.reshape(len(X), -1)
    else:
        steps = [KMeansFilterLearner(**parameters), FunctionTransformer(np.sqrt), *steps]
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=1 if quick else N_REPEATS, random_state=0)
    scores = cross_val_score(make_pipeline(*steps), X, y, cv=folds, scoring="balanced_accuracy")
    error = scores.std(ddof=1) / np.sqrt(len(scores))
    return {"accuracy": float(scores.mean()), "standard error": float(error)}
