"""What was said of the rows of a table, beside what is true."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME, MISS, SERIES

_CLOUD = 20000
"""More dots than these are drawn as a density."""

_DOT: dict[str, Any] = {
    "marker": "o",
    "markersize": 4,
    "markeredgewidth": 0,
    "linestyle": "none",
    "color": SERIES[0],
}

Array = NDArray[Any]


def class_dots(
    classes: Sequence[str],
    truth: Array | None,
    likeliest: Array,
    sure: Array,
    second: Array | None = None,
    title: str = "",
) -> Figure:
    """A dot a row: across by its true class, and in that by its place; up by what was said.

    Of two classes, up is the probability of the second. Of more, every class has a lane, in which
    a row stands the higher the surer its class; hits are on the diagonal.

    Args:
        classes: Their names.
        truth: The true class of each row by number, (rows,); None where it is not known, and then
            rows stand in their order.
        likeliest: The predicted class, (rows,).
        sure: Its probability, (rows,).
        second: Of two classes the probability of the second, (rows,).
        title: What stands above.
    """
    missed = np.zeros(len(likeliest), dtype=bool) if truth is None else truth != likeliest
    columns = len(classes) if truth is not None else 1
    lanes = 2 if second is not None else len(classes)
    wide, high = float(np.clip(0.8 * columns, 6.0, 12.0)), float(np.clip(0.6 * lanes, 3.6, 12.0))
    below = [] if truth is None else _columns(classes, truth, missed)
    upright = _widest(below) < 0.8 * wide / columns
    figure = Figure(
        figsize=(wide, high if upright else high + _widest(below)), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=FONT)
    up = second if second is not None else likeliest + 0.1 + 0.8 * sure
    across = _spread(np.zeros(len(up), dtype=int) if truth is None else truth)
    faint = float(np.clip(600 / max(len(up), 1), 0.25, 0.9))
    axes.plot(across[~missed], up[~missed], alpha=faint, **_DOT)
    many = int(missed.sum())
    cross: dict[str, Any] = {"marker": "x", "markersize": 6 if many < 300 else 4}
    cross |= {"markeredgewidth": 1.4, "alpha": float(np.clip(300 / max(many, 1), 0.35, 1))}
    axes.plot(across[missed], up[missed], color=MISS, linestyle="none", **cross)
    if second is not None:
        _probability(axes, classes[1])
    else:
        _lanes(axes, classes)
    if truth is None:
        axes.set_xticks([])
        axes.set_xlabel("rows in their order", fontsize=FONT)
    else:
        _name_columns(axes, below, upright)
    axes.set_xlim(0, columns)
    return figure


def prediction_against_truth(truth: Array, predicted: Array, name: str, title: str = "") -> Figure:
    """A dot a row, the truth across and the prediction up, with the line where they are equal.

    Args:
        truth: (rows,)
        predicted: (rows,)
        name: What they are.
        title: What stands above.

    >>> axes = prediction_against_truth(np.array([1.0, 2]), np.array([1.5, 2]), "price").axes[0]
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('true price', 'predicted price')
    """
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=FONT)
    _against_truth(axes, truth, predicted, np.empty(0, dtype=int), name)
    return figure


def residual_panels(
    truth: Array, predicted: Array, ringed: Array, name: str, title: str = ""
) -> Figure:
    """Prediction against truth on the left; truth less prediction against prediction on the right.

    Args:
        truth: (rows,)
        predicted: (rows,)
        ringed: The numbers of the rows to mark.
        name: What they are.
        title: What stands above.
    """
    figure = Figure(figsize=(9.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=FONT)
    _against_truth(left, truth, predicted, ringed, name)
    _dots(right, predicted, truth - predicted, ringed)
    right.axhline(0, color="black", linestyle=":", linewidth=1)
    right.set_xlabel(f"predicted {name}", fontsize=FONT, parse_math=False)
    right.set_ylabel("residual: truth less prediction", fontsize=FONT)
    return figure


def _against_truth(axes: Axes, truth: Array, predicted: Array, ringed: Array, name: str) -> None:
    _dots(axes, truth, predicted, ringed)
    both = np.concatenate([truth, predicted])
    ends = [both.min(), both.max()] if len(both) else [0, 1]
    axes.plot(ends, ends, color="black", linestyle=":", linewidth=1, label="equal")
    axes.set_xlabel(f"true {name}", fontsize=FONT, parse_math=False)
    axes.set_ylabel(f"predicted {name}", fontsize=FONT, parse_math=False)
    axes.legend(fontsize=FONT - 1, loc="upper left")


def _dots(axes: Axes, across: Array, up: Array, ringed: Array) -> None:
    if len(across) > _CLOUD:
        cloud = axes.hexbin(across, up, gridsize=60, bins="log", cmap="Blues", mincnt=1)
        axes.figure.colorbar(cloud, ax=axes, label="rows", shrink=0.6)
    else:
        faint = float(np.clip(400 / max(len(across), 1), 0.15, 0.8))
        axes.plot(across, up, alpha=faint, **_DOT)
    if len(ringed):
        ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markeredgewidth": 1.4}
        ring |= {"markerfacecolor": "none", "markeredgecolor": MISS, "linestyle": "none"}
        axes.plot(across[ringed], up[ringed], label=f"the {len(ringed)} furthest off", **ring)
    axes.grid(alpha=0.3)


def _spread(groups: Array) -> Array:
    """Where each row stands across: its group's column, and in it evenly, in order."""
    across = np.empty(len(groups))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        across[rows] = group + 0.04 + 0.92 * (np.arange(len(rows)) + 0.5) / len(rows)
    return across


def _probability(axes: Axes, name: str) -> None:
    axes.axhline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel(f"probability of {_short(name)}", fontsize=FONT, parse_math=False)


def _lanes(axes: Axes, classes: Sequence[str]) -> None:
    count = len(classes)
    axes.hlines(np.arange(count + 1), 0, count, color=FRAME, linewidth=0.8)
    names = [_short(name) for name in classes]
    axes.set_yticks(np.arange(count) + 0.5, names, fontsize=_small(count), parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(0, count)
    axes.set_ylabel("predicted class, higher if surer", fontsize=FONT)


def _columns(classes: Sequence[str], truth: Array, missed: Array) -> list[str]:
    """The classes, and how many of their rows are missed."""
    names = []
    for number, name in enumerate(classes):
        rows = truth == number
        names.append(f"{_short(name)}\n{int(missed[rows].sum()):,} of {int(rows.sum()):,}")
    return names


def _widest(names: Sequence[str]) -> float:
    """How wide the widest line of some names is, in inches, or a little less."""
    characters = max((len(line) for name in names for line in name.split("\n")), default=0)
    return characters * _small(len(names)) * 0.6 / 72


def _small(classes: int) -> float:
    """The size of the names of so many classes, in points."""
    return FONT - 1 if classes <= 20 else 6


def _name_columns(axes: Axes, names: Sequence[str], upright: bool) -> None:
    count = len(names)
    axes.vlines(np.arange(1, count), *axes.get_ylim(), color=FRAME, linewidth=0.8)
    rotation, places = 0 if upright else 90, np.arange(count) + 0.5
    axes.set_xticks(places, names, fontsize=_small(count), rotation=rotation, parse_math=False)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("true class; misses of its rows", fontsize=FONT)


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
