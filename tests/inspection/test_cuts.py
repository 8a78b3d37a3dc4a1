"""Cutting a table: the texts of the pieces, and finding their rows again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secchi.errors import DataError
from secchi.inspection.cuts import Condition, cut


def names(values: list[float], bins: int = 4) -> list[str]:
    return [str(one) for (one,) in cut("x", pd.Series(values), bins).pieces[:-1]]


def test_whole_edges_are_printed_whole() -> None:
    years = [20240101.0, 20240102.0, 20240103.0, 20240104.0]
    assert names(years, 2) == ["x ≤ 20240102", "x > 20240102"]
    assert names([-1.0, -0.0, 1.0]) == ["x ≤ -1", "-1 < x ≤ 0", "x > 0"]
    assert names([1e20, 2e20, 3e20], 2)[0] == "x ≤ 2e+20"


def test_edges_have_as_many_digits_as_tell_them_apart() -> None:
    near = [0.12345671, 0.12345672, 0.12345673]
    assert names(near) == [
        "x ≤ 0.12345671",
        "0.12345671 < x ≤ 0.12345672",
        "x > 0.12345672",
    ]
    assert names([1 / 3, 2 / 3, 1.0]) == ["x ≤ 0.333333", "0.333333 < x ≤ 0.666667", "x > 0.666667"]
    assert names([2.99999999, 3.0, 4.0])[1] == "2.99999999 < x ≤ 3"


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=30), st.integers(2, 8))
def test_no_two_pieces_are_called_alike(values: list[float], bins: int) -> None:
    found = names(values, bins)
    assert len(set(found)) == len(found)
    assert not any("-0 " in f"{name} " for name in found)


@pytest.mark.parametrize("name", [0, 2.5, ("a", 1), "depth"])
def test_the_rows_are_found_in_a_table_whose_names_are_no_texts(name: object) -> None:
    column = pd.Series([1.0, 2.0, 3.0, None])
    frame = pd.DataFrame({"other": [0.0] * 4})
    frame.insert(1, name, column)
    pieces = cut(str(name), column, 2)
    for place, (condition,) in enumerate(pieces.pieces):
        np.testing.assert_array_equal(condition.where(frame), pieces.codes == place)


def test_a_column_that_is_not_there_is_told() -> None:
    with pytest.raises(DataError, match="no column is called 'dept'; did you mean depth"):
        Condition("dept", above=1.0).where(pd.DataFrame({"depth": [1.0]}))
