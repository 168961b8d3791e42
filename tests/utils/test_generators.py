import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from sklearn_kmfeat._utils import generators
from sklearn_kmfeat._utils.generators import (
    OwnGenerators,
    drawing,
    drawing_apart,
    reading_item,
    seed_generators,
)

CPU = torch.device("cpu")
DRAWS = {
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn(2, 2),
    "randint": lambda: torch.randint(9, (4,)),
    "randperm": lambda: torch.randperm(7),
    "normal": lambda: torch.normal(torch.zeros(3), 1.0),
    "bernoulli": lambda: torch.bernoulli(torch.full((9,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
    "uniform_": lambda: torch.empty(3).uniform_(2, 3),
    "rand_like": lambda: torch.rand_like(torch.zeros(3)),
    "dropout": lambda: F.dropout(torch.ones(20), 0.3),
    "dropout in place": lambda: nn.Dropout(0.3, inplace=True)(torch.ones(20)),
    "dropout of channels": lambda: nn.Dropout2d(0.5)(torch.ones(2, 9, 2, 2)),
    "dropout of rows": lambda: nn.Dropout1d(0.5)(torch.ones(2, 9, 2)),
    "dropout of layers": lambda: nn.Dropout3d(0.5)(torch.ones(2, 9, 2, 2, 2)),
    "alpha dropout of channels": lambda: nn.FeatureAlphaDropout(0.4)(torch.rand(2, 9, 2)),
    "alpha dropout in place": lambda: nn.AlphaDropout(0.4, inplace=True)(torch.rand(20)),
    "alpha dropout": lambda: nn.AlphaDropout()(torch.ones(20)),
    "rrelu": lambda: nn.RReLU()(-torch.ones(9)),
    "gumbel": lambda: F.gumbel_softmax(torch.zeros(5)),
    "attention": lambda: F.scaled_dot_product_attention(
        *torch.ones(3, 1, 4, 4), dropout_p=0.5, is_causal=False
    ),
    "linear": lambda: nn.Linear(3, 2).weight.detach(),
    "convolution": lambda: nn.Conv2d(3, 2, 3).weight.detach(),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(3, 3)),
    "crop": lambda: v2.RandomResizedCrop(4)(torch.arange(100.0).view(1, 10, 10)),
    "erasing": lambda: v2.RandomErasing(p=0.9, value="random")(torch.zeros(3, 8, 8)),
    "distribution": lambda: torch.distributions.Beta(2.0, 2.0).sample((3,)),
}


def global_states():
    version, keys, *rest = np.random.mtrand._rand.get_state()
    return torch.get_rng_state().tolist(), (version, keys.tolist(), *rest), random.getstate()


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_numbers_as_of_the_global_generator(name):
    """Bit by bit, without the global one being touched."""
    draw = DRAWS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = [draw(), torch.rand(1)]
    before = global_states()
    with OwnGenerators(CPU, 3):
        found = [draw(), torch.rand(1)]
        seed_generators(3)
        again = [draw(), torch.rand(1)]
    assert global_states() == before
    for each in (found, again):
        torch.testing.assert_close(each, expected, rtol=0, atol=0)


def test_dropout_of_nothing_and_of_all():
    x = torch.ones(4)
    with OwnGenerators(CPU):
        assert F.dropout(x, 0.5, training=False) is x
        assert F.dropout(x, 0.0) is x
        assert F.dropout(x, 1.0).tolist() == [0] * 4
        assert F.dropout(torch.empty(0), 0.5).numel() == 0
        assert F.dropout(x, 1.0, inplace=True) is x
    assert x.tolist() == [0] * 4


def test_a_generator_that_is_given_draws():
    own, given = OwnGenerators(CPU, 0), torch.Generator().manual_seed(5)
    with own:
        found = torch.rand(2, generator=given), torch.rand(2)
    expected = [torch.rand(2, generator=torch.Generator().manual_seed(seed)) for seed in (5, 0)]
    assert all(map(torch.equal, found, expected))


def test_blocks_inside_each_other():
    with OwnGenerators(CPU, 1):
        first = torch.rand(1)
        with OwnGenerators(CPU, 1):
            assert torch.equal(torch.rand(1), first)
        assert not torch.equal(torch.rand(1), first)
        seed_generators(1)
        assert torch.equal(torch.rand(1), first)


def test_numbers_drawn_apart():
    """Others, and those of the block go on as if they had not been drawn."""
    with OwnGenerators(CPU, 3):
        first, second = torch.rand(2), torch.rand(2)
        seed_generators(3)
        assert torch.equal(torch.rand(2), first)
        with drawing_apart(4):
            apart = torch.rand(2)
            with reading_item(0):
                random.random()
        assert torch.equal(torch.rand(2), second)
        seed_generators(4)
        assert torch.equal(torch.rand(2), apart)
    with drawing_apart(4):  # where nothing is drawn by generators of ours
        torch.rand(2)


def test_nothing_is_seeded_outside():
    before = global_states()
    seed_generators(3)
    assert global_states() == before


def test_global_generators_are_put_back_after_an_error():
    before = global_states()

    def fail():
        with reading_item(3):
            drawn()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert global_states() == before


def drawn():
    return np.random.mtrand._rand.rand(), random.random(), float(torch.rand(1))


def test_an_item_is_drawn_by_its_place():
    def read(i):
        with reading_item(i):
            return drawn()

    expected = [read(i) for i in range(4)]
    assert [read(i) for i in (3, 1)] == [expected[3], expected[1]]
    assert len(set(expected)) == 4
    with OwnGenerators(CPU, 7):
        ongoing = [read(0), read(0)]
    assert ongoing[0] != ongoing[1]
    with OwnGenerators(CPU, 7):
        assert [read(0), read(0)] == ongoing


class Drawn(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        with reading_item(i):
            return torch.tensor(drawn(), dtype=torch.float64)


def test_workers_of_a_loader_draw_what_torch_has_seeded():
    """Different numbers in each, also in a block that they inherit; the same in every run."""

    def epoch():
        generator = torch.Generator().manual_seed(0)
        with OwnGenerators(CPU, 0):
            loader = DataLoader(
                Drawn(), 4, num_workers=2, generator=generator, multiprocessing_context="fork"
            )
            return torch.cat(list(loader))

    rows = epoch()
    assert all(len(drawn.unique()) == 8 for drawn in rows.T)
    assert torch.equal(epoch(), rows)


def test_threads_do_not_meet():
    """Each draws what it draws alone, while another draws from the global generator."""

    def work(seed, results):
        with OwnGenerators(CPU, seed):
            parts = [DRAWS[name]() for _ in range(30) for name in ("rand", "rrelu", "dropout")]
            with reading_item(0):
                results[seed] = [*parts, torch.tensor(drawn(), dtype=torch.float64)]

    alone, together = {}, {}
    for seed in range(4):
        work(seed, alone)
    threads = [threading.Thread(target=work, args=(seed, together)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert all(map(torch.equal, alone[seed], together[seed]))


def test_a_block_whose_end_is_interrupted_leaves_nothing(monkeypatch):
    def begin():
        own = OwnGenerators(CPU, 3)
        own.__enter__()
        torch.rand(1)

    begin()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        found = torch.rand(3)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(5)))
    before = torch.get_rng_state()
    seed_generators(7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_block_whose_beginning_is_interrupted_leaves_nothing(monkeypatch, when):
    enter, before = generators._Drawing.__enter__, _get_current_function_mode_stack()

    def interrupted(mode):
        if when == "after":
            enter(mode)
        raise KeyboardInterrupt

    monkeypatch.setattr(generators._Drawing, "__enter__", interrupted)
    with pytest.raises(KeyboardInterrupt), OwnGenerators(CPU, draws=False), drawing(True):
        pass
    assert _get_current_function_mode_stack() == before
