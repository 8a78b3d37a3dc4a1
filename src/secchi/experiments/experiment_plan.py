"""What an experiment would do and take, told before it runs."""

import contextlib
import dataclasses
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secchi.cohort.member import Member
from secchi.cohort.plan import plan, seconds_of_compiling
from secchi.cohort.structure import Structure
from secchi.data.summary import printable
from secchi.errors import DataError, SpecError
from secchi.experiments.held_fixed import held_fixed, predicted
from secchi.experiments.settings import told
from secchi.experiments.shares import members_that_fit
from secchi.experiments.store import Store, absolute
from secchi.experiments.trials import Trial
from secchi.features.runtimes import cores
from secchi.text import counted

if TYPE_CHECKING:
    from secchi.experiments.experiment import Experiment
    from secchi.experiments.tables import Tables


@dataclasses.dataclass(frozen=True)
class Together:
    """Networks of one kind.

    Attributes:
        networks: How many.
        words: What they have in common; of those that are trained alone, why they are.
    """

    networks: int
    words: str


@dataclasses.dataclass(frozen=True)
class ExperimentPlan:
    """What an experiment trains, what it holds fixed, and an estimate of what that takes.

    Attributes:
        settings: How many settings there are.
        repeats: How often each is trained.
        trials: Networks in all.
        cohorts: Networks that can be trained in step.
        alone: Networks that cannot, by the reason.
        seconds: Estimated, of all networks that are left to train, of making their tables and of
            compiling, on all cores that this process may use; on a GPU they take another time,
            which is not estimated.
        nbytes: Likewise, the most that is in memory at a time for them.
        cores: How many those are.
        device: ``"cpu"`` or ``"cuda"``.
        refused: Networks that cannot be trained, as far as their rows tell, by the reason.
        drawn: Settings that the design drew, of which some can be the same; None: it draws none.
        predicted: What is predicted, in words; empty where that varies.
        notes: What to know of the data.
        fixed: What does not vary of the network and the training; see
            :func:`secchi.experiments.held_fixed.held_fixed`.
        store: The file whose finished trials are left out; None: there is none.
        finished: How many those are.

    >>> steps = (Together(2400, "11 inputs, 3 hidden layers (relu), 1 output, sgd"),)
    >>> print(ExperimentPlan(120, 20, 2400, steps, (), 61.2, 48_000_000, 2))
    2,400 networks: 120 settings, 20 repeats
    2,400 in step: 11 inputs, 3 hidden layers (relu), 1 output, sgd
    estimated: about 60 s on 2 cores, and 48 MB of memory
    """

    settings: int
    repeats: int
    trials: int
    cohorts: tuple[Together, ...]
    alone: tuple[Together, ...]
    seconds: float
    nbytes: int
    cores: int
    device: str = "cpu"
    refused: tuple[Together, ...] = ()
    drawn: int | None = None
    predicted: str = ""
    notes: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    store: str | None = None
    finished: int = 0

    def __str__(self) -> str:
        lines = [
            self._size(),
            f"to predict: {self.predicted}" if self.predicted else "",
            *(f"note: {note}" for note in self.notes),
            f"held fixed: {told(self.fixed)}" if self.fixed else "",
            self._done(),
            *(f"{each.networks:,} in step: {each.words}" for each in self.cohorts),
            *(f"{each.networks:,} alone: {each.words}" for each in self.alone),
            *(f"{each.networks:,} not at all: {each.words}" for each in self.refused),
            self._estimate(),
        ]
        return "\n".join(printable(line) for line in lines if line)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)

    def _size(self) -> str:
        settings = f"{self.settings:,} settings" if self.settings > 1 else "nothing varies"
        if self.drawn and self.drawn > self.settings:
            settings = f"{self.settings:,} different settings of {self.drawn:,} drawn"
        networks = counted(self.trials, "network", "networks")
        return f"{networks}: {settings}, {counted(self.repeats, 'repeat', 'repeats')}"

    def _done(self) -> str:
        if self.store is None:
            return ""
        done = f"{self.finished:,}" if self.finished else "none"
        return f"{done} of them {'is' if self.finished <= 1 else 'are'} finished in {self.store}"

    def _estimate(self) -> str:
        if self.finished == self.trials:
            return "nothing is left to train"
        estimated = "estimated" if self.device == "cpu" else "estimated, were it not for the GPU"
        place, memory = counted(self.cores, "core", "cores"), f"{self.nbytes / 1e6:,.0f} MB"
        return f"{estimated}: {_duration(self.seconds)} on {place}, and {memory} of memory"


