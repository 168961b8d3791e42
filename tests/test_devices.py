"""The core and all estimators on a device: a pretended one, and a real one where there is one.

On the pretended device (`pretended_device.py`) two devices do not mix, NumPy takes no tensors, and
numbers are those of the CPU. The same fits run on CUDA where the machine has it.
"""

import importlib
import pickle
import pkgutil
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from torch import nn
from torchvision.transforms import v2

from core_calls import CALLS
from pretended_device import another_machine, pretended
from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ClusterClassifier,
    ConsensusClusterer,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    NeighborAverager,
    PatchExtractor,
    ZCAWhitener,
    to_torch,
)
from sklearn_kmfeat._core.encoders import ENCODERS
from sklearn_kmfeat._deep_cluster import clustering
from sklearn_kmfeat._deep_cluster.sources import image_batches
from sklearn_kmfeat._inputs.arrays import ArraySource

# Two epochs on a dozen photos: some versions of torch draw numbers that leave one large cluster.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Epoch \d+. one cluster holds:sklearn.exceptions.ConvergenceWarning"
)

# Of the core: what computes with NumPy, sizes or files alone, and what is only typing.
NOT_ON_DEVICES = {
    *("deal_channels", "draw_seeds", "most_similar", "balanced_groups", "strongest_channels"),
    *("agreement_matrix", "mean_agreement", "Vote", "one_hot", "auto_eps", "check_size"),
    *("map_size", "PatchGrid", "grid_spans", "window_spans", "symmetric", "Tiling", "shares"),
    *("Dictionary", "Coding", "Step", "Encoder", "Strip", "Cells", "MirrorCells"),
    *("reduced_dtype", "wide_dtype", "with_mirrored"),
    *("Rows", "OnePart", "ForEach", "in_parts", "plain", "by_part"),
}
# Their results, or parts of them, belong on the CPU, wherever the rows are.
ON_CPU = {
    *("Moments", "RunningSums", "square_similarities", "inverse_deviations"),
    *("Windows", "gain_shape", "convolutional"),
}


@dataclass
class Device:
    """A device, and how far its numbers may lie from those of the CPU."""

    kind: str
    rtol: float
    atol: float
    pretended: Any = None

    @property
    def exact(self):
        return self.kind == "cuda" and self.pretended is not None

    def close(self, found, expected):
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(found, expected, rtol=self.rtol, atol=self.atol * scale)


@pytest.fixture(params=["pretended cuda", "pretended mps", "cuda"])
def device(request):
    kind = request.param.split()[-1]
    if request.param == kind:
        if not torch.cuda.is_available():
            pytest.skip("this machine has no CUDA device; the pretended one stands in for it")
        yield Device(kind, 1e-3, 1e-3)
        return
    with pretended(kind) as one:
        yield Device(kind, 1e-5, 3e-6 if kind == "cuda" else 1e-4, one)
        assert one.global_draws == 0
        assert one.hidden_copies == 0


@pytest.fixture(autouse=True)
def few_starts(monkeypatch):
    # Starts for the final clusters take nine tenths of the time of a deep fit.
    monkeypatch.setattr(clustering, "_LARGEST_N_INIT", 2)
    monkeypatch.setattr(clustering, "_LEAST_N_INIT", 2)


# The core


