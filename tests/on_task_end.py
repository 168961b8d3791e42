"""A callback of scikit-learn's that calls a function."""


class OnTaskEnd:
    """Calls a function whenever a task of a fit ends, from the `first` one on.

    Parameters
    ----------
    function : callable
        Without arguments.
    first : int, default=1
    """

    requires_fit_info = ()

    def __init__(self, function, first=1):
        self.function, self.first = function, first

    def setup(self, estimator, context):
        self.n_ended = 0

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.n_ended += 1
        if self.n_ended >= self.first:
            self.function()
