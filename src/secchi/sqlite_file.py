"""What every SQLite file of this library has in common: its mark, its format, its errors.

The journal is SQLite's ordinary one, not a write-ahead log: the file stays one file between
writes, can be read where it cannot be written, loses no commit in a power cut, and machines that
share a folder can share it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from secchi import __version__
from secchi.errors import DataError

BUSY_SECONDS = 30.0
"""How long a process waits for a file that another one has locked."""


class Layout(NamedTuple):
    """What a kind of file is made of, and what it is called.

    Attributes:
        what: Such as ``"test ledger"``.
        application: Four letters that mark the file, in ``PRAGMA application_id``.
        format: The version of the layout, in ``PRAGMA user_version``.
        tables: The statements that make the tables.
        elsewhere: What to do about a file of another kind.

    >>> notes = Layout("diary", b"diar", 1, ("CREATE TABLE days (words TEXT)",), "name another")
    >>> with contextlib.closing(sqlite3.connect(":memory:")) as file:
    ...     before = notes.is_new(file, None)
    ...     notes.begin(file)
    ...     before, notes.is_new(file, None)
    (True, False)
    """

    what: str
    application: bytes
    format: int
    tables: tuple[str, ...]
    elsewhere: str

    def is_new(self, file: sqlite3.Connection, path: Path | None) -> bool:
        """Whether nothing is in the file yet.

        Raises:
            DataError: What is in it is of another kind, or of a newer format.
        """
        version, application, tables = (
            file.execute(query).fetchone()[0]
            for query in (
                "PRAGMA user_version",
                "PRAGMA application_id",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if not (version or application or tables):
            return True
        if application != self._number:
            raise DataError(
                f"{path} is a SQLite file and no {self.what} of secchi; {self.elsewhere}"
            )
        if version > self.format:
            raise DataError(
                f"the {self.what} {path} has format {version}, and this secchi ({__version__}) "
                f"reads up to {self.format}; upgrade it: pip install -U secchi"
            )
        return False

    def begin(self, file: sqlite3.Connection) -> None:
        """Mark a file in which nothing is yet, and make its tables."""
        file.execute(f"PRAGMA application_id = {self._number}")
        file.execute(f"PRAGMA user_version = {self.format}")
        for table in self.tables:
            file.execute(table)

    @property
    def _number(self) -> int:
        return int.from_bytes(self.application, "big")


@contextlib.contextmanager
def connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection that is closed at the end; transactions are the caller's.

    Args:
        path: The file, absolute.
        mode: ``"rw"``, which reads only where it has to, or ``"rwc"``, which makes the file.
    """
    address = f"{path.as_uri()}?mode={mode}"
    file = sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True)
    with contextlib.closing(file):
        yield file


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has kept the file locked."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Whether there is no space left."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_out_of_reach(error: sqlite3.Error) -> bool:
    """Whether it is an error of the place, busy or full among them, not of what is in the file.

    >>> with contextlib.closing(sqlite3.connect(":memory:")) as file:
    ...     try:
    ...         _ = file.execute("SELECT * FROM days")
    ...     except sqlite3.Error as error:
    ...         is_out_of_reach(error)
    False
    """
    return _code(error) in _OUT_OF_REACH


def _code(error: sqlite3.Error) -> int:
    """The primary code; 0 of an error of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_OUT_OF_REACH = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
