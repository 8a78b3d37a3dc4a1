"""Many small networks, each at a rate and from first weights of its own, by four ways of training.

Red wines, quality above 5, z-scored; 11-16-32-32-1 units, ReLU; stochastic gradient descent with
batches of 64, 20 epochs (380 steps). Every way computes in a process of its own:

- loop: a network after the other in plain PyTorch with its ``DataLoader``, judged on the rows held
  out after every epoch (peers/ordinary_loops.py); a sample, at its faster of one core and all;
- sklearn: ``MLPClassifier`` through joblib on all cores, a sample; never judged on rows held out;
- jax: ``jit(vmap(lax.scan))``, 200 at once, judged after every epoch; compiling is not counted. It
  is as JAX takes the processor, for one device; "on all cores" is told to take every core for one;
- secchi: ``Experiment(...).run()``, judged after every epoch, all of it counted: making the
  experiment, first weights and batch orders, and its result.

JAX and secchi begin with the same weights and take the same batches in the same order; where their
losses differ, the benchmark fails. The last line is what the arithmetic alone would take: 6 x
weights x rows x steps floating-point operations at the speed of large float32 matrix products.
JAX needs the extra ``bench``, or --jax-python.

PATH is the table of the red wines (winequality-red.csv, P. Cortez and others, 2009). Without it and
without those, rows of as many columns are made.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from common import cores, fail, print_table, ratio, say, scratch, whole_number
from loops import PEERS, answer_of, ordinary_seconds, wine_table

WAYS = ("loop", "sklearn", "jax", "secchi")
HIDDEN = [16, 32, 32]
BATCH_SIZE = 64
EPOCHS = 20
RATES = 20
SIZES = (1, 10, 100, 200, 1000, 10_000)
MOST_OF_JAX = 1000
"""More networks take it as long each: it has them 200 at a time."""

WANTED = {"loop": 60.0, "jax": 2.5}
SAME = 1e-3
STABLE = 0.1
"""Up to this rate two ways of rounding stay together."""


class Answers(NamedTuple):
    """What was measured, in seconds a network; of JAX and secchi, what each said by their number.

    Attributes:
        loop: Of each network of the sample.
        sklearn: The mean.
        jax: The answers of peers/jax_scan.py.
        jax_on_all: With a device a core.
        secchi: The answers of peers/secchi_cohort.py.
        limit: What the arithmetic alone would take.
    """

    loop: list[float]
    sklearn: float | None
    jax: dict[int, dict[str, Any]]
    jax_on_all: float | None
    secchi: dict[int, dict[str, Any]]
    limit: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="?", type=Path, metavar="PATH")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"which of {','.join(WAYS)}")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of networks")
    parser.add_argument("--sample", type=whole_number, default=5, help="networks of the loop")
    parser.add_argument("--rounds", type=whole_number, default=3, help="of up to 1,000; medians")
    parser.add_argument(
        "--jax-python", default=sys.executable, metavar="PATH", help="a Python that has JAX"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args()
    ways = args.ways.split(",")
    if unknown := [way for way in ways if way not in WAYS]:
        parser.error(f"--ways: {unknown[0]!r} is none of {', '.join(WAYS)}")
    sizes = [whole_number(size) for size in args.sizes.split(",")]
    if uneven := [size for size in sizes if size > RATES and size % RATES]:
        parser.error(f"--sizes: {uneven[0]} is not so many times {RATES} rates")
    if "jax" in ways and (reason := why_not_jax(args.jax_python)):
        say(f"jax is skipped: {reason}")
        ways.remove("jax")
    with wine_table(args.path) as table, scratch() as folder:
        answers = measured(ways, sizes, args, table, folder)
    check_same(answers)
    if args.json:
        print(json.dumps(document(answers)))
    else:
        report(answers)


def measured(
    ways: list[str], sizes: list[int], args: argparse.Namespace, table: Path, folder: Path
) -> Answers:
    """All ways after each other, secchi and JAX in turns."""
    sample = spread(args.sample)
    rows, weights = rows_file(table, folder, max([1, *sizes]) if "jax" in ways else 1)
    say("large matrix products")
    limit = 6 * weights * BATCH_SIZE * steps(rows) / flops_per_second()
    loop = loop_seconds(table, sample) if "loop" in ways else []
    sklearn = sklearn_seconds(rows) if "sklearn" in ways else None
    jax: dict[int, dict[str, Any]] = {}
    secchi: dict[int, dict[str, Any]] = {}
    for size in sizes:
        if "jax" in ways and size <= MOST_OF_JAX:
            say(f"jax, {size:,} networks")
            jax[size] = run_jax(args, rows, size)
        if "secchi" in ways:
            say(f"secchi, {size:,} networks")
            secchi[size] = run_secchi(args, table, size)
    on_all = None
    if "jax" in ways and 200 in sizes:
        say("jax on all cores, 200 networks")
        on_all = run_jax(args, rows, 200, devices=cores())["seconds"] / 200
    return Answers(loop, sklearn, jax, on_all, secchi, limit)


# ---------------------------------------------------------------- rows and rates


def rates_of(size: int) -> list[float]:
    """The rates of one repeat: 20 from 0.001 to 0.5, or as many as there are networks."""
    number = min(size, RATES)
    return [1e-3 * 500 ** (place / max(number - 1, 1)) for place in range(number)]


def repeats_of(size: int) -> int:
    return max(1, size // RATES)


def spread(sample: int) -> list[float]:
    """Rates of a sample of networks, each from the middle of an even share of them."""
    rates = rates_of(RATES)
    return [rates[int((place + 0.5) * RATES / sample)] for place in range(sample)]


def rows_file(table: Path, folder: Path, most: int) -> tuple[Path, int]:
    """A file with what secchi begins with, and how many weights a network has.

    In it: the rows of each split, and the first weights and batch orders of each repeat.
    """
    import numpy as np

    from secchi import MLP, TableData
    from secchi.seeding import stream, stream_seed
    from secchi.transforms.table import TableTransform

    data = TableData.from_csv(table, "quality", sep=";", above=5, scale="zscore")
    transform = TableTransform.fit(data.train.frame, data.scale)
    arrays: dict[str, Any] = {}
    for split in (data.train, data.valid):
        arrays[f"{split.name}_inputs"] = transform.apply(split.frame).astype(np.float32)
        arrays[f"{split.name}_truth"] = split.labels.values[0].astype(np.float32)
    rows, width = arrays["train_inputs"].shape
    seeds = [stream_seed(0, "repeat", r) for r in range(repeats_of(min(most, MOST_OF_JAX)))]
    filled = rows - rows % BATCH_SIZE
    orders = [
        [
            stream(seed, f"batch order of epoch {e}").permutation(rows)[:filled]
            for e in range(EPOCHS)
        ]
        for seed in seeds
    ]
    shape = (len(seeds), EPOCHS, -1, BATCH_SIZE)
    arrays["orders"] = np.array(orders, np.int32).reshape(shape)
    nets = [list(MLP(HIDDEN).build(width, 1, seed=seed).parameters()) for seed in seeds]
    for place in range(len(nets[0])):
        name = f"{'bias' if place % 2 else 'weight'}{place // 2}"
        arrays[name] = np.stack([net[place].detach().numpy() for net in nets])
    file = folder / "rows.npz"
    np.savez(file, **arrays)
    return file, sum(parameter.numel() for parameter in nets[0][::2])


def steps(rows: Path) -> int:
    import numpy as np

    return math.prod(np.load(rows)["orders"].shape[1:3])


# ---------------------------------------------------------------- the ways


def loop_seconds(table: Path, rates: list[float]) -> list[float]:
    """Seconds of each network of the sample, at its faster of one core and all."""
    trials = [[{"batch_size": BATCH_SIZE, "lr": rate}, n] for n, rate in enumerate(rates)]
    return ordinary_seconds("batch_sizes", trials, EPOCHS, table)


def sklearn_seconds(rows: Path) -> float:
    """Seconds a network."""
    rates = rates_of(RATES)
    say(f"sklearn, {len(rates)} networks")
    command = [sys.executable, str(PEERS / "sklearn_joblib.py"), str(rows)]
    command += ["--rates", json.dumps(rates), "--hidden", json.dumps(HIDDEN)]
    return answer_of([*command, "--cores", str(cores())])["seconds"] / len(rates)


def run_jax(args: argparse.Namespace, rows: Path, size: int, devices: int = 1) -> dict[str, Any]:
    command = [args.jax_python, str(PEERS / "jax_scan.py"), str(rows)]
    command += ["--rates", json.dumps(rates_of(size)), "--networks", str(size)]
    return answer_of([*command, "--devices", str(devices), "--rounds", str(args.rounds)])


def run_secchi(args: argparse.Namespace, table: Path, size: int) -> dict[str, Any]:
    command = [sys.executable, str(PEERS / "secchi_cohort.py"), str(table)]
    command += ["--rates", json.dumps(rates_of(size)), "--repeats", str(repeats_of(size))]
    command += ["--hidden", json.dumps(HIDDEN), "--batch-size", str(BATCH_SIZE)]
    rounds = args.rounds if size <= 1000 else 1
    return answer_of([*command, "--epochs", str(EPOCHS), "--rounds", str(rounds)])


def why_not_jax(python: str) -> str | None:
    """What keeps JAX from being measured, or None."""
    done = subprocess.run([python, "-c", "import jax"], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


def flops_per_second() -> float:
    """Of large float32 matrix products on all cores: the best of ten."""
    import torch

    torch.set_num_threads(cores())
    side = 3000
    one = torch.randn(side, side)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        one @ one
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


# ---------------------------------------------------------------- report


def check_same(answers: Answers) -> None:
    """Fail where the networks of JAX and secchi are not the same ones."""
    for size in answers.jax.keys() & answers.secchi.keys():
        pairs = zip(
            rates_of(size),
            answers.secchi[size]["valid_losses"],
            answers.jax[size]["valid_losses"],
            strict=True,
        )
        for rate, ours, theirs in pairs:
            if rate <= STABLE and not math.isclose(ours, theirs, rel_tol=SAME):
                fail(f"rate {rate:.4g}: secchi's loss is {ours}, that of JAX {theirs}")


def each(answers: dict[int, dict[str, Any]], size: int) -> float | None:
    """Seconds a network."""
    return answers[size]["seconds"] / size if size in answers else None


def report(answers: Answers) -> None:
    sizes = sorted(answers.secchi.keys() | answers.jax.keys())
    if sizes:
        columns = ["networks", "secchi, ms each", "of which all", "peak, MB", "start, s"]
        columns += ["jax, ms each", "peak, MB", "compile, s", "jax / secchi"]
        print_table("By the number of networks", columns, [size_row(answers, n) for n in sizes])
    ways: dict[str, float | None] = {
        "loop": sum(answers.loop) / len(answers.loop) if answers.loop else None,
        "sklearn": answers.sklearn,
        "jax": each(answers.jax, 200),
        "jax on all cores": answers.jax_on_all,
        "arithmetic": answers.limit,
    }
    ours = {size: each(answers.secchi, size) for size in (200, 1000)}
    rows = [
        [
            name,
            cell(seconds, 1e3, 2),
            *(ratio(seconds, ours[size], 1) for size in ours),
            f"{WANTED[name]:.1f}x" if name in WANTED else "",
        ]
        for name, seconds in ways.items()
        if seconds is not None
    ]
    columns = ["way", "ms a network", "/ secchi, 200", "/ secchi, 1,000", "wanted"]
    print_table("11-16-32-32-1, batches of 64, 20 epochs", columns, rows)


def size_row(answers: Answers, size: int) -> list[str]:
    ours, theirs = answers.secchi.get(size, {}), answers.jax.get(size, {})
    return [
        f"{size:,}",
        cell(each(answers.secchi, size), 1e3, 2),
        cell(ours.get("seconds"), 1, 2),
        cell(ours.get("peak_bytes"), 1e-6, 0),
        cell(ours.get("first_seconds"), 1, 2),
        cell(each(answers.jax, size), 1e3, 2),
        cell(theirs.get("peak_bytes"), 1e-6, 0),
        cell(theirs.get("compile_seconds"), 1, 1),
        ratio(each(answers.jax, size), each(answers.secchi, size)),
    ]


def cell(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value * unit:,.{digits}f}"


def document(answers: Answers) -> dict[str, Any]:
    """As plain JSON values, in seconds and bytes."""
    return {
        "loop_seconds": answers.loop,
        "sklearn_seconds": answers.sklearn,
        "arithmetic_seconds": answers.limit,
        "jax": answers.jax,
        "jax_on_all_cores_seconds": answers.jax_on_all,
        "secchi": answers.secchi,
    }


if __name__ == "__main__":
    main()
