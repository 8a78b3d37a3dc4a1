"""ROC curves and calibration, against scikit-learn."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.calibration import calibration_curve

from secchi.data.task import Labels, Task
from secchi.errors import DataError, SpecError
from secchi.inspection.predictions import Predictions
from secchi.intervals import share_interval

Weighted = Callable[[Predictions], Predictions]


@pytest.mark.parametrize("name", ["iris", "cancer", "digits", "scene"])
@pytest.mark.parametrize("heavy", [False, True], ids=["plain", "weighted"])
def test_the_curves_are_scikit_learns(
    name: str, heavy: bool, weighted: Weighted, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(name)
    found = weighted(found) if heavy else found
    weights, roc = found.labels.weights, found.roc()
    assert roc.auc == pytest.approx(found.metric("auc"))
    classes = list(found.classes)
    assert [curve.name for curve in roc.curves] == (classes[1:] if name == "cancer" else classes)
    for curve in roc.curves:
        i = classes.index(curve.name)
        present = found.targets[:, i] > 0.5 if name == "scene" else found.targets == i
        scores = found.probabilities[:, i]
        assert curve.auc == pytest.approx(
            metrics.roc_auc_score(present, scores, sample_weight=weights)
        )
        false, true, _ = metrics.roc_curve(present, scores, sample_weight=weights)
        np.testing.assert_allclose(curve.false_positive, false)
        np.testing.assert_allclose(curve.true_positive, true)
        kept = np.ones(len(found), bool) if weights is None else weights > 0
        assert (curve.rows, curve.others) == (present[kept].sum(), (~present[kept]).sum())


def test_a_class_without_rows_has_no_curve(iris: Predictions) -> None:
    rows = iris.targets < 2
    labels = iris.labels.take(np.flatnonzero(rows))
    found = Predictions(iris.task, iris.sources[rows], iris.outputs[rows], labels)
    roc = found.roc()
    assert [np.isnan(curve.auc) for curve in roc.curves] == [False, False, True]
    assert np.isnan(roc.auc)
    assert np.isnan(found.metric("auc"))
    document = json.loads(json.dumps(roc.to_dict(), allow_nan=False))
    assert document["classes"]["virginica"] == {"rows": 0, "others": rows.sum(), "auc": None}
    assert len(roc.plot().axes[0].lines) == 3
    assert str(roc).splitlines()[-1].split()[-1] == "-"


def test_the_points_of_every_curve(iris: Predictions) -> None:
    frame = iris.roc().to_frame()
    assert list(frame) == ["class", "threshold", "false_positive", "true_positive"]
    one = frame[frame["class"] == "virginica"]
    assert one["true_positive"].tolist() == iris.roc().curves[2].true_positive.tolist()


def test_of_many_curves_the_lowest_are_printed() -> None:
    random = np.random.default_rng(0)
    task = Task.classify([f"c{number}" for number in range(30)])
    truth = np.repeat(np.arange(30), 10)
    outputs = random.normal(size=(300, 30)) + 3 * np.eye(30)[truth] * (truth != 7)[:, None]
    outputs = torch.tensor(outputs, dtype=torch.float32)
    found = Predictions.of(task, np.arange(300), outputs, Labels(task, (truth,)))
    lines = str(found.roc()).splitlines()
    assert len(lines) == 12
    assert lines[2].startswith("c7 ")
    assert "the mean of 30; the 10 lowest" in lines[0]


def test_areas_need_classes_and_truth(diabetes: Predictions, iris: Predictions) -> None:
    with pytest.raises(DataError, match="a ROC curve needs classes"):
        diabetes.roc()
    with pytest.raises(DataError, match="a ROC curve needs rows of which the truth is known"):
        Predictions(iris.task, iris.sources, iris.outputs).roc()


# ---------------------------------------------------------------- calibration


def events(found: Predictions, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What happened, and with which probability it was said to."""
    if name == "cancer":
        return found.targets, found.probabilities[:, 1]
    if name == "scene":
        return found.targets.ravel(), found.probabilities.ravel()
    return found.correct, found.probabilities.max(axis=1)


@pytest.mark.parametrize("bins", [1, 5, 10, 37])
@pytest.mark.parametrize("name", ["iris", "cancer", "digits", "scene"])
def test_the_bins_are_scikit_learns(name: str, bins: int, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(name)
    calibration = found.calibration(bins)
    happened, probability = events(found, name)
    true, said = calibration_curve(happened, probability, n_bins=bins)
    filled = calibration.counts > 0
    np.testing.assert_allclose(calibration.true[filled], true)
    np.testing.assert_allclose(calibration.said[filled], said, rtol=1e-6)
    counts = calibration.counts[filled]
    assert counts.sum() == len(happened)
    error = (counts * np.abs(true - said)).sum() / counts.sum()
    assert calibration.error == pytest.approx(error)
    assert np.isnan(calibration.true[~filled]).all()


def test_a_weight_of_two_is_a_row_twice(cancer: Predictions, weighted: Weighted) -> None:
    heavy = weighted(cancer)
    rows = np.repeat(np.arange(len(heavy)), heavy.labels.weights.astype(int))
    labels = Labels(cancer.task, (cancer.targets[rows],))
    twice = Predictions(cancer.task, rows, cancer.outputs[rows], labels).calibration()
    once = heavy.calibration()
    np.testing.assert_allclose(once.said, twice.said)
    np.testing.assert_allclose(once.true, twice.true)
    np.testing.assert_allclose(once.weights, twice.weights)
    assert once.error == pytest.approx(twice.error)
    assert once.noise > twice.noise


def test_what_is_right_and_rare_has_the_error_of_noise() -> None:
    """Over many sets of rows whose probabilities are right, the noise is the mean error."""
    task, random, errors, noise = Task.classify(["no", "yes"]), np.random.default_rng(0), [], []
    for _ in range(100):
        chance = random.random(400)
        labels = Labels(task, ((random.random(400) < chance).astype(np.int64),))
        outputs = torch.tensor(chance, dtype=torch.float32).logit()[:, None]
        calibration = Predictions.of(task, np.arange(400), outputs, labels).calibration()
        errors.append(calibration.error)
        noise.append(calibration.noise)
    assert np.mean(errors) == pytest.approx(np.mean(noise), rel=0.08)


def test_each_bin_has_the_interval_of_its_rows(cancer: Predictions) -> None:
    calibration = cancer.calibration(4)
    last = cancer.probabilities[:, 1] > 0.75
    expected = share_interval(cancer.targets[last])
    assert calibration.intervals[3] == pytest.approx(expected)


def test_calibration_as_json_text_and_figure(iris: Predictions) -> None:
    calibration = iris.calibration()
    document = json.loads(json.dumps(calibration.to_dict(), allow_nan=False))
    assert document["counts"] == calibration.counts.tolist()
    assert document["said"][0] is None
    assert len(str(calibration).splitlines()) == 2 + (calibration.counts > 0).sum()
    assert calibration.plot().axes[1].get_xlabel() == "probability of the predicted class"


@pytest.mark.parametrize("bins", [0, 2.5, True, "ten"])
def test_bins_that_cannot_be(iris: Predictions, bins: object) -> None:
    with pytest.raises(SpecError, match="bins="):
        iris.calibration(bins)


def test_calibration_needs_probabilities(diabetes: Predictions) -> None:
    with pytest.raises(DataError, match="a calibration curve needs classes"):
        diabetes.calibration()
