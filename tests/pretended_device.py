"""A device that is not there, so that code for CUDA and MPS runs on any machine.

Its tensors claim to be on the device, hold values on the CPU, and are as strict as those of CUDA::

    with pretended("cuda"):
        rows = torch.ones(3, 2, device="cuda")  # rows.device is cuda:0, rows.is_cuda
        rows @ torch.ones(2, 1)  # RuntimeError: two devices
        rows.numpy()  # TypeError
        rows.cpu().numpy()  # fine

What torch allows is allowed: tensors of no dimension on the CPU among others in arithmetic, copies
with ``copy_`` and by assignment, and an index on the CPU, which is counted in `hidden_copies`,
since each of them waits for the device. ``mps`` refuses float64, too.

Two modes do that. In the one for functions, a device that somebody names becomes "meta", which
every build of torch has. In the one for dispatch, below autograd, "meta" stands for the device:
what is made there is wrapped in a `PretendedTensor`, and every operation is run on the values
inside. So gradients, views and writing in place work as ever, and numbers are those of the CPU.

Not covered: kernels of the device itself and their rounding, streams, more than one device, fused
optimisers, pinned memory, other threads (modes belong to a thread: there the device is absent).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch
import torch._dynamo  # optimisers import it late, and it looks at what is replaced below
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten
#: What stands for the device inside torch.
_META = torch.device("meta")
# Copies may go from one device to another.
_COPIES = {aten.copy_.default, aten._to_copy.default}
# Beside arithmetic, these take a tensor of no dimension on the CPU for a number.
_TAKE_NUMBERS = {
    *(aten.index_put_.default, aten.index_put.default),
    *(aten.masked_fill.Tensor, aten.masked_fill_.Tensor, aten.fill_.Tensor),
    *(aten.index_fill.int_Tensor, aten.index_fill_.int_Tensor),
}
# Their second argument is a list of index tensors, which may be on the CPU.
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
_ITEMS = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
# What MPS has no kernel for (torch 2.14), of what is used here on other devices.
_NOT_ON_MPS = {aten.segment_reduce.default}
# They make tensors of numbers, on the CPU first.
_OF_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor}
# They run in reduced precision under autocast; those that networks here use.
_REDUCED = {
    *(F.conv2d, F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm),
    *(getattr(torch.Tensor, name) for name in ("matmul", "mm", "bmm", "__matmul__")),
}


class PretendedTensor(torch.Tensor):
    """A tensor on a device that is not there.

    Parameters
    ----------
    values : tensor on the CPU
    place : torch.device
        What it claims.
    """

    # Subclasses need no special treatment above autograd.
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values, place):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=_META,
        )

    def __init__(self, values, place):
        self.values, self.place = values, place

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} on a pretended device outside of it, or in another thread.")

    device = property(lambda self: self.place)
    is_cuda = property(lambda self: self.place.type == "cuda")
    is_mps = property(lambda self: self.place.type == "mps")
    is_cpu = is_meta = property(lambda self: False)

    def numpy(self, *args, **kwargs):
        raise TypeError(
            f"can't convert {self.place} device type tensor to numpy. Use Tensor.cpu() to copy the "
            "tensor to host memory first."
        )

    __array__ = numpy

    def tolist(self):
        return self.values.tolist()

    def __repr__(self):
        return f"PretendedTensor({self.values}, device={str(self.place)!r})"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            copied.__dict__.update(self._attributes())
            memo[id(self)] = copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        state = self.values, str(self.place), self.requires_grad, self._attributes()
        return _unpickled, state

    def _attributes(self):
        """Others than those of `__init__`: that it is a parameter."""
        return {k: v for k, v in self.__dict__.items() if k not in ("values", "place")}

    # With these, `nn.Module.to` exchanges parameters instead of their memory.
    def __tensor_flatten__(self):
        return ["values"], self.place

    @staticmethod
    def __tensor_unflatten__(inner, place, size, stride):
        return PretendedTensor(inner["values"], place)


def _unpickled(values, place, requires_grad, attributes):
    """On the device where it was, or where the last `torch.load` was told to put the values."""
    place = torch.device(_Loads.map_location or place)
    if place.type != "cpu":
        device = PretendedDevice.active
        if device is None:
            raise RuntimeError(
                f"Attempting to deserialize object on {place}, which is not available. Use "
                "torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
            )
        values = PretendedTensor(values, device.place)
    tensor = values.requires_grad_(requires_grad)
    tensor.__dict__.update(attributes)
    return tensor


class _Loads:
    """Takes the place of `torch.load`, and remembers where tensors were to go."""

    map_location = None
    load = staticmethod(torch.load)

    def __call__(self, *args, map_location=None, **kwargs):
        _Loads.map_location = map_location
        here = map_location is None or torch.device(map_location).type == "cpu"
        return self.load(*args, map_location=map_location if here else None, **kwargs)


class PretendedGenerator(torch.Generator):
    """A generator that claims to be on a device; see `torch.Generator`."""

    def __new__(cls, place):
        return super().__new__(cls)

    def __init__(self, place):
        self.place = place

    device = property(lambda self: self.place)


class PretendedDevice:
    """What `pretended` gives.

    Attributes
    ----------
    place : torch.device
    hidden_copies : int
        Index tensors on the CPU that torch copied to the device.
    global_draws : int
        Times that random numbers were drawn there without a generator.
    """

    active = None

    def __init__(self, kind):
        self.kind, self.place = kind, torch.device(kind, 0)
        self.hidden_copies = self.global_draws = 0
        self.generator = torch.Generator()

    def named_by(self, device):
        """Whether a device, or its name, means this one."""
        if not isinstance(device, str | torch.device):
            return False
        return torch.device(device).type == self.kind

    def translated(self, value):
        """What stands for the device, in place of it or its name."""
        return _META if self.named_by(value) else value


class _Functions(TorchFunctionMode):
    """Translates the name of the device, before torch looks for it."""

    def __init__(self, device):
        super().__init__()
        self.pretended = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, device = dict(kwargs or {}), self.pretended
        self.check_generator(args, kwargs)
        if func is torch.Tensor.cuda:
            return args[0].to(_META)
        if func is torch.Tensor.to:
            args, kwargs = tree_map(device.translated, (args, kwargs))
            return torch.Tensor.to(*args, **kwargs)
        if func in _ITEMS:
            args = args[0], _index(args[1]), *args[2:]
        where = kwargs.get("device")
        if func in _OF_NUMBERS:
            return self.of_numbers(func, args, kwargs)
        if where is not None:
            kwargs["device"] = device.translated(where)
        if func in _REDUCED and "out" not in kwargs and torch.is_autocast_enabled(device.kind):
            args, kwargs = tree_map(self.reduced, (args, kwargs))
        return func(*args, **kwargs)

    def of_numbers(self, func, args, kwargs):
        """A tensor of numbers, moved when it is made."""
        data = args[1] if func is torch.Tensor.new_tensor else args[0]
        where = kwargs.pop("device", args[0].device if func is torch.Tensor.new_tensor else None)
        if isinstance(data, PretendedTensor):
            made = data.to(kwargs.get("dtype") or data.dtype)
        else:
            made = func(*args, **kwargs)
        return made if where is None else made.to(self.pretended.translated(where))

    def reduced(self, value):
        """What autocast does to the input of a product."""
        if isinstance(value, PretendedTensor) and value.dtype == torch.float32:
            return value.to(torch.get_autocast_dtype(self.pretended.kind))
        return value

    def check_generator(self, args, kwargs):
        """That it is on the device on which it draws."""
        generator = kwargs.get("generator")
        if generator is None:
            return
        tensors = _tensors(args, kwargs)
        drawn_on = tensors[0].device if tensors else torch.device(kwargs.get("device") or "cpu")
        if drawn_on.type != generator.device.type:
            raise RuntimeError(
                f"Expected a '{drawn_on.type}' device type for generator but found "
                f"'{generator.device.type}'"
            )


class _Operations(TorchDispatchMode):
    """Runs every operation on the values, and looks where its tensors are."""

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # takes a third of the time

    def __init__(self, device):
        super().__init__()
        self.pretended = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = _tensors(args, kwargs)
        makes_there = on_device = any(isinstance(x, PretendedTensor) for x in tensors)
        if kwargs.get("device") is not None:
            makes_there = kwargs["device"].type == "meta"
            kwargs["device"] = torch.device("cpu")
        if not (makes_there or on_device):
            return func(*args, **kwargs)
        self.check(func, args, tensors)
        if self.pretended.kind == "mps" and func in _NOT_ON_MPS:
            raise NotImplementedError(f"{func} is not currently implemented for the MPS device.")
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.pretended.global_draws += kwargs.get("generator") is None
        of_kwargs = dict(zip(kwargs, _each(_values, kwargs.values()), strict=True))
        values = func(*_each(_values, args), **of_kwargs)
        if torch.Tag.inplace_view in func.tags:  # the shape of the tensor itself changes, too
            with no_dispatch():
                return func(*args, **kwargs)
        # What is written to comes out as it came in.
        known = {id(_values(x)): x for x in tensors}

        def claimed(result):
            if not isinstance(result, torch.Tensor):
                return result
            if id(result) in known:
                return known[id(result)]
            return self.on_device(result) if makes_there else result

        return _each(claimed, values) if isinstance(values, list | tuple) else claimed(values)

    def check(self, func, args, tensors):
        """That all tensors are on the device, if any is."""
        others = [x for x in tensors if not isinstance(x, PretendedTensor)]
        if not others or len(others) == len(tensors) or func in _COPIES:
            return
        if func in _INDEXED:
            index = {id(x) for x in others} & set(map(id, args[1]))
            self.pretended.hidden_copies += len(index)
            others = [x for x in others if id(x) not in index]
        takes_numbers = torch.Tag.pointwise in func.tags or func in _TAKE_NUMBERS
        written_to = {
            id(x)
            for x, argument in zip(args, func._schema.arguments, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        }
        numbers = all(x.ndim == 0 and id(x) not in written_to for x in others)
        if not others or (numbers and takes_numbers):
            return
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{self.pretended.place} and cpu! (in {func})"
        )

    def on_device(self, values):
        """Values that are claimed to be on the device."""
        place = self.pretended.place
        if place.type == "mps" and values.dtype in (torch.float64, torch.complex128):
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
                "float64. Please use float32 instead."
            )
        return PretendedTensor(values, place)


def _index(index):
    """An index with tensors for lists and arrays, which torch would make out of sight."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    return torch.as_tensor(index) if isinstance(index, list | np.ndarray) else index


