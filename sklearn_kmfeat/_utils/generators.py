"""Random numbers that leave all global generators alone, in any thread."""

import os
import random
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from sklearn.utils import check_random_state
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

#: A weak reference to the generators that draw in this thread, if any: where an interrupt hits the
#: end of their block, they are gone all the same.
_ACTIVE: ContextVar["weakref.ref[OwnGenerators] | None"] = ContextVar(
    "own generators", default=None
)
#: Held while a global generator stands in for one of ours.
_LOCK = threading.RLock()

# Everything of torch that takes a generator.
_WITH_GENERATOR = {
    *(getattr(torch, name) for name in ("rand", "randn", "randint", "randperm", "normal")),
    torch.rrelu,
    *(getattr(torch, name) for name in ("bernoulli", "binomial", "multinomial", "poisson")),
    *(getattr(torch, name) for name in ("_standard_gamma", "_sample_dirichlet")),
    *(getattr(torch.Tensor, name) for name in ("bernoulli", "bernoulli_", "cauchy_")),
    *(getattr(torch.Tensor, name) for name in ("exponential_", "geometric_", "log_normal_")),
    *(getattr(torch.Tensor, name) for name in ("multinomial", "normal_", "random_", "uniform_")),
    *(getattr(nn.init, name) for name in ("uniform_", "normal_", "trunc_normal_")),
    *(getattr(nn.init, name) for name in ("xavier_uniform_", "xavier_normal_")),
    *(getattr(nn.init, name) for name in ("kaiming_uniform_", "kaiming_normal_")),
    *(getattr(nn.init, name) for name in ("orthogonal_", "sparse_")),
}
# Dropout takes none: whether whole channels are dropped, and whether mean and variance are kept.
_DROPOUTS = {
    F.dropout: (False, False),
    F.dropout1d: (True, False),
    F.dropout2d: (True, False),
    F.dropout3d: (True, False),
    F.alpha_dropout: (False, True),
    F.feature_alpha_dropout: (True, True),
}
# What else takes none, and draws from the generator of the process.
_WITHOUT_GENERATOR = {
    *(getattr(F, name) for name in ("rrelu", "gumbel_softmax", "scaled_dot_product_attention")),
    *(getattr(F, name) for name in ("fractional_max_pool2d", "fractional_max_pool3d")),
    F.multi_head_attention_forward,
}
# Older releases of torch give these no generator.
_LIKE = {torch.rand_like, torch.randn_like, torch.randint_like}
try:
    torch.rand_like(torch.empty(0, device="cpu"), generator=torch.Generator())
except TypeError:
    _WITHOUT_GENERATOR |= _LIKE
else:
    _WITH_GENERATOR |= _LIKE
# Of the function that keeps mean and variance (Klambauer et al. 2017), as in torch.
_ALPHA = 1.7580993408473766


class OwnGenerators:
    """Inside the block, this thread draws from generators of its own.

    Whatever torch draws, in our code, in networks and in transforms of torchvision, gets a
    generator; for the few functions that take none and are not dropout, such as dropout inside
    attention, the state of the global one is exchanged, under a lock, while they run.

    Parameters
    ----------
    device : torch.device
        Has a generator beside that of the CPU.
    seed : int, default=0
        As in `seed`.
    draws : bool, default=True
        False: they draw only in blocks of `drawing`.
    """

    def __init__(self, device: torch.device, seed: int = 0, draws: bool = True):
        kinds = {"cpu", device.type}
        self.device = device
        self.draws_at_once = draws
        self.torch = {kind: torch.Generator(device if kind != "cpu" else "cpu") for kind in kinds}
        # A forked worker of a DataLoader inherits this block; torch has seeded its own ones.
        self.process = os.getpid()
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin anew: torch's generators, and those of NumPy and Python for Datasets."""
        for generator in self.torch.values():
            generator.manual_seed(seed)
        self.last_seed, self.numpy, self.python = seed, None, None

    def state(self) -> tuple:
        """From where they go on."""
        states = {kind: generator.get_state() for kind, generator in self.torch.items()}
        return states, self.last_seed, self.numpy, self.python

    def set_state(self, state: tuple) -> None:
        """Go on from a state of before."""
        states, self.last_seed, self.numpy, self.python = state
        for kind, generator in self.torch.items():
            generator.set_state(states[kind])

    def __enter__(self):
        self.token = _ACTIVE.set(weakref.ref(self))
        if self.draws_at_once:
            self._look(True)
        return self

    def __exit__(self, *error):
        if self.draws:
            self._look(False)
        _ACTIVE.reset(self.token)

    @contextmanager
    def switched(self, draws):
        """Whether torch draws from these inside the block, where it was otherwise before."""
        self._look(draws)
        try:
            yield
        finally:
            self._look(not draws)

    @property
    def draws(self) -> bool:
        """Whether torch draws from these now.

        The stack of modes tells: an interrupt could come between it and an attribute.
        """
        modes = _get_current_function_mode_stack()
        return any(isinstance(mode, _Drawing) and mode.own() is self for mode in modes)

    def _look(self, draws):
        if draws == self.draws:
            return
        if draws:
            _Drawing(self).__enter__()
        else:
            _Drawing(self).__exit__(None, None, None)  # takes the last one off

    def generator(self, args, kwargs):
        """That of the device on which the numbers are drawn."""
        tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)]
        device = tensors[0].device if tensors else torch.device(kwargs.get("device") or "cpu")
        return self.torch.get(device.type)

    def dropout(self, of_channels, keeps_variance, input, p=0.5, training=True, inplace=False):
        """As torch's on a CPU, number by number."""
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        if not training or p == 0 or not input.numel():
            return input
        shape = [*input.shape[:2], *[1] * (input.ndim - 2)] if of_channels else input.shape
        noise = input.new_empty(shape)
        noise.bernoulli_(1 - p, generator=self.generator([input], {}))
        shift = None
        if p == 1:
            noise.zero_()
        elif keeps_variance:
            scale = ((_ALPHA**2 * p + 1) * (1 - p)) ** -0.5
            shift = noise.add(-1).mul_(_ALPHA * scale).add_(_ALPHA * scale * p)
            noise.mul_(scale)
        else:
            noise.div_(1 - p)
        dropped = input.mul_(noise) if inplace else input * noise
        return dropped if shift is None else dropped.add_(shift) if inplace else dropped + shift

    @contextmanager
    def in_place_of_torchs(self):
        """The global generators in the state of these, which go on from where they end."""
        devices = [self.device] if self.device.type == "cuda" else []
        with _LOCK, torch.random.fork_rng(devices=devices):
            torch.set_rng_state(self.torch["cpu"].get_state())
            for device in devices:
                torch.cuda.set_rng_state(self.torch["cuda"].get_state(), device)
            yield
            self.torch["cpu"].set_state(torch.get_rng_state())
            for device in devices:
                self.torch["cuda"].set_state(torch.cuda.get_rng_state(device))

    @contextmanager
    def in_place_of_other_libraries(self):
        """NumPy's and Python's global generators in the state of these."""
        with _global_generators_kept() as numpy:
            if self.numpy is None:
                numpy.seed(self.last_seed % 2**32)
                random.seed(self.last_seed)
            else:
                numpy.set_state(self.numpy)
                random.setstate(self.python)
            try:
                yield
            finally:
                self.numpy, self.python = numpy.get_state(), random.getstate()


