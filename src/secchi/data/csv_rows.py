"""The rows of a CSV file, those that do not fit its header left out."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Literal, TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secchi.data import csv_dialect
from secchi.data.cells import MISSING
from secchi.errors import DataError

_BLOCK = 1 << 22
"""So many characters are parsed at once."""

_MOST_RAGGED = 0.5

# From 3.1 on every parser of pandas gives the nearest float64, and none is to be named.
_PARSER: Literal["round_trip"] | None = (
    "round_trip" if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else None
)


class CsvRows:
    """The rows of a file, block by block.

    Attributes:
        header: The names in its first line, without blanks around them.
        separator: What stands between the fields.
        ragged: The lines of the rows that do not fit the header, by reason.
    """

    def __init__(self, file: str, encoding: str, separator: str) -> None:
        self.separator = separator
        self.ragged: dict[str, list[int]] = {}
        self._file, self._encoding = file, encoding
        with self._open() as text:
            self.header, self._above = self._read_header(text)
        self._least, self._most = csv_dialect.least_fields(self.header), len(self.header)
        self._widths: Counter[int] = Counter()

    def blocks(
        self, texts: list[int] | None = None
    ) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
        """The rows that fit the header, from the first on, some thousands at once.

        Args:
            texts: The columns to read, all as texts; without it every column, numbers parsed.

        Yields:
            The cells, in columns called 0, 1, …, NaN where missing; and the line of each row.
        """
        self.ragged.clear()
        with self._open() as text:
            self._read_header(text)
            line = self._above + 1
            while block := text.readlines(_BLOCK):
                if self._is_plain(block):
                    lines = np.arange(line, line + len(block))
                    line += len(block)
                    yield _parsed("".join(block), self.separator, texts), lines
                else:
                    rows, starts, line = self._records(block, text, line)
                    if rows:
                        rewritten = io.StringIO(newline="")
                        csv.writer(rewritten).writerows(rows)
                        yield _parsed(rewritten.getvalue(), ",", texts), np.array(starts)

    def refuse_ragged(self, rows: int) -> None:
        """Raise where more rows than not do not fit the header.

        Args:
            rows: How many fit.
        """
        lines = sorted(chain.from_iterable(self.ragged.values()))
        if len(lines) <= _MOST_RAGGED * (rows + len(lines)):
            return
        width = self._widths.most_common(1)[0][0]
        cause = "the header lacks a name, or " if width == self._most + 1 else ""
        raise DataError(
            f"{len(lines):,} of {rows + len(lines):,} rows of {self._file} do not have as many "
            f"fields as the header, {self._most}, but mostly {width} (see line {lines[0]}): "
            f"{cause}{self.separator!r} is not the separator, which sep names, or the first line "
            "is not the header"
        )

    def _open(self) -> TextIO:
        return open(self._file, encoding=self._encoding, newline="")

    def _read_header(self, text: TextIO) -> tuple[list[str], int]:
        """The first record that is not blank, and how many lines it ends after.

        A line before it that names the separator is passed over.
        """
        first = text.readline()
        above = 1 if csv_dialect.named_separator(first) else 0
        records = csv_dialect.reader(text if above else chain([first], text), self.separator)
        try:
            for record in records:
                header = [name.strip() for name in record]
                if any(header):
                    return header, above + records.line_num
        except csv.Error:
            raise self._unclosed(1 + above) from None
        raise DataError(f"{self._file} holds nothing but blanks and separators")

    def _is_plain(self, block: list[str]) -> bool:
        """Whether every line is a row that fits the header, without any quotation mark."""
        between = self._most - 1
        return self.separator != " " and all(
            line.count(self.separator) == between and '"' not in line and not line.isspace()
            for line in block
        )

    def _records(
        self, block: list[str], text: TextIO, line: int
    ) -> tuple[list[list[str]], list[int], int]:
        """The rows that start in a block, the line of each, and the line after the last.

        Args:
            block: Whole lines; the last row may go on in those of ``text`` after it.
            text: What follows.
            line: The number of the first line.
        """
        records = csv_dialect.reader(_without_end(block, text), self.separator)
        rows, lines = [], []
        while records.line_num < len(block):
            start = line + records.line_num
            try:
                record = next(records)
            except csv.Error:
                raise self._unclosed(start) from None
            if csv_dialect.is_blank(record):
                continue
            row = csv_dialect.fitted(record, self._least, self._most)
            if row is not None:
                rows.append(row)
                lines.append(start)
            else:
                few_or_many = "fewer" if len(record) < self._most else "more"
                reason = f"{few_or_many} fields than the header"
                self.ragged.setdefault(reason, []).append(start)
                self._widths[len(record)] += 1
        return rows, lines, line + records.line_num

    def _unclosed(self, line: int) -> DataError:
        return DataError(
            f"in line {line} of {self._file} begins a field that does not end within "
            f"{csv.field_size_limit():,} characters or the file; a quotation mark is not closed"
        )


def _without_end(block: list[str], text: TextIO) -> Iterator[str]:
    """The lines of a block, then those after it; that there are no more is an error.

    A reader that asks for more lines than the block has is inside of quotation marks, and would
    take the end of the file for their end.
    """
    yield from block
    yield from iter(text.readline, "")  # from the file itself, it would be closed at the end
    raise csv.Error("unexpected end of data")


def _parsed(text: str, separator: str, texts: list[int] | None) -> pd.DataFrame:
    """Records of equal length as a frame, parsed by pandas, or some columns of them as texts."""
    return pd.read_csv(
        io.StringIO(text, newline=""),
        sep=separator,
        header=None,
        index_col=False,
        usecols=texts,
        dtype=None if texts is None else str,
        na_values=sorted(MISSING),
        keep_default_na=False,
        skip_blank_lines=False,
        skipinitialspace=True,
        low_memory=False,
        float_precision=_PARSER,
    )
