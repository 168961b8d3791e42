"""What two processes of a job do for `test_distributed.py`; each leaves results in files.

    python in_job.py FOLDER CASE ...

Every process runs all cases, one after the other: to start processes takes longer than most cases.
"""

import contextlib
import io
import os
import pickle
import signal
import sys
import time
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._core.kmeans import kmeans
from sklearn_kmfeat._core.seeding import kmeans_plusplus, sample_rows
from sklearn_kmfeat._deep_cluster import joined as joined_module
from sklearn_kmfeat._deep_cluster.clustering import (
    euclidean_clusters,
    final_clusters,
    fit_pca_whitening,
    spherical_clusters,
    spread,
)
from sklearn_kmfeat._deep_cluster.joined import joined
from sklearn_kmfeat._deep_cluster.sharing import among
from sklearn_kmfeat.datasets import load_mnist_sample

#: A batch of 33 images is divided into 17 and 16.
PARAMS = {
    "n_clusters": 4,
    "n_pseudo_labels": 9,
    "batch_size": 33,
    "max_epochs": 2,
    "lr_schedule": "constant",
    "net_params": {"module__width": 4},
    "random_state": 0,
}


def rank():
    return int(os.environ.get("RANK", 0))


sample = cache(load_mnist_sample)


def digits(n=120):
    return sample().images[:n], sample().target[:n]


def estimator(**params):
    params = {"distributed": "RANK" in os.environ} | PARAMS | params
    return DeepClusterEstimator(**params)


class FirstGradient(Callback):
    """The pseudo-labels and the gradient of the first step."""

    def __init__(self):
        self.gradients = None

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if self.gradients is None:
            self.labels = net.pseudo_labels_.clone()
            self.gradients = {name: p.grad.clone() for name, p in named_parameters}


def first_gradient(head):
    """Without random views, whose numbers are others in each process."""
    watcher = FirstGradient()
    fitted = estimator(head=head, augment=None, max_epochs=1, callbacks=[watcher])
    # Where pixels are equal, as beside a digit, rounding decides which is the largest.
    fitted.fit(np.random.RandomState(0).rand(200, 16, 16))
    return watcher.labels, watcher.gradients, fitted.history_[0]["loss"]


def gradients():
    return {head: first_gradient(head) for head in ("reset", "prototypes")}


def fits():
    """Fitted estimators, and what they give."""
    X, y = digits()
    results = {}
    for head in ("reset", "prototypes"):
        fitted = estimator(head=head, n_pseudo_labels=(9, 5), n_init=1).fit(X, y)
        with torch.no_grad():
            given = fitted.predict(X[:101]), fitted.transform(X[:101]), fitted.transform(X[:1])
        of_layer = fitted.set_params(layer="conv2").transform(X[:11])
        given = (*given, of_layer, fitted.set_params(layer="embedding").score(X, y))
        results[head] = pickle.dumps(fitted), given
    assert not torch.distributed.is_initialized()
    return results


def checkpoint(path, max_epochs, **params):
    fitted = estimator(head="prototypes", checkpoint=path, max_epochs=max_epochs, **params)
    return pickle.dumps(fitted.fit(digits()[0]))


def checkpoints(folder):
    """One whole fit, one in two parts, and one that goes on from a single process."""
    whole = checkpoint(folder / "whole", 2, n_init=2)
    checkpoint(folder / "parts", 1, n_init=2)
    return whole, checkpoint(folder / "parts", 2, n_init=2), checkpoint(folder / "single", 2)


def warm():
    """A fit that goes on, and one without a seed."""
    first = estimator(head="prototypes", max_epochs=1, warm_start=True, random_state=None)
    first.fit(digits()[0])
    return pickle.dumps(first.set_params(max_epochs=2).fit(digits()[0]))


class StopsAlone(Callback):
    """Asks to stop in the second process only, in the middle of the second epoch."""

    def on_batch_end(self, net, **kwargs):
        if rank() == 1 and len(net.records_) == 1:
            raise KeyboardInterrupt


