"""``secchi train`` killed anywhere, and run again: the same weights, bit for bit."""

import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from secchi.features.cache import FeatureCache

MakePictures = Callable[..., Path]
Environment = dict[str, str]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal on POSIX only")

OPTIONS = (
    *("--size", 64, "--batch-size", 8, "--freeze-to", "blocks.5", "--augment", "side_on"),
    *("--views", 2, "--cycles", 2, "--cycle-mult", 2, "--lr", 1e-3, "--lr", 1e-2),
    *("--set", "ema=0.9", "--set", "accumulate=2"),
)
EPOCHS = 3
STEPS = 3
"""In an epoch: 48 training pictures, 16 in a step."""


class Run(NamedTuple):
    """A run that has ended by itself."""

    folder: Path
    said: str


# ---------------------------------------------------------------- running and killing


def secchi(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "secchi", *map(str, arguments)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def finished(*arguments: object, **environment: str) -> Run:
    done = secchi(*arguments, "--json", **environment)
    assert done.returncode == 0, done
    return Run(Path(json.loads(done.stdout)["run"]), done.stderr)


@contextlib.contextmanager
def started(*arguments: object, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command in a group of its own, which is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "secchi", *map(str, arguments)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def killed(
    moment: Callable[[], bool], *arguments: object, after: float = 0.0, **environment: str
) -> None:
    """Start a command, and kill it so many seconds after a moment has come."""
    with started(*arguments, **environment) as process:
        deadline = time.monotonic() + 300
        while not moment():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(after)
        assert process.poll() is None, "it ended before it could be killed"


# ---------------------------------------------------------------- moments


def progress(out: Path) -> tuple[int, int, int]:
    """How far the newest checkpoint of the only run is: epochs, steps in all, steps of the epoch.

    (0, 0, 0) before the first.
    """
    newest = (0, 0, 0)
    for record in out.glob("*/journal/000/state-*/checkpoint.json"):
        with contextlib.suppress(OSError, ValueError):  # it is just being replaced
            numbers = json.loads(json.loads(record.read_text())["record"]["numbers"])
            newest = max(newest, (len(numbers["epochs"]), numbers["step"], numbers["batch"]))
    return newest


def step(out: Path, number: int) -> Callable[[], bool]:
    return lambda: progress(out)[1] >= number


def validation(out: Path, epoch: int) -> Callable[[], bool]:
    """Every step of an epoch is done, and the epoch is not."""
    return lambda: progress(out) >= (epoch, 0, STEPS)


def exists(out: Path, pattern: str) -> Callable[[], bool]:
    return lambda: any(out.glob(pattern))


# ---------------------------------------------------------------- what a run leaves


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoint" / "net.safetensors") | load_file(
        run / "bundle" / "model.safetensors"
    )


def history(run: Path) -> list[dict[str, str]]:
    """Without the seconds that each epoch took."""
    with open(run / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def judged(run: Path) -> dict[str, Any]:
    record = json.loads((run / "run.json").read_text())
    names = ("epochs", "outcome", "train", "valid", "training", "task", "backbone", "transform")
    return {name: record[name] for name in names}


def assert_same(run: Path, reference: Path) -> None:
    """Bit for bit, and with nothing half-written beside it."""
    one, other = weights(run), weights(reference)
    assert one.keys() == other.keys()
    different = [key for key in one if not torch.equal(one[key], other[key])]
    assert not different
    assert history(run) == history(reference)
    assert judged(run) == judged(reference)
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]
    for place in ("checkpoint", "bundle"):
        assert sorted(os.listdir(run / place)) == sorted(os.listdir(reference / place))


# ---------------------------------------------------------------- made once


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def photos(place: Path, make_pictures: MakePictures) -> Path:
    """Large enough that decoding them takes a moment."""
    return make_pictures(place / "photos", per_class=30, size=300, seed=500)


@pytest.fixture(scope="module")
def environment(place: Path, lite0_cache: FeatureCache) -> Environment:
    """A cache with the bodies ready; one core, since small steps wait for a second one."""
    shutil.copytree(lite0_cache.bodies, place / "cache" / "bodies")
    return {
        "SECCHI_CACHE": str(place / "cache"),
        "SECCHI_CHECKPOINT_SECONDS": "0",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def reference(place: Path, photos: Path, environment: Environment) -> Run:
    """The run that nobody kills, and that keeps no state on its way."""
    return finished(
        *("train", photos, *OPTIONS, "--out", place / "reference"),
        **environment | {"SECCHI_CHECKPOINT_SECONDS": "1e9"},
    )


@pytest.fixture(scope="module")
def unfinished(place: Path, photos: Path, environment: Environment, reference: Run) -> Path:
    """The folder of one run that was killed at its fourth step."""
    out = place / "unfinished"
    killed(step(out, 4), "train", photos, *OPTIONS, "--out", out, **environment)
    return out


@pytest.fixture
def out(tmp_path: Path, unfinished: Path) -> Path:
    """A copy of that folder."""
    shutil.copytree(unfinished, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def empty_cache(place: Path, tmp_path: Path, reference: Run, environment: Environment) -> Path:
    """A cache that has the bodies, whole and cut, and no features."""
    shutil.copytree(place / "cache" / "bodies", tmp_path / "cache" / "bodies")
    return tmp_path / "cache"


# ---------------------------------------------------------------- killed, and run again


def test_a_run_that_is_killed_twice_ends_as_the_one_that_was_not(
    photos: Path, reference: Run, out: Path, environment: Environment
) -> None:
    command = ("train", photos, *OPTIONS, "--out", out)
    (run,) = out.iterdir()
    assert (run / "unfinished.json").exists()
    assert progress(out)[1] >= 4
    killed(exists(out, "*/journal/000/.end*.part"), *command, **environment)
    again = finished(*command, **environment)
    assert again.folder == run
    assert f"going on with the unfinished run {run}" in again.said
    assert os.listdir(out) == [run.name]
    assert_same(run, reference.folder)
    assert len(history(run)) == EPOCHS

    # What is finished is not gone on with: the same command starts anew.
    another = finished(*command, **environment)
    assert another.folder != run
    assert "going on" not in another.said
    assert_same(another.folder, reference.folder)


@pytest.mark.slow
def test_a_run_is_killed_wherever_it_can_be(
    photos: Path, tmp_path: Path, reference: Run, empty_cache: Path, environment: Environment
) -> None:
    """One run, from its first picture to its last file, killed at seven moments."""
    out, cache = tmp_path / "runs", empty_cache
    own = environment | {"SECCHI_CACHE": str(cache)}
    command = ("train", photos, *OPTIONS, "--out", out)
    random.seed(time.time_ns())

    killed(exists(cache, "features/*/*.rows"), *command, **own)
    assert not out.exists()
    killed(exists(out, "*/unfinished.json"), *command, **own)
    killed(step(out, random.randint(1, 2)), *command, after=random.uniform(0, 0.2), **own)
    killed(validation(out, 0), *command, **own)
    killed(validation(out, 1), *command, after=random.uniform(0, 0.1), **own)
    killed(step(out, 7), *command, after=random.uniform(0, 0.2), **own)
    killed(exists(out, "*/journal/000/.end*.part"), *command, **own)
    killed(exists(out, "*/.bundle*.part"), *command, **own)
    (run,) = out.iterdir()
    assert any(run.glob(".bundle*.part"))

    again = finished(*command, **own)
    assert again.folder == run
    assert f"going on with the unfinished run {run}" in again.said
    assert os.listdir(out) == [run.name]
    assert_same(run, reference.folder)


def test_a_kill_before_the_first_checkpoint_starts_the_training_again(
    photos: Path, tmp_path: Path, reference: Run, environment: Environment
) -> None:
    out = tmp_path / "runs"
    command = ("train", photos, *OPTIONS, "--out", out)
    seldom = environment | {"SECCHI_CHECKPOINT_SECONDS": "1e9"}
    killed(exists(out, "*/unfinished.json"), *command, after=0.1, **seldom)
    assert progress(out) == (0, 0, 0)
    again = finished(*command, **seldom)
    assert "going on with the unfinished run" in again.said
    assert_same(again.folder, reference.folder)


# ---------------------------------------------------------------- which run is gone on with


def test_fresh_starts_anew_and_leaves_the_unfinished_run_alone(
    photos: Path, reference: Run, out: Path, environment: Environment
) -> None:
    (run,) = out.iterdir()
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    new = finished("train", photos, *OPTIONS, "--out", out, "--fresh", **environment)
    assert new.folder != run
    assert "going on" not in new.said
    assert_same(new.folder, reference.folder)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()} == before

    by_name = finished("train", photos, *OPTIONS, "--out", out, "--resume", run.name, **environment)
    assert by_name.folder == run
    assert_same(run, reference.folder)


def test_other_settings_start_a_run_of_their_own(
    photos: Path, reference: Run, out: Path, environment: Environment
) -> None:
    (run,) = out.iterdir()
    new = finished(
        *("train", photos, "--size", 64, "--epochs", 1, "--out", out),
        **environment,
    )
    assert new.folder != run
    assert "going on" not in new.said
    assert (run / "unfinished.json").exists()


@pytest.mark.parametrize(
    ("named", "more", "reason"),
    [
        ("nothing", (), "there is no run .*/nothing; --resume names a folder in "),
        ("the finished one", (), "the run .* is finished; there is nothing to go on with"),
        (
            "the other",
            ("--seed", 1),
            r"was started with other settings \(data\.pictures, data\.rows, training\.seed\); give",
        ),
        ("the other", ("--set", "clip=1"), r"other settings \(training\.clip\)"),
        ("the other", ("--max-zoom", 1.2), r"other settings \(purpose\.augmentation\.max_zoom\)"),
        ("the other", ("--compile",), r"other settings \(compile\)"),
        ("the other", ("--fresh",), "--fresh starts anew and --resume goes on"),
    ],
)
def test_a_run_that_cannot_be_gone_on_with_is_told_in_a_line(
    photos: Path,
    reference: Run,
    unfinished: Path,
    environment: Environment,
    named: str,
    more: tuple[object, ...],
    reason: str,
) -> None:
    (run,) = unfinished.iterdir()
    before = sorted(unfinished.rglob("*"))
    name = {"the finished one": str(reference.folder), "the other": run.name}.get(named, named)
    done = secchi(
        *("train", photos, *OPTIONS, "--out", unfinished, "--resume", name, *more), **environment
    )
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert re.search(reason, last)
    assert "Traceback" not in done.stderr
    if named != "the other":
        assert "features" not in done.stdout  # told before the work
    assert sorted(unfinished.rglob("*")) == before


def test_two_processes_at_once_have_a_run_each(
    photos: Path, reference: Run, out: Path, environment: Environment
) -> None:
    """One of them goes on with the unfinished run, and it is not taken from it."""
    command = ("train", photos, *OPTIONS, "--out", out, "--json")
    (run,) = out.iterdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "secchi", *map(str, command)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    folders = [Path(json.loads(stdout)["run"]) for stdout, _ in said]
    assert len(set(folders)) == 2
    assert run in folders
    assert sorted(os.listdir(out)) == sorted(folder.name for folder in folders)
    for folder in folders:
        assert_same(folder, reference.folder)
