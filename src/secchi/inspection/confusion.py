"""Which classes are taken for which."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind
from secchi.errors import DataError, did_you_mean
from secchi.files import finite
from secchi.inspection.judged import CLASSES, CLASSES_AND_LABELS, Judged, judged, ratio
from secchi.intervals import share_interval
from secchi.text import counted, cut, number, table, with_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secchi.inspection.predictions import Predictions

_MATRIX = 20
"""Up to so many classes the whole matrix is printed; of more, the worst."""

_LINE = 100
"""Characters of a line up to which the matrix has the names of classes above its columns."""

_WORST = 10


class Mistake(NamedTuple):
    """One class taken for another: how many rows, and their share of the true class's weight."""

    true: str
    predicted: str
    rows: int
    share: float


@dataclasses.dataclass(frozen=True, repr=False)
class Confusion:
    """How often each class was taken for which.

    Attributes:
        target: What was predicted.
        classes: The names of the classes, in the order of rows and columns.
        counts: How many rows, (classes, classes): the true class down, the predicted one across.
        matrix: The weights of those rows; ``counts`` where rows have none. Everything below
            follows from it.
        interval: Lower and upper end of the 95 % interval of the accuracy.
        intervals: Likewise for the accuracy of each class, (classes, 2); NaN for one without rows.

    >>> import torch
    >>> from secchi.data.task import Labels, Task
    >>> from secchi.inspection.predictions import Predictions
    >>> pet = Task.classify(["cat", "dog"])
    >>> said = torch.tensor([[-2.0], [-1.0], [1.0], [3.0]])
    >>> truth = Labels.of(pet.target, ["cat", "cat", "cat", "dog"])
    >>> Predictions.of(pet, tuple("abcd"), said, truth).confusion()
    class: accuracy 0.7500 (95 % interval 0.3006 to 0.9544), 4 rows, 1 miss
    true  rows  accuracy     95 % interval  precision  as cat  dog
    cat      3    0.6667  0.2077 to 0.9385     1.0000       2    1
    dog      1    1.0000  0.2065 to 1.0000     0.5000       ·    1
    """

    target: str
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    matrix: NDArray[np.float64]
    interval: tuple[float, float]
    intervals: NDArray[np.float64]

    @classmethod
    def of(cls, predictions: "Predictions", label: str | None = None) -> "Confusion":
        """See :meth:`secchi.inspection.predictions.Predictions.confusion`."""
        rows = judged(predictions, "a confusion matrix", CLASSES_AND_LABELS)
        classes, truth, said = _one_class_each(rows, label)
        name = rows.target.name if label is None else f"{rows.target.name}: {label}"
        cells, size = truth * len(classes) + said, len(classes) ** 2
        shape = (len(classes), len(classes))
        return cls(
            name,
            classes,
            np.bincount(cells, minlength=size).reshape(shape),
            np.bincount(cells, rows.weights, minlength=size).astype(np.float64).reshape(shape),
            share_interval(truth == said, rows.weights),
            _intervals(truth, said, rows.weights, len(classes)),
        )

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """The share of rows that are right."""
        return float(np.trace(self.matrix) / self.matrix.sum())

    @property
    def recall(self) -> NDArray[np.float64]:
        """The accuracy of each class: of the rows that are of it, the share said to be; (classes,).

        NaN for a class without rows.
        """
        return ratio(np.diag(self.matrix), self.matrix.sum(axis=1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the rows said to be of each class, the share that are; NaN where none were."""
        return ratio(np.diag(self.matrix), self.matrix.sum(axis=0))

    def mistakes(self, count: int | None = None) -> tuple[Mistake, ...]:
        """Which class was taken for which other, most rows first.

        Args:
            count: How many of them; None gives all.
        """
        wrong = self.counts - np.diag(np.diag(self.counts))
        totals = self.matrix.sum(axis=1, keepdims=True)
        shares = ratio(self.matrix, np.broadcast_to(totals, self.matrix.shape))
        order = np.lexsort((-shares.ravel(), -wrong.ravel()))[: np.count_nonzero(wrong)]
        pairs = (np.unravel_index(place, wrong.shape) for place in order[:count])
        return tuple(
            Mistake(self.classes[i], self.classes[j], int(wrong[i, j]), float(shares[i, j]))
            for i, j in pairs
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; numbers that are not finite are None."""
        recall, precision = self.recall.tolist(), self.precision.tolist()
        document = {
            "target": self.target,
            "classes": list(self.classes),
            "counts": self.counts.tolist(),
            "matrix": self.matrix.tolist(),
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "per_class": {
                name: {
                    "rows": int(self.counts[i].sum()),
                    "accuracy": recall[i],
                    "interval": self.intervals[i].tolist(),
                    "precision": precision[i],
                }
                for i, name in enumerate(self.classes)
            },
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """The matrix: counts, and each row's shares as colours, hits in blue, misses in orange."""
        from secchi.figures.confusion import confusion_matrix

        return confusion_matrix(self.classes, self.matrix, self.target)

    def __repr__(self) -> str:
        weighted = not np.array_equal(self.matrix, self.counts)
        head = f"{self.target}: {'weighted ' * weighted}accuracy "
        head += with_interval(self.accuracy, *self.interval)
        misses = len(self) - int(np.trace(self.counts))
        head += f", {counted(len(self), 'row', 'rows')}, {counted(misses, 'miss', 'misses')}"
        if weighted:
            head += "; the cells are sums of weights, and accuracy and precision are of those"
        return f"{head}\n{self._whole() if len(self.classes) <= _MATRIX else self._worst()}"

    def _per_class(self, i: int, name: str) -> list[str]:
        low, high = self.intervals[i].tolist()
        interval = "-" if math.isnan(low) else f"{number(low)} to {number(high)}"
        rows = f"{self.counts[i].sum():,}"
        return [name, rows, number(self.recall[i]), interval, number(self.precision[i])]

    def _whole(self) -> str:
        """Every class and the matrix, side by side or, where that is too wide, one below another.

        Then the columns of the matrix have the numbers of the classes.
        """
        names = [cut(name, 20) for name in self.classes]
        beside = [_HEADER + ["as " * (i == 0) + name for i, name in enumerate(names)]]
        for i, name in enumerate(names):
            beside.append(self._per_class(i, name) + self._cells(i))
        text = table(beside)
        if max(map(len, text.splitlines())) <= _LINE:
            return text
        numbers = [str(i) for i in range(1, len(names) + 1)]
        numbered = [f"{i:>2} {name}" for i, name in zip(numbers, names, strict=True)]
        above = [_HEADER, *(self._per_class(i, name) for i, name in enumerate(numbered))]
        below = [["as", *numbers], *([i, *self._cells(int(i) - 1)] for i in numbers)]
        return f"{table(above)}\n{table(below, left=0)}"

    def _cells(self, i: int) -> list[str]:
        return ["·" if not value else _amount(value) for value in self.matrix[i].tolist()]

    def _worst(self) -> str:
        """The classes of the lowest accuracy, and the most frequent mistakes."""
        order = np.argsort(self.recall, kind="stable")[:_WORST]  # NaN is last
        lowest = [_HEADER, *(self._per_class(i, cut(self.classes[i], 24)) for i in order)]
        text = f"the {len(order)} lowest of {len(self.classes)} classes\n{table(lowest)}"
        if mistakes := self.mistakes(_WORST):
            lines = [["true", "predicted", "rows", "share of the class"]]
            for true, said, rows, share in mistakes:
                lines.append([cut(true, 24), cut(said, 24), f"{rows:,}", number(share)])
            text += f"\nthe most frequent mistakes\n{table(lines, left=2)}"
        return text


def per_class_accuracy(predictions: "Predictions") -> Mapping[str, float]:
    """See :meth:`secchi.inspection.predictions.Predictions.per_class_accuracy`."""
    rows = judged(predictions, "accuracy by class", CLASSES_AND_LABELS)
    if rows.target.kind in CLASSES:
        confusion = Confusion.of(predictions)
        return dict(zip(confusion.classes, confusion.recall.tolist(), strict=True))
    right = (rows.answers > 0.5) == (rows.truth > 0.5)
    each = np.average(right, axis=0, weights=rows.weights).tolist()
    return dict(zip(rows.target.classes, each, strict=True))


def _one_class_each(
    rows: Judged, label: str | None
) -> tuple[tuple[str, ...], NDArray[Any], NDArray[Any]]:
    """The classes, and the true and the predicted one of each row."""
    labels = rows.target.classes
    if rows.target.kind is not Kind.MULTILABEL:
        if label is not None:
            raise DataError(
                f"label={label!r} is for several labels a row, and a row of {rows.target.name!r} "
                "has one class; leave it out"
            )
        return labels, rows.truth, rows.answers.argmax(axis=1)
    if label is None:
        raise DataError(
            f"a row of {rows.target.name!r} has several labels, and a confusion matrix is of one of"
            f" them: confusion({labels[0]!r})"
        )
    if label not in labels:
        raise DataError(f"{rows.target.name!r} has no label {label!r}{did_you_mean(label, labels)}")
    i = labels.index(label)
    truth, said = (values[:, i] > 0.5 for values in (rows.truth, rows.answers))
    return (f"not {label}", label), truth.astype(np.int64), said.astype(np.int64)


def _intervals(
    truth: NDArray[Any], said: NDArray[Any], weights: NDArray[np.float64] | None, classes: int
) -> NDArray[np.float64]:
    found = np.empty((classes, 2))
    for i in range(classes):
        rows = truth == i
        found[i] = share_interval(said[rows] == i, None if weights is None else weights[rows])
    return found


def _amount(value: float) -> str:
    """A count, or a weight in few digits."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


_HEADER = ["true", "rows", "accuracy", "95 % interval", "precision"]
