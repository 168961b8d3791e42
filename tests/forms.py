"""Strategies: images of any size, dtype, order, container and value."""

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

#: Few examples in the suite, the same in every run; `--hypothesis-profile=many` hunts.
FEW = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
settings.register_profile("few", max_examples=40, **FEW)
settings.register_profile("many", max_examples=3000, **FEW | {"derandomize": False})

DTYPES = ["u1", "i1", "u2", "i2", "i4", "i8", "u8", "f2", "f4", "f8", ">f4", ">i4", ">f8"]
VALUES = ["noise", "photo", "constant", "flat but for one", "negative", "far", "huge", "tiny"]
ORDERS = ["C", "F", "reversed", "sliced", "read-only"]
CONTAINERS = ["array", "list", "tuple", "objects", "tensor", "dataset"]


@st.composite
def images(draw, least=1, most=8, channels=(1, 2, 3, 5)):
    """Images (n, H, W, C) in some dtype, with some kind of values."""
    n, side = st.integers(2, 6), st.integers(least, most)
    shape = draw(n), draw(side), draw(side), draw(st.sampled_from(channels))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.RandomState(draw(st.integers(0, 50)))
    return made(shape, dtype, draw(st.sampled_from(VALUES)), rng)


def made(shape, dtype, kind, rng):
    """An array of a dtype; values that it does not have are brought into its range."""
    values = rng.randint(0, 120, shape).astype(np.float64)
    if kind == "photo":
        ramp = np.linspace(0, 80, shape[1])[None, :, None, None]
        values = ramp + rng.randint(0, 9, shape)
    elif kind in ("constant", "flat but for one"):
        values[:] = 7
        values[0, 0, 0, 0] += kind != "constant"
    elif kind == "negative":
        values -= 60
    elif kind in ("far", "huge", "tiny"):
        factor = {"far": 1, "huge": 1e12, "tiny": 1e-12}[kind]
        values = values * factor + (kind == "far") * 1e6
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(values, max(limits.min, -(2.0**40)), min(limits.max, 2.0**40))
    elif dtype.itemsize == 2:
        values = np.clip(values, -6e4, 6e4)
    return values.astype(dtype)


def in_order(X, order):
    """The same values in another order of memory."""
    if order == "F":
        return np.asfortranarray(X)
    if order == "reversed":
        return np.ascontiguousarray(X[:, ::-1])[:, ::-1]
    if order == "sliced":
        wide = np.zeros((X.shape[0], 2 * X.shape[1], *X.shape[2:]), X.dtype)
        wide[:, ::2] = X
        return wide[:, ::2]
    X = X.copy()
    X.flags.writeable = order != "read-only"
    return X


class Items(Dataset):
    """Arrays as a torch Dataset."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], i % 2


def contained(X, container):
    """The same images in another container; None where it cannot hold them."""
    if container == "list":
        return list(X)
    if container == "tuple":
        return tuple(X)
    if container == "objects":
        objects = np.empty(len(X), dtype=object)
        objects[:] = list(X)
        return objects
    if container in ("tensor", "dataset"):
        if X.dtype.kind == "u" and X.dtype.itemsize > 1:
            return None
        native = X.astype(X.dtype.newbyteorder("="))
        return torch.from_numpy(native) if container == "tensor" else Items(X)
    return X


def values_of(result):
    """What a transformer gave, as one array."""
    return np.stack([np.asarray(each) for each in result])


def outcome(function, *args):
    """What a call gives, or None for a clear error; any other error is a failure."""
    try:
        return function(*args)
    except (ValueError, TypeError) as error:
        message = str(error)
    assert len(message) > 15, message
    return None
