"""The private skorch net: clusters before each epoch, learns them in it."""

import copy
import math
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score
from skorch import NeuralNet
from skorch.utils import TeeGenerator
from torch import nn

from .._utils.device import autocast
from ..metrics import purity_score
from .clustering import euclidean_clusters, size_entropy, spherical_clusters, uniform_draw, whitened

# Of a classifier that is made new, beside an optimiser whose rate says nothing for plain descent.
_HEAD_LR = 0.5
_SMALLER_STEPS = "try a smaller lr, or a network with batch normalisation."


class Recipe(NamedTuple):
    """How pseudo-labels are made, and the seed of all that is random.

    Attributes
    ----------
    seed : int
    n_labels : tuple of int
        Clusters of each classifier.
    n_components : int
    kmeans_iter : int
    reassign_every : int
        In epochs.
    sampling : {"uniform", "shuffle"}
    precision : {"exact", "fast"}
    lr_schedule : {"constant", "cosine"}
    augment : callable
        From images (n, C, H, W) to random views.
    centre : callable
        From images to what is described.
    """

    seed: int
    n_labels: tuple
    n_components: int
    kmeans_iter: int
    reassign_every: int
    sampling: str
    precision: str
    lr_schedule: str
    augment: Callable
    centre: Callable

    def derived_seed(self, *key):
        """A seed of its own for each purpose; that of an epoch needs no epoch before it."""
        return int(np.random.SeedSequence([self.seed, *key]).generate_state(1)[0])


@contextmanager
def own_generators(device):
    """Leave torch's generators, when the block ends, as they were before it."""
    devices = [device] if device.type == "cuda" else []
    on_mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            if on_mps is not None:
                torch.mps.set_rng_state(on_mps)


