"""Many networks of one structure: into which stacks they go, and that it makes no difference."""

import functools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secchi.cohort.alone import train_alone
from secchi.cohort.curve import Curve
from secchi.cohort.lanes import train
from secchi.cohort.lanes.compile import lanes_of
from secchi.cohort.lanes.sides import Sides
from secchi.cohort.lanes.stack import Stack
from secchi.cohort.lanes.train import jobs_of
from secchi.cohort.loop import train_members
from secchi.cohort.member import Member
from secchi.data.task import Labels, Task
from secchi.models.mlp import MLP
from secchi.training.history import Outcome
from secchi.training.prepared import PreparedTable
from secchi.training.spec import Training

PLAIN = Training("sgd", lr=0.1, batch_size=8, epochs=5, weight_decay=0.0)
LANES = lanes_of("fp64")
train_lanes = functools.partial(train_members, threads=1)


@pytest.fixture(scope="module")
def tables(make_table: Any) -> Any:
    return functools.cache(lambda seed, precision="fp64": make_table(seed, precision=precision))


def assert_same_bits(ours: Curve, theirs: Curve) -> None:
    np.testing.assert_equal(ours._asdict(), theirs._asdict())


# ------------------------------------------------------------------ grouping


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from([3, 5, 9])),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([None, 2]),
    st.integers(1, 3),
)
def test_every_network_is_in_one_stack(
    tables: Any, which: list[tuple[int, int, int]], patience: int | None, threads: int
) -> None:
    some = [
        Member(tables(table), MLP([width]), PLAIN.but(seed=seed, patience=patience), seed)
        for table, seed, width in which
    ]
    places = list(range(0, len(some), 2)) or [0]
    jobs = list(jobs_of(some, places, [], threads))
    groups = [list(group) for job in jobs for group in job.groups]
    assert sorted(place for group in groups for place in group) == places
    assert all(1 <= len(group) <= LANES for group in groups)
    # No more than needed, but for one that is not full for each rows and order.
    orders = {which[place][:2] for place in places}
    assert len(groups) <= len(places) // LANES + len(orders) + 1
    assert patience or all(len(job.groups) == 1 for job in jobs)


def test_networks_of_the_same_rows_and_order_go_together(tables: Any) -> None:
    some = [
        Member(tables(seed), MLP([3]), PLAIN.but(seed=seed), 0)
        for _ in range(LANES)
        for seed in (0, 1)
    ]
    groups = [group for job in jobs_of(some, range(len(some)), [], 2) for group in job.groups]
    assert len(groups) == 2
    for group in groups:
        assert len({some[place].table for place in group}) == 1
        assert Stack([some[place] for place in group], Sides()).program.shared_rows


# ------------------------------------------------------------------ company

MODELS = [MLP([3]), MLP([256]), MLP([5], dropout=0.3)]
"""The rows of a batch are computed in parts beside the wide one, and at once beside the others."""


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    momentum, clip = draw(st.sampled_from([(0.0, None), (0.9, 1.0)]))
    return {
        "table": draw(st.integers(0, 1)),
        "model": draw(st.sampled_from(MODELS)),
        "seed": draw(st.integers(0, 1)),
        "lr": draw(st.sampled_from([1e-3, 0.1, 1.0, 1e6])),
        "momentum": momentum,
        "clip": clip,
        "patience": draw(st.sampled_from([None, 1, 3])),
    }


def mixture(tables: Any, each: Sequence[dict[str, Any]]) -> list[Member]:
    made = []
    for given_ in each:
        training = {k: v for k, v in given_.items() if k not in ("table", "model")}
        table = tables(given_["table"], "fp32")
        whole = PLAIN.but(batch_size=40, **training)
        made.append(Member(table, given_["model"], whole, given_["seed"]))
    return made


