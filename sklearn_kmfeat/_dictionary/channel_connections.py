"""Which channels each group of second-layer filters sees."""

from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from skorch import NeuralNetClassifier
from torch import nn

from .._core.channel_groups import (
    balanced_groups,
    deal_channels,
    draw_seeds,
    inverse_deviations,
    most_similar,
    square_similarities,
    strongest_channels,
)
from .._core.patches import PatchGrid
from .._core.whitening import Moments
from .._inputs.check import check_images, set_fitted
from .._inputs.sampling import cut_patches, draw_locations, even_counts, images_per_batch
from .._utils.device import deterministic_cudnn, matmul_precision, resolve_device
from .._utils.generators import OwnGenerators
from .._utils.labels import of_one_type, read_labels, refuse_unknown
from .._utils.settings import standard_settings
from .._utils.validation import POSITIVE_INT
from .._utils.version import Versioned
from .grouped_net import CONNECTION_RATE, CoolDown, GroupedNet

_PIXELS = PatchGrid((1, 1), (1, 1))


class ChannelConnections(Versioned, BaseEstimator):
    """Choose which channels each group of a second layer's filters sees.

    Second-layer filters over all channels of a first layer have more dimensions than
    k-means can fill; filters over a few channels that belong together do not. Use it as
    ``ConvKMeans(connections=ChannelConnections(...))``, or fit it to maps and read
    `connections_`.

    Parameters
    ----------
    n_groups : int, default=24
        Number of groups.
    group_size : int, default=4
        Channels in each group.
    method : {"correlation", "random", "supervised"}, default="correlation"
        How channels come together.

        ``"random"``
            Channels dealt out at random, each one before any a second time.
        ``"correlation"``
            A channel drawn at random and those most similar to it: two channels are
            similar where their squares are correlated once that pair, at variance one
            each, is whitened (Coates & Ng 2011). More groups than channels that vary:
            each is drawn about equally often. Ties go to the lowest index.
        ``"supervised"``
            A small net learns them with labels (Dundar, Jin & Culurciello 2015). Each
            place in a group mixes the channels by a softmax that is cooled down to about
            one channel; filters of up to 3x3, a ReLU, means over a 2x2 grid and a linear
            classifier follow. Only the connections are kept: of each group, the
            different channels with most weight. Images of one size only.
    balanced : bool, default=True
        ``"correlation"``: use every channel equally often, to within one group, so that
        none is left out: groups are gathered one after the other from the channels that
        are in the fewest. False: the most similar channels, whatever other groups they are
        in, as Coates & Ng have it.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C). None:
        each row is one pixel with as many channels as features.
    n_locations : int or None, default=100_000
        ``"correlation"``: pixels to learn from, drawn evenly over the images, without
        replacement. None: all; they are held in memory.
    n_images : int or None, default=5_000
        ``"supervised"``: images to learn from, drawn evenly over the classes, without
        replacement. None: all; they are held in memory.
    n_hidden : int, default=8
        ``"supervised"``: filters of each group in the net.
    max_epochs : int, default=10
        ``"supervised"``: passes over the images.
    learning_rate : float, default=0.003
        ``"supervised"``: step of Adam for the filters and the classifier; connections
        learn 30 times as fast.
    batch_size : int, default=128
        ``"supervised"``: images in a training step.
    device : str, torch.device or None, default=None
        Where to compute. None: the CPU; ``"auto"``: a GPU if there is one.
    random_state : int, RandomState or None, default=None
        What is drawn, and where the net starts.
    verbose : int, default=0
        ``"supervised"``: above zero, write the loss and accuracy of every epoch.

    Attributes
    ----------
    connections_ : int64 ndarray of shape (n_groups, group_size)
        Channels of each group: different ones, in increasing order.
    similarities_ : ndarray of shape (C, C)
        ``"correlation"``: of every two channels, from -1 to 1. Zero for a channel that
        does not vary.
    seeds_ : int64 ndarray of shape (n_groups,)
        ``"correlation"``: the channel that each group was gathered around.
    weights_ : ndarray of shape (n_groups, group_size, C)
        ``"supervised"``: the softmax weights of each place in a group in the end; each
        row sums to one.
    loss_curve_ : list of float
        ``"supervised"``: mean cross-entropy of each epoch.
    accuracy_curve_ : list of float
        ``"supervised"``: share of the training images classified correctly, in each epoch.
    n_features_in_ : int
        H * W * C, where it is fixed.
    feature_names_in_ : ndarray of str
        When `X` has column names.
    image_shape_ : tuple or None
        (H, W, C); (None, None, C) for images that differ in size; None for rows.

    See Also
    --------
    ConvKMeans : Learns filters for every group.

    References
    ----------
    .. [1] Coates, Ng (2011). "Selecting receptive fields in deep networks." NIPS.
    .. [2] Dundar, Jin, Culurciello (2015). "Convolutional clustering for unsupervised learning."
       arXiv:1511.06241.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat import ChannelConnections
    >>> rng = np.random.RandomState(0)
    >>> strength = rng.rand(50, 8, 8, 2)
    >>> maps = np.repeat(strength, 2, axis=3) * rng.randn(50, 8, 8, 4)
    >>> connections = ChannelConnections(n_groups=4, group_size=2, random_state=0)
    >>> np.unique(connections.fit(maps).connections_, axis=0)
    array([[0, 1],
           [2, 3]])
    """

    #: Of a first layer, which may look like images with channels first.
    _takes_maps = True
    #: Whether `sklearn_kmfeat.dask.fit` takes it.
    _fits_blocks = True
    _parameter_constraints = {
        "n_groups": [POSITIVE_INT],
        "group_size": [POSITIVE_INT],
        "method": [StrOptions({"correlation", "random", "supervised"})],
        "balanced": ["boolean"],
        "image_shape": [tuple, list, None],
        "n_locations": [POSITIVE_INT, None],
        "n_images": [POSITIVE_INT, None],
        "n_hidden": [POSITIVE_INT],
        "max_epochs": [POSITIVE_INT],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [POSITIVE_INT],
        "device": [str, torch.device, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_groups=24,
        group_size=4,
        *,
        method="correlation",
        balanced=True,
        image_shape=None,
        n_locations=100_000,
        n_images=5_000,
        n_hidden=8,
        max_epochs=10,
        learning_rate=0.003,
        batch_size=128,
        device=None,
        random_state=None,
        verbose=0,
    ):
        self.n_groups = n_groups
        self.group_size = group_size
        self.method = method
        self.balanced = balanced
        self.image_shape = image_shape
        self.n_locations = n_locations
        self.n_images = n_images
        self.n_hidden = n_hidden
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    @standard_settings()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose the channels of each group.

        Parameters
        ----------
        X : array of shape (n, H, W), (n, H, W, C) or (n, f), or list of images
            Integers or floats, such as the maps of a first layer.
        y : array of shape (n,) or None, default=None
            Classes of any kind, for ``method="supervised"``; ignored otherwise.

        Returns
        -------
        self : ChannelConnections
            Fitted.

        Raises
        ------
        ValueError
            When a group asks for more channels than there are, or the images have one
            channel and so nothing to group; for ``method="supervised"``, without `y`,
            with fewer than two classes, or with images that differ in size.
        """
        images = check_images(self, X, image_shape=self.image_shape)
        self._check_groups(images)
        rng = check_random_state(self.random_state)
        with matmul_precision("exact", resolve_device(self.device)):
            fitted = self._methods[self.method](self, images, y, rng)
        others = ("similarities_", "seeds_", "weights_", "loss_curve_", "accuracy_curve_")
        set_fitted(self, X, images, fitted, replaced=others)
        return self

    def _check_groups(self, images):
        n_channels = images.n_channels
        if n_channels == 1 and max(self.n_groups, self.group_size) > 1:
            raise ValueError(
                f"n_groups={self.n_groups} groups of group_size={self.group_size} were asked for, "
                "but X has a single channel (n_features=1 for each pixel): there is nothing to "
                "group."
            )
        if self.group_size > n_channels:
            raise ValueError(
                f"group_size={self.group_size} is more than the {n_channels} channels of X: the "
                "channels of a group are different ones."
            )

    def _random(self, images, y, rng):
        groups = deal_channels(images.n_channels, self.n_groups, self.group_size, rng)
        return {"connections_": groups}

    def _correlation(self, images, y, rng):
        available = _PIXELS.n_locations(images.sizes)
        total = available.sum() if self.n_locations is None else self.n_locations
        counts = even_counts(available, total, rng)
        locations = draw_locations(available, counts, rng)
        [rows] = cut_patches(images, _PIXELS, locations, resolve_device(self.device))
        similarities = square_similarities(rows)
        varies = similarities.diagonal().numpy() > 0
        if self.balanced:
            groups, seeds = balanced_groups(
                similarities, varies, self.n_groups, self.group_size, rng
            )
        else:
            seeds = draw_seeds(varies, self.n_groups, rng)
            groups = most_similar(similarities, seeds, self.group_size)
        return {
            "connections_": groups,
            "similarities_": similarities.numpy(),
            "seeds_": seeds,
        }

    def _supervised(self, images, y, rng):
        n_classes, labels = self._checked_labels(images, y)
        if self.n_images is not None and self.n_images < n_classes:
            raise ValueError(
                f"n_images={self.n_images} images cannot show all of the {n_classes} classes of y."
            )
        members = _drawn_evenly(labels, self.n_images, rng)
        maps = _standardized(images, members)
        net = self._net(maps.shape[1:], n_classes)
        seed = int(rng.randint(2**31))
        device = resolve_device(self.device)
        own = OwnGenerators(torch.device("cpu"), seed)
        with torch.enable_grad(), own, deterministic_cudnn(device):
            net.fit(maps, torch.from_numpy(labels[members]))
        if len(net.history) < self.max_epochs or "train_loss" not in net.history[-1]:
            raise KeyboardInterrupt  # which skorch takes for a wish to stop early
        if not np.isfinite(net.history[-1, "train_loss"]):
            raise ValueError(
                f"The net of ChannelConnections diverged: its loss became "
                f"{net.history[-1, 'train_loss']}. learning_rate={self.learning_rate} is too large."
            )
        weights = net.module_.channel_weights()
        return {
            "connections_": strongest_channels(weights),
            "weights_": weights,
            "loss_curve_": net.history[:, "train_loss"],
            "accuracy_curve_": net.history[:, "train_accuracy"],
        }

    _methods = {"random": _random, "correlation": _correlation, "supervised": _supervised}

    def _checked_labels(self, images, y):
        """Number of classes, and the class of each image as an int64 array (n,)."""
        if y is None:
            raise ValueError(
                'ChannelConnections(method="supervised") learns from labels: fit requires y to be '
                "passed, but the target y is None."
            )
        y, unknown = read_labels(y)
        y = column_or_1d(y, warn=True)
        refuse_unknown(unknown, "y", "X")
        y = of_one_type(y, "y")
        check_array(y, ensure_2d=False, dtype=None, input_name="y")
        if len(y) != len(images):
            raise ValueError(f"X holds {len(images)} images, but y has {len(y)} labels.")
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f'ChannelConnections(method="supervised") needs at least two classes, but y has '
                f"1 class: {classes.tolist()[0]!r}."
            )
        sizes = np.unique(images.sizes, axis=0)
        if len(sizes) > 1:
            raise ValueError(
                'ChannelConnections(method="supervised") needs images of one size, but X has '
                f"{len(sizes)} sizes, from {tuple(sizes[0].tolist())} to "
                f"{tuple(sizes[-1].tolist())}."
            )
        return len(classes), labels.astype(np.int64)

    def _net(self, map_shape, n_classes):
        return NeuralNetClassifier(
            GroupedNet,
            module__map_shape=tuple(map_shape),
            module__n_groups=self.n_groups,
            module__group_size=self.group_size,
            module__n_hidden=self.n_hidden,
            module__n_classes=n_classes,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__param_groups=[("logits", {"lr": CONNECTION_RATE * self.learning_rate})],
            lr=self.learning_rate,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            callbacks=[("cool down", CoolDown(self))],
            device=resolve_device(self.device),
            verbose=0,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = self.method == "supervised"
        return tags


def _drawn_evenly(labels, n_images, rng):
    """Indices of images, drawn evenly over the classes, in increasing order."""
    if n_images is None:
        return np.arange(len(labels))
    available = np.bincount(labels)
    counts = even_counts(available, n_images, rng)
    # The images of a class one after the other, as if they were the places in an image.
    chosen = draw_locations(available, counts, rng)
    starts = np.cumsum(available) - available
    return np.sort(np.argsort(labels, kind="stable")[chosen.places + np.repeat(starts, counts)])


def _standardized(source, members):
    """Chosen images of one size as a float32 tensor (m, H, W, C), each channel standardised."""
    height, width = source.sizes[0].tolist()
    maps = torch.empty(len(members), height, width, source.n_channels, dtype=source.dtype)
    moments = Moments.zero(source.n_channels)
    n_read = 0
    for _, batch in source.batches(images_per_batch(source), members):
        moments += Moments.of(batch.flatten(0, 2))
        maps[n_read : n_read + len(batch)] = batch
        n_read += len(batch)
    scale = inverse_deviations(moments, source.dtype)
    return maps.sub_(moments.mean.to(maps)).mul_(scale.to(maps)).float()
