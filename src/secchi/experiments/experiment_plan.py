"""What an experiment would do and take, told before it runs."""

import contextlib
import dataclasses
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secchi.cohort.member import Member
from secchi.cohort.plan import plan
from secchi.errors import DataError, SpecError
from secchi.experiments.shares import members_that_fit
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
    """How many networks an experiment trains, which go in step, and an estimate of what it takes.

    Attributes:
        settings: How many settings there are.
        repeats: How often each is trained.
        trials: Networks in all.
        cohorts: Networks that can be trained in step.
        alone: Networks that cannot, by the reason.
        seconds: Estimated, of all of them and of making their tables, on all cores that this
            process may use; on a GPU they take another time, which is not estimated.
        nbytes: Likewise, the most that is in memory at a time for them.
        cores: How many those are.
        device: ``"cpu"`` or ``"cuda"``.
        refused: Networks that cannot be trained, as far as their rows tell, by the reason.

    >>> steps = (Together(2400, "11 inputs, 3 hidden layers (relu), 1 outputs, sgd"),)
    >>> print(ExperimentPlan(120, 20, 2400, steps, (), 61.2, 48_000_000, 2))
    2,400 networks: 120 settings, 20 repeats
    2,400 in step: 11 inputs, 3 hidden layers (relu), 1 outputs, sgd
    estimated: 61 s on 2 cores, and 48 MB of memory
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

    def __str__(self) -> str:
        settings = counted(self.settings, "setting", "settings")
        repeats = counted(self.repeats, "repeat", "repeats")
        time, place = _duration(self.seconds), counted(self.cores, "core", "cores")
        estimated = "estimated" if self.device == "cpu" else "estimated, were it not for the GPU"
        return "\n".join(
            [
                f"{counted(self.trials, 'network', 'networks')}: {settings}, {repeats}",
                *(f"{each.networks:,} in step: {each.words}" for each in self.cohorts),
                *(f"{each.networks:,} alone: {each.words}" for each in self.alone),
                *(f"{each.networks:,} not at all: {each.words}" for each in self.refused),
                f"{estimated}: {time} on {place}, and {self.nbytes / 1e6:,.0f} MB of memory",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)


def plan_of(experiment: "Experiment") -> ExperimentPlan:
    """What an experiment would do and take; nothing is trained.

    Only some of the repeats are looked at, and stand for the others: these have the same settings,
    on tables of the same kind. How long tables take to be made is measured.
    """
    settings, repeats = len(experiment.settings), experiment.repeats
    looked_at = min(repeats, math.ceil(_LOOKED_AT / max(settings, 1)))
    trials = [trial for trial in experiment.trials if trial.repeat < looked_at]
    share = repeats / looked_at
    tables, metrics, threads = experiment.tables(), experiment.metrics, cores()
    making = _seconds_of_tables(experiment, tables)
    cohorts, alone, refused = Counter[str](), Counter[str](), Counter[str]()
    seconds, nbytes = 0.0, 0
    while trials:
        try:
            members = members_that_fit(experiment, trials, tables)
        except (DataError, SpecError) as error:
            refused[str(error)] += 1
            trials = trials[1:]
            continue
        trials = trials[len(members) :]
        found = plan(members, metrics)
        for common, places in zip(found.structures, found.cohorts, strict=True):
            cohorts[str(common)] += len(places)
        alone.update(reason for _, reason in found.alone)
        by_itself = plan([members[place] for place, _ in found.alone], metrics).seconds
        seconds += by_itself + (found.seconds - by_itself) / threads
        nbytes = max(nbytes, found.nbytes * threads + _rows_bytes(members))
    return ExperimentPlan(
        settings,
        repeats,
        len(experiment.trials),
        _together(cohorts, share),
        _together(alone, share),
        making + seconds * share,
        nbytes,
        threads,
        experiment.device,
        _together(refused, share),
    )


def _seconds_of_tables(experiment: "Experiment", tables: "Tables") -> float:
    """How long the tables of all repeats take to be made, one after the other.

    A table that several settings or repeats share is made once: so the first repeat is timed, and
    some of the second, which stands for all after it.
    """

    def timed(settings: Sequence[Mapping[str, Any]], repeat: int) -> float:
        start = time.perf_counter()
        for setting in settings:
            with contextlib.suppress(DataError, SpecError):  # told of where it is planned
                tables.of(setting, repeat)
        return time.perf_counter() - start

    settings = experiment.settings
    first = timed(settings, 0)
    if experiment.repeats == 1:
        return first
    some = settings[:_LOOKED_AT]
    return first + timed(some, 1) * len(settings) / len(some) * (experiment.repeats - 1)


def _rows_bytes(members: Sequence[Member]) -> int:
    """Bytes of the tables that networks learn from; many learn from the same one."""
    return sum({id(member.table): member.table.nbytes for member in members}.values())


def _together(networks: Mapping[str, int], share: float) -> tuple[Together, ...]:
    return tuple(Together(round(count * share), words) for words, count in networks.items())


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


_LOOKED_AT = 256
"""Networks whose grouping is looked at, at least, where there are so many."""
