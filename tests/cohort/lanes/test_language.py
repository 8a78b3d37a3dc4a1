"""Arithmetic, loops and functions of the language, against numpy and scipy."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from numpy.typing import NDArray
from scipy import special

from secchi.cohort.lanes import language
from secchi.cohort.lanes.compile import compiled
from secchi.cohort.lanes.language import Code, Number

REALS = {"float": np.float32, "double": np.float64}
WIDER: Mapping[str, Any] = {"float": np.float64, "double": np.longdouble}

FUNCTIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "erf": lambda x: special.erf(x.astype(np.float64)),
}

NEAR_ZERO = {"log": 1, "tanh": 2, "erf": 1}
"""Functions that are right near 0 in what is added to 1, and not in digits of their own: how far
they may be off there, in units of the last place of 1."""

Computes = Callable[..., Callable[..., dict[str, NDArray[Any]]]]


@pytest.fixture(scope="module")
def functions(computes: Computes) -> Any:
    """The functions as machine code, by what numbers are."""
    formulas = {name: getattr(language, name) for name in FUNCTIONS}
    return cache(lambda real: computes(formulas, 1, real))


def numbers(real: str, **options: Any) -> st.SearchStrategy[list[float]]:
    width = 32 if real == "float" else 64
    near = st.floats(-20, 20, width=width)  # any float at all is hardly ever near 0
    return st.lists(st.floats(width=width, **options) | near, min_size=1, max_size=40)


@pytest.mark.parametrize("real", REALS)
def test_functions_are_right_to_the_last_digits(real: str, functions: Any) -> None:
    dtype, limits = REALS[real], np.finfo(REALS[real])
    special_ones = [0.0, -0.0, math.inf, -math.inf, math.nan, limits.tiny, limits.max, limits.min]

    @settings(max_examples=150, deadline=None)
    @given(numbers(real))
    def check(values: list[float]) -> None:
        x = np.array([*values, *special_ones], dtype)
        made = functions(real)(x)
        for name, function in FUNCTIONS.items():
            of, ours = _domain(name, x), made[name]
            with np.errstate(all="ignore"):
                truth = function(x.astype(WIDER[real])).astype(dtype)
            if name == "exp":  # its last numbers before infinity and before 0 are these already
                of &= ~((x > math.log(limits.max) - 0.1) & np.isfinite(truth))
            # Others are 0 a little above the smallest normal number.
            least = limits.eps * NEAR_ZERO[name] if name in NEAR_ZERO else 3 * limits.tiny
            np.testing.assert_allclose(ours[of], truth[of], 4 * limits.eps, least, err_msg=name)

    check()


def _domain(name: str, x: NDArray[Any]) -> NDArray[np.bool_]:
    """What a function is for: a logarithm of normal numbers, the other one from 0 on."""
    tiny = np.finfo(x.dtype).tiny
    return ~(x < {"log": tiny, "log1p": 0.0}.get(name, -math.inf)) & ~((name == "log") & (x == 0))


OPERATIONS: dict[str, tuple[Callable[..., Number], Callable[..., Any]]] = {
    "a + b": (lambda a, b: a + b, lambda a, b: a + b),
    "a - b": (lambda a, b: a - b, lambda a, b: a - b),
    "a * b": (lambda a, b: a * b, lambda a, b: a * b),
    "a / b": (lambda a, b: a / b, lambda a, b: a / b),
    "-a": (lambda a, b: -a, lambda a, b: -a),
    "plain numbers before": (lambda a, b: 3.0 - (2.0 + 0.5 * a), lambda a, b: 3 - (2 + a / 2)),
    "plain numbers behind": (lambda a, b: (a - 3.0) / 4.0, lambda a, b: (a - 3) / 4),
    "1 / a": (lambda a, b: 1.0 / a, lambda a, b: 1 / a),
    "sqrt": (lambda a, b: a.sqrt(), lambda a, b: np.sqrt(a)),
    "abs": (lambda a, b: a.abs(), lambda a, b: np.abs(a)),
    "signed_as": (lambda a, b: a.signed_as(b), np.copysign),
    "at_most": (lambda a, b: a.at_most(b), lambda a, b: np.where(a > b, b, a)),
    "at_least": (lambda a, b: a.at_least(b), lambda a, b: np.where(a < b, b, a)),
    "<": (lambda a, b: (a < b).choose(a, 0.0), lambda a, b: np.where(a < b, a, 0)),
    "<=": (lambda a, b: (a <= b).choose(a, 0.0), lambda a, b: np.where(a <= b, a, 0)),
    ">": (lambda a, b: (a > b).choose(1.0, b), lambda a, b: np.where(a > b, 1, b)),
    ">=": (lambda a, b: (a >= b).choose(1.0, b), lambda a, b: np.where(a >= b, 1, b)),
    "equals": (lambda a, b: a.equals(b).choose(a, 7.0), lambda a, b: np.where(a == b, a, 7)),
    "and": (
        lambda a, b: ((a > 0.0) & (b > 0.0)).choose(a, 0.0),
        lambda a, b: np.where((a > 0) & (b > 0), a, 0),
    ),
    "or, not": (
        lambda a, b: ((a > 0.0) | ~(b > 0.0)).choose(a, 0.0),
        lambda a, b: np.where((a > 0) | ~(b > 0), a, 0),
    ),
    "finite": (lambda a, b: a.finite().choose(b, 5.0), lambda a, b: np.where(np.isfinite(a), b, 5)),
    "wide, narrow": (
        lambda a, b: (a.wide() * b.wide() - 1.0).narrow(),
        lambda a, b: (a.astype(float) * b.astype(float) - 1).astype(a.dtype),
    ),
}


@pytest.mark.parametrize("real", REALS)
def test_arithmetic_is_that_of_numpy_to_the_bit(real: str, computes: Computes) -> None:
    compute = computes({name: ours for name, (ours, _) in OPERATIONS.items()}, 2, real)

    @settings(max_examples=100, deadline=None)
    @given(numbers(real), numbers(real))
    def check(ones: list[float], others: list[float]) -> None:
        a, b = (np.array(each, REALS[real]).repeat(2) for each in (ones, others))
        count = min(len(a), len(b))
        a, b = a[:count], b[:count]
        b[::3] = a[::3]
        made = compute(a, b)
        for name, (_, theirs) in OPERATIONS.items():
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(made[name], theirs(a, b), err_msg=name)

    check()


def test_times_plus_rounds_once(computes: Computes) -> None:
    compute = computes({"once": lambda a, b: a.times_plus(b, -1.0)}, 2, "float")
    a = np.float32(1 + 2**-12)
    assert compute([a], [a])["once"][0] == np.float32(float(a) * float(a) - 1)
    assert compute([a], [a])["once"][0] != a * a - np.float32(1)


@pytest.mark.parametrize("step", [1, 4])
def test_a_loop_goes_on_as_long_as_a_whole_step_is_left(step: int) -> None:
    code = Code(ir.Module("loop"), "visit", "float", 4, (1, 2), exported=True)
    (seen,), (start, stop) = code.pointers, code.wholes
    with code.loop(start, stop, step) as place, code.loop(0, place):
        code.put_one((code.index(seen, place) + 1).value, seen, place)
    code.close()
    visit = compiled(code.module, "visit", 3)
    for first in range(1, 8):
        for behind in range(14):
            seen_by = np.zeros(16, np.int64)
            visit(seen_by.ctypes.data, first, behind)
            expected = np.zeros(16, np.int64)
            expected[list(range(first, behind - step + 1, step))] += 1
            # Once a turn of the loop inside, which has as many as the place says.
            np.testing.assert_array_equal(seen_by, expected * np.arange(16))


@settings(max_examples=20, deadline=None)
@given(st.integers(-9, 9), st.integers(1, 9))
def test_whole_numbers_are_counted_when_code_is_written_or_when_it_runs(a: int, b: int) -> None:
    code = Code(ir.Module("whole"), "count", "float", 4, (1, 2), exported=True)
    (made,), given_ones = code.pointers, code.wholes
    both = [(code.whole(a), code.whole(b)), tuple(given_ones)]
    place = 0
    for one, other in both:
        for value in (one + other, one - other, one * other, 2 * one + 1, one.at_most(other)):
            code.put_one(value.value, made, place)
            place += 1
        with code.when(one.is_more(other)):
            code.put_one(code.whole(1).value, made, place)
        place += 1
    code.close()
    counted = np.zeros(12, np.int64)
    compiled(code.module, "count", 3)(counted.ctypes.data, a, b)
    assert counted.tolist() == 2 * [a + b, a - b, a * b, 2 * a + 1, min(a, b), int(a > b)]