def flat(value):
    """All tensors and numbers in a result."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, bool | int | float):
        return [torch.tensor(float(value))]
    if is_dataclass(value):
        return flat([getattr(value, field.name) for field in fields(value)])
    if isinstance(value, dict):
        return flat(list(value.values()))
    if isinstance(value, list | tuple):
        return [part for each in value for part in flat(each)]
    assert value is None or callable(value)
    return []


# On MPS torch's own norm calls what it warns of.
@pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")
@pytest.mark.parametrize("name", CALLS)
def test_core(name, device):
    function, args = CALLS[name]
    if device.kind == "mps" and name == "zca_matrices":
        pytest.skip("a covariance is in float64, which MPS has not: it stays on the CPU")
    expected = flat(function(*(arg.clone() for arg in args)))
    found = flat(function(*(arg.clone().to(device.kind) for arg in args)))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        device.close(a.cpu().double().numpy(), b.double().numpy())
    if device.pretended is not None and name.split()[0] not in ON_CPU:
        assert all(a.device.type == device.kind or not a.ndim for a in found)


def test_every_function_of_the_core_is_called():
    core = importlib.import_module("sklearn_kmfeat._core")
    public = set()
    for module in pkgutil.iter_modules(core.__path__, "sklearn_kmfeat._core."):
        for name, value in vars(importlib.import_module(module.name)).items():
            defined = getattr(value, "__module__", None) == module.name
            if defined and not name.startswith("_"):
                public.add(name)
    called = {name.split()[0] for name in CALLS}
    assert public - called - NOT_ON_DEVICES == set(), "add them to tests/core_calls.py"


# Estimators

FEW = {"n_patches": 200, "max_iter": 2, "patch_size": 4, "random_state": 0}
FEW_WINDOWS = {"n_windows": 60, "max_iter": 2, "patch_size": 3, "random_state": 0}
TINY = {
    "max_epochs": 2,
    "batch_size": 6,
    "n_pseudo_labels": 4,
    "lr_schedule": "constant",
    "net_params": {"module__width": 4},
    "random_state": 0,
}


SMALL_HEAD = {
    "head": "prototypes",
    "net_params": TINY["net_params"] | {"head__n_hidden": 8, "head__n_projected": 6},
}


class Dropping(nn.Module):
    """A network that draws random numbers in each step."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 6, 3)
        self.drop = nn.Dropout2d(0.2)
        self.attend = nn.MultiheadAttention(6, 1, dropout=0.1, batch_first=True)

    def forward(self, x):
        x = self.drop(self.conv(x)).flatten(2).transpose(1, 2)
        return nn.functional.dropout(self.attend(x, x, x)[0].mean(1), 0.1, self.training)


PATCHES = {
    **{f"{how} {init}": KMeansFilterLearner(8, algorithm=how, init=init, n_init=2, **FEW)
       for how in ("lloyd", "spherical", "random") for init in ("sample", "k-means++")},
    **{f"{encoder}": KMeansFilterLearner(8, encoder=encoder, split_sign=True, **FEW)
       for encoder in ENCODERS},
    **{f"{encoder}, plain": KMeansFilterLearner(
        8, encoder=encoder, whiten_eps=None, contrast="image", pool="max", pool_grid=3, **FEW)
       for encoder in ENCODERS},
    "many filters": KMeansFilterLearner(260, **FEW | {"n_patches": 300}),
    "maps": KMeansFilterLearner(8, output="maps", pool_size=2, **FEW),
    "no contrast": KMeansFilterLearner(8, contrast=None, pool="mean", pool_grid=5, **FEW),
    "bag": BagOfPatches(8, **FEW),
    "windows": ConvKMeans(6, **FEW_WINDOWS),
    "groups": ConvKMeans(3, connections=[[0, 1], [1, 2]], contrast="image", **FEW_WINDOWS),
    "connections": ConvKMeans(
        3, connections=ChannelConnections(2, 2, random_state=0), **FEW_WINDOWS
    ),
}  # fmt: skip
OTHERS = {
    "correlation": ChannelConnections(2, 2, method="correlation", random_state=0),
    "random": ChannelConnections(2, 2, method="random", random_state=0),
    "supervised": ChannelConnections(
        2, 2, method="supervised", max_epochs=2, n_hidden=4, random_state=0
    ),
    "classifier": ClusterClassifier(
        make_pipeline(KMeansFilterLearner(8, **FEW), KMeans(4, random_state=0))
    ),
    "neighbors": make_pipeline(BagOfPatches(8, **FEW), NeighborAverager(3)),
    # These have no device: beside one, they stay on the CPU.
    "patches": PatchExtractor(3, n_patches=50, random_state=0),
    "contrast": ContrastNormalizer(),
    "whitener": ZCAWhitener(),
    "consensus": ConsensusClusterer(
        3,
        [("bags", make_pipeline(BagOfPatches(8, **FEW), KMeans(3, random_state=0)))],
        n_runs=2,
        random_state=0,
    ),
}
DEEP = {
    **{f"reset {augment}": DeepClusterEstimator(3, augment=augment, **TINY)
       for augment in ("crop", "affine")},
    "prototypes color": DeepClusterEstimator(3, augment="color", **TINY | SMALL_HEAD),
    "nothing drawn": DeepClusterEstimator(3, augment=None, **TINY),
    "projection": DeepClusterEstimator(
        3, cluster_space="projection", n_init=2, **TINY | SMALL_HEAD
    ),
    "Adam": DeepClusterEstimator(3, layer="clusters", optimizer=torch.optim.Adam, lr=1e-3, **TINY),
    "a layer": DeepClusterEstimator(3, layer="conv2", **TINY),
    "torchvision": DeepClusterEstimator(3, augment=v2.RandomHorizontalFlip(), **TINY),
}  # fmt: skip
ALL = PATCHES | OTHERS | DEEP


