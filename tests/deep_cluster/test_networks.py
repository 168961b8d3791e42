import pytest
import torch
from torch import nn

from sklearn_kmfeat._deep_cluster.networks import (
    NETWORKS,
    SmallestSide,
    build_network,
    cut_last_relu,
    draws_numbers,
    first_weights,
    probe_rows,
)

WIDTHS = {"small": 64, "alexnet": 4096, "vgg16": 4096, "resnet18": 512, "resnet50": 2048}
BLOCK, POOL = ["Conv2d", "BatchNorm2d", "ReLU"], "MaxPool2d"
DENSE = ["Dropout", "Linear", "ReLU"]
# Of the document, layer for layer.
ALEXNET = [*BLOCK, POOL, *BLOCK, POOL, *BLOCK, *BLOCK, *BLOCK, POOL, *DENSE, *DENSE]


NOT_SAID = ("SmallestSide", "AdaptiveAvgPool2d", "Flatten")


def make(name, in_channels, size):
    with torch.device("meta"):
        return build_network(name, in_channels, size, {})


@pytest.mark.parametrize("side", [28, 32, 64, 224])
@pytest.mark.parametrize("in_channels", [1, 2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_rows_come_out(name, in_channels, side):
    network = make(name, in_channels, (side, side)).eval()
    rows = network(torch.empty(2, in_channels, side, side, device="meta"))
    assert rows.shape == (2, WIDTHS[name])


def test_alexnet_of_the_document():
    network = make("alexnet", 2, (224, 224))
    leaves = [layer for layer in network.modules() if not list(layer.children())]
    kinds = [type(layer).__mro__[1 if type(layer).__name__ == "Pool" else 0] for layer in leaves]
    names = [kind.__name__ for kind in kinds]
    assert [name for name in names if name not in NOT_SAID] == ALEXNET
    convolutions = [layer for layer in leaves if isinstance(layer, nn.Conv2d)]
    assert [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0])
        for c in convolutions
    ] == [
        (2, 96, 11, 4, 2),
        (96, 256, 5, 1, 2),
        (256, 384, 3, 1, 1),
        (384, 384, 3, 1, 1),
        (384, 256, 3, 1, 1),
    ]
    linear = [layer for layer in leaves if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (9216, 4096),
        (4096, 4096),
    ]


def test_small_takes_single_pixels():
    network = build_network("small", 5, (1, 1), {"width": 4}).eval()
    assert network(torch.rand(3, 5, 1, 1)).shape == (3, 16)


def test_resnets_of_small_images_start_gently():
    assert make("resnet18", 3, (32, 32)).conv1.stride == (1, 1)
    assert make("resnet18", 3, (224, 224)).conv1.stride == (2, 2)


def test_last_relu_is_cut():
    network = build_network("small", 1, (28, 28), {"width": 2})
    images = torch.randn(4, 1, 28, 28)
    before = network.eval()(images)
    assert cut_last_relu(network, images)
    after = network(images)
    assert (after < 0).any()
    torch.testing.assert_close(after.relu(), before)
    blank = torch.empty(1, 2, 64, 64, device="meta")
    for name, ends in {"alexnet": True, "vgg16": True, "resnet18": False}.items():
        assert cut_last_relu(make(name, 2, (64, 64)).eval(), blank) == ends
    assert not cut_last_relu(nn.Linear(2, 3), torch.rand(1, 2))


class Own(nn.Module):
    """Its layers are registered in another order than they run in."""

    def __init__(self, reused):
        super().__init__()
        self.last = nn.ReLU()
        self.end = nn.Linear(3, 3)
        self.first = nn.Sequential(nn.Linear(3, 3), self.last if reused else nn.ReLU())

    def forward(self, rows):
        return self.last(self.end(self.first(rows)))


