"""The rows of a table as networks take them, and what is true of them."""

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from secchi.data.table import TableData
from secchi.data.task import Kind, Labels, Task
from secchi.errors import DataError
from secchi.features.table import FeatureData
from secchi.models.build import Model, build_model
from secchi.models.heads import mean_of, of_one_length
from secchi.models.units import in_units
from secchi.training.rows import ArrayInputs, Rows
from secchi.transforms.table import TableTransform, center_and_scale

if TYPE_CHECKING:
    import pandas as pd

_DTYPES: dict[str, Any] = {"fp32": np.float32, "fp64": np.float64}

Chosen = NDArray[np.int64] | slice
"""Places of rows."""

_ALL = slice(None)


class Preparation(Protocol):
    """What rows are brought by to the numbers that a network takes: a TableTransform, say."""

    @property
    def width(self) -> int:
        """How many inputs a network gets."""
        ...

    def apply(self, rows: Any, dtype: Any) -> NDArray[Any]:
        """Prepare rows as they came; (rows, width), of the type asked for, C-contiguous."""
        ...


class Source(Protocol):
    """Rows as they came.

    Attributes:
        task: What is predicted.
        target_scale: How numbers to predict are scaled: ``"zscore"`` or ``"none"``.
    """

    task: Task
    target_scale: str

    def given(self, split: str, rows: Chosen) -> Any:
        """Some rows of a split."""
        ...

    def labels(self, split: str) -> Labels:
        """What is true of the rows of a split."""
        ...

    def fit(self, rows: Any) -> Preparation:
        """How rows are prepared, from training rows as they came."""
        ...


class PreparedTable:
    """The rows of a table as networks take them, and what is true of them.

    Columns and targets are scaled by what the training rows are, when they are first needed. Made
    by :meth:`of` and :meth:`of_arrays`; networks that learn from the same rows share one.

    Args:
        source: The rows as they came.
        precision: ``"fp32"`` or ``"fp64"``: what the inputs are, and the networks compute in.
        chosen: The places of the training rows that count; the others are as if not there.

    Attributes:
        task: What is predicted.
        precision: As given.

    >>> ages = [[float(age)] for age in range(20)]
    >>> table = PreparedTable.of(TableData.from_arrays(ages, ["young"] * 10 + ["old"] * 10))
    >>> table.inputs("train").shape, table.part(np.array([0, 9, 5])).inputs("train").shape
    ((16, 1), (3, 1))
    """

    def __init__(self, source: Source, precision: str = "fp32", chosen: Chosen = _ALL) -> None:
        self.task = source.task
        self.precision = precision
        self._source = source
        self._chosen = chosen
        self._inputs: dict[str, NDArray[Any]] = {}
        self._labels: dict[str, Labels] = {}

    @classmethod
    def of(cls, data: TableData | FeatureData, precision: str = "fp32") -> "PreparedTable":
        """Those of a table, or of the features of pictures.

        Features are prepared as a :class:`secchi.models.heads.Head` does it, so that a linear layer
        on them that starts at zero is that head.

        Args:
            data: The table, split.
            precision: ``"fp32"`` or ``"fp64"``.
        """
        source = _Columns(data) if isinstance(data, TableData) else _Features(data)
        return cls(source, precision)

    @classmethod
    def of_arrays(
        cls,
        task: Task,
        inputs: Mapping[str, NDArray[Any]],
        labels: Mapping[str, Labels],
        precision: str = "fp32",
        target_scale: str = "zscore",
    ) -> "PreparedTable":
        """Arrays that a network takes as they are.

        Args:
            task: What is predicted.
            inputs: Of ``"train"`` and ``"valid"``: (rows, inputs), as many inputs in each.
            labels: Likewise.
            precision: ``"fp32"`` or ``"fp64"``.
            target_scale: With ``"zscore"`` numbers to predict are learned in units of their spread
                over the training rows, with ``"none"`` as they are.

        Raises:
            DataError: A split is not there, or shapes do not go together.

        >>> from secchi.data.task import Target
        >>> labels = Labels.of(Target("price", Kind.REGRESSION), [10, 14])
        >>> both = {"train": np.eye(2), "valid": np.eye(2)}
        >>> table = PreparedTable.of_arrays(labels.task, both, {"train": labels, "valid": labels})
        >>> table.centers, table.scales, table.units
        ([12.0], [2.0], [2.0])
        """
        shapes = {name: np.shape(values) for name, values in inputs.items()}
        for name in ("train", "valid"):
            if name not in inputs or name not in labels:
                raise DataError(f"there are no rows of {name!r}; both train and valid are needed")
            if len(shapes[name]) != 2 or shapes[name] != (len(labels[name]), shapes["train"][1]):
                raise DataError(
                    f"the inputs of {name!r} have the shape {shapes[name]}, and there are "
                    f"{len(labels[name])} labels; (rows, inputs) is needed, as many inputs in all"
                )
        dtype = _DTYPES[precision]
        plain = {name: np.ascontiguousarray(values, dtype) for name, values in inputs.items()}
        return cls(_Arrays(task, plain, labels, target_scale), precision)

    def part(self, rows: NDArray[np.int64]) -> "PreparedTable":
        """The same with some training rows alone; whatever is fitted is fitted on them.

        Args:
            rows: Their places among the training rows, in the order that they shall have.
        """
        before = np.arange(len(self._source.labels("train")))[self._chosen]
        return PreparedTable(self._source, self.precision, before[rows])

    def alone(self) -> "PreparedTable":
        """The same training and validation rows, without what they were prepared from."""
        splits = ("train", "valid")
        return PreparedTable.of_arrays(
            self.task,
            {name: self.inputs(name) for name in splits},
            {name: self.labels(name) for name in splits},
            self.precision,
            self._source.target_scale,
        )

    # ---------------------------------------------------------------- rows

    @cached_property
    def preparation(self) -> Preparation:
        """How rows are prepared, as the training rows have it; a table's is a TableTransform."""
        return self._source.fit(self._source.given("train", self._chosen))

    @property
    def width(self) -> int:
        """How many inputs a network gets."""
        return self.preparation.width

    @property
    def nbytes(self) -> int:
        """What the inputs that train and validate take in memory."""
        return self.inputs("train").nbytes + self.inputs("valid").nbytes

    def prepared(self, rows: Any) -> NDArray[Any]:
        """Rows as they came, such as a frame with the table's columns, as a network gets them."""
        return self.preparation.apply(rows, _DTYPES[self.precision])

    def inputs(self, split: str) -> NDArray[Any]:
        """The rows of a split as a network gets them, (rows, width), C-contiguous."""
        if split not in self._inputs:
            given = self._source.given(split, self._chosen if split == "train" else _ALL)
            self._inputs[split] = self.prepared(given)
        return self._inputs[split]

    def labels(self, split: str) -> Labels:
        """What is true of the rows of a split."""
        if split not in self._labels:
            labels = self._source.labels(split)
            whole = split != "train" or isinstance(self._chosen, slice)
            self._labels[split] = labels if whole else labels.take(np.asarray(self._chosen))
        return self._labels[split]

    def rows(self, split: str) -> Rows:
        """The rows of a split, and their labels."""
        return Rows(ArrayInputs(self.inputs(split)), self.labels(split))

    # ---------------------------------------------------------------- targets

    @property
    def centers(self) -> list[float]:
        """What each output is taken to be around: the mean of a number to predict, else 0."""
        return [center for center, _ in self._centers_and_scales]

    @property
    def scales(self) -> list[float]:
        """The spread of each output around it, likewise; else 1."""
        return [scale for _, scale in self._centers_and_scales]

    @property
    def units(self) -> list[float] | None:
        """The spread of each target over the training rows, which losses are in; None: all 1."""
        scales = self.scales
        if all(scale == 1 for scale in scales):
            return None
        return [scales[columns.start] for _, columns in self.task.columns()]

    @cached_property
    def _centers_and_scales(self) -> list[tuple[float, float]]:
        """Of each output."""
        found = []
        labels = self.labels("train")
        for target, values in zip(self.task.targets, labels.values, strict=True):
            center, scale = 0.0, 1.0
            if target.kind is Kind.REGRESSION:
                center, scale = center_and_scale(values, self._source.target_scale)
            found += [(center, scale or 1.0)] * target.outputs
        return found

    def network(self, model: Model, seed: int) -> nn.Module:
        """A network for these rows; its outputs are in the units of what is predicted.

        Args:
            model: What :func:`secchi.models.build.build_model` takes; of a module a copy is taken.
            seed: Names the first weights.
        """
        net = build_model(copy.deepcopy(model), self.width, self.task.outputs, seed)
        centers, scales = self.centers, self.scales
        plain = not any(centers) and set(scales) == {1.0}
        net = in_units(net, None if plain else centers, scales)
        return net.double() if self.precision == "fp64" else net


