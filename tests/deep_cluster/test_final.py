import numpy as np
import pytest
import torch

from sklearn_kmfeat._deep_cluster.final import fitted_attributes
from sklearn_kmfeat._deep_cluster.sources import image_batches
from sklearn_kmfeat._inputs.check import check_images


@pytest.mark.parametrize(("n_clusters", "n_components"), [(2, 6), (4, 8)])
@pytest.mark.parametrize("on_projection", [False, True])
def test_space_of_the_clusters(on_projection, n_clusters, n_components, tiny, images):
    X, _ = images()
    fit = tiny(head="prototypes").fit(X)
    batches, shape = image_batches(check_images(fit, X, reset=False), None, torch.device("cpu"))
    attributes = fitted_attributes(fit.net_, batches, shape, n_clusters, on_projection)
    assert attributes["cluster_centers_"].shape == (n_clusters, n_components)
    assert set(attributes["labels_"]) == set(range(n_clusters))
    assert attributes["_space"]["unit_length"] is not on_projection
    assert attributes["n_iter_"] == len(attributes["history_"]) == 2


def test_attributes_of_a_net_are_those_of_its_fit(tiny, images, head):
    X, _ = images()
    fit = tiny(head=head).fit(X)
    batches, shape = image_batches(check_images(fit, X, reset=False), None, torch.device("cpu"))
    attributes = fitted_attributes(fit.net_, batches, shape, 3, on_projection=False)
    assert attributes.keys() == {name for name in vars(fit) if name in attributes}
    for name in ("labels_", "cluster_centers_", "filters_"):
        np.testing.assert_array_equal(attributes[name], getattr(fit, name))
