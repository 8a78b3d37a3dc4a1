"""Predictions of every kind of task: one record, its numbers, and its CSV file."""

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torch.nn import functional

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError, SpecError
from secchi.inspection.comparison import compare
from secchi.inspection.predictions import Predictions
from secchi.training.losses import TaskLoss
from secchi.training.spec import Training

BINARY = Task.classify(["cat", "dog"])
MANY = Task.classify(["cat", "dog", "mouse"])
LABELS = Task.label(["sky", "sea", "sand"])
NUMBER = Task.regress("price")


def predictions(
    task: Task, outputs: list[list[float]], truth: list | None = None, **options: object
) -> Predictions:
    labels = None if truth is None else Labels(task, (task.target.encode(truth),))
    sources = tuple(f"/pictures/{row}.jpg" for row in range(len(outputs)))
    return Predictions.of(
        task, sources, torch.tensor(outputs).reshape(-1, task.outputs), labels, **options
    )


def read_csv(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8", errors="surrogateescape") as text:
        return list(csv.DictReader(text))


# ---------------------------------------------------------------- every kind of task


def test_two_classes() -> None:
    found = predictions(BINARY, [[-math.log(3)], [math.log(9)]], ["cat", "cat"])
    np.testing.assert_allclose(found.probabilities, [[0.75, 0.25], [0.1, 0.9]], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found.log_probabilities), found.probabilities)
    assert found.classes == ("cat", "dog")
    assert found.predicted.tolist() == [0, 1]
    assert found.targets.tolist() == [0, 0]
    assert found.correct.tolist() == [True, False]
    np.testing.assert_allclose(found.losses, [-math.log(0.75), -math.log(0.1)], rtol=1e-5)
    assert found.metric("accuracy") == 0.5
    assert found.to_records()[1]["class"] == "dog"
    assert found.to_records()[1]["probabilities"]["cat"] == pytest.approx(0.1)


def test_many_classes() -> None:
    found = predictions(MANY, [[1.0, 4.0, 3.0], [5.0, 1.0, 0.0]], ["dog", "mouse"])
    np.testing.assert_allclose(found.losses[0], 0.349012, rtol=1e-5)
    assert found.predicted.tolist() == [1, 0]
    assert found.correct.tolist() == [True, False]
    assert found.metric("top_2") == pytest.approx(0.5)
    assert [record["class"] for record in found.to_records()] == ["dog", "cat"]
    assert found.to_records()[0]["file"] == "/pictures/0.jpg"


def test_several_labels() -> None:
    found = predictions(LABELS, [[2.0, -2.0, 2.0], [-2.0, -2.0, -2.0]], [("sky", "sand"), ("sea",)])
    assert found.predicted.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert found.correct.tolist() == [True, False]
    assert found.metric("accuracy") == pytest.approx(5 / 6)
    assert [record["class"] for record in found.to_records()] == [["sky", "sand"], []]
    frame = found.to_frame()
    assert frame["class"].tolist() == ["sky sand", ""]
    assert frame.columns.tolist() == ["file", "class", "sky", "sea", "sand"]


def test_a_number() -> None:
    found = predictions(NUMBER, [[1.5], [-2.0]], [1.0, -2.0])
    assert found.predicted.tolist() == [1.5, -2.0]
    np.testing.assert_allclose(found.losses, [0.25, 0.0])
    assert found.metric("mae") == 0.25
    assert found.to_records() == [
        {"file": "/pictures/0.jpg", "price": 1.5},
        {"file": "/pictures/1.jpg", "price": -2.0},
    ]
    with pytest.raises(DataError, match="no probabilities"):
        _ = found.probabilities
    with pytest.raises(DataError, match="known classes"):
        _ = found.correct
    with pytest.raises(SpecError, match="is a number"):
        found.metric("accuracy")


