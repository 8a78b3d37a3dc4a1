"""The ledger of looks at test sets, and what a result says with it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from secchi.data import looks, vault
from secchi.data.optimism import optimism
from secchi.data.row_keys import Keys, row_keys
from secchi.data.vault import Ledger
from secchi.errors import DataError


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data" / "ledger.sqlite"
    monkeypatch.setenv("SECCHI_LEDGER", str(path))
    return path


@pytest.fixture(scope="module")
def wine() -> Keys:
    data = sklearn.datasets.load_wine()
    return row_keys(dict(zip(data.feature_names, data.data.T, strict=True)))


def of_rows(first: int, last: int) -> looks.TestSet:
    return looks.TestSet.of(np.arange(first, last, dtype=np.uint64))


def look(test: looks.TestSet, *models: str, value: float | None = 0.8) -> None:
    ledger = Ledger()
    opening = ledger.note_opening(test, "to compare")
    for model in models:
        ledger.note_result(test, opening, model=model, name=model, metric="accuracy", value=value)


def report(test: looks.TestSet, standard_error: float = 0.02) -> vault.TestReport:
    return vault.TestReport.of(Ledger().looks(test), standard_error=standard_error)


def test_a_result_belongs_to_its_opening_and_the_same_model_counts_once(wine: Keys) -> None:
    test = looks.TestSet.of(wine[:60])
    ledger = Ledger()
    opening = ledger.note_opening(test, "the choices are made")
    for model in ("5f", "77", "5f"):
        ledger.note_result(test, opening, model=model, name="", metric="accuracy", value=0.9)
    lines = ledger.looks(test).here
    assert [line.opening for line in lines] == [None, opening.id, opening.id, opening.id]
    assert lines[0] == opening
    assert {line.reason for line in lines} == {"the choices are made"}
    counted = report(test)
    assert (counted.openings, counted.looks, counted.models) == (1, 3, 2)
    assert counted.names == ("5f", "77")


NEW_PROCESS = """
import sys
import numpy as np
from secchi.data.looks import TestSet
from secchi.data.vault import Ledger, TestReport
keys = np.load(sys.argv[1])
print(TestReport.of(Ledger().looks(TestSet.of(keys))).looks)
heavy = {"torch", "pandas", "sklearn", "scipy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_it_is_the_same_test_set_in_a_new_process_another_order_and_a_copy(
    wine: Keys, tmp_path: Path
) -> None:
    look(looks.TestSet.of(wine), "a", "b")
    np.save(tmp_path / "renamed.npy", np.concatenate([wine, wine])[::-1])
    run = [sys.executable, "-c", NEW_PROCESS, str(tmp_path / "renamed.npy")]
    said = subprocess.run(run, capture_output=True, text=True, check=True)
    assert said.stdout == "2\n"


def test_looks_at_test_sets_that_share_rows_are_found(wine: Keys) -> None:
    grown, before, apart = (
        looks.TestSet.of(wine[rows]) for rows in (slice(0, 100), slice(0, 80), slice(120, 170))
    )
    look(before, "a", "b", "c")
    look(apart, "d")
    assert Ledger().looks(grown).here == ()
    (other,) = report(grown).others
    assert (other.test, other.rows, other.shared) == (before.fingerprint, 80, 80)
    assert (other.openings, other.looks, other.models) == (1, 3, 3)
    assert other.optimism == pytest.approx(optimism(3, 0.02) * 80 / math.sqrt(80 * 100))


def test_choosing_on_rows_that_are_shared_brings_what_is_said() -> None:
    random = np.random.default_rng(0)
    trials, models, shared = 20_000, 6, 60
    # Of 100 rows here and 80 on another test set, 60 are in both; each row's error is normal.
    both, here, there = (
        random.normal(size=(trials, models)) * math.sqrt(rows) for rows in (shared, 40, 20)
    )
    chosen = (both + there).argmax(axis=1)
    brings = ((both + here) / 100)[np.arange(trials), chosen]
    look(of_rows(0, 80), *"abcdef")
    (other,) = report(of_rows(20, 120), standard_error=1 / math.sqrt(100)).others
    assert other.shared == shared
    assert other.optimism == pytest.approx(brings.mean(), abs=4 * brings.std() / math.sqrt(trials))


def test_an_opening_of_another_test_set_and_one_without_a_reason_are_refused() -> None:
    ledger, test = Ledger(), of_rows(0, 5)
    with pytest.raises(DataError, match="needs a reason"):
        ledger.note_opening(test, " ")
    with pytest.raises(DataError, match="needs a reason"):
        ledger.note_opening(test, None)  # type: ignore[arg-type]
    opening = ledger.note_opening(test, "why")
    with pytest.raises(DataError, match="note an opening of this one first"):
        ledger.note_result(of_rows(0, 6), opening, model="a", name="a", metric="accuracy", value=1)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, np.float32(0.5), 1])
def test_any_value_of_a_result_is_kept(value: float | None) -> None:
    test = of_rows(0, 5)
    look(test, "a", value=value)
    kept = Ledger().looks(test).here[1].value
    assert kept == (value if value in (0.5, 1) else None)


