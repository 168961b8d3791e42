"""A fitted estimator as plain data, for files that hold neither code nor pickles: skops.

The net becomes the arguments that it was made with, and its state in NumPy; from both it is made
again. Pickles and copies keep the net as it is.
"""

import copyreg
import inspect
from typing import Any

import torch
from skorch import NeuralNet
from torch import nn

from .._utils.device import device_of_model
from .._utils.generators import OwnGenerators
from .._utils.settings import standard_settings
from .._utils.tensors import shared_tensor
from .clustering import PCAWhitening
from .module import DeepClusterModule
from .net import _DeepClusterNet
from .recipe import Recipe
from .state import restore, state_of

# Arguments of the net that are made from others, or that every net has.
_LEFT_OUT = {"module", "recipe", "module__statistics"}
# The key of the array in a dict that stands for a tensor.
_TENSOR = "of a tensor"


class PlainState:
    """An estimator whose `net_` is told as plain data where no pickle is made."""

    @property
    def _whitening(self):
        """The space of the clusters, as the core takes it; the arrays are shared."""
        mean, components = (shared_tensor(self._space[name]) for name in ("mean", "components"))
        return PCAWhitening(mean, components, self._space["unit_length"])

    def __reduce_ex__(self, protocol):
        """For pickle and copy, which take everything as it is."""
        return copyreg.__newobj__, (type(self),), super().__getstate__()

    def __getstate__(self):
        """For skops, which takes plain data only."""
        state = super().__getstate__()
        if isinstance(self.module, nn.Module):
            raise TypeError(
                "skops cannot hold a network of torch, which was given as module: give its class "
                "and net_params, or use joblib."
            )
        return state | ({"net_": plain_net(self.net_)} if "net_" in state else {})

    def __setstate__(self, state):
        super().__setstate__(state)
        if isinstance(self.__dict__.get("net_"), dict):
            self.net_ = net_of(self.net_)


def plain_net(net: NeuralNet) -> dict[str, Any]:
    """A net as plain data: dicts, lists, tuples, numbers, str, classes and NumPy's arrays.

    Parameters
    ----------
    net : _DeepClusterNet
        Initialised.
    """
    defaults = inspect.signature(NeuralNet.__init__).parameters
    arguments = {
        name: value
        for name, value in net.get_params(deep=False).items()
        if not name.startswith("_")
        and name not in _LEFT_OUT
        and (name not in defaults or value is not defaults[name].default)
    }
    return {
        "arguments": arguments,
        "recipe": net.recipe._asdict(),
        "state": _in_numpy(state_of(net)),
    }


@standard_settings()
def net_of(plain: dict[str, Any]) -> NeuralNet:
    """The net that `plain_net` made plain data of, in the same state."""
    device = device_of_model(plain["arguments"]["device"])
    arguments = plain["arguments"] | {"device": device}
    channels = torch.zeros(arguments["module__shape"][2])
    with OwnGenerators(torch.device(device)):
        net = _DeepClusterNet(
            DeepClusterModule,
            **arguments,
            module__statistics=(channels, channels + 1),  # the state brings them
            recipe=Recipe(**plain["recipe"]),
        ).initialize()
        restore(net, _in_torch(plain["state"]))
    return net


def _in_numpy(value):
    """The same with NumPy's arrays in place of tensors."""
    if isinstance(value, torch.Tensor):
        return {_TENSOR: value.cpu().numpy()}
    if isinstance(value, dict):
        return {key: _in_numpy(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_in_numpy, value))
    return value


def _in_torch(value):
    """The inverse of `_in_numpy`."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return torch.tensor(value[_TENSOR])
        return {key: _in_torch(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_in_torch, value))
    return value
