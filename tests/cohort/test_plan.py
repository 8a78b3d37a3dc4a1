"""How networks are sorted, and what that is said to take."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.cohort.member import Member
from secchi.cohort.plan import plan
from secchi.cohort.structure import structure
from secchi.models.mlp import MLP
from secchi.training.spec import Training

PLAIN = Training("sgd", lr=0.1, batch_size=8, epochs=5)
MODELS = [MLP([3]), MLP([5]), MLP([3, 3]), MLP([3], weight_norm=True)]


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MODELS), st.sampled_from([None, 0.9])), max_size=30))
def test_every_network_is_in_one_place(table: Any, which: list[tuple[MLP, float | None]]) -> None:
    members = [Member(table, model, PLAIN.but(ema=ema), 0) for model, ema in which]
    found = plan(members)
    in_step = [place for places in found.cohorts for place in places]
    alone = [place for place, _ in found.alone]
    assert sorted(in_step + alone) == list(range(len(members)))
    for common, places in zip(found.structures, found.cohorts, strict=True):
        assert {structure(members[place]) for place in places} == {common}
        assert list(places) == sorted(places)
    for place, reason in found.alone:
        assert structure(members[place]) == reason


def test_nothing_takes_nothing() -> None:
    assert plan([]) == ((), (), (), 0.0, 0)


def test_more_wider_and_longer_trainings_take_longer(table: Any) -> None:
    def seconds(count: int, width: int = 8, **changes: Any) -> float:
        training = PLAIN.but(**changes)
        return plan([Member(table, MLP([width]), training, 0)] * count).seconds

    plain = seconds(64)
    assert seconds(640) == pytest.approx(10 * plain, rel=0.1)
    assert seconds(64, width=80) > plain
    assert seconds(64, epochs=50) > plain
    assert seconds(64, ema=0.9) > plain  # which is trained alone


def test_memory_is_that_of_a_stack_however_many_there_are(table: Any) -> None:
    few, many = (plan([Member(table, MLP([8]), PLAIN, 0)] * count) for count in (20, 2000))
    assert few.nbytes == many.nbytes > 0
    (wide,) = plan([Member(table, MLP([800, 800]), PLAIN, 0)]).cohorts
    assert plan([Member(table, MLP([800, 800]), PLAIN, 0)]).nbytes > few.nbytes
    assert wide == (0,)
