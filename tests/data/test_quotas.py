"""Shares in whole rows."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secchi.data.quotas import apportioned


@given(st.lists(st.integers(2, 50), min_size=1, max_size=40), st.floats(0.02, 0.5), st.randoms())
def test_each_label_is_rounded_up_or_down_and_the_sum_to_the_nearest(
    sizes: list[int], share: float, random: np.random.Generator
) -> None:
    rows, ranks = np.array(sizes), list(range(len(sizes)))
    random.shuffle(ranks)
    given_rows = apportioned(rows, share, rows - 1, np.array(ranks))
    exact = np.round(share * rows, 9)
    assert (np.floor(exact) <= given_rows).all()
    assert (given_rows <= np.ceil(exact)).all()
    assert given_rows.sum() == max(1, math.floor(exact.sum() + 0.5))


def test_the_label_that_was_rounded_down_by_most_is_the_first_to_gain() -> None:
    rows = np.array([13, 18, 12])  # a tenth is 1.3, 1.8 and 1.2
    assert apportioned(rows, 0.1, rows - 1, np.array([0, 1, 2])).tolist() == [1, 2, 1]


def test_no_label_gives_more_than_it_can() -> None:
    rows = np.array([10, 2, 1])
    given_rows = apportioned(rows, 0.9, np.array([9, 1, 0]), np.array([0, 1, 2]))
    assert given_rows.tolist() == [9, 1, 0]


def test_a_tenth_of_thirty_is_three() -> None:
    # 0.1 x 30 is 3.0000000000000004 in floating point, 0.29 x 100 is 28.999999999999996.
    rows, rank = np.array([30, 5]), np.array([0, 1])
    assert apportioned(rows, 0.1, rows - 1, rank).tolist() == [3, 1]
    assert apportioned(np.array([100, 100]), 0.29, rows + 50, rank).tolist() == [29, 29]


def test_nothing_is_a_share_of_nothing() -> None:
    assert apportioned(np.array([5]), 0.0, np.array([4]), np.array([0])).tolist() == [0]
