"""What cohort.py and course.py share: the wines, and the time of peers/ordinary_loops.py."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import cores, fail, run_process, say, scratch

PEERS = Path(__file__).resolve().parent / "peers"
DEFAULT_TABLE = (
    Path(__file__).resolve().parents[2] / "shared" / "data" / "wine" / "winequality-red.csv"
)


@contextlib.contextmanager
def wine_table(path: Path | None) -> Iterator[Path]:
    """The red wines, or rows like them, for as long as the context lasts."""
    source = path or DEFAULT_TABLE
    if source.is_file():
        yield source.resolve()
        return
    if path is not None:
        fail(f"no table {path}")
    import numpy as np
    from sklearn.datasets import make_classification

    say("making 1,599 rows")
    inputs, classes = make_classification(1599, 11, n_informative=6, random_state=0)
    names = [f"x{number}" for number in range(1, 12)] + ["quality"]
    with scratch() as folder:
        file = folder / "made.csv"
        lines = np.column_stack([inputs, 5 + classes])
        np.savetxt(file, lines, delimiter=";", header=";".join(names), comments="")
        yield file


def ordinary_seconds(
    experiment: str, trials: list[Any], epochs: int, table: Path | None, *options: str
) -> list[float]:
    """Seconds of each trial in peers/ordinary_loops.py, at its faster of one core and all.

    Args:
        experiment: Its name there.
        trials: Pairs of a setting and the number of a repeat.
        epochs: Of each.
        table: The wines, where they are learned from.
        options: Of the command.
    """
    say(f"ordinary loop, {experiment.replace('_', ' ')}, {len(trials)} networks")
    command = [sys.executable, str(PEERS / "ordinary_loops.py"), experiment]
    command += ["--trials", json.dumps(trials), "--epochs", str(epochs), *options]
    if table:
        command += ["--wine", str(table)]
    answers = [answer_of([*command, "--threads", str(threads)]) for threads in sorted({1, cores()})]
    return [min(turns) for turns in zip(*(answer["seconds"] for answer in answers), strict=True)]


def answer_of(command: list[str]) -> dict[str, Any]:
    """The JSON document that a process printed last."""
    with scratch() as folder:
        output = run_process(command, folder).output
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer
