"""Settings of torch that other people's code may have changed, as they are in a new process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

# Factories that always make floats, unless they are told otherwise.
_OF_FLOATS = {
    *(torch.empty, torch.zeros, torch.ones, torch.eye, torch.rand, torch.randn),
    *(torch.linspace, torch.logspace, torch.hann_window, torch.normal),
}


@contextmanager
def standard_settings() -> Iterator[None]:
    """This thread computes in torch as in a new process; nothing global is changed.

    Neutral are the default dtype and device, autocast, and the mode of inference.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.empty(0).device.type != "cpu":  # torch 2.9's get_default_device may fail
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() is not torch.float32:
            stack.enter_context(_Float32())
        yield


class _Float32(TorchFunctionMode):
    """Floats are made in float32, whatever the default dtype of the process is."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func not in _device_constructors() or kwargs.get("dtype") is not None:
            return func(*args, **kwargs)
        if func in _OF_FLOATS and kwargs.get("out") is None:
            return func(*args, **(kwargs | {"dtype": torch.float32}))
        made = func(*args, **kwargs)
        given = np.ndarray | np.generic | torch.Tensor
        from_numbers = not any(isinstance(each, given) for each in args)
        if from_numbers and made.dtype is torch.get_default_dtype():
            return made.float()
        return made


# Between two looks whether a call has ended without telling.
_SECONDS = 0.05


class SharedSetting:
    """A setting of the whole process that calls in several threads may need at once.

    Calls that need one value share it; a call that needs another one waits until they have ended.
    The first sets it, the last puts back what was there. Inside a call, in the same thread, the
    value of the outer one stays.

    Parameters
    ----------
    get, put : callable
        Read and write the setting.
    """

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], None]):
        self.get, self.put = get, put
        self.condition = threading.Condition()
        self.holds = WeakSet()
        self.value = self.before = None

    @contextmanager
    def held(self, value: Any) -> Iterator[None]:
        """The setting is `value` inside the block."""
        hold = _Hold()
        with self.condition:
            if all(each.thread != hold.thread for each in self.holds):
                # Not until told: a hold that dies in an interrupt tells nobody.
                while self.holds and self.value != value:
                    self.condition.wait(_SECONDS)
            if not self.holds:
                self._put_back()
                self.value, self.before = value, self.get()
                self.put(value)
            self.holds.add(hold)
        try:
            yield
        finally:
            with self.condition:
                self.holds.discard(hold)
                if not self.holds:
                    self._put_back()
                    self.condition.notify_all()

    def _put_back(self):
        if self.value is not None:
            self.put(self.before)
            self.value = None


class _Hold:
    """That a call of this thread holds a setting; gone with the call, however it ends."""

    def __init__(self):
        self.thread = threading.get_ident()
