import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
from sklearn.pipeline import make_pipeline

from naive import cut
from sklearn_kmfeat import ContrastNormalizer, PatchExtractor, ZCAWhitener


@pytest.fixture
def images():
    return np.random.RandomState(0).randint(256, size=(4, 9, 8, 3), dtype=np.uint8)


@pytest.fixture
def ragged():
    rng = np.random.RandomState(0)
    return [rng.rand(*size, 3) for size in [(9, 8), (6, 6), (7, 12), (9, 8)]]


@pytest.mark.parametrize("size", [1, 3, (2, 5), [9, 8]])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_equals_scikit_learn_row_by_row(images, size, grey, dtype):
    X = (images[..., 0] if grey else images).astype(dtype)
    height_width = (size, size) if isinstance(size, int) else tuple(size)
    expected = np.concatenate([extract_patches_2d(image, height_width) for image in X])
    patches = PatchExtractor(size).fit_transform(X)
    assert patches.dtype == (np.float64 if dtype is np.float64 else np.float32)
    np.testing.assert_array_equal(patches, expected.reshape(len(expected), -1))


@pytest.mark.parametrize("size", [(3, 3), (2, 5)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1), 20])
def test_equals_the_loop(images, size, stride):
    patches = PatchExtractor(size, stride=stride).fit_transform(images)
    steps = (stride, stride) if isinstance(stride, int) else stride
    expected = cut(images, size, steps)
    np.testing.assert_array_equal(patches, expected.reshape(-1, expected.shape[3]))


def test_images_of_different_sizes(ragged):
    extractor = PatchExtractor(4, stride=2)
    expected = [cut(image[None], (4, 4), (2, 2)).reshape(-1, 48) for image in ragged]
    np.testing.assert_array_equal(extractor.fit_transform(ragged), np.concatenate(expected))
    assert extractor.image_shape_ == (None, None, 3)


def test_flattened_images(images):
    expected = PatchExtractor(4).fit_transform(images)
    extractor = PatchExtractor(4, image_shape=(9, 8, 3))
    np.testing.assert_array_equal(extractor.fit_transform(images.reshape(4, -1)), expected)
    assert extractor.n_features_in_ == 216
    assert extractor.patch_shape_ == (4, 4, 3)


def test_ready_patches_pass_through():
    rows = np.random.RandomState(0).rand(5, 7)
    extractor = PatchExtractor()
    np.testing.assert_array_equal(extractor.fit_transform(rows), rows)
    np.testing.assert_array_equal(extractor.inverse_transform(rows), rows)
    assert extractor.patch_shape_ == (1, 1, 7)


@pytest.mark.parametrize(
    ("max_patches", "per_image"), [(1, 1), (5, 5), (42, 42), (1000, 42), (0.5, 21), (0.001, 1)]
)
def test_max_patches_of_each_image(images, max_patches, per_image):
    extractor = PatchExtractor(3, max_patches=max_patches, random_state=0)
    patches = extractor.fit_transform(images)
    assert patches.shape == (4 * per_image, 27)
    every = PatchExtractor(3).fit_transform(images).reshape(4, 42, 27)
    for drawn, all_of_it in zip(patches.reshape(4, per_image, 27), every, strict=True):
        places = [int(np.flatnonzero((all_of_it == patch).all(1))[0]) for patch in drawn]
        assert (np.diff(places) > 0).all()  # no patch twice, in the order of the image


def test_a_share_of_images_of_different_sizes(ragged):
    patches = PatchExtractor(4, max_patches=0.5, random_state=0).fit_transform(ragged)
    assert len(patches) == sum((h - 3) * (w - 3) // 2 for h, w, _ in map(np.shape, ragged))


@pytest.mark.parametrize("n_patches", [1, 3, 4, 10, 100, 168, 1000])
def test_n_patches_are_drawn_evenly(images, n_patches):
    numbered = images.astype(float)
    numbered[...] = np.arange(4).reshape(4, 1, 1, 1)
    extractor = PatchExtractor(3, n_patches=n_patches, random_state=0)
    patches = extractor.fit_transform(numbered)
    assert len(patches) == min(n_patches, 168)
    counts = np.bincount(patches[:, 0].astype(int), minlength=4)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(patches[:, 0]) >= 0).all()


