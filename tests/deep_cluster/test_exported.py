import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.exceptions import NotFittedError

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster.exported import OUTPUTS, Distances


def tensor(X):
    X = X if X.ndim == 4 else X[..., None]
    return torch.from_numpy(X).permute(0, 3, 1, 2)


def run(module, X):
    with torch.no_grad():
        return module(X).numpy()


@pytest.mark.parametrize("cluster_space", ["embedding", "projection"])
@pytest.mark.parametrize("shape", [(8, 8), (9, 8, 3)])
def test_outputs(tiny, images, cluster_space, shape):
    X, _ = images(shape)
    estimator = tiny(head="prototypes", cluster_space=cluster_space).fit(X)
    distances = run(estimator.to_torch(), tensor(X))
    np.testing.assert_array_equal(distances.argmin(1), estimator.labels_)
    clusters = run(estimator.to_torch("clusters"), tensor(X))
    assert clusters.dtype == np.int64
    np.testing.assert_array_equal(clusters, estimator.predict(X))
    embeddings = run(estimator.to_torch("embedding"), tensor(X))
    np.testing.assert_allclose(embeddings, estimator.transform(X), rtol=1e-5, atol=1e-5)
    estimator.set_params(layer="clusters")
    coordinates = estimator.transform(X)
    found = run(estimator.to_torch("transform"), tensor(X))
    np.testing.assert_allclose(found, coordinates, atol=1e-4 * np.abs(coordinates).max())
    expected = cdist(coordinates, estimator.cluster_centers_)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)


@pytest.mark.parametrize("layer", ["conv2", "fc", "embedding"])
def test_layers(tiny, images, head, layer):
    X, _ = images()
    estimator = tiny(head=head, layer=layer).fit(X)
    found = run(estimator.to_torch("transform"), tensor(X))
    np.testing.assert_allclose(found, estimator.transform(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (6, 12), (20, 11)])
def test_other_sizes(tiny, images, size):
    X, _ = images((12, 10))
    estimator = tiny(input_size=size).fit(X)
    found = run(estimator.to_torch("embedding"), tensor(X))
    np.testing.assert_allclose(found, estimator.transform(X), rtol=1e-5, atol=1e-5)
    traced = torch.export.export(estimator.to_torch("embedding"), (tensor(X),)).module()
    np.testing.assert_allclose(run(traced, tensor(X)), found, rtol=1e-5, atol=1e-5)


def test_rows_are_images_of_one_pixel(tiny):
    X = np.random.RandomState(0).rand(40, 5)
    estimator = tiny(module=lambda in_channels: torch.nn.Conv2d(in_channels, 4, 1), net_params=None)
    estimator.fit(X)
    found = run(estimator.to_torch("clusters"), torch.from_numpy(X))
    np.testing.assert_array_equal(found, estimator.labels_)


def test_the_estimator_stays(tiny, images, head):
    X, _ = images()
    estimator = tiny(head=head).fit(X)
    before = estimator.transform(X), estimator.predict(X)
    module = estimator.to_torch()
    assert not any(part.training for part in module.modules())
    with torch.no_grad():
        for each in (*module.parameters(), *module.buffers()):
            each.fill_(0)
    np.testing.assert_array_equal(estimator.transform(X), before[0])
    np.testing.assert_array_equal(estimator.predict(X), before[1])


def test_what_a_module_holds(tiny, images):
    """Nothing of each training image."""
    X, _ = images()
    estimator = tiny(head="prototypes", cluster_space="projection").fit(X)
    module = estimator.to_torch()
    assert len(estimator.net_.module_.head.memory) == len(X)
    assert module[1].head.memory.numel() == 0
    names = {name.split(".")[0] for name, _ in estimator.to_torch("embedding").named_parameters()}
    assert names == {"network"}


def test_it_can_be_trained(tiny, images):
    X, _ = images()
    module = tiny(head="prototypes", cluster_space="projection").fit(X).to_torch()
    module(tensor(X)).amin(1).square().mean().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()


def test_distances_far_from_zero_and_at_a_center():
    centers = np.random.RandomState(0).rand(4, 6).astype(np.float32) + 10_000
    rows = torch.tensor(np.concatenate([centers, centers + 0.5])).requires_grad_()
    found = Distances(torch.tensor(centers))(rows)
    expected = cdist(rows.detach().double(), centers.astype(float))
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-5)
    found.sum().backward()
    assert rows.grad.isfinite().all()


def test_errors(tiny, images):
    with pytest.raises(NotFittedError):
        DeepClusterEstimator().to_torch()
    estimator = tiny().fit(images()[0])
    with pytest.raises(ValueError, match=r"output must be one of .*'distances'.* got 'logits'"):
        estimator.to_torch("logits")
    estimator.set_params(layer="conv9")
    for output in set(OUTPUTS) - {"transform"}:
        estimator.to_torch(output)
    with pytest.raises(ValueError, match=r"'conv9' is no layer"):
        estimator.to_torch("transform")
