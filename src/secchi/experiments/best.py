"""The best setting, by how much it leads, and how much of its score is luck."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.collected import Collected
from secchi.experiments.measures import (
    corrected_text,
    lower_is_better,
    measure_text,
    p_text,
    setting_text,
)
from secchi.experiments.ranking import Ranked, Ranking, comparable, ranking_of
from secchi.experiments.settings import canonical
from secchi.experiments.validation_rows import ValidationRows
from secchi.files import finite
from secchi.text import counted, number, with_interval

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of several settings, and what choosing it did to its score.

    Which settings it was chosen from, and over which repeats, is as in a
    :class:`secchi.experiments.ranking.Ranking`; where each lacks a number, from all of them.

    Attributes:
        measure: What it was chosen by.
        setting: The values of its factors.
        mean: Of the measure over the repeats.
        low: Lower end of the 95 % interval of the mean, as if nothing had been chosen; NaN of two
            repeats or fewer, and where all are the same.
        high: Upper end of it.
        n: How many repeats the mean is of; each fold of a repeat counts as one.
        among: How many settings it was chosen from.
        next: The second, and how far it is behind; None where there is none.
        ties: How many settings the first leads by no more than chance would.
        compared: How many settings it was compared with; p-values are corrected for so many.
        real: Whether it leads every other beyond the noise; None where nothing can be said of it.
        corrected: The mean score of choosing on all repeats but one, on the one left out; NaN
            where it cannot be known.
        same_rows: Whether every repeat was scored on the same validation rows.
        rows: How many these are; None where repeats have others, or it is not known.
        rows_low: Lower end of where the score could be with as many other rows, by the 95 %
            interval of Wilson; NaN where it is no share of rows.
        rows_high: Upper end of it.
        epoch_chosen: Whether the rows that score said which epoch is the last, or is kept.
        folds: Into how many folds a repeat is parted; 1 where it is not.
    """

    measure: str
    setting: Mapping[str, Any]
    mean: float
    low: float
    high: float
    n: int
    among: int
    next: Ranked | None
    ties: int
    compared: int
    real: bool | None
    corrected: float
    same_rows: bool
    rows: int | None
    rows_low: float
    rows_high: float
    epoch_chosen: bool
    folds: int

    @property
    def optimism(self) -> float:
        """How much better the score looks than it is, from 0 on where choosing helped it."""
        sign = 1.0 if lower_is_better(self.measure) else -1.0
        return round(sign * (self.corrected - self.mean), 12) + 0.0  # no rounding, and no -0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the optimism among them; numbers that are not finite are None."""
        document = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        document |= {"setting": dict(self.setting), "optimism": self.optimism}
        document["next"] = self.next and self.next.to_dict()
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        score = with_interval(self.mean, self.low, self.high)
        repeats = counted(self.n, *(("fold", "folds") if self.folds > 1 else ("repeat", "repeats")))
        same = "the same in all " if self.n > 2 and math.isnan(self.low) else ""
        lines = [
            f"best of {counted(self.among, 'setting', 'settings')}: {setting_text(self.setting)}",
            f"{measure_text(self.measure)}: {score}, {same}{repeats}",
        ]
        if self.next is not None:
            lines.append(self._lead(self.next))
        if self.among > 1:
            lines.append(self._luck())
        if self.same_rows:
            lines.append(self._luck_of_rows())
        return "\n".join(lines)

    def _lead(self, second: Ranked) -> str:
        if math.isnan(second.behind):
            name = second.name
            return f"the next, {name}, cannot be compared with it: each has trials without a number"
        lead = f"ahead of the next, {second.name}, by "
        lead += with_interval(second.behind, second.behind_low, second.behind_high)
        if self.compared > 1 and (p := p_text(second.p)):
            p = p if p.startswith("<") else f"= {p}"
            lead += f", p {p}{corrected_text(self.compared, 'comparisons')}"
        if self.real is None:
            why = (
                "with so few repeats" if self.n < 3 else "with the same difference in every repeat"
            )
            return f"{lead}; {why} nothing can be said about noise"
        if self.real:
            return f"{lead}: beyond the noise"
        ties = counted(self.ties, "is", "are")
        return f"{lead}; of {self.among:,} settings, {ties} within the noise of it"

    def _luck(self) -> str:
        if math.isnan(self.corrected):
            return (
                f"the score is optimistic, for it is the best of {self.among:,}: by how much "
                "cannot be known with one repeat"
            )
        luck = "" if self.epoch_chosen or self.same_rows else ", without its luck"
        text = f"after choosing{luck}: {number(self.corrected)} (optimism {number(self.optimism)})"
        return text + ("; the epoch was chosen on the same rows" if self.epoch_chosen else "")

    def _luck_of_rows(self) -> str:
        count = "" if self.rows is None else f"{self.rows:,} "
        text = f"the luck of these {count}validation rows stays in it"
        if not math.isnan(self.rows_low):
            ends = f"{number(self.rows_low)} to {number(self.rows_high)}"
            text += f": as many others could give {ends}"
        if not math.isnan(self.low):
            text += "; the interval is of weights and batches alone"
        return f"{text}; resplit=True tells it"


def best_of(collected: Collected, measure: str, rows: ValidationRows) -> Best | None:
    """The best setting; see :meth:`secchi.experiments.result.Result.best`."""
    ranking = ranking_of(collected, measure)
    values, _, sound = comparable(collected, measure)
    scored = [one for one in ranking.settings if not math.isnan(one.mean)]
    if not scored:
        return None
    candidates = [one for one in scored if not math.isnan(one.behind)] if sound.any() else scored
    keys = {canonical(one.setting) for one in candidates}
    chosen = [canonical(setting) in keys for setting in collected.settings]
    first = candidates[0]
    return Best(
        measure,
        first.setting,
        first.mean,
        first.low,
        first.high,
        first.n,
        len(candidates),
        candidates[1] if len(candidates) > 1 else None,
        len(ranking.ties),
        ranking.compared,
        _real(ranking),
        left_out_score(values[chosen], lower_is_better(measure)),
        rows.same,
        rows.number,
        *rows.others(measure, first.mean),
        collected.epoch_chosen,
        collected.folds,
    )


def _real(ranking: Ranking) -> bool | None:
    """Whether the first leads every other beyond the noise; None where that is not known."""
    if ranking.ties:
        return False
    return True if ranking.compared and not ranking.unknown else None


def left_out_score(values: Array, lower: bool) -> float:
    """What choosing the best setting gives in a repeat that had no part in the choice.

    Each repeat in turn is left out: the setting with the best mean over the others is chosen, and
    its score in the one left out is taken; the result is the mean of those (leave-one-out
    cross-validation of the choice). It is what a choice with one repeat fewer gives.

    Args:
        values: (settings, repeats), NaN where there is none.
        lower: Whether less is better.

    Returns:
        NaN for one repeat.

    >>> left_out_score(np.array([[0.9, 0.5, 0.7], [0.6, 0.8, 0.7]]), lower=False)
    0.6
    """
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    others = there.sum(axis=1, keepdims=True) - there
    with np.errstate(invalid="ignore"):
        mean = (filled.sum(axis=1, keepdims=True) - filled) / others
    worst = np.inf if lower else -np.inf
    mean = np.where(others > 0, mean, worst)
    chosen = mean.argmin(axis=0) if lower else mean.argmax(axis=0)
    scores = values[chosen, np.arange(values.shape[1])]
    scores = scores[np.isfinite(scores) & (others > 0).any(axis=0)]
    return float(scores.mean()) if len(scores) else math.nan
