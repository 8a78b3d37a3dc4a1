"""What a person sees while secchi works: lines, and progress bars where there is a terminal."""

import contextlib
import sys
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
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=screen, transient=True) as bars:
            task = bars.add_task(title, total=None, rate="")

            def update(done: int, total: int) -> None:
                speed = bars.tasks[0].speed
                rate = f"{speed:,.0f} {what}/s" if speed else ""
                bars.update(task, completed=done, total=total, rate=rate)

            yield update
