"""What the library does on a GPU, in ten minutes and one table.

    python benchmarks/gpu.py                              # the first CUDA device, or MPS
    python benchmarks/gpu.py --probe-minutes 10           # longer training before the linear probe
    python benchmarks/gpu.py --only kmeans features       # some of the parts
    python benchmarks/gpu.py --device cpu --quick         # tries the script itself, anywhere

k-means beside other k-means for GPUs, where they are installed (``pip install flash-kmeans
fast-pytorch-kmeans psutil pynvml``), and beside the bare products that it needs; features of all
images of CIFAR-10; deep clustering with ResNet-18. CIFAR-10 is read from SKLEARN_KMFEAT_DATA; where
it is missing, the shipped sample, repeated, gives the same times and no accuracy. The table is
written to `results/`. What fails is told below it, and does not stop the rest.
"""

import argparse
import sys
import traceback
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from _data import cifar10_images
from _deep_speed import epochs
from _kmeans_speed import whitened_patches
from _linear import ridge_accuracy
from _report import bare_product, report
from skorch.callbacks import Callback

from sklearn_kmfeat import DeepClusterEstimator, KMeansFilterLearner
from sklearn_kmfeat._core.assign import nearest, squared_errors
from sklearn_kmfeat._core.hierarchical import hierarchical
from sklearn_kmfeat._core.kmeans import MOMENTUM, kmeans
from sklearn_kmfeat._core.seeding import sample_rows
from sklearn_kmfeat._utils.device import matmul_precision
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample

# Seconds after which a part repeats nothing more: together with the five minutes of training
# before the linear probe, and what is under way then, ten minutes.
BUDGETS = {"kmeans": 90, "features": 60, "deep": 90}
# Iterations of k-means whose difference is the time of some, without that of setting up.
FEW, MANY = 1, 6
# Lloyd's iterations that the hierarchical start is followed by, and those it is compared with.
AFTER_START, FROM_ROWS = 10, 50
# For the linear probe, with two classifiers of so many pseudo-labels, as in `_deep_probes.py`.
PROBE = {"head": "prototypes", "sobel": False, "augment": "color"}
N_PSEUDO_LABELS, FEW_PSEUDO_LABELS = (500, 500), (30, 30)
PENALTIES = (30, 300, 3000, 30_000)
NO_GPU = (
    "No GPU: torch sees neither CUDA nor MPS on this machine. Nothing was run. To try the script "
    "itself: python benchmarks/gpu.py --device cpu --quick"
)


@dataclass
class Run:
    """What the parts share: where and how large, and what they have measured."""

    device: torch.device
    quick: bool
    probe_minutes: float
    rows: list = field(default_factory=list)
    remarks: list = field(default_factory=list)
    deadline: float = 0.0

    def row(self, work, ours, beside=None, theirs=None, target=None, result=None):
        """Add a row: medians of lists of seconds, and of the ratios."""
        ratio = None if theirs is None else round(float(np.median(np.divide(theirs, ours))), 3)
        row = {
            "work": work,
            "ours (s)": float(np.median(ours)),
            "beside": beside,
            "theirs (s)": None if theirs is None else float(np.median(theirs)),
            "ratio": ratio,
            "to reach": target,
            "result": result,
        }
        print(row, flush=True)
        self.rows.append(row)

    def remark(self, text):
        """Add a sentence below the table."""
        print(text, flush=True)
        self.remarks.append(text)

    def failure(self, name):
        """Add the error that is being handled."""
        text = "".join(f"\n      {line}" for line in traceback.format_exc().splitlines())
        self.remark(f"FAILED: {name}\n{text}\n")

    def timed(self, call):
        """Seconds until the device is done, and what the call returns."""
        self.wait()
        start = perf_counter()
        result = call()
        self.wait()
        return perf_counter() - start, result

    def wait(self):
        """Until the device is done."""
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()

    def in_turn(self, ways, repetitions=5):
        """Seconds of ways to do the same, a list each; after the deadline, once is enough."""
        seconds = {name: [] for name in ways}
        for i in range(repetitions):
            if i and perf_counter() > self.deadline:
                break
            for name, way in ways.items():
                seconds[name].append(way())
        return seconds


