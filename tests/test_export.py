"""Modules that go out: traced, exported and in ONNX they give the same numbers."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from sklearn_kmfeat import (
    BagOfPatches,
    ClusterClassifier,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    ZCAWhitener,
    to_torch,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.trace(_method)?` is deprecated:FutureWarning"),
]
SIZES = (1, 4, 17)
GROUPS = [[0, 1], [2, 1]]


def patches(encoder, **parameters):
    defaults = {"n_filters": 6, "patch_size": 3, "n_patches": 400, "max_iter": 2}
    return KMeansFilterLearner(**defaults | {"random_state": 0, "encoder": encoder} | parameters)


def windows(encoder, **parameters):
    defaults = {"n_filters": 6, "patch_size": 3, "n_windows": 300, "max_iter": 2}
    return ConvKMeans(**defaults | {"random_state": 0, "encoder": encoder} | parameters)


def deep(**parameters):
    small = {"n_pseudo_labels": 6, "batch_size": 16, "net_params": {"module__width": 4}}
    return DeepClusterEstimator(3, max_epochs=1, random_state=0, **small | parameters)


def stack():
    connections = [[0, 3], [5, 1]]
    return make_pipeline(
        ContrastNormalizer(),
        windows("soft_threshold", contrast=None, output="maps", pool_size=2),
        windows("triangle", connections=connections, patch_size=2, pool="mean"),
        FunctionTransformer(np.sqrt),
        StandardScaler(),
    )


def images(dtype="float32"):
    return (255 * np.random.RandomState(0).rand(40, 9, 11, 3)).astype(dtype)


def rows():
    return np.random.RandomState(0).rand(40, 12).astype(np.float32) + 3


#: An estimator, what it learns from, the method that gives the numbers, and whether it goes to
#: ONNX, too, which takes seconds.
CASES = {
    "hard": (patches("hard", pool_grid=(2, 2)), images(), "transform", False),
    "hard, groups": (
        windows("hard", connections=GROUPS, contrast="image", split_sign=True, pool_grid=(5, 4)),
        images(),
        "transform",
        False,
    ),
    "triangle": (
        patches("triangle", contrast="image", whiten_eps=None, pool="mean", split_sign=True),
        images() + 500,
        "transform",
        True,
    ),
    "triangle, maps": (
        windows("triangle", pool="max", pool_size=2, output="maps"),
        images("float64"),
        "transform",
        False,
    ),
    "soft_threshold": (
        windows("soft_threshold", connections=GROUPS, pool="max", pool_grid=(2, 2), alpha=0.1),
        images(),
        "transform",
        True,
    ),
    "soft_threshold, maps": (
        patches("soft_threshold", contrast=None, whiten_eps=None, output="maps", stride=(1, 2)),
        images(),
        "transform",
        False,
    ),
    "knn": (
        windows("knn", contrast=None, pool="sum", pool_size=(3, 2), output="maps"),
        images("float64"),
        "transform",
        True,
    ),
    "knn, many": (
        patches("knn", n_filters=260, knn_fraction=0.1, pool="mean", pool_grid=1),
        images(),
        "transform",
        False,
    ),
    "mirrored": (patches("triangle", mirror=True, pool_grid=(2, 2)), images(), "transform", True),
    "words": (BagOfPatches(5, patch_size=4, n_patches=300), images("uint8"), "transform", False),
    "ready": (patches("hard", whiten_eps=0.1, n_patches=40), rows(), "transform", False),
    "whitened": (
        make_pipeline(ZCAWhitener(), patches("triangle", contrast=None, whiten_eps=None)),
        images(),
        "transform",
        False,
    ),
    "ready, knn": (patches("knn", contrast=None, whiten_eps=None), rows(), "transform", False),
    "scores": (
        make_pipeline(stack(), Normalizer(), PCA(4, whiten=True), LogisticRegression()),
        images(),
        "decision_function",
        False,
    ),
    "union": (
        FeatureUnion([("patches", patches("hard")), ("deep", deep())]),
        images(),
        "transform",
        False,
    ),
    "distances": (
        make_pipeline(patches("hard"), KMeans(4, random_state=0)),
        images(),
        "transform",
        False,
    ),
    "classes": (
        ClusterClassifier(
            make_pipeline(patches("soft_threshold"), MiniBatchKMeans(2, random_state=0)),
            strategy="hungarian",  # a class without cluster, whose score is minus infinity
        ),
        images(),
        None,
        True,
    ),
    "deep": (deep(), images(), None, False),
    "deep, prototypes": (
        deep(head="prototypes", input_size=(8, 8), cluster_space="projection"),
        images("uint8"),
        None,
        True,
    ),
}
IN_ONNX = [name for name, (*_, in_onnx) in CASES.items() if in_onnx]


@cache
def module_and_input(name):
    estimator, X, *_ = CASES[name]
    estimator.fit(X, np.arange(len(X)) % 3)
    module = to_torch(estimator).eval()
    channels_first = X if X.ndim == 2 else X.transpose(0, 3, 1, 2)
    return module, torch.from_numpy(channels_first.copy())


@cache
def expected(name):
    """Numbers of the estimator where it has such a method, otherwise of the module."""
    estimator, X, method, _ = CASES[name]
    module, inputs = module_and_input(name)
    if method is None:
        return module(inputs).detach().numpy()
    numbers = getattr(estimator, method)(X)
    return numbers.transpose(0, 3, 1, 2) if numbers.ndim == 4 else numbers


@cache
def program(name):
    module, inputs = module_and_input(name)
    free = ({0: torch.export.Dim("n")},)
    return torch.export.export(module, (inputs[:4],), dynamic_shapes=free)


def assert_same_numbers(name, function):
    _, inputs = module_and_input(name)
    for n in SIZES:
        found, numbers = function(inputs[:n]), expected(name)[:n]
        assert found.shape == numbers.shape
        assert found.dtype == numbers.dtype
        largest = np.abs(numbers[np.isfinite(numbers)]).max()
        np.testing.assert_allclose(found, numbers, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("name", CASES)
def test_trace(name):
    module, inputs = module_and_input(name)
    traced = torch.jit.trace(module, (inputs[:4],))
    assert_same_numbers(name, lambda some: traced(some).detach().numpy())


@pytest.mark.parametrize("name", CASES)
def test_export(name):
    exported = program(name).module()
    assert_same_numbers(name, lambda some: exported(some).detach().numpy())


def onnx_session(*args, **kwargs):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = torch.onnx.export(*args, dynamo=True, verbose=False, **kwargs).model_proto
    # What is written into a tensor would become a scatter: slow, and not in all programs.
    assert not any(node.op_type.startswith("Scatter") for node in model.graph.node)
    session = runtime.InferenceSession(model.SerializeToString())
    name = session.get_inputs()[0].name
    return lambda some: session.run(None, {name: some.numpy()})[0]


@pytest.mark.parametrize("name", IN_ONNX)
def test_onnx(name):
    assert_same_numbers(name, onnx_session(program(name)))


def test_onnx_of_a_module():
    """And not of its program."""
    module, inputs = module_and_input("hard")
    free = ({0: torch.export.Dim("n")},)
    assert_same_numbers("hard", onnx_session(module, (inputs[:4],), dynamic_shapes=free))


def test_compile():
    module, _ = module_and_input("knn")
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert_same_numbers("knn", lambda some: compiled(some).detach().numpy())


def test_the_number_of_images_is_free_and_their_size_is_not():
    module, inputs = module_and_input("deep")
    free = ({0: torch.export.Dim("n"), 2: torch.export.Dim("height")},)
    with pytest.raises(Exception, match="height"):
        torch.export.export(module, (inputs[:4],), dynamic_shapes=free)


def test_filters_of_a_record_can_be_trained():
    module, inputs = module_and_input("triangle")
    torch.jit.trace(module, (inputs[:4],))(inputs[:5]).square().mean().backward()
    assert module.filters.grad.isfinite().all()
    assert module.filters.grad.any()
