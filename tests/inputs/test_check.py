import numpy as np
import PIL.Image
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from on_disk import OnDisk
from sklearn_kmfeat._inputs.check import SCAN_BYTES, check_images, set_fitted


class Reader(BaseEstimator):
    """What an estimator does with the input layer, and nothing more."""

    def __init__(self, image_shape=None, scan_bytes=SCAN_BYTES):
        self.image_shape = image_shape
        self.scan_bytes = scan_bytes

    def fit(self, X):
        set_fitted(self, X, self.check(X, reset=True), {})
        return self

    def check(self, X, reset=False):
        return check_images(
            self, X, image_shape=self.image_shape, reset=reset, scan_bytes=self.scan_bytes
        )


def read_all(images, n=4):
    return torch.cat([batch for _, batch in images.batches(lambda size: n)])


@pytest.fixture
def ragged(rng):
    sizes = [(5, 4), (3, 3), (5, 4), (4, 5), (3, 3), (5, 4), (5, 4)]
    return [rng.rand(*size, 2) for size in sizes]


FORMS = {
    "grey": ((7, 5, 4), None, (5, 4, 1), False),
    "colour": ((7, 5, 4, 3), None, (5, 4, 3), False),
    "one channel": ((7, 5, 4, 1), (5, 4), (5, 4, 1), False),
    "many channels": ((7, 5, 4, 13), (5, 4, 13), (5, 4, 13), False),
    "flattened grey": ((7, 20), (5, 4), (5, 4, 1), False),
    "flattened colour": ((7, 60), (5, 4, 3), (5, 4, 3), False),
    "ready patches": ((7, 60), None, (1, 1, 60), True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">u2", "i8", "f2", "f4", ">f4", "f8", ">f8"])
def test_forms_and_dtypes(form, dtype, rng):
    shape, image_shape, expected, ready = FORMS[form]
    X = (100 * rng.rand(*shape)).astype(dtype)
    copy = X.copy()
    images = Reader(image_shape).check(X, reset=True)
    assert images.shape == expected
    assert images.n_channels == expected[2]
    assert images.n_features == np.prod(expected)
    assert images.ready is ready
    assert len(images) == 7
    np.testing.assert_array_equal(images.sizes, [expected[:2]] * 7)
    assert images.dtype == (torch.float64 if dtype.endswith("f8") else torch.float32)

    for n in (1, 3, 100):
        tensor = read_all(images, n)
        assert tensor.dtype == images.dtype
        np.testing.assert_array_equal(tensor, copy.reshape(7, *expected).astype(float))
    some = images.read(np.array([1, 2, 5]))
    np.testing.assert_array_equal(some, copy.reshape(7, *expected)[[1, 2, 5]].astype(float))
    np.testing.assert_array_equal(X, copy)


def test_small_integers_do_not_wrap():
    image = Reader().check(np.array([[[5, 10]]], dtype=np.uint8), reset=True).read(slice(0, 1))
    assert (image[0, 0, 0] - image[0, 0, 1]).item() == -5
    image = Reader().check(np.full((1, 2, 2), 65535, np.uint16), reset=True).read(slice(0, 1))
    assert image.sum() == 4 * 65535


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_awkward_memory(form, dtype, rng):
    shape, image_shape, expected, _ = FORMS[form]
    X = (100 * rng.rand(14, *shape[1:])).astype(dtype)[::-2]
    fortran, constant = np.asfortranarray(X), X.copy()
    constant.setflags(write=False)
    for awkward in (X, fortran, constant):
        images = Reader(image_shape).check(awkward, reset=True)
        tensor = read_all(images)
        np.testing.assert_array_equal(tensor, X.reshape(7, *expected))
        tensor.zero_()
        if awkward is constant:
            np.testing.assert_array_equal(constant, X)


def test_floats_are_not_copied(rng):
    X = rng.rand(6, 4, 4).astype(np.float32)
    batch = Reader().check(X, reset=True).read(slice(2, 4))
    assert batch.data_ptr() == X[2:].ctypes.data


