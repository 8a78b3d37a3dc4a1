"""The right tool first: what simple methods get out of the same rows, beside the network.

All of them are scikit-learn's, fitted on the training rows and judged on the validation rows.
"""

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError
from secchi.files import finite
from secchi.inspection.comparison import compare
from secchi.inspection.methods import METHODS, Rows
from secchi.inspection.predictions import Predictions
from secchi.inspection.scored import Baseline, predictions_of, scored
from secchi.text import decimals

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NETWORK = "network"

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Simple methods on the same split, the simplest first; the network last where there is one.

    The intervals are those of the validation rows: another split or another seed is a noise of its
    own. The best of several, chosen on these rows, looks a little better on them than it is.

    Attributes:
        metric: What the scores are: ``"accuracy"`` or ``"r2"``.
        methods: The methods in their order, and the network.
        reference: What they are compared with: ``"network"``, or the name of the best of them.
    """

    metric: str
    methods: tuple[Baseline, ...]
    reference: str

    def __getitem__(self, name: str) -> Baseline:
        """One of them by its name.

        Raises:
            DataError: There is none of that name.
        """
        for one in self.methods:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.methods)
        raise DataError(f"there is no baseline {name!r}; there are {known}")

    @property
    def verdict(self) -> str:
        """One sentence: whether something simpler does as well, or better."""
        names = [one.name for one in self.methods]
        simpler = self.methods[: names.index(self.reference)]
        reference = f"the {NETWORK}" if self.reference == NETWORK else self.reference
        better = [one for one in simpler if one.better]
        if better:
            best = max(better, key=_gain)
            return f"better than {reference}: {best.name}, by {self._amount(best)}"
        for one in simpler:
            if not one.worse:
                rows = f"{len(one.predictions):,} validation rows"
                return (
                    f"within the noise of {rows}: the simplest, {one.name}, does as well as "
                    f"{reference}"
                )
        if not simpler:
            return f"nothing is better than the simplest, {reference}"
        nearest = max(simpler, key=_gain)
        return (
            f"better than all that is simpler: {reference}; the nearest, {nearest.name}: "
            f"{self._amount(nearest)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the verdict among them."""
        plain: dict[str, Any] = finite(
            {
                "metric": self.metric,
                "methods": [one.to_dict() for one in self.methods],
                "reference": self.reference,
                "verdict": self.verdict,
            }
        )
        return plain

    def to_frame(self) -> "pd.DataFrame":
        """One row a method: its score, loss and seconds, and how much better it is."""
        import pandas as pd

        records = []
        for one in self.methods:
            gain, low, high = one.difference or (None, None, None)
            records.append(
                {
                    "name": one.name,
                    self.metric: one.score,
                    "low": one.low,
                    "high": one.high,
                    "loss": one.loss,
                    "seconds": one.seconds,
                    "difference": gain,
                    "difference_low": low,
                    "difference_high": high,
                }
            )
        return pd.DataFrame(records)

    def plot(self) -> "Figure":
        """Draw every score with its 95 % interval, the network's marked."""
        from secchi.figures.baselines import score_intervals

        return score_intervals(
            [one.name for one in self.methods],
            [one.score for one in self.methods],
            [one.low for one in self.methods],
            [one.high for one in self.methods],
            [one.name == NETWORK for one in self.methods],
            self.metric,
        )

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        width = max(len(one.name) for one in self.methods)
        lines = [
            f"{'method':<{width}}{self.metric:>10}  {'95 % interval':<18}{'loss':>10}{'seconds':>9}"
            f"  better than {self.reference} by (95 % interval)"
        ]
        for one in self.methods:
            interval = f"{one.low:.4f} to {one.high:.4f}"
            seconds = "" if one.seconds is None else f"{one.seconds:.2f}"
            lines.append(
                f"{one.name:<{width}}{one.score:>10.4f}  {interval:<18}{one.loss:>10.4g}"
                f"{seconds:>9}  {self._amount(one)}".rstrip()
            )
        lines += [f"{one.name}: {one.remark}" for one in self.methods if one.remark]
        return "\n".join([*lines, self.verdict])

    def _amount(self, one: Baseline) -> str:
        """How much better it is, in accuracy or r2."""
        if one.difference is None:
            return ""
        _, low, high = one.difference
        places = decimals([(high - low) / 2])
        gain, low, high = (round(value, places) + 0.0 for value in one.difference)
        return f"{gain:+.{places}f} {self.metric} ({low:+.{places}f} to {high:+.{places}f})"


