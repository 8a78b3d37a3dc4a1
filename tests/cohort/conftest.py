"""Rows of a real table that networks learn from, and one core for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from secchi.data.task import Labels, Task
from secchi.training.prepared import PreparedTable

MakeTable = Callable[..., PreparedTable]


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    """Iris in an order of one's own: the first rows to learn from, and others that validate."""
    return _make_table


def _make_table(
    seed: int = 0,
    rows: int = 40,
    valid: int = 20,
    precision: str = "fp64",
    columns: int = 4,
    weights: Any = None,
) -> PreparedTable:
    inputs, truth = load_iris(return_X_y=True)
    inputs = ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0))[:, :columns]
    order = np.random.default_rng(seed).permutation(len(truth))
    parts = {"train": order[:rows], "valid": order[rows : rows + valid]}
    task = Task.classify(["setosa", "versicolor", "virginica"])
    labels = {
        split: Labels(task, (truth[places],), weights if split == "train" else None)
        for split, places in parts.items()
    }
    given = {split: inputs[places] for split, places in parts.items()}
    return PreparedTable.of_arrays(task, given, labels, precision)
