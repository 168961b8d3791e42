import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from sklearn_kmfeat._deep_cluster.views import (
    CropAndFlip,
    CropFlipColor,
    EachImage,
    SmallAffine,
    random_views,
)
from sklearn_kmfeat._inputs.resize import CenterCrop


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(6, 3, 12, 10)


def test_the_whole_image_is_a_crop(images):
    same = CropAndFlip(scale=(1, 1), ratio=(1, 1), flip=0)(images)
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0)
    mirrored = CropAndFlip(scale=(1, 1), ratio=(1, 1), flip=1)(images)
    torch.testing.assert_close(mirrored, images.flip(3), atol=1e-5, rtol=0)
    still = SmallAffine(degrees=0, shear=0, scale=1, shift=0)(images)
    torch.testing.assert_close(still, images, atol=1e-5, rtol=0)


def test_crops_are_parts_of_the_image():
    ramp = torch.linspace(0, 1, 40).expand(500, 1, 40, 40)
    views = CropAndFlip((20, 20), scale=(0.25, 0.25), ratio=(1, 1))(ramp)
    assert views.shape == (500, 1, 20, 20)
    assert views.min() >= 0
    assert views.max() <= 1
    extent = (views[:, 0, 0, -1] - views[:, 0, 0, 0]).abs()
    torch.testing.assert_close(
        extent, torch.full((500,), 0.5 * 19 / 20 * 40 / 39), atol=1e-4, rtol=0
    )
    share = (views[:, 0, 0, -1] < views[:, 0, 0, 0]).float().mean()
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("view", [CropAndFlip((8, 9)), CropFlipColor((8, 9)), SmallAffine((8, 9))])
def test_each_image_is_drawn_for_itself(view, images):
    before = images.clone()
    copies = images[:1].expand(6, -1, -1, -1)
    views = view(copies)
    assert views.shape == (6, 3, 8, 9)
    assert all((views[0] - other).abs().max() > 1e-3 for other in views[1:])
    assert torch.equal(images, before)
    torch.manual_seed(3)
    first = view(copies)
    torch.manual_seed(3)
    assert torch.equal(view(copies), first)


def test_small_affine_is_small():
    dot = torch.zeros(200, 1, 21, 21)
    dot[:, :, 9:12, 9:12] = 1
    views = SmallAffine()(dot)
    y, x = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    mass = views.sum((1, 2, 3))
    for axis in (x, y):
        place = (views[:, 0] * axis).sum((1, 2)) / mass
        assert (place - 10).abs().max() < 0.1 * 21 * 1.5
        assert (place - 10).abs().max() > 0.5
    assert (mass > 9 / 1.6).all()
    assert (mass < 9 * 1.6).all()


def test_center_crop(images):
    assert CenterCrop()(images) is images
    assert CenterCrop((12, 10))(images) is images
    torch.testing.assert_close(CenterCrop((10, 10))(images), images[:, :, 1:11])
    assert CenterCrop((6, 7))(images).shape == (6, 3, 6, 7)
    assert CenterCrop((30, 20))(images[0]).shape == (3, 30, 20)


def test_transforms_of_torchvision_see_one_image_at_a_time(images):
    view = random_views(v2.RandomHorizontalFlip(), (12, 10, 3))
    assert isinstance(view, EachImage)
    torch.manual_seed(0)
    copies = images[:1].expand(40, -1, -1, -1)
    flipped = (view(copies) != copies).flatten(1).any(1)
    assert 0 < flipped.sum() < 40


@pytest.mark.parametrize(
    ("augment", "shape", "kind"),
    [
        ("default", (28, 28, 1), SmallAffine),
        ("default", (32, 32, 3), CropAndFlip),
        ("default", (1, 1, 5), CenterCrop),
        ("crop", (28, 28, 1), CropAndFlip),
        (None, (32, 32, 3), CenterCrop),
    ],
)
def test_which_views(augment, shape, kind):
    assert type(random_views(augment, shape)) is kind


def test_any_callable_is_taken_as_it_is():
    assert random_views(torch.neg, (32, 32, 3)) is torch.neg


class Mirror(transforms.RandomHorizontalFlip):
    """A transform of one's own."""


def still_colours(**changes):
    still = dict.fromkeys(("brightness", "contrast", "saturation", "tint", "grey"), 0)
    views = CropFlipColor(scale=(1, 1), **(still | changes))
    views.ratio = (1, 1)
    return views


def test_colours(images):
    views = still_colours()(images)
    same = (views - images).abs().amax((1, 2, 3)) < 1e-5
    torch.testing.assert_close(torch.where(same[:, None, None, None], views, views.flip(3)), images)
    grey = still_colours(grey=1, tint=0.5)(images)
    torch.testing.assert_close(grey, grey.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    one = images[:1].expand(2000, -1, -1, -1)
    changed = {
        "brightness": lambda views: views.mean((1, 2, 3)),
        "contrast": lambda views: views.std((1, 2, 3)),
        "saturation": lambda views: views.std(1).mean((1, 2)),
        "tint": lambda views: views.mean((2, 3))[:, 0],
    }
    for name, measure in changed.items():
        ratio = measure(still_colours(**{name: 0.4})(one)) / measure(one)
        torch.testing.assert_close(ratio.min(), torch.tensor(0.6), atol=0.01, rtol=0)
        torch.testing.assert_close(ratio.max(), torch.tensor(1.4), atol=0.01, rtol=0)
        torch.testing.assert_close(ratio.mean(), torch.tensor(1.0), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    "augment",
    [
        v2.RandomHorizontalFlip(),
        transforms.RandomHorizontalFlip(),
        nn.Sequential(v2.RandomHorizontalFlip(), nn.Identity()),
        v2.Compose([v2.RandomHorizontalFlip()]),
        transforms.Compose([transforms.RandomHorizontalFlip()]),
        Mirror(),
    ],
)
def test_all_of_torchvision_is_drawn_for_each_image(augment):
    ramp = torch.arange(4.0).expand(60, 3, 2, 4)
    views = random_views(augment, (2, 4, 3), (2, 4), (0.0, 3.0))(ramp)
    mirrored = views[:, 0, 0, 0] > 1
    assert 10 < mirrored.sum() < 50
    torch.testing.assert_close(
        torch.where(mirrored[:, None, None, None], views.flip(3), views), ramp
    )


def test_own_views_get_batches_and_come_out_in_size(images):
    seen = []

    def halve(batch):
        seen.append(batch.shape)
        return batch / 2

    views = random_views(halve, (12, 10, 3), (6, 5))(images)
    assert seen == [images.shape]
    assert views.shape == (6, 3, 6, 5)


def test_colours_in_any_range(images):
    for low, high in [(0, 255), (-2, 3), (5, 5)]:
        values = images * (high - low) + low
        same = EachImage(v2.ColorJitter(), low, high)(values)
        torch.testing.assert_close(same, values)
    with_jitter = EachImage(v2.ColorJitter(brightness=0.5), 0, 255)(images * 255)
    assert with_jitter.std() > 30
