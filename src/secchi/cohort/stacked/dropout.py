"""Dropout of several networks side by side, with the masks that each would draw alone."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from secchi.cohort.member import Member
from secchi.cohort.stacked.members import Stacked, one_each
from secchi.seeding import stream_seed


class StackedDropout(Stacked):
    """Draws what the members of a stack drop.

    Masks are those of :class:`secchi.models.dropout.Dropout` on a processor, whatever the device:
    so a network comes to the same wherever it is trained. Members that draw the same numbers,
    as those do that differ in the rate alone, share them.

    Args:
        members: Whose; all with as many layers.
        dtype: Of what is drawn.
        device: Where it is used.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: str) -> None:
        rates = [(member.model.input_dropout, *member.model.dropouts) for member in members]
        widths = [(member.table.width, *member.model.hidden) for member in members]
        self._own = [
            _Own(
                member.training.seed, tuple(w if rate else 0 for w, rate in zip(*each, strict=True))
            )
            for member, *each in zip(members, widths, rates, strict=True)
        ]
        self._rates = {
            layer: one_each(each, device)
            for layer, each in enumerate(zip(*rates, strict=True))
            if any(each)
        }
        self._widest = tuple(max(each) for each in zip(*widths, strict=True))
        self._dtype = dtype
        self._device = device

    def draw(self, purpose: str, rows: int) -> dict[int, Tensor]:
        """What the numbers of a layer are multiplied with in a step.

        Args:
            purpose: Names the step.
            rows: How many it takes.

        Returns:
            (members, rows, units) by the number of the layer, 0 for the inputs; without the layers
            in which nobody drops anything. 0, or 1 / (1 - p) for what is kept.
        """
        if not self._rates:
            return {}
        numbers = {own: number for number, own in enumerate(dict.fromkeys(self._own))}
        drawn = {
            layer: torch.zeros(len(numbers), rows, self._widest[layer]) for layer in self._rates
        }
        for own, number in numbers.items():
            random = torch.Generator().manual_seed(stream_seed(own.seed, purpose))
            for layer, width in enumerate(own.widths):
                if width:
                    drawn[layer][number, :, :width] = torch.rand(rows, width, generator=random)
        of = torch.tensor([numbers[own] for own in self._own], device=self._device)
        return {
            layer: (drawn[layer].to(self._device)[of] >= rates.float()).to(self._dtype)
            / (1 - rates).to(self._dtype)
            for layer, rates in self._rates.items()
        }


class _Own(NamedTuple):
    """What the draws of a member follow from.

    Attributes:
        seed: Of its training.
        widths: How many numbers a row has in each layer that drops some; 0 for other layers, which
            draw nothing.
    """

    seed: int
    widths: tuple[int, ...]
