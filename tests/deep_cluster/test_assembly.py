import numpy as np
import pytest
import torch
from torch import nn

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster import networks
from sklearn_kmfeat._deep_cluster.assembly import batch_size_of, new_net, recipe_of, uses_sobel
from sklearn_kmfeat._deep_cluster.sources import ImageBatches
from sklearn_kmfeat._inputs.arrays import ArraySource

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("sobel", "module", "shape", "expected"),
    [
        ("auto", "small", (32, 32, 3), True),
        ("auto", "small", (28, 28, 1), False),
        ("auto", "small", (1, 1, 3), False),
        ("auto", "alexnet", (28, 28, 1), True),
        (False, "alexnet", (32, 32, 3), False),
        (True, "small", (28, 28, 1), True),
        ("auto", networks.small, (32, 32, 3), True),
        ("auto", nn.Flatten, (32, 32, 3), False),
        ("auto", nn.Flatten(), (32, 32, 3), False),
        (True, nn.Flatten(), (32, 32, 3), True),
    ],
)
def test_which_networks_get_edges(sobel, module, shape, expected):
    assert uses_sobel(sobel, module, shape) is expected


def test_parameters_arrive():
    X = np.random.RandomState(0).randint(0, 256, (5, 8, 8)).astype(np.uint8)
    batches = ImageBatches(ArraySource(X, (8, 8, 1)), CPU)
    params = {"module__width": 4, "head__temperature": 0.3, "optimizer__nesterov": True}
    before = dict(params)
    estimator = DeepClusterEstimator(head="prototypes", net_params=params, momentum=0.8)
    net = new_net(estimator, batches, (8, 8, 1), (3,), 7, CPU).initialize()
    assert params == before
    assert net.module_.n_features == 16
    assert net.module_.head.temperature == 0.3
    assert net.optimizer_.defaults["nesterov"]
    assert net.optimizer_.defaults["momentum"] == 0.8
    assert net.recipe.seed == 7


def test_sampling_follows_the_head():
    sampled = {
        (head, sampling): recipe_of(
            DeepClusterEstimator(head=head, sampling=sampling), (8, 8, 1), (3,), 0
        ).sampling
        for head in ("reset", "prototypes")
        for sampling in ("auto", "uniform", "shuffle")
    }
    assert sampled["reset", "auto"] == "uniform"
    assert sampled["prototypes", "auto"] == "shuffle"
    assert all(sampled[head, s] == s for head, s in sampled if s != "auto")


@pytest.mark.parametrize(
    ("asked", "n_images", "expected"),
    [("auto", 100, 16), ("auto", 1000, 25), ("auto", 50_000, 256), (64, 100, 64)],
)
def test_batches_of_small_sets_are_small(asked, n_images, expected):
    assert batch_size_of(asked, n_images) == expected