def test_torch_tensors(rng):
    X = rng.rand(4, 5, 5, 3)
    for tensor in (torch.from_numpy(X), torch.from_numpy(X).permute(0, 2, 1, 3)):
        np.testing.assert_array_equal(read_all(Reader().check(tensor, reset=True)), tensor)
    with pytest.raises(TypeError, match="integer or float dtype"):
        Reader().check(torch.ones(2, 4, 4, dtype=torch.bool), reset=True)


def test_rows_as_nested_lists():
    images = Reader((2, 2)).check([[1, 2, 3, 4], [5, 6, 7, 8.5]], reset=True)
    np.testing.assert_array_equal(read_all(images)[1, :, :, 0], [[5, 6], [7, 8.5]])
    assert Reader().fit([[1, 2, 3]]).n_features_in_ == 3


def test_rows_of_numbers_in_an_object_array():
    images = Reader().check(np.array([[1, 2.5], [3, 4]], dtype=object), reset=True)
    np.testing.assert_array_equal(read_all(images).view(2, 2), [[1, 2.5], [3, 4]])


# Lists


def as_object_array(images):
    array = np.empty(len(images), dtype=object)
    array[:] = images
    return array


@pytest.mark.parametrize("kind", [list, tuple, as_object_array])
@pytest.mark.parametrize("n", [1, 2, 100])
def test_images_of_different_sizes(ragged, kind, n):
    images = Reader().check(kind(ragged), reset=True)
    assert images.shape is None
    assert images.n_features is None
    assert images.n_channels == 2
    assert len(images) == 7
    np.testing.assert_array_equal(images.sizes, [image.shape[:2] for image in ragged])
    seen = []
    for index, batch in images.batches(lambda size: n):
        assert len(index) == len(batch) <= n
        seen.extend(index)
        for i, image in zip(index, batch, strict=True):
            np.testing.assert_array_equal(image, ragged[i])
    assert sorted(seen) == list(range(7))


def test_the_size_of_a_batch_follows_that_of_the_images(ragged):
    images = Reader().check(ragged, reset=True)
    lengths = [len(batch) for _, batch in images.batches(lambda size: {5: 2}.get(size[0], 9))]
    assert sorted(lengths) == [1, 2, 2, 2]


@pytest.mark.parametrize("kind", ["array", "list"])
def test_batches_of_some_members(ragged, kind, rng):
    X = rng.rand(7, 5, 4, 2) if kind == "array" else ragged
    images = Reader().check(X, reset=True)
    seen = []
    for index, batch in images.batches(lambda size: 2, np.array([0, 1, 4, 6])):
        assert (np.diff(index) > 0).all()
        seen.extend(index)
        for i, image in zip(index, batch, strict=True):
            np.testing.assert_array_equal(image, X[i])
    assert sorted(seen) == [0, 1, 4, 6]


def test_a_long_list_comes_back_in_order(rng):
    X = [np.full((rng.randint(1, 5), rng.randint(1, 5)), i) for i in range(500)]
    result = np.zeros(500)
    for index, batch in Reader().check(X, reset=True).batches(lambda size: 7):
        result[index] = batch.mean((1, 2, 3))
    np.testing.assert_array_equal(result, range(500))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["u1", "u1"], torch.float32),
        (["i8", "f4"], torch.float32),
        (["f4", "f8"], torch.float64),
        ([">f8", ">f8"], torch.float64),
        (["f2", "u2"], torch.float32),
    ],
)
def test_the_widest_float_of_a_list_counts(dtypes, expected):
    X = [np.ones((i + 2, 3), dtype) for i, dtype in enumerate(dtypes)]
    images = Reader().check(X, reset=True)
    assert images.dtype == images.read([0]).dtype == images.read([1]).dtype == expected


def test_lists_of_tensors_and_of_images_of_one_size(rng):
    X = rng.rand(3, 4, 5)
    for many in (list(X), [torch.from_numpy(image) for image in X]):
        np.testing.assert_array_equal(read_all(Reader().check(many, reset=True))[..., 0], X)


