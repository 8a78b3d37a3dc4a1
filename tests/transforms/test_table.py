"""Rows of a table as the numbers that a network takes."""

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from secchi.data.column_types import typed_frame
from secchi.data.table import SCALES, TableData
from secchi.errors import DataError, SecchiError
from secchi.learner import Learner
from secchi.transforms.table import MOST_LEVELS, TableTransform

SCALERS = {"zscore": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def frame_of(columns: dict[str, Any]) -> pd.DataFrame:
    return typed_frame(pd.DataFrame(columns))[0]


@pytest.mark.parametrize("scale", SCALES)
def test_scales_are_those_of_scikit_learn(scale: str) -> None:
    frame = load_wine(as_frame=True).data
    prepared = TableTransform.fit(frame, scale).apply(frame, np.float64)
    wanted = frame if scale == "none" else SCALERS[scale]().fit_transform(frame)
    np.testing.assert_allclose(prepared, wanted, atol=1e-9)


def test_text_is_one_input_a_value_as_scikit_learn_has_it() -> None:
    pets = ["dog", "cat", None, "emu", "cat"]
    frame = frame_of({"pet": pets})
    transform = TableTransform.fit(frame)
    assert transform.names == ["pet=cat", "pet=dog", "pet=emu"]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder.fit(np.array([p for p in pets if p]).reshape(-1, 1))
    told = [[pet or "none of them"] for pet in pets]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = encoder.transform(told)
    assert transform.apply(frame).tolist() == wanted.tolist()


def test_a_missing_number_is_the_median_and_flagged() -> None:
    frame = frame_of({"x": [1.0, None, 2.0, 9.0]})
    transform = TableTransform.fit(frame, "none")
    assert transform.names == ["x", "x is missing"]
    assert transform.apply(frame).tolist() == [[1, 0], [2, 1], [2, 0], [9, 0]]


def test_a_column_that_never_changes_becomes_zero() -> None:
    frame = pd.DataFrame({"x": [0.1] * 7})
    for scale in ("zscore", "minmax", "robust"):
        prepared = TableTransform.fit(frame, scale).apply(frame)
        assert np.abs(prepared).max() < 1e-6
        assert np.isfinite(prepared).all()


def test_only_the_most_frequent_texts_have_an_input() -> None:
    texts = [f"t{number}" for number in range(300) for _ in range(1 + (number < 20))]
    transform = TableTransform.fit(frame_of({"code": texts}))
    assert transform.width == MOST_LEVELS
    assert {f"code=t{number}" for number in range(20)} <= set(transform.names)


def test_it_survives_json_and_prepares_alike() -> None:
    frame = frame_of(
        {"x": [1.0, None, 2.5], "pet": ["cat", None, "dog"], "ok": [True, False, True]}
    )
    transform = TableTransform.fit(frame)
    again = TableTransform.from_dict(json.loads(json.dumps(transform.to_dict())))
    assert again == transform
    assert again.apply(frame).tolist() == transform.apply(frame).tolist()
    with pytest.raises(SecchiError, match="no way to prepare"):
        TableTransform.from_dict({"columns": [{"name": "x"}]})


def test_scaling_sees_training_rows_alone() -> None:
    """Rows that validate can hold anything: nothing of what is fitted changes."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    frame["y"] = ["no", "yes"] * 30
    says = np.where(np.arange(60) < 40, "train", "valid")
    wild = frame.copy()
    wild.loc[40:, ["a", "b"]] *= 1e6
    wild.loc[40:, "b"] = np.nan
    fitted = [
        TableTransform.fit(
            TableData.from_frame(rows.assign(part=says), "y", split_column="part").train.frame
        )
        for rows in (frame, wild)
    ]
    assert fitted[0] == fitted[1]
    learned = Learner(TableData.from_frame(wild.assign(part=says), "y", split_column="part"))
    assert learned._trainee.transform == fitted[0]  # type: ignore[attr-defined]


def test_each_fold_is_scaled_by_its_own_training_rows() -> None:
    data = TableData.from_frame(load_wine(as_frame=True).frame, "target", scale="minmax")
    for fold in data.folds(3):
        transform = Learner(fold)._trainee.transform  # type: ignore[attr-defined]
        assert transform == TableTransform.fit(fold.train.frame, "minmax")
        prepared = transform.apply(fold.train.frame)
        assert (prepared.min(axis=0), prepared.max(axis=0)) == (
            pytest.approx(np.zeros(13), abs=1e-6), pytest.approx(np.ones(13), abs=1e-6),
        )  # fmt: skip


# ---------------------------------------------------------------- rows from anywhere

KNOWN = {"x": [1.0, 2.0, 3.0], "pet": ["cat", "dog", "cat"]}


def test_the_order_of_columns_does_not_matter() -> None:
    transform = TableTransform.fit(frame_of(KNOWN))
    turned = frame_of({"pet": ["dog"], "x": [2.0]})
    straight = frame_of({"x": [2.0], "pet": ["dog"]})
    assert transform.apply(transform.matched(turned)).tolist() == (
        transform.apply(transform.matched(straight)).tolist()
    )


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"pet": ["cat"]}, "lack columns that the model learned from: 'x'"),
        ({"X ": [1.0], "pets": ["cat"]}, "'pet'; did you mean pets"),
        ({"x": ["many"], "pet": ["cat"]}, "1 texts such as 'many'"),
    ],
)
def test_columns_that_cannot_be_are_errors(columns: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        TableTransform.fit(frame_of(KNOWN)).matched(frame_of(columns))


@pytest.mark.parametrize(
    ("columns", "warning", "prepared"),
    [
        (
            {"x": [2.0], "pet": ["emu"]},
            "'pet' that was rare or absent in training, such as 'emu'",
            [0, 0, 0],
        ),
        ({"x": [None], "pet": ["cat"]}, "1 rows have no 'x'", [0, 1, 0]),
        ({"x": [2.0], "pet": ["cat"], "age": [4]}, "not there in training.*: age", [0, 1, 0]),
    ],
)
def test_what_may_surprise_is_warned_about(
    columns: dict[str, Any], warning: str, prepared: list[float]
) -> None:
    transform = TableTransform.fit(frame_of(KNOWN))
    with pytest.warns(UserWarning, match=warning):
        rows = transform.matched(frame_of(columns))
    assert transform.apply(rows).tolist() == [prepared]


def test_columns_that_were_beside_in_training_are_no_surprise() -> None:
    transform = TableTransform.fit(frame_of(KNOWN))
    rows = frame_of({**KNOWN, "target": [1, 2, 3]})
    assert len(transform.matched(rows, beside=["target"]).columns) == 2


def test_whole_numbers_that_were_text_in_training_are_text_again() -> None:
    texts = frame_of({"code": pd.Categorical(["1", "2", "3"])})
    transform = TableTransform.fit(texts)
    rows = transform.matched(frame_of({"code": [2, 3]}))
    assert transform.apply(rows).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_a_range_of_zero_between_the_quartiles_is_scaled_by_the_spread() -> None:
    values = np.where(np.arange(100) < 90, 0.0, np.arange(100) * 1e4)
    prepared = TableTransform.fit(pd.DataFrame({"x": values}), "robust").apply(
        pd.DataFrame({"x": values}), np.float64
    )
    np.testing.assert_allclose(prepared[:, 0], values / values.std())


def test_a_column_that_never_changed_is_zero_whatever_it_holds_later() -> None:
    transform = TableTransform.fit(pd.DataFrame({"x": [7.0, 7.0], "y": [0.0, 1.0]}))
    later = pd.DataFrame({"x": [9e9, np.nan], "y": [0.0, 1.0]})
    assert transform.apply(later)[:, 0].tolist() == [0, 0]
