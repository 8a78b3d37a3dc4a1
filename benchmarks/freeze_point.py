"""Fine-tuning from the middle of a network: cached activations against the whole forward pass.

For each point at which the body can be frozen, one network is trained twice from the same weights,
on the same batches: reading the activations of its last frozen layer, which were computed once, as
``Learner.freeze_to(group)`` does; and from pixels, decoded once and kept, with the frozen layers
computed every time, as any other loop does (``Network.computes_all``, by which a learner does
without the room for activations). An epoch is training and validation, as a person waits for it;
the first one warms up and does not count.

Losses of the two are compared epoch by epoch. They differ by rounding: activations are computed by
another runtime, and in bf16 they are rounded to bf16. --precision fp32 shows it in fp32.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from common import (
    count_pictures,
    picture_arguments,
    pictures,
    print_table,
    ratio,
    say,
    scratch,
    whole_number,
)
from secchi import Backbone, FeatureCache, ImageData, Training
from secchi.console import Console
from secchi.errors import SecchiError
from secchi.features.inputs import NetworkInputs
from secchi.features.prepare import Preparation, Prepared, prepare_part
from secchi.features.runtimes import resolve_device, resolve_precision
from secchi.models.groups import FEATURES
from secchi.models.heads import Head, head_for
from secchi.models.network import Network
from secchi.training.execution import Execution
from secchi.training.history import History
from secchi.training.loop import train
from secchi.training.memory import step_memory
from secchi.training.optimizers import ParameterGroup
from secchi.training.rows import Rows

PICTURES = 576
BATCH = 64
LR = 1e-4


class Setting(NamedTuple):
    """What all trainings share."""

    data: ImageData
    whole: Prepared
    head: Head
    cache: FeatureCache
    device: str
    precision: str
    training: Training


class Trained(NamedTuple):
    """A training, and what came before it.

    Attributes:
        history: Its epochs.
        ahead: Seconds in which its inputs were computed.
        bytes: What they take on disk.
    """

    history: History
    ahead: float
    bytes: int

    @property
    def seconds(self) -> float:
        """Of an epoch."""
        return statistics.median(epoch.seconds for epoch in self.history.epochs[1:])

    @property
    def losses(self) -> list[float]:
        """Of training and validation, epoch by epoch."""
        return [loss for e in self.history.epochs for loss in (e.train_loss, e.valid_loss)]


class Point(NamedTuple):
    """A point at which a body is frozen, and both trainings from there."""

    first: str
    parameters: int
    cached: Trained
    whole: Trained


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.set_defaults(pictures=PICTURES)
    parser.add_argument("--epochs", type=whole_number, default=2, help="that count")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--groups", metavar="NAMES", help="first layer groups that train (all)")
    parser.add_argument("--backbone", default="lite0", help="lite0, or any name that timm knows")
    parser.add_argument("--weights", default="pretrained", help="pretrained, random, or a file")
    args = parser.parse_args()

    points = []
    with pictures(args.path, args.pictures) as folder, scratch() as place:
        counts = count_pictures(folder)
        setting = settings(folder, place, args)
        network = fresh(setting)
        names = [group.name for group in network.groups]
        for first in args.groups.split(",") if args.groups else names[1:]:
            try:
                network.freeze_to(first)
            except SecchiError as error:
                parser.error(f"--groups: {error}")
            if network.frozen_part is None:
                say(f"{first}: nothing can be computed ahead there")
                continue
            say(f"training from {first} on")
            points.append(both(setting, first))
    report(points, counts, setting, args.epochs)


def settings(folder: Path, place: Path, args: argparse.Namespace) -> Setting:
    """Make the body ready, and the head from features of the training pictures."""
    cache = FeatureCache(place / "cache")
    device = resolve_device("auto")
    data = ImageData.from_path(folder)
    whole = Preparation(Backbone(args.backbone, args.weights), cache, device).wait()
    precision = resolve_precision(args.precision, device)
    table = inputs_of(whole, whole, cache, device, precision).plain(data.train)
    head = head_for(data.task, whole.width)
    head.fit_center([table.take(slice(None))])
    training = Training(lr=LR, epochs=1 + args.epochs, batch_size=BATCH)
    return Setting(data, whole, head, cache, device, precision, training)


def fresh(setting: Setting) -> Network:
    """The network as it is before training."""
    return Network(setting.whole.build(), copy.deepcopy(setting.head), setting.whole.transform)


def both(setting: Setting, first: str) -> Point:
    """Train from a group on, in both ways."""
    network = fresh(setting)
    network.freeze_to(first)
    parameters = sum(p.numel() for _, several in network.trained_groups() for p in several)
    part = network.frozen_part
    assert part is not None
    started = time.perf_counter()
    frozen = prepare_part(part, network.point, setting.whole, setting.cache, setting.device)
    cached = run(setting, network, frozen, started)
    say(f"  {cached.seconds:.2f} s an epoch on cached activations")

    network = fresh(setting)
    network.freeze_to(first)
    network.computes_all = True
    whole = run(setting, network, None, time.perf_counter())
    say(f"  {whole.seconds:.2f} s an epoch with the whole forward pass")
    return Point(first, parameters, cached, whole)


def run(setting: Setting, network: Network, frozen: Prepared | None, started: float) -> Trained:
    """Compute a network's inputs and train it, as a learner does."""
    inputs = inputs_of(frozen, setting.whole, setting.cache, setting.device, setting.precision)
    data = setting.data
    train_rows, valid_rows = (Rows(inputs.plain(s), s.labels) for s in (data.train, data.valid))
    ahead = time.perf_counter() - started
    size = inputs.cost(len(data.train) + len(data.valid)).bytes
    groups = [ParameterGroup(name, several) for name, several in network.trained_groups()]
    execution = Execution(setting.device)
    if network.point != FEATURES:  # the head by itself is fast as it is
        micro = rows_at_once(setting, network, train_rows)
        execution = Execution(setting.device, setting.precision, micro)
    history = train(
        network, train_rows, valid_rows, setting.training, groups=groups, execution=execution
    )
    return Trained(history, ahead, size)


