"""The values of a target as they came, and the words of a person as plain values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 2.0**53
"""Up to here every whole number is a float64 of its own."""


def whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers of a file as such: 5, not 5.0; missing ones are None."""
    if values.dtype.kind != "f":
        return values
    known = ~np.isnan(values)
    given = values[known]
    if not np.equal(given, np.round(given)).all() or (np.abs(given) >= _EXACT).any():
        return values
    if known.all():
        return values.astype(np.int64)
    whole = np.full(len(values), None, object)
    whole[known] = given.astype(np.int64)
    return whole


def own_labels(own: "pd.Series[Any]", typed: "pd.Series[Any]") -> NDArray[Any]:
    """A target in the type that it came in; texts as they would be read from a file."""
    values = own.to_numpy()
    if typed.dtype.kind in "mM":
        return typed.to_numpy()
    if values.dtype == object and all(isinstance(v, str) for v in values[own.notna().to_numpy()]):
        return whole_numbers(typed.to_numpy())
    return values


def names_of(given: Any) -> list[str]:
    """Names of columns: one, or several."""
    return [str(given)] if isinstance(given, str | int) else [str(name) for name in given]


def plain(value: Any) -> Any:
    """As plain JSON values: NumPy's numbers and pandas' indexes become Python's."""
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return [plain(each) for each in value]
