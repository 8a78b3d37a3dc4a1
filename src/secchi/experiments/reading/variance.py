"""The variance of settings and repeats, in parts."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.collected import Places
from secchi.experiments.reading.measures import all_numbers
from secchi.experiments.settings import canonical

_BINS = 5
"""Into how many groups a number is cut that has too many values."""

_ROUNDING = 1e-12
"""A sum of squares that is no more of the whole than this is nothing."""

_LEAST = 3
"""With fewer repeats nothing is said about noise."""

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


class _Effect(NamedTuple):
    """What a term adds to a fit of the settings.

    Attributes:
        squares: The sum of squares that the fit of the means gains by it.
        freedom: The rank that it gains.
        moves: What it gains of how each repeat is off the means, as the products of every two
            repeats, (repeats, repeats).
        left: The mean square that the fit with the term leaves among the settings.
        left_freedom: Its degrees of freedom.
    """

    squares: float
    freedom: int
    moves: Array
    left: float
    left_freedom: int


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

    An effect is tested against how much it differs from one repeat to the next: its interaction
    with the repeat, as where each repeat is a subject that is measured at every setting. Networks
    of one repeat have rows and seed in common, so that some differ hardly at all from each other:
    what is left over when all factors are fitted, were it taken for the noise, would make much of
    nothing. F is the effect's sum of squares over its degrees of freedom d, divided by that of its
    interaction over d (repeats - 1). Where some values move more than others from repeat to repeat,
    F has fewer degrees of freedom than these, by a factor that the data tell (Huynh and Feldt 1976,
    "Estimation of the Box correction for degrees of freedom from sample data in randomized block
    and split-plot designs", Journal of Educational Statistics 1, 69-82). Where the repeats are
    splits of the same rows, the interaction counts 1 + repeats x ratio times
    (:func:`secchi.intervals.mean_intervals`). With fewer than three repeats nothing is tested.

    Where neighbouring values share a level, what moves settings within a level is spread over all
    effects. Each is then tested against the larger of its interaction and what its own fit leaves
    among the settings, as mean squares, and is not tested where it leaves no degrees of freedom.

    Args:
        values: (settings, repeats), NaN where there is none; every setting has one at least.
        codes: The level of each setting for each factor, (settings,) each.
        coarse: Whether neighbouring values share a level.
        ratio: Validating rows by training rows of repeats that split the same rows; else 0.
    """
    if not len(values):
        return Variance((), 0.0, 0.0, True, np.empty(0))
    there = np.isfinite(values)
    setting, repeat = np.nonzero(there)
    each = values[setting, repeat]
    grand = each.mean()
    moves, _, _ = _fit(each[:, None] - grand, np.ones(len(each)), setting, [repeat])
    moves = moves[:, 0] - moves[repeat, 0].mean()
    weights = np.bincount(setting).astype(np.float64)
    means = np.bincount(setting, each - moves[repeat]) / weights
    total = float(((each - grand) ** 2).sum())
    repeats = _share(float((moves[repeat] ** 2).sum()), total)

    off = np.zeros_like(values)
    off[setting, repeat] = each - moves[repeat] - means[setting]
    off = off[:, there.any(axis=0)]
    effects = _effects(np.column_stack([means - grand, off / weights[:, None]]), weights, codes)
    tested = off.shape[1] >= _LEAST
    parts = tuple(
        Part(
            _share(effect.squares, total),
            effect.freedom,
            _p(effect, total, coarse, ratio) if tested else math.nan,
        )
        for effect in effects
    )
    rest = 1 - sum(part.share for part in parts) - repeats if total > 0 else 0.0
    return Variance(parts, repeats, max(rest, 0.0), _balanced(there, codes), means)


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
    """What each factor and each pair adds to fits of the settings.

    Args:
        values: (settings, 1 + repeats): the means, and how each repeat is off them.
        weights: Of the settings.
        codes: The level of each setting for each factor.
    """

    def left(terms: Sequence[Places]) -> tuple[Array, int]:
        """The products of what a fit leaves of every two columns, and the rank of the fit."""
        constant = np.zeros(len(values), dtype=np.intp)
        largest, *others = sorted([*terms, constant], key=_freedom, reverse=True)
        _, rest, rank = _fit(values, weights, largest, others)
        return rest.T @ (rest * weights[:, None]), rank

    def effect(less: tuple[Array, int], more: tuple[Array, int]) -> _Effect:
        gained, freedom = less[0] - more[0], len(values) - more[1]
        mean = float(more[0][0, 0]) / freedom if freedom > 0 else math.nan
        return _Effect(float(gained[0, 0]), more[1] - less[1], gained[1:, 1:], mean, freedom)

    whole = left(codes)
    found = [effect(left([*codes[:i], *codes[i + 1 :]]), whole) for i in range(len(codes))]
    for i, j in itertools.combinations(range(len(codes)), 2):
        # A term for each pair has those of both factors in it.
        others = [code for place, code in enumerate(codes) if place not in (i, j)]
        found.append(effect(whole, left([_joint([codes[i], codes[j]]), *others])))
    return found


