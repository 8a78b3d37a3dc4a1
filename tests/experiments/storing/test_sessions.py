"""Whether a process lives: this one, ones that ended, ones that cannot be seen."""

import os
import subprocess
import sys
import threading

import pytest

from secchi.errors import SecchiError
from secchi.experiments.storing import sessions
from secchi.experiments.storing.sessions import Session, beating

ON_LINUX = pytest.mark.skipif(not sessions._space(), reason="this system does not say who lives")


@ON_LINUX
def test_this_process_lives() -> None:
    assert Session.here().alive is True


@ON_LINUX
def test_a_process_that_ended_is_dead_before_its_parent_asks() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    session = Session.here()._replace(pid=process.pid, started=sessions._started(process.pid))
    assert session.alive is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # leaves it a zombie
    assert session.alive is False
    process.communicate()
    assert session.alive is False


@ON_LINUX
def test_another_process_with_the_same_number_is_another() -> None:
    assert Session.here()._replace(started="1").alive is False


def test_a_process_of_another_system_or_container_cannot_be_seen() -> None:
    assert Session.here()._replace(space="another").alive is None


@pytest.mark.skipif(os.name != "posix", reason="a number cannot be asked for here")
def test_where_starts_cannot_be_read_the_numbers_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "_space", lambda: "")
    monkeypatch.setattr(sessions, "_started", lambda pid: "")
    here = Session.here()
    assert here.alive is None  # its number may have been given again
    assert here._replace(host="another").alive is None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert here._replace(pid=ended.pid).alive is False


@ON_LINUX
def test_a_process_of_another_user_that_is_hidden_is_not_called_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session.here()
    monkeypatch.setattr(sessions, "_started", lambda pid: "")
    assert session.alive is False

    def refused(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(sessions.os, "kill", refused)
    assert session.alive is None


def test_signs_of_life_go_on_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BEAT_SECONDS", 0.001)
    beats, often = [], threading.Event()

    def beat() -> None:
        beats.append(1)
        if len(beats) > 2:
            often.set()
        raise SecchiError("the disk is full")  # which is passed over

    with beating(beat):
        assert often.wait(10)
    count = len(beats)
    assert not [thread for thread in threading.enumerate() if thread.name == "signs of life"]
    assert len(beats) == count
