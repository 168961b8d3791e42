"""Progress of a fit, for scikit-learn's callbacks and for `verbose`.

The tasks of a fit form a tree, of which the callbacks see every node begin and end:

    fit
    |-- reading patches      steps: batches of images
    |-- k-means              steps: iterations; one such task for every start
    `-- epoch                steps: epochs (of deep clustering)
"""

import sys
from collections.abc import Callable
from typing import Any

from .quiet import is_quiet


class FitProgress:
    """The root of the tree.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
    X, y : object
        Handed to the callbacks.
    """

    def __init__(self, estimator: Any, X: Any, y: Any = None):
        self.estimator = estimator
        self.given = {"estimator": estimator, "X": X, "y": y}
        self.root = _NoCallbacks()
        if not is_quiet():
            self.root = estimator._init_callback_context(max_subtasks=None)
        self.root.call_on_fit_task_begin(**self.given)

    def task(self, name: str, max_subtasks: int | None) -> "Task":
        """Begin a task of the fit."""
        return Task(self, name, max_subtasks)

    def end(self, attributes: Callable[[], dict]) -> None:
        """End the fit; `attributes` is a function that gives the fitted ones."""
        self.root.call_on_fit_task_end(**self.given, reconstruction_attributes=attributes)


class _NoCallbacks:
    """In place of a context of scikit-learn, where another process calls the callbacks."""

    def subcontext(self, **task):
        return self

    def call_on_fit_task_begin(self, **given):
        pass

    def call_on_fit_task_end(self, **given):
        return False


class Task:
    """A part of a fit that is made of steps; use it in a ``with`` block."""

    def __init__(self, progress: FitProgress, name: str, max_subtasks: int | None):
        self.progress = progress
        self.name = name
        self.max_subtasks = max_subtasks
        self.n_steps = 0

    def __enter__(self):
        self.context = self.progress.root.subcontext(
            task_name=self.name, max_subtasks=self.max_subtasks
        )
        self.context.call_on_fit_task_begin(**self.progress.given)
        return self

    def step(self, note: str = "", attributes: Callable[[], dict] | None = None) -> bool:
        """Note that one step is done; returns whether a callback asks to stop.

        Parameters
        ----------
        note : str
            Written with `verbose`.
        attributes : callable or None
            Gives the fitted attributes as if the fit ended here.
        """
        self.n_steps += 1
        estimator, given = self.progress.estimator, self.progress.given
        leaf = self.context.subcontext(task_name=f"{self.name} step")
        leaf.call_on_fit_task_begin(**given)
        stop = leaf.call_on_fit_task_end(**given, reconstruction_attributes=attributes)
        if estimator.verbose:
            total = "" if self.max_subtasks is None else f"/{self.max_subtasks}"
            report(estimator, f"{self.name} {self.n_steps}{total}{note}")
        return bool(stop)

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.context.call_on_fit_task_end(**self.progress.given)


def report(estimator: Any, message: str) -> None:
    """Write one line for `verbose`, but not inside `quiet`."""
    if is_quiet():
        return
    sys.stdout.write(f"[{type(estimator).__name__}] {message}\n")
    sys.stdout.flush()


class TransformProgress:
    """Writes a line for `verbose` whenever another tenth of the images is encoded.

    Parameters
    ----------
    estimator : estimator
    n_images : int
    """

    def __init__(self, estimator: Any, n_images: int):
        self.estimator = estimator
        self.n_images = n_images
        self.n_lines = 0

    def __call__(self, n_done: int) -> None:
        """Note that `n_done` images are encoded."""
        n_lines = 10 * n_done // self.n_images
        if n_lines > self.n_lines:
            self.n_lines = n_lines
            report(self.estimator, f"encoded {n_done}/{self.n_images} images")
