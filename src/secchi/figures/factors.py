"""What a factor does: means with intervals against its values, or by epoch."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from secchi.figures.lines import Line, cut_of
from secchi.figures.style import FONT, MARKS, line_colors

_NAMED = 10
"""So many lines are named one by one; more have a bar of colours, where they are numbers."""

_TICKS = 20
"""Words below an axis."""

_VALUES = 8
"""So many values are the ticks of their axis."""

_MARKED = 30
"""Lines of so many points have a mark at each, if all in the figure do."""

_WIDE = 100.0
"""Means of which the largest is so many times the least stand on a logarithmic axis."""

_FAINT = 0.3
"""How strong a line is that goes far beyond a cut axis."""

NOTE = 66
"""Characters of a note in one line."""

Array = NDArray[np.float64]

Values = Sequence[float] | Sequence[str] | Array
"""Those of a factor: numbers, or words."""


def factor_means(
    values: Sequence[float] | Sequence[str],
    lines: Sequence[Line],
    factor: str,
    measure: str,
    colors: str = "",
    note: str = "",
) -> Figure:
    """Means with their intervals against a factor; below, the share that failed where any did.

    Args:
        values: Numbers, on an axis that is logarithmic where they are spaced so; or words, which
            stand beside each other as points.
        lines: One or more; each goes on over values at which it has no trial, and not over those
            where every trial failed.
        factor: What the values are of.
        measure: What the means are of, with its unit.
        colors: What the lines differ in.
        note: Stands above the figure, such as that lines are smoothed.

    >>> line = Line("", np.ones(3), np.zeros(3), np.full(3, 2.0), failed=np.zeros(3))
    >>> figure = factor_means([0.01, 0.1, 1.0], [line], "lr", "validation loss")
    >>> [(axes.get_xlabel(), axes.get_xscale()) for axes in figure.axes]
    [('lr', 'log')]
    """
    figure, above, below = _panels(lines)
    words = _are_words(values)
    places = np.asarray(range(len(values)) if words else values, dtype=np.float64)
    spread = np.linspace(-0.15, 0.15, len(lines)) if words and len(lines) > 1 else [0.0]
    for whole, color, mark, shift in zip(
        lines, line_colors(len(lines)), _marks(lines), np.resize(spread, len(lines)), strict=True
    ):
        at, line = places[whole.tried] + shift, whole.at(whole.tried)
        if words:
            reach = np.stack([line.mean - line.low, line.high - line.mean])
            above.errorbar(
                at, line.mean, reach, color=color, fmt=mark or "o", capsize=3, label=line.name
            )
        else:
            _band(above, at, line, color, mark)
        if below is not None and line.failed is not None:
            below.plot(
                at,
                line.failed,
                color=color,
                marker=mark or ("o" if words or len(at) == 1 else ""),
                markersize=4,
                linestyle="none" if words else "-",
                linewidth=1,
            )
    last = below or above
    if words:
        _words(last.xaxis, [str(value) for value in values])
    else:
        number_axis(last.xaxis, places)
    if _wide(lines):
        above.set_yscale("log")
    _finish(figure, above, below, lines, measure, colors, note)
    last.set_xlabel(factor, fontsize=FONT, parse_math=False)
    return figure


def factor_shares(
    values: Sequence[float] | Sequence[str],
    lines: Sequence[Line],
    factor: str,
    measure: str,
    colors: str = "",
    note: str = "",
) -> Figure:
    """Shares with their intervals against a factor, on an axis from 0 to 1.

    Arguments as of :func:`factor_means`.

    >>> line = Line("", np.zeros(2), np.zeros(2), np.ones(2))
    >>> figure = factor_shares([1.0, 2.0], [line], "depth", "share")
    >>> [float(end) for end in figure.axes[0].get_ylim()]
    [-0.04, 1.04]
    """
    figure = factor_means(values, lines, factor, measure, colors, note)
    figure.axes[0].set_yscale("linear")
    figure.axes[0].set_ylim(-0.04, 1.04)
    return figure


def factor_curves(
    lines: Sequence[Line], measure: str, colors: str = "", note: str = "", cut: bool = False
) -> Figure:
    """Means with their intervals by epoch, dotted where some repeats have ended, which is noted.

    Arguments as of :func:`factor_means`; the points of a line are its epochs.

    Args:
        lines: See there.
        measure: Likewise.
        colors: Likewise.
        note: Likewise.
        cut: Whether the axis leaves out what would flatten the rest, such as the first epochs or a
            training that all but diverges (that one is faint), and notes how far it goes. For what
            can be below zero: its axis is never logarithmic, even where it happens to stay above.

    >>> line = Line("", np.ones(3), np.zeros(3), np.full(3, 2.0))
    >>> factor_curves([line], "validation loss").axes[0].get_xlabel()
    'epoch'
    """
    figure, axes, _ = _panels([])
    notes = [note] if note else []
    if any(line.parts[1].any() for line in lines):
        notes.append("dotted where some trials have ended")
    strong = [True] * len(lines)
    if cut and (found := cut_of(lines)):
        axes.set_ylim(found.low, found.high)
        notes.append(found.note)
        strong = found.matter
    looks = zip(lines, line_colors(len(lines)), _marks(lines), strong, strict=True)
    for line, color, mark, is_strong in looks:
        at = np.arange(len(line.mean), dtype=np.float64)
        _band(axes, at, line, color, mark, 1.0 if is_strong else _FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if _wide(lines) and not cut:
        axes.set_yscale("log")
    _finish(figure, axes, None, lines, measure, colors, "; ".join(notes))
    axes.set_xlabel("epoch", fontsize=FONT)
    return figure


def log_spaced(values: Array) -> bool:
    """Whether numbers above 0 are spaced more evenly by their ratios than by their differences.

    >>> log_spaced(np.array([8, 32, 128, 512])), log_spaced(np.array([4, 12, 20, 28]))
    (True, False)
    """
    values = np.sort(np.unique(values))
    if len(values) < 3 or values[0] <= 0 or values[-1] < 8 * values[0]:
        return False

    def unevenness(steps: Array) -> float:
        return float(steps.std() / steps.mean())

    return unevenness(np.diff(np.log(values))) < unevenness(np.diff(values))


def _panels(lines: Sequence[Line]) -> tuple[Figure, Axes, Axes | None]:
    """One panel, and one below for the share that failed where any did."""
    failed = any(line.failed is not None and np.nanmax(line.failed) > 0 for line in lines)
    figure = Figure(figsize=(6.6, 4.6 if failed else 3.6), layout="constrained")
    if not failed:
        return figure, figure.add_subplot(), None
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    return figure, above, below


def _band(axes: Axes, at: Array, line: Line, color: str, mark: str, strength: float = 1.0) -> None:
    """A line with its intervals as a band."""
    whole, dotted = line.parts
    lone = None if mark or not line.lone.any() else line.lone
    axes.plot(
        at,
        np.where(whole, line.mean, np.nan),
        color=color,
        alpha=strength,
        linewidth=1.5,
        marker=mark if lone is None else "o",
        markevery=lone,
        markersize=4,
        label=line.name,
    )
    if dotted.any():
        # One point of the solid part belongs to both, so that they join.
        rest = dotted | whole & ~np.append(whole[1:], True)
        dots = np.where(rest, line.mean, np.nan)
        axes.plot(at, dots, color=color, alpha=strength, linewidth=1.5, linestyle=":")
    axes.fill_between(at, line.low, line.high, color=color, alpha=0.2 * strength, linewidth=0)


def _finish(
    figure: Figure,
    above: Axes,
    below: Axes | None,
    lines: Sequence[Line],
    measure: str,
    colors: str,
    note: str,
) -> None:
    above.set_ylabel(measure, fontsize=FONT)
    above.grid(alpha=0.3)
    if below is not None:
        below.set_ylabel("share failed", fontsize=FONT)
        below.set_ylim(-0.08, 1.08)
        below.grid(alpha=0.3)
    above.set_title(textwrap.fill(note, NOTE), fontsize=FONT - 1, loc="left")
    if len(lines) > _NAMED and all(line.value is not None for line in lines):
        _color_bar(figure, above, [float(line.value or 0.0) for line in lines], colors)
    elif len(lines) > 1:
        handles, names = above.get_legend_handles_labels()
        legend = figure.legend(
            handles, names, loc="outside right upper", fontsize=FONT - 1, title=colors
        )
        for text in (*legend.get_texts(), legend.get_title()):
            text.set_parse_math(False)


def _wide(lines: Sequence[Line]) -> bool:
    """Whether means above 0 reach over so many powers of ten that few of them would be seen."""
    means = np.concatenate([line.mean for line in lines])
    means = means[np.isfinite(means)]
    return len(means) > 0 and means.min() > 0 and means.max() > _WIDE * means.min()


def _color_bar(figure: Figure, axes: Axes, values: list[float], name: str) -> None:
    """What the colours of many lines stand for."""
    ends = (min(values), max(values))
    log = log_spaced(np.array(values))
    norm = LogNorm(*ends) if log else Normalize(*ends)
    # The lines' own colours, so that the bar is right where their values are evenly spaced.
    scale = ScalarMappable(norm, ListedColormap(line_colors(len(values))))
    bar = figure.colorbar(scale, ax=axes)
    bar.set_label(name, fontsize=FONT)


def _marks(lines: Sequence[Line]) -> list[str]:
    """A mark for each line; none for all where lines or points are too many to tell apart."""
    if len(lines) > _NAMED or max(np.isfinite(line.mean).sum() for line in lines) > _MARKED:
        return [""] * len(lines)
    return [MARKS[number % len(MARKS)] for number in range(len(lines))]


def places_of(values: Values) -> Array:
    """Where values stand on their axis: words beside each other, as they first appear.

    >>> places_of(["relu", "tanh", "relu"]).tolist(), places_of([0.1, 10]).tolist()
    ([0.0, 1.0, 0.0], [0.1, 10.0])
    """
    if not _are_words(values):
        return np.asarray(values, dtype=np.float64)
    words = list(dict.fromkeys(values))
    return np.array([words.index(word) for word in values], dtype=np.float64)


def place_axis(axis: Axis, values: Values) -> None:
    """Let an axis be of some values, each with the place that :func:`places_of` gives it."""
    if not _are_words(values):
        number_axis(axis, np.asarray(values, dtype=np.float64))
        return
    words = [str(word) for word in dict.fromkeys(values)]
    _words(axis, words)
    set_ends = axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim
    set_ends(-0.5, len(words) - 0.5)


def number_axis(axis: Axis, values: Array) -> None:
    """Let an axis be of some numbers: logarithmic where they are spaced so.

    Few of them that lie far enough apart are its ticks.
    """
    values = np.unique(values)
    log = log_spaced(values)
    if log:
        (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    steps = np.diff(np.log(values) if log else values)
    if len(steps) and len(values) <= _VALUES and steps.min() > 0.5 * steps.mean():
        axis.set_ticks(values, [f"{value:.4g}" for value in values])
        axis.set_minor_locator(NullLocator())


def _are_words(values: Values) -> bool:
    return any(isinstance(value, str) for value in values)


def _words(axis: Axis, words: list[str]) -> None:
    """Words along an axis; every few of many, and below it turned where they are long."""
    step = -(-len(words) // _TICKS)
    shown = words[::step]
    axis.set_ticks(range(0, len(words), step), shown, fontsize=FONT - 1, parse_math=False)
    if isinstance(axis, XAxis) and sum(map(len, shown)) > 60:
        for text in axis.get_ticklabels():
            text.set(rotation=40, ha="right")
