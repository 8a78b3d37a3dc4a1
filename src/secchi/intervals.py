"""How far a mean, a share or a correlation would move if others of the same kind had been drawn."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""How often an interval holds the truth."""

Array = NDArray[Any]

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


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
    from scipy import special

    weights = np.ones(len(change)) if weights is None else weights
    if _too_few(weights) or not np.isfinite(change).all():
        return math.nan, math.nan
    rows = effective_rows(len(change), weights)
    mean = float((weights * change).sum() / weights.sum())
    deviations = weights / weights.sum() * (change - mean)
    error = math.sqrt(float((deviations**2).sum()) * rows / (rows - 1))
    half = float(special.stdtrit(rows - 1, (1 + LEVEL) / 2)) * error
    return mean - half, mean + half


def mean_intervals(
    values: Array,
    axis: int = -1,
    ratio: float = 0.0,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[Array, Array, Array]:
    """Many means at once, each with its 95 % interval by Student's t.

    Each interval is that of :func:`mean_interval` without weights, but for values that are scores
    on several splits of the same rows: those are no independent trials, for their training rows are
    mostly the same. With s^2 the variance of n scores, that of their mean is then taken to be::

        s^2 (1 / n + ratio)

    in which ratio is the validating rows by those that train (Nadeau and Bengio 2003, "Inference
    for the generalization error", Machine Learning 52, 239-281; for repeated folds Bouckaert and
    Frank 2004). It is a rule of thumb: no unbiased one exists (Bengio and Grandvalet 2004).

    Where all values are the same, to 1e-9 of themselves, nothing is known of their noise, and there
    is no interval: three accuracies of 1 do not make it certain that a fourth would be 1.

    Args:
        values: What the means are of; those that are not finite are left out.
        axis: Along which the means are taken.
        ratio: Validating rows by training rows of splits of the same rows; 0 where values are
            independent.
        within: The least and the most that a value can be. The part of an interval beyond them is
            cut off, which leaves out no truth; unless a value lies beyond, so that they are others.

    Returns:
        The means, NaN of nothing; the lower and the upper ends, NaN of two values or fewer and of
        those that are all the same. Each has the shape of ``values`` without that axis.

    >>> mean, low, high = mean_intervals(np.array([[-0.3, -0.1, -0.2, -0.2], [1, 2, np.nan, 3]]))
    >>> print(mean.round(4), low.round(4), high.round(4))
    [-0.2  2. ] [-0.3299 -0.4841] [-0.0701  4.4841]
    >>> folds = np.array([0.90, 0.94, 0.92, 0.96, 0.88])
    >>> print(*(end.round(3) for end in mean_intervals(folds, ratio=1 / 4)))
    0.92 0.861 0.979
    >>> mean, low, high = mean_intervals(np.array([[0.9, 1, 1], [1, 1, 1]]), within=(0, 1))
    >>> print(mean.round(3), low.round(3), high)
    [0.967 1.   ] [0.823   nan] [ 1. nan]
    """
    from scipy import special

    there = np.isfinite(values)
    count = there.sum(axis=axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, values, 0.0).sum(axis=axis) / count
        about = np.where(there, values - np.expand_dims(mean, axis), 0.0)
        error = np.sqrt((about**2).sum(axis=axis) / (count - 1) * (1 / count + ratio))
    known = (count > 2) & (np.abs(about).max(axis=axis, initial=0.0) > 1e-9 * np.abs(mean))
    half = np.where(
        known, special.stdtrit(np.where(known, count - 1, 1), (1 + LEVEL) / 2) * error, np.nan
    )
    if (there & ((values < within[0]) | (values > within[1]))).any():
        within = -math.inf, math.inf
    return mean, np.maximum(mean - half, within[0]), np.minimum(mean + half, within[1])


def without_rounding(differences: Array, of: Array) -> Array:
    """Differences as multiples of 1e-12 of the largest of the numbers that they are of.

    Args:
        differences: Of any shape.
        of: Those numbers; what is not finite does not count.

    >>> without_rounding(np.array([0.3 - 0.2 - 0.1, 0.1]), np.array([0.3])).round(9).tolist()
    [0.0, 0.1]
    """
    step = 1e-12 * float(np.abs(of[np.isfinite(of)]).max(initial=0.0))
    return np.round(differences / step) * step + 0.0 if step else differences


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
    half = _Z * math.sqrt(seen + unseen) / float(total)
    return max(centre - half, -1.0), min(centre + half, 1.0)


def share_interval(hits: Array, weights: Array | None = None) -> tuple[float, float]:
    """The 95 % interval of a share, such as an accuracy: Wilson's score interval.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22(158), 209-212. With the share p of n rows and
    z = 1.96::

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half   = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)

    It stays between 0 and 1, and has a width where all rows or none are hits. The interval of a
    *difference* of two models is :func:`proportion_interval`.

    Args:
        hits: Whether each row is one, (n,).
        weights: How much each row counts, above 0, (n,); None counts all alike. With weights p is
            the weighted share, and n the effective number of rows, sum(w)^2 / sum(w^2) (Kish 1965,
            Survey Sampling), which makes it an approximation.

    Returns:
        The lower and the upper end; NaN both without rows.

    >>> low, high = share_interval(np.arange(10) < 9)
    >>> f"{low:.4f} {high:.4f}"
    '0.5958 0.9821'
    """
    if not len(hits):
        return math.nan, math.nan
    share, rows = float(np.average(hits, weights=weights)), effective_rows(len(hits), weights)
    centre = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    variance = share * (1 - share) / rows + _Z**2 / (4 * rows**2)
    half = _Z * math.sqrt(max(variance, 0.0)) / (1 + _Z**2 / rows)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def correlation_interval(r: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a correlation, by Fisher's z: tanh(atanh(r) -+ 1.96 / sqrt(rows - 3)).

    Fisher (1921), "On the probable error of a coefficient of correlation deduced from a small
    sample", Metron 1, 3-32. It is exact for pairs of normal numbers only.

    Args:
        r: The correlation.
        rows: How many pairs it is of, or the effective number of weighted ones.

    Returns:
        The lower and the upper end; NaN both for three rows or fewer, or without a correlation.

    >>> low, high = correlation_interval(0.8, 103)
    >>> f"{low:.4f} {high:.4f}"
    '0.7176 0.8603'
    """
    if rows <= 3 or math.isnan(r):
        return math.nan, math.nan
    if abs(r) >= 1:
        return r, r
    half = _Z / math.sqrt(rows - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def effective_rows(rows: int, weights: Array | None) -> float:
    """Kish's effective number of rows: their number where all weigh the same, else fewer."""
    return rows if weights is None else float(weights.sum() ** 2 / (weights**2).sum())


def holm(p: Array) -> Array:
    """P-values corrected for how many there are, so that one false finding is rare.

    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6(2), 65-70.

    Args:
        p: As they are, (n,); those that are NaN stay so and are not counted.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    grown = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(grown, 1.0)
    return corrected


def _too_few(weights: Array) -> bool:
    """Two rows or fewer, or weights that leave as few, up to rounding."""
    return len(weights) <= 2 or effective_rows(len(weights), weights) <= 2 + 1e-9
