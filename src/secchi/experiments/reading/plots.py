"""The figures that a design lends itself to, drawn into a folder."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from secchi.experiments.reading.measures import GAP
from secchi.experiments.space import DRAWN
from secchi.files import check_writable, written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secchi.experiments.result import Result

_DPI = 110

_PAIRED = 4
"""Factors of which every pair is drawn as a heat map; of more, those that matter most."""


def draw(result: "Result", folder: Path, measure: str) -> list[Path]:
    """Draw all; see :meth:`secchi.experiments.result.Result.plots`."""
    check_writable(folder, "folder=")
    paths = []
    for number, (name, figure) in enumerate(_figures(result, measure), start=1):
        path = folder / f"{number:02}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.png"
        with written_aside(path) as aside:
            figure.savefig(aside, format="png", dpi=_DPI)
        paths.append(path)
    return paths


def _figures(result: "Result", measure: str) -> "Iterator[tuple[str, Figure]]":
    """Each figure with a name, one at a time."""
    factors = result.factors
    if len(result.failed) == len(result):  # nothing has a number
        yield from _failures(result)
        return
    drawn = result.document.get("design") in DRAWN
    for name in factors:
        yield f"{measure}_by_{name}", result.plot(name, measure)
    if len(factors) > 1:
        effects = result.effects(measure)
        yield f"{measure}_effects", effects.plot()
        order = [one.name for one in effects.effects if len(one.factors) == 1]
        for one, other in itertools.combinations(order[:_PAIRED], 2):
            means = result.mean(measure, other, one)
            if drawn or 2 * len(means.groups) >= means.combinations:
                yield f"{measure}_by_{one}_and_{other}", means.heatmap()
    if factors:
        yield f"{measure}_ranking", result.rank(measure).plot()
    if result.failed:
        yield from _failures(result)
    for color in factors or (None,):
        end = f"_by_{color}" if color else ""
        for shown in dict.fromkeys(("train_loss", "valid_loss", measure, GAP)):
            yield f"{shown}_by_epoch{end}", result.plot("epoch", shown, color)


def _failures(result: "Result") -> "Iterator[tuple[str, Figure]]":
    for name in result.factors:
        yield f"failures_by_{name}", result.failures(name).plot()
