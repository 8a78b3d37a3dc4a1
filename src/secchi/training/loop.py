"""Training and validation: one loop over batches, straight from memory or a mapped file."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secchi.data.task import Kind, Labels
from secchi.errors import DataError
from secchi.models.heads import log_probabilities
from secchi.seeding import stream
from secchi.training.history import Epoch, History, Outcome
from secchi.training.metrics import metric
from secchi.training.optimizers import Optimizer
from secchi.training.spec import Training
from secchi.training.state import TrainState
from secchi.training.steps import Batch, Step, evaluation_step, train_step

SMALL_STEP = 2**24
"""Multiplications in a step's forward pass below which it stays on one core: about 1 ms."""

EVALUATION_ROWS = 4096
"""Rows in a batch where no gradient is needed."""


class Inputs(Protocol):
    """Rows that can be taken: a :class:`secchi.features.cache.FeatureTable`, say."""

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Some rows, as float32 of shape (rows, …) in memory."""
        ...


class Rows(NamedTuple):
    """Inputs with what is true of them."""

    inputs: Inputs
    labels: Labels


class Evaluation(NamedTuple):
    """Losses, outputs and metrics of a network on some rows.

    Attributes:
        loss: The weighted mean.
        metrics: By name; those of several targets as ``target.metric``.
        outputs: float32 of shape (rows, task.outputs).
    """

    loss: float
    metrics: dict[str, float]
    outputs: Tensor


def train(
    net: nn.Module,
    train_rows: Rows,
    valid_rows: Rows,
    training: Training,
    *,
    metrics: Sequence[str] = ("accuracy",),
    first_epoch: int = 0,
    device: str = "cpu",
    observe: Callable[[Epoch], None] | None = None,
) -> History:
    """Train a network.

    The order of the batches in an epoch follows from the training's seed and the epoch's number
    alone, so the same call gives the same numbers.

    Args:
        net: What is trained, in place; it is left in evaluation mode.
        train_rows: What it learns from.
        valid_rows: What it is judged by after every epoch.
        training: How.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        first_epoch: The number of the first epoch.
        device: Where the network computes.
        observe: Sees every epoch's record when it is done, and changes nothing.

    Raises:
        DataError: One side has no rows, or only rows of weight zero.
    """
    for name, side in (("training", train_rows), ("validation", valid_rows)):
        weights = side.labels.weights
        if not len(side.labels) or (weights is not None and not weights.any()):
            raise DataError(f"no {name} row counts: there are none, or all have the weight 0")
    net.to(device)
    optimizer = Optimizer(training.optimizer, net.parameters(), training.lr, training.weight_decay)
    state = TrainState(net, optimizer, epoch=first_epoch)
    epochs: list[Epoch] = []
    outcome = Outcome.COMPLETED
    for _ in range(training.epochs):
        started = time.perf_counter()
        order = stream(training.seed, f"batch order of epoch {state.epoch}").permutation(
            len(train_rows.labels)
        )
        net.train()
        size = training.batch_size
        rows = (order[start : start + size] for start in range(0, len(order), size))
        step = partial(train_step, state, train_rows.labels.task)
        with _threads_for(net, training.batch_size):
            train_loss, _ = _run(step, train_rows, rows, device)
        valid = evaluate(net, valid_rows, metrics=metrics, device=device)
        # The last step of an epoch may be the one that lost the weights.
        if not np.isfinite([train_loss, valid.loss]).all():
            outcome = Outcome.DIVERGED
        seconds = time.perf_counter() - started
        epochs.append(Epoch(state.epoch, train_loss, valid.loss, valid.metrics, seconds))
        state.epoch += 1
        if observe:
            observe(epochs[-1])
        if outcome is not Outcome.COMPLETED:
            break
    net.eval()
    return History(tuple(epochs), outcome, training)


def evaluate(
    net: nn.Module, rows: Rows, *, metrics: Sequence[str] = (), device: str = "cpu"
) -> Evaluation:
    """Judge a network, in evaluation mode.

    Args:
        net: The network; it is left in evaluation mode.
        rows: What it is judged by.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        device: Where it computes.
    """
    net.to(device).eval()
    count = len(rows.labels)
    chunks = (
        np.arange(start, min(start + EVALUATION_ROWS, count))
        for start in range(0, count, EVALUATION_ROWS)
    )
    step = partial(evaluation_step, net, rows.labels.task)
    with _threads_for(net, min(count, EVALUATION_ROWS)):
        loss, outputs = _run(step, rows, chunks, device, keep=True)
    return Evaluation(loss, score(rows.labels, outputs, metrics), outputs)


def score(labels: Labels, outputs: Tensor, metrics: Sequence[str]) -> dict[str, float]:
    """Metrics of a network's outputs.

    Args:
        labels: What is true.
        outputs: (rows, task.outputs).
        metrics: Names for :func:`secchi.training.metrics.metric`.
    """
    several = len(labels.task.targets) > 1
    scores: dict[str, float] = {}
    for (target, columns), truth in zip(labels.task.columns(), labels.values, strict=True):
        if target.kind is Kind.REGRESSION:
            answers = outputs[:, columns.start].numpy()
        else:
            answers = log_probabilities(target, outputs[:, columns]).exp().numpy()
        for name in metrics:
            key = f"{target.name}.{name}" if several else name
            finite = bool(np.isfinite(answers).all())
            value = metric(name)(target, answers, truth, labels.weights) if finite else np.nan
            scores[key] = float(value)
    return scores


@contextlib.contextmanager
def _threads_for(net: nn.Module, batch_size: int) -> Iterator[None]:
    """Keep a small step on one core.

    Sharing it costs more than it saves, and a hundred times more where the other core is busy.
    """
    before = torch.get_num_threads()
    if batch_size * sum(p.numel() for p in net.parameters()) < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(
    step: Step,
    rows: Rows,
    batches: Iterator[NDArray[np.int64]],
    device: str,
    keep: bool = False,
) -> tuple[float, Tensor]:
    """One pass: the mean loss by weight of the rows, and the outputs where they are kept."""
    total, weight = 0.0, 0.0
    outputs: list[Tensor] = []
    for chosen in batches:
        batch = _batch(rows, chosen, device)
        result = step(batch)
        here = float(len(chosen) if batch.weights is None else batch.weights.sum())
        total += float(result.loss) * here
        weight += here
        if keep:
            outputs.append(result.outputs.float().cpu())
        elif not np.isfinite(total):
            break  # the weights are lost; the caller names the outcome
    mean = total / weight if weight else float("nan")
    return mean, torch.cat(outputs) if outputs else torch.empty(0, rows.labels.task.outputs)


def _batch(rows: Rows, chosen: NDArray[np.int64], device: str) -> Batch:
    labels = rows.labels.take(chosen)
    return Batch(
        torch.from_numpy(rows.inputs.take(chosen)).to(device),
        tuple(torch.from_numpy(values).to(device) for values in labels.values),
        None if labels.weights is None else torch.from_numpy(labels.weights).to(device),
    )
