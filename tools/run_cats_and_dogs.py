"""The run that examples/plot_deepcluster_cats_and_dogs.py shows: half an hour on one core.

    SKLEARN_KMFEAT_DATA=FOLDER OMP_NUM_THREADS=1 python tools/run_cats_and_dogs.py --work WORK

FOLDER holds CIFAR-10. Deep clustering of its 10,000 training photographs of cats and dogs, with the
network and the settings of benchmarks/_deep_clusters.py and seed 0; no label has a part in the fit.
One network, and of its embeddings 2, 20 and 100 clusters. What the page needs is written beside it:
clusters, classes, the history, and some photographs. WORK keeps a checkpoint, from which a run that
was cut off continues, and the clusters of each fit.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np

from sklearn_kmfeat import ClusterClassifier, DeepClusterEstimator
from sklearn_kmfeat.datasets import fetch_cifar10

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from _deep_clusters import CAT, DOG, EPOCHS, N_CLUSTERS_OF_PETS, PETS, _pets  # noqa: E402
from _on_filters import learned_filters, on_filters  # noqa: E402

FILE = ROOT / "examples" / "data" / "cats_and_dogs.npz"
#: Photographs in the file: the most typical of each cluster, by the number of clusters, and new
#: ones of each kind of right and wrong.
N_TYPICAL, N_NEW = {2: 24, 20: 6}, 14
SETTINGS = {"max_epochs": EPOCHS["pets"], **PETS, "random_state": 0}


def fitted(n_clusters, photographs, new, module, checkpoint):
    """What a fit with so many clusters finds, as arrays."""
    estimator = DeepClusterEstimator(
        n_clusters, module=module, checkpoint=checkpoint, verbose=1, **SETTINGS
    )
    begin = process_time()
    named = ClusterClassifier(estimator).fit(*photographs)
    seconds = process_time() - begin
    clusterer = named.clusterer_.set_params(layer="clusters")
    rows = clusterer.transform(photographs[0])
    centers = clusterer.cluster_centers_
    found = {
        "clusters": clusterer.labels_,
        "new_clusters": clusterer.predict(new[0]),
        "predicted": named.predict(new[0]),
        "names": [named.match_[k] for k in range(n_clusters)],
        "distances": np.linalg.norm(rows - centers[clusterer.labels_], axis=1),
        "rows": rows.astype(np.float32),
        "new_rows": clusterer.transform(new[0]).astype(np.float32),
        "history": json.dumps(clusterer.history_),
        "seconds": seconds,
    }
    accuracy = named.score(*new)
    print(f"{n_clusters} clusters: purity {named.purity_:.4f}, new photographs {accuracy:.4f}")
    return {name: np.asarray(value) for name, value in found.items()}


def photographs_of(typical, photographs):
    """The photographs nearest to the center of each cluster, a row for each."""
    clusters, distances = typical["clusters"], typical["distances"]
    n_clusters = len(typical["names"])
    chosen = []
    for k in range(n_clusters):
        members = np.flatnonzero(clusters == k)
        chosen.append(members[distances[members].argsort()][: N_TYPICAL[n_clusters]])
    return photographs[np.stack(chosen)]


def of_each_kind(y, predicted, photographs):
    """The first new photographs of each animal taken for each, (2, 2, N_NEW, 32, 32, 3)."""
    kinds = [[(y == a) & (predicted == b) for b in (CAT, DOG)] for a in (CAT, DOG)]
    return np.stack([[photographs[kind][:N_NEW] for kind in row] for row in kinds])


def write(found, photographs, new):
    """The file of the page, from what the fits found."""
    (images, y), (new_images, new_y) = photographs, new
    first, largest = found[min(found)], found[max(found)]
    arrays = {
        "settings": json.dumps(SETTINGS),
        "history": first["history"],
        "minutes": first["seconds"] / 60,
        "is_dog": y == DOG,
        "new_is_dog": new_y == DOG,
        "examples_new": of_each_kind(new_y, largest["predicted"], new_images),
    }
    for n_clusters, one in found.items():
        arrays[f"clusters_{n_clusters}"] = one["clusters"].astype(np.uint8)
        arrays[f"named_dog_{n_clusters}"] = one["names"] == DOG
        arrays[f"new_predicted_dog_{n_clusters}"] = one["predicted"] == DOG
        if n_clusters in N_TYPICAL:
            arrays[f"typical_{n_clusters}"] = photographs_of(one, images)
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {FILE.stat().st_size / 1024:.0f} kB")


def main(work):
    """Fit, or read what was fitted, and write the file of the page."""
    work.mkdir(parents=True, exist_ok=True)
    photographs, new = (
        _pets(*fetch_cifar10(subset=subset, return_X_y=True)) for subset in ("train", "test")
    )
    found = {}
    module = partial(on_filters, learned_filters(photographs[0], random_state=0))
    for n_clusters in N_CLUSTERS_OF_PETS:
        kept = work / f"{n_clusters}.npz"
        if not kept.exists():
            arrays = fitted(n_clusters, photographs, new, module, work / "checkpoint.pt")
            np.savez(kept, **arrays)
        found[n_clusters] = dict(np.load(kept))
    write(found, photographs, new)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is not done")
    main(parser.parse_args().work)
