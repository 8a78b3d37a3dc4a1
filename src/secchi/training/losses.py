"""What a wrong answer costs, one row at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secchi.data.task import Kind, Target, Task


def losses(target: Target, outputs: Tensor, values: Tensor, smoothing: float = 0.0) -> Tensor:
    """The loss of every row for one target.

    Cross-entropy, -log p(true class), for classes (for two classes from the one logit); the mean
    over labels of the binary cross-entropy for several labels; the squared error for a number.

    Args:
        target: What is predicted.
        outputs: A head's outputs, (rows, target.outputs).
        values: The truth, as :meth:`secchi.Target.encode` gives it.
        smoothing: The share of a label that is spread evenly over all classes (Szegedy and
            others, 2016), over yes and no for two classes and for labels; numbers have none.

    Returns:
        (rows,)

    >>> pet = Target.classify("pet", ["cat", "dog", "mouse"])
    >>> cost = losses(pet, torch.tensor([[1.0, 4.0, 3.0]]), torch.tensor([1]))
    >>> round(float(cost), 6)
    0.349012
    """
    if target.kind is Kind.BINARY:
        logits, truth = outputs[:, 0], _smoothed(values.to(outputs.dtype), smoothing)
        return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if target.kind is Kind.MULTICLASS:
        return functional.cross_entropy(
            outputs, values, reduction="none", label_smoothing=smoothing
        )
    if target.kind is Kind.MULTILABEL:
        truth = _smoothed(values, smoothing)
        each = functional.binary_cross_entropy_with_logits(outputs, truth, reduction="none")
        return each.mean(dim=1)
    return functional.mse_loss(outputs[:, 0], values, reduction="none")


def task_losses(
    task: Task, outputs: Tensor, values: Sequence[Tensor], smoothing: float = 0.0
) -> Tensor:
    """The loss of every row, summed over the targets of a task; shape (rows,)."""
    each = [
        losses(target, outputs[:, columns], truth, smoothing)
        for (target, columns), truth in zip(task.columns(), values, strict=True)
    ]
    return each[0] if len(each) == 1 else torch.stack(each).sum(dim=0)


def weighted_mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """sum(w * x) / sum(w); the plain mean without weights. Weights of zero alone give zero."""
    if weights is None:
        return each.mean()
    return (each * weights).sum() / weights.sum().clamp_min(torch.finfo(each.dtype).tiny)


def _smoothed(truth: Tensor, smoothing: float) -> Tensor:
    """0 and 1 brought nearer to a half."""
    return truth * (1 - smoothing) + smoothing / 2 if smoothing else truth
