"""How tasks reach the scheduler of dask that is active, and how what they leave there is freed.

Every task is a pure function of values that dask knows, so that a worker that dies costs time and
nothing else: what it held is computed again by others.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any
from weakref import WeakSet

import dask
import dask.multiprocessing
import distributed
from dask.delayed import Delayed

from ._tasks import unwrapped

# Between two looks whether there are workers left, and how long there may be none: a nanny starts
# a worker again in about two seconds.
_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_WITHOUT_WORKERS = 60.0


class Kept(list):
    """Values that stay on workers as long as the list is there, and full."""

    # Each is one of its own, also where others hold the same values.
    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Cluster:
    """The active scheduler, for the time of one fit: leaving the block frees what was kept.

    Parameters
    ----------
    patience : float, default=60
        Seconds in which all workers may be gone before it is an error. Workers that are yet to
        come, as on a cluster that grows on demand, are waited for.

    Raises
    ------
    ValueError
        For a scheduler on which nothing can stay where it was computed.
    """

    def __init__(self, patience: float = _SECONDS_WITHOUT_WORKERS):
        self.patience = patience
        self.client = _active_client()
        self.had_workers = False
        self.kept: WeakSet[Kept] = WeakSet()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # A traceback may hold on to tasks and lists, as that of Ctrl-C does, but not to the values.
        for values in list(self.kept):
            for future in distributed.futures_of(list(values)):
                future.release()
            values.clear()

    @property
    def n_threads(self) -> int:
        """Tasks that run at the same time, at least one."""
        if self.client is None:
            return max(1, dask.config.get("num_workers", None) or os.cpu_count() or 1)
        return sum(self._threads.values())

    @property
    def _threads(self):
        """Threads of each worker, once there is one."""
        if not self.client.nthreads():
            self.client.wait_for_workers(1)
        self.had_workers = True
        return dict(sorted(self.client.nthreads().items()))

    def keep(self, tasks: Iterable[Delayed]) -> Kept:
        """Tasks that are computed now, and whose values stay where they are.

        As long as the list is there; it is emptied when the fit ends.
        """
        with _large_graphs():
            return self.own(dask.persist(*tasks))

    def keep_apart(self, make: Callable[[int], Sequence[Delayed]], n_parts: int) -> list[Kept]:
        """As `keep`, the tasks of each part; every worker gets as many parts as it has threads for.

        The scheduler would leave parts where their blocks happen to be: of 8, up to 5 on one of
        two workers, for which the other one then waits in every iteration.

        Parameters
        ----------
        make : callable
            From the number of a part to its tasks.
        n_parts : int
        """
        if self.client is None:
            of_parts = [make(part) for part in range(n_parts)]
        else:
            of_parts, slots = [], [one for one, n in self._threads.items() for _ in range(n)]
            for part in range(n_parts):
                # Not a condition: where that worker is gone, another one does it.
                worker = slots[part * len(slots) // n_parts]
                with dask.annotate(workers=[worker], allow_other_workers=True):
                    of_parts.append(make(part))
        with _large_graphs():
            kept = iter(dask.persist(*chain(*of_parts)))
        return [self.own(islice(kept, len(tasks))) for tasks in of_parts]

    def own(self, values: Iterable[Delayed]) -> Kept:
        """A list of values that are kept, which is emptied when the fit ends."""
        values = Kept(values)
        self.kept.add(values)
        return values

    def results(self, tasks: Sequence[Delayed]) -> list:
        """The values of tasks, which come here.

        Raises
        ------
        RuntimeError
            Where all workers are gone.
        """
        if self.client is None:
            return unwrapped(list(dask.compute(*tasks)))
        with _large_graphs():
            futures = self.client.compute(list(tasks))
        with _let_go(futures):
            try:
                for _ in self._done(futures):
                    pass
                return unwrapped(self.client.gather(futures))
            finally:
                for future in futures:
                    future.release()

    def done(self, values: Sequence[Delayed]) -> Iterable[int]:
        """Yields how many more of the values that are kept are there, until all are."""
        if self.client is None:
            yield len(values)
            return
        with _let_go(distributed.futures_of(list(values))) as futures:
            yield from self._done(futures)

    def _done(self, futures):
        n_done, seconds_without = 0, 0.0
        while n_done < len(futures):
            try:
                distributed.wait(futures, timeout=_SECONDS_BETWEEN_LOOKS)
            except TimeoutError:
                has_workers = bool(self.client.nthreads())
                self.had_workers |= has_workers
                seconds_without = 0 if has_workers else seconds_without + _SECONDS_BETWEEN_LOOKS
                if self.had_workers and seconds_without > self.patience:
                    raise RuntimeError(
                        f"All workers of the cluster are gone, for {self.patience:g} seconds: "
                        "start some, and call fit again."
                    ) from None
            if any(future.status == "error" for future in futures):
                self.client.gather(futures)  # raises it
            now = sum(future.done() for future in futures)
            # Less than before, where values were lost with their worker.
            n_done, more = max(n_done, now), max(0, now - n_done)
            yield more

    def places(self, values: Sequence[Delayed]) -> list[list[int]]:
        """Which values lie together, as lists of their numbers."""
        if self.client is None:
            return [list(range(len(values)))]
        with _let_go(distributed.futures_of(list(values))) as futures:
            for _ in self._done(futures):
                pass
            where = self.client.who_has(futures)
            together: dict[Any, list[int]] = {}
            for i, future in enumerate(futures):
                together.setdefault(min(where.get(future.key, ()), default=""), []).append(i)
        return list(together.values())


@contextmanager
def _let_go(futures):
    """A list of futures that is empty after the block, whatever traceback holds on to it."""
    try:
        yield futures
    finally:
        futures.clear()


def _large_graphs():
    """Inside the block distributed does not warn of large graphs.

    It would of centers of more than 10 MB, and tell the user to put them in the graph only once,
    which is where they are.
    """
    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})


def _active_client():
    """The client of dask.distributed that is the active scheduler; None for threads, or none."""
    scheduler = dask.base.get_scheduler()
    client = getattr(scheduler, "__self__", None)
    if scheduler is dask.multiprocessing.get:
        raise ValueError(
            'The scheduler "processes" keeps nothing between tasks, so that all patches would be '
            "sent in every iteration: use distributed.Client() for processes on this machine."
        )
    if not isinstance(client, distributed.Client):
        return None
    if client.asynchronous:
        raise ValueError(
            "The active client is asynchronous: use distributed.Client(..., asynchronous=False)."
        )
    if _in_task():
        raise ValueError(
            "sklearn_kmfeat.dask.fit was called inside a task, on a worker that it needs itself: "
            "call it from the process that has the client."
        )
    return client


def _in_task():
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True
