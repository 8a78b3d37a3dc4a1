"""``secchi test``: open the sealed test set of a run's table, and judge the run by it."""

from pathlib import Path
from typing import Annotated

import typer

from secchi.cli.options import Json, console, print_json


def test(
    run: Annotated[Path, typer.Argument(help="The folder of a run on a table.")],
    reason: Annotated[str, typer.Option(help="Why now, in words; kept in the ledger.")],
    as_json: Json = False,  # noqa: PT028
) -> None:
    """Judge a trained model by the test set that was sealed when it was trained."""
    from secchi.learner import Learner

    screen = console(as_json)
    result = Learner.from_run(run, console=screen).test(reason)
    if as_json:
        print_json({"run": str(run), "test": result.to_dict()})
    else:
        screen.line(str(result))
