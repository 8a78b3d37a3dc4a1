"""Lists of values, ranges, and what is refused of them."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.errors import SpecError
from secchi.experiments.factor_values import (
    Range,
    integers,
    linspace,
    log_uniform,
    logspace,
    powers_of_two,
    uniform,
)

SOME = settings(deadline=None, max_examples=40)
"""Beside other work, a draw can take long."""

RANGES = st.sampled_from([uniform(-1, 3), log_uniform(1e-4, 10), integers(-2, 40)])


@SOME
@given(st.integers(-50, 50), st.integers(1, 50), st.integers(2, 40))
def test_linspace_is_numpy_s_but_for_rounding(low: int, span: int, number: int) -> None:
    low_end, high_end = low / 10, (low + span) / 10
    values = linspace(low_end, high_end, number)
    assert (values[0], values[-1], len(values)) == (low_end, high_end, number)
    np.testing.assert_allclose(values, np.linspace(low_end, high_end, number), atol=1e-13)
    assert values == sorted(set(values))


@SOME
@given(st.floats(1e-9, 1e6), st.floats(1.01, 1e6), st.integers(2, 40))
def test_logspace_is_numpy_s_but_for_rounding(low: float, ratio: float, number: int) -> None:
    values = logspace(low, low * ratio, number)
    assert (values[0], values[-1], len(values)) == (low, low * ratio, number)
    np.testing.assert_allclose(values, np.geomspace(low, low * ratio, number), rtol=1e-13)


def test_lists_hold_the_numbers_that_a_person_would_write() -> None:
    assert linspace(-2, 2, 21)[6:15] == [-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8]
    assert logspace(1e-3, 1, 4) == [0.001, 0.01, 0.1, 1.0]
    assert powers_of_two(1, 128) == [1, 2, 4, 8, 16, 32, 64, 128]
    assert powers_of_two(5, 9) == [8]


@pytest.mark.parametrize(
    ("make", "wrong", "words"),
    [
        (linspace, (0, math.inf, 1), ["high is inf", "number is 1"]),
        (linspace, (1, 1, 3), ["low is 1, which is not below high"]),
        (logspace, (0, 1, 3), ["low is 0, which is not a number above 0"]),
        (logspace, ("a", 1, None), ["low is 'a'", "number is None"]),
        (uniform, (2, 1), ["low is 2, which is not below high, 1"]),
        (log_uniform, (-1, 1), ["low is -1, which is not a number above 0"]),
        (integers, (1.5, 3), ["1.5 is no whole number"]),
        (powers_of_two, (0, 2.5), ["0 is not a whole number", "2.5 is not"]),
        (powers_of_two, (5, 7), ["none from 5 to 7"]),
    ],
)
def test_ends_that_cannot_be(make: Any, wrong: tuple[Any, ...], words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        make(*wrong)
    assert len(caught.value.faults) == len(words)
    for fault, word in zip(caught.value.faults, words, strict=True):
        assert word in fault


@SOME
@given(RANGES, st.floats(0, 1, exclude_max=True))
def test_a_place_in_a_range_is_in_it(span: Range, share: float) -> None:
    value = span.at(share)
    assert span.low <= value <= span.high
    assert type(value) is (int if span.kind == "integers" else float)
