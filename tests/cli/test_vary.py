"""``secchi vary``: what it prints, what it keeps, and what it says of files that are wrong."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

from secchi.cli import vary
from secchi.errors import SecchiError
from secchi.experiments import run as run_module
from secchi.experiments.spec_file import read_spec
from secchi.experiments.store import Store

SPEC = """
[data]
csv = "tables/iris flowers.csv"
target = "species"

[model]
hidden = [4]

[training]
optimizer = "sgd"
epochs = 5

[vary]
lr = [0.01, 0.1, 1e6]
activation = ["leaky_relu", "prelu"]

[experiment]
repeats = 2
"""
KEYS = ["trials", "computed", "failed", "alone", "seconds", "best", "store"]


Secchi = Callable[..., Any]


def refused(done: Any, code: int = 1) -> str:
    """The error of a command with ``--json`` that failed as it should."""
    assert done.code == code, done
    assert list(done.document) == ["error"]
    message: str = done.document["error"]
    assert done.err.endswith(f"error: {message}\n")
    assert "Traceback" not in done.err
    assert "did not foresee" not in message
    return message


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """An experiment on iris, which is named from the folder of the file."""
    (tmp_path / "specs" / "tables").mkdir(parents=True)
    found = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    found.to_csv(tmp_path / "specs" / "tables" / "iris flowers.csv", index=False)
    return written(tmp_path / "specs" / "rates.toml", SPEC)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An experiment that takes a moment, on made-up rows."""
    text = SPEC[SPEC.index("[model]") :].replace('"leaky_relu", "prelu"', '"leaky_relu"')
    return written(tmp_path / "small.toml", f'[data]\nmade = "line"\nrows = 20\n{text}')


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    return written(path, text.replace(old, new))


# ---------------------------------------------------------------- what it prints


def test_one_document_and_everything_else_elsewhere(secchi: Secchi, spec: Path) -> None:
    done = secchi("vary", spec, "--store", "kept/rates.sqlite", "--json")
    assert done.code == 0, done
    document = done.document
    assert list(document) == KEYS
    assert document["trials"] == document["computed"] == 12
    assert document["failed"] == 4
    assert document["alone"] == 6
    assert 0 < document["seconds"] < 60
    assert document["store"] == str(Path("kept/rates.sqlite").absolute())
    best = document["best"]
    assert best["measure"] == "valid_accuracy"
    assert best["setting"]["lr"] != 1e6
    assert best["among"] == 4
    assert {"mean", "low", "high", "next", "ties", "real", "corrected", "optimism"} <= set(best)
    first, *_ = done.err.splitlines()
    assert first == "12 networks: 6 settings, 2 repeats"
    assert "6 alone: its activation, prelu, " in done.err
    assert "estimated: " in done.err


def test_only_what_is_new_is_trained(secchi: Secchi, small: Path) -> None:
    command = ("vary", small, "--store", "rates.sqlite", "--json")
    first = secchi(*command).document
    assert (first["computed"], first["alone"]) == (6, 0)
    again = secchi(*command)
    assert again.document["computed"] == 0
    assert f"6 of them are finished in {Path('rates.sqlite').absolute()}\n" in again.err
    assert again.err.count("finished") == 1
    assert "nothing is left to train\n" in again.err
    changed(small, "repeats = 2", "repeats = 3")
    changed(small, "1e6]", "1e6, 0.2]")
    more = secchi(*command)
    assert (more.document["trials"], more.document["computed"]) == (12, 6)
    changed(small, ", 0.2]", "]")
    less = secchi(*command)
    assert (less.document["trials"], less.document["computed"]) == (9, 0)


def test_a_person_reads_the_plan_and_then_what_is_best(secchi: Secchi, small: Path) -> None:
    done = secchi("vary", small, "--store", "my rates.sqlite")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "6 networks: 3 settings, 2 repeats"
    assert [line.split(":")[0] for line in lines[1:3]] == ["to predict", "held fixed"]
    assert lines[5].startswith("estimated: ")
    assert lines[6].startswith("line: 6 trials (3 settings ")
    assert "2 of 6 trials failed, at lr = 1e+06 (100%)" in lines
    assert any(line.startswith("best of 2 settings: lr = ") for line in lines)
    assert "nothing can be said about noise" in done.out
    assert re.fullmatch(r"6 networks trained, \d+\.\d s in all", lines[-2])
    assert lines[-1] == f"next: secchi look '{Path('my rates.sqlite').absolute()}'"
    again = secchi("vary", small, "--store", "my rates.sqlite")
    assert "\nno networks trained, " in again.out


