"""What a fitted estimator gives for images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from .._inputs.check import check_images
from .._utils.generators import seed_generators
from .computing import computing
from .joined import joined
from .layers import SPACES, check_layer, layer_rows
from .ranks import ALONE
from .recipe import Purpose
from .sharing import among, check_same, merge_seen, own_draws
from .sources import ImageBatches, image_batches


def output_rows(estimator: Any, X: Any, layer: str) -> torch.Tensor:
    """The rows of images, of all of them in each process.

    Parameters
    ----------
    estimator : DeepClusterEstimator
    X : object
        Images, as they were given to a method.
    layer : str
        As the parameter of the estimator.

    Returns
    -------
    tensor of shape (n, d)
    """
    with _fitted_net(estimator, X) as (net, batches):
        if layer not in SPACES:
            check_layer(net, layer, SPACES)
            return layer_rows(net, layer, batches)
        rows = net.forward(batches, device=net.device)
        if layer == "clusters":
            rows = net.projected(rows) if estimator._on_projection else rows
            rows = estimator._whitening(rows)
        return net.ranks.whole(rows)


@contextmanager
def _fitted_net(estimator: Any, X: Any) -> Iterator[tuple[NeuralNet, ImageBatches]]:
    """The fitted net among the processes, without gradients, and batches of X for it.

    A Dataset that draws random numbers draws those that it drew at the end of `fit`.
    """
    check_is_fitted(estimator)
    with (
        joined(estimator.distributed, estimator.net_.device) as ranks,
        computing(ranks.device, estimator.precision, False),
    ):
        estimator._validate_params()
        source = check_images(
            estimator, X, image_shape=estimator.image_shape, reset=False, needs_sizes=False
        )
        check_same(ranks, estimator, source)
        batches, _ = image_batches(source, estimator._input_shape[:2], ranks.device)
        seed_generators(estimator.net_.recipe.derived_seed(Purpose.EMBEDDING))
        # Fewer images than processes are no work to share.
        net = among(estimator.net_, ranks if len(batches) >= ranks.size else ALONE)
        with own_draws(net):
            yield net, batches
        merge_seen(ranks, source)
        source.seen.end()
