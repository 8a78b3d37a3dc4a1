"""The exponential moving average of a network's weights while they change."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """An average of the weights that forgets: the weights of many steps, smoothed.

    After step t (from 1): average = d * average + (1 - d) * weights, with
    d = min(decay, (1 + t) / (10 + t)), so that the first, random steps are soon forgotten.
    Running statistics of batches are averaged alike.

    Args:
        network: Whose weights; those that train, and buffers of floating point.
        decay: Near 1; 0.999 remembers about the last thousand steps.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.zeros_(net.weight)
    >>> average = WeightAverage(net, decay=0.99)
    >>> _ = nn.init.ones_(net.weight)
    >>> average.update()  # d = (1 + 1) / (10 + 1)
    >>> with average.applied():
    ...     round(net.weight.item(), 4)
    0.8182
    >>> net.weight.item()
    1.0
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._steps = 0
        self.averages = {name: value.detach().clone() for name, value in _moving(network)}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        weights = [value.detach() for _, value in _moving(self._network)]
        torch._foreach_lerp_(list(self.averages.values()), weights, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network with the averages in the place of its weights."""
        weights = {name: value.detach().clone() for name, value in _moving(self._network)}
        self.settle()
        try:
            yield
        finally:
            _put(self._network, weights)

    def settle(self) -> None:
        """Put the averages in the place of the weights for good."""
        _put(self._network, self.averages)

    @property
    def steps(self) -> int:
        """Steps taken in."""
        return self._steps

    def load(self, steps: int, averages: Mapping[str, Tensor]) -> None:
        """Go on from an earlier state."""
        self._steps = steps
        for name, value in averages.items():
            self.averages[name].copy_(value)


def _moving(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            yield name, buffer


@torch.no_grad()
def _put(network: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, value in _moving(network):
        value.copy_(values[name])
