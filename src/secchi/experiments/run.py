"""An experiment as it runs: take a share of the trials, train it, keep it, take the next."""

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secchi.cohort.curve import Curve
from secchi.cohort.loop import Done, train_members
from secchi.cohort.member import Member
from secchi.cohort.plan import plan
from secchi.console import Console
from secchi.errors import DataError, SecchiError, SpecError
from secchi.experiments.result import Result
from secchi.experiments.shares import Pace, members_that_fit
from secchi.experiments.store import Store, absolute, nothing_in
from secchi.experiments.storing.keeping import Keeping
from secchi.experiments.trials import Finished, Trial
from secchi.features.runtimes import cores, resolve_device
from secchi.text import counted
from secchi.values import is_whole

if TYPE_CHECKING:
    from secchi.data.folders import Progress
    from secchi.experiments.experiment import Experiment

POLL_SECONDS = 0.2
"""Between two looks at what other processes have left."""


def run(
    experiment: "Experiment",
    store: str | os.PathLike[str] | None = None,
    *,
    jobs: int | None = None,
    fresh: bool = False,
    console: Console | None = None,
    option: str = "store=",
    planned: bool = False,
) -> Result:
    """Train every trial of an experiment that is not finished yet.

    Whatever ends this process, the same call goes on from the last share of trials that was kept,
    which takes about two seconds. Several processes can run the same experiment on one file: they
    share the trials, and each returns when all are finished. A trial that cannot be trained, such
    as one of too few rows, is kept as refused with the reason, and the others go on.

    Args:
        experiment: What to train.
        store: The file that keeps what is finished; None: memory.
        jobs: Threads; None: the cores that this process may use.
        fresh: Start anew: a file that is there is renamed, not deleted.
        console: Where lines and progress go; None takes standard output.
        option: What names a store, for what is told of an interruption.
        planned: Whether its plan was shown, which tells what is finished.

    Returns:
        Its ``computed`` counts what this call trained, without what other processes did meanwhile.

    Raises:
        SpecError: ``jobs`` is no whole number from 1 on, or there is no such device here.
        SecchiError: The store is of another experiment, or cannot be written; or it is to be
            started anew and another process is at work on it.
    """
    if jobs is not None and not (is_whole(jobs) and jobs >= 1):
        raise SpecError("this run cannot be", [f"jobs is {jobs!r}, which is not 1 or more"])
    resolve_device(experiment.device)
    console = console or Console()
    path = None if store is None else absolute(store)
    document, fingerprint = experiment.to_dict(), experiment.fingerprint()
    if fresh and path and (kept_as := moved_aside(path)):
        console.line(f"starting anew; what was in {path} is kept as {kept_as}")
    new_folder = path and not path.parent.exists()
    kept = Store.open(path, document, fingerprint)
    if path and new_folder:  # its name may be mistyped
        console.line(f"made the folder {path.parent}")
    trials = experiment.trials
    kept.add(trials)
    made = _Run(experiment, trials, kept, jobs or cores(), console, option)
    if not planned:
        made.tell_of_finished()
    made.go_on()
    finished = kept.finished([trial.key for trial in trials])
    return Result(kept.document, finished, experiment, kept.finished_here())


