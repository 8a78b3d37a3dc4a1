"""Linear layers behind each other are one linear layer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from secchi.errors import SpecError
from secchi.models.build import Residual
from secchi.models.dropout import Dropout
from secchi.models.units import InUnits


def collapsed(net: nn.Module) -> nn.Linear:
    """The one linear layer that gives what a network without nonlinearities gives.

    W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2), and so on through all layers, in float64. The
    network is taken as it is in evaluation: there dropout does nothing, and batch normalisation
    is linear too.

    Args:
        net: Linear layers in a row, with residual connections or without, as
            ``MLP(…, activation="identity")`` builds it; also one whose outputs are in units.

    Returns:
        A layer with weights of its own, of the network's type and on its device.

    Raises:
        SpecError: With every layer that is not linear.

    >>> from secchi.models.mlp import MLP
    >>> collapsed(MLP([16, 32, 8], activation="identity").build(inputs=4, outputs=1))
    Linear(in_features=4, out_features=1, bias=True)
    """
    layers = list(_layers(net, "the network"))
    faults = [f"{name} is a {type(layer).__name__}" for name, layer in layers if not _holds(layer)]
    linear = [layer for _, layer in layers if isinstance(layer, nn.Linear)]
    if not (linear or faults):
        faults = ["it has no linear layer"]
    if faults:
        raise SpecError("this is not one linear layer", faults)
    inputs, like = linear[0].in_features, linear[0].weight
    with torch.no_grad():
        start = torch.eye(inputs + 1, dtype=torch.float64, device=like.device)[:inputs]
        behind = _through(net, start)
        one = nn.Linear(inputs, len(behind), device="meta", dtype=like.dtype)
        one.to_empty(device=like.device)  # without drawing weights
        one.weight.copy_(behind[:, :inputs])
        one.bias.copy_(behind[:, inputs])
    return one


def _layers(part: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers and their names, without the rows that they stand in."""
    if isinstance(part, InUnits):
        part = part.net
    if type(part) not in (nn.Sequential, Residual):
        yield name, part
        return
    for child_name, child in part.named_children():
        yield from _layers(child, child_name if name == "the network" else f"{name}.{child_name}")


def _holds(layer: nn.Module) -> bool:
    """Whether a layer is linear in evaluation."""
    if type(layer) is nn.BatchNorm1d:
        return layer.running_mean is not None  # else it normalises by what it sees
    return type_before_parametrizations(layer) in (nn.Linear, nn.Identity, nn.Dropout, Dropout)


def _through(part: nn.Module, before: Tensor) -> Tensor:
    """What comes out of a part of a network where A x + b goes in.

    Args:
        part: A layer, or layers in a row.
        before: A, and b as its last column, (numbers in, inputs + 1).

    Returns:
        A and b of what comes out, (numbers out, inputs + 1).
    """
    if isinstance(part, nn.Sequential):
        behind = before
        for child in part:
            behind = _through(child, behind)
        return before + behind if isinstance(part, Residual) else behind
    if isinstance(part, InUnits):
        return _shifted(part.scale[:, None] * _through(part.net, before), part.center)
    if isinstance(part, nn.Linear):
        behind = part.weight.double() @ before
        return behind if part.bias is None else _shifted(behind, part.bias.double())
    if isinstance(part, nn.BatchNorm1d):
        assert part.running_mean is not None
        assert part.running_var is not None
        factor = (part.running_var.double() + part.eps).rsqrt()
        behind = factor[:, None] * _shifted(before, -part.running_mean.double())
        if part.affine:
            behind = _shifted(part.weight.double()[:, None] * behind, part.bias.double())
        return behind
    return before


def _shifted(rows: Tensor, shift: Tensor) -> Tensor:
    return torch.cat([rows[:, :-1], rows[:, -1:] + shift[:, None]], dim=1)
