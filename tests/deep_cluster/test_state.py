import copy

import pytest
import torch

from sklearn_kmfeat._deep_cluster.state import optimizers_of, restore, state_of


def equal(a, b):
    """Whether two states hold the same."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == b or (a != a and b != b)


def trample(net):
    """Change everything that learning changes."""
    with torch.no_grad():
        for tensor in net.module_.state_dict().values():
            tensor.zero_()
        for optimizer in optimizers_of(net):
            optimizer.param_groups[0]["lr"] = 7
            for buffers in optimizer.state.values():
                for name, value in buffers.items():
                    buffers[name] = None if value is None else torch.zeros_like(value)
    net.pseudo_labels_ = net.pseudo_labels_ + 1
    net.records_.clear()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_state_goes_back(head, optimizer, tiny, images):
    net = tiny(head=head, optimizer=optimizer, lr=0.01).fit(images()[0]).net_
    state = state_of(net)
    kept = copy.deepcopy(state)
    trample(net)
    assert equal(state, kept)
    now = state_of(net)
    for name in ("module", "optimizers", "pseudo_labels", "records"):
        assert not equal(now[name], kept[name])
    restore(net, state)
    assert any(p.any() for p in net.module_.parameters())
    assert equal(state_of(net), kept)
    assert any(each["state"] for each in kept["optimizers"])
    assert [row["epoch"] for row in net.history] == [1, 2]
    trample(net)
    assert equal(state, kept)


def test_rates_may_be_kept(tiny, images):
    X, _ = images()
    state = state_of(tiny(lr=0.01, lr_schedule="cosine").fit(X).net_)
    net = tiny(lr=0.5, momentum=0.1).fit(X).net_
    restore(net, state, keep_rates=True)
    (group,) = net.optimizer_.param_groups
    assert (group["lr"], group["momentum"]) == (0.5, 0.1)
    assert "initial_lr" not in group
    restore(net, state)
    (group,) = net.optimizer_.param_groups
    assert (group["initial_lr"], group["momentum"]) == (0.01, 0.9)


def test_state_of_another_optimizer(tiny, images):
    X, _ = images()
    net = tiny(max_epochs=1).fit(X).net_
    other = tiny(max_epochs=1, optimizer=torch.optim.Adam).fit(X).net_
    with pytest.raises(ValueError, match="The optimizer was Adam"):
        restore(net, state_of(other))
