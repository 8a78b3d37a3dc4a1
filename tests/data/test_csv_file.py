"""Reading tables from CSV files, whatever program wrote them."""

import csv
import gzip
import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secchi.data import csv_dialect, csv_rows
from secchi.data.cells import MISSING
from secchi.data.csv_file import CsvTable, read_csv
from secchi.errors import DataError

from ..conftest import SHARED

Read = Callable[..., CsvTable]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a text, or bytes, to a file, and read it."""

    def read_text(content: str | bytes, **options: Any) -> CsvTable:
        file = tmp_path / "table.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_csv(file, **options)

    return read_text


def column(table: CsvTable, name: str) -> list[Any]:
    """The cells of a column, None where missing."""
    return [None if pd.isna(cell) else cell for cell in table.frame[name]]


# The plain table


def test_a_plain_table_is_read_with_its_types_and_lines(read: Read) -> None:
    table = read("a,b\n1,x\n2.5,y\n")
    assert table.frame["a"].dtype == np.float64
    assert isinstance(table.frame["b"].dtype, pd.CategoricalDtype)
    assert table.frame["b"].cat.categories.tolist() == ["x", "y"]
    assert column(table, "a") == [1.0, 2.5]
    assert column(table, "b") == ["x", "y"]
    assert table.frame.index.tolist() == [0, 1]
    assert table.lines.tolist() == [2, 3]
    assert table.lines.dtype == np.int64
    assert (table.separator, table.encoding) == (",", "utf-8")
    assert table.notes == ()
    assert table.skipped == ()


def test_the_path_is_absolute(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    assert read_csv("t.csv").path == str(tmp_path / "t.csv")


@pytest.mark.parametrize(("colour", "rows"), [("red", 1599), ("white", 4898)])
def test_the_wines_are_read_as_pandas_reads_them(colour: str, rows: int) -> None:
    file = SHARED / "wine" / f"winequality-{colour}.csv"
    if not file.is_file():
        pytest.skip("the wines are not on this machine")
    table = read_csv(file)
    plain = pd.read_csv(file, sep=";")
    assert table.separator == ";"
    assert table.frame.shape == (rows, 12)
    assert list(table.frame) == list(plain)
    np.testing.assert_array_equal(table.frame.to_numpy(), plain.to_numpy(np.float64))
    assert table.lines.tolist() == list(range(2, rows + 2))
    assert table.notes == ()


def test_a_table_of_scikit_learn_goes_out_and_comes_back(tmp_path: Path) -> None:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_csv(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(table.frame, frame.astype(np.float64), check_column_type=False)


# Separators


@pytest.mark.parametrize("sep", [",", ";", "\t", "|", " "])
def test_the_separator_is_detected(read: Read, sep: str) -> None:
    table = read(f"a{sep}b{sep}c\n1{sep}2{sep}3\n4{sep}5{sep}6\n")
    assert table.separator == sep
    assert table.frame.to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("text", "sep"),
    [
        ('id;text\n1;"one, two"\n2;"three, four"\n', ";"),
        ('id,text\n1,"a;b;c"\n2,"d;e;f"\n', ","),
        ("Temperature, C;Pressure, kPa\n20,5;101,3\n21,0;99,8\n", ";"),
        ("a;b\n3,14;2,71\n1,41;1,73\n", ";"),
        ("when,value\n2020-01-01 10:00,3\n2020-01-02 11:00,4\n", ","),
        ("name|places\nx|1,2,3\ny|1,2\nz|1\n", "|"),
        ('a,b\n1,"2\n3;4;5"\n6,7\n', ","),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n9,9,9\n", ","),
    ],
)
def test_the_separator_is_found_among_others(read: Read, text: str, sep: str) -> None:
    assert read(text).separator == sep


@pytest.mark.parametrize(
    "text",
    [
        "value\n1\n2\n",
        "value\n3,14\n2,71\n",
        "two words\nJohn Smith\nJane Doe\n",
        "review\nwell, good\nfine; cheap, quick\n",
    ],
)
def test_one_column_stays_one(read: Read, text: str) -> None:
    table = read(text)
    assert table.frame.shape == (2, 1)
    assert table.skipped == ()


def test_blank_lines_in_one_column_are_nothing(read: Read) -> None:
    table = read("a\n1\n\n2\n  \n3\n")
    assert table.lines.tolist() == [2, 4, 6]
    assert table.skipped == ()


def test_any_number_of_blanks_separates(read: Read) -> None:
    table = read("  a   b  \n  1.0  2\n 3    4  \n")
    assert table.separator == " "
    assert table.frame.to_numpy().tolist() == [[1, 2], [3, 4]]


def test_a_separator_that_leaves_one_column_is_refused_with_the_better_one(read: Read) -> None:
    with pytest.raises(DataError, match=r"sep is ',', which leaves .* one column; ';' gives 3"):
        read("a;b;c\n1;2;3\n", sep=",")


@pytest.mark.parametrize("sep", ["", "::", r"\s+", '"', "\n", 5, True, [","]])
def test_what_cannot_separate_is_refused(read: Read, sep: Any) -> None:
    with pytest.raises(DataError, match="has to be one character"):
        read("a,b\n1,2\n", sep=sep)


def test_a_tab_can_be_written_as_on_a_command_line(read: Read) -> None:
    assert read("a\tb c\n1\t2\n", sep=r"\t").separator == "\t"


def test_any_character_can_be_given(read: Read) -> None:
    assert read("a:b\n1:2\n", sep=":").frame.to_numpy().tolist() == [[1, 2]]


# Encodings


@pytest.mark.parametrize(
    ("written", "named"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("cp1252", "cp1252")],
)
def test_the_encoding_is_detected(read: Read, written: str, named: str) -> None:
    table = read("größe;Art\n1;süß\n2;€\n".encode(written))
    assert table.encoding == named
    assert list(table.frame) == ["größe", "Art"]
    assert column(table, "Art") == ["süß", "€"]
    assert bool(table.notes) == (written == "cp1252")
    if table.notes:
        assert table.notes[0].startswith("the file is not UTF-8 and was read as Windows-1252")


def test_utf16_of_the_other_byte_order_is_read(read: Read) -> None:
    table = read("\ufeffa,b\n1,é\n".encode("utf-16-be"))
    assert column(table, "b") == ["é"]


def test_a_fault_far_into_the_file_still_decides(read: Read) -> None:
    text = b"a,b\n" + b"1,plain\n" * 50_000 + "2,süß\n".encode("cp1252")
    table = read(text)
    assert table.encoding == "cp1252"
    assert column(table, "b")[-1] == "süß"


def test_an_encoding_can_be_given(read: Read) -> None:
    assert column(read("a,b\n1,日本\n".encode("shift_jis"), encoding="shift_jis"), "b") == ["日本"]
    assert column(read("a,b\n1,é\n".encode("utf-16-le"), encoding="utf-16-le"), "b") == ["é"]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("utf-8", "is not utf-8: .*byte 0xfc"), ("utf8x", "which Python does not know")],
)
def test_a_wrong_encoding_is_refused(read: Read, encoding: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read("a,b\n1,süß\n".encode("cp1252"), encoding=encoding)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("utf-8", "utf-8-sig"),
        ("UTF8", "utf-8-sig"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16-le", "utf-16"),
        ("utf-16", "utf-16"),
    ],
)
def test_a_mark_is_taken_off_where_the_encoding_is_given(
    read: Read, given: str, written: str
) -> None:
    table = read("quality,pH\n5,3\n6,4\n".encode(written), encoding=given)
    assert list(table.frame) == ["quality", "pH"]


@pytest.mark.parametrize("encoding", ["rot13", "hex", "zlib", "undefined", 5])
def test_an_encoding_of_other_things_than_text_is_refused(read: Read, encoding: Any) -> None:
    with pytest.raises(DataError, match="which Python does not know as one of text"):
        read("a,b\n1,2\n", encoding=encoding)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("sep", [";", ",", "\t", "~"])
@pytest.mark.parametrize("line", ["sep={}", "SEP={}", '"sep={}"'])
def test_a_first_line_of_excel_names_the_separator(
    read: Read, line: str, sep: str, end: str
) -> None:
    rows = [line.format(sep), "", f"a{sep}b", f"1{sep}2", f'"x{sep}y"{sep}3', f"4{sep}5"]
    table = read(end.join(rows) + end)
    assert table.separator == sep
    assert list(table.frame) == ["a", "b"]
    assert table.frame["b"].tolist() == [2, 3, 5]
    assert table.lines.tolist() == [4, 5, 6]


def test_a_separator_that_is_given_goes_before_that_of_the_first_line(read: Read) -> None:
    assert read("sep=,\na;b\n1;2\n", sep=";").separator == ";"
    with pytest.raises(DataError, match=r"the first line names is ',', which leaves .* one column"):
        read("sep=,\na;b\n1;2\n3;4\n")
    with pytest.raises(DataError, match="nothing but blanks"):
        read("sep=;\n")
    with pytest.raises(DataError, match="in line 2 of"):
        read('sep=;\n"' + "a;b\n" * 40_000)
    assert list(read("sep=5;b\n1;2\n3;4\n").frame) == ["sep=5", "b"]


def test_what_is_neither_asks_for_the_encoding(read: Read) -> None:
    with pytest.raises(DataError, match="neither UTF-8 nor Windows-1252; encoding says"):
        read(b"a,b\n1,\x81\x8d\n")


# Numbers, texts and what is missing


@pytest.mark.parametrize("missing", sorted(MISSING))
def test_every_word_for_a_missing_value_counts_as_one(read: Read, missing: str) -> None:
    table = read(f"a,b\n1,x\n{missing},{missing} \n3,y\n{missing},z\n")
    assert column(table, "a") == [1, 3, None]
    assert column(table, "b") == ["x", "y", "z"]
    assert table.skipped == (("no value in any column", 1),)
    assert table.lines.tolist() == [2, 4, 5]


def test_a_quoted_empty_cell_is_missing(read: Read) -> None:
    assert column(read('a,b\n"",x\n1,""\n'), "a") == [None, 1]


@pytest.mark.parametrize("infinite", ["inf", "-inf", "Infinity", "1e400", " inf"])
def test_infinite_numbers_become_missing_and_are_told(read: Read, infinite: str) -> None:
    table = read(f"a\n1\n{infinite}\n3\n")
    assert column(table, "a") == [1, None, 3]
    assert table.notes == (
        "infinite numbers count as missing: 1 of 3 values in 'a', such as the one in line 3",
    )


@pytest.mark.parametrize("blocks", [1, 10])
def test_text_in_a_column_of_numbers_becomes_missing_and_is_told(
    read: Read, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", 40 // blocks)
    numbers = [str(number) for number in range(18)]
    table = read("a\n" + "\n".join([*numbers[:7], "low", *numbers[7:], "high"]) + "\n")
    expected = [float(n) for n in numbers]
    assert column(table, "a") == [*expected[:7], None, *expected[7:], None]
    assert table.notes == (
        "text among numbers counts as missing: 2 of 20 values in 'a', such as 'low' (line 9)",
    )


@pytest.mark.parametrize("block", [8, 1 << 20])
def test_with_less_than_nine_in_ten_numbers_a_column_is_text_as_written(
    read: Read, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    cells = ["01", "1", "1.0", "2", "3", "4", "5", "6", "low", "high", "TRUE"]
    table = read("a\n" + "\n".join(cells) + "\n")
    assert column(table, "a") == cells
    assert table.notes == ()


@pytest.mark.parametrize(("numbers", "kind"), [(8, "category"), (9, "float64")])
def test_nine_in_ten_values_have_to_be_numbers_missing_ones_aside(
    read: Read, numbers: int, kind: str
) -> None:
    table = read("a;b\n" + "1;0\n" * numbers + ";0\n" * 30 + "low;0\n")
    assert table.frame["a"].dtype == kind


def test_what_looks_like_a_number_to_python_alone_is_text(read: Read) -> None:
    assert column(read("a,b\n1_000,x\n2_000,y\n"), "a") == ["1_000", "2_000"]


def test_true_and_false_are_texts(read: Read) -> None:
    table = read("a,b\ntrue,True\nfalse,False\n,NA\nfalse,True\n")
    assert column(table, "a") == ["true", "false", "false"]
    assert column(table, "b") == ["True", "False", "True"]


def test_blanks_around_cells_and_names_are_nothing(read: Read) -> None:
    table = read('a , b,c\n 1, x ,2\n3 ,x, 4\n5, "x" ,6\n')
    assert list(table.frame) == ["a", "b", "c"]
    assert column(table, "a") == [1, 3, 5]
    assert column(table, "b") == ["x", "x", "x"]


def test_decimal_commas_are_numbers_where_no_comma_separates(read: Read) -> None:
    table = read("a;b\n3,14;1\n-2,5e3;x\n7;y\n,5;z\n")
    assert column(table, "a") == [3.14, -2500, 7, 0.5]
    assert table.notes == ("'a' is read with decimal commas, such as '3,14' (line 2)",)


@pytest.mark.parametrize("block", [8, 1 << 20])
def test_a_column_with_points_has_no_decimal_commas(
    read: Read, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    rows = [f"{number}.5;1" for number in range(10)]
    table = read("a;b\n" + "\n".join([*rows, "1,234;1"]) + "\n")
    assert column(table, "a")[-1] is None
    assert table.notes == (
        "text among numbers counts as missing: 1 of 11 values in 'a', such as '1,234' (line 12)",
    )


@pytest.mark.parametrize("cell", ["1,234", "$5", "12 %", "1'000.50"])
def test_dressed_numbers_are_text_and_told(read: Read, cell: str) -> None:
    table = read(f'a,b\n"{cell}",1\n"{cell}",2\n')
    assert column(table, "a") == [cell, cell]
    assert table.notes[0].startswith(f"'a' is text, such as {cell!r} (line 2); without thousands")


def test_a_column_without_values_is_one_of_numbers_and_told(read: Read) -> None:
    table = read("a,b\n1,\n2,NA\n")
    assert table.frame["b"].dtype == np.float64
    assert column(table, "b") == [None, None]
    assert table.notes == ("'b' has no value in any row",)


def test_notes_of_one_kind_are_cut_short(read: Read) -> None:
    table = read("a,b,c,d,e\n1,inf,inf,inf,inf\n")
    assert len(table.notes) == 4
    assert table.notes[-1] == "more columns with infinite numbers: 1"


# Dates


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["2026-11-30", "2026-12-01"], "2026-11-30"),
        (["2026-11-30T12:30:00Z", "2026-12-01T00:00:00+01:00"], "2026-11-30T12:30"),
        (["2026-11-30 12:30", "2026-12-01 01:02"], "2026-11-30T12:30"),
        (["2026/11/30", "2026/12/01"], "2026-11-30"),
        (["30.11.2026", "1.12.2026"], "2026-11-30"),
        (["30/11/2026", "01/12/2026"], "2026-11-30"),
        (["11/30/2026 1:05 PM", "12/01/2026 2:00 AM"], "2026-11-30T13:05"),
        (["11/30/26", "12/1/26"], "2026-11-30"),
        (["30 Nov 2026", "1 Dec 2026"], "2026-11-30"),
        (["November 30, 2026", "December 1, 2026"], "2026-11-30"),
        (["2026-11", "2026-12"], "2026-11-01"),
    ],
)
def test_dates_are_recognised(read: Read, cells: list[str], first: str) -> None:
    table = read("when;n\n" + "".join(f"{cell};1\n" for cell in cells) + ";1\n")
    when = table.frame["when"]
    assert when.dtype.kind == "M"
    assert when[0] == pd.Timestamp(first)
    assert when.isna().tolist() == [False, False, True]
    assert table.notes[0].startswith(
        f"'when' holds dates: {cells[0]!r} (line 2) is read as 2026-11"
    )


@pytest.mark.parametrize(
    "cells", [["20261130", "20261201"], ["2026", "2027"], ["1.2", "3.4"], ["1e5", "2e6"]]
)
def test_numbers_are_never_dates(read: Read, cells: list[str]) -> None:
    assert column(read("a\n" + "\n".join(cells) + "\n"), "a") == [float(cell) for cell in cells]


@pytest.mark.parametrize(
    "cells", [["1.2.3", "1.10.2"], ["12:30", "13:45"], ["192.168.0.1", "10.0.0.1"], ["1-2", "3-4"]]
)
def test_what_is_only_like_a_date_is_text(read: Read, cells: list[str]) -> None:
    assert column(read("a;b\n" + "".join(f"{cell};1\n" for cell in cells)), "a") == cells


def test_text_among_dates_is_missing_and_told(read: Read) -> None:
    days = [f"2026-01-{day:02}" for day in range(1, 12)]
    table = read("a\n" + "\n".join([*days, "soon"]) + "\n")
    assert table.frame["a"].isna().sum() == 1
    assert table.notes[1] == (
        "text among dates counts as missing: 1 of 12 values in 'a', such as 'soon' (line 13)"
    )


# The header


def test_two_columns_of_one_name_are_refused(read: Read) -> None:
    with pytest.raises(DataError, match="names several columns 'a', 'b c'; give each"):
        read("a,b c,a , b c,d\n1,2,3,4,5\n")


@pytest.mark.parametrize("first", ["1,2,3", "5.1,3.5,Iris-setosa", "1,,3", "-1e5"])
def test_a_file_without_names_is_refused(read: Read, first: str) -> None:
    with pytest.raises(DataError, match="holds numbers where the columns' names should stand"):
        read(f"{first}\n{first}\n")


def test_names_that_are_numbers_are_told(read: Read) -> None:
    table = read("country,2019,2020\nA,1,2\n")
    assert list(table.frame) == ["country", "2019", "2020"]
    assert table.notes[0].startswith("numbers stand among the columns' names ('2019', '2020')")


def test_a_column_without_a_name_is_called_by_its_number(read: Read) -> None:
    table = read(",b,\n1,2,3\n4,5,6\n")
    assert list(table.frame) == ["column 1", "b", "column 3"]
    assert table.notes == (
        "the header leaves columns without a name; they are called column 1, column 3",
    )


@pytest.mark.parametrize(
    "text",
    [
        "a,b,\n1,x,\n2,y,\n",
        "a,b\n1,x,\n2,y,,\n",
        "a,b,\n1,x\n2,y\n",
        "\n \na,b\n1,x\n2,y\n",
    ],
)
def test_empty_fields_and_lines_at_the_ends_are_nothing(read: Read, text: str) -> None:
    table = read(text)
    assert list(table.frame) == ["a", "b"]
    assert column(table, "a") == [1, 2]
    assert column(table, "b") == ["x", "y"]
    assert table.notes == ()
    assert table.skipped == ()


# Rows that do not fit, line ends, quotes


@pytest.mark.parametrize("block", [8, 1 << 20])
def test_ragged_rows_are_left_out_and_told(
    read: Read, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    table = read("a,b\n1,x\n2\n3,y\n4,z,5\n,\n6,w\n7\n")
    assert column(table, "a") == [1, 3, 6]
    assert column(table, "b") == ["x", "y", "w"]
    assert table.lines.tolist() == [2, 4, 7]
    assert dict(table.skipped) == {
        "fewer fields than the header": 2,
        "more fields than the header": 1,
        "no value in any column": 1,
    }
    assert table.notes == (
        "rows left out because they have fewer fields than the header: 2 (line 3, 8)",
        "rows left out because they have more fields than the header: 1 (line 5)",
        "rows left out because they have no value in any column: 1 (line 6)",
    )


@pytest.mark.parametrize(
    ("text", "sep", "cause"),
    [
        ("a,b,c\n1;2;3\n4;5;6\n", None, "mostly 1 .*',' is not the separator"),
        ("a,b\nx,1,2\ny,3,4\nz,5,6\n", None, "3 of 3 rows .*mostly 3 .*the header lacks a name"),
        ("Report, 2026\na;b;c\n1;2;3\n", None, "or the first line is not the header"),
    ],
)
def test_mostly_ragged_rows_are_refused_with_the_likely_cause(
    read: Read, text: str, sep: str | None, cause: str
) -> None:
    with pytest.raises(DataError, match=cause):
        read(text, sep=sep)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(read: Read, ends: str) -> None:
    table = read(f"a,b{ends}1,x{ends}2,y{ends}{ends}{ends}")
    assert column(table, "a") == [1, 2]
    assert column(table, "b") == ["x", "y"]
    assert table.lines.tolist() == [2, 3]


@pytest.mark.parametrize("block", [4, 1 << 20])
def test_mixed_line_ends_and_blank_lines_keep_the_count(
    read: Read, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    table = read("a,b\r\n1,x\n2,y\r\r\n \n3,z\r\n4,w")
    assert column(table, "a") == [1, 2, 3, 4]
    assert table.lines.tolist() == [2, 3, 6, 7]
    assert table.skipped == ()


@pytest.mark.parametrize("block", [4, 1 << 20])
def test_quoted_fields_hold_line_ends_separators_and_quotes(
    read: Read, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", block)
    table = read('a,b\n1,"x\ny, ""z"""\n2,"p\r\n\r\nq"\n3,5" pipe\n')
    assert column(table, "a") == [1, 2, 3]
    assert column(table, "b") == ['x\ny, "z"', "p\r\n\r\nq", '5" pipe']
    assert table.lines.tolist() == [2, 4, 7]


