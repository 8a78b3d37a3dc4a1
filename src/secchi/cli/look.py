"""``secchi look``: what an experiment has come to, in words and figures."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secchi.cli import options
from secchi.cli.options import console, print_json
from secchi.cli.vary import best_if_any
from secchi.errors import DataError
from secchi.files import check_writable, written_aside
from secchi.text import counted

if TYPE_CHECKING:
    from secchi.experiments.store import Store

_SQLITE = b"SQLite format 3\0"
"""What every SQLite file begins with."""


def look(
    experiment: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT.sqlite", help="What 'secchi vary --store' keeps; it is only read."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the figures; without it EXPERIMENT-figures beside it."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="What they are of: train_loss, valid_loss, gap, or a metric such as "
            "valid_accuracy; the first metric without it."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Draw the figures of an experiment into a folder, finished or not, and say what is best."""
    from secchi.experiments.result import Result
    from secchi.experiments.store import absolute

    screen = console(as_json)
    experiment = absolute(experiment)
    store = _read(experiment)
    folder = (out or experiment.with_name(f"{experiment.stem}-figures")).absolute()
    check_writable(folder)
    trials, _, _, earlier = store.counts()
    result = Result(store.document, store.finished())
    if not len(result):
        raise DataError(
            f"none of the {trials:,} networks of {experiment} is finished; go on with it by "
            f"'secchi vary SPEC.toml --store {shlex.quote(str(experiment))}'"
        )
    best = best_if_any(result, measure)
    text = str(result)
    if len(result) < trials:
        screen.line(f"{len(result):,} of {trials:,} networks are finished; of those:")
    screen.line(text)
    if earlier:
        networks = counted(earlier, "network is", "networks are")
        screen.line(f"{networks} of values that it no longer has; they stay in the file")
    if best and str(best) not in text:  # by another measure
        screen.line(str(best))
    figures = result.plots(folder, measure)
    final = folder / "final.csv"
    with written_aside(final) as aside:
        result.final.to_csv(aside, index=False)
    for path in (final, *figures):
        screen.line(str(path))
    if as_json:
        print_json(
            {
                "store": str(experiment),
                "trials": trials,
                "finished": len(result),
                "earlier": earlier,
                "failed": len(result.failed),
                "best": best and best.to_dict(),
                "final": str(final),
                "figures": [str(path) for path in figures],
            }
        )


def _read(path: Path) -> "Store":
    """The trials of an experiment, to be read.

    Raises:
        DataError: It is a folder, or a file of another kind.
        SecchiError: There is none, or it cannot be read.
    """
    from secchi.experiments.store import Store

    if path.is_dir():
        raise DataError(f"{path} is a folder; name the file of an experiment, such as wine.sqlite")
    if path.exists():
        with open(path, "rb") as file:
            start = file.read(len(_SQLITE))
        if start and start != _SQLITE:
            raise DataError(
                f"{path} is no SQLite file; name the one that 'secchi vary SPEC.toml --store "
                "FILE.sqlite' keeps"
            )
    return Store.read(path)
