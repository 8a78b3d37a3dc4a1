"""The variance of settings and repeats, in parts."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.collected import Places
from secchi.experiments.measures import all_numbers
from secchi.experiments.settings import canonical

_BINS = 5
"""Into how many groups a number is cut that has too many values."""

_ROUNDS = 300
"""Rounds at most in which the terms of a fit are found; one is enough where nothing is missing."""

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the variance.

    Attributes:
        share: Of the whole.
        freedom: Its degrees of freedom.
        p: The p-value of its F-test, not corrected; NaN where there is nothing to test against.
    """

    share: float
    freedom: int
    p: float


@dataclasses.dataclass(frozen=True, eq=False)
class Variance:
    """All parts.

    Attributes:
        parts: Of each factor, then of every two, in the order of ``itertools.combinations``.
        repeat: The share of the repeats.
        rest: The share of what is none of these.
        balanced: Whether every combination of values has equally many trials.
        means: The mean of each setting, with the repeats' own moves taken out, (settings,).
    """

    parts: tuple[Part, ...]
    repeat: float
    rest: float
    balanced: bool
    means: Array


def variance_of(values: Array, codes: Sequence[Places]) -> Variance:
    """Analysis of variance over settings and repeats.

    The settings' means (weighted by their number of trials) are fitted by least squares with a term
    for each value of each factor. A factor's sum of squares is what the fit loses without it; that
    of two factors is what it gains by a term for each pair of their values. Shares are of the sum
    of squares of all trials about their mean (eta squared); in a balanced grid they are those of
    the ordinary analysis of variance, and with the rest they add up to 1.

    The noise is what moves settings apart from one repeat to the next: the residual of
    settings × repeats, with (settings - 1) (repeats - 1) degrees of freedom where nothing is
    missing. F is a sum of squares over its degrees of freedom, divided by that of the noise. With
    one repeat the residual of the fit of all factors stands for the noise, and interactions are
    part of it: they are not tested. F-tests take the noise to be as large in every setting.

    Args:
        values: (settings, repeats), NaN where there is none; every setting has one at least.
        codes: The level of each setting for each factor, (settings,) each.
    """
    if not len(values):
        return Variance((), 0.0, 0.0, True, np.empty(0))
    setting, repeat = np.nonzero(np.isfinite(values))
    each = values[setting, repeat]
    grand, ones = each.mean(), np.ones(len(each))
    own, moves = _fitted(each - grand, ones, [setting, repeat])
    weights = np.bincount(setting).astype(np.float64)
    total = float(((each - grand) ** 2).sum())
    noise = float(((each - grand - own[setting] - moves[repeat]) ** 2).sum())
    freedom = len(each) - len(values) - len(np.unique(repeat)) + 1

    sums, residual = _sums(own, weights, codes)
    tested = len(sums)
    if freedom <= 0:
        spent = sum(df for _, df in sums[: len(codes)])
        noise, freedom, tested = residual, len(values) - 1 - spent, len(codes)
    parts = tuple(
        Part(
            _share(squares, total),
            df,
            _p(squares, df, noise, freedom, total) if place < tested else math.nan,
        )
        for place, (squares, df) in enumerate(sums)
    )
    repeats = _share(float((moves[repeat] ** 2).sum()), total)
    rest = 1 - sum(part.share for part in parts) - repeats if total > 0 else 0.0
    balanced = _balanced(np.isfinite(values), codes)
    return Variance(parts, repeats, max(rest, 0.0), balanced, own + grand)


