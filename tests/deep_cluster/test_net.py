from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import EpochScoring

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster.net import Batches, own_generators, seed_generators
from sklearn_kmfeat._deep_cluster.sources import source_of
from sklearn_kmfeat._inputs.check import check_images

TINY = {
    "n_clusters": 3,
    "n_pseudo_labels": 6,
    "batch_size": 16,
    "max_epochs": 2,
    "net_params": {"module__width": 4},
    "random_state": 0,
}


def images(n=40):
    return np.random.RandomState(0).randint(0, 256, (n, 8, 8)).astype(np.uint8)


def source():
    return source_of(check_images(SimpleNamespace(), images()), None, torch.device("cpu"))[0]


def fitted(**params):
    return DeepClusterEstimator(**(TINY | params)).fit(images())


def test_batches_are_even():
    batches = list(Batches(lambda: torch.arange(33), 33, 16))
    assert [len(b) for b in batches] == [11, 11, 11]
    assert torch.equal(torch.cat(batches), torch.arange(33))
    assert len(Batches(None, 33, 16)) == 3


def test_generators_are_put_back():
    before = torch.get_rng_state()
    with own_generators(torch.device("cpu")):
        seed_generators(3, torch.device("cpu"))
        first = torch.rand(2)
        seed_generators(3, torch.device("cpu"))
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_new_head_learns_without_momentum():
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
def test_one_pass_a_step(head, passes):
    """Images through the network: once an epoch to learn, once to describe where needed."""
    net = fitted(head=head).net_
    counted = []
    net.module_.register_forward_hook(lambda module, inputs, output: counted.append(len(output)))
    net.train(source(), 5)
    assert sum(counted) == 40 * 3 * passes


def test_prototypes_have_one_optimiser():
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
        self.seen.append(net.labels_.clone())

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


@pytest.mark.parametrize("head", ["reset", "prototypes"])
def test_learning_rate_falls(head):
    rates = {}
    for schedule in ("constant", "cosine"):
        watcher = Rates()
        fitted(max_epochs=4, lr_schedule=schedule, head=head, callbacks=[watcher])
        rates[schedule] = np.array(watcher.seen)
    factors = [1, (2 + np.sqrt(2)) / 4, 0.5, (2 - np.sqrt(2)) / 4]
    np.testing.assert_allclose(rates["cosine"], rates["constant"] * np.c_[factors])
    # The head starts anew, without momentum.
    np.testing.assert_allclose(rates["constant"], [[0.05, 0.5][: rates["constant"].shape[1]]] * 4)


@pytest.mark.parametrize("head", ["reset", "prototypes"])
def test_clusters_are_made_anew_as_often_as_asked(head):
    watcher = Labels()
    DeepClusterEstimator(
        **(TINY | {"max_epochs": 5, "reassign_every": 2, "head": head, "callbacks": [watcher]})
    ).fit(images())
    same = [torch.equal(a, b) for a, b in pairwise(watcher.seen)]
    assert same == [True, False, True, False]


def test_several_classifiers():
    estimator = fitted(n_pseudo_labels=(4, 7), head="prototypes")
    assert estimator.net_.labels_.shape == (2, 40)
    assert estimator.n_pseudo_labels_ == (4, 7)
    assert estimator.net_.labels_.max(1).values.tolist() == [3, 6]
    assert fitted(n_pseudo_labels=[4, 7], head="reset").net_.labels_.shape == (2, 40)


def test_every_place_of_the_bank_is_written():
    bank = fitted(head="prototypes").net_.module_.head.bank
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(40))


def test_images_of_a_step(monkeypatch):
    """Uniform over the clusters, or each image once."""
    from sklearn_kmfeat._deep_cluster import net as module

    drawn = []

    class Seen(module.Batches):
        def __init__(self, order, n_images, batch_size):
            def told():
                places = order()
                drawn.append(places)
                return places

            super().__init__(told, n_images, batch_size)

    monkeypatch.setattr(module, "Batches", Seen)
    fitted(head="prototypes", sampling="shuffle", max_epochs=1)
    # Statistics of the bank, the epoch, the description at the end.
    assert [torch.equal(d.sort().values, torch.arange(40)) for d in drawn[:3]] == [True] * 3
    drawn.clear()
    net = fitted(head="reset", sampling="uniform", max_epochs=1).net_
    shares = torch.bincount(net.labels_[0][drawn[1]], minlength=6)
    assert shares[shares > 0].max() <= 40 // int((shares > 0).sum()) + 1


def test_state_goes_back():
    net = fitted().net_
    state = net.state()
    with torch.no_grad():
        for p in net.module_.parameters():
            p.zero_()
    net.load_state(state)
    assert any(p.any() for p in net.module_.parameters())
    assert [row["epoch"] for row in net.history] == [1, 2]
