"""What a model says of some rows, beside what is true of them."""

import csv
import dataclasses
import math
import os
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError, SpecError
from secchi.files import written_aside
from secchi.models.heads import log_probabilities
from secchi.seeding import stream
from secchi.training.losses import task_losses
from secchi.training.metrics import metric

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_COLUMNS = ("file", "class", "error")
"""Columns of a table of predictions; classes and numbers of these names are called otherwise."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The answers for some rows, the same record for every split, file list and model.

    Attributes:
        task: What was predicted.
        sources: Where each row came from: the path of a picture.
        outputs: The head's raw outputs, float32 of shape (rows, task.outputs).
        labels: What is true, or None.
        losses: What each row costs, float32 of shape (rows,), or None without labels.
        unreadable: Files that were asked for and could not be read, with their reasons.
    """

    task: Task
    sources: tuple[str, ...]
    outputs: NDArray[np.float32]
    labels: Labels | None = None
    losses: NDArray[np.float32] | None = None
    unreadable: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        task: Task,
        sources: tuple[str, ...],
        outputs: Tensor,
        labels: Labels | None = None,
        unreadable: tuple[tuple[str, str], ...] = (),
    ) -> "Predictions":
        """From a head's outputs, (rows, task.outputs)."""
        each = None
        if labels is not None:
            each = task_losses(task, outputs, [torch.from_numpy(v) for v in labels.values]).numpy()
        return cls(task, sources, outputs.numpy(), labels, each, unreadable)

    @classmethod
    def averaged(
        cls, several: Sequence["Predictions"], weights: Sequence[float] | None = None
    ) -> "Predictions":
        """The average of what several models, or several views of the same rows, say.

        Probabilities are averaged, and numbers are. The outputs of the result are the logits of
        the averaged probabilities (for many classes their logarithms), so that everything else
        follows from them as for any other predictions. They are computed in float64 from
        log-probabilities, so that a probability that rounds to 0 or 1 keeps its logit.

        Args:
            several: Predictions of the same task, rows and labels.
            weights: How much each counts, from 0 on; None counts all alike.

        Raises:
            DataError: None are given, or tasks, rows, their order or labels differ.
            SpecError: Weights that cannot be.

        >>> pet = Task.classify(["cat", "dog"])
        >>> unsure = Predictions.of(pet, ("rex.jpg",), torch.tensor([[0.5]]).logit())
        >>> sure = Predictions.of(pet, ("rex.jpg",), torch.tensor([[0.9]]).logit())
        >>> Predictions.averaged([unsure, sure]).probabilities.round(4)
        array([[0.3, 0.7]], dtype=float32)
        """
        check_same_rows(several)
        shares = _shares(len(several), weights)
        first = several[0]
        counted = [one.outputs for one, share in zip(several, shares, strict=True) if share > 0]
        outputs = torch.from_numpy(np.stack(counted)).double()
        weighing = torch.from_numpy(shares[shares > 0])
        means = [
            _averaged_outputs(target, outputs[:, :, columns], weighing)
            for target, columns in first.task.columns()
        ]
        unreadable = tuple(dict.fromkeys(file for one in several for file in one.unreadable))
        return cls.of(
            first.task, first.sources, torch.cat(means, dim=1).float(), first.labels, unreadable
        )

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns."""
        return self.task.target.classes

    @property
    def targets(self) -> Any:
        """What is true, as an array; None where nothing is known."""
        return None if self.labels is None else self.labels.values[0]

    @property
    def log_probabilities(self) -> NDArray[np.float32]:
        """Log-probabilities, (rows, classes); of exclusive classes they are those of one choice."""
        outputs = torch.from_numpy(self.outputs)
        return log_probabilities(self.task.target, outputs).numpy()

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities, (rows, classes)."""
        return np.exp(self.log_probabilities)

    @property
    def predicted(self) -> NDArray[Any]:
        """The likeliest class of each row by number; for labels 0 or 1 each; or the number."""
        target = self.task.target
        if target.kind is Kind.REGRESSION:
            numbers: NDArray[np.float32] = self.outputs[:, 0]
            return numbers
        if target.exclusive:
            likeliest: NDArray[np.intp] = self.probabilities.argmax(axis=1)
            return likeliest
        return np.asarray(self.probabilities > 0.5, dtype=np.float32)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each row's class, or all of its labels, are right.

        Raises:
            DataError: Nothing is known of the rows, or a number was predicted.
        """
        if self.labels is None or self.task.target.kind is Kind.REGRESSION:
            raise DataError("right or wrong needs rows with known classes")
        right: NDArray[np.bool_] = np.asarray(self.predicted == self.targets)
        return right if right.ndim == 1 else np.all(right, axis=1)

    def metric(self, name: str) -> float:
        """A metric by name; see :func:`secchi.training.metrics.metric`."""
        if self.labels is None:
            raise DataError(f"{name} needs rows of which the truth is known")
        target = self.task.target
        answers = self.predicted if target.kind is Kind.REGRESSION else self.probabilities
        return metric(name)(target, answers, self.targets, self.labels.weights)

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary a row: the file, the class, and the probabilities by class name."""
        target = self.task.target
        if target.kind is Kind.REGRESSION:
            values = self.predicted
            name = f"predicted {target.name}" if target.name in _COLUMNS else target.name
            return [
                {"file": file, name: float(value)}
                for file, value in zip(self.sources, values, strict=True)
            ]
        records = []
        predicted = self.predicted
        for row, (file, shares) in enumerate(zip(self.sources, self.probabilities, strict=True)):
            named = {c: float(p) for c, p in zip(target.classes, shares, strict=True)}
            says: Any = [c for c, p in named.items() if p > 0.5]
            if target.exclusive:
                says = target.classes[predicted[row]]
            records.append({"file": file, "class": says, "probabilities": named})
        return records

    def to_frame(self) -> "pd.DataFrame":
        """One row each: file, class, and one column of probability a class."""
        import pandas as pd

        return pd.DataFrame(self._flat())

    def write_csv(self, file: str | os.PathLike[str]) -> None:
        """Write one line a row, and one for each file that could not be read, with its reason."""
        rows = self._flat() + [{"file": f, "error": reason} for f, reason in self.unreadable]
        columns = list(dict.fromkeys(name for row in rows for name in row)) or ["file"]
        target = Path(os.path.abspath(os.fspath(file)))
        with (
            written_aside(target) as aside,
            open(aside, "w", newline="", encoding="utf-8", errors="surrogateescape") as out,
        ):
            writer = csv.DictWriter(out, columns)
            writer.writeheader()
            writer.writerows(rows)

    def plot(
        self,
        rows: Sequence[int] | None = None,
        *,
        count: int = 12,
        columns: int = 4,
        seed: int = 0,
    ) -> "Figure":
        """Draw pictures with the class that was predicted and its probability; misses are marked.

        Args:
            rows: Which; None draws some at random.
            count: How many at random.
            columns: How many stand side by side.
            seed: Another seed draws others.

        Raises:
            DataError: The task is not one class a picture.
        """
        from secchi.data.pictures import read_picture
        from secchi.figures.pictures import Tile, picture_grid

        if not self.task.target.exclusive:
            raise DataError("pictures are drawn with one class each, and the task has none")
        if rows is None:
            rows = sorted(stream(seed, "pictures to show").permutation(len(self))[:count].tolist())
        probabilities, predicted = self.probabilities, self.predicted
        tiles = []
        for row in rows:
            title = f"{self.classes[predicted[row]]}  {probabilities[row].max():.0%}"
            missed = self.labels is not None and not self.correct[row]
            if missed:
                title += f", is {self.classes[self.targets[row]]}"
            tiles.append(Tile(read_picture(self.sources[row]), title, missed))
        above = "predicted class and its probability" + ("; ✗ is a miss" if self.labels else "")
        return picture_grid(tiles, columns, above)

    def _flat(self) -> list[dict[str, Any]]:
        flat = []
        for record in self.to_records():
            probabilities = record.pop("probabilities", {})
            if isinstance(record.get("class"), list):
                record["class"] = " ".join(record["class"])
            columns = {f"p({c})" if c in _COLUMNS else c: p for c, p in probabilities.items()}
            flat.append(record | columns)
        return flat