def levels(columns: Sequence[Sequence[Any]], repeats: int) -> tuple[list[Places], list[bool]]:
    """The level of each setting for each factor, and whether neighbouring numbers share one.

    Everything has a level for each value, unless that would be more than the settings can tell
    apart, as in a random design, or with one repeat more than half of what they can: then numbers
    are cut into five groups of equally many settings.

    Args:
        columns: The values of each factor, (settings,) each.
        repeats: How many there are.

    >>> levels([[0.1, 0.2, 0.1, 0.2], ["a", "a", "b", "b"]], repeats=2)
    ([array([0, 1, 0, 1]), array([0, 0, 1, 1])], [False, False])
    """
    codes = [_codes(column) for column in columns]
    asked = sum(_freedom(code) for code in codes)
    known = (len(columns[0]) if columns else 0) - 1
    crowded = asked > (known if repeats > 1 else known / 2)
    cut = [
        crowded and all_numbers(column) and _freedom(code) >= _BINS
        for column, code in zip(columns, codes, strict=True)
    ]
    for place, (column, coarse) in enumerate(zip(columns, cut, strict=True)):
        if coarse:
            edges = np.quantile(column, np.arange(1, _BINS) / _BINS)
            codes[place] = _codes(np.searchsorted(edges, column, side="right").tolist())
    return codes, cut


def _codes(column: Sequence[Any]) -> Places:
    """The place of each value among those that differ, in the order in which they appear."""
    keys = [canonical(value) for value in column]
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys], dtype=np.intp)


def _sums(
    values: Array, weights: Array, codes: Sequence[Places]
) -> tuple[list[tuple[float, int]], float]:
    """The sum of squares and degrees of freedom of each factor and pair, and the residual."""

    def explained(terms: Sequence[Places]) -> float:
        effects = _fitted(values, weights, terms)
        fit = sum((e[t] for e, t in zip(effects, terms, strict=True)), np.zeros(len(values)))
        return float((weights * fit**2).sum())

    whole = explained(codes)
    sums = []
    for place, code in enumerate(codes):
        without = explained([*codes[:place], *codes[place + 1 :]])
        sums.append((whole - without, _freedom(code)))
    for one, other in itertools.combinations(codes, 2):
        pair = np.unique(np.stack([one, other]), axis=1, return_inverse=True)[1]
        beyond = _freedom(pair) - _freedom(one) - _freedom(other)
        sums.append((explained([*codes, pair]) - whole, beyond))
    return sums, float((weights * values**2).sum()) - whole


def _fitted(values: Array, weights: Array, terms: Sequence[Places]) -> list[Array]:
    """The effects of the levels of each term, by least squares.

    Each term in turn is given the weighted mean of what the others leave (backfitting: Buja, Hastie
    and Tibshirani 1989, "Linear smoothers and additive models", Annals of Statistics 17(2),
    453-510), until nothing moves.
    """
    effects = [np.zeros(int(term.max()) + 1) for term in terms]
    sizes = [np.maximum(np.bincount(term, weights), 1e-300) for term in terms]
    left = np.array(values)
    still = 1e-12 * float(np.abs(values).max(initial=0.0))
    for _ in range(_ROUNDS):
        moved = 0.0
        for effect, size, term in zip(effects, sizes, terms, strict=True):
            step = np.bincount(term, weights * left) / size
            effect += step
            left -= step[term]
            moved = max(moved, float(np.abs(step).max()))
        if moved <= still:
            break
    return effects


def _freedom(code: Places) -> int:
    return int(code.max(initial=0))


def _share(squares: float, total: float) -> float:
    return max(squares, 0.0) / total if total > 0 else 0.0


def _p(squares: float, df: int, noise: float, freedom: int, total: float) -> float:
    from scipy import stats

    if df <= 0 or freedom <= 0:
        return math.nan
    if squares <= 1e-12 * total:  # rounding, also where there is no noise at all
        return 1.0
    error = max(noise, 1e-12 * total) / freedom
    return float(stats.f.sf(squares / df / error, df, freedom))


def _balanced(there: NDArray[np.bool_], codes: Sequence[Places]) -> bool:
    """Whether all combinations of levels have the same number of trials, and none is missing."""
    if not codes:
        return bool(there.all())
    count = np.unique(np.stack(codes), axis=1, return_counts=True)[1]
    possible = math.prod(_freedom(code) + 1 for code in codes)
    return bool(there.all()) and len(count) == possible and bool((count == count[0]).all())
