"""Every schedule is torch's own, or its closed form, at every step of any run."""

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.optim import SGD, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from secchi.errors import SpecError
from secchi.training.schedules import (
    SCHEDULES,
    At,
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Polynomial,
    Restarts,
    Schedule,
    Step,
    Warmup,
    schedule_named,
)

BASE_MOMENTUM = 0.9
TOLERANCE = 1e-12

lengths = st.integers(1, 300)
per_epochs = st.integers(1, 40)
parts = st.floats(0, 1)
decays = st.floats(0.05, 1)
momenta = st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted)
one_cycles = st.builds(
    lambda peak_at, div, final_div, ends: OneCycle(peak_at, div, final_div, *ends),
    parts,
    st.floats(1, 100),
    st.floats(1, 1e6),
    momenta,
)
plain_schedules = st.one_of(
    st.just(Constant()),
    st.builds(Cosine, parts),
    st.builds(Restarts, st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
    one_cycles,
    st.builds(Step, st.integers(1, 4), decays),
    st.builds(Exponential, decays),
    st.builds(Polynomial, st.floats(0.1, 4), parts),
)
schedules = st.one_of(
    plain_schedules,
    st.builds(Warmup, plain_schedules.filter(lambda each: each.length is None), st.floats(0, 5)),
    st.builds(Warmup, plain_schedules, st.integers(0, 5)),
)


def places(steps: int, per_epoch: int) -> list[At]:
    return [At(step, steps, per_epoch) for step in range(steps)]


def factors(schedule: Schedule, steps: int, per_epoch: int = 1) -> list[float]:
    return [schedule.factor(at) for at in places(steps, per_epoch)]


def torch_run(
    make: Callable[[SGD], LRScheduler], steps: int, every: int = 1
) -> tuple[list[float], list[float]]:
    """Rates and momenta that torch's scheduler gives an optimizer of rate 1.0.

    The scheduler is stepped after every so many steps of the optimizer.
    """
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    optimizer = SGD([weight], lr=1.0, momentum=BASE_MOMENTUM)
    scheduler = make(optimizer)
    rates, moments = [], []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        moments.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if step % every == 0 and step < steps:
            scheduler.step()
    return rates, moments


def torch_rates(make: Callable[[SGD], LRScheduler], steps: int, every: int = 1) -> list[float]:
    return torch_run(make, steps, every)[0]


def assert_equal(ours: list[float], reference: list[float]) -> None:
    assert len(ours) == len(reference)
    np.testing.assert_allclose(ours, reference, rtol=0, atol=TOLERANCE)


# --- torch's own ---------------------------------------------------------------------------


@settings(deadline=None)
@given(lengths, per_epochs, parts)
def test_cosine_is_torchs(steps: int, per_epoch: int, end: float) -> None:
    def make(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=end)

    assert_equal(factors(Cosine(end), steps, per_epoch), torch_rates(make, steps))


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 12), lengths)
def test_restarts_are_torchs_and_every_peak_is_the_rate_given(
    cycles: int, cycle_len: int, cycle_mult: int, per_epoch: int, further: int
) -> None:
    schedule = Restarts(cycles, cycle_len, cycle_mult)
    steps = schedule.epochs * per_epoch + further % per_epoch
    ours = factors(schedule, steps, per_epoch)

    def make(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, T_0=cycle_len * per_epoch, T_mult=cycle_mult
        )

    assert_equal(ours, torch_rates(make, steps))
    lengths_of_cycles = [cycle_len * cycle_mult**number for number in range(cycles)]
    assert schedule.epochs == sum(lengths_of_cycles)
    starts = [per_epoch * sum(lengths_of_cycles[:number]) for number in range(cycles)]
    assert [ours[start] for start in starts] == [1.0] * cycles
    peaks = [step for step in range(schedule.epochs * per_epoch) if ours[step] == 1.0]
    assert peaks == starts


@settings(deadline=None)
@given(lengths, per_epochs, one_cycles)
@example(10, 1, OneCycle(peak_at=0.3))
@example(1, 1, OneCycle())
@example(2, 1, OneCycle())
@example(7, 3, OneCycle(peak_at=0.0))
@example(7, 3, OneCycle(peak_at=1.0))
def test_one_cycle_is_torchs_in_rate_and_momentum(
    steps: int, per_epoch: int, schedule: OneCycle
) -> None:
    if schedule.peak_at * steps == 1:  # torch divides by zero here; closed form below
        return

    def make(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=steps,
            pct_start=schedule.peak_at,
            div_factor=schedule.div,
            final_div_factor=schedule.final_div,
            base_momentum=schedule.low_momentum,
            max_momentum=schedule.high_momentum,
        )

    rates, moments = torch_run(make, steps)
    assert_equal(factors(schedule, steps, per_epoch), rates)
    ours = [schedule.momentum(at, BASE_MOMENTUM) for at in places(steps, per_epoch)]
    assert_equal(ours, moments)


