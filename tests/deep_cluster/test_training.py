"""What happens after each epoch, and what ends a fit early."""

import numpy as np
import pytest
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from torch import nn


class Interrupt:
    """An augmentation at which the user interrupts."""

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


class Watcher:
    """A callback of scikit-learn that looks at the estimator after each epoch."""

    def __init__(self, last_epoch=None):
        self.last_epoch = last_epoch
        self.fits = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None, **others):
        if fitted_estimator is None:
            return False
        n_epochs = fitted_estimator.n_iter_
        self.fits.append((n_epochs, fitted_estimator.labels_, fitted_estimator.predict(X)))
        return n_epochs == self.last_epoch


def test_callbacks_of_scikit_learn(tiny, images, assert_same_fit):
    X, y = images()
    plain, estimator, watcher = tiny(), tiny(), Watcher()
    monitor = ScoringMonitor(scoring="normalized_mutual_info_score")
    estimator.set_callbacks(monitor, watcher)
    assert_same_fit(estimator.fit(X, y), plain.fit(X, y))
    # After each of the two epochs, and after the fit.
    assert [n_epochs for n_epochs, _, _ in watcher.fits] == [1, 2, 2]
    for _, labels, predicted in watcher.fits:
        np.testing.assert_array_equal(predicted, labels)
    np.testing.assert_array_equal(watcher.fits[-1][1], plain.labels_)
    np.testing.assert_array_equal(watcher.fits[0][1], tiny(max_epochs=1).fit(X).labels_)
    names = [row["task_name"] for row in monitor.get_logs().data]
    assert names.count("epoch step") == 2


def test_callbacks_of_scikit_learn_stop(tiny, images, assert_same_fit):
    X, _ = images()
    estimator = tiny(max_epochs=9)
    estimator.set_callbacks(Watcher(last_epoch=2))
    assert_same_fit(estimator.fit(X), tiny(max_epochs=2).fit(X))


def test_collapse_warns(head, tiny, images):
    X = np.repeat(images(n=2)[0], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match="clusters are empty"):
        tiny(head=head, n_clusters=2, augment=None).fit(X)


def flat(in_channels, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], 4))


def test_divergence_is_an_error(tiny, images):
    X, _ = images()
    with pytest.raises(ValueError, match=r"loss became (nan|inf) in epoch [123]: try a smaller lr"):
        tiny(module=flat, net_params=None, lr=1e20, max_epochs=3).fit(X)
