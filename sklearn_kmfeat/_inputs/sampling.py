"""Drawing patches from images, evenly and without replacement."""

import numpy as np
import torch
from sklearn.utils.random import sample_without_replacement

from .._core.contrast import contrast_normalize
from .._core.patches import patches_at

_BATCH_BYTES = 64 * 2**20


def even_counts(available, total, rng):
    """How many patches to take from each image.

    Parameters
    ----------
    available : int array of shape (n,)
        Patches that each image has.
    total : int
        Patches wanted from all images together.
    rng : numpy RandomState
        Decides which images give one more than others.

    Returns
    -------
    int array of shape (n,)
        Sums to `total`, or to all there are; as even as the images' sizes allow.
    """
    counts = np.zeros_like(available)
    left = min(int(total), int(available.sum()))
    while left:
        room = np.flatnonzero(counts < available)
        share = left // len(room)
        if not share:
            counts[rng.choice(room, left, replace=False)] += 1
            break
        more = np.minimum(share, available[room] - counts[room])
        counts[room] += more
        left -= int(more.sum())
    return counts


def draw_locations(available, counts, rng):
    """Different locations of each image in increasing order, a list of int arrays."""
    return [
        np.arange(n)
        if count == n
        else np.sort(sample_without_replacement(n, count, random_state=rng))
        for n, count in zip(available.tolist(), counts.tolist(), strict=True)
    ]


def cut_patches(images, grid, locations, device, image_eps=None, on_batch=None, channels=None):
    """The patches at given locations.

    Parameters
    ----------
    images : Images
    grid : PatchGrid
    locations : list of int arrays
        Of each image, in the order of the images.
    device : torch.device
    image_eps : float or None, default=None
        Normalise the contrast of each image first, with this added to its variance.
    on_batch : callable or None, default=None
        Called after each batch of images.
    channels : int array or None, default=None
        Which channels to cut; None: all.

    Returns
    -------
    tensor of shape (number of locations, h * w * C)
        In the order of the images.
    """
    counts = np.array([len(places) for places in locations])
    ends = np.cumsum(counts)
    n_channels = images.n_channels if channels is None else len(channels)
    width = grid.size[0] * grid.size[1] * n_channels
    patches = torch.empty(int(ends[-1]), width, dtype=images.dtype, device=device)
    for index, batch in images.batches(batch_size(images), np.flatnonzero(counts)):
        batch = batch.to(device)
        if image_eps is not None:
            batch = contrast_normalize(batch.flatten(1), image_eps).view(batch.shape)
        if channels is not None:
            batch = batch[..., torch.from_numpy(channels).to(device)]
        which = torch.arange(len(index)).repeat_interleave(torch.from_numpy(counts[index]))
        places = torch.from_numpy(np.concatenate([locations[i] for i in index]))
        target = np.concatenate([np.arange(ends[i] - counts[i], ends[i]) for i in index])
        cut = patches_at(batch, which.to(device), places.to(device), grid.size, grid.stride)
        patches[torch.from_numpy(target).to(device)] = cut
        if on_batch is not None:
            on_batch()
    return patches


def batch_size(images):
    """Number of images to read at once, as a function of their size."""
    item = torch.finfo(images.dtype).bits // 8 * images.n_channels
    return lambda size: max(1, _BATCH_BYTES // (item * size[0] * size[1]))
