"""How far errors would move with other training rows of the same kind.

Repeats alone do not tell: at a share f of n rows two repeats have that share of their rows in
common, at f = 1 all. With s^2 the variance over the repeats, that of one training on rows of its
own is taken to be s^2 / (1 - f), and that of the mean of r repeats (1 - f) / r + f times as much,
as if each row had an effect of its own (the first term of Hoeffding 1948, "A class of statistics
with asymptotically normal distribution", Annals of Mathematical Statistics 19(3), 293-325). What
first weights and batches add is counted as if rows did, so that intervals are rather too wide.
"""

import math

import numpy as np
from numpy.typing import NDArray

from secchi.intervals import LEVEL
from secchi.seeding import stream

Array = NDArray[np.float64]

DRAWN = 1000
"""So often repeats and rows are drawn anew."""

_SPARED = 0.75
"""Shares above this have too many rows in common to tell how much their luck is."""


def own_variances(sizes: NDArray[np.int64], each: Array, shared: Array) -> Array:
    """The variance of the error of a training on rows of its own, by size.

    It is smoothed over the sizes by a power law that does not rise; those of shares above 3/4
    follow from it.

    Args:
        sizes: Numbers of rows, (sizes,).
        each: Errors, (sizes, repeats).
        shared: The share of their rows that two repeats have in common, (sizes,).

    Returns:
        (sizes,); 0 where errors never differ, or there is one repeat.

    >>> each = np.array([[0.2, 0.4], [0.1, 0.2], [0.1, 0.1]])
    >>> print(own_variances(np.array([10, 20, 40]), each, np.array([0.25, 0.5, 1.0])).round(4))
    [0.0267 0.01   0.0038]
    """
    if each.shape[1] < 2:
        return np.zeros(len(sizes))
    told = shared <= max(_SPARED, float(shared.min()))
    seen = each.var(axis=1, ddof=1)[told] / np.maximum(1 - shared[told], 1 - _SPARED)
    if not seen.any():
        return np.zeros(len(sizes))
    # A size at which all repeats came to the same says little of how much they could differ.
    logs = np.log(np.maximum(seen, seen.max() / 1000))
    x = np.log(sizes / sizes[0])
    about = x[told] - x[told].mean()
    slope = min(float((about * logs).sum() / max((about**2).sum(), 1e-12)), 0.0)
    return np.asarray(np.exp(logs.mean() + slope * (x - x[told].mean())))


def intervals(
    mean: Array, variances: Array, shared: Array, repeats: int, most: float = math.inf
) -> tuple[Array, Array]:
    """The ends of the 95 % intervals of mean errors by Student's t, from 0 on.

    Args:
        mean: Over the repeats, (sizes,).
        variances: As :func:`own_variances` gives them.
        shared: As there.
        repeats: How many there are.
        most: The largest error that there can be; an interval ends there.

    Returns:
        NaN of two repeats or fewer, and where errors never differ.
    """
    from scipy import special

    if repeats <= 2 or not variances.any():
        return np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    factor = float(special.stdtrit(repeats - 1, (1 + LEVEL) / 2))
    half = factor * np.sqrt(variances * ((1 - shared) / repeats + shared))
    return np.maximum(mean - half, 0.0), np.minimum(mean + half, most)


def drawn_means(each: Array, variances: Array, shared: Array, seed: int) -> Array:
    """Mean errors as they would be with other repeats (the bootstrap) and other rows.

    The luck of all rows together moves every size by as many of its standard deviations.

    Args:
        each: Errors, (sizes, repeats).
        variances: As :func:`own_variances` gives them.
        shared: As there.
        seed: Names what is drawn.

    Returns:
        (:data:`DRAWN`, sizes); nothing of two repeats or fewer, and where errors never differ.
    """
    repeats = each.shape[1]
    if repeats <= 2 or not variances.any():
        return np.empty((0, len(each)))
    random = stream(seed, "bootstrap of a learning curve", 0)
    places = random.integers(repeats, size=(DRAWN, repeats))
    mean = each.mean(axis=1)
    moved = each[:, places].mean(axis=2).T - mean
    luck = random.standard_normal((DRAWN, 1)) * np.sqrt(variances * shared)
    # A bootstrap of r values has (r - 1) / r of the variance of their mean.
    drawn: Array = mean + moved * math.sqrt(repeats / (repeats - 1)) + luck
    return drawn
