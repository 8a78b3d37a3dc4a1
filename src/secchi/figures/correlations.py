"""How strongly columns go together."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME, MISS, SERIES

_WITH_NUMBERS = 20
"""Columns up to which every correlation is written out."""

_NAMED = 60
"""Names that can be read along an axis."""

_FROM_MINUS_TO_PLUS = LinearSegmentedColormap.from_list("correlation", [SERIES[0], "white", MISS])


def correlation_matrix(
    names: Sequence[str], matrix: NDArray[np.floating[Any]], targets: Collection[str] = ()
) -> Figure:
    """Correlations as colours: blue below zero, white at zero, orange above.

    The numbers are written out for 20 columns or fewer. A correlation that is no number, as that of
    a column that never changes, is grey. Of more than 60 columns only some are named.

    Args:
        names: The columns.
        matrix: Their correlations, (columns, columns), from -1 to 1.
        targets: The columns that are predicted; their names are bold, and lines set their rows
            off.

    >>> figure = correlation_matrix(["alcohol", "quality"], np.eye(2), targets=["quality"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1.00', '0.00', '0.00', '1.00']
    """
    count = len(names)
    side = min(max(3.0, 0.52 * count), 11.0)
    figure = Figure(figsize=(side + 2.2, side + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(FRAME)
    image = axes.imshow(matrix, cmap=_FROM_MINUS_TO_PLUS, vmin=-1, vmax=1)
    shown = range(0, count, max(1, math.ceil(count / _NAMED)))
    labels = [names[place] for place in shown]
    size = FONT if count <= 30 else 6
    axes.set_xticks(shown, labels, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(shown, labels, fontsize=size, parse_math=False)
    if count <= _WITH_NUMBERS:
        _write(axes, np.asarray(matrix))
    for place, name in enumerate(names):
        if name in targets:
            for edge in (place - 0.5, place + 0.5):
                axes.axhline(edge, color="black", linewidth=2)
                axes.axvline(edge, color="black", linewidth=2)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        if label.get_text() in targets:
            label.set_fontweight("bold")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("correlation", fontsize=FONT)
    return figure


def _write(axes: Axes, matrix: NDArray[np.floating[Any]]) -> None:
    """Every correlation in its cell, white where the cell is dark."""
    for (row, column), value in np.ndenumerate(matrix):
        dark = abs(value) > 0.8
        text = f"{value:.2f}".replace("-0.00", "0.00") if np.isfinite(value) else "none"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=FONT - 2,
            color="white" if dark else "black",
        )
