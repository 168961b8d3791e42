import torch
import torch.nn.functional as F

from sklearn_kmfeat._deep_cluster.sobel import Sobel


def test_edges_of_a_ramp():
    ramp = torch.arange(6.0).expand(1, 3, 5, 6)
    edges = Sobel(3)(ramp)
    assert edges.shape == (1, 2, 5, 6)
    torch.testing.assert_close(edges[0, 0, :, 1:-1], torch.full((5, 4), -8.0))
    torch.testing.assert_close(edges[0, 1], torch.zeros(5, 6))
    down = Sobel(3)(ramp.transpose(2, 3))
    torch.testing.assert_close(down[:, 1], edges[:, 0].transpose(1, 2))


def test_colour_and_brightness_do_not_matter():
    images = torch.rand(2, 3, 7, 8)
    sobel = Sobel(3)
    torch.testing.assert_close(sobel(images.roll(1, dims=1)), sobel(images))
    torch.testing.assert_close(sobel(images + 5), sobel(images), atol=1e-5, rtol=0)


def test_filters_of_edges_joined_to_filters_of_grey_values():
    grey, weights, sobel = torch.rand(2, 1, 9, 8), torch.randn(5, 2, 3, 3), Sobel(1)
    edges = F.conv2d(grey, sobel.edges.weight)
    joined = F.conv2d(grey, sobel.joined(weights))
    torch.testing.assert_close(joined, F.conv2d(edges, weights), atol=1e-5, rtol=1e-5)


def test_nothing_is_learned():
    assert not any(p.requires_grad for p in Sobel(3).parameters())
    assert Sobel(1)(torch.rand(1, 1, 1, 1)).abs().max() < 1e-6
