"""The contract of a head: what lies between embeddings, pseudo-labels and loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from torch import nn

from ..ranks import ALONE, Ranks


class Head(nn.Module, ABC):
    """Classifiers of embeddings, which learn the pseudo-labels.

    The contract for a new head. It declares what the training needs to know, as the attributes
    below; no code depends on its name. Its methods are called in this order:

    * ``__init__(n_features, n_labels, n_images, relu, **options)`` when a fit begins, also where
      the fit goes on from a checkpoint: then its `state_dict` is loaded. So all that must survive
      an epoch is a parameter or a buffer. The options are those of ``net_params["head__NAME"]``.
    * `fresh_parameters` and `learned_parameters` once after that, for the optimisers.
    * Before the first clustering `forward` for every image once, without gradients, if there are
      `per_image_buffers` to be filled.
    * Every `reassign_every` epochs `rows_to_cluster`, except for the first clustering, and then
      `renew` with the pseudo-labels that came out; without gradients.
    * In each step `forward`, in training mode, on embeddings of random views.
    * At the end, and for new images, `projected`, if it `projects`; in evaluation mode.

    Attributes
    ----------
    default_sampling : {"uniform", "shuffle"}
        What ``sampling="auto"`` means with this head.
    restarts : bool
        Whether `renew` makes a classifier new. Its `fresh_parameters` are learned by an
        optimiser of their own, without the momentum of the last clustering.
    projects : bool
        Whether it has a projection, and so offers ``cluster_space="projection"``.
    per_image_buffers : tuple of str
        Names of the buffers with a row for each training image. They are not taken over when
        `warm_start` goes on with other images. While several processes learn, each holds the
        rows of its share.
    ranks : Ranks
        The processes that learn together; set before the first clustering.
    """

    default_sampling: ClassVar[Literal["uniform", "shuffle"]] = "uniform"
    restarts: ClassVar[bool] = False
    projects: ClassVar[bool] = False
    per_image_buffers: ClassVar[tuple[str, ...]] = ()
    ranks: Ranks = ALONE

    def fresh_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that `renew` makes new; none unless the head `restarts`."""
        return []

    def learned_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Names and parameters that are learned together with those of the network."""
        fresh = {id(parameter) for parameter in self.fresh_parameters()}
        return [named for named in self.named_parameters() if id(named[1]) not in fresh]

    def rows_to_cluster(self) -> torch.Tensor | None:
        """What is clustered, from the second clustering on.

        Returns
        -------
        tensor of shape (n_images, d) or None
            Rows of unit length, one for each training image (of the share of this process), which
            are clustered by cosine. None:
            all images are embedded, and the whitened embeddings are clustered. That is what
            always happens in the first clustering, when nothing in the head is learned.
        """
        return None

    @abstractmethod
    def renew(self, labels: torch.Tensor) -> None:
        """Prepare for new pseudo-labels.

        Parameters
        ----------
        labels : int64 tensor of shape (n_classifiers, n_images)
        """

    @abstractmethod
    def forward(self, embeddings: torch.Tensor, index: torch.Tensor) -> list[torch.Tensor]:
        """Logits of a batch.

        Parameters
        ----------
        embeddings : tensor of shape (n, d)
        index : int64 tensor of shape (n,)
            Which training images, of all, they belong to.

        Returns
        -------
        list of tensors of shape (n, k)
            One for each classifier.
        """

    def projected(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Projections of embeddings (n, d); only called if the head `projects`."""
        raise NotImplementedError
