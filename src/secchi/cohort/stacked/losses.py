"""What wrong answers cost the members of a stack."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secchi.cohort.member import Member
from secchi.cohort.stacked.members import Stacked, one_each
from secchi.data.task import Kind


class StackedLoss(Stacked):
    """The losses of :mod:`secchi.training.losses`, with settings of each member's own.

    Args:
        members: Whose; all with the same loss, of one target of the same kind.
        device: Where they are computed.
    """

    def __init__(self, members: Sequence[Member], device: str) -> None:
        kind, loss = members[0].table.task.target.kind, members[0].training.loss
        self._cost = _OF_CLASSES.get(kind) or _OF_NUMBERS[str(loss or "mse")]
        self._numbers = kind is Kind.REGRESSION
        tables, trainings = zip(*((each.table, each.training) for each in members), strict=True)
        self._center = one_each([table.centers[0] for table in tables], device)
        self._scale = one_each([table.scales[0] for table in tables], device)
        self._unit = one_each([table.units[0] if table.units else 1.0 for table in tables], device)
        deltas = one_each([training.huber_delta for training in trainings], device)
        smoothing = one_each([training.label_smoothing for training in trainings], device)
        self._own = deltas / self._unit if self._numbers else smoothing

    def in_units(self, outputs: Tensor) -> Tensor:
        """What networks give, in the units of what is predicted.

        Args:
            outputs: (members, rows, outputs)

        Returns:
            Likewise; of numbers float64, as :class:`secchi.models.units.InUnits` has them.
        """
        return self._center + self._scale * outputs if self._numbers else outputs

    def each(self, outputs: Tensor, truth: Tensor, *, smoothed: bool = True) -> Tensor:
        """The loss of every row.

        Args:
            outputs: In units, (members, rows, outputs).
            truth: (members, rows), or (members, rows, classes) for several labels.
            smoothed: Whether labels are smoothed, as in training alone.

        Returns:
            (members, rows)
        """
        if self._numbers:
            outputs, truth = outputs / self._unit, truth[..., None] / self._unit
            return self._cost(outputs, truth, self._own)[..., 0]
        own = self._own if smoothed else torch.zeros_like(self._own)
        return self._cost(outputs, truth, own.to(outputs.dtype))


def _two_classes(outputs: Tensor, truth: Tensor, smoothing: Tensor) -> Tensor:
    return _labels(outputs, truth[..., None], smoothing)


def _labels(outputs: Tensor, truth: Tensor, smoothing: Tensor) -> Tensor:
    truth = truth.to(outputs.dtype) * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(outputs, truth, reduction="none")
    return each.mean(dim=-1)


def _classes(outputs: Tensor, truth: Tensor, smoothing: Tensor) -> Tensor:
    costs = -functional.log_softmax(outputs, dim=-1)
    right, smoothing = costs.gather(-1, truth[..., None])[..., 0], smoothing[..., 0]
    return (1 - smoothing) * right + smoothing * costs.mean(dim=-1)


def _huber(outputs: Tensor, truth: Tensor, delta: Tensor) -> Tensor:
    error = (outputs - truth).abs()
    return torch.where(error < delta, error.square() / 2, delta * (error - delta / 2))


_Cost = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(outputs, truth, what is each member's own): the smoothing of classes, the delta of numbers."""

_OF_CLASSES: dict[Kind, _Cost] = {
    Kind.BINARY: _two_classes,
    Kind.MULTICLASS: _classes,
    Kind.MULTILABEL: _labels,
}

_OF_NUMBERS: dict[str, _Cost] = {
    "mse": lambda outputs, truth, _: (outputs - truth).square(),
    "l1": lambda outputs, truth, _: (outputs - truth).abs(),
    "huber": _huber,
}
