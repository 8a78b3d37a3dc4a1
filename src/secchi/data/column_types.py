"""What the columns of a table hold: numbers, texts or dates."""

import datetime
import decimal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secchi.data.cells import MISSING, is_dressed_number, number_in, number_with_comma
from secchi.data.text_columns import NEARLY_ALL, Texts, category, dates_in, share_of
from secchi.errors import DataError

Note = tuple[str, str]
"""What a column has, in words that fit "more columns with …", and the sentence about it."""

_Placed = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Numbers of rows, and the value of each."""

NOTHING_KNOWN: Mapping[str, str] = {}

HALF = 0.5
"""The share of numbers in a column that is known to hold some."""

_IN_FULL = 3
"""Of so many columns the notes of one kind speak; the others they count."""


def typed_frame(
    frame: pd.DataFrame, known: Mapping[str, str] = NOTHING_KNOWN
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A person's own frame with its columns typed like those of a CSV file.

    Numbers of every kind become float64, durations seconds; True and False, categories and texts
    become categories of text; dates become datetime64. Texts in a column without a type of its own
    are read like the cells of a file (see :func:`secchi.data.csv_file.read_csv`), except that
    decimal commas are not understood. No row is left out.

    Args:
        frame: The frame; it is not changed.
        known: What columns of some names hold: ``"text"``, whatever it looks like, or ``"number"``,
            if half of the values are.

    Returns:
        The typed frame, its index 0 to n - 1 and its columns named by texts, and notes.

    Raises:
        DataError: Two columns have one name, or a column holds what is no value, such as lists.

    >>> frame, notes = typed_frame(pd.DataFrame({"a": ["1", "?"], "b": [True, None]}))
    >>> frame["a"].tolist(), frame["b"].tolist(), notes
    ([1.0, nan], ['True', nan], ())
    """
    names = [str(name) for name in frame.columns]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"several columns are called {', '.join(map(repr, twice))}; rename them")
    rows = np.arange(len(frame))
    cells = {j: _cells(frame.iloc[:, j], name) for j, name in enumerate(names)}
    plain = pd.DataFrame(cells, index=rows)
    categories = [j for j, t in enumerate(frame.dtypes) if isinstance(t, pd.CategoricalDtype)]
    columns = Columns(names, commas=False, place="row", categories=categories, known=known)
    columns.add(plain, rows)
    columns.add_texts(plain[columns.texts()])
    return columns.typed()


