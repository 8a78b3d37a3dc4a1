"""The variance of settings and repeats, in parts."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.collected import Places
from secchi.experiments.measures import all_numbers
from secchi.experiments.settings import canonical

_BINS = 5
"""Into how many groups a number is cut that has too many values."""

_ROUNDING = 1e-12
"""A sum of squares that is no more of the whole than this is nothing."""

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the variance.

    Attributes:
        share: Of the whole.
        freedom: Its degrees of freedom; 0 where the design does not tell it from the others.
        p: The p-value of its F-test, not corrected; NaN where there is nothing to test, or nothing
            to test against.
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


class _Squares(NamedTuple):
    """A sum of squares with its degrees of freedom."""

    sum: float
    freedom: int

    @property
    def mean(self) -> float:
        return self.sum / self.freedom if self.freedom > 0 else math.nan


class _Effect(NamedTuple):
    """What a term adds to a fit, and what that fit leaves among the settings."""

    gained: _Squares
    left: _Squares


def variance_of(
    values: Array, codes: Sequence[Places], coarse: bool = False, ratio: float = 0.0
) -> Variance:
    """Analysis of variance over settings and repeats.

    The settings' means (weighted by their number of trials) are fitted by least squares with a term
    for each value of each factor. A factor's sum of squares is what the fit loses without it; that
    of two factors is what it gains by a term for each pair of their values; degrees of freedom are
    what the rank of the fit loses or gains. Shares are of the sum of squares of all trials about
    their mean (eta squared); in a balanced grid they are those of the ordinary analysis of
    variance, and with the rest they add up to 1.

    The noise is what moves settings apart from one repeat to the next: the residual of
    settings × repeats, with (settings - 1) (repeats - 1) degrees of freedom where nothing is
    missing. F is a sum of squares over its degrees of freedom, divided by that of the noise; where
    the repeats are splits of the same rows, that of the noise counts 1 + repeats × ratio times
    (:func:`secchi.intervals.mean_intervals`). With one repeat the residual of the fit of all
    factors stands for the noise, and interactions are part of it: they are not tested. F-tests take
    the noise to be as large in every setting.

    Where neighbouring values share a level, what moves settings within a level is spread over all
    effects. Each is then tested against the larger of the noise and what its own fit leaves among
    the settings, as mean squares, and is not tested where it leaves no degrees of freedom.

    Args:
        values: (settings, repeats), NaN where there is none; every setting has one at least.
        codes: The level of each setting for each factor, (settings,) each.
        coarse: Whether neighbouring values share a level.
        ratio: Validating rows by training rows of repeats that split the same rows; else 0.
    """
    if not len(values):
        return Variance((), 0.0, 0.0, True, np.empty(0))
    setting, repeat = np.nonzero(np.isfinite(values))
    each = values[setting, repeat]
    grand = each.mean()
    moves, around, rank = _fit(each - grand, np.ones(len(each)), setting, [repeat])
    moves -= moves[repeat].mean()
    weights = np.bincount(setting).astype(np.float64)
    means = np.bincount(setting, each - moves[repeat]) / weights
    total = float(((each - grand) ** 2).sum())
    overlap = 1 + len(np.unique(repeat)) * ratio
    noise = _Squares(overlap * float((around**2).sum()), len(each) - rank)

    effects = _effects(means - grand, weights, codes)
    tested = len(effects)
    if noise.freedom <= 0 and effects:
        noise, tested = effects[0].left, len(codes)
    parts = tuple(
        Part(
            _share(effect.gained.sum, total),
            effect.gained.freedom,
            _p(effect.gained, [noise, effect.left] if coarse else [noise], total)
            if place < tested
            else math.nan,
        )
        for place, effect in enumerate(effects)
    )
    repeats = _share(float((moves[repeat] ** 2).sum()), total)
    rest = 1 - sum(part.share for part in parts) - repeats if total > 0 else 0.0
    return Variance(parts, repeats, max(rest, 0.0), _balanced(np.isfinite(values), codes), means)


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


def entangled(codes: Sequence[Places]) -> list[list[int]]:
    """Which factors cannot be told apart, for where one has the same level, so have the others.

    Returns:
        The places of the factors in groups; the first of each is the one from which the others
        follow.

    >>> entangled([np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0])])
    [[0, 2], [1]]
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(codes)), key=lambda place: -_freedom(codes[place])):
        for group in groups:
            if _freedom(_joint([codes[group[0]], codes[place]])) == _freedom(codes[group[0]]):
                group.append(place)
                break
        else:
            groups.append([place])
    return sorted(groups, key=min)


