"""Intervals and corrections: against scipy, and how often they hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secchi.intervals import (
    correlation_interval,
    effective_rows,
    holm,
    mean_interval,
    mean_intervals,
    share_interval,
    without_rounding,
)


@given(st.integers(1, 300), st.data())
def test_a_share_has_the_interval_of_wilson(rows: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, rows))
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    found = share_interval(np.arange(rows) < hits)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_equal_weights_are_none() -> None:
    hits = np.arange(20) < 13
    assert share_interval(hits, np.full(20, 0.3)) == pytest.approx(share_interval(hits))


def test_few_heavy_rows_make_it_wider() -> None:
    hits = np.arange(20) % 2 == 0
    low, high = share_interval(hits, np.where(np.arange(20) < 2, 10.0, 0.1))
    plain_low, plain_high = share_interval(hits)
    assert high - low > 1.5 * (plain_high - plain_low)
    assert effective_rows(20, np.where(np.arange(20) < 2, 10.0, 0.1)) == pytest.approx(2.37, 0.01)


def test_the_interval_of_a_weighted_share_holds_the_truth() -> None:
    random, inside = np.random.default_rng(0), 0
    for _ in range(1000):
        weights = random.exponential(1, 100)
        low, high = share_interval(random.random(100) < 0.8, weights)
        inside += low <= 0.8 <= high
    assert inside / 1000 == pytest.approx(0.95, abs=0.02)


def test_without_rows_there_is_no_interval() -> None:
    assert all(map(math.isnan, share_interval(np.empty(0))))
    assert all(map(math.isnan, correlation_interval(0.5, 3)))
    assert all(map(math.isnan, correlation_interval(math.nan, 50)))


def test_a_correlation_has_the_interval_of_fisher() -> None:
    random = np.random.default_rng(0)
    one = random.normal(size=40)
    other = one + random.normal(size=40)
    known = stats.pearsonr(one, other)
    expected = known.confidence_interval()
    found = correlation_interval(known.statistic, 40)
    assert found == pytest.approx((expected.low, expected.high))
    assert correlation_interval(1.0, 40) == (1.0, 1.0)


@given(
    st.lists(
        st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=5, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_many_means_have_the_intervals_of_each_by_itself(rows: list[list[float]]) -> None:
    """But for values that are all the same, which have none."""
    values = np.array(rows)
    mean, low, high = mean_intervals(values)
    for place, row in enumerate(values):
        there = row[np.isfinite(row)]
        expected = (there.mean() if len(there) else math.nan, *mean_interval(there))
        if len(there) and np.ptp(there) <= 1e-8 * np.abs(there).max():
            assert math.isnan(low[place]) or high[place] - low[place] < 1e-6
            continue
        found = (mean[place], low[place], high[place])
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    for one, turned in zip((mean, low, high), mean_intervals(values.T, axis=0), strict=True):
        assert np.array_equal(one, turned, equal_nan=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 3))
def test_holm_refuses_what_the_step_down_procedure_refuses(p: list[float], unknown: int) -> None:
    found = holm(np.array(p + [math.nan] * unknown))
    rejected, left = set(), sorted(range(len(p)), key=lambda place: p[place])
    while left and p[left[0]] * len(left) < 0.05:
        rejected.add(left.pop(0))
    assert {place for place in range(len(p)) if found[place] < 0.05} == rejected
    assert np.isnan(found[len(p) :]).all()


def test_scores_on_splits_of_the_same_rows_hold_the_truth_with_the_ratio() -> None:
    """The truth is the mean over data sets: means of 20 splits of each, by the nearest centre."""
    random, scores = np.random.default_rng(0), np.empty((150, 20))
    for row in scores:
        y = random.integers(0, 2, 60)
        x = random.normal(size=(60, 3)) + 0.6 * y[:, None]
        for split in range(20):
            order = random.permutation(60)
            train, valid = order[:48], order[48:]
            centres = np.stack([x[train][y[train] == label].mean(axis=0) for label in (0, 1)])
            nearest = ((x[valid, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
            row[split] = (nearest == y[valid]).mean()
    truth = scores.mean()

    def coverage(ratio: float) -> float:
        _, low, high = mean_intervals(scores, ratio=ratio)
        return float(((low < truth) & (truth < high)).mean())

    assert coverage(0.0) < 0.75
    assert coverage(1 / 4) >= 0.93


@given(st.lists(st.floats(0.1, 1.0), min_size=3, max_size=8), st.floats(0.01, 1.0))
def test_values_that_are_the_same_have_no_interval(base: list[float], step: float) -> None:
    """However they are rounded."""
    one = np.array(base)
    mean, low, high = mean_intervals((one + step) - one)
    assert mean == pytest.approx(step)
    assert math.isnan(low)
    assert math.isnan(high)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=8))
def test_an_interval_ends_where_values_can_be_no_more(shares: list[float]) -> None:
    values = np.array(shares)
    mean, low, high = mean_intervals(values, within=(0, 1))
    free = mean_intervals(values)
    assert mean == free[0]
    if not math.isnan(low):
        assert (low, high) == (max(free[1], 0), min(free[2], 1))
    beyond = np.append(values, 1.5)
    assert np.array_equal(mean_intervals(beyond, within=(0, 1)), mean_intervals(beyond))


def test_rounding_is_no_difference() -> None:
    values = np.random.default_rng(1).random(8)
    again = values * 3 / 3 + np.resize([1e-16, -1e-16], 8)
    assert without_rounding(again - values, values).tolist() == [0.0] * 8
    assert without_rounding(np.array([1e-9]), values)[0] == pytest.approx(1e-9, rel=1e-2)
