"""The state of a training: all that decides how it goes on."""

import copy
from typing import Any

import torch
from skorch import NeuralNet


def optimizers_of(net: NeuralNet) -> list[torch.optim.Optimizer]:
    """The optimiser, and that of the parameters that start anew, if there are any."""
    return [net.optimizer_, *([net.head_optimizer_] if net.module_.head.restarts else [])]


def state_of(net: NeuralNet) -> dict[str, Any]:
    """A copy of all that decides how a net goes on.

    Parameters
    ----------
    net : _DeepClusterNet
        Initialised.

    Returns
    -------
    dict
        Of tensors, str, numbers, lists and dicts: what a checkpoint can hold.
    """
    return {
        "seed": net.recipe.seed,
        "module": copy.deepcopy(net.module_.state_dict()),
        "optimizers": copy.deepcopy([each.state_dict() for each in optimizers_of(net)]),
        "kind of optimizer": type(net.optimizer_).__name__,
        # Replaced by a new clustering, never changed.
        "pseudo_labels": net.pseudo_labels_,
        "records": [dict(record) for record in net.records_],
    }


def restore(net: NeuralNet, state: dict[str, Any], keep_rates: bool = False) -> None:
    """Bring a net into a state.

    Parameters
    ----------
    net : _DeepClusterNet
        Initialised.
    state : dict
        Of `state_of`; not changed.
    keep_rates : bool, default=False
        Keep the learning rate, the momentum and the like that this net was made with.

    Raises
    ------
    ValueError, RuntimeError, KeyError
        Where the state is that of another network, head or optimiser.
    """
    if state["kind of optimizer"] != type(net.optimizer_).__name__:
        raise ValueError(f"The optimizer was {state['kind of optimizer']}.")
    net.module_.load_state_dict(state["module"])
    for optimizer, part in zip(optimizers_of(net), state["optimizers"], strict=True):
        _restore_optimizer(optimizer, part, keep_rates)
    net.pseudo_labels_ = state["pseudo_labels"]
    net.records_ = [dict(record) for record in state["records"]]
    net.initialize_history()
    for record in net.records_:
        net.history.new_epoch()
        for name, value in record.items():
            net.history.record(name, value)


def _restore_optimizer(optimizer, state, keep_rates):
    made_with = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(copy.deepcopy(state))
    if keep_rates:
        for group, rates in zip(optimizer.param_groups, made_with, strict=True):
            # That of a schedule which began with another rate.
            group.pop("initial_lr", None)
            group.update(rates)
