"""Several runs of one fit: which is kept, and how they go on."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import EarlyStopping

from sklearn_kmfeat._deep_cluster.recipe import seed_of_run
from sklearn_kmfeat._deep_cluster.runs import most_agreeing

# Images (40) make three steps of an epoch in `tiny`, of which `max_epochs` is two.
STEPS_OF_A_RUN = 6


class Drawn(np.random.RandomState):
    """Draws one number only."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def randint(self, *limits):
        return self.number


class Views:
    """Views that are the images, counted; at one of them the user interrupts."""

    def __init__(self, at=None):
        self.at = at
        self.n_calls = 0

    def __call__(self, batch):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return batch


@pytest.fixture
def noise():
    """Images without clusters, of which runs differ."""
    return np.random.RandomState(0).randint(0, 256, (40, 8, 8), dtype=np.uint8)


def drawn_from(random_state):
    return np.random.RandomState(random_state).randint(2**31 - 1)


def test_the_run_that_agrees_most_is_kept(head, tiny, noise, assert_same_fit):
    # With this seed the first run is not the one, with either head.
    params = {"head": head, "random_state": 9}
    seeds = [seed_of_run(drawn_from(9), i) for i in range(4)]
    runs = [tiny(head=head, random_state=Drawn(seed)).fit(noise) for seed in seeds]
    assert_same_fit(runs[0], tiny(**params).fit(noise))
    labels = [run.labels_ for run in runs]
    agreement = [[adjusted_rand_score(a, b) for a in labels] for b in labels]
    best = np.argmax(np.sum(agreement, 0))
    assert best > 0
    kept = tiny(n_init=4, **params).fit(noise)
    np.testing.assert_allclose(kept.agreement_, agreement)
    assert_same_fit(kept, runs[best])
    assert kept.inertia_ == runs[best].inertia_
    losses = [[record["loss"] for record in fit.history_] for fit in (kept, runs[best])]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(kept.predict(noise), kept.labels_)


def test_one_run_agrees_with_itself(tiny, images):
    np.testing.assert_array_equal(tiny().fit(images()[0]).agreement_, [[1.0]])


def test_of_equal_agreement_the_lower_inertia():
    a, b = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 2])
    assert most_agreeing([a, b], [2.0, 1.0])[0] == 1
    assert most_agreeing([a, b], [1.0, 2.0])[0] == 0
    best, matrix = most_agreeing([a, b, b], [0.0, 2.0, 1.0])
    assert best == 2
    np.testing.assert_array_equal(matrix[1:, 1:], 1)


def test_a_given_random_state_draws_once(tmp_path, tiny, noise, assert_same_fit):
    fits, left = [], []
    for params in ({}, {"checkpoint": tmp_path / "run.pt"}, {"checkpoint": tmp_path / "run.pt"}):
        rng = np.random.RandomState(0)
        fits.append(tiny(random_state=rng, n_init=2, **params).fit(noise))
        left.append(rng.randint(1000))
    rng = np.random.RandomState(0)
    tiny(random_state=rng).fit(noise)
    assert {*left, rng.randint(1000)} == {left[0]}
    for fit in fits[1:]:
        assert_same_fit(fits[0], fit)


def test_more_and_fewer_runs_go_on_from_a_checkpoint(tmp_path, tiny, noise, assert_same_fit):
    path = tmp_path / "run.pt"
    views = Views()
    params = {"augment": views, "checkpoint": path}
    whole = tiny(n_init=3, augment=None).fit(noise)
    one = tiny(**params).fit(noise)
    assert_same_fit(tiny(n_init=3, **params).fit(noise), whole)
    assert_same_fit(tiny(n_init=3, **params).fit(noise), whole)
    assert_same_fit(tiny(**params).fit(noise), one)
    assert views.n_calls == 3 * STEPS_OF_A_RUN
    # More epochs of the first one do not lose the others.
    tiny(max_epochs=3, **params).fit(noise)
    more = tiny(n_init=3, max_epochs=3, **params).fit(noise)
    assert_same_fit(more, tiny(n_init=3, max_epochs=3, augment=None).fit(noise))
    assert views.n_calls == 3 * STEPS_OF_A_RUN // 2 * 3


