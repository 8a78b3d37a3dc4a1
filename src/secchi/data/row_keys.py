"""Rows of a table named by what is in them, so that order, file and name do not matter."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.units import mixed

Keys = NDArray[np.uint64]


def row_keys(columns: Mapping[str, NDArray[Any]]) -> Keys:
    """A 64-bit digest of each row: of its values with the names of their columns.

    The order of the columns does not matter. Two different rows of a million share a digest with
    a probability of 3e-8.

    Args:
        columns: Arrays of one length: numbers, or anything whose ``str`` names it; None and NaN
            are missing.

    Returns:
        uint64 of shape (rows,)

    >>> table = {"age": np.array([3.0, 4.0, 3.0]), "pet": np.array(["cat", "dog", "cat"], object)}
    >>> keys = row_keys(table)
    >>> bool(keys[0] == keys[2]), bool(keys[0] == keys[1])
    (True, False)
    """
    rows = len(next(iter(columns.values()), ()))
    total = np.zeros(rows, np.uint64)
    with np.errstate(over="ignore"):
        for name, values in columns.items():
            total += mixed(_values(np.asarray(values)) + _digest(name))
    return mixed(total)


def _values(values: NDArray[Any]) -> Keys:
    """Each value as 64 bits; every NaN and None alike."""
    if values.dtype.kind in "biuf":
        numbers = values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
        numbers[np.isnan(numbers)] = np.nan
        return numbers.view(np.uint64)
    import pandas as pd

    codes, names = pd.factorize(values)
    digests = np.array([_digest(str(name)) for name in names], np.uint64)
    return np.append(digests, np.uint64(0))[codes]  # missing ones have the code -1


def _digest(text: str) -> np.uint64:
    blob = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return np.uint64(int.from_bytes(blob[:8], "little"))