def photos():
    """Images and classes, large enough for a patch and small enough for a second."""
    rng = np.random.RandomState(0)
    y = np.arange(12) % 3
    X = rng.randint(0, 80, (12, 8, 8, 3))
    for k in range(3):
        X[y == k, 2 * k : 2 * k + 3] += 150
    return X.astype(np.uint8), y


def moved(estimator, kind):
    """The estimator with each of its devices set."""
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "device"]
    return estimator.set_params(**dict.fromkeys(names, kind))


def results(estimator, X):
    """What the estimator makes of X."""
    methods = (each for each in ("transform", "predict") if hasattr(estimator, each))
    return {method: np.asarray(getattr(estimator, method)(X)) for method in methods}


def arrays(estimator):
    """Fitted attributes that are arrays of numbers."""
    return {
        name: value
        for name, value in vars(estimator).items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    }


@cache
def on_cpu(name):
    """The fit on the CPU, and what it makes of the images."""
    X, y = photos()
    fitted = clone(ALL[name]).fit(X, y)
    return fitted, results(fitted, X)


def fitted_on(device, name):
    X, y = photos()
    return moved(clone(ALL[name]), device.kind).fit(X, y), X


def tensors_in(value, path="", seen=None):
    """Paths of tensors in a fitted estimator; not in its net, which may stay on the device."""
    seen = set() if seen is None else seen
    if id(value) in seen or path.endswith(".net_"):
        return []
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        return [path]
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple | set):
        parts = enumerate(value)
    else:
        parts = getattr(value, "__dict__", {}).items()
    return [found for key, part in parts for found in tensors_in(part, f"{path}.{key}", seen)]


@pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")
@pytest.mark.parametrize("name", PATCHES | OTHERS)
def test_patches(name, device):
    expected, of_expected = on_cpu(name)
    fitted, X = fitted_on(device, name)
    found = results(fitted, X)
    if device.exact:
        before = arrays(expected)
        assert arrays(fitted).keys() == before.keys()
        for attribute, value in arrays(fitted).items():
            device.close(value, before[attribute])
    assert found.keys() == of_expected.keys()
    for method, value in found.items():
        if device.pretended is not None:
            device.close(value, of_expected[method])
        assert value.shape == of_expected[method].shape
    assert not tensors_in(fitted)


@pytest.mark.parametrize("name", [*ENCODERS, "many filters", "maps", "bag", "windows", "groups"])
def test_models_of_the_cpu_encode_there(name, device):
    expected, of_expected = on_cpu(name)
    there = pickle.loads(pickle.dumps(expected))
    for method, value in results(moved(there, device.kind), photos()[0]).items():
        device.close(value, of_expected[method])


