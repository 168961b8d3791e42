"""The net that learns with labels which channels belong together (Dundar et al. 2015)."""

import torch
from skorch.callbacks import Callback
from torch import nn

from .._core.channel_groups import slot_weights
from .._core.pooling import Pooling
from .._utils.progress import report

# Connections learn so many times as fast as filters, and the temperature of their softmax falls
# from the first to the second of these. On 48 maps of CIFAR-10 the largest weight of a slot is then
# 0.58, at 10 times 0.24, and without cooling 0.14: it would hardly choose. At 100 times it is 0.98,
# with 3 points less accuracy of the net.
CONNECTION_RATE = 30
_TEMPERATURES = (1.0, 0.1)
# Small beside the first temperature, so that every slot begins with all channels.
_START_SPREAD = 0.1


class GroupedNet(nn.Module):
    """Groups of mixed channels, filters over each group, pooling, a linear classifier."""

    def __init__(self, map_shape, n_groups, group_size, n_hidden, n_classes):
        super().__init__()
        height, width, n_channels = map_shape
        kernel = min(height, 3), min(width, 3)
        self.n_groups = n_groups
        self.temperature = _TEMPERATURES[0]
        self.logits = nn.Parameter(_START_SPREAD * torch.randn(n_groups * group_size, n_channels))
        self.filters = nn.Conv2d(
            n_groups * group_size, n_groups * n_hidden, kernel, groups=n_groups
        )
        map_size = height - kernel[0] + 1, width - kernel[1] + 1
        self.pooling = Pooling("mean", tuple(min(side, 2) for side in map_size))
        n_cells = self.pooling.grid[0] * self.pooling.grid[1]
        self.classify = nn.Linear(n_cells * n_groups * n_hidden, n_classes)

    def forward(self, maps):
        """Scores (n, classes) of standardised maps (n, H, W, C)."""
        slots = maps @ slot_weights(self.logits, self.temperature).T
        codes = self.filters(slots.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)
        return self.classify(self.pooling.pool(codes).flatten(1))

    def channel_weights(self):
        """Softmax weights at the present temperature, an array (n_groups, group_size, C)."""
        weights = (self.logits.detach() / self.temperature).softmax(1)
        return weights.unflatten(0, (self.n_groups, -1)).cpu().numpy()


class CoolDown(Callback):
    """Lowers the temperature batch by batch, and records the accuracy of every epoch.

    Parameters
    ----------
    estimator : ChannelConnections
        Reports for `verbose`.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.n_steps = net.max_epochs * -(-len(X) // net.batch_size)
        self.step = 0

    def on_epoch_begin(self, net, **kwargs):
        self.correct = self.seen = 0

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        first, last = _TEMPERATURES
        self.step += 1
        net.module_.temperature = first * (last / first) ** (self.step / self.n_steps)

    def on_batch_end(self, net, batch=None, y_pred=None, **kwargs):
        labels = batch[1].to(y_pred.device)
        self.correct += (y_pred.argmax(1) == labels).sum()
        self.seen += len(labels)

    def on_epoch_end(self, net, **kwargs):
        accuracy = int(self.correct) / self.seen
        net.history.record("train_accuracy", accuracy)
        if self.estimator.verbose:
            loss = net.history[-1, "train_loss"]
            of = f"{len(net.history)}/{net.max_epochs}"
            report(self.estimator, f"epoch {of}, loss {loss:.4g}, accuracy {accuracy:.3f}")
