"""The best setting, by how much it leads, and how much of its score is luck."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.collected import Collected, Places
from secchi.experiments.reading.comparing import comparable
from secchi.experiments.reading.measures import (
    corrected_text,
    lower_is_better,
    measure_text,
    p_text,
    setting_text,
)
from secchi.experiments.reading.ranking import Ranked, Ranking, ranking_of, unknown_text
from secchi.experiments.reading.validation_rows import Shared, ValidationRows
from secchi.experiments.settings import canonical
from secchi.files import finite
from secchi.text import counted, number, with_interval

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of several settings, and what choosing it did to its score.

    Which settings it was chosen from, and over which repeats, is as in a
    :class:`secchi.experiments.reading.ranking.Ranking`; where each lacks a number, from all of
    them.

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
        real: Whether it leads every other beyond the noise; None where of some nothing can be
            said.
        unknown: The settings that are behind by the same in every repeat, of which noise says
            nothing.
        corrected: The mean score of choosing on all repeats but one, on the one left out; over
            folds, on all but one. NaN where it cannot be known.
        same_rows: Whether every repeat was scored on the same validation rows.
        mixed_rows: Whether repeats have some of these rows in common, so that a part of what
            choosing gained on them is still in ``corrected``.
        foldable: Whether the rows can be parted in other ways: not by time, say.
        rows: How many these are; None where repeats have others, or it is not known.
        rows_low: Lower end of where the score could be with as many other rows, by the 95 %
            interval of Wilson; NaN where it is no share of rows.
        rows_high: Upper end of it.
        epoch_chosen: Whether the rows that score said of it which epoch is the last, or is kept.
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
    unknown: tuple[str, ...]
    corrected: float
    same_rows: bool
    mixed_rows: bool
    foldable: bool
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
        if self.ties:
            ties = counted(self.ties, "is", "are")
            return f"{lead}; of {self.among:,} settings, {ties} within the noise of it"
        if math.isnan(second.p):
            why = (
                "with so few repeats" if self.n < 3 else "with the same difference in every repeat"
            )
            return f"{lead}; {why} nothing can be said about noise"
        return f"{lead}: beyond the noise{unknown_text(self.unknown)}"

    def _luck(self) -> str:
        if math.isnan(self.corrected):
            return (
                f"the score is optimistic, for it is the best of {self.among:,}: by how much "
                "cannot be known with one repeat"
            )
        stays = self.same_rows or self.mixed_rows or self.epoch_chosen
        luck = "" if stays else ", without its luck"
        text = f"after choosing{luck}: {number(self.corrected)} (optimism {number(self.optimism)})"
        if self.mixed_rows:
            text += "; part of the luck of the rows stays in it, for repeats have rows in common"
        return text + ("; the epoch was chosen on the same rows" if self.epoch_chosen else "")

    def _luck_of_rows(self) -> str:
        count = "" if self.rows is None else f"{self.rows:,} "
        text = f"the luck of these {count}validation rows stays in it"
        if not math.isnan(self.rows_low):
            ends = f"{number(self.rows_low)} to {number(self.rows_high)}"
            text += f": as many others could give {ends}"
        if not math.isnan(self.low):
            text += "; the interval is of weights and batches alone"
        if self.foldable:
            text += "; validating on every fold takes it out (folds=5, and fold varies)"
        return text


def best_of(collected: Collected, measure: str, rows: ValidationRows) -> Best | None:
    """The best setting; see :meth:`secchi.experiments.result.Result.best`."""
    ranking = ranking_of(collected, measure)
    values, _, sound, repeats = comparable(collected, measure)
    scored = [one for one in ranking.settings if not math.isnan(one.mean)]
    if not scored:
        return None
    candidates = [one for one in scored if not math.isnan(one.behind)] if sound.any() else scored
    keys = {canonical(one.setting) for one in candidates}
    chosen = [canonical(setting) in keys for setting in collected.settings]
    first = candidates[0]
    place = collected.settings.index(first.setting)
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
        tuple(one.name for one in ranking.unknown),
        left_out_score(values[chosen], lower_is_better(measure), _parts(repeats, rows)),
        rows.same,
        rows.shared is Shared.SOME and len({repeat for repeat, _ in repeats}) > 1,
        rows.foldable,
        rows.number,
        *rows.others(measure, first.mean),
        bool(collected.epoch_chosen[collected.setting == place].any()),
        collected.folds,
    )


def _real(ranking: Ranking) -> bool | None:
    """Whether the first leads every other beyond the noise; None where that is not known."""
    if ranking.ties:
        return False
    return True if ranking.compared and not ranking.unknown else None


def _parts(repeats: Sequence[tuple[int, int]], rows: ValidationRows) -> Places:
    """Which repeats are left out together: a fold of all, as it has the same rows; (repeats,).

    Where there is nothing to part them by, such as one split for all, it is each by itself.
    """
    if rows.shared is Shared.FOLDS:
        return np.array([fold for _, fold in repeats], dtype=np.intp)
    return np.arange(len(repeats))


def left_out_score(values: Array, lower: bool, parts: Places) -> float:
    """What choosing the best setting gives in repeats that had no part in the choice.

    Each part in turn is left out: the setting with the best mean over the others is chosen, and
    its scores in the one left out are taken; the result is the mean of those (leave-one-out
    cross-validation of the choice). It is what a choice with one part fewer gives.

    Args:
        values: (settings, repeats), NaN where there is none.
        lower: Whether less is better.
        parts: Which part each repeat belongs to, (repeats,).

    Returns:
        NaN for one part.

    >>> scores = np.array([[0.9, 0.5, 0.7], [0.6, 0.8, 0.7]])
    >>> left_out_score(scores, lower=False, parts=np.arange(3))
    0.6
    """
    there = np.isfinite(values)
    others = _without_part(there.astype(np.int64), parts)
    with np.errstate(invalid="ignore"):
        mean = _without_part(np.where(there, values, 0.0), parts) / others
    worst = np.inf if lower else -np.inf
    mean = np.where(others > 0, mean, worst)
    chosen = mean.argmin(axis=0) if lower else mean.argmax(axis=0)
    scores = values[chosen, np.arange(values.shape[1])]
    scores = scores[np.isfinite(scores) & (others > 0).any(axis=0)]
    return float(scores.mean()) if len(scores) else math.nan


def _without_part(values: NDArray[Any], parts: Places) -> NDArray[Any]:
    """For each repeat the sum over those of other parts, (settings, repeats)."""
    sums = np.zeros((int(parts.max(initial=0)) + 1, len(values)), dtype=values.dtype)
    np.add.at(sums, parts, values.T)
    found: NDArray[Any] = (sums.sum(axis=0) - sums[parts]).T
    return found
