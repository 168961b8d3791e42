"""Fits that go on: from a checkpoint, or from the last fit."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sklearn_kmfeat._deep_cluster import checkpoint_file
from sklearn_kmfeat._deep_cluster.checkpoint_file import reserved


def n_epochs_in(path):
    (run,) = torch.load(path, weights_only=True)["state"]["runs"]
    return len(run["records"])


def test_warm_start_goes_on(head, tiny, images, assert_same_fit):
    X, _ = images()
    whole = tiny(head=head, max_epochs=4).fit(X)
    parts = tiny(head=head, max_epochs=2, warm_start=True).fit(X)
    parts.set_params(max_epochs=4).fit(X)
    assert_same_fit(whole, parts)
    assert [r["epoch"] for r in parts.history_] == [1, 2, 3, 4]
    other = images(n=50)[0]
    assert parts.set_params(max_epochs=5).fit(other).labels_.shape == (50,)
    with pytest.raises(ValueError, match="warm_start goes on with the network of the last fit"):
        parts.set_params(n_pseudo_labels=7).fit(X)


def test_warm_start_on_other_images_of_the_same_number(head, tiny, images):
    X, _ = images()
    other = 255 - X
    warm = tiny(head=head, warm_start=True, reassign_every=3).fit(X)
    labels = warm.net_.pseudo_labels_
    warm.set_params(max_epochs=3).fit(other)
    assert np.isnan(warm.history_[2]["nmi"])
    assert not torch.equal(warm.net_.pseudo_labels_, labels)
    more = np.concatenate([other, other[-1:]])
    assert warm.set_params(max_epochs=4).fit(more).net_.pseudo_labels_.shape == (1, 41)


def test_warm_start_takes_new_rates(tiny, images):
    X, _ = images()
    warm = tiny(warm_start=True, lr_schedule="cosine").fit(X)
    changed = {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.1, "lr_schedule": "constant"}
    warm.set_params(max_epochs=3, **changed).fit(X)
    (group,) = warm.net_.optimizer_.param_groups
    assert [group[name] for name in ("lr", "momentum", "weight_decay")] == [0.001, 0.5, 0.1]
    for other in (torch.optim.Adam, torch.optim.RMSprop):
        with pytest.raises(ValueError, match="warm_start goes on with the network of the last fit"):
            warm.set_params(max_epochs=4, optimizer=other).fit(X)


def test_more_epochs_were_done_than_asked_for(tiny, images):
    X, _ = images()
    warm = tiny(warm_start=True).fit(X)
    with pytest.warns(ConvergenceWarning, match="There were more before.*after 2 of 1 epochs"):
        warm.set_params(max_epochs=1).fit(X)


def test_checkpoint_goes_on(tmp_path, tiny, images, assert_same_fit):
    X, _ = images()
    path = tmp_path / "run.pt"
    whole = tiny(max_epochs=4).fit(X)
    tiny(max_epochs=2, checkpoint=path).fit(X)
    assert n_epochs_in(path) == 2
    assert_same_fit(tiny(max_epochs=4, checkpoint=str(path)).fit(X), whole)
    assert_same_fit(tiny(max_epochs=4, checkpoint=path).fit(X), whole)


def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.BatchNorm1d(8), nn.ReLU())


@pytest.mark.parametrize(
    "params",
    [
        {"lr": np.float64(0.05), "head": np.str_("reset")},
        {"module": lazy, "net_params": None},
        {"module": lazy(), "net_params": None},
        {"net_params": {"module__width": 4, "optimizer__nesterov": np.bool_(True)}},
        {"net_params": {"module__width": 4, "head_optimizer__momentum": 0.5}},
        {"head": "reset", "reassign_every": 3, "optimizer": torch.optim.AdamW, "lr": 0.01},
    ],
)
def test_checkpoints_of_all_kinds_of_parameters(params, tmp_path, tiny, images, assert_same_fit):
    X, _ = images()
    path = tmp_path / "run.pt"
    tiny(max_epochs=2, checkpoint=path, **params).fit(X)
    gone_on = tiny(max_epochs=4, checkpoint=path, **params).fit(X)
    assert_same_fit(gone_on, tiny(max_epochs=4, **params).fit(X))


class Own(nn.Module):
    def __init__(self, in_channels, width=5):
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.norm(self.first(x)).relu()


def test_a_network_of_other_weights_goes_on_from_a_checkpoint(
    tmp_path, tiny, images, assert_same_fit
):
    X, _ = images()
    path = tmp_path / "run.pt"
    first = tiny(module=Own(1), net_params=None, checkpoint=path).fit(X)
    assert_same_fit(tiny(module=Own(1), net_params=None, checkpoint=path).fit(X), first)


class InterruptEpoch(Callback):
    """The user loses patience in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.records_) + 1 == self.epoch:
            raise KeyboardInterrupt


def test_checkpoint_of_a_falling_rate(tmp_path, tiny, images, assert_same_fit):
    X, _ = images()
    path = tmp_path / "run.pt"
    params = {"lr_schedule": "cosine", "max_epochs": 4}
    whole = tiny(**params).fit(X)
    with pytest.warns(ConvergenceWarning, match="state after 2 of 4 epochs"):
        tiny(**params, checkpoint=path, callbacks=[InterruptEpoch(3)]).fit(X)
    assert_same_fit(tiny(**params, checkpoint=path).fit(X), whole)
    with pytest.raises(ValueError, match="max_epochs was 4, now it is 5"):
        tiny(**(params | {"max_epochs": 5}), checkpoint=path).fit(X)


