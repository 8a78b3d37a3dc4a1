"""Ten thousand heads on the features of pictures, against as many calls of ``fit``.

100 settings (rate x weight decay x dropout of the features), each on 100 splits with a seed of its
own, 10 epochs of batches of 64; judged on the validation pictures after every epoch. The features
of lite0 are there before anything is timed.

- loop: a fresh head of a :class:`secchi.Learner` after the other, ``fit`` alone is timed; a sample,
  at its faster of one core and all. It has no dropout of features, so it does less than secchi;
- secchi: ``learn.vary(...)``, all of it timed: splits, first weights, batch orders and its result.

Then what came of it: the setting that is best on one half of the splits beside the default, on the
other half, which had no part in the choice. The interval of their difference is that of Nadeau and
Bengio (2003): splits of the same pictures are no independent trials.

PATH is a folder of pictures as for the other benchmarks; pictures are made where there are none.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import torch

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
from secchi import Backbone, FeatureCache, ImageData, Learner, Result
from secchi.console import Console
from secchi.experiments.reading.measures import setting_text
from secchi.intervals import mean_intervals

WANTED = 50.0
VARY = {
    "lr": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "weight_decay": [0.0, 1e-3, 1e-2, 1e-1],
    "input_dropout": [0.0, 0.25, 0.5, 0.75, 0.9],
}
DEFAULT = {"lr": 1e-2, "weight_decay": 1e-2, "input_dropout": 0.0}
SETTINGS = 100


class Finding(NamedTuple):
    """The best setting beside the default, each mean with the ends of its interval.

    Attributes:
        setting: The best on one half of the splits.
        best: Its accuracy on the other.
        default: That of the default, there.
        lead: The one less the other.
    """

    setting: dict[str, Any]
    best: tuple[float, float, float]
    default: tuple[float, float, float]
    lead: tuple[float, float, float]

    @property
    def verdict(self) -> str:
        """Whether the lead is more than noise."""
        return "beyond the noise" if self.lead[1] > 0 or self.lead[2] < 0 else "within the noise"


class Measured(NamedTuple):
    """What was measured.

    Attributes:
        heads: How many there were.
        seconds: What they took.
        loop: Seconds of each call of ``fit``, by the number of cores it had.
        memory: Peak of the process before the heads, and after them, in MB.
    """

    heads: int
    seconds: float
    loop: dict[int, list[float]]
    memory: tuple[float, float]

    @property
    def each(self) -> float:
        """Seconds of a call of ``fit``."""
        return min(statistics.median(seconds) for seconds in self.loop.values())

    @property
    def ratio(self) -> float:
        """How many times as long the loop would take."""
        return self.each * self.heads / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--heads", type=whole_number, default=10_000, help="a multiple of 100")
    parser.add_argument("--sample", type=whole_number, default=8, help="calls of fit")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args()
    if args.heads % SETTINGS:
        parser.error(f"--heads: {args.heads} is not so many times {SETTINGS} settings")
    with pictures(args.path, args.pictures) as folder, scratch() as place:
        learn = learner(ImageData.from_path(folder), FeatureCache(place / "cache"))
        say("features")
        learn.extract()
        say(f"a loop of {args.sample} calls of fit")
        loop = {count: loop_seconds(learn, args.sample, count) for count in {1, cores()}}
        say(f"{args.heads:,} heads")
        before = peak_memory()
        start = time.perf_counter()
        result = learn.vary(VARY, args.heads // SETTINGS, resplit=True)
        seconds = time.perf_counter() - start
        measured = Measured(len(result), seconds, loop, (before, peak_memory()))
        rows = len(learn.data.train), len(learn.data.valid)
    report(measured, found(result, rows[1] / rows[0]), rows, args.json)


def learner(data: ImageData, cache: FeatureCache, seed: int = 0) -> Learner:
    return Learner(data, Backbone(), cache=cache, seed=seed, console=Console(quiet=True))


def loop_seconds(learn: Learner, sample: int, threads: int) -> list[float]:
    """Seconds of each of some calls of ``fit``, each of a head of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds = []
    for number in range(sample + 1):
        fresh = learner(learn.data, learn.cache, seed=number)
        fresh.extract()
        _ = fresh.head
        lr, decay = (VARY[name][number % len(VARY[name])] for name in ("lr", "weight_decay"))
        start = time.perf_counter()
        fresh.fit(lr, weight_decay=decay, drop_last=True)
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return seconds[1:]


def peak_memory() -> float:
    """Of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def found(result: Result, share: float) -> Finding:
    """The best setting beside the default; ``share`` is validating pictures by those that train."""
    means = result.mean("valid_accuracy", *VARY)
    half = max(means.each.shape[1] // 2, 1)
    place = int(np.nanmean(means.each[:, :half], axis=1).argmax())
    best, default = (means.each[at, half:] for at in (place, means.groups.index(DEFAULT)))
    return Finding(
        dict(means.groups[place]),
        *(interval(each, share) for each in (best, default, best - default)),
    )


def interval(scores: Any, share: float) -> tuple[float, float, float]:
    """A mean over splits of the same rows, with the ends of its interval."""
    mean, low, high = mean_intervals(scores, ratio=share)
    return float(mean), float(low), float(high)


def report(measured: Measured, finding: Finding, rows: tuple[int, int], as_json: bool) -> None:
    if as_json:
        document = {
            "pictures": {"train": rows[0], "valid": rows[1]},
            "heads": measured.heads,
            "seconds": measured.seconds,
            "heads_per_second": measured.heads / measured.seconds,
            "fit_seconds": measured.each,
            "ratio": measured.ratio,
            "wanted": WANTED,
            "memory_mb": {"before": measured.memory[0], "after": measured.memory[1]},
            **finding._asdict(),
            "verdict": finding.verdict,
        }
        print(json.dumps(document))
        return
    each = measured.seconds / measured.heads
    loop = [f"{1e3 * measured.each:.1f}", f"{1 / measured.each:.1f}", "1.0x", "-"]
    peak = f"{measured.memory[1]:,.0f} MB ({measured.memory[0]:,.0f} before)"
    ours = [f"{1e3 * each:.2f}", f"{1 / each:.0f}", ratio(measured.each, each, 1), peak]
    print_table(
        f"{measured.heads:,} heads on features of {rows[0]:,} + {rows[1]:,} pictures: "
        f"{measured.seconds:.1f} s",
        ["way", "ms a head", "heads a second", "against the loop", "peak memory"],
        [["a loop of fit", *loop], ["learn.vary", *ours]],
    )
    print(f"\nbest: {setting_text(finding.setting)}: accuracy {told(finding.best)}")
    print(f"default: {setting_text(DEFAULT)}: accuracy {told(finding.default)}")
    print(f"ahead by {told(finding.lead)}: {finding.verdict}")
    print(f"\nwanted: {WANTED:g}x; measured: {measured.ratio:.0f}x")


def told(numbers: tuple[float, float, float]) -> str:
    mean, low, high = (100 * number for number in numbers)
    return f"{mean:.2f} % (95 % interval {low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
