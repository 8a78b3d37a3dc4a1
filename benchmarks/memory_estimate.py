"""What ``Learner.memory_estimate`` says of a training step, against what the step really takes.

The estimate is ``secchi.training.memory.step_memory`` of a network and a training, for so many
rows; its peer is the operating system. Each case trains for a few steps of that many rows, by
``secchi.training.loop.train``, in a process of its own. The rows are computed all at once (on a
processor, a learner computes fewer at a time, and then the step takes less). What counts is the
highest resident memory that Linux saw in those steps (VmHWM of /proc, which can be set back), less
the resident memory before the network was built; by then torch and its kernels have been used once
on small pictures. Pictures are noise: memory does not depend on what they show.
"""

import argparse
import ctypes
import gc
import math
import multiprocessing
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common import fail, print_table, say, whole_number

if TYPE_CHECKING:
    from torch import nn

    from secchi.training.spec import Training

# torch and secchi are imported where they are used, so that every case has a process in which
# nothing has happened before.

PRECISIONS = ("fp32", "bf16")
HEAD = "head"
STEPS = 3
SIZE = 224
WARM_UP_SIZE = 64
STATED_FROM = 100.0
"""MB of a step from which on its error is stated: smaller ones drown in what allocators keep."""


class Case(NamedTuple):
    """One training.

    Attributes:
        first: The first layer group that trains, by name or place; "head" is the head by itself.
        precision: "fp32" or "bf16".
        rows: In a batch.
        backbone: Its name.
        weights: "pretrained", "random" or a file.
    """

    first: str
    precision: str
    rows: int
    backbone: str
    weights: str


class Measured(NamedTuple):
    """What a step takes, in MB."""

    estimate: float
    real: float

    @property
    def error(self) -> float:
        """How far the estimate lies above what is real, as a share of it."""
        return self.estimate / self.real - 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--first",
        default=f"0,{HEAD}",
        metavar="GROUPS",
        help="first layer groups that train, by name or place (default: 0,head: all, head alone)",
    )
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="which of fp32,bf16")
    parser.add_argument("--batches", default="8,16,32,64", help="rows in a batch")
    parser.add_argument("--rounds", type=whole_number, default=1, help="medians of so many")
    parser.add_argument("--backbone", default="lite0", help="lite0, or any name that timm knows")
    parser.add_argument("--weights", default="pretrained", help="pretrained, random, or a file")
    args = parser.parse_args()
    precisions = args.precisions.split(",")
    if unknown := [one for one in precisions if one not in PRECISIONS]:
        parser.error(f"--precisions: {unknown[0]!r} is none of {', '.join(PRECISIONS)}")
    try:
        batches = [whole_number(text) for text in args.batches.split(",")]
    except (ValueError, argparse.ArgumentTypeError):
        parser.error(f"--batches: {args.batches!r} are not whole numbers from 1 on")
    if not Path("/proc/self/clear_refs").exists():
        fail("this needs Linux, whose /proc tells the highest resident memory and sets it back")

    cases = [
        Case(first, precision, rows, args.backbone, args.weights)
        for first in args.first.split(",")
        for precision in precisions
        for rows in batches
    ]
    found: dict[Case, list[Measured]] = {case: [] for case in cases}
    for number in range(args.rounds):
        for case in cases:
            say(f"round {number + 1} of {args.rounds}: {label(case)}, batch {case.rows}")
            found[case].append(in_a_process_of_its_own(case))
    report(found, args.rounds)