def callbacks():
    stopped = []
    for callback in (EarlyStopping(monitor="train_loss", patience=1, threshold=10), StopsAlone()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = estimator(max_epochs=5, callbacks=[callback]).fit(digits()[0])
        stopped.append((fitted.n_iter_, [str(each.message) for each in caught]))
    return stopped


def lines():
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        estimator(verbose=1, max_epochs=1).fit(digits()[0])
    return written.getvalue()


class Drawing:
    """A Dataset of digits with noise, which its workers draw."""

    def __len__(self):
        return 60

    def __getitem__(self, i):
        return torch.from_numpy(digits()[0][i]).float()[None] + torch.rand(1, 28, 28), 0


class Unreadable(Drawing):
    """A Dataset that the worker of one process cannot read."""

    def __getitem__(self, i):
        if rank() == 1 and torch.utils.data.get_worker_info() is not None:
            raise ValueError("no such file")
        return super().__getitem__(i)


def workers():
    before = torch.random.get_rng_state()
    reading = {"iterator_train__num_workers": 1, "iterator_valid__num_workers": 1}
    fitted = [
        estimator(net_params=PARAMS["net_params"] | reading, augment=None).fit(X)
        for X in (digits(60)[0], Drawing())
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    return [pickle.dumps(each.net_.module_.state_dict()) for each in fitted]


class Views:
    """Random views that do something else in one process, at the third batch."""

    def __init__(self, of_rank, act):
        self.of_rank, self.act, self.n_batches = of_rank, act, 0

    def __call__(self, images):
        self.n_batches += 1
        if rank() == self.of_rank and self.n_batches == 3:
            self.act()
        return images


def failing(of_rank, act, X=None, **params):
    begin = time.monotonic()
    try:
        fitted = estimator(augment=Views(of_rank, act), **params)
        fitted.fit(digits()[0] if X is None else X)
    except BaseException as error:
        assert not torch.distributed.is_initialized()
        return type(error).__name__, str(error), time.monotonic() - begin
    return None


def raise_error():
    raise ValueError("no such view")


def raise_interrupt():
    raise KeyboardInterrupt


def failures():
    """Errors in one process, errors in both, and a fit that works after them."""
    X = digits()[0]
    found = [failing(1, raise_error), failing(0, raise_interrupt), failing(0, raise_error)]
    found.append(failing(0, None, X[: 100 + rank()]))
    found.append(failing(0, None, np.full_like(X, np.nan, dtype=np.float32)))
    found.append(failing(0, None, X[:1]))
    # Its worker has the connections, too.
    reading = {"module__width": 4, "iterator_train__num_workers": 1}
    found.append(failing(None, None, Unreadable(), net_params=reading))
    return found, estimator(max_epochs=1).fit(X).labels_


def message(method, *args):
    """What the error of a method says."""
    try:
        method(*args)
    except (ValueError, RuntimeError) as error:
        return str(error)
    return None


def different():
    """What differs between the processes is named, in `fit` and in the other methods."""
    X, other = digits()[0], digits()[0].copy()
    other[-1, 14, 14] += rank()
    fitted = estimator(max_epochs=1, warm_start=True).fit(X)
    given = fitted if rank() else estimator(max_epochs=1, warm_start=True)
    return [
        message(fitted.predict, X[: 100 + rank()]),
        message(fitted.transform, other),
        message(estimator().fit, other),
        message(estimator(lr=0.1 * (1 + rank())).fit, X),
        message(given.fit, X),
        message(estimator(augment=None, max_epochs=1).fit, Drawing()),
    ]


class AsksTheFitted:
    """A callback of scikit-learn, of the first process, that calls the fitted estimator."""

    max_propagation_depth = 0

    def __init__(self):
        self.labels = None

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **others):
        if fitted_estimator is not None and context.parent is None:
            self.labels = fitted_estimator.predict(digits()[0])

    def teardown(self, estimator, context):
        pass


def nested():
    """A call inside a fit is of one process alone.

    Without epochs, as between two of them there is no fitted estimator.
    """
    callback = AsksTheFitted()
    fitted = estimator(max_epochs=0).set_callbacks(callback).fit(digits()[0])
    return callback.labels, fitted.labels_, fitted.predict(digits()[0])


def unreachable():
    """The store of the messages, from one process; the next fit works."""
    made = joined_module._store
    if rank() == 1:
        joined_module._store = refuse
    begin = time.monotonic()
    found = message(estimator().fit, digits()[0]), time.monotonic() - begin
    joined_module._store = made
    return found, estimator(max_epochs=1).fit(digits()[0]).labels_


def refuse(*args):
    raise RuntimeError("no such store")


def missing_gradients():
    """Of parameters that one process did not use, or none."""
    parameters = [torch.ones(2, requires_grad=True) for _ in range(3)]
    with joined(True, None) as ranks:
        loss = (parameters[ranks.rank] * torch.tensor([1.0, 2.0])).sum()
        loss.backward()
        total = ranks.add_gradients(parameters, loss)
    return total, [each.grad for each in parameters]


class Remembering(nn.Module):
    """A network with a buffer that depends on the images."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8))
        self.register_buffer("seen", torch.zeros(784))

    def forward(self, images):
        if self.training:
            self.seen.lerp_(images.flatten(1).mean(0), 0.5)
        return self.layers(images.flatten(1) - self.seen)


def buffers():
    """A fit of a network with other buffers, and seeds of loaders that read."""
    X = digits()[0]
    fitted = estimator(module=Remembering, net_params=None, sobel=False).fit(X)
    with joined(True, None) as ranks:
        net = among(fitted.net_, ranks)
        seeds = [
            each.loader("iterator_valid", X, partial(torch.arange, 10)).generator.initial_seed()
            for each in (fitted.net_, net)
        ]
    return fitted.net_.module_.state_dict(), fitted.labels_, fitted.predict(X), seeds


def killed():
    return failing(1, lambda: os.kill(os.getpid(), signal.SIGKILL))


def small_batches():
    with contextlib.suppress(ValueError):
        joined_batches(1)
    return joined_batches(2)


def joined_batches(n):
    with joined(True, None) as ranks:
        return ranks.divide(torch.arange(n))


def with_group_of_the_user(folder):
    """It stays."""
    address = f"file://{folder / 'group'}"
    torch.distributed.init_process_group("gloo", address, rank=rank(), world_size=2)
    labels = estimator(max_epochs=1).fit(digits()[0]).labels_
    assert torch.distributed.is_initialized()
    torch.distributed.destroy_process_group()
    return labels


def rows_of(n=301, d=6):
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(0, 5, (n,), generator=generator)
    return torch.randn(n, d, generator=generator) + 4 * F.one_hot(kinds, d)


def clusterings():
    """What k-means makes of rows, those of a process or of several."""
    whole, found = rows_of(), {}
    directions = F.normalize(whole)
    equal = torch.cat([directions[:1].expand(60, -1), directions[:40]])
    with joined("RANK" in os.environ, None) as ranks:

        def shared(rows):
            return ranks.rows(rows[ranks.share(len(rows))].clone())

        def rng():
            return np.random.RandomState(0)

        rows = shared(whole)
        index = torch.tensor([300, 0, 150, 151, 0])
        found["some"] = rows[index], rows[3:7], rows[:]
        found["groups"] = rows.grouped(
            lambda rows, factor: rows.sum(0) * factor,
            [np.array([0, 299]), np.array([5]), np.array([200, 7, 3])],
            [(1,), (2,), (3,)],
        )
        found["spread"] = torch.tensor(spread(rows))
        whitening = fit_pca_whitening(rows, 3)
        # The sign of a component is that of rounding.
        found["whitening"] = whitening.mean, whitening.components.abs()
        found["starts"] = sample_rows(rows, 5, rng()), kmeans_plusplus(rows, 5, rng())
        found["centers"] = kmeans(rows, whole[:5], max_iter=20, tol=0).centers
        found["labels"] = euclidean_clusters(rows, 5, 20, rng())
        found["spherical"] = spherical_clusters(shared(directions), 5, 20, rng())
        found["none lost"] = spherical_clusters(shared(equal), 12, 20, rng()).unique()
        for name, n_ranked in (("final", None), ("ranked", 50)):
            found[name] = final_clusters(rows, 5, rng(), n_init=3, n_ranked=n_ranked).centers
    return found


def normalized():
    """Batch normalisation of a batch that is divided: outputs, statistics and gradients."""
    generator = torch.Generator().manual_seed(1)
    maps = 3 + 2 * torch.randn(7, 4, 5, 5, generator=generator)
    factors = torch.randn(maps.shape, generator=generator)
    found = []
    with joined("RANK" in os.environ, None) as ranks:
        own = ranks.divide(torch.arange(len(maps)))
        for layer in (
            nn.BatchNorm2d(4),
            nn.BatchNorm2d(4, affine=False),
            nn.BatchNorm2d(4, track_running_stats=False),
            nn.BatchNorm2d(4, momentum=None),
        ):
            if layer.affine:
                nn.init.uniform_(layer.weight, generator=torch.Generator().manual_seed(2))
            for form in (torch.contiguous_format, torch.channels_last):
                x = maps[own].to(memory_format=form).requires_grad_()
                layer.zero_grad()
                with ranks.synchronized():
                    y = layer(x)
                (y * factors[own]).sum().backward()
                of_layer = [ranks.stack(p.grad).sum(0) for p in layer.parameters()]
                given = ranks.whole(y.detach()), ranks.whole(x.grad)
                state = [buffer.clone() for buffer in layer.buffers()]
                with ranks.synchronized():
                    evaluated = layer.eval()(maps) if layer.track_running_stats else y.detach()
                layer.train()
                found.append([*given, *of_layer, *state, ranks.whole(evaluated[:1].detach())])
    return found


def purity(seeds):
    X, y = digits(2000)
    params = {"n_clusters": 10, "n_pseudo_labels": "auto", "batch_size": "auto", "max_epochs": 4}
    params |= {"lr_schedule": "cosine", "net_params": None}
    return [
        estimator(**params, random_state=seed).fit(X, y).history_[-1]["purity_true"]
        for seed in seeds
    ]


def purities():
    return purity([0])


CASES = {
    function.__name__: function
    for function in (
        *(gradients, fits, checkpoints, warm, callbacks, lines, workers, failures, killed),
        *(different, nested, unreachable, missing_gradients, buffers),
        *(small_batches, with_group_of_the_user, clusterings, normalized, purities),
    )
}


def main(folder, *names):
    folder = Path(folder)
    for name in names:
        given = [folder] if name in ("checkpoints", "with_group_of_the_user") else []
        begin = time.monotonic()
        result = CASES[name](*given)
        seconds = time.monotonic() - begin
        (folder / f"{name}.{rank()}").write_bytes(pickle.dumps(result))
        sys.stderr.write(f"{name} {seconds:.1f} s\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
