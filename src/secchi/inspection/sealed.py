"""What a model comes to on a test set, and what that is worth."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.optimism import standard_error
from secchi.data.seal import Seal
from secchi.data.task import Kind
from secchi.data.vault import TestReport
from secchi.inspection.predictions import Predictions
from secchi.intervals import share_interval
from secchi.training.metrics import LOWER_IS_BETTER


@dataclasses.dataclass(frozen=True)
class TestResult:
    """A model on a test set that was opened.

    Attributes:
        scores: The loss, and metrics by name.
        rows: How many rows it was judged by.
        report: How often this test set was looked at, and what choosing by it brings.
        interval: The 95 % interval of the accuracy, where that was measured.
    """

    __test__ = False  # pytest collects classes whose names begin with Test

    scores: dict[str, float]
    rows: int
    report: TestReport
    interval: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**self.scores, "rows": self.rows, "report": self.report.to_dict()}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        shown = {name: f"{value:.4f}" for name, value in self.scores.items()}
        if self.interval and "accuracy" in shown:
            low, high = self.interval
            shown["accuracy"] += f" (95 % interval {low:.4f} to {high:.4f})"
        scores = ", ".join(f"{name} {value}" for name, value in shown.items())
        return f"test: {scores} on {self.rows:,} rows\n{self.report}"


def look(
    predictions: Predictions, scores: dict[str, float], seal: Seal, *, model: str, name: str
) -> TestResult:
    """Note what a model comes to on an opened test set.

    The metric that is noted is the first one beside the loss, by which models are chosen.

    Args:
        predictions: Of the rows of the test set, beside the truth.
        scores: The loss, and metrics by name.
        seal: Of the test set.
        model: What identifies the model, such as a digest of its weights.
        name: What a person calls it.
    """
    chosen_by = next((metric for metric in scores if metric != "loss"), "loss")
    each = _each_row(predictions, chosen_by)
    weights = None if predictions.labels is None else predictions.labels.weights
    report = seal.note(
        model=model,
        name=name,
        metric=chosen_by,
        value=scores[chosen_by],
        standard_error=math.nan if each is None else standard_error(each, weights),
        lower_is_better=chosen_by.rpartition(".")[2] in LOWER_IS_BETTER,
    )
    interval = None
    if "accuracy" in scores and len(predictions.task.targets) == 1:
        interval = share_interval(predictions.correct, weights)
    return TestResult(scores, len(predictions), report, interval)


def _each_row(predictions: Predictions, metric: str) -> NDArray[Any] | None:
    """What each row adds to a metric that is a mean over rows; None of others."""
    if metric == "loss":
        return predictions.losses
    if len(predictions.task.targets) > 1:
        target, _, metric = metric.rpartition(".")
        predictions = predictions.target(target)
    if metric in ("accuracy", "error_rate") and predictions.only_target.kind is not Kind.MULTILABEL:
        return predictions.correct
    if metric == "mae":
        far: NDArray[Any] = np.abs(predictions.predicted - predictions.targets)
        return far
    return None
