"""What is done with one batch. The loop is the same; the step differs."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from secchi.training.losses import TaskLoss
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

    def at(self, rows: slice) -> "Term":
        """Those of some rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Term(tuple(values[rows] for values in self.values), weights)

    def cost(self, loss: TaskLoss, outputs: Tensor) -> Tensor:
        """The losses of the rows, each by its weight, added up; a number."""
        each = loss(outputs, self.values, weighed=self.weights is not None)
        return (each if self.weights is None else each * self.weights).sum()


def gradient_step(
    net: nn.Module,
    optimizer: Optimizer,
    loss: TaskLoss,
    batches: Iterable[Batch],
    *,
    total: float,
    micro: int,
    least: int = 1,
    precision: str = "fp32",
) -> Tensor:
    """Leave in the parameters the gradient of the mean loss over batches; that loss.

    The batches are computed ``micro`` rows at a time and their gradients are added up, weighted
    so that the sum is the gradient of the mean over all rows, whatever ``micro`` is. Each batch is
    taken when the one before it is done with and forgotten, so that memory is needed for one.

    Args:
        net: The network, or what torch compiled of it.
        optimizer: Forgets the gradients that there were.
        loss: What wrong answers cost.
        batches: Those of one step.
        total: The weight of all their rows together, which the mean is over.
        micro: Rows that are computed at once.
        least: The fewest of them, as :func:`pieces` has it.
        precision: ``"fp32"``, ``"bf16"`` under autocast, or ``"fp64"`` for a network of float64.

    Returns:
        The loss, a number.
    """
    optimizer.zero_grad()
    total = total or 1.0  # rows of weight 0 alone have a loss of 0, whatever it is divided by
    losses: list[Tensor] = []
    for batch in batches:
        for inputs, terms in _parts(batch, micro, least):
            outputs = forward(net, inputs, precision)
            mean = _sum([term.cost(loss, outputs) for term in terms]) / total
            mean.backward()  # type: ignore[no-untyped-call]
            losses.append(mean.detach())
        del batch, inputs, terms  # before the next one is made
    return _sum(losses)


def _parts(batch: Batch, micro: int, least: int) -> Iterator[tuple[Tensor, list[Term]]]:
    """The inputs and the truths of a batch, so many rows at a time."""
    terms = batch.terms()
    if len(batch.inputs) <= micro:
        yield batch.inputs, terms
        return
    for rows in pieces(len(batch.inputs), micro, least):
        yield batch.inputs[rows], [term.at(rows) for term in terms]


def pieces(rows: int, size: int, least: int = 1) -> Iterator[slice]:
    """Cut rows into pieces of one size; the last may be shorter.

    Args:
        rows: How many there are.
        size: Rows of a piece, 1 or more; ``least`` where that is more.
        least: A last piece with fewer rows than this joins the one before it.

    >>> [(piece.start, piece.stop) for piece in pieces(9, 4)]
    [(0, 4), (4, 8), (8, 9)]
    >>> [(piece.start, piece.stop) for piece in pieces(9, 4, least=2)]
    [(0, 4), (4, 9)]
    """
    size, start = max(size, least), 0
    while start < rows:
        stop = start + size
        stop = rows if rows - stop < least else stop
        yield slice(start, stop)
        start = stop


def forward(net: nn.Module, inputs: Tensor, precision: str = "fp32") -> Tensor:
    """A network's outputs, float32, with autocast where the precision asks for it.

    Those that a network gives in float64 stay so. With ``"fp64"`` they are float64, from a network
    of that; inputs are brought to it.
    """
    if precision == "fp64":
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        return net(inputs).double()  # type: ignore[no-any-return]
    if precision == "bf16":
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return forward(net, inputs)
    outputs: Tensor = net(inputs)
    return outputs if outputs.dtype == torch.float64 else outputs.float()


_ONE = torch.ones(())


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether they hold finite numbers alone; they are on one device, which is asked once.

    >>> all_finite([torch.ones(2), torch.tensor([0.0, torch.inf])])
    False
    """
    if not tensors:
        return True
    if not tensors[0].is_cpu:
        return bool(torch.stack(torch._foreach_norm(tensors)).isfinite().all())
    # What torch's GradScaler asks, in one call: whether something is no number, scaling by one.
    found = torch.zeros(())
    torch._amp_foreach_non_finite_check_and_unscale_(tensors, found, _ONE)
    return not found.item()


def _sum(numbers: list[Tensor]) -> Tensor:
    return numbers[0] if len(numbers) == 1 else torch.stack(numbers).sum()
