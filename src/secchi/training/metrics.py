"""How good the answers are, by name.

Accuracy is an average and computed as one; everything else is scikit-learn's.
"""

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Target, Task
from secchi.errors import SpecError, did_you_mean

Array = NDArray[Any]
Metric = Callable[[Target, Array, Array, Array | None], float]
"""(target, answers, truth, weights) to a number. Answers are probabilities of shape (rows, classes)
for classes, labels and shares, and the numbers themselves for regression."""

LOWER_IS_BETTER = ("loss", "mae", "rmse", "error_rate", "kl")
"""The measures of which less is better; of every other, more is."""

_SHARE = (0.0, 1.0)
_RANGES = {
    "r2": (-math.inf, 1.0),
    "r": (-1.0, 1.0),
    **dict.fromkeys(("loss", "mae", "rmse", "kl"), (0.0, math.inf)),
}
"""Between which ends a measure lies; every other is a share."""


def metric(name: str) -> Metric:
    """The metric of a name.

    Of classes: accuracy, error_rate, balanced_accuracy, top_2, top_3, …, f1 and auc; of numbers:
    mae, rmse, r2 and r, the correlation of prediction and truth (Pearson's); of shares of classes:
    mae and kl, the Kullback-Leibler divergence of the answer from the truth.

    What it returns gives NaN where nothing can be measured: without rows, say, for an area under
    the curve of one class alone, or for r and r2 of a truth that never changes. Rows whose weight
    is zero count as absent. It raises a :class:`secchi.errors.SpecError` for a target that it does
    not suit.

    Raises:
        SpecError: There is none of that name.

    >>> pet = Target.classify("pet", ["cat", "dog"])
    >>> metric("accuracy")(pet, np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), None)
    0.5
    """
    k = _k(name)
    if not k and name not in _METRICS:
        known = [*_METRICS, "top_3"]
        fault = f"there is none called {name!r}{did_you_mean(name, known)}; known: "
        raise SpecError("this metric cannot be", [fault + ", ".join(known)])
    compute = partial(_top_k, k) if k else _METRICS[name]

    def measure(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
        if fault := _misfit(name, target):
            raise SpecError("this metric cannot be", [fault])
        if weights is not None:
            counted = weights > 0
            answers, truth = answers[counted], truth[counted]
            weights = weights[counted].astype(np.float64)
        return compute(target, answers, truth, weights) if len(truth) else float("nan")

    return measure


def check_metrics(names: Iterable[str], task: Task) -> None:
    """Refuse names that are none, and metrics that suit nothing of what is predicted.

    Of several targets one is enough: a metric is measured on those that it suits.

    Raises:
        SpecError: With every fault.
    """
    faults: list[str] = []
    for name in names:
        try:
            metric(name)
        except SpecError as error:
            faults += error.faults
        else:
            misfits = [_misfit(name, target) for target in task.targets]
            faults += [misfit for misfit in misfits if misfit] if all(misfits) else []
    if faults:
        raise SpecError("these metrics cannot be", faults)


def metric_range(name: str) -> tuple[float, float]:
    """The least and the most that a metric can be, or the loss.

    A loss of one's own may go below zero all the same.

    >>> metric_range("accuracy"), metric_range("r2"), metric_range("mae")
    ((0.0, 1.0), (-inf, 1.0), (0.0, inf))
    """
    return _RANGES.get(name, _SHARE)


def suits(name: str, target: Target) -> bool:
    """Whether a metric can be measured on a target.

    >>> suits("accuracy", Target("price", Kind.REGRESSION))
    False
    """
    return _misfit(name, target) is None


def default_metric(target: Target) -> str:
    """Accuracy; for a number and for shares of classes, the mean absolute error."""
    return "mae" if target.kind in (Kind.REGRESSION, Kind.DISTRIBUTION) else "accuracy"


def usual_metrics(task: Task, numbers: str = "r") -> list[str]:
    """What is measured where nobody says: accuracy, and of numbers how near they are.

    Args:
        task: What is predicted.
        numbers: The metric of numbers: the correlation with the truth, as for tables. Pictures
            take ``"mae"``.

    >>> usual_metrics(Task.regress("price")), usual_metrics(Task.classify(["cat", "dog"]))
    (['r'], ['accuracy'])
    """
    names = [
        numbers if target.kind is Kind.REGRESSION else default_metric(target)
        for target in task.targets
    ]
    return list(dict.fromkeys(names))


def _accuracy(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    if target.exclusive:
        right = answers.argmax(axis=1) == truth
    else:
        right = ((answers > 0.5) == (truth > 0.5)).mean(axis=1)
    return float(np.average(right, weights=weights))


def _error_rate(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    return 1 - _accuracy(target, answers, truth, weights)


def _balanced_accuracy(
    target: Target, answers: Array, truth: Array, weights: Array | None
) -> float:
    """The share of each class that is right, averaged over the classes that there are."""
    from sklearn.metrics import recall_score

    present = np.unique(truth)
    said = answers.argmax(axis=1)
    score = recall_score(truth, said, labels=present, average="macro", sample_weight=weights)
    return float(score)


def _top_k(k: int, target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    from sklearn.metrics import top_k_accuracy_score

    classes = np.arange(len(target.classes))
    score = top_k_accuracy_score(truth, answers, k=k, labels=classes, sample_weight=weights)
    return float(score)


def _f1(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """The harmonic mean of precision and recall, averaged over classes (macro)."""
    from sklearn.metrics import f1_score

    said = answers.argmax(axis=1) if target.exclusive else answers > 0.5
    # scikit-learn takes a single column of labels for two classes: absent and present.
    several = None if len(target.classes) > 1 else [1]
    labels = np.arange(len(target.classes)) if target.exclusive else several
    score = f1_score(
        truth, said, average="macro", labels=labels, sample_weight=weights, zero_division=0.0
    )
    return float(score)


def _auc(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """Area under the ROC curve; one against the rest, averaged, for many classes.

    NaN where a class or a label is absent or all there is: the area is not defined there.
    """
    from sklearn.metrics import roc_auc_score

    present = truth[:, None] == np.arange(len(target.classes)) if target.exclusive else truth > 0.5
    if (present.all(axis=0) | ~present.any(axis=0)).any():
        return float("nan")
    if target.kind is Kind.BINARY:
        return float(roc_auc_score(truth, answers[:, 1], sample_weight=weights))
    labels = np.arange(len(target.classes)) if target.exclusive else None
    return float(
        roc_auc_score(truth, answers, multi_class="ovr", labels=labels, sample_weight=weights)
    )


def _r2(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """The share of the truth's variance that is explained; NaN where there is none."""
    from sklearn.metrics import r2_score

    if not np.ptp(truth):
        return float("nan")
    answers, truth = answers.astype(np.float64), truth.astype(np.float64)
    return float(r2_score(truth, answers, sample_weight=weights))


def _mae(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    from sklearn.metrics import mean_absolute_error

    answers, truth = answers.astype(np.float64), truth.astype(np.float64)
    return float(mean_absolute_error(truth, answers, sample_weight=weights))


def _rmse(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """The square root of the mean squared error."""
    answers, truth = answers.astype(np.float64), truth.astype(np.float64)
    return float(np.sqrt(np.average((answers - truth) ** 2, weights=weights)))


def _r(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    """Pearson's correlation; NaN where one side never changes."""
    if not (np.ptp(answers) and np.ptp(truth)):
        return float("nan")
    both = np.stack([answers, truth]).astype(np.float64)
    both -= np.average(both, axis=1, weights=weights, keepdims=True)
    # Brought to one size first, so that no square is too large or too small.
    both /= np.abs(both).max(axis=1, keepdims=True)
    shared, own, others = (
        np.average(one * other, weights=weights)
        for one, other in ((both[0], both[1]), (both[0], both[0]), (both[1], both[1]))
    )
    return float(np.clip(shared / np.sqrt(own * others), -1, 1))


def _kl(target: Target, answers: Array, truth: Array, weights: Array | None) -> float:
    from scipy.special import rel_entr

    # A share that rounds to 0 would make the divergence infinite.
    answers = np.maximum(answers.astype(np.float64), np.finfo(np.float32).tiny)
    each = rel_entr(truth.astype(np.float64), answers).sum(axis=1)
    return float(np.average(each, weights=weights))


def _k(name: str) -> int:
    """The k of ``top_k``; 0 for every other name."""
    match = re.fullmatch(r"top_?([1-9][0-9]*)", name)
    return int(match[1]) if match else 0


def _misfit(name: str, target: Target) -> str | None:
    """Why a metric does not suit a target, or None."""
    if target.kind is Kind.REGRESSION:
        known = ", ".join(_FOR_NUMBERS)
        fault = f"{name} needs classes, and {target.name!r} is a number; for those: {known}"
        return None if name in _FOR_NUMBERS else fault
    if target.kind is Kind.DISTRIBUTION:
        known = ", ".join(_FOR_SHARES)
        fault = f"{name} does not suit {target.name!r}, shares of classes; for those: {known}"
        return None if name in _FOR_SHARES else fault
    if name in _FOR_NUMBERS:
        return f"{name} needs a number, and {target.name!r} has classes"
    if name in _FOR_SHARES:
        return f"{name} needs shares of classes, and a row of {target.name!r} has classes"
    if name == "balanced_accuracy" and not target.exclusive:
        return f"{name} needs classes of which a row has one"
    if k := _k(name):
        if target.kind is not Kind.MULTICLASS:
            return f"{name} needs three classes or more, of which a row has one"
        if k >= len(target.classes):
            return f"{name} of {len(target.classes)} classes is always 1"
    return None


_METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "error_rate": _error_rate,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "auc": _auc,
    "r2": _r2,
    "mae": _mae,
    "rmse": _rmse,
    "r": _r,
    "kl": _kl,
}
_FOR_NUMBERS = ("r2", "mae", "rmse", "r")
_FOR_SHARES = ("mae", "kl")