class Shifted(nn.Module):
    """Works in place on what its ReLU gives."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.relu = nn.ReLU()

    def forward(self, rows):
        out = self.relu(self.layer(rows))
        out += 1
        return out


@pytest.mark.parametrize(
    "network",
    [
        Shifted(),
        nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Hardtanh(0.1, 0.2, inplace=True)),
        nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Unflatten(1, (3, 1, 1)), nn.ReLU()),
    ],
)
def test_a_relu_with_something_behind_it_stays(network):
    rows = torch.randn(9, 3)
    before = network(rows)
    assert not cut_last_relu(network, rows)
    torch.testing.assert_close(network(rows), before)


@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_may_come_after_it(inplace):
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace), nn.Dropout(0.5, inplace)).eval()
    rows = torch.randn(9, 3)
    before = network(rows)
    assert cut_last_relu(network, rows)
    torch.testing.assert_close(network(rows).relu(), before)


@pytest.mark.parametrize("reused", [False, True])
def test_only_the_relu_that_ends_the_network_is_cut(reused):
    network, rows = Own(reused), torch.randn(9, 3)
    before = network(rows)
    assert cut_last_relu(network, rows) is not reused
    torch.testing.assert_close(network(rows).relu(), before)
    assert isinstance(network.first[1], nn.ReLU)


def test_a_network_takes_no_more_arguments():
    with pytest.raises(ValueError, match="gives the network 'width', but module is a network"):
        build_network(nn.Conv2d(1, 2, 3), 1, (8, 8), {"width": 3})


@pytest.mark.parametrize("side", [1, 6, 7, 30])
def test_alexnet_of_any_size(side):
    assert make("alexnet", 2, (side, side)).eval()(
        torch.empty(2, 2, side, side, device="meta")
    ).shape == (2, 4096)
    images = torch.rand(1, 2, side, 9)
    framed = SmallestSide(7)(images)
    assert framed.shape[2:] == (max(7, side), 9)
    assert torch.equal(framed[:, :, :side], images)
    assert not framed[:, :, side:].any()


class Plain(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Conv2d(2, width, 3)

    def forward(self, images):
        return self.layer(images)


def test_own_networks():
    assert isinstance(build_network(Plain, 2, (8, 8), {}), Plain)
    assert build_network(Plain, 2, (8, 8), {"width": 7}).layer.out_channels == 7
    given = Plain()
    copied = build_network(given, 2, (8, 8), {})
    assert copied is not given
    torch.testing.assert_close(copied.layer.weight, given.layer.weight)

    def factory(image_size):
        return nn.Sequential(nn.Flatten(), nn.Linear(2 * image_size[0] * image_size[1], 4))

    assert build_network(factory, 2, (3, 5), {})(torch.rand(1, 2, 3, 5)).shape == (1, 4)


def test_first_weights():
    network = Plain()
    torch.testing.assert_close(first_weights(network), network.layer.weight)
    assert first_weights(nn.Linear(2, 2)) is None


def test_probe_rows():
    # The grids of DeepCluster's linear probes of an AlexNet.
    for n_channels, side, cells in [(96, 55, 9), (256, 27, 6), (384, 13, 4), (256, 13, 6)]:
        rows = probe_rows(torch.empty(1, n_channels, side, side, device="meta"))
        assert rows.shape == (1, cells * cells * n_channels)
    maps = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(probe_rows(maps, 3), maps.mean((2, 3)))
    assert probe_rows(maps)[1, :3].tolist() == maps[1, :, 0, 0].tolist()
    assert probe_rows(torch.rand(2, 7)).shape == (2, 7)


@pytest.mark.parametrize("name", NETWORKS)
def test_our_networks_draw_nothing(name):
    network = NETWORKS[name](in_channels=3, image_size=(32, 32))
    assert draws_numbers(network) == any(isinstance(each, nn.Dropout) for each in network.modules())


def test_layers_that_draw_or_may():
    class Unknown(nn.Module):
        pass

    assert not draws_numbers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    for layer in (nn.Dropout(), nn.RReLU(), nn.MultiheadAttention(4, 2), Unknown()):
        assert draws_numbers(nn.Sequential(nn.Conv2d(3, 4, 3), layer))
