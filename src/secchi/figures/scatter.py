"""Points: classes in the plane, or a number against another."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, MARKS, SERIES


def class_scatter(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    codes: NDArray[np.int64],
    classes: Sequence[str],
    names: Sequence[str],
) -> Figure:
    """Points with a colour and a mark for each class, both axes in one scale.

    Args:
        x: Where each point is, of shape (points,).
        y: Likewise.
        codes: The number of each point's class.
        classes: What the classes are called.
        names: What x and y are called.
    """
    figure = Figure(figsize=(5.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for code, name in enumerate(classes):
        mine = codes == code
        # After every colour was used the marks move on by one, so that no two classes look alike.
        mark = MARKS[(code + code // len(SERIES)) % len(MARKS)]
        axes.plot(
            x[mine],
            y[mine],
            linestyle="none",
            marker=mark,
            markersize=4.5,
            color=SERIES[code % len(SERIES)],
            alpha=0.7,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=name,
        )
    axes.set_xlabel(names[0], fontsize=FONT)
    axes.set_ylabel(names[1], fontsize=FONT)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=FONT - 1)
    return figure


def value_scatter(x: NDArray[np.float64], y: NDArray[np.float64], names: Sequence[str]) -> Figure:
    """One number against another.

    Args:
        x: Of shape (points,).
        y: Likewise.
        names: What x and y are called.

    >>> value_scatter(np.zeros(2), np.ones(2), ("x", "y")).axes[0].get_ylabel()
    'y'
    """
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(x, y, linestyle="none", marker="o", markersize=4, color=SERIES[0], alpha=0.7)
    axes.set_xlabel(names[0], fontsize=FONT)
    axes.set_ylabel(names[1], fontsize=FONT)
    axes.grid(alpha=0.3)
    return figure
