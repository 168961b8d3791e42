"""Coarse threads: each works on pieces of its own, with torch on one thread.

torch divides each product and each sum among its threads, which spin until the last one is done.
Beside two other busy processes on two cores, that makes an assignment of k-means 15 times as long;
threads that meet only where a piece is done take their share of the processor: about twice as long.
"""

import ctypes
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from typing import Any

import torch
from joblib.parallel import get_active_backend

from .ahead import done_ahead
from .settings import standard_settings

#: A weak reference to how many threads may work on what this thread divides, once it has asked.
_THIS_THREAD = threading.local()


@contextmanager
def coarse_threads(n: int | None = None) -> Iterator[None]:
    """Inside the block, torch computes on one thread, and `in_threads` on as many as torch had.

    So nothing depends on how torch divides its work. The numbers are those of the calling thread
    alone, and put back at the end. Where this build of torch has no such numbers, nothing changes.

    Parameters
    ----------
    n : int or None, default=None
        Threads of `in_threads`; None: as many as torch had. Inside another such block, those of
        the outer one.
    """
    if _asked() is not None or _setters() is None:
        yield
        return
    asked, back = _Asked(n_threads() if n is None else n), _way_back()
    try:
        _THIS_THREAD.asked = weakref.ref(asked)
        _on_one_thread()
        yield
    finally:
        # An interrupt may stop either of them, but hardly both.
        try:
            back()
        finally:
            back()
            vars(_THIS_THREAD).pop("asked", None)


class _Asked:
    """That this thread divides its work; gone with the call, however it ends."""

    def __init__(self, n_threads):
        self.n_threads = n_threads


def _asked():
    reference = getattr(_THIS_THREAD, "asked", None)
    return None if reference is None else reference()


def n_threads() -> int:
    """Threads that `in_threads` would use here.

    As many as torch; in the processes of joblib, that is what joblib left each of them. One in the
    threads of joblib, which share the processor already, and inside `in_threads`.
    """
    asked = _asked()
    if asked is not None:
        return asked.n_threads
    if _setters() is None or _is_thread_of_joblib():
        return 1
    return torch.get_num_threads()


def in_threads(
    worker: Callable[[], Callable[[Any], Any]],
    items: Iterable[Any],
    device: torch.device,
    most: int | None = None,
) -> Iterator[Any]:
    """Results of a function of the items, in their order.

    Parameters
    ----------
    worker : callable
        Called once in each thread; gives the function from an item to its result, with memory of
        its own that it may use again for the next item. No result may depend on that memory.
    items : iterable
        Read in the calling thread, a few items ahead.
    device : torch.device
        Where the work is done. Threads are for the CPU: elsewhere, and for one thread or one item,
        the calling thread does it all.
    most : int or None, default=None
        The largest number of threads, for what memory they need; None: no matter how many.

    Yields
    ------
    result
        Of the next item. An error in a thread ends all, and is raised here.
    """
    n, items = n_threads() if device.type == "cpu" else 1, iter(items)
    n = n if most is None else min(n, max(1, most))
    first = list(islice(items, 2)) if n > 1 else []
    items = chain(first, items)
    if len(first) < 2:
        yield from map(worker(), items)
        return
    function = _InThread(worker, torch.is_grad_enabled())
    yield from done_ahead(function, items, budget=n + 2, n_threads=n)


def run_in_threads(
    worker: Callable[[], Callable[[Any], None]],
    items: Iterable[Any],
    device: torch.device,
    most: int | None = None,
) -> None:
    """As `in_threads`, for a function that writes its results itself."""
    for _ in in_threads(worker, items, device, most):
        pass


class _InThread:
    """The function that a worker gives, with what a new thread needs before."""

    def __init__(self, worker, with_gradients):
        self.worker = worker
        self.with_gradients = with_gradients
        self.of_thread = threading.local()

    def __call__(self, item):
        with standard_settings(), torch.set_grad_enabled(self.with_gradients):
            if not hasattr(self.of_thread, "function"):
                self.of_thread.asked = _Asked(1)
                _THIS_THREAD.asked = weakref.ref(self.of_thread.asked)
                torch.get_num_threads()  # the first call sets what torch believes to be right
                _on_one_thread()
                self.of_thread.function = self.worker()
            return self.of_thread.function(item)


def _on_one_thread():
    """torch computes on one thread what this thread asks of it.

    `torch.set_num_threads` would also decide for all threads that begin later.
    """
    for put in _setters():
        put(1)


def _way_back():
    """A function that puts back on how many threads torch computes what this thread asks of it."""
    set_openmp, set_mkl = _setters()
    # Asked first: the first call in a thread sets what torch believes to be right.
    n_openmp = torch.get_num_threads()
    n_mkl = set_mkl(1)
    set_mkl(n_mkl)

    def back():
        set_openmp(n_openmp)
        set_mkl(n_mkl)

    return back


@cache
def _setters():
    """The functions of OpenMP and MKL that do this; None where one cannot be reached."""
    try:
        library = ctypes.CDLL(torch._C.__file__)  # and all that it is linked with
        set_openmp = library.omp_set_num_threads
        if not torch.backends.mkl.is_available():
            return set_openmp, lambda n: n
        return set_openmp, library.MKL_Set_Num_Threads_Local
    except (AttributeError, OSError):
        return None


def _is_thread_of_joblib():
    """Whether this is one of the threads among which joblib divides tasks."""
    if threading.current_thread() is threading.main_thread():
        return False
    return getattr(get_active_backend()[0], "nesting_level", 0) > 0
