"""The file of the test ledger: one SQLite file, a transaction for each line.

::

    test_sets   fingerprint, rows, keys, checksum   keys: sorted little-endian uint64, the smallest
    looks       a column for each field of Look, checksum
"""

import contextlib
import dataclasses
import sqlite3
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from secchi.data.looks import Look, Overlap, TestSet
from secchi.data.row_keys import Keys
from secchi.errors import DataError
from secchi.sqlite_file import Layout, connected, is_out_of_reach

FORMAT = 1
"""The version of the file's layout, in ``PRAGMA user_version``."""

KEPT_KEYS = 65_536
"""How many keys of a test set are kept at the most: half a MiB."""


class Unreachable(Exception):
    """The file cannot be read or written now; the message is the reason."""


class LedgerFile:
    """Lines in a file that several processes add to.

    A process that is killed while it writes loses that line and no other. One that finds the file
    busy waits for half a minute.

    Args:
        path: The file, absolute; it and its folder are made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, test: TestSet, look: Look) -> None:
        """Add a line, and the test set where it is new, for good.

        Raises:
            Unreachable: The file cannot be written.
            DataError: The file is damaged, of a newer format, or of something else.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unreachable(str(error)) from None
        with self._connected("rwc") as file:
            file.execute("BEGIN IMMEDIATE")
            if _LAYOUT.is_new(file, self.path):
                _LAYOUT.begin(file)
            kept = test.keys[:KEPT_KEYS].astype("<u8").tobytes()
            row = [test.fingerprint, len(test), kept]
            file.execute(
                "INSERT OR IGNORE INTO test_sets VALUES (?, ?, ?, ?)", [*row, _checksum(row)]
            )
            line = [_as_stored(getattr(look, name)) for name in _FIELDS]
            marks = ", ".join("?" * (len(line) + 1))
            file.execute(f"INSERT INTO looks VALUES ({marks})", [*line, _checksum(line)])
            file.execute("COMMIT")

    def overlaps(self, test: TestSet) -> list[Overlap]:
        """Every test set in the file that shares rows with this one, itself among them.

        One set's keys are in memory at a time, and each of them is searched for: about 3 ms a set
        of the largest kind.

        Raises:
            Unreachable: The file cannot be read.
            DataError: The file is damaged, of a newer format, or of something else.
        """
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Unreachable(str(error)) from None
        with self._connected("rw") as file:  # read-only where it has to be
            file.execute("BEGIN")
            if _LAYOUT.is_new(file, self.path):
                return []
            found = []
            for name, rows, blob in self._rows(file, "SELECT * FROM test_sets"):
                kept = np.frombuffer(blob, "<u8")
                shared, exact = shared_rows(kept, rows, test)
                if shared:
                    looks = tuple(self._looks(file, name))
                    found.append(Overlap(name, rows, shared, exact, looks))
            return found

    def _looks(self, file: sqlite3.Connection, test: str) -> Iterator[Look]:
        query = "SELECT * FROM looks WHERE test = ? ORDER BY rowid"
        for row in self._rows(file, query, test):
            fields = dict(zip(_FIELDS, row, strict=True))
            yield Look(**fields | {"when": datetime.fromisoformat(fields["when"])})

    def _rows(self, file: sqlite3.Connection, query: str, *values: str) -> Iterator[list[Any]]:
        """The rows of a table without their checksums, which are seen to."""
        for *row, checksum in file.execute(query, values):
            if checksum != _checksum(row):
                raise self._damaged("a line is not what was written")
            yield row

    @contextlib.contextmanager
    def _connected(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            with connected(self.path, mode) as file:
                yield file
        except sqlite3.Error as error:
            if is_out_of_reach(error):
                raise Unreachable(str(error)) from None
            raise self._damaged(error) from None
        except UnicodeDecodeError as error:  # in what SQLite says of a damaged table
            raise self._damaged(error) from None

    def _damaged(self, why: object) -> DataError:
        return DataError(
            f"the test ledger {self.path} is damaged ({why}); move it away to begin a new one, "
            "which will not know of earlier looks"
        )


def shared_rows(kept: Keys, rows: int, test: TestSet) -> tuple[int, bool]:
    """How many rows of a kept test set are in another, and whether that is exact.

    Keys are digests, so that the smallest ones are a random sample of the rows, and their share
    that is found stands for the share of all (1 % of it off, or less, where half are shared). A
    few rows shared with a set of millions may go unseen.

    Args:
        kept: The smallest keys of the kept set, sorted.
        rows: How many it has.
        test: The other.

    >>> test = TestSet.of(np.arange(10, dtype=np.uint64))
    >>> shared_rows(np.arange(8, 12, dtype=np.uint64), 4, test)
    (2, True)
    >>> shared_rows(np.arange(8, 12, dtype=np.uint64), 12, test)
    (6, False)
    """
    places = np.searchsorted(test.keys, kept)
    inside = places < len(test)
    found = int((test.keys[places[inside]] == kept[inside]).sum())
    if len(kept) == rows:
        return found, True
    return min(round(found * rows / len(kept)), len(test)), False


def _checksum(row: list[Any]) -> int:
    """Of the values of a row, which SQLite itself does not check."""
    plain = [zlib.crc32(value) if isinstance(value, bytes) else value for value in row]
    return zlib.crc32(ascii(plain).encode())


def _as_stored(value: Any) -> Any:
    """A field as a column; text that no encoding holds, as names of files may be, is escaped."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


_FIELDS = [field.name for field in dataclasses.fields(Look)]

_LAYOUT = Layout(
    "test ledger",
    b"secc",
    FORMAT,
    (
        """CREATE TABLE test_sets (
            fingerprint TEXT PRIMARY KEY, rows INTEGER, keys BLOB, checksum INTEGER
        )""",
        """CREATE TABLE looks (
            id TEXT PRIMARY KEY, test TEXT, reason TEXT, "when" TEXT, version TEXT,
            opening TEXT, model TEXT, name TEXT, metric TEXT, value REAL, checksum INTEGER
        )""",
        "CREATE INDEX looks_of_test ON looks (test)",
    ),
    "SECCHI_LEDGER names another file",
)
