"""A trial done again on its own, beside what was kept of it."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.files import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secchi.cohort.curve import Curve
    from secchi.experiments.experiment import Experiment
    from secchi.experiments.trials import Finished, Trial

_MUCH = {"fp32": 1e-3, "fp64": 1e-6}
"""By more than this rounding seldom moves a stable training; of a larger difference it is said."""


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """A trial as it was kept, and as it is when it is trained alone by the ordinary loop.

    Attributes:
        trial: Which.
        kept: What was kept of it.
        again: What it is alone.
        difference: The largest relative difference of a loss, |a - b| / max(|a|, |b|), over
            training and validation and all epochs; infinite where they ended differently.
        precision: What both computed in, ``"fp32"`` or ``"fp64"``.
    """

    trial: "Trial"
    kept: "Curve"
    again: "Curve"
    difference: float
    precision: str = "fp32"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, both curves among them; a number that is not finite is None."""
        document = {
            "setting": dict(self.trial.setting),
            "repeat": self.trial.repeat,
            "kept": _losses(self.kept),
            "again": _losses(self.again),
            "difference": self.difference,
            "precision": self.precision,
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """Both curves on each other."""
        from secchi.figures.experiments import replayed_curves

        return replayed_curves(_curves(self.kept), _curves(self.again), self._verdict())

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.trial}: {self._verdict()}"

    def _verdict(self) -> str:
        if self.difference == 0:
            return "trained alone, it gives the same losses, to the bit"
        if math.isinf(self.difference):
            one, other = (curve.outcome.name.lower() for curve in (self.kept, self.again))
            return (
                f"kept: {len(self.kept.valid_loss):,} epochs, {one}; "
                f"trained alone: {len(self.again.valid_loss):,} epochs, {other}{self._why}"
            )
        text = f"trained alone, its losses differ by {self.difference:.1e} of themselves at most"
        return text + self._why

    @property
    def _why(self) -> str:
        """What a large difference can come from; nothing of a small one."""
        if self.difference <= _MUCH[self.precision]:
            return ""
        if self.precision == "fp64":
            return "; even in fp64 rounding comes to so much where training is unstable"
        return (
            "; rounding comes to so much where training is unstable, over many steps, or a loss is "
            "next to zero: precision='fp64' tells whether it is that"
        )


def replayed(finished: "Finished", experiment: "Experiment") -> Replay:
    """Train a trial alone; see :meth:`secchi.experiments.result.Result.replay`."""
    from secchi.cohort.alone import train_alone

    # A stack draws its dropout as a processor does; a network that trained alone, where it was.
    device = experiment.device if finished.alone else "cpu"
    member = experiment.member(finished.trial, experiment.tables())
    again = train_alone(member, experiment.metrics, device)
    difference = relative_difference(finished.curve, again)
    return Replay(finished.trial, finished.curve, again, difference, experiment.precision)


def relative_difference(one: "Curve", other: "Curve") -> float:
    """The largest relative difference of their losses; infinite where they ended differently."""
    if one.outcome != other.outcome:
        return math.inf
    a, b = (np.concatenate([curve.train_loss, curve.valid_loss]) for curve in (one, other))
    if a.shape != b.shape:
        return math.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    larger = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore"):
        relative = np.where(same, 0.0, np.abs(a - b) / np.where(same, 1.0, larger))
    return float(np.nan_to_num(relative, nan=math.inf).max(initial=0.0))


def _curves(curve: "Curve") -> dict[str, Any]:
    return {"training": curve.train_loss, "validation": curve.valid_loss}


def _losses(curve: "Curve") -> dict[str, Any]:
    losses = {"train_loss": curve.train_loss.tolist(), "valid_loss": curve.valid_loss.tolist()}
    return losses | {"outcome": curve.outcome.name, "steps": curve.steps, "kept": curve.kept}