def test_fast_products_are_near_exact_ones(device):
    """On a CPU they may be of bfloat16, on CUDA of TF32."""
    exact, of_exact = on_cpu("maps")
    fast = moved(pickle.loads(pickle.dumps(exact)), device.kind).set_params(precision="fast")
    found, expected = fast.transform(photos()[0]), of_exact["transform"]
    np.testing.assert_allclose(found, expected, atol=0.05 * expected.max())


@pytest.mark.parametrize(
    "name", ["lloyd sample", "spherical sample", "random sample", "windows", "groups", "bag"]
)
def test_streams(name, device):
    X, _ = photos()
    streams = [moved(clone(ALL[name]), kind) for kind in ("cpu", device.kind)]
    here, there = (each.partial_fit(X[:6]).partial_fit(X[6:]) for each in streams)
    assert not tensors_in(there)
    if device.pretended is not None:
        device.close(there.cluster_centers_, here.cluster_centers_)
        device.close(there.transform(X), here.transform(X))


@pytest.mark.parametrize("name", ["triangle", "knn", "groups", "windows", "bag", "maps"])
def test_exported_modules_run_there(name, device):
    fitted, of_fitted = on_cpu(name)
    module = to_torch(fitted)
    module = (module.float() if device.kind == "mps" else module).to(device.kind)
    images = torch.from_numpy(photos()[0]).permute(0, 3, 1, 2).float().to(device.kind)
    images.requires_grad_(True)
    found = module(images)
    assert found.device.type == device.kind
    found.sum().backward() if found.requires_grad else None
    found = found.detach().cpu()
    found = found.permute(0, 2, 3, 1) if found.ndim == 4 else found
    device.close(found.numpy(), of_fitted["transform"])


@pytest.mark.parametrize("name", DEEP)
def test_deep(name, device):
    _, of_expected = on_cpu(name)
    fitted, X = fitted_on(device, name)
    found = results(fitted, X)
    np.testing.assert_array_equal(found["predict"], fitted.labels_)
    assert np.isfinite(found["transform"]).all()
    assert found["transform"].shape == of_expected["transform"].shape
    assert np.isfinite(fitted.score(X))
    assert not tensors_in(fitted)
    assert all(p.device.type == device.kind for p in fitted.net_.module_.parameters())
    if device.exact:
        device.close(found["transform"], of_expected["transform"])
        np.testing.assert_array_equal(found["predict"], of_expected["predict"])
    elif device.pretended is not None:
        assert adjusted_rand_score(found["predict"], of_expected["predict"]) == 1


@pytest.mark.parametrize("output", ["distances", "clusters", "embedding", "transform"])
def test_deep_modules_come_back(output, device):
    fitted, X = fitted_on(device, "reset crop")
    module = fitted.to_torch(output)
    images = torch.from_numpy(X).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        here, there = module(images), module.to(device.kind)(images.to(device.kind))
    assert here.device.type == "cpu"
    assert there.device.type == device.kind
    device.close(there.cpu().numpy(), here.numpy())
    if output == "clusters":
        np.testing.assert_array_equal(here.numpy(), fitted.labels_)


@pytest.mark.parametrize("head", [{}, SMALL_HEAD])
def test_networks_learn_in_reduced_precision(head, device):
    X, y = photos()
    dtypes = set()
    fast = DeepClusterEstimator(3, precision="fast", device=device.kind, **TINY | head)
    with pytest.MonkeyPatch.context() as patch:
        look = nn.functional.conv2d

        def conv2d(images, *args):
            maps = look(images, *args)
            if maps.device.type == device.kind:
                dtypes.add(maps.dtype)
            return maps

        patch.setattr(nn.functional, "conv2d", conv2d)
        fast.fit(X, y)
    assert dtypes == {torch.bfloat16 if device.kind == "cuda" else torch.float32}
    assert all(p.dtype == torch.float32 for p in fast.net_.module_.parameters())
    np.testing.assert_array_equal(fast.predict(X), fast.labels_)


