"""How near extraction comes to what decoding and computing alone allow.

On the same pictures, in one process, in rounds that take turns:

- decode: reading, decoding, cropping and resizing, as extraction does it, on all cores;
- compute: the body alone, on pixels that lie decoded in memory, with its own number of threads;
- extraction: ``secchi.features.extract`` into an empty cache, its body converted before.

Decoding and computing share the cores, so a picture costs the sum of its times: together they
allow 1 / (1 / decode + 1 / compute) pictures a second. What extraction does besides (opening the
body, writing rows) is in its own figure; the fewer the pictures, the more opening the body weighs.
"""

import argparse
import contextlib
import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import numpy as np

from common import (
    cores,
    picture_arguments,
    pictures,
    print_table,
    ratio,
    say,
    scratch,
    whole_number,
)
from secchi import Backbone, FeatureCache, ImageData
from secchi.data.pictures import Scratch, decode, read_bytes
from secchi.errors import PictureError
from secchi.features.extract import batched, extract
from secchi.features.prepare import Preparation
from secchi.features.runtimes import Runtime
from secchi.transforms.images import ImageTransform, Pixels

CHUNK = 8
HELD = 512
"""Decoded pictures in memory; the body goes round them as often as needed."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--rounds", type=whole_number, default=5)
    parser.add_argument("--backbone", default="lite0", help="lite0, or any name that timm knows")
    parser.add_argument("--weights", default="pretrained", help="pretrained, random, or a file")
    args = parser.parse_args()

    with pictures(args.path, args.pictures) as folder, scratch() as place:
        data = ImageData.from_path(folder)
        files = [file for split in data.splits.values() for file in split.files]
        digests = [digest for split in data.splits.values() for digest in split.digests]
        cache = FeatureCache(place / "cache")
        say("converting the body")
        preparation = Preparation(Backbone(args.backbone, args.weights), cache)
        prepared = preparation.wait()
        started = time.perf_counter()
        runtime = prepared.runtime()
        opening = time.perf_counter() - started
        batches = held_batches(files[:HELD], prepared.transform, runtime.batch_size)

        def extract_all() -> None:
            shutil.rmtree(cache.root / "features", ignore_errors=True)
            found = extract(files, digests, preparation, cache)
            assert found.computed + len(found.faults) == len(files)

        work: dict[str, Callable[[], None]] = {
            "decode": lambda: decode_all(files, prepared.transform),
            "compute": lambda: compute_all(batches, runtime, len(files)),
            "extraction": extract_all,
        }
        rates: dict[str, list[float]] = {name: [] for name in work}
        for number in range(args.rounds + 1):
            say(f"round {number} of {args.rounds}" if number else "warming up")
            for name, do in work.items():
                started = time.perf_counter()
                do()
                if number:
                    rates[name].append(len(files) / (time.perf_counter() - started))
    report(rates, len(files), runtime, opening)


def decode_all(files: Sequence[str], transform: ImageTransform) -> None:
    """Decode and transform every picture and keep none, on all cores."""
    memory = Scratch()

    def one_chunk(chunk: list[str]) -> None:
        pixels = np.empty((len(chunk), transform.size, transform.size, 3), np.uint8)
        for row, file in enumerate(chunk):
            with contextlib.suppress(PictureError):
                blob = read_bytes(file)
                hashlib.sha256(blob).digest()  # extraction makes sure of what it reads
                transform(decode(blob, transform.shorter_side, memory), out=pixels[row])

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(one_chunk, batched(files, CHUNK)):
            pass


def compute_all(batches: Sequence[Pixels], runtime: Runtime, count: int) -> None:
    """Run the body over as many pictures as there are."""
    needed = -(-count // runtime.batch_size)
    with ThreadPoolExecutor(runtime.parallel) as pool:
        for _ in pool.map(runtime.compute, (batches[i % len(batches)] for i in range(needed))):
            pass


def held_batches(files: Sequence[str], transform: ImageTransform, size: int) -> list[Pixels]:
    """Decoded pictures in batches as the body takes them, the last one filled up with the first."""
    decoded = []
    for file in files:
        with contextlib.suppress(PictureError):
            decoded.append(transform(decode(read_bytes(file), transform.shorter_side)))
    full = -(-len(decoded) // size) * size
    return [np.stack(chunk) for chunk in batched(islice(cycle(decoded), full), size)]


def report(rates: dict[str, list[float]], count: int, runtime: Runtime, opening: float) -> None:
    # A processor's speed drifts: every round has its own limit, and its own share of it.
    rounds = list(zip(rates["decode"], rates["compute"], rates["extraction"], strict=True))
    limits = [1 / (1 / decoding + 1 / computing) for decoding, computing, _ in rounds]
    shares = [each[2] / limit for each, limit in zip(rounds, limits, strict=True)]
    limit = statistics.median(limits)

    def row(label: str, several: list[float], share: float | None = None) -> list[str]:
        middle = statistics.median(several)
        figures = (f"{value:.0f}" for value in (middle, min(several), max(several)))
        return [label, *figures, ratio(share or middle / limit, 1)]

    computing = f"compute alone, {runtime.name}, {runtime.parallel} threads"
    print_table(
        f"Extraction of {count:,} pictures; pictures a second; rounds: {len(rounds)}\n"
        f"(opening the body, {opening:.2f} s, is part of extraction; its share of the limit is "
        f"{min(shares):.2f} to {max(shares):.2f} in the rounds)",
        ["", "median", "lowest", "highest", "to limit"],
        [
            row(f"decode alone, {cores()} threads", rates["decode"]),
            row(computing, rates["compute"]),
            row("limit that the two allow", limits),
            row("extraction, both at once", rates["extraction"], statistics.median(shares)),
        ],
    )


if __name__ == "__main__":
    main()