def moved_aside(path: Path) -> Path | None:
    """Rename a store: ``wine.sqlite`` to ``wine.1.sqlite``, or the next number that is free.

    Returns:
        Its new name; None where there is none.

    Raises:
        SecchiError: A process is at work on it, or it is no store.
    """
    if nothing_in(path):
        return None
    # Reading it also brings a change that a killed process left half written to its end, which
    # the file could not be renamed without.
    if others := Store.read(path).others():
        raise SecchiError(f"{others[0]} is at work on {path}; end it first, or name another store")
    number = 1
    while (target := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    path.rename(target)
    return target


class _Run:
    """The trials of an experiment on their way into a store."""

    def __init__(
        self,
        experiment: "Experiment",
        trials: Sequence[Trial],
        store: Store,
        threads: int,
        console: Console,
        option: str,
    ) -> None:
        self._experiment = experiment
        self._trials = {trial.key: trial for trial in trials}
        self._store = store
        self._threads = threads
        self._console = console
        self._option = option
        self._tables = experiment.tables()
        # Where nothing is kept nobody else can join, and all that fits memory is one share.
        self._pace = Pace(threads, joined=store.path is not None)
        self._beside = 0
        self._waits_for: list[str] = []

    def tell_of_finished(self) -> None:
        """Say what an earlier run has done, where one has."""
        if done := self._finished():
            self._console.line(f"{self._of_all(done)} finished before, in {self._store.path}")

    def go_on(self) -> None:
        """Train until every trial is finished, here or by another process."""
        try:
            with self._store.working(), self._console.progress("training", "networks") as show:
                while (done := self._finished()) < len(self._trials):
                    if show:
                        show(done, len(self._trials))
                    free = [key for key in self._store.pending() if key in self._trials]
                    if free:
                        self._train_some(free, done, show)
                    else:
                        self._wait(len(self._trials) - done)
        except KeyboardInterrupt:
            self._tell_of_interruption()
            raise

    def _finished(self) -> int:
        """How many of the trials are."""
        return self._store.finished_of(self._trials)

    def _train_some(self, free: Sequence[str], done: int, show: "Progress | None") -> None:
        """Claim a share of the trials that are free, train it and keep it."""
        # Beside others half of one's part, so that all end at about the same time.
        others = self._others()
        part = len(free) / (2 * (1 + others)) if others else len(free)
        most = max(self._pace.least, math.ceil(part))
        trials = [
            self._trials[key] for key in self._store.claim(free[: min(self._pace.size, most)])
        ]
        if not trials:
            return  # another process was faster
        try:
            members = members_that_fit(self._experiment, trials, self._tables)
        except (DataError, SpecError) as error:
            self._store.finish([Finished.refused(trials[0], error)])
            self._store.release(trial.key for trial in trials[1:])
            return
        planned = plan(members, self._experiment.metrics)
        in_step = bool(planned.cohorts)
        count = self._pace.cut(len(members), planned.seconds, in_step=in_step)
        estimated = planned.seconds * count / len(members)
        if count < len(trials):
            self._store.release(trial.key for trial in trials[count:])
        keeping = Keeping(self._store, trials, dict(planned.alone))

        def note(place: int, curve: Curve) -> None:
            keeping.add(place, curve)
            if show:
                show(done + len(keeping.ended), len(self._trials))

        start = time.perf_counter()
        try:
            self._train(members[:count], note)
        except (DataError, SpecError):  # of one that cannot be trained, and nothing says of which
            for place in sorted(set(range(count)) - keeping.ended):
                try:
                    note(place, *self._train([members[place]]))
                except (DataError, SpecError) as error:
                    keeping.refuse(place, error)
        finally:  # an interruption keeps what has ended
            keeping.keep()
        self._pace.note(count, estimated, time.perf_counter() - start)

    def _train(self, members: Sequence[Member], note: Done | None = None) -> list[Curve]:
        metrics, device = self._experiment.metrics, self._experiment.device
        return train_members(members, metrics, threads=self._threads, device=device, done=note)

    def _others(self) -> int:
        """How many processes are at work beside this one, so that each finds something at the end.

        One that is between two shares holds nothing at that moment, and counts if it did before.
        """
        before, self._beside = self._beside, len(self._store.others())
        return max(before, self._beside)

    def _wait(self, left: int) -> None:
        """Wait a moment for other processes, and say so where that is news."""
        holders = [str(session) for session in self._store.others()]
        if holders and holders != self._waits_for:
            networks = counted(left, "network", "networks")
            self._console.line(f"{networks} left, held by {', '.join(holders)}; waiting for them")
            self._waits_for = holders
        time.sleep(POLL_SECONDS)

    def _tell_of_interruption(self) -> None:
        done, path = self._finished(), self._store.path
        then = (
            f"nothing is kept; with {self._option} the same again would go on"
            if path is None
            else f"they are kept in {path}, and the same again goes on"
        )
        self._console.line(f"interrupted: {self._of_all(done)} are finished; {then}")

    def _of_all(self, done: int) -> str:
        return f"{done:,} of {counted(len(self._trials), 'network', 'networks')}"