class Columns:
    """The columns of a table while it is read, block by block.

    :meth:`add` keeps the numbers of every block and counts what else its cells are. What a column
    holds is clear only at the end, so the blocks of those that hold texts are then given again, to
    :meth:`add_texts`: no text of a column of numbers is ever kept.

    Args:
        names: The columns' names, all different.
        commas: Whether "3,14" is a number.
        place: What the places of rows count in messages: lines or rows.
        categories: The columns that are texts even where they look like numbers.
        known: What columns of some names hold, as for :func:`typed_frame`.

    Attributes:
        present: How many values each column has that are not missing, of shape (columns,).
        rows: How many rows were added.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        commas: bool,
        place: str = "line",
        categories: Iterable[int] = (),
        known: Mapping[str, str] = NOTHING_KNOWN,
    ) -> None:
        self.names = list(names)
        self.present = np.zeros(len(names), dtype=np.int64)
        texts = {j for j, name in enumerate(names) if known.get(name) == "text"}
        self._read_commas, self._place, self._categories = commas, place, texts.union(categories)
        self._share = np.array(
            [HALF if known.get(name) == "number" else NEARLY_ALL for name in names]
        )
        self._plain = np.zeros(len(names), dtype=np.int64)
        self._infinite = np.zeros(len(names), dtype=np.int64)
        self._pointed = np.zeros(len(names), dtype=bool)
        self._commas: defaultdict[int, list[_Placed]] = defaultdict(list)
        self._examples: dict[tuple[str, int], str] = {}
        self._texts: defaultdict[int, Texts] = defaultdict(Texts)
        self._blocks: list[NDArray[np.float64]] = []
        self._filled: list[NDArray[np.bool_]] = []
        self._places: list[NDArray[np.int64]] = []
        self.rows = 0

    def add(self, block: pd.DataFrame, places: NDArray[np.int64]) -> None:
        """Take some rows.

        Args:
            block: The rows. Columns of numbers, as pandas parsed them, or of texts; NaN or None
                where a value is missing.
            places: The line, or row, of each.
        """
        others = [j for j, dtype in enumerate(block.dtypes) if dtype.kind not in "iuf"]
        values = _numbers_in(block, others)
        filled = ~np.isnan(values)
        self._plain += filled.sum(axis=0)
        if self._read_commas:
            self._pointed |= (filled & (np.trunc(values) != values)).any(axis=0)
        for j in others:
            values[:, j], filled[:, j] = self._parse(j, block.iloc[:, j], places)
        infinite = np.isinf(values)
        if infinite.any():
            self._infinite += infinite.sum(axis=0)
            for j in np.flatnonzero(infinite.any(axis=0)).tolist():
                first = f"{self._place} {places[infinite[:, j].argmax()]}"
                self._examples.setdefault(("infinite", j), first)
            values[infinite] = np.nan
        self.present += filled.sum(axis=0)
        self._blocks.append(values)
        self._filled.append(np.any(filled, axis=1))
        self._places.append(places)
        self.rows += len(places)

    def add_texts(self, block: pd.DataFrame) -> None:
        """Take the columns of texts of a block that :meth:`add` was given, read as texts."""
        for place, j in enumerate(self.texts()):
            self._texts[j].add(block.iloc[:, place])

    def texts(self) -> list[int]:
        """The numbers of the columns that hold texts, or dates."""
        few = self._numbers() < self._share * self.present
        return sorted(self._categories.union(np.flatnonzero(few).tolist()))

    def filled(self) -> NDArray[np.bool_]:
        """Whether each row has any value, of shape (rows,)."""
        return np.concatenate([np.zeros(0, dtype=bool), *self._filled])

    def places(self) -> NDArray[np.int64]:
        """The line, or row, of each row, of shape (rows,)."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self._places])

    def typed(self, without: Iterable[int] = ()) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The whole as a frame, and what a person should know; the blocks are given up.

        Args:
            without: The numbers of columns to leave out.
        """
        texts = self.texts()
        numbers = sorted(set(range(len(self.names))).difference(texts, without))
        found = self._numbers()
        notes = [note for j in numbers for note in self._notes_on_numbers(j, int(found[j]))]
        called = [self.names[j] for j in numbers]
        frame = pd.DataFrame(self._matrix(numbers), columns=called, copy=False)
        if texts:
            others, places = {}, self.places()
            for j in texts:
                others[self.names[j]], more = self._typed_texts(j, places)
                notes += more
            parts = [frame, pd.DataFrame(others)] if numbers else [pd.DataFrame(others)]
            frame = pd.concat(parts, axis=1)[[self.names[j] for j in sorted(numbers + texts)]]
        return frame, _in_short(notes)

    def _parse(
        self, j: int, cells: "pd.Series[Any]", places: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The numbers among the texts of a column, and whether each row has a value."""
        codes, found = pd.factorize(cells)
        texts = [str(text).strip() for text in found.tolist()]
        # What belongs to a missing cell, whose code is -1, stands at the end.
        missing = np.array([*(text in MISSING for text in texts), True])
        plain = np.array([*map(number_in, texts), np.nan])
        comma = np.full(len(plain), np.nan)
        if self._read_commas:
            comma[:-1] = [number_with_comma(text) for text in texts]
            self._pointed[j] |= any("." in texts[k] for k in np.flatnonzero(~np.isnan(plain)))
        self._plain[j] += np.count_nonzero(~np.isnan(plain[codes]))
        rows = np.flatnonzero(~np.isnan(comma[codes]))
        if len(rows):
            self._commas[j].append((rows + self.rows, comma[codes[rows]]))
            self._example("comma", j, texts[codes[rows[0]]], places[rows[0]])
        strays = np.flatnonzero((~missing & np.isnan(plain) & np.isnan(comma))[codes])
        if len(strays):
            self._example("stray", j, texts[codes[strays[0]]], places[strays[0]])
        return plain[codes], ~missing[codes]

    def _example(self, kind: str, j: int, text: str, place: int) -> None:
        self._examples.setdefault((kind, j), f"{text!r} ({self._place} {place})")

    def _numbers(self) -> NDArray[np.int64]:
        """How many numbers each column has, decimal commas and infinities too, (columns,)."""
        numbers = self._plain.copy()
        for j, commas in self._commas.items():
            if not self._pointed[j]:
                numbers[j] += sum(len(rows) for rows, _ in commas)
        return numbers

    def _matrix(self, numbers: Sequence[int]) -> NDArray[np.float64]:
        """The columns of numbers, of shape (rows, numbers)."""
        matrix = np.empty((self.rows, len(numbers)), order="F")
        start = 0
        while self._blocks:
            block = self._blocks.pop(0)
            matrix[start : start + len(block)] = block[:, numbers]
            start += len(block)
        for column, j in enumerate(numbers):
            if not self._pointed[j]:
                for rows, values in self._commas.get(j, ()):
                    matrix[rows, column] = values
        return matrix

    def _typed_texts(self, j: int, places: NDArray[np.int64]) -> tuple[Any, list[Note]]:
        """A column of texts as categories or dates, and what to say about it."""
        codes, texts, name = self._texts[j].codes(), self._texts[j].texts(), self.names[j]

        def first(rows: NDArray[np.bool_]) -> str:
            row = int(rows.argmax())
            return f"{texts[codes[row]]!r} ({self._place} {places[row]})"

        if j in self._categories:
            return category(codes, texts), []
        dates = dates_in(codes, texts)
        if dates is not None:
            known, stray = ~np.isnat(dates), np.isnat(dates) & (codes >= 0)
            read = pd.Timestamp(dates[known.argmax()])
            notes = [("dates", f"{name!r} holds dates: {first(known)} is read as {read}")]
            if stray.any():
                notes.append(_stray_note("dates", name, stray.sum(), len(codes), first(stray)))
            return dates, notes
        if share_of(codes, [is_dressed_number(text) for text in texts]) < NEARLY_ALL:
            return category(codes, texts), []
        sentence = (
            f"{name!r} is text, such as {first(codes >= 0)}; without thousands separators, "
            "percent and currency signs it would be a column of numbers"
        )
        return category(codes, texts), [("numbers written as text", sentence)]

    def _notes_on_numbers(self, j: int, numbers: int) -> Iterator[Note]:
        """What to say about a column of so many numbers."""
        name, present = self.names[j], int(self.present[j])
        if not present:
            yield "no value", f"{name!r} has no value in any row"
        if numbers < present:
            example = self._examples.get(("stray", j)) or self._examples["comma", j]
            yield _stray_note("numbers", name, present - numbers, present, example)
        if j in self._commas and not self._pointed[j]:
            example = self._examples["comma", j]
            yield "decimal commas", f"{name!r} is read with decimal commas, such as {example}"
        if self._infinite[j]:
            yield (
                "infinite numbers",
                f"infinite numbers count as missing: {self._infinite[j]:,} of {present:,} values "
                f"in {name!r}, such as the one in {self._examples['infinite', j]}",
            )


