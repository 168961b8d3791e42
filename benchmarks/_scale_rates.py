"""Rates of every stage on this machine: what `_scale_stages.py` computes with."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from _data import cifar10_images
from _report import timed
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.flop_counter import FlopCounterMode

from sklearn_kmfeat import (
    ContrastNormalizer,
    ImageFiles,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)
from sklearn_kmfeat._core.kmeans import kmeans
from sklearn_kmfeat._deep_cluster.networks import build_network
from sklearn_kmfeat._utils.device import matmul_precision
from sklearn_kmfeat._utils.threads import coarse_threads

SIDE, PATCH, FILTERS, EMBEDDING = 224, 6, 1600, 512
WIDTH = 3 * PATCH**2
#: Iterations whose difference is the time of some, without that of setting up.
FEW, MANY = 1, 3


def measured(quick, device="cpu"):
    """Rates as a dict: a second of `device`, or bytes and FLOP of an image."""
    photographs = pieces(16 if quick else 64)
    rates = {"device": device, "threads": torch.get_num_threads()}
    for part in (decoding, preparing, dictionary, clustering, encoding, training):
        rates |= part(photographs, quick, device)
        print(part.__name__, rates, flush=True)
    return rates


def pieces(n):
    """Pieces of 224 pixels of two photographs, uint8 (n, 224, 224, 3)."""
    rng, scenes = np.random.RandomState(0), load_sample_images().images
    corners = [[rng.randint(length - SIDE) for length in scenes[0].shape[:2]] for _ in range(n)]
    return np.stack(
        [
            scenes[i % 2][top : top + SIDE, left : left + SIDE]
            for i, (top, left) in enumerate(corners)
        ]
    )


def decoding(photographs, quick, device):
    """JPEGs decoded in a second, read as an estimator reads them, and the bytes of one."""
    n = 100 if quick else 2000
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{i:05d}.jpg" for i in range(n)]
        for i, path in enumerate(paths):
            Image.fromarray(photographs[i % len(photographs)]).save(path, quality=90)
        size = np.mean([Path(path).stat().st_size for path in paths])
        extractor = PatchExtractor(PATCH, max_patches=1, random_state=0)
        extractor.fit(ImageFiles(paths))
        seconds = median(lambda: extractor.transform(ImageFiles(paths)))
    return {"images decoded": n / seconds, "bytes of a JPEG": float(size)}


def preparing(photographs, quick, device):
    """Patches cut, contrast-normalised and whitened in a second."""
    n = 20_000 if quick else 400_000
    images = cifar10_images(50_000)[0]

    def prepared():
        patches = PatchExtractor(PATCH, n_patches=n, random_state=0).fit_transform(images)
        return ZCAWhitener().fit_transform(ContrastNormalizer().fit_transform(patches))

    return {"patches prepared": n / median(prepared)}


def dictionary(photographs, quick, device):
    """FLOP a second of an iteration of k-means on patches."""
    n, k = (20_000, 200) if quick else (200_000, FILTERS)
    return {"FLOP of k-means, patches": kmeans_rate(n, WIDTH, k, device)}


def clustering(photographs, quick, device):
    """FLOP a second of an iteration of k-means on embeddings."""
    n, k = (2000, 200) if quick else (40_000, 2000)
    return {"FLOP of k-means, embeddings": kmeans_rate(n, EMBEDDING, k, device)}


def kmeans_rate(n, width, k, device):
    """FLOP of the products in a second of an iteration."""
    X = torch.randn(n, width, generator=torch.Generator().manual_seed(0)).to(device)
    start = X[:k].clone()

    def iterations(max_iter):
        with coarse_threads(), matmul_precision("exact"):
            kmeans(X, start, max_iter=max_iter, tol=0)
            wait(device)

    seconds = median(lambda: iterations(MANY)) - median(lambda: iterations(FEW))
    return (MANY - FEW) * 2 * n * k * width / seconds


def encoding(photographs, quick, device):
    """FLOP a second of triangle features at strides 1 and 4, and those of an image."""
    k = 200 if quick else FILTERS
    learner = KMeansFilterLearner(
        k, n_patches=20_000, max_iter=1, random_state=0, device=device
    ).fit(photographs)
    rates = {}
    for stride, n in ((1, 8), (4, 64)):
        learner.set_params(stride=stride)
        images = photographs[: 4 if quick else n]
        seconds = median(lambda images=images: learner.transform(images)) / len(images)
        rates[f"FLOP of encoding, stride {stride}"] = 2 * places(stride) * k * WIDTH / seconds
    return rates


def places(stride):
    """Patches of an image."""
    return ((SIDE - PATCH) // stride + 1) ** 2


def training(photographs, quick, device):
    """FLOP a second of ResNet-18, learning and forward, and FLOP of an image forward."""
    batch = torch.from_numpy(photographs[: 4 if quick else 32]).float().permute(0, 3, 1, 2) / 255
    batch = batch.contiguous(memory_format=torch.channels_last).to(device)
    network = build_network("resnet18", 3, (SIDE, SIDE), {}).to(device)
    network = network.to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(batch)
    flop = counter.get_total_flops() / len(batch)

    def learn():
        with autocast(device):
            loss = network(batch).square().mean()
        loss.backward()
        wait(device)

    def look():
        with torch.no_grad(), autocast(device):
            network(batch)
        wait(device)

    # The gradient of a layer takes twice the products of the layer itself.
    return {
        "FLOP of an image in the network": flop,
        "FLOP of learning": 3 * flop * len(batch) / median(learn),
        "FLOP of looking": flop * len(batch) / median(look),
    }


def autocast(device):
    """Products in bfloat16 on a GPU, as DeepClusterEstimator has them there."""
    return torch.autocast("cuda", torch.bfloat16, enabled=device != "cpu")


def wait(device):
    """Until the device is done."""
    if device != "cpu":
        torch.cuda.synchronize()


def median(call, repetitions=3):
    """Median of the seconds of a call, after a first one."""
    call()
    return float(np.median([timed(call)[0] for _ in range(repetitions)]))
