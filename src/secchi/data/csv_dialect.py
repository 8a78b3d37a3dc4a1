"""How a table is written down: its encoding, and what stands between its fields."""

import codecs
import csv
import math
import os
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from secchi.data.cells import MISSING, number_in, number_with_comma
from secchi.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", " ": "blanks"}
"""What can stand between fields, the usual first, with its name."""

LONGEST_LINE = 1 << 24
"""A file without a line end in this many bytes is no table."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
)
"""A byte-order mark, the encoding that takes it for a letter, and the one that takes it off."""

_SEPARATOR_LINE = re.compile(r'("?)sep=([^"\r\n])\1\s*', re.IGNORECASE)

_SAMPLE = 1 << 22
_SAMPLE_RECORDS = 100

_OTHER_FILES = (
    (b"PK\x03\x04", "a spreadsheet or a zip archive; save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of an old kind; save the sheet as CSV"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh91AY", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard; unpack it first"),
    (b"PAR1\x15", "a Parquet file; read it with pandas.read_parquet and give the frame"),
    (b"\x89HDF", "an HDF5 file; read it with pandas.read_hdf and give the frame"),
    (b"\x93NUMPY", "a NumPy file; read it with numpy.load and give the array"),
    (b"SQLite format 3", "a database; read it with pandas.read_sql and give the frame"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"<!doctype html", "a web page; download the file itself"),
    (b"<html", "a web page; download the file itself"),
)


def existing_file(path: str | os.PathLike[str]) -> str:
    """The absolute path of a file that can be read and holds something.

    Raises:
        DataError: It does not exist, is a folder, is empty or may not be read.
    """
    file = os.path.abspath(os.fspath(path))
    if os.path.isdir(file):
        raise DataError(f"{file} is a folder; give the CSV file in it")
    if not os.path.exists(file):
        folder, name = os.path.split(file)
        beside = os.listdir(folder) if os.path.isdir(folder) else []
        raise DataError(f"no such file: {file}{did_you_mean(name, beside)}")
    if not os.path.isfile(file):
        raise DataError(f"{file} is no ordinary file; write the table to a file first")
    if not os.access(file, os.R_OK):
        raise DataError(f"no permission to read {file}")
    if not os.path.getsize(file):
        raise DataError(f"{file} is empty; a table has a line of names and a line for each row")
    return file


def encoding_of(file: str, given: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The encoding of a file of text, and what to say about it.

    A byte-order mark decides; without one it is UTF-8 if the whole file is, else Windows-1252.

    Args:
        file: The file.
        given: The encoding if it is known; of UTF-8 and UTF-16 a mark is taken off all the same.

    Returns:
        The name of the encoding, and a note where it was guessed.

    Raises:
        DataError: The file is no text, or not in the encoding that was given.
    """
    with open(file, "rb") as opened:
        start = opened.read(512)
    for mark, what in _OTHER_FILES:
        if start.lower().startswith(mark.lower()):
            raise DataError(f"{file} is no CSV file but {what}")
    if given is not None:
        known = _known_encoding(file, given)
        taking = {plain: name for mark, plain, name in _MARKS if start.startswith(mark)}
        return taking.get(codecs.lookup(known).name, known), ()
    for mark, _, name in _MARKS:
        if start.startswith(mark):
            return _known_encoding(file, name), ()
    if _first_fault(file, "utf-8") is None:
        return "utf-8", ()
    if _first_fault(file, "cp1252") is None:
        note = "the file is not UTF-8 and was read as Windows-1252; encoding names another"
        return "cp1252", (note,)
    raise DataError(
        f"{file} is neither UTF-8 nor Windows-1252; encoding says what it is, such as 'shift_jis'"
    )


def separator_of(file: str, encoding: str, given: str | None = None) -> str:
    """What stands between the fields of a file.

    A first line ``sep=;``, as Excel understands it, names it and is no part of the table. Without
    one each candidate parses the first 100 records, quotes and all. It is possible if the header
    has two fields or more, and at least half of the records have as many. Of those the best is
    the one that most records fit, to a tenth; then the one with most cells that are numbers; then
    the one with most fields. Blanks count only where nothing else is possible and most cells are
    numbers.

    Args:
        file: The file.
        encoding: Its encoding.
        given: The separator if it is known.

    Returns:
        One character. For a file of one column, one that the file does not use.

    Raises:
        DataError: The given one cannot be, or leaves one column where another gives several.
    """
    with open(file, encoding=encoding, newline="") as text:
        sample = text.readlines(_SAMPLE)
    named = named_separator(sample[0]) if sample else None
    sample = sample[1:] if named else sample
    found = _detected(sample)
    separator = named if given is None else given
    if separator is None:
        return found or _unused(sample)
    separator = "\t" if separator == r"\t" else separator
    if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
        raise DataError(
            f"sep is {given!r}; it has to be one character, such as ';', '\\t', or ' ' for any "
            "number of blanks"
        )
    if found and found != separator and len(_records(sample, separator)[0]) == 1:
        whose = "sep" if given is not None else "the separator that the first line names"
        raise DataError(
            f"{whose} is {separator!r}, which leaves {file} with one column; {found!r} gives "
            f"{len(_records(sample, found)[0])}"
        )
    return separator


