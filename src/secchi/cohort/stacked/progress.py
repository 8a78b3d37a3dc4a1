"""What has happened to the members of a stack so far, and which of them are done."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from secchi.cohort.curve import Curve, Numbers
from secchi.cohort.member import Member
from secchi.training.history import Outcome


class StackedProgress:
    """The curves of some members while they grow, by the rules of the ordinary loop.

    Args:
        members: Whose.
        metrics: What is measured after every epoch.

    Attributes:
        here: The places of the members that are not done, in their order.
    """

    def __init__(self, members: Sequence[Member], metrics: Sequence[str]) -> None:
        trainings = [member.training for member in members]
        self._epochs = trainings[0].epochs
        self._keep_best = [training.keep_best for training in trainings]
        self._patience = np.array([training.patience or np.inf for training in trainings])
        self._lowest = np.full(len(members), np.inf)
        self._best = np.full(len(members), -1)
        shape = len(members), self._epochs
        names = ("train_loss", "valid_loss", *metrics)
        self._numbers = {name: np.full(shape, np.nan) for name in names}
        self.here = np.arange(len(members))
        self._curves: dict[int, Curve] = {}

    def lose(self, sound: NDArray[np.bool_], epoch: int, steps: NDArray[np.int64]) -> None:
        """Members that diverged in a step of an epoch are done.

        Args:
            sound: Which did not; one each of those here, like the others.
            epoch: Its number.
            steps: That they had taken.
        """
        for place, taken in zip(self.here[~sound].tolist(), steps[~sound].tolist(), strict=True):
            self._end(place, Outcome.DIVERGED, epoch, taken)
        self.here = self.here[sound]

    def add(self, epoch: int, numbers: Mapping[str, Numbers], steps: int) -> NDArray[np.bool_]:
        """Take in an epoch.

        Args:
            epoch: Its number.
            numbers: The losses and metrics of those here.
            steps: That they have taken.

        Returns:
            Which of them go on; the others are done.
        """
        here, valid_loss = self.here, numbers["valid_loss"]
        for name, values in numbers.items():
            self._numbers[name][here, epoch] = values
        lower = valid_loss < self._lowest[here]
        self._lowest[here[lower]], self._best[here[lower]] = valid_loss[lower], epoch
        sound = np.isfinite(numbers["train_loss"]) & np.isfinite(valid_loss)
        # Before the first epoch with a lower loss, every one counts as waited.
        tired = epoch - self._best[here] >= self._patience[here]
        tired &= epoch + 1 < self._epochs
        for outcome, ended in (
            (Outcome.DIVERGED, ~sound),
            (Outcome.STOPPED_EARLY, sound & tired),
        ):
            for place in here[ended].tolist():
                self._end(place, outcome, epoch + 1, steps)
        self.here = here[sound & ~tired]
        return sound & ~tired

    def complete(self, steps: int) -> list[Curve]:
        """All that are left are done, after so many steps; the curves of all, in their order."""
        for place in self.here.tolist():
            self._end(place, Outcome.COMPLETED, self._epochs, steps)
        return [self._curves[place] for place in range(len(self._curves))]

    def _end(self, place: int, outcome: Outcome, epochs: int, steps: int) -> None:
        curves = {name: each[place, :epochs].copy() for name, each in self._numbers.items()}
        train_loss, valid_loss = curves.pop("train_loss"), curves.pop("valid_loss")
        best = int(self._best[place])
        kept = best if self._keep_best[place] and best not in (-1, epochs - 1) else None
        self._curves[place] = Curve(train_loss, valid_loss, curves, outcome, steps, kept)
