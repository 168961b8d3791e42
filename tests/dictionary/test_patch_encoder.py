"""One encoder behind transform, predict and to_torch, and what it takes to add a code."""

import threading
import time

import numpy as np
import pytest
import sklearn
import torch

from sklearn_kmfeat import ConvKMeans, KMeansFilterLearner
from sklearn_kmfeat._core.encoders import ENCODERS, Encoder
from sklearn_kmfeat._dictionary import patch_encoder
from sklearn_kmfeat._dictionary.patch_encoder import PatchEncoder
from sklearn_kmfeat._inputs.check import check_images
from sklearn_kmfeat._utils.threads import coarse_threads
from sklearn_kmfeat.datasets import load_cifar10_sample

SMALL = {"n_filters": 12, "n_patches": 600, "max_iter": 3, "random_state": 0}


def power(response, *, exponent):
    """A toy: responses above zero, to some power."""
    return response.relu_().pow_(exponent)


class PowerLearner(KMeansFilterLearner):
    """The toy's parameter is a keyword of the estimator."""

    def __init__(self, n_filters=12, *, exponent=2.0, encoder="power", random_state=0):
        super().__init__(
            n_filters, n_patches=600, max_iter=3, encoder=encoder, random_state=random_state
        )
        self.exponent = exponent


@pytest.fixture(scope="module")
def images():
    return load_cifar10_sample().images[:30]


def as_tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_a_new_encoder_is_one_function_and_one_entry(images, monkeypatch):
    monkeypatch.setitem(ENCODERS, "power", Encoder("response", power, parameters=("exponent",)))
    learner = PowerLearner().fit(images)
    squares = learner.transform(images)
    params = {"encoder": "soft_threshold", "alpha": 0.0, "output": "maps"}
    maps = KMeansFilterLearner(**SMALL, **params).fit(images).transform(images).astype(float)
    quadrant = (maps[:, :14, :14] ** 2).sum((1, 2))
    np.testing.assert_allclose(squares[:, :12], quadrant, rtol=1e-4)
    with torch.no_grad():
        np.testing.assert_allclose(learner.to_torch()(as_tensor(images)), squares, rtol=1e-4)
    cubes = learner.set_params(exponent=3.0).transform(images)
    np.testing.assert_allclose(cubes[:, :12], (maps[:, :14, :14] ** 3).sum((1, 2)), rtol=1e-4)
    assert "exponent" in learner.get_params()
    with pytest.raises(ValueError, match=r"'encoder' parameter .* 'power'"):
        learner.set_params(encoder="root").transform(images)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("contrast", ["patch", "image", None])
