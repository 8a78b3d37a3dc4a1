"""The SQLite file of an experiment: its tables, its transactions, and what can go wrong with it.

::

    experiment   document, fingerprint, made                       one row
    sessions     id, host, space, pid, started, beat, versions     each process at work on it
    trials       key, number, setting, repeat, state, session      state: waiting, held, finished
    curves       key, outcome, steps, kept, metrics, block, alone, seconds, fault

There is a commit every few seconds, so that a write-ahead log would bring nothing.
"""

import contextlib
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from secchi.errors import SecchiError
from secchi.files import check_writable
from secchi.sqlite_file import (
    BUSY_SECONDS,
    Layout,
    connected,
    is_busy,
    is_full,
    is_out_of_reach,
)

FORMAT = 1
"""The version of the file's layout, in ``PRAGMA user_version``."""


class StoreFile:
    """Transactions on a file that several processes read and write, or on memory.

    A connection lasts for one transaction, so that nothing is held between them: 0.2 ms each. One
    that finds the file busy waits for half a minute.

    Args:
        path: The file, absolute; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._memory: sqlite3.Connection | None = None
        self._lock = threading.Lock()  # of the memory, which threads share

    @contextlib.contextmanager
    def making(self) -> Iterator[sqlite3.Connection]:
        """:meth:`writing`, with the file and its tables made where they are not there yet.

        Raises:
            SecchiError: It cannot be written, or is damaged, of a newer format or of something
                else.
        """
        if self.path is None:
            self._memory = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            weakref.finalize(self, self._memory.close)
        else:
            check_writable(self.path.parent, "another store")
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._out_of_reach(error.strerror or error) from None
        with self._changed("rwc") as file:
            if _LAYOUT.is_new(file, self.path):
                _LAYOUT.begin(file)
            yield file

    def check(self) -> None:
        """See that the file is there and can be read.

        Raises:
            SecchiError: It is not, or is damaged, of a newer format or of something else.
        """
        if self.path is None or not self.path.exists():
            raise self._empty()
        with self.reading() as file:
            if _LAYOUT.is_new(file, self.path):
                raise self._empty()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the file, whatever others write meanwhile.

        What is selected has to be fetched at once: a statement that Ctrl-C leaves half read keeps
        the file locked, and what is finished could not be written.
        """
        with self._connected("rw") as file:  # read-only where it has to be
            file.execute("BEGIN")
            yield file

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A change by this process alone, kept when the block ends, or else not made."""
        with self._changed("rw") as file:
            yield file

    @contextlib.contextmanager
    def _changed(self, mode: str) -> Iterator[sqlite3.Connection]:
        with self._connected(mode) as file:
            file.execute("BEGIN IMMEDIATE")
            yield file
            file.execute("COMMIT")

    @contextlib.contextmanager
    def _connected(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            if self._memory is not None:
                with self._lock, _rolled_back(self._memory):
                    yield self._memory
            else:
                assert self.path is not None
                with connected(self.path, mode) as file:
                    yield file
        except sqlite3.Error as error:
            raise self._advised(error) from None
        except UnicodeDecodeError as error:  # in what SQLite says of a damaged table
            raise self.damaged(error) from None

    def _advised(self, error: sqlite3.Error) -> SecchiError:
        """What a person can do about an error of SQLite."""
        if is_full(error):
            return SecchiError(
                f"there is no space left for the experiment {self.path}; what is finished is kept: "
                "make room, and run the same again to go on"
            )
        if is_busy(error):
            return SecchiError(
                f"another program has kept the experiment {self.path} locked for "
                f"{BUSY_SECONDS:.0f} seconds; what is finished is kept: run the same again when "
                "it is free"
            )
        return self._out_of_reach(error) if is_out_of_reach(error) else self.damaged(error)

    def _out_of_reach(self, why: object) -> SecchiError:
        return SecchiError(
            f"the experiment {self.path} cannot be read or written: {why}; give the store another "
            "name or folder"
        )

    def _empty(self) -> SecchiError:
        return SecchiError(f"there is no experiment {self.path}; run one with this store first")

    def damaged(self, why: object) -> SecchiError:
        """The error of a file whose content is not what was written."""
        return SecchiError(
            f"the experiment {self.path} is damaged, or no SQLite file ({why}); move it away to "
            "begin a new one"
        )


@contextlib.contextmanager
def _rolled_back(file: sqlite3.Connection) -> Iterator[None]:
    """Undo what is not committed at the end of the block, as closing a file does."""
    try:
        yield
    finally:
        if file.in_transaction:
            file.execute("ROLLBACK")


_LAYOUT = Layout(
    "experiment",
    b"secx",
    FORMAT,
    (
        "CREATE TABLE experiment (document TEXT, fingerprint TEXT, made TEXT)",
        """CREATE TABLE sessions (
            id TEXT PRIMARY KEY, host TEXT, space TEXT, pid INTEGER, started TEXT, beat INTEGER,
            versions TEXT
        )""",
        """CREATE TABLE trials (
            key TEXT PRIMARY KEY, number INTEGER, setting TEXT, repeat INTEGER, state TEXT,
            session TEXT
        )""",
        "CREATE INDEX trials_by_state ON trials (state, number)",
        """CREATE TABLE curves (
            key TEXT PRIMARY KEY, outcome TEXT, steps INTEGER, kept INTEGER, metrics TEXT,
            block BLOB, alone TEXT, seconds REAL, fault TEXT
        )""",
    ),
    "give the store another name",
)
