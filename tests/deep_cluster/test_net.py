from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import EpochScoring

from sklearn_kmfeat._deep_cluster.sources import image_batches
from sklearn_kmfeat._inputs.check import check_images

CPU = torch.device("cpu")


def pixels(n=40):
    return np.random.RandomState(0).randint(0, 256, (n, 8, 8)).astype(np.uint8)


@pytest.fixture
def fitted(tiny):
    """Fits a small estimator."""
    return lambda **params: tiny(**params).fit(pixels())


def test_the_new_head_learns_without_momentum(fitted):
    net = fitted(head="reset").net_
    assert net.optimizer_.defaults["momentum"] == 0.9
    assert net.head_optimizer_.defaults["momentum"] == 0
    assert net.head_optimizer_.defaults["lr"] == pytest.approx(0.5)
    in_head = {id(p) for p in net.module_.head.parameters()}
    by_trunk = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    by_head = {id(p) for group in net.head_optimizer_.param_groups for p in group["params"]}
    assert by_head == in_head
    assert by_trunk == {id(p) for p in net.module_.network.parameters()}


@pytest.mark.parametrize(("head", "passes"), [("reset", 2), ("prototypes", 1)])
def test_one_pass_a_step(head, passes, fitted):
    """Images through the network: once an epoch to learn, once to describe where needed."""
    net = fitted(head=head).net_
    counted = []
    net.module_.register_forward_hook(lambda module, inputs, output: counted.append(len(output)))
    net.train(image_batches(check_images(SimpleNamespace(), pixels()), None, CPU)[0], 5)
    assert sum(counted) == 40 * 3 * passes


def test_prototypes_have_one_optimiser(fitted):
    net = fitted(head="prototypes").net_
    assert not hasattr(net, "head_optimizer_")
    learned = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    assert learned == {id(p) for p in net.module_.parameters()}


class Labels(EpochScoring):
    """Which pseudo-labels each epoch had, and what the classifier was when it began."""

    def __init__(self):
        super().__init__(scoring=None)
        self.seen = []

    def initialize(self):
        return self

    def on_epoch_begin(self, net, **kwargs):
        self.seen.append(net.pseudo_labels_.clone())

    def on_epoch_end(self, net, **kwargs):
        pass

    def on_batch_end(self, net, **kwargs):
        pass

    on_train_begin = on_train_end = on_epoch_end


class Rates(Labels):
    """The learning rates of each epoch: of what stays, and of what starts anew."""

    def on_epoch_begin(self, net, **kwargs):
        optimizers = net.optimizer_, getattr(net, "head_optimizer_", None)
        self.seen.append([each.param_groups[0]["lr"] for each in optimizers if each])


def test_learning_rate_falls(head, fitted):
    rates = {}
    for schedule in ("constant", "cosine"):
        watcher = Rates()
        fitted(max_epochs=4, lr_schedule=schedule, head=head, callbacks=[watcher])
        rates[schedule] = np.array(watcher.seen)
    factors = [1, (2 + np.sqrt(2)) / 4, 0.5, (2 - np.sqrt(2)) / 4]
    np.testing.assert_allclose(rates["cosine"][:, 0], rates["constant"][:, 0] * factors)
    # The head starts anew, without momentum, and with the same rate.
    np.testing.assert_array_equal(rates["cosine"][:, 1:], rates["constant"][:, 1:])
    np.testing.assert_allclose(rates["constant"], [[0.05, 0.5][: rates["constant"].shape[1]]] * 4)


def test_clusters_are_made_anew_as_often_as_asked(head, fitted):
    watcher = Labels()
    fitted(max_epochs=5, reassign_every=2, head=head, callbacks=[watcher])
    same = [torch.equal(a, b) for a, b in pairwise(watcher.seen)]
    assert same == [True, False, True, False]


def test_several_classifiers(fitted):
    estimator = fitted(n_pseudo_labels=(4, 7), head="prototypes")
    assert estimator.net_.pseudo_labels_.shape == (2, 40)
    assert estimator.n_pseudo_labels_ == (4, 7)
    assert estimator.net_.pseudo_labels_.max(1).values.tolist() == [3, 6]
    assert fitted(n_pseudo_labels=[4, 7], head="reset").net_.pseudo_labels_.shape == (2, 40)


def test_every_row_of_the_memory_is_written(fitted):
    memory = fitted(head="prototypes").net_.module_.head.memory
    torch.testing.assert_close(memory.norm(dim=1), torch.ones(40))


def test_images_of_a_step(monkeypatch, fitted):
    """Uniform over the clusters, or each image once."""
    from sklearn_kmfeat._deep_cluster import net as module

    drawn = []

    class Recording(module.Batches):
        def __init__(self, order, *args):
            def recorded():
                index = order()
                drawn.append(index)
                return index

            super().__init__(recorded, *args)

    monkeypatch.setattr(module, "Batches", Recording)
    fitted(head="prototypes", sampling="shuffle", max_epochs=1)
    # The embeddings, the first projections, the epoch.
    assert [torch.equal(d.sort().values, torch.arange(40)) for d in drawn[:3]] == [True] * 3
    drawn.clear()
    net = fitted(head="reset", sampling="uniform", max_epochs=1).net_
    shares = torch.bincount(net.pseudo_labels_[0][drawn[1]], minlength=6)
    assert shares[shares > 0].max() <= 40 // int((shares > 0).sum()) + 1
