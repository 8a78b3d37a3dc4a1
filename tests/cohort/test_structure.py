"""Which networks go in step, and why others do not."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_linnerud
from torch import nn

from secchi.cohort.member import Member
from secchi.cohort.structure import STACKED_ACTIVATIONS, Structure, steps_of, structure
from secchi.data.table import TableData
from secchi.data.task import Labels
from secchi.models.mlp import MLP
from secchi.models.parts import ACTIVATION_NAMES
from secchi.training.prepared import PreparedTable
from secchi.training.schedules import Cosine
from secchi.training.spec import Training

PLAIN = Training("sgd", lr=0.1, batch_size=8, epochs=5)


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


def of(table: Any, model: Any = MLP([4]), **changes: Any) -> Structure | str:  # noqa: B008
    return structure(Member(table, model, PLAIN.but(**changes), 0))


REASONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "its model is not an MLP": (lambda inputs, outputs: nn.Linear(inputs, outputs), {}),
    "its weights are normalised (weight_norm)": (MLP([4], weight_norm=True), {}),
    "it has residual connections": (MLP([4, 4], residual=True), {}),
    "its activation, prelu, has weights or random numbers of its own": (MLP([4], "prelu"), {}),
    "its weights are averaged (ema)": (MLP([4]), {"ema": 0.9}),
    "it accumulates the gradients of several batches": (MLP([4]), {"accumulate": 2}),
    "its loss is one of your own, or one for each target": (
        MLP([4]),
        {"loss": lambda outputs, truth: (outputs - truth).square()},
    ),
    "it has several learning rates": (MLP([4]), {"lr": [0.1, 0.2]}),
    "it takes no epoch": (MLP([4]), {"epochs": 0}),
    "its last batch is shorter than the others (drop_last=False)": (
        MLP([4]),
        {"drop_last": False, "batch_size": 16},
    ),
    "batch normalisation has one row in a batch": (
        MLP([4], batch_norm="after"),
        {"batch_size": 1},
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_trains_alone_says_why(table: Any, reason: str) -> None:
    model, changes = REASONS[reason]
    assert of(table, model, **changes) == reason


def test_several_targets_and_rows_that_do_not_count_train_alone(make_table: Any) -> None:
    both = load_linnerud(as_frame=True).frame
    data = TableData.from_frame(both, ["Weight", "Waist"], task="number")
    assert of(PreparedTable.of(data)) == "it predicts several targets"
    nothing = make_table(weights=np.zeros(40, np.float32))
    assert of(nothing) == "none of its training rows counts"


def test_networks_that_differ_in_what_a_lane_has_of_its_own_go_in_step(make_table: Any) -> None:
    models = [MLP([3], dropout=0.5), MLP([9], init="zeros"), MLP([4], input_dropout=0.1)]
    changes = [
        {"lr": 0.5, "momentum": 0.9, "nesterov": True},
        {"weight_decay": 0.3, "clip": 1.0, "patience": 2},
        {"schedule": Cosine(), "l1": 0.1, "l2": 0.1, "matrix_norm": 0.1, "label_smoothing": 0.1},
    ]
    found = {
        of(make_table(seed), model, seed=seed, **each)
        for seed, (model, each) in enumerate(zip(models, changes, strict=True))
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 4}, {"epochs": 6}, {"optimizer": "adam"}],
    ids=lambda changes: next(iter(changes)),
)
def test_networks_that_take_other_steps_do_not(table: Any, changes: dict[str, Any]) -> None:
    assert of(table) != of(table, **changes)


@pytest.mark.parametrize("model", [MLP([4, 4]), MLP([4], "tanh"), MLP([4], batch_norm="after")])
def test_networks_of_other_layers_do_not(table: Any, model: MLP) -> None:
    assert of(table) != of(table, model)


def test_precision_and_rows_are_a_part_of_it(make_table: Any) -> None:
    found = {
        of(make_table(precision=precision, valid=valid, columns=columns))
        for precision, valid, columns in [
            *(("fp64", 20, 4), ("fp32", 20, 4), ("fp64", 19, 4), ("fp64", 20, 3))
        ]
    }
    assert len(found) == 4


def test_without_hidden_layers_their_activation_does_not_count(table: Any) -> None:
    assert of(table, MLP([], "tanh")) == of(table, MLP([], "prelu", batch_norm="after"))


def test_all_activations_but_two_can_be_stacked() -> None:
    assert set(ACTIVATION_NAMES) - STACKED_ACTIVATIONS == {"prelu", "rrelu"}


@given(st.integers(1, 300), st.integers(1, 64), st.sampled_from([True, False, None]))
def test_steps_are_those_of_the_loop(rows: int, batch: int, drop_last: bool | None) -> None:
    changes = {} if drop_last is None else {"drop_last": drop_last}
    training = PLAIN.but(batch_size=batch, **changes)
    taken = training.rows_of_epoch(rows, equal_batches=True)
    sizes = [len(each) for each in torch.arange(rows)[:taken].split(batch)] if taken else []
    steps, size = steps_of(rows, training)
    assert steps == len(sizes)
    assert size == (sizes[0] if len(set(sizes)) == 1 else 0)


def test_rows_that_validate_and_do_not_count_are_told_by_the_loop(make_table: Any) -> None:
    table = make_table()
    labels = table.labels("valid")
    weightless = Labels(labels.task, labels.values, np.zeros(len(labels), np.float32))
    inputs = {split: table.inputs(split) for split in ("train", "valid")}
    parts = {"train": table.labels("train"), "valid": weightless}
    judged_by_nothing = PreparedTable.of_arrays(table.task, inputs, parts)
    assert of(judged_by_nothing) == "none of its validation rows counts"