def test_grey_images_and_images_of_one_channel_may_be_mixed():
    images = Reader().check([np.ones((3, 4)), np.ones((3, 4, 1))], reset=True)
    assert read_all(images).shape == (2, 3, 4, 1)


def test_reading_a_list_copies(ragged):
    copies = [image.copy() for image in ragged]
    for _, batch in Reader().check(ragged, reset=True).batches(lambda size: 1, writable=True):
        batch.zero_()
    for image, copy in zip(ragged, copies, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_what_is_going_to_be_written_to_is_copied(rng):
    X = rng.rand(6, 4, 4).astype(np.float32)
    before = X.copy()
    for _, batch in Reader().check(X, reset=True).batches(lambda size: 2, writable=True):
        batch.zero_()
    np.testing.assert_array_equal(X, before)


def test_writing_to_what_was_only_read_is_noticed(rng):
    images = Reader().check(rng.rand(6, 4, 4), reset=True)
    batches = images.batches(lambda size: 2)
    next(batches)[1].flatten(1)[:, 1:].add_(1)
    with pytest.raises(RuntimeError, match="writable=True"):
        next(batches)


def test_batches_in_inference_mode(rng):
    X = rng.rand(6, 4, 4)
    with torch.inference_mode():
        np.testing.assert_array_equal(read_all(Reader().check(X, reset=True))[..., 0], X)


# Larger than memory


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", ">f4"])
def test_memory_maps_are_read_a_batch_at_a_time(tmp_path, rng, dtype):
    X = (100 * rng.rand(9, 6, 5, 3)).astype(dtype)
    np.save(tmp_path / "images.npy", X)
    for mode in ("r", "c"):
        mapped = np.load(tmp_path / "images.npy", mmap_mode=mode)
        images = Reader().check(mapped, reset=True)
        assert np.shares_memory(images.data, mapped)
        np.testing.assert_array_equal(read_all(images), X)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), X)


@pytest.mark.parametrize("image_shape", [None, (6, 5)])
def test_memory_maps_of_rows(tmp_path, rng, image_shape):
    X = rng.rand(9, 30).astype(np.float32)
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    images = Reader(image_shape).check(mapped, reset=True)
    assert np.shares_memory(images.data, mapped)
    np.testing.assert_array_equal(read_all(images).view(9, 30), X)


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("shape", [(20, 6, 5), (20, 6, 5, 3)])
def test_sliceable_arrays_are_never_read_whole(dtype, shape, rng):
    data = (100 * rng.rand(*shape)).astype(dtype)
    X = OnDisk(data, most=4)
    reader = Reader(scan_bytes=4 * data[0].nbytes).fit(X)
    images = reader.check(X)
    assert reader.n_features_in_ == np.prod(shape[1:])
    X.n_read = 0
    np.testing.assert_array_equal(read_all(images).view(shape), data)
    assert X.n_read == 20
    some = torch.cat([batch for _, batch in images.batches(lambda size: 4, np.arange(0, 20, 3))])
    np.testing.assert_array_equal(some.view(-1, *shape[1:]), data[::3])


