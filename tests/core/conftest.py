import pytest
import torch
from sklearn.datasets import make_blobs


@pytest.fixture
def blobs():
    X, _ = make_blobs(600, n_features=5, centers=12, cluster_std=2.0, random_state=0)
    return torch.tensor(X - X.mean(0))


@pytest.fixture
def clear_blobs():
    X, _ = make_blobs(300, n_features=4, centers=6, cluster_std=0.3, random_state=0)
    return torch.tensor(X - X.mean(0), dtype=torch.float32)
