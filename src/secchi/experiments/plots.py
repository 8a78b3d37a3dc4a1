"""The figures that a design lends itself to, drawn into a folder."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from secchi.experiments.measures import GAP
from secchi.experiments.settings import canonical
from secchi.files import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secchi.experiments.result import Result

_DPI = 110

_PAIRED = 4
"""Factors of which every pair is drawn as a heat map; of more, those that matter most."""


def draw(result: "Result", folder: Path, measure: str) -> list[Path]:
    """Draw all; see :meth:`secchi.experiments.result.Result.plots`."""
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
    for name in factors:
        yield f"{measure}_by_{name}", result.plot(name, measure)
    if len(factors) > 1:
        effects = result.effects(measure)
        yield f"{measure}_effects", effects.plot()
        order = [one.name for one in effects.effects if len(one.factors) == 1]
        for one, other in itertools.combinations(order[:_PAIRED], 2):
            if _is_grid(result, one, other):
                yield f"{measure}_by_{one}_and_{other}", result.heatmap(one, other, measure)
    if factors:
        yield f"{measure}_ranking", result.rank(measure).plot()
    if result.failed:
        for name in factors:
            yield f"failures_by_{name}", result.failures(name).plot()
    for color in factors or (None,):
        end = f"_by_{color}" if color else ""
        for drawn in dict.fromkeys(("train_loss", "valid_loss", measure, GAP)):
            yield f"{drawn}_by_epoch{end}", result.plot("epoch", drawn, color)


def _is_grid(result: "Result", one: str, other: str) -> bool:
    """Whether most pairs of two factors' values were tried; else a map would be mostly holes."""
    settings = [trial.setting for trial in result.trials]
    tried = {(canonical(each[one]), canonical(each[other])) for each in settings}
    sides = [len({pair[side] for pair in tried}) for side in (0, 1)]
    return 2 * len(tried) >= sides[0] * sides[1]
