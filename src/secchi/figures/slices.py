"""What goes wrong in the slices of a table."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from secchi.figures.style import FONT, FRAME, MISS, SERIES


def slice_bars(
    names: Sequence[str],
    means: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    marked: Sequence[bool],
    overall: float,
    measure: str,
) -> Figure:
    """The mean of every slice as a bar with its interval, and the mean of all rows as a line.

    Args:
        names: What the slices are called, from the top down.
        means: The length of each bar.
        lows: The lower end of each interval.
        highs: Its upper end.
        marked: Which bars are findings; they are dark and have a star before their names.
        overall: The mean of all rows.
        measure: What the means are of.

    >>> figure = slice_bars(["depth > 59"], [0.8], [0.6], [1.0], [True], 0.2, "error rate")
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['★ depth > 59']
    """
    figure = Figure(figsize=(7.5, 1.4 + 0.34 * max(1, len(names))), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(names))
    for place, mean, low, high, finding in zip(places, means, lows, highs, marked, strict=True):
        axes.barh(place, mean, height=0.7, color=MISS if finding else FRAME)
        axes.plot([low, high], [place, place], color="black", linewidth=1.5, marker="|")
    label = f"all rows: {overall:.3g}"
    axes.axvline(overall, color=SERIES[0], linewidth=2, dashes=(4, 1.5), label=label)
    shown = [f"★ {n}" if finding else n for n, finding in zip(names, marked, strict=True)]
    axes.set_yticks(places, shown, fontsize=FONT, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"mean {measure}, with 95 % intervals", fontsize=FONT)
    axes.grid(alpha=0.3, axis="x")
    title = "★ worse than chance would make it" if any(marked) else "no slice is beyond the noise"
    axes.set_title(title, fontsize=FONT)
    figure.legend(loc="outside lower right", fontsize=FONT - 1)
    return figure
