"""How good the answers are, by name.

Accuracy is an average and computed as one; everything else is scikit-learn's.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Target
from secchi.errors import SpecError, did_you_mean

Array = NDArray[Any]
Metric = Callable[[Target, Array, Array, Array | None], float]
"""(target, answers, truth, weights) to a number. Answers are probabilities of shape (rows, classes)
for classes and labels, and the numbers themselves for regression."""


def metric(name: str) -> Metric:
    """The metric of a name: accuracy, error_rate, top_2, top_3, …, f1, auc, r2 or mae.

    Raises:
        SpecError: There is none of that name.

    >>> pet = Target.classify("pet", ["cat", "dog"])
    >>> metric("accuracy")(pet, np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), None)
    0.5
    """
    if match := re.fullmatch(r"top_?([1-9][0-9]*)", name):
        k = int(match[1])
        return lambda target, answers, truth, weights: _top_k(k, target, answers, truth, weights)
    if name not in _METRICS:
        known = [*_METRICS, "top_3"]
        fault = f"there is none called {name!r}{did_you_mean(name, known)}; known: "
        raise SpecError("this metric cannot be", [fault + ", ".join(known)])
    return _METRICS[name]


def default_metric(target: Target) -> str:
    """Accuracy; for a number, the mean absolute error."""
    return "mae" if target.kind is Kind.REGRESSION else "accuracy"


def _accuracy(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    _needs_classes("accuracy", target)
    if target.exclusive:
        right = answers.argmax(axis=1) == truth
    else:
        right = ((answers > 0.5) == (truth > 0.5)).mean(axis=1)
    return float(np.average(right, weights=weights))


def _error_rate(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    return 1 - _accuracy(target, answers, truth, weights)


def _top_k(k: int, target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    from sklearn.metrics import top_k_accuracy_score

    if target.kind is not Kind.MULTICLASS:
        raise SpecError("this metric cannot be", [f"top_{k} needs three classes or more"])
    classes = np.arange(len(target.classes))
    score = top_k_accuracy_score(truth, answers, k=k, labels=classes, sample_weight=weights)
    return float(score)


def _f1(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """The harmonic mean of precision and recall, averaged over classes (macro)."""
    from sklearn.metrics import f1_score

    _needs_classes("f1", target)
    said = answers.argmax(axis=1) if target.exclusive else answers > 0.5
    labels = np.arange(len(target.classes)) if target.exclusive else None
    score = f1_score(
        truth, said, average="macro", labels=labels, sample_weight=weights, zero_division=0.0
    )
    return float(score)


def _auc(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """Area under the ROC curve; one against the rest, averaged, for many classes.

    NaN where the rows show one class only: the area is not defined there.
    """
    from sklearn.metrics import roc_auc_score

    _needs_classes("auc", target)
    if target.exclusive and len(np.unique(truth)) < len(target.classes):
        return float("nan")
    if target.kind is Kind.BINARY:
        return float(roc_auc_score(truth, answers[:, 1], sample_weight=weights))
    labels = np.arange(len(target.classes)) if target.exclusive else None
    return float(
        roc_auc_score(truth, answers, multi_class="ovr", labels=labels, sample_weight=weights)
    )


def _r2(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(truth, answers, sample_weight=weights))


def _mae(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(truth, answers, sample_weight=weights))


def _needs_classes(name: str, target: Target) -> None:
    if target.kind is Kind.REGRESSION:
        fault = f"{name} needs classes, and {target.name!r} is a number; r2 and mae are for those"
        raise SpecError("this metric cannot be", [fault])


_METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "error_rate": _error_rate,
    "f1": _f1,
    "auc": _auc,
    "r2": _r2,
    "mae": _mae,
}