def _numbers_in(block: pd.DataFrame, others: list[int]) -> NDArray[np.float64]:
    """The numbers of a block of shape (rows, columns), NaN in the columns that are others."""
    if not others:
        return block.to_numpy(np.float64, copy=True)
    values = np.full(block.shape, np.nan)
    numeric = sorted(set(range(block.shape[1])).difference(others))
    values[:, numeric] = block.iloc[:, numeric].to_numpy(np.float64)
    return values


def _stray_note(what: str, name: str, count: int, values: int, example: str) -> Note:
    return (
        f"text among {what}",
        f"text among {what} counts as missing: {count:,} of {values:,} values in {name!r}, "
        f"such as {example}",
    )


def _in_short(notes: Sequence[Note]) -> tuple[str, ...]:
    """The sentences, of each kind the first three and how many more columns it holds for.

    >>> _in_short([("dates", f"{name} holds dates") for name in "abcde"])
    ('a holds dates', 'b holds dates', 'c holds dates', 'more columns with dates: 2')
    """
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for kind, sentence in notes:
        by_kind[kind].append(sentence)
    short: list[str] = []
    for kind, sentences in by_kind.items():
        short += sentences[:_IN_FULL]
        if len(sentences) > _IN_FULL:
            short.append(f"more columns with {kind}: {len(sentences) - _IN_FULL:,}")
    return tuple(short)


def _cells(column: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    """The cells of a column as float64, or as texts and None; its index is 0 to n - 1.

    Raises:
        DataError: They are neither.
    """
    types = pd.api.types
    if types.is_timedelta64_dtype(column.dtype):
        column = column.dt.total_seconds()
    if types.is_complex_dtype(column.dtype):
        raise DataError(f"column {name!r} holds complex numbers; give both parts as columns")
    if types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan))
    # A category can be anything that has a name, such as a range of pandas.cut.
    anything = isinstance(column.dtype, pd.CategoricalDtype | pd.IntervalDtype)
    texts = [_text(value, None if anything else name) for value in column.astype(object)]
    return pd.Series(texts, dtype=object)


def _text(value: Any, name: str | None) -> str | None:
    """A value as it would stand in a file; None if it is missing.

    Args:
        value: The value.
        name: The column where a value that is none, such as a list, is a fault; None takes its
            ``str``.

    Raises:
        DataError: It is no value.
    """
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bool | np.bool_ | Integral | decimal.Decimal | datetime.time | pd.Period):
        return str(value)
    if isinstance(value, Real):
        return repr(float(value))
    if name is None:
        return str(value)
    raise DataError(
        f"column {name!r} holds {type(value).__name__}, such as {str(value)[:40]!r}; cells have to "
        "be numbers, texts, dates, or True and False"
    )