def named_separator(line: str) -> str | None:
    r"""The separator that a first line names, as Excel has it; None where it names none.

    >>> named_separator("sep=;\r\n"), named_separator("sep;pH\n")
    (';', None)
    """
    match = _SEPARATOR_LINE.fullmatch(line)
    return match[2] if match else None


def reader(lines: Iterable[str], separator: str) -> "Reader":
    """The records in lines of text; blanks after a separator are no part of a field."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def is_blank(record: Sequence[str]) -> bool:
    """Whether a record is a blank line."""
    return len(record) < 2 and not "".join(record).strip()


def fitted(record: list[str], least: int, most: int) -> list[str] | None:
    """A record with as many fields as the header, or None.

    Empty fields beyond the header's are cut off, and missing ones without a name are added.

    >>> fitted(["1", "2", ""], 2, 2), fitted(["1", "2"], 2, 3), fitted(["1"], 2, 2)
    (['1', '2'], ['1', '2', ''], None)
    """
    if len(record) == most:
        return record
    if len(record) < least or any(field.strip() for field in record[most:]):
        return None
    return record[:most] + [""] * (most - len(record))


def least_fields(header: Sequence[str]) -> int:
    """How many fields a record needs: as many as the header up to its last name."""
    named = [number for number, name in enumerate(header, 1) if name.strip()]
    return named[-1] if named else len(header)


def _known_encoding(file: str, name: str) -> str:
    """The name of an encoding that decodes a file.

    Raises:
        DataError: There is no such encoding, or it does not.
    """
    try:
        "".encode(name)  # which codecs of other things, such as rot13, refuse
    except (LookupError, ValueError, TypeError):
        raise DataError(
            f"encoding is {name!r}, which Python does not know as one of text; try 'utf-8'"
        ) from None
    fault = _first_fault(file, name)
    if fault is not None:
        raise DataError(
            f"{file} is not {name}: {fault}; without encoding it is detected, or name another one"
        )
    return name


def _first_fault(file: str, encoding: str) -> str | None:
    """Why a file cannot be decoded, or None; reads it once, in parts.

    Raises:
        DataError: The file holds NUL characters, or lines too long for a table.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    with open(file, "rb") as opened:
        ended = False
        while not ended:
            part = opened.read(LONGEST_LINE)
            ended = not part
            try:
                text = decoder.decode(part, final=ended)
            except UnicodeError as error:
                return str(error)
            if "\0" in text:
                raise DataError(
                    f"{file} holds NUL characters, so it is no text; if it is UTF-16 without a "
                    "byte-order mark, encoding='utf-16-le' or 'utf-16-be' reads it"
                )
            if len(part) == LONGEST_LINE and "\n" not in text and "\r" not in text:
                raise DataError(
                    f"{file} goes on for {LONGEST_LINE:,} bytes without a line end; it is no table"
                )
    return None


def _detected(sample: Sequence[str]) -> str | None:
    """The best separator for a sample; None if all leave one column."""
    scores = {separator: _score(sample, separator) for separator in SEPARATORS}
    blanks = scores.pop(" ")
    best = max(scores, key=lambda separator: scores[separator])
    if scores[best][0] >= 0.5:
        return best
    if blanks[0] >= 0.9 and blanks[1] >= 0.5:
        return " "
    return best if scores[best][2] >= 2 else None


def _score(sample: Sequence[str], separator: str) -> tuple[float, float, int]:
    """How well a separator fits: share of records, share of numbers, fields of the header."""
    header, *rows = _records(sample, separator) or [[]]
    least, most = least_fields(header), len(header)
    if most < 2:
        return 0.0, 0.0, most
    fits = [row for record in rows if (row := fitted(record, least, most)) is not None]
    cells = [cell for row in fits for cell in row]
    numbers = sum(_is_number(cell, separator) for cell in cells) / max(1, len(cells))
    return round(len(fits) / max(1, len(rows)), 1), numbers, most


def _records(sample: Sequence[str], separator: str) -> list[list[str]]:
    """The first records of a sample that are not blank."""
    found: list[list[str]] = []
    try:
        for record in islice(reader(sample, separator), _SAMPLE_RECORDS):
            if not is_blank(record):
                found.append(record)
    except csv.Error:  # a quotation mark that is never closed; what came before still tells
        pass
    return found


def _unused(sample: Sequence[str]) -> str:
    """A separator that splits no record of a sample."""
    for separator in SEPARATORS:
        if all(len(record) == 1 for record in _records(sample, separator)):
            return separator
    return ","


def _is_number(cell: str, separator: str) -> bool:
    text = cell.strip()
    number = number_in(text)
    if math.isnan(number) and separator != ",":
        number = number_with_comma(text)
    return text in MISSING or not math.isnan(number)
