"""Rows of a table as dots: where each stands, and which are marked."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError
from secchi.inspection.predictions import Predictions


def crosses(figure: Figure) -> int:
    return len(figure.axes[0].lines[1].get_xdata())


@pytest.mark.parametrize("name", ["iris", "cancer", "digits"])
def test_every_row_is_a_dot_and_every_miss_a_cross(
    name: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(name)
    figure = found.plot()
    missed = int((~found.correct).sum())
    dots = figure.axes[0].lines[0].get_xdata()
    assert (len(dots), crosses(figure)) == (len(found) - missed, missed)
    assert figure.axes[0].get_title().startswith(f"{len(found):,} rows, {missed} misses")


def test_two_classes_stand_at_their_probability(cancer: Predictions) -> None:
    axes = cancer.plot().axes[0]
    assert axes.get_ylabel() == "probability of benign"
    up = np.concatenate([line.get_ydata() for line in axes.lines[:2]])
    np.testing.assert_allclose(np.sort(up), np.sort(cancer.probabilities[:, 1]))


def test_some_rows_alone(iris: Predictions) -> None:
    missed = np.flatnonzero(~iris.correct)
    figure = iris.plot(missed[:3])
    assert crosses(figure) == 3
    assert figure.axes[0].get_title() == f"3 of {len(iris)} rows, 3 misses (✗)"


def test_of_very_many_rows_some_are_drawn_at_random() -> None:
    task = Task.classify(["cat", "dog"])
    outputs = torch.linspace(-2, 2, 20_000)[:, None]
    found = Predictions.of(task, np.arange(20_000), outputs, source_name="row")

    def shown(seed: int) -> np.ndarray:
        return np.asarray(found.plot(seed=seed).axes[0].lines[0].get_ydata())

    assert len(shown(0)) == 5000
    np.testing.assert_array_equal(shown(0), shown(0))
    assert not np.array_equal(shown(0), shown(1))
    assert found.plot().axes[0].get_title() == "5,000 of 20,000 rows"


def test_without_truth_nothing_is_marked(iris: Predictions) -> None:
    unknown = Predictions(iris.task, iris.sources, iris.outputs, source_name="row")
    figure = unknown.plot()
    assert crosses(figure) == 0
    assert figure.axes[0].get_xlabel() == "rows in their order"


def test_numbers_stand_against_the_truth(diabetes: Predictions) -> None:
    axes = diabetes.plot().axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), diabetes.targets)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), diabetes.predicted)
    assert axes.get_title().startswith(f"{len(diabetes)} rows, r2 0.")


def test_numbers_of_pictures_are_drawn_likewise() -> None:
    task = Task.regress("age")
    labels = Labels(task, (np.array([30, 40], np.float32),))
    found = Predictions.of(task, ("a.jpg", "b.jpg"), torch.tensor([[31.0], [38.0]]), labels)
    assert found.plot().axes[0].get_ylabel() == "predicted age"


def test_what_cannot_be_drawn_says_what_to_do(scene: Predictions, diabetes: Predictions) -> None:
    with pytest.raises(DataError, match=r"'scene' is multilabel; roc\(\)"):
        scene.plot()
    with pytest.raises(DataError, match=r"it is not known; to_frame\(\)"):
        Predictions(diabetes.task, diabetes.sources, diabetes.outputs).plot()
    task = Task((Target("size", Kind.REGRESSION), Target("price", Kind.REGRESSION)))
    with pytest.raises(DataError, match="2 targets"):
        Predictions.of(task, np.arange(1), torch.zeros(1, 2), source_name="row").plot()