def test_sliceable_arrays_are_checked(rng):
    data = rng.rand(20, 6, 5).astype(np.float32)
    reader = Reader(scan_bytes=4 * data[0].nbytes)
    with pytest.raises(TypeError, match="integer or float dtype"):
        reader.fit(OnDisk(data > 0.5, 4))
    with pytest.raises(ValueError, match="0 sample"):
        reader.fit(OnDisk(data[:0], 4))
    data[17, 2, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        reader.fit(OnDisk(data, 4))


# What is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("form", [*FORMS, "list"])
def test_nan_and_infinity(bad, dtype, form):
    shape, image_shape, *_ = FORMS.get(form, ((7, 5, 4), None))
    X = np.ones(shape, dtype)
    reader = Reader(image_shape, scan_bytes=1).fit(list(X) if form == "list" else X)
    X[(6,) + (-1,) * (X.ndim - 1)] = bad
    X = list(X) if form == "list" else X
    for reset in (True, False):
        with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
            reader.check(X, reset)


def test_nan_in_a_list_is_found():
    with pytest.raises(ValueError, match=r"Input X\[1\] contains NaN"):
        Reader().fit([np.ones((3, 3)), np.full((2, 2), np.nan)])


@pytest.mark.parametrize("dtype", [bool, complex, object, "U1", "M8[s]"])
def test_other_dtypes(dtype):
    X = np.zeros((2, 4, 4), dtype)
    for many in (X, list(X)):
        with pytest.raises(TypeError, match="Reader expects images of an integer or float dtype"):
            Reader().fit(many)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((0, 4, 4)), "0 sample"),
        (np.zeros((0, 4, 4, 3)), "0 sample"),
        (np.zeros((0, 16)), "0 sample"),
        (np.zeros((4, 0)), "0 feature"),
        (np.zeros((2, 0, 4)), r"images without pixels: its shape is \(2, 0, 4\)"),
        (np.zeros((2, 4, 4, 0)), "images without pixels"),
        (np.zeros(4), "Expected 2D array, got 1D array"),
        (np.zeros(()), "Expected 2D array, got scalar array"),
        (np.zeros((2, 4, 4, 3, 1)), r"X must be images .* got an array of shape \(2, 4, 4, 3, 1\)"),
        ([], "X is an empty list"),
        ([np.zeros((4, 4)), np.zeros((0, 4))], r"Image 1 of the list has shape \(0, 4\)"),
        ([np.zeros((4, 4)), np.zeros(4)], r"Image 1 of the list has shape \(4,\); expected"),
        ([np.zeros((4, 4, 3, 1))], r"Image 0 of the list has shape \(4, 4, 3, 1\)"),
        ([np.zeros((4, 4, 3)), np.zeros((4, 4))], "same number of channels, but image 1 has 1"),
    ],
)
def test_shapes_that_are_no_images(X, message):
    with pytest.raises(ValueError, match=message):
        Reader().fit(X)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 28, 28), (2, 13, 32, 32), (2, 3, 32, 48)])
def test_channels_first(shape):
    with pytest.raises(ValueError, match=r"channels come first.*np\.moveaxis"):
        Reader().fit(np.zeros(shape))


@pytest.mark.parametrize(
    "shape", [(2, 3, 3, 3), (2, 4, 4, 4), (2, 1, 1, 1), (2, 3, 32, 3), (2, 4, 8, 8)]
)
def test_small_images_are_not_taken_for_channels_first(shape):
    assert Reader().fit(np.zeros(shape)).image_shape_ == shape[1:]


def test_channels_first_in_a_list_and_on_purpose():
    with pytest.raises(ValueError, match=r"Image 1 of the list.*channels come first"):
        Reader().fit([np.zeros((32, 32, 3)), np.zeros((3, 32, 32))])
    assert Reader((3, 32, 32)).fit(np.zeros((2, 3, 32, 32))).image_shape_ == (3, 32, 32)


@pytest.mark.parametrize("image_shape", [(4,), (4, 4, 3, 1), (0, 4), (4, -1), (), (4.0, 4)])
def test_image_shapes_that_are_none(image_shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        Reader(image_shape).fit(np.zeros((2, 16)))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 15)), "X has 15 features, but Reader is expecting 16 features as input"),
        (np.zeros((2, 4, 5)), r"image_shape=\(4, 4, 1\) was given, but X has images of shape"),
        (np.zeros((2, 4, 4, 3)), r"X has images of shape \(4, 4, 3\)"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], r"image 1 of the list has shape \(4, 5\)"),
        ([np.zeros((4, 4, 3))], r"image 0 of the list has shape \(4, 4, 3\)"),
    ],
)
def test_image_shape_is_held_against_X(X, message):
    with pytest.raises(ValueError, match=message):
        Reader((4, 4)).fit(X)


