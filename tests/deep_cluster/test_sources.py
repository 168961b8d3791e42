from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from sklearn_kmfeat._deep_cluster.sources import (
    channel_statistics,
    on_disk,
    source_of,
    value_range,
)
from sklearn_kmfeat._inputs.check import check_images

CPU = torch.device("cpu")


def checked(X, **options):
    return check_images(SimpleNamespace(), X, **options)


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
    source, seen = source_of(checked(X), None, CPU)
    assert seen == (*shape, 1)[:3]
    assert len(source) == 7
    for index in ([0, 1, 2], [5, 0, 5, 3], [6]):
        images, places = source.__getitems__(torch.tensor(index))
        assert places.tolist() == index
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        expected = X.reshape(7, *seen)[index].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(images.numpy(), expected)
    np.save(tmp_path / "X.npy", X)
    mapped, _ = source_of(checked(np.load(tmp_path / "X.npy", mmap_mode="r")), None, CPU)
    both = [s.__getitems__(torch.tensor([4, 1]))[0] for s in (source, mapped)]
    assert torch.equal(*both)


def test_images_of_different_sizes_become_squares():
    images = [photos((h, w, 3), n=1)[0] for h, w in [(9, 12), (10, 30), (7, 7), (9, 12)]]
    source, seen = source_of(checked(images), None, CPU)
    assert seen == (9, 9, 3)
    batch, _ = source.__getitems__(torch.arange(4))
    assert batch.shape == (4, 3, 9, 9)
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), images[0][:, 2:11])
    assert source_of(checked(images), (5, 6), CPU)[1] == (5, 6, 3)
    floats = [image.astype(np.float64) / 255 for image in images]
    batch, _ = source_of(checked(floats), None, CPU)[0].__getitems__(torch.arange(4))
    assert batch.max() <= 1


def test_lists_of_one_size_keep_it():
    X = photos((9, 12, 3))
    source, seen = source_of(checked(list(X)), None, CPU)
    assert seen == (9, 12, 3)
    batch, _ = source.__getitems__(torch.arange(7))
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
        assert value_range(source_of(checked(images), None, CPU)[0]) == expected
        tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
        assert value_range(source_of(Given(*tensors), None, CPU)[0]) == expected


def test_palettes_are_colours():
    image = Image.fromarray(photos((8, 8, 3), n=1)[0]).convert("P")
    batch, _ = source_of(Given(image), None, CPU)[0].__getitems__(torch.arange(1))
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), np.array(image.convert("RGB")))


def test_rows_are_images_of_one_pixel():
    source, seen = source_of(checked(np.random.rand(5, 4)), None, CPU)  # noqa: NPY002
    assert seen == (1, 1, 4)
    assert source.__getitems__(torch.arange(2))[0].shape == (2, 4, 1, 1)


@pytest.mark.parametrize("kind", ["pil", "array", "tensor"])
def test_dataset_is_read_image_by_image(kind):
    folder = Folder(kind=kind)
    source, seen = source_of(folder, None, CPU)
    assert seen == (8, 10, 3)
    folder.read.clear()
    batch, places = source.__getitems__(torch.tensor([4, 2]))
    assert folder.read == [4, 2]
    assert batch.shape == (2, 3, 8, 10)
    assert places.tolist() == [4, 2]
    assert source_of(folder, 6, CPU)[1] == (6, 6, 3)


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
        source_of(Given(item), None, CPU)


def test_dataset_without_images():
    with pytest.raises(ValueError, match=r"length of at least one.*got Given"):
        source_of(Given(), None, CPU)


def test_dataset_with_nan():
    source, _ = source_of(Given(torch.zeros(1, 4, 4), torch.full((1, 4, 4), torch.nan)), None, CPU)
    with pytest.raises(ValueError, match="Image 1 of the Dataset contains NaN"):
        source.__getitems__(torch.arange(2))


def test_dataset_of_mixed_channels():
    folder = Folder()
    source, _ = source_of(folder, None, CPU)
    folder.mode = "L"
    with pytest.raises(ValueError, match=r"Image 3 .* 1 channels, others have 3.*RGB"):
        source.__getitems__(torch.tensor([3]))


def test_statistics():
    X = photos((6, 5, 3), n=40)
    X[..., 2] = 9
    mean, deviation = channel_statistics(source_of(checked(X), None, CPU)[0])
    np.testing.assert_allclose(mean, X.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(deviation, [*X.std((0, 1, 2))[:2], 1], rtol=1e-5)
