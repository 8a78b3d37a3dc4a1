"""Cutting a table by its features: numbers at their quantiles, everything else by its values."""

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_DIGITS, _ALL_DIGITS = 6, 17
"""The digits of a number that are printed at least, and those that tell any two apart."""

_WHOLE = 1e15
"""Whole numbers below it are printed as such."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """What some rows have in common in one feature: a range, a value, or that it is missing.

    Attributes:
        feature: The column.
        above: The number above which the rows lie; minus infinity where the range has no lower end.
        up_to: The highest number that they reach; infinity where it has no upper end.
        value: The one value that they have, where the feature is no number; else None.
        missing: Whether they are the rows without a value.
        digits: With how many digits the ends of the range are printed; whole numbers have all.

    >>> print(Condition("alcohol", above=9.5, up_to=10.2))
    9.5 < alcohol ≤ 10.2
    """

    feature: str
    above: float = -math.inf
    up_to: float = math.inf
    value: Any = None
    missing: bool = False
    digits: int = _DIGITS

    def where(self, frame: "pd.DataFrame") -> NDArray[np.bool_]:
        """Which rows of a table it holds for, (rows,).

        Raises:
            DataError: The table has no such column.
        """
        column = _column(frame, self.feature)
        if self.missing:
            return np.asarray(column.isna(), dtype=np.bool_)
        if self.value is not None:
            return np.asarray((column == self.value).fillna(False), dtype=np.bool_)
        numbers = _numbers(column)
        held = (numbers > self.above) & (numbers <= self.up_to)
        if self.above == -math.inf:
            held |= numbers == -math.inf
        return held

    def to_dict(self) -> dict[str, Any]:
        """As plain values; one that is no number or truth value as text."""
        value = self.value
        if value is not None and not isinstance(value, bool):
            value = str(value)
        plain = dataclasses.asdict(self) | {"value": value}
        del plain["digits"]
        return plain

    def __str__(self) -> str:
        if self.missing:
            return f"{self.feature} is missing"
        if self.value is not None:
            return f"{self.feature} = {self.value}"
        if self.up_to == math.inf:
            known = f"{self.feature} is known"
            above = f"{self.feature} > {_printed(self.above, self.digits)}"
            return known if self.above == -math.inf else above
        below = f"{self.feature} ≤ {_printed(self.up_to, self.digits)}"
        if self.above == -math.inf:
            return below
        return f"{_printed(self.above, self.digits)} < {below}"


@dataclasses.dataclass(frozen=True)
class Cut:
    """A table cut into pieces.

    Attributes:
        pieces: What the rows of each piece have in common.
        codes: The piece of each row by number, (rows,).
    """

    pieces: list[tuple[Condition, ...]]
    codes: NDArray[np.intp]


def cut(name: str, column: "pd.Series[Any]", bins: int) -> Cut:
    """Cut by one feature, with a piece for the rows without a value, which may be empty.

    Args:
        name: What the feature is called.
        column: Its values.
        bins: Into how many pieces numbers are cut at most.

    >>> import pandas as pd
    >>> [str(piece) for (piece,) in cut("depth", pd.Series([1.0, 2.0, 3.0, 4.0]), 2).pieces]
    ['depth ≤ 2', 'depth > 2', 'depth is missing']
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = _numbers(column)
        edges = _edges(numbers[~np.isnan(numbers)], bins)
        ends = [-math.inf, *edges, math.inf]
        digits = _digits(edges)
        held = [Condition(name, above, to, digits=digits) for above, to in itertools.pairwise(ends)]
        codes = np.where(np.isnan(numbers), len(held), np.searchsorted(edges, numbers))
    else:
        found, values = pd.factorize(column)
        held = [Condition(name, value=value) for value in values.tolist()]
        codes = np.where(found < 0, len(held), found)
    held.append(Condition(name, missing=True))
    return Cut([(one,) for one in held], codes)


def cut_by_both(one: Cut, other: Cut) -> Cut:
    """Cut by two features at once, into the pairs of pieces that some row is in."""
    import pandas as pd

    codes, pairs = pd.factorize(one.codes * len(other.pieces) + other.codes)
    held = [
        one.pieces[first] + other.pieces[second]
        for first, second in (divmod(int(pair), len(other.pieces)) for pair in pairs)
    ]
    return Cut(held, codes)


def _edges(numbers: Array, bins: int) -> list[float]:
    """Where numbers are cut: at values that occur, below the highest of them."""
    values = np.unique(numbers)
    edges = values[:-1]
    if len(values) > bins:
        quantiles = np.quantile(numbers, np.arange(1, bins) / bins, method="inverted_cdf")
        # Where the highest value is frequent, everything below it is still a piece.
        edges = np.unique(np.minimum(quantiles, values[-2]))
    found: list[float] = edges.tolist()
    return found


def _digits(edges: list[float]) -> int:
    """As many digits as tell edges apart, and no fewer than are printed anyway."""
    for digits in range(_DIGITS, _ALL_DIGITS):
        if len({_printed(edge, digits) for edge in edges}) == len(edges):
            return digits
    return _ALL_DIGITS


def _printed(edge: float, digits: int) -> str:
    """The end of a range as text, with so many digits, or all of a whole number.

    >>> _printed(1234567.0, 6), _printed(1 / 3, 6), _printed(-0.0, 6)
    ('1234567', '0.333333', '0')
    """
    whole = abs(edge) < _WHOLE and edge == int(edge)
    return f"{edge:z.0f}" if whole else f"{edge:.{digits}g}"


def _column(frame: "pd.DataFrame", feature: str) -> "pd.Series[Any]":
    """The column of a feature, which is called by the text of the column's name."""
    names = [str(name) for name in frame.columns]
    if feature not in names:
        raise DataError(f"no column is called {feature!r}{did_you_mean(feature, names)}")
    return frame.iloc[:, names.index(feature)]


def _numbers(column: "pd.Series[Any]") -> Array:
    return column.to_numpy(dtype=np.float64, na_value=math.nan)