def test_image_shape_of_arrays_and_lists_that_agree():
    assert Reader((4, 5)).fit(np.zeros((2, 4, 5))).image_shape_ == (4, 5, 1)
    assert Reader((4, 5, 1)).fit([np.zeros((4, 5))] * 2).image_shape_ == (None, None, 1)
    assert Reader([4, 5]).fit(np.zeros((2, 20))).image_shape_ == (4, 5, 1)


# What is remembered


def test_attributes(ragged):
    reader = Reader().fit(np.zeros((2, 4, 5, 3)))
    assert reader.image_shape_ == (4, 5, 3)
    assert reader.n_features_in_ == 60
    reader.fit(ragged)
    assert reader.image_shape_ == (None, None, 2)
    assert not hasattr(reader, "n_features_in_")
    reader.fit(np.zeros((2, 7)))
    assert reader.image_shape_ is None
    assert reader.n_features_in_ == 7


def test_names_of_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.zeros((3, 4)), columns=list("abcd"))
    reader = Reader((2, 2)).fit(frame)
    assert reader.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        reader.check(frame.rename(columns={"a": "z"}))
    reader.fit(np.zeros((3, 2, 2)))
    assert not hasattr(reader, "feature_names_in_")


def test_nothing_is_remembered_before_a_fit_succeeds():
    reader = Reader()
    reader.check(np.zeros((2, 4, 4)), reset=True)
    assert vars(reader) == {"image_shape": None, "scan_bytes": SCAN_BYTES}
    with pytest.raises(NotFittedError):
        reader.check(np.zeros((2, 4, 4)))


def test_image_shape(ragged):
    expected = [(5, 4, 1), (None, None, 2), None]
    for X, shape in zip([np.zeros((2, 5, 4)), ragged, np.zeros((2, 5))], expected, strict=True):
        assert Reader().check(X, reset=True).image_shape == shape


GREY, COLOUR, ROWS = np.zeros((2, 4, 5)), np.zeros((2, 4, 5, 3)), np.zeros((2, 20))
MIXED = [np.zeros((4, 5, 3)), np.zeros((6, 5, 3))]


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (GREY, np.zeros((2, 5, 5)), r"images of shape \(5, 5, 1\), but .* shape \(4, 5, 1\)"),
        (GREY, COLOUR, "X has 3 channels, but Reader was fitted on 1"),
        (COLOUR, [np.zeros((4, 5))], "X has 1 channels, but Reader was fitted on 3"),
        (COLOUR, MIXED, r"X has images of shape \(6, 5, 3\) \(image 1\)"),
        (MIXED, GREY, "X has 1 channels, but Reader was fitted on 3"),
        (GREY, ROWS, r"fitted on images of shape \(4, 5, 1\), but X holds ready patches"),
        (ROWS, GREY, r"fitted on ready patches, one a row, but X holds images of shape"),
        (ROWS, MIXED, r"but X holds images of shape \(None, None, 3\)"),
        (ROWS, ROWS[:, :19], "X has 19 features, but Reader is expecting 20 features"),
        (MIXED, ROWS, "For flattened images set image_shape"),
    ],
)
def test_another_kind_of_images_than_in_fit(first, then, message):
    with pytest.raises(ValueError, match=message):
        Reader().fit(first).check(then)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (COLOUR, MIXED[:1]),
        (MIXED, COLOUR),
        (MIXED, [np.zeros((9, 9, 3))]),
        (GREY, np.zeros((5, 4, 5, 1))),
        (ROWS, ROWS[:1].tolist()),
    ],
)
def test_another_form_of_the_same_images(first, then):
    assert len(Reader().fit(first).check(then)) == len(then)


def test_flattened_images_after_images():
    reader = Reader((4, 5)).fit(GREY)
    assert reader.check(ROWS).shape == (4, 5, 1)
    with pytest.raises(ValueError, match="X has 21 features"):
        reader.check(np.zeros((2, 21)))


