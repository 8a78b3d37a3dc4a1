"""Experiments on several targets, whose metrics are called after them."""

import math

import pytest
from sklearn.datasets import load_iris

from secchi.data.table import TableData
from secchi.experiments.cross_validation import cross_validate
from secchi.experiments.experiment import Experiment
from secchi.experiments.growing.growing_rows import learning_curve
from secchi.models.mlp import MLP
from secchi.training.spec import Training

WIDTH = "petal width (cm)"
MEASURES = ["valid_loss", "valid_target.accuracy", f"valid_{WIDTH}.r"]


@pytest.fixture(scope="module")
def both() -> Experiment:
    """A class and a number of irises."""
    frame = load_iris(as_frame=True).frame
    task = {"target": "class", WIDTH: "number"}
    data = TableData.from_frame(frame, ["target", WIDTH], task=task)
    return Experiment(data, MLP([8]), Training("sgd", lr=0.1, epochs=5, batch_size=16))


def test_each_target_has_its_metrics(both: Experiment) -> None:
    result = both.but(vary={"lr": [0.1, 1e9]}, repeats=3).run()
    assert result.measures[1:-1] == tuple(MEASURES)
    good = result.final[result.final["outcome"] == "completed"]
    assert (good[MEASURES[1]] > 0.6).all()
    assert good[MEASURES[1:]].notna().all(axis=None)
    assert [trial.setting["lr"] for trial in result.failed] == [1e9] * 3
    assert result.best().setting == {"lr": 0.1}


def test_the_luck_of_the_rows_is_told_of_the_class_alone(both: Experiment) -> None:
    result = both.but(vary={"lr": [0.01, 0.1]}, repeats=3).run()
    right, width = result.best(MEASURES[1]), result.best(MEASURES[2])
    assert 0 < right.rows_low < right.mean < right.rows_high <= 1
    assert "as many others could give" in str(right)
    assert math.isnan(width.rows_low)
    assert f"validation {WIDTH}.r: " in str(width)


def test_folds_and_sizes_of_rows_tell_of_each(both: Experiment) -> None:
    folds = cross_validate(both, k=3)
    assert set(folds.scores) == set(MEASURES)
    curve = learning_curve(both, [0.3, 0.5, 0.7, 1.0], measure=MEASURES[2], repeats=2)
    assert curve.measure == MEASURES[2]