def _tensors(args, kwargs):
    """All tensors, also those in lists."""
    found = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, list | tuple):
            found += [x for x in value if isinstance(x, torch.Tensor)]
        elif isinstance(value, torch.Tensor):
            found.append(value)
    return found


def _each(function, values):
    """A function of all values, also of those in lists."""
    return [type(x)(map(function, x)) if type(x) in (list, tuple) else function(x) for x in values]


def _values(value):
    return value.values if isinstance(value, PretendedTensor) else value


@contextmanager
def pretended(kind: str = "cuda") -> Iterator[PretendedDevice]:
    """Inside the block, in this thread, the machine has one device of that kind.

    Parameters
    ----------
    kind : {"cuda", "mps"}

    Yields
    ------
    PretendedDevice
    """
    device = PretendedDevice(kind)
    new_generator = torch.Generator

    class Generator:
        def __new__(cls, place="cpu"):
            return PretendedGenerator(device.place) if device.named_by(place) else new_generator()

    cuda = {
        "is_available": lambda: kind == "cuda",
        "device_count": lambda: int(kind == "cuda"),
        "current_device": lambda: 0,
        "is_bf16_supported": lambda *args: True,
        "is_current_stream_capturing": lambda: False,
        "mem_get_info": lambda *args: (2**30, 2**30),
        "get_rng_state": lambda *args: device.generator.get_state(),
        "set_rng_state": lambda state, *args: device.generator.set_state(state),
    }
    patches = [
        mock.patch.multiple(torch.cuda, **cuda),
        mock.patch.object(torch.backends.mps, "is_available", return_value=kind == "mps"),
        # Autocast asks it there (torch 2.9).
        mock.patch.object(torch.backends.mps, "is_macos_or_newer", return_value=kind == "mps"),
        # Optimisers ask whether it records a graph.
        mock.patch.object(torch.accelerator, "current_accelerator", return_value=None),
        mock.patch.object(torch, "Generator", Generator),
        mock.patch.object(PretendedDevice, "active", device),
    ]
    with ExitStack() as stack:
        for each in (*patches, _loading()):
            stack.enter_context(each)
        # `nn.Module.to` would otherwise put a parameter's memory in another one of another class.
        swaps = torch.__future__.get_swap_module_params_on_conversion()
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swaps)
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.enter_context(_Operations(device))
        stack.enter_context(_Functions(device))
        yield device


@contextmanager
def _loading():
    """What was pickled on the device can be read, if `torch.load` is told where to put it."""
    safe = torch.serialization.safe_globals([_unpickled])
    with mock.patch.object(torch, "load", _Loads()), safe:
        yield


#: In this block the machine has no device, and models that were fitted on one can be read.
another_machine = _loading
