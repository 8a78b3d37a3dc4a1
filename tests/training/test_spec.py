"""The specification of a run refuses what cannot be, and names every fault at once."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from secchi.data.task import Task
from secchi.errors import SpecError
from secchi.training.loss_names import LOSS_NAMES
from secchi.training.losses import check_loss
from secchi.training.schedules import Constant, Cosine, OneCycle, Restarts, Warmup
from secchi.training.spec import OPTIMIZER_NAMES, Training, spread


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
        {"lr": ()},
        {"lr": [1e-3, 0.0]},
        {"lr": [1e-3, "fast"]},
        {"lr": {1e-3: "low"}},
        {"lr": b"ab"},
        {"epochs": None},
        {"epochs": 1.5},
        {"epochs": True},
        {"batch_size": "64"},
        {"accumulate": 0},
        {"accumulate": None},
        {"loss": 3},
        {"loss": "rmse"},
        {"loss": nn.MSELoss},
        {"loss": ["mse"]},
        {"loss": ("mse", "l1")},
        {"huber_delta": 0.0},
        {"huber_delta": None},
        {"l1": -0.1},
        {"l2": math.inf},
        {"matrix_norm": None},
        {"drop_last": 1},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"weight_decay": -0.1},
        {"weight_decay": None},
        {"clip": 0},
        {"clip": math.nan},
        {"label_smoothing": 1.0},
        {"label_smoothing": None},
        {"ema": 0.0},
        {"ema": 1.0},
        {"patience": 0},
        {"patience": 2.5},
        {"nesterov": 0},
        {"keep_best": None},
        {"batch_statistics": 1},
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
    assert Training(momentum=0, label_smoothing=0, accumulate=1, patience=1).patience == 1


def test_what_may_be_left_out_is_none() -> None:
    training = Training(momentum=None, clip=None, ema=None, patience=None, batch_statistics=None)
    assert training == Training()


def test_a_schedule_that_cannot_be_is_told_with_the_other_faults() -> None:
    with pytest.raises(SpecError) as caught:
        Training(lr=0, schedule="one_cycl")  # type: ignore[arg-type]
    assert len(caught.value.faults) == 2
    assert "did you mean one_cycle" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "adam", "momentum": 0.9},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0},
    ],
)
def test_nesterov_needs_sgd_with_momentum(wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="nesterov needs the optimizer 'sgd'"):
        Training(nesterov=True, **wrong)  # type: ignore[arg-type]
    assert Training("sgd", momentum=0.9, nesterov=True).nesterov


@pytest.mark.parametrize(
    "wrong",
    [{"optimizer": "adam", "momentum": 0.9}, {"optimizer": "sgd"}, {"optimizer": "rmsprop"}],
)
def test_dampening_needs_sgd_with_momentum(wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="dampening needs the optimizer 'sgd'"):
        Training(dampening=0.9, **wrong)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="dampening is 1.0, .* below 1"):
        Training("sgd", momentum=0.9, dampening=1.0)
    with pytest.raises(SpecError, match="nesterov and dampening"):
        Training("sgd", momentum=0.9, dampening=0.9, nesterov=True)


def pinball(outputs: Tensor, values: Tensor) -> Tensor:
    """A loss of one's own."""
    return (values - outputs).clamp_min(0)


OWN = f"{__name__}.pinball"


@pytest.mark.parametrize(
    ("loss", "plain"),
    [
        ("l1", "l1"),
        (pinball, OWN),
        (nn.HuberLoss(), "torch.nn.modules.loss.HuberLoss"),
        ({"price": "huber", "size": pinball}, {"price": "huber", "size": OWN}),
    ],
)
def test_a_loss_is_kept_and_written_by_its_name(loss: Any, plain: object) -> None:
    training = Training(loss=loss)
    assert training == Training(loss=loss)
    assert training.but(epochs=3) == Training(loss=loss, epochs=3)
    assert training != Training()
    document = json.loads(json.dumps(training.to_dict()))
    assert document["loss"] == plain
    read = Training.from_dict(document)
    assert read.to_dict() == document


def test_training_with_a_loss_that_a_record_only_names_is_refused() -> None:
    read = Training.from_dict(Training(loss=pinball).to_dict())
    for use in (
        lambda: check_loss(read, Task.regress("price")),
        lambda: read.loss(torch.zeros(2), torch.zeros(2)),
    ):
        with pytest.raises(SpecError, match="pinball, which a record names and does not hold"):
            use()