def test_losses_are_those_of_the_loss_that_is_given() -> None:
    loss = TaskLoss(NUMBER, Training(loss="l1"), [0.5])
    found = predictions(NUMBER, [[1.5], [-2.0]], [1.0, -4.0], loss=loss)
    assert found.losses.tolist() == [1.0, 4.0]
    assert found.target("price").losses.tolist() == [1.0, 4.0]
    assert predictions(NUMBER, [[1.5]], loss=loss).losses is None
    averaged = Predictions.averaged([found, found])
    assert averaged.losses.tolist() == [0.25, 4.0]


def test_the_losses_of_one_of_several_are_those_that_suit_it(several: Predictions) -> None:
    def nothing(outputs: torch.Tensor, _: object) -> torch.Tensor:
        return torch.zeros(len(outputs))

    outputs = torch.from_numpy(several.outputs)
    found = Predictions.of(
        several.task, several.sources, outputs, several.labels, source_name="row", loss=nothing
    )
    assert found.losses.tolist() == [0.0, 0.0]
    assert found.target("size").losses.tolist() == [0.25, 0.25]


def test_numbers_in_float64_stay_so() -> None:
    far = torch.tensor([[1e9 + 0.25], [1e9 + 0.5]], dtype=torch.float64)
    found = Predictions.of(NUMBER, ("a", "b"), far)
    assert Predictions.averaged([found, found]).predicted.tolist() == [1e9 + 0.25, 1e9 + 0.5]


def test_without_truth_there_is_nothing_to_judge() -> None:
    found = predictions(MANY, [[1.0, 0.0, 0.0]])
    assert found.targets is None
    assert found.losses is None
    for judge in (lambda: found.correct, lambda: found.metric("accuracy")):
        with pytest.raises(DataError, match="known"):
            judge()


def test_the_metric_minds_the_weights() -> None:
    labels = Labels(BINARY, (np.array([0, 1]),), np.array([3.0, 1.0], np.float32))
    found = Predictions.of(BINARY, ("a", "b"), torch.tensor([[-1.0], [-1.0]]), labels)
    assert found.metric("accuracy") == 0.75


def test_no_rows_at_all(tmp_path: Path) -> None:
    for task in (BINARY, MANY, LABELS, NUMBER):
        found = predictions(task, [], unreadable=(("x.jpg", "the file is empty"),))
        assert len(found) == 0
        assert found.to_records() == []
        assert found.predicted.shape[0] == 0
        found.write_csv(tmp_path / "none.csv")
        assert read_csv(tmp_path / "none.csv") == [{"file": "x.jpg", "error": "the file is empty"}]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(2, 6), st.data())
