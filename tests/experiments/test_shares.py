"""How large shares are: bounded in memory, and about as long as they should be."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secchi.experiments import shares
from secchi.experiments.shares import SHARE_SECONDS, Pace, members_that_fit


class Sized:
    """An experiment whose trials are numbers, of tables of 100 bytes and curves of 3 x 5."""

    measured = ("accuracy",)

    def __init__(self, tables: int) -> None:
        self.tables = [SimpleNamespace(nbytes=100) for _ in range(tables)]

    def member(self, trial: int, tables: Any) -> Any:
        table = self.tables[trial % len(self.tables)]
        return SimpleNamespace(table=table, training=SimpleNamespace(epochs=5))


@pytest.mark.parametrize(
    ("tables", "room", "members"),
    [(1, 1000, 7), (1, 10, 1), (10, 1000, 4), (10, 440, 2), (2, 10_000, 10)],
)
def test_tables_are_counted_once_and_curves_each(
    monkeypatch: pytest.MonkeyPatch, tables: int, room: int, members: int
) -> None:
    monkeypatch.setattr(shares, "SHARE_BYTES", room)
    found: Any = members_that_fit(Sized(tables), range(10), None)  # type: ignore[arg-type]
    assert len(found) == members


@given(st.floats(1e-4, 10.0), st.integers(1, 64), st.floats(0.1, 10.0), st.booleans())
def test_shares_come_to_take_what_they_should(
    each: float, threads: int, wrong: float, in_step: bool
) -> None:
    pace = Pace(threads)
    for _ in range(20):
        count = pace.cut(pace.size, wrong * each * pace.size, in_step=in_step)
        pace.note(count, estimated=wrong * each * count, seconds=each * count)
    count = pace.cut(pace.size, wrong * each * pace.size, in_step=in_step)
    least = each * (pace.least if in_step else 1)
    assert count * each <= max(2.1 * SHARE_SECONDS, least)
    assert count * each >= min(SHARE_SECONDS / 2, least)


def test_slow_networks_behind_quick_ones_make_the_share_smaller() -> None:
    pace = Pace(2)
    pace.note(100, estimated=1.0, seconds=1.0)
    assert pace.size == 400
    assert pace.cut(200, estimated=2000.0, in_step=True) == pace.least == 32
    assert pace.cut(200, estimated=1000.0, in_step=False) == 1
    assert pace.cut(3, estimated=1e9, in_step=True) == 3


def test_a_share_may_take_up_to_twice_as_long_before_it_is_cut() -> None:
    assert Pace(1).cut(100, estimated=1.9 * SHARE_SECONDS, in_step=True) == 100
    assert Pace(1).cut(100, estimated=2.1 * SHARE_SECONDS, in_step=True) == 47


def test_without_an_estimate_the_size_goes_by_the_time_alone() -> None:
    pace = Pace(1)
    pace.note(200, estimated=0.0, seconds=2 * SHARE_SECONDS)
    assert (pace.size, pace.cut(100, estimated=0.0, in_step=True)) == (100, 100)


def test_where_nobody_can_join_all_is_one_share() -> None:
    pace = Pace(2, joined=False)
    assert pace.cut(10**6, estimated=1e9, in_step=True) == 10**6
    pace.note(10, estimated=1.0, seconds=100.0)
    assert pace.size >= 10**6
