"""The specification of a run refuses what cannot be, and names every fault at once."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.errors import SpecError
from secchi.training.spec import Training


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        Training(optimizer="adamv", lr=0, epochs=-1, batch_size=0, weight_decay=math.nan, seed=-5)
    assert len(caught.value.faults) == 6
    for name in ("optimizer", "lr", "epochs", "batch_size", "weight_decay", "seed"):
        assert sum(fault.startswith(name) for fault in caught.value.faults) == 1
        assert name in str(caught.value)


def test_the_nearest_optimizer_is_suggested() -> None:
    with pytest.raises(SpecError, match="did you mean adamw"):
        Training(optimizer="adam_w")


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": 3},
        {"optimizer": None},
        {"lr": -1e-3},
        {"lr": "fast"},
        {"lr": math.inf},
        {"lr": 10**400},
        {"lr": True},
        {"lr": None},
        {"epochs": 1.5},
        {"epochs": True},
        {"batch_size": "64"},
        {"weight_decay": -0.1},
        {"seed": 0.0},
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_field(wrong: dict[str, object]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(SpecError) as caught:
        Training(**wrong)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"{name} is {value!r}, ")


def test_the_limits_themselves_are_allowed() -> None:
    assert Training(epochs=0, batch_size=1, weight_decay=0, seed=0).epochs == 0


def test_numbers_of_numpy_are_taken_and_kept_as_plain_ones() -> None:
    training = Training(
        lr=np.float32(0.5), epochs=np.int64(3), batch_size=np.int32(8), seed=np.uint8(7)
    )
    assert training == Training(lr=0.5, epochs=3, batch_size=8, seed=7)
    assert json.loads(json.dumps(training.to_dict())) == training.to_dict()


@settings(deadline=None, max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "optimizer": st.sampled_from(["sgd", "adam", "adamw"]),
            "lr": st.floats(1e-8, 10),
            "epochs": st.integers(0, 100),
            "batch_size": st.integers(1, 10**6),
            "weight_decay": st.floats(0, 1),
            "seed": st.integers(0, 2**63),
        },
    )
)
def test_what_is_written_as_plain_values_makes_the_same_training(changes: dict) -> None:
    training = Training().but(**changes)
    assert Training(**json.loads(json.dumps(training.to_dict()))) == training
    for name, value in changes.items():
        assert getattr(training, name) == value


def test_but_changes_what_is_named_and_nothing_else() -> None:
    first = Training(lr=0.1, seed=3)
    second = first.but(epochs=2)
    assert second == Training(lr=0.1, seed=3, epochs=2)
    assert first == Training(lr=0.1, seed=3)


def test_but_takes_none_for_no_change() -> None:
    training = Training(lr=0.1)
    assert training.but(lr=None, epochs=None) == training


def test_but_tells_unknown_fields_and_wrong_values_together() -> None:
    with pytest.raises(SpecError) as caught:
        Training().but(epoch=3, momentum=0.9, lr=-1)
    assert len(caught.value.faults) == 3
    assert "did you mean epochs" in str(caught.value)
    assert "momentum" in str(caught.value)
    assert "lr is -1" in str(caught.value)