def test_probabilities_of_exclusive_classes_sum_to_one(
    rows: int, classes: int, data: st.DataObject
) -> None:
    task = Task.classify([f"class {number}" for number in range(classes)])
    logits = data.draw(
        hnp.arrays(np.float32, (rows, task.outputs), elements=st.floats(-200, 200, width=32))
    )
    found = Predictions.of(task, tuple("abcde"[:rows]), torch.from_numpy(logits))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(found.log_probabilities).all()
    for row, record in enumerate(found.to_records()):
        assert sum(record["probabilities"].values()) == pytest.approx(1, rel=1e-5)
        assert record["class"] == task.target.classes[found.predicted[row]]
        assert record["probabilities"][record["class"]] == max(record["probabilities"].values())


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-20, 20, width=32)), st.data())
def test_the_loss_of_a_row_is_minus_the_log_probability_of_its_class(
    logits: np.ndarray, data: st.DataObject
) -> None:
    truth = data.draw(st.lists(st.sampled_from(MANY.target.classes), min_size=4, max_size=4))
    found = predictions(MANY, logits.tolist(), truth)
    chosen = found.log_probabilities[np.arange(4), found.targets]
    np.testing.assert_allclose(found.losses, -chosen, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- labels as they came


@pytest.mark.parametrize(
    "classes",
    [("no", "yes"), (0, 1), (3, 5, 8), (False, True), (b"no", b"yes"), (0.5, 1.5)],
    ids=["str", "int", "many int", "bool", "bytes", "float"],
)
def test_labels_come_back_in_their_type(classes: tuple) -> None:
    task = Task.classify(classes)
    outputs = [[4.0 * (i == j) - 2 for j in range(task.outputs)] for i in range(len(classes))]
    outputs = outputs if task.outputs > 1 else [[-2.0], [2.0]]
    truth = list(reversed(classes))
    found = predictions(task, outputs, truth)
    for labels, expected in ((found.predicted_labels, classes), (found.true_labels, truth)):
        assert labels.tolist() == list(expected)
        assert type(labels.tolist()[0]) is type(classes[0])
    said = [record["class"] for record in found.to_records()]
    plain = [label.decode() if isinstance(label, bytes) else label for label in classes]
    assert said == plain
    assert [type(label) for label in said] == [type(label) for label in plain]
    assert found.to_frame()["class"].tolist() == plain
    json.dumps(found.to_records())


def test_labels_of_other_kinds_come_back() -> None:
    found = predictions(LABELS, [[2.0, -2.0, 2.0], [-2.0, -2.0, -2.0]], [("sky",), ()])
    assert found.predicted_labels.tolist() == [("sky", "sand"), ()]
    assert found.true_labels.tolist() == [("sky",), ()]
    assert predictions(NUMBER, [[1.5]]).predicted_labels.tolist() == [1.5]
    assert predictions(NUMBER, [[1.5]]).true_labels is None


# ---------------------------------------------------------------- shares of classes


def test_shares_of_classes() -> None:
    found = predictions(SHARES, [[0.0, math.log(2), 0.0]], [[0.25, 0.5, 0.25]])
    np.testing.assert_allclose(found.probabilities, [[0.25, 0.5, 0.25]])
    np.testing.assert_allclose(found.predicted, [[0.25, 0.5, 0.25]])
    np.testing.assert_allclose(found.losses, [0], atol=1e-6)
    (record,) = found.to_records()
    assert list(record) == ["file", "probabilities"]
    assert found.to_frame().columns.tolist() == ["file", "sand", "silt", "clay"]
    assert repr(found) == "1 row of shares (sand, silt, clay): mae 0.0000"
    with pytest.raises(DataError, match="known classes"):
        _ = found.correct
    for refused in (found.confusion, found.roc, found.calibration, found.residuals):
        with pytest.raises(DataError, match="'shares' is shares of classes"):
            refused()


# ---------------------------------------------------------------- rows of a table


def rows_of(task: Task, outputs: list[list[float]], truth: list | None = None) -> Predictions:
    labels = None if truth is None else Labels(task, (task.target.encode(truth),))
    numbers = 10 + np.arange(len(outputs))
    return Predictions.of(task, numbers, torch.tensor(outputs), labels, source_name="row")


def test_rows_of_a_table_are_named_by_number(tmp_path: Path) -> None:
    found = rows_of(BINARY, [[0.0], [2.0]])
    assert len(found) == 2
    assert found.to_frame().columns.tolist() == ["row", "class", "cat", "dog"]
    records = found.to_records()
    assert [record["row"] for record in records] == [10, 11]
    assert type(records[0]["row"]) is int
    found.write_csv(tmp_path / "said.csv")
    assert [line["row"] for line in read_csv(tmp_path / "said.csv")] == ["10", "11"]
    average = Predictions.averaged([found, rows_of(BINARY, [[1.0], [1.0]])])
    assert average.source_name == "row"
    assert average.sources.tolist() == [10, 11]


def test_a_class_named_row_hides_no_row() -> None:
    frame = rows_of(Task.classify(["row", "dog"]), [[0.0]]).to_frame()
    assert frame.columns.tolist() == ["row", "class", "p(row)", "dog"]
    assert rows_of(Task.regress("row"), [[1.0]]).to_records() == [{"row": 10, "predicted row": 1}]


def test_other_rows_of_a_table_are_not_compared() -> None:
    one = rows_of(BINARY, [[0.0], [2.0]])
    other = Predictions.of(BINARY, np.array([10, 12]), torch.zeros(2, 1), source_name="row")
    with pytest.raises(DataError, match="row 1 is 11 in the first and 12 in predictions 1"):
        Predictions.averaged([one, other])


# ---------------------------------------------------------------- several targets


@pytest.fixture
def several() -> Predictions:
    outputs = torch.tensor([[2.0, 7.5, 1, -1, 0, 3, 0], [-2.0, 8.5, -1, 1, 4, 0, 0]])
    pet, size, scene, colour = SEVERAL.targets
    values = (
        pet.encode(["dog", "dog"]),
        size.encode([7, 8]),
        scene.encode([["sky"], ["sea"]]),
        colour.encode(["green", "blue"]),
    )
    labels = Labels(SEVERAL, values, np.array([3, 1], np.float32))
    return Predictions.of(SEVERAL, np.array([4, 9]), outputs, labels, source_name="row")


def test_one_of_several_targets_is_predictions_of_its_own(several: Predictions) -> None:
    assert several.names == ("pet", "size", "scene", "colour")
    colour = several.target("colour")
    assert colour.task == Task((SEVERAL.targets[3],))
    assert colour.outputs.tolist() == [[0, 3, 0], [4, 0, 0]]
    assert colour.predicted_labels.tolist() == ["green", "red"]
    assert colour.sources is several.sources
    assert colour.metric("accuracy") == 0.75
    assert several.target("pet").metric("accuracy") == 0.75
    assert several.target("size").metric("mae") == 0.5
    total = sum(several.target(name).losses for name in several.names)
    np.testing.assert_allclose(total, several.losses, rtol=1e-6)
    assert colour.target("colour") is colour
    with pytest.raises(DataError, match="no target is called 'color'; did you mean colour"):
        several.target("color")


def test_several_targets_in_one_table(several: Predictions, tmp_path: Path) -> None:
    frame = several.to_frame()
    columns = ["row", "pet", "pet: p(cat)", "pet: p(dog)", "size", "scene"]
    columns += ["scene: p(sky)", "scene: p(sea)"]
    columns += ["colour", "colour: p(red)", "colour: p(green)", "colour: p(blue)"]
    assert frame.columns.tolist() == columns
    assert frame["pet"].tolist() == ["dog", "cat"]
    assert frame["size"].tolist() == [7.5, 8.5]
    assert frame["scene"].tolist() == ["sky", "sea"]
    first, _ = several.to_records()
    assert list(first) == ["row", "pet", "size", "scene", "colour"]
    assert first["pet"]["class"] == "dog"
    assert first["colour"]["probabilities"]["green"] == frame["colour: p(green)"][0]
    several.write_csv(tmp_path / "said.csv")
    lines = read_csv(tmp_path / "said.csv")
    assert list(lines[0]) == columns
    assert lines[1]["row"] == "9"


@pytest.mark.parametrize("name", ["row", "error"])
def test_one_of_several_named_like_a_column_hides_none(name: str) -> None:
    task = Task((Target("size", Kind.REGRESSION), Target.classify(name, ["cat", "dog"])))
    found = Predictions.of(task, np.array([4]), torch.zeros(1, 2), source_name="row")
    assert found.to_frame().columns[:3].tolist() == ["row", "size", f"predicted {name}"]
    assert list(found.to_records()[0]) == ["row", "size", f"predicted {name}"]


# ---------------------------------------------------------------- in a line


def test_predictions_are_shown_in_a_line(several: Predictions) -> None:
    assert repr(predictions(MANY, [[1, 4.0, 3]] * 2, ["dog", "cat"])) == (
        "2 rows of class (cat, dog, mouse): "
        "accuracy 0.5000 (95 % interval 0.0945 to 0.9055), 1 miss"
    )
    assert str(predictions(MANY, [[1, 4.0, 3]])).endswith(
        "(cat, dog, mouse): the truth is not known"
    )
    number = predictions(NUMBER, [[1.0], [3.0]], [1.0, 2.0])
    assert repr(number) == "2 rows of price: r2 -1.0000, mae 0.5000"
    assert [line.split(":")[0] for line in repr(several).splitlines()] == [
        "2 rows of pet (cat, dog)",
        "2 rows of size",
        "2 rows of scene (sky, sea)",
        "2 rows of colour (red, green, blue)",
    ]
    assert repr(predictions(BINARY, [], [])).startswith("no rows of class (cat, dog): ")
    for task in (BINARY, MANY, LABELS, NUMBER, SHARES):
        truth = {LABELS: [["sky"]], NUMBER: [1.0], SHARES: [[1, 0, 0]]}.get(task, ["cat"])
        diverged = predictions(task, [[math.nan] * task.outputs], truth)
        assert "needs finite answers, and those of 1 of 1 rows are not" in repr(diverged)
    unreadable = predictions(BINARY, [[0.0]], unreadable=(("cut.jpg", "empty"),))
    assert repr(unreadable).endswith("not known; 1 file could not be read")


def test_the_line_minds_the_weights(scene: Predictions, iris: Predictions, weighted) -> None:
    for found in (weighted(scene), weighted(iris)):
        wrong = ~found.correct & (found.labels.weights > 0)
        assert f"accuracy {found.metric('accuracy'):.4f} (95 %" in repr(found)
        assert repr(found).endswith(f", {wrong.sum()} misses")


# ---------------------------------------------------------------- CSV


def test_the_csv_file_holds_a_line_a_row_and_a_line_a_file_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    found = predictions(MANY, [[1.0, 4.0, 3.0]], unreadable=(("cut.jpg", "the file is empty"),))
    found.write_csv(tmp_path / "out" / "said.csv")
    row, broken = read_csv(tmp_path / "out" / "said.csv")
    assert list(row) == ["file", "class", "cat", "dog", "mouse", "error"]
    assert (row["file"], row["class"], row["error"]) == ("/pictures/0.jpg", "dog", "")
    shares = functional.softmax(torch.tensor([1.0, 4.0, 3.0]), dim=0)
    assert [float(row[c]) for c in ("cat", "dog", "mouse")] == pytest.approx(shares.tolist())
    assert (broken["file"], broken["error"]) == ("cut.jpg", "the file is empty")
    assert broken["class"] == ""


def test_strange_names_come_back_from_the_csv_file(tmp_path: Path) -> None:
    names = (
        "/pictures/two\nlines.jpg",
        '/pictures/"quoted", with commas.jpg',
        "/pictures/größe 🐈.jpg",
        os.fsdecode(b"/pictures/no \xff text.jpg"),
        "/pictures/carriage\rreturn.jpg",
    )
    outputs = torch.zeros(len(names), 1)
    Predictions.of(BINARY, names, outputs).write_csv(tmp_path / "said.csv")
    assert tuple(row["file"] for row in read_csv(tmp_path / "said.csv")) == names


@pytest.mark.parametrize("name", ["file", "class", "error"])
def test_a_class_named_like_a_column_hides_none(tmp_path: Path, name: str) -> None:
    task = Task.classify([name, "dog"])
    found = predictions(task, [[math.log(3)]], unreadable=(("cut.jpg", "empty"),))
    found.write_csv(tmp_path / "said.csv")
    row, broken = read_csv(tmp_path / "said.csv")
    assert (row["file"], row["class"], row["error"]) == ("/pictures/0.jpg", "dog", "")
    assert float(row[f"p({name})"]) == pytest.approx(0.25)
    assert (broken["file"], broken["error"]) == ("cut.jpg", "empty")


@pytest.mark.parametrize("name", ["file", "error"])
def test_a_number_named_like_a_column_hides_none(name: str) -> None:
    (record,) = predictions(Task.regress(name), [[2.5]]).to_records()
    assert record == {"file": "/pictures/0.jpg", f"predicted {name}": 2.5}


def test_a_csv_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out" / "said.csv"
    predictions(BINARY, [[0.0]]).write_csv(target)
    before = target.read_bytes()
    unencodable = Predictions.of(BINARY, ("\ud800",), torch.zeros(1, 1))
    with pytest.raises(UnicodeEncodeError):
        unencodable.write_csv(target)
    assert target.read_bytes() == before
    assert os.listdir(target.parent) == ["said.csv"]


# ---------------------------------------------------------------- figure


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, ...]:
    files = []
    for number in range(6):
        file = tmp_path / f"{number}.png"
        Image.new("RGB", (10, 10), (40 * number, 0, 0)).save(file)
        files.append(str(file))
    return tuple(files)


