"""The answers of a model over the plane of two features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from secchi.figures.style import FONT, MARKS, SERIES

_FAINT, _DEEP = 0.12, 0.5
"""How much of its colour a region has where all classes are alike, and where one is certain."""

_CROWD = 600
"""More rows than this are drawn small."""

Array = NDArray[Any]
Grid = tuple[Array, Array, Array]
"""Places across (n,), places up (m,), and the answers there: (m, n, classes) or (m, n)."""


def class_regions(
    names: tuple[str, str],
    classes: Sequence[str],
    grid: Grid,
    rows: tuple[Array, Array, Array],
) -> Figure:
    """The likeliest class as the colour of every place, and the rows with a mark for each class.

    Args:
        names: The two features.
        classes: The names of the classes.
        grid: Probabilities over the plane.
        rows: Points (rows, 2), their classes by number, and which are misses: those get a ring.

    >>> half = np.full((2, 2, 2), 0.5)
    >>> rows = np.array([[0.0, 1.0]]), np.array([1]), np.array([False])
    >>> figure = class_regions(("x", "y"), ["no", "yes"], (np.arange(2), np.arange(2), half), rows)
    >>> figure.axes[0].get_xlabel()
    'x'
    """
    across, up, shares = grid
    points, labels, missed = rows
    figure, axes = _plane(names)
    axes.imshow(
        _blended(shares), extent=_extent(across, up), origin="lower", aspect="auto", zorder=0
    )
    for number in range(len(classes)):
        ahead = shares[..., number] - np.delete(shares, number, axis=2).max(axis=2, initial=0)
        if ahead.min() < 0 < ahead.max():
            axes.contour(across, up, ahead, levels=[0], colors="black", linewidths=1.2)
    size = 26 if len(points) <= _CROWD else 9
    handles = []
    for number, name in enumerate(classes):
        color, mark = _look(number)
        x, y = points[labels == number].T
        axes.scatter(x, y, s=size, c=color, marker=mark, edgecolors="white", linewidths=0.5)
        handles.append(
            Line2D([], [], color=color, marker=mark, linestyle="", markeredgecolor="white")
        )
        handles[-1].set_label(name)
    if missed.any():
        x, y = points[missed].T
        axes.scatter(x, y, s=4 * size, edgecolors="black", facecolors="none", linewidths=1.1)
        ring = Line2D([], [], color="black", marker="o", linestyle="", markerfacecolor="none")
        ring.set(markersize=10, label=f"miss ({missed.sum():,} of {len(points):,})")
        handles.append(ring)
    edge = "p = 0.5" if len(classes) == 2 else "two classes alike"
    handles.append(Line2D([], [], color="black", linewidth=1.2, label=edge))
    legend = figure.legend(handles=handles, loc="outside right upper", fontsize=FONT - 1)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def number_field(names: tuple[str, str], grid: Grid, rows: tuple[Array, Array]) -> Figure:
    """A number as the colour of every place, and the rows in the colours of the truth.

    Args:
        names: The two features.
        grid: The answers over the plane.
        rows: Points (rows, 2) and their numbers.

    >>> rows = np.array([[0.0, 1.0]]), np.array([3.0])
    >>> number_field(("x", "y"), (np.arange(2), np.arange(2), np.eye(2)), rows).axes[0].get_ylabel()
    'y'
    """
    across, up, values = grid
    points, labels = rows
    figure, axes = _plane(names)
    low, high = min(values.min(), labels.min()), max(values.max(), labels.max())
    image = axes.imshow(
        values,
        extent=_extent(across, up),
        origin="lower",
        aspect="auto",
        zorder=0,
        vmin=low,
        vmax=high,
        cmap="cividis",
    )
    if values.min() < values.max():
        axes.contour(across, up, values, levels=6, colors="white", linewidths=0.7)
    size = 30 if len(points) <= _CROWD else 10
    x, y = points.T
    colors = image.cmap(image.norm(labels))
    axes.scatter(x, y, c=colors, s=size, edgecolors="white", linewidths=0.7)
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("plane: the answer; dots: the truth", fontsize=FONT)
    return figure


def _plane(names: tuple[str, str]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(names[0], fontsize=FONT, parse_math=False)
    axes.set_ylabel(names[1], fontsize=FONT, parse_math=False)
    return figure, axes


def _look(number: int) -> tuple[str, str]:
    """A colour and a mark for each class; beyond six both go on, out of step."""
    return SERIES[number % len(SERIES)], MARKS[(number + number // len(SERIES)) % len(MARKS)]


def _blended(shares: Array) -> Array:
    """Colours (m, n, 3): that of the likeliest class, thinned with white where it is unsure."""
    classes = shares.shape[2]
    sure = (shares.max(axis=2) - 1 / classes) / max(1 - 1 / classes, 1e-9)
    depth = (_FAINT + (_DEEP - _FAINT) * np.clip(sure, 0, 1))[..., None]
    colors = np.array([to_rgb(_look(number)[0]) for number in range(classes)])
    blended: Array = 1 - depth * (1 - colors[shares.argmax(axis=2)])
    return blended


def _extent(across: Array, up: Array) -> tuple[float, float, float, float]:
    """The edges of an image whose pixels are centred on the places."""
    (left, right), (low, high) = (
        (places[0] - step / 2, places[-1] + step / 2)
        for places, step in ((across, across[1] - across[0]), (up, up[1] - up[0]))
    )
    return float(left), float(right), float(low), float(high)
