"""From a frame with columns of any kind to rows that can be parted, scaled and learned from."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.row_keys import row_keys
from secchi.data.splits import TEST, TRAIN, VALID
from secchi.data.synthetic import Drawn
from secchi.data.targets import Aim, read_shares, read_target
from secchi.data.task import Task
from secchi.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

MOST_DIFFERENT = 0.5
"""A column of text in which more than this share of the values are different names its rows."""

_SPLITS = {"train": TRAIN, "valid": VALID, "val": VALID, "validation": VALID, "test": TEST}
_NUMBERS_ROWS = {"id", "ids", "index", "row", "rownames", "nr", "no", "number", "nummer", "key"}
_WHOM = {"patient", "subject", "person", "participant", "customer", "user", "client", "kunde"}
"""Last words of the names of columns that count rows, or say of whom they are."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows with what is true of them, before they are parted.

    Attributes:
        name: What it is called.
        frame: The inputs, (rows, columns): numbers as float64, everything else as text; None and
            NaN are missing.
        task: What is predicted.
        values: One array a target, as :meth:`secchi.Target.encode` gives them.
        rows: The number of each row, int64: its line in the file, or its place in the frame.
        keys: A digest of each row of the whole table, of its unused columns too, but for those that
            only name or count the rows.
        weights: How much each row counts, float32; None counts all alike.
        groups: Rows with one number are never parted, int64; -1 is no group. None has no groups.
        when: Rows are parted in this order; None has none.
        part: The split of each row, int8, where the table says it itself.
        row_name: What the number of a row is: ``"line"`` or ``"row"``.
        beside: Columns that are no inputs.
        given: Columns that could have been, those that tell nothing too.
        by_number: Whether rows are parted at random by their numbers, not by what is in them: so
            two tables whose rows are drawn from one stream are parted alike.
    """

    name: str
    frame: "pd.DataFrame"
    task: Task
    values: tuple[NDArray[Any], ...]
    rows: NDArray[np.int64]
    keys: NDArray[np.uint64]
    weights: NDArray[np.float32] | None = None
    groups: NDArray[np.int64] | None = None
    when: NDArray[Any] | None = None
    part: NDArray[np.int8] | None = None
    row_name: str = "row"
    beside: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    by_number: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> NDArray[np.uint64]:
        """What rows are parted at random by, (rows,); equal ones can be kept together."""
        return self.rows.astype(np.uint64) if self.by_number else self.keys

    def take(self, rows: NDArray[Any]) -> "Table":
        """Some rows, by their places or a mask."""
        chosen = np.arange(len(self))[rows]
        changes: dict[str, Any] = {
            field: None if (values := getattr(self, field)) is None else values[chosen]
            for field in ("rows", "keys", "weights", "groups", "when", "part")
        }
        return dataclasses.replace(
            self,
            frame=self.frame.iloc[chosen].reset_index(drop=True),
            values=tuple(values[chosen] for values in self.values),
            **changes,
        )


@dataclasses.dataclass(frozen=True)
class Roles:
    """What each column is for.

    Attributes:
        target: The columns to predict.
        above: Makes two classes of a number, or of several by name.
        task: ``"class"``, ``"number"`` or ``"distribution"``, for all targets or by name.
        inputs: The columns to learn from; None takes every other.
        drop: Columns to leave out.
        weight_column: How much each row counts.
        group_column: Rows of one group are never parted.
        time_column: The latest rows are for testing, those before them for validation.
        split_column: Says ``train``, ``valid`` or ``test`` of each row.
    """

    target: tuple[str, ...]
    above: float | Mapping[str, float] | None = None
    task: str | Mapping[str, str] | None = None
    inputs: Sequence[str] | None = None
    drop: Sequence[str] = ()
    weight_column: str | None = None
    group_column: str | None = None
    time_column: str | None = None
    split_column: str | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "drop"):
            given = getattr(self, name)
            if given is not None:
                names = (given,) if isinstance(given, str | int) else given
                object.__setattr__(self, name, tuple(str(each) for each in names))
        for name in ("weight_column", "group_column", "time_column", "split_column"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, str(getattr(self, name)))

    def check(self, columns: Sequence[str]) -> None:
        """Refuse names of columns that there are not.

        Raises:
            DataError: With every one of them.
        """
        special = (self.weight_column, self.group_column, self.time_column, self.split_column)
        named = [*self.target, *(self.inputs or ()), *self.drop, *filter(None, special)]
        for option in ("above", "task"):
            says = getattr(self, option)
            for name in says if isinstance(says, Mapping) else ():
                if name not in self.target:
                    hint = did_you_mean(str(name), self.target)
                    raise DataError(f"{option} names {name!r}, which is no target{hint}")
        known = set(columns)
        missing = [name for name in dict.fromkeys(named) if name not in known]
        if missing:
            hints = [f"{name!r}{did_you_mean(name, columns)}" for name in missing]
            raise DataError(
                f"there is no column {', no column '.join(hints)}; there are: {_some(columns)}"
            )
        if not self.target:
            raise DataError(
                "no target is named; target='...' (or --target) says which column is predicted; "
                f"there are: {_some(columns)}"
            )
        if both := sorted(set(self.target) & set(self.inputs or ())):
            raise DataError(f"{both[0]!r} cannot be both the target and an input")

    def learned_from(self, columns: Sequence[str]) -> list[str]:
        """The columns that are inputs, in their order."""
        if self.inputs is not None:
            chosen = set(self.inputs) - set(self.drop)
            return [name for name in columns if name in chosen]
        special = {self.weight_column, self.group_column, self.time_column, self.split_column}
        others = special | {*self.target, *self.drop}
        return [name for name in columns if name not in others]


def read_table(
    frame: "pd.DataFrame",
    labels: Mapping[str, NDArray[Any]],
    roles: Roles,
    *,
    name: str,
    rows: NDArray[np.int64] | None = None,
    row_name: str = "row",
) -> tuple[Table, list[str], list[tuple[str, int]]]:
    """Give every column its part.

    Args:
        frame: As :func:`secchi.data.csv_file.typed_frame` gives it.
        labels: The values of the targets in the type they came in, by name.
        roles: Which column is what.
        name: What the table is called.
        rows: The number of each row; None counts them from 0.
        row_name: What that number is.

    Returns:
        The rows whose targets are known; notes; and how many rows are left out, with reasons.

    Raises:
        DataError: A column that is not there, dates among the inputs, no input that tells rows
            apart, or a target that cannot be predicted.
    """
    columns = list(frame.columns)
    roles.check(columns)
    arrays = {column: frame[column].to_numpy() for column in columns}
    aims = _aims(roles, labels, arrays)
    known = np.logical_and.reduce([aim.known for aim in aims])
    given = roles.learned_from(columns)
    inputs, notes = _inputs(frame, given, chosen=roles.inputs is not None)
    if roles.group_column is None:
        notes += _note_on_groups(frame, inputs)
    if not inputs:
        raise DataError(
            f"no column of {name} can be learned from: "
            + ("; ".join(notes) or "there is no other, or none that holds a value")
        )
    notes = [note for aim in aims for note in aim.notes] + notes
    weights = _weights(roles.weight_column, arrays)
    chosen = set(inputs)
    nameless = _without_names_of_rows(frame, arrays, roles)
    table = Table(
        name,
        frame[inputs],
        Task(tuple(aim.target for aim in aims)),
        tuple(_everywhere(aim) for aim in aims),
        np.arange(len(frame)) if rows is None else rows,
        row_keys(nameless),
        weights,
        _groups(roles.group_column, arrays),
        _when(roles.time_column, arrays),
        _part(roles.split_column, arrays),
        row_name,
        tuple(column for column in columns if column not in chosen),
        tuple(given),
    )
    skipped = [("no value of the target", int((~known).sum()))]
    if weights is not None:
        skipped.append(("no weight", int((known & np.isnan(weights)).sum())))
        known &= ~np.isnan(weights)
    if not known.all():
        table = table.take(known)
    return table, notes, [(reason, count) for reason, count in skipped if count]


def made_table(drawn: Drawn, name: str) -> Table:
    """Made-up rows as a table; of these it is known what every column is.

    They are parted by their numbers, so that a row keeps its side where it is made up with another
    slope or more noise.

    Args:
        drawn: The rows.
        name: What the table is called.
    """
    import pandas as pd

    target = drawn.target
    kind = "class" if target.exclusive else "number"
    aim = read_target(target.name, drawn.values, kind=kind)
    inputs = dict(zip(drawn.names, np.ascontiguousarray(drawn.inputs.T), strict=True))
    return Table(
        name,
        pd.DataFrame(inputs, copy=False),
        Task((aim.target,)),
        (_everywhere(aim),),
        np.arange(len(drawn.inputs)),
        row_keys(inputs | {target.name: drawn.values}),
        beside=(target.name,),
        given=tuple(drawn.names),
        by_number=True,
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _aims(
    roles: Roles, labels: Mapping[str, NDArray[Any]], arrays: Mapping[str, NDArray[Any]]
) -> list[Aim]:
    if roles.task == "distribution":
        if any(arrays[name].dtype.kind != "f" for name in roles.target):
            raise DataError("the shares of a distribution have to be numbers")
        return [read_shares(roles.target, np.stack([arrays[n] for n in roles.target], axis=1))]

    def said(what: Any, name: str) -> Any:
        return what.get(name) if isinstance(what, Mapping) else what

    return [
        read_target(name, labels[name], above=said(roles.above, name), kind=said(roles.task, name))
        for name in roles.target
    ]


def _everywhere(aim: Aim) -> NDArray[Any]:
    """The values of every row, zeros where they are not known."""
    values = np.zeros((len(aim.known), *aim.values.shape[1:]), aim.values.dtype)
    values[aim.known] = aim.values
    return values


def _inputs(
    frame: "pd.DataFrame", names: Sequence[str], chosen: bool
) -> tuple[list[str], list[str]]:
    """The columns that can be learned from, and why others cannot; those that were chosen stay."""
    kept, notes, dates = [], [], []
    for name in names:
        column = frame[name]
        if column.dtype.kind in "mM":
            dates.append(name)
        elif column.isna().all():
            continue  # who read the table has said so
        elif not chosen and (why := _useless(name, column)):
            notes.append(f"the column {name!r} is left out: {why}")
        else:
            kept.append(name)
    if dates:
        raise DataError(
            f"the column {dates[0]!r} holds dates, which a network cannot take as they are; "
            f"drop=[{dates[0]!r}] leaves it out, time_column={dates[0]!r} splits the rows by it, "
            "or make numbers of it first, such as year, month and weekday"
        )
    if len(notes) > _MOST_NOTES:
        rest = len(notes) - _MOST_NOTES + 1
        notes = [*notes[: _MOST_NOTES - 1], f"{rest:,} more columns are left out likewise"]
    return kept, notes


def _without_names_of_rows(
    frame: "pd.DataFrame", arrays: Mapping[str, NDArray[Any]], roles: Roles
) -> dict[str, NDArray[Any]]:
    """The columns that say what a row is: copies of a row with other numbers are copies."""
    kept = {
        name: values
        for name, values in arrays.items()
        if name in roles.target or values.dtype.kind in "mM" or not _names_rows(name, frame[name])
    }
    return kept or dict(arrays)


_MOST_NOTES = 5


def _useless(name: str, column: "pd.Series[Any]") -> str:
    """Why a column tells rows not apart, or names each of them; or nothing."""
    if not column.isna().any() and column.nunique() == 1:
        value = column.iloc[0]
        return f"it is {f'{value:g}' if column.dtype.kind == 'f' else repr(value)} in every row"
    return _names_rows(name, column)


def _names_rows(name: str, column: "pd.Series[Any]") -> str:
    """Why a column only names or counts the rows; or nothing."""
    values = column.to_numpy()
    if values.dtype.kind == "f":
        return "its numbers only name the rows" if _is_id(name, values) else ""
    different, present = column.nunique(), int(column.notna().sum())
    if different > max(20, MOST_DIFFERENT * present):
        return f"it has {different:,} different texts in {present:,} rows, which name them"
    return ""


def _is_id(name: str, values: NDArray[Any]) -> bool:
    """Whether whole numbers, each of one row alone, stand under a name that numbers have."""
    if not _last_word(name) & _NUMBERS_ROWS or len(values) < 3 or np.isnan(values).any():
        return False
    return bool(np.equal(values, np.round(values)).all()) and len(np.unique(values)) == len(values)


def _last_word(name: str) -> set[str]:
    """The last word of a name, in small letters: of ``Kunden-Nr`` and ``customerId`` too."""
    words = re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+", name)
    return {words[-1].casefold()} if words else set()


def _note_on_groups(frame: "pd.DataFrame", names: Sequence[str]) -> list[str]:
    """Columns that seem to say of whom a row is, each of whom has several rows."""
    found = []
    for name in names:
        values = frame[name].dropna()
        if not _last_word(name) & (_NUMBERS_ROWS | _WHOM):
            continue
        if values.dtype.kind == "f" and not np.equal(values, np.round(values)).all():
            continue
        if 10 <= values.nunique() <= len(values) / 2:
            found.append(
                f"{name!r} seems to say of whom a row is, and most have several rows: "
                f"group_column={name!r} (--group-column) keeps those in one split, so that nobody "
                "is judged by rows that were learned from; drop leaves it out"
            )
    return found


def _weights(column: str | None, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    """The weights, NaN where they are missing."""
    if column is None:
        return None
    values = arrays[column]
    if values.dtype.kind != "f" or (values < 0).any():
        raise DataError(f"the weights in {column!r} have to be numbers from 0 on")
    return values.astype(np.float32)


def _groups(column: str | None, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int64] | None:
    if column is None:
        return None
    import pandas as pd

    values = arrays[column]
    numbers = (row_keys({"group": values}) >> np.uint64(1)).astype(np.int64)
    return np.where(pd.isna(values), -1, numbers)


def _when(column: str | None, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    if column is None:
        return None
    values = arrays[column]
    if values.dtype.kind not in "fmM":
        raise DataError(f"the column {column!r} holds neither dates nor numbers to order rows by")
    missing = np.isnat(values) if values.dtype.kind in "mM" else np.isnan(values)
    if missing.any():
        raise DataError(f"{int(missing.sum()):,} rows have no value of the time {column!r}")
    return values


def _part(column: str | None, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int8] | None:
    if column is None:
        return None
    says = [str(value).strip().casefold() for value in arrays[column]]
    strange = sorted({word for word in says if word not in _SPLITS})
    if strange:
        raise DataError(
            f"the column {column!r} says {strange[0]!r}, which is none of train, valid and test"
        )
    return np.array([_SPLITS[word] for word in says], np.int8)
