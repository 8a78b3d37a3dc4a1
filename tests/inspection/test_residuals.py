"""Residuals: against scikit-learn and scipy, weighted, in text and JSON."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from secchi.data.task import Labels, Task
from secchi.errors import DataError
from secchi.inspection.predictions import Predictions
from secchi.inspection.residuals import Residuals

Weighted = Callable[[Predictions], Predictions]


def of(truth: list[float], said: list[float], weights: list[float] | None = None) -> Residuals:
    task = Task.regress("price")
    given = None if weights is None else np.array(weights, np.float32)
    labels = Labels(task, (np.array(truth, np.float32),), given)
    outputs = torch.tensor(said, dtype=torch.float32)[:, None]
    names = tuple("abcdefgh"[: len(truth)])
    return Predictions.of(task, names, outputs, labels).residuals()


def test_the_numbers_are_those_of_scikit_learn_and_scipy(diabetes: Predictions) -> None:
    found = diabetes.residuals()
    truth, said = diabetes.targets.astype(float), diabetes.predicted.astype(float)
    assert found.r2 == pytest.approx(metrics.r2_score(truth, said))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert found.r == pytest.approx(stats.pearsonr(truth, said).statistic)
    assert found.r_with_prediction == pytest.approx(stats.pearsonr(truth - said, said).statistic)
    assert found.mean == pytest.approx((truth - said).mean())
    assert found.spread == pytest.approx((truth - said).std(ddof=1))
    interval = stats.pearsonr(truth, said).confidence_interval()
    assert found.to_dict()["r_interval"] == pytest.approx([interval.low, interval.high])


def test_a_weight_of_two_is_a_row_twice(diabetes: Predictions, weighted: Weighted) -> None:
    heavy = weighted(diabetes)
    rows = np.repeat(np.arange(len(heavy)), heavy.labels.weights.astype(int))
    labels = Labels(diabetes.task, (diabetes.targets[rows],))
    twice = Predictions(diabetes.task, rows, diabetes.outputs[rows], labels).residuals()
    once = heavy.residuals()
    for name in ("r", "r2", "mae", "rmse", "mean", "r_with_prediction"):
        assert getattr(once, name) == pytest.approx(getattr(twice, name)), name
    assert once.spread == pytest.approx(twice.spread, rel=0.01)
    assert len(once) == (heavy.labels.weights > 0).sum()


def test_the_spread_minds_the_weights() -> None:
    weights, values = np.array([1.0, 2, 4, 1]), np.array([1.0, 2, 0, 5])
    mean = (weights * values).sum() / 8
    variance = (weights * (values - mean) ** 2).sum() / (8 - (weights**2).sum() / 8)
    found = of(values.tolist(), [0, 0, 0, 0], weights.tolist())
    assert found.spread == pytest.approx(np.sqrt(variance))
    assert found.spread != pytest.approx(values.std(ddof=1), rel=0.05)


def test_the_largest_come_first_with_their_source() -> None:
    found = of([1, 2, 3, 4], [1.5, 2, 0, 6])
    assert [row.source for row in found.largest(3)] == ["c", "d", "a"]
    assert found.largest(1)[0] == ("c", 3, 0, 3)
    assert found.values.tolist() == [-0.5, 0, 3, -2]


def test_rows_that_weigh_nothing_are_absent() -> None:
    found = of([1, 2, 3], [1, 2, 30], [1, 1, 0])
    assert found.sources == ("a", "b")
    assert found.mae == 0


def test_a_constant_prediction_has_no_correlation() -> None:
    found = of([1, 2, 3], [2, 2, 2])
    assert np.isnan(found.r)
    assert found.r2 == 0
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["r"] is None
    assert document["r_interval"] == [None, None]
    assert "r -, r2 0.0000" in str(found)


def test_one_row_has_residuals_but_no_spread() -> None:
    found = of([1], [2])
    assert (found.mean, found.mae) == (-1, 1)
    assert np.isnan([found.spread, found.r, found.r2]).all()
    assert "the largest\nfile   truth" in str(found)


def test_as_a_table_with_row_numbers(diabetes: Predictions, weighted: Weighted) -> None:
    frame = weighted(diabetes).residuals().to_frame()
    assert list(frame) == ["row", "truth", "predicted", "residual", "weight"]
    kept = np.flatnonzero(weighted(diabetes).labels.weights > 0)
    assert frame["row"].tolist() == kept.tolist()
    assert list(diabetes.residuals().to_frame()) == ["row", "truth", "predicted", "residual"]
    source = diabetes.residuals().largest(1)[0].source
    assert type(source) is int


def test_the_figure_rings_the_largest(diabetes: Predictions) -> None:
    found = diabetes.residuals()
    left, right = found.plot().axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("true progression", "predicted progression")
    rings = right.lines[1]
    assert sorted(rings.get_ydata()) == sorted(row.residual for row in found.largest())


def test_residuals_need_numbers_and_truth(iris: Predictions, diabetes: Predictions) -> None:
    with pytest.raises(DataError, match="a residual needs a number, and 'species' is classes"):
        iris.residuals()
    with pytest.raises(DataError, match="truth is known"):
        Predictions(diabetes.task, diabetes.sources, diabetes.outputs).residuals()
