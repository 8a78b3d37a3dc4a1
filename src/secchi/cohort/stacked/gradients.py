"""What happens to the gradients of a stack before they move its weights."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from secchi.cohort.member import Member
from secchi.cohort.stacked.members import Stacked, one_each

Gradients = dict[str, Tensor]
"""By the name of the parameter; (members, …)."""


class StackedPenalties(Stacked):
    """The penalties of :mod:`secchi.training.penalties`, each member's own.

    Args:
        members: Whose.
        dtype: Of the weights.
        device: Where they are.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: str) -> None:
        trainings = [member.training for member in members]
        sizes = one_each([_weights_of(member) for member in members], device)
        signs = one_each([training.l1 for training in trainings], device) / sizes
        shares = 2 * one_each([training.l2 for training in trainings], device) / sizes
        directions = one_each([training.matrix_norm for training in trainings], device)
        self._of_signs, self._of_weights = signs.to(dtype), shares.to(dtype)
        self._of_directions = directions.to(dtype)
        self._any = any(each.l1 or each.l2 or each.matrix_norm for each in trainings)

    def add(self, gradients: Gradients, weights: Mapping[str, Tensor]) -> None:
        """Add the gradients of the penalties to those of the weights."""
        for name, weight in weights.items() if self._any else ():
            tiny = torch.finfo(weight.dtype).tiny
            length = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True).clamp_min(tiny)
            gradients[name] = (
                gradients[name]
                + self._of_signs * weight.sign()
                + self._of_weights * weight
                + self._of_directions * (weight / length)
            )


class StackedClip(Stacked):
    """Shortens the gradients of members that ask for it, and tells which are numbers.

    Args:
        members: Whose.
        dtype: Of the gradients.
        device: Where they are.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: str) -> None:
        longest = [member.training.clip for member in members]
        self._any = any(longest)
        self._clips = one_each([each is not None for each in longest], device) > 0
        self._longest = one_each([each or 1.0 for each in longest], device).to(dtype)

    def clip(self, gradients: Gradients) -> Tensor:
        """Shorten them, in place; whether each member's are numbers, (members,).

        The length is that of all of a member's gradients together, as in
        ``torch.nn.utils.clip_grad_norm_``. One that is too large to be written as a number counts
        as none where it is asked for.
        """
        sound: Tensor = torch.stack(
            [g.isfinite().flatten(1).all(1) for g in gradients.values()]
        ).all(0)
        if not self._any:
            return sound
        lengths = [torch.linalg.vector_norm(g, dim=(1, 2)) for g in gradients.values()]
        length = torch.linalg.vector_norm(torch.stack(lengths), dim=0)[:, None, None]
        share = (self._longest / (length + 1e-6)).clamp_max(1.0)
        share = torch.where(self._clips, share, 1.0)
        for gradient in gradients.values():
            gradient.mul_(share)
        in_reach: Tensor = length.isfinite() | ~self._clips
        return sound & in_reach.flatten()


def _weights_of(member: Member) -> int:
    """How many weights a member has, biases left out."""
    widths = (member.table.width, *member.model.hidden, member.table.task.outputs)
    return sum(before * units for before, units in pairwise(widths))
