"""What the benchmarks share: the machine, the pictures, whole processes, and the table at the end.

Nothing here imports torch or secchi, so a benchmark of starting up measures its subject alone.
"""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

DEFAULT_PICTURES = Path(__file__).resolve().parents[2] / "shared" / "data" / "dogscats"
"""Photographs beside the repository: ``train`` and ``valid``, with one folder a class in each."""

MADE_PICTURES = 3000
"""How many pictures are made where there are no photographs and ``--pictures`` is not given."""

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


# ---------------------------------------------------------------- machine


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """One line: cores, processor and the versions that the figures depend on."""
    names = ("torch", "openvino", "secchi")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    return f"{cores()} cores, {_processor()}, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


# ---------------------------------------------------------------- pictures


def picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add PATH and --pictures, which :func:`pictures` reads."""
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        metavar="PATH",
        help="a folder with train and valid in it, one folder a class in each (default: "
        "../shared/data/dogscats beside the repository; pictures are made where that is absent)",
    )
    parser.add_argument(
        "--pictures",
        type=whole_number,
        metavar="N",
        help="take only so many, as many of each class, two in train for one in valid",
    )


def whole_number(text: str) -> int:
    """A number of pictures or rounds: from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("is not a whole number from 1 on")
    return number


@contextlib.contextmanager
def pictures(path: Path | None, count: int | None) -> Iterator[Path]:
    """A folder with train and valid in it, for as long as the context lasts."""
    source = path or DEFAULT_PICTURES
    if source.is_dir():
        if not all((source / split).is_dir() for split in ("train", "valid")):
            fail(f"{source} has no folders 'train' and 'valid'")
        if count is None:
            yield source.resolve()
            return
        with scratch() as folder:
            _link_some(source, folder, count)
            yield folder
        return
    if path is not None:
        fail(f"no folder {path}")
    with scratch() as folder:
        make_photographs(folder, count or MADE_PICTURES)
        yield folder


def count_pictures(folder: Path) -> dict[str, int]:
    """Pictures by split."""
    return {split: len(_files(folder / split)) for split in ("train", "valid")}


def shares(count: int, classes: int) -> dict[str, list[int]]:
    """How many pictures of each class a balanced set has: two in train for one in valid.

    >>> shares(60, 2)
    {'train': [20, 20], 'valid': [10, 10]}
    """
    valid = max(count // 3, classes)
    totals = {"train": max(count - valid, classes), "valid": valid}
    return {
        split: [total // classes + (number < total % classes) for number in range(classes)]
        for split, total in totals.items()
    }


def _link_some(source: Path, folder: Path, count: int) -> None:
    classes = sorted(p.name for p in (source / "train").iterdir() if p.is_dir())
    for split, wanted in shares(count, len(classes)).items():
        for name, number in zip(classes, wanted, strict=True):
            files = _files(source / split / name)
            chosen = random.Random(f"{split}/{name}").sample(files, min(number, len(files)))
            place = folder / split / name
            place.mkdir(parents=True)
            for file in chosen:
                link_or_copy(file, place / file.name)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())


def link_or_copy(file: Path, target: Path) -> None:
    """The same file under another name, without its bytes where the file system can do that."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def make_photographs(folder: Path, count: int) -> None:
    """Write JPEG files as large as photographs: handwritten digits on soft, noisy colours."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    say(f"making {count:,} pictures")
    digits = load_digits()
    rng = np.random.default_rng(0)
    for split, wanted in shares(count, 10).items():
        for digit, number in enumerate(wanted):
            place = folder / split / f"digit {digit}"
            place.mkdir(parents=True)
            # No digit of the training pictures is among the validation pictures.
            known = np.flatnonzero(digits.target == digit)
            known = known[:120] if split == "train" else known[120:]
            for i in range(number):
                soft = rng.integers(60, 256, (5, 6, 3), dtype=np.uint8)
                ground = Image.fromarray(soft).resize((500, 375), Image.Resampling.BICUBIC)
                ink = digits.images[known[i % len(known)]] / 16
                mask = Image.fromarray((255 * ink).astype(np.uint8)).resize((375, 375))
                ground.paste((20, 20, 40), (int(rng.integers(0, 125)), 0), mask)
                noise = rng.integers(0, 16, (375, 500, 3), dtype=np.uint8)
                pixels = np.clip(np.asarray(ground), 0, 239) + noise
                Image.fromarray(pixels).save(place / f"{digit}_{i}.jpg", quality=90)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="secchi-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


# ---------------------------------------------------------------- processes


class Finished(NamedTuple):
    """A whole process, timed from outside.

    Attributes:
        seconds: From its start to its end.
        output: What it wrote to standard output.
    """

    seconds: float
    output: str


def run_process(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a command to its end; where it fails, so does the benchmark, with its last words."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        fail(f"exit code {done.returncode} from {' '.join(command)}\n{last}")
    return Finished(seconds, done.stdout)


def train_command(data: Path, out: Path) -> list[str]:
    """``secchi train`` with its default settings."""
    return [sys.executable, "-m", "secchi", "train", str(data), "--json", "--out", str(out)]


def say(text: str) -> None:
    """Tell what is going on, on standard error."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """End with exit code 1."""
    sys.exit(f"error: {text}")


# ---------------------------------------------------------------- table


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the machine, a title and a Markdown table; all columns but the first stand right."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    print(f"\n{title}\n{machine()}\n")
    print("\n".join([line(columns), line(rule), *map(line, rows)]))


def ratio(value: float | None, reference: float | None, digits: int = 2) -> str:
    """``value / reference`` as a cell; a dash where one of them is missing."""
    if value is None or not reference:
        return "-"
    return f"{value / reference:.{digits}f}x"