class _Drawing(TorchFunctionMode):
    """Gives what torch draws a generator, as long as the generators are there."""

    def __init__(self, own):
        super().__init__()
        self.own = weakref.ref(own)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, own = kwargs or {}, self.own()
        if own is None or own.process != os.getpid():
            return func(*args, **kwargs)
        if func in _WITH_GENERATOR and kwargs.get("generator") is None:
            return func(*args, **(kwargs | {"generator": own.generator(args, kwargs)}))
        if func in _DROPOUTS:
            return own.dropout(*_DROPOUTS[func], *args, **kwargs)
        if func in _WITHOUT_GENERATOR:
            with own.in_place_of_torchs():
                return func(*args, **kwargs)
        return func(*args, **kwargs)


@contextmanager
def _global_generators_kept():
    """The global generators of NumPy, which it gives, and Python, put back in the end."""
    with _LOCK:
        numpy = check_random_state(None)
        before = numpy.get_state(), random.getstate()
        try:
            yield numpy
        finally:
            numpy.set_state(before[0])
            random.setstate(before[1])


def _active() -> OwnGenerators | None:
    reference = _ACTIVE.get()
    return None if reference is None else reference()


def seed_generators(seed: int) -> None:
    """Seed the generators of the block of `OwnGenerators` that this thread is in, if any.

    Parameters
    ----------
    seed : int
    """
    active = _active()
    if active is not None:
        active.seed(seed)


@contextmanager
def drawing_apart(seed: int) -> Iterator[None]:
    """Inside the block, the generators of this one of `OwnGenerators` draw from another seed.

    After it they go on as if nothing had been drawn.
    """
    active = _active()
    if active is None:
        yield
        return
    before = active.state()
    active.seed(seed)
    try:
        yield
    finally:
        active.set_state(before)


@contextmanager
def drawing(draws: bool) -> Iterator[None]:
    """In a block of `OwnGenerators`, whether its generators draw inside this one.

    Every call of a function of torch takes 2 microseconds more where they do: a seventh of the time
    of a small network in small batches.

    Parameters
    ----------
    draws : bool
    """
    active = _active()
    if active is None or draws == active.draws:
        yield
        return
    with active.switched(draws):
        yield


@contextmanager
def reading_item(i: int) -> Iterator[None]:
    """Inside the block user's code reads item `i` of a Dataset, which may draw random numbers.

    In a block of `OwnGenerators` it draws the next ones of these; otherwise those of its place,
    so that an item is the same however often and in whatever order it is read. In a worker of a
    DataLoader torch has seeded all generators.

    Parameters
    ----------
    i : int
    """
    if torch.utils.data.get_worker_info() is not None:
        yield
        return
    active = _active()
    if active is not None:
        with drawing(True), active.in_place_of_other_libraries():
            yield
        return
    with OwnGenerators(torch.device("cpu"), i), _global_generators_kept() as numpy:
        numpy.seed(i % 2**32)
        random.seed(i)
        yield
