"""The methods that a network is held against: scikit-learn's, as they come, one function each."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Target
from secchi.seeding import stream_seed

_STEPS = 1000
"""After how many steps logistic regression stops."""

Array = NDArray[Any]


class Rows(NamedTuple):
    """Rows to fit or to judge: features (rows, columns), labels (rows,) and weights (rows,)."""

    features: NDArray[np.float64]
    labels: Array
    weights: Array | None


Method = Callable[[Rows, NDArray[np.float64], Target, int], tuple[Array, str]]
"""(training rows, features to judge, target, seed) to what it says of them, probabilities
(rows, classes) or numbers (rows,), and a remark."""


def _majority(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    from sklearn.dummy import DummyClassifier

    fitted = DummyClassifier(strategy="prior").fit(
        rows.features, rows.labels, sample_weight=rows.weights
    )
    return _all_classes(fitted, features, target), ""


def _logistic(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    from sklearn.linear_model import LogisticRegression

    fitted = _fit_scaled(LogisticRegression(max_iter=_STEPS), rows, rows.labels)
    stopped = fitted["model"].n_iter_.max() >= _STEPS
    remark = f"stopped after {_STEPS:,} steps, before it was done" if stopped else ""
    return _all_classes(fitted, features, target), remark


def _k_means(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    """As many clusters as classes, each called the class that makes most training rows right.

    A cluster says its class with the share of training rows that are right so.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans

    classes = len(target.classes)
    clusters = min(classes, len(rows.labels))
    state = stream_seed(seed, "k-means") % 2**32
    fitted = _fit_scaled(KMeans(clusters, n_init=10, random_state=state), rows, None)
    weights = np.ones(len(rows.labels)) if rows.weights is None else rows.weights
    together = np.zeros((clusters, classes))
    np.add.at(together, (fitted.predict(rows.features), rows.labels), weights)
    named = np.zeros(clusters, dtype=np.intp)
    each, name = linear_sum_assignment(together, maximize=True)
    named[each] = name
    right = together[each, name].sum() / together.sum()
    # Between a share that would name the first class as well, and one that is certain.
    sure = min(max(right, 1.01 / classes), 1 - 0.5 / len(rows.labels))
    answers = np.full((len(features), classes), (1 - sure) / (classes - 1))
    answers[np.arange(len(features)), named[fitted.predict(features)]] = sure
    return answers, "a demonstration: it saw labels only to give its clusters names"


def _boosted_classes(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    state = stream_seed(seed, "gradient-boosted trees") % 2**32
    fitted = HistGradientBoostingClassifier(random_state=state, early_stopping=False).fit(
        rows.features, rows.labels, sample_weight=rows.weights
    )
    return _all_classes(fitted, features, target), ""


def _mean(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    return np.full(len(features), np.average(rows.labels, weights=rows.weights)), ""


def _linear(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    from sklearn.linear_model import Ridge

    return _fit_scaled(Ridge(alpha=1.0), rows, rows.labels).predict(features), ""


def _boosted_numbers(rows: Rows, features: Array, target: Target, seed: int) -> tuple[Array, str]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    state = stream_seed(seed, "gradient-boosted trees") % 2**32
    fitted = HistGradientBoostingRegressor(random_state=state, early_stopping=False).fit(
        rows.features, rows.labels, sample_weight=rows.weights
    )
    return fitted.predict(features), ""


def _fit_scaled(model: Any, rows: Rows, labels: Array | None) -> Any:
    """Fit a model on columns of mean 0 and variance 1, by the same rows.

    That a fit stopped early, or found fewer clusters than asked for, is no fault of the caller.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    weights = {"scale__sample_weight": rows.weights, "model__sample_weight": rows.weights}
    steps = Pipeline([("scale", StandardScaler()), ("model", model)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return steps.fit(rows.features, labels, **weights)


def _all_classes(fitted: Any, features: Array, target: Target) -> Array:
    """Probabilities with a column for every class; those that no training row has are 0."""
    answers = np.zeros((len(features), len(target.classes)))
    answers[:, fitted.classes_] = fitted.predict_proba(features)
    return answers


METHODS: dict[bool, dict[str, Method]] = {
    True: {
        "majority class": _majority,
        "logistic regression": _logistic,
        "k-means": _k_means,
        "gradient-boosted trees": _boosted_classes,
    },
    False: {
        "mean": _mean,
        "linear regression": _linear,
        "gradient-boosted trees": _boosted_numbers,
    },
}
"""The methods for classes (True) and for numbers (False), the simplest first."""