def test_what_was_written_before_there_were_losses_is_read() -> None:
    document = Training().to_dict()
    del document["loss"]
    assert Training.from_dict(document) == Training()


def test_every_fault_of_a_mapping_of_losses_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        Training(loss={"price": "hubre", "size": 3, "colour": "kl"})
    first, second = caught.value.faults
    assert first.startswith("loss of 'price' is 'hubre', which is none of mse, ")
    assert first.endswith("; did you mean huber?")
    assert second == "loss of 'size' is 3, which is neither a name nor a function"


@pytest.mark.parametrize(
    ("rows", "asked", "equal", "used"),
    [
        (100, None, False, 100),
        (100, None, True, 96),
        (100, True, False, 96),
        (100, False, True, 100),
        (96, True, True, 96),
        (31, True, True, 31),
        (0, True, True, 0),
    ],
)
def test_rows_that_are_left_over_are_dropped_where_that_is_asked_for(
    rows: int, asked: bool | None, equal: bool, used: int
) -> None:
    training = Training(batch_size=16, accumulate=2, drop_last=asked)
    assert training.rows_of_epoch(rows, equal) == used


def test_the_momentum_is_the_one_asked_for_or_that_of_the_optimizer() -> None:
    assert [Training(name).base_momentum for name in OPTIMIZER_NAMES] == [0.0, 0.0, 0.9, 0.9]
    assert [Training(name, momentum=0.5).base_momentum for name in OPTIMIZER_NAMES] == [0.5] * 4


def test_epochs_follow_from_the_cycles() -> None:
    assert Training(schedule=Restarts(cycles=3, cycle_len=2)).epochs == 6
    assert Training(epochs=50, schedule=Restarts(cycles=3, cycle_mult=2)).epochs == 7


def test_several_rates_are_kept_as_a_tuple_and_one_as_a_number() -> None:
    for lr in ([1e-3, 1e-2], (1e-3, 1e-2), np.array([1e-3, 1e-2])):
        assert Training(lr=lr).lr == (1e-3, 1e-2)  # type: ignore[arg-type]
    for lr in (0.1, [0.1], np.float64(0.1), np.array(0.1), np.array([0.1])):
        assert Training(lr=lr).lr == 0.1  # type: ignore[arg-type]
    assert Training(lr=0.1).rates == (0.1,)


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
            "optimizer": st.sampled_from(OPTIMIZER_NAMES),
            "lr": st.floats(1e-8, 10)
            | st.lists(st.floats(1e-8, 10), min_size=2, max_size=5).map(tuple),
            "epochs": st.integers(0, 100),
            "batch_size": st.integers(1, 10**6),
            "accumulate": st.integers(1, 100),
            "schedule": st.sampled_from([Constant(), Cosine(0.1), Warmup(OneCycle(), 0.5)]),
            "momentum": st.floats(0, 0.999),
            "loss": st.sampled_from([*LOSS_NAMES, (("price", "l1"), ("size", "huber"))]),
            "huber_delta": st.floats(1e-8, 10),
            "l1": st.floats(0, 10),
            "l2": st.floats(0, 10),
            "matrix_norm": st.floats(0, 10),
            "drop_last": st.booleans(),
            "weight_decay": st.floats(0, 1),
            "clip": st.floats(1e-8, 10),
            "label_smoothing": st.floats(0, 0.999),
            "ema": st.floats(0.001, 0.9999),
            "patience": st.integers(1, 100),
            "keep_best": st.booleans(),
            "batch_statistics": st.booleans(),
            "seed": st.integers(0, 2**63),
        },
    )
)
def test_what_is_written_as_plain_values_makes_the_same_training(changes: dict) -> None:
    training = Training().but(**changes)
    assert Training.from_dict(json.loads(json.dumps(training.to_dict()))) == training
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
        Training().but(epoch=3, moment=0.9, lr=-1)
    assert len(caught.value.faults) == 3
    assert "did you mean epochs" in str(caught.value)
    assert "did you mean momentum" in str(caught.value)
    assert "lr is -1" in str(caught.value)


def test_but_takes_cycles_for_restarts() -> None:
    training = Training(epochs=4).but(cycles=3, cycle_mult=2, lr=0.1)
    assert training == Training(lr=0.1, schedule=Restarts(cycles=3, cycle_mult=2))
    assert training.epochs == 7
    assert Training().but(cycle_len=4).schedule == Restarts(cycles=1, cycle_len=4)


