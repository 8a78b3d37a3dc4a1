"""Errors against the number of training rows, and where they lead."""

import textwrap
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from secchi.figures.style import FONT, MISS, SERIES

_NOTE = 84
"""Characters of a note in one line."""

Array = NDArray[np.float64]


class Law(NamedTuple):
    """A line with its interval, each (points,); NaN ends draw none.

    Attributes:
        sizes: Where it is known.
        error: The line.
        low: The lower ends of the interval.
        high: The upper ends.
        largest: From here on it is a forecast; the line may end there.
    """

    sizes: Array
    error: Array
    low: Array
    high: Array
    largest: float


def learning_curve(
    sizes: NDArray[np.int64],
    each: Array,
    points: tuple[Array, Array, Array],
    law: Law,
    names: tuple[str, str],
    note: str,
    cut_short: int = 0,
) -> Figure:
    """Mean errors with their intervals, those of each repeat, and the law that they follow.

    Args:
        sizes: Numbers of rows, (sizes,).
        each: Errors, (sizes, repeats).
        points: Means, lower and upper ends, each (sizes,); NaN ends draw none.
        law: What they follow; solid as far as was measured, and dashed beyond.
        names: What sizes and errors are, with the unit.
        note: Stands above, in one line or several.
        cut_short: At how many sizes, from the first on, training ended too early; they are open.

    >>> ends = (np.ones(2), np.zeros(2), np.full(2, 2.0))
    >>> law = Law(np.array([1.0, 2.0, 4.0]), np.ones(3), np.zeros(3), np.ones(3), 2.0)
    >>> figure = learning_curve(np.array([1, 2]), np.ones((2, 3)), ends, law, ("rows", "error"), "")
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['each repeat', 'power law, 95 % interval', 'forecast', 'largest size measured', \
'mean, 95 % interval']
    """
    figure = Figure(figsize=(6.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    every = np.repeat(sizes, each.shape[1])
    axes.plot(every, each.ravel(), ".", color="black", alpha=0.2, label="each repeat")
    mean, low, high = points
    reach = np.nan_to_num(np.stack([mean - low, high - mean]))
    has_ends = bool(np.isfinite(low).any())
    interval = ", 95 % interval" if has_ends else ""
    for part, fill, end in (
        (slice(0, cut_short), "white", "; loss still falling"),
        (slice(cut_short, None), SERIES[0], ""),
    ):
        if len(sizes[part]):
            axes.errorbar(
                sizes[part],
                mean[part],
                reach[:, part],
                fmt="o",
                color=SERIES[0],
                markerfacecolor=fill,
                capsize=3,
                label=f"mean{interval}{end}",
            )
    for here, line, label in (
        (law.sizes <= law.largest, "-", f"power law{interval}"),
        (law.sizes >= law.largest, "--", "forecast"),
    ):
        if here.sum() > 1:
            axes.plot(law.sizes[here], law.error[here], line, color=MISS, label=label)
    if has_ends:
        axes.fill_between(law.sizes, law.low, law.high, color=MISS, alpha=0.15, linewidth=0)
    axes.axvline(
        law.largest, color="black", linewidth=0.8, linestyle=":", label="largest size measured"
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0 if float(np.nanmin(each)) >= 0 else None)
    axes.set_xlabel(names[0], fontsize=FONT)
    axes.set_ylabel(names[1], fontsize=FONT)
    lines = [textwrap.fill(line, _NOTE) for line in note.splitlines()]
    axes.set_title("\n".join(lines), fontsize=FONT - 1, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=FONT - 1)
    return figure
