"""Speed of an epoch of deep clustering beside what it cannot do without."""

from time import perf_counter

import torch
import torch.nn.functional as F
from _data import cifar10_images
from _report import compared
from torch import nn

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._deep_cluster.networks import build_network
from sklearn_kmfeat._deep_cluster.sources import image_batches
from sklearn_kmfeat._inputs.check import check_images
from sklearn_kmfeat._utils.device import has_bfloat16
from sklearn_kmfeat.datasets import load_mnist_sample

N_LABELS = 100


def bench_deep(quick):
    """An epoch beside a supervised epoch, a forward pass and the k-means, taken in turn.

    With a CUDA device it runs there, with ResNet-18 on CIFAR-10; otherwise with the small network
    on digits.
    """
    repetitions = 3 if quick else 5
    if torch.cuda.is_available():
        images, name, device = cifar10_images(5000 if quick else 50_000)[0], "resnet18", "cuda"
    else:
        images, name, device = (
            load_mnist_sample().images[: 1000 if quick else 10_000],
            "small",
            "cpu",
        )
    ours, theirs = epochs(images, name, device, repetitions)
    work = f"deep clustering, an epoch of {len(images):,} images, {name}, {device}"
    beside = "supervised epoch + forward pass + k-means"
    row = compared(work, beside, ">= 0.77", ours, theirs)
    remark = (
        f"Deep clustering: {N_LABELS} pseudo-labels; the supervised epoch has the same labels and "
        "batches, standardised images in memory, and no random views; ours makes them. The "
        "k-means is ours in both."
    )
    if device == "cuda":
        return [row], [remark]
    fast, exact = precisions(images, name, repetitions)
    units = "bfloat16" if has_bfloat16() else "no units for bfloat16"
    work = f'an epoch with precision="fast" ({units})'
    return [row, compared(work, 'precision="exact"', None, fast, exact)], [remark]


def precisions(images, name, repetitions):
    """Seconds of epochs on the processor, fast and exact, taken in turn."""
    fits = [_fitted(images, name, "cpu", precision) for precision in ("fast", "exact")]
    seconds = [], []
    for _ in range(repetitions):
        for (net, batches, _), found in zip(fits, seconds, strict=True):
            found.append(_epoch(net, batches, "cpu"))
    return seconds


def epochs(images, name, device, repetitions):
    """Seconds of our epochs, and of supervised epochs, forward passes and k-means together."""
    net, batches, shape = _fitted(images, name, device, "fast" if device == "cuda" else "exact")
    plain = Supervised(batches, shape, name, device, net.pseudo_labels_[0], net.batch_size)
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(_epoch(net, batches, device))
        kmeans = net.records_[-1]["seconds_clustering"]
        theirs.append(_timed(plain.epoch, device) + _timed(plain.forward, device) + kmeans)
    return ours, theirs


class Supervised:
    """The same network, learned from given labels without anything around it."""

    def __init__(self, batches, shape, name, device, labels, batch_size):
        images = batches.__getitems__(torch.arange(len(batches)))[0].to(device)
        self.images = ((images - images.mean()) / images.std()).contiguous(
            memory_format=torch.channels_last
        )
        self.labels = labels.to(device)
        self.batch_size = batch_size
        self.device = device
        network = build_network(name, shape[2], shape[:2], {}).eval()
        width = network(images[:1].cpu()).shape[1]
        self.net = nn.Sequential(network, nn.Linear(width, N_LABELS))
        self.net = self.net.to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)

    def epoch(self):
        """Learn from every image once."""
        self.net.train()
        for index in torch.randperm(len(self.images)).to(self.device).split(self.batch_size):
            self.optimizer.zero_grad()
            with self._precision():
                logits = self.net(self.images[index])
            F.cross_entropy(logits.float(), self.labels[index]).backward()
            self.optimizer.step()

    def forward(self):
        """Look at every image once."""
        self.net.eval()
        with torch.no_grad(), self._precision():
            for images in self.images.split(self.batch_size):
                self.net(images)

    def _precision(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")


def _fitted(images, name, device, precision):
    """A net after an epoch, its images, and the shape of one."""
    estimator = DeepClusterEstimator(
        module=name,
        n_pseudo_labels=N_LABELS,
        max_epochs=1,
        sobel=False,
        device=device,
        precision=precision,
        random_state=0,
    ).fit(images)
    checked = check_images(estimator, images, reset=False)
    return estimator.net_, *image_batches(checked, None, torch.device(device))


def _epoch(net, batches, device):
    """Seconds of one more epoch."""
    return _timed(lambda: net.train(batches, len(net.records_) + 1), device)


def _timed(call, device):
    begin = perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - begin
