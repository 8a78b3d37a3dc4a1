"""Tables as networks take them: what is fitted, on which rows, and in what numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris
from torch import nn

from secchi.data.table import TableData
from secchi.data.task import Kind, Labels, Target
from secchi.errors import DataError, SealedError
from secchi.models.mlp import MLP
from secchi.models.units import InUnits
from secchi.training.prepared import PreparedTable
from secchi.transforms.table import TableTransform

PRICE = Target("price", Kind.REGRESSION)


def diabetes(**options: Any) -> TableData:
    frame = load_diabetes(as_frame=True).frame
    return TableData.from_frame(frame, "target", task="number", **options)


def arrays(count: int = 6) -> dict[str, Any]:
    inputs = np.arange(2.0 * count).reshape(count, 2)
    labels = Labels.of(PRICE, np.arange(float(count)))
    return {
        "task": labels.task,
        "inputs": {"train": inputs, "valid": inputs[:3]},
        "labels": {"train": labels, "valid": labels.take(np.arange(3))},
    }


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", np.float32), ("fp64", np.float64)])
def test_columns_are_scaled_by_what_the_training_rows_are(precision: str, dtype: type) -> None:
    data = diabetes(scale="minmax")
    table = PreparedTable.of(data, precision)
    transform = TableTransform.fit(data.train.frame, "minmax")
    for split in ("train", "valid"):
        inputs = table.inputs(split)
        assert inputs.dtype == dtype
        assert inputs.flags.c_contiguous
        np.testing.assert_array_equal(inputs, transform.apply(data.split(split).frame, dtype))
        assert table.labels(split) is data.split(split).labels
    assert table.width == 10
    assert table.nbytes == 442 * 10 * np.dtype(dtype).itemsize


def test_numbers_to_predict_are_learned_in_units_of_their_spread() -> None:
    data = diabetes()
    table = PreparedTable.of(data)
    truth = data.train.targets
    assert table.centers == [pytest.approx(truth.mean())]
    assert table.scales == table.units == [pytest.approx(truth.std())]
    net = table.network(MLP([], init="zeros"), seed=0)
    assert isinstance(net, InUnits)
    assert net(torch.zeros(1, 10)).item() == pytest.approx(truth.mean())
    plain = PreparedTable.of(diabetes(target_scale="none"))
    assert (plain.centers, plain.scales, plain.units) == ([0.0], [1.0], None)
    assert isinstance(plain.network(MLP([]), seed=0), nn.Sequential)


def test_classes_and_numbers_have_each_their_own_units() -> None:
    frame = load_iris(as_frame=True).frame.rename(columns={"sepal length (cm)": "length"})
    frame["kind"] = frame.pop("target").map(str)
    table = PreparedTable.of(TableData.from_frame(frame, ["kind", "length"]))
    assert table.centers[:3] == [0, 0, 0]
    assert table.scales[:3] == [1, 1, 1]
    assert table.units == [1, table.scales[3]]
    assert table.scales[3] < 1


def test_a_part_is_fitted_on_its_own_rows() -> None:
    data = diabetes()
    rows = np.array([7, 3, 200, 30])
    part = PreparedTable.of(data).part(rows)
    transform = TableTransform.fit(data.train.frame.iloc[rows])
    few = transform.apply(data.train.frame.iloc[rows])
    np.testing.assert_array_equal(part.inputs("train"), few)
    np.testing.assert_array_equal(part.inputs("valid"), transform.apply(data.valid.frame))
    np.testing.assert_array_equal(part.labels("train").values[0], data.train.targets[rows])
    assert part.labels("valid") is data.valid.labels
    assert part.units == [pytest.approx(data.train.targets[rows].std())]


def test_a_part_of_a_part_counts_among_its_rows() -> None:
    table = PreparedTable.of_arrays(**arrays())
    part = table.part(np.array([5, 3, 1])).part(np.array([2, 0]))
    assert part.labels("train").values[0].tolist() == [1, 5]
    assert part.inputs("train").tolist() == [[2, 3], [10, 11]]
    assert np.shares_memory(part.inputs("valid"), table.inputs("valid"))


def test_a_table_on_its_own_is_the_same() -> None:
    whole = PreparedTable.of(diabetes(), "fp64").part(np.arange(50))
    alone = whole.alone()
    assert alone.units == whole.units
    for split in ("train", "valid"):
        np.testing.assert_array_equal(alone.inputs(split), whole.inputs(split))
        assert np.shares_memory(alone.inputs(split), whole.inputs(split))
        assert alone.labels(split) is whole.labels(split)


def test_a_network_is_a_copy_in_the_precision_of_the_table() -> None:
    own = nn.Linear(10, 1)
    table = PreparedTable.of(diabetes(), "fp64")
    net = table.network(own, seed=0)
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float64}
    assert own.weight.dtype == torch.float32


def test_the_rows_of_a_test_set_stay_sealed() -> None:
    data = diabetes(test=True)
    table = PreparedTable.of(data)
    with pytest.raises(SealedError):
        table.inputs("test")
    with pytest.raises(SealedError):
        table.labels("test")
    data.open_test("to see that they come then")
    assert len(table.rows("test").labels) == len(table.inputs("test")) == len(data.test or [])


@pytest.mark.parametrize(
    ("split", "values", "fault"),
    [
        ("valid", None, "no rows of 'valid'"),
        ("valid", np.zeros((3, 4)), r"inputs of 'valid' have the shape \(3, 4\)"),
        ("train", np.zeros((5, 2)), r"shape \(5, 2\), and there are 6 labels"),
        ("train", np.zeros(6), r"shape \(6,\)"),
    ],
)
def test_arrays_that_do_not_go_together(split: str, values: Any, fault: str) -> None:
    given = arrays()
    given["inputs"][split] = values
    if values is None:
        del given["inputs"][split]
    with pytest.raises(DataError, match=fault):
        PreparedTable.of_arrays(**given)