def test_checkpoint_without_a_seed_keeps_its_own(tmp_path, tiny, images, assert_same_fit):
    X, _ = images()
    first = tiny(random_state=None, checkpoint=tmp_path / "run.pt").fit(X)
    assert_same_fit(tiny(random_state=None, checkpoint=tmp_path / "run.pt").fit(X), first)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.01}, r"lr was 0\.05, now it is 0\.01"),
        ({"random_state": 1}, "random_state was 0, now it is 1"),
        ({"module": "resnet18", "net_params": None}, "module was 'small', now it is 'resnet18'"),
        ({"n_pseudo_labels": 7}, r"n_pseudo_labels was \(6,\), now it is \(7,\)"),
    ],
)
def test_foreign_checkpoint(params, message, tmp_path, tiny, images):
    X, _ = images()
    path = tmp_path / "run.pt"
    tiny(max_epochs=1, checkpoint=path).fit(X)
    with pytest.raises(ValueError, match=f"belongs to another run.*{message}"):
        tiny(checkpoint=path, **params).fit(X)


def test_checkpoint_of_other_images(tmp_path, tiny, images):
    X, _ = images()
    path = tmp_path / "run.pt"
    tiny(max_epochs=1, checkpoint=path).fit(X)
    with pytest.raises(ValueError, match=r"another run.*checksum of images"):
        tiny(checkpoint=path).fit(X[::-1])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        tiny(checkpoint=path).fit(X)


def test_two_of_many_images_that_changed(tmp_path, tiny, images):
    X, _ = images((4, 4), n=2_500)
    path = tmp_path / "run.pt"
    params = {"batch_size": 500, "module": narrow, "net_params": None, "max_epochs": 1}
    fit = tiny(checkpoint=path, **params).fit(X)
    X[[101, 2_001], 0, 0] ^= 1
    with pytest.raises(ValueError, match=r"another run.*checksum of images"):
        tiny(checkpoint=path, **params).fit(X)
    fit.set_params(checkpoint=None, warm_start=True, max_epochs=2).fit(X)
    assert np.isnan(fit.history_[1]["nmi"])


def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))


# Where the checkpoint is, and who writes it


class MoveAway(Callback):
    """Something changes the current folder in the first epoch."""

    def __init__(self, folder):
        self.folder = folder

    def on_batch_end(self, net, **kwargs):
        os.chdir(self.folder)


def test_a_relative_path_is_that_of_the_beginning(tmp_path, monkeypatch, tiny, images):
    X, _ = images()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    estimator = tiny(checkpoint="run.pt", callbacks=[MoveAway(tmp_path / "other")]).fit(X)
    assert {p.name for p in tmp_path.iterdir()} == {"run.pt", "other"}
    assert list((tmp_path / "other").iterdir()) == []
    assert estimator.checkpoint == "run.pt"
    assert (
        len(torch.load(tmp_path / "run.pt", weights_only=True)["state"]["runs"][0]["records"]) == 2
    )


def no_views(batch):
    pytest.fail("The first epoch has begun.")


@pytest.mark.parametrize("place", ["nowhere/run.pt", ".", 256 * "n"])
def test_the_place_is_checked_before_the_first_epoch(place, tmp_path, tiny, images):
    X, _ = images()
    with pytest.raises(OSError, match=r"The checkpoint .* cannot be written"):
        tiny(checkpoint=tmp_path / place, augment=no_views).fit(X)


def test_a_second_fit_finds_the_first(tmp_path, tiny, images):
    X, _ = images()
    path = tmp_path / "run.pt"
    search = GridSearchCV(
        tiny(checkpoint=path, augment=no_views), {"lr": [0.05]}, cv=2, error_score="raise"
    )
    with reserved(path), pytest.raises(BlockingIOError, match=r"run\.pt' belongs to another fit"):
        search.fit(X)
    assert tiny(checkpoint=path).fit(X).n_iter_ == 2
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_fit_that_fails_lets_the_next_one_run(tmp_path, tiny, images):
    X, _ = images()
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        tiny(checkpoint=path, callbacks=[InterruptEpoch(1)]).fit(X)
    assert list(tmp_path.iterdir()) == []
    estimator = tiny(checkpoint=path, warm_start=True).fit(X)
    restored = pickle.loads(pickle.dumps(estimator)).set_params(max_epochs=3)
    assert restored.fit(X).n_iter_ == 3


RUNS = """
    import sys, time
    import numpy as np
    from sklearn_kmfeat import DeepClusterEstimator
    from skorch.callbacks import Callback

    class Wait(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.records_) == 2:
                print("in the third epoch", flush=True)
                time.sleep(100)

    X = np.load(sys.argv[1])
    DeepClusterEstimator(
        n_clusters=3, n_pseudo_labels=6, batch_size=16, max_epochs=4, lr_schedule="constant",
        net_params={"module__width": 4}, random_state=0, checkpoint=sys.argv[2],
        callbacks=[Wait()],
    ).fit(X)
"""


def test_a_killed_run_goes_on(tmp_path, tiny, images, assert_same_fit):
    X, _ = images()
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "run.pt"
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUNS), str(tmp_path / "X.npy"), str(path)],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        try:
            assert run.stdout.readline() == "in the third epoch\n"
            if checkpoint_file.fcntl is not None:
                with pytest.raises(BlockingIOError, match="another fit that is still running"):
                    tiny(max_epochs=4, checkpoint=path, augment=no_views).fit(X)
        finally:
            run.kill()
    assert run.returncode == -signal.SIGKILL
    assert n_epochs_in(path) == 2
    assert_same_fit(tiny(max_epochs=4, checkpoint=path).fit(X), tiny(max_epochs=4).fit(X))
    assert [p.name for p in path.parent.iterdir()] == ["run.pt"]
