"""From the statistics of a stack to the curves of its networks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.cohort.curve import Curve
from secchi.cohort.lanes.program import STATISTICS
from secchi.data.task import Kind, Target
from secchi.training.history import Outcome
from secchi.training.spec import Training

Numbers = NDArray[np.float64]

_TINY = np.finfo(np.float64).tiny

SUMMED = {
    Kind.BINARY: ("accuracy", "error_rate"),
    Kind.MULTICLASS: ("accuracy", "error_rate"),
    Kind.MULTILABEL: ("accuracy", "error_rate"),
    Kind.REGRESSION: ("mae", "rmse", "r2", "r"),
}
"""The metrics that follow from what is summed up; others need the outputs for every row."""


class End(NamedTuple):
    """How far a training came.

    Attributes:
        epochs: That are in its curve.
        steps: That were taken.
        outcome: How it ended; None while it goes on.
        kept: The epoch whose weights are kept; None: the last one.
    """

    epochs: int
    steps: int
    outcome: Outcome | None
    kept: int | None


def losses(statistics: Numbers) -> tuple[Numbers, Numbers]:
    """The training and the validation loss of each epoch.

    Args:
        statistics: Of one network, (epochs, numbers).

    >>> row = np.zeros((1, len(STATISTICS)))
    >>> row[0, :4] = 6.0, 3.0, 2.0, 4.0
    >>> losses(row)
    (array([2.]), array([0.5]))
    """
    by_name = dict(zip(STATISTICS, statistics.T, strict=True))
    with np.errstate(invalid="ignore", over="ignore"):
        train = by_name["train_loss"] / np.maximum(by_name["train_weight"], _TINY)
        return train, by_name["loss"] / np.maximum(by_name["weight"], _TINY)


def metrics(
    names: Sequence[str], statistics: Numbers, target: Target, scale: float
) -> dict[str, Numbers]:
    """Those metrics of each epoch that follow from what is summed up.

    Args:
        names: Which are wanted; others are left out.
        statistics: Of one network, (epochs, numbers).
        target: What is predicted.
        scale: What a unit of a number to predict is.
    """
    of = dict(zip(STATISTICS, statistics.T, strict=True))
    weight = np.maximum(of["weight"], _TINY)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        right = of["right"] / weight
        made = {"accuracy": right, "error_rate": 1 - right, "mae": right * scale}
        if target.kind is Kind.REGRESSION:
            varies = _varies(of, "t")
            made["rmse"] = np.sqrt(of["squares"] / weight) * scale
            made["r2"] = np.where(varies, 1 - of["squares"] / _spread(of, "t"), np.nan)
            made["r"] = np.where(varies & (of["least"] < of["most"]), _r(of), np.nan)
    return {name: made[name] for name in names if name in SUMMED[target.kind]}


def ended(statistics: Numbers, bad: int, done: int, per_epoch: int, training: Training) -> End:
    """How far a training came, by the rules of :mod:`secchi.training.loop`.

    Args:
        statistics: Of one network, (epochs, numbers).
        bad: The step in which something was no longer a number; -1: in none.
        done: Epochs that were computed.
        per_epoch: Steps in each.
        training: What was asked for.
    """
    sound = done if bad < 0 else min(done, bad // per_epoch)
    train, valid = losses(statistics[:sound])
    epochs, steps = sound, sound * per_epoch
    outcome = None if bad < 0 else Outcome.DIVERGED
    if outcome:
        steps = bad
    wrong = np.flatnonzero(~(np.isfinite(train) & np.isfinite(valid)))
    if len(wrong):
        epochs, outcome = int(wrong[0]) + 1, Outcome.DIVERGED
        steps = epochs * per_epoch
    best = _best(valid[:epochs])
    if training.patience is not None:
        waited = np.arange(epochs) - best
        stops = np.flatnonzero(waited >= training.patience)
        # What went wrong in an epoch, and that it was the last, are seen before.
        last = min(training.epochs, epochs if len(wrong) else training.epochs) - 1
        if len(stops) and stops[0] < last:
            epochs, outcome = int(stops[0]) + 1, Outcome.STOPPED_EARLY
            steps = epochs * per_epoch
    if outcome is None and epochs == training.epochs:
        outcome = Outcome.COMPLETED
    kept = int(best[epochs - 1]) if training.keep_best and epochs else None
    return End(epochs, steps, outcome, None if kept in (epochs - 1, -1) else kept)


def curve(end: End, statistics: Numbers, made: dict[str, Numbers], names: Sequence[str]) -> Curve:
    """The curve of a training that ended.

    Args:
        end: How far it came.
        statistics: (epochs, numbers).
        made: Its metrics.
        names: Their order.
    """
    train, valid = losses(statistics[: end.epochs])
    assert end.outcome is not None
    of_epochs = {name: made[name][: end.epochs] for name in names}
    return Curve(train, valid, of_epochs, end.outcome, end.steps, end.kept)


def _best(valid: Numbers) -> NDArray[np.int64]:
    """The epoch of the lowest loss so far, after each epoch; -1 before there is one."""
    numbers = np.where(np.isnan(valid), np.inf, valid)
    before = np.minimum.accumulate(np.concatenate([[np.inf], numbers]))[:-1]
    places = np.where(numbers < before, np.arange(len(valid)), -1)
    return np.maximum.accumulate(places) if len(places) else places


def _spread(of: dict[str, Numbers], name: str) -> Numbers:
    """The sum of squared differences from the mean."""
    return of[name * 2] - of[name] ** 2 / np.maximum(of["weight"], _TINY)


def _varies(of: dict[str, Numbers], name: str) -> NDArray[np.bool_]:
    """Whether there is a spread that is more than rounding."""
    return _spread(of, name) > 1e-12 * of[name * 2]


def _r(of: dict[str, Numbers]) -> Numbers:
    """Pearson's correlation of answer and truth."""
    shared = of["zt"] - of["z"] * of["t"] / np.maximum(of["weight"], _TINY)
    return np.clip(shared / np.sqrt(_spread(of, "z") * _spread(of, "t")), -1, 1)
