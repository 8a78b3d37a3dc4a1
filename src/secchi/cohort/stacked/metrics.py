"""How good the answers of a stack are, each metric by the arithmetic that it has alone."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secchi.data.task import Kind, Labels, Target
from secchi.models.heads import log_probabilities
from secchi.training.evaluation import score


def stacked_scores(
    names: Sequence[str], labels: Sequence[Labels], outputs: Tensor, truth: Tensor, weights: Tensor
) -> dict[str, NDArray[np.float64]]:
    """The metrics of every member.

    Averages are computed for all at once, where the outputs are; everything else, such as areas
    under curves, member by member through :func:`secchi.training.evaluation.score`.

    Args:
        names: For :func:`secchi.training.metrics.metric`.
        labels: What is true of each member's rows; one target of one kind.
        outputs: In units, (members, rows, outputs); a member can have fewer rows.
        truth: (members, rows), or (members, rows, classes).
        weights: (members, rows); 0 for rows that do not count.

    Returns:
        (members,) by name.
    """
    target = labels[0].task.target
    answers = _answers(target, outputs)
    finite = (answers.isfinite() | (weights == 0)[..., None]).flatten(1).all(dim=1)
    scores: dict[str, NDArray[np.float64]] = {}
    for name in names:
        if each := _AVERAGES.get(name, {}).get(target.kind):
            mean = _mean(each(answers, truth), weights)
            mean = mean.sqrt() if name == "rmse" else mean
            scores[name] = torch.where(finite, mean, torch.nan).cpu().numpy()
        else:
            alone = zip(labels, outputs.cpu(), strict=True)
            values = [score(true, given[: len(true)], [name])[name] for true, given in alone]
            scores[name] = np.array(values, np.float64)
    return scores


def _answers(target: Target, outputs: Tensor) -> Tensor:
    """Probabilities of classes, (members, rows, classes), or numbers, (members, rows, 1)."""
    if target.kind is Kind.REGRESSION:
        return outputs
    flat = log_probabilities(target, outputs.flatten(0, 1)).exp()
    return flat.reshape(*outputs.shape[:2], -1)


def _mean(each: Tensor, weights: Tensor) -> Tensor:
    """Over the rows that count, (members,)."""
    weights = weights.double()
    return (each.double().where(weights > 0, 0) * weights).sum(dim=1) / weights.sum(dim=1)


def _right(answers: Tensor, truth: Tensor) -> Tensor:
    return (answers.argmax(dim=-1) == truth).double()


def _right_labels(answers: Tensor, truth: Tensor) -> Tensor:
    return ((answers > 0.5) == (truth > 0.5)).double().mean(dim=-1)


def _error(answers: Tensor, truth: Tensor) -> Tensor:
    return (answers[..., 0].double() - truth.double()).abs()


_Each = Callable[[Tensor, Tensor], Tensor]

_RIGHT: dict[Kind, _Each] = {
    Kind.BINARY: _right,
    Kind.MULTICLASS: _right,
    Kind.MULTILABEL: _right_labels,
}

_AVERAGES: dict[str, dict[Kind, _Each]] = {
    "accuracy": _RIGHT,
    "mae": {Kind.REGRESSION: _error},
    "rmse": {Kind.REGRESSION: lambda answers, truth: _error(answers, truth).square()},
}
"""What each row counts for, (members, rows), in the metrics that are averages of it."""