def test_transform_predict_and_module_agree(images, encoder, contrast):
    learner = KMeansFilterLearner(**SMALL, encoder=encoder, contrast=contrast).fit(images)
    expected = learner.transform(images)
    module = learner.to_torch()
    assert type(module) is PatchEncoder
    with torch.no_grad():
        found = module(as_tensor(images))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max())
    source = check_images(learner, images, image_shape=None, reset=False)
    np.testing.assert_array_equal(module.encode(source), expected)
    np.testing.assert_array_equal(np.stack(module.assign(source)), learner.predict(images))
    with sklearn.config_context(working_memory=0.05):
        few = module.encode(source)
    np.testing.assert_allclose(few, expected, rtol=1e-5, atol=3e-5 * expected.max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_to_compute_in(images, dtype):
    learner = KMeansFilterLearner(**SMALL).fit(images)
    module = PatchEncoder.from_fitted(learner, dtype)
    assert module(as_tensor(images)).dtype == dtype
    assert module.whitening.dtype == module.mean.dtype == torch.float64


def test_what_a_module_holds(images):
    groups = ConvKMeans(5, n_windows=300, max_iter=2, connections=[[0, 1], [1, 2]], random_state=0)
    module = groups.fit(images).to_torch()
    assert {name: tuple(t.shape) for name, t in module.state_dict().items()} == {
        "filters": (10, 72),
        "whitening": (2, 72, 72),
        "mean": (2, 72),
        "channels": (2, 2),
    }
    assert [name for name, _ in module.named_parameters()] == ["filters"]


# Threads


def forms(images):
    """Images of one size, of a size each, and some of which only strips are encoded at once."""
    return {
        "array": images,
        "sizes": [image[: 12 + i % 15, : 31 - i] for i, image in enumerate(images[:20])],
        "strips": np.concatenate([images[:4], images[4:8]], axis=1).repeat(3, axis=2),
    }


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("form", ["array", "sizes", "strips"])
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("n_filters", [12, 300])
@pytest.mark.parametrize(
    ("mebibytes", "piece_bytes"), [(0.3, 2**24), (1024, 2**24), (1024, 50_000)]
)
def test_threads_change_no_digit(
    images, threads, form, encoder, n_filters, mebibytes, piece_bytes, monkeypatch
):
    """Of one piece or of several; nor does how torch would divide a product."""
    monkeypatch.setattr(patch_encoder, "PIECE_BYTES", piece_bytes)
    params = SMALL | {"n_filters": n_filters, "algorithm": "random"}
    X = forms(images)[form]
    learner = KMeansFilterLearner(**params, encoder=encoder).fit(X)
    source = check_images(learner, X, image_shape=None, reset=False)
    module, found = PatchEncoder.from_fitted(learner), []
    for n in (1, 2, 3):
        threads(n)
        done = []
        with sklearn.config_context(working_memory=mebibytes), coarse_threads():
            features = module.encode(source, done.append)
            labels = module.assign(source)
        assert done == sorted(set(done))
        assert done[-1] == len(source)
        found.append((features, labels))
    for features, labels in found[1:]:
        np.testing.assert_array_equal(features, found[0][0])
        for one, other in zip(labels, found[0][1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_images_are_encoded_in_several_threads(images, threads, monkeypatch):
    """Those of a size each, too, and the strips of one image."""
    threads(3)
    params = SMALL | {"n_filters": 300, "algorithm": "random"}
    learner = KMeansFilterLearner(**params).fit(forms(images)["sizes"])
    module = PatchEncoder.from_fitted(learner)
    seen = set()

    def code(values):
        seen.add(threading.get_ident())
        time.sleep(0.005)
        return values.relu_()

    monkeypatch.setitem(ENCODERS, "triangle", Encoder("distance", code))
    monkeypatch.setattr(patch_encoder, "scratch_bytes", lambda device: (2**20, 2**20))
    for form in (forms(images)["sizes"], [np.tile(images[0], (12, 14, 1))]):
        source = check_images(learner, form, image_shape=None, reset=False)
        for n_threads, bytes_of_memory in ((3, 2**30), (2, 140 * 2**20), (1, 2**25), (1, 1)):
            monkeypatch.setattr(patch_encoder, "working_memory", lambda n=bytes_of_memory: n)
            seen.clear()
            with coarse_threads():
                module.encode(source)
            assert len(seen) == n_threads


def test_an_interrupt_in_a_thread_ends_encoding(images, threads, monkeypatch):
    threads(2)
    learner = KMeansFilterLearner(**SMALL).fit(forms(images)["sizes"])
    module = PatchEncoder.from_fitted(learner)

    def interrupted(values):
        raise KeyboardInterrupt

    monkeypatch.setitem(ENCODERS, "triangle", Encoder("distance", interrupted))
    source = check_images(learner, forms(images)["sizes"], image_shape=None, reset=False)
    with pytest.raises(KeyboardInterrupt), coarse_threads():
        module.encode(source)
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_fast_features_are_near_the_exact_ones(images, encoder, monkeypatch):
    monkeypatch.setattr("sklearn_kmfeat._core.products.has_bfloat16", lambda: True)
    learner = KMeansFilterLearner(**SMALL, encoder=encoder).fit(images)
    exact, labels = learner.transform(images), learner.predict(images)
    learner.set_params(precision="fast")
    fast = learner.transform(images)
    assert fast.dtype == exact.dtype
    assert not np.array_equal(fast, exact)
    assert np.linalg.norm(fast - exact) < 0.03 * np.linalg.norm(exact)
    assert np.mean(learner.predict(images) == labels) > 0.98
    wide = images.astype(float)
    exact = learner.set_params(precision="exact").fit(wide).transform(wide)
    np.testing.assert_array_equal(learner.set_params(precision="fast").transform(wide), exact)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("offset", [0, 3])
def test_fast_features_of_patches_as_they_are(images, encoder, offset, monkeypatch):
    """Pixels far from zero, whitened without contrast normalisation: rounded after whitening."""
    monkeypatch.setattr("sklearn_kmfeat._core.products.has_bfloat16", lambda: True)
    X = images.astype(np.float32) / 255 + offset
    params = SMALL | {"contrast": None, "whiten_eps": 1e-3}
    learner = KMeansFilterLearner(**params, encoder=encoder).fit(X)
    exact, labels = learner.transform(X), learner.predict(X)
    fast = learner.set_params(precision="fast").transform(X)
    assert np.linalg.norm(fast - exact) < 0.05 * np.linalg.norm(exact)
    assert np.mean(learner.predict(X) == labels) > 0.97


def test_inside_a_call_torch_computes_on_one_thread(images):
    seen = []

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            seen.append(torch.get_num_threads())
            return torch.from_numpy(images[index]).permute(2, 0, 1)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        learner = KMeansFilterLearner(**SMALL).fit(images)
        for method in (learner.fit, learner.transform, learner.predict):
            method(images)
            assert torch.get_num_threads() == 3
        seen.clear()
        KMeansFilterLearner(**SMALL).fit(Images())
        assert set(seen[-len(images) :]) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_step_between_windows_needs_windows(images):
    learner = KMeansFilterLearner(**SMALL, pool_stride=3)
    with pytest.raises(ValueError, match="give pool_size"):
        learner.fit(images).transform(images)
