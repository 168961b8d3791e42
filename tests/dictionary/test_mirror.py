"""`mirror=True`: an image and its mirror image get equal rows, in all learners and forms."""

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone

from naive import cut
from sklearn_kmfeat import BagOfPatches, ConvKMeans, KMeansFilterLearner, ZCAWhitener
from sklearn_kmfeat._core.encoders import ENCODERS
from sklearn_kmfeat.datasets import load_cifar10_sample

SMALL = {"max_iter": 3, "random_state": 0, "mirror": True}
LEARNERS = {
    "lloyd": KMeansFilterLearner(12, n_patches=800, **SMALL),
    "random": KMeansFilterLearner(12, n_patches=800, algorithm="random", **SMALL),
    "spherical": KMeansFilterLearner(12, n_patches=800, algorithm="spherical", **SMALL),
    "bag": BagOfPatches(12, n_patches=800, encoder="triangle", **SMALL),
    "convolutional": ConvKMeans(12, n_windows=800, **SMALL),
    "groups": ConvKMeans(12, n_windows=800, connections=[[0, 1], [2, 1]], **SMALL),
}
VARIANTS = {
    "as it is": {},
    "image contrast": {"contrast": "image"},
    "both signs, three cells, oblong": {
        "split_sign": True,
        "pool_grid": (2, 3),
        "patch_size": (4, 7),
    },
    "maximum": {"pool": "max", "pool_grid": 3},
    "windows": {"pool": "mean", "pool_size": 4},
    "every location": {"pool_grid": None, "patch_size": 20},
    "stride that fits": {"stride": 2},
    "stride that does not fit": {"stride": (2, 3)},
    "double precision": {"contrast": None, "whiten_eps": 1.0},
    "double precision, pixels": {"contrast": None, "whiten_eps": None},
}


@pytest.fixture(scope="module")
def images():
    return load_cifar10_sample().images[:30]


def as_tensor(images):
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", LEARNERS)
def test_an_image_and_its_mirror_image_get_equal_rows(images, name, variant):
    images = images.astype("float64") if "double" in variant else images
    learner = clone(LEARNERS[name]).set_params(**VARIANTS[variant]).fit(images)
    found = learner.transform(images)
    assert found.shape == (30, len(learner.get_feature_names_out()))
    tolerance = (1e-9 if found.dtype == np.float64 else 1e-4) * np.abs(found).max()
    mirrored = images[:, :, ::-1]
    np.testing.assert_allclose(learner.transform(mirrored), found, atol=tolerance)
    assert found.std(axis=0).max() > 0
    module = learner.to_torch()
    with torch.no_grad():
        np.testing.assert_allclose(module(as_tensor(images)), found, atol=tolerance)
        np.testing.assert_allclose(module(as_tensor(mirrored)), found, atol=tolerance)
    with sklearn.config_context(working_memory=0.05):
        np.testing.assert_allclose(learner.transform(images), found, atol=tolerance)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_row_is_the_sum_of_both_halves(images, encoder):
    """With as many cells across as one, and the codes of a dictionary closed under mirroring."""
    learner = clone(LEARNERS["lloyd"]).set_params(encoder=encoder, pool_grid=1).fit(images)
    closed = clone(learner).set_params(n_filters=24, mirror=False)
    vars(closed).update({k: v for k, v in vars(learner).items() if k.endswith("_")})
    vars(closed).update({k: v for k, v in vars(learner).items() if k.startswith("_")})
    flipped = learner.filters_[:, :, ::-1].reshape(12, -1)
    closed.cluster_centers_ = np.vstack([learner.cluster_centers_, flipped])
    for name in ("counts_", "_weights"):
        setattr(closed, name, np.tile(getattr(learner, name), 2))
    closed._part_sizes = [24]
    closed._fitted_with = learner._fitted_with | {"mirror": False, "n_filters": 24}
    halves = closed.transform(images)
    found = learner.transform(images)
    np.testing.assert_allclose(found, halves[:, :12] + halves[:, 12:], rtol=1e-4, atol=1e-3)


def test_a_bag_counts_words_and_their_mirror_images_as_one(images):
    bag = BagOfPatches(12, n_patches=800, **SMALL).fit(images)
    counts = bag.transform(images)
    np.testing.assert_array_equal(counts.sum(1), 27 * 27)
    np.testing.assert_array_equal(bag.transform(images[:, :, ::-1]).sum(1), 27 * 27)
    shares = bag.set_params(pool="mean").transform(images)
    np.testing.assert_allclose(shares, counts / 27**2, rtol=1e-6)


