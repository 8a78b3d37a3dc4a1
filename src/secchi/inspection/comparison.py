"""Whether one model answers the same rows better than another, beyond noise."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind
from secchi.errors import DataError, SpecError, did_you_mean
from secchi.files import finite
from secchi.inspection.predictions import Predictions, check_same_rows
from secchi.intervals import LEVEL, mean_interval, proportion_interval

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How two models differ on the same rows, with the noise of that difference.

    The noise is that of the rows: how far the difference would move if other rows of the same kind
    had been drawn. Another seed, or another split, moves it further; repeats tell how far.

    Attributes:
        measure: ``"accuracy"`` or ``"loss"``.
        before: The measure of the first.
        after: The measure of the second.
        difference: ``after - before``, the mean over the rows of their paired differences.
        low: Lower end of the 95 % interval of the difference; NaN where there is none.
        high: Upper end of it.
        n: How many rows were compared; rows whose weight is 0 count as absent.
        fixed: How many rows only the second has right; None for a loss.
        broken: How many rows only the first has right; None for a loss.

    >>> gain = Comparison("accuracy", 0.988, 0.991, 0.003, -0.0025, 0.0085, 1000, 5, 2)
    >>> print(gain)
    accuracy 0.9880 -> 0.9910: +0.0030 (95 % interval -0.0025 to +0.0085, 5 fixed, 2 broken of \
1,000): within the noise
    >>> gain.beyond_noise
    False
    """

    measure: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    n: int
    fixed: int | None = None
    broken: int | None = None

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out zero; never where there is no interval."""
        return self.low > 0 or self.high < 0

    @property
    def improved(self) -> bool:
        """Whether the second is better beyond noise: higher in accuracy, or lower in loss."""
        return self.low > 0 if self.measure == "accuracy" else self.high < 0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the verdict among them; numbers that are not finite are None."""
        document = dataclasses.asdict(self)
        document |= {"beyond_noise": self.beyond_noise, "improved": self.improved}
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        places = self._places()

        def signed(value: float) -> str:
            return f"{round(value, places) + 0.0:+.{places}f}"  # + 0.0 turns -0 into 0

        noise = "no interval"
        if not math.isnan(self.low):
            noise = f"{100 * LEVEL:g} % interval {signed(self.low)} to {signed(self.high)}"
        rows = f"{self.n:,} rows"
        if self.fixed is not None:
            rows = f"{self.fixed:,} fixed, {self.broken:,} broken of {self.n:,}"
        verdict = "within the noise"
        if self.beyond_noise:
            verdict = f"{'better' if self.improved else 'worse'} beyond the noise"
        return (
            f"{self.measure} {self.before:.{places}f} -> {self.after:.{places}f}: "
            f"{signed(self.difference)} ({noise}, {rows}): {verdict}"
        )

    def _places(self) -> int:
        """Four decimals, or as many as show two digits of the interval's half width."""
        half = (self.high - self.low) / 2
        if not (math.isfinite(half) and half > 0):
            return 4
        return min(max(4, 1 - math.floor(math.log10(half))), 12)


def compare(before: Predictions, after: Predictions, measure: str = "accuracy") -> Comparison:
    """Compare what two models say of the same rows, row by row.

    The interval of a difference in accuracy is that of :func:`proportion_interval`; the interval of
    a difference in loss that of :func:`mean_interval`. Both are of the rows' paired differences: a
    row that both have right, or both wrong, tells nothing, so the interval is much narrower than
    the two models' own intervals would suggest.

    For several labels a row's accuracy is the share of its labels that are right, as in
    ``Predictions.metric("accuracy")``, and ``fixed`` and ``broken`` count the rows of which only
    one has all labels right.

    Args:
        before: The first, such as the answers before a step of the recipe.
        after: The second.
        measure: ``"accuracy"``, or ``"loss"`` (for every kind of task).

    Raises:
        DataError: Tasks, rows, their order, labels or weights differ, nothing is known of them, or
            accuracy is asked of several targets.
        SpecError: There is no such measure, or accuracy is asked of a number.

    >>> import torch
    >>> from secchi.data.task import Labels, Task
    >>> pet = Task.classify(["cat", "dog"])
    >>> names, truth = tuple("abcdefgh"), Labels.of(pet.target, ["dog"] * 8)
    >>> before = Predictions.of(pet, names, torch.tensor([[-1.0]] * 7 + [[1.0]]), truth)
    >>> after = Predictions.of(pet, names, torch.tensor([[1.0]] * 8), truth)
    >>> print(compare(before, after))
    accuracy 0.1250 -> 1.0000: +0.8750 (95 % interval +0.3549 to +1.0000, 7 fixed, 0 broken of 8): \
better beyond the noise
    """
    if measure not in _MEASURES:
        known = " and ".join(_MEASURES)
        hint = did_you_mean(measure, _MEASURES)
        raise SpecError("this comparison cannot be", [f"no measure {measure!r}{hint}; {known} are"])
    check_same_rows([before, after])
    if before.labels is None:
        raise DataError("a comparison needs rows of which the truth is known, and these have none")
    given = before.labels.weights
    weights = np.ones(len(before)) if given is None else given.astype(np.float64)
    counted = weights > 0
    each = _loss_rows if measure == "loss" else _accuracy_rows
    first, second, weights = each(before)[counted], each(after)[counted], weights[counted]
    with np.errstate(invalid="ignore"):  # a loss may be infinite
        change = second - first
        was, now, difference = (_mean(values, weights) for values in (first, second, change))
    if measure == "loss":
        low, high = mean_interval(change, weights)
        return Comparison(measure, was, now, difference, low, high, len(change))
    low, high = proportion_interval(change, weights, step=_accuracy_step(before))
    right, still = before.correct[counted], after.correct[counted]
    fixed, broken = int((still & ~right).sum()), int((right & ~still).sum())
    return Comparison(measure, was, now, difference, low, high, len(change), fixed, broken)


def _accuracy_rows(predictions: Predictions) -> Array:
    """The share of each row's labels that are right: 0 or 1 for one class a row."""
    target = predictions.only_target
    if target.kind is Kind.REGRESSION:
        fault = f"accuracy needs classes, and {target.name!r} is a number; compare the loss"
        raise SpecError("this comparison cannot be", [fault])
    right = np.asarray(predictions.predicted == predictions.targets, dtype=np.float64)
    return right if right.ndim == 1 else right.mean(axis=1)


def _accuracy_step(predictions: Predictions) -> float:
    target = predictions.only_target
    return 1.0 if target.exclusive else 1 / len(target.classes)


def _loss_rows(predictions: Predictions) -> Array:
    if predictions.losses is None:
        raise DataError("these predictions carry no losses; Predictions.of computes them")
    return predictions.losses.astype(np.float64)


def _mean(values: Array, weights: Array) -> float:
    """The weighted mean; NaN of nothing."""
    return float((weights * values).sum() / weights.sum()) if len(values) else math.nan


_MEASURES = ("accuracy", "loss")