@settings(deadline=None)
@given(lengths, per_epochs, st.integers(1, 5), decays)
def test_step_is_torchs(steps: int, per_epoch: int, every: int, gamma: float) -> None:
    def make(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.StepLR(optimizer, step_size=every, gamma=gamma)

    assert_equal(
        factors(Step(every, gamma), steps, per_epoch), torch_rates(make, steps, every=per_epoch)
    )


@settings(deadline=None)
@given(lengths, per_epochs, decays)
def test_exponential_is_torchs(steps: int, per_epoch: int, gamma: float) -> None:
    def make(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.ExponentialLR(optimizer, gamma)

    assert_equal(
        factors(Exponential(gamma), steps, per_epoch), torch_rates(make, steps, every=per_epoch)
    )


@settings(deadline=None)
@given(lengths, per_epochs, st.floats(0.1, 4))
def test_polynomial_is_torchs(steps: int, per_epoch: int, power: float) -> None:
    def make(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.PolynomialLR(optimizer, total_iters=steps, power=power)

    assert_equal(factors(Polynomial(power), steps, per_epoch), torch_rates(make, steps))


@settings(deadline=None)
@given(st.integers(1, 60), lengths, per_epochs, parts)
def test_warm_up_is_torchs_linear_rise_and_then_the_schedule(
    warm: int, rest: int, per_epoch: int, end: float
) -> None:
    def rise(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)

    def fall(optimizer: SGD) -> LRScheduler:
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=rest, eta_min=end)

    schedule = Warmup(Cosine(end), epochs=warm / per_epoch)
    reference = torch_rates(rise, warm) + torch_rates(fall, rest)
    assert_equal(factors(schedule, warm + rest, per_epoch), reference)


# --- closed forms, where torch has none ----------------------------------------------------


@given(lengths, st.floats(0.1, 4), parts)
def test_polynomial_ends_at_a_part_of_the_rate(steps: int, power: float, end: float) -> None:
    reference = [end + (1 - end) * (1 - step / steps) ** power for step in range(steps)]
    assert_equal(factors(Polynomial(power, end), steps), reference)


def test_a_constant_rate_is_the_rate_given() -> None:
    assert factors(Constant(), 5, 2) == [1.0] * 5


@pytest.mark.parametrize(("steps", "peak_at"), [(10, 0.1), (2, 0.5), (1, 1.0)])
def test_a_peak_at_the_first_step_is_defined_where_torch_divides_by_zero(
    steps: int, peak_at: float
) -> None:
    schedule = OneCycle(peak_at=peak_at)
    ours = factors(schedule, steps)
    end = 1 / 25 / 1e4
    fall = [end + (1 - end) * (1 + math.cos(math.pi * s / max(1, steps - 1))) / 2
            for s in range(steps)]  # fmt: skip
    assert ours[0] == 1.0
    assert_equal(ours, fall)
    assert schedule.momentum(At(0, steps, 1), BASE_MOMENTUM) == 0.85


def test_the_peak_of_one_cycle_is_exactly_the_rate_given() -> None:
    ours = factors(OneCycle(peak_at=0.25), 40)
    assert max(ours) == ours[9] == 1.0


def test_restarts_go_on_by_the_same_rule_beyond_their_cycles() -> None:
    ours = factors(Restarts(2, cycle_mult=2), steps=14, per_epoch=2)
    assert ours[0] == ours[2] == ours[6] == 1.0
    assert ours == factors(Restarts(3, cycle_mult=2), steps=14, per_epoch=2)


def test_the_epochs_of_many_doubling_cycles_are_known_at_once() -> None:
    assert Restarts(100, cycle_len=3, cycle_mult=2).epochs == 3 * (2**100 - 1)
    assert Restarts(10**9).epochs == 10**9


@given(plain_schedules, st.integers(0, 50), lengths, per_epochs)
def test_a_warmed_up_schedule_is_itself_over_the_steps_that_remain(
    schedule: Schedule, warm: int, rest: int, per_epoch: int
) -> None:
    warm *= per_epoch if schedule.length is not None else 1  # such a rise takes whole epochs
    warmed = Warmup(schedule, epochs=warm / per_epoch)
    later = places(warm + rest, per_epoch)[warm:]
    alone = places(rest, per_epoch)
    assert [warmed.factor(at) for at in later] == [schedule.factor(at) for at in alone]
    assert [warmed.momentum(at, 0.5) for at in later] == [schedule.momentum(a, 0.5) for a in alone]
    first = schedule.factor(alone[0])
    rise = [warmed.factor(at) for at in places(warm + rest, per_epoch)[:warm]]
    assert_equal(rise, [first * (step + 1) / (warm + 1) for step in range(warm)])


def test_a_run_of_restarts_behind_a_warm_up_ends_with_a_cycle() -> None:
    schedule = Warmup(Restarts(2, cycle_mult=2), epochs=2)
    assert schedule.length == 5
    ours = factors(schedule, steps=5 * 4, per_epoch=4)
    assert [step for step, factor in enumerate(ours) if factor == 1.0] == [8, 12]


def test_a_warm_up_of_no_epochs_changes_nothing() -> None:
    assert factors(Warmup(Cosine(), 0), 9, 3) == factors(Cosine(), 9, 3)


def test_a_call_shorter_than_its_warm_up_ends_on_the_way_up() -> None:
    assert_equal(factors(Warmup(Cosine(), epochs=2), steps=3, per_epoch=4), [1 / 9, 2 / 9, 3 / 9])


# --- what holds for all --------------------------------------------------------------------


@given(schedules, lengths, per_epochs)
def test_factors_lie_between_nothing_and_the_rate_given(
    schedule: Schedule, steps: int, per_epoch: int
) -> None:
    for at in places(steps, per_epoch):
        assert 0 <= schedule.factor(at) <= 1 + TOLERANCE
        assert 0 <= schedule.momentum(at, BASE_MOMENTUM) < 1


@given(schedules, lengths, per_epochs)
def test_the_first_step_moves_the_weights(schedule: Schedule, steps: int, per_epoch: int) -> None:
    assert schedule.factor(At(0, steps, per_epoch)) > 0


@pytest.mark.parametrize("kind", SCHEDULES.values(), ids=SCHEDULES)
def test_only_one_cycle_moves_the_momentum(kind: type[Schedule]) -> None:
    needed = {"restarts": {"cycles": 2}, "exponential": {"gamma": 0.5}}
    needed["warmup"] = {"schedule": "cosine", "epochs": 1}
    schedule = kind(**needed.get(kind.name, {}))
    moments = {schedule.momentum(at, 0.75) for at in places(8, 2)}
    assert (moments == {0.75}) == (kind is not OneCycle)


@given(schedules)
def test_plain_values_make_the_same_schedule(schedule: Schedule) -> None:
    document = schedule.to_dict()
    assert document["name"] == schedule.name
    again = schedule_named(json.loads(json.dumps(document)))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert type(again) is type(schedule) is SCHEDULES[schedule.name]
    assert schedule_named(schedule) is schedule


def test_schedules_differ_where_their_parameters_or_kinds_do() -> None:
    every = [Constant(), Cosine(), Cosine(0.5), Polynomial(), Step(), Restarts(1), Restarts(2)]
    every += [Warmup(Cosine(), 1), Warmup(Cosine(0.5), 1), Warmup(Cosine(), 2)]
    assert len(set(every)) == len(every)


def test_schedules_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cosine().end = 0.5  # type: ignore[misc]


def test_a_name_stands_for_the_defaults() -> None:
    assert schedule_named("constant") == Constant()
    assert schedule_named("cosine") == Cosine(end=0.0)
    assert schedule_named("one_cycle") == OneCycle(0.3, 25.0, 1e4, 0.85, 0.95)
    assert schedule_named("step") == Step(every=1, gamma=0.1)
    assert schedule_named("polynomial") == Polynomial(power=1.0, end=0.0)
    assert schedule_named({"name": "restarts", "cycles": 3}) == Restarts(3, 1, 1)


def test_warm_up_takes_its_schedule_by_name_or_mapping() -> None:
    assert Warmup("cosine", 1) == Warmup(Cosine(), 1.0)  # type: ignore[arg-type]
    assert Warmup({"name": "cosine", "end": 0.5}, 1).schedule == Cosine(0.5)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_kept_as_plain_ones() -> None:
    schedule = Restarts(np.int64(3), np.int32(2), np.uint8(1))
    assert schedule == Restarts(3, 2, 1)
    warmed = Warmup(Cosine(np.float32(0.5)), np.float64(1))  # type: ignore[arg-type]
    text = json.dumps([schedule.to_dict(), warmed.to_dict()])
    assert [schedule_named(each) for each in json.loads(text)] == [schedule, warmed]


# --- faults --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Cosine, {"end": -0.1}),
        (Cosine, {"end": 1.1}),
        (Cosine, {"end": math.nan}),
        (Cosine, {"end": None}),
        (Restarts, {"cycles": 0}),
        (Restarts, {"cycles": 2.0}),
        (Restarts, {"cycles": True}),
        (Restarts, {"cycles": 1, "cycle_len": 0}),
        (Restarts, {"cycles": 1, "cycle_mult": 0}),
        (Restarts, {"cycles": 1, "cycle_mult": 1.5}),
        (OneCycle, {"peak_at": 1.5}),
        (OneCycle, {"div": 0.5}),
        (OneCycle, {"final_div": 0}),
        (OneCycle, {"low_momentum": -0.1}),
        (OneCycle, {"high_momentum": 1.0}),
        (Step, {"every": 0}),
        (Step, {"gamma": -0.1}),
        (Step, {"gamma": 0}),
        (Exponential, {"gamma": -1}),
        (Exponential, {"gamma": 1.5}),
        (Exponential, {"gamma": "half"}),
        (Polynomial, {"power": 0}),
        (Polynomial, {"power": math.inf}),
        (Polynomial, {"end": 2}),
        (Warmup, {"schedule": Cosine(), "epochs": -1}),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_field(
    kind: type[Schedule], wrong: dict[str, object]
) -> None:
    field, value = list(wrong.items())[-1]
    with pytest.raises(SpecError) as caught:
        kind(**wrong)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{field} is {value!r}, which is not ")
    with pytest.raises(SpecError) as caught:
        schedule_named({"name": kind.name, **wrong})
    assert caught.value.faults == (fault,)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        Restarts(cycles=0, cycle_len=-1, cycle_mult=0)
    assert [fault.split()[0] for fault in caught.value.faults] == [
        "cycles",
        "cycle_len",
        "cycle_mult",
    ]
    with pytest.raises(SpecError) as caught:
        OneCycle(peak_at=2, low_momentum=0.9, high_momentum=0.5)
    assert [fault.split()[0] for fault in caught.value.faults] == ["peak_at", "low_momentum"]


def test_faults_of_a_mapping_are_told_together() -> None:
    with pytest.raises(SpecError) as caught:
        schedule_named({"name": "restarts", "cycle_len": 0, "cycle_mul": 2})
    assert len(caught.value.faults) == 3
    assert "restarts has no 'cycle_mul'; did you mean cycle_mult" in str(caught.value)
    assert "restarts needs cycles" in str(caught.value)
    assert "cycle_len is 0" in str(caught.value)


def test_faults_within_a_warm_up_are_told_with_its_own() -> None:
    with pytest.raises(SpecError) as caught:
        Warmup({"name": "step", "every": 0, "gamma": 2}, epochs=-1)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 3
    assert caught.value.faults[0].startswith("in schedule: every is 0")
    assert caught.value.faults[2].startswith("epochs is -1")


@pytest.mark.parametrize("behind", [Restarts(3), Warmup(Restarts(3), 1)])
def test_a_warm_up_of_broken_epochs_is_refused_before_whole_cycles(behind: Schedule) -> None:
    words = f"epochs is 0.5, and {behind.name} fills whole epochs"
    with pytest.raises(SpecError, match=words):
        Warmup(behind, epochs=0.5)
    with pytest.raises(SpecError, match=words):
        schedule_named({"name": "warmup", "schedule": behind.to_dict(), "epochs": 0.5})
    assert Warmup(behind, epochs=1).length == (behind.length or 0) + 1


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(SpecError, match="did you mean cosine"):
        schedule_named("cosin")
    with pytest.raises(SpecError, match="did you mean one_cycle"):
        schedule_named({"name": "onecycle"})


@pytest.mark.parametrize("value", [None, 3, {}, {"end": 0.5}, {"name": ["cosine"]}, [], Cosine])
def test_what_is_no_schedule_is_refused(value: object) -> None:
    with pytest.raises(SpecError, match="which is none of constant, cosine"):
        schedule_named(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["restarts", "exponential", "warmup"])
def test_a_name_alone_is_refused_where_parameters_are_needed(name: str) -> None:
    with pytest.raises(SpecError, match=f"{name} needs "):
        schedule_named(name)
