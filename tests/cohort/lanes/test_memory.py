"""Arrays that begin at a cache line, and tables of where they lie."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secchi.cohort.lanes.memory import Table, aligned, pointers


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.sampled_from(["f4", "f8", "i4"]))
def test_arrays_begin_at_a_cache_line(shape: list[int], dtype: str) -> None:
    array = aligned(shape, dtype, 3.0)
    assert array.shape == tuple(shape)
    assert array.ctypes.data % 64 == 0 or not array.size
    assert array.flags.c_contiguous
    assert (array == 3).all()


def test_a_table_keeps_what_it_points_to() -> None:
    table = Table(("rows", "width"), {"width": 7})
    rows = aligned((4, 4), np.float32)
    kept, where = weakref.ref(rows), rows.ctypes.data
    table.put(rows=rows)
    del rows
    gc.collect()
    assert kept() is table.kept("rows")
    assert table.places.tolist() == [where, 7]
    assert table.address == table.places.ctypes.data


def test_a_table_has_no_other_names() -> None:
    with pytest.raises(ValueError, match="height"):
        Table(("rows", "width"), {"height": 1})


def test_pointers_say_where_arrays_lie() -> None:
    arrays = [aligned((2,), np.float64) for _ in range(3)]
    assert pointers(arrays).tolist() == [array.ctypes.data for array in arrays]
