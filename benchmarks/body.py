"""Training a body: pictures a second of the training half of an epoch.

Every peer trains the same network (EfficientNet-Lite0, pretrained) on the same pictures at 224 px,
in batches of as many, in a process of its own. The first epoch of each warms up and does not count;
neither does validation.

- secchi: ``Learner.unfreeze().fit()`` with its default settings;
- torch: peers/torch_loop.py, the loop that an expert writes by hand (channels last, bf16 under
  autocast, fused AdamW, pictures decoded before and kept in memory as bytes), with batch
  normalisation in training mode, as torch has it, and in evaluation mode, as secchi has it;
- torch-fp32: the same without autocast, since some bf16 kernels of torch are slower than fp32;
- fastai: peers/fastai_learner.py, ``vision_learner`` unfrozen, its loader as its users run it (it
  decodes in every epoch). It needs the extra ``bench``, or --fastai-python.

With --freeze-to the layers before that group are frozen: secchi reads their activations, which it
computed once and are not in the seconds, and the torch loops compute them in every step, without a
gradient.

With --compile secchi and the torch loops run once more, compiled by torch; what that costs is in
the column of the first epoch.
"""

import argparse
import json
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

PEERS = ("secchi", "torch", "torch-fp32", "fastai")
BATCH = 64
PICTURES = 576
"""Of them 384 are for training: six batches."""

SECCHI = "secchi"


class Row(NamedTuple):
    """A row of the table, and how it is run.

    Attributes:
        name: Its first cell.
        peer: Which of :data:`PEERS` it belongs to.
        options: What its script is given besides.
    """

    name: str
    peer: str
    options: tuple[str, ...] = ()


class Measured(NamedTuple):
    """What one process did.

    Attributes:
        rates: Pictures a second, of each epoch that counts.
        first: Seconds of the first epoch beyond those of the others.
    """

    rates: list[float]
    first: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.set_defaults(pictures=PICTURES)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"which of {','.join(PEERS)}")
    parser.add_argument("--epochs", type=whole_number, default=2, help="that count, in a process")
    parser.add_argument("--rounds", type=whole_number, default=1, help="processes of each")
    parser.add_argument(
        "--freeze-to", metavar="GROUP", help="the first layer group that trains (all; no fastai)"
    )
    parser.add_argument("--compile", action="store_true", help="compiled networks too")
    parser.add_argument(
        "--fastai-python", default=sys.executable, metavar="PATH", help="a Python that has fastai"
    )
    args = parser.parse_args()
    peers = args.peers.split(",")
    if unknown := [peer for peer in peers if peer not in PEERS]:
        parser.error(f"--peers: {unknown[0]!r} is none of {', '.join(PEERS)}")
    if "fastai" in peers and (reason := why_not_fastai(args.fastai_python)):
        say(f"fastai is skipped: {reason}")
        peers.remove("fastai")
    rows = [row for row in all_rows(args.compile, args.freeze_to) if row.peer in peers]
    if not rows:
        fail("no peer is left to run")

    results: dict[Row, list[Measured]] = {row: [] for row in rows}
    with pictures(args.path, args.pictures) as data, scratch() as place:
        counts = count_pictures(data)
        for number in range(args.rounds):
            for row in rows:
                say(f"round {number + 1} of {args.rounds}: {row.name}")
                measured = measure(row, data, place, args.epochs, args.fastai_python)
                say(f"  {statistics.median(measured.rates):.1f} pictures a second")
                results[row].append(measured)
    report(results, counts, args)


def all_rows(compiled: bool, freeze_to: str | None) -> list[Row]:
    """Every row there can be, in the order of the table."""
    frozen = ("--freeze-to", freeze_to) if freeze_to else ()
    plain = [Row(SECCHI, "secchi", frozen)]
    for peer, name in (("torch", "torch loop"), ("torch-fp32", "torch loop, fp32")):
        precision = (*frozen, *(("--precision", "fp32") if peer == "torch-fp32" else ()))
        plain += [
            Row(f"{name}, batch statistics", peer, precision),
            Row(f"{name}, frozen statistics", peer, (*precision, "--frozen-statistics")),
        ]
    more = [Row(f"{r.name}, compiled", r.peer, (*r.options, "--compile")) for r in plain]
    return [*plain, *(more if compiled else []), *([] if frozen else [Row("fastai", "fastai")])]


def measure(row: Row, data: Path, place: Path, epochs: int, fastai_python: str) -> Measured:
    """Run one process."""
    if row.peer == "secchi":
        command = [sys.executable, "secchi_body.py", str(data), "--cache", str(place / "cache")]
        command += ["--batch-size", str(BATCH), "--epochs", str(epochs)]
    elif row.peer == "fastai":
        # fine_tune freezes the body first: no epoch of that.
        command = [fastai_python, "fastai_learner.py", str(data)]
        command += ["--epochs", str(1 + epochs), "--freeze-epochs", "0"]
        command += ["--weights", str(packaged_weights())]
    else:
        command = [sys.executable, "torch_loop.py", str(data), "--batch-size", str(BATCH)]
        command += ["--epochs", str(epochs), "--weights", str(packaged_weights())]
    command[1] = str(PEER_FOLDER / command[1])
    done = run_process([*command, *row.options], place)
    answer: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    seconds = answer["epoch_seconds"]
    if len(seconds) != 1 + epochs:
        fail(f"{row.name} trained {len(seconds)} epochs, not {1 + epochs}: {answer}")
    trained = answer["pictures"]
    if row.peer == "fastai" and trained > BATCH:
        trained -= trained % BATCH  # it leaves out the last batch where that is not full
    rates = [trained / one for one in seconds[1:]]
    return Measured(rates, seconds[0] - statistics.median(seconds[1:]))


def report(
    results: dict[Row, list[Measured]], counts: dict[str, int], args: argparse.Namespace
) -> None:
    rates = {row: [rate for one in each for rate in one.rates] for row, each in results.items()}
    middle = {row.name: statistics.median(several) for row, several in rates.items()}
    ours = middle.get(SECCHI)
    rows = [
        [
            row.name,
            f"{middle[row.name]:.1f}",
            f"{min(several):.1f}",
            f"{max(several):.1f}",
            ratio(ours, middle[row.name]),
            f"{statistics.median(one.first for one in results[row]):+.1f} s",
        ]
        for row, several in rates.items()
    ]
    print_table(
        f"Training a body from {args.freeze_to or 'its first layer'} on, batches of {BATCH}, 224 "
        f"px; {counts['train']:,} training pictures; epochs: {args.epochs}, rounds: {args.rounds}\n"
        "(pictures a second of the training half of an epoch; the first epoch is left out, and "
        "what it\ntook beyond the others is in the last column)",
        ["", "median", "lowest", "highest", "secchi to it", "first epoch"],
        rows,
    )


if __name__ == "__main__":
    main()
