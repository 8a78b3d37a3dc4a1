"""A network judged by rows: its outputs, their loss and metrics."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secchi.data.task import Kind, Labels, Target, Task
from secchi.models.heads import log_probabilities
from secchi.training.execution import ON_CPU, Execution, convolves, threads, threads_for
from secchi.training.losses import TaskLoss, weighted_mean
from secchi.training.memory import where_it_fits
from secchi.training.metrics import metric, suits
from secchi.training.rows import Inputs, Rows
from secchi.training.spec import Training
from secchi.training.steps import forward

EVALUATION_NUMBERS = 2**23
"""Numbers of inputs in a batch where no gradient is needed."""

FAST_NUMBERS, FAST_ROWS = 5 * 2**18, 32
"""Numbers of inputs, and rows, in such a batch at which a network of convolutions is fast on a
processor: what its layers give stays in the caches. On two cores a whole EfficientNet-Lite0 judged
270 pictures a second eight at a time, and 115 a second 64 at a time."""


class Evaluation(NamedTuple):
    """Losses, outputs and metrics of a network on some rows.

    Attributes:
        loss: The weighted mean.
        metrics: By name; those of several targets as ``target.metric``.
        outputs: float32 of shape (rows, task.outputs); float64 where that is the precision.
    """

    loss: float
    metrics: dict[str, float]
    outputs: Tensor


def evaluate(
    net: nn.Module,
    rows: Rows,
    *,
    metrics: Sequence[str] = (),
    execution: Execution = ON_CPU,
    training: Training | None = None,
    units: Sequence[float] | None = None,
) -> Evaluation:
    """Judge a network, in evaluation mode.

    Args:
        net: The network; it is left in evaluation mode.
        rows: What it is judged by.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        execution: Where it computes.
        training: Names the losses; labels are not smoothed, and no penalty is in the loss. None
            takes what suits the targets.
        units: As for :class:`secchi.training.losses.TaskLoss`.

    :func:`secchi.training.loop.train` has an example.
    """
    task = rows.labels.task
    loss_of = TaskLoss(task, training, units, smoothed=False)
    outputs = outputs_of(net, rows.inputs, task.outputs, execution)
    values = [torch.from_numpy(truth) for truth in rows.labels.values]
    weights = rows.labels.weights
    with threads(1):
        each = loss_of(outputs, values, weighed=weights is not None)
        loss = weighted_mean(each, None if weights is None else torch.from_numpy(weights))
        return Evaluation(float(loss), score(rows.labels, outputs, metrics), outputs)


def outputs_of(net: nn.Module, inputs: Inputs, width: int, execution: Execution = ON_CPU) -> Tensor:
    """What a network gives for rows, in evaluation mode.

    Args:
        net: The network; it is left in evaluation mode.
        inputs: The rows.
        width: Numbers that it gives for each.
        execution: Where it computes.

    Returns:
        float32, or float64 where the network gives that, of shape (rows, width), on the processor.
    """
    execution.place(net).eval()
    size = EVALUATION_NUMBERS // inputs.width
    if execution.device == "cpu" and convolves(net):
        size = min(FAST_NUMBERS // inputs.width, FAST_ROWS)
    size = min(max(1, size), max(1, len(inputs)))
    outputs, start = torch.empty(len(inputs), width, dtype=execution.dtype), 0
    with threads_for(net, size), torch.no_grad():
        while start < len(inputs):
            chosen = np.arange(start, min(start + size, len(inputs)))
            given = where_it_fits(partial(_outputs_at, net, inputs, chosen, execution))
            if given is not None:
                outputs = outputs.to(given.dtype)
                outputs[start : start + size] = given
                start += size
            elif size > 1:
                size = -(-size // 2)
            else:
                raise MemoryError("not even one row can be judged in the memory that there is")
    return outputs


def _outputs_at(
    net: nn.Module, inputs: Inputs, chosen: NDArray[np.int64], execution: Execution
) -> Tensor:
    given = torch.from_numpy(inputs.take(chosen)).to(execution.device)
    return forward(net, given, execution.precision).cpu()


def score(labels: Labels, outputs: Tensor, metrics: Sequence[str]) -> dict[str, float]:
    """Metrics of a network's outputs.

    Args:
        labels: What is true.
        outputs: (rows, task.outputs).
        metrics: Names for :func:`secchi.training.metrics.metric`; of several targets each has those
            that suit it.
    """
    scores: dict[str, float] = {}
    for (target, columns), truth in zip(labels.task.columns(), labels.values, strict=True):
        if target.kind is Kind.REGRESSION:
            answers = outputs[:, columns.start].numpy()
        else:
            answers = log_probabilities(target, outputs[:, columns]).exp().numpy()
        counted = answers if labels.weights is None else answers[labels.weights > 0]
        finite = bool(np.isfinite(counted).all())
        for key, name in _suiting(labels.task, target, metrics):
            value = metric(name)(target, answers, truth, labels.weights) if finite else np.nan
            scores[key] = float(value)
    return scores


def score_names(task: Task, metrics: Sequence[str]) -> list[str]:
    """The names that :func:`score` gives metrics, in its order.

    >>> score_names(Task.classify(["cat", "dog"]), ["accuracy", "auc"])
    ['accuracy', 'auc']
    >>> both = Task((*Task.classify(["cat", "dog"]).targets, *Task.regress("weight").targets))
    >>> score_names(both, ["accuracy", "mae"])
    ['class.accuracy', 'weight.mae']
    """
    return [key for target in task.targets for key, _ in _suiting(task, target, metrics)]


def _suiting(task: Task, target: Target, metrics: Sequence[str]) -> list[tuple[str, str]]:
    """The metrics of a target: what each is called among those of all targets, and its name."""
    if len(task.targets) == 1:
        return [(name, name) for name in metrics]
    return [(f"{target.name}.{name}", name) for name in metrics if suits(name, target)]
