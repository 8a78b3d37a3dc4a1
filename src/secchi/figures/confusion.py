"""A confusion matrix: hits and misses in colours of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME

_SHARES = 12
"""Up to so many classes a cell has its share below its count, of more the count alone."""

_COUNTS = 45
"""Of more classes a cell has no text."""

_SIDE = 10.0
"""The widest matrix, in inches."""


def confusion_matrix(
    classes: Sequence[str], matrix: NDArray[np.float64], target: str = "class"
) -> Figure:
    r"""True classes down, predicted ones across; each row coloured by its shares.

    Hits are blue and misses orange, and what never happens is white. The orange grows with the
    square root of the share, so that few misses among many rows are seen; of many classes with the
    share itself, up to the largest there is, so that the frequent ones stand out.

    Args:
        classes: Their names.
        matrix: Rows, or what they weigh, (classes, classes).
        target: What the classes are of.

    >>> figure = confusion_matrix(["cat", "dog"], np.array([[8.0, 2.0], [0.0, 5.0]]))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['8\n80 %', '2\n20 %', '5\n100 %']
    """
    count = len(classes)
    cell = float(np.clip(_SIDE / max(count, 1), 0.1, 1.0 if count < 5 else 0.7))
    side = min(_SIDE, max(cell * count, 1.8))
    figure = Figure(figsize=(side + 2.4, side + 1.6), layout="constrained")
    axes = figure.add_subplot()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    hit = np.eye(count, dtype=bool)
    few = count <= _SHARES
    orange = PowerNorm(0.5, 0, 1) if few else Normalize(0, max(float(shares[~hit].max()), 0.05))
    norms = {"hits": Normalize(0, 1), "misses": orange}
    for name, drawn_here, colors in (("hits", hit, "Blues"), ("misses", ~hit, "Oranges")):
        hidden = ~drawn_here | (matrix == 0)
        drawn = axes.imshow(np.ma.array(shares, mask=hidden), cmap=colors, norm=norms[name])
        if not few:
            bar = figure.colorbar(drawn, ax=axes, shrink=0.5, pad=0.01, aspect=25)
            bar.set_label(f"{name}, share of the true class", fontsize=FONT - 1)
    if count <= _COUNTS:
        _write(axes, matrix, shares, norms, cell * 72)
    _name(axes, classes, cell * 72)
    axes.set_ylabel(f"true {target}", fontsize=FONT, parse_math=False)
    axes.set_xlabel(f"predicted {target}", fontsize=FONT, parse_math=False)
    return figure


def _write(
    axes: Axes, matrix: NDArray[Any], shares: NDArray[Any], norms: dict[str, Normalize], room: float
) -> None:
    """A count in every cell that has one; ``room`` is the side of a cell in points."""
    with_share = len(matrix) <= _SHARES
    longest = max((len(_amount(value)) for value in matrix.ravel()), default=1)
    size = min(FONT, room / (4.2 if with_share else 1.6), room / (0.65 * max(longest, 2)))
    for i, j in zip(*np.nonzero(matrix), strict=True):
        text = _amount(matrix[i, j])
        if with_share:
            text += f"\n{_percent(shares[i, j])}"
        dark = norms["hits" if i == j else "misses"](shares[i, j]) > 0.6
        color = "white" if dark else "black"
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color=color)


def _name(axes: Axes, classes: Sequence[str], room: float) -> None:
    names = [name if len(name) <= 24 else name[:23] + "…" for name in classes]
    size = float(np.clip(room * 0.75, 4.5, FONT))
    upright = max(map(len, names), default=0) * size * 0.6 < room
    places = np.arange(len(names))
    axes.set_yticks(places, names, fontsize=size, parse_math=False)
    rotation = 0 if upright else 90
    axes.set_xticks(places, names, fontsize=size, rotation=rotation, parse_math=False)
    axes.tick_params(length=0)
    if len(names) <= _COUNTS:
        edges = places[1:] - 0.5
        axes.hlines(edges, -0.5, len(names) - 0.5, color=FRAME, linewidth=0.4)
        axes.vlines(edges, -0.5, len(names) - 0.5, color=FRAME, linewidth=0.4)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"


def _percent(share: float) -> str:
    """In whole percent, but neither none nor all where that is not so."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
