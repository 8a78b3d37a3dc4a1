"""A search for a learning rate: loss and metric against the rate, and the rate itself."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secchi.figures.style import FONT, FRAME, SERIES


def rate_search(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    valid: tuple[Sequence[float], Sequence[float], Sequence[float]],
    metric: str,
    marks: Mapping[str, float],
) -> Figure:
    """The loss against the rate on the left, a metric on the right, suggested rates marked.

    Args:
        rates: The learning rate of each step.
        losses: The training loss of each step.
        smoothed: The same, smoothed.
        valid: Rates, losses and values of the metric on the validation rows.
        metric: What the metric is called.
        marks: Suggested rates by the name of their rule; the first one is marked most.
    """
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    left.plot(rates, losses, color=FRAME, linewidth=1, label="training, each batch")
    left.plot(rates, smoothed, color=SERIES[0], linewidth=2, label="training, smoothed")
    if len(valid[0]):
        left.plot(
            valid[0], valid[1], color=SERIES[2], linewidth=1.5, dashes=(4, 1.5), label="validation"
        )
        right.plot(valid[0], valid[2], color=SERIES[2], linewidth=1.5, label="validation")
    left.set_ylabel("loss", fontsize=FONT)
    right.set_ylabel(f"{metric} on validation rows", fontsize=FONT)
    _limit(left, [smoothed, valid[1]])
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("learning rate", fontsize=FONT)
        axes.grid(alpha=0.3)
        _mark(axes, marks)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=FONT - 1)
    return figure


def rate_ramp(rates: Sequence[float]) -> Figure:
    """The rate of each step of a search, on a logarithmic axis.

    >>> rate_ramp([1e-3, 1e-2]).axes[0].get_xlabel()
    'step'
    """
    figure = Figure(figsize=(4.5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(len(rates)), rates, color=SERIES[0], linewidth=2)
    axes.set_yscale("log")
    axes.set_xlabel("step", fontsize=FONT)
    axes.set_ylabel("learning rate", fontsize=FONT)
    axes.grid(alpha=0.3)
    return figure


def _mark(axes: Axes, marks: Mapping[str, float]) -> None:
    for number, (name, rate) in enumerate(marks.items()):
        first = number == 0
        label = f"suggested: {rate:.1e}" if first else name.replace("_", " ")
        axes.axvline(
            rate,
            color=SERIES[1] if first else SERIES[3],
            linewidth=2 if first else 1,
            linestyle=("-", ":", "--", "-.")[number % 4],
            label=label,
        )


def _limit(axes: Axes, curves: Sequence[Sequence[float]]) -> None:
    """Leave out what shoots up at the end, which would flatten everything else."""
    finite = [[value for value in curve if np.isfinite(value)] for curve in curves]
    finite = [curve for curve in finite if curve]
    if finite:
        low = min(min(curve) for curve in finite)
        start = max(max(curve[: max(1, len(curve) // 10)]) for curve in finite)
        room = max(start - low, 1e-3)
        axes.set_ylim(max(0.0, low - 0.1 * room) if low >= 0 else low, start + 0.6 * room)
