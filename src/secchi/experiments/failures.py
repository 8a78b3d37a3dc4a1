"""Which trials fail, and at which values."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.averaging import counts
from secchi.experiments.collected import Collected
from secchi.experiments.measures import setting_text
from secchi.files import finite
from secchi.intervals import LEVEL, share_interval
from secchi.text import counted, names_of, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from secchi.experiments.trials import Trial


@dataclasses.dataclass(frozen=True, eq=False)
class Failures:
    """The share of trials that failed.

    Their loss was no longer a number, there was no memory, or they could not be trained at all.

    The intervals are Wilson's, and take trials to fail independently of each other.

    Attributes:
        by: The factors that tell the groups apart.
        groups: The values of each group.
        runs: How many trials each has, (groups,).
        failed: How many of them failed, (groups,).
        share: The same as a share, (groups,).
        low: Lower ends of the 95 % intervals of the shares, (groups,).
        high: Upper ends, (groups,).
    """

    by: tuple[str, ...]
    groups: tuple[Mapping[str, Any], ...]
    runs: NDArray[np.int64]
    failed: NDArray[np.int64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def verdict(self) -> str:
        """One sentence: how many trials failed, and where."""
        failed, runs = int(self.failed.sum()), int(self.runs.sum())
        if not failed:
            return f"none of {counted(runs, 'trial', 'trials')} failed"
        hit = sorted(np.flatnonzero(self.failed), key=lambda g: -self.share[g])
        names = [f"{setting_text(self.groups[g])} ({self.share[g]:.0%})" for g in hit]
        where = f", at {names_of(names)}" if self.by else ""
        return f"{failed:,} of {counted(runs, 'trial', 'trials')} failed{where}"

    def to_frame(self) -> "pd.DataFrame":
        """One row a group."""
        import pandas as pd

        columns: dict[str, Any] = {name: [group[name] for group in self.groups] for name in self.by}
        for name in ("runs", "failed", "share", "low", "high"):
            columns[name] = getattr(self, name)
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the verdict among them."""
        groups = self.to_frame().to_dict("records")
        document = {"by": list(self.by), "groups": groups, "verdict": self.verdict}
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """The share that failed with its interval, against the first factor."""
        from secchi.experiments.drawing import failures_figure

        return failures_figure(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [["", "failed", "share", f"{100 * LEVEL:g} % interval"]]
        for g in np.flatnonzero(self.failed):
            interval = f"{self.low[g]:.3f} to {self.high[g]:.3f}"
            failed = f"{self.failed[g]:,} of {self.runs[g]:,}"
            rows.append([setting_text(self.groups[g]), failed, f"{self.share[g]:.3f}", interval])
        return "\n".join([*([table(rows)] if len(rows) > 1 else []), self.verdict])


def failures_of(collected: Collected, by: Sequence[str]) -> Failures:
    """The share that failed; see :meth:`secchi.experiments.result.Result.failures`."""
    collected = collected.apart(by)
    groups, places = collected.grouped(by)
    runs, failed = counts(collected, places, len(groups))
    pairs = zip(runs, failed, strict=True)
    ends = np.array([share_interval(np.arange(n) < hits) for n, hits in pairs]).reshape(-1, 2)
    return Failures(tuple(by), groups, runs, failed, failed / runs, ends[:, 0], ends[:, 1])


def refusals(collected: Collected) -> list[str]:
    """Why trials could not be trained: each of the first reasons, with one of its trials."""
    found: dict[str, list[Trial]] = {}
    for trial, fault in zip(collected.trials, collected.faults, strict=True):
        if fault:
            found.setdefault(fault, []).append(trial)
    return [
        f"{counted(len(trials), 'trial', 'trials')} could not be trained, such as "
        f"{trials[0]}: {fault}"
        for fault, trials in list(found.items())[:_MOST_REASONS]
    ]


_MOST_REASONS = 3
"""Reasons that are told."""
