"""The rows that can be judged, checked and with those left out that do not count."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Target
from secchi.errors import DataError

if TYPE_CHECKING:
    from secchi.inspection.predictions import Predictions

CLASSES = (Kind.BINARY, Kind.MULTICLASS)
CLASSES_AND_LABELS = (*CLASSES, Kind.MULTILABEL)

_CALLED = {
    Kind.BINARY: "classes",
    Kind.MULTICLASS: "classes",
    Kind.MULTILABEL: "several labels a row",
    Kind.DISTRIBUTION: "shares of classes",
    Kind.REGRESSION: "a number",
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What was said of some rows and what is true; rows whose weight is 0 count as absent.

    Attributes:
        target: What was predicted.
        answers: Probabilities (rows, classes), or numbers (rows,); float64.
        truth: Classes by number (rows,), labels 0 or 1 (rows, labels), or numbers (rows,) in
            float64.
        weights: How much each row counts, above 0, float64 (rows,); None counts all alike.
        rows: Where each stands among the predictions, (rows,).
    """

    target: Target
    answers: NDArray[np.float64]
    truth: NDArray[Any]
    weights: NDArray[np.float64] | None
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """One divided by the other; NaN where there is nothing to be a part of."""
    shares = np.full(part.shape, math.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def judged(predictions: "Predictions", what: str, kinds: tuple[Kind, ...]) -> Judged:
    """The rows of some predictions that can be judged.

    Args:
        predictions: Of one target.
        what: What needs them, as the start of a sentence.
        kinds: The kinds of target that it suits.

    Raises:
        DataError: There are several targets or one of another kind, the truth is not known, no row
            counts, or an answer is no finite number.
    """
    target = predictions.only_target
    if target.kind not in kinds:
        needed = " or ".join(dict.fromkeys(_CALLED[kind] for kind in kinds))
        raise DataError(f"{what} needs {needed}, and {target.name!r} is {_CALLED[target.kind]}")
    if predictions.labels is None:
        raise DataError(
            f"{what} needs rows of which the truth is known, and of these it is not; predict rows "
            "that have labels"
        )
    weights = predictions.labels.weights
    counted = np.ones(len(predictions), dtype=np.bool_) if weights is None else weights > 0
    rows = np.flatnonzero(counted)
    if not len(rows):
        raise DataError(f"{what} needs rows, and there are none, or all of them weigh 0")
    number = target.kind is Kind.REGRESSION
    answers = (predictions.predicted if number else predictions.probabilities)[rows]
    finite = np.isfinite(answers).reshape(len(rows), -1).all(axis=1)
    if not finite.all():
        first = predictions.sources[rows[np.flatnonzero(~finite)[0]]]
        raise DataError(
            f"{what} needs finite answers, and those of {(~finite).sum():,} of {len(rows):,} rows "
            f"are not, the first of them {predictions.source_name} {first}; a lower learning rate "
            "keeps a network from diverging"
        )
    truth = predictions.targets[rows]
    return Judged(
        target,
        answers.astype(np.float64),
        truth.astype(np.float64) if number else truth,
        None if weights is None else weights[rows].astype(np.float64),
        rows,
    )
