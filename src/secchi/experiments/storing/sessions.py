"""Which process is at work on a file, and whether it still lives."""

import contextlib
import os
import platform
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from secchi.errors import SecchiError

BEAT_SECONDS = 10.0
"""Between two signs of life."""

SILENT_SECONDS = 60.0
"""Without a sign of life, a process that cannot be looked at counts as dead."""


class Session(NamedTuple):
    """One process at one piece of work.

    Attributes:
        id: Its own, so that one process can have several.
        host: The name of the machine.
        space: Names the running system and its process numbers (a container has its own), in which
            ``pid`` means something; empty where the system does not say.
        pid: The number of the process.
        started: When the process began, in the system's own terms: numbers are given again.

    >>> here = Session.here()
    >>> here.alive in (True, None), here == Session.here()
    (True, False)
    """

    id: str
    host: str
    space: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> "Session":
        """A new one of this process."""
        pid = os.getpid()
        return cls(uuid.uuid4().hex, platform.node(), _space(), pid, _started(pid))

    @property
    def alive(self) -> bool | None:
        """Whether the process lives; None where that cannot be seen from here."""
        if (self.space or self.host) != (_space() or platform.node()):
            return None
        started = _started(self.pid)
        return started == self.started if started else _without_start(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextlib.contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Call ``beat`` every :data:`BEAT_SECONDS` from a thread of its own, until the block ends.

    A sign that cannot be given, as on a full disk, is left out.
    """
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(BEAT_SECONDS):
            with contextlib.suppress(SecchiError):
                beat()

    thread = threading.Thread(target=go_on, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _space() -> str:
    """The boot of this system and the namespace of this process's number, as Linux has them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Clock ticks from the boot to the start of a process; empty where none runs."""
    try:
        # Behind the name, which is in brackets and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in _ENDED else fields[_START_TIME].decode()


def _without_start(pid: int) -> bool | None:
    """Whether a process lives whose start cannot be read: it does not, or nobody can tell."""
    if os.name != "posix":
        return None  # asking so would end it on Windows
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None  # of another user, and hidden
    return False if _space() else None  # it has ended, where starts can be read


_ENDED = (b"Z", b"X")
"""States of a process that has ended and is not forgotten yet (proc(5))."""

_START_TIME = 19
"""The place of ``starttime`` behind the name (proc(5): field 22, the state is field 3)."""
