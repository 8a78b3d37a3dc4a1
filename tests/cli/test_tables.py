"""The command line on a table: train, predict, test, and what it says where it cannot."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def secchi(*arguments: object) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "secchi", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def write_iris(file: Path) -> Path:
    found = load_iris(as_frame=True)
    frame = found.frame.drop(columns="target")
    frame.assign(species=np.array(found.target_names)[found.target]).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables on the command line")


@pytest.fixture(scope="module")
def iris(place: Path) -> Path:
    return write_iris(place / "iris flowers.csv")


@pytest.fixture(scope="module")
def trained(iris: Path, place: Path) -> Done:
    options = ("--target", "species", "--test", "--epochs", 30, "--out", place / "runs")
    return secchi("train", iris, *options, "--json")


@pytest.fixture(scope="module")
def run(trained: Done) -> Path:
    assert trained.code == 0, trained
    return Path(trained.document["run"])


def test_train_prints_one_document_with_the_keys_that_pictures_have(
    trained: Done, run: Path
) -> None:
    document = trained.document
    assert set(document) == {"run", "classes", "train", "valid", "rows", "seconds"}
    assert document["classes"] == ["setosa", "versicolor", "virginica"]
    assert set(document["valid"]) == {"loss", "accuracy"}
    assert document["valid"]["accuracy"] > 0.8
    assert document["rows"] == {"train": 120, "valid": 15, "test": 15, "skipped": 0}
    assert "Traceback" not in trained.err
    assert "15 rows" in trained.err
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]


def test_a_number_is_judged_by_its_correlation(iris: Path, place: Path) -> None:
    options = ("--target", "petal width (cm)", "--epochs", 20, "--out", place / "numbers")
    done = secchi("train", iris, *options, "--json")
    assert done.code == 0, done
    assert set(done.document["valid"]) == {"loss", "r"}
    assert done.document["valid"]["r"] > 0.8


def test_every_knob_reaches_the_network(iris: Path, place: Path) -> None:
    done = secchi(
        *("train", iris, "--target", "sepal length (cm)", "--above", 5.8, "--drop", "species"),
        *("--hidden", "8,4", "--activation", "tanh", "--dropout", 0.1, "--batch-norm", "after"),
        *("--scale", "minmax", "--balanced", "--lr", 0.1, "--epochs", 2, "--set", "l1=0.01"),
        *("--set", "optimizer=sgd", "--valid-fraction", 0.3, "--metric", "auc", "--seed", 3),
        *("--out", place / "knobs"),
    )
    assert done.code == 0, done
    assert done.err == ""
    (made,) = (place / "knobs").iterdir()
    assert f"next: secchi predict '{made}' ROWS.csv" in done.out
    record = json.loads((made / "run.json").read_text())
    assert record["model"]["hidden"] == [8, 4]
    assert record["model"]["batch_norm"] == "after"
    assert record["transform"]["scale"] == "minmax"
    assert record["training"]["l1"] == 0.01
    assert record["training"]["lr"] == 0.1
    assert record["rows"]["valid"] == 45
    assert set(record["valid"]) == {"loss", "auc"}
    assert len(record["transform"]["columns"]) == 3


def test_the_second_run_starts_anew_and_a_killed_one_would_go_on(iris: Path, place: Path) -> None:
    options = ("--target", "species", "--epochs", 2, "--out", place / "again")
    for _ in range(2):
        assert secchi("train", iris, *options).code == 0
    assert len(list((place / "again").iterdir())) == 2


def test_predict_answers_line_by_line(run: Path, iris: Path, place: Path) -> None:
    done = secchi("predict", run, iris, "--json", "--out", place / "answers.csv")
    assert done.code == 0, done
    records = done.document["predictions"]
    assert len(records) == 150
    assert records[0]["line"] == 2
    assert records[0]["class"] == "setosa"
    assert sum(records[0]["probabilities"].values()) == pytest.approx(1)
    written = list(csv.DictReader((place / "answers.csv").read_text().splitlines()))
    assert [row["class"] for row in written] == [record["class"] for record in records]
    shown = secchi("predict", run, iris)
    assert shown.out.splitlines()[0].startswith("setosa ")
    assert "line 2" in shown.out.splitlines()[0]


def test_rows_with_other_columns_are_warned_about_or_refused(run: Path, place: Path) -> None:
    frame = pd.read_csv(write_iris(place / "other.csv"))
    frame.assign(extra=1).to_csv(place / "more.csv", index=False)
    more = secchi("predict", run, place / "more.csv")
    assert more.code == 0
    assert "warning: columns that were not there in training are not used: extra" in more.err
    frame.iloc[:, 1:].to_csv(place / "less.csv", index=False)
    less = secchi("predict", run, place / "less.csv", "--json")
    assert less.code == 1
    assert "'sepal length (cm)'" in less.document["error"]
    assert "Traceback" not in less.err


def test_the_sealed_rows_are_opened_with_a_reason_and_counted(run: Path) -> None:
    without = secchi("test", run)
    assert without.code == 2
    assert "--reason" in without.err
    first = secchi("test", run, "--reason", "the choices are made", "--json")
    assert first.code == 0, first
    result = first.document["test"]
    assert result["rows"] == 15
    assert result["report"]["looks"] == 1
    second = secchi("test", run, "--reason", "once more")
    assert second.out.startswith("test: loss ")
    assert "looked at twice, by 1 model" in second.out


def test_a_table_that_has_changed_is_not_the_one_that_was_sealed(place: Path) -> None:
    table = write_iris(place / "changing.csv")
    options = ("--target", "species", "--test", "--epochs", 1, "--out", place / "changing")
    run = secchi("train", table, *options, "--json").document["run"]
    table.write_text(table.read_text().replace("5.1", "5.2"))
    done = secchi("test", run, "--reason", "now", "--json")
    assert done.code == 1
    assert "have changed since" in done.document["error"]


@pytest.mark.parametrize(
    ("options", "code", "fault"),
    [
        ((), 1, "--target names the column to predict; there are: sepal length"),
        (("--target", "specie"), 1, "no column 'specie'; did you mean species"),
        (("--target", "species", "--size", 64), 1, "--size is for pictures"),
        (("--target", "species", "--hidden", "a,b"), 1, "not like 16,32"),
        (("--target", "species", "--activation", "rely"), 1, "did you mean relu"),
        (("--target", "species", "--above", 3), 1, "needs a target of numbers"),
        (("--target", "species", "--set", "loss=mse"), 1, "does not suit 'species'"),
        (("--target", "species", "--metric", "r2"), 1, "r2 needs a number"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(
    iris: Path, options: tuple[object, ...], code: int, fault: str
) -> None:
    done = secchi("train", iris, *options, "--json")
    assert done.code == code, done
    assert list(done.document) == ["error"]
    assert fault in done.document["error"]
    assert "Traceback" not in done.err
    assert not Path("runs").exists()


def test_options_of_tables_are_refused_for_pictures(tmp_path: Path) -> None:
    done = secchi("train", tmp_path, "--target", "species", "--json")
    assert done.code == 1
    assert "--target is for tables" in done.document["error"]
    nowhere = secchi("train", tmp_path / "no.csv", "--target", "species", "--json")
    assert "no such file" in nowhere.document["error"]
