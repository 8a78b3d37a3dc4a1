"""Which trials fail, and at which values."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.averaging import counts
from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.frames import group_records, groups_frame
from secchi.experiments.reading.measures import setting_text
from secchi.files import finite
from secchi.intervals import LEVEL, share_interval
from secchi.text import counted, names_of, table
from secchi.training.history import Outcome

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
        reasons: A sentence for each way in which trials failed: how many did, why, what helps.
    """

    by: tuple[str, ...]
    groups: tuple[Mapping[str, Any], ...]
    runs: NDArray[np.int64]
    failed: NDArray[np.int64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reasons: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One sentence: how many trials failed, and where."""
        failed, runs = int(self.failed.sum()), int(self.runs.sum())
        if not failed:
            return f"none of {counted(runs, 'trial', 'trials')} failed"
        if failed == runs:
            return f"all {counted(runs, 'trial', 'trials')} failed" if runs > 1 else "it failed"
        hit = sorted(np.flatnonzero(self.failed), key=lambda g: -self.share[g])
        names = [f"{setting_text(self.groups[g])} ({self.share[g]:.0%})" for g in hit]
        where = f", at {names_of(names)}" if self.by else ""
        return f"{failed:,} of {counted(runs, 'trial', 'trials')} failed{where}"

    def to_frame(self) -> "pd.DataFrame":
        """One row a group."""
        return groups_frame(self.groups, self._numbers)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the verdict among them."""
        document = {
            "by": list(self.by),
            "groups": group_records(self.groups, self._numbers),
            "verdict": self.verdict,
            "reasons": self.reasons,
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """The share that failed with its interval, against the first factor."""
        from secchi.experiments.reading.drawing import failures_figure

        return failures_figure(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [["", "failed", "share", f"{100 * LEVEL:g} % interval"]]
        for g in np.flatnonzero(self.failed):
            interval = f"{self.low[g]:.3f} to {self.high[g]:.3f}"
            failed = f"{self.failed[g]:,} of {self.runs[g]:,}"
            rows.append([setting_text(self.groups[g]), failed, f"{self.share[g]:.3f}", interval])
        shares = [table(rows)] if len(rows) > 1 else []
        return "\n".join([*shares, self.verdict, *self.reasons])

    @property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        """Those of each group, by their names."""
        names = ("runs", "failed", "share", "low", "high")
        return {name: getattr(self, name) for name in names}


def failures_of(collected: Collected, by: Sequence[str]) -> Failures:
    """The share that failed; see :meth:`secchi.experiments.result.Result.failures`."""
    collected = collected.apart(by)
    groups, places = collected.grouped(by)
    runs, failed = counts(collected, places, len(groups))
    pairs = zip(runs, failed, strict=True)
    ends = np.array([share_interval(np.arange(n) < hits) for n, hits in pairs]).reshape(-1, 2)
    reasons = tuple(_reasons(collected))
    return Failures(tuple(by), groups, runs, failed, failed / runs, ends[:, 0], ends[:, 1], reasons)


def all_failed(collected: Collected) -> str | None:
    """How every trial failed, in words; None where one did not."""
    if not (len(collected.trials) and collected.failed.all()):
        return None
    failures = failures_of(collected, ())
    return "; ".join([failures.verdict, *failures.reasons])


def _reasons(collected: Collected) -> list[str]:
    """Why trials failed: each of the first reasons, with how many they are."""
    found: dict[tuple[Outcome, str], list[Trial]] = {}
    ends = zip(collected.trials, collected.outcomes, collected.reasons, strict=True)
    for trial, outcome, reason in ends:
        if reason is not None:
            found.setdefault((outcome, reason), []).append(trial)
    ordered = sorted(found.items(), key=lambda one: -len(one[1]))
    told = [_told(*which, trials) for which, trials in ordered[:_MOST_REASONS]]
    more = len(ordered) - len(told)
    return told + ([f"{more:,} more in the column reason of result.final"] if more else [])


def _told(outcome: Outcome, reason: str, trials: "Sequence[Trial]") -> str:
    """How many trials ended so, and why."""
    count = counted(len(trials), "trial", "trials")
    if outcome is Outcome.REFUSED:
        return f"{count} could not be trained, such as {trials[0]}: {reason}"
    return f"{count} {_WAYS[outcome]}: {reason}"


_WAYS = {Outcome.DIVERGED: "diverged", Outcome.OUT_OF_MEMORY: "ran out of memory"}

_MOST_REASONS = 3
"""Reasons that are told."""