def test_in_company_a_network_is_what_it_is_by_itself_to_the_bit(tables: Any) -> None:
    """In single precision, as other tests of company are in double, and with twice the lanes."""
    alone: dict[str, Curve] = {}

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(fields(), min_size=2, max_size=4 * LANES, unique_by=str))
    def check(each: list[dict[str, Any]]) -> None:
        some = mixture(tables, each)
        for member, key, curve in zip(
            some, map(str, each), train_lanes(some, ["accuracy"]), strict=True
        ):
            if key not in alone:
                (alone[key],) = train_lanes([member], ["accuracy"])
            assert_same_bits(curve, alone[key])

    check()


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_ranks_that_are_closed_change_no_bit(
    tables: Any, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [
        Member(
            tables(0),
            MLP([3 + place % 3]),
            PLAIN.but(seed=place, optimizer="adam", epochs=20, patience=1 + place % 4),
            place,
        )
        for place in range(3 * LANES + 1)
    ]
    joins: list[int] = []
    joined = Stack.joined
    monkeypatch.setattr(Stack, "joined", lambda lanes: joins.append(len(lanes)) or joined(lanes))
    often = train_lanes(some, [metric])
    assert joins
    joins.clear()
    monkeypatch.setattr(train, "ROUNDS", 1)
    once = train_lanes(some, ["accuracy"])
    assert not joins
    assert {curve.outcome for curve in often} == {Outcome.STOPPED_EARLY, Outcome.COMPLETED}
    for ours, theirs in zip(often, once, strict=True):
        np.testing.assert_array_equal(ours.valid_loss, theirs.valid_loss)
        np.testing.assert_array_equal(ours.train_loss, theirs.train_loss)
        assert ours[3:] == theirs[3:]


# ------------------------------------------------------------------ stopping


def test_a_job_that_is_stopped_tells_of_what_has_ended_alone(
    tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [
        Member(tables(0), MLP([3]), PLAIN.but(epochs=40, lr=lr, patience=patience), 0)
        for lr, patience in ((10.0, 1), (0.01, None))
    ]
    (job,) = jobs_of(some, range(2), [], 1)
    stopped, runs = threading.Event(), []
    going_on = Stack.going_on

    def stopped_in_the_third(stack: Stack, epochs: int) -> Iterator[None]:
        runs.append(epochs)
        if len(runs) == 3:
            stopped.set()
        return going_on(stack, epochs)

    monkeypatch.setattr(Stack, "going_on", stopped_in_the_third)
    monkeypatch.setattr(train.Job, "_round", lambda job, epochs: 2)
    ((place, curve),) = job(stopped)
    assert (place, curve.outcome, runs) == (0, Outcome.STOPPED_EARLY, [2, 2, 2])


# ------------------------------------------------------------------ extremes


def test_a_gradient_too_long_to_be_measured_ends_those_alone_that_clip_it() -> None:
    task = Task.regress("distance")
    inputs, labels = 1e21 * np.eye(4), Labels(task, (np.array([1.0, -1.0, 2.0, 1.0]),))
    table = PreparedTable.of_arrays(
        task,
        dict.fromkeys(("train", "valid"), inputs),
        dict.fromkeys(("train", "valid"), labels),
        "fp32",
    )
    # From weights of 0 on, one step with a gradient whose square is no number in single precision.
    once = PLAIN.but(lr=1e-30, batch_size=4, epochs=1)
    some = [Member(table, MLP([], init="zeros"), once.but(clip=clip), 0) for clip in (None, 1.0)]
    ended = [curve.outcome for curve in train_lanes(some, ["mae"])]
    assert ended == [train_alone(member, ["mae"]).outcome for member in some]
    assert ended == [Outcome.COMPLETED, Outcome.DIVERGED]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_networks_with_and_without_a_momentum_close_ranks(tables: Any, momentum: float) -> None:
    """Those of a stack of which none has one remember nothing."""
    some = [
        Member(tables(0), MLP([3]), PLAIN.but(seed=seed, lr=lr, patience=patience, momentum=m), 0)
        for seed, m in ((0, momentum), (1, 0.9 - momentum))
        for lr, patience in [(10.0, 1)] * (LANES - 1) + [(0.01, None)]
    ]
    for member, curve in zip(some, train_lanes(some, []), strict=True):
        assert_same_bits(curve, train_lanes([member], [])[0])


def test_stacks_of_a_seed_share_what_dropout_draws_and_nothing_else(tables: Any) -> None:
    def member(seed: int, width: int, share: float, inputs: float, lr: float) -> Member:
        model = MLP([width], dropout=share, input_dropout=inputs)
        return Member(tables(0), model, PLAIN.but(seed=seed, lr=lr), seed)

    # The wider ones that drop nothing make the others as wide as those that draw more.
    some = [
        member(seed, width, share, inputs, 0.01 * place)
        for seed in (0, 1)
        for width, share, inputs in ((5, 0.3, 0.0), (8, 0.3, 0.0), (8, 0.0, 0.0), (5, 0.3, 0.1))
        for place in range(1, LANES)
    ]
    for ours, each in zip(train_lanes(some, []), some, strict=True):
        assert_same_bits(ours, train_lanes([each], [])[0])


def test_numbers_far_from_zero_have_their_spread_measured() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(60, 3))
    truth = 1e7 + inputs @ [1.0, 2.0, 3.0] + random.normal(size=60)
    task = Task.regress("price")
    places = {"train": slice(0, 40), "valid": slice(40, 60)}
    table = PreparedTable.of_arrays(
        task,
        {split: inputs[rows] for split, rows in places.items()},
        {split: Labels.of(task.target, truth[rows]) for split, rows in places.items()},
        "fp64",
        target_scale="none",
    )
    names = ["rmse", "r2", "r", "mae"]
    each = Member(table, MLP([]), PLAIN.but(lr=0.2, epochs=100, batch_size=40), 0)
    ours, theirs = train_lanes([each], names)[0], train_alone(each, names)
    assert ours.metrics["r2"][-1] > 0.5
    for name in names:
        np.testing.assert_allclose(ours.metrics[name][-20:], theirs.metrics[name][-20:], 1e-8)
