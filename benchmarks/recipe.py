"""``secchi recipe`` from cold beside fastai's ``fine_tune`` with its augmentation.

The same pictures, body and weights (EfficientNet-Lite0, 224 px), each in a process of its own that
is timed from outside, imports included:

- secchi: ``secchi recipe`` with its default settings and an empty cache, the whole body trained;
- frozen: the same with --freeze-to, so that the first part of the body is computed once;
- fastai: peers/fastai_learner.py, ``vision_learner`` with ``aug_transforms``,
  ``fine_tune(7, freeze_epochs=5)`` and ``tta`` (hours without a GPU). It needs the extra ``bench``,
  or --fastai-python. --keep FILE keeps its answer, and --fastai-result FILE takes it from there.

Accuracies are compared by the 95 % interval of the difference of two proportions, of as many
pictures each, as if those were different pictures: Newcombe's (1998, method 10), out of Wilson's
score intervals. It is wider than one of paired answers would be, which fastai's are not kept for.
"""

import argparse
import datetime
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cold_start import PEER_FOLDER, packaged_weights, why_not_fastai
from common import (
    count_pictures,
    fail,
    picture_arguments,
    pictures,
    print_table,
    ratio,
    run_process,
    say,
    scratch,
    whole_number,
)

PEERS = ("secchi", "frozen", "fastai")
FASTAI = ("--epochs", "7", "--freeze-epochs", "5", "--augment", "--tta")
Z = statistics.NormalDist().inv_cdf(0.975)


class Step(NamedTuple):
    """A part of a training.

    Attributes:
        name: What was done.
        accuracy: After it, on the validation pictures; None where it trained nothing.
        brought: What it changed, with its noise.
    """

    name: str
    accuracy: float | None
    brought: str = ""


class Measured(NamedTuple):
    """One process, or the medians of several.

    Attributes:
        seconds: The whole process.
        accuracy: On the validation pictures.
        tta: Likewise, with test-time augmentation.
        at_least: Whether it took longer than ``seconds``, which tell only a part.
        steps: What it did in which order: a name, and the accuracy after it or None.
    """

    seconds: float
    accuracy: float
    tta: float
    at_least: bool = False
    steps: tuple[Step, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"which of {','.join(PEERS)}")
    parser.add_argument("--rounds", type=whole_number, default=1, help="of secchi; medians")
    parser.add_argument(
        "--freeze-to", default="blocks.5", metavar="GROUP", help="of the peer frozen"
    )
    parser.add_argument("--fastai-result", type=Path, metavar="FILE", help="of an earlier run")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where to write fastai's result")
    parser.add_argument(
        "--fastai-python", default=sys.executable, metavar="PATH", help="a Python that has fastai"
    )
    args = parser.parse_args()
    peers = args.peers.split(",")
    if unknown := [peer for peer in peers if peer not in PEERS]:
        parser.error(f"--peers: {unknown[0]!r} is none of {', '.join(PEERS)}")
    earlier = read_result(args.fastai_result) if args.fastai_result else None
    if "fastai" in peers and not earlier and (reason := why_not_fastai(args.fastai_python)):
        say(f"fastai is skipped: {reason}")
        peers.remove("fastai")
        if not peers:
            fail("no peer is left to run")

    results: dict[str, Measured] = {}
    with pictures(args.path, args.pictures) as data:
        counts = count_pictures(data)
        for name, options in secchis(peers, args.freeze_to).items():
            several = []
            for number in range(args.rounds):
                say(f"round {number + 1} of {args.rounds}: {name}")
                several.append(run_secchi(data, options))
                say(f"  {several[-1].seconds:.1f} s")
            results[name] = median(several)
        if "fastai" in peers:
            answer = earlier or run_fastai(args.fastai_python, data, args.keep)
            if answer["pictures"] != counts["train"]:
                fail(f"fastai trained on {answer['pictures']} pictures, not {counts['train']}")
            results["fastai"] = measured_by(answer)
    report(results, counts, args.rounds, about_fastai(args.fastai_result, results))


def secchis(peers: list[str], freeze_to: str) -> dict[str, list[str]]:
    """The options of ``secchi recipe``, by the name of the row."""
    rows = {
        "secchi": ("secchi recipe", []),
        "frozen": (f"from {freeze_to} on", ["--freeze-to", freeze_to]),
    }
    return dict(rows[peer] for peer in peers if peer in rows)


def run_secchi(data: Path, options: list[str]) -> Measured:
    """``secchi recipe`` with a cache of its own."""
    with scratch() as folder:
        command = [sys.executable, "-m", "secchi", "recipe", str(data), "--json"]
        command += ["--out", str(folder / "runs"), *options]
        done = run_process(command, folder, {"SECCHI_CACHE": str(folder / "cache")})
    answer = json.loads(done.output)
    steps = tuple(
        Step(step["name"], step["score"], brought(step)) for step in answer["recipe"]["steps"]
    )
    accuracy, with_views = answer["valid"]["accuracy"], answer["tta"]["accuracy"]
    return Measured(done.seconds, accuracy, with_views, steps=steps)