@pytest.mark.parametrize("length", [10, 200_000])
def test_a_quotation_mark_that_is_never_closed_is_refused_with_its_line(
    read: Read, length: int
) -> None:
    with pytest.raises(DataError, match=r"in line 3 of .* a quotation mark is not closed"):
        read('a,b\n1,x\n2,"open\n' + "3,y\n" * length)


def test_duplicated_rows_are_kept(read: Read) -> None:
    assert len(read("a,b\n1,x\n1,x\n1,x\n").frame) == 3


def test_one_row_is_a_table(read: Read) -> None:
    assert read("a,b\n1,x").frame.shape == (1, 2)


@pytest.mark.parametrize("text", ["a,b\n", "a,b", "a,b\n,\nNA,?\n", 'a,"b\n1,2\n'])
def test_a_header_alone_is_refused(read: Read, text: str) -> None:
    with pytest.raises(DataError, match="has a header and no row with a value"):
        read(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; a table has a line of names"),
        (b"\xef\xbb\xbf", "holds nothing but blanks"),
        (b"\n \n\n", "holds nothing but blanks"),
        (b",,\n,\n", "holds nothing but blanks"),
        (b"a,b\n1,\0\n", "holds NUL characters"),
        ("a,b\n1,2\n".encode("utf-16-le"), "encoding='utf-16-le'"),
        (gzip.compress(b"a,b\n1,2\n"), "compressed with gzip; unpack it first"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is no CSV file but a picture"),
        (b"%PDF-1.7\n", "is no CSV file but a PDF"),
        (b"<!DOCTYPE HTML>\n<html>", "but a web page; download the file itself"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet of an old kind; save the sheet"),
    ],
)
def test_what_is_no_table_is_refused_by_what_it_is(
    read: Read, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


def test_a_spreadsheet_is_refused_by_what_it_is(read: Read) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(DataError, match="a spreadsheet or a zip archive; save the sheet as CSV"):
        read(archive.getvalue())


def test_a_file_that_is_one_endless_line_is_refused(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_dialect, "LONGEST_LINE", 1000)
    with pytest.raises(DataError, match="goes on for 1,000 bytes without a line end"):
        read("a" * 2001)


def test_a_file_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "wine.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"no such file: .*wines\.csv; did you mean wine\.csv"):
        read_csv(tmp_path / "wines.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_csv(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "t.csv").chmod(0)
    with pytest.raises(DataError, match="no permission to read"):
        read_csv(tmp_path / "t.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is no ordinary file"):
        read_csv(tmp_path / "pipe")


def test_a_file_that_grows_while_it_is_read_is_refused(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = csv_rows.CsvRows.blocks

    def grown(rows: csv_rows.CsvRows, texts: list[int] | None = None) -> Any:
        if texts is not None:
            with open(tmp_path / "table.csv", "a") as file:
                file.write("3,z\n")
        return blocks(rows, texts)

    monkeypatch.setattr(csv_rows.CsvRows, "blocks", grown)
    with pytest.raises(DataError, match="changed while it was read; read it again"):
        read("a,b\n1,x\n2,y\n")


# Large tables


def test_ten_thousand_columns_are_read(read: Read) -> None:
    numbers = np.random.default_rng(0).normal(size=(20, 10_000))
    names = ",".join(f"c{number}" for number in range(10_000))
    table = read(names + "\n" + "\n".join(",".join(map(repr, row)) for row in numbers.tolist()))
    np.testing.assert_array_equal(table.frame.to_numpy(), numbers)


def test_memory_is_bounded_by_the_numbers_and_a_block(tmp_path: Path) -> None:
    rows, columns = 100_000, 12
    line = ",".join(["0.1234567890123"] * columns) + "\n"
    with open(tmp_path / "t.csv", "w") as file:
        file.write(",".join(f"c{number}" for number in range(columns)) + "\n")
        for _ in range(rows):
            file.write(line)
    read_csv(tmp_path / "t.csv")
    tracemalloc.start()
    table = read_csv(tmp_path / "t.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.frame.shape == (rows, columns)
    assert peak < 16 * rows * columns + 60e6


# What any program writes comes back

_names = st.lists(st.from_regex(r"[a-z][a-z0-9 ]{0,8}[a-z]", fullmatch=True), unique=True)
_texts = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
    .map(str.strip)
    .filter(lambda text: text not in MISSING)
)
_numbers = st.floats(allow_nan=False, allow_infinity=False)


_NO_ENDS = str.maketrans("\r\n", "__")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Names, and columns of numbers or of texts that begin with a letter, or of missing values."""
    names = draw(_names.filter(bool))
    rows = draw(st.integers(1, 12))
    columns = []
    for _ in names:
        cells = _numbers if draw(st.booleans()) else _texts.map(lambda text: "t" + text)
        columns.append(draw(st.lists(st.none() | cells, min_size=rows, max_size=rows)))
    return names, columns


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    table=tables(),
    sep=st.sampled_from(",;\t|"),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    block=st.sampled_from([1, 50, 1 << 20]),
)
def test_what_is_written_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], list[list[Any]]],
    sep: str,
    ends: str,
    quoting: Any,
    encoding: str,
    block: int,
) -> None:
    names, columns = table
    if quoting == csv.QUOTE_MINIMAL and ends != "\r\n":  # only the line end itself is quoted then
        columns = [
            [c.translate(_NO_ENDS) if isinstance(c, str) else c for c in column_]
            for column_ in columns
        ]
    file = tmp_path_factory.mktemp("t") / "t.csv"
    with open(file, "w", encoding=encoding, newline="") as opened:
        writer = csv.writer(opened, delimiter=sep, lineterminator=ends, quoting=quoting)
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
    rows = [row for row in zip(*columns, strict=True) if any(cell is not None for cell in row)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_BLOCK", block)
        if not rows:
            with pytest.raises(DataError, match="no row with a value"):
                read_csv(file, sep=sep)
            return
        back = read_csv(file, sep=sep)
    assert list(back.frame) == names
    assert [tuple(column(back, name)[i] for name in names) for i in range(len(rows))] == rows


@settings(max_examples=100, deadline=None)
@given(
    columns=st.integers(2, 6),
    rows=st.integers(2, 20),
    sep=st.sampled_from(",;\t|"),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_separator_of_numbers_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, columns: int, rows: int, sep: str, seed: int
) -> None:
    numbers = np.random.default_rng(seed).normal(size=(rows, columns)).round(3)
    frame = pd.DataFrame(numbers, columns=[f"the {name}" for name in range(columns)])
    file = tmp_path_factory.mktemp("t") / "t.csv"
    frame.to_csv(file, sep=sep, decimal="." if sep == "," else ",", index=False)
    back = read_csv(file)
    assert back.separator == sep
    np.testing.assert_array_equal(back.frame.to_numpy(), numbers)