def rows_at_once(setting: Setting, network: Network, rows: Rows) -> int | None:
    """How many rows a learner computes at once."""
    if setting.device != "cpu":
        return None
    few = torch.from_numpy(rows.inputs.take(np.arange(4)))
    return step_memory(network.train(), few, setting.training, setting.precision).fast_rows


def inputs_of(
    frozen: Prepared | None, whole: Prepared, cache: FeatureCache, device: str, precision: str
) -> NetworkInputs:
    return NetworkInputs(
        frozen,
        whole.transform,
        cache,
        device=device,
        precision=precision,
        progress=Console(quiet=True).progress,
    )


# ---------------------------------------------------------------- table


def report(points: Sequence[Point], counts: dict[str, int], setting: Setting, epochs: int) -> None:
    rows = [
        [
            point.first,
            f"{point.parameters:,}",
            f"{point.cached.bytes / 1e6:,.1f}",
            f"{point.cached.ahead:.1f}",
            f"{point.cached.seconds:.2f}",
            f"{point.whole.seconds:.2f}",
            ratio(point.whole.seconds, point.cached.seconds, 1),
            f"{point.cached.losses[-1]:.4f}",
            f"{point.whole.losses[-1]:.4f}",
            f"{largest_difference(point):.1e}",
        ]
        for point in points
    ]
    print_table(
        f"Fine-tuning from a layer group on, {setting.precision}; {counts['train']:,} training and "
        f"{counts['valid']:,} validation pictures; epochs: {epochs}\n"
        "(seconds to compute the activations once; seconds of an epoch on them, and with the whole "
        "forward pass;\nvalidation losses at the end, and the largest difference of any loss)",
        [
            "first",
            "trained",
            "MB",
            "ahead",
            "cached",
            "whole",
            "whole to cached",
            "loss, cached",
            "loss, whole",
            "difference",
        ],
        rows,
    )


def largest_difference(point: Point) -> float:
    """Between two losses of the same epoch."""
    pairs = zip(point.cached.losses, point.whole.losses, strict=True)
    return max(abs(one - other) for one, other in pairs)


if __name__ == "__main__":
    main()