def brought(step: dict[str, Any]) -> str:
    """What a step of the recipe decided, or changed in accuracy, with its paired interval."""
    gain = step["gain"]
    if gain is None:
        return str(step["decided"])
    words = "beyond noise" if gain["beyond_noise"] else "within noise"
    kept = ", not kept" if step["kept"] is False else ""
    return f"{gain['difference']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}, {words}{kept})"


# ---------------------------------------------------------------- fastai


def run_fastai(python: str, data: Path, keep: Path | None) -> dict[str, Any]:
    """What fastai's process printed, with its seconds."""
    say("fastai")
    command = [python, str(PEER_FOLDER / "fastai_learner.py"), str(data), *FASTAI]
    with scratch() as folder:
        done = run_process([*command, "--weights", str(packaged_weights())], folder)
    say(f"  {done.seconds:.1f} s")
    answer: dict[str, Any] = json.loads(done.output.splitlines()[-1]) | {"seconds": done.seconds}
    if keep:
        keep.write_text(json.dumps(answer) + "\n", encoding="utf-8")
    return answer


def read_result(file: Path) -> dict[str, Any]:
    """What an earlier run of fastai printed last, with its seconds where --keep wrote it."""
    try:
        answer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
        measured_by(answer)
        answer["pictures"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        fail(f"--fastai-result {file} is not what peers/fastai_learner.py --tta printed: {error!r}")
    return answer


def measured_by(answer: dict[str, Any]) -> Measured:
    """Without the process's own seconds, those of the training halves of its epochs."""
    whole = answer.get("seconds")
    seconds = sum(answer["epoch_seconds"]) if whole is None else whole
    # fastai's recorder has the epochs with the body unfrozen.
    steps = [
        Step(f"epoch {number} of the whole body", accuracy)
        for number, accuracy in enumerate(answer["accuracies"], start=1)
    ]
    steps.append(Step("test-time augmentation", answer["tta_accuracy"]))
    accuracy, with_views = answer["accuracy"], answer["tta_accuracy"]
    return Measured(seconds, accuracy, with_views, whole is None, tuple(steps))


def about_fastai(file: Path | None, results: dict[str, Measured]) -> str:
    """What the table has to say of an earlier run."""
    fastai = results.get("fastai")
    if file is None or fastai is None:
        return ""
    day = datetime.date.fromtimestamp(file.stat().st_mtime).isoformat()
    part = "; its seconds are those of the training half of its epochs alone"
    return (
        f"\n(fastai was not run beside the others: its row is from {file.name}, "
        f"of {day}{part if fastai.at_least else ''})"
    )


# ---------------------------------------------------------------- table


def median(several: list[Measured]) -> Measured:
    """Of each figure."""
    figures = ((one.seconds, one.accuracy, one.tta) for one in several)
    middle = (statistics.median(values) for values in zip(*figures, strict=True))
    return Measured(*middle, steps=several[0].steps)


def report(results: dict[str, Measured], counts: dict[str, int], rounds: int, remark: str) -> None:
    fastai = results.get("fastai")
    rows = [
        [
            name,
            f"{'> ' if one.at_least else ''}{one.seconds:.1f}",
            shorter(one, fastai),
            f"{one.accuracy:.4f}",
            against(one.accuracy, fastai and fastai.accuracy, counts["valid"]),
            f"{one.tta:.4f}",
            against(one.tta, fastai and fastai.tta, counts["valid"]),
        ]
        for name, one in results.items()
    ]
    print_table(
        f"Whole processes from cold; {counts['train']:,} training and {counts['valid']:,} "
        f"validation pictures; rounds of secchi: {rounds}{remark}\n"
        "(the difference to fastai's accuracy, with Newcombe's 95 % interval for unpaired answers)",
        ["", "seconds", "fastai to it", "accuracy", "difference", "with TTA", "difference"],
        rows,
    )
    for name, one in results.items():
        print_table(
            f"{name}: the accuracy after each step, and what it brought (its first round)",
            ["step", "accuracy", "brought"],
            [
                [step.name, "" if step.accuracy is None else f"{step.accuracy:.4f}", step.brought]
                for step in one.steps
            ],
        )


def shorter(one: Measured, fastai: Measured | None) -> str:
    """How many times as long fastai takes."""
    if fastai is None:
        return "-"
    return ("> " if fastai.at_least and one is not fastai else "") + ratio(
        fastai.seconds, one.seconds, 1
    )


def against(accuracy: float, reference: float | None, pictures: int) -> str:
    """The difference as a cell, with its interval."""
    if reference is None:
        return "-"
    low, high = newcombe(accuracy, reference, pictures)
    return f"{accuracy - reference:+.4f} ({low:+.4f} to {high:+.4f})"


def newcombe(first: float, second: float, n: int) -> tuple[float, float]:
    """The 95 % interval of ``first - second``, two proportions of n each.

    Newcombe (1998), Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17, method 10.

    >>> [round(end, 4) for end in newcombe(56 / 70, 48 / 70, 70)]
    [-0.0293, 0.2538]
    """
    (low, high), (other_low, other_high) = wilson(first, n), wilson(second, n)
    difference = first - second
    return (
        difference - math.hypot(first - low, other_high - second),
        difference + math.hypot(high - first, second - other_low),
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion."""
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)


if __name__ == "__main__":
    main()
