"""Tables: what is predicted, how rows are parted, and what a test set gives away."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from secchi.data.splitting import Splitting
from secchi.data.synthetic import SYNTHETIC, Synthetic
from secchi.data.table import TableData
from secchi.data.task import Kind
from secchi.errors import DataError, SealedError, SpecError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "wine"


@pytest.fixture
def red_wine() -> Path:
    file = SHARED / "winequality-red.csv"
    if not file.is_file():
        pytest.skip("the red wines are not on this machine")
    return file


def iris() -> pd.DataFrame:
    found = load_iris(as_frame=True)
    frame = found.frame.drop(columns="target")
    return frame.assign(species=np.array(found.target_names)[found.target])


def people(rows: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": random.integers(18, 90, rows).astype(float),
            "town": random.choice(["Ulm", "Jena", "Bonn"], rows),
            "income": random.normal(3000, 500, rows),
            "buys": random.choice(["no", "yes"], rows),
        }
    )


# ---------------------------------------------------------------- what is predicted


def test_iris_parts_each_species_in_the_same_shares() -> None:
    data = TableData.from_frame(iris(), "species", test=True)
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 120, "valid": 15, "test": 15,
    }  # fmt: skip
    assert np.bincount(data.train.targets).tolist() == [40, 40, 40]
    assert np.bincount(data.valid.targets).tolist() == [5, 5, 5]
    assert data.inputs == list(iris().columns[:4])


def test_a_threshold_makes_two_classes(red_wine: Path) -> None:
    data = TableData.from_csv(red_wine, target="quality", above=5)
    assert data.task.target.kind is Kind.BINARY
    assert data.classes == ("at most 5", "above 5")
    assert len(data.train) + len(data.valid) == 1599
    raw = pd.read_csv(red_wine, sep=";")
    both = np.concatenate([data.train.targets, data.valid.targets])
    assert both.sum() == (raw["quality"] > 5).sum()
    lines = data.valid.rows
    assert (raw["quality"][lines - 2] > 5).astype(int).tolist() == data.valid.targets.tolist()
    with pytest.raises(DataError, match="lies between 3 and 8"):
        TableData.from_csv(red_wine, target="quality", above=50)


def test_whole_numbers_are_classes_where_they_are_few(red_wine: Path) -> None:
    data = TableData.from_csv(red_wine, target="quality")
    assert data.classes == ("3", "4", "5", "6", "7", "8")
    assert any("taken as classes; task='number'" in note for note in data.notes)
    assert data.task.target.decode(np.array([0, 5])).tolist() == [3, 8]
    number = TableData.from_csv(red_wine, target="quality", task="number")
    assert number.task.target.kind is Kind.REGRESSION
    sugar = TableData.from_csv(red_wine, target="residual sugar")
    assert sugar.task.target.kind is Kind.REGRESSION
    assert "quality" in sugar.inputs


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [3, 5, 8], [False, True], [b"no", b"yes"], [1.5, 2.5]],
    ids=["str", "int", "bool", "bytes", "float"],
)
def test_labels_of_any_type_come_back_as_they_went_in(labels: list[Any]) -> None:
    values = np.array(labels * 10)
    data = TableData.from_arrays(np.arange(len(values) * 1.0)[:, None], values, task="class")
    for split in data.splits.values():
        back = data.task.target.decode(split.targets)
        assert back.tolist() == values[split.rows].tolist()
        assert type(back[0]) is type(values[0])


def test_several_targets_are_each_what_they_are() -> None:
    data = TableData.from_frame(people(), ["buys", "income"])
    assert [target.kind for target in data.task.targets] == [Kind.BINARY, Kind.REGRESSION]
    assert set(data.train.targets) == {"buys", "income"}
    assert data.inputs == ["age", "town"]


def test_shares_are_predicted_together() -> None:
    random = np.random.default_rng(0)
    sun = random.uniform(size=40)
    frame = pd.DataFrame({"x": random.normal(size=40), "sun": sun, "rain": 1 - sun})
    data = TableData.from_frame(frame, ["sun", "rain"], task="distribution")
    assert data.task.target.kind is Kind.DISTRIBUTION
    assert data.train.targets.shape == (32, 2)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"target": "byus"}, "no column 'byus'; did you mean buys"),
        ({"target": "buys", "drop": ["agee"]}, "no column 'agee'; did you mean age"),
        ({"target": "buys", "inputs": ["buys"]}, "both the target and an input"),
        ({"target": "buys", "above": 3}, "needs a target of numbers"),
        ({"target": "buys", "task": "number"}, "holds text such as"),
        ({"target": "buys", "task": "clas"}, "did you mean class"),
        ({"target": ()}, "no target is named"),
        ({"target": "buys", "weight_column": "town"}, "have to be numbers"),
        ({"target": "buys", "time_column": "town"}, "neither dates nor numbers"),
        ({"target": "buys", "split_column": "town"}, "none of train, valid and test"),
    ],
)
def test_what_cannot_be_is_told(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        TableData.from_frame(people(), **options)


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"vald_fraction": 0.2, "tset": True}, ["valid_fraction", "test"]),
        ({"valid_fraction": 1.5, "split": "alphabet"}, ["valid_fraction is 1.5", "'alphabet'"]),
        ({"valid_fraction": 0.6, "test": 0.5}, ["leave nothing to train on"]),
        ({"valid_fraction": 0}, ["nothing is judged"]),
        ({"scale": "zscor"}, ["did you mean zscore"]),
        ({"class_weights": {"yes": -1, "on": 2}}, ["'yes' is -1", "'on', which is no class"]),
        ({"class_weights": "even"}, ["'balanced', or a weight by class"]),
    ],
)
def test_all_faults_of_the_options_are_told(options: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        TableData.from_frame(people(), "buys", **options)
    for fault in faults:
        assert fault in str(caught.value)


def test_dates_are_refused_with_advice() -> None:
    frame = people().assign(day=pd.date_range("2026-01-01", periods=60))
    with pytest.raises(DataError, match=r"drop=\['day'\].*time_column='day'"):
        TableData.from_frame(frame, "buys")
    data = TableData.from_frame(frame, "buys", time_column="day", test=True)
    assert "day" not in data.inputs
    assert data.train.rows.max() < data.valid.rows.min()


def test_columns_that_tell_nothing_are_left_out_and_said() -> None:
    frame = people().assign(
        planet="Earth", empty=np.nan, row_id=np.arange(60), name=[f"person {i}" for i in range(60)]
    )
    data = TableData.from_frame(frame, "buys")
    assert data.inputs == ["age", "town", "income"]
    assert len(data.notes) == 4
    assert "which name them" in " ".join(data.notes)
    assert set(data.beside) == {"buys", "planet", "empty", "row_id", "name"}


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    frame = people()
    frame.loc[:9, "buys"] = None
    data = TableData.from_frame(frame, "buys")
    assert data.skipped == [("no value of the target", 10)]
    assert sum(len(split) for split in data.splits.values()) == 50
    assert "left out 10 rows" in str(data.summary())


@pytest.mark.parametrize("values", [["a"] * 20, [None] * 20])
def test_one_class_or_none_is_nothing_to_learn(values: list[Any]) -> None:
    frame = pd.DataFrame({"x": np.arange(20.0) ** 2, "y": values})
    with pytest.raises(DataError, match=r"nothing to tell apart|has no value"):
        TableData.from_frame(frame, "y")


# ---------------------------------------------------------------- splits


def test_the_same_rows_are_parted_alike_in_another_order_and_with_another_target() -> None:
    frame = people(200)
    data = TableData.from_frame(frame, "buys", stratify=False, test=True)
    order = np.random.default_rng(1).permutation(200)
    other = TableData.from_frame(
        frame.iloc[order][list(frame.columns[::-1])], "income", stratify=False, test=True
    )
    for name in ("train", "valid", "test"):
        assert sorted(data.splits[name].rows) == sorted(order[other.splits[name].rows])


def test_folds_validate_each_row_once_and_leave_the_test_set_alone() -> None:
    data = TableData.from_frame(iris(), "species", test=True)
    test = set(data.splits["test"].rows)
    folds = list(data.folds(5))
    seen = np.concatenate([fold.valid.rows for fold in folds])
    assert sorted(seen) == sorted(set(range(150)) - test)
    for fold in folds:
        assert set(fold.splits["test"].rows) == test
        assert fold.test is not None
        assert fold.test.sealed
        assert not set(fold.train.rows) & set(fold.valid.rows)


def test_a_resplit_keeps_the_test_set() -> None:
    data = TableData.from_frame(iris(), "species", test=True)
    again = data.resplit(seed=1)
    assert set(again.splits["test"].rows) == set(data.splits["test"].rows)
    assert len(again.valid) == len(data.valid)
    assert set(again.valid.rows) != set(data.valid.rows)


def test_the_same_rows_can_be_scaled_in_another_way() -> None:
    data = TableData.from_frame(people(200), "income", test=True, target_scale="none")
    data.open_test("to see that it stays open")
    other = data.scaled("minmax")
    assert (other.scale, other.target_scale) == ("minmax", "none")
    assert data.scaled(target_scale="zscore").target_scale == "zscore"
    assert data.scale == "zscore"
    assert other.fingerprint() == data.fingerprint()
    assert other.test is not None
    assert not other.test.sealed
    with pytest.raises(SpecError, match="scale is 'zscor'.*did you mean zscore"):
        data.scaled("zscor")


def test_groups_are_never_parted() -> None:
    frame = people(120).assign(patient=np.repeat(np.arange(20), 6))
    data = TableData.from_frame(frame, "buys", group_column="patient")
    assert "patient" not in data.inputs
    train, valid = ({r // 6 for r in split.rows} for split in (data.train, data.valid))
    assert not train & valid


def test_a_column_says_the_split() -> None:
    says = np.array(["train"] * 40 + ["Validation"] * 10 + ["test"] * 10)
    data = TableData.from_frame(people().assign(part=says), "buys", split_column="part")
    assert data.valid.rows.tolist() == list(range(40, 50))
    assert len(data.splits["test"]) == 10


def test_rows_split_by_position_are_warned_about_where_they_are_ordered() -> None:
    data = TableData.from_frame(iris(), "species", split="position")
    assert data.train.rows.tolist() == list(range(120))
    assert any("virginica" in note for note in data.notes)
    mixed = iris().sample(frac=1, random_state=0)
    assert not TableData.from_frame(mixed, "species", split="position").notes


def test_default_shares() -> None:
    assert (Splitting().valid_fraction, Splitting().test) == (0.2, 0.0)
    assert (Splitting(test=True).valid_fraction, Splitting(test=True).test) == (0.1, 0.1)


# ---------------------------------------------------------------- weights


def test_balanced_classes_count_alike() -> None:
    frame = people(100).assign(buys=["yes"] * 20 + ["no"] * 80, counts=np.arange(100) % 3 + 1.0)
    data = TableData.from_frame(frame, "buys", class_weights="balanced")
    weights, truth = data.train.labels.weights, data.train.targets
    assert weights is not None
    assert weights[truth == 0].sum() == pytest.approx(weights[truth == 1].sum())
    both = TableData.from_frame(
        frame, "buys", class_weights={"yes": 4}, weight_column="counts"
    ).train
    own = frame["counts"].to_numpy()[both.rows]
    assert both.labels.weights is not None
    assert both.labels.weights.tolist() == (own * np.where(both.targets == 1, 4, 1)).tolist()


# ---------------------------------------------------------------- the test set


def test_a_sealed_test_set_gives_no_rows() -> None:
    data = TableData.from_frame(iris(), "species", test=True)
    test = data.splits["test"]
    for look in (lambda: test.frame, lambda: test.labels, lambda: test.targets):
        with pytest.raises(SealedError, match="open_test"):
            look()
    with pytest.raises(DataError, match="needs a reason"):
        data.open_test(" ")
    assert data.test_openings == []
    assert len(data.open_test("the choices are made").frame) == 15
    assert data.test_openings == ["the choices are made"]
    with pytest.raises(DataError, match="test=True"):
        TableData.from_frame(iris(), "species").open_test("why not")


def test_sealed_rows_are_in_no_description() -> None:
    frame = iris()
    data = TableData.from_frame(frame, "species", test=True)
    seen = frame.drop(index=data.splits["test"].rows)
    described = {column.name: column for column in data.describe().numbers}
    for name in data.inputs:
        assert described[name].mean == pytest.approx(seen[name].mean())
        assert described[name].skew == pytest.approx(
            float(((seen[name] - seen[name].mean()) ** 3).mean() / seen[name].std(ddof=0) ** 3)
        )
    data.open_test("to see them all")
    assert data.describe().numbers[0].mean == pytest.approx(frame.iloc[:, 0].mean())


# ---------------------------------------------------------------- what it holds


def test_correlations_are_those_of_pandas(red_wine: Path) -> None:
    data = TableData.from_csv(red_wine, target="residual sugar")
    raw = pd.read_csv(red_wine, sep=";")
    found = data.correlations()
    assert found.names[-1] == "residual sugar"
    wanted = raw[list(found.names)].corr().to_numpy()
    np.testing.assert_allclose(found.matrix, wanted, atol=1e-6)
    assert next(iter(found.with_target())) == "density"
    assert found.plot().axes
    assert data.describe().plot().axes
    assert "residual sugar" in str(data.describe())


def test_outliers_are_left_out_only_where_asked_and_counted(red_wine: Path) -> None:
    data = TableData.from_csv(red_wine, target="quality", above=5, test=True)
    kept = data.drop_outliers(z=3)
    gone = (len(data.train) - len(kept.train)) + (len(data.valid) - len(kept.valid))
    assert gone > 100
    assert kept.skipped[-1] == ("beyond 3 standard deviations", gone)
    assert len(kept.splits["test"]) == len(data.splits["test"])
    values = kept.train.frame.to_numpy()
    before = data.train.frame.to_numpy()
    distance = np.abs(values - before.mean(axis=0)) / before.std(axis=0)
    assert distance.max() <= 3
    with pytest.raises(DataError, match="no column of numbers"):
        data.drop_outliers(columns=["acid"])


def test_a_fingerprint_names_rows_and_splits() -> None:
    frame = iris()
    data = TableData.from_frame(frame, "species")
    shuffled = TableData.from_frame(frame.sample(frac=1, random_state=0), "species")
    assert shuffled.fingerprint() == data.fingerprint()
    assert TableData.from_frame(frame, "species", seed=1).fingerprint() != data.fingerprint()
    changed = frame.copy()
    changed.iloc[0, 0] += 0.1
    assert TableData.from_frame(changed, "species").fingerprint() != data.fingerprint()


# ---------------------------------------------------------------- copies, and made-up rows


def test_equal_rows_are_never_parted_unless_asked_for(red_wine: Path) -> None:
    raw = pd.read_csv(red_wine, sep=";")
    copies = raw.duplicated(keep=False).to_numpy()
    assert copies.sum() > 300

    def parted(data: TableData) -> int:
        train, valid = (
            set(map(tuple, raw.iloc[split.rows - 2].to_numpy()))
            for split in (data.train, data.valid)
        )
        return len(train & valid)

    assert parted(TableData.from_csv(red_wine, "quality")) == 0
    assert parted(TableData.from_csv(red_wine, "quality", duplicates="apart")) > 20


def test_few_columns_of_few_values_are_parted_all_the_same() -> None:
    frame = pd.DataFrame({"coin": ["head", "tail"] * 50, "dice": [1, 2, 3, 4, 5] * 20})
    data = TableData.from_frame(frame, "coin")
    assert len(data.valid) == 20


@pytest.mark.parametrize("what", SYNTHETIC.values(), ids=SYNTHETIC)
def test_made_up_rows_are_a_table(what: type[Synthetic]) -> None:
    data = TableData.made(what(), seed=3)
    again = TableData.made(what(), seed=3)
    assert data.fingerprint() == again.fingerprint()
    assert TableData.made(what(), seed=3, repeat=1).fingerprint() != data.fingerprint()
    target = data.task.target
    assert target.exclusive or target.kind is Kind.REGRESSION


# ---------------------------------------------------------------- what a review found


def test_what_is_parted_by_time_position_or_a_column_is_not_parted_at_random() -> None:
    frame = people().assign(
        day=pd.date_range("2026-01-01", periods=60), part=["train", "valid", "test"] * 20
    )
    for options in (
        {"time_column": "day", "drop": ["part"]},
        {"split_column": "part", "drop": ["day"]},
        {"split": "position", "drop": ["part", "day"]},
    ):
        data = TableData.from_frame(frame, "buys", **options)
        assert data.parted_by is not None
        for call in (lambda: list(data.folds(3)), lambda: data.resplit(repeat=1)):  # noqa: B023
            with pytest.raises(DataError, match="is parted by"):
                call()
    assert TableData.from_frame(frame, "buys", drop=["part", "day"]).parted_by is None
    with pytest.raises(SpecError, match="test is given beside split_column"):
        TableData.from_frame(frame, "buys", split_column="part", drop=["day"], test=True)


def test_groups_stay_whole_where_the_first_rows_train() -> None:
    frame = people().assign(patient=np.arange(60) % 7)
    data = TableData.from_frame(frame, "buys", group_column="patient", split="position")
    train, valid = ({r % 7 for r in split.rows} for split in (data.train, data.valid))
    assert not train & valid


def test_copies_of_rows_with_other_numbers_are_copies() -> None:
    once = people(40)
    frame = pd.concat([once, once], ignore_index=True).assign(row_id=np.arange(80))
    data = TableData.from_frame(frame, "buys")
    train, valid = ({r % 40 for r in split.rows} for split in (data.train, data.valid))
    assert not train & valid


def test_notes_and_descriptions_tell_nothing_of_sealed_rows() -> None:
    frame = iris()
    frame["species"] = ["seen", "too"] * 60 + ["secret"] * 30
    data = TableData.from_frame(frame, "species", split="position", test=0.2)
    assert not any("secret" in note for note in data.notes)
    texts = people(100).assign(town=["Ulm"] * 45 + ["Bonn"] * 45 + ["Jena"] * 10)
    described = TableData.from_frame(texts, "buys", split="position", test=True).describe()
    assert "Jena" not in described.categories[0].levels


def test_large_whole_numbers_stay_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=40) * 1e30
    lines = [f"{n},{value:.0f}" for n, value in enumerate(np.abs(values))]
    (tmp_path / "large.csv").write_text("x,q\n" + "\n".join(lines) + "\n")
    data = TableData.from_csv(tmp_path / "large.csv", "q")
    assert data.task.target.kind is Kind.REGRESSION
    assert data.train.targets.min() > 0


def test_numbers_far_from_zero_keep_what_they_differ_by() -> None:
    x = np.arange(40.0)
    data = TableData.from_arrays(x[:, None], 5e8 + 0.25 * x, task="number")
    assert len(np.unique(data.train.targets)) == 32


def test_targets_of_frames_are_read_like_those_of_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(40.0) ** 2, "y": ["n", "p", "?", ""] * 10})
    frame.to_csv(tmp_path / "same.csv", index=False)
    own = TableData.from_frame(frame, "y")
    file = TableData.from_csv(tmp_path / "same.csv", "y")
    assert own.classes == file.classes == ("n", "p")
    assert own.skipped == file.skipped == [("no value of the target", 20)]
    text = frame.assign(y=[f"{v:.2f}" for v in np.linspace(0, 1, 40)])
    assert TableData.from_frame(text, "y").task.target.kind is Kind.REGRESSION
    with pytest.raises(DataError, match="holds dates"):
        TableData.from_frame(frame.assign(y=pd.date_range("2026-01-01", periods=40)), "y")


def test_arguments_come_in_many_forms() -> None:
    X, names = load_iris(return_X_y=True)[0], np.array(["a", "b", "c", "d"])
    y = np.repeat([0, 1, 2], 50)
    assert TableData.from_arrays(X, y, names=names).inputs == list("abcd")
    frame = pd.DataFrame(X).assign(y=y)
    assert TableData.from_frame(frame, "y", drop=0).inputs == ["1", "2", "3"]
    assert TableData.from_frame(frame, "y", inputs=frame.columns[:2]).inputs == ["0", "1"]
    assert TableData.from_frame(pd.DataFrame(X), 3, task="number").task.names == ("3",)
    assert TableData.from_frame(frame, "y", inputs=["0", "1"], drop=["1"]).inputs == ["0"]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"target": "buys", "above": "2"}, "above is '2'"),
        ({"target": "age", "above": {"aeg": 2}}, "'aeg', which is no target; did you mean age"),
        ({"target": "age", "task": {"age": "distribution"}}, "alone is no distribution"),
        ({"target": ["age", "income"], "task": "distribution"}, "add up to 1"),
    ],
)
def test_more_that_cannot_be_is_told(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        TableData.from_frame(people(), **options)


def test_a_class_that_only_validates_is_not_weighed_up() -> None:
    frame = people(90).assign(
        buys=["yes", "no"] * 30 + ["maybe"] * 30, part=["train"] * 60 + ["valid"] * 30
    )
    data = TableData.from_frame(frame, "buys", split_column="part", class_weights="balanced")
    assert data.valid.labels.weights is not None
    assert data.valid.labels.weights.tolist() == [1.0] * 30


def test_a_column_that_is_empty_where_it_is_seen_is_described() -> None:
    frame = people(100).assign(late=[np.nan] * 90 + [1.0] * 10)
    data = TableData.from_frame(frame, "buys", split="position", test=True)
    late = {column.name: column for column in data.describe().numbers}["late"]
    assert late.missing == 90
    assert "late" in str(data.describe())
