"""The private skorch net: clusters the images before an epoch, and learns the clusters in it.

One epoch; what is in brackets happens every `reassign_every` epochs (`reassign.py`)::

  on_epoch_begin  [ images --center crop--> network --> embeddings --whitening--+        ]
                  [                                                             v        ]
                  [ or, from the second clustering on,                       k-means     ]
                  [ head.rows_to_cluster(), if the head has any ------------->  |        ]
                  [                                                             v        ]
                  [                 head.renew(labels) <----------------- pseudo_labels_ ]

  each batch      images --random views--> network --> embeddings --> head --> logits
                                              ^                        ^         |
                                              |                        |         v
                                              +------- gradient -------+------- loss
                                                                                 ^
                  index of the images -------------> pseudo_labels_[:, index] ---+

  on_epoch_end    loss, NMI, seconds, ... --> records_ --> on_epoch(state): checkpoint,
                                                           warnings, progress, stop?
"""

import math
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.utils import TeeGenerator
from torch import nn
from torch.utils.data import Dataset

from .._utils.device import autocast, device_of_model
from .._utils.generators import drawing, seed_generators
from .batches import Batches
from .clustering import uniform_draw
from .networks import draws_numbers
from .ranks import ALONE
from .reassign import reassign
from .recipe import Purpose
from .sharing import own_draws
from .state import restore, state_of

# Rate of a classifier that is made new, beside an optimiser whose own rate means nothing for plain
# descent: what the default SGD gives, 0.05 / (1 - 0.9).
_FRESH_LR = 0.5
_SMALLER_STEPS = "try a smaller lr, or a network with batch normalisation."


