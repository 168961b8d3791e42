"""Image sets: small real samples that ship with the package, and fetchers of the full sets."""

from ._fetch import fetch_cifar10, fetch_mnist, fetch_stl10
from ._samples import load_cifar10_sample, load_mnist_sample

__all__ = [
    "fetch_cifar10",
    "fetch_mnist",
    "fetch_stl10",
    "load_cifar10_sample",
    "load_mnist_sample",
]