def test_messages_name_the_image():
    grey, colour = np.ones((5, 4)), np.ones((5, 4, 3))
    with pytest.raises(ValueError, match="but image 2 has 1, most have 3"):
        Reader().fit([colour, colour, grey, colour])
    for images in ([None, colour], [colour, None], [None, grey, grey]):
        where = [image is None for image in images].index(True)
        with pytest.raises(ValueError, match=f"Image {where} of the list is None"):
            Reader().fit(images)
    with pytest.raises(ValueError, match=r"Image 1 of the list has shape \(3,\)"):
        Reader().fit([colour, np.ones(3)])
    for empty in ([], ()):
        with pytest.raises(ValueError, match=r"empty (list|tuple): .*Were no files found"):
            Reader().fit(empty)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_where_a_value_is_not_finite(value):
    word = "NaN" if np.isnan(value) else "infinity"
    images = np.zeros((6, 4, 5, 3))
    images[4, 1, 2, 0] = value
    place = "row 1, column 2, channel 0"
    with pytest.raises(ValueError, match=f"X contains {word} in image 4, at {place}") as raised:
        Reader().fit(images)
    assert "HistGradientBoosting" not in str(raised.value)
    with pytest.raises(ValueError, match=rf"X\[4\] contains {word} at {place}"):
        Reader().fit(list(images))
    with pytest.raises(ValueError, match=f"X contains {word} in row 4, column 21"):
        Reader().fit(images.reshape(6, -1))
    with pytest.raises(ValueError, match=f"X contains {word} in row 4, column 21"):
        Reader().fit(images.reshape(6, -1).tolist())


@pytest.mark.parametrize("as_list", [False, True])
def test_tensors_of_any_kind(as_list):
    images = torch.arange(2 * 20.0).view(2, 4, 5)
    for tensor in (images, images.clone().requires_grad_(), images.bfloat16()):
        X = list(tensor) if as_list else tensor
        assert Reader().fit(X).image_shape_[2] == 1


class Few(torch.utils.data.Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u2", "i4", "f4", "f8"])
def test_byte_order(kind, order):
    images = np.random.RandomState(0).randint(0, 2000, (3, 5, 4))
    foreign = images.astype(order + kind)
    for X in (foreign, list(foreign), Few(*foreign)):
        source = check_images(Reader(), X)
        np.testing.assert_array_equal(source.read(np.arange(3))[..., 0], images)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I", "F", "L", "1"])
def test_modes_of_pil(mode):
    numbers = np.random.RandomState(0).randint(0, 2, (5, 4)) * (1 if mode == "1" else 200)
    image = PIL.Image.fromarray(numbers.astype(np.int32)).convert("I")
    image = image.convert(mode)
    source = check_images(Reader(), Few(image, image))
    expected = np.asarray(image.convert("I") if mode.startswith("I;") else image)
    np.testing.assert_array_equal(source.read(np.array([1]))[0, ..., 0], expected)


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (np.zeros((4, 4), complex), TypeError, "Image 1 of the Dataset has the dtype complex128"),
        (torch.zeros(1, 4, 4, dtype=torch.cfloat), TypeError, "has the dtype torch.complex64"),
        (np.full((4, 4), "a"), TypeError, "expected integers or floats"),
        (np.zeros((0, 4)), ValueError, "Image 1 of the Dataset has no pixels"),
        (torch.zeros(1, 4, 0), ValueError, "has no pixels: its shape is"),
        (np.full((4, 4), 1e30), ValueError, "Image 1 of the Dataset has values up to 1e"),
    ],
)
def test_items_of_a_dataset(item, error, message):
    first = np.zeros((4, 4), np.float32)
    with pytest.raises(error, match=message):
        check_images(Reader(), Few(first, item)).read(np.array([1]))
    first_bad = message.replace("Image 1", "Image 0")
    if "1e" not in message:
        with pytest.raises(error, match=first_bad):
            Reader().fit(Few(item, first))


def test_an_empty_dataset_names_its_folder():
    empty = Few()
    empty.root = "photos/summer"
    with pytest.raises(ValueError, match="got Few of 'photos/summer'"):
        Reader().fit(empty)
