"""Arrays that machine code reads and writes, and tables of where they lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LINE = 64
"""Bytes of a cache line, where vectors begin."""


def aligned(shape: Sequence[int], dtype: Any, fill: float | None = 0.0) -> Array:
    """An array that begins at a cache line.

    Args:
        shape: Its shape.
        dtype: What is in it.
        fill: What it is filled with; None leaves it as it is.

    >>> aligned((3, 16), np.float32).ctypes.data % 64
    0
    """
    count, dtype = int(np.prod(shape)), np.dtype(dtype)
    raw = np.empty(count * dtype.itemsize + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    array: Array = raw[start : start + count * dtype.itemsize].view(dtype).reshape(shape)
    if fill is not None:
        array.fill(fill)
    return array


class Table:
    """A table of pointers and whole numbers, by name; keeps what it points to.

    Args:
        names: What is in it, in their order.
        values: Arrays, which it points to, and whole numbers; what is left out is 0.

    >>> Table(("rows", "width"), {"width": 3}).places.tolist()
    [0, 3]
    """

    def __init__(self, names: Sequence[str], values: Mapping[str, "Array | int"]) -> None:
        self._names = list(names)
        self._kept: dict[str, Array] = {}
        self.places = np.zeros(len(names), np.int64)
        self.put(**values)

    def put(self, **values: "Array | int") -> None:
        """Change some of it."""
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                self._kept[name] = value
                value = value.ctypes.data
            self.places[self._names.index(name)] = value

    def kept(self, name: str) -> Array:
        """An array that it points to."""
        return self._kept[name]

    @property
    def address(self) -> int:
        """Where it lies."""
        return self.places.ctypes.data


def pointers(arrays: Sequence[Array]) -> Array:
    """Where arrays lie, as an array; they have to be kept as long as it is used."""
    return np.array([array.ctypes.data for array in arrays], np.int64)
