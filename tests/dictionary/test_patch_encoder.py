"""One encoder behind transform, predict and to_torch, and what it takes to add a code."""

import numpy as np
import pytest
import sklearn
import torch

from sklearn_kmfeat import ConvKMeans, KMeansFilterLearner
from sklearn_kmfeat._core.encoders import ENCODERS, Encoder
from sklearn_kmfeat._dictionary.patch_encoder import PatchEncoder
from sklearn_kmfeat._inputs.check import check_images
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