def check_same_rows(several: Sequence[Predictions]) -> None:
    """Refuse predictions that are not of the same task, rows in the same order, and labels.

    Raises:
        DataError: With what differs first; or there are no predictions at all.

    >>> pet = Task.classify(["cat", "dog"])
    >>> check_same_rows([Predictions.of(pet, (file,), torch.zeros(1, 1)) for file in "ab"])
    Traceback (most recent call last):
    ...
    secchi.errors.DataError: these predictions are not of the same rows in the same order: row 0 \
is 'a' in the first and 'b' in predictions 1
    """
    if not several:
        raise DataError("there are no predictions at all; at least one is needed")
    first = several[0]
    for number, other in enumerate(several[1:], start=1):
        if other.task != first.task:
            raise DataError(
                f"these predictions are of different tasks: the first of {first.task.to_dict()}, "
                f"predictions {number} of {other.task.to_dict()}"
            )
        if other.sources != first.sources:
            raise DataError(
                "these predictions are not of the same rows in the same order: "
                + _first_difference(first.sources, other.sources, number)
            )
        if not _same_labels(first.labels, other.labels):
            raise DataError(
                f"the labels of predictions {number}, or the weights of their rows, differ from "
                "those of the first"
            )


def _first_difference(one: tuple[str, ...], other: tuple[str, ...], number: int) -> str:
    if len(one) != len(other):
        return f"the first have {len(one)} rows, predictions {number} have {len(other)}"
    row = next(row for row, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"row {row} is {one[row]!r} in the first and {other[row]!r} in predictions {number}"


def _same_labels(one: Labels | None, other: Labels | None) -> bool:
    if one is None or other is None:
        return one is other
    if (one.weights is None) != (other.weights is None):
        return False
    pairs = list(zip(one.values, other.values, strict=True))
    if one.weights is not None and other.weights is not None:
        pairs.append((one.weights, other.weights))
    return all(np.array_equal(a, b) for a, b in pairs)


def _shares(count: int, weights: Sequence[float] | None) -> NDArray[np.float64]:
    """Weights that sum to one."""
    if weights is None:
        return np.full(count, 1 / count)
    faults = [
        f"weight {i} is {w!r}, which is not a number from 0 on"
        for i, w in enumerate(weights)
        if not _is_weight(w)
    ]
    if len(weights) != count:
        faults.append(f"there are {len(weights)} for {count} predictions")
    if not faults and not any(weights):
        faults.append("all of them are 0")
    if faults:
        raise SpecError("these weights cannot be", faults)
    given = np.array(weights, dtype=np.float64)
    given /= given.sum()
    return given


def _is_weight(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value) and float(value) >= 0


def _averaged_outputs(target: Target, outputs: Tensor, shares: Tensor) -> Tensor:
    """The outputs for one target that stand for the averaged probabilities, or numbers.

    Args:
        target: What is predicted.
        outputs: float64 of shape (several, rows, target.outputs).
        shares: Positive and of sum one, (several,).

    Returns:
        (rows, target.outputs)
    """
    shares = shares[:, None, None]

    def log_mean(logs: Tensor) -> Tensor:
        return torch.logsumexp(logs + shares.log(), dim=0)

    if target.kind is Kind.REGRESSION:
        return (shares * outputs).sum(dim=0)
    if target.kind is Kind.MULTICLASS:
        return log_mean(functional.log_softmax(outputs, dim=2))
    # logit(p) = log p - log(1 - p), and 1 - sigmoid(x) = sigmoid(-x).
    return log_mean(functional.logsigmoid(outputs)) - log_mean(functional.logsigmoid(-outputs))