def test_pictures_are_drawn_with_what_was_said_and_misses_are_marked(
    pictures: tuple[str, ...],
) -> None:
    labels = Labels.of(MANY.target, ["cat", "dog", "mouse"] * 2)
    outputs = torch.tensor([[5.0, 0, 0]] * 6)
    found = Predictions.of(MANY, pictures, outputs, labels)
    hit, miss = found.plot([3, 2]).axes
    assert hit.images[0].get_array()[0, 0, 0] == 120
    assert hit.get_title().startswith("cat")
    assert "99%" in hit.get_title()
    assert miss.images[0].get_array()[0, 0, 0] == 80
    assert miss.get_title().startswith("✗ cat")
    assert "mouse" in miss.get_title()


def test_without_truth_nothing_is_marked(pictures: tuple[str, ...]) -> None:
    found = Predictions.of(BINARY, pictures, torch.zeros(6, 1))
    titles = [axes.get_title() for axes in found.plot(count=4).axes]
    assert len(titles) == 4
    assert not any("✗" in title for title in titles)


def test_a_seed_names_the_pictures_that_are_shown(pictures: tuple[str, ...]) -> None:
    found = Predictions.of(BINARY, pictures, torch.zeros(6, 1))

    def shown(seed: int) -> list[int]:
        figure = found.plot(count=3, seed=seed)
        return [int(axes.images[0].get_array()[0, 0, 0]) for axes in figure.axes]

    assert shown(0) == shown(0)
    assert len({tuple(shown(seed)) for seed in range(5)}) > 1


