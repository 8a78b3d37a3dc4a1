"""What a person sees of work that goes on."""

from hypothesis import given
from hypothesis import strategies as st

from secchi.console import Speed


def test_a_burst_has_no_rate() -> None:
    speed = Speed()
    assert speed.told(0, 1000, "networks", 0.0) == ""
    assert [speed.told(done, 1000, "networks", 1 + done / 1e6) for done in range(1, 17)] == [
        ""
    ] * 16
    assert speed.told(32, 1000, "networks", 2.0).startswith("16 networks/s, ")


def test_what_was_done_before_does_not_count() -> None:
    speed = Speed()
    speed.told(900, 1000, "networks", 5.0)
    assert speed.told(920, 1000, "networks", 7.0) == "10 networks/s, 8 s left"


def test_a_slow_rate_has_digits_and_none_is_none() -> None:
    speed = Speed()
    assert speed.told(0, 100, "networks", 0.0) == speed.told(0, 100, "networks", 9.0) == ""
    assert speed.told(1, 100, "networks", 10.0) == "0.1 networks/s, 16 min left"


def test_a_rate_is_that_of_the_last_half_minute() -> None:
    speed = Speed()
    for second in range(100):
        words = speed.told(second if second < 50 else 50 + 3 * (second - 50), 1000, "rows", second)
    assert words.startswith("3 rows/s, ")


@given(st.lists(st.tuples(st.floats(1e-6, 5), st.integers(0, 50)), min_size=1, max_size=50))
def test_no_rate_is_of_less_than_a_second_and_a_half(steps: list[tuple[float, int]]) -> None:
    speed, now, done = Speed(), 0.0, 0
    speed.told(0, 10**6, "rows", now)
    for wait, more in steps:
        now, done = now + wait, done + more
        words = speed.told(done, 10**6, "rows", now)
        if words:
            assert now >= 1.5
            assert 0 < float(words.split()[0].replace(",", "")) <= 1.06 * done / 1.5
