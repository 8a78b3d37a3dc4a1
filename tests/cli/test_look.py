"""``secchi look``: what it draws and says of an experiment, finished or not, and of other files."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from secchi.cohort.curve import Curve
from secchi.experiments.result import Result
from secchi.experiments.store import Store
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

RATES = (0.01, 0.1, 1.0)
REPEATS = 4


Secchi = Callable[..., Any]


def refused(done: Any, code: int = 1) -> str:
    """The error of a command with ``--json`` that failed as it should."""
    assert done.code == code, done
    assert list(done.document) == ["error"]
    message: str = done.document["error"]
    assert done.err == f"error: {message}\n"
    assert "did not foresee" not in message
    return message


def kept(
    path: Path, finished: int, outcome: Callable[[float], Outcome] = lambda lr: Outcome.COMPLETED
) -> Path:
    """A store of twelve trials, of which the first ones are finished.

    The best accuracy is that of the rate 0.1, the best loss that of 1.0.
    """
    trials = [Trial({"lr": lr}, repeat) for repeat in range(REPEATS) for lr in RATES]
    store = Store.open(path, {"name": "rates", "vary": {"lr": list(RATES)}}, "5f")
    store.add(trials)
    ended = []
    for number, trial in enumerate(trials[:finished]):
        lr = trial.setting["lr"]
        loss = np.array([1.0, 0.5]) - 0.3 * lr + 0.01 * number % 3
        accuracy = np.array([0.5, 0.9]) - abs(lr - 0.1) / 4 + 0.01 * trial.repeat
        curve = Curve(loss / 2, loss, {"accuracy": accuracy}, outcome(lr), 10, None)
        ended.append(Finished(trial, curve, None, 0.1))
    with store.working():
        store.claim(trial.key for trial in trials)
        store.finish(ended)
    return path


def test_the_figures_and_a_table_go_into_a_folder_beside_the_file(
    secchi: Secchi, tmp_path: Path
) -> None:
    path = kept(tmp_path / "my rates.sqlite", 12)
    before = path.read_bytes()
    path.chmod(0o400)
    done = secchi("look", path)
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "my rates-figures"
    lines = done.out.splitlines()
    assert lines[0] == "rates: 12 trials (3 settings x 4 repeats), none failed"
    assert lines[1] == "best of 3 settings: lr = 0.1"
    places = [line for line in lines if line.startswith(str(folder))]
    assert places[0] == str(folder / "final.csv")
    assert sorted(places[1:]) == sorted(str(file) for file in folder.glob("*.png"))
    assert "01_valid_accuracy_by_lr.png" in os.listdir(folder)
    for file in folder.glob("*.png"):
        with Image.open(file) as picture:
            assert picture.width > 300
    final = pd.read_csv(folder / "final.csv")
    store = Store.read(path)
    expected = Result(store.document, store.finished()).final
    assert final.pop("reason").isna().all()
    assert expected.pop("reason").isna().all()
    pd.testing.assert_frame_equal(final, expected, check_dtype=False)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["here", "my rates-figures", "my rates.sqlite"]


def test_one_document_and_everything_else_elsewhere(secchi: Secchi, tmp_path: Path) -> None:
    path = kept(tmp_path / "rates.sqlite", 12)
    done = secchi("look", path, "--out", "deep/figures", "--json")
    assert done.code == 0, done
    document = done.document
    keys = ["store", "trials", "finished", "earlier", "failed", "best", "final", "figures"]
    assert list(document) == keys
    assert (document["trials"], document["finished"], document["failed"]) == (12, 12, 0)
    assert document["store"] == str(path)
    assert document["best"]["measure"] == "valid_accuracy"
    assert document["best"]["setting"] == {"lr": 0.1}
    folder = Path("deep/figures").absolute()
    assert document["final"] == str(folder / "final.csv")
    assert {Path(file).parent for file in document["figures"]} == {folder}
    assert all(Path(file).is_file() for file in document["figures"])
    assert "best of 3 settings" in done.err


def test_another_measure_can_be_asked_for(secchi: Secchi, tmp_path: Path) -> None:
    path = kept(tmp_path / "rates.sqlite", 12)
    done = secchi("look", path, "--measure", "valid_loss")
    assert done.code == 0, done
    assert "best of 3 settings: lr = 0.1\nvalidation accuracy: " in done.out
    assert "best of 3 settings: lr = 1\nvalidation loss: " in done.out
    assert (tmp_path / "rates-figures" / "01_valid_loss_by_lr.png").is_file()
    same = secchi("look", path, "--measure", "valid_accuracy")
    assert same.out.count("best of 3 settings") == 1


def test_the_unfinished_is_told(secchi: Secchi, tmp_path: Path) -> None:
    path = kept(tmp_path / "rates.sqlite", 7)
    done = secchi("look", path)
    assert done.code == 0, done
    assert done.out.startswith("7 of 12 networks are finished; of those:\nrates: 7 trials")
    document = secchi("look", path, "--json").document
    assert (document["trials"], document["finished"]) == (12, 7)


def test_values_that_the_experiment_no_longer_has_are_left_out(
    secchi: Secchi, tmp_path: Path
) -> None:
    path = kept(tmp_path / "rates.sqlite", 12)
    assert "no longer has" not in secchi("look", path).out
    now = [Trial({"lr": lr}, repeat) for repeat in range(REPEATS) for lr in RATES[:2]]
    Store.open(path, {"name": "rates", "vary": {"lr": list(RATES[:2])}}, "5f").add(now)
    done = secchi("look", path)
    assert done.out.startswith("rates: 8 trials (2 settings x 4 repeats), none failed\n")
    assert "\n4 networks are of values that it no longer has; they stay in the file\n" in done.out
    document = secchi("look", path, "--json").document
    assert [document[key] for key in ("trials", "finished", "earlier")] == [8, 8, 4]


@pytest.mark.parametrize("finished", [1, 2])
def test_few_that_are_finished_are_drawn_too(secchi: Secchi, tmp_path: Path, finished: int) -> None:
    done = secchi("look", kept(tmp_path / "rates.sqlite", finished), "--json")
    assert done.code == 0, done
    assert done.document["figures"]


def test_failures_are_counted_and_drawn(secchi: Secchi, tmp_path: Path) -> None:
    def outcome(lr: float) -> Outcome:
        return Outcome.DIVERGED if lr == 1.0 else Outcome.COMPLETED

    document = secchi("look", kept(tmp_path / "some.sqlite", 12, outcome), "--json").document
    assert document["failed"] == 4
    assert any(file.endswith("_failures_by_lr.png") for file in document["figures"])
    every = kept(tmp_path / "all.sqlite", 12, lambda lr: Outcome.DIVERGED)
    done = secchi("look", every, "--json")
    assert (done.code, done.document["failed"], done.document["best"]) == (0, 12, None)
    assert "\nall 12 trials failed\n12 trials diverged: the loss or its gradient" in done.err
    assert [Path(file).name for file in done.document["figures"]] == ["01_failures_by_lr.png"]
    reasons = pd.read_csv(done.document["final"])["reason"]
    assert reasons.str.startswith("the loss or its gradient was no longer a number").all()


# ---------------------------------------------------------------- other files


def test_a_file_of_another_kind_is_told(secchi: Secchi, tmp_path: Path) -> None:
    text = tmp_path / "rates.toml"
    text.write_text("[vary]\nlr = [0.1, 0.2]\n")
    assert "rates.toml is no SQLite file; name the one" in refused(secchi("look", text, "--json"))
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE notes (words TEXT)")
    file.close()
    assert "no experiment of secchi" in refused(secchi("look", other, "--json"))
    cut = kept(tmp_path / "cut.sqlite", 12)
    cut.write_bytes(cut.read_bytes()[:9000])
    assert "is damaged" in refused(secchi("look", cut, "--json"))
    assert not list(tmp_path.glob("*-figures"))


def test_nothing_to_look_at_is_told(secchi: Secchi, tmp_path: Path) -> None:
    message = refused(secchi("look", tmp_path / "nowhere.sqlite", "--json"))
    assert "there is no experiment" in message
    assert "is a folder; name the file" in refused(secchi("look", tmp_path, "--json"))
    (tmp_path / "empty.sqlite").touch()
    assert "there is no experiment" in refused(secchi("look", tmp_path / "empty.sqlite", "--json"))
    begun = kept(tmp_path / "begun.sqlite", 0)
    message = refused(secchi("look", begun, "--json"))
    assert f"none of the 12 networks of {begun} is finished" in message
    assert f"'secchi vary SPEC.toml --store {begun}'" in message
    assert refused(secchi("look", "--json"), code=2).startswith("Missing argument")
    assert not list(tmp_path.glob("*-figures"))


def test_an_option_that_cannot_be_is_told_before_the_work(secchi: Secchi, tmp_path: Path) -> None:
    path = kept(tmp_path / "rates.sqlite", 12)
    message = refused(secchi("look", path, "--measure", "acuracy", "--json"))
    assert "none called 'acuracy'; did you mean valid_accuracy" in message
    message = refused(secchi("look", path, "--out", path, "--json"))
    assert f"{path} is a file" in message
    assert not list(tmp_path.glob("*-figures"))
