"""An experiment that is kept: what it is, its trials, and the curves of those that are finished."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from secchi import __version__
from secchi.cohort.curve import Curve
from secchi.errors import SecchiError
from secchi.experiments.storing.finished_trials import FinishedTrials, curve_row, finished_trial
from secchi.experiments.storing.same_experiment import differences
from secchi.experiments.storing.sessions import SILENT_SECONDS, Session, beating
from secchi.experiments.storing.store_file import StoreFile
from secchi.experiments.trials import Finished, Trial


class Counts(NamedTuple):
    """How many trials there are.

    Attributes:
        trials: That the experiment has.
        finished: Of these.
        held: Of these, by a process that trains them.
        earlier: That are finished, and that the experiment had before and no longer has.
    """

    trials: int
    finished: int
    held: int
    earlier: int = 0


class Store:
    """The trials of one experiment in a SQLite file, or in memory, and what has become of them.

    Several processes can work on one file: a trial is claimed by one of them before it is trained,
    and the first curve of a trial is the one that is kept. Claims of a process that ended are free
    at once where it ran on this system; else after :data:`sessions.SILENT_SECONDS` in which it was
    seen to give no sign of life.

    Made by :meth:`open` or :meth:`read`.

    >>> import numpy as np
    >>> from secchi.training.history import Outcome
    >>> curve = Curve(np.array([0.5]), np.array([0.4]), {}, Outcome.COMPLETED, 10, None)
    >>> trials = [Trial({"lr": rate}, 0) for rate in (0.1, 0.2)]
    >>> store = Store.open(None, {"repeats": 1}, "5f")
    >>> store.add(trials)
    >>> with store.working():
    ...     claimed = store.claim(store.pending()[:1])
    ...     store.finish([Finished(trials[0], curve, alone=None, seconds=0.1)])
    >>> store.counts()
    Counts(trials=2, finished=1, held=0, earlier=0)
    >>> store.finished()[0].trial.setting["lr"]
    0.1
    """

    def __init__(self, file: StoreFile, document: dict[str, Any]) -> None:
        self.document = document
        self._file = file
        self._session = Session.here()
        self._heard: dict[str, tuple[int, float]] = {}  # beats of others, and when they came

    @classmethod
    def open(
        cls, path: str | os.PathLike[str] | None, document: Mapping[str, Any], fingerprint: str
    ) -> "Store":
        """Begin a store, or go on with one.

        Args:
            path: The file, made with its folder where it is not there; None: in memory.
            document: The experiment as plain JSON values; it takes the place of the one in the
                file, which may have had other trials.
            fingerprint: Of what the trials have in common: the data, the model, the training.

        Raises:
            SecchiError: The file is of an experiment with another fingerprint, cannot be written,
                is damaged, of a newer format or of something else.
        """
        file = StoreFile(None if path is None else absolute(path))
        wanted = json.loads(json.dumps(document))
        with file.making() as rows:
            found = rows.execute("SELECT document, fingerprint FROM experiment").fetchone()
            if found is None:
                made = datetime.now(UTC).isoformat(timespec="seconds")
                values = (json.dumps(wanted), fingerprint, made)
                rows.execute("INSERT INTO experiment VALUES (?, ?, ?)", values)
            elif found[1] != fingerprint:
                raise SecchiError(_other_experiment(file.path, json.loads(found[0]), wanted))
            else:
                rows.execute("UPDATE experiment SET document = ?", (json.dumps(wanted),))
        return cls(file, wanted)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Store":
        """A store to look at; nothing is written.

        Raises:
            SecchiError: There is none, or it cannot be read, is damaged, of a newer format or of
                something else.
        """
        file = StoreFile(absolute(path))
        file.check()
        with file.reading() as rows:
            (document,) = rows.execute("SELECT document FROM experiment").fetchone()
        return cls(file, json.loads(document))

    @classmethod
    def finished_in(
        cls, path: str | os.PathLike[str], document: Mapping[str, Any], fingerprint: str
    ) -> frozenset[str]:
        """The keys of the trials that a file has finished; none where there is no file yet.

        Args:
            path: The file, which is only read.
            document: As for :meth:`open`.
            fingerprint: Likewise.

        Raises:
            SecchiError: As by :meth:`open`.
        """
        path = absolute(path)
        if nothing_in(path):
            return frozenset()
        store = cls.read(path)
        with store._file.reading() as rows:
            (kept,) = rows.execute("SELECT fingerprint FROM experiment").fetchone()
            keys = rows.execute("SELECT key FROM trials WHERE state = 'finished'").fetchall()
        if kept != fingerprint:
            wanted = json.loads(json.dumps(document))
            raise SecchiError(_other_experiment(path, store.document, wanted))
        return frozenset(key for (key,) in keys)

    def add(self, trials: Sequence[Trial]) -> None:
        """Note the trials that the experiment has now; those that it had before stay in the file.

        Args:
            trials: In their order, which becomes that of :meth:`pending` and :meth:`finished`.
        """
        rows = [
            (trial.key, number, json.dumps(dict(trial.setting)), trial.repeat)
            for number, trial in enumerate(trials)
        ]
        with self._file.writing() as file:
            file.execute("UPDATE trials SET number = NULL")
            file.executemany(
                "INSERT INTO trials VALUES (?, ?, ?, ?, 'waiting', NULL) "
                "ON CONFLICT (key) DO UPDATE SET number = excluded.number",
                rows,
            )

    @property
    def path(self) -> Path | None:
        """The file; None: memory."""
        return self._file.path

    # ------------------------------------------------------------ who trains what

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Be at work on the trials: claims that are made inside are let go of at its end."""
        values = (*self._session, 0, json.dumps(_versions()))
        with self._file.writing() as file:
            file.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        try:
            with beating(self._beat) if self._file.path else contextlib.nullcontext():
                yield
        finally:
            self.release()

    def pending(self) -> list[str]:
        """The keys of the trials that are neither finished nor held by a process that lives.

        Those that the experiment no longer has come last, since a process that began before may
        still have them to train.
        """
        self._free_those_of_the_dead()
        with self._file.reading() as file:
            query = f"SELECT key FROM trials WHERE state = 'waiting' {_IN_ORDER}"
            return [key for (key,) in file.execute(query).fetchall()]

    def claim(self, keys: Iterable[str]) -> list[str]:
        """Take trials to train, inside :meth:`working`; the keys of those that were still free."""
        take = "UPDATE trials SET state = 'held', session = ? WHERE key = ? AND state = 'waiting'"
        with self._file.writing() as file:
            return [key for key in keys if file.execute(take, (self._session.id, key)).rowcount]

    def release(self, keys: Iterable[str] | None = None) -> None:
        """Let go of trials that were claimed here and are not finished; None: of all of them."""
        with self._file.writing() as file:
            if keys is None:
                file.execute(_FREE, (self._session.id,))
            else:
                mine = [(self._session.id, key) for key in keys]
                file.executemany(f"{_FREE} AND key = ?", mine)

    def finish(self, finished: Iterable[Finished]) -> None:
        """Keep what became of trials, all of them or, where that fails, none."""
        rows = [curve_row(each) for each in finished]
        with self._file.writing() as file:
            file.executemany(f"INSERT OR IGNORE INTO curves VALUES ({_marks(9)})", rows)
            file.executemany(
                "UPDATE trials SET state = 'finished', session = ? "
                "WHERE key = ? AND state != 'finished'",
                [(self._session.id, row[0]) for row in rows],
            )

    def others(self) -> list[Session]:
        """The processes beside this one that hold trials, as far as can be seen alive."""
        return [session for session, beat in self._holders() if not self._is_dead(session, beat)]

    def _beat(self) -> None:
        with self._file.writing() as file:
            file.execute("UPDATE sessions SET beat = beat + 1 WHERE id = ?", (self._session.id,))

    def _free_those_of_the_dead(self) -> None:
        dead = [each.id for each, beat in self._holders() if self._is_dead(each, beat)]
        if dead:
            with self._file.writing() as file:
                file.executemany(_FREE, [(each,) for each in dead])

    def _holders(self) -> list[tuple[Session, int]]:
        """The other sessions that hold trials, and the number of their signs of life."""
        query = (
            "SELECT id, host, space, pid, started, beat FROM sessions WHERE id != ? AND id IN "
            "(SELECT session FROM trials WHERE state = 'held')"
        )
        with self._file.reading() as file:
            found = file.execute(query, (self._session.id,)).fetchall()
        return [(Session(*fields), beat) for *fields, beat in found]

    def _is_dead(self, session: Session, beat: int) -> bool:
        alive = session.alive
        if alive is not None:
            return not alive
        # By this system's clock, since the other one's may be wrong.
        now = time.monotonic()
        last, when = self._heard.get(session.id, (None, now))
        if beat != last:
            self._heard[session.id] = (beat, now)
            return False
        return now - when > SILENT_SECONDS

    # ------------------------------------------------------------ what became of them

    def counts(self) -> Counts:
        """How many trials there are, and what has become of them."""
        query = (
            "SELECT count(number), count(number) FILTER (WHERE state = 'finished'), "
            "count(number) FILTER (WHERE state = 'held'), "
            "count(*) FILTER (WHERE number IS NULL AND state = 'finished') FROM trials"
        )
        with self._file.reading() as file:
            return Counts(*file.execute(query).fetchone())

    def finished_keys(self) -> list[str]:
        """The keys of the trials that are finished, in their order, without earlier ones."""
        with self._file.reading() as file:
            query = (
                "SELECT key FROM trials WHERE state = 'finished' AND number IS NOT NULL "
                "ORDER BY number"
            )
            return [key for (key,) in file.execute(query).fetchall()]

    def finished_of(self, keys: Collection[str]) -> int:
        """How many of some trials are finished, whether the experiment still has them or not."""
        with self._file.reading() as file:
            query = "SELECT key FROM trials WHERE state = 'finished'"
            return sum(key in keys for (key,) in file.execute(query).fetchall())

    def finished_here(self) -> int:
        """How many trials were finished by this process through this object."""
        query = "SELECT count(*) FROM trials WHERE state = 'finished' AND session = ?"
        with self._file.reading() as file:
            (number,) = file.execute(query, (self._session.id,)).fetchone()
        return int(number)

    def finished(self, keys: Sequence[str] | None = None) -> FinishedTrials:
        """Trials that are finished, read when they are asked for.

        Args:
            keys: Of which ones, in which order; None: of all that the experiment has, in theirs.
        """
        return FinishedTrials(self._fetch, self.finished_keys() if keys is None else keys)

    def curve(self, key: str) -> Curve:
        """The curve of a trial that is finished.

        Raises:
            SecchiError: It is not, or the file is damaged.
        """
        return self._fetch([key])[0].curve

    def _fetch(self, keys: Sequence[str]) -> list[Finished]:
        query = (
            "SELECT key, setting, repeat, outcome, steps, kept, metrics, block, alone, seconds, "
            f"fault FROM trials JOIN curves USING (key) WHERE key IN ({_marks(len(keys))})"
        )
        state = "SELECT state FROM trials WHERE key = ?"
        with self._file.reading() as file:
            rows = {key: (row[:2], row[2:]) for key, *row in file.execute(query, keys).fetchall()}
            for key in keys:
                if key in rows:
                    continue
                if file.execute(state, (key,)).fetchone() == ("finished",):
                    raise self._file.damaged(f"the curve of the trial {key} is missing")
                raise SecchiError(f"the trial {key} is not finished; run the experiment again")
        try:
            return [finished_trial(*rows[key]) for key in keys]
        except (ValueError, KeyError) as error:
            raise self._file.damaged(error) from None


def absolute(path: str | os.PathLike[str]) -> Path:
    """Where a store is, whatever folder the process goes to."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def nothing_in(path: Path) -> bool:
    """Whether there is no file, or none in which anything was kept before a kill."""
    return not path.exists() or path.stat().st_size == 0


def _marks(number: int) -> str:
    return ", ".join("?" * number)


def _versions() -> dict[str, str]:
    """Of what the numbers come from."""
    return {
        "secchi": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy")},
    }


def _other_experiment(path: Path | None, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    found = "; ".join(differences(kept, wanted))
    return (
        f"another experiment is in {path}: {found}; give the store another name, or "
        "fresh=True (--fresh) to start anew"
    )


_FREE = "UPDATE trials SET state = 'waiting', session = NULL WHERE session = ? AND state = 'held'"

_IN_ORDER = "ORDER BY number IS NULL, number, rowid"