def test_a_large_network_learns_there():
    X, y = photos()
    with pretended("cuda"):
        params = {"module": "resnet18", "precision": "fast", "max_epochs": 1, "n_pseudo_labels": 4}
        deep = DeepClusterEstimator(3, device="cuda", random_state=0, **params).fit(X, y)
        np.testing.assert_array_equal(deep.predict(X), deep.labels_)
        convolutions = deep.net_.module_.network.modules()
        weights = [m.weight for m in convolutions if isinstance(m, nn.Conv2d)]
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
        assert all(w.is_cuda for w in weights)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_networks_that_draw(kind):
    X, _ = photos()
    params = TINY | {"module": Dropping, "net_params": {}, "max_epochs": 1, "device": kind}
    state = torch.get_rng_state()
    with pretended(kind) as one:
        before = one.generator.get_state()
        rows = [DeepClusterEstimator(3, **params).fit(X).transform(X) for _ in range(2)]
        assert torch.equal(one.generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize("name", ["triangle", "groups", "classifier", "reset crop", "projection"])
def test_models_come_back_to_a_cpu(name, kind):
    with pretended(kind) as one:
        fitted, X = fitted_on(Device(kind, 0, 0, one), name)
        expected, pickled = results(fitted, X), pickle.dumps(fitted)
    with another_machine():
        if name in DEEP:
            with pytest.warns(UserWarning, match=f"fitted on device='{kind}.*now it is on 'cpu'"):
                model = pickle.loads(pickled)
        else:
            model = pickle.loads(pickled)
            with pytest.raises(ValueError, match="this machine has none"):
                model.predict(X)
            moved(getattr(model, "clusterer_", model), None)
        for method, value in results(model, X).items():
            np.testing.assert_allclose(value, expected[method], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_plain_data_comes_back_to_a_cpu(kind):
    with pretended(kind) as one:
        fitted, X = fitted_on(Device(kind, 0, 0, one), "reset crop")
        expected, plain = fitted.transform(X), fitted.__getstate__()
        assert not tensors_in(plain)
    with pytest.warns(UserWarning, match="now it is on 'cpu'"):
        (model := clone(fitted)).__setstate__(plain)
    np.testing.assert_allclose(model.transform(X), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@pytest.mark.parametrize("head", [{}, SMALL_HEAD])
def test_a_fit_goes_on_elsewhere(head, kind, tmp_path):
    X, _ = photos()
    whole = DeepClusterEstimator(3, **TINY | head).fit(X)
    part = clone(whole).set_params(checkpoint=tmp_path / "file", max_epochs=1)
    with pretended(kind):
        there = clone(part).set_params(device=kind).fit(X)
        again = clone(there).set_params(max_epochs=2, checkpoint=None, warm_start=True)
        assert again.fit(X).net_.device == kind
    with another_machine():
        found = part.set_params(max_epochs=2).fit(X)
    assert [record["epoch"] for record in found.history_] == [1, 2]
    np.testing.assert_allclose(found.transform(X), whole.transform(X), rtol=1e-4, atol=1e-4)


# Images that stay on the device


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_stay_on_cuda(dtype):
    X = photos()[0].astype(dtype)
    index = torch.tensor([3, 0, 3, 11])
    here, shape = image_batches(ArraySource(X, X.shape[1:]), None, torch.device("cpu"))
    assert here.resident is None
    with pretended():
        there, same_shape = image_batches(ArraySource(X, X.shape[1:]), None, torch.device("cuda"))
        assert there.resident.is_cuda
        assert there.resident.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
        (images, back), (expected, _) = there.__getitems__(index), here.__getitems__(index)
        assert shape == same_shape
        assert back is index
        assert images.is_cuda
        assert images.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(images.cpu(), expected)


def test_images_stay_where_they_are_if_memory_is_short(monkeypatch):
    X = photos()[0]
    with pretended():
        for free, stays in ((2 * X.size - 1, False), (2 * X.size, True)):
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, n=free: (n, 2**40))
            batches, _ = image_batches(ArraySource(X, X.shape[1:]), None, torch.device("cuda"))
            assert (batches.resident is not None) == stays
