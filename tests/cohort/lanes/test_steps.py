"""What the steps of a stack take: orders, draws and coefficients."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.cohort.lanes.sides import Sides
from secchi.cohort.lanes.steps import Drawn, Given, Steps
from secchi.cohort.member import Member
from secchi.models.mlp import MLP
from secchi.seeding import stream, stream_seed
from secchi.training.schedules import At, OneCycle
from secchi.training.spec import Training

BATCH, EPOCHS = 8, 3
PLAIN = Training("sgd", lr=0.1, batch_size=BATCH, epochs=EPOCHS, weight_decay=0.0)


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


def steps_of(members: Sequence[Member]) -> Steps:
    sides = Sides()
    hidden = [max(each) for each in zip(*(m.model.hidden for m in members), strict=True)]
    widths = [members[0].table.width, *hidden, members[0].table.task.outputs]
    rows = [sides.of(member.table, "train") for member in members]
    return Steps(members, rows, widths, Drawn())


def members(table: Any, *models: MLP, seeds: Sequence[int] = (0,), **changes: Any) -> list[Member]:
    return [
        Member(table, model, PLAIN.but(seed=s, **changes), s) for model in models for s in seeds
    ]


def test_orders_are_those_of_the_ordinary_loop(table: Any) -> None:
    steps = steps_of(members(table, MLP([3]), seeds=(3, 4)))
    assert not steps.shared_rows
    given = steps.between(0, EPOCHS * 5)
    for order, seed in zip(given.orders, (3, 4), strict=True):
        each = [
            stream(seed, f"batch order of epoch {epoch}").permutation(40) for epoch in range(EPOCHS)
        ]
        np.testing.assert_array_equal(order, np.concatenate(each))
    assert given.ends[:, 0].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert np.flatnonzero(given.ends[:, 1]).tolist() == [4, 9, 14]


def test_networks_of_the_same_rows_and_seed_share_orders_and_draws(table: Any) -> None:
    steps = steps_of(members(table, *(MLP([3], dropout=rate) for rate in (0.1, 0.5))))
    assert steps.shared_rows
    assert steps.drawing == [[0, 1]]
    assert len(steps.between(0, 2).orders) == 1
    wider = steps_of(members(table, MLP([3], dropout=0.1), MLP([4], dropout=0.1)))
    assert (wider.shared_rows, wider.drawing) == (True, [[0], [1]])
    none = steps_of(members(table, MLP([3], dropout=0.1), MLP([3])))
    assert none.drawing == [[0]]


def test_a_batch_of_all_rows_has_no_order_but_for_what_is_drawn(table: Any) -> None:
    whole = {"batch_size": 64, "seeds": (0, 1)}
    plain = steps_of(members(table, MLP([3]), **whole))
    assert plain.shared_rows
    assert plain.between(0, 1).orders[0].tolist() == list(range(40))
    drops = steps_of(members(table, MLP([3], dropout=0.1), **whole))
    assert not drops.shared_rows
    assert drops.between(0, 1).orders[0].tolist() != list(range(40))


def test_rows_that_weigh_nothing_are_in_no_step(make_table: Any) -> None:
    weights = np.ones(40, np.float32)
    weights[::2] = 0
    steps = steps_of(members(make_table(weights=weights), MLP([3])))
    assert steps.per_epoch == 2
    assert (steps.between(0, 6).orders[0] % 2 == 1).all()


def test_the_weights_of_a_steps_rows_are_summed_up(make_table: Any) -> None:
    weights = np.arange(1, 41, dtype=np.float32)
    given = steps_of(members(make_table(weights=weights), MLP([3]))).between(0, 5)
    expected = weights[given.orders[0]].reshape(5, BATCH).sum(axis=1)
    np.testing.assert_array_equal(given.coefficients[:, 0, 0], expected)


@pytest.mark.parametrize("seeds", [(5,), (5, 6)])
def test_draws_are_those_of_the_module(table: Any, seeds: Sequence[int]) -> None:
    models = [MLP([5, 3, 2], dropout=(0.2, 0.0, 0.3), input_dropout=0.1)]
    steps = steps_of(members(table, *models, seeds=seeds))
    given = steps.between(7, 8)
    for lane, seed in enumerate(seeds):
        torch.manual_seed(stream_seed(seed, "step 2 of epoch 1"))
        inputs, first, third = (torch.rand(BATCH, width).numpy() for width in (4, 5, 2))
        assert steps.drawing[lane] == [lane]
        np.testing.assert_array_equal(given.source_draws[lane], inputs)
        np.testing.assert_array_equal(given.draws[0][lane], first)
        np.testing.assert_array_equal(given.draws[2][lane], third)


def joined(parts: Sequence[Given]) -> list[np.ndarray]:
    """All arrays of some steps, one after the other."""
    each = [
        [*part.orders, part.ends, part.coefficients]
        + [np.moveaxis(draws, 1, 0) for draws in (*part.draws, part.source_draws)]
        for part in parts
    ]
    return [np.concatenate(same) for same in zip(*each, strict=True)]


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 14)), st.sampled_from([(1,), (1, 2)]), st.booleans())
def test_it_does_not_matter_where_steps_are_cut(
    table: Any, cuts: set[int], seeds: tuple[int, ...], drops: bool
) -> None:
    model = MLP([3], dropout=0.5 * drops, input_dropout=0.5 * drops)
    steps = steps_of(members(table, model, seeds=seeds, schedule=OneCycle(), momentum=0.9))
    places = [0, *sorted(cuts), 15]
    # What was drawn is good until the next steps are asked for.
    parts = [copy.deepcopy(steps.between(start, stop)) for start, stop in pairwise(places)]
    for ours, whole in zip(joined(parts), joined([steps.between(0, 15)]), strict=True):
        np.testing.assert_array_equal(ours, whole)


def test_coefficients_follow_the_schedule(table: Any) -> None:
    schedule = OneCycle()
    given = steps_of(members(table, MLP([3]), schedule=schedule, momentum=0.9)).between(0, 15)
    places = [At(step, 15, 5) for step in range(15)]
    rates = [0.1 * schedule.factor(at) for at in places]
    momenta = [schedule.momentum(at, 0.9) for at in places]
    np.testing.assert_allclose(given.coefficients[:, 1, 0], rates)
    np.testing.assert_allclose(given.coefficients[:, 2, 0], momenta)


def test_the_first_gradient_is_not_dampened(table: Any) -> None:
    both = steps_of(members(table, MLP([3]), momentum=0.9, dampening=0.25)).between(0, 4)
    assert both.coefficients[:, 3, 0].tolist() == [1.0, 0.75, 0.75, 0.75]


def test_momentum_is_a_rule_of_its_own_where_any_network_has_one(table: Any) -> None:
    some = [*members(table, MLP([3])), *members(table, MLP([3]), momentum=0.9)]
    assert (steps_of(some[:1]).rule, steps_of(some).rule) == ("sgd", "momentum")
    given = steps_of(some).between(0, 2).coefficients
    # Without a momentum the gradient is gone along, and nothing is remembered.
    assert given[:, 2:, 0].tolist() == [[1.0, 0.0, 1.0, 0.0]] * 2
