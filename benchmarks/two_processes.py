"""Two processes on one experiment: together against one of them alone, each on one core.

11-16-32-32-1 units on the red wines, batches of 64, 20 epochs: rates x repeats. Each process is
``secchi vary SPEC.toml --store FILE.sqlite --jobs 1``, timed from outside, from its start to its
end, and pinned to a core of its own where the system can do that.

PATH is the table of the red wines (winequality-red.csv, P. Cortez and others, 2009). Without it and
where it is not beside the repository, a table of that size is made.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from common import cores, fail, print_table, ratio, say, scratch, whole_number
from loops import wine_table

WANTED = 1.5
RATES = 56
REPEATS = 125
SPEC = """
[data]
csv = {csv}
target = "quality"
above = 5

[model]
hidden = [16, 32, 32]

[training]
optimizer = "sgd"
batch_size = 64
epochs = 20

[vary]
lr = {{logspace = [1e-4, 1, {rates}]}}

[experiment]
repeats = {repeats}
"""


class Measured(NamedTuple):
    """Processes on one experiment.

    Attributes:
        seconds: From the start of the first to the end of the last.
        computed: Networks that each of them trained.
    """

    seconds: float
    computed: tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, metavar="PATH", help="the table of red wines")
    parser.add_argument("--repeats", type=whole_number, default=REPEATS, metavar="N")
    parser.add_argument("--rounds", type=whole_number, default=3, metavar="N")
    args = parser.parse_args()
    if cores() < 2:
        fail("two processes need two cores")
    with wine_table(args.path) as table, scratch() as folder:
        spec = folder / "rates.toml"
        csv = json.dumps(str(table))
        spec.write_text(SPEC.format(csv=csv, rates=RATES, repeats=args.repeats))
        measured(spec, folder / "warm.sqlite", 1)
        # In turns, so that what else the machine does is shared out.
        rounds = [
            [measured(spec, folder / f"{number}-{count}.sqlite", count) for count in (1, 2)]
            for number in range(args.rounds)
        ]
        if not same_table(folder / "0-1.sqlite", folder / "0-2.sqlite"):
            fail("the tables differ")
    columns = zip(*rounds, strict=True)
    alone, together = (min(column, key=lambda one: one.seconds) for column in columns)
    print_table(
        f"{RATES * args.repeats:,} networks, processes of one core each, the best of "
        f"{args.rounds} rounds; wanted: {WANTED}x; the tables are the same",
        ["", "seconds", "trained by each", "together"],
        [
            ["one process", f"{alone.seconds:.1f}", share_of(alone), "1.00x"],
            [
                "two processes",
                f"{together.seconds:.1f}",
                share_of(together),
                ratio(alone.seconds, together.seconds),
            ],
        ],
    )


def measured(spec: Path, store: Path, count: int) -> Measured:
    """Run an experiment by so many processes at once."""
    command = [sys.executable, "-m", "secchi", "vary", str(spec), "--store", str(store)]
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            [*command, "--jobs", "1", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for place, process in enumerate(processes):
        pin(process.pid, place)
    answers = [process.communicate() for process in processes]
    seconds = time.perf_counter() - started
    for process, (_, errors) in zip(processes, answers, strict=True):
        if process.returncode:
            fail(f"exit code {process.returncode}\n{errors}")
    computed = tuple(json.loads(answer)["computed"] for answer, _ in answers)
    say(f"{count}: {seconds:.1f} s, trained by each: {computed}")
    return Measured(seconds, computed)


def pin(process: int, place: int) -> None:
    """Keep a process on the core of that place."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, {sorted(os.sched_getaffinity(0))[place]})


def same_table(one: Path, other: Path) -> bool:
    """Whether two stores hold the same numbers."""
    return final_of(one).equals(final_of(other))


def final_of(store: Path) -> Any:
    """One row a trial."""
    from secchi.experiments.result import Result
    from secchi.experiments.store import Store

    kept = Store.read(store)
    return Result(kept.document, kept.finished()).final


def share_of(found: Measured) -> str:
    """How many networks each process trained."""
    return " and ".join(f"{number:,}" for number in found.computed)


if __name__ == "__main__":
    main()
