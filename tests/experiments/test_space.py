"""Factors, the settings that designs make of them, and what is refused."""

import json
import math
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.errors import SpecError
from secchi.experiments import space
from secchi.experiments.factor_values import (
    Range,
    integers,
    log_uniform,
    nested,
    uniform,
)
from secchi.experiments.settings import canonical
from secchi.experiments.space import DESIGNS, Space
from secchi.training.schedules import Cosine

NAMES = st.sampled_from(["lr", "momentum", "depth", "width", "slope", "noise"])
VALUES = st.one_of(
    st.integers(-9, 9),
    st.floats(-9, 9, allow_nan=False).filter(lambda value: not value.is_integer()),
    st.sampled_from(["relu", "tanh"]),
    st.booleans(),
    st.none(),
    st.lists(st.integers(1, 9), max_size=3),
)
LISTS = st.dictionaries(
    NAMES, st.lists(VALUES, min_size=1, max_size=3, unique_by=canonical), max_size=4
)
RANGES = st.sampled_from([uniform(-1, 3), log_uniform(1e-4, 10), integers(-2, 40)])
SEEDS = st.integers(0, 5)

SOME = settings(deadline=None, max_examples=40)
"""Beside other work, a draw can take long."""


def refused(vary: dict[str, Any], **given: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        Space(vary, **given)
    return caught.value.faults


# ---------------------------------------------------------------- grids


@SOME
@given(LISTS)
def test_a_grid_has_every_combination_once_in_its_order(vary: dict[str, list[Any]]) -> None:
    found = Space(vary).settings
    assert len(found) == math.prod(len(values) for values in vary.values())
    expected = [dict(zip(vary, each, strict=True)) for each in product(*vary.values())]
    assert [canonical(setting) for setting in found] == [canonical(each) for each in expected]
    assert all(list(setting) == list(vary) for setting in found)


@SOME
@given(LISTS)
def test_settings_are_plain_json(vary: dict[str, list[Any]]) -> None:
    for setting in Space(vary).settings:
        assert json.loads(json.dumps(setting, allow_nan=False)) == setting


def test_values_of_numpy_become_python_s() -> None:
    given = {"depth": np.arange(1, 3), "lr": (np.float32(0.5),), "hidden": [np.array([4, 8])]}
    first = Space(given).settings[0]
    assert first == {"depth": 1, "lr": 0.5, "hidden": [4, 8]}
    assert {type(value) for value in first.values()} == {int, float, list}


def test_a_schedule_is_its_record() -> None:
    assert Space({"schedule": [Cosine()]}).settings == (
        {"schedule": {"name": "cosine", "end": 0.0}},
    )


def test_a_grid_without_factors_is_one_setting() -> None:
    assert Space({}).settings == ({},)


# ---------------------------------------------------------------- dependent and nested


def test_a_function_gives_a_value_and_a_nested_one_a_list() -> None:
    vary = {
        "l1": lambda s: s["lr"] / 10,
        "depth": [1, 2],
        "width": nested(lambda s: range(1, s["depth"] + 1)),
        "lr": [0.5],
        "hidden": lambda s: [s["width"]] * s["depth"],
        "l2": lambda s: 2 * s["l1"],
    }
    found = Space(vary).settings
    assert [(each["depth"], each["width"], each["hidden"]) for each in found] == [
        (1, 1, [1]),
        (2, 1, [1, 1]),
        (2, 2, [2, 2]),
    ]
    assert all(list(each) == list(vary) for each in found)
    assert found[0]["l1"] == 0.05
    assert found[0]["l2"] == 0.1


def test_what_a_function_does_wrong_is_told() -> None:
    ask = refused({"lr": [1], "l1": lambda s: s["lrr"]})
    assert ask == (
        "the function of l1 asks for 'lrr', which no factor before it is; did you mean lr?",
    )
    assert "ZeroDivisionError" in refused({"lr": [0], "l1": lambda s: 1 / s["lr"]})[0]
    assert "lr=0" in refused({"lr": [0], "l1": lambda s: 1 / s["lr"]})[0]
    assert "not finite" in refused({"lr": [0], "l1": lambda s: math.nan})[0]
    assert "has no values, for depth=1" in refused({"depth": [1], "width": nested(lambda s: [])})[0]


def test_a_function_cannot_change_the_setting() -> None:
    assert Space({"lr": [1], "l1": lambda s: s.pop("lr")}).settings == ({"lr": 1, "l1": 1},)


# ---------------------------------------------------------------- one at a time


@SOME
@given(LISTS)
def test_one_at_a_time_changes_one_factor_of_the_base(vary: dict[str, list[Any]]) -> None:
    base = {name: "base" for name in vary}
    found = Space(vary, "one_at_a_time", base=base).settings
    assert len(found) == 1 + sum(len(values) for values in vary.values())
    assert found[0] == base
    for setting in found[1:]:
        assert sum(setting[name] != "base" for name in vary) == 1


def test_a_value_of_the_base_makes_no_second_setting() -> None:
    found = Space({"lr": [0.1, 1], "l1": [0]}, "one_at_a_time", base={"lr": 1.0, "l1": 0.0})
    assert [each["lr"] for each in found.settings] == [1.0, 0.1]


def test_one_at_a_time_needs_a_base() -> None:
    assert refused({"cycles": [1, 2]}, design="one_at_a_time") == (
        "cycles has no value at the base, which one_at_a_time needs",
    )


# ---------------------------------------------------------------- drawn


@SOME
@given(RANGES, st.integers(1, 40), SEEDS)
def test_each_stratum_of_a_latin_hypercube_holds_one_value(
    span: Range, samples: int, seed: int
) -> None:
    vary = {"lr": log_uniform(1e-4, 10), "slope": uniform(-1, 3), "own": span}
    found = Space(vary, "latin_hypercube", samples=samples, seed=seed).settings
    assert len(found) == samples
    rates = np.array([setting["lr"] for setting in found])
    slopes = np.array([setting["slope"] for setting in found])
    for shares in ((np.log10(rates) + 4) / 5, (slopes + 1) / 4):
        assert sorted(np.floor(shares * samples)) == list(range(samples))


@SOME
@given(st.integers(1, 7), st.integers(1, 30), SEEDS)
def test_a_latin_hypercube_spreads_lists_evenly(length: int, samples: int, seed: int) -> None:
    vary = {"depth": list(range(length)), "lr": uniform(0, 1)}
    found = Space(vary, "latin_hypercube", samples=samples, seed=seed).settings
    counts = Counter(setting["depth"] for setting in found)
    each = [counts[place] for place in range(length)]
    assert sum(each) == samples
    assert max(each) - min(each) <= 1


@pytest.mark.parametrize("design", ["random", "latin_hypercube"])
@SOME
@given(LISTS, RANGES, st.integers(1, 30), SEEDS)
def test_what_is_drawn_is_a_value_each_time_the_same(
    design: str, vary: dict[str, Any], span: Range, samples: int, seed: int
) -> None:
    factors = {**vary, "own": span}
    drawn = Space(factors, design, samples=samples, seed=seed)
    assert drawn.settings == Space(factors, design, samples=samples, seed=seed).settings
    assert len(drawn.settings) + drawn.dropped == samples
    assert len({canonical(setting) for setting in drawn.settings}) == len(drawn.settings)
    for setting in drawn.settings:
        assert span.low <= setting["own"] <= span.high
        for name, values in vary.items():
            assert canonical(setting[name]) in map(canonical, values)


@SOME
@given(st.integers(1, 20), st.integers(0, 20), SEEDS)
def test_more_random_samples_leave_the_first_as_they_were(few: int, more: int, seed: int) -> None:
    vary = {"lr": log_uniform(1e-3, 1), "slope": uniform(0, 1), "depth": [1, 2, 3]}
    first = Space(vary, "random", samples=few, seed=seed).settings
    assert Space(vary, "random", samples=few + more, seed=seed).settings[:few] == first


def test_seeds_and_factors_draw_their_own() -> None:
    vary = {"slope": uniform(0, 1), "noise": uniform(0, 1)}
    found = [Space(vary, "random", samples=3, seed=seed).settings for seed in (0, 1)]
    assert found[0] != found[1]
    assert all(setting["slope"] != setting["noise"] for setting in found[0])


def test_what_is_drawn_twice_is_kept_once() -> None:
    few = Space({"depth": [1, 2]}, "random", samples=50)
    assert len(few.settings) == 2
    assert few.dropped == 48


def test_random_values_fill_their_range() -> None:
    found = Space({"lr": log_uniform(1e-4, 1)}, "random", samples=4000).settings
    shares = (np.log10([setting["lr"] for setting in found]) + 4) / 4
    counts = np.histogram(shares, bins=4, range=(0, 1))[0]
    assert (np.abs(counts - 1000) < 5 * math.sqrt(4000 * 0.25 * 0.75)).all()
    dice = Space({"n": integers(1, 6), "x": uniform(0, 1)}, "random", samples=6000).settings
    rolled = Counter(setting["n"] for setting in dice)
    assert sorted(rolled) == [1, 2, 3, 4, 5, 6]
    assert max(abs(count - 1000) for count in rolled.values()) < 150


# ---------------------------------------------------------------- faults


def test_all_faults_of_factors_are_told_at_once() -> None:
    faults = refused(
        {
            "lr": uniform(0, 1),
            "depth": [],
            "width": [4, 8, 4],
            "noise": [math.nan],
            "slope": 3,
            "optimizer": "sgd",
            "loss": [print],
            "epochs": {5, 6},
        },
        samples=3,
    )
    for name in ("lr", "depth", "width", "noise", "slope", "optimizer", "loss", "epochs"):
        assert sum(fault.startswith(name) for fault in faults) == 1
    assert sum("samples" in fault for fault in faults) == 1
    assert len(faults) == 9


def test_whole_numbers_and_floats_are_the_same_value() -> None:
    assert refused({"lr": [1, 1.0]}) == ("lr has 1.0 twice",)
    assert len(Space({"nesterov": [True, 1, "1"]}).settings) == 3


@pytest.mark.parametrize("design", ["grid", "one_at_a_time"])
def test_a_range_needs_a_design_that_draws(design: str) -> None:
    assert refused({"lr": uniform(0, 1)}, design=design, base={"lr": 1}) == (
        f"lr is a range, which the designs random and latin_hypercube take, not {design}",
    )


@pytest.mark.parametrize("samples", [None, 0, -1, 1.5, True])
def test_designs_that_draw_need_a_number_of_samples(samples: Any) -> None:
    assert "samples" in refused({"lr": [1]}, design="random", samples=samples)[0]


def test_the_nearest_design_is_suggested() -> None:
    assert "did you mean latin_hypercube?" in refused({}, design="latin_hyper_cube")[0]
    assert all(design in refused({}, design="none")[0] for design in DESIGNS)


def test_a_grid_that_no_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_MOST_SETTINGS", 1000)
    many = list(range(40))
    assert "more than 1,000 settings; random draws fewer" in refused({"lr": many, "l1": many})[0]