def test_the_most_wrong_pictures_come_first_then_others(pictures: tuple[str, ...]) -> None:
    labels = Labels.of(BINARY.target, ["dog"] * 6)
    outputs = torch.tensor([[3.0], [-1], [2], [-4], [1], [-2]])
    found = Predictions.of(BINARY, pictures, outputs, labels)
    figure = found.plot(count=5)
    shown = [int(axes.images[0].get_array()[0, 0, 0]) // 40 for axes in figure.axes]
    assert shown[:3] == [3, 5, 1]
    assert set(shown[3:]) < {0, 2, 4}
    assert figure.get_suptitle().endswith("✗ is a miss (3 of 3)")
    two = found.plot(count=2)
    assert [axes.get_title()[0] for axes in two.axes] == ["✗", "✗"]
    assert two.get_suptitle().endswith("(2 of 3)")


def test_several_labels_a_picture_are_not_drawn(pictures: tuple[str, ...]) -> None:
    found = Predictions.of(LABELS, pictures, torch.zeros(6, LABELS.outputs))
    with pytest.raises(DataError, match="one class each"):
        found.plot()


def test_a_task_of_several_targets_asks_for_one() -> None:
    task = Task((Target("size", Kind.REGRESSION), Target("price", Kind.REGRESSION)))
    truth = Labels(task, (np.zeros(1), np.zeros(1)))
    found = Predictions.of(task, ("a",), torch.zeros(1, 2), truth)
    asks: list[Callable[[], object]] = [
        lambda: found.predicted,
        lambda: found.classes,
        lambda: found.metric("mae"),
        found.residuals,
        found.plot,
        lambda: compare(found, found),
    ]
    for ask in asks:
        with pytest.raises(DataError, match=r"2 targets, size, price, .*\.target\('size'\) gives"):
            ask()
    assert found.target("price").residuals().mae == 0


# ---------------------------------------------------------------- averages

SEVERAL = Task(
    (
        Target.classify("pet", ["cat", "dog"]),
        Target("size", Kind.REGRESSION),
        Target("scene", Kind.MULTILABEL, ("sky", "sea")),
        Target.classify("colour", ["red", "green", "blue"]),
    )
)
SHARES = Task((Target("shares", Kind.DISTRIBUTION, ("sand", "silt", "clay")),))
TASKS = {
    "binary": BINARY,
    "many": MANY,
    "labels": LABELS,
    "number": NUMBER,
    "several": SEVERAL,
    "shares": SHARES,
}


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def said(target: Target, outputs: np.ndarray) -> np.ndarray:
    """Probabilities of each class, or the number, in float64 and by the textbook."""
    outputs = outputs.astype(np.float64)
    if target.kind is Kind.REGRESSION:
        return outputs
    if target.kind is Kind.BINARY:
        return softmax(np.concatenate([np.zeros_like(outputs), outputs], axis=-1))
    one = target.kind in (Kind.MULTICLASS, Kind.DISTRIBUTION)
    return softmax(outputs) if one else 1 / (1 + np.exp(-outputs))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(0, 4), st.booleans(), st.data())
