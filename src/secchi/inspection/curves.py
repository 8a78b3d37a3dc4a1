"""How well probabilities put rows in order (ROC), and whether they can be taken at their word."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind
from secchi.errors import SpecError
from secchi.files import finite
from secchi.inspection.judged import CLASSES_AND_LABELS, Judged, judged, ratio
from secchi.intervals import share_interval
from secchi.text import cut, number, table
from secchi.values import is_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from secchi.inspection.predictions import Predictions

Array = NDArray[np.float64]

_LISTED = 20
"""Of more classes those of the smallest area are printed."""


@dataclasses.dataclass(frozen=True, repr=False)
class RocCurve:
    """One class or label against the rest, at every threshold of its probability.

    Attributes:
        name: The class or label.
        rows: How many rows are of it.
        others: How many are not.
        thresholds: Rows of at least this probability are said to be of it; the first is infinite,
            and thresholds that lie on a straight line between others are left out.
        false_positive: The share of the others that are said to be of it, (thresholds,).
        true_positive: The share of its rows that are.
        auc: The area under the curve: how often a row that is of it has a higher probability than
            one that is not. NaN where there are no rows of either sort, and then no curve.
    """

    name: str
    rows: int
    others: int
    thresholds: Array
    false_positive: Array
    true_positive: Array
    auc: float

    @classmethod
    def of(cls, name: str, present: NDArray[np.bool_], scores: Array, weights: Any) -> "RocCurve":
        """From which rows are of it, and the probability of each; (rows,) all."""
        from sklearn.metrics import auc, roc_curve

        rows, others = int(present.sum()), int((~present).sum())
        if not rows or not others:
            nothing = np.empty(0)
            return cls(name, rows, others, nothing, nothing, nothing, math.nan)
        false, true, thresholds = roc_curve(present, scores, sample_weight=weights)
        return cls(name, rows, others, thresholds, false, true, float(auc(false, true)))


@dataclasses.dataclass(frozen=True, repr=False)
class Roc:
    """Receiver operating characteristics: true against false positives at every threshold.

    Attributes:
        target: What was predicted.
        curves: One for each class or label against the rest; of two classes the second alone, as
            the first has the same area.

    >>> import torch
    >>> from secchi.data.task import Labels, Task
    >>> from secchi.inspection.predictions import Predictions
    >>> pet = Task.classify(["cat", "dog"])
    >>> said = torch.tensor([[-2.0], [-1.0], [1.0], [0.5]])
    >>> truth = Labels.of(pet.target, ["cat", "cat", "cat", "dog"])
    >>> Predictions.of(pet, tuple("abcd"), said, truth).roc()
    class: area under the ROC curve 0.6667
    against the rest  rows  others    area
    dog                  1       3  0.6667
    """

    target: str
    curves: tuple[RocCurve, ...]

    @classmethod
    def of(cls, predictions: "Predictions") -> "Roc":
        """See :meth:`secchi.inspection.predictions.Predictions.roc`."""
        rows = judged(predictions, "a ROC curve", CLASSES_AND_LABELS)
        present = _present(rows)
        first = 1 if rows.target.kind is Kind.BINARY else 0
        curves = [
            RocCurve.of(name, present[:, i], rows.answers[:, i], rows.weights)
            for i, name in enumerate(rows.target.classes)
            if i >= first
        ]
        return cls(rows.target.name, tuple(curves))

    @property
    def auc(self) -> float:
        """The mean area over classes or labels; NaN where one of them has no curve."""
        return float(np.mean([curve.auc for curve in self.curves]))

    def to_frame(self) -> "pd.DataFrame":
        """One row for each threshold of each class: class, threshold and both shares."""
        import pandas as pd

        columns = ("threshold", "false_positive", "true_positive")
        frames = []
        for curve in self.curves:
            values = (curve.thresholds, curve.false_positive, curve.true_positive)
            frame = pd.DataFrame(dict(zip(columns, values, strict=True)))
            frame.insert(0, "class", curve.name)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """The areas as plain JSON values; those that are not finite are None."""
        areas = {c.name: {"rows": c.rows, "others": c.others, "auc": c.auc} for c in self.curves}
        plain: dict[str, Any] = finite({"target": self.target, "auc": self.auc, "classes": areas})
        return plain

    def plot(self) -> "Figure":
        """Every curve; of many classes those of the smallest area are named."""
        from secchi.figures.judging import roc_curves

        drawn = [c for c in self.curves if not math.isnan(c.auc)]
        curves = {c.name: (c.false_positive, c.true_positive) for c in drawn}
        return roc_curves(curves, [c.auc for c in drawn], self.target)

    def __repr__(self) -> str:
        lowest = sorted(self.curves, key=lambda curve: curve.auc)
        shown = self.curves if len(self.curves) <= _LISTED else lowest[: _LISTED // 2]
        head = f"{self.target}: area under the ROC curve {number(self.auc)}"
        if len(self.curves) > 1:
            head += f", the mean of {len(self.curves)}"
        if len(shown) < len(self.curves):
            head += f"; the {len(shown)} lowest:"
        lines = [["against the rest", "rows", "others", "area"]]
        for curve in shown:
            counts = (f"{curve.rows:,}", f"{curve.others:,}")
            lines.append([cut(curve.name, 24), *counts, number(curve.auc)])
        return f"{head}\n{table(lines)}"


@dataclasses.dataclass(frozen=True, repr=False)
class Calibration:
    """How often what was said with a probability is true.

    Rows are put in bins by what was said: of two classes by the probability of the second; of many
    by that of the predicted class (Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern
    neural networks"); several labels by that of each label, all of them together.

    Attributes:
        target: What was predicted.
        probability_of: The probability of what: a class's name, ``"the predicted class"`` or
            ``"each label"``.
        edges: The edges of the bins, (bins + 1,); a probability on an edge is in the lower bin.
        counts: How many are in each bin, (bins,).
        weights: What they weigh; the same where rows have no weights.
        said: The mean probability in each bin; NaN where it is empty.
        true: The share that is true.
        intervals: Lower and upper end of the 95 % interval of that share, (bins, 2).
        error: The expected calibration error, the mean over the rows of their bin's
            |true - said| (Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated
            probabilities using Bayesian binning").
        noise: What the error would be on average if every probability were right: with few rows in
            a bin its share differs from what was said all the same. The variance of the share is
            sum(w^2 p (1 - p)) / sum(w)^2, and the mean size of a normal number of variance v is
            sqrt(2 v / pi). Labels of a row are taken as independent.

    >>> import torch
    >>> from secchi.data.task import Labels, Task
    >>> from secchi.inspection.predictions import Predictions
    >>> pet = Task.classify(["cat", "dog"])
    >>> said = torch.tensor([[0.1], [0.1], [0.9], [0.9]]).logit()
    >>> truth = Labels.of(pet.target, ["cat", "cat", "cat", "dog"])
    >>> Predictions.of(pet, tuple("abcd"), said, truth).calibration(bins=2)
    class: expected calibration error 0.2500; were every probability right, noise would make \
it 0.1693
    probability of dog  rows    said    true     95 % interval
    0 to 0.5               2  0.1000  0.0000  0.0000 to 0.6576
    0.5 to 1               2  0.9000  0.5000  0.0945 to 0.9055
    """

    target: str
    probability_of: str
    edges: Array
    counts: NDArray[np.int64]
    weights: Array
    said: Array
    true: Array
    intervals: Array
    error: float
    noise: float

    @classmethod
    def of(cls, predictions: "Predictions", bins: int = 10) -> "Calibration":
        """See :meth:`secchi.inspection.predictions.Predictions.calibration`."""
        if not is_whole(bins) or bins < 1:
            fault = f"bins={bins!r} is no whole number from 1 on"
            raise SpecError("this calibration cannot be", [fault])
        rows = judged(predictions, "a calibration curve", CLASSES_AND_LABELS)
        probability_of, said, true, weights = _events(rows)
        edges = np.linspace(0, 1, bins + 1)
        place = np.searchsorted(edges[1:-1], said)
        given = np.ones(len(said)) if weights is None else weights
        totals = np.bincount(place, given, minlength=bins)

        def mean(values: Array) -> Array:
            sums = np.bincount(place, given * values, minlength=bins)
            return ratio(sums, totals)

        gaps = np.bincount(place, given * (true - said), minlength=bins)
        variances = np.bincount(place, given**2 * said * (1 - said), minlength=bins)
        intervals = [
            share_interval(true[place == b], None if weights is None else weights[place == b])
            for b in range(bins)
        ]
        return cls(
            rows.target.name,
            probability_of,
            edges,
            np.bincount(place, minlength=bins),
            totals.astype(np.float64),
            mean(said),
            mean(true),
            np.array(intervals),
            float(np.abs(gaps).sum() / totals.sum()),
            float(np.sqrt(2 * variances / math.pi).sum() / totals.sum()),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; numbers that are not finite are None."""
        document = {
            field.name: value.tolist() if isinstance(value, np.ndarray) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """What is true against what was said, with the diagonal, above how many rows there are."""
        from secchi.figures.judging import calibration_curve

        return calibration_curve(
            self.edges, self.weights, (self.said, self.true, self.intervals), self.probability_of
        )

    def __repr__(self) -> str:
        head = f"{self.target}: expected calibration error {number(self.error)}"
        head += f"; were every probability right, noise would make it {number(self.noise)}"
        lines = [[f"probability of {cut(self.probability_of, 24)}", "rows", *_CALIBRATION]]
        for b in np.flatnonzero(self.counts):
            low, high = self.intervals[b]
            lines.append(
                [
                    f"{self.edges[b]:.3g} to {self.edges[b + 1]:.3g}",
                    f"{self.counts[b]:,}",
                    number(self.said[b]),
                    number(self.true[b]),
                    f"{number(low)} to {number(high)}",
                ]
            )
        return f"{head}\n{table(lines)}"


_CALIBRATION = ("said", "true", "95 % interval")


def _present(rows: Judged) -> NDArray[np.bool_]:
    """Whether each row is of each class or label, (rows, classes)."""
    if rows.target.kind is Kind.MULTILABEL:
        return np.asarray(rows.truth > 0.5)
    return np.asarray(rows.truth[:, None] == np.arange(len(rows.target.classes)))


def _events(rows: Judged) -> tuple[str, Array, Array, Array | None]:
    """The probability of what, that probability, whether it is true, and the weights; (events,)."""
    if rows.target.kind is Kind.BINARY:
        return rows.target.classes[1], rows.answers[:, 1], rows.truth.astype(float), rows.weights
    if rows.target.kind is Kind.MULTICLASS:
        right = rows.answers.argmax(axis=1) == rows.truth
        return "the predicted class", rows.answers.max(axis=1), right.astype(float), rows.weights
    labels = len(rows.target.classes)
    weights = None if rows.weights is None else np.repeat(rows.weights, labels)
    return "each label", rows.answers.ravel(), rows.truth.ravel().astype(float), weights