def test_without_a_store_nothing_is_written(secchi: Secchi, small: Path) -> None:
    done = secchi("vary", small, "--jobs", 1)
    assert done.code == 0, done
    assert "next:" not in done.out
    assert "an interruption" not in done.out
    assert os.listdir() == []
    assert secchi("vary", small, "--json").document["store"] is None


def test_a_long_run_without_a_store_is_warned_of(
    secchi: Secchi, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vary, "_WITHOUT_STORE_SECONDS", 0.0)
    line = "an interruption would lose all of it; --store small.sqlite would keep it\n"
    assert line in secchi("vary", small).out
    assert line not in secchi("vary", small, "--store", "small.sqlite").out


def test_a_plan_trains_nothing(
    secchi: Secchi, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "run", None)
    done = secchi("vary", small, "--plan", "--store", "rates.sqlite")
    assert done.code == 0, done
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "6 networks",
        "to predict",
        "held fixed",
        f"none of them is finished in {Path('rates.sqlite').absolute()}",
        "6 in step",
        "estimated",
    ]
    document = secchi("vary", small, "--plan", "--json").document
    assert (document["trials"], document["settings"], document["repeats"]) == (6, 3, 2)
    assert [each["networks"] for each in document["cohorts"]] == [6]
    assert os.listdir() == []


def test_where_every_network_failed_none_is_best(secchi: Secchi, small: Path) -> None:
    changed(small, "[0.01, 0.1, 1e6]", "[1e5, 1e6]")
    document = secchi("vary", small, "--json").document
    assert (document["failed"], document["best"]) == (4, None)
    done = secchi("vary", small)
    assert done.code == 0
    assert "all 4 trials failed" in done.out


# ---------------------------------------------------------------- help


def test_help_is_quick_and_has_json() -> None:
    heavy = {"torch", "numpy", "pandas", "sklearn", "matplotlib", "llvmlite"}
    for command in ("vary", "look"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "secchi", command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0
        assert "--json" in done.stdout
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert f"secchi.cli.{command}" in imported
        assert not imported & heavy


def test_the_example_of_the_help_is_an_experiment(secchi: Secchi, tmp_path: Path) -> None:
    done = secchi("vary", "--help")
    shown = [line for line in done.out.splitlines() if line.startswith("      ")]
    example = "\n".join(shown[: 1 + next(i for i, x in enumerate(shown) if "repeats =" in x)])
    rows = "\n".join(f"{10 + number % 7},{number % 9}" for number in range(40))
    written(tmp_path / "wine.csv", f"alcohol,quality\n{rows}\n")
    experiment = read_spec(written(tmp_path / "example.toml", example))
    assert experiment.training.epochs == 50
    assert (len(experiment.settings), experiment.repeats) == (30, 20)


# ---------------------------------------------------------------- what a new user meets


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("repeats", "repeat", r"\[experiment\] there is no 'repeat'; did you mean repeats"),
        ("[vary]", "[varied]", r"there is no table \[varied\]; did you mean vary"),
        ("lr = [", "lrr = [", r"there is no factor 'lrr'; did you mean lr"),
        ("hidden", "hiden", r"\[model\] there is no 'hiden'; did you mean hidden"),
        ("target", "targt", r"\[data\] target is missing"),
        ('"species"', '"specis"', "no column 'specis'; did you mean species"),
        ("iris flowers", "iris", r"no such file: .*/specs/tables/iris\.csv"),
        ("[data]", "[data", r"rates\.toml is no experiment: it is no TOML: .*line 2"),
    ],
)
def test_a_fault_of_the_file_is_told(
    secchi: Secchi, spec: Path, old: str, new: str, reason: str
) -> None:
    changed(spec, old, new)
    assert re.search(reason, refused(secchi("vary", spec, "--store", "a.sqlite", "--json")))
    assert os.listdir() == []


@pytest.mark.parametrize("varies", ["", "[vary]"])
def test_where_nothing_varies_each_repeat_is_a_network(
    secchi: Secchi, small: Path, varies: str
) -> None:
    base = small.read_text().partition("[vary]")[0] + varies
    written(small, base)
    assert secchi("vary", small).out.startswith("1 network: nothing varies, 1 repeat\n")
    written(small, f"{base}\n[experiment]\nrepeats = 3")
    assert secchi("vary", small, "--json").document["trials"] == 3


