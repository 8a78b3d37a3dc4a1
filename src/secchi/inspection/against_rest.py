"""Pieces of a table against all other rows: Welch's t, from sums over the rows of each piece."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.intervals import LEVEL, holm

Array = NDArray[np.float64]


class Differences(NamedTuple):
    """How pieces differ from all other rows; each of shape (pieces,).

    Attributes:
        mean: The mean of the piece.
        difference: The same less the mean of all other rows.
        half: Half the width of the 95 % interval of the difference.
        t: The difference over its standard error.
        p: Two-sided p-values, corrected for how many pieces there are.
    """

    mean: Array
    difference: Array
    half: Array
    t: Array
    p: Array


def moments(values: Array, weights: Array) -> Array:
    """What any piece's mean and variance are made of, once summed over its rows; (6, rows)."""
    square = weights**2
    one = np.ones_like(weights)
    return np.stack([one, weights, square, weights * values, square * values, square * values**2])


def sums_of(moments: Array, codes: NDArray[np.intp], pieces: int) -> Array:
    """The moments summed over the rows of each piece, (6, pieces).

    Args:
        moments: Of each row, (6, rows).
        codes: The piece of each row, (rows,).
        pieces: How many there are.
    """
    return np.stack([np.bincount(codes, each, minlength=pieces) for each in moments])


def enough(sums: Array, min_rows: int) -> NDArray[np.bool_]:
    """Whether pieces have enough rows, and weights that leave more than two of them."""
    rows, weight, square = sums[:3]
    found: NDArray[np.bool_] = (rows >= min_rows) & (weight**2 > (2 + 1e-9) * square)
    return found


def against_rest(sums: Array, total: Array) -> Differences:
    """Hold every piece against all rows that are not in it.

    With the means m, the variances v and the effective numbers of rows n (Kish 1965, Survey
    Sampling) of the piece and of the rest::

        t = (m1 - m2) / sqrt(v1 / n1 + v2 / n2)

    with the degrees of freedom of Welch (1947) and Satterthwaite (1946). The variance of a piece is
    taken as no smaller than that of all rows: a few rows that happen to be alike would else look
    sure. P-values are corrected by :func:`secchi.intervals.holm`.

    Args:
        sums: Of each piece, (6, pieces), of values with a mean of about 0 and a variance of about
            1 over all rows: what is smaller than 1e-6 of that is taken for rounding.
        total: Of all rows, (6,).
    """
    from scipy import special

    rest = total[:, None] - sums
    difference = _mean(sums) - _mean(rest)
    # No variance is below that of rounding.
    own, whole, other = (np.maximum(_variance(each), 1e-12) for each in (sums, total, rest))
    inside, outside = np.maximum(own, whole) / _rows(sums), other / _rows(rest)
    error = np.sqrt(inside + outside)
    freedom = error**4 / (inside**2 / (_rows(sums) - 1) + outside**2 / (_rows(rest) - 1))
    t = difference / error
    half = special.stdtrit(freedom, (1 + LEVEL) / 2) * error
    return Differences(_mean(sums), difference, half, t, holm(2 * special.stdtr(freedom, -abs(t))))


def _mean(sums: Array) -> Array:
    mean: Array = sums[3] / sums[1]
    return mean


def _rows(sums: Array) -> Array:
    """Kish's effective number of rows."""
    rows: Array = sums[1] ** 2 / sums[2]
    return rows


def _variance(sums: Array) -> Array:
    """The variance of the values of one row, about the mean of its piece."""
    square, mean, rows = sums[2], _mean(sums), _rows(sums)
    about: Array = (sums[5] - 2 * mean * sums[4] + mean**2 * square) / square * rows / (rows - 1)
    return about