def seed_generators(seed, device):
    """Seed the generators of the CPU and of one device, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class Batches:
    """Batches of places, of two at least where there are two, whose sizes differ by one at most.

    Parameters
    ----------
    order : callable
        Gives the places, an int64 tensor, when an epoch begins.
    n_images : int
    batch_size : int
    """

    def __init__(self, order, n_images, batch_size):
        self.order = order
        # Batch normalisation cannot learn from one image.
        self.n_batches = max(1, min(-(-n_images // batch_size), n_images // 2))

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        # Drawn when the first batch is asked for: a loader with workers asks for two iterators.
        yield from self.order().tensor_split(self.n_batches)


def _as_it_is(batch):
    return batch


class _DeepClusterNet(NeuralNet):
    """Deep clustering on a Dataset that gives batches of images with their places.

    Parameters
    ----------
    *args, **kwargs
        As for `skorch.NeuralNet`.
    recipe : Recipe
    head_optimizer : dict or None, default=None
        Arguments for the SGD of what starts anew. By default its ``lr`` goes as far in the long
        run as an SGD with momentum does, or is 0.5 beside optimisers of other kinds.

    Attributes
    ----------
    labels_ : int64 tensor of shape (n_classifiers, n_images) or None
        On the CPU.
    records_ : list of dict
        What was measured in each epoch.
    """

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

    # What skorch builds

    def initialize(self):
        """Build everything; no epoch is done yet."""
        seed_generators(self.recipe.derived_seed(0), torch.device(self.device))
        super().initialize()
        self.labels_ = None
        self.records_ = []
        return self

    def initialize_module(self):
        """Build the module, in the order of memory that convolutions like."""
        super().initialize_module()
        self.module_ = self.module_.to(memory_format=torch.channels_last)
        return self

    def initialize_optimizer(self):
        """The optimiser of what stays, and one without momentum for what starts anew."""
        head = self.module_.head
        learned = [*self.module_.network.named_parameters(), *head.learned_parameters()]
        args, kwargs = self.get_params_for_optimizer("optimizer", learned)
        self.optimizer_ = self.optimizer(*args, **kwargs)
        fresh = list(head.fresh_parameters())
        if fresh:
            options = {"lr": _HEAD_LR, "weight_decay": kwargs.get("weight_decay", 0)}
            if isinstance(self.optimizer_, torch.optim.SGD):
                # A step with momentum goes 1 / (1 - momentum) times as far in the long run.
                options["lr"] = kwargs["lr"] / (1 - self.optimizer_.defaults["momentum"])
            options |= self.head_optimizer or {}
            self.head_optimizer_ = torch.optim.SGD(fresh, **options)
        return self

    def get_iterator(self, dataset, training=False):
        """Batches of an epoch, or of all images in their order."""
        name = "iterator_train" if training else "iterator_valid"
        if training:
            return self._loader(name, dataset, partial(self._epoch_order, len(dataset)))
        return self._loader(name, dataset, partial(torch.arange, len(dataset)))

    def _loader(self, name, dataset, order):
        # Workers draw from it what the transforms of a Dataset need.
        seed = self.recipe.derived_seed(4, len(self.records_)) if "train" in name else 0
        params = self.get_params_for(name)
        size = params.pop("batch_size", self.batch_size)
        return getattr(self, name)(
            dataset,
            batch_sampler=Batches(order, len(dataset), size),
            collate_fn=_as_it_is,
            generator=torch.Generator().manual_seed(seed),
            **params,
        )

    def _epoch_order(self, n_images):
        if self.recipe.sampling == "shuffle":
            return torch.randperm(n_images)
        return uniform_draw(self.labels_[0], self.recipe.n_labels[0], n_images)

    # What happens to a batch

    def train_step(self, batch, **fit_params):
        """One gradient for both optimisers; skorch would compute one for each."""
        self._zero_grad_optimizer()
        step = self.train_step_single(batch, **fit_params)
        self.notify(
            "on_grad_computed",
            named_parameters=TeeGenerator(self.get_all_learnable_params()),
            batch=batch,
            training=True,
        )
        self._step_optimizer(None)
        return step

    def infer(self, x, **fit_params):
        """Embeddings (n, d) of images: of random views of them in training."""
        x = x.to(self.device, non_blocking=True)
        view = self.recipe.augment if self.module_.training else self.recipe.centre
        with torch.no_grad():
            x = view(x).contiguous(memory_format=torch.channels_last)
        with self._precision():
            return super().infer(x, **fit_params).float()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Mean loss of the classifiers; `y_true` holds the places of the images."""
        with self._precision():
            logits = self.module_.head(y_pred, y_true.to(y_pred.device))
        labels = self.labels_[:, y_true].to(y_pred.device)
        losses = [
            self.criterion_(own.float(), target) for own, target in zip(logits, labels, strict=True)
        ]
        return torch.stack(losses).mean()

    def _precision(self):
        return autocast(self.recipe.precision, torch.device(self.device))

    # What happens in an epoch

    def train(self, dataset, n_epochs, y=None, on_epoch=None):
        """Learn until so many epochs are done, or until stopped.

        Parameters
        ----------
        dataset : Dataset
        n_epochs : int
            In all, with those that are done already.
        y : int ndarray of shape (n,) or None, default=None
            Classes, only to be compared with.
        on_epoch : callable or None, default=None
            Called with `state()` after each epoch; a true answer stops.

        Returns
        -------
        bool
            False if the user interrupted; the state is then that of the last whole epoch.
        """
        self.notify("on_train_begin", X=dataset, y=y)
        self._watched, self._on_epoch, self._stopped = y, on_epoch, False
        self._whole = self.state()
        finished = True
        try:
            while len(self.records_) < n_epochs and not self._stopped:
                self._set_learning_rate(len(self.records_) / n_epochs)
                self.fit_loop(dataset, epochs=1)
        except KeyboardInterrupt:
            self.load_state(self._whole)
            finished = len(self.records_) >= n_epochs
            if not self.records_:
                raise
        finally:
            del self._watched, self._on_epoch, self._whole
        self.notify("on_train_end", X=dataset, y=y)
        return finished

    def _set_learning_rate(self, done):
        """Follow the schedule, after a share of all epochs is done."""
        if self.recipe.lr_schedule == "constant":
            return
        factor = (1 + math.cos(math.pi * done)) / 2
        for group in (group for each in self._all_optimizers() for group in each.param_groups):
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Cluster."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        epoch = len(self.records_) + 1
        self._record = {"epoch": epoch}
        seed_generators(self.recipe.derived_seed(1, epoch), torch.device(self.device))
        if self.labels_ is None or (epoch - 1) % self.recipe.reassign_every == 0:
            self._reassign(dataset_train, epoch)
        self._began = perf_counter()

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Write down what was measured."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        losses, sizes = np.array(
            self.history[-1, "batches", :, ("train_loss", "train_batch_size")], dtype=float
        ).T
        record = {"epoch": self._record.pop("epoch"), "loss": float(losses @ sizes / sizes.sum())}
        if not np.isfinite(record["loss"]):
            raise ValueError(
                f"The loss became {record['loss']} in epoch {record['epoch']}: {_SMALLER_STEPS}"
            )
        record |= self._record | {"seconds_learning": perf_counter() - self._began}
        self.records_.append(record)
        for name, value in record.items():
            if name != "epoch":
                self.history.record(name, value)
        self._whole = self.state()
        self._stopped = bool(self._on_epoch is not None and self._on_epoch(self._whole))

    def _reassign(self, dataset, epoch):
        """New pseudo-labels, and a head to learn them with."""
        recipe, head = self.recipe, self.module_.head
        begin = perf_counter()
        rng = np.random.RandomState(recipe.derived_seed(2, epoch))
        with torch.no_grad():
            rows, cluster = self._rows(dataset)
            described = perf_counter()
            labels = torch.stack(
                [cluster(rows, min(k, len(rows)), recipe.kmeans_iter, rng) for k in recipe.n_labels]
            )
            head.renew(labels)
        if hasattr(self, "head_optimizer_"):
            self.head_optimizer_.state.clear()
        self._record |= self._compared(labels.cpu()) | {
            "seconds_features": described - begin,
            "seconds_clustering": perf_counter() - described,
        }
        self.labels_ = labels.cpu()

    def _rows(self, dataset):
        """What is clustered, and how.

        An untrained projection says less of the images than an untrained network: so the first
        clusters are those of the features, even where there is a bank.
        """
        bank = self.module_.head.bank
        if bank is not None and self.labels_ is not None:
            self._record["spread"] = _spread(bank)
            return bank, spherical_clusters
        embeddings = self.embeddings(dataset)
        self._record["spread"] = _spread(embeddings)
        if bank is not None:
            self._fill_bank(dataset)
        return whitened(embeddings, self.recipe.n_components), euclidean_clusters

    def embeddings(self, dataset):
        """Embeddings (n, d) of all images, on the device."""
        embeddings = self.forward(dataset, device=self.device)
        if not bool(embeddings.isfinite().all()):
            raise ValueError(f"The network gives embeddings that are not finite: {_SMALLER_STEPS}")
        return embeddings

    def projected(self, embeddings):
        """Projections of embeddings (n, d), by the head."""
        self._set_training(False)
        return self.module_.head.projected(embeddings)

    def _compared(self, labels):
        """What is to be said of new pseudo-labels."""
        now, k = labels[0], self.recipe.n_labels[0]
        sizes = torch.bincount(now, minlength=k)
        before = self.labels_
        found = {
            "nmi": float("nan")
            if before is None
            else float(normalized_mutual_info_score(before[0], now)),
            "n_empty": int((sizes == 0).sum()),
            "entropy": size_entropy(now, k),
            "largest": float(sizes.max() / len(now)),
        }
        if self._watched is not None:
            found["nmi_true"] = float(normalized_mutual_info_score(self._watched, now))
            found["purity_true"] = purity_score(self._watched, now.numpy())
        return found

    def _fill_bank(self, dataset):
        """Project every image once, so that there is something to cluster."""
        self._set_training(True)
        for images, index in self._loader(
            "iterator_train", dataset, partial(torch.randperm, len(dataset))
        ):
            self.module_.head(self.infer(images), index.to(self.device))

    # What is kept

    def state(self):
        """Everything that decides how it goes on; a copy."""
        return {
            "seed": self.recipe.seed,
            "module": copy.deepcopy(self.module_.state_dict()),
            "optimizers": copy.deepcopy([each.state_dict() for each in self._all_optimizers()]),
            "kind of optimizer": type(self.optimizer_).__name__,
            "labels": self.labels_,
            "records": [dict(record) for record in self.records_],
        }

    def load_state(self, state, own_rates=False):
        """Go on from there.

        Parameters
        ----------
        state : dict
            Of `state`.
        own_rates : bool, default=False
            Keep the learning rate, the momentum and the like that this net was made with.
        """
        if state["kind of optimizer"] != type(self.optimizer_).__name__:
            raise ValueError(f"The optimizer was {state['kind of optimizer']}.")
        self.module_.load_state_dict(state["module"])
        for optimizer, found in zip(self._all_optimizers(), state["optimizers"], strict=True):
            _load_optimizer(optimizer, found, own_rates)
        self.labels_ = state["labels"]
        self.records_ = [dict(record) for record in state["records"]]
        self.initialize_history()
        for record in self.records_:
            self.history.new_epoch()
            for name, value in record.items():
                self.history.record(name, value)

    def _all_optimizers(self):
        fresh = [self.head_optimizer_] if hasattr(self, "head_optimizer_") else []
        return [self.optimizer_, *fresh]

    def layer_width(self, layer, shape, as_rows):
        """Length of a row of `layer_rows`, for images (H, W, C)."""
        blank = torch.zeros(1, *shape[:2], shape[2]).permute(0, 3, 1, 2)
        with torch.no_grad():
            return self._caught(layer, as_rows, [(blank, torch.zeros(1))]).shape[1]

    def layer_rows(self, dataset, layer, as_rows):
        """What a layer of the network gives for all images.

        Parameters
        ----------
        dataset : Dataset
        layer : str
            A name of `module_.network.named_modules()`.
        as_rows : callable
            From the output of the layer to rows.

        Returns
        -------
        tensor of shape (n, d)
            On the CPU.
        """
        return self._caught(layer, as_rows, self.get_iterator(dataset))

    def _caught(self, layer, as_rows, batches):
        caught = []

        def catch(module, inputs, output):
            # The next layer may work in place.
            caught.append(as_rows(output.float()).to("cpu", copy=True))

        handle = self.module_.network.get_submodule(layer).register_forward_hook(catch)
        found = []
        try:
            for batch in batches:
                caught.clear()
                self.evaluation_step(batch)
                if len(caught) != 1:
                    raise ValueError(
                        f"layer={layer!r} runs {len(caught)} times in the network: choose one that "
                        "runs once."
                    )
                found += caught
        finally:
            handle.remove()
        return torch.cat(found)


def _load_optimizer(optimizer, state, own_rates):
    """Take over what an optimiser remembers, and its rates if they are not to be its own."""
    rates = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(copy.deepcopy(state))
    if own_rates:
        for group, own in zip(optimizer.param_groups, rates, strict=True):
            group.pop("initial_lr", None)
            group.update(own)


def _spread(rows):
    """Variance of rows brought to unit length: 0 when all point the same way."""
    return max(0.0, float(1 - F.normalize(rows).mean(0).square().sum()))
