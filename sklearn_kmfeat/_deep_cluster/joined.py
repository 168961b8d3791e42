"""The way into a job of torch.distributed and out of it, together however it ends.

A process that fails leaves its message in a store and closes its connections. So the others, which
wait for it in an exchange, or will, fail at once, and look into the store for the reason.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from traceback import walk_tb
from typing import Any

import torch.distributed as dist

from .._utils.device import resolve_device
from .._utils.quiet import quiet
from .ranks import Job, LostProcessError, Ranks

# What torchrun tells each process.
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# How long a process that failed waits for the others to read why: they may be in the middle of a
# batch. And how long these wait for a message: it was written before the connection was closed.
_UNTIL_READ, _UNTIL_WRITTEN = timedelta(seconds=5), timedelta(seconds=2)
# Whether this thread is in the block of `joined` already.
_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)


@contextmanager
def joined(distributed: bool, device: Any) -> Iterator[Ranks]:
    """This process alone, or as one of those of a job, while the block runs.

    The process group is made, and ended, if there is none; there may be one of the user's, which
    stays. In all processes but the first this library is quiet. Inside the block another one is of
    this process alone: a callback, which calls `predict`, may be that of one process.

    Parameters
    ----------
    distributed : bool
    device : str, torch.device or None
        As in `resolve_device`; a device of CUDA without a number is that of LOCAL_RANK.

    Yields
    ------
    Ranks
        With the device.

    Raises
    ------
    ValueError
        When there is no job to join.
    RuntimeError
        When another process fails, with its message.
    """
    if not distributed or _INSIDE.get():
        yield Ranks(resolve_device(device))
        return
    token = _INSIDE.set(True)
    try:
        with _job(device) as ranks:
            yield ranks
    finally:
        _INSIDE.reset(token)


@contextmanager
def _job(device):
    """The processes of the job; on an error in one of them all leave it."""
    resolved, carries = _device_of_process(device)
    with _default_group():
        if dist.get_world_size() == 1:
            yield Ranks(resolved)
            return
        backend = "cpu:gloo,cuda:nccl" if "cuda" in carries else "gloo"
        job = Job(dist.new_group(backend=backend), resolved, carries)
        try:
            board = _Board(job)
        except BaseException as error:
            job.leave()
            _free_frames(error)
            raise
        try:
            with quiet(not job.is_first):
                yield job
            job.gather(None)  # nobody leaves while another may still fail
        except LostProcessError as error:
            raise RuntimeError(board.read(error)) from error
        except BaseException as error:
            board.write(error)
            _free_frames(error)
            raise
        finally:
            job.leave()
            board.close()


def _free_frames(error):
    """Free what frames of torch hold.

    Connections end with the last reference to their group, and with the last process that has
    them: workers of a loader were forked with them.
    """
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").startswith(
            ("torch.distributed", "torch.utils.data")
        ):
            frame.clear()


def _device_of_process(device):
    """The device, and the types of devices whose tensors can be exchanged as they are."""
    resolved = resolve_device(device)
    # A device with a number may be that of several processes, which nccl refuses.
    if resolved.type != "cuda" or resolved.index is not None or not dist.is_nccl_available():
        return resolved, {"cpu"}
    return resolve_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}"), {"cpu", "cuda"}


@contextmanager
def _default_group():
    """The process group of the user, or one of our own that ends with the block."""
    if not dist.is_available():
        raise ValueError("distributed=True needs a build of torch with torch.distributed.")
    if dist.is_initialized():
        yield
        return
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise ValueError(
            "distributed=True is for the processes of a job, and this is none: there is no "
            f"process group, and {missing[0]} is not set. Start the script with "
            "`torchrun --nproc_per_node=2 script.py`, or set distributed=False."
        )
    store, rank, size = _rendezvous(*(os.environ[name] for name in _NEEDED))
    # A group finds nothing of those before it in a part of the store that is its own.
    number = store.add(f"sklearn_kmfeat/{rank}", 1)
    part = dist.PrefixStore(f"sklearn_kmfeat/group {number}", store)
    dist.init_process_group("gloo", store=part, rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@cache
def _rendezvous(*of_job):
    """The store of the job, which stays open: another process may be at its next fit already."""
    return next(iter(dist.rendezvous("env://")))


def _store(host, port, is_master):
    return dist.TCPStore(host, port, is_master=is_master, wait_for_workers=False)


class _Board:
    """Where a process that fails writes why, and the others read it.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job):
        self.job = job
        self.knows = False
        host = os.environ.get("MASTER_ADDR") or socket.gethostname()
        store = _store("localhost", 0, True) if job.is_first else None
        place = job.from_first((host, store.port) if job.is_first else None)
        self.store = store if job.is_first else _store(*place, False)

    def write(self, error: BaseException) -> None:
        """Leave the message of an error of this process."""
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        who = f"Process {self.job.rank} of {self.job.size}"
        with suppress(RuntimeError):
            self.store.compare_set("failure", "", f"{who} failed with {message}")
            self._mark()

    def read(self, error: LostProcessError) -> str:
        """Why another process has ended, if it said so; otherwise with the error seen here."""
        try:
            self.store.wait(["failure"], _UNTIL_WRITTEN)
            message = self.store.get("failure").decode()
            self._mark()
            return message
        except RuntimeError:
            return (
                "Another process of the job has ended without a message: it was killed, or its "
                "machine has no memory left. Start the job again; with a checkpoint it goes on "
                f"after the last epoch. The exchange ended with: {str(error).partition(chr(10))[0]}"
            )

    def close(self) -> None:
        """Wait, after a failure, until all have read of it: the store ends with its process."""
        if self.knows:
            with suppress(RuntimeError):
                self.store.wait([f"{i} knows" for i in range(self.job.size)], _UNTIL_READ)

    def _mark(self):
        self.knows = True
        self.store.set(f"{self.job.rank} knows", "")