def main():
    """Read the command line, run the parts, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto (default), cuda, cuda:1, mps, cpu")
    parser.add_argument("--quick", action="store_true", help="small sizes: tries the script")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some of the parts")
    parser.add_argument(
        "--probe-minutes", type=float, default=5.0, help="of training before the linear probe"
    )
    options = parser.parse_args()
    device = chosen_device(options.device)
    if device.type == "cpu" and not options.quick:
        sys.exit("On the CPU there is nothing to see here: add --quick to try the script.")
    minutes = min(options.probe_minutes, 0.05) if options.quick else options.probe_minutes
    run = Run(device, options.quick, minutes)
    try:
        for name in options.only or PARTS:
            measured(run, name)
    finally:
        if run.rows:
            write(run, options.only)


def chosen_device(name):
    """The device of that name; ends the program where there is no GPU to choose."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    sys.exit(NO_GPU)


def measured(run, name):
    """Run one part; its error becomes a remark."""
    print(f"{name} ...", flush=True)
    start = perf_counter()
    run.deadline = start + BUDGETS.get(name, 0)
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        PARTS[name](run)
    except Exception:
        run.failure(name)
    memory = ""
    if run.device.type == "cuda":
        memory = f", with up to {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the device"
        torch.cuda.empty_cache()
    run.remark(f"{name} took {perf_counter() - start:.0f} s{memory}.")


def write(run, only):
    """The table, with the name of the device."""
    quick = " (quick: small sizes, no figures)" if run.quick else ""
    name = "_".join(["gpu", *(only or []), *(["quick"] if run.quick else [])])
    report(name, f"On {name_of(run.device)}{quick}", run.rows, run.remarks)


def name_of(device):
    """What the device calls itself."""
    if device.type != "cuda":
        return {"mps": "a GPU of Apple", "cpu": "the CPU"}[device.type]
    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"


# k-means


