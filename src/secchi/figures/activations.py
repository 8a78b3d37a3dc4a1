"""Activations and their derivatives."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME, MARKS, SERIES

_COLUMNS = 5

Values = NDArray[np.float64]


def activation_panels(
    x: Values, names: Sequence[str], values: Values, derivatives: Values
) -> Figure:
    """Few activations in one panel and their derivatives beside it; many in a panel each.

    Args:
        x: What goes in, rising; (points,).
        names: The activations; up to six stand in one panel.
        values: What comes out, (activations, points).
        derivatives: The slopes, (activations, points).

    >>> x = np.linspace(-1, 1, 5)
    >>> figure = activation_panels(x, ["identity"], x[None], np.ones((1, 5)))
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['activation', 'derivative']
    """
    if len(names) > len(SERIES):
        return _a_panel_each(x, names, values, derivatives)
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for place, (label, curves) in enumerate((("activation", values), ("derivative", derivatives))):
        axes = figure.add_subplot(1, 2, place + 1)
        for number, (name, curve) in enumerate(zip(names, curves, strict=True)):
            # Marks at other places on every curve, where curves lie on each other.
            start, stride = len(x) * number // (10 * len(names)), max(1, len(x) // 10)
            axes.plot(
                x,
                curve,
                color=SERIES[number],
                marker=MARKS[number],
                markersize=4,
                markevery=(start, stride),
                label=name,
            )
        _finish(axes, x)
        axes.set_xlabel("input", fontsize=FONT)
        axes.set_ylabel(label, fontsize=FONT)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside right upper", fontsize=FONT - 1)
    return figure


def _a_panel_each(x: Values, names: Sequence[str], values: Values, derivatives: Values) -> Figure:
    rows = math.ceil(len(names) / _COLUMNS)
    figure = Figure(figsize=(10, 1.9 * rows + 0.5), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, _COLUMNS, place + 1)
        axes.plot(x, values[place], color=SERIES[0], linewidth=2, label="activation")
        axes.plot(
            x,
            derivatives[place],
            color=SERIES[1],
            linestyle="--",
            linewidth=1.5,
            label="derivative",
        )
        _finish(axes, x)
        axes.set_title(name, fontsize=FONT)
        if place + _COLUMNS >= len(names):
            axes.set_xlabel("input", fontsize=FONT)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2, fontsize=FONT)
    return figure


def _finish(axes: Axes, x: Values) -> None:
    axes.axhline(0, color=FRAME, linewidth=0.8, zorder=0)
    axes.axvline(0, color=FRAME, linewidth=0.8, zorder=0)
    axes.set_xlim(x[0], x[-1])
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=FONT - 2)
