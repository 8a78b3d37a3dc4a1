"""``secchi vary``: many networks that differ in what is asked about, from a file that says so."""

import contextlib
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secchi.cli import options
from secchi.cli.options import console, print_json
from secchi.errors import DataError, SecchiError, SpecError
from secchi.text import counted

if TYPE_CHECKING:
    from secchi.experiments.reading.best import Best
    from secchi.experiments.result import Result

HELP = """Train many networks that differ in what a file says, and say whether the best is better.

An example of such a file; all names are those of Python:

\b
    [data]
    csv = "wine.csv"              # from the folder of this file
    target = "quality"
    above = 5

\b
    [training]
    epochs = 50

\b
    [vary]
    lr = {logspace = [1e-3, 1, 10]}
    dropout = [0, 0.25, 0.5]

\b
    [experiment]
    repeats = 20
"""

_OPTION = "--store FILE.sqlite"

_WITHOUT_STORE_SECONDS = 60.0
"""From there on it is worth a line that an interruption would lose everything."""


def vary(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC.toml", help="The file that says what varies.")
    ],
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.sqlite",
            help="Keeps what is finished: the same command goes on after a kill, and trains only "
            "what is new. Without it everything stays in memory.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processor cores that work; all without it.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; an earlier store is kept under a number.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be trained, and how long it takes.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train all networks of an experiment; what a person reads of it is in :data:`HELP`."""
    with _told_if_interrupted(store, fresh):
        _vary(spec, store, jobs, fresh, plan, as_json)


def _vary(
    spec: Path, store: Path | None, jobs: int | None, fresh: bool, plan: bool, as_json: bool
) -> None:
    started = time.perf_counter()
    from secchi.experiments.run import run
    from secchi.experiments.spec_file import read_spec
    from secchi.experiments.store import absolute

    screen = console(as_json)
    if store is not None:
        store = absolute(store)
    elif fresh:
        raise SpecError("this run cannot be", ["--fresh starts a store anew, and none is named"])
    experiment = read_spec(spec)
    planned = experiment.plan(None if fresh else store)
    if plan and as_json:
        print_json(planned.to_dict())
        return
    screen.line(str(planned))
    if plan:
        return
    if store is None and planned.seconds > _WITHOUT_STORE_SECONDS:
        example = shlex.quote(f"{spec.stem}.sqlite")
        screen.line(f"an interruption would lose all of it; --store {example} would keep it")
    result = run(
        experiment, store, jobs=jobs, fresh=fresh, console=screen, option=_OPTION, planned=True
    )
    report = _report(result, time.perf_counter() - started, store)
    if as_json:
        print_json(report)
        return
    screen.line(str(result))
    trained = counted(report["computed"], "network", "networks")
    screen.line(f"{trained} trained, {report['seconds']:.1f} s in all")
    if store is not None:
        screen.line(f"next: {shlex.join(['secchi', 'look', str(store)])}")


@contextlib.contextmanager
def _told_if_interrupted(store: Path | None, fresh: bool) -> Iterator[None]:
    """Say what Ctrl-C leaves, where that is not what it leaves of other commands.

    Raises:
        SecchiError: It was interrupted, and the same command would begin from nothing.
    """
    try:
        yield
    except KeyboardInterrupt:
        if store is None:
            raise SecchiError(
                f"interrupted; nothing is kept, as it would be with {_OPTION}"
            ) from None
        if fresh:
            raise SecchiError(
                "interrupted; what was computed is kept, and the same command without --fresh "
                "goes on from there"
            ) from None
        raise


def _report(result: "Result", seconds: float, store: Path | None) -> dict[str, Any]:
    """What came of an experiment, in numbers; ``computed`` are the networks trained here."""
    best = best_if_any(result)
    return {
        "trials": len(result),
        "computed": result.computed,
        "failed": len(result.failed),
        "alone": sum(each.alone is not None for each in result.finished),
        "seconds": seconds,
        "best": best and best.to_dict(),
        "store": None if store is None else str(store),
    }


def best_if_any(result: "Result", measure: str | None = None) -> "Best | None":
    """The best setting, by the first metric where no measure is named; None where there is none."""
    # A measure that was asked for and cannot be is told; the usual one is left out in silence.
    with contextlib.suppress(DataError, *(() if measure else (SpecError,))):
        return result.best(measure)
    return None