class _DeepClusterNet(NeuralNet):
    """Deep clustering of a Dataset that gives batches of images with their index.

    Parameters
    ----------
    *args, **kwargs
        As for `skorch.NeuralNet`.
    recipe : Recipe
    head_optimizer : dict or None, default=None
        Arguments for the SGD of the parameters that start anew. By default its ``lr`` goes as
        far in the long run as an SGD with momentum does, or is 0.5 beside optimisers of other
        kinds.

    Attributes
    ----------
    pseudo_labels_ : int64 tensor of shape (n_classifiers, n_images) or None
        On the CPU.
    records_ : list of dict
        What was measured in each epoch.
    stopped_ : bool
        Whether a callback asked to stop the last training.
    ranks : Ranks
        The processes that learn together; outside a fit always this one alone.
    """

    ranks = ALONE
    _asked_to_stop = False

    def __init__(
        self,
        *args,
        recipe,
        head_optimizer=None,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        **kwargs,
    ):
        super().__init__(
            *args, criterion=criterion, train_split=train_split, verbose=verbose, **kwargs
        )
        self.recipe = recipe
        self.head_optimizer = head_optimizer

    def __setstate__(self, state):
        """Of a pickle, which may come from a machine with another device."""
        super().__setstate__(state | {"device": device_of_model(state["device"])})

    # What skorch builds

    @drawing(True)
    def initialize(self):
        """Build everything; no epoch is done yet."""
        seed_generators(self.recipe.derived_seed(Purpose.INITIAL_WEIGHTS))
        super().initialize()
        self.pseudo_labels_ = None
        self.records_ = []
        return self

    def initialize_module(self):
        """Build the module, in the order of memory in which convolutions are fastest."""
        super().initialize_module()
        self.module_ = self.module_.to(memory_format=torch.channels_last)
        return self

    def initialize_optimizer(self):
        """The optimiser, and one without momentum for the parameters that start anew."""
        head = self.module_.head
        learned = [*self.module_.network.named_parameters(), *head.learned_parameters()]
        args, kwargs = self.get_params_for_optimizer("optimizer", learned)
        self.optimizer_ = self.optimizer(*args, **kwargs)
        if head.restarts:
            options = {"lr": _FRESH_LR, "weight_decay": kwargs.get("weight_decay", 0)}
            if isinstance(self.optimizer_, torch.optim.SGD):
                # A step with momentum goes 1 / (1 - momentum) times as far in the long run.
                options["lr"] = kwargs["lr"] / (1 - self.optimizer_.defaults["momentum"])
            options |= self.head_optimizer or {}
            self.head_optimizer_ = torch.optim.SGD(head.fresh_parameters(), **options)
        return self

    def notify(self, method_name, **cb_kwargs):
        """Tell the callbacks, which may draw random numbers.

        A callback that raises a KeyboardInterrupt, as skorch's EarlyStopping does, asks to stop.
        Several processes do so together, at the end of an epoch.
        """
        with drawing(True):
            getattr(self, method_name)(self, **cb_kwargs)
            for _, callback in self.callbacks_:
                try:
                    getattr(callback, method_name)(self, **cb_kwargs)
                except KeyboardInterrupt:
                    self._asked_to_stop = True
                    if self.ranks.size == 1:
                        break
            at_epoch_end = self.ranks.size == 1 or method_name == "on_epoch_end"
            if at_epoch_end and self.ranks.any(self._asked_to_stop):
                self.stopped_, self._asked_to_stop = True, False
                raise KeyboardInterrupt

    def get_iterator(self, dataset, training=False):
        """Batches of an epoch, or of the images of this process in their order."""
        if training:
            return self.loader("iterator_train", dataset, partial(self._epoch_order, len(dataset)))
        share = self.ranks.share(len(dataset))
        return self.loader(
            "iterator_valid", dataset, partial(torch.arange, share.start, share.stop)
        )

    def loader(self, name: str, dataset: Dataset, order: Callable[[], torch.Tensor]):
        """The loader of that name, with batches in a certain order.

        Parameters
        ----------
        name : {"iterator_train", "iterator_valid"}
            Of the first, each batch is divided among the processes; of the other, each process
            has batches of its own.
        dataset : Dataset
        order : callable
            As in `Batches`.
        """
        seed, n_images, divide = self.ranks.seed(0), len(dataset), self.ranks.divide
        if name == "iterator_train":
            seed = self.ranks.seed(self.recipe.derived_seed(Purpose.WORKERS, len(self.records_)))
        else:
            share = self.ranks.share(n_images)
            n_images, divide = share.stop - share.start, None
        params = self.get_params_for(name)
        size = params.pop("batch_size", self.batch_size)
        return getattr(self, name)(
            dataset,
            batch_sampler=Batches(order, n_images, size, divide),
            collate_fn=_unchanged,
            generator=torch.Generator().manual_seed(seed),
            **params,
        )

    @drawing(True)
    def _epoch_order(self, n_images):
        if self.recipe.sampling == "shuffle":
            order = torch.randperm(n_images)
        else:
            order = uniform_draw(self.pseudo_labels_[0], self.recipe.n_labels[0], n_images)
        if self.ranks.size > 1:
            # From here to the end of the epoch, each process draws other numbers.
            seed = self.recipe.derived_seed(Purpose.VIEWS_OF_RANK, len(self.records_) + 1)
            seed_generators(self.ranks.seed(seed))
        return order

    # What happens to a batch

    def train_step(self, batch, **fit_params):
        """One gradient for both optimisers; skorch would compute one for each."""
        with drawing(_steps_draw(self)), self.ranks.synchronized():
            return self._train_step(batch, fit_params)

    def _train_step(self, batch, fit_params):
        self._zero_grad_optimizer()
        # Also where processes that wait here learn that another failed to read its images.
        self._n_in_batch = int(self.ranks.stack(torch.tensor(len(batch[1]))).sum())
        step = self.train_step_single(batch, **fit_params)
        parameters = [parameter for _, parameter in self.get_all_learnable_params()]
        step["loss"] = self.ranks.add_gradients(parameters, step["loss"])
        self.notify(
            "on_grad_computed",
            named_parameters=TeeGenerator(self.get_all_learnable_params()),
            batch=batch,
            training=True,
        )
        self._step_optimizer(None)
        return step

    def evaluation_step(self, batch, training=False):
        """Embeddings of a batch, without gradients."""
        with drawing(training and _steps_draw(self)):
            return super().evaluation_step(batch, training=training)

    def infer(self, x, **fit_params):
        """Embeddings (n, d) of images: of random views of them in training."""
        x = x.to(self.device, non_blocking=True)
        view = self.recipe.augment if self.module_.training else self.recipe.center_crop
        with torch.no_grad(), drawing(True):
            x = view(x).contiguous(memory_format=torch.channels_last)
        with _precision(self):
            return super().infer(x, **fit_params).float()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Mean loss of the classifiers, of embeddings `y_pred` of the images `y_true`.

        In training, the part that these images have in that of the batch of all processes.
        """
        with _precision(self):
            logits = self.module_.head(y_pred, y_true.to(y_pred.device))
        labels = self.pseudo_labels_[:, y_true].to(y_pred.device)
        losses = [
            self.criterion_(scores.float(), target)
            for scores, target in zip(logits, labels, strict=True)
        ]
        loss = torch.stack(losses).mean()
        return loss * (len(y_true) / self._n_in_batch) if training else loss

    def embeddings(self, dataset: Dataset) -> torch.Tensor:
        """Embeddings (n, d) of all images, on the device, checked; of those of this process."""
        with own_draws(self):
            embeddings = self.forward(dataset, device=self.device)
        if not bool(embeddings.isfinite().all()):
            raise ValueError(f"The network gives embeddings that are not finite: {_SMALLER_STEPS}")
        return embeddings

    def projected(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Projections of embeddings (n, d), by the head."""
        self._set_training(False)
        return self.module_.head.projected(embeddings)

    # What happens in an epoch

    def train(
        self,
        dataset: Dataset,
        n_epochs: int,
        y: np.ndarray | None = None,
        on_epoch: Callable[[dict[str, Any]], bool] | None = None,
    ) -> bool:
        """Learn until so many epochs are done, or until stopped.

        Parameters
        ----------
        dataset : Dataset
        n_epochs : int
            In all, with those that are done already.
        y : int ndarray of shape (n,) or None, default=None
            Classes, which pseudo-labels are compared with.
        on_epoch : callable or None, default=None
            Called with the state after each epoch; a true answer stops.

        Returns
        -------
        bool
            False if the user interrupted, or a callback of skorch; the state is then that of the
            last whole epoch.
        """
        self.notify("on_train_begin", X=dataset, y=y)
        self._classes, self._on_epoch = y, on_epoch
        self.stopped_ = self._asked_to_stop = False
        self._last_state = state_of(self)
        finished = True
        try:
            while len(self.records_) < n_epochs and not self.stopped_:
                if self.recipe.lr_schedule == "cosine":
                    set_cosine_rate(self.optimizer_, len(self.records_) / n_epochs)
                self.fit_loop(dataset, epochs=1)
        except KeyboardInterrupt:
            if self.ranks.size > 1 and not self.stopped_:
                raise  # the others are somewhere else in the epoch
            restore(self, self._last_state)
            finished = len(self.records_) >= n_epochs
            if not self.records_:
                raise
        finally:
            del self._classes, self._on_epoch, self._last_state
        self.notify("on_train_end", X=dataset, y=y)
        return finished

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Cluster, if it is time to."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        epoch = len(self.records_) + 1
        self._record = {}
        seed_generators(self.recipe.derived_seed(Purpose.EPOCH, epoch))
        if self.pseudo_labels_ is None or (epoch - 1) % self.recipe.reassign_every == 0:
            rng = np.random.RandomState(self.recipe.derived_seed(Purpose.CLUSTERING, epoch))
            with drawing(False):
                self._record = reassign(self, dataset_train, rng, self._classes)
        self._learning_since = perf_counter()

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Keep what was measured, and the state."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        losses, sizes = np.array(
            self.history[-1, "batches", :, ("train_loss", "train_batch_size")], dtype=float
        ).T
        epoch, loss = len(self.records_) + 1, float(losses @ sizes / sizes.sum())
        if not np.isfinite(loss):
            raise ValueError(f"The loss became {loss} in epoch {epoch}: {_SMALLER_STEPS}")
        record = {"epoch": epoch, "loss": loss, **self._record}
        record["seconds_learning"] = perf_counter() - self._learning_since
        self.records_.append(record)
        for name, value in record.items():
            if name != "epoch":
                self.history.record(name, value)
        self._last_state = state_of(self)
        stops = bool(self._on_epoch is not None and self._on_epoch(self._last_state))
        self.stopped_ = self.ranks.any(stops)

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Note how many images the batch of all processes had."""
        super().on_batch_end(net, batch, training, **kwargs)
        if training:
            self.history.record_batch("train_batch_size", self._n_in_batch)


def _unchanged(batch):
    """A batch that the Dataset has put together itself."""
    return batch


def _precision(net):
    """The block in which the network of a net computes."""
    return autocast(net.recipe.precision, torch.device(net.device))


def _steps_draw(net):
    """Whether a step of training may draw random numbers, as that of dropout does."""
    of_torch = net.optimizer, net.criterion
    known = all(getattr(part, "__module__", "").startswith("torch.") for part in of_torch)
    return not known or draws_numbers(net.module_)


def set_cosine_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rate by the cosine schedule, after a share of all epochs is done.

    A classifier that starts anew keeps its rate: it has new clusters to learn in the last
    epochs, too, and with a rate near zero it would still guess, and teach the network nothing.
    """
    factor = (1 + math.cos(math.pi * share)) / 2
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
