"""A trial: one setting in one repeat, and what came of it."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from secchi.experiments.settings import Setting, canonical, told

if TYPE_CHECKING:
    from secchi.cohort.curve import Curve


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One network to be trained. Two are equal where setting and repeat are.

    Attributes:
        setting: A plain JSON value for each factor, by its name; not to be changed.
        repeat: The number of the repeat, from 0.

    >>> Trial({"lr": 0.1}, 0) == Trial({"lr": 0.1}, 0), Trial({"lr": 0.1}, 0) == Trial({}, 0)
    (True, False)
    >>> print(Trial({"lr": 0.1, "depth": 2}, 3))
    lr=0.1, depth=2, repeat 3
    """

    setting: Mapping[str, Any]
    repeat: int

    @cached_property
    def key(self) -> str:
        """What names it in any process: 24 characters, the beginning of a SHA-256 digest.

        Of the setting and the repeat alone, so that a trial keeps its key when others are added.
        """
        text = canonical({"setting": self.setting, "repeat": self.repeat})
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Trial) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return ", ".join(filter(None, [told(self.setting), f"repeat {self.repeat}"]))


class Finished(NamedTuple):
    """A trial that was trained, or that cannot be.

    Attributes:
        trial: Which.
        curve: What is kept of its training; without epochs where it cannot be trained.
        alone: Why it trained alone; None where it trained with others.
        seconds: What it took on average, of those that were trained between two commits.
        fault: Why it cannot be trained; None where it can.
    """

    trial: Trial
    curve: "Curve"
    alone: str | None
    seconds: float
    fault: str | None = None

    @classmethod
    def refused(cls, trial: Trial, error: Exception) -> "Finished":
        """A trial that cannot be trained, such as one with too few rows for batch normalisation.

        >>> Finished.refused(Trial({"train_fraction": 0.001}, 0), ValueError("one row")).fault
        'one row'
        """
        import numpy as np

        from secchi.cohort.curve import Curve
        from secchi.training.history import Outcome

        none = np.empty(0)
        return cls(trial, Curve(none, none, {}, Outcome.REFUSED, 0, None), None, 0.0, str(error))


def trials_of(settings: Iterable[Setting], repeats: int) -> tuple[Trial, ...]:
    """Every setting in every repeat: all of the first repeat, then all of the second, and so on.

    So trials that share their rows are neighbours, and one more repeat moves no number of a trial.

    >>> [trial.repeat for trial in trials_of([{"lr": 0.1}, {"lr": 1.0}], repeats=2)]
    [0, 0, 1, 1]
    """
    made = tuple(settings)
    return tuple(Trial(setting, repeat) for repeat in range(repeats) for setting in made)
