import numpy as np
import pytest
import torch

from sklearn_kmfeat._deep_cluster.reassign import reassign
from sklearn_kmfeat._deep_cluster.sources import image_batches
from sklearn_kmfeat._inputs.check import check_images


@pytest.fixture
def trained(tiny, images, head):
    """A net after two epochs, its images, and their kinds."""
    X, kinds = images()
    fit = tiny(head=head).fit(X)
    batches, _ = image_batches(check_images(fit, X, reset=False), None, torch.device("cpu"))
    return fit.net_, batches, kinds


def test_new_pseudo_labels(trained, head):
    net, batches, kinds = trained
    before = net.pseudo_labels_.clone()
    measured = reassign(net, batches, np.random.RandomState(3), None)
    assert net.pseudo_labels_.shape == (1, 40)
    assert not torch.equal(net.pseudo_labels_, before)
    assert 0 < measured["nmi"] < 1
    assert measured["largest"] == torch.bincount(net.pseudo_labels_[0]).max() / 40
    assert measured["spread"] > 0
    assert "nmi_true" not in measured
    if net.module_.head.restarts:
        assert not net.head_optimizer_.state
    again = reassign(net, batches, np.random.RandomState(3), kinds)
    assert again["nmi"] == pytest.approx(1)
    assert {"nmi_true", "purity_true"} <= again.keys()


def test_rows_of_the_head_are_clustered_without_a_pass_over_the_images(trained, head):
    net, batches, _ = trained
    n_passes = []
    net.module_.register_forward_hook(lambda module, inputs, output: n_passes.append(1))
    reassign(net, batches, np.random.RandomState(0), None)
    assert bool(n_passes) == (net.module_.head.rows_to_cluster() is None)


def test_the_first_clusters_are_those_of_the_embeddings(trained):
    net, batches, _ = trained
    net.pseudo_labels_ = None
    buffers = [getattr(net.module_.head, name) for name in net.module_.head.per_image_buffers]
    for buffer in buffers:
        buffer.zero_()
    measured = reassign(net, batches, np.random.RandomState(0), None)
    assert np.isnan(measured["nmi"])
    assert all(buffer.any(1).all() for buffer in buffers)
