from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from sklearn_kmfeat._deep_cluster.sources import (
    channel_statistics,
    image_batches,
    on_disk,
    value_range,
)
from sklearn_kmfeat._inputs.check import check_images
from sklearn_kmfeat._utils.generators import OwnGenerators

CPU = torch.device("cpu")


def batches_of(X, size=None):
    """Batches of any X, and the shape of the input of a network."""
    return image_batches(check_images(SimpleNamespace(), X), size, CPU)


def photos(shape, dtype=np.uint8, n=7):
    return np.random.RandomState(0).randint(0, 256, (n, *shape)).astype(dtype)


class Folder(Dataset):
    """As `ImageFolder`: images of different sizes with a class."""

    def __init__(self, mode="RGB", kind="pil"):
        self.mode = mode
        self.kind = kind
        self.read = []

    def __len__(self):
        return 6

    def __getitem__(self, i):
        self.read.append(i)
        image = Image.fromarray(photos((8 + i, 10, 3))[i]).convert(self.mode)
        if self.kind == "tensor":
            return torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return (np.asarray(image) if self.kind == "array" else image), i % 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_arrays(shape, dtype, tmp_path):
    X = photos(shape, dtype)
    X.flags.writeable = False
    batches, input_shape = batches_of(X)
    assert input_shape == (*shape, 1)[:3]
    assert len(batches) == 7
    for wanted in ([0, 1, 2], [5, 0, 5, 3], [6]):
        images, index = batches.__getitems__(torch.tensor(wanted))
        assert index.tolist() == wanted
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        expected = X.reshape(7, *input_shape)[wanted].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(images.numpy(), expected)
    np.save(tmp_path / "X.npy", X)
    mapped, _ = batches_of(np.load(tmp_path / "X.npy", mmap_mode="r"))
    both = [each.__getitems__(torch.tensor([4, 1]))[0] for each in (batches, mapped)]
    assert torch.equal(*both)


def test_images_of_different_sizes_become_squares():
    images = [photos((h, w, 3), n=1)[0] for h, w in [(9, 12), (10, 30), (7, 7), (9, 12)]]
    batches, shape = batches_of(images)
    assert shape == (9, 9, 3)
    batch, _ = batches.__getitems__(torch.arange(4))
    assert batch.shape == (4, 3, 9, 9)
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), images[0][:, 2:11])
    assert batches_of(images, (5, 6))[1] == (5, 6, 3)
    floats = [image.astype(np.float64) / 255 for image in images]
    batch, _ = batches_of(floats)[0].__getitems__(torch.arange(4))
    assert batch.max() <= 1


def test_lists_of_one_size_keep_it():
    X = photos((9, 12, 3))
    batches, shape = batches_of(list(X))
    assert shape == (9, 12, 3)
    batch, _ = batches.__getitems__(torch.arange(7))
    np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), X)


def test_what_is_on_disk(tmp_path):
    np.save(tmp_path / "X.npy", photos((4, 4)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for array in (mapped, np.asarray(mapped), np.asarray(mapped)[1:]):
        assert on_disk(array)
    assert not on_disk(photos((4, 4))[1:])


def test_value_range():
    X = photos((6, 5, 3), n=40)
    for images, expected in [(X, (0, 255)), (X / 255, (0, 1)), (X / 2.0 - 9, (-9, 118.5))]:
        assert value_range(batches_of(images)[0]) == expected
        tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
        assert value_range(batches_of(Given(*tensors))[0]) == expected


def test_palettes_are_colours():
    image = Image.fromarray(photos((8, 8, 3), n=1)[0]).convert("P")
    batch, _ = batches_of(Given(image))[0].__getitems__(torch.arange(1))
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), np.array(image.convert("RGB")))


def test_rows_are_images_of_one_pixel():
    batches, shape = batches_of(np.random.rand(5, 4))  # noqa: NPY002
    assert shape == (1, 1, 4)
    assert batches.__getitems__(torch.arange(2))[0].shape == (2, 4, 1, 1)


@pytest.mark.parametrize("kind", ["pil", "array", "tensor"])
def test_dataset_is_read_image_by_image(kind):
    folder = Folder(kind=kind)
    batches, shape = batches_of(folder)
    # Their sizes differ: a square of the median shorter side.
    assert shape == (10, 10, 3)
    folder.read.clear()
    batch, index = batches.__getitems__(torch.tensor([4, 2]))
    assert folder.read == [4, 2]
    assert batch.shape == (2, 3, 10, 10)
    assert index.tolist() == [4, 2]
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batches_of(folder, 6)[1] == (6, 6, 3)


class Noise(Dataset):
    """Images that are others each time they are read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 5

    def __getitem__(self, i):
        self.read.append(i)
        return torch.rand(1, 4, 4)


def test_dataset_is_read_as_often_and_in_the_order_asked_for():
    noise = Noise()
    batches, _ = batches_of(noise)
    # The first tells dtype and channels; then the sizes of some are looked at.
    assert noise.read == [0, 0, 1, 2, 3, 4]
    assert batches.may_vary
    noise.read.clear()
    with OwnGenerators(torch.device("cpu")):
        images, _ = batches.__getitems__(torch.tensor([3, 1, 3]))
    assert noise.read == [3, 1, 3]
    assert not torch.equal(images[0], images[2])
    assert not batches_of(photos((4, 4)))[0].may_vary


class Given(Dataset):
    """The items given."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize(
    "item", ["image.png", {"image": 1}, torch.zeros(5), torch.zeros(1, 1, 4, 4), 3]
)
def test_dataset_of_what_is_no_image(item):
    with pytest.raises(TypeError, match=r"must be images.*Got (str|dict|Tensor|int)"):
        batches_of(Given(item))


def test_dataset_without_images():
    with pytest.raises(ValueError, match=r"length of at least one.*got Given"):
        batches_of(Given())


def test_dataset_with_nan():
    batches, _ = batches_of(Given(torch.zeros(1, 4, 4), torch.full((1, 4, 4), torch.nan)))
    with pytest.raises(ValueError, match="Image 1 of the Dataset contains NaN"):
        batches.__getitems__(torch.arange(2))


def test_dataset_of_mixed_channels():
    folder = Folder()
    batches, _ = batches_of(folder)
    folder.mode = "L"
    with pytest.raises(ValueError, match=r"Image 3 .* 1 channels, others have 3.*RGB"):
        batches.__getitems__(torch.tensor([3]))


def test_statistics():
    X = photos((6, 5, 3), n=40)
    X[..., 2] = 9
    mean, deviation = channel_statistics(batches_of(X)[0])
    np.testing.assert_allclose(mean, X.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(deviation, [*X.std((0, 1, 2))[:2], 1], rtol=1e-5)
