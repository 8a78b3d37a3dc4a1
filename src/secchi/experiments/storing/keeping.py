"""The trials of a share on their way into the store."""

import time
from collections.abc import Mapping, Sequence

from secchi.cohort.curve import Curve
from secchi.errors import DataError, SpecError
from secchi.experiments.store import Store
from secchi.experiments.trials import Finished, Trial

KEPT_SECONDS = 0.5
"""How often what has ended is kept: a kill loses no more, beside what is being trained."""


class Keeping:
    """The trials of a share as they end, on their way into the store.

    Args:
        store: Where to.
        trials: Those of the share.
        alone: Why some train alone, by their places.

    Attributes:
        ended: The places of those that have ended.
    """

    def __init__(self, store: Store, trials: Sequence[Trial], alone: Mapping[int, str]) -> None:
        self.ended: set[int] = set()
        self._store = store
        self._trials = trials
        self._alone = alone
        self._waiting: dict[int, Curve] = {}
        self._refused: list[Finished] = []
        self._kept = time.perf_counter()

    def add(self, place: int, curve: Curve) -> None:
        """One that has ended; kept with those that end at about the same time."""
        self.ended.add(place)
        self._waiting[place] = curve
        if time.perf_counter() - self._kept > KEPT_SECONDS:
            self.keep()

    def refuse(self, place: int, error: DataError | SpecError) -> None:
        """One that cannot be trained."""
        self.ended.add(place)
        self._refused.append(Finished.refused(self._trials[place], error))

    def keep(self) -> None:
        """Write what waits."""
        seconds = time.perf_counter() - self._kept
        each = seconds / max(len(self._waiting), 1)
        trained = [
            Finished(self._trials[place], curve, self._alone.get(place), each)
            for place, curve in self._waiting.items()
        ]
        self._store.finish([*trained, *self._refused])
        self._waiting, self._refused = {}, []
        self._kept = time.perf_counter()