def test_averaged_probabilities_are_the_mean_of_the_probabilities(
    task: Task, views: int, rows: int, weighted: bool, data: st.DataObject
) -> None:
    shape = (views, rows, task.outputs)
    outputs = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-80, 80, width=32)))
    weights = data.draw(st.lists(st.floats(0.1, 9), min_size=views, max_size=views))
    sources = tuple("abcd"[:rows])
    average = Predictions.averaged(
        [Predictions.of(task, sources, torch.from_numpy(each)) for each in outputs],
        weights if weighted else None,
    )
    assert average.outputs.dtype == np.float32
    assert np.isfinite(average.outputs).all()
    assert average.sources == sources
    for target, columns in task.columns():
        alone = Predictions(Task((target,)), sources, average.outputs[:, columns])
        number = target.kind is Kind.REGRESSION
        got = alone.predicted[:, None] if number else alone.probabilities
        each = said(target, outputs[:, :, columns])
        expected = np.tensordot(weights, each, 1) / sum(weights) if weighted else each.mean(axis=0)
        np.testing.assert_allclose(got, expected, rtol=1e-6 if number else 0, atol=1e-6)


@pytest.mark.parametrize("task", [BINARY, MANY, LABELS], ids=["binary", "many", "labels"])
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_losses_of_an_average_are_those_of_its_probabilities(
    task: Task, data: st.DataObject
) -> None:
    outputs = data.draw(
        hnp.arrays(np.float32, (3, 2, task.outputs), elements=st.floats(-12, 12, width=32))
    )
    chosen = [data.draw(st.sampled_from(task.target.classes)) for _ in range(2)]
    truth = chosen if task.target.exclusive else [[name] for name in chosen]
    average = Predictions.averaged([predictions(task, each.tolist(), truth) for each in outputs])
    shares = np.mean(said(task.target, outputs), axis=0)
    if task.target.exclusive:
        expected = -np.log(shares[np.arange(2), average.targets])
    else:
        right = np.where(average.targets > 0.5, shares, 1 - shares)
        expected = -np.log(right).mean(axis=1)
    np.testing.assert_allclose(average.losses, expected, rtol=1e-4, atol=1e-6)