def baselines(
    train: tuple[Array, Array],
    valid: tuple[Array, Array],
    target: Target,
    *,
    weights: tuple[Array | None, Array | None] = (None, None),
    seed: int = 0,
    network: Predictions | None = None,
) -> Baselines:
    """Fit simple methods on the training rows, and hold them against a network on the validation.

    The simplest first: the most frequent class or the mean; logistic or linear regression, on
    columns scaled by the training rows, with an L2 penalty of 1; for classes k-means, which sees no
    labels and is here to show what the features alone tell; and gradient-boosted trees as
    scikit-learn sets them.

    Two methods are compared row by row, as :func:`secchi.inspection.comparison.compare` does.

    Args:
        train: Features (rows, columns), and labels as :meth:`secchi.Target.encode` gives them.
        valid: Likewise.
        target: What is predicted: classes of which a row has one, or a number.
        weights: How much each training and each validation row counts; None counts all alike.
        seed: Of k-means and of the trees.
        network: What a network says of the validation rows, in the same order.

    Raises:
        DataError: Another kind of target, rows that do not fit, features that are missing or not
            finite, one class alone, or predictions of other rows than the validation rows.

    >>> from sklearn.datasets import load_iris
    >>> flowers, species = load_iris(return_X_y=True)
    >>> target = Target.classify("species", ["setosa", "versicolor", "virginica"])
    >>> train, valid = (flowers[::2], species[::2]), (flowers[1::2], species[1::2])
    >>> found = baselines(train, valid, target)
    >>> [one.name for one in found.methods]
    ['majority class', 'logistic regression', 'k-means', 'gradient-boosted trees']
    >>> found["majority class"].score < 0.4 < 0.9 < found["logistic regression"].score
    True
    """
    if not (target.exclusive or target.kind is Kind.REGRESSION):
        raise DataError(
            f"baselines need one class a row or a number, and {target.name!r} is "
            f"{target.kind.value}; take one of its labels at a time"
        )
    fitted = _counted(_rows("training", train, weights[0], target))
    judged = _rows("validation", valid, weights[1], target)
    if fitted.features.shape[1] != judged.features.shape[1]:
        raise DataError(
            f"the training rows have {fitted.features.shape[1]:,} columns, the validation rows "
            f"{judged.features.shape[1]:,}"
        )
    if target.exclusive and len(np.unique(fitted.labels)) < 2:
        name = target.classes[fitted.labels[0]]
        raise DataError(f"all training rows are {name!r}; baselines need two classes to tell apart")
    given = None if judged.weights is None else judged.weights.astype(np.float32)
    labels = judged.labels if target.exclusive else judged.labels.astype(np.float64)
    truth = Labels(Task((target,)), (labels,), given)
    methods = []
    for name, method in METHODS[target.exclusive].items():
        start = time.perf_counter()
        answers, remark = method(fitted, judged.features, target, seed)
        seconds = time.perf_counter() - start
        said = predictions_of(answers, truth, network)
        methods.append(scored(name, said, seconds, remark))
    if network is not None:
        methods.append(scored(NETWORK, network, None, ""))
    metric = "accuracy" if target.exclusive else "r2"
    return _compared(metric, methods)


def _rows(name: str, given: tuple[Array, Array], weights: Array | None, target: Target) -> Rows:
    """Rows that can be fitted and judged."""
    features = np.asarray(given[0], dtype=np.float64)
    labels = np.asarray(given[1], dtype=np.int64 if target.exclusive else np.float64)
    rows = len(labels)
    if features.shape[:1] != (rows,) or features.ndim != 2 or labels.ndim != 1 or not rows:
        raise DataError(
            f"the {name} rows need features of shape (rows, columns) and as many labels, one or "
            f"more; they have the shapes {features.shape} and {labels.shape}"
        )
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise DataError(
            f"column {column} of {name} row {row} is {features[row, column]}; fill what is missing "
            "and scale what is infinite before, as TableTransform does"
        )
    if weights is not None and np.shape(weights) != (rows,):
        raise DataError(f"the {name} weights have the shape {np.shape(weights)} for {rows:,} rows")
    return Rows(features, labels, weights)


def _counted(rows: Rows) -> Rows:
    """Without the rows that weigh nothing."""
    if rows.weights is None:
        return rows
    counted = rows.weights > 0
    return Rows(rows.features[counted], rows.labels[counted], rows.weights[counted])


def _compared(metric: str, methods: list[Baseline]) -> Baselines:
    """All against the network, or against the best of them."""
    last = methods[-1]
    best = last if last.name == NETWORK else max(methods, key=lambda one: one.score)
    measure = "accuracy" if metric == "accuracy" else "loss"
    compared = [
        one
        if one is best
        else dataclasses.replace(
            one, comparison=compare(one.predictions, best.predictions, measure)
        )
        for one in methods
    ]
    return Baselines(metric, tuple(compared), best.name)


def _gain(one: Baseline) -> float:
    return one.difference[0] if one.difference else 0.0
