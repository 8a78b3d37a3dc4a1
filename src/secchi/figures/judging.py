"""What probabilities are worth: ROC curves and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME, SERIES

_NAMED = 6
"""So many curves have a colour and a name; of more, those of the smallest area."""

_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))

Array = NDArray[Any]


def roc_curves(
    curves: Mapping[str, tuple[Array, Array]], areas: Sequence[float], target: str = "class"
) -> Figure:
    """The true positive rate against the false positive rate, a curve a class.

    Args:
        curves: Both rates by class, each (thresholds,): of false positives, then of true ones.
        areas: The area under each curve.
        target: What the classes are of.

    >>> figure = roc_curves({"dog": (np.array([0, 0, 1]), np.array([0, 1, 1]))}, [1.0])
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['dog, area 1.000', 'chance, area 0.5']
    """
    figure = Figure(figsize=(6.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    names, order = list(curves), np.argsort(np.asarray(areas), kind="stable")
    named = sorted(order[:_NAMED].tolist())
    others = order[_NAMED:].tolist()
    for place in others:
        (line,) = axes.plot(*curves[names[place]], color=FRAME, linewidth=0.8)
    if others:
        span = f"{areas[others[0]]:.3f} to {areas[others[-1]]:.3f}"
        line.set_label(f"{len(others)} others, area {span}")
    for number, place in enumerate(named):
        label = f"{_short(names[place])}, area {areas[place]:.3f}"
        color, style = SERIES[number], _STYLES[number]
        axes.plot(*curves[names[place]], label=label, color=color, linestyle=style, linewidth=2)
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="chance, area 0.5")
    axes.set_xlabel("false positive rate", fontsize=FONT)
    axes.set_ylabel("true positive rate", fontsize=FONT)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    _explain(figure, *axes.get_legend_handles_labels(), target)
    return figure


def calibration_curve(
    edges: Array, counts: Array, bins: tuple[Array, Array, Array], probability_of: str
) -> Figure:
    """What is true against what was said, with its interval; below, how many rows said so.

    Args:
        edges: The edges of the bins, (bins + 1,).
        counts: How many rows are in each, or what they weigh, (bins,).
        bins: The mean of what was said, (bins,), the share that is true, (bins,), and the ends of
            its interval, (bins, 2); NaN for a bin without rows.
        probability_of: The probability of what.

    >>> said, true = np.array([0.2, 0.9]), np.array([0.3, 0.9])
    >>> ends = np.array([[0.1, 0.5], [0.7, 1.0]])
    >>> edges, bins = np.array([0, 0.5, 1]), (said, true, ends)
    >>> figure = calibration_curve(edges, np.array([9, 9]), bins, "dog")
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['share that is true', 'rows']
    """
    said, true, ends = bins
    filled = ~np.isnan(said)
    said, true, ends = said[filled], true[filled], ends[filled]
    figure = Figure(figsize=(5.0, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="as it should be")
    reach = np.clip(np.stack([true - ends[:, 0], ends[:, 1] - true]), 0, None)
    above.errorbar(
        said,
        true,
        reach,
        color=SERIES[0],
        marker="o",
        markersize=5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2,
        label="as it is, 95 % interval",
    )
    above.set_ylabel("share that is true", fontsize=FONT)
    above.set_ylim(-0.03, 1.03)
    above.set_xlim(-0.02, 1.02)
    above.grid(alpha=0.3)
    above.legend(fontsize=FONT - 1, loc="upper left")
    below.bar(edges[:-1], counts, np.diff(edges), align="edge", color=SERIES[0], edgecolor="white")
    below.set_ylabel("rows", fontsize=FONT)
    below.set_xlabel(f"probability of {probability_of}", fontsize=FONT, parse_math=False)
    below.grid(alpha=0.3, axis="y")
    below.set_axisbelow(True)
    return figure


def _explain(figure: Figure, handles: list[Any], names: list[str], title: str) -> None:
    legend = figure.legend(
        handles, names, loc="outside right upper", fontsize=FONT - 1, title=title
    )
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
