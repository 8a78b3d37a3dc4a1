"""What happened while a network was trained."""

import base64
import csv
import dataclasses
import io
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secchi.files import write_text
from secchi.training.spec import Training

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Outcome(StrEnum):
    """How a run ended; the value carries the advice. Whose weights are left is the history's."""

    COMPLETED = "completed"
    STOPPED_EARLY = "stopped early: the validation loss was no longer falling"
    DIVERGED = (
        "diverged: the loss or its gradient was no longer a number; try a tenth of the learning "
        "rate"
    )
    OUT_OF_MEMORY = (
        "out of memory: not even one row fits beside the weights and what the optimizer remembers; "
        "a smaller size or another device would help"
    )
    REFUSED = "refused: its rows, its network and its training do not go together"


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass over the training rows.

    Attributes:
        number: Counted from 0 over the life of the network, across calls of ``fit``.
        train_loss: Mean over the epoch's batches, while the weights were changing.
        valid_loss: After the epoch.
        metrics: On the validation rows, after the epoch; those of several targets as
            ``target.metric``.
        seconds: How long it took.

    >>> for line in (Epoch.heading(["accuracy"]), Epoch(0, 0.5, 0.4, {"accuracy": 0.98}, 1.2)):
    ...     print(line)
    epoch  train loss  valid loss    accuracy   seconds
        0      0.5000      0.4000      0.9800      1.20
    """

    number: int
    train_loss: float
    valid_loss: float
    metrics: dict[str, float]
    seconds: float

    @staticmethod
    def heading(metrics: Iterator[str] | list[str]) -> str:
        """The line above the lines of a run."""
        names = "".join(f"{name:>{_width(name)}}" for name in metrics)
        return f"{'epoch':>5}{'train loss':>12}{'valid loss':>12}{names}{'seconds':>10}"

    def __str__(self) -> str:
        values = "".join(f"{_number(v):>{_width(name)}}" for name, v in self.metrics.items())
        losses = f"{_number(self.train_loss):>12}{_number(self.valid_loss):>12}"
        return f"{self.number:>5}{losses}{values}{self.seconds:>10.2f}"


def no_steps(values: Iterable[float] = ()) -> "array[float]":
    """Numbers of steps, four bytes each."""
    return array("f", values)


@dataclasses.dataclass(frozen=True)
class History:
    """The epochs of one call of ``fit``, or of several joined.

    Attributes:
        epochs: In their order.
        outcome: How it ended.
        training: What was asked for.
        steps: Steps that were taken; a run that diverged did so in the step after them.
        kept: The number of the epoch whose weights were kept; None where they are the last ones,
            or, of a run that went wrong, those before the epoch in which it did.
        step_losses: The training loss of each step, before it was taken, in single precision.
        step_rates: The learning rate of each step, of the last layer group, likewise.

    >>> epochs = tuple(Epoch(number, 0.5, loss, {}, 1.0) for number, loss in enumerate([0.4, 0.6]))
    >>> history = History(epochs, Outcome.STOPPED_EARLY, Training(), steps=20, kept=0)
    >>> history.remark  # doctest: +NORMALIZE_WHITESPACE
    'after 20 steps stopped early: the validation loss was no longer falling; the weights of epoch 0
    are kept, the lowest validation loss'
    >>> [row["valid_loss"] for row in history.rows()]
    [0.4, 0.6]
    """

    epochs: tuple[Epoch, ...]
    outcome: Outcome
    training: Training
    steps: int = 0
    kept: int | None = None
    step_losses: "array[float]" = dataclasses.field(default_factory=no_steps, repr=False)
    step_rates: "array[float]" = dataclasses.field(default_factory=no_steps, repr=False)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.epochs:
            return f"no epochs ({self.remark or self.outcome})"
        lines: list[str] = []
        names: list[str] | None = None
        for epoch in self.epochs:
            if list(epoch.metrics) != names:
                names = list(epoch.metrics)
                lines.append(Epoch.heading(names))
            lines.append(str(epoch))
        if remark := self.remark:
            lines.append(remark)
        return "\n".join(lines)

    @property
    def remark(self) -> str:
        """How it ended and whose the weights are, where a person should know; else nothing."""
        said = []
        if self.outcome != Outcome.COMPLETED:
            said.append(f"after {self.steps:,} steps {self.outcome}")
        if self.kept is not None:
            said.append(f"the weights of epoch {self.kept} are kept, the lowest validation loss")
        elif self.outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY):
            said.append("the weights are those of the last good epoch")
        return "; ".join(said)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The name of every metric that was measured after any of the epochs."""
        return tuple(dict.fromkeys(name for epoch in self.epochs for name in epoch.metrics))

    def rows(self) -> list[dict[str, Any]]:
        """One flat dictionary an epoch; a metric that was not measured after it is NaN."""
        names = self.metrics
        return [
            {
                "epoch": epoch.number,
                "train_loss": epoch.train_loss,
                "valid_loss": epoch.valid_loss,
                **{name: epoch.metrics.get(name, math.nan) for name in names},
                "seconds": epoch.seconds,
            }
            for epoch in self.epochs
        ]

    def to_frame(self) -> "pd.DataFrame":
        """One row an epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def steps_frame(self) -> "pd.DataFrame":
        """One row a step: its loss, before it was taken, and its learning rate.

        >>> done = History((), Outcome.COMPLETED, Training(), 2, None, [0.5, 0.25], [0.1, 0.1])
        >>> done.steps_frame()["loss"].tolist()
        [0.5, 0.25]
        """
        import numpy as np
        import pandas as pd

        numbers = (np.array(values, np.float32) for values in (self.step_losses, self.step_rates))
        return pd.DataFrame(dict(zip(("loss", "lr"), numbers, strict=True))).rename_axis("step")

    def write_csv(self, file: Path) -> None:
        """Write one line an epoch."""
        rows = self.rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)
        write_text(file, text.getvalue())

    def joined(self, later: "History") -> "History":
        """This history with a later one behind it."""
        return History(
            self.epochs + later.epochs,
            later.outcome,
            later.training,
            self.steps + later.steps,
            later.kept,
            self.step_losses + later.step_losses,
            self.step_rates + later.step_rates,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; the numbers of the steps as base64 of little-endian float32."""
        return {
            "epochs": [dataclasses.asdict(epoch) for epoch in self.epochs],
            "outcome": self.outcome.name,
            "training": self.training.to_dict(),
            "steps": self.steps,
            "kept": self.kept,
            "step_losses": _packed(self.step_losses),
            "step_rates": _packed(self.step_rates),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "History":
        """From what :meth:`to_dict` gave."""
        return cls(
            tuple(Epoch(**epoch) for epoch in document["epochs"]),
            Outcome[document["outcome"]],
            Training.from_dict(document["training"]),
            document["steps"],
            document["kept"],
            _unpacked(document.get("step_losses", "")),
            _unpacked(document.get("step_rates", "")),
        )

    def plot(self) -> "Figure":
        """Losses and metrics by epoch."""
        from secchi.figures.curves import epoch_curves

        frame = {
            "training loss": [e.train_loss for e in self.epochs],
            "validation loss": [e.valid_loss for e in self.epochs],
        }
        rows = self.rows()
        metrics = {name: [row[name] for row in rows] for name in self.metrics}
        return epoch_curves([e.number for e in self.epochs], frame, metrics)


def _packed(values: "array[float]") -> str:
    return base64.b64encode(_little_endian(values).tobytes()).decode()


def _unpacked(text: str) -> "array[float]":
    values = no_steps()
    values.frombytes(base64.b64decode(text))
    return _little_endian(values)


def _little_endian(values: "array[float]") -> "array[float]":
    """From or to the order of bytes in a file."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values


def _number(value: float) -> str:
    """Four decimals, or few digits where those would not fit a column."""
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4g}"


def _width(metric: str) -> int:
    """Characters of a metric's column."""
    return max(12, len(metric) + 2)