def test_but_takes_epochs_instead_of_the_cycles_that_there_were() -> None:
    restarts = Training(schedule=Restarts(cycles=3))
    assert restarts.but(epochs=5) == Training(epochs=5)
    assert restarts.but(lr=0.1).schedule == Restarts(cycles=3)
    assert Training(schedule=Cosine()).but(epochs=5).schedule == Cosine()


def test_but_refuses_cycles_with_epochs_or_another_schedule() -> None:
    with pytest.raises(SpecError, match="epochs and schedule cannot be given with cycles"):
        Training().but(cycles=3, epochs=4, schedule="cosine")


def test_but_refuses_epochs_and_a_schedule_that_takes_others() -> None:
    for schedule in (Restarts(3), Restarts(3).to_dict(), Warmup(Restarts(2), 1)):
        with pytest.raises(SpecError, match="epochs is 5, .* takes 3") as caught:
            Training().but(epochs=5, schedule=schedule, lr=-1)
        assert len(caught.value.faults) == 2
        assert Training().but(epochs=3, schedule=schedule).epochs == 3
    assert Training().but(epochs=5, schedule="cosine").epochs == 5


def test_but_tells_epochs_and_a_schedule_that_cannot_be_once_each() -> None:
    with pytest.raises(SpecError) as caught:
        Training().but(epochs="five", schedule=Restarts(3))
    assert [fault.split()[0] for fault in caught.value.faults] == ["epochs"]
    with pytest.raises(SpecError) as caught:
        Training().but(epochs=5, schedule={"name": "restarts"})
    assert caught.value.faults == ("restarts needs cycles",)


def test_but_tells_wrong_cycles_with_the_other_faults() -> None:
    with pytest.raises(SpecError) as caught:
        Training().but(cycles=0, lr=-1, cycle=3)
    assert len(caught.value.faults) == 3
    for words in ("cycles is 0", "lr is -1", "did you mean cycles"):
        assert words in str(caught.value)


RATES = st.floats(1e-6, 10)


@settings(deadline=None)
@given(RATES, st.integers(1, 40))
def test_one_rate_is_that_of_every_group(rate: float, groups: int) -> None:
    assert spread((rate,), groups) == [rate] * groups


@settings(deadline=None)
@given(RATES, RATES, st.integers(2, 40))
def test_two_rates_are_the_ends_and_those_between_rise_by_one_ratio(
    low: float, high: float, groups: int
) -> None:
    found = spread((low, high), groups)
    assert len(found) == groups
    assert (found[0], found[-1]) == (low, high)
    ratios = [after / before for before, after in zip(found, found[1:], strict=False)]
    assert ratios == pytest.approx([(high / low) ** (1 / (groups - 1))] * (groups - 1), rel=1e-9)


@settings(deadline=None)
@given(st.lists(RATES, min_size=3, max_size=8), st.integers(0, 30))
def test_more_rates_are_shared_out_in_their_order_over_even_runs(
    rates: list[float], more: int
) -> None:
    named = list(range(len(rates)))  # numbers, so that equal rates cannot hide a wrong order
    groups = len(rates) + more
    assert spread(tuple(rates), groups) == [rates[i] for i in spread(tuple(named), groups)]
    places = spread(tuple(named), groups)
    assert len(places) == groups
    assert places == sorted(places)
    assert set(places) == set(named)
    assert places.count(named[-1]) == 1
    runs = [places.count(place) for place in named[:-1]]
    assert max(runs) - min(runs) <= 1


def test_as_many_rates_as_groups_are_theirs() -> None:
    assert spread((3.0, 1.0, 2.0), 3) == [3.0, 1.0, 2.0]
    assert spread((3.0, 1.0), 2) == [3.0, 1.0]


@settings(deadline=None)
@given(st.integers(0, 10), st.integers(1, 5))
def test_more_rates_than_groups_are_refused(groups: int, more: int) -> None:
    rates = tuple(range(1, max(groups, 1) + more + 1))
    with pytest.raises(SpecError, match=f"lr names {len(rates)} rates, and {groups} layer groups"):
        spread(rates, groups)


def test_a_loss_by_target_needs_names_that_are_texts() -> None:
    with pytest.raises(SpecError, match="loss names a target 1, which is no text"):
        Training(loss={1: "mse"})  # type: ignore[dict-item]
