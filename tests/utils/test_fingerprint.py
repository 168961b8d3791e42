import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn
from torchvision.transforms import v2

from sklearn_kmfeat._utils.fingerprint import checksum, described


def test_checksum():
    a = {"x": torch.arange(3.0), "y": [1, (2.5, "s", None)], "z": torch.tensor(1)}
    same = {"x": torch.arange(3.0), "y": [1, (2.5, "s", None)], "z": torch.tensor(1)}
    assert checksum(a) == checksum(same)
    for name, other in {
        "x": torch.ones(3),
        "y": [1, (2.5, "t", None)],
        "z": torch.tensor(2),
    }.items():
        assert checksum(a | {name: other}) != checksum(a)


def test_checksum_of_an_array_is_that_of_its_tensor():
    array = np.arange(6.0).reshape(2, 3)
    assert checksum(torch.from_numpy(array)) == checksum(torch.from_numpy(array.copy()))
    assert checksum(torch.from_numpy(array)) != checksum(torch.from_numpy(array[::-1].copy()))


@pytest.mark.parametrize(
    "value",
    [
        None,
        "name",
        (1, 2.5),
        {"a": [1]},
        np.arange(3),
        nn.Linear(2, 3),
        v2.Compose([v2.RandomRotation(5)]),
        KMeans(3, random_state=np.random.RandomState(0)),
        torch.relu,
        np.array(["a", None], dtype=object),
    ],
)
def test_described_without_addresses(value):
    assert " at 0x" not in str(described(value))
    assert described(value) == described(value)


def test_described_tells_values_apart():
    different = [
        np.float64(0.5),
        np.arange(3),
        np.arange(4),
        nn.Linear(2, 3),
        nn.Linear(2, 4),
        v2.RandomRotation(5),
        v2.RandomRotation(6),
        KMeans(3),
        KMeans(4),
        KMeans,
        torch.relu,
    ]
    forms = [described(value) for value in different]
    assert all(a != b for i, a in enumerate(forms) for b in forms[:i])
    assert described(KMeans(3, random_state=0)) == described(KMeans(3, random_state=1))
    assert described(nn.Linear(2, 3)) == described(nn.Linear(2, 3))


class Tuned:
    """An object with parameters that is no estimator of scikit-learn."""

    def __init__(self, n_groups):
        self.n_groups = n_groups

    def get_params(self, deep=True):
        return {"n_groups": self.n_groups}

    def set_params(self, n_groups):
        self.n_groups = n_groups


def test_described_objects_with_parameters():
    assert described(Tuned(3)) == described(Tuned(3)) != described(Tuned(4))


def test_described_array_of_strings():
    assert described(np.array(["a", "b"])) == ("a", "b")