def test_a_folder_that_is_made_is_told(secchi: Secchi, small: Path) -> None:
    made = f"made the folder {Path('reslts/new').absolute()}\n"
    command = ("vary", small, "--store", "reslts/new/rates.sqlite")
    assert made not in secchi(*command, "--plan").out
    assert not Path("reslts").exists()
    assert made in secchi(*command).out
    assert made not in secchi(*command).out


def test_a_plan_says_what_is_left(secchi: Secchi, small: Path) -> None:
    command = ("vary", small, "--store", "rates.sqlite")
    assert secchi(*command).code == 0
    changed(small, "repeats = 2", "repeats = 5")
    lines = secchi(*command, "--plan").out.splitlines()
    assert f"6 of them are finished in {Path('rates.sqlite').absolute()}" in lines
    assert "9 in step: " in lines[4]
    document = secchi(*command, "--plan", "--json").document
    assert (document["trials"], document["finished"]) == (15, 6)
    assert "finished" not in secchi(*command, "--plan", "--fresh").out
    changed(small, "epochs = 5", "epochs = 2")
    assert "another experiment is in" in refused(secchi(*command, "--plan", "--json"))


def test_a_file_that_is_not_one_is_told(secchi: Secchi, spec: Path) -> None:
    message = refused(secchi("vary", "nowhere.toml", "--json"))
    assert message.startswith("nowhere.toml cannot be read: No such file")
    assert "directory" in refused(secchi("vary", spec.parent, "--json"))
    table = spec.parent / "tables" / "iris flowers.csv"
    assert "it is no TOML" in refused(secchi("vary", table, "--json"))
    done = secchi("vary", "nowhere.toml")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: nowhere.toml")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (("--jobs", 0), 2, "--jobs"),
        (("--sotre", "a.sqlite"), 2, "--store"),
        (("--fresh",), 1, "--fresh starts a store anew"),
        (("--store", "text"), 1, "no SQLite file"),
        (("--store", "text", "--fresh"), 1, "no SQLite file"),
        (("--store", "."), 1, "give the store another name"),
    ],
)
def test_an_option_that_cannot_be_is_told(
    secchi: Secchi, small: Path, options: tuple[object, ...], code: int, reason: str
) -> None:
    written(Path("text"), "something that a person wrote")
    assert reason in refused(secchi("vary", small, *options, "--json"), code)
    assert Path("text").read_text() == "something that a person wrote"


def test_a_store_of_another_experiment_is_kept(secchi: Secchi, small: Path) -> None:
    command = ("vary", small, "--store", "rates.sqlite", "--json")
    assert secchi(*command).code == 0
    changed(small, "epochs = 5", "epochs = 2")
    message = refused(secchi(*command))
    assert "another experiment is in" in message
    assert "epochs" in message
    assert "--fresh" in message
    anew = secchi(*command, "--fresh")
    assert anew.document["computed"] == 6
    assert "is kept as" in anew.err
    assert sorted(os.listdir()) == ["rates.1.sqlite", "rates.sqlite"]


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "interrupted; nothing is kept, as it would be with --store FILE.sqlite"),
        (("--store", "a"), "interrupted; .* kept, and the same command goes on from there"),
        (("--store", "a", "--fresh"), "interrupted; .* kept, and the same command without --fresh"),
    ],
)
def test_ctrl_c_says_what_is_kept(
    secchi: Secchi,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    message: str,
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "train_members", interrupted)
    done = secchi("vary", small, *options, "--json")
    assert re.match(message, refused(done))
    again = "--store FILE.sqlite the same again would go on" if not options else "the same again"
    assert again in done.err


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal on POSIX only")
def test_after_ctrl_c_the_same_command_goes_on(secchi: Secchi, small: Path, ended: Any) -> None:
    changed(small, "repeats = 2", "repeats = 3000")
    store = Path("rates.sqlite").absolute()
    command = ("vary", small, "--store", store, "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "secchi", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while finished(store) < 30:
                assert process.poll() is None, "it ended before it could be interrupted"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    message = refused(ended(process.returncode, out, err))
    assert message.startswith("interrupted; what was computed is kept")
    changed(small, "repeats = 3000", "repeats = 10")
    again = secchi(*command).document
    assert (again["trials"], again["computed"]) == (30, 0)


def finished(store: Path) -> int:
    try:
        return Store.read(store).counts().finished
    except SecchiError:  # it is just being begun
        return 0


def test_an_interruption_before_anything_runs_keeps_nothing_and_says_so(
    secchi: Secchi, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("secchi.experiments.spec_file.read_spec", interrupted)
    message = refused(secchi("vary", small, "--json"))
    assert message.startswith("interrupted; nothing is kept")