def _fit(
    values: Array, weights: Array, first: Places, others: Sequence[Places]
) -> tuple[Array, Array, int]:
    """Least squares with a term for each level of several codes.

    Those of the first, which may have many levels, are taken out as means, so that the matrix has
    columns for the others alone (Frisch and Waugh 1933).

    Args:
        values: (rows, columns), each column fitted by itself.
        weights: Of the rows.
        first: The level of each row of one code.
        others: Likewise, of the others.

    Returns:
        The effects of the others' levels, one after another, (levels, columns); what is left of
        the values; the rank.
    """
    terms = [other == level for other in others for level in range(_freedom(other) + 1)]
    table = np.column_stack([values, *terms]).astype(np.float64)
    sizes = np.bincount(first, weights)
    means = np.stack([np.bincount(first, weights * column) for column in table.T], axis=1)
    table -= (means / sizes[:, None])[first]
    root = np.sqrt(weights)[:, None]
    target, design = np.split(table, [values.shape[1]], axis=1)
    effects, _, rank, _ = np.linalg.lstsq(design * root, target * root, rcond=1e-9)
    return np.asarray(effects), target - design @ effects, int(rank) + len(sizes)


def _joint(codes: Sequence[Places]) -> Places:
    """The place of each combination of levels among those that differ."""
    found: Places = np.unique(np.stack(codes), axis=1, return_inverse=True)[1].astype(np.intp)
    return found


def _freedom(code: Places) -> int:
    return int(code.max(initial=0))


def _share(squares: float, total: float) -> float:
    return max(squares, 0.0) / total if total > 0 else 0.0


def _p(effect: _Effect, total: float, coarse: bool, ratio: float) -> float:
    """The p-value of an effect; NaN where nothing is known of its noise."""
    from scipy import special

    repeats, freedom = len(effect.moves), effect.freedom
    squares = repeats * float(np.trace(effect.moves))
    if freedom <= 0 or squares <= _ROUNDING * total or coarse and effect.left_freedom <= 0:
        return math.nan  # where no repeat differs from another, nothing is known
    noise = (1 + repeats * ratio) * squares / (freedom * (repeats - 1))
    above = _evenness(effect.moves, freedom) * freedom
    below = above * (repeats - 1)
    if coarse and effect.left > noise:
        noise, above, below = effect.left, freedom, effect.left_freedom
    return float(special.fdtrc(above, below, max(effect.squares, 0.0) / freedom / noise))


def _evenness(moves: Array, freedom: int) -> float:
    """By what factor F has fewer degrees of freedom: 1 where all values move alike by repeats.

    From the products of how far every two repeats are off, whose eigenvalues are those of the
    covariance of the effect's contrasts.
    """
    repeats = len(moves)
    least = float(np.trace(moves)) ** 2 / (freedom * float((moves**2).sum()))
    known = freedom * (repeats - 1 - freedom * least)
    better = (repeats * freedom * least - 2) / known if known > _ROUNDING else 1.0
    return min(max(least, better), 1.0)


def _balanced(there: NDArray[np.bool_], codes: Sequence[Places]) -> bool:
    """Whether all combinations of levels have the same number of trials, and none is missing."""
    if not codes:
        return bool(there.all())
    count = np.unique(np.stack(codes), axis=1, return_counts=True)[1]
    possible = math.prod(_freedom(code) + 1 for code in codes)
    return bool(there.all()) and len(count) == possible and bool((count == count[0]).all())
