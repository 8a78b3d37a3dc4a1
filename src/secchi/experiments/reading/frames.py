"""The trials as tables: one row a trial, or one row a trial and epoch."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError
from secchi.experiments.reading.collected import Collected, course
from secchi.experiments.reading.measures import all_numbers, value_text
from secchi.files import written_aside
from secchi.values import is_number

if TYPE_CHECKING:
    import pandas as pd

    from secchi.experiments.trials import Finished


def final_frame(collected: Collected) -> "pd.DataFrame":
    """One row a trial; see :attr:`secchi.experiments.result.Result.final`."""
    import pandas as pd

    epochs = "trained_epochs" if "epochs" in collected.factors else "epochs"
    columns = _leading(collected) | dict(collected.values)
    columns["outcome"] = [outcome.name.lower() for outcome in collected.outcomes]
    columns[epochs] = collected.epochs
    columns["kept"] = pd.array(list(collected.kept), dtype="Int64")
    columns["reason"] = pd.array(list(collected.reasons), dtype="string")
    return pd.DataFrame(columns)


def whole_frame(collected: Collected, finished: "Sequence[Finished]") -> "pd.DataFrame":
    """One row a trial and epoch; see :attr:`secchi.experiments.result.Result.table`."""
    import pandas as pd

    lengths = collected.epochs
    leading = _leading(collected)
    columns = {name: np.repeat(np.asarray(each), lengths) for name, each in leading.items()}
    starts = np.cumsum(lengths) - lengths
    columns["epoch"] = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    values = {name: np.empty(lengths.sum()) for name in collected.values}
    for one, start, length in zip(finished, starts, lengths, strict=True):
        for name, column in values.items():
            column[start : start + length] = course(one.curve, name)
    return pd.DataFrame(columns | values)


def write_parquet(made: "Callable[[], pd.DataFrame]", path: Path) -> None:
    """Write a table, which is made when it is known that it can be written.

    Raises:
        DataError: The library that writes such files is not installed.
    """
    try:
        import_module("pyarrow")
    except ImportError as error:
        raise DataError(
            f"{path.name} cannot be written: Parquet files need the package pyarrow; "
            "pip install pyarrow, or write result.table.to_csv(…)"
        ) from error
    table = made()
    for name, column in table.items():
        if column.dtype.kind == "O":  # a column of such a file is of one kind
            table[name] = column.map(value_text)
    with written_aside(path) as aside:
        table.to_parquet(aside, engine="pyarrow", index=False)


def _leading(collected: Collected) -> dict[str, Any]:
    """The columns that say which trial a row is of."""
    columns: dict[str, Any] = {"trial": np.arange(len(collected.trials))}
    for name in collected.factors:
        columns[name] = factor_column([trial.setting.get(name) for trial in collected.trials])
    columns["repeat"] = np.array([trial.repeat for trial in collected.trials], dtype=np.int64)
    return columns


def factor_column(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """The values of a factor as a column of which ``groupby`` loses no row.

    Numbers and truth values stay what they are, also beside others; anything else is text, None
    ``"none"``.

    >>> factor_column([None, 10]).tolist(), factor_column([[8], [16, 4]]).tolist()
    (['none', 10], ['[8]', '[16, 4]'])
    """
    if all_numbers(values) or all(isinstance(value, bool) for value in values):
        return np.array(values)
    mixed = [
        value if is_number(value) or isinstance(value, bool) else value_text(value)
        for value in values
    ]
    return np.array(mixed, dtype=object)


def groups_frame(
    groups: Sequence[Mapping[str, Any]], numbers: Mapping[str, NDArray[Any]]
) -> "pd.DataFrame":
    """One row a group: the values of its factors, and its numbers."""
    import pandas as pd

    names = groups[0] if groups else ()
    columns = {name: factor_column([group[name] for group in groups]) for name in names}
    return pd.DataFrame(columns | dict(numbers))


def group_records(
    groups: Sequence[Mapping[str, Any]], numbers: Mapping[str, NDArray[Any]]
) -> list[dict[str, Any]]:
    """One dictionary a group, of plain values: those of its factors, and its numbers."""
    return [
        {**group, **{name: each[place].tolist() for name, each in numbers.items()}}
        for place, group in enumerate(groups)
    ]
