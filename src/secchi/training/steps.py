"""What is done with one batch. The loop is the same; the step differs."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from secchi.data.task import Task
from secchi.training.losses import task_losses, weighted_mean
from secchi.training.state import TrainState


class Batch(NamedTuple):
    """Some rows: inputs (rows, …), one tensor of truth a target, and weights or None."""

    inputs: Tensor
    values: tuple[Tensor, ...]
    weights: Tensor | None


class StepResult(NamedTuple):
    """What a step gives back: the batch's mean loss, and the network's outputs, detached."""

    loss: Tensor
    outputs: Tensor


Step = Callable[[Batch], StepResult]


def train_step(state: TrainState, task: Task, batch: Batch) -> StepResult:
    """Predict, measure the loss, and move the weights against its gradient."""
    outputs = state.net(batch.inputs)
    loss = weighted_mean(task_losses(task, outputs, batch.values), batch.weights)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.step += 1
    return StepResult(loss.detach(), outputs.detach())


def evaluation_step(net: nn.Module, task: Task, batch: Batch) -> StepResult:
    """Predict and measure the loss; nothing changes."""
    with torch.inference_mode():
        outputs = net(batch.inputs)
        loss = weighted_mean(task_losses(task, outputs, batch.values), batch.weights)
        return StepResult(loss, outputs)
