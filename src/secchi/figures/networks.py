"""The picture of a network: columns of units and their connections."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME, SERIES

_MOST = 12
"""Units of a column, and columns of a figure, that are drawn one by one."""

_ENDS = 4
"""Of more, how many of the first and of the last are drawn; dots stand for those between."""

_DOTS = 3
"""How many dots, each in the place of a unit."""

_APART = 1.15
"""From one column to the next, in inches, as everything here."""

_SLOT = 0.3
"""From one unit of a column to the next."""

_LINE = 0.19
"""From one line of text to the next."""

_UNIT = 150
"""The area of a unit, in square points."""


def draw_network(layers: Sequence[tuple[str, int, str]]) -> Figure:
    r"""Columns of circles, a column for each layer, every circle connected with the next column's.

    Of more than twelve units, or layers, the first and the last four are drawn, and dots for those
    between; how many units there are stands over each column.

    Args:
        layers: Name, number of units, and a note of some lines, from the inputs to the outputs.

    >>> figure = draw_network([("inputs", 4, ""), ("hidden 1", 100, "relu"), ("outputs", 3, "")])
    >>> [text.get_text() for text in figure.axes[0].texts if "hidden" in text.get_text()]
    ['hidden 1\n100']
    """
    shown = _shown(len(layers))
    columns = [_places(layers[number][1]) if number is not None else None for number in shown]
    half = max(np.abs(c).max() for c in columns if c is not None) + _SLOT
    notes = max(len(note.split("\n")) for _, _, note in layers) * _LINE
    width, height = _APART * len(shown), 2 * half + 2.5 * _LINE + notes
    figure = Figure(figsize=(width, height))
    # Filling the figure, so that one on the axes is one inch.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(-half - notes, height - half - notes))
    axes.set_axis_off()
    for place, (number, column) in enumerate(zip(shown, columns, strict=True)):
        x = _APART * (place + 0.5)
        if number is None or column is None:
            _dots(axes, x + _SLOT * _centred(_DOTS), np.zeros(_DOTS))
            _text(axes, x, half, f"{len(layers) - 2 * _ENDS}\nlayers", "bottom")
            continue
        name, units, note = layers[number]
        color = SERIES[2] if number == 0 else SERIES[1 if number == len(layers) - 1 else 0]
        axes.scatter(np.full(len(column), x), column, s=_UNIT, color=color, zorder=2)
        if units > len(column):
            _dots(axes, np.full(_DOTS, x), _SLOT * _centred(_DOTS))
        after = columns[place + 1] if place + 1 < len(columns) else None
        if after is not None:
            _connect(axes, (x, column), (x + _APART, after))
        _text(axes, x, half, f"{name}\n{units:,}", "bottom")
        _text(axes, x, -half, note, "top")
    return figure


def _shown(count: int) -> list[int | None]:
    """The numbers of what is drawn one by one; None is where dots stand for the others."""
    if count <= _MOST:
        return list(range(count))
    return [*range(_ENDS), None, *range(count - _ENDS, count)]


def _places(units: int) -> NDArray[np.float64]:
    """How high the units of a column that are drawn stand, from the first down."""
    shown = _shown(units)
    if None not in shown:
        return -_SLOT * _centred(units)
    slots = -_SLOT * _centred(2 * _ENDS + _DOTS)
    return np.concatenate([slots[:_ENDS], slots[-_ENDS:]])


def _centred(count: int) -> NDArray[np.float64]:
    """As many numbers, one apart, around 0."""
    return np.arange(count, dtype=np.float64) - (count - 1) / 2


def _connect(
    axes: Axes,
    left: tuple[float, NDArray[np.float64]],
    right: tuple[float, NDArray[np.float64]],
) -> None:
    """A line from every unit on the left to every one on the right."""
    lines = [[(left[0], here), (right[0], there)] for here in left[1] for there in right[1]]
    axes.add_collection(LineCollection(lines, colors=FRAME, linewidths=0.5, zorder=1))


def _dots(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    axes.scatter(x, y, s=8, color="black", zorder=2)


def _text(axes: Axes, x: float, y: float, text: str, side: str) -> None:
    axes.text(x, y, text, ha="center", va=side, fontsize=FONT - 1, parse_math=False)
