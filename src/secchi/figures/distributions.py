"""How the values of many columns are distributed."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, MISS, SERIES

_COLUMNS = 4
_MOST = 40
"""Panels that are drawn; the columns after them are counted."""

_MOST_BINS = 40


def histograms(
    columns: Mapping[str, NDArray[Any]], outliers: Mapping[str, NDArray[np.bool_]] | None = None
) -> Figure:
    """A histogram of every column, with its outliers marked below it and counted.

    Values that are no finite number are left out and counted. Of more than 40 columns the first 40
    are drawn.

    Args:
        columns: Numbers by the name of their column, each (rows,).
        outliers: Which of them are outliers, by column, each (rows,); None marks nothing.

    >>> figure = histograms({"depth": np.array([1.0, 2.0, np.nan])})
    >>> figure.axes[0].get_title().splitlines()
    ['depth', '1 without a value']
    """
    drawn = dict(list(columns.items())[:_MOST])
    lines = max(1, math.ceil(len(drawn) / _COLUMNS))
    across = min(max(len(drawn), 1), _COLUMNS)
    figure = Figure(figsize=(max(2.6 * across, 4.5), 2.1 * lines + 0.5), layout="constrained")
    above = "rows by value" if outliers is None else "rows by value; ▲ is an outlier"
    if len(columns) > _MOST:
        above += f" ({_MOST} of {len(columns):,} columns)"
    figure.suptitle(above, fontsize=FONT)
    for place, (name, values) in enumerate(drawn.items()):
        axes = figure.add_subplot(lines, across, place + 1)
        numbers = np.asarray(values, dtype=np.float64)
        known = np.isfinite(numbers)
        apart = numbers[known & outliers[name]] if outliers else numbers[:0]
        _draw(axes, name, numbers[known], apart, int((~known).sum()))
    return figure


def _draw(
    axes: Axes,
    name: str,
    known: NDArray[np.float64],
    outliers: NDArray[np.float64],
    missing: int,
) -> None:
    axes.hist(known, bins=_bins(known), color=SERIES[0])
    # Below the axis, where no bar can hide them.
    axes.plot(
        outliers,
        np.full(len(outliers), -0.05),
        "^",
        color=MISS,
        markersize=5,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )
    said = [f"{len(outliers):,} outlier{'s' * (len(outliers) != 1)}"] if len(outliers) else []
    said += [f"{missing:,} without a value"] if missing else []
    title = "\n".join([name, ", ".join(said)]) if said else name
    axes.set_title(title, fontsize=FONT - 1, parse_math=False)
    axes.tick_params(labelsize=FONT - 2)
    axes.tick_params(axis="x", pad=7)
    axes.locator_params(axis="x", nbins=5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bins(numbers: NDArray[np.float64]) -> list[float]:
    """Edges by the rule of Freedman and Diaconis, 5 to 40 bins; one for each of a few values."""
    values = np.unique(numbers)
    if not len(values):
        return [0.0, 1.0]
    if len(values) == 1:
        return [values[0] - 0.5, values[0] + 0.5]
    if len(values) <= 12 and (values == np.round(values)).all() and np.ptp(values) < _MOST_BINS:
        return list(np.arange(values[0] - 0.5, values[-1] + 1))
    low, high = np.quantile(numbers, [0.25, 0.75])
    width = 2 * (high - low) / len(numbers) ** (1 / 3)
    count = math.ceil(np.ptp(values) / width) if width > 0 else _MOST_BINS
    return list(np.linspace(values[0], values[-1], min(max(count, 5), _MOST_BINS) + 1))