def bench_kmeans(run):
    """A Lloyd step beside bare products and other k-means; the hierarchical start."""
    n, k = (5000, 64) if run.quick else (400_000, 1600)
    patches, origin = whitened_patches(n)
    X = torch.from_numpy(patches).to(run.device)
    start = X[torch.from_numpy(np.random.RandomState(0).permutation(n)[:k]).to(run.device)]
    run.remark(f"k-means: {n:,} whitened patches of 6x6x3 of {origin}, float32.")
    work = f"Lloyd step, {n:,} x {X.shape[1]}, K={k}"
    tiles = X.split(2**28 // (4 * k))
    product = exact(bare_product(tiles, start.T.contiguous()))
    ways = {"the matrix product alone": lambda: run.timed(product)[0]}
    found = {}

    def step(way):
        few, _ = run.timed(lambda: way(X, start.clone(), FEW))
        many, centers = run.timed(lambda: way(X, start.clone(), MANY))
        return (many - few) / (MANY - FEW), centers

    for name, way in {"ours": our_kmeans, **OTHERS}.items():
        try:
            way(X, start.clone(), FEW)  # compiles, fills caches
            found[name] = step(way)[1]
            ways[name] = lambda way=way: step(way)[0]
        except ImportError as error:
            run.remark(f"{name} cannot be imported ({error}): no row of it.")
        except Exception:
            run.failure(name)
    seconds = run.in_turn(ways)
    flops = 2 * n * k * (X.shape[1] + 1)
    ours = seconds.pop("ours")
    for name, theirs in seconds.items():
        bare = name.startswith("a bare")
        rate = f"{flops / np.median(theirs) / 1e12:.2f} TFLOP/s" if bare else None
        run.row(work, ours, name, theirs, ">= 0.8" if bare else None, rate)
    best = inertia(X, found["ours"])
    for name in set(found) - {"ours"}:
        run.remark(
            f"{name}: inertia after {MANY} iterations from the same start is "
            f"{inertia(X, found[name]) / best - 1:+.1e} beside ours (relative)."
        )
    bench_hierarchical(run, X, k)


def bench_hierarchical(run, X, k):
    """The hierarchical start with a few iterations, beside many from random rows."""

    def ours():
        start = hierarchical(X, k, np.random.RandomState(0))
        return kmeans(X, start, max_iter=AFTER_START, tol=0, momentum=MOMENTUM).centers

    def lloyd():
        start = sample_rows(X, k, np.random.RandomState(0))
        return kmeans(X, start, max_iter=FROM_ROWS, tol=0).centers

    run.timed(ours)
    seconds = run.in_turn(
        {"ours": lambda: run.timed(ours)[0], "lloyd": lambda: run.timed(lloyd)[0]}, 3
    )
    change = inertia(X, ours()) / inertia(X, lloyd()) - 1
    run.row(
        f"hierarchical start, {AFTER_START} iterations with momentum, K={k}",
        seconds["ours"],
        f"{FROM_ROWS} Lloyd iterations from random rows",
        seconds["lloyd"],
        None,
        f"inertia {100 * change:+.2f} %",
    )


def exact(call):
    """A function with products of float32, whatever the settings are."""

    def called():
        with matmul_precision("exact"):
            return call()

    return called


def our_kmeans(X, start, n_iter):
    """Centers after some iterations."""
    with matmul_precision("exact"):
        return kmeans(X, start, max_iter=n_iter, tol=0).centers


def flash_kmeans(X, start, n_iter):
    """Centers of flash-kmeans, whose products are in TF32."""
    from flash_kmeans import batch_kmeans_Euclid

    found = batch_kmeans_Euclid(
        X[None], len(start), max_iters=n_iter, tol=-1.0, init_centroids=start[None]
    )
    return found[1][0]


def fast_pytorch_kmeans(X, start, n_iter):
    """Centers of fast-pytorch-kmeans."""
    from fast_pytorch_kmeans import KMeans

    model = KMeans(len(start), max_iter=n_iter, tol=-1.0)
    model.fit(X, centroids=start)
    return model.centroids


OTHERS = {"flash-kmeans": flash_kmeans, "fast-pytorch-kmeans": fast_pytorch_kmeans}


def inertia(X, centers):
    """Sum of the squared distances to the nearest center."""
    centers = centers.to(X).contiguous()
    with matmul_precision("exact"):
        errors = squared_errors(X, centers, nearest(X, centers)[0])
    return float(errors.cpu().double().sum())


# Features


def bench_features(run):
    """Triangle features of all images of CIFAR-10, beside the bare products."""
    n, k = (200, 64) if run.quick else (60_000, 1600)
    images, origin = cifar10_images(50_000)
    images = np.resize(images, (n, 32, 32, 3))
    some = {"n_patches": 2000 if run.quick else 400_000, "max_iter": 10, "random_state": 0}
    learner = KMeansFilterLearner(k, device=str(run.device), **some)
    fit, _ = run.timed(lambda: learner.fit(images[:50_000]))
    run.row(f"K={k} filters from {some['n_patches']:,} patches, 10 iterations, end to end", [fit])
    patches = torch.randn(27 * 27 * 100, 110, device=run.device)
    filters = torch.randn(110, k, device=run.device)
    product = exact(bare_product([patches] * (n // 100), filters))
    for precision in ("exact", "fast"):
        learner.set_params(precision=precision)
        learner.transform(images[: n // 10])
        ways = {
            "ours": lambda: run.timed(lambda: learner.transform(images))[0],
            "product": lambda: run.timed(product)[0],
        }
        seconds = run.in_turn(ways, 3)
        run.row(
            f"triangle features of {n:,} images, 6x6, K={k}, 2x2 sums, {precision}",
            seconds["ours"],
            "the matrix product alone",
            seconds["product"],
            ">= 0.7" if precision == "exact" else None,
            f"{n / np.median(seconds['ours']):,.0f} images/s",
        )
    run.remark(f"Features: images of {origin}, from NumPy on the host and back to it.")


# Deep clustering


def bench_deep(run):
    """An epoch beside a supervised epoch, a forward pass and the k-means, taken in turn."""
    images, network = deep_images(run)[0]
    ours, theirs = epochs(images, network, run.device.type, 2 if run.quick else 3)
    run.row(
        f"deep clustering, an epoch of {len(images):,} images, {network}",
        ours,
        "supervised epoch + forward pass + k-means",
        theirs,
        ">= 0.77",
        f"{len(images) / np.median(ours):,.0f} images/s",
    )
    run.remark(
        "Deep clustering: bfloat16 on CUDA, channels last, images resident on the device; both "
        "have the same network, labels, batches and precision, ours makes random views."
    )


def bench_probe(run):
    """A linear classifier on embeddings that were learned in some minutes, without labels."""
    (images, network), origin = deep_images(run)
    parameters = PROBE | {
        **{"module": network, "device": str(run.device), "random_state": 0},
        "precision": "fast" if run.device.type == "cuda" else "exact",
        "n_pseudo_labels": FEW_PSEUDO_LABELS if run.quick else N_PSEUDO_LABELS,
    }
    trial = DeepClusterEstimator(**parameters | {"max_epochs": 2}).fit(images)
    each = sum(trial.history_[-1].get(f"seconds_{part}", 0) for part in PHASES)
    seconds = 60 * run.probe_minutes
    n_epochs = max(1, int(seconds / each))
    late = EndAt(perf_counter() + 1.1 * seconds)
    learner = DeepClusterEstimator(**parameters | {"max_epochs": n_epochs, "callbacks": [late]})
    duration, _ = run.timed(lambda: learner.fit(images))
    train, test = probe_sets(origin, run.quick)
    accuracies = {}
    for name, probed in {"learned": learner, "random": trial.set_params(max_epochs=0)}.items():
        probed = probed if name == "learned" else probed.fit(images)
        rows = [(probed.transform(X), y) for X, y in (train, test)]
        accuracies[name], _ = ridge_accuracy(*rows, PENALTIES)
    run.row(
        f"linear probe of {network} after {duration / 60:.1f} minutes, {learner.n_iter_} epochs",
        [duration],
        "the same network with random weights",
        None,
        ">= 75 % after 10 minutes",
        f"{100 * accuracies['learned']:.1f} %, random {100 * accuracies['random']:.1f} %",
    )
    run.remark(
        f"Linear probe, {origin}: ridge on the embedding, its penalty chosen on a fifth of the "
        f"training images; the training had {n_epochs} epochs to do, {each:.1f} s each in a trial."
    )


PHASES = ("features", "clustering", "learning")


class EndAt(Callback):
    """Ends a training at the end of the epoch in which the time is over."""

    def __init__(self, deadline):
        self.deadline = deadline

    def on_epoch_begin(self, net, **kwargs):
        """Skorch takes a KeyboardInterrupt for the wish to stop."""
        if perf_counter() > self.deadline:
            raise KeyboardInterrupt


def deep_images(run):
    """Training images with the network for them, and where they are from."""
    images, origin = cifar10_images(300 if run.quick else 50_000)
    return (images, "small" if run.quick else "resnet18"), origin


def probe_sets(origin, quick):
    """Images and classes that the linear classifier learns from, and is tested on."""
    if origin == "CIFAR-10" and not quick:
        sets = (fetch_cifar10(subset=each, return_X_y=True) for each in ("train", "test"))
        return tuple(sets)
    X, y = load_cifar10_sample(return_X_y=True)
    return (X[:300], y[:300]), (X[300:500], y[300:500])


PARTS = {
    "kmeans": bench_kmeans,
    "features": bench_features,
    "deep": bench_deep,
    "probe": bench_probe,
}


if __name__ == "__main__":
    main()
