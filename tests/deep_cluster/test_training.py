"""What happens after each epoch, and what ends a fit early."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from torch import nn


class Interrupt:
    """An augmentation at which the user loses patience."""

    def __init__(self, at):
        self.at = at
        self.n_calls = 0

    def __call__(self, batch):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return batch


def test_ctrl_c_keeps_the_last_whole_epoch(tiny, images, assert_same_fit):
    X, _ = images()
    whole = tiny(head="reset", augment=None, max_epochs=2).fit(X)
    # Three steps an epoch.
    with pytest.warns(ConvergenceWarning, match="state after 2 of 5 epochs"):
        stopped = tiny(head="reset", augment=Interrupt(8), max_epochs=5).fit(X)
    assert stopped.n_iter_ == 2
    assert_same_fit(stopped, whole)
    before = dict(vars(stopped))
    stopped.augment.n_calls = 6
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X)
    assert vars(stopped) == before


def test_skorch_callbacks_stop(tiny, images):
    from skorch.callbacks import EarlyStopping

    X, _ = images()
    stop = EarlyStopping(monitor="loss", patience=1, threshold=1e9, sink=lambda text: None)
    with pytest.warns(ConvergenceWarning, match="state after 2 of 9 epochs"):
        assert tiny(callbacks=[stop], max_epochs=9).fit(X).n_iter_ == 2


def test_progress(capsys, tiny, images):
    X, _ = images()
    tiny(verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "epoch 1/2 [##########..........] loss " in lines[0]
    assert "NMI" not in lines[0]
    assert "NMI" in lines[1]
    assert "0:00 left" in lines[1]


def test_callbacks_of_scikit_learn(tiny, images):
    from sklearn.callback import ScoringMonitor

    X, _ = images()
    estimator = tiny()
    monitor = ScoringMonitor(scoring=lambda est, X, y=None: len(set(est.predict(X))))
    estimator.set_callbacks(monitor)
    estimator.fit(X)


def test_collapse_is_told(head, tiny, images):
    X = np.repeat(images(n=2)[0], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match="clusters are empty"):
        tiny(head=head, n_clusters=2, augment=None).fit(X)


def flat(in_channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], 4))


def test_divergence_is_an_error(tiny, images):
    X, _ = images()
    with pytest.raises(ValueError, match=r"loss became (nan|inf) in epoch [123]: try a smaller lr"):
        tiny(module=flat, net_params=None, lr=1e20, max_epochs=3).fit(X)
