import numpy as np
import pytest
import torch
from torch import nn

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster.networks import NETWORKS
from sklearn_kmfeat._deep_cluster.parameters import class_indices, clusters_projections
from sklearn_kmfeat._deep_cluster.views import AUGMENTATIONS, RandomView


def test_how_many_pseudo_labels(tiny, images):
    X, _ = images(n=60)
    assert tiny(n_pseudo_labels="auto").fit(X).n_pseudo_labels_ == (6,)
    assert tiny(n_pseudo_labels="auto", n_clusters=8).fit(X).n_pseudo_labels_ == (8,)
    for wrong in (61, (3, 0), (2.5,), ()):
        with pytest.raises(ValueError, match="n_pseudo_labels must be ints from 1 to"):
            tiny(n_pseudo_labels=wrong).fit(X)
    with pytest.raises(ValueError, match=r"n_samples=2 should be >= 3"):
        tiny().fit(X[:2])


@pytest.mark.parametrize(
    ("head", "space", "n_channels", "expected"),
    [
        ("reset", "auto", 3, False),
        ("prototypes", "auto", 3, True),
        ("prototypes", "auto", 1, False),
        ("prototypes", "projection", 1, True),
        ("prototypes", "embedding", 3, False),
    ],
)
def test_where_the_final_clusters_are(head, space, n_channels, expected, tiny):
    estimator = tiny(head=head, cluster_space=space)
    assert clusters_projections(estimator, (8, 8, n_channels)) is expected


def test_classes_of_any_kind():
    assert class_indices(None, 3) is None
    assert class_indices(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="y has 3 classes for 4 images"):
        class_indices([1, 2, 3], 4)


def test_names_entered_later_are_accepted(tiny, images, monkeypatch):
    X, _ = images()
    params = {"module": "flat", "augment": "negative", "net_params": None}
    with pytest.raises(ValueError, match=r"'augment' parameter .* among .*'default'"):
        tiny(**params).fit(X)
    monkeypatch.setitem(AUGMENTATIONS, "negative", Negative)
    with pytest.raises(ValueError, match="'module' parameter of DeepClusterEstimator must be"):
        tiny(**params).fit(X)
    monkeypatch.setitem(NETWORKS, "flat", flat)
    fit = tiny(**params).fit(X)
    assert isinstance(fit.net_.recipe.augment, Negative)
    np.testing.assert_array_equal(fit.predict(X), fit.labels_)


def flat(in_channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], 4))


class Negative(RandomView):
    """Some images with dark and bright exchanged, in place of another geometry."""

    def draw(self, n):
        return 1.0 - 2.0 * (torch.rand(n) < 0.5)

    def transform(self, images, params):
        return images * params["maps"][:, None, None, None]


@pytest.mark.parametrize("callbacks", [["tqdm"], [None], [("name", "tqdm")], [3]])
def test_callbacks_that_are_none(callbacks):
    estimator = DeepClusterEstimator(2, callbacks=callbacks)
    with pytest.raises(TypeError, match=r"callbacks of skorch.*got .*For a progress bar"):
        estimator.fit(np.zeros((4, 8, 8), np.uint8))
