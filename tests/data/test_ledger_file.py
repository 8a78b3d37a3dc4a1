"""The ledger's file: kills, several processes at once, damage, other formats."""

import contextlib
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secchi import sqlite_file
from secchi.data import looks
from secchi.data.ledger_file import KEPT_KEYS, LedgerFile, Unreachable, shared_rows
from secchi.errors import DataError


def of_rows(*keys: int) -> looks.TestSet:
    return looks.TestSet.of(np.array(keys, np.uint64))


def drawn(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, rows, np.uint64)


def look(test: looks.TestSet, name: str) -> looks.Look:
    when = datetime(2026, 11, 3, 9, 30, 0, 1, tzinfo=UTC)
    return looks.Look(name, test.fingerprint, "why", when, "0.1.0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "a ledger #1?.sqlite"


def test_lines_come_back_as_they_were(path: Path) -> None:
    test = of_rows(1, 2, 3)
    opening = look(test, "a")
    result = looks.Look(
        "b", test.fingerprint, "why", opening.when, "0.1.0", "a", "5f", "net", "loss", 0.1 + 0.2
    )
    for line in (opening, result):
        LedgerFile(path).append(test, line)
    assert LedgerFile(path).overlaps(test) == [
        looks.Overlap(test.fingerprint, 3, 3, True, (opening, result))
    ]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@settings(max_examples=40, deadline=None)
@example(text="", value=-0.0)
@given(text=st.text(), value=st.none() | st.floats() | st.integers(-(2**70), 2**70))
def test_any_text_and_any_number_come_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, value: float | None
) -> None:
    path = tmp_path_factory.mktemp("any") / "ledger"
    test = of_rows(1)
    line = dataclasses.replace(look(test, text), reason=text, model=text, value=value)
    LedgerFile(path).append(test, line)
    assert LedgerFile(path).overlaps(test)[0].looks == (line,)


def test_text_that_no_encoding_holds_is_escaped(path: Path) -> None:
    test = of_rows(1)
    LedgerFile(path).append(test, look(test, "net \udcff"))
    assert LedgerFile(path).overlaps(test)[0].looks[0].id == "net \\udcff"


def test_no_file_is_no_look(path: Path) -> None:
    assert LedgerFile(path).overlaps(of_rows(1)) == []
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    assert LedgerFile(path).overlaps(of_rows(1)) == []
    LedgerFile(path).append(of_rows(1), look(of_rows(1), "a"))
    assert len(LedgerFile(path).overlaps(of_rows(1))) == 1


# ---------------------------------------------------------------- rows that are shared


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40), min_size=1))
def test_shared_rows_are_counted(first: set[int], second: set[int]) -> None:
    kept = of_rows(*first)
    assert shared_rows(kept.keys, len(kept), of_rows(*second)) == (len(first & second), True)


def test_sets_that_share_rows_are_found_and_others_not(path: Path) -> None:
    for name, keys in (("a", (1, 2, 3)), ("b", (3, 4)), ("c", (5, 6))):
        LedgerFile(path).append(of_rows(*keys), look(of_rows(*keys), name))
    found = LedgerFile(path).overlaps(of_rows(1, 2, 3, 4))
    assert [(o.looks[0].id, o.rows, o.shared) for o in found] == [("a", 3, 3), ("b", 2, 2)]


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_rows_shared_with_a_large_set_are_estimated_in_bounded_space(
    path: Path, share: float
) -> None:
    rows = 300_000
    keys = drawn(rows)
    kept = looks.TestSet.of(keys)
    LedgerFile(path).append(kept, look(kept, "a"))
    assert path.stat().st_size < 8 * KEPT_KEYS + 40_000
    shared = round(share * rows)
    other = looks.TestSet.of(np.concatenate([keys[:shared], drawn(1000, seed=1)]))
    (found,) = LedgerFile(path).overlaps(other)
    assert not found.exact
    assert found.shared == pytest.approx(shared, rel=0.05)


def test_a_small_set_is_found_exactly_in_a_large_one(path: Path) -> None:
    keys = drawn(300_000)
    small = looks.TestSet.of(keys[:10])
    LedgerFile(path).append(small, look(small, "a"))
    (found,) = LedgerFile(path).overlaps(looks.TestSet.of(keys))
    assert (found.rows, found.shared, found.exact) == (10, 10, True)


# ---------------------------------------------------------------- several processes, and kills


def add_lines(path: Path, name: str, count: int) -> None:
    test = of_rows(1, 2)
    for number in range(count):
        LedgerFile(path).append(test, look(test, f"{name} {number}"))


ADD_LINES = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
from secchi.data.ledger_file import LedgerFile
from secchi.data.looks import Look, TestSet

