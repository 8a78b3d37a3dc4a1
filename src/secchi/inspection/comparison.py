"""Whether one model answers the same rows better than another, beyond noise."""

import dataclasses
import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind
from secchi.errors import DataError, SpecError, did_you_mean
from secchi.files import finite
from secchi.inspection.predictions import Predictions, check_same_rows

LEVEL = 0.95
"""How often the interval of a comparison holds the true difference."""

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


def proportion_interval(
    change: Array, weights: Array | None = None, step: float = 1.0
) -> tuple[float, float]:
    """The 95 % interval of a difference of paired proportions.

    The adjusted Wald interval "Wald+2" of Agresti and Min (2005), "Simple improved confidence
    intervals for comparing matched proportions", Statistics in Medicine 24(5), 729-740. Two rows
    that nobody saw are added, half of one to each of the table's four cells (both right, fixed,
    broken, both wrong), and the ordinary interval is taken. With n rows, f fixed, b broken and
    z = 1.96::

        centre = (f - b) / (n + 2)
        half   = z sqrt(f + b + 1 - (f - b)^2 / (n + 2)) / (n + 2)

    and what goes beyond -1 or 1 is cut off. The centre lies a little closer to zero than the
    difference itself. Where next to no row changed it holds the truth in more than 95 % of cases.

    Weights w: each row's term counts w times in the mean and w^2 times in its variance (the
    variance of a ratio, linearised), and the two added rows weigh sum(w^2) / sum(w) each. Equal
    weights give the formula above. If few rows carry most of the weight, 95 % is an approximation.

    Args:
        change: What is right after, less what was right before, (n,): -1, 0 or 1, or a multiple of
            ``step``.
        weights: How much each row counts, above 0, (n,); None counts all alike.
        step: The smallest change of a row, which the added rows make: 1 for one class a row, and
            1/labels for several labels (their share that is right); that is this library's
            extension of the formula.

    Returns:
        The lower and the upper end; NaN both for two rows or fewer, or weights that leave as few.

    >>> low, high = proportion_interval(np.repeat([1.0, -1.0, 0.0], [20, 40, 100]))
    >>> f"{low:.6f} {high:.6f}"
    '-0.216017 -0.030896'
    """
    weights = np.ones(len(change)) if weights is None else weights
    if _too_few(weights):
        return math.nan, math.nan
    extra = (weights**2).sum() / weights.sum()
    total = weights.sum() + 2 * extra
    centre = float((weights * change).sum() / total)
    seen = ((weights * (change - centre)) ** 2).sum()
    # Half a row each at +step and -step, and one at 0, about the centre.
    unseen = extra**2 * (step**2 + 2 * centre**2)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    half = z * math.sqrt(seen + unseen) / float(total)
    return max(centre - half, -1.0), min(centre + half, 1.0)


def mean_interval(change: Array, weights: Array | None = None) -> tuple[float, float]:
    """The 95 % interval of a mean of paired differences, by Student's t.

    Weights w: the mean is sum(w x) / sum(w), its variance sum(w^2 (x - mean)^2) / sum(w)^2 times
    m / (m - 1), and the degrees of freedom are m - 1, where m = sum(w)^2 / sum(w^2) is the
    effective number of rows (Kish 1965, Survey Sampling). Equal weights give m = n and the ordinary
    interval of a paired t-test.

    Args:
        change: The rows' differences, (n,).
        weights: How much each row counts, above 0, (n,); None counts all alike.

    Returns:
        The lower and the upper end; NaN both for two effective rows or fewer, and where a
        difference is not finite.

    >>> low, high = mean_interval(np.array([-0.3, -0.1, -0.2, -0.2]))
    >>> f"{low:.4f} {high:.4f}"
    '-0.3299 -0.0701'
    """
    from scipy import stats

    weights = np.ones(len(change)) if weights is None else weights
    if _too_few(weights) or not np.isfinite(change).all():
        return math.nan, math.nan
    rows = _effective_rows(weights)
    mean = _mean(change, weights)
    deviations = weights / weights.sum() * (change - mean)
    error = math.sqrt(float((deviations**2).sum()) * rows / (rows - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, rows - 1)) * error
    return mean - half, mean + half


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


def _effective_rows(weights: Array) -> float:
    """Kish's effective number of rows: their number where all weigh the same, else fewer."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _too_few(weights: Array) -> bool:
    """Two rows or fewer, or weights that leave as few, up to rounding."""
    return len(weights) <= 2 or _effective_rows(weights) <= 2 + 1e-9


_MEASURES = ("accuracy", "loss")