def test_small_images_give_what_they_have():
    X = [np.full((20, 20), 1.0), np.full((3, 4), 2.0), np.full((20, 20), 3.0)]
    patches = PatchExtractor(3, n_patches=42, random_state=0).fit_transform(X)
    assert np.bincount(patches[:, 0].astype(int)).tolist() == [0, 20, 2, 20]


@pytest.mark.parametrize("option", [{"max_patches": 5}, {"n_patches": 21}])
def test_random_state(images, option):
    def draw(seed):
        return PatchExtractor(3, random_state=seed, **option).fit_transform(images)

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))
    extractor = PatchExtractor(3, random_state=0, **option).fit(images)
    np.testing.assert_array_equal(extractor.transform(images), extractor.transform(images))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (the global generator is meant)
    draw(0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("size", [1, 3, (2, 5), (9, 8)])
@pytest.mark.parametrize("stride", [1, (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_come_back_exactly(images, size, stride, dtype):
    X = images.astype(dtype)
    extractor = PatchExtractor(size, stride=stride)
    rebuilt = extractor.inverse_transform(extractor.fit_transform(X))
    assert rebuilt.dtype == (np.float64 if dtype is np.float64 else np.float32)
    np.testing.assert_array_equal(rebuilt, X)


def test_fractions_come_back_too(images):
    X = images / np.float64(255)
    extractor = PatchExtractor(6)
    rebuilt = extractor.inverse_transform(extractor.fit_transform(X))
    np.testing.assert_allclose(rebuilt, X, rtol=1e-14)


@pytest.mark.parametrize(("size", "stride"), [(3, (3, 1)), ((3, 4), (3, 4)), (5, (4, 3))])
def test_images_come_back_where_the_stride_covers_them(images, size, stride):
    extractor = PatchExtractor(size, stride=stride)
    np.testing.assert_array_equal(
        extractor.inverse_transform(extractor.fit_transform(images)), images
    )


def test_big_endian_patches_come_back(images):
    X = (images / 255).astype(">f8")
    extractor = PatchExtractor(3)
    patches = extractor.fit_transform(X)
    assert patches.dtype == np.float64
    rebuilt = extractor.inverse_transform(patches.astype(">f8"))
    np.testing.assert_allclose(rebuilt, X, rtol=1e-14)


def test_changed_patches_are_averaged_as_in_scikit_learn(images):
    extractor = PatchExtractor((3, 2)).fit(images)
    patches = np.random.RandomState(0).rand(2 * 7 * 7, 18)
    expected = [
        reconstruct_from_patches_2d(part.reshape(-1, 3, 2, 3), (9, 8, 3))
        for part in np.split(patches, 2)
    ]
    np.testing.assert_allclose(extractor.inverse_transform(patches), expected, rtol=1e-12)


def test_arguments_are_left_alone(images, ragged):
    extractor = PatchExtractor(3)
    copy = images.copy()
    patches = extractor.fit_transform(images)
    kept = patches.copy()
    extractor.inverse_transform(patches)[...] = 0
    np.testing.assert_array_equal(patches, kept)
    patches[...] = 0
    np.testing.assert_array_equal(images, copy)
    copies = [image.copy() for image in ragged]
    PatchExtractor(6, n_patches=9).fit_transform(ragged)[...] = 0
    for image, copy in zip(ragged, copies, strict=True):
        np.testing.assert_array_equal(image, copy)
    rows = np.ones((3, 4))
    extractor.fit(rows)
    extractor.transform(rows)[...] = 0
    extractor.inverse_transform(rows)[...] = 0
    assert (rows == 1).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_patches": 3, "n_patches": 5}, "not both: got max_patches=3 and n_patches=5"),
        ({"patch_size": 10}, r"patch_size=\(10, 10\) is larger than an image of size \(9, 8\)"),
        ({"patch_size": (3, 9)}, "larger than an image"),
        ({"patch_size": (3, 3, 3)}, "patch_size must be a positive int or two of them"),
        ({"patch_size": 0}, "'patch_size' parameter"),
        ({"stride": (1, 0)}, "stride must be a positive int or two of them"),
        ({"stride": -1}, "'stride' parameter"),
        ({"max_patches": 0}, "'max_patches' parameter"),
        ({"max_patches": 1.0}, "'max_patches' parameter"),
        ({"max_patches": -0.1}, "'max_patches' parameter"),
        ({"n_patches": 0}, "'n_patches' parameter"),
        ({"n_patches": 0.5}, "'n_patches' parameter"),
        ({"image_shape": (9, 8)}, r"image_shape=\(9, 8, 1\) was given, but X has images"),
    ],
)
def test_parameters_that_do_not_fit(images, parameters, message):
    with pytest.raises(ValueError, match=message):
        PatchExtractor(**parameters).fit(images)


@pytest.mark.parametrize(
    ("parameters", "shape", "message"),
    [
        ({}, (42, 26), r"Expected patches \(n, 27\), got shape \(42, 26\)"),
        ({}, (27,), r"got shape \(27,\)"),
        ({}, (43, 27), "Each image has 42 patches, so 43 rows are no whole number"),
        ({"max_patches": 5}, (42, 27), "only from all their patches"),
        ({"n_patches": 42}, (42, 27), "only from all their patches"),
        ({"stride": 4}, (4, 27), "stride=4 leaves 36 pixels of each image without a patch"),
    ],
)
def test_images_that_cannot_be_rebuilt(images, parameters, shape, message):
    extractor = PatchExtractor(3, **parameters).fit(images)
    with pytest.raises(ValueError, match=message):
        extractor.inverse_transform(np.zeros(shape))


def test_images_of_different_sizes_cannot_be_rebuilt(ragged):
    extractor = PatchExtractor(3).fit(ragged)
    with pytest.raises(ValueError, match="Only images of one size can be rebuilt"):
        extractor.inverse_transform(extractor.transform(ragged))


def test_other_images_than_in_fit(images):
    extractor = PatchExtractor(3).fit(images)
    assert extractor.transform(images[:1]).shape == (42, 27)
    with pytest.raises(ValueError, match=r"images of shape \(8, 8, 3\)"):
        extractor.transform(images[:, 1:])
    with pytest.raises(NotFittedError):
        clone(extractor).transform(images)
    with pytest.raises(NotFittedError):
        clone(extractor).inverse_transform(np.zeros((42, 27)))


def test_an_image_of_a_list_that_is_too_small(ragged):
    extractor = PatchExtractor(7)
    with pytest.raises(ValueError, match=r"size \(6, 6\) \(image 1 of the list\)"):
        extractor.fit(ragged)
    extractor.fit(ragged[2:])
    with pytest.raises(ValueError, match="image 1 of the list"):
        extractor.transform(ragged)


def test_first_steps_one_after_the_other(images):
    steps = make_pipeline(PatchExtractor(3), ContrastNormalizer(), ZCAWhitener(eps=0.1))
    white = steps.fit_transform(images)
    assert white.shape == (168, 27)
    assert steps.get_feature_names_out().tolist()[:2] == ["patchextractor0", "patchextractor1"]
    values = np.linalg.eigvalsh(np.cov(white.T))
    kept = steps[-1].eigenvalues_
    np.testing.assert_allclose(values[::-1], kept / (kept + 0.1), atol=1e-5)
