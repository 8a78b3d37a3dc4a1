"""Blocks of curves: every bit comes back, and what is damaged is noticed."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from secchi.cohort.curve import Curve
from secchi.experiments.storing.curve_block import packed, unpacked
from secchi.training.history import Outcome

NAMES = ("accuracy", "f1", "a name: \N{GREEK SMALL LETTER ALPHA}")


def curve_of(numbers: np.ndarray) -> Curve:
    train, valid, *metrics = numbers
    named = dict(zip(NAMES, metrics, strict=False))
    return Curve(train, valid, named, Outcome.COMPLETED, 7, None)


shapes = st.tuples(st.integers(2, 5), st.integers(0, 40))
patterns = shapes.flatmap(lambda shape: of_numpy.arrays(np.uint64, shape))
"""Any 64 bits are a float: infinities, numbers below the normal ones, every kind of NaN."""


@example(np.zeros((2, 0), np.uint64))
@example(np.full((3, 5), 0x7FF8_0000_0000_BEEF, np.uint64))
@given(patterns)
def test_every_bit_comes_back(bits: np.ndarray) -> None:
    curve = curve_of(bits.view(np.float64))
    train, valid, metrics = unpacked(packed(curve), list(curve.metrics))
    back = np.stack([train, valid, *metrics.values()])
    assert (back.view(np.uint64) == bits).all()
    assert back.dtype == np.float64
    assert list(metrics) == list(curve.metrics)


def test_numbers_that_are_not_side_by_side_come_back() -> None:
    every_other = np.arange(20.0).reshape(2, 10)[:, ::2]
    train, valid, _ = unpacked(packed(curve_of(every_other)), [])
    assert (train.tolist(), valid.tolist()) == ([0, 2, 4, 6, 8], [10, 12, 14, 16, 18])


def test_arrays_that_come_back_are_one_s_own() -> None:
    train, _, _ = unpacked(packed(curve_of(np.ones((2, 3)))), [])
    train[0] = 5.0
    assert train.tolist() == [5.0, 1.0, 1.0]


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"x" + b, lambda b: b""])
def test_a_block_that_is_not_whole_is_noticed(change: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(change(packed(curve_of(np.ones((3, 4))))), ["accuracy"])  # type: ignore[operator]


def test_a_block_of_other_metrics_is_noticed() -> None:
    with pytest.raises(ValueError, match=r"reshape"):
        unpacked(packed(curve_of(np.ones((3, 5)))), ["accuracy", "f1"])
