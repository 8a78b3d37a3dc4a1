"""The records of an experiment as the arrays that figures draw."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.errors import DataError
from secchi.experiments.reading.measures import (
    all_numbers,
    measure_range,
    measure_text,
    setting_text,
    value_text,
)
from secchi.experiments.settings import canonical
from secchi.intervals import LEVEL
from secchi.values import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from secchi.experiments.reading.curves import MeanCurves
    from secchi.experiments.reading.effects import Effects
    from secchi.experiments.reading.failures import Failures
    from secchi.experiments.reading.means import Means
    from secchi.experiments.reading.ranking import Ranking
    from secchi.figures.lines import Line

_INTERVAL = f"{100 * LEVEL:g} % intervals over repeats"

_SHADED = 8
"""The intervals of more lines than these would hide each other."""


def means_figure(means: "Means") -> "Figure":
    """Means against the first factor, a line for each value of the others."""
    from secchi.figures.factors import factor_means

    values, lines = _lines(means, means.mean, means.low, means.high)
    lines, intervals = _readable(lines, _INTERVAL)
    smoothed = f"smoothed over {means.smooth} values of {means.by[0]}" if means.smooth > 1 else ""
    return factor_means(
        values,
        lines,
        _first(means.by),
        measure_text(means.measure),
        _rest(means.by),
        _note(smoothed, intervals, means.remark),
    )


def failures_figure(failures: "Failures") -> "Figure":
    """The share that failed against the first factor."""
    from secchi.figures.factors import factor_shares

    values, lines = _lines(failures, failures.share, failures.low, failures.high)
    lines, intervals = _readable(
        [line._replace(failed=None) for line in lines], f"{100 * LEVEL:g} % intervals"
    )
    return factor_shares(
        values,
        lines,
        _first(failures.by),
        "share of trials that failed",
        _rest(failures.by),
        intervals,
    )


def heatmap_figure(means: "Means") -> "Figure":
    """Means over two factors: a map, or points where no more than half of it would be filled.

    Always a map where neither factor is of numbers: points of words stand as cells do.
    """
    from secchi.figures.experiments import factor_grid, factor_points

    if len(means.by) != 2:
        raise DataError(
            f"a heat map is of two factors, and these means are by {len(means.by)}; name two"
        )
    factors, measure = (means.by[0], means.by[1]), measure_text(means.measure)
    rows, columns = ([group[name] for group in means.groups] for name in factors)
    share = means.failed / means.runs
    if 2 * len(rows) <= means.combinations and (all_numbers(rows) or all_numbers(columns)):
        note = f"{len(rows):,} of {means.combinations:,} pairs were tried, each a point"
        at = _placed(rows), _placed(columns)
        return factor_points(at, means.mean, share, factors, measure, note)
    sides = _distinct(rows), _distinct(columns)
    values = np.full([len(side) for side in sides], np.nan)
    failed = np.full_like(values, np.nan)
    places = [sides[0].index(row) for row in rows], [sides[1].index(column) for column in columns]
    values[places], failed[places] = means.mean, share
    return factor_grid(values, failed, (_ticks(sides[0]), _ticks(sides[1])), factors, measure)


def _ticks(values: list[Any]) -> list[str]:
    """Values as ticks: three digits of a number, as far as that tells them apart."""
    short = [f"{value:.3g}" if is_number(value) else value_text(value) for value in values]
    return short if len(set(short)) == len(values) else [value_text(value) for value in values]


def curves_figure(curves: "MeanCurves") -> "Figure":
    """A curve with its interval for each group."""
    from secchi.figures.factors import factor_curves
    from secchi.figures.lines import Line

    lines = []
    for g, group in enumerate(curves.groups):
        share = curves.failed[g] / curves.runs[g]
        failed = f" ({share:.0%} failed)" if share else ""
        name = _label(group) + failed
        lines.append(
            Line(
                name,
                curves.mean[g],
                curves.low[g],
                curves.high[g],
                np.full(curves.mean.shape[1], share),
                curves.whole[g],
                _number_of(group),
            )
        )
    lines, intervals = _readable(lines, _INTERVAL)
    smoothed = f"smoothed over {curves.smooth} epochs" if curves.smooth > 1 else ""
    note = _note(smoothed, intervals, curves.remark)
    cut = math.isinf(measure_range(curves.measure)[0])
    return factor_curves(lines, measure_text(curves.measure), ", ".join(curves.by), note, cut)


def ranking_figure(ranking: "Ranking", count: int) -> "Figure":
    """The first settings with their intervals."""
    from secchi.figures.experiments import ranked_intervals

    shown = ranking.settings[:count]
    low = np.array([one.low for one in shown])
    filled = "filled: cannot be told from the first" if ranking.ties else ""
    if not ranking.compared and len(ranking.settings) > 1:
        filled = "nothing can be said about noise"
    return ranked_intervals(
        [one.name + (f" ({one.failed:,} failed)" if one.failed else "") for one in shown],
        np.array([one.mean for one in shown]),
        low,
        np.array([one.high for one in shown]),
        [one.tied for one in shown],
        measure_text(ranking.measure),
        _note(_INTERVAL if np.isfinite(low).any() else "", filled),
    )


def effects_figure(effects: "Effects") -> "Figure":
    """The share of every effect."""
    from secchi.figures.experiments import effect_bars

    return effect_bars(
        {one.name: one.share for one in effects.effects},
        [one.beyond_noise for one in effects.effects],
        {"repeat": effects.repeat, "the rest": effects.rest},
        measure_text(effects.measure),
    )


def _lines(
    record: "Means | Failures",
    mean: "NDArray[Any]",
    low: "NDArray[Any]",
    high: "NDArray[Any]",
) -> "tuple[Sequence[float] | Sequence[str], list[Line]]":
    """The values of the first factor, and a line for each value of the others."""
    from secchi.figures.lines import Line

    name = _first(record.by)
    at = _distinct([group.get(name) for group in record.groups])
    others = [{k: v for k, v in group.items() if k != name} for group in record.groups]
    lines = []
    for other in _distinct(others):
        numbers = np.full((4, len(at)), np.nan)
        for g, group in enumerate(record.groups):
            if others[g] == other:
                failed = record.failed[g] / record.runs[g]
                numbers[:, at.index(group.get(name))] = mean[g], low[g], high[g], failed
        mean_, low_, high_, failed_ = numbers
        lines.append(Line(_label(other), mean_, low_, high_, failed_, None, _number_of(other)))
    return _placed(at), lines


def _readable(lines: "list[Line]", intervals: str) -> "tuple[list[Line], str]":
    """Lines as they can be read beside each other, and what is said of their intervals.

    Args:
        lines: As they are.
        intervals: What is said where they are drawn.
    """
    if not any(np.isfinite(line.low).any() for line in lines):
        return lines, ""
    if len(lines) <= _SHADED:
        return lines, intervals
    nothing = np.full_like(lines[0].mean, np.nan)
    bare = [line._replace(low=nothing, high=nothing) for line in lines]
    return bare, f"{len(lines):,} lines, drawn without their intervals"


def _note(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _placed(values: list[Any]) -> "list[float] | list[str]":
    """Values as an axis takes them: numbers, or the words for them."""
    return values if all_numbers(values) else [value_text(value) for value in values]


def _distinct(values: list[Any]) -> list[Any]:
    """Each value once: numbers by their size, others in the order in which they first appear."""
    once = list({canonical(value): value for value in values}.values())
    return sorted(once) if all_numbers(once) else once


def _first(by: tuple[str, ...]) -> str:
    return by[0] if by else "all trials"


def _rest(by: tuple[str, ...]) -> str:
    return ", ".join(by[1:])


def _label(group: Mapping[str, Any]) -> str:
    """A group in a legend of which the title names the factor."""
    if not group:
        return "all trials"
    if len(group) > 1:
        return setting_text(group)
    return value_text(next(iter(group.values())))


def _number_of(group: Mapping[str, Any]) -> float | None:
    """What a colour stands for, where the group is one number."""
    values = list(group.values())
    return float(values[0]) if len(values) == 1 and all_numbers(values) else None
