"""How well several methods do on the same rows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from secchi.figures.style import FONT, MISS, SERIES


def score_intervals(
    names: Sequence[str],
    scores: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    marked: Sequence[bool],
    metric: str,
) -> Figure:
    """The score of every method with its interval, one below the other.

    Args:
        names: What the methods are, from the top down.
        scores: Their scores.
        lows: The lower end of each interval; not a number draws none.
        highs: Its upper end.
        marked: Which to mark: a square of another colour, and a line through all others.
        metric: What the scores are.

    >>> figure = score_intervals(["mean", "network"], [0, 0.5], [0, 0.4], [0, 0.6], [0, 1], "r2")
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['mean', 'network']
    """
    figure = Figure(figsize=(6.8, 1.2 + 0.42 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, (score, low, high, mark) in enumerate(zip(scores, lows, highs, marked, strict=True)):
        color, shape = (MISS, "s") if mark else (SERIES[0], "o")
        axes.plot([low, high], [place, place], color=color, linewidth=2.5, alpha=0.6)
        axes.plot(score, place, color=color, marker=shape, markersize=8)
        axes.annotate(
            f"{score:.3f}", (score, place), (0, 7), textcoords="offset points", ha="center"
        )
        if mark:
            axes.axvline(score, color=color, linewidth=1, linestyle=":")
    axes.set_yticks(np.arange(len(names)), names, fontsize=FONT, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.8)
    axes.set_xlabel(f"{metric} on the validation rows, with 95 % intervals", fontsize=FONT)
    axes.grid(alpha=0.3, axis="x")
    return figure
