"""One small estimator of each kind that takes images, and every form of X that holds files."""

import numpy as np
import pandas as pd
import polars as pl
from PIL import Image

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)

SMALL = {"max_iter": 2, "random_state": 0}
ESTIMATORS = [
    KMeansFilterLearner(4, n_patches=200, **SMALL),
    BagOfPatches(4, n_patches=200, **SMALL),
    ConvKMeans(4, n_windows=100, **SMALL),
    ContrastNormalizer(),
    ZCAWhitener(),
    PatchExtractor(max_patches=2, random_state=0),
    ChannelConnections(2, 2, random_state=0),
    DeepClusterEstimator(2, max_epochs=1, net_params={"module__width": 4}, random_state=0),
]


def assert_same_fit(found, expected, X):
    """What was learned is the same, and what both make of X."""
    for name in ("cluster_centers_", "connections_", "labels_", "mean_", "eps_"):
        if getattr(expected, name, None) is not None:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6
            )
    for method in ("transform", "predict"):
        if hasattr(expected, method):
            both = (np.stack(list(getattr(each, method)(X))) for each in (found, expected))
            np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)


def opened(files):
    return [Image.open(path) for path in files.paths]


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


class Picture:
    """Of an image library: numpy makes an image of it."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __array__(self, dtype=None, copy=None):
        return self.pixels


FORMS = {
    "files": lambda files: files,
    "paths": lambda files: files.paths,
    "array of paths": lambda files: np.array(files.paths),
    "objects of paths": lambda files: objects(files.paths),
    "pandas paths": lambda files: pd.Series(files.paths, index=range(5, 17)),
    "pandas column": lambda files: pd.DataFrame({"file": files.paths}),
    "polars paths": lambda files: pl.Series(files.paths),
    "polars column": lambda files: pl.DataFrame({"file": files.paths}),
    "Pillow": opened,
    "pandas Pillow": lambda files: pd.Series(opened(files)),
    "pandas images": lambda files: pd.Series(list(files)),
    "pandas lists": lambda files: pd.Series([image.tolist() for image in files]),
    "objects": lambda files: objects(list(files)),
    "pictures": lambda files: [Picture(image) for image in files],
    "Pillow and arrays": lambda files: [*opened(files[:3]), *list(files)[3:]],
}
ARRAYS_IN_LISTS = list(FORMS)[list(FORMS).index("pandas images") :]
