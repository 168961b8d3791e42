import numpy as np
import pytest
import torch

from sklearn_kmfeat import ChannelConnections, DeepClusterEstimator
from sklearn_kmfeat._utils.labels import of_one_type, read_labels, refuse_unknown, to_numpy

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

UNKNOWN = {
    "None among strings": ["a", None, "b"],
    "None among numbers": [0, None, 1],
    "NaN in a list": [0, float("nan"), 1],
    "NaN among strings": ["a", np.nan, "b"],
    "NaN": np.array([0, np.nan, 1]),
    "tensor": torch.tensor([0, torch.nan, 1]),
    "objects": np.array(["a", None, "b"], dtype=object),
    "masked": np.ma.masked_array([0, 5, 1], mask=[False, True, False]),
    "NA": pandas.array([0, pandas.NA, 1], dtype="Int64"),
    "Series": pandas.Series(["a", pandas.NA, "b"], dtype="string"),
    "category": pandas.Series(["a", None, "b"], dtype="category"),
    "NaT": pandas.Series(pandas.to_datetime(["2020-01-01", None, "2021-01-01"])),
    "polars": polars.Series([0, None, 1]),
    "strings of polars": polars.Series(["a", None, "b"]),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_in_any_container(name):
    labels, unknown = read_labels(UNKNOWN[name])
    assert unknown.tolist() == [False, True, False]
    assert len(np.unique(of_one_type(labels[~unknown], "y"))) == 2
    with pytest.raises(ValueError, match=r"got 1 unknown .* of 3\. Select the known ones"):
        refuse_unknown(unknown, "y", "X")


@pytest.mark.parametrize("name", UNKNOWN)
def test_estimators_refuse_unknown_classes(name):
    X = np.random.RandomState(0).randint(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    supervised = ChannelConnections(1, 2, method="supervised", max_epochs=1)
    for estimator in (DeepClusterEstimator(2, max_epochs=0), supervised):
        with pytest.raises(ValueError, match="y must hold known labels only, got 1 unknown"):
            estimator.fit(X, UNKNOWN[name])


def test_all_known():
    for labels in ([0, 1], ["a", "b"], np.array([True, False]), torch.tensor([3, 4])):
        assert not read_labels(labels)[1].any()
    refuse_unknown(np.zeros(3, bool), "y", "X")


def test_one_type():
    assert of_one_type(np.array([1, 2.5], dtype=object), "y").dtype == np.float64
    assert of_one_type(np.array(["a", "b"], dtype=object), "y").dtype == object
    with pytest.raises(ValueError, match=r"y must be all strings or all numbers, got .* and 1"):
        of_one_type(np.array(["a", 1], dtype=object), "y")


def test_tensors():
    assert to_numpy(torch.tensor([1.5], dtype=torch.bfloat16)).tolist() == [1.5]
    assert to_numpy(torch.tensor([2.0], requires_grad=True)).tolist() == [2.0]
