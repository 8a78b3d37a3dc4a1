"""The rows of tables in memory, as machine code reads them."""

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.cohort.lanes.memory import Array
from secchi.data.task import Kind
from secchi.training.prepared import PreparedTable


class Side(NamedTuple):
    """Rows that train, or that validate.

    Attributes:
        inputs: (rows, inputs).
        truth: (rows, numbers of truth); of numbers to predict in units of their spread.
        weights: (rows,).
        counted: The places of the rows that weigh more than 0.
        order: All places in their order.
        mean: Of the truth, where it is a number.
        even: Whether all rows weigh 1.
    """

    inputs: Array
    truth: Array
    weights: Array
    counted: NDArray[np.int64]
    order: NDArray[np.int32]
    mean: float
    even: bool

    @property
    def rows(self) -> int:
        """How many rows count."""
        return len(self.counted)


class Sides:
    """The rows of each table, made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, str], tuple[PreparedTable, Side]] = {}
        self._lock = threading.Lock()

    def of(self, table: PreparedTable, split: str) -> Side:
        """Those of a split of a table."""
        key = id(table), split
        with self._lock:
            if key not in self._made:
                self._made[key] = table, _side(table, split)
            return self._made[key][1]


def _side(table: PreparedTable, split: str) -> Side:
    inputs, labels = np.ascontiguousarray(table.inputs(split)), table.labels(split)
    truth = labels.values[0]
    if table.task.target.kind is Kind.REGRESSION:
        truth = (np.asarray(truth, np.float64) - table.centers[0]) / table.scales[0]
    weights = labels.weights
    return Side(
        inputs,
        np.ascontiguousarray(np.asarray(truth, inputs.dtype).reshape(len(inputs), -1)),
        np.ones(len(inputs), inputs.dtype) if weights is None else weights.astype(inputs.dtype),
        np.arange(len(inputs)) if weights is None else np.flatnonzero(weights),
        np.arange(len(inputs), dtype=np.int32),
        float(truth.mean()) if table.task.target.kind is Kind.REGRESSION else 0.0,
        weights is None,
    )
