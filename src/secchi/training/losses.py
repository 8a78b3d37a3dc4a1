"""What a wrong answer costs, one row at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secchi.data.task import Kind, Target, Task


def losses(target: Target, outputs: Tensor, values: Tensor) -> Tensor:
    """The loss of every row for one target.

    Cross-entropy, -log p(true class), for classes (for two classes from the one logit); the mean
    over labels of the binary cross-entropy for several labels; the squared error for a number.

    Args:
        target: What is predicted.
        outputs: A head's outputs, (rows, target.outputs).
        values: The truth, as :meth:`secchi.Target.encode` gives it.

    Returns:
        (rows,)

    >>> pet = Target.classify("pet", ["cat", "dog", "mouse"])
    >>> cost = losses(pet, torch.tensor([[1.0, 4.0, 3.0]]), torch.tensor([1]))
    >>> round(float(cost), 6)
    0.349012
    """
    if target.kind is Kind.BINARY:
        logits, truth = outputs[:, 0], values.to(outputs.dtype)
        return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if target.kind is Kind.MULTICLASS:
        return functional.cross_entropy(outputs, values, reduction="none")
    if target.kind is Kind.MULTILABEL:
        each = functional.binary_cross_entropy_with_logits(outputs, values, reduction="none")
        return each.mean(dim=1)
    return functional.mse_loss(outputs[:, 0], values, reduction="none")


def task_losses(task: Task, outputs: Tensor, values: Sequence[Tensor]) -> Tensor:
    """The loss of every row, summed over the targets of a task; shape (rows,)."""
    each = [
        losses(target, outputs[:, columns], truth)
        for (target, columns), truth in zip(task.columns(), values, strict=True)
    ]
    return torch.stack(each).sum(dim=0)


def weighted_mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """sum(w * x) / sum(w); the plain mean without weights. Weights of zero alone give zero."""
    if weights is None:
        return each.mean()
    return (each * weights).sum() / weights.sum().clamp_min(torch.finfo(each.dtype).tiny)
