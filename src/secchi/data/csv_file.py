"""Reading a table from a CSV file, whatever program wrote it."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secchi.data import csv_dialect
from secchi.data.cells import number_in
from secchi.data.column_types import NOTHING_KNOWN, Columns
from secchi.data.csv_rows import CsvRows
from secchi.errors import DataError

_NAMED = 3


@dataclass(frozen=True, eq=False)
class CsvTable:
    """What stands in a CSV file.

    Attributes:
        path: The file, absolute.
        frame: The rows, index 0 to n - 1, the columns in the file's order and typed as
            :func:`read_csv` says.
        lines: The line of the file in which each row starts, the first being 1, of shape (n,).
        separator: What stands between the fields, one character.
        encoding: The file's encoding.
        notes: What a person should know, a sentence each.
        skipped: Why rows were left out, and how many.
    """

    path: str
    frame: pd.DataFrame
    lines: NDArray[np.int64]
    separator: str
    encoding: str
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, int], ...]


def read_csv(
    path: str | os.PathLike[str],
    *,
    sep: str | None = None,
    encoding: str | None = None,
    known: Mapping[str, str] = NOTHING_KNOWN,
) -> CsvTable:
    r"""Read a table: a line of names, then a line for each row.

    **The file.** The separator is a comma, a semicolon, a tab, a bar or blanks, and is detected
    (:func:`secchi.data.csv_dialect.separator_of`), as is the encoding: UTF-8, UTF-16 with a
    byte-order mark, else Windows-1252. Fields may be quoted with ``"`` and hold line ends then. Any
    line ends will do, blank lines are nothing, and so are blanks around a cell.

    **Left out** and counted are rows with fewer or more fields than the header, and rows without
    any value. Empty fields beyond the header's are nothing.

    **Missing** are empty cells and those that hold ``NA``, ``N/A``, ``nan``, ``null``, ``None``,
    ``?``, ``-``, ``.`` or another of :data:`secchi.data.cells.MISSING`.

    **A column of numbers**, float64 with NaN where missing, is one in which at least nine in ten
    of the values are numbers. The others become missing, as do infinite ones. ``3,14`` is a number
    where the separator is no comma and no number of the column has a point. Thousands separators
    are not guessed. A column without any value is one of numbers.

    **A column of dates**, datetime64 with NaT where missing, is one in which at least nine in ten
    of the values are dates of ISO 8601 or in another usual way of writing. Numbers are never dates.

    **Every other column** is one of categories, a pandas category of text with NaN where missing,
    its categories in alphabetical order. ``true`` and ``yes`` are texts too.

    The file is read in blocks of 4 million characters, once for the numbers and, where there are
    texts, once more for them. Memory holds at most 16 bytes a cell (32 with decimal commas), each
    different text once, and about 100 MB for a block: 1,000,000 rows of 12 numbers take 270 MB at
    most, and 100 MB after.

    Args:
        path: The file, not compressed.
        sep: What stands between fields, one character; detected when left out. ``" "`` stands for
            any number of blanks.
        encoding: The encoding by Python's name; detected when left out.
        known: What columns of some names hold, as :func:`secchi.data.column_types.typed_frame` has
            it.

    Raises:
        DataError: The file is no table, or has no header, two columns with one name, no row, or
            more rows left out for their number of fields than kept. The message says what to do.

    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "wine.csv")
    >>> with open(file, "w") as text:
    ...     _ = text.write('"pH";"colour"\n3,51;red\n;white\n3,2;red\n')
    >>> table = read_csv(file)
    >>> table.separator, table.lines.tolist(), table.frame["pH"].tolist()
    (';', [2, 3, 4], [3.51, nan, 3.2])
    >>> table.frame["colour"].tolist(), table.notes
    (['red', 'white', 'red'], ("'pH' is read with decimal commas, such as '3,51' (line 2)",))
    """
    file = csv_dialect.existing_file(path)
    encoding, guess = csv_dialect.encoding_of(file, encoding)
    source = CsvRows(file, encoding, csv_dialect.separator_of(file, encoding, sep))
    names = _names(source.header, file)
    columns = Columns(names, commas=source.separator != ",", known=known)
    for block, lines in source.blocks():
        columns.add(block, lines)
    source.refuse_ragged(columns.rows)
    if texts := columns.texts():
        again = 0
        for block, _ in source.blocks(texts):
            columns.add_texts(block)
            again += len(block)
        if again != columns.rows:
            raise DataError(f"{file} changed while it was read; read it again")

    filled, lines = columns.filled(), columns.places()
    if not filled.any():
        raise DataError(f"{file} has a header and no row with a value; rows go below the header")
    nameless = [j for j, name in enumerate(source.header) if not name]
    unused = [j for j in nameless if not columns.present[j]]
    frame, about_columns = columns.typed(without=unused)
    left_out = source.ragged | {"no value in any column": lines[~filled].tolist()}
    return CsvTable(
        file,
        frame if filled.all() else frame[filled].reset_index(drop=True),
        lines[filled],
        source.separator,
        encoding,
        (
            *guess,
            *_about_names(source.header, [names[j] for j in nameless if j not in unused]),
            *(_about_rows(reason, where) for reason, where in left_out.items() if where),
            *about_columns,
        ),
        tuple((reason, len(where)) for reason, where in left_out.items() if where),
    )


def _names(header: Sequence[str], file: str) -> list[str]:
    """What the columns are called.

    Raises:
        DataError: The first line is a row, or names two columns alike.
    """
    numbers = [name for name in header if not math.isnan(number_in(name))]
    given = [name for name in header if name]
    if numbers and (
        len(numbers) == len(given)
        or (len(numbers) > len(given) / 2 and any("." in name for name in numbers))
    ):
        raise DataError(
            f"the first line of {file} holds numbers where the columns' names should stand "
            f"({_some(map(repr, numbers))}); put a line of names above it"
        )
    names = [name or f"column {j}" for j, name in enumerate(header, 1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(
            f"the header of {file} names several columns {_some(map(repr, twice))}; give each a "
            "name of its own"
        )
    return names


def _about_names(header: Sequence[str], called: Sequence[str]) -> Iterator[str]:
    """Notes on columns without a name, and on names that are numbers."""
    if called:
        yield f"the header leaves columns without a name; they are called {_some(called)}"
    numbers = [name for name in header if not math.isnan(number_in(name))]
    if numbers:
        yield (
            f"numbers stand among the columns' names ({_some(map(repr, numbers))}); if the first "
            "line is a row, put a line of names above it"
        )


def _about_rows(reason: str, lines: Sequence[int]) -> str:
    """A note on rows that were left out."""
    where = _some(map(str, lines))
    return f"rows left out because they have {reason}: {len(lines):,} (line {where})"


def _some(words: Iterable[str]) -> str:
    """Words with commas between them, the first three in full.

    >>> _some("ab"), _some("abcde")
    ('a, b', 'a, b, c and 2 more')
    """
    words = list(words)
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