def test_an_average_of_numbers_has_the_loss_of_the_mean() -> None:
    average = Predictions.averaged(
        [predictions(NUMBER, [[x], [x + 1]], [0.0, 0.0]) for x in (1.0, 3.0)]
    )
    assert average.predicted.tolist() == [2.0, 3.0]
    assert average.losses.tolist() == [4.0, 9.0]


@pytest.mark.parametrize("logit", [80.0, 3000.0])
@pytest.mark.parametrize("task", [BINARY, MANY], ids=["binary", "many"])
def test_certainty_beyond_what_a_probability_holds_is_kept(task: Task, logit: float) -> None:
    sure = predictions(task, [[logit, 0, 0][: task.outputs]])
    average = Predictions.averaged([sure] * 3)
    np.testing.assert_allclose(average.log_probabilities, sure.log_probabilities, rtol=1e-6)
    assert average.log_probabilities.min() == pytest.approx(-logit)


def test_an_average_of_the_same_keeps_its_logits_near_nothing_and_far_from_it() -> None:
    one = predictions(LABELS, [[1e-5, -3.0, 80.0], [-1e-5, 20.0, -80.0]])
    np.testing.assert_allclose(Predictions.averaged([one] * 3).outputs, one.outputs, rtol=1e-6)


def test_weights_of_an_average() -> None:
    views = [predictions(BINARY, [[-math.log(3)]]), predictions(BINARY, [[math.log(9)]])]
    average = Predictions.averaged(views, [3, 1])
    np.testing.assert_allclose(average.probabilities, [[0.5875, 0.4125]], rtol=1e-5)
    first = Predictions.averaged(views, [2, 0])
    np.testing.assert_allclose(first.probabilities, views[0].probabilities, rtol=1e-6)