def _codes(column: Sequence[Any]) -> Places:
    """The place of each value among those that differ, in the order in which they appear."""
    keys = [canonical(value) for value in column]
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys], dtype=np.intp)


def _effects(values: Array, weights: Array, codes: Sequence[Places]) -> list[_Effect]:
    """What each factor and each pair adds to a fit of the settings."""
    total = float((weights * values**2).sum())

    def fitted(terms: Sequence[Places]) -> tuple[float, int]:
        """The sum of squares of a fit, and its rank."""
        constant = np.zeros(len(values), dtype=np.intp)
        largest, *others = sorted([*terms, constant], key=_freedom, reverse=True)
        _, left, rank = _fit(values, weights, largest, others)
        return total - float((weights * left**2).sum()), rank

    def effect(less: tuple[float, int], more: tuple[float, int]) -> _Effect:
        gained = _Squares(more[0] - less[0], more[1] - less[1])
        return _Effect(gained, _Squares(max(total - more[0], 0.0), len(values) - more[1]))

    whole = fitted(codes)
    found = [effect(fitted([*codes[:i], *codes[i + 1 :]]), whole) for i in range(len(codes))]
    for i, j in itertools.combinations(range(len(codes)), 2):
        # A term for each pair has those of both factors in it.
        others = [code for place, code in enumerate(codes) if place not in (i, j)]
        found.append(effect(whole, fitted([_joint([codes[i], codes[j]]), *others])))
    return found


def _fit(
    values: Array, weights: Array, first: Places, others: Sequence[Places]
) -> tuple[Array, Array, int]:
    """Least squares with a term for each level of several codes.

    Those of the first, which may have many levels, are taken out as means, so that the matrix has
    columns for the others alone (Frisch and Waugh 1933).

    Returns:
        The effects of the others' levels, one after another; what is left of the values; the rank.
    """
    columns = [
        values,
        *(other == level for other in others for level in range(_freedom(other) + 1)),
    ]
    table = np.stack(columns, axis=1).astype(np.float64)
    sizes = np.bincount(first, weights)
    means = np.stack([np.bincount(first, weights * column) for column in table.T], axis=1)
    table -= (means / sizes[:, None])[first]
    root = np.sqrt(weights)[:, None]
    target, terms = table[:, 0], table[:, 1:]
    effects, _, rank, _ = np.linalg.lstsq(terms * root, target * root[:, 0], rcond=1e-9)
    return np.asarray(effects), target - terms @ effects, int(rank) + len(sizes)


def _joint(codes: Sequence[Places]) -> Places:
    """The place of each combination of levels among those that differ."""
    found: Places = np.unique(np.stack(codes), axis=1, return_inverse=True)[1].astype(np.intp)
    return found


def _freedom(code: Places) -> int:
    return int(code.max(initial=0))


def _share(squares: float, total: float) -> float:
    return max(squares, 0.0) / total if total > 0 else 0.0


def _p(gained: _Squares, errors: Sequence[_Squares], total: float) -> float:
    """The p-value against the largest of several mean squares; NaN where one is not known."""
    from scipy import special

    if gained.freedom <= 0 or any(error.freedom <= 0 for error in errors):
        return math.nan
    error = max(errors, key=lambda one: one.mean)
    if error.sum <= _ROUNDING * total:  # no repeat differs from another, so nothing is known
        return math.nan
    return float(special.fdtrc(gained.freedom, error.freedom, max(gained.mean, 0.0) / error.mean))


def _balanced(there: NDArray[np.bool_], codes: Sequence[Places]) -> bool:
    """Whether all combinations of levels have the same number of trials, and none is missing."""
    if not codes:
        return bool(there.all())
    count = np.unique(np.stack(codes), axis=1, return_counts=True)[1]
    possible = math.prod(_freedom(code) + 1 for code in codes)
    return bool(there.all()) and len(count) == possible and bool((count == count[0]).all())