@pytest.mark.parametrize("step", [STEPS_OF_A_RUN + 2, STEPS_OF_A_RUN + 5])
def test_an_interrupt_in_a_later_run(step, tmp_path, tiny, noise, assert_same_fit):
    path = tmp_path / "run.pt"
    views = Views(step)
    with pytest.warns(ConvergenceWarning, match="Interrupted: this is the best of 1 of 3 runs"):
        stopped = tiny(n_init=3, augment=views, checkpoint=path).fit(noise)
    assert stopped.agreement_.shape == (1, 1)
    assert_same_fit(stopped, tiny(augment=None).fit(noise))
    views = Views()
    gone_on = tiny(n_init=3, augment=views, checkpoint=path).fit(noise)
    assert_same_fit(gone_on, tiny(n_init=3, augment=None).fit(noise))
    n_kept = (step - 1) // 3 * 3  # steps of whole epochs
    assert views.n_calls == 3 * STEPS_OF_A_RUN - n_kept


def test_an_interrupt_after_some_runs_keeps_the_best_of_them(tiny, noise, assert_same_fit):
    views = Views(3 * STEPS_OF_A_RUN + 5)
    with pytest.warns(ConvergenceWarning, match="the best of 3 of 4 runs"):
        stopped = tiny(n_init=4, augment=views).fit(noise)
    assert_same_fit(stopped, tiny(n_init=3, augment=None).fit(noise))


def test_an_interrupt_in_the_first_run(tiny, noise, assert_same_fit):
    with pytest.warns(ConvergenceWarning) as warned:
        stopped = tiny(n_init=3, augment=Views(5)).fit(noise)
    messages = [str(each.message) for each in warned]
    assert "after 1 of 2 epochs" in messages[0]
    assert "the best of 1 of 3 runs" in messages[1]
    assert_same_fit(stopped, tiny(max_epochs=1, augment=None).fit(noise))
    with pytest.raises(KeyboardInterrupt):
        tiny(n_init=3, augment=Views(2)).fit(noise)


class StopAt(EarlyStopping):
    """A callback that stops each run in the second epoch."""

    def __init__(self):
        super().__init__(monitor="loss", patience=1, threshold=1e9, sink=lambda text: None)


def test_a_callback_stops_each_run(tmp_path, tiny, noise, assert_same_fit):
    path = tmp_path / "run.pt"
    params = {"n_init": 3, "max_epochs": 9, "callbacks": [StopAt()], "checkpoint": path}
    with pytest.warns(ConvergenceWarning) as warned:
        stopped = tiny(augment=Views(STEPS_OF_A_RUN + 2), **params).fit(noise)
    assert [str(each.message)[:17] for each in warned] == 2 * ["Interrupted: this"]
    views = Views()
    with pytest.warns(ConvergenceWarning, match="state after 2 of 9 epochs") as warned:
        gone_on = tiny(augment=views, **params).fit(noise)
    assert len(warned) == 1
    assert views.n_calls == 2 * STEPS_OF_A_RUN
    assert_same_fit(gone_on, tiny(n_init=3, augment=None).fit(noise))
    assert gone_on.n_iter_ == stopped.n_iter_ == 2


def test_the_file_holds_all_runs(tmp_path, tiny, noise):
    path = tmp_path / "run.pt"
    tiny(n_init=3, checkpoint=path).fit(noise)
    runs = torch.load(path, weights_only=True)["state"]["runs"]
    assert [run["seed"] for run in runs] == [seed_of_run(drawn_from(0), i) for i in range(3)]
    assert [len(run["records"]) for run in runs] == [2, 2, 2]


def test_warm_start_goes_on_with_the_run_that_was_kept(tiny, noise, assert_same_fit):
    kept = tiny(n_init=4, warm_start=True).fit(noise)
    alone = tiny(random_state=Drawn(kept.net_.recipe.seed), max_epochs=3).fit(noise)
    warm = kept.set_params(max_epochs=3).fit(noise)
    assert_same_fit(warm, alone)
    assert warm.agreement_.shape == (1, 1)


def test_progress_tells_the_run(capsys, tiny, noise):
    tiny(n_init=2, verbose=1).fit(noise)
    lines = capsys.readouterr().out.splitlines()
    places = [line.split("] ")[1].split(" [")[0] for line in lines]
    runs = [(run, epoch) for run in (1, 2) for epoch in (1, 2)]
    assert places == [f"run {run}/2, epoch {epoch}/2" for run, epoch in runs]
