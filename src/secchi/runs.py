"""The folder of a run: made when it is needed, found again when it was interrupted.

::

    <out>/<time>-<name>/
        unfinished.json     what is being done, while it is not done yet
        journal/000/        each finished call of fit: its history, and the weights after it
        journal/001/        the one that is going on: its newest checkpoints
        run.json ...        what a finished run leaves
"""

import contextlib
import datetime
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from secchi.errors import BundleError, SecchiError
from secchi.files import write_json

if TYPE_CHECKING:
    from torch import nn

    from secchi.training.checkpoint import StateKeeper
    from secchi.training.history import History

_UNFINISHED = "unfinished.json"
_JOURNAL = "journal"
_LEFT_BEHIND = (".*-????????.part", ".*-????????.old")
"""What a process that is killed while it writes leaves beside what it wrote."""


class RunFolder:
    """Where a run is written.

    Args:
        out: The folder that runs go into.
        name: What the run is called behind its time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as out:
    ...     run = RunFolder(Path(out), "dogscats")
    ...     run.begin({"lr": 0.1})
    ...     taken_over = RunFolder(Path(out), "dogscats").resume({"lr": 0.1})
    ...     during = sorted(place.name for place in run.path.iterdir())
    ...     run.finish()
    ...     after = sorted(place.name for place in run.path.iterdir())
    >>> taken_over, during, after  # this process is at work on it
    (False, ['.lock', 'unfinished.json'], [])
    """

    def __init__(self, out: Path, name: str) -> None:
        self.out = out
        self._name = re.sub(r"[^\w.-]+", "-", name)[:40].strip("-.") or "run"
        self._path: Path | None = None
        self._lock: FileLock | None = None

    @classmethod
    def at(cls, folder: Path) -> "RunFolder":
        """One that is there."""
        run = cls(folder.parent, folder.name)
        run._path = folder
        return run

    @property
    def path(self) -> Path:
        """The folder, made when it is first asked for.

        Raises:
            SecchiError: It cannot be made.
        """
        if self._path is None:
            when = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            with self.writing():
                self._path = _new_folder(self.out, f"{when}-{self._name}")
        return self._path

    @property
    def made(self) -> Path | None:
        """The folder, where it has been asked for."""
        return self._path

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn the errors of an unwritable folder into one that says which folder."""
        try:
            yield
        except OSError as error:
            raise SecchiError(
                f"the run cannot be written to {self.out}: {error.strerror or error}; "
                "--out (or out=) names another folder"
            ) from error

    def begin(self, key: dict[str, Any]) -> None:
        """Note what is being done, until :meth:`finish`; this process alone goes on with it."""
        with self.writing():
            self._hold(self.path)  # first, or another process could take it over
            write_json(self.path / _UNFINISHED, key)

    def resume(self, key: dict[str, Any], named: str | None = None) -> bool:
        """Take over the newest unfinished run that does the same.

        Args:
            key: What is being done, as :meth:`begin` was told.
            named: The only run to look at.

        Returns:
            Whether there is one that no other process is at work on.

        Raises:
            SecchiError: The named run is not there, is finished, does something else, or is
                being worked on.
        """
        wanted = json.loads(json.dumps(key))
        if named is not None:
            self._path = self._checked(self.unfinished(named), wanted)
            return True
        for place in sorted(self.out.glob(f"*/{_UNFINISHED}"), reverse=True):
            if _read(place) == wanted and self._hold(place.parent):
                if _read(place) == wanted:  # else it was finished meanwhile
                    self._path = place.parent
                    return True
                self._release()
        return False

    def unfinished(self, named: str) -> Path:
        """The folder of a run that can be gone on with.

        Raises:
            SecchiError: There is none, or it is finished.
        """
        place = Path(named) if os.sep in named else self.out / named
        run = Path(os.path.abspath(place))
        if not run.is_dir():
            raise SecchiError(f"there is no run {run}; --resume names a folder in {self.out}")
        if _read(run / _UNFINISHED) is None:
            raise SecchiError(f"the run {run} is finished; there is nothing to go on with")
        return run

    def finish(self) -> None:
        """What is being done is done."""
        if self._path is None:
            return
        for pattern in _LEFT_BEHIND:
            for place in list(self._path.rglob(pattern)):
                _remove(place)
        with contextlib.suppress(FileNotFoundError):
            (self._path / _UNFINISHED).unlink()
        shutil.rmtree(self._path / _JOURNAL, ignore_errors=True)
        self._release()

    def _checked(self, run: Path, wanted: Any) -> Path:
        found = _read(run / _UNFINISHED)
        if found != wanted:
            differing = _differing(found, wanted)
            raise SecchiError(
                f"the run {run} was started with other settings ({', '.join(differing)}); give "
                "the same ones, or --fresh to start anew"
            )
        if not self._hold(run):
            raise SecchiError(f"another process is at work on the run {run}")
        return run

    def _hold(self, run: Path) -> bool:
        """Whether this process is now the only one at work on a run; ends with the process."""
        self._release()
        lock = FileLock(run / ".lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            return False
        self._lock = lock
        return True

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            with contextlib.suppress(OSError):
                os.unlink(self._lock.lock_file)
            self._lock = None


def read_run(folder: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        BundleError: There is none, or it is damaged.
    """
    try:
        record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no record")
    except FileNotFoundError:
        raise BundleError(f"there is no finished run in {folder}: it holds no run.json") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"the record {folder / 'run.json'} cannot be read: {error}") from None
    return record


