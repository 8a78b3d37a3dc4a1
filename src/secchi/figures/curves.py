"""Curves over the epochs of a run."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from secchi.figures.style import FONT, MARKS, SERIES


def epoch_curves(
    epochs: Sequence[int],
    losses: Mapping[str, Sequence[float]],
    metrics: Mapping[str, Sequence[float]],
) -> Figure:
    """Losses on the left; metrics, where there are any, on the right.

    Args:
        epochs: The number of each epoch.
        losses: Curves by name, one value an epoch.
        metrics: Likewise.
    """
    panels = [("loss", losses)] + ([("on the validation rows", metrics)] if metrics else [])
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    for place, (label, curves) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        _draw(axes, epochs, curves)
        axes.set_ylabel(label, fontsize=FONT)
    return figure


def _draw(axes: Axes, epochs: Sequence[int], curves: Mapping[str, Sequence[float]]) -> None:
    for (name, values), color, mark in zip(
        curves.items(), cycle(SERIES), cycle(MARKS), strict=False
    ):
        axes.plot(epochs, values, color=color, marker=mark, markersize=4, label=name)
    axes.set_xlabel("epoch", fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=FONT - 1)