def test_a_weight_of_zero_leaves_out_even_what_is_no_number() -> None:
    views = [predictions(NUMBER, [[2.0]]), predictions(NUMBER, [[math.inf]])]
    assert Predictions.averaged(views, [1, 0]).predicted.tolist() == [2.0]


def test_weights_that_cannot_be_are_refused_with_every_fault() -> None:
    views = [predictions(BINARY, [[0.0]])] * 3
    with pytest.raises(SpecError) as caught:
        Predictions.averaged(views, [1, -1, math.nan, "much"])
    assert len(caught.value.faults) == 4
    with pytest.raises(SpecError, match="all of them are 0"):
        Predictions.averaged(views, [0, 0, 0])


def test_an_average_keeps_labels_weights_and_unreadable_files() -> None:
    labels = Labels(BINARY, (np.array([0, 1]),), np.array([3.0, 1.0], np.float32))
    unreadable = (("x.jpg", "the file is empty"),)
    one, two = (
        Predictions.of(BINARY, ("a", "b"), torch.full((2, 1), x), labels, unreadable)
        for x in (-1.0, 0.5)
    )
    average = Predictions.averaged([one, two])
    assert average.labels is labels
    assert average.unreadable == unreadable
    assert average.metric("accuracy") == 0.75


def test_predictions_of_other_things_are_not_averaged() -> None:
    def of(task: Task = BINARY, files: str = "ab", truth: str | None = "01", **options) -> object:
        labels = None if truth is None else Labels(task, (np.array([*map(int, truth)]),), **options)
        return Predictions.of(task, tuple(files), torch.zeros(len(files), 1), labels)

    heavy = np.array([2, 1], np.float32)
    others = {
        "different tasks": of(Task.classify(["cat", "wolf"])),
        "row 0 is 'a' in the first and 'b'": of(files="ba"),
        "the first have 2 rows, predictions 1 have 3": of(files="abc", truth="010"),
        "labels of predictions 1": of(truth="00"),
        "the labels": of(truth=None),
        "weights of their rows": of(weights=heavy),
    }
    for message, other in others.items():
        with pytest.raises(DataError, match=message):
            Predictions.averaged([of(), other])
    with pytest.raises(DataError, match="weights of their rows"):
        Predictions.averaged([of(weights=heavy), of(weights=heavy[::-1].copy())])
    with pytest.raises(DataError, match="at least one"):
        Predictions.averaged([])
    assert len(Predictions.averaged([of(), of()])) == 2
    assert len(Predictions.averaged([of(weights=heavy), of(weights=heavy.copy())])) == 2
