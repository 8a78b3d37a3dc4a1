"""Rules that watch the validation loss: when to stop, and which epoch was best.

A rule is configuration; what it has seen is a state of its own: ``init() -> state`` and
``update(state, epoch) -> state``. What it decides follows from the state alone, so that it decides
the same where a run goes on: ``stops(state)``, ``keeps(state)``.
"""

import dataclasses
import math
from typing import NamedTuple

from secchi.training.history import Epoch


class Seen(NamedTuple):
    """What a rule remembers.

    Attributes:
        lowest: The lowest validation loss so far.
        best: The number of the epoch that had it; None before the first.
        waited: Epochs since then.

    >>> Seen().after(Epoch(3, 0.0, 0.4, {}, 0.0))
    Seen(lowest=0.4, best=3, waited=0)
    """

    lowest: float = math.inf
    best: int | None = None
    waited: int = 0

    def after(self, epoch: Epoch) -> "Seen":
        """With one more epoch; a loss that is no number is never the lowest."""
        if epoch.valid_loss < self.lowest:
            return Seen(epoch.valid_loss, epoch.number, 0)
        return self._replace(waited=self.waited + 1)


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Stop when the validation loss has not been lower for so many epochs.

    Attributes:
        patience: How many; None never stops.

    >>> rule = EarlyStopping(patience=2)
    >>> state = rule.init()
    >>> for number, loss in enumerate([0.5, 0.4, 0.6, 0.7]):
    ...     state = rule.update(state, Epoch(number, 0.0, loss, {}, 0.0))
    >>> rule.stops(state)
    True
    """

    patience: int | None

    def init(self) -> Seen:
        """Nothing seen yet."""
        return Seen()

    def update(self, state: Seen, epoch: Epoch) -> Seen:
        """Take in an epoch."""
        return state.after(epoch)

    def stops(self, state: Seen) -> bool:
        """Whether to stop after what was seen."""
        return self.patience is not None and state.waited >= self.patience


@dataclasses.dataclass(frozen=True)
class KeepBest:
    """Keep the weights of the epoch with the lowest validation loss.

    Attributes:
        wanted: Whether to keep them at all.

    >>> rule = KeepBest(wanted=True)
    >>> state = rule.init()
    >>> for number, loss in enumerate([0.5, 0.4, 0.6]):
    ...     state = rule.update(state, Epoch(number, 0.0, loss, {}, 0.0))
    >>> rule.keeps(state), state.best
    (False, 1)
    """

    wanted: bool

    def init(self) -> Seen:
        """Nothing seen yet."""
        return Seen()

    def update(self, state: Seen, epoch: Epoch) -> Seen:
        """Take in an epoch."""
        return state.after(epoch)

    def keeps(self, state: Seen) -> bool:
        """Whether the weights of the last epoch that was seen are the ones to keep."""
        return self.wanted and state.best is not None and state.waited == 0
