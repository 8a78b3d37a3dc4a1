"""The rates of a run before a second is spent on it."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from secchi.training.schedules import At
from secchi.training.spec import Training, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class SchedulePlan:
    """Learning rates and momentum, step by step.

    Attributes:
        epochs: Where each step stands, in epochs.
        rates: The learning rate at each step, by layer group.
        momenta: The momentum, or Adam's first beta, at each step.

    >>> plan = SchedulePlan.of(Training(lr=0.1, epochs=2, batch_size=50), ["head"], rows=100)
    >>> plan.epochs, plan.rates
    ((0.0, 0.5, 1.0, 1.5), {'head': (0.1, 0.1, 0.1, 0.1)})
    """

    epochs: tuple[float, ...]
    rates: dict[str, tuple[float, ...]]
    momenta: tuple[float, ...]

    @classmethod
    def of(
        cls,
        training: Training,
        groups: Sequence[str],
        rows: int,
        equal_batches: bool = False,
    ) -> "SchedulePlan":
        """What a training will do.

        Args:
            training: The training.
            groups: The names of the layer groups that train, first layers first.
            rows: How many rows it trains on.
            equal_batches: As for :func:`secchi.training.loop.train`.

        Raises:
            SpecError: More rates than groups.
        """
        rows = training.rows_of_epoch(rows, equal_batches)
        per_epoch = -(-rows // (training.batch_size * training.accumulate))
        steps = training.epochs * per_epoch
        places = [At(step, steps, per_epoch) for step in range(steps)]
        factors = [training.schedule.factor(at) for at in places]
        rates = spread(training.rates, len(groups))
        moment = training.base_momentum
        return cls(
            tuple(at.step / per_epoch for at in places),
            {
                name: tuple(lr * factor for factor in factors)
                for name, lr in zip(groups, rates, strict=True)
            },
            tuple(training.schedule.momentum(at, moment) if moment else 0.0 for at in places),
        )

    def plot(self) -> "Figure":
        """Rates and momentum against epochs."""
        from secchi.figures.schedules import schedule_curves

        moving = len(set(self.momenta)) > 1
        momenta = {"momentum": self.momenta} if moving else None
        return schedule_curves(self.epochs, self.rates, momenta)
