"""The confusion matrix: against scikit-learn, in the terminal, in JSON, and what it refuses."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from secchi.data.task import Labels, Task
from secchi.errors import DataError
from secchi.inspection.predictions import Predictions
from secchi.intervals import share_interval

Weighted = Callable[[Predictions], Predictions]


def of(truth: list[int], said: list[int], classes: int, weights: list[float] | None = None):
    task = Task.classify([f"class {number}" for number in range(classes)])
    outputs = np.eye(classes)[said] * 4 if classes != 2 else np.array(said)[:, None] * 8.0 - 4
    given = None if weights is None else np.array(weights, np.float32)
    labels = Labels(task, (np.array(truth),), given)
    outputs = torch.tensor(outputs, dtype=torch.float32).reshape(len(truth), task.outputs)
    return Predictions.of(task, np.arange(len(truth)), outputs, labels, source_name="row")


@pytest.mark.parametrize("name", ["iris", "cancer", "digits"])
@pytest.mark.parametrize("heavy", [False, True], ids=["plain", "weighted"])
def test_it_is_scikit_learns(
    name: str, heavy: bool, weighted: Weighted, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(name)
    found = weighted(found) if heavy else found
    weights = found.labels.weights
    confusion, asked = found.confusion(), (found.targets, found.predicted)
    expected = metrics.confusion_matrix(*asked, sample_weight=weights)
    np.testing.assert_allclose(confusion.matrix, expected)
    kept = slice(None) if weights is None else weights > 0
    plain = metrics.confusion_matrix(found.targets[kept], found.predicted[kept])
    np.testing.assert_array_equal(confusion.counts, plain)
    for values, score in (
        (confusion.recall, metrics.recall_score),
        (confusion.precision, metrics.precision_score),
    ):
        np.testing.assert_allclose(values, score(*asked, average=None, sample_weight=weights))
    assert confusion.accuracy == pytest.approx(found.metric("accuracy"))
    assert list(found.per_class_accuracy().values()) == pytest.approx(confusion.recall.tolist())


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 6), st.data())
def test_it_counts_every_row_once(classes: int, data: st.DataObject) -> None:
    pairs = data.draw(
        st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=30)
    )
    confusion = of([t for t, _ in pairs], [s for _, s in pairs], classes).confusion()
    assert len(confusion) == len(pairs)
    wrong = sum(mistake.rows for mistake in confusion.mistakes())
    assert wrong == sum(t != s for t, s in pairs)
    for (i, j), count in np.ndenumerate(confusion.counts):
        assert count == pairs.count((i, j))


def test_each_class_has_the_interval_of_its_rows() -> None:
    confusion = of([0, 0, 0, 1, 1], [0, 0, 1, 1, 1], 3).confusion()
    assert confusion.intervals[0] == pytest.approx(share_interval(np.array([1, 1, 0])))
    assert confusion.intervals[1] == pytest.approx(share_interval(np.array([1, 1])))
    assert np.isnan(confusion.intervals[2]).all()
    assert confusion.interval == pytest.approx(share_interval(np.array([1, 1, 0, 1, 1])))


def test_a_class_without_rows_has_no_accuracy_and_one_never_said_no_precision() -> None:
    found = of([0, 0, 1], [0, 0, 2], 3)
    assert found.confusion().recall.tolist() == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert found.confusion().precision.tolist() == pytest.approx([1, np.nan, 0], nan_ok=True)
    assert list(found.per_class_accuracy()) == ["class 0", "class 1", "class 2"]


def test_rows_that_weigh_nothing_count_as_absent() -> None:
    confusion = of([0, 0, 1], [0, 1, 1], 2, [2.0, 0.0, 0.5]).confusion()
    assert confusion.counts.tolist() == [[1, 0], [0, 1]]
    assert confusion.matrix.tolist() == [[2, 0], [0, 0.5]]
    assert "2 rows, no misses" in str(confusion)


def test_the_most_frequent_mistakes_come_first() -> None:
    confusion = of([0, 0, 0, 1, 2, 2, 2], [1, 1, 0, 0, 1, 2, 2], 3).confusion()
    first, *others = confusion.mistakes()
    assert first == ("class 0", "class 1", 2, pytest.approx(2 / 3))
    assert [other[:3] for other in others] == [("class 1", "class 0", 1), ("class 2", "class 1", 1)]
    assert confusion.mistakes(1) == (first,)


# ---------------------------------------------------------------- several labels


def test_of_several_labels_one_is_judged_by_yes_or_no(
    scene: Predictions, weighted: Weighted
) -> None:
    for found in (scene, weighted(scene)):
        confusion = found.confusion("sea")
        asked = (found.targets[:, 1], found.predicted[:, 1])
        expected = metrics.confusion_matrix(*asked, sample_weight=found.labels.weights)
        np.testing.assert_allclose(confusion.matrix, expected)
        assert (confusion.target, confusion.classes) == ("scene: sea", ("not sea", "sea"))


def test_the_accuracy_of_labels_is_the_mean_of_theirs(
    scene: Predictions, weighted: Weighted
) -> None:
    for found in (scene, weighted(scene)):
        each = found.per_class_accuracy()
        assert list(each) == ["sky", "sea", "sand"]
        assert np.mean(list(each.values())) == pytest.approx(found.metric("accuracy"))


def test_labels_have_to_be_named(scene: Predictions, iris: Predictions) -> None:
    with pytest.raises(DataError, match=r"several labels, .* confusion\('sky'\)"):
        scene.confusion()
    with pytest.raises(DataError, match="no label 'see'; did you mean sea"):
        scene.confusion("see")
    with pytest.raises(DataError, match="has one class; leave it out"):
        iris.confusion("setosa")


# ---------------------------------------------------------------- what is refused


def test_what_cannot_be_judged_is_refused(diabetes: Predictions, iris: Predictions) -> None:
    with pytest.raises(DataError, match="a confusion matrix needs classes or several labels"):
        diabetes.confusion()
    with pytest.raises(DataError, match="accuracy by class needs .* 'progression' is a number"):
        diabetes.per_class_accuracy()
    unknown = Predictions(iris.task, iris.sources, iris.outputs)
    with pytest.raises(DataError, match="truth is known, and of these it is not"):
        unknown.confusion()
    with pytest.raises(DataError, match="all of them weigh 0"):
        of([0, 1], [0, 1], 2, [0.0, 0.0]).confusion()


def test_answers_of_a_network_that_diverged_are_refused() -> None:
    task = Task.classify(["cat", "dog", "mouse"])
    outputs = torch.zeros(3, 3)
    outputs[1] = torch.nan
    labels = Labels(task, (np.array([0, 1, 2]),))
    found = Predictions.of(task, np.array([7, 8, 9]), outputs, labels, source_name="row")
    with pytest.raises(DataError, match="1 of 3 rows are not, the first of them row 8"):
        found.confusion()


# ---------------------------------------------------------------- text and JSON


def test_the_matrix_is_printed_with_its_names(iris: Predictions) -> None:
    lines = str(iris.confusion()).splitlines()
    assert lines[0].startswith("species: accuracy 0.")
    assert lines[1].split()[-4:] == ["as", "setosa", "versicolor", "virginica"]
    assert [line.split()[0] for line in lines[2:]] == ["setosa", "versicolor", "virginica"]
    cells = [[cell.replace("·", "0") for cell in line.split()[-3:]] for line in lines[2:]]
    assert np.array(cells, int).tolist() == iris.confusion().counts.tolist()


@pytest.mark.parametrize("classes", [2, 12, 20, 21, 100])
def test_it_fits_a_terminal(classes: int) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, classes, 900).tolist()
    said = [t if random.random() < 0.8 else int(random.integers(classes)) for t in truth]
    text = str(of(truth, said, classes).confusion())
    assert max(map(len, text.splitlines())) <= 105
    assert len(text.splitlines()) <= 45


def test_of_many_classes_the_worst_are_printed() -> None:
    truth = [number for number in range(40) for _ in range(5)]
    said = truth.copy()
    said[35:38] = [1, 1, 1]
    text = str(of(truth, said, 40).confusion())
    lowest, mistakes = text.split("the most frequent mistakes\n")
    assert lowest.splitlines()[3].startswith("class 7     5    0.4000")
    assert mistakes.splitlines()[1].split() == ["class", "7", "class", "1", "3", "0.6000"]
    assert len(mistakes.splitlines()) == 2


def test_as_json() -> None:
    confusion = of([0, 0, 1], [0, 1, 1], 3).confusion()
    document = json.loads(json.dumps(confusion.to_dict(), allow_nan=False))
    assert document["counts"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert document["per_class"]["class 0"]["accuracy"] == 0.5
    assert document["per_class"]["class 2"]["interval"] == [None, None]


def test_it_can_be_drawn(iris: Predictions) -> None:
    axes = iris.confusion().plot().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted species", "true species")
