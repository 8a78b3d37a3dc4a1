"""From columns of numbers and text to the numbers that a network takes."""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.table import SCALES
from secchi.errors import DataError, SecchiError, SpecError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

MOST_LEVELS = 100
"""So many texts of a column, the most frequent ones, have an input of their own."""


@dataclasses.dataclass(frozen=True)
class NumberInput:
    """A column of numbers: (value - center) / scale; 0 where the scale is 0.

    Attributes:
        name: The column.
        center: Is taken from each value.
        scale: What it is divided by then; 0 for a column that never changed in training: nothing
            was learned of it, so whatever it holds later must not count.
        fill: Stands for a missing value.
        flagged: Whether a second input says where a value is missing: 1, else 0.
    """

    name: str
    center: float
    scale: float
    fill: float
    flagged: bool = False

    @property
    def names(self) -> list[str]:
        """Of its inputs."""
        return [self.name, f"{self.name} is missing"] if self.flagged else [self.name]

    def write(self, column: NDArray[Any], out: NDArray[Any]) -> None:
        """Fill in its inputs, (rows, inputs)."""
        missing = np.isnan(column)
        if self.scale == 0:
            out[:, 0] = 0
        else:
            out[:, 0] = (np.where(missing, self.fill, column) - self.center) / self.scale
        if self.flagged:
            out[:, 1] = missing


