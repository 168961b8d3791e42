"""How tasks reach the scheduler of dask that is active, and how what they leave there is freed.

Every task is a pure function of values that dask knows, so that a worker that dies costs time and
nothing else: what it held is computed again by others.
"""

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import dask
import distributed
from dask.delayed import Delayed

from ._tasks import released

# Between two looks whether there are workers left, and how long there may be none: a nanny starts
# a worker again in about two seconds.
_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_WITHOUT_WORKERS = 60.0


class Cluster:
    """The active scheduler, for the time of one fit: leaving the block frees what was kept.

    Parameters
    ----------
    patience : float, default=60
        Seconds in which all workers may be gone before it is an error. Workers that are yet to
        come, as on a cluster that grows on demand, are waited for.
    """

    def __init__(self, patience: float = _SECONDS_WITHOUT_WORKERS):
        self.patience = patience
        self.client = _active_client()
        self.kept: list[list[Delayed]] = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # A traceback may hold on to the objects, as that of Ctrl-C does, but not to their values.
        for values in self.kept:
            values.clear()

    @property
    def n_threads(self) -> int:
        """Tasks that run at the same time, at least one."""
        if self.client is None:
            return max(1, dask.config.get("num_workers", None) or dask.system.CPU_COUNT)
        return max(1, sum(self.client.nthreads().values()))

    def keep(self, tasks: Iterable[Delayed]) -> list[Delayed]:
        """Tasks that are computed now, and whose values stay where they are.

        As long as the list is there; it is emptied when the fit ends.
        """
        return self.own(dask.persist(*tasks))

    def own(self, values: Iterable[Delayed]) -> list[Delayed]:
        """A list of values that are kept, which is emptied when the fit ends."""
        values = list(values)
        self.kept = [each for each in self.kept if each] + [values]
        return values

    def results(self, tasks: Sequence[Delayed]) -> list:
        """The values of tasks, which come here.

        Raises
        ------
        RuntimeError
            Where all workers are gone.
        """
        if self.client is None:
            return released(list(dask.compute(*tasks)))
        with _released(self.client.compute(list(tasks))) as futures:
            for _ in self._done(futures):
                pass
            return released(self.client.gather(futures))

    def done(self, values: Sequence[Delayed]) -> Iterable[int]:
        """Yields how many more of the values that are kept are there, until all are."""
        if self.client is None:
            yield len(values)
            return
        with _released(distributed.futures_of(values)) as futures:
            yield from self._done(futures)

    def _done(self, futures):
        n_done, had_workers, seconds_without = 0, False, 0.0
        while n_done < len(futures):
            try:
                distributed.wait(futures, timeout=_SECONDS_BETWEEN_LOOKS)
                seconds_without = 0.0
            except TimeoutError:
                has_workers = bool(self.client.nthreads())
                had_workers |= has_workers
                seconds_without = 0 if has_workers else seconds_without + _SECONDS_BETWEEN_LOOKS
                if had_workers and seconds_without > self.patience:
                    raise RuntimeError(
                        f"All workers of the cluster are gone, for {self.patience:g} seconds: "
                        "start some, and call fit again."
                    ) from None
            now = sum(future.done() for future in futures)
            n_done, more = now, now - n_done
            yield more

    def places(self, values: Sequence[Delayed]) -> list[list[int]]:
        """Which values lie together, as lists of their numbers."""
        if self.client is None:
            return [list(range(len(values)))]
        with _released(distributed.futures_of(values)) as futures:
            for _ in self._done(futures):
                pass
            where = self.client.who_has(futures)
            together: dict[Any, list[int]] = {}
            for i, future in enumerate(futures):
                together.setdefault(min(where.get(future.key, ()), default=""), []).append(i)
        return list(together.values())


@contextmanager
def _released(futures):
    """The futures, which nobody holds after the block, as a traceback would."""
    futures = list(futures)
    try:
        yield futures
    finally:
        futures.clear()


def _active_client():
    """The client of dask.distributed that is the active scheduler, or None."""
    name = dask.config.get("scheduler", None)
    if name not in ("dask.distributed", "distributed"):
        return None
    return distributed.get_client()
