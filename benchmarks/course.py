"""Seven experiments with a loop in plain PyTorch beside each: what they find, and what they take.

    slopes            lines of slope -2 to 2 in 21 steps, 50 points; 1-1-1, 500 epochs, 50 repeats
    rates             0.001 to 1 in 40 steps; two classes in the plane, 2-16-1-1, 1,000 epochs,
                      50 repeats
    hidden units      1 to 128; irises, 150 epochs, 10 repeats
    depth and width   1 to 5 layers of 4 to 100 units in 13 steps; irises, 500 epochs, 5 repeats
    dropout           0 to 0.9 in 10 steps; two rings, 2-128-128-1, batches of 16, 200 epochs,
                      20 repeats
    momentum          0, 0.5, 0.9, 0.95, 0.999; three classes in the plane, 2-8-8-3, batches of 32,
                      25 epochs, 20 repeats
    batch sizes       8, 32, 128, 512; red wines, 11-16-32-32-1, 200 epochs, 20 repeats

The first four take all rows in each step. secchi trains every network and judges it after every
epoch; its seconds are those of making the experiment and running it. The loops
(peers/ordinary_loops.py) train a sample, one network from the middle of each even share of the
settings, and each counts at its faster of one core and all. Where all rows are in each step they
judge a network once, in the end, as is usual; in the last column after every epoch, as secchi does.
Neither side's seconds count imports; secchi's count compiling.

PATH is the table of the red wines (winequality-red.csv, P. Cortez and others, 2009). Without it and
without those, rows of as many columns are made.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn.datasets import load_iris

import course_findings as findings
import secchi.experiments.run  # noqa: F401 (else what it needs is imported while it is timed)
from common import print_table, ratio, say, whole_number
from loops import ordinary_seconds, wine_table
from secchi import (
    MLP,
    Experiment,
    Line,
    Qwerties,
    Rings,
    TableData,
    Training,
    linspace,
    logspace,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secchi.experiments.result import Result

ALL_ROWS = 1024
"""A batch that holds all there are."""

WANTED = 40.0


class Case(NamedTuple):
    """An experiment.

    Attributes:
        data: What is learned from.
        model: The network, at settings that do not vary.
        training: How, likewise.
        vary: What varies.
        repeats: Of each setting.
        draw: Its figure.
        finding: What the figure shows, in a sentence.
        metrics: What judges; None: accuracy.
    """

    data: Any
    model: MLP
    training: Training
    vary: dict[str, list[Any]]
    repeats: int
    draw: "Callable[[Result], Figure]"
    finding: "Callable[[Result], str]"
    metrics: list[str] | None = None

    def experiment(self) -> Experiment:
        """It in secchi."""
        return Experiment(
            self.data,
            self.model,
            self.training,
            vary=self.vary,
            repeats=self.repeats,
            metrics=self.metrics,
        )


class Measured(NamedTuple):
    """One experiment.

    Attributes:
        trials: How many networks.
        ours: Seconds of secchi.
        loop: Seconds of a network in the loop.
        judging: Likewise, judged after every epoch.
        finding: What the figure shows.
    """

    trials: int
    ours: float
    loop: float
    judging: float
    finding: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="?", type=Path, metavar="PATH")
    parser.add_argument("--only", metavar="NAMES", help="such as slopes,hidden_units")
    parser.add_argument("--repeats", type=whole_number, help="fewer, for a short run")
    parser.add_argument("--sample", type=whole_number, default=8, help="networks of each loop")
    parser.add_argument("--out", type=Path, help="a folder for the figures")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args()
    measured: dict[str, Measured] = {}
    with wine_table(args.path) as table:
        known = cases(table)
        names = args.only.split(",") if args.only else list(known)
        if unknown := [name for name in names if name not in known]:
            parser.error(f"--only: {unknown[0]!r} is none of {', '.join(known)}")
        for name in names:
            case = known[name]
            if args.repeats:
                case = case._replace(repeats=args.repeats)
            measured[name] = measure(name, case, table, args)
    if args.json:
        print(json.dumps({name: each._asdict() for name, each in measured.items()}))
    else:
        report(measured)


def measure(name: str, case: Case, table: Path, args: argparse.Namespace) -> Measured:
    """Both sides of one experiment, and its figure."""
    say(f"secchi, {name.replace('_', ' ')}")
    started = time.perf_counter()
    experiment = case.experiment()
    result = experiment.run()
    ours = time.perf_counter() - started
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        case.draw(result).savefig(args.out / f"{name}.png", dpi=150)

    settings = [dict(setting) for setting in experiment.settings]
    trials = [[setting, repeat] for repeat, setting in enumerate(spread(settings, args.sample))]
    loops = [ordinary_seconds(name, trials, case.training.epochs, table)]
    if case.training.batch_size == ALL_ROWS:
        option = "--judge-each-epoch"
        loops.append(ordinary_seconds(name, trials, case.training.epochs, table, option))
    loop, judging = (sum(seconds) / len(trials) for seconds in (loops[0], loops[-1]))
    return Measured(len(experiment.trials), ours, loop, judging, case.finding(result))


def spread(settings: list[dict[str, Any]], sample: int) -> list[dict[str, Any]]:
    """One from the middle of each even share of them.

    >>> spread([{"lr": lr} for lr in range(10)], 2)
    [{'lr': 2}, {'lr': 7}]
    """
    number = min(sample, len(settings))
    return [settings[int((place + 0.5) * len(settings) / number)] for place in range(number)]


# ---------------------------------------------------------------- the experiments


def cases(table: Path) -> Mapping[str, Case]:
    """By their names in peers/ordinary_loops.py."""
    iris = TableData.from_arrays(*load_iris(return_X_y=True), task="class", scale="none")
    wine = TableData.from_csv(table, "quality", sep=";", above=5, scale="zscore")
    two, three = Qwerties(classes=2, rows=200), Qwerties(classes=3, rows=900)
    rings = Rings(rows=400)
    return {
        "slopes": Case(
            Line(rows=50),
            MLP([1]),
            descent(0.05, 500),
            {"slope": linspace(-2, 2, 21)},
            50,
            lambda result: result.plot("slope", "valid_r"),
            findings.slopes,
            ["r", "rmse"],
        ),
        "rates": Case(
            two,
            MLP([16, 1]),
            descent(0.01, 1000),
            {"lr": logspace(1e-3, 1, 40)},
            50,
            lambda result: result.plot("lr", "valid_accuracy"),
            findings.rates,
        ),
        "hidden_units": Case(
            iris,
            MLP(depth=1, width=1),
            descent(0.01, 150),
            {"width": list(range(1, 129))},
            10,
            lambda result: result.plot("width", "valid_accuracy"),
            findings.hidden_units,
        ),
        "depth_and_width": Case(
            iris,
            MLP(depth=1, width=4),
            descent(0.01, 500),
            {"depth": [1, 2, 3, 4, 5], "width": list(range(4, 101, 8))},
            5,
            lambda result: result.plot("width", "valid_accuracy", color="depth"),
            findings.depth_and_width,
        ),
        "dropout": Case(
            rings,
            MLP([128, 128]),
            descent(0.02, 200, 16),
            {"dropout": [tenth / 10 for tenth in range(10)]},
            20,
            lambda result: result.plot("dropout", "valid_accuracy"),
            findings.dropout,
        ),
        "momentum": Case(
            three,
            MLP([8, 8]),
            descent(0.01, 25, 32),
            {"momentum": [0.0, 0.5, 0.9, 0.95, 0.999]},
            20,
            lambda result: result.plot("epoch", "valid_accuracy", color="momentum"),
            findings.momentum,
        ),
        "batch_sizes": Case(
            wine,
            MLP([16, 32, 32]),
            descent(0.01, 200, 64),
            {"batch_size": [8, 32, 128, 512]},
            20,
            lambda result: result.plot("epoch", "valid_accuracy", color="batch_size"),
            findings.batch_sizes,
        ),
    }


def descent(lr: float, epochs: int, batch_size: int = ALL_ROWS) -> Training:
    """Plain gradient descent."""
    return Training("sgd", lr=lr, batch_size=batch_size, epochs=epochs, weight_decay=0.0)


# ---------------------------------------------------------------- report


def report(measured: Mapping[str, Measured]) -> None:
    rows = [
        line(name.replace("_", " "), each.trials, each.ours, *in_all(each), each.loop)
        for name, each in measured.items()
    ]
    sums = [sum(values) for values in zip(*map(in_all, measured.values()), strict=True)]
    trials = sum(each.trials for each in measured.values())
    rows.append(line("in sum", trials, sum(each.ours for each in measured.values()), *sums))
    columns = ["experiment", "networks", "secchi, s", "loop, ms each", "loop, s in all"]
    columns += ["faster", "wanted", "judging each epoch"]
    print_table("Experiments, and their loops scaled up from a sample", columns, rows)
    print()
    for name, each in measured.items():
        print(f"{name.replace('_', ' ')}: {each.finding}")


def in_all(measured: Measured) -> tuple[float, float]:
    """Seconds that both loops would take for all networks."""
    return measured.loop * measured.trials, measured.judging * measured.trials


def line(
    name: str, trials: int, ours: float, loop: float, judging: float, each: float | None = None
) -> list[str]:
    return [
        name,
        f"{trials:,}",
        f"{ours:.2f}",
        f"{1000 * each:,.0f}" if each else "",
        f"{loop:,.0f}",
        ratio(loop, ours, 1),
        "" if each else f"{WANTED:.0f}x",
        ratio(judging, ours, 1),
    ]


if __name__ == "__main__":
    main()
