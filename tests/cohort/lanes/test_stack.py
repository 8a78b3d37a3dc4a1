"""Networks side by side in memory: how they are laid out, go on, and change stacks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from secchi.cohort.lanes import stack as stacks
from secchi.cohort.lanes.compile import lanes_of
from secchi.cohort.lanes.sides import Sides
from secchi.cohort.lanes.stack import Stack
from secchi.cohort.member import Member
from secchi.models.build import first_weights
from secchi.models.mlp import MLP
from secchi.training.evaluation import score
from secchi.training.spec import Training

PLAIN = Training("adam", lr=0.05, batch_size=8, epochs=4, weight_decay=0.0)


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


def members(table: Any, widths: Sequence[Sequence[int]], **changes: Any) -> list[Member]:
    return [
        Member(table, MLP(hidden, dropout=0.2), PLAIN.but(seed=seed, **changes), seed)
        for seed, hidden in enumerate(widths)
    ]


def trained(stack: Stack, *epochs: int) -> Stack:
    for each in epochs or (4,):
        for _ in stack.going_on(each):
            pass
    return stack


def assert_same_bits(one: Stack, lane: int, other: Stack, its: int) -> None:
    np.testing.assert_array_equal(one.statistics[..., lane], other.statistics[..., its])
    np.testing.assert_array_equal(one.outputs[..., lane], other.outputs[..., its])
    assert one.bad[lane] == other.bad[its]


def test_each_network_has_its_first_weights_and_padding_is_zero(table: Any) -> None:
    some = members(table, [(3, 5), (4, 2)])
    made = Stack(some, Sides())
    assert made.widths == [4, 4, 5, 3]
    for lane, member in enumerate(some):
        for layer, (weight, bias) in enumerate(first_weights(member.model, 4, 3, member.seed)):
            at, shape = made.places[layer], (made.widths[layer + 1], made.widths[layer])
            whole = made.parameters[at.weights : at.biases, lane].reshape(shape)
            units, inputs = weight.shape
            np.testing.assert_array_equal(whole[:units, :inputs], weight.double())
            np.testing.assert_array_equal(made.parameters[at.biases :, lane][:units], bias.double())
            assert not whole[units:].any()
            assert not whole[:, inputs:].any()


def test_units_that_are_not_there_stay_zero(table: Any) -> None:
    some = [
        Member(table, MLP(hidden, "sigmoid", batch_norm="after"), PLAIN.but(weight_decay=0.1), 0)
        for hidden in ((2, 6), (5, 3))
    ]
    made = trained(Stack(some, Sides()))
    first, second = made.places[0], made.places[1]
    assert not made.parameters[first.weights : first.biases, 0].reshape(5, 4)[2:].any()
    assert not made.parameters[second.weights : second.biases, 1].reshape(6, 5)[3:].any()
    assert made.parameters[first.weights : first.biases, 1].all()


def test_lanes_that_are_left_over_repeat_the_last_network(table: Any) -> None:
    made = trained(Stack(members(table, [(3,), (4,)]), Sides()))
    for lane in range(2, lanes_of("fp64")):
        assert_same_bits(made, lane, made, 1)


@pytest.mark.parametrize("parts", [(1, 1, 1, 1), (3, 1), (1, 9)])
def test_a_training_in_parts_is_the_same_to_the_bit(table: Any, parts: Sequence[int]) -> None:
    some = members(table, [(3,), (4,)])
    whole, cut = trained(Stack(some, Sides())), trained(Stack(some, Sides()), *parts)
    assert whole.done == cut.done == 4
    assert_same_bits(whole, 0, cut, 0)
    assert_same_bits(whole, 1, cut, 1)


def test_steps_that_run_at_once_change_no_bit(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    some = members(table, [(3,), (4,)])
    whole = trained(Stack(some, Sides()))
    monkeypatch.setattr(stacks, "STEP_BYTES", 1)
    assert_same_bits(whole, 0, trained(Stack(some, Sides())), 0)


def test_rows_that_are_computed_at_once_change_nothing_but_the_sums_of_losses(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = members(table, [(3,), (4,)], batch_size=40)
    whole = trained(Stack(some, Sides()))
    monkeypatch.setattr(stacks, "WORKING_BYTES", 1)
    parts = trained(Stack(some, Sides()))
    np.testing.assert_array_equal(whole.outputs, parts.outputs)
    np.testing.assert_allclose(whole.statistics, parts.statistics, rtol=1e-14)


def test_networks_that_join_go_on_as_they_were(table: Any) -> None:
    # As many as there are lanes in the narrowest of registers.
    ones, others = members(table, [(3, 6), (5, 2)]), members(table, [(4, 4), (2, 7)])
    sides = Sides()
    made = [trained(Stack(some, sides), 2) for some in (ones, others)]
    joint = trained(Stack.joined([(made[0], 1), (made[1], 0)]), 2)
    assert joint.members == [ones[1], others[0]]
    for lane, member in enumerate(joint.members):
        assert_same_bits(joint, lane, trained(Stack([member], sides)), 0)


def test_there_is_a_pause_before_the_first_steps(table: Any) -> None:
    made = Stack(members(table, [(3,)]), Sides())
    next(made.going_on(4))
    assert made.done == 0
    assert not made.statistics[:, 0].any()


def test_answers_are_what_the_statistics_sum_up(table: Any) -> None:
    made = trained(Stack(members(table, [(3,), (4,)]), Sides()))
    for lane in range(2):
        right = score(table.labels("valid"), made.answers(lane), ["accuracy"])["accuracy"]
        assert made.statistics[-1, 4, lane] / made.statistics[-1, 3, lane] == pytest.approx(right)