# ---------------------------------------------------------------- where the file lies


def test_the_file_lies_where_it_is_told(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Ledger().path == path
    assert Ledger(tmp_path / "own").path == tmp_path / "own"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Ledger("~/mine").path == tmp_path / "mine"
    monkeypatch.setenv("SECCHI_LEDGER", "")
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "of" / name)
    assert Ledger().path == tmp_path / "of" / "secchi" / "test-ledger.sqlite"
    assert not path.parent.exists()


def test_where_it_cannot_be_written_looks_count_in_this_process_and_it_is_said(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.parent.write_text("a file where the folder should be")
    assert Ledger().trouble is None
    look(of_rows(0, 10), "a", "b")
    look(of_rows(5, 15), "c")
    assert Ledger().trouble is not None
    told = report(of_rows(0, 10))
    assert (told.openings, told.looks, told.models) == (1, 2, 2)
    assert [(o.shared, o.models) for o in told.others] == [(5, 1)]
    (remark,) = told.remarks
    assert remark.startswith("not counted beyond this process: 5 lines of the test ledger")
    assert str(path) in remark
    assert remark in str(told)
    # Once it can be written again, new looks are, and the earlier ones still count.
    os.remove(path.parent)
    look(of_rows(0, 10), "d")
    assert path.exists()
    assert report(of_rows(0, 10)).names == ("d", "a", "b")


def test_where_it_cannot_be_read_it_is_said(path: Path) -> None:
    path.mkdir(parents=True)
    told = report(of_rows(0, 10))
    assert told.looks == 0
    assert str(told).startswith("this test set is untouched, as far as is known\nearlier looks are")


def test_a_damaged_ledger_is_an_error_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a ledger")
    for call in (lambda: look(of_rows(0, 5)), lambda: Ledger().looks(of_rows(0, 5))):
        with pytest.raises(DataError, match="damaged"):
            call()
    assert path.read_text() == "not a ledger"


# ---------------------------------------------------------------- what is said


def test_the_report_in_words() -> None:
    test = of_rows(0, 320)
    assert str(report(test)) == "this test set is untouched, as far as is known"
    look(test)
    assert str(report(test)) == "this test set was opened once, without a result"
    look(test, "16")
    assert str(report(test)) == "this test set was opened twice and looked at once, by 1 model (16)"
    look(test, "16", "16-32", "forest", "16-32")
    look(of_rows(30, 330), "x", "y", "z")
    look(of_rows(310, 330))
    assert str(report(test)).splitlines() == [
        "this test set was opened 3 times and looked at 5 times, by 3 models (16, 16-32, forest)",
        "by luck alone the best of 3 on 320 different rows shows up to about 0.017 more accuracy "
        "than it has",
        "another, with 290 of these 320 rows in it, was opened once and looked at 3 times, by 3 "
        "models; chosen there, the best shows up to about 0.016 more accuracy than it has",
        "another, with 10 of these 320 rows in it, was opened once, without a result",
        "the best of all 6 models on all these test sets shows up to about 0.025 more accuracy "
        "than it has",
    ]


def test_many_models_and_other_test_sets_are_told_in_short() -> None:
    test = of_rows(0, 100)
    look(test, *"abcdefg")
    for last in range(95, 100):
        look(of_rows(0, last), "a")
    lines = str(report(test)).splitlines()
    assert "by 7 models (a, b, c, d, e and 2 more)" in lines[0]
    assert "with 99 of these 100 rows in it" in lines[2]
    assert lines[-1] == "and 2 more share rows with it"


def test_choosing_the_luckiest_of_many_splits_is_told() -> None:
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(1600)[:320]
        look(looks.TestSet.of(rows.astype(np.uint64)), f"seed {seed}")
    told = report(looks.TestSet.of(rows.astype(np.uint64)))
    assert (told.models, told.optimism) == (1, 0)
    assert (told.models_in_all, told.optimism_in_all) == (20, optimism(20, 0.02))
    assert str(told).splitlines()[-2:] == [
        "and 16 more share rows with it",
        "the best of all 20 models on all these test sets shows up to about 0.037 more accuracy "
        "than it has",
    ]


def test_a_loss_is_less_than_it_is_and_some_luck_cannot_be_said() -> None:
    test = of_rows(0, 100)
    look(test, "a", "b")
    seen = Ledger().looks(test)
    loss = vault.TestReport.of(seen, "loss", 10.0, lower_is_better=True)
    assert loss.optimism == -optimism(2, 10.0)
    assert str(loss).endswith("shows up to about 5.6 less loss than it has")
    for unknown in (math.nan, 0.0):
        told = vault.TestReport.of(seen, standard_error=unknown)
        assert told.optimism is None
        assert str(told).endswith("how much luck helps the best of 2 cannot be said here")


def test_the_report_as_json() -> None:
    test = of_rows(0, 100)
    look(test, "a", "b")
    look(of_rows(50, 120), "c")
    document = json.loads(json.dumps(report(test).to_dict(), allow_nan=False))
    assert document["models"] == 2
    assert document["optimism"] == optimism(2, 0.02)
    assert document["others"][0]["shared"] == 50