test = TestSet.of(np.array([1, 2], np.uint64))
print("ready", flush=True)
sys.stdin.readline()
for number in range(30):
    name = f"{sys.argv[2]} {number}"
    look = Look(name, test.fingerprint, "why", datetime.now(UTC), "0.1.0")
    LedgerFile(Path(sys.argv[1])).append(test, look)
"""


def test_processes_that_add_at_once_lose_no_line(path: Path) -> None:
    run = [sys.executable, "-c", ADD_LINES, str(path)]
    processes = [
        subprocess.Popen([*run, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    (found,) = LedgerFile(path).overlaps(of_rows(1, 2))
    assert {line.id for line in found.looks} == {f"{n} {i}" for n in "abc" for i in range(30)}


def test_a_line_waits_for_that_of_another_process(path: Path) -> None:
    add_lines(path, "a", 1)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.2, other.execute, ["COMMIT"])
    end.start()
    add_lines(path, "b", 1)
    end.join()
    other.close()
    assert len(LedgerFile(path).overlaps(of_rows(1))[0].looks) == 2


WRITE_AND_DIE = """
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA cache_size = 2")  # so that pages reach the file before the end
file.execute("BEGIN IMMEDIATE")
for number in range(200):
    row = (str(number), 100, bytes(8000), 0)
    file.execute("INSERT INTO test_sets VALUES (?, ?, ?, ?)", row)
file.execute("DELETE FROM looks")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_kill_in_the_middle_of_a_line_loses_that_line_only(path: Path) -> None:
    add_lines(path, "before", 3)
    died = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    add_lines(path, "after", 1)
    (found,) = LedgerFile(path).overlaps(of_rows(1, 2))
    assert [line.id for line in found.looks] == ["before 0", "before 1", "before 2", "after 0"]


# ---------------------------------------------------------------- out of reach


def test_a_file_that_another_holds_is_read_and_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    add_lines(path, "a", 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unreachable, match="locked"):
        add_lines(path, "b", 1)
    assert len(LedgerFile(path).overlaps(of_rows(1))[0].looks) == 1
    other.execute("COMMIT")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unreachable, match="locked"):
        LedgerFile(path).overlaps(of_rows(1))
    other.close()


@pytest.mark.parametrize("stands", ["a file above", "a folder"])
def test_a_place_that_cannot_be_a_file(tmp_path: Path, stands: str) -> None:
    path = tmp_path / "file" / "ledger" if stands == "a file above" else tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable):
        add_lines(path, "a", 1)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_file_that_is_read_only_is_read(path: Path) -> None:
    add_lines(path, "a", 1)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with pytest.raises(Unreachable, match="readonly"):
        add_lines(path, "b", 1)
    assert len(LedgerFile(path).overlaps(of_rows(1))[0].looks) == 1
    path.parent.chmod(0o755)


# ---------------------------------------------------------------- damage and other formats


def refused(path: Path, words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(DataError, match=words):
        LedgerFile(path).overlaps(of_rows(1))
    with pytest.raises(DataError, match=words):
        add_lines(path, "a", 1)
    assert path.read_bytes() == before


def test_a_newer_format_is_refused(path: Path) -> None:
    add_lines(path, "a", 1)
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 2")
    file.close()
    refused(path, "format 2, .* reads up to 1; upgrade it")


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE trials (id)")
    file.close()
    refused(path, "no test ledger of secchi; SECCHI_LEDGER names another file")
    path.write_text("date;reason\n")
    refused(path, "damaged .*not a database.*move it away")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE test_sets SET keys = x'00'",
        "UPDATE test_sets SET rows = 3",
        "UPDATE looks SET reason = 'another'",
        "DROP TABLE looks",
        "UPDATE looks SET reason = CAST(x'ff' AS TEXT)",
    ],
)
def test_contents_that_cannot_be_are_damage(path: Path, damage: str) -> None:
    add_lines(path, "a", 1)
    with sqlite3.connect(path) as file:
        file.execute(damage)
    file.close()
    with pytest.raises(DataError, match="damaged"):
        LedgerFile(path).overlaps(of_rows(1))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_file_cut_short_or_overwritten_is_used_or_called_damaged(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "ledger"
    test = of_rows(1, 2)
    more = look(test, "more")
    add_lines(path, "a", 2)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    garbage = data.draw(st.binary(max_size=200))
    tail = whole[place + len(garbage) :] if garbage else b""
    path.write_bytes(whole[:place] + garbage + tail)
    with contextlib.suppress(DataError, Unreachable):
        assert all(str(line) for found in LedgerFile(path).overlaps(test) for line in found.looks)
    with contextlib.suppress(DataError, Unreachable):
        LedgerFile(path).append(test, more)
