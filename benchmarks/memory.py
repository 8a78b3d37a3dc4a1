"""Peak memory of ``secchi train`` on some pictures and on four times as many.

What counts is anonymous resident memory (RssAnon of Linux's /proc), summed over the process and
its children: features are mapped from files, and the system takes mapped pages back when it needs
them. The body is converted before; features are computed anew in every run. Pixels wait for the
body in a store of 256 MB at most (some 1,700 pictures): fewer pictures than that show its filling,
not the growth.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from common import (
    count_pictures,
    fail,
    link_or_copy,
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

TIMES = 4
PAUSE = 0.01
"""Seconds between two looks at a process."""


class Peak(NamedTuple):
    """The largest sums that were seen, in MB, and how long the process took."""

    anonymous: float
    resident: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--rounds", type=whole_number, default=1, help="medians of so many")
    args = parser.parse_args()
    if not Path("/proc/self/status").exists():
        fail("this reads /proc, which only Linux has")
    peaks: dict[int, list[Peak]] = {}
    with pictures(args.path, args.pictures) as data, scratch() as place:
        more = place / "more"
        multiply(data, more)
        environment = {"SECCHI_CACHE": str(place / "cache")}
        say("training once, to convert the body")
        run_process(train_command(data, place / "runs"), place, environment)
        for number in range(args.rounds):
            for folder in (data, more):
                count = sum(count_pictures(folder).values())
                say(f"round {number + 1} of {args.rounds}: {count:,} pictures")
                shutil.rmtree(place / "cache" / "features", ignore_errors=True)
                peaks.setdefault(count, []).append(watch(folder, place, environment))
    report(peaks, args.rounds)


def multiply(data: Path, target: Path) -> None:
    """Four times the pictures: each one, and three with some bytes appended.

    Decoders ignore what follows a picture's end; its content, which names it, is another.
    """
    for file in data.rglob("*"):
        if not file.is_file():
            continue
        place = target / file.parent.relative_to(data)
        place.mkdir(parents=True, exist_ok=True)
        link_or_copy(file, place / file.name)
        for number in range(1, TIMES):
            copy = place / f"{file.stem}_{number}{file.suffix}"
            copy.write_bytes(file.read_bytes() + bytes(number))


def watch(data: Path, place: Path, environment: dict[str, str]) -> Peak:
    """Train in a process of its own and look at its memory until it ends."""
    started = time.perf_counter()
    anonymous = resident = 0.0
    with (place / "errors.txt").open("w+") as errors:
        process = subprocess.Popen(
            train_command(data, place / "runs"),
            cwd=place,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        while process.poll() is None:
            seen = [memory_of(pid) for pid in family(process.pid)]
            anonymous = max(anonymous, sum(one[0] for one in seen))
            resident = max(resident, sum(one[1] for one in seen))
            time.sleep(PAUSE)
        if process.returncode:
            errors.seek(0)
            fail(f"secchi train ended with exit code {process.returncode}\n{errors.read()}")
    return Peak(anonymous, resident, time.perf_counter() - started)


def memory_of(pid: int) -> tuple[float, float]:
    """Anonymous and whole resident memory of a process in MB; zeros when it has just gone."""
    kilobytes = {"RssAnon": 0, "VmRSS": 0}
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in kilobytes:
                kilobytes[name] = int(value.split()[0])
    except (OSError, ValueError):
        return 0.0, 0.0
    return kilobytes["RssAnon"] / 1024, kilobytes["VmRSS"] / 1024


def family(pid: int) -> list[int]:
    """A process and all that come from it."""
    members = [pid]
    for member in members:
        try:
            threads = list(Path(f"/proc/{member}/task").iterdir())
            for thread in threads:
                members += map(int, (thread / "children").read_text().split())
        except OSError:
            continue  # it has just gone, or the kernel does not tell
    return members


def report(peaks: dict[int, list[Peak]], rounds: int) -> None:
    middle = {
        count: Peak(*(statistics.median(values) for values in zip(*each, strict=True)))
        for count, each in peaks.items()
    }
    first = middle[min(middle)]
    rows = [
        [
            f"{count:,} pictures",
            f"{peak.anonymous:.0f}",
            ratio(peak.anonymous, first.anonymous, 3),
            f"{peak.resident:.0f}",
            ratio(peak.resident, first.resident, 3),
            f"{peak.seconds:.1f}",
        ]
        for count, peak in middle.items()
    ]
    growth = middle[max(middle)].anonymous / first.anonymous - 1
    print_table(
        f"Peak memory of secchi train, features computed anew, in MB; rounds: {rounds}\n"
        f"(anonymous memory grows by {growth:+.1%})",
        ["", "anonymous", "to the first", "resident", "to the first", "seconds"],
        rows,
    )


if __name__ == "__main__":
    main()
