"""How long a person waits before anything happens: whole processes, against importing torch.

The second ``secchi train`` finds all features in the cache; ``secchi predict`` predicts one picture
that it has not seen before.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from common import (
    count_pictures,
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

REFERENCE = 'python -c "import torch"'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--rounds", type=whole_number, default=7)
    args = parser.parse_args()
    with pictures(args.path, args.pictures) as data, scratch() as place:
        counts = count_pictures(data)
        seconds = measure(data, place, args.rounds)
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    rows = [
        [
            name,
            f"{middle[name]:.2f}",
            f"{min(each):.2f}",
            f"{max(each):.2f}",
            ratio(middle[name], middle[REFERENCE]),
        ]
        for name, each in seconds.items()
    ]
    print_table(
        f"Starting up; seconds of the whole process; {counts['train']:,} training and "
        f"{counts['valid']:,} validation pictures; rounds: {args.rounds}",
        ["", "median", "lowest", "highest", "to import torch"],
        rows,
    )


def measure(data: Path, place: Path, rounds: int) -> dict[str, list[float]]:
    """Run every command in turn, round after round, the first one untimed; seconds by name."""
    environment = {"SECCHI_CACHE": str(place / "cache")}
    say("training once, to fill the cache")
    train = train_command(data, place / "runs")
    run = json.loads(run_process(train, place, environment).output)["run"]
    some_picture = next(p for p in sorted((data / "valid").rglob("*.*")) if p.is_file())
    news = unseen_copies(some_picture, place)

    secchi = [sys.executable, "-m", "secchi"]
    commands: dict[str, Callable[[], list[str]]] = {
        "python -c pass": lambda: [sys.executable, "-c", "pass"],
        REFERENCE: lambda: [sys.executable, "-c", "import torch"],
        'python -c "import secchi"': lambda: [sys.executable, "-c", "import secchi"],
        "secchi --help": lambda: [*secchi, "--help"],
        "secchi train, the second time": lambda: train,
        "secchi predict, one picture": lambda: [*secchi, "predict", run, str(news())],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        for name, command in commands.items():
            done = run_process(command(), place, environment)
            if number:
                seconds[name].append(done.seconds)
    return seconds


def unseen_copies(picture: Path, place: Path) -> Callable[[], Path]:
    """Gives a copy of the picture with other bytes at every call, so that no cache knows it."""
    made = 0

    def another() -> Path:
        nonlocal made
        made += 1
        copy = place / f"unseen_{made}{picture.suffix}"
        shutil.copyfile(picture, copy)
        with copy.open("ab") as file:
            file.write(bytes(made))
        return copy

    return another


if __name__ == "__main__":
    main()
