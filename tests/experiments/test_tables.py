"""What trials learn from: which rows, in which split, and what they share."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes

from secchi.data.synthetic import Line, Moons, Qwerties
from secchi.data.table import TableData
from secchi.data.task import Kind, Labels, Target
from secchi.errors import DataError, SpecError
from secchi.experiments import tables as module
from secchi.experiments.tables import Tables, training_order
from secchi.seeding import stream_seed
from secchi.training.prepared import PreparedTable


@pytest.fixture(scope="module")
def cancer() -> TableData:
    return TableData.from_frame(load_breast_cancer(as_frame=True).frame, "target", task="class")


def same(one: PreparedTable, other: PreparedTable) -> None:
    for split in ("train", "valid"):
        np.testing.assert_array_equal(one.inputs(split), other.inputs(split))
        np.testing.assert_array_equal(one.labels(split).values[0], other.labels(split).values[0])
    assert one.units == other.units


def test_trials_that_learn_from_the_same_rows_share_them(cancer: TableData) -> None:
    tables = Tables(cancer)
    first = tables.of({"lr": 0.1, "scale": "zscore"}, 0)
    assert tables.of({"lr": 0.5, "hidden": [3], "scale": "zscore"}, 7) is first
    assert tables.of({"train_fraction": 1, "scale": "zscore"}, 3) is first
    assert tables.of({"scale": "minmax"}, 0) is not first
    same(first, PreparedTable.of(cancer))


def test_made_up_rows_are_drawn_for_each_repeat_with_their_own_fields() -> None:
    tables = Tables(Line(), seed=4, precision="fp64", options={"valid_fraction": 0.5})
    found = tables.of({"slope": 2.0, "rows": 80, "lr": 1}, 3)
    what = Line(rows=80, slope=2.0)
    same(
        found,
        PreparedTable.of(TableData.made(what, seed=4, repeat=3, valid_fraction=0.5), "fp64"),
    )
    assert len(found.labels("valid")) == 40
    assert tables.of({"slope": 2.0, "rows": 80, "lr": 1}, 4) is not found
    unscaled = tables.of({"target_scale": "none"}, 3)
    assert unscaled.units is None
    clouds = Tables(Qwerties(rows=60)).of({"classes": 2, "centers": [[0, 0], [9, 9]]}, 0)
    assert clouds.task.outputs == 1


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (Line(), [{"slope": 1.0}, {"slope": 1.0001}, {"slope": -2.0, "noise": 0.1}]),
        (Qwerties(rows=60), [{"spread": 0.5}, {"spread": 2.0}, {"apart": 9.0}]),
        (Moons(rows=60), [{"noise": 0.0}, {"noise": 0.5}]),
    ],
)
@pytest.mark.parametrize("folds", [None, 4])
def test_made_up_rows_of_one_repeat_are_parted_alike(
    data: Any, settings: list[Any], folds: int | None
) -> None:
    tables = Tables(data, folds=folds)

    def sides(setting: Any) -> Any:
        split: Any = tables._split(setting, 2)
        return split.train.rows.tolist(), split.valid.rows.tolist()

    first, *others = (sides(setting) for setting in settings)
    assert all(each == first for each in others)


def test_lines_of_one_repeat_share_their_x() -> None:
    tables = Tables(Line())
    flat, steep = (tables.of({"slope": slope}, 1) for slope in (0.5, 5.0))
    for split in ("train", "valid"):
        np.testing.assert_array_equal(flat.inputs(split), steep.inputs(split))


def test_made_up_rows_that_cannot_be() -> None:
    with pytest.raises(SpecError, match="noise is -1"):
        Tables(Line()).of({"noise": -1}, 0)


def test_rows_are_parted_anew_only_where_asked(cancer: TableData) -> None:
    tables = Tables(cancer, seed=3, resplit=True)
    anew = cancer.resplit(seed=stream_seed(3, "split", 2))
    same(tables.of({}, 2), PreparedTable.of(anew))
    assert tables.of({}, 2) is not tables.of({}, 1)
    other = Tables(cancer, seed=4, resplit=True).of({}, 2)
    assert not np.array_equal(other.inputs("valid"), tables.of({}, 2).inputs("valid"))
    same(Tables(cancer).of({}, 2), PreparedTable.of(cancer))
    by_place = TableData.from_frame(
        load_diabetes(as_frame=True).frame, "target", task="number", split="position"
    )
    with pytest.raises(DataError, match="parted by position"):
        Tables(by_place, resplit=True).of({}, 0)


def test_one_of_the_folds_validates(cancer: TableData) -> None:
    tables = Tables(cancer, folds=4)
    for number, fold in enumerate(cancer.folds(4)):
        same(tables.of({"fold": number}, 0), PreparedTable.of(fold))
        assert tables.of({"fold": number}, 5) is tables.of({"fold": number}, 0)
    assert tables.of({}, 0).nbytes == tables.of({"fold": 0}, 0).nbytes
    other = Tables(cancer, folds=4, resplit=True)
    valid = [
        [tuple(row) for fold in range(4) for row in other.of({"fold": fold}, r).inputs("valid")]
        for r in (0, 1)
    ]
    assert len(valid[0]) == len(valid[1]) == 569
    assert not np.array_equal(
        other.of({"fold": 0}, 0).labels("valid").values[0],
        other.of({"fold": 0}, 1).labels("valid").values[0],
    )


def test_a_larger_share_contains_a_smaller_one(cancer: TableData) -> None:
    tables = Tables(cancer, seed=1)
    keys = {row.tobytes(): place for place, row in enumerate(cancer.train.frame.to_numpy())}
    whole = PreparedTable.of(cancer.scaled("none"))
    of = {row.tobytes(): place for place, row in enumerate(whole.inputs("train"))}
    assert len(of) == len(keys)
    before: set[int] = set()
    for fraction in (0.001, 0.1, 0.25, 0.5, 0.9, 1.0):
        table = tables.of({"train_fraction": fraction, "scale": "none"}, 2)
        places = [of[row.tobytes()] for row in table.inputs("train")]
        assert len(places) == max(1, round(fraction * 455))
        assert places == sorted(places)
        assert before <= set(places)
        before = set(places)
        np.testing.assert_array_equal(table.labels("train").values[0], cancer.train.targets[places])
        assert len(table.labels("valid")) == len(cancer.valid)
    few = {"train_fraction": 0.1, "scale": "none"}
    assert not np.array_equal(tables.of(few, 0).inputs("train"), tables.of(few, 1).inputs("train"))


def test_a_share_is_scaled_by_its_own_rows() -> None:
    data = TableData.from_frame(load_diabetes(as_frame=True).frame, "target", task="number")
    table = Tables(data, precision="fp64").of({"train_fraction": 0.1}, 0)
    np.testing.assert_allclose(table.inputs("train").mean(0), 0, atol=1e-12)
    assert table.scales == [pytest.approx(table.labels("train").values[0].std())]


def test_factors_of_rows_go_together(cancer: TableData) -> None:
    setting = {"fold": 2, "train_fraction": 0.2, "scale": "minmax"}
    found = Tables(cancer, folds=3, seed=5).of(setting, 1)
    fold = next(islice(cancer.scaled("minmax").folds(3), 2, None))
    order = training_order(fold.train.labels, 5, 1)
    count = round(0.2 * len(order))
    same(found, PreparedTable.of(fold).part(np.sort(order[:count])))


def test_what_is_held_is_bounded(cancer: TableData, monkeypatch: pytest.MonkeyPatch) -> None:
    one = PreparedTable.of(cancer).nbytes
    monkeypatch.setattr(module, "HELD_BYTES", 3 * one)
    tables = Tables(cancer, resplit=True)
    held = [tables.of({}, repeat) for repeat in (0, 1)]
    assert tables.of({}, 0) is held[0]
    third = tables.of({}, 2)  # lets go of that which was not asked for the longest
    assert tables.of({}, 0) is held[0]
    assert tables.of({}, 2) is third
    assert tables.of({}, 1) is not held[1]
    assert len(tables._held) == 2
    monkeypatch.setattr(module, "HELD_BYTES", 1)
    last = tables.of({}, 9)
    assert tables.of({}, 9) is last
    assert len(tables._held) == 1


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(any), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_every_share_has_the_classes_in_their_shares(counts: list[int], seed: int) -> None:
    truth = np.repeat(np.arange(4), counts)
    labels = Labels.of(Target.classify("kind", list(range(4))), truth.tolist())
    order = training_order(labels, seed, 0)
    assert sorted(order) == list(range(len(truth)))
    shares = np.array(counts) / len(truth)
    for count in range(len(truth) + 1):
        taken = np.bincount(truth[order[:count]], minlength=4)
        # Half a row by rounding, and half a row of each of four others by what they take.
        assert (np.abs(taken - count * shares) <= 0.5 + 2 * shares + 1e-9).all()


def test_an_order_is_drawn_from_seed_and_repeat() -> None:
    labels = Labels.of(Target("price", Kind.REGRESSION), np.arange(50.0))
    orders: list[Any] = [
        tuple(training_order(labels, seed, repeat)) for seed, repeat in ((0, 0), (0, 1), (1, 0))
    ]
    assert len(set(orders)) == 3
    assert tuple(training_order(labels, 0, 0)) == orders[0]
