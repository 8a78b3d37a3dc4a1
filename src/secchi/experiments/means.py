"""Means over repeats, with their noise."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError
from secchi.experiments.averaging import averaged, counts, smoothed, tally
from secchi.experiments.collected import Collected
from secchi.experiments.measures import all_numbers, measure_text, setting_text
from secchi.experiments.settings import canonical
from secchi.files import finite
from secchi.intervals import LEVEL, difference_intervals, mean_intervals, without_rounding
from secchi.text import counted, decimals, number, table

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
class Means:
    """Means over repeats at the epoch that was kept, else the last.

    The noise is that of the repeats: how far a mean would move with other first weights and batch
    orders, and other splits or other made-up data where those are drawn anew. Splits of the same
    rows have most of them in common, which the intervals count
    (:func:`secchi.intervals.mean_intervals`). Trials that failed or have no value (r has none where
    all predictions are the same) are left out of the means, and counted.

    Attributes:
        measure: What was measured.
        by: The factors that tell the groups apart.
        groups: The values of each group.
        each: The mean of each group in each repeat, over the settings in it, (groups, repeats).
        mean: Over the repeats, (groups,); NaN where every trial failed.
        low: Lower ends of the 95 % intervals by Student's t, (groups,); NaN of two repeats or
            fewer.
        high: Upper ends, (groups,).
        n: How many repeats each mean is of, (groups,); each fold of a repeat counts as one.
        runs: How many trials each group has, (groups,).
        failed: How many of them failed, (groups,).
        without: How many others have no value, (groups,).
        ratio: Validating rows by training rows where repeats split the same rows; else 0.
        smooth: Over how many neighbouring values of the first factor the means are taken; 1 for
            each by itself.
    """

    measure: str
    by: tuple[str, ...]
    groups: tuple[Mapping[str, Any], ...]
    each: Array
    mean: Array
    low: Array
    high: Array
    n: NDArray[np.int64]
    runs: NDArray[np.int64]
    failed: NDArray[np.int64]
    without: NDArray[np.int64]
    ratio: float = 0.0
    smooth: int = 1

    def difference(self, one: int, other: int) -> Difference:
        """How two groups differ, by their places: paired by repeat, the first less the second."""
        change = without_rounding(self.each[one] - self.each[other], self.each)
        mean, low, high = (float(end) for end in difference_intervals(change, self.ratio))
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
        mean, low, high = mean_intervals(each, ratio=self.ratio)
        n = np.isfinite(each).sum(axis=1)
        return dataclasses.replace(
            self, each=each, mean=mean, low=low, high=high, n=n, smooth=count
        )

    def to_frame(self) -> "pd.DataFrame":
        """One row a group: the values of its factors, and its numbers."""
        import pandas as pd

        columns: dict[str, Any] = {name: [group[name] for group in self.groups] for name in self.by}
        for name in ("mean", "low", "high", "n", "runs", "failed", "without"):
            columns[name] = getattr(self, name)
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, a dictionary a group; numbers that are not finite are None."""
        document = {
            "measure": self.measure,
            "by": list(self.by),
            "smooth": self.smooth,
            "groups": self.to_frame().to_dict("records"),
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """Means with their intervals against the first factor, a line for each value of the others.

        The axis is logarithmic where values are spaced so; values that are no numbers stand as
        points. Below, the share of trials that failed, where any did.
        """
        from secchi.experiments.drawing import means_figure

        return means_figure(self)

    def heatmap(self) -> "Figure":
        """Means over two factors: the second from left to right, the first from bottom to top.

        Raises:
            DataError: The groups are not of two factors.
        """
        from secchi.experiments.drawing import heatmap_figure

        return heatmap_figure(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        places = decimals((self.high - self.low) / 2)
        rows = [["", "mean", f"{100 * LEVEL:g} % interval", "repeats", "failed"]]
        for place, group in enumerate(self.groups[:_SHOWN]):
            mean, low, high = (
                number(float(each[place]), places) for each in (self.mean, self.low, self.high)
            )
            interval = "-" if low == "-" else f"{low} to {high}"
            failed = f"{self.failed[place]:,} of {self.runs[place]:,}"
            rows.append([setting_text(group), mean, interval, str(self.n[place]), failed])
        lines = [measure_text(self.measure), table(rows)]
        if len(self.groups) > _SHOWN:
            lines.append(f"… {len(self.groups):,} in all")
        lines += [
            f"{setting_text(self.groups[g])}: {self.without[g]:,} of {self.runs[g]:,} trials "
            "without a value"
            for g in np.flatnonzero(self.without)[:_SHOWN]
        ]
        if self.smooth > 1:
            lines.append(f"smoothed over {self.smooth} values of {self.by[0]}")
        return "\n".join(lines)


def means_of(collected: Collected, measure: str, by: Sequence[str]) -> Means:
    """Means over repeats; see :meth:`secchi.experiments.result.Result.mean`."""
    collected = collected.apart(by)
    groups, places = collected.grouped(by)
    finals = collected.finals(measure)
    each = averaged(finals[:, :, None], places, len(groups))[:, :, 0]
    n = np.isfinite(each).sum(axis=1)
    runs, failed = counts(collected, places, len(groups))
    return Means(
        measure,
        tuple(by),
        groups,
        each,
        *mean_intervals(each, ratio=collected.ratio),
        n,
        runs,
        failed,
        runs - failed - tally(np.isfinite(finals), places, len(groups)),
        collected.ratio,
    )


def _without(group: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in group.items() if other != name}