class Journal:
    """What a run has done so far: the same calls in the same order find their results again.

    Args:
        run: The run's folder.
        seconds: Between two checkpoints of a call that is going on.

    >>> import tempfile
    >>> from torch import nn
    >>> from secchi.training.history import History, Outcome
    >>> from secchi.training.spec import Training
    >>> net, done = nn.Linear(2, 1), History((), Outcome.COMPLETED, Training(epochs=0))
    >>> with tempfile.TemporaryDirectory() as out:
    ...     run = RunFolder(Path(out), "dogscats")
    ...     Journal(run, seconds=30).note({"lr": 0.1}, done, net)
    ...     found = Journal(run, seconds=30).finished({"lr": 0.1}, net)
    ...     other = Journal(run, seconds=30).finished({"lr": 0.2}, net)
    >>> found == done, other
    (True, None)
    """

    def __init__(self, run: RunFolder, seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._calls = 0

    def finished(self, key: dict[str, Any], network: "nn.Module") -> "History | None":
        """The history of the next call, where it is done, and the weights after it.

        Args:
            key: Says what the call does.
            network: Gets the weights.
        """
        from secchi.training.checkpoint import load_checkpoint, read_record
        from secchi.training.history import History

        folder = self._folder / "end"
        with contextlib.suppress(BundleError):
            record = read_record(folder)
            if record["key"] == json.loads(json.dumps(key)):
                load_checkpoint(folder, network)
                self._calls += 1
                return History.from_dict(json.loads(record["history"]))
        return None

    def keeper(self, key: dict[str, Any]) -> "StateKeeper":
        """What keeps the state of the next call while it goes on."""
        from secchi.training.checkpoint import StateKeeper

        return StateKeeper(self._folder, key, self._seconds)

    def note(self, key: dict[str, Any], history: "History", network: "nn.Module") -> None:
        """The call is done."""
        from secchi.training.checkpoint import save_checkpoint

        # As text: JSON has no infinity, and a history may hold one.
        record = {"key": key, "history": json.dumps(history.to_dict())}
        with self._run.writing():
            save_checkpoint(self._folder / "end", network, record)
            for state in self._folder.glob("state-*"):
                shutil.rmtree(state, ignore_errors=True)
        self._calls += 1

    @property
    def _folder(self) -> Path:
        return self._run.path / _JOURNAL / f"{self._calls:03}"


def seconds_between_checkpoints(given: float | None = None) -> float:
    """What was given, or else ``SECCHI_CHECKPOINT_SECONDS``, or else 30.

    Raises:
        SecchiError: The variable is no number.
    """
    said = os.environ.get("SECCHI_CHECKPOINT_SECONDS") or "30"
    try:
        return float(said) if given is None else given
    except ValueError:
        raise SecchiError(
            f"SECCHI_CHECKPOINT_SECONDS is {said!r}; it is a number of seconds"
        ) from None


def _differing(one: Any, other: Any, name: str = "") -> list[str]:
    """The names of the values in which two documents differ, such as ``training.lr``."""
    if one == other:
        return []
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [name]
    inside = f"{name}." if name else ""
    keys = sorted(one.keys() | other.keys())
    return [
        found for key in keys for found in _differing(one.get(key), other.get(key), inside + key)
    ]


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _read(place: Path) -> Any:
    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder that nothing else has; a number is added to the name where it is taken."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, count = parent / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            count += 1
            folder = parent / f"{name}-{count}"
        else:
            return folder
