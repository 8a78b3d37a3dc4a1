"""The record of what is predicted."""

import json
from typing import Any

import numpy as np
import pytest

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError


@pytest.mark.parametrize(
    ("classes", "kind", "outputs"),
    [(["a"], Kind.MULTICLASS, 1), (["a", "b"], Kind.BINARY, 1), (["a", "b", "c"], "multiclass", 3)],
)
def test_the_number_of_classes_picks_the_kind(classes: list[str], kind: Kind, outputs: int) -> None:
    target = Target.classify("class", classes)
    assert target.kind == kind
    assert target.outputs == outputs
    assert target.exclusive


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        (Kind.BINARY, ("a", "b", "c")),
        (Kind.BINARY, ()),
        (Kind.MULTICLASS, ("a", "b")),
        (Kind.MULTICLASS, ()),
        (Kind.MULTILABEL, ()),
        (Kind.REGRESSION, ("a",)),
    ],
)
def test_a_kind_that_its_classes_cannot_be_is_refused(kind: Kind, classes: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"is {kind.value}, which {len(classes)} classes cannot be"):
        Target("t", kind, classes)


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(DataError, match="names a class twice"):
        Target.classify("t", ["a", "b", "a"])


def test_classes_are_encoded_by_their_place() -> None:
    codes = Target.classify("pet", ["cat", "dog", "newt"]).encode(["newt", "cat", "cat"])
    assert codes.dtype == np.int64
    assert codes.tolist() == [2, 0, 0]


def test_several_labels_are_encoded_as_a_row_of_zeros_and_ones() -> None:
    target = Task.label(["a", "b", "c"]).target
    hot = target.encode([("c", "a"), (), ("b",)])
    assert hot.dtype == np.float32
    assert hot.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert not target.exclusive
    assert target.outputs == 3


def test_numbers_are_encoded_as_they_are() -> None:
    numbers = Task.regress("age").target.encode([1, 2.5, -3])
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [1, 2.5, -3]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, "seven", None])
def test_what_is_no_finite_number_is_refused_with_its_row(value: object) -> None:
    with pytest.raises(DataError, match=r"'age' of row 1 is .*, no number"):
        Task.regress("age").target.encode([1.0, value, 3.0])


def test_an_unknown_class_is_refused_with_the_nearest() -> None:
    target = Target.classify("pet", ["cat", "dog"])
    with pytest.raises(
        DataError, match="'dgo' is none of the 2 classes of 'pet'; did you mean dog"
    ):
        target.encode(["cat", "dgo"])
    with pytest.raises(DataError, match="'bird' is none of the 2 classes"):
        Task.label(["cat", "dog"]).target.encode([("cat", "bird")])


def test_several_targets_share_the_columns_of_a_head() -> None:
    task = Task(
        (
            Target.classify("breed", ["a", "b", "c"]),
            Target.classify("sex", ["f", "m"]),
            Target("marks", Kind.MULTILABEL, ("x", "y")),
            Target("age", Kind.REGRESSION),
        )
    )
    assert task.outputs == 3 + 1 + 2 + 1
    columns = {target.name: columns for target, columns in task.columns()}
    assert columns == {
        "breed": slice(0, 3), "sex": slice(3, 4), "marks": slice(4, 6), "age": slice(6, 7)
    }  # fmt: skip
    assert task.names == ("breed", "sex", "marks", "age")
    with pytest.raises(DataError, match="4 targets"):
        _ = task.target
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_targets_need_different_names() -> None:
    with pytest.raises(DataError, match="different names"):
        Task.regress("age", "age")
    with pytest.raises(DataError, match="different names"):
        Task(())


def test_labels_take_rows_with_their_weights() -> None:
    target = Target.classify("pet", ["cat", "dog"])
    weights = np.array([1, 2, 3], np.float32)
    labels = Labels(Task((target,)), (target.encode(["cat", "dog", "dog"]),), weights)
    taken = labels.take(np.array([2, 0]))
    assert len(taken) == 2
    assert taken.values[0].tolist() == [1, 0]
    assert taken.weights is not None
    assert taken.weights.tolist() == [3, 1]


def test_labels_of_different_lengths_are_refused() -> None:
    task = Task.regress("a", "b")
    with pytest.raises(DataError, match="arrays of one length"):
        Labels(task, (np.zeros(3), np.zeros(2)))
    with pytest.raises(DataError, match="arrays of one length"):
        Labels(task, (np.zeros(3),))
    with pytest.raises(DataError, match="arrays of one length"):
        Labels(Task.regress("a"), (np.zeros(3),), np.ones(2, np.float32))


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_is_finite_and_not_negative(weight: float) -> None:
    with pytest.raises(DataError, match="weights have to be finite and not negative"):
        Labels(Task.regress("a"), (np.zeros(2),), np.array([1, weight], np.float32))


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [3, 5, 8], [False, True], [b"a", b"\xff"], [1.5, 2.0, -1.0]],
    ids=["str", "int", "bool", "bytes", "float"],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_labels_come_back_as_they_went_in(labels: list[Any], as_array: bool) -> None:
    target = Target.classify("y", np.array(labels) if as_array else labels)
    assert all(isinstance(name, str) for name in target.classes)
    again = Target.from_dict(json.loads(json.dumps(target.to_dict())))
    numbers = again.encode(np.array(labels)[::-1] if as_array else labels[::-1])
    assert numbers.tolist() == list(range(len(labels)))[::-1]
    back = again.decode(numbers).tolist()
    assert back == labels[::-1]
    assert [type(label) for label in back] == [type(label) for label in labels[::-1]]


def test_labels_of_several_types_are_refused() -> None:
    with pytest.raises(DataError, match="of the types int, str"):
        Target.classify("y", [1, "two"])


def test_shares_add_up_to_one() -> None:
    target = Target("mood", Kind.DISTRIBUTION, ("good", "bad"))
    shares = target.encode([[0.25, 0.75], [0.3333, 0.6664]])
    assert shares.dtype == np.float32
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1], abs=1e-6)
    for wrong in ([[0.5, 0.6]], [[-0.1, 1.1]], [[0.2, 0.3, 0.5]], [[np.nan, 1.0]]):
        with pytest.raises(DataError, match="shares"):
            target.encode(wrong)
