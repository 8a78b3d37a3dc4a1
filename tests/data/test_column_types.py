"""A person's own frame, typed like a file."""

import datetime
import decimal
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.data.cells import MISSING
from secchi.data.column_types import typed_frame
from secchi.data.csv_file import read_csv
from secchi.errors import DataError


def typed(values: Any) -> "pd.Series[Any]":
    """One column, typed."""
    return typed_frame(pd.DataFrame({"a": values}))[0]["a"]


def cells(column: "pd.Series[Any]") -> list[Any]:
    return [None if pd.isna(cell) else cell for cell in column]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2, 3], np.int8),
        np.array([1, 2, 3], np.uint64),
        np.array([1, 2, 3], np.float32),
        pd.array([1, 2, 3], dtype="Int64"),
        pd.array([1, 2, 3], dtype="Float32"),
        pd.arrays.SparseArray([1.0, 2.0, 3.0]),
        np.array([1, 2.0, decimal.Decimal(3)], dtype=object),
        ["1", " 2 ", "3e0"],
        pd.array(["1", "2", "3"], dtype="string"),
        pd.to_timedelta([1, 2, 3], unit="s"),
    ],
)
def test_numbers_of_every_kind_become_float64(values: Any) -> None:
    column = typed(values)
    assert column.dtype == np.float64
    assert column.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [
        [1.0, None, 3.0],
        pd.array([1, None, 3], dtype="Int64"),
        np.array([1, None, 3], dtype=object),
        np.array([1, pd.NA, 3], dtype=object),
        ["1", "?", "3"],
        [1.0, np.inf, 3.0],
    ],
)
def test_missing_numbers_become_nan(values: Any) -> None:
    assert cells(typed(values)) == [1, None, 3]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([True, False, True], ["True", "False", "True"]),
        (pd.array([True, None, False], dtype="boolean"), ["True", None, "False"]),
        (np.array([True, None, False], dtype=object), ["True", None, "False"]),
        (["x", None, "y"], ["x", None, "y"]),
        (pd.array(["x", None, "y"], dtype="string"), ["x", None, "y"]),
        (np.array([b"x", None, b"y"], dtype=object), ["x", None, "y"]),
        (np.array([b"\xff", b"y"], dtype=object), ["\udcff", "y"]),
        (pd.Categorical(["b", None, "a"], categories=["b", "a", "c"]), ["b", None, "a"]),
        (pd.Categorical([10, 9, None]), ["10", "9", None]),
        (np.array([1, "x", "y"], dtype=object), ["1", "x", "y"]),
        (["3,14", "2,71", "1,41"], ["3,14", "2,71", "1,41"]),
    ],
)
def test_all_else_becomes_categories_of_text(values: Any, texts: list[str | None]) -> None:
    column = typed(values)
    assert isinstance(column.dtype, pd.CategoricalDtype)
    assert cells(column) == texts
    assert column.cat.categories.tolist() == sorted({text for text in texts if text})
    assert all(type(name) is str for name in column.cat.categories)


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(["2026-11-30", None]),
        pd.to_datetime(["2026-11-30", None]).tz_localize("UTC"),
        pd.PeriodIndex(["2026-11-30", None], freq="D"),
        np.array([datetime.date(2026, 11, 30), None], dtype=object),
        ["2026-11-30", None],
    ],
)
def test_dates_become_dates(values: Any) -> None:
    column = typed(values)
    assert column.dtype == np.dtype("<M8[us]")
    assert column[0] == pd.Timestamp("2026-11-30")
    assert pd.isna(column[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3]], r"column 'a' holds list, such as '\[1, 2\]'"),
        ([1j, 2j], "column 'a' holds complex numbers"),
    ],
)
def test_what_is_no_value_is_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        typed(values)


def test_the_frame_is_not_changed_and_its_index_is_put_in_order() -> None:
    frame = pd.DataFrame({0: [1.0, np.inf], "b": ["x", "?"]}, index=[7, 7])
    before = frame.copy()
    back, notes = typed_frame(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert back.index.tolist() == [0, 1]
    assert list(back) == ["0", "b"]
    assert notes == (
        "infinite numbers count as missing: 1 of 2 values in '0', such as the one in row 1",
    )


def test_numbers_alone_are_not_changed_either() -> None:
    frame = pd.DataFrame(np.array([[1.0, np.inf], [2.0, 3.0]]))
    assert np.isnan(typed_frame(frame)[0].iloc[0, 1])
    assert frame.iloc[0, 1] == np.inf


def test_rows_without_values_stay() -> None:
    back, _ = typed_frame(pd.DataFrame({"a": [1.0, None, 2.0], "b": ["x", None, "y"]}))
    assert len(back) == 3


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=[1])]
)
def test_a_frame_without_cells_comes_back(frame: pd.DataFrame) -> None:
    assert typed_frame(frame)[0].shape == frame.shape


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="several columns are called '1'; rename"):
        typed_frame(pd.DataFrame([[1, 2]], columns=[1, "1"]))


@settings(max_examples=60, deadline=None)
@given(
    columns=st.lists(
        st.lists(
            st.none()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.sampled_from(["x", "y z", "2026-01-02", "1e3", "7", "?", "inf"]),
            min_size=10,
            max_size=10,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_frame_is_typed_as_the_file_of_it(
    tmp_path_factory: pytest.TempPathFactory, columns: list[list[Any]]
) -> None:
    names = [f"c{number}" for number in range(len(columns))]
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)), dtype=object)
    frame["last"] = 1.0  # so that no row is left out of the file
    file = tmp_path_factory.mktemp("t") / "t.csv"
    frame.map(lambda cell: repr(cell) if isinstance(cell, float) else cell).to_csv(
        file, index=False
    )
    pd.testing.assert_frame_equal(
        typed_frame(frame)[0], read_csv(file, sep=",").frame, check_column_type=False
    )


def test_the_words_for_missing_are_stated_stripped() -> None:
    assert all(word == word.strip() for word in MISSING)


def test_ranges_of_pandas_and_categories_of_anything_are_categories_of_their_texts() -> None:
    depths = pd.Series([1.0, 2.0, None, 9.0])
    found = typed(pd.cut(depths, [0, 3, 10]))
    assert cells(found) == ["(0, 3]", "(0, 3]", None, "(3, 10]"]
    assert cells(typed(pd.qcut(depths, 2))) == [str(one) for one in pd.qcut(depths, 2)][:2] + [
        None,
        "(2.0, 9.0]",
    ]
    assert cells(typed(pd.Series(pd.arrays.IntervalArray.from_breaks([0, 1, 2])))) == [
        "(0, 1]",
        "(1, 2]",
    ]
    places = pd.Categorical.from_codes([0, 1, -1], [PurePosixPath("/a"), PurePosixPath("/b")])
    assert cells(typed(places)) == ["/a", "/b", None]
    with pytest.raises(DataError, match="column 'a' holds tuple"):
        typed([(1, 2), (3, 4)])
