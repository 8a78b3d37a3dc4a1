"""Settings in order, and which of them cannot be told from the first."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.comparing import comparable, compare
from secchi.experiments.reading.frames import groups_frame
from secchi.experiments.reading.measures import (
    NO_NUMBER,
    corrected_text,
    lower_is_better,
    measure_range,
    measure_text,
    p_text,
    setting_text,
)
from secchi.files import finite
from secchi.intervals import LEVEL, mean_intervals, without_rounding
from secchi.text import counted, decimals, names_of, number, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST = 1000
"""More repeats than this are not told apart: the formula takes too much for granted."""

_SHOWN = 10
"""Settings in the printed table and in the figure."""

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """One setting, and how far it is behind the first.

    Attributes:
        setting: The values of its factors.
        mean: Of the measure over the repeats; NaN where every trial failed.
        low: Lower end of the 95 % interval of the mean; NaN of two repeats or fewer, and of those
            that are all the same.
        high: Upper end of it.
        n: How many repeats the mean is of; each fold of a repeat counts as one.
        failed: How many of its trials failed, or have no number of this measure (r has none where
            all predictions are the same).
        behind: How much worse it is than the first, a mean over repeats; NaN where it is not
            compared.
        behind_low: Lower end of the 95 % interval of that; of this setting alone. NaN where it is
            behind by the same in every repeat, so that nothing is known of noise.
        behind_high: Upper end of it.
        p: How often chance would part them so far: the p-value of a paired t-test, corrected for
            how many settings are compared; NaN where nothing can be said.
        more: About how many more repeats would settle a tie; None where it is none, and where no
            number would.
    """

    setting: Mapping[str, Any]
    mean: float
    low: float
    high: float
    n: int
    failed: int
    behind: float = 0.0
    behind_low: float = math.nan
    behind_high: float = math.nan
    p: float = math.nan
    more: int | None = None

    @property
    def name(self) -> str:
        """Its setting as text."""
        return setting_text(self.setting)

    @property
    def tied(self) -> bool:
        """Whether the first leads it by no more than chance would; never where nothing is known."""
        return self.p >= 1 - LEVEL

    @property
    def more_text(self) -> str:
        """How many more repeats would settle a tie, in words; nothing where none would."""
        if self.more is None:
            return ""
        if self.more > _MOST:
            return f"over {_MOST:,} more repeats"
        return counted(self.more, "more repeat", "more repeats")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, whether it is tied among them."""
        return dataclasses.asdict(self) | {"setting": dict(self.setting), "tied": self.tied}


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Settings in order, the best first.

    Settings of which a trial failed, or has no number of the measure, come after all others, and
    are not compared: what is left of them was chosen by chance. So do those that have fewer than
    half of the repeats that some other has, as they may not be finished yet. All others are
    compared over the same repeats: those that all of them have. Where there is no such repeat,
    those that lack one come after the others likewise.

    Attributes:
        measure: What they were ranked by.
        settings: In their order.
        repeats: How many repeats are compared.
        caution: What the noise of the repeats does not tell of; "" for nothing.
    """

    measure: str
    settings: tuple[Ranked, ...]
    repeats: int
    caution: str = ""

    @property
    def ties(self) -> tuple[Ranked, ...]:
        """The settings that the first leads by no more than chance would."""
        return tuple(one for one in self.settings if one.tied)

    @property
    def compared(self) -> int:
        """How many settings the first was compared with."""
        return sum(not math.isnan(one.p) for one in self.settings)

    @property
    def unknown(self) -> tuple[Ranked, ...]:
        """Settings that are behind by the same in every repeat, of which noise says nothing."""
        if self.repeats <= 2:
            return ()
        return tuple(
            one for one in self.settings[1:] if math.isnan(one.p) and not math.isnan(one.behind)
        )

    @property
    def verdict(self) -> str:
        """One sentence: which is first, and which others it cannot be told from."""
        if not self.settings or math.isnan(self.settings[0].mean):
            return f"there is nothing to rank: {NO_NUMBER}"
        first = f"{self.settings[0].name} is first"
        if len(self.settings) == 1:
            return f"{first}, and the only one"
        if not self.compared:
            return f"{first}; {self._silence()}"
        if not self.ties:
            but = unknown_text([one.name for one in self.unknown])
            return f"{first}, beyond the noise{self._corrected}{but}"
        nearest = self.ties[0]
        would = f"{nearest.more_text or 'no number of repeats'} would part it from {nearest.name}"
        if nearest.more is not None and nearest.more <= _MOST:
            would = f"about {would}"
        ties = counted(len(self.ties), "other is", "others are")
        return f"{first}; {ties} within the noise of it{self._corrected}, and {would}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the verdict among them; numbers that are not finite are None."""
        document = {
            "measure": self.measure,
            "repeats": self.repeats,
            "settings": [one.to_dict() for one in self.settings],
            "verdict": self.verdict,
            "caution": self.caution,
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def to_frame(self) -> "pd.DataFrame":
        """One row a setting, in their order."""
        import pandas as pd

        factors = groups_frame([one.setting for one in self.settings], {})
        numbers = pd.DataFrame([{**_numbers(one), "tied": one.tied} for one in self.settings])
        return pd.concat([factors, numbers], axis=1)

    def plot(self, count: int = _SHOWN) -> "Figure":
        """Draw the first settings with their intervals; ties with the first are marked.

        Args:
            count: How many.
        """
        from secchi.experiments.reading.drawing import ranking_figure

        return ranking_figure(self, count)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        shown = self.settings[:_SHOWN]
        places = decimals((one.high - one.low) / 2 for one in shown)
        rows = [["", measure_text(self.measure), "behind", "p corrected", ""]]
        for place, one in enumerate(shown):
            behind = "" if math.isnan(one.behind) or not place else number(one.behind, places)
            mean, remark = number(one.mean, places), self._remark(place)
            rows.append([one.name, mean, behind, p_text(one.p), remark])
        more = len(self.settings) - _SHOWN
        rest = [f"and {more:,} more"] if more > 0 else []
        caution = [self.caution] if self.caution and self.compared else []
        return "\n".join([table(rows), *rest, self.verdict, *caution])

    def _remark(self, place: int) -> str:
        one = self.settings[place]
        if one.failed:
            return f"{one.failed:,} without a number"
        if one.tied:
            return f"a tie; {one.more_text}" if one.more_text else "a tie"
        if one in self.unknown:
            return "the same in every repeat"
        return f"{one.n:,} of {self.repeats:,} repeats" if one.n < self.repeats else ""

    @property
    def _corrected(self) -> str:
        return corrected_text(self.compared, "comparisons")

    def _silence(self) -> str:
        """Why nothing is said of noise."""
        if self.repeats == 1:
            return "with one repeat nothing can be said about noise"
        if self.repeats == 2:
            return "two repeats are too few to tell noise from a difference"
        if self.unknown:
            return "with the same difference in every repeat nothing can be said about noise"
        return "no other setting has a number in every repeat, so that none is compared"


def unknown_text(names: Sequence[str]) -> str:
    """What is said of settings that noise says nothing of; nothing where there are none.

    >>> unknown_text(["lr = 0.1"]), unknown_text([])
    ('; but lr = 0.1 differs by the same in every repeat', '')
    """
    differ = "differs" if len(names) == 1 else "differ"
    return f"; but {names_of(names)} {differ} by the same in every repeat" if names else ""


def ranking_of(collected: Collected, measure: str, caution: str = "") -> Ranking:
    """Rank all settings; see :meth:`secchi.experiments.result.Result.rank`."""
    sign = 1.0 if lower_is_better(measure) else -1.0
    values, failed, sound, _ = comparable(collected, measure)
    mean, low, high = mean_intervals(values, ratio=collected.ratio, within=measure_range(measure))
    n = np.isfinite(values).sum(axis=1)
    order = np.lexsort((without_rounding(sign * mean, mean), ~sound, np.isnan(mean)))
    behind = sign * (values - values[order[0]]) if len(order) else values
    behind[~sound] = np.nan
    behind[order[:1]] = np.nan
    compared = compare(behind, collected.ratio)
    found = tuple(
        Ranked(
            collected.settings[s],
            float(mean[s]),
            float(low[s]),
            float(high[s]),
            int(n[s]),
            int(failed[s]),
            *(() if s == order[0] else _behind(compared, s, collected.folds)),
        )
        for s in order
    )
    return Ranking(measure, found, values.shape[1], caution)


def _behind(
    compared: tuple[Array, ...], s: int, folds: int
) -> tuple[float, float, float, float, int | None]:
    mean, low, high, p, more = (float(each[s]) for each in compared)
    tied = p >= 1 - LEVEL
    mean = max(mean, 0.0)  # by rounding it can be below, where two means are equal
    settles = tied and math.isfinite(more)
    return mean, low, high, p, math.ceil(more / folds) if settles else None


def _numbers(one: Ranked) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(one)]
    return {name: getattr(one, name) for name in names if name != "setting"}