class _Columns:
    """The columns of a table."""

    def __init__(self, data: TableData) -> None:
        self.task = data.task
        self.target_scale = data.target_scale
        self._data = data

    def given(self, split: str, rows: Chosen) -> "pd.DataFrame":
        return self._data.split(split).frame.iloc[rows]

    def labels(self, split: str) -> Labels:
        return self._data.split(split).labels

    def fit(self, rows: "pd.DataFrame") -> TableTransform:
        transform = TableTransform.fit(rows, self._data.scale)
        if not transform.width:
            raise DataError(
                f"no column of {self._data.name} has a value in any training row: there is "
                "nothing to learn from"
            )
        return transform


class _Features:
    """The features of pictures."""

    target_scale = "none"  # as a head learns numbers

    def __init__(self, data: FeatureData) -> None:
        self.task = data.task
        self._data = data

    def given(self, split: str, rows: Chosen) -> NDArray[np.float32]:
        return self._data.split(split).take(rows)

    def labels(self, split: str) -> Labels:
        return self._data.labels(split)

    def fit(self, rows: NDArray[np.float32]) -> "_OfOneLength":
        return _OfOneLength(mean_of([rows], rows.shape[1]))


class _OfOneLength(NamedTuple):
    """What a head does to features before its linear layer."""

    center: NDArray[np.float64]

    @property
    def width(self) -> int:
        return len(self.center)

    def apply(self, rows: NDArray[Any], dtype: Any) -> NDArray[Any]:
        both = (torch.from_numpy(each.astype(dtype, copy=False)) for each in (rows, self.center))
        prepared: NDArray[Any] = of_one_length(*both).numpy()
        return prepared


class _Arrays:
    """Numbers that a network takes as they are."""

    def __init__(
        self,
        task: Task,
        inputs: Mapping[str, NDArray[Any]],
        labels: Mapping[str, Labels],
        target_scale: str,
    ) -> None:
        self.task = task
        self.target_scale = target_scale
        self._inputs = inputs
        self._labels = labels

    def given(self, split: str, rows: Chosen) -> NDArray[Any]:
        return self._inputs[split][rows]

    def labels(self, split: str) -> Labels:
        return self._labels[split]

    def fit(self, rows: NDArray[Any]) -> "_AsTheyAre":
        return _AsTheyAre(rows.shape[1])


class _AsTheyAre(NamedTuple):
    """No preparation, but for the type."""

    width: int

    def apply(self, rows: NDArray[Any], dtype: Any) -> NDArray[Any]:
        return np.ascontiguousarray(rows, dtype)
