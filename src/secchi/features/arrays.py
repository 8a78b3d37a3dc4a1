"""Rows of an array in memory as the inputs of a network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrayInputs:
    """The rows of an array.

    Args:
        values: (rows, numbers).

    Attributes:
        width: Numbers in a row.

    >>> inputs = ArrayInputs(np.arange(6, dtype=np.float32).reshape(3, 2))
    >>> len(inputs), inputs.take(np.array([2, 0])).tolist()
    (3, [[4.0, 5.0], [0.0, 1.0]])
    """

    in_memory = True

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self.width = int(np.prod(values.shape[1:]))

    def __len__(self) -> int:
        return len(self._values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[Any]:
        """Some rows; the same in every epoch."""
        return self._values[rows]
