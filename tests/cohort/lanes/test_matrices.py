"""Products of matrices of vectors, of every small shape."""

from collections.abc import Callable
from itertools import product as every
from typing import Any

import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from secchi.cohort.lanes.compile import compiled, register_bytes
from secchi.cohort.lanes.language import Code
from secchi.cohort.lanes.matrices import Rows, product
from secchi.cohort.lanes.memory import aligned

REALS = {"float": np.float32, "double": np.float64}
Array = NDArray[Any]


@pytest.fixture(scope="module", params=every(REALS, (False, True)))
def multiply(request: pytest.FixtureRequest) -> Callable[[Array, Array, Array], Array]:
    """(rows, terms, lanes), (columns, terms, lanes) and (rows, columns, lanes), which it begins
    with, to (rows, columns, lanes); with sums that wait in memory for more terms, and without."""
    real, wait = request.param
    dtype = np.dtype(REALS[real])
    lanes = register_bytes() // dtype.itemsize
    code = Code(ir.Module("product"), "multiply", real, lanes, (4, 3), exported=True)
    rows, columns, terms = code.wholes
    one, other, start, goal = (
        Rows(code, pointer, width)
        for pointer, width in zip(code.pointers, (terms, terms, columns, columns), strict=True)
    )
    waiting = goal.at if wait else None
    product(code, (rows, columns, terms), one.at, other.at, start.at, goal.put, waiting)
    code.close()
    function = compiled(code.module, "multiply", 7)

    def compute(one: Array, other: Array, start: Array) -> Array:
        made = aligned((*start.shape[:2], lanes), dtype, np.nan)
        arrays = [aligned((*each.shape[:2], lanes), dtype) for each in (one, other, start)]
        for array, values in zip(arrays, (one, other, start), strict=True):
            array[:] = values
        places = [array.ctypes.data for array in (*arrays, made)]
        function(*places, len(one), len(other), one.shape[1])
        return made

    return compute


def test_of_every_shape(multiply: Callable[[Array, Array, Array], Array]) -> None:
    random = np.random.default_rng(0)
    small = every(range(1, 10), range(1, 10), range(10))
    deep = every((1, 4, 13), (1, 4, 13), (31, 32, 33, 63, 64, 65, 96, 100, 127, 129))
    for rows, columns, terms in (*small, *deep):
        # Small whole numbers, whose sums are exact; other ones in every lane that there may be.
        one, other, start = (
            random.integers(-9, 9, shape).astype(float)[..., None]
            for shape in ((rows, terms), (columns, terms), (rows, columns))
        )
        expected = start[..., 0] + one[..., 0] @ other[..., 0].T
        made = multiply(one, other, start)
        np.testing.assert_array_equal(made, np.repeat(expected[..., None], made.shape[2], axis=2))


def test_lanes_do_not_meet_and_tiles_change_no_bit(
    multiply: Callable[[Array, Array, Array], Array],
) -> None:
    random = np.random.default_rng(1)
    lanes = multiply(*(np.zeros((1, 1, 1)),) * 3).shape[2]
    one, other, start = (random.normal(size=(13, size, lanes)) for size in (70, 70, 13))
    whole = multiply(one, other, start)
    np.testing.assert_allclose(
        whole, start + np.einsum("ikl,jkl->ijl", one, other), rtol=1e-4, atol=1e-5
    )
    for row, column in every(range(13), range(13)):
        by_itself = multiply(one[[row]], other[[column]], start[row, column][None, None])
        np.testing.assert_array_equal(by_itself[0, 0], whole[row, column])