def in_a_process_of_its_own(case: Case) -> Measured:
    """Measure a case where nothing was allocated before."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, case).result()


def measure(case: Case) -> Measured:
    """Train for a few steps: the estimate, and the rise above what was there before."""
    from secchi.training.spec import Training

    training = Training(lr=1e-5, epochs=1, batch_size=case.rows)
    train_steps(build(case, WARM_UP_SIZE), case, training.but(batch_size=2))
    before = settled()
    built = build(case, SIZE)
    settled()
    set_peak_back()
    train_steps(built, case, training)
    real = megabytes("VmHWM") - before
    return Measured(estimate(built, case, training) / 1e6, real)


def estimate(built: "Built", case: Case, training: "Training") -> int:
    """What the learner would say."""
    import torch

    from secchi.training.memory import step_memory

    few = torch.from_numpy(built.rows(4).take(np.arange(4)))
    return step_memory(built.net.train(), few, training, case.precision).of(case.rows)


def train_steps(built: "Built", case: Case, training: "Training") -> None:
    """Train for :data:`STEPS` steps and judge a single row."""
    from secchi.data.task import Labels
    from secchi.training.execution import Execution
    from secchi.training.loop import train
    from secchi.training.rows import Rows

    def rows(count: int) -> Rows:
        target = built.task.target
        return Rows(built.rows(count), Labels.of(target, [target.classes[0]] * count))

    given = rows(STEPS * training.batch_size)
    execution = Execution("cpu", case.precision)
    train(built.net, given, rows(1), training, metrics=(), execution=execution)


# ---------------------------------------------------------------- network


class Noise:
    """Rows of noise, made when they are taken, as the training loop takes its rows."""

    def __init__(self, count: int, shape: Sequence[int], dtype: type[np.generic]) -> None:
        self.width = math.prod(shape)
        self._count = count
        self._shape = tuple(shape)
        self._dtype = dtype

    def __len__(self) -> int:
        return self._count

    def take(self, rows: Any, epoch: int = 0) -> Any:
        """So many rows."""
        shape = (len(np.arange(self._count)[rows]), *self._shape)
        rng = np.random.default_rng(0)
        if self._dtype == np.uint8:
            return rng.integers(0, 256, shape, dtype=np.uint8)
        return rng.random(shape, dtype=np.float32)


class Built(NamedTuple):
    """A network, and what its rows look like."""

    net: "nn.Module"
    task: Any
    shape: tuple[int, ...]
    dtype: type[np.generic]

    def rows(self, count: int) -> Noise:
        """So many rows for it."""
        return Noise(count, self.shape, self.dtype)


def build(case: Case, size: int) -> Built:
    """What a learner trains."""
    import torch

    from secchi.data.task import Task
    from secchi.models.backbones import Backbone
    from secchi.models.heads import head_for
    from secchi.models.network import Network

    task = Task.classify(["cats", "dogs"])
    backbone = Backbone(case.backbone, case.weights, size)
    body = backbone.build()
    example = torch.zeros(2, 3, size, size)
    with torch.no_grad():
        width = body(example).shape[1]
    head = head_for(task, width)
    if case.first == HEAD:
        return Built(head, task, (width,), np.float32)
    network = Network(body, head, backbone.transform_of(body))
    network.freeze_to(int(case.first) if case.first.lstrip("-").isdigit() else case.first)
    network.batch_statistics = case.weights == "random"  # as a learner has it
    if network.frozen_part is None:
        return Built(network, task, (size, size, 3), np.uint8)
    with torch.no_grad():
        shape = network.frozen_part(example).shape[1:]
    return Built(network, task, tuple(shape), np.float32)


# ---------------------------------------------------------------- memory


def settled() -> float:
    """Resident memory in MB once what is free was given back."""
    gc.collect()
    with suppress(OSError, AttributeError):  # other C libraries have no such call
        ctypes.CDLL(None).malloc_trim(0)
    return megabytes("VmRSS")


def set_peak_back() -> None:
    """Let the highest resident memory be the present one."""
    Path("/proc/self/clear_refs").write_text("5")


def megabytes(name: str) -> float:
    """A figure of /proc/self/status, in MB of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    fail(f"/proc/self/status does not tell {name}")


# ---------------------------------------------------------------- table


def label(case: Case) -> str:
    what = {"0": "whole body", HEAD: "head alone"}.get(case.first, f"from {case.first} on")
    return f"{what}, {case.precision}"


def report(found: dict[Case, list[Measured]], rounds: int) -> None:
    middle = {
        case: Measured(*(statistics.median(values) for values in zip(*several, strict=True)))
        for case, several in found.items()
    }
    stated = [one.error for one in middle.values() if one.real >= STATED_FROM]
    worst = f"{max(stated, key=abs):+.0%}" if stated else "nothing to tell: none is so large"
    rows = [
        [
            label(case),
            str(case.rows),
            f"{one.estimate:,.1f}",
            f"{one.real:,.1f}",
            f"{one.error:+.0%}" if one.real >= STATED_FROM else "-",
        ]
        for case, one in middle.items()
    ]
    print_table(
        f"Memory of a training step, in MB; {STEPS} steps, AdamW, pictures of {SIZE} px; "
        f"rounds: {rounds}\n"
        f"(the error is the estimate's, as a share of what was real, where that is "
        f"{STATED_FROM:.0f} MB and more; the largest: {worst})",
        ["what trains", "batch", "estimate", "real", "error"],
        rows,
    )


if __name__ == "__main__":
    main()
