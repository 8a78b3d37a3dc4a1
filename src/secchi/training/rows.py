"""Rows of inputs with what is true of them, and the batches that are made of them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secchi.data.task import Labels
from secchi.seeding import stream_seed
from secchi.training.steps import Batch

GATHERED_NUMBERS = 2**20
"""Numbers of inputs that are brought into the order of an epoch at once, where they lie in memory:
few calls, and what they give stays in the caches."""


class Inputs(Protocol):
    """Rows that can be taken: a :class:`secchi.features.cache.FeatureTable`, say.

    Attributes:
        width: Numbers in a row.
        in_memory: May be left out. Whether all rows lie in memory, as those of a table do, so that
            many are taken as fast as their bytes are copied; then those of many steps are.

    >>> class Points:  # any rows that can be taken
    ...     width = 2
    ...     values = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    ...     def __len__(self):
    ...         return len(self.values)
    ...     def take(self, rows, epoch=0):
    ...         return self.values[rows]

    >>> Points().take(np.array([3, 1])).shape
    (2, 2)
    """

    width: int

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.generic]:
        """Some rows, of shape (rows, …), in memory.

        Args:
            rows: Their places.
            epoch: Augmented rows differ from epoch to epoch; others are always the same.
        """
        ...


class ArrayInputs:
    """Rows that are an array in memory.

    Args:
        values: Of shape (rows, …).

    >>> ArrayInputs(np.array([[1.0, 2.0], [3.0, 4.0]])).take(np.array([1, 0]))
    array([[3., 4.],
           [1., 2.]])
    """

    in_memory = True

    def __init__(self, values: NDArray[np.generic]) -> None:
        self.width = int(np.prod(values.shape[1:]))
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.generic]:
        """Some rows, the same in every epoch."""
        return self._values[rows]


class Rows(NamedTuple):
    """Inputs with what is true of them."""

    inputs: Inputs
    labels: Labels


Mixing = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]
"""(inputs, seed): mixed inputs, and the share of each row's own truth, or None where unmixed.

All rows of a batch have one share, as :meth:`secchi.transforms.augment.Augmentation.mix` gives it:
then the weights of both truths add up to those of the rows, whatever the share is, and what a step
is divided by is known before its batches are made. Where rows have no weights any shares will do.
"""


class Batches:
    """Makes the batches of an epoch, on a device.

    Args:
        rows: What they are made of.
        device: Where to.
        seed: Of the mixing.
        mixing: Mixes the inputs of a batch.

    >>> from secchi.data.task import Kind, Target
    >>> labels = Labels.of(Target("price", Kind.REGRESSION), [10, 11, 12, 13])
    >>> batches = Batches(Rows(ArrayInputs(np.zeros((4, 2))), labels), "cpu", seed=0)
    >>> batches.arrange(np.array([3, 1, 0, 2]))
    >>> batches.at(slice(1, 3), "step 0").values
    (tensor([11., 10.], dtype=torch.float64),)
    """

    def __init__(self, rows: Rows, device: str, seed: int, mixing: Mixing | None = None) -> None:
        self._rows = rows
        self._device = device
        self._seed = seed
        self._mixing = mixing
        in_memory = getattr(rows.inputs, "in_memory", False)
        self._ahead = GATHERED_NUMBERS // rows.inputs.width if in_memory else 0

    def arrange(self, order: NDArray[np.int64], epoch: int = 0) -> None:
        """Bring rows into the order of an epoch, or of a part of it."""
        labels = self._rows.labels.take(order)
        self._order, self._epoch, self._weights = order, epoch, labels.weights
        self._values = tuple(self._tensor(values) for values in labels.values)
        self._row_weights = None if labels.weights is None else self._tensor(labels.weights)
        self._gathered, self._start = torch.empty(0), 0

    def weight(self, places: slice) -> float:
        """How much the rows at some places of the order count together, mixed or not."""
        if self._weights is None:
            return float(places.stop - places.start)
        return float(self._weights[places].sum())

    def at(self, places: slice, purpose: str) -> Batch:
        """The batch of the rows at some places of the order.

        Args:
            places: Which.
            purpose: Names the stream that its mixing draws from.
        """
        batch = Batch(
            self._inputs(places),
            tuple(values[places] for values in self._values),
            None if self._row_weights is None else self._row_weights[places],
        )
        if not self._mixing:
            return batch
        inputs, own = _mixed(batch.inputs, self._mixing, stream_seed(self._seed, purpose))
        return batch._replace(inputs=inputs, own=own)

    def _inputs(self, places: slice) -> Tensor:
        """Those of some rows; of rows in memory, gathered together with those that follow."""
        if not self._ahead:
            return self._tensor(self._rows.inputs.take(self._order[places], self._epoch))
        first = places.start - self._start
        if not 0 <= first <= len(self._gathered) - (places.stop - places.start):
            stop = max(places.stop, places.start + self._ahead)
            self._gathered = torch.empty(0)  # before there is another one
            chosen = self._order[places.start : stop]
            self._gathered = self._tensor(self._rows.inputs.take(chosen, self._epoch))
            self._start, first = places.start, 0
        return self._gathered[first : first + places.stop - places.start]

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(values)
        if self._device == "mps" and tensor.dtype == torch.float64:  # which it does not have
            tensor = tensor.float()
        return tensor.to(self._device)


def _mixed(inputs: Tensor, mixing: Mixing, seed: int) -> tuple[Tensor, Tensor | None]:
    """Inputs mixed, of floating point; pictures as bytes have their channels last."""
    if inputs.dtype != torch.uint8:
        return mixing(inputs, seed)
    mixed, own = mixing(inputs.permute(0, 3, 1, 2).float(), seed)
    return mixed.permute(0, 2, 3, 1), own