@dataclasses.dataclass(frozen=True)
class TextInput:
    """A column of text: one input for each text that it knows, 1 where it is that, else 0.

    Attributes:
        name: The column.
        levels: The texts; others, and missing ones, are 0 throughout.
    """

    name: str
    levels: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of its inputs."""
        return [f"{self.name}={level}" for level in self.levels]

    def write(self, column: NDArray[Any], out: NDArray[Any]) -> None:
        """Fill in its inputs, (rows, inputs)."""
        places = self.places(column)
        out[:] = 0
        known = np.flatnonzero(places >= 0)
        out[known, places[known]] = 1

    def places(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """The place of each text among the levels; -1 for others."""
        import pandas as pd

        levels = pd.Index(self.levels, dtype=object)
        return np.asarray(levels.get_indexer(pd.Index(column, dtype=object)))


@dataclasses.dataclass(frozen=True)
class TableTransform:
    """What brings the rows of a table to the numbers that a network takes.

    Numbers are scaled; a missing one is the median of the training rows, and a further input says
    where a value was missing, if any training row lacked it. Text has an input for each of its
    values, 1 or 0. All of it is taken from training rows alone.

    The scales, of the training rows: ``"zscore"``: by mean and standard deviation; ``"minmax"``:
    from 0 at the smallest value to 1 at the largest; ``"robust"``: by median and interquartile
    range, or by the standard deviation where that range is 0; ``"none"``: as they are. A column
    that never changes in the training rows is 0 for all rows.

    Attributes:
        columns: One record a column of the table.
        scale: Which scale it is.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"age": [1.0, 3.0, None], "pet": ["cat", "dog", "cat"]})
    >>> transform = TableTransform.fit(rows)
    >>> transform.names
    ['age', 'age is missing', 'pet=cat', 'pet=dog']
    >>> transform.apply(rows).tolist()
    [[-1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]
    """

    columns: tuple[NumberInput | TextInput, ...]
    scale: str = "zscore"

    @classmethod
    def fit(cls, frame: "pd.DataFrame", scale: str = "zscore") -> "TableTransform":
        """Take what there is to know from training rows.

        Args:
            frame: Numbers as float64, everything else as text; None and NaN are missing.
            scale: ``"zscore"``, ``"minmax"``, ``"robust"`` or ``"none"``.
        """
        columns: list[NumberInput | TextInput] = []
        for name in frame.columns:
            column = frame[name]
            if column.dtype.kind == "f":
                columns.append(_fitted(name, column.to_numpy(), scale))
            else:
                counts = column.astype(object).value_counts()
                levels = sorted(str(level) for level in counts.index[:MOST_LEVELS])
                columns.append(TextInput(name, tuple(levels)))
        return cls(tuple(columns), scale)

    @property
    def known(self) -> dict[str, str]:
        """What each column of the table holds: ``"number"`` or ``"text"``, by name."""
        return {
            column.name: "number" if isinstance(column, NumberInput) else "text"
            for column in self.columns
        }

    @property
    def names(self) -> list[str]:
        """Of the inputs of a network, in their order."""
        return [name for column in self.columns for name in column.names]

    @property
    def width(self) -> int:
        """How many inputs a network gets."""
        return sum(len(column.names) for column in self.columns)

    def apply(self, frame: "pd.DataFrame", dtype: Any = np.float32) -> NDArray[Any]:
        """Prepare rows that have every column; their order does not matter.

        Returns:
            (rows, width), of the type asked for.
        """
        prepared = np.empty((len(frame), self.width), dtype)
        for column, inputs in self._placed():
            column.write(frame[column.name].to_numpy(), prepared[:, inputs])
        return prepared

    def matched(self, frame: "pd.DataFrame", beside: Sequence[str] = ()) -> "pd.DataFrame":
        """The columns that are needed, of rows from anywhere; warns of what may surprise.

        Args:
            frame: As :func:`secchi.data.csv_file.typed_frame` gives it.
            beside: Columns that were there in training and are not learned from.

        Raises:
            DataError: A column is not there, or holds text where numbers were learned from.

        Warns:
            UserWarning: Columns that are not used, values that are missing where none was in
                training, and texts that training did not know.
        """
        import pandas as pd

        needed = [column.name for column in self.columns]
        if absent := [name for name in needed if name not in frame.columns]:
            hints = ", ".join(
                f"{name!r}{did_you_mean(name, [str(c) for c in frame.columns])}" for name in absent
            )
            raise DataError(f"these rows lack columns that the model learned from: {hints}")
        if extra := [str(name) for name in frame.columns if name not in {*needed, *beside}]:
            warnings.warn(
                f"columns that were not there in training are not used: {', '.join(extra[:5])}"
                + (f" and {len(extra) - 5:,} more" if len(extra) > 5 else ""),
                UserWarning,
                stacklevel=2,
            )
        chosen = {}
        for column in self.columns:
            given = frame[column.name]
            if isinstance(column, NumberInput):
                chosen[column.name] = _as_numbers(column, given)
            else:
                chosen[column.name] = _as_text(column, given)
        return pd.DataFrame(chosen)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"scale": self.scale, "columns": [dataclasses.asdict(c) for c in self.columns]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "TableTransform":
        """From what :meth:`to_dict` gave.

        Raises:
            SecchiError: It is nothing of the kind.
        """
        try:
            columns = [
                TextInput(str(c["name"]), tuple(map(str, c["levels"])))
                if "levels" in c
                else NumberInput(
                    str(c["name"]),
                    float(c["center"]),
                    float(c["scale"]),
                    float(c["fill"]),
                    bool(c["flagged"]),
                )
                for c in document["columns"]
            ]
            return cls(tuple(columns), str(document["scale"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SecchiError(f"this is no way to prepare a table: {error!r}") from None

    def _placed(self) -> Iterator[tuple[NumberInput | TextInput, slice]]:
        """Each column with the place of its inputs."""
        start = 0
        for column in self.columns:
            stop = start + len(column.names)
            yield column, slice(start, stop)
            start = stop


def center_and_scale(values: NDArray[np.float64], scale: str) -> tuple[float, float]:
    """What is taken from each value, and what it is divided by then.

    Args:
        values: Finite numbers, one or more.
        scale: One of :data:`secchi.data.table.SCALES`.

    Returns:
        The center, and the scale: 0 where the values never change, but for ``"none"``.

    Raises:
        SpecError: There is no such scale.

    >>> center_and_scale(np.array([0.0, 4.0]), "minmax")
    (0.0, 4.0)
    """
    if scale not in SCALES:
        fault = f"scale is {scale!r}, none of {', '.join(SCALES)}{did_you_mean(str(scale), SCALES)}"
        raise SpecError("this scaling cannot be", [fault])
    low, high = float(values.min()), float(values.max())
    if scale == "none":
        return 0.0, 1.0
    center, spread = float(values.mean()), float(values.std())
    if scale == "minmax":
        center, spread = low, high - low
    elif scale == "robust":
        quarter, center, rest = (float(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
        spread = rest - quarter or spread
    # Rounding leaves a spread where every value is the same.
    return center, 0.0 if low == high else spread


def _fitted(name: str, values: NDArray[np.float64], scale: str) -> NumberInput:
    given = values[~np.isnan(values)]
    if not len(given):
        return NumberInput(name, 0.0, 0.0, 0.0, flagged=True)
    center, spread = center_and_scale(given, scale)
    return NumberInput(name, center, spread, float(np.median(given)), len(given) < len(values))


def _as_numbers(column: NumberInput, given: "pd.Series[Any]") -> NDArray[np.float64]:
    import pandas as pd

    if given.dtype.kind in "mM":
        raise DataError(
            f"the column {column.name!r} holds dates, and the model learned from its numbers"
        )
    if given.dtype.kind == "f":
        values = given.to_numpy(np.float64)
    elif given.isna().all():
        values = np.full(len(given), np.nan)
    else:
        values = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
        if wrong := int((np.isnan(values) & given.notna().to_numpy()).sum()):
            example = given[np.isnan(values) & given.notna().to_numpy()].iloc[0]
            raise DataError(
                f"the column {column.name!r} holds {wrong:,} texts such as {str(example)!r}, and "
                "the model learned from its numbers"
            )
    missing = int(np.isnan(values).sum())
    if missing and not column.flagged:
        warnings.warn(
            f"{missing:,} rows have no {column.name!r}, which none lacked in training; "
            f"its median {column.fill:.4g} is taken",
            UserWarning,
            stacklevel=3,
        )
    return values


def _as_text(column: TextInput, given: "pd.Series[Any]") -> NDArray[Any]:
    values = _texts(given)
    present = np.array([value is not None for value in values], bool)
    unknown = (column.places(values) < 0) & present
    if unknown.any():
        example = values[np.flatnonzero(unknown)[0]]
        warnings.warn(
            f"{int(unknown.sum()):,} rows have a {column.name!r} that was rare or absent in "
            f"training, such as {example!r}; it counts as none of the others",
            UserWarning,
            stacklevel=3,
        )
    return values


def _texts(given: "pd.Series[Any]") -> NDArray[Any]:
    """Texts as they are in a table of text; whole numbers without a fraction."""
    values = np.full(len(given), None, object)
    for place, (value, missing) in enumerate(zip(given, given.isna(), strict=True)):
        if not missing:
            whole = isinstance(value, float) and value.is_integer()
            values[place] = str(int(value) if whole else value)
    return values
