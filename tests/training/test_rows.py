"""Batches: the rows of an order, gathered ahead where they lie in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from secchi.data.task import Labels, Task
from secchi.training import rows as room
from secchi.training.rows import ArrayInputs, Batches, Rows
from secchi.training.steps import Batch


class Counted(ArrayInputs):
    """Remembers how many rows were taken at once, and for which epoch."""

    def __init__(self, values: NDArray[np.float32], in_memory: bool) -> None:
        super().__init__(values)
        self.in_memory = in_memory
        self.taken: list[int] = []
        self.epochs: list[int] = []

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.generic]:
        taken = super().take(rows, epoch)
        self.taken.append(len(taken))
        self.epochs.append(epoch)
        return taken


def rows_of(count: int, in_memory: bool = True, weighted: bool = True) -> Rows:
    """Rows whose inputs, truths and weights tell their number."""
    numbers = np.arange(count, dtype=np.float32)
    inputs = Counted(np.stack([numbers, -numbers], axis=1), in_memory)
    weights = numbers + 1 if weighted else None
    return Rows(inputs, Labels(Task.regress("a", "b"), (numbers, 10 * numbers), weights))


def numbers_of(batch: Batch) -> list[float]:
    """The numbers of a batch's rows, which all of its parts agree on."""
    found = batch.inputs[:, 0]
    assert torch.equal(batch.inputs[:, 1], -found)
    assert torch.equal(batch.values[0], found)
    assert torch.equal(batch.values[1], 10 * found)
    assert batch.weights is None or torch.equal(batch.weights, found + 1)
    return found.tolist()


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 40),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    ahead=st.integers(1, 50),
    in_memory=st.booleans(),
    weighted=st.booleans(),
)
def test_batches_are_the_rows_of_the_order_whatever_is_gathered_ahead(
    count: int, sizes: list[int], ahead: int, in_memory: bool, weighted: bool
) -> None:
    rows = rows_of(count, in_memory, weighted)
    batches = Batches(rows, "cpu", seed=0)
    batches._ahead = ahead if in_memory else 0
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(count)
        batches.arrange(order, epoch)
        start = 0
        for size in sizes:
            places = slice(start, min(start + size, count))
            expected = order[places].tolist()
            assert numbers_of(batches.at(places, "")) == expected
            assert numbers_of(batches.at(places, "")) == expected  # as where memory was short
            weight = sum(n + 1 for n in expected) if weighted else len(expected)
            assert batches.weight(places) == weight
            start = places.stop % count  # a resumed run may begin anywhere


def test_rows_in_memory_are_gathered_for_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "GATHERED_NUMBERS", 2 * 20)  # rows have two numbers
    for in_memory, taken in ((True, [20, 20, 10]), (False, [10] * 5)):
        rows = rows_of(50, in_memory)
        batches = Batches(rows, "cpu", seed=0)
        batches.arrange(np.arange(50), epoch=3)
        for start in range(0, 50, 10):
            batches.at(slice(start, start + 10), "")
        assert rows.inputs.taken == taken
        assert set(rows.inputs.epochs) == {3}


def test_a_batch_is_taken_whole_where_it_is_larger_than_what_is_gathered() -> None:
    rows = rows_of(50)
    batches = Batches(rows, "cpu", seed=0)
    batches._ahead = 3
    batches.arrange(np.arange(50))
    assert numbers_of(batches.at(slice(0, 30), "")) == list(range(30))
    assert rows.inputs.taken == [30]


def test_mixing_draws_by_its_purpose() -> None:
    seeds = []

    def mixing(inputs: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        seeds.append(seed)
        return inputs, torch.ones(len(inputs))

    batches = Batches(rows_of(4), "cpu", 7, mixing)
    batches.arrange(np.arange(4))
    own = [batches.at(slice(0, 2), purpose).own for purpose in ("one", "other", "one")]
    assert seeds[0] == seeds[2] != seeds[1]
    assert own[0] is not None


def test_rows_of_any_shape_are_inputs() -> None:
    inputs = ArrayInputs(np.zeros((5, 3, 2, 2)))
    assert (len(inputs), inputs.width) == (5, 12)
    assert inputs.take(slice(1, 3)).shape == (2, 3, 2, 2)
