"""The rows that the members of a stack learn from and are judged by, as tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secchi.cohort.member import Member
from secchi.cohort.stacked.members import Stacked, filled_up
from secchi.cohort.structure import steps_of
from secchi.data.task import Labels
from secchi.seeding import stream
from secchi.training.prepared import PreparedTable


class StackedBatch(NamedTuple):
    """Some rows of every member.

    Attributes:
        inputs: (members, rows, columns)
        truth: (members, rows), or (members, rows, classes) for several labels.
        weights: (members, rows); 0 for what only fills up a table that has fewer rows.
    """

    inputs: Tensor
    truth: Tensor
    weights: Tensor


class StackedRows:
    """The rows of one split of some tables, each table once.

    Tables with fewer rows or columns than others are filled up with zeros.

    Args:
        tables: Whose rows.
        split: ``"train"`` or ``"valid"``.
        device: Where they are kept.

    Attributes:
        labels: What is true of each table's rows.
    """

    def __init__(self, tables: Sequence[PreparedTable], split: str, device: str) -> None:
        self.labels: list[Labels] = [table.labels(split) for table in tables]
        self._inputs = filled_up([table.inputs(split) for table in tables], device)
        self._truth = filled_up([labels.values[0] for labels in self.labels], device)
        self._weights = filled_up([_weights(labels) for labels in self.labels], device)

    @property
    def rows(self) -> int:
        """Those of the table that has most."""
        return self._inputs.shape[1]

    def at(self, tables: Tensor, places: Tensor) -> StackedBatch:
        """Some rows of some tables.

        Args:
            tables: The number of each member's table; (members,).
            places: Of the rows in it; (members, rows).
        """
        of = tables[:, None]
        return StackedBatch(
            self._inputs[of, places], self._truth[of, places], self._weights[of, places]
        )


class Order(NamedTuple):
    """Which rows each step of an epoch takes.

    Attributes:
        places: (orders, steps, rows); members that learn from the same rows in the same order share
            one.
        of: The number of each member's order; (members,).
    """

    places: Tensor
    of: Tensor

    def at(self, step: int) -> Tensor:
        """The places of a step's rows, (members, rows)."""
        return self.places[self.of, step]


class StackedOrders(Stacked):
    """In which order members learn from their rows.

    Args:
        members: Whose; all with as many steps in an epoch, and rows in a step.
        tables: The number of each member's table.
        labels: What is true of each table's training rows; those that weigh nothing are in no
            step.
        device: Where orders are kept.

    Attributes:
        tables: The number of each member's table; (members,).
        steps: Those of an epoch.
        batch: Rows in each.
    """

    def __init__(
        self,
        members: Sequence[Member],
        tables: Sequence[int],
        labels: Sequence[Labels],
        device: str,
    ) -> None:
        self._counted = tuple(np.flatnonzero(_weights(each)) for each in labels)
        self._device = device
        self._streams = [
            (member.training.seed, table) for member, table in zip(members, tables, strict=True)
        ]
        self.tables = torch.tensor(tables, device=device)
        self.steps, self.batch = steps_of(len(self._counted[tables[0]]), members[0].training)

    def draw(self, epoch: int) -> Order:
        """The order of an epoch."""
        numbers = {each: number for number, each in enumerate(dict.fromkeys(self._streams))}
        places = np.stack([self._drawn(seed, table, epoch) for seed, table in numbers])
        of = torch.tensor([numbers[each] for each in self._streams], device=self._device)
        return Order(torch.from_numpy(places).to(self._device), of)

    def _drawn(self, seed: int, table: int, epoch: int) -> NDArray[np.int64]:
        """The places of the rows of each step, (steps, rows); what is left over is dropped."""
        counted = self._counted[table]
        order = stream(seed, f"batch order of epoch {epoch}").permutation(len(counted))
        return counted[order[: self.steps * self.batch]].reshape(self.steps, self.batch)


def _weights(labels: Labels) -> NDArray[np.float32]:
    """How much each row counts: 1 where nobody said."""
    return np.ones(len(labels), np.float32) if labels.weights is None else labels.weights
