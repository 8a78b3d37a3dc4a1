"""The file of an experiment: kills in the middle of a commit, locks, full disks, damage."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secchi import sqlite_file
from secchi.cohort.curve import Curve
from secchi.errors import SecchiError
from secchi.experiments.store import Counts, Store
from secchi.experiments.storing import store_file
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

TRIALS = [Trial({"lr": rate}, repeat) for repeat in (0, 1) for rate in (0.1, 0.2, 0.4)]
KEYS = [trial.key for trial in TRIALS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "an experiment #1?.sqlite"


def opened(path: Path) -> Store:
    store = Store.open(path, {"repeats": 2}, "5f")
    store.add(TRIALS)
    return store


def came_to(trial: Trial, epochs: int = 3) -> Finished:
    losses = np.linspace(1, 0, epochs)
    return Finished(trial, Curve(losses, losses, {}, Outcome.COMPLETED, 30, None), None, 0.25)


# ---------------------------------------------------------------- kills and locks


WRITE_AND_DIE = """
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA cache_size = 2")  # so that pages reach the file before the end
file.execute("BEGIN IMMEDIATE")
for number in range(200):
    row = (str(number), "COMPLETED", 1, None, "[]", bytes(8000), None, 0.1, None)
    file.execute("INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
file.execute("DELETE FROM trials")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_kill_in_the_middle_of_a_commit_loses_that_commit_only(path: Path) -> None:
    opened(path).finish([came_to(TRIALS[0])])
    died = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    store = Store.read(path)
    assert store.counts() == Counts(6, 1, 0)
    assert store.curve(KEYS[0]).train_loss.tolist() == [1.0, 0.5, 0.0]


def test_a_commit_waits_for_that_of_another_process(path: Path) -> None:
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.2, other.execute, ["COMMIT"])
    end.start()
    store.finish([came_to(TRIALS[0])])
    end.join()
    other.close()
    assert store.counts().finished == 1


# ---------------------------------------------------------------- out of reach


def test_a_file_that_is_kept_locked_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SecchiError, match="another program has kept the experiment"):
        store.finish([came_to(TRIALS[0])])
    other.close()


def test_a_full_disk_is_told_and_keeps_what_is_finished(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(path)
    store.finish([came_to(TRIALS[0])])
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def on_a_full_disk(*given: Any, **named: Any) -> sqlite3.Connection:
        file = connect(*given, **named)
        file.execute("PRAGMA max_page_count = 1")  # which becomes as many as there are
        return file

    with monkeypatch.context() as full:
        full.setattr(store_file.sqlite3, "connect", on_a_full_disk)
        with pytest.raises(SecchiError, match="there is no space left"):
            store.finish(came_to(trial, epochs=100_000) for trial in TRIALS[1:])
    assert store.finished_keys() == KEYS[:1]


@pytest.mark.parametrize("stands", ["a file above", "a folder", "nothing"])
def test_a_place_that_cannot_be_read_or_written(tmp_path: Path, stands: str) -> None:
    (tmp_path / "file").touch()
    path = {
        "a file above": tmp_path / "file" / "new.sqlite",
        "a folder": tmp_path,
        "nothing": tmp_path / "none.sqlite",
    }[stands]
    with pytest.raises(SecchiError):
        Store.read(path)
    if stands != "nothing":
        with pytest.raises(SecchiError):
            opened(path)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_file_that_is_read_only_is_read(path: Path) -> None:
    opened(path).finish([came_to(TRIALS[0])])
    path.chmod(0o444)
    path.parent.chmod(0o555)
    assert Store.read(path).counts().finished == 1
    for name in (path.name, "other.sqlite"):
        with pytest.raises(SecchiError, match="no permission to write to"):
            opened(path.with_name(name))
    path.parent.chmod(0o755)


# ---------------------------------------------------------------- damage and other formats


def refused(path: Path, words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(SecchiError, match=words):
        Store.read(path)
    with pytest.raises(SecchiError, match=words):
        opened(path)
    assert path.read_bytes() == before


def changed(path: Path, statement: str, *values: Any) -> None:
    file = sqlite3.connect(path, isolation_level=None)
    file.execute(statement, values)
    file.close()


def test_a_newer_format_is_refused(path: Path) -> None:
    opened(path)
    changed(path, f"PRAGMA user_version = {store_file.FORMAT + 1}")
    refused(path, "pip install -U secchi")


def test_another_sqlite_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    changed(path, "CREATE TABLE mine (value)")
    refused(path, "is a SQLite file and no experiment of secchi")


def test_another_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("epoch,loss\n" * 1000)
    refused(path, "is damaged, or no SQLite file")


@pytest.mark.parametrize(
    "damage",
    [
        "block = x'00'",
        "block = zeroblob(9)",
        "metrics = '['",
        "outcome = 'NOT ONE'",
        "block = NULL",
        "metrics = NULL",
    ],
)
def test_a_damaged_curve_is_told(path: Path, damage: str) -> None:
    store = opened(path)
    store.finish([came_to(TRIALS[0])])
    changed(path, f"UPDATE curves SET {damage}")
    with pytest.raises(SecchiError, match="is damaged"):
        store.curve(KEYS[0])


def test_a_curve_that_is_missing_is_told(path: Path) -> None:
    store = opened(path)
    store.finish([came_to(TRIALS[0])])
    changed(path, "DELETE FROM curves")
    with pytest.raises(SecchiError, match=f"the curve of the trial {KEYS[0]} is missing"):
        store.curve(KEYS[0])
    with pytest.raises(SecchiError, match="is not finished"):
        store.curve(KEYS[1])


def test_a_block_with_a_bit_that_turned_is_told(path: Path) -> None:
    store = opened(path)
    store.finish([came_to(TRIALS[0], epochs=50)])
    file = sqlite3.connect(path)
    (block,) = file.execute("SELECT block FROM curves").fetchone()
    file.close()
    turned = bytearray(block)
    turned[len(turned) // 2] ^= 1
    changed(path, "UPDATE curves SET block = ?", bytes(turned))
    with pytest.raises(SecchiError, match="is damaged"):
        store.curve(KEYS[0])
