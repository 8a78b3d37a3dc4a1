"""How many networks are trained before the next commit: what fits memory and takes seconds."""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from secchi.cohort.member import Member
from secchi.errors import DataError, SpecError

if TYPE_CHECKING:
    from secchi.experiments.experiment import Experiment
    from secchi.experiments.tables import Tables
    from secchi.experiments.trials import Trial

SHARE_BYTES = 256 * 2**20
"""The most that the tables and the curves of a share take, where it has more than one network."""

SHARE_SECONDS = 5.0
"""What a share should take where other processes may join, so that they find work. The larger it
is, the more of its networks go in step."""


def members_that_fit(
    experiment: "Experiment", trials: "Sequence[Trial]", tables: "Tables"
) -> list[Member]:
    """The networks of the first of some trials that fit :data:`SHARE_BYTES` together.

    Args:
        experiment: What the trials are of.
        trials: At least one; that one's network is given however much it takes.
        tables: What they learn from.

    Raises:
        DataError: The first one cannot be trained: its rows cannot be had. Where it is a later
            one, those before it are given.
        SpecError: Likewise.
    """
    members: list[Member] = []
    seen: set[int] = set()
    total = 0
    for trial in trials:
        try:
            member = experiment.member(trial, tables)
        except (DataError, SpecError):
            if members:
                break
            raise
        total += _FLOAT * member.training.epochs * (_LOSSES + len(experiment.measured))
        if id(member.table) not in seen:
            seen.add(id(member.table))
            total += member.table.nbytes
        if members and total > SHARE_BYTES:
            break
        members.append(member)
    return members


class Pace:
    """How large the next share is, by the time that those before it took.

    Args:
        threads: How many there are to train.
        joined: Whether other processes may join; else all that fits memory is one share.

    >>> pace = Pace(threads=2)
    >>> pace.size
    256
    >>> pace.note(256, estimated=0.6, seconds=1.2)  # quick, so the next one may be larger
    >>> pace.size, pace.cut(1024, estimated=4.0, in_step=True)
    (1024, 1024)
    >>> pace.cut(1024, estimated=80.0, in_step=True)  # others, which take 160 seconds at this pace
    32
    >>> pace.cut(1024, estimated=400.0, in_step=False)
    6
    """

    def __init__(self, threads: int, joined: bool = True) -> None:
        self.least = threads * _LANES
        self.size = _FIRST * self.least if joined else sys.maxsize
        self._joined = joined
        self._seconds = SHARE_SECONDS if joined else math.inf
        self._slowness = 1.0  # seconds for each one that was estimated

    def cut(self, networks: int, estimated: float, *, in_step: bool) -> int:
        """How many of the networks of a share to train in it.

        Args:
            networks: How many there are.
            estimated: Seconds for all of them, as they were foreseen.
            in_step: Whether some of them go in step; then fewer than ``least`` would hardly take
                less time.
        """
        seconds = estimated * self._slowness
        if seconds <= 2 * self._seconds:
            return networks
        least = self.least if in_step else 1
        return min(networks, max(least, int(networks * self._seconds / seconds)))

    def note(self, networks: int, estimated: float, seconds: float) -> None:
        """Learn from a share that was trained.

        Args:
            networks: How many it had.
            estimated: Seconds, as they were foreseen.
            seconds: What it took.
        """
        if estimated > 0:
            self._slowness = seconds / estimated
        # By small factors, since the first share of a kind also takes what it takes to compile.
        change = min(max(self._seconds / max(seconds, 1e-9), 1 / _STEP), _STEP)
        if self._joined:
            self.size = max(self.least, round(networks * change))


_LANES = 16
"""Networks that a thread trains in about the time of one: as many as fit a vector register."""

_FIRST = 8
"""How many times the least the first share is."""

_STEP = 4
"""The most by which the next share is larger or smaller."""

_LOSSES = 2
_FLOAT = 8
