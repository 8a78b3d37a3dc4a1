"""Means over repeats by epoch."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.averaging import smoothed
from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.frames import factor_column
from secchi.experiments.reading.group_means import GroupMeans
from secchi.experiments.reading.measures import measure_text, setting_text
from secchi.files import finite
from secchi.text import counted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from secchi.experiments.trials import Finished

_NUMBERS = ("mean", "low", "high", "n", "trials")
"""Of each group and epoch."""


@dataclasses.dataclass(frozen=True, eq=False)
class MeanCurves(GroupMeans):
    """Means over repeats after every epoch.

    A trial that has ended has no values after its last epoch: from there on a mean is of fewer
    trials, maybe of other settings, and ``trials`` says how many. Trials that failed are left out,
    and counted. Intervals are as of :class:`secchi.experiments.reading.means.Means`, attributes as
    of :class:`secchi.experiments.reading.group_means.GroupMeans`, by group and epoch.
    """

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Whether each mean is of all trials that did not fail, (groups, epochs)."""
        whole: NDArray[np.bool_] = self.trials == (self.runs - self.failed)[:, None]
        return whole

    def smoothed(self, count: int) -> "MeanCurves":
        """Each curve as its centred moving mean, and the means of those.

        Args:
            count: Over how many epochs, an odd number; fewer at the ends.
        """
        return self.with_smooth(smoothed(self.each, count), count)

    def to_frame(self) -> "pd.DataFrame":
        """One row a group and epoch."""
        import pandas as pd

        groups, epochs = self.mean.shape
        columns: dict[str, Any] = {
            name: np.repeat(factor_column([group[name] for group in self.groups]), epochs)
            for name in self.by
        }
        columns["epoch"] = np.tile(np.arange(epochs), groups)
        for name in _NUMBERS:
            columns[name] = getattr(self, name).ravel()
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, a dictionary a group; numbers that are not finite are None."""
        groups = [
            {
                **group,
                **{name: getattr(self, name)[g].tolist() for name in _NUMBERS},
                "runs": int(self.runs[g]),
                "failed": int(self.failed[g]),
            }
            for g, group in enumerate(self.groups)
        ]
        document = {"measure": self.measure, "by": list(self.by), "smooth": self.smooth}
        document["remark"] = self.remark
        plain: dict[str, Any] = finite(document | {"groups": groups})
        return plain

    def plot(self) -> "Figure":
        """A curve with its interval for each group; dotted where some trials have ended."""
        from secchi.experiments.reading.drawing import curves_figure

        return curves_figure(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        epochs = counted(self.mean.shape[1], "epoch", "epochs")
        lines = [f"{measure_text(self.measure)} over {epochs}"]
        for group, runs, failed in zip(self.groups, self.runs, self.failed, strict=True):
            end = f", {failed:,} failed" if failed else ""
            lines.append(f"{setting_text(group)}: {counted(int(runs), 'trial', 'trials')}{end}")
        lines += [self.remark] if self.remark else []
        return "\n".join(lines)


def mean_curves(
    collected: Collected,
    finished: "Sequence[Finished]",
    measure: str,
    by: Sequence[str],
    remark: str = "",
) -> MeanCurves:
    """Means by epoch; see :meth:`secchi.experiments.result.Result.curves`."""
    collected = collected.apart(by)
    return MeanCurves.of(collected, measure, by, collected.courses(measure, finished), remark)
