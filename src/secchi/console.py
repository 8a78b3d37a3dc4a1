"""What a person sees while secchi works: lines, and progress bars where there is a terminal."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from secchi.data.folders import Progress


class Console:
    """Where lines and progress go.

    Args:
        lines: The stream of lines; None takes standard output as it is at the time.
        quiet: Show neither lines nor progress.
    """

    def __init__(self, lines: TextIO | None = None, *, quiet: bool = False) -> None:
        self._lines = lines
        self._quiet = quiet

    def line(self, text: str) -> None:
        """Show a line."""
        if not self._quiet:
            print(text, file=self._lines or sys.stdout, flush=True)

    @contextlib.contextmanager
    def progress(self, title: str, what: str = "pictures") -> "Iterator[Progress | None]":
        """A bar of what is done, its rate and the time left, gone when it is finished.

        Args:
            title: What is being done.
            what: Is counted.

        Yields:
            What to call with (done, total), or None where no bar can be seen.
        """
        from rich.console import Console as RichConsole

        screen = RichConsole(stderr=True)
        if self._quiet or not (screen.is_terminal or screen.is_jupyter):
            yield None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        with Progress(*columns, console=screen, transient=True) as bars:
            task, speed = bars.add_task(title, total=None, rate=""), Speed()

            def update(done: int, total: int) -> None:
                rate = speed.told(done, total, what, time.monotonic())
                bars.update(task, completed=done, total=total, rate=rate)

            yield update


class Speed:
    """How fast something goes on, over the last half minute.

    Nothing is said of less than a second and a half: what ends in bursts, as networks do that were
    trained together, goes at no rate within one.

    >>> speed = Speed()
    >>> [speed.told(done, 100, "rows", at) for done, at in ((0, 0.0), (16, 1.0), (17, 1.001))]
    ['', '', '']
    >>> speed.told(40, 100, "rows", 2.0)
    '20 rows/s, 3 s left'
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def told(self, done: int, total: int, what: str, now: float) -> str:
        """The rate and the time left, in words; empty where too little was seen.

        Args:
            done: How many are, of ``total``.
            total: How many there are.
            what: Is counted.
            now: The time, in seconds.
        """
        seen = self._seen
        while len(seen) > 1 and seen[1][0] <= now - _SEEN_SECONDS:
            seen.popleft()
        if not seen or now - seen[-1][0] >= _APART_SECONDS:
            seen.append((now, done))
        since, before = seen[0]
        if now - since < _LEAST_SECONDS or done <= before:
            return ""
        rate = (done - before) / (now - since)
        words = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        return f"{words} {what}/s, {_duration((total - done) / rate)} left"


def _duration(seconds: float) -> str:
    """A time as it is read at a glance."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


_SEEN_SECONDS = 30.0
"""Rates are of so long at the most."""

_LEAST_SECONDS = 1.5
"""And of so long at the least."""

_APART_SECONDS = 0.25
"""Between two counts that are remembered."""
