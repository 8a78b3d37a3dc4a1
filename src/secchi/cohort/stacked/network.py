"""Multilayer perceptrons side by side, as one computation.

Layer for layer the weights of all members are one tensor, as wide as the widest member needs.
What a narrower one does not have is 0, and so is what comes out of it; its gradient is 0 and it
stays 0: units that are not there have no effect.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from secchi.cohort.member import Member
from secchi.cohort.stacked.members import Stacked, filled_up
from secchi.models.build import first_weights
from secchi.models.parts import activation

_NORM_MOMENTUM, _NORM_EPSILON = 0.1, 1e-5
"""Of batch normalisation, as torch has them."""


class StackedNetwork(Stacked):
    """The networks of some members, with their first weights.

    Args:
        members: Whose; all with as many layers, and batch normalisation at one place. Those with
            the same activation are neighbours.
        dtype: Of all numbers.
        device: Where they are.

    Attributes:
        weights: Of each linear layer, by its number: (members, units, inputs).
        others: Biases, and the scales and shifts of batch normalisation: (members, 1, units).
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: str) -> None:
        first = members[0].model
        self._depth, self._norm = first.depth, first.batch_norm
        bends = {member.model.activation: activation(member.model.activation) for member in members}
        self._activations = [bends[member.model.activation] for member in members]
        self.weights: dict[str, Tensor] = {}
        self.others: dict[str, Tensor] = {}
        self._statistics: dict[str, Tensor] = {}
        self._present: dict[str, Tensor] = {}
        layers = zip(*(_first_weights(member) for member in members), strict=True)
        for number, layer in enumerate(layers):
            weights, biases = ([each.numpy() for each in part] for part in zip(*layer, strict=True))
            present = filled_up([np.ones_like(each) for each in biases], device)
            self.weights[f"weight {number}"] = filled_up(weights, device).to(dtype)
            self.others[f"bias {number}"] = filled_up(biases, device).to(dtype)[:, None]
            self._present[f"{number}"] = present.to(dtype)[:, None]
        for number in range(self._depth if self._norm else 0):
            units = self._present[f"{number}"]
            self.others[f"scale {number}"] = units.clone()
            self.others[f"shift {number}"] = torch.zeros_like(units)
            self._statistics[f"mean {number}"] = torch.zeros_like(units)
            self._statistics[f"variance {number}"] = torch.ones_like(units)

    @property
    def widest(self) -> int:
        """The most numbers that a layer gets or gives for a row."""
        return max(max(weight.shape[1:]) for weight in self.weights.values())

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Everything that is trained."""
        return self.weights | self.others

    def outputs(self, inputs: Tensor, dropped: Mapping[int, Tensor] | None = None) -> Tensor:
        """What the networks give.

        Args:
            inputs: (members, rows, columns)
            dropped: In training: what the numbers of a layer are multiplied with, as
                :meth:`secchi.cohort.stacked.dropout.StackedDropout.draw` gives it. None judges:
                without dropout, normalised by the statistics of the batches before.

        Returns:
            (members, rows, outputs)
        """
        trains, dropped = dropped is not None, dropped or {}
        rows = inputs * dropped[0] if 0 in dropped else inputs
        for number in range(self._depth):
            rows = self._linear(number, rows)
            if self._norm == "before":
                rows = self._normalised(number, rows, trains)
            rows = self._activated(rows)
            if self._norm == "after":
                rows = self._normalised(number, rows, trains)
            rows = rows * self._present[f"{number}"]
            if number + 1 in dropped:
                rows = rows * dropped[number + 1]
        return self._linear(self._depth, rows)

    def _linear(self, number: int, rows: Tensor) -> Tensor:
        weights, biases = self.weights[f"weight {number}"], self.others[f"bias {number}"]
        return torch.baddbmm(biases, rows, weights.mT)

    def _activated(self, rows: Tensor) -> Tensor:
        runs = [(bend, len([*run])) for bend, run in groupby(self._activations)]
        parts = torch.split(rows, [members for _, members in runs])
        return torch.cat([bend(part) for (bend, _), part in zip(runs, parts, strict=True)])

    def _normalised(self, number: int, rows: Tensor, trains: bool) -> Tensor:
        mean = self._statistics[f"mean {number}"]
        variance = self._statistics[f"variance {number}"]
        if trains:
            count = rows.shape[1]
            spread, here = torch.var_mean(rows, dim=1, correction=0, keepdim=True)
            mean.lerp_(here.detach(), _NORM_MOMENTUM)
            variance.lerp_(spread.detach() * count / (count - 1), _NORM_MOMENTUM)
            mean, variance = here, spread
        normal = (rows - mean) * (variance + _NORM_EPSILON).rsqrt()
        return normal * self.others[f"scale {number}"] + self.others[f"shift {number}"]


def _first_weights(member: Member) -> list[tuple[Tensor, Tensor]]:
    table = member.table
    return first_weights(member.model, table.width, table.task.outputs, member.seed)
