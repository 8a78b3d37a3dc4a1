"""The learning rate and momentum of every layer group over a run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from secchi.figures.style import FONT, MARKS, line_colors

_LOG_FROM = 3.0
"""A log axis where one group's highest rate is more than this many times another's."""

_DEPTH = 100.0
"""How far below the lowest group's highest rate a log axis reaches at most: a schedule that ends
at almost nothing would otherwise take most of it."""

_MARKS = 8
"""Marks on a curve."""

_ALL = "every group"

Curves = Mapping[str, Sequence[float]]


def schedule_curves(
    epochs: Sequence[float], rates: Curves, momenta: Curves | None = None
) -> Figure:
    """The learning rate of every layer group, and beside it the momentum where it is given.

    Where every group has the same curve, it is drawn once. Names stand beside the panels; a
    single one stands above its own. The axis of the rates is logarithmic where one group's
    highest rate is more than three times another's. Marks stand at other places on every curve,
    so that those that lie on each other can be told apart.

    Args:
        epochs: Where each step stands, in epochs; (steps,).
        rates: Learning rates by group, in the order of the layers, each (steps,).
        momenta: Momenta of the same groups; None draws none.

    >>> figure = schedule_curves([0.0, 0.5], {"body": [1e-4, 5e-5], "head": [1e-2, 5e-3]})
    >>> [(axes.get_ylabel(), axes.get_yscale()) for axes in figure.axes]
    [('learning rate', 'log')]
    """
    panels = {"learning rate": _once(rates)} | ({"momentum": _once(momenta)} if momenta else {})
    most = max(len(curves) for curves in panels.values())
    size = (4.5 * len(panels) + 2.0 * (most > 1), max(3.4, 0.3 + 0.2 * most))
    figure = Figure(figsize=size, layout="constrained")
    for place, (label, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), place + 1)
        lines = _draw(axes, epochs, curves)
        names = [_named(name, values) for name, values in curves.items()]
        axes.set_ylabel(label, fontsize=FONT)
        if len(names) == 1:
            axes.set_title(names[0], fontsize=FONT, parse_math=False)
        elif names and not figure.legends:
            _explain(figure, lines, names)
    _scale(figure.axes[0], rates)
    return figure


def _once(curves: Curves) -> Curves:
    """One curve for all groups where theirs are the same."""
    first = next(iter(curves.values()), ())
    same = len(curves) > 1 and all(np.array_equal(first, each) for each in curves.values())
    return {_ALL: first} if same else curves


def _draw(axes: Axes, epochs: Sequence[float], curves: Curves) -> list[Line2D]:
    lines = []
    stride = max(1, len(epochs) // _MARKS)
    for number, (values, color) in enumerate(
        zip(curves.values(), line_colors(len(curves)), strict=True)
    ):
        first = number * stride // len(curves)
        mark = MARKS[number % len(MARKS)]
        where = (first, stride)
        lines += axes.plot(epochs, values, color=color, marker=mark, markersize=4, markevery=where)
    axes.set_xlabel("epoch", fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(alpha=0.3)
    return lines


def _named(name: str, values: Sequence[float]) -> str:
    """The group's name; one that is 0 throughout says so: a log axis cannot show it."""
    return name if np.any(values) or not len(values) else f"{name} (always 0)"


def _explain(figure: Figure, lines: list[Line2D], names: list[str]) -> None:
    """Name the curves beside the panels, where no name covers any of them."""
    legend = figure.legend(lines, names, loc="outside right upper", fontsize=FONT - 1)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _scale(axes: Axes, rates: Curves) -> None:
    """A log axis where the groups' highest rates lie far apart, down to where it matters."""
    highest = [high for each in rates.values() if (high := max(each, default=0.0)) > 0]
    if not highest or max(highest) <= _LOG_FROM * min(highest):
        return
    axes.set_yscale("log")
    lowest = min(value for each in rates.values() for value in each if value > 0)
    axes.set_ylim(bottom=max(lowest / 1.5, min(highest) / _DEPTH))
