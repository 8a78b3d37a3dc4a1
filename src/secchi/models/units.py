"""Outputs in the units of what is predicted, from a network that gives numbers around zero."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def in_units(
    net: nn.Module, centers: Sequence[float] | None, scales: Sequence[float] | None = None
) -> nn.Module:
    """A network that gives outputs in units; without centers, the network itself.

    Scales of None are all 1.
    """
    if centers is None:
        return net
    return InUnits(net, centers, [1.0] * len(centers) if scales is None else scales)


class InUnits(nn.Module):
    """A network whose outputs are brought to units: center + scale * net(rows).

    A network starts by giving numbers around zero, and learns at rates that suit such numbers;
    prices in thousands are out of its reach. Center and scale are those of the training rows.

    Args:
        net: The network.
        centers: One an output, in units.
        scales: Likewise, above zero.

    Both are float64, and so are the outputs: of numbers far from zero float32 would round away what
    they differ by.

    >>> InUnits(nn.Identity(), [100.0], [10.0])(torch.tensor([[0.0], [1.0]])).tolist()
    [[100.0], [110.0]]
    """

    center: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, centers: Sequence[float], scales: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("center", torch.tensor(centers, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scales, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows to outputs of shape (rows, outputs)."""
        outputs: Tensor = self.center + self.scale * self.net(rows)
        return outputs
