"""What is done with one batch. The loop is the same; the step differs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from secchi.data.task import Task
from secchi.training.losses import task_losses
from secchi.training.optimizers import Optimizer


class Batch(NamedTuple):
    """Some rows.

    Attributes:
        inputs: (rows, …)
        values: One tensor of truth a target.
        weights: (rows,), or None where all count alike.
        own: (rows,): where inputs are mixed, the share of each row's own truth; the rest is of the
            row before it, the last for the first. None where they are not.
    """

    inputs: Tensor
    values: tuple[Tensor, ...]
    weights: Tensor | None
    own: Tensor | None = None

    def terms(self) -> "list[Term]":
        """The truths that count, and by how much each does."""
        if self.own is None:
            return [Term(self.values, self.weights)]
        weights = torch.ones_like(self.own) if self.weights is None else self.weights
        partners = tuple(values.roll(1, 0) for values in self.values)
        return [
            Term(self.values, weights * self.own),
            Term(partners, weights.roll(1, 0) * (1 - self.own)),
        ]


class Term(NamedTuple):
    """A truth for each row of a batch, and how much it counts.

    Attributes:
        values: One tensor of truth a target.
        weights: (rows,), or None where every row counts as 1.
    """

    values: tuple[Tensor, ...]
    weights: Tensor | None

    @property
    def weight(self) -> float:
        """The weight of all rows together."""
        return float(len(self.values[0]) if self.weights is None else self.weights.sum())

    def at(self, rows: slice) -> "Term":
        """Those of some rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Term(tuple(values[rows] for values in self.values), weights)

    def loss(self, task: Task, outputs: Tensor, smoothing: float) -> Tensor:
        """The losses of the rows, each by its weight, added up; a number."""
        each = task_losses(task, outputs, self.values, smoothing)
        return (each if self.weights is None else each * self.weights).sum()


def gradient_step(
    net: nn.Module,
    optimizer: Optimizer,
    task: Task,
    batches: Sequence[Batch],
    *,
    micro: int,
    smoothing: float = 0.0,
    precision: str = "fp32",
) -> Tensor:
    """Leave in the parameters the gradient of the mean loss over batches; that loss.

    The batches are computed ``micro`` rows at a time and their gradients are added up, weighted
    so that the sum is the gradient of the mean over all rows, whatever ``micro`` is.

    Args:
        net: The network, or what torch compiled of it.
        optimizer: Forgets the gradients that there were.
        task: What is predicted.
        batches: Those of one step.
        micro: Rows that are computed at once.
        smoothing: Label smoothing.
        precision: ``"fp32"``, or ``"bf16"`` under autocast.

    Returns:
        The loss, a number.
    """
    optimizer.zero_grad()
    terms = [batch.terms() for batch in batches]
    # Rows of weight 0 alone have a loss of 0, whatever it is divided by.
    total = sum(term.weight for these in terms for term in these) or 1.0
    losses = []
    for batch, these in zip(batches, terms, strict=True):
        for rows in _slices(len(batch.inputs), micro):
            outputs = forward(net, batch.inputs[rows], precision)
            loss = _sum([term.at(rows).loss(task, outputs, smoothing) for term in these]) / total
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
    return _sum(losses)


def forward(net: nn.Module, inputs: Tensor, precision: str = "fp32") -> Tensor:
    """A network's outputs, float32, with autocast where the precision asks for it."""
    if precision == "bf16":
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return forward(net, inputs)
    outputs: Tensor = net(inputs)
    return outputs.float()


def _sum(numbers: list[Tensor]) -> Tensor:
    return numbers[0] if len(numbers) == 1 else torch.stack(numbers).sum()


def _slices(rows: int, micro: int) -> Iterator[slice]:
    for start in range(0, rows, micro):
        yield slice(start, min(start + micro, rows))
