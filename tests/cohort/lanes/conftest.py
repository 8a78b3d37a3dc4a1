"""Formulas of vectors as machine code, for the tests of the engine that is made of it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from secchi.cohort.lanes.compile import compiled, register_bytes
from secchi.cohort.lanes.language import Code, Number
from secchi.cohort.lanes.memory import aligned

Formula = Callable[..., Number]
Computed = Callable[..., dict[str, NDArray[Any]]]
REALS = {"float": np.float32, "double": np.float64}


@pytest.fixture(scope="session")
def computes() -> Callable[[Mapping[str, Formula], int, str], Computed]:
    return _computes


def _computes(formulas: Mapping[str, Formula], takes: int, real: str) -> Computed:
    """One function of all formulas, each of which takes so many numbers and gives one."""
    dtype = np.dtype(REALS[real])
    lanes = register_bytes() // dtype.itemsize
    code = Code(
        ir.Module("formulas"), "all", real, lanes, (takes + len(formulas), 1), exported=True
    )
    with code.loop(0, code.wholes[0]) as place:
        numbers = [code.load(pointer, place) for pointer in code.pointers[:takes]]
        for formula, pointer in zip(formulas.values(), code.pointers[takes:], strict=True):
            code.store(formula(*numbers), pointer, place)
    code.close()
    function = compiled(code.module, "all", takes + len(formulas) + 1)

    def compute(*inputs: Any) -> dict[str, NDArray[Any]]:
        flat = [np.asarray(each, dtype).ravel() for each in inputs]
        vectors = -(-len(flat[0]) // lanes)
        arrays = [aligned((vectors * lanes,), dtype) for _ in range(takes + len(formulas))]
        for array, values in zip(arrays, flat, strict=False):
            array[: len(values)] = values
        function(*(array.ctypes.data for array in arrays), vectors)
        return {
            name: array[: len(flat[0])].copy()
            for name, array in zip(formulas, arrays[takes:], strict=True)
        }

    return compute
