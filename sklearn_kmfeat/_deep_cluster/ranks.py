"""The processes that fit together: which one this is, its share, and what they exchange.

`Ranks` is the only process, with nothing to exchange; `Job` is one of several. Both have the same
methods, and the training calls them without asking how many processes there are:

    images      share(n) are embedded here; of a batch, divide(batch) is learned from here
    rows        rows(those of the share) -> Rows, which k-means takes; whole(...) -> all of them
    gradients   add_gradients(...), batch statistics inside synchronized()
    numbers     each process draws its own views inside own_draws(seed), and all else alike
"""

import io
import pickle
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from .._core.rows import OnePart, Rows
from .._utils.generators import drawing_apart
from .batch_norm import SynchronizedBatchNorm
from .rank_rows import RankRows


class Ranks:
    """The only process of a fit.

    Parameters
    ----------
    device : torch.device, default=CPU
        Where this process computes.

    Attributes
    ----------
    rank, size : int
        Which process this is, and how many there are.
    """

    rank, size = 0, 1

    def __init__(self, device: torch.device = torch.device("cpu")):  # noqa: B008
        self.device = device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and says what there is to say."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """The images of n that this process embeds and keeps; sizes differ by one at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def divide(self, batch: torch.Tensor) -> torch.Tensor:
        """The part of a batch that this process learns from."""
        return batch

    def own_draws(self, seed: int) -> AbstractContextManager:
        """Inside the block random numbers are those of this process; after it all draw alike."""
        return nullcontext()

    def seed(self, seed: int) -> int:
        """The seed of this process."""
        return seed

    def synchronized(self) -> AbstractContextManager:
        """Inside the block batch normalisation sees the images of all processes."""
        return nullcontext()

    def gather(self, value: Any) -> list:
        """The values of all processes, in their order; tensors come to the device."""
        return [value]

    def gather_at_first(self, value: Any) -> list | None:
        """As `gather`, in the first process alone; None in the others."""
        return [value]

    def from_first(self, value: Any) -> Any:
        """The value of the first process."""
        return value

    def stack(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, of one shape, along a new first axis."""
        return tensor[None]

    def rows(self, rows: torch.Tensor) -> Rows:
        """All rows, of which each process holds those of its `share`."""
        return OnePart(rows)

    def whole(self, rows: torch.Tensor) -> torch.Tensor:
        """All rows in every process, from those of the shares."""
        return rows

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return any(self.gather(flag))

    def total(self, number: Any) -> Any:
        """The sum of numbers or tensors, the same to the bit in every process."""
        return number

    def add_gradients(self, parameters: Iterable[torch.Tensor], loss: torch.Tensor) -> torch.Tensor:
        """Add up the gradients in place; returns the sum of the losses.

        One that a process lacks counts as zero; what all lack stays None.
        """
        return loss

    def keep(self, memory: torch.Tensor, n: int, index: torch.Tensor, rows: torch.Tensor) -> None:
        """Put rows into a memory of all images, of which each process holds its share.

        Parameters
        ----------
        memory : tensor of shape (n of the share, d)
            Changed.
        n : int
            All images.
        index : int64 tensor of shape (m,)
            Which images the rows are of.
        rows : tensor of shape (m, d)
        """
        memory[index] = rows


#: This process alone, outside a fit.
ALONE = Ranks()


class LostProcessError(RuntimeError):
    """Another process of the job has ended."""


def _collective(method):
    """A method that fails when another process has ended."""

    @wraps(method)
    def exchanging(*args):
        try:
            return method(*args)
        except RuntimeError as error:
            reason = str(error)
        # Not from the error, whose frames would hold the group, and with it the connections.
        raise LostProcessError(reason)

    return exchanging


class Job(Ranks):
    """One of several processes of torch.distributed.

    All of them call the same methods in the same order. A copy, or what comes out of a pickle, is
    the only process, as that of a fitted estimator.

    Parameters
    ----------
    group : process group
        Of gloo for what lies on the CPU.
    device : torch.device
    carries : set of str
        Types of devices whose tensors the group exchanges; others go through the CPU.
    """

    def __init__(self, group: Any, device: torch.device, carries: set[str]):
        super().__init__(device)
        self.group, self.carries = group, carries
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    def leave(self) -> None:
        """Close all connections."""
        group, self.group = self.group, None
        dist.destroy_process_group(group)

    def __reduce__(self):
        return Ranks, ()

    def divide(self, batch):
        if len(batch) < self.size:
            raise ValueError(
                f"A batch of {len(batch)} images cannot be divided among {self.size} processes: "
                "choose a larger batch_size, or fewer processes."
            )
        return batch.tensor_split(self.size)[self.rank]

    def own_draws(self, seed):
        return drawing_apart(self.seed(seed))

    def seed(self, seed):
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def synchronized(self):
        return SynchronizedBatchNorm(self)

    @_collective
    def gather(self, value):
        padded, lengths = self._padded(value)
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded, group=self.group)
        return self._unpacked(parts, lengths)

    @_collective
    def gather_at_first(self, value):
        padded, lengths = self._padded(value)
        parts = [torch.empty_like(padded) for _ in lengths] if self.is_first else None
        dist.gather(padded, parts, group=self.group, group_dst=0)
        return self._unpacked(parts, lengths) if self.is_first else None

    @_collective
    def from_first(self, value):
        data = _packed(value) if self.is_first else torch.empty(0, dtype=torch.uint8)
        length = torch.tensor(len(data))
        dist.broadcast(length, group=self.group, group_src=0)
        data = data if self.is_first else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(data, group=self.group, group_src=0)
        return value if self.is_first else _unpacked(data, self.device)

    @_collective
    def stack(self, tensor):
        carried = tensor.contiguous()
        carried = carried if self._carries(carried) else carried.cpu()
        parts = [torch.empty_like(carried) for _ in range(self.size)]
        dist.all_gather(parts, carried, group=self.group)
        return torch.stack(parts).to(tensor.device)

    def rows(self, rows):
        return RankRows(self, rows)

    def whole(self, rows):
        return torch.cat(self.gather(rows))

    def total(self, number):
        return sum(self.gather(number))

    @_collective
    def add_gradients(self, parameters, loss):
        learned = [each for each in parameters if each.requires_grad]
        present = [each.grad is not None for each in learned]
        gradients = [
            each.grad if here else torch.zeros_like(each)
            for each, here in zip(learned, present, strict=True)
        ]
        # One exchange of all of them: the loss and small layers cost none of their own.
        ends = loss.detach().view(1), loss.new_tensor(present)
        flat = torch.cat([each.flatten() for each in (*gradients, *ends)])
        carried = flat if self._carries(flat) else flat.cpu()
        dist.all_reduce(carried, group=self.group)
        lengths = [each.numel() for each in (*gradients, *ends)]
        *sums, loss, n_present = carried.to(flat.device).split(lengths)
        for i, (parameter, total) in enumerate(zip(learned, sums, strict=True)):
            # A number is only looked at where it must be: that waits for the device.
            if present[i]:
                parameter.grad.copy_(total.view_as(parameter))
            elif n_present[i] > 0:
                parameter.grad = total.view_as(parameter).clone()
        return loss.view(())

    def keep(self, memory, n, index, rows):
        share = self.share(n)
        for places, some in self.gather((index.cpu(), rows)):
            here = (places >= share.start) & (places < share.stop)
            memory[(places[here] - share.start).to(memory.device)] = some[here.to(some.device)]

    def _carries(self, tensor):
        return tensor.device.type in self.carries

    def _padded(self, value):
        """The bytes of a value, as many in each process, and how many of them count in each."""
        data = _packed(value)
        lengths = [torch.empty(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(data)]), group=self.group)
        lengths = [int(length) for length in lengths]
        padded = torch.empty(max(lengths), dtype=torch.uint8)
        padded[: len(data)] = data
        return padded, lengths

    def _unpacked(self, parts, lengths):
        return [_unpacked(part[:n], self.device) for part, n in zip(parts, lengths, strict=True)]


def _packed(value):
    """A value as bytes; tensors travel as arrays, whatever device they are on."""
    file = io.BytesIO()
    _Packer(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return torch.frombuffer(file.getbuffer(), dtype=torch.uint8)


def _unpacked(data, device):
    return _Unpacker(io.BytesIO(data.numpy()), device).load()


class _Packer(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, torch.Tensor):
            return value.detach().cpu().numpy(), value.device.type == "cpu"
        return None


class _Unpacker(pickle.Unpickler):
    def __init__(self, file, device):
        super().__init__(file)
        self.device = device

    def persistent_load(self, packed):
        array, was_on_cpu = packed
        tensor = torch.from_numpy(array)
        return tensor if was_on_cpu else tensor.to(self.device)