def plan_of(
    experiment: "Experiment", store: str | os.PathLike[str] | None = None
) -> ExperimentPlan:
    """What an experiment would do and take; nothing is trained, and no file is written.

    Only some of the repeats are looked at, and stand for the others: these have the same settings,
    on tables of the same kind. How long tables take to be made is measured.

    Args:
        experiment: What would be trained.
        store: A file whose finished trials are left out; it does not have to be there.

    Raises:
        SecchiError: The store is of another experiment, or cannot be read.
    """
    left = _left(experiment, store)
    trials = _looked_at(left)
    share = len(left) / max(len(trials), 1)
    tables, metrics, threads = experiment.tables(), experiment.metrics, cores()
    seconds, nbytes = _seconds_of_tables(left, tables), 0
    cohorts, alone, refused = Counter[Structure](), Counter[str](), Counter[str]()
    while trials:
        try:
            members = members_that_fit(experiment, trials, tables)
        except (DataError, SpecError) as error:
            refused[str(error)] += 1
            trials = trials[1:]
            continue
        trials = trials[len(members) :]
        found = plan(members, metrics)
        cohorts.update(dict(zip(found.structures, map(len, found.cohorts), strict=True)))
        alone.update(reason for _, reason in found.alone)
        by_itself = plan([members[place] for place, _ in found.alone], metrics).seconds
        seconds += share * (by_itself + (found.seconds - by_itself) / threads)
        nbytes = max(nbytes, found.nbytes * threads + _rows_bytes(members))
    in_step = Counter[str]()
    for common, count in cohorts.items():
        in_step[str(common)] += count
    varies = "classes" in experiment.vary
    return ExperimentPlan(
        len(experiment.settings),
        experiment.repeats,
        len(experiment.trials),
        _together(in_step, share),
        _together(alone, share),
        seconds + seconds_of_compiling(cohorts),
        nbytes,
        threads,
        experiment.device,
        _together(refused, share),
        experiment.samples,
        "" if varies else predicted(experiment.task.targets),
        tuple(getattr(experiment.data, "notes", ())),
        held_fixed(experiment),
        None if store is None else str(absolute(store)),
        len(experiment.trials) - len(left),
    )


def _left(experiment: "Experiment", store: str | os.PathLike[str] | None) -> Sequence[Trial]:
    """The trials that a store has not finished, in their order."""
    trials = experiment.trials
    if store is None:
        return trials
    finished = Store.finished_in(store, experiment.to_dict(), experiment.fingerprint())
    return [trial for trial in trials if trial.key not in finished] if finished else trials


def _looked_at(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Those of the first repeats, as few as have so many."""
    if len(trials) <= _LOOKED_AT:
        return trials
    last = trials[_LOOKED_AT - 1].repeat
    return [trial for trial in trials if trial.repeat <= last]


def _seconds_of_tables(trials: Sequence[Trial], tables: "Tables") -> float:
    """How long the tables of all repeats take to be made, one after the other.

    A table that several settings or repeats share is made once: so the first repeat is timed, and
    some of the second, which stands for all after it.
    """

    def timed(some: Sequence[Trial]) -> float:
        start = time.perf_counter()
        for trial in some:
            with contextlib.suppress(DataError, SpecError):  # told of where it is planned
                tables.of(trial.setting, trial.repeat)
        return time.perf_counter() - start

    first = [trial for trial in trials if trial.repeat == trials[0].repeat]
    rest = trials[len(first) :]
    some = [trial for trial in rest[:_LOOKED_AT] if trial.repeat == rest[0].repeat]
    return timed(first) + timed(some) * len(rest) / max(len(some), 1)


def _rows_bytes(members: Sequence[Member]) -> int:
    """Bytes of the tables that networks learn from; many learn from the same one."""
    return sum({id(member.table): member.table.nbytes for member in members}.values())


def _together(networks: Mapping[str, int], share: float) -> tuple[Together, ...]:
    return tuple(Together(round(count * share), words) for words, count in networks.items())


def _duration(seconds: float) -> str:
    """A time that is estimated, with as many digits as may be right."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"about {_rounded(seconds)} s"
    if seconds < 6000:
        return f"about {_rounded(seconds / 60)} min"
    return (
        f"about {seconds / 3600:.1f} h"
        if seconds < 36_000
        else f"about {_rounded(seconds / 3600)} h"
    )


def _rounded(value: float) -> int:
    return 10 * round(value / 10) if value >= 20 else round(value)


_LOOKED_AT = 256
"""Networks whose grouping is looked at, at least, where there are so many."""