def test_maps_hold_both_halves(images):
    """Maps have a left and a right: those of a mirrored image are mirrored, halves exchanged."""
    learner = clone(LEARNERS["lloyd"]).set_params(output="maps", split_sign=True).fit(images)
    maps, mirrored = (learner.transform(each) for each in (images, images[:, :, ::-1]))
    assert maps.shape == (30, 27, 27, 48)
    exchanged = np.concatenate([maps[..., 24:], maps[..., :24]], axis=-1)
    np.testing.assert_allclose(mirrored, exchanged[:, :, ::-1], atol=1e-4)
    rows = learner.set_params(output="features").transform(images)
    both = (maps[:, :14, :14, :24].sum((1, 2)), maps[:, :14, 13:, 24:].sum((1, 2)))
    np.testing.assert_allclose(rows[:, :24], both[0] + both[1], rtol=1e-4)


def test_whitening_is_that_of_patches_and_mirrored_patches(images):
    params = {"n_patches": None, "stride": 3, "contrast": None, "whiten_eps": 2.0}
    learner = clone(LEARNERS["lloyd"]).set_params(**params).fit(images)
    patches = cut(images.astype(float), (6, 6), (3, 3)).reshape(-1, 108)
    flipped = patches.reshape(-1, 6, 6, 3)[:, :, ::-1].reshape(-1, 108)
    expected = ZCAWhitener(2.0).fit(np.vstack([patches, flipped]))
    np.testing.assert_allclose(learner.whitener_.mean_, expected.mean_)
    np.testing.assert_allclose(learner.whitener_.whitening_, expected.whitening_, atol=1e-6)
    assert learner.whitener_.n_samples_seen_ == 2 * len(patches)
    parts = clone(learner)
    for part in (images[:11], images[11:]):
        parts.partial_fit(part)
    np.testing.assert_allclose(parts.whitener_.whitening_, expected.whitening_, atol=1e-6)
    mirrored = parts.transform(images[:, :, ::-1])
    np.testing.assert_allclose(mirrored, parts.transform(images), rtol=1e-3, atol=1e-2)


def test_images_of_different_sizes(images):
    sizes = [(32, 32), (20, 25), (13, 12)]
    several = [image[:h, :w] for image, (h, w) in zip(images, sizes, strict=False)]
    for stride in (1, 2):
        learner = clone(LEARNERS["bag"]).set_params(stride=stride).fit(several)
        found = learner.transform(several)
        mirrored = learner.transform([image[:, ::-1] for image in several])
        np.testing.assert_allclose(mirrored, found, atol=1e-4 * found.max())


def test_ready_patches(images):
    patches = cut(images[:4].astype(float), (6, 6), (5, 5)).reshape(-1, 108)
    flipped = patches.reshape(-1, 6, 6, 3)[:, :, ::-1].reshape(-1, 108)
    learner = clone(LEARNERS["lloyd"]).fit(patches)
    found = learner.transform(patches)
    assert found.shape == (len(patches), 12)
    np.testing.assert_allclose(learner.transform(flipped), found, atol=1e-9)
    with pytest.raises(ValueError, match=r"mirror=True needs patches of patch_size=\(6, 6\).* 100"):
        clone(learner).fit(patches[:, :100])


def test_predict_is_that_of_the_filters_alone(images):
    learner = clone(LEARNERS["lloyd"]).fit(images)
    labels = learner.predict(images)
    assert labels.shape == (30, 27, 27)
    assert labels.max() == 11
    assert (learner.predict(images[:, :, ::-1])[:, :, ::-1] != labels).any()


def test_mirror_belongs_to_the_fit(images):
    learner = clone(LEARNERS["lloyd"]).fit(images).set_params(mirror=False)
    with pytest.raises(ValueError, match="mirror was True in fit and is False now"):
        learner.transform(images)


def test_the_module_can_be_trained(images):
    module = clone(LEARNERS["lloyd"]).fit(images).to_torch()
    module(as_tensor(images[:4])).square().mean().backward()
    assert torch.isfinite(module.filters.grad).all()
    assert module.filters.grad.abs().sum() > 0
    assert module.filters.shape == (12, 108)
