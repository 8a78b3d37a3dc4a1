"""Means over repeats, with their noise."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError, SpecError
from secchi.experiments.reading.averaging import smoothed
from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.frames import group_records, groups_frame
from secchi.experiments.reading.group_means import GroupMeans
from secchi.experiments.reading.measures import NO_NUMBER, all_numbers, measure_text, setting_text
from secchi.experiments.settings import canonical
from secchi.files import finite
from secchi.intervals import LEVEL, mean_intervals, without_rounding
from secchi.text import counted, decimals, interval_cell, names_of, number, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_SHOWN = 20
"""Groups in the printed table."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How two groups of trials differ in the repeats that they share.

    Attributes:
        measure: What was measured.
        one: The name of the first.
        other: The name of the second.
        difference: The mean over shared repeats of the first less the second.
        low: Lower end of its 95 % interval by Student's t; NaN for two repeats or fewer, and where
            all have the same difference, so that nothing is known of noise.
        high: Upper end of it.
        n: How many repeats they share.
    """

    measure: str
    one: str
    other: str
    difference: float
    low: float
    high: float
    n: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out zero; never where there is no interval."""
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; numbers that are not finite are None."""
        document = dataclasses.asdict(self) | {"beyond_noise": self.beyond_noise}
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        said = f"{measure_text(self.measure)}, {self.one} less {self.other}: "
        said += number(self.difference)
        if math.isnan(self.low):
            why = "the same in all" if self.n > 2 else "too few"
            shared = counted(self.n, "shared repeat", "shared repeats")
            return f"{said} ({shared}, {why}): nothing can be said about noise"
        interval = f"{100 * LEVEL:g} % interval {number(self.low)} to {number(self.high)}"
        verdict = "beyond the noise" if self.beyond_noise else "within the noise"
        return f"{said} ({interval}, {self.n:,} shared repeats): {verdict}"


@dataclasses.dataclass(frozen=True, eq=False)
class Means(GroupMeans):
    """Means over repeats at the epoch that was kept, else the last.

    The noise is that of the repeats: how far a mean would move with other first weights and batch
    orders, and other splits or other made-up data where those are drawn anew. Splits of the same
    rows have most of them in common, which the intervals count
    (:func:`secchi.intervals.mean_intervals`). Trials that failed or have no value (r has none where
    all predictions are the same) are left out of the means, and counted. Attributes are as of
    :class:`secchi.experiments.reading.group_means.GroupMeans`, by group.
    """

    @property
    def without(self) -> NDArray[np.int64]:
        """How many trials of each group have no value, though they did not fail, (groups,)."""
        without: NDArray[np.int64] = self.runs - self.failed - self.trials
        return without

    @property
    def combinations(self) -> int:
        """How many combinations the values of the factors have; in a grid each is a group."""
        sides = [{canonical(group[name]) for group in self.groups} for name in self.by]
        return math.prod(map(len, sides))

    def place_of(self, values: Mapping[str, Any]) -> int:
        """The place of the group with these values, with as many digits as are printed.

        Raises:
            SpecError: There is none.
        """
        texts = [setting_text(group) for group in self.groups]
        wanted = setting_text({name: values[name] for name in self.by if name in values})
        if wanted in texts:
            return texts.index(wanted)
        fault = f"none has {setting_text(values)}; there are {names_of(texts)}"
        raise SpecError("these trials cannot be compared", [fault])

    def difference(self, one: int, other: int) -> Difference:
        """How two groups differ, by their places: paired by repeat, the first less the second."""
        change = without_rounding(self.each[one] - self.each[other], self.each)
        mean, low, high = (float(end) for end in mean_intervals(change, ratio=self.ratio))
        names = setting_text(self.groups[one]), setting_text(self.groups[other])
        return Difference(self.measure, *names, mean, low, high, int(np.isfinite(change).sum()))

    def smoothed(self, count: int) -> "Means":
        """Each repeat's values smoothed along the first factor, and their means.

        Args:
            count: Over how many neighbouring values, an odd number; fewer at the ends.

        Raises:
            DataError: The first factor is not of numbers.
        """
        name = self.by[0] if self.by else "nothing"
        if not (self.by and all_numbers([group[name] for group in self.groups])):
            raise DataError(f"values of {name} have no neighbours; smooth along a number")
        each = np.array(self.each)
        rests = [canonical(_without(group, name)) for group in self.groups]
        for rest in dict.fromkeys(rests):
            line = [one == rest for one in rests]
            each[line] = smoothed(each[line], count, axis=0)
        return self.with_smooth(each, count)

    def to_frame(self) -> "pd.DataFrame":
        """One row a group: the values of its factors, and its numbers."""
        return groups_frame(self.groups, self._numbers)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, a dictionary a group; numbers that are not finite are None."""
        document = {
            "measure": self.measure,
            "by": list(self.by),
            "smooth": self.smooth,
            "remark": self.remark,
            "combinations": self.combinations,
            "groups": group_records(self.groups, self._numbers),
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """Means with their intervals against the first factor, a line for each value of the others.

        The axis is logarithmic where values are spaced so; values that are no numbers stand as
        points. Below, the share of trials that failed, where any did.
        """
        from secchi.experiments.reading.drawing import means_figure

        return means_figure(self)

    def heatmap(self) -> "Figure":
        """Means over two factors: the second from left to right, the first from bottom to top.

        A map, in which pairs of values without a trial are hatched; where there are more of those
        than others, as in a random design, and one factor is of numbers, a point for each pair.

        Raises:
            DataError: The groups are not of two factors.
        """
        from secchi.experiments.reading.drawing import heatmap_figure

        return heatmap_figure(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        places = decimals((self.high - self.low) / 2)
        rows = [["", "mean", f"{100 * LEVEL:g} % interval", "repeats", "failed"]]
        for place, group in enumerate(self.groups[:_SHOWN]):
            mean, low, high = (float(each[place]) for each in (self.mean, self.low, self.high))
            interval = interval_cell(low, high, int(self.n[place]), places)
            failed = f"{self.failed[place]:,} of {self.runs[place]:,}"
            name = setting_text(group)
            rows.append([name, number(mean, places), interval, str(self.n[place]), failed])
        lines = [measure_text(self.measure), table(rows)]
        if len(self.groups) > _SHOWN:
            lines.append(f"and {len(self.groups) - _SHOWN:,} more")
        if len(self.groups) < self.combinations:
            lines.append(
                f"{len(self.groups):,} of {self.combinations:,} combinations of "
                f"{', '.join(self.by)} were tried"
            )
        lines += [
            f"{setting_text(self.groups[g])}: {self.without[g]:,} of {self.runs[g]:,} trials "
            "without a value"
            for g in np.flatnonzero(self.without)[:_SHOWN]
        ]
        if not self.n.any():
            lines.append(NO_NUMBER)
        if self.smooth > 1:
            lines.append(f"smoothed over {self.smooth} values of {self.by[0]}")
        lines += [self.remark] if self.remark else []
        return "\n".join(lines)

    @property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        """Those of each group, by their names."""
        names = ("mean", "low", "high", "n", "runs", "failed", "without")
        return {name: getattr(self, name) for name in names}


def means_of(collected: Collected, measure: str, by: Sequence[str], remark: str = "") -> Means:
    """Means over repeats; see :meth:`secchi.experiments.result.Result.mean`."""
    collected = collected.apart(by)
    return Means.of(collected, measure, by, collected.finals(measure), remark)


def _without(group: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in group.items() if other != name}
