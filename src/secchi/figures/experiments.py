"""An experiment as a whole: two factors, effects, settings in order, and a trial done again."""

import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from secchi.figures.factors import NOTE, Values, place_axis, places_of
from secchi.figures.style import FONT, FRAME, MISS, SERIES

_WRITTEN = 10
"""So many columns of a heat map have room for numbers in their cells."""

_TICKS = 14
"""Values along a side of a heat map."""

_NAME = 44
"""Characters of a setting's name in one line."""

_NOTE = 44
"""Characters of a note in one line above the intervals of settings."""

_LETTER = 0.08
"""Inches that a letter takes, about."""

Array = NDArray[np.float64]


def factor_grid(
    values: Array,
    failed: Array,
    sides: tuple[Sequence[str], Sequence[str]],
    factors: tuple[str, str],
    measure: str,
) -> Figure:
    """Means over two factors as a heat map; beside it the share that failed, where any did.

    Args:
        values: The means, (rows, columns), rows from the bottom up; NaN is grey.
        failed: The share of trials that failed, likewise; NaN, where there was no trial, is
            hatched.
        sides: The values of both factors, of the rows and of the columns.
        factors: What they are of.
        measure: What the means are of.

    >>> grid = np.array([[0.5, 0.6]])
    >>> figure = factor_grid(grid, 0 * grid, (["1"], ["2", "3"]), ("depth", "width"), "accuracy")
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('width', 'depth')
    """
    panels = _panels(values, failed, measure)
    height = min(max(2.8, 0.35 * len(sides[0]) + 1.4), 7.0)
    figure = Figure(figsize=(5.6 * len(panels), height), layout="constrained")
    untried = np.isnan(failed)
    notes = [f"hatched: no trial ({untried.sum():,} of {untried.size:,})"] if untried.any() else []
    notes += ["grey: no mean"] if (np.isnan(values) & ~untried).any() else []
    for place, (grid, name, colors) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        axes.set_facecolor(FRAME)
        axes.set_title("" if place else "; ".join(notes), fontsize=FONT - 1, loc="left")
        image = axes.imshow(grid, cmap=colors, origin="lower", aspect="auto")
        figure.colorbar(image, ax=axes).set_label(name, fontsize=FONT)
        _hatch(axes, untried)
        if grid.shape[1] <= _WRITTEN:
            _write(axes, grid)
        for axis, side, factor in zip((axes.yaxis, axes.xaxis), sides, factors, strict=True):
            step = -(-len(side) // _TICKS)
            axis.set_ticks(range(0, len(side), step), list(side[::step]), parse_math=False)
            axis.set_label_text(factor, fontsize=FONT, parse_math=False)
        if max(map(len, sides[1]), default=0) * min(len(sides[1]), _TICKS) > 50:
            axes.tick_params(axis="x", rotation=60)
    return figure


def factor_points(
    at: tuple[Values, Values],
    values: Array,
    failed: Array,
    factors: tuple[str, str],
    measure: str,
    note: str,
) -> Figure:
    """Means over two factors as coloured points, where a map would be mostly holes.

    Args:
        at: Where each point is, the values of both factors, from bottom to top and from left to
            right, (points,) each: numbers, or words, of which each is a strip.
        values: The means, (points,); NaN is a cross.
        failed: The share of trials that failed, (points,).
        factors: What they are of, in the same order.
        measure: What the means are of.
        note: Stands above.

    >>> at = np.array([0.1, 0.2]), np.array([4.0, 9.0])
    >>> figure = factor_points(at, np.ones(2), np.zeros(2), ("lr", "width"), "accuracy", "")
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('width', 'lr')
    """
    panels = _panels(values, failed, measure)
    heights, widths = (places_of(side) for side in at)
    figure = Figure(figsize=(5.6 * len(panels), 4.0), layout="constrained")
    for place, (numbers, name, colors) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        there = np.isfinite(numbers)
        points = axes.scatter(
            widths[there],
            heights[there],
            c=numbers[there],
            cmap=colors,
            s=60,
            edgecolor="black",
            linewidth=0.5,
        )
        figure.colorbar(points, ax=axes).set_label(name, fontsize=FONT)
        axes.plot(widths[~there], heights[~there], "x", color="black", markersize=6)
        for axis, side, factor in zip((axes.yaxis, axes.xaxis), at, factors, strict=True):
            axis.set_label_text(factor, fontsize=FONT, parse_math=False)
            place_axis(axis, side)
        cross = "; cross: no mean" if np.isnan(values).any() else ""
        axes.set_title("" if place else note + cross, fontsize=FONT - 1, loc="left")
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return figure


def effect_bars(
    shares: Mapping[str, float], marked: Sequence[bool], rest: Mapping[str, float], measure: str
) -> Figure:
    """The share of the variance that each effect makes, and what is left.

    Args:
        shares: Of each effect by its name, from the top down; between 0 and 1.
        marked: Which are beyond the noise; they are dark and have a star before their names.
        rest: Likewise of what is no effect of a factor.
        measure: The variance is of.

    >>> figure = effect_bars({"lr": 0.5}, [True], {"the rest": 0.5}, "accuracy")
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['★ lr', 'the rest']
    """
    names = [f"★ {name}" if mark else name for name, mark in zip(shares, marked, strict=True)]
    names += list(rest)
    figure = Figure(figsize=(6.6, 1.5 + 0.34 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    colors = [MISS if mark else FRAME for mark in marked] + ["white"] * len(rest)
    lengths = [100 * share for share in (*shares.values(), *rest.values())]
    axes.barh(np.arange(len(names)), lengths, height=0.7, color=colors, edgecolor="black")
    axes.set_yticks(np.arange(len(names)), names, fontsize=FONT, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"share of the variance of {measure}, %", fontsize=FONT)
    title = "★ more than chance would make it" if any(marked) else "no effect is beyond the noise"
    axes.set_title(title, fontsize=FONT)
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    return figure


def ranked_intervals(
    names: Sequence[str],
    means: Array,
    lows: Array,
    highs: Array,
    marked: Sequence[bool],
    measure: str,
    note: str,
) -> Figure:
    """The mean of every setting with its interval, from the first down.

    Args:
        names: What the settings are.
        means: Their means.
        lows: The lower ends of the intervals; NaN draws none.
        highs: The upper ends.
        marked: Which cannot be told from the first; they are filled, as it is.
        measure: What the means are of.
        note: Stands above.

    >>> ends = np.array([0.8]), np.array([0.7]), np.array([0.9])
    >>> ranked_intervals(["lr = 0.1"], *ends, [False], "accuracy", "").axes[0].get_xlabel()
    'accuracy'
    """
    lines = [_in_lines(name) for name in names]
    width = max(len(part) for text in lines for part in text.split("\n"))
    height = 0.17 * (1 + max(text.count("\n") + 1 for text in lines))
    size = 4.2 + _LETTER * width, 1.4 + height * len(names)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    for place, (mean, low, high, mark) in enumerate(zip(means, lows, highs, marked, strict=True)):
        color = SERIES[0] if mark or not place else "black"
        axes.plot([low, high], [place, place], color=color, linewidth=2, alpha=0.6)
        fill = color if mark or not place else "white"
        axes.plot(mean, place, "o", color=color, markerfacecolor=fill, markersize=7)
    axes.set_yticks(np.arange(len(names)), lines, fontsize=FONT, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(textwrap.fill(measure, _NOTE), fontsize=FONT)
    axes.set_title(textwrap.fill(note, _NOTE), fontsize=FONT - 1, loc="left")
    axes.grid(alpha=0.3, axis="x")
    return figure


def replayed_curves(
    kept: Mapping[str, Array], again: Mapping[str, Array], difference: str
) -> Figure:
    """The curves of a trial as they were kept, and those of the same trial done again.

    Args:
        kept: Curves by name, each (epochs,).
        again: The same ones, done again.
        difference: How far they differ, in words.

    >>> curves = {"training": np.array([1.0, 0.5])}
    >>> replayed_curves(curves, curves, "the same").axes[0].get_ylabel()
    'loss'
    """
    figure = Figure(figsize=(6.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), color in zip(kept.items(), SERIES, strict=False):
        axes.plot(values, color=color, linewidth=6, alpha=0.3, label=f"{name}, as kept")
        axes.plot(again[name], color=color, linewidth=1.5, label=f"{name}, done again")
    axes.set_xlabel("epoch", fontsize=FONT)
    axes.set_ylabel("loss", fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(textwrap.fill(difference, NOTE), fontsize=FONT - 1, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=FONT - 1)
    return figure


def _in_lines(name: str) -> str:
    """The name of a setting, cut into lines between its factors.

    >>> print(_in_lines("lr = 0.1, weight_decay = 0.01, hidden = [16, 16]"))
    lr = 0.1, weight_decay = 0.01,
    hidden = [16, 16]
    """
    # Spaces beside an equals sign and within a list are no places to cut at.
    kept = re.sub(r" (?==)|(?<==) | (?=[^\[]*\])", "\xa0", name)
    lines = textwrap.wrap(kept, _NAME, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\xa0", " ")


def _panels(values: Array, failed: Array, measure: str) -> list[tuple[Array, str, str]]:
    """What stands beside each other, its name and its colours: means, and failures if there are."""
    panels = [(values, measure, "viridis")]
    if np.nanmax(failed, initial=0.0) > 0:
        panels.append((failed, "share of trials that failed", "magma_r"))
    return panels


def _hatch(axes: Axes, cells: NDArray[np.bool_]) -> None:
    """Mark cells of a map as empty."""
    squares = [Rectangle((x - 0.5, y - 0.5), 1, 1) for y, x in np.argwhere(cells)]
    axes.add_collection(
        PatchCollection(squares, facecolor="white", edgecolor=FRAME, hatch="////", linewidth=0)
    )


def _write(axes: Axes, grid: Array) -> None:
    """The number of each cell, light on dark."""
    finite = grid[np.isfinite(grid)]
    if not len(finite):
        return
    low, high = float(finite.min()), float(finite.max())
    light = "magma" in axes.images[0].get_cmap().name  # whose low values are light
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            dark = (value - low) / (high - low or 1.0) < 0.6
            color = "white" if dark != light else "black"
            axes.text(
                column,
                row,
                f"{value:.3g}",
                ha="center",
                va="center",
                color=color,
                fontsize=FONT - 2,
            )
