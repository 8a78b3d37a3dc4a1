"""What means over repeats have in common, whether by epoch or at the end."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.averaging import averaged, counts, tally
from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.measures import measure_range
from secchi.intervals import mean_intervals

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class GroupMeans:
    """Means over repeats of groups of trials, each with its interval.

    Where a mean is of every epoch, these are the last axis.

    Attributes:
        measure: What was measured.
        by: The factors that tell the groups apart.
        groups: The values of each group.
        each: The mean of each group in each repeat, over the settings in it, (groups, repeats, …).
        mean: Over the repeats, (groups, …); NaN where there is none.
        low: Lower ends of the 95 % intervals by Student's t, (groups, …), within what the measure
            can be; NaN of two repeats or fewer, and of those that are all the same.
        high: Upper ends, (groups, …).
        n: How many repeats each mean is of, (groups, …); each fold of a repeat counts as one.
        trials: How many trials each mean is of, (groups, …).
        runs: How many trials each group has, (groups,).
        failed: How many of them failed, (groups,).
        ratio: Validating rows by training rows where repeats split the same rows; else 0.
        smooth: Over how many neighbours the means are taken; 1 for each by itself.
        remark: In what else the trials of a group are alike, or groups differ; "" for nothing.
    """

    measure: str
    by: tuple[str, ...]
    groups: tuple[Mapping[str, Any], ...]
    each: Array
    mean: Array
    low: Array
    high: Array
    n: NDArray[np.int64]
    trials: NDArray[np.int64]
    runs: NDArray[np.int64]
    failed: NDArray[np.int64]
    ratio: float = 0.0
    smooth: int = 1
    remark: str = ""

    @classmethod
    def of(
        cls,
        collected: Collected,
        measure: str,
        by: Sequence[str],
        values: Array,
        remark: str = "",
    ) -> Self:
        """The means of some values.

        Args:
            collected: The trials; where groups are by the fold, as ``Collected.apart`` gives them.
            measure: What the values are.
            by: The factors that tell groups apart.
            values: (settings, repeats, …), NaN where there is none.
            remark: As of the class.
        """
        groups, places = collected.grouped(by)
        each = averaged(values, places, len(groups))
        return cls(
            measure,
            tuple(by),
            groups,
            each,
            *mean_intervals(each, 1, collected.ratio, measure_range(measure)),
            np.isfinite(each).sum(axis=1),
            tally(np.isfinite(values), places, len(groups)),
            *counts(collected, places, len(groups)),
            collected.ratio,
            remark=remark,
        )

    def with_smooth(self, each: Array, count: int) -> Self:
        """The same of values in each repeat that were smoothed over so many neighbours."""
        mean, low, high = mean_intervals(each, 1, self.ratio, measure_range(self.measure))
        n = np.isfinite(each).sum(axis=1)
        return dataclasses.replace(
            self, each=each, mean=mean, low=low, high=high, n=n, smooth=count
        )
