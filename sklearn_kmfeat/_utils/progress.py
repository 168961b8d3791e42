"""Progress of a fit, for scikit-learn's callbacks and for `verbose`."""

import sys


class FitProgress:
    """The tree of tasks of one fit: reading patches, then runs of iterations.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
    X : object
        Handed to the callbacks.

    Attributes
    ----------
    prefix : str
        Begins the names of tasks.
    """

    def __init__(self, estimator, X):
        self.estimator = estimator
        self.X = X
        self.prefix = ""
        self.root = estimator._init_callback_context(max_subtasks=None)
        self.root.call_on_fit_task_begin(estimator=estimator, X=X)

    def task(self, name, max_subtasks):
        """Begin a task of the fit."""
        return Task(self, self.prefix + name, max_subtasks)

    def end(self, attributes):
        """End the fit; `attributes` is a function that gives the fitted ones."""
        self.root.call_on_fit_task_end(
            estimator=self.estimator, X=self.X, reconstruction_attributes=attributes
        )


class Task:
    """A part of a fit that is made of steps; use it in a ``with`` block."""

    def __init__(self, progress, name, max_subtasks):
        self.progress = progress
        self.name = name
        self.max_subtasks = max_subtasks
        self.n_steps = 0
        self.stopped = False

    def __enter__(self):
        self.context = self.progress.root.subcontext(
            task_name=self.name, max_subtasks=self.max_subtasks
        )
        self.context.call_on_fit_task_begin(estimator=self.progress.estimator, X=self.progress.X)
        return self

    def step(self, note="", attributes=None):
        """One step is done; returns whether a callback asks to stop.

        Parameters
        ----------
        note : str
            Shown with `verbose`.
        attributes : callable or None
            Gives the fitted attributes as if the fit ended here.
        """
        self.n_steps += 1
        estimator, X = self.progress.estimator, self.progress.X
        leaf = self.context.subcontext(task_name=f"{self.name} step")
        leaf.call_on_fit_task_begin(estimator=estimator, X=X)
        stop = leaf.call_on_fit_task_end(
            estimator=estimator, X=X, reconstruction_attributes=attributes
        )
        if estimator.verbose:
            total = "" if self.max_subtasks is None else f"/{self.max_subtasks}"
            report(estimator, f"{self.name} {self.n_steps}{total}{note}")
        self.stopped = bool(stop)
        return self.stopped

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.context.call_on_fit_task_end(estimator=self.progress.estimator, X=self.progress.X)


def report(estimator, message):
    """Write one line for `verbose`."""
    sys.stdout.write(f"[{type(estimator).__name__}] {message}\n")
    sys.stdout.flush()


class Tenths:
    """Reports every tenth of a long transform for `verbose`.

    Parameters
    ----------
    estimator : estimator
    n_images : int
    """

    def __init__(self, estimator, n_images):
        self.estimator = estimator
        self.n_images = n_images
        self.told = 0

    def __call__(self, done):
        """Note that `done` images are encoded."""
        tenths = 10 * done // self.n_images
        if tenths > self.told:
            self.told = tenths
            report(self.estimator, f"encoded {done}/{self.n_images} images")
