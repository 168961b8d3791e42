"""How often the number of clusters at which the agreement of runs peaks is that of the classes.

The sets are some of `_clusters.py`, at most 2,000 images of each; 2 to 25 clusters are compared.
"""

from time import process_time

import numpy as np
from _clusters import CACHE, CHOSEN_ON, images_of, revision

from sklearn_kmfeat import ConsensusClusterer

TITLE = "Number of clusters by stability"
N_IMAGES = 2000
SETS = (*CHOSEN_ON, "clothes", "letters", "objects20")


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Few images of the shipped samples.

    Returns
    -------
    list of dict
    """
    rows = []
    for name in CHOSEN_ON[:2] if quick else SETS:
        data = images_of(name, quick)
        if data is not None:
            X, y = (values[:N_IMAGES] for values in data)
            rows.append(row_of(name, len(X), len(np.unique(y)), compared(name, X, revision(X))))
            print(rows[-1], flush=True)
    return rows


def remarks(rows):
    """Sentences on what was measured."""
    apart = [abs(row["chosen"] - row["classes"]) for row in rows]
    return [
        f"On {sum(d == 0 for d in apart)} of {len(rows)} sets the chosen number is that of the "
        f"classes, and on {sum(d <= 1 for d in apart)} it differs from it by one at most.",
        "Agreement is the mean adjusted Rand index between the runs, at the chosen number and at "
        "that of the classes; each member of the recipe has two runs, from one seed.",
        "The rule that the beginning of a curve does not count as a peak was made after these "
        "figures were seen.",
        "The classes are one way to sort the images; there may be others. If the agreement "
        "is low even at the chosen number, that number means little.",
    ]


def row_of(name, n_images, n_classes, fit):
    """The number of clusters that was chosen, beside the number of classes."""
    curve = dict(zip(fit["n_clusters"], fit["agreement"], strict=True))
    at_classes = curve.get(n_classes)
    return {
        "set": name,
        "images": n_images,
        "classes": n_classes,
        "chosen": fit["chosen"],
        "agreement": round(curve[fit["chosen"]], 3),
        "at classes": None if at_classes is None else round(at_classes, 3),
        "cpu": round(fit["cpu"]),
    }


@CACHE.cache(ignore=["X"])
def compared(name, X, key):
    """The number of clusters by stability, and the agreement at each."""
    begin = process_time()
    fit = ConsensusClusterer(range(2, 26), n_runs=2, random_state=0).fit(X)
    return {
        "chosen": int(fit.n_clusters_),
        "n_clusters": fit.stability_["n_clusters"].tolist(),
        "agreement": fit.stability_["agreement"].tolist(),
        "cpu": process_time() - begin,
    }
