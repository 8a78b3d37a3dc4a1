"""Networks trained together, on cores or on a GPU: all of them, in order, and within bounds."""

import json
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from secchi.cohort import loop
from secchi.cohort.alone import train_alone
from secchi.cohort.curve import Curve
from secchi.cohort.lanes.train import Job
from secchi.cohort.loop import train_members
from secchi.cohort.member import Member
from secchi.cohort.stacked import cuts
from secchi.cohort.stacked.cuts import train_stacks
from secchi.models.mlp import MLP
from secchi.training.history import Outcome
from secchi.training.spec import Training

PLAIN = Training("sgd", lr=0.1, batch_size=8, epochs=3, weight_decay=0.0)


@pytest.fixture(scope="module")
def table(make_table: Any) -> Any:
    return make_table()


def several(table: Any, count: int = 20, **changes: Any) -> list[Member]:
    return [
        Member(
            table, MLP([3 + place % 3]), PLAIN.but(seed=place % 2, lr=0.01 * place, **changes), 0
        )
        for place in range(1, count + 1)
    ]


def mixed(table: Any) -> list[Member]:
    """Of three kinds that go in step, one of which bends otherwise, and one that trains alone."""
    return [
        *several(table, 5),
        Member(table, MLP([4], weight_norm=True), PLAIN, 0),
        Member(table, MLP([4], "tanh"), PLAIN, 0),
        Member(table, MLP([4, 4]), PLAIN, 0),
        Member(table, MLP([4], "elu", dropout=0.2), PLAIN, 0),
    ]


def assert_close(ours: Curve, theirs: Curve) -> None:
    np.testing.assert_allclose(ours.train_loss, theirs.train_loss, 1e-9)
    np.testing.assert_allclose(ours.valid_loss, theirs.valid_loss, 1e-9)
    assert ours[3:] == theirs[3:]


# ------------------------------------------------------------------ on cores


def test_curves_are_in_the_order_of_the_networks_and_each_is_told_of_once(table: Any) -> None:
    members, told = mixed(table), {}
    threads = set()

    def done(place: int, curve: Curve) -> None:
        assert place not in told
        told[place] = curve
        threads.add(threading.current_thread())

    curves = train_members(members, ["accuracy"], threads=2, done=done)
    assert [told[place] for place in range(len(members))] == curves
    assert threads == {threading.current_thread()}
    for member, curve in zip(members, curves, strict=True):
        assert_close(curve, train_alone(member, ["accuracy"]))


def test_nothing_to_train_is_no_error() -> None:
    assert train_members([], []) == []


def test_one_core_and_two_come_to_the_same_bits(table: Any) -> None:
    members = several(table, 40, patience=1)
    one, two = (train_members(members, ["accuracy"], threads=threads) for threads in (1, 2))
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_equal(ours._asdict(), theirs._asdict())


def test_an_interruption_ends_soon_and_keeps_what_has_ended(table: Any) -> None:
    # Many stacks, of which one is trained at a time.
    members = several(table, 1000, epochs=1000)
    told = []

    def interrupt(place: int, curve: Curve) -> None:
        told.append(place)
        raise KeyboardInterrupt

    train_members(several(table, 1), [])  # compiled
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        train_members(members, [], threads=1, done=interrupt)
    interrupted = time.perf_counter() - start
    assert len(told) == 1
    start = time.perf_counter()
    train_members(members[:400], [], threads=1)
    assert interrupted < time.perf_counter() - start


_PEAK = """
import json, re
from pathlib import Path
from secchi.cohort.loop import train_members
from secchi.cohort.member import Member
from secchi.data.synthetic import Line
from secchi.data.table import TableData
from secchi.models.mlp import MLP
from secchi.training.prepared import PreparedTable
from secchi.training.spec import Training

table = PreparedTable.of(TableData.made(Line(rows=200)))
def peak():  # that of getrusage begins with that of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

peaks = [peak()]
for count in (200, 3000):
    members = [
        Member(table, MLP([16, 16]), Training("sgd", lr=0.01, epochs=4, seed=place // 16), place)
        for place in range(count)
    ]
    train_members(members, ["mae"], threads=2, done=lambda place, curve: None)
    peaks.append(peak())
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_memory_does_not_grow_with_the_number_of_networks() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True, timeout=120
    )
    before, few, many = json.loads(ran.stdout)
    assert many - before < 1.5 * (few - before)


# ------------------------------------------------------------------ on a GPU


@pytest.fixture
def _gpu_is_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be trained on a GPU is, on the processor, by the same engine."""
    for name, train in {"train_stacks": train_stacks, "train_alone": train_alone}.items():
        asked = partial(_on_processor, train)
        monkeypatch.setattr(loop, name, asked)


def _on_processor(train: Any, *given: Any) -> Any:
    *others, device = given
    assert device == "cuda"
    return train(*others, "cpu")


@pytest.mark.usefixtures("_gpu_is_processor")
def test_a_gpu_trains_stacks_of_tensors_and_what_trains_alone(table: Any) -> None:
    members, told = mixed(table), []
    curves = train_members(
        members, ["accuracy"], device="cuda", done=lambda place, _: told.append(place)
    )
    assert sorted(told) == list(range(len(members)))
    for member, curve in zip(members, curves, strict=True):
        assert_close(curve, train_alone(member, ["accuracy"]))


def test_an_interruption_between_stacks_keeps_those_before(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "STACK_BYTES", 1)
    monkeypatch.setattr(loop, "train_stacks", partial(_on_processor, train_stacks))
    told = []

    def interrupt(place: int, curve: Curve) -> None:
        assert curve.outcome is Outcome.COMPLETED
        told.append(place)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_members(several(table), [], device="cuda", done=interrupt)
    assert len(told) == 2


def test_an_error_where_an_end_is_told_stops_what_still_runs(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    real = Job.__call__

    def slow(job: Job, stopped: threading.Event) -> list[tuple[int, Curve]]:
        begun.append(1)
        time.sleep(0.1)  # so that the error is heard before many have run
        return real(job, stopped)

    monkeypatch.setattr(Job, "__call__", slow)

    def fails(place: int, curve: Curve) -> None:
        raise RuntimeError("full")

    some = several(table, 1000, epochs=50)
    with pytest.raises(RuntimeError, match="full") as kept:
        train_members(some, [], threads=1, done=fails)
    # Whoever keeps the error, as a notebook does, keeps nothing running.
    ran = len(begun)
    time.sleep(0.5)
    assert len(begun) == ran < 20
    assert kept.value.__traceback__ is not None
