"""One method's score on some rows, with the noise of those rows."""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secchi.data.task import Kind, Labels
from secchi.errors import DataError
from secchi.inspection.comparison import Comparison
from secchi.inspection.predictions import Predictions
from secchi.intervals import mean_interval, share_interval

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Baseline:
    """How well one method does on the validation rows; the network's own row is one too.

    Attributes:
        name: What it is.
        predictions: What it says of every row.
        score: Its accuracy, or the r2 of a number.
        low: Lower end of the 95 % interval of the score.
        high: Upper end of it.
        loss: Its mean loss: the cross-entropy, or the squared error of a number.
        seconds: How long it took to fit and to predict; None for the network.
        remark: What to know of it, or nothing.
        comparison: From it to the network, or to the best of them where there is no network: of
            the accuracy, or of the loss of a number. None for the one they are compared with.
    """

    name: str
    predictions: Predictions
    score: float
    low: float
    high: float
    loss: float
    seconds: float | None
    remark: str = ""
    comparison: Comparison | None = None

    @property
    def difference(self) -> tuple[float, float, float] | None:
        """How much better it is than what it is compared with, and the 95 % interval of that.

        Positive is better: in accuracy, or in r2, which is the squared error that is saved, as a
        share of the variance of the truth.
        """
        if self.comparison is None:
            return None
        one = self.comparison
        if one.measure == "accuracy":
            return -one.difference, -one.high, -one.low
        labels = self.predictions.labels
        truth = np.asarray(self.predictions.targets, np.float64)
        weights = None if labels is None else labels.weights
        about = (truth - np.average(truth, weights=weights)) ** 2
        variance = float(np.average(about, weights=weights)) or float("nan")
        return one.difference / variance, one.low / variance, one.high / variance

    @property
    def better(self) -> bool:
        """Whether it is better than what it is compared with, beyond the noise."""
        return self.difference is not None and self.difference[1] > 0

    @property
    def worse(self) -> bool:
        """Whether it is worse than what it is compared with, beyond the noise."""
        return self.difference is not None and self.difference[2] < 0

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the predictions."""
        document = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del document["predictions"]
        return document | {"comparison": self.comparison and self.comparison.to_dict()}


def predictions_of(answers: Array, truth: Labels, network: Predictions | None) -> Predictions:
    """Predictions from probabilities (rows, classes) or numbers (rows,), of the network's rows."""
    target = truth.task.target
    outputs = answers[:, None]
    if target.exclusive:
        # What is certain to float32 still has a finite loss.
        shares = np.clip(answers, np.finfo(np.float32).eps, None)
        outputs = np.log(shares / shares.sum(axis=1, keepdims=True))
        if target.kind is Kind.BINARY:
            outputs = outputs[:, 1:] - outputs[:, :1]
    tensor = torch.from_numpy(outputs.astype(np.float64))
    if network is None:
        return Predictions.of(truth.task, np.arange(len(truth)), tensor, truth, source_name="row")
    return Predictions.of(
        truth.task, network.sources, tensor, truth, source_name=network.source_name
    )


def scored(name: str, said: Predictions, seconds: float | None, remark: str) -> Baseline:
    """A method's score on the rows that it was asked for, those that weigh nothing left out.

    Raises:
        DataError: The truth is not known, or an answer is no finite number.
    """
    if said.labels is None or said.losses is None:
        raise DataError(
            f"the truth of the {name}'s rows is not known, which a score needs; predict rows that "
            "have labels"
        )
    if not np.isfinite(said.outputs).all():
        raise DataError(
            f"the {name} says what is no finite number of some rows; a lower learning rate keeps a "
            "network from diverging"
        )
    weights = said.labels.weights
    counts = np.ones(len(said)) if weights is None else weights.astype(np.float64)
    counted = counts > 0
    counts = counts[counted]
    losses = said.losses.astype(np.float64)[counted]
    if said.task.target.exclusive:
        score = said.metric("accuracy")
        low, high = share_interval(said.correct[counted], counts)
    else:
        score = said.metric("r2")
        low, high = _r2_interval(said.targets.astype(np.float64)[counted], losses, counts, score)
    loss = float(np.average(losses, weights=counts))
    return Baseline(name, said, score, low, high, loss, seconds, remark)


def _r2_interval(truth: Array, squares: Array, weights: Array, r2: float) -> tuple[float, float]:
    """The 95 % interval of r2 = 1 - mean(squared error) / variance, a ratio, linearised."""
    if not np.isfinite(r2):
        return float("nan"), float("nan")
    about = (truth - np.average(truth, weights=weights)) ** 2
    variance = np.average(about, weights=weights)
    if variance == 0:
        return float("nan"), float("nan")
    return mean_interval(r2 - (squares - (1 - r2) * about) / variance, weights)
