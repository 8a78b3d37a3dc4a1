"""How far a share, or a correlation, would move if other rows of the same kind had been drawn."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.inspection.comparison import LEVEL

Array = NDArray[Any]

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def share_interval(hits: Array, weights: Array | None = None) -> tuple[float, float]:
    """The 95 % interval of a share, such as an accuracy: Wilson's score interval.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22(158), 209-212. With the share p of n rows and
    z = 1.96::

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half   = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)

    It stays between 0 and 1, and has a width where all rows or none are hits. The interval of a
    *difference* of two models is :func:`secchi.inspection.comparison.proportion_interval`.

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
