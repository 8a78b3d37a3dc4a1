"""Which rows validate, as the record of an experiment tells it."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from secchi.data.synthetic import Moons
from secchi.data.table import TableData
from secchi.experiments.experiment import Experiment
from secchi.experiments.reading.validation_rows import Shared, ValidationRows
from secchi.experiments.result import Result
from secchi.models.mlp import MLP
from secchi.training.spec import Training


def tumours(**options) -> TableData:
    frame = load_breast_cancer(as_frame=True).frame
    return TableData.from_frame(frame, "target", valid_fraction=0.4, **options)


def rows_of(data: object) -> dict:
    return Experiment(data, MLP([2])).to_dict()["data"].get("rows")


def test_the_record_has_the_numbers_of_rows() -> None:
    data = tumours()
    shares = {"target": len(data.valid)}
    rows = {"train": len(data.train), "valid": len(data.valid), "shares": shares}
    assert rows_of(data) == rows | {"parted_by": None}
    assert rows["valid"] == pytest.approx(0.4 * 569, abs=2)
    assert rows_of(Moons()) is None


def test_weighted_rows_count_as_many_as_their_weights_are_worth() -> None:
    frame = load_breast_cancer(as_frame=True).frame
    frame["weight"] = np.resize([1.0, 3.0], len(frame))
    data = TableData.from_frame(frame, "target", weight_column="weight")
    weights = data.valid.labels.weights
    assert rows_of(data)["shares"]["target"] == pytest.approx(
        weights.sum() ** 2 / (weights**2).sum()
    )
    numbers = TableData.from_frame(frame, "mean area", task="number")
    assert rows_of(numbers)["shares"] == {}


def test_a_result_that_was_read_has_the_intervals_of_the_run() -> None:
    """Without its data it used to take the split for the usual one."""
    training = Training("sgd", lr=0.1, batch_size=64, epochs=2)
    vary = {"lr": [0.01, 0.1]}
    run = Experiment(tumours(), MLP([2]), training, vary=vary, repeats=3, resplit=True).run()
    again = Result(run.document, run.finished)
    assert ValidationRows.of(run.document).ratio == pytest.approx(0.4 / 0.6, rel=0.02)
    for measure in ("valid_loss", "train_loss"):
        one, other = run.mean(measure), again.mean(measure)
        values = one.each[0]
        half = 4.303 * values.std(ddof=1) * np.sqrt(1 / 3 + ValidationRows.of(run.document).ratio)
        assert one.high[0] - one.mean[0] == pytest.approx(half, rel=1e-3)
        assert (other.low, other.high) == (pytest.approx(one.low), pytest.approx(one.high))


def test_what_was_kept_without_the_numbers_is_still_the_same_experiment(monkeypatch) -> None:
    experiment = Experiment(tumours(), MLP([2]), vary={"lr": [0.01]})
    fingerprint, before = experiment.fingerprint(), experiment.to_dict()
    del before["data"]["rows"]
    assert ValidationRows.of(before | {"resplit": True}).ratio == 1 / 4
    assert ValidationRows.of(before) == ValidationRows(Shared.ALL)
    monkeypatch.setattr("secchi.experiments.record._rows_of", lambda data: None)
    assert experiment.fingerprint() == fingerprint


def test_one_fold_alone_is_one_split() -> None:
    """All repeats validate on the same rows, whatever folds there could be."""
    training = Training("sgd", lr=0.1, batch_size=64, epochs=2)
    folded = Experiment(tumours(), MLP([2]), training, vary={"fold": [0]}, folds=5, repeats=3)
    one = folded.but(vary={"fold": [0], "lr": [0.01, 0.1]})
    assert ValidationRows.of(one.to_dict()) == ValidationRows(Shared.ALL)
    best = one.run().best()
    assert best.same_rows
    assert "without its luck" not in str(best)
    several = folded.but(vary={"fold": [0, 1]})
    assert ValidationRows.of(several.to_dict()) == ValidationRows(Shared.FOLDS, ratio=1 / 4)
    anew = one.but(resplit=True)
    assert ValidationRows.of(anew.to_dict()) == ValidationRows(Shared.SOME, ratio=1 / 4)


def test_only_folds_of_the_same_made_up_rows_have_some_in_common() -> None:
    folds = {"vary": {"fold": [0, 1, 2, 3, 4]}, "folds": 5, "repeats": 2}
    made = {"data": {"made": {"name": "moons"}}}
    assert ValidationRows.of(made | folds) == ValidationRows(Shared.NONE, ratio=1 / 4 / 2)
    assert ValidationRows.of(made | folds | {"vary": {"fold": [3]}}) == ValidationRows(Shared.NONE)


def test_folds_are_advised_only_where_rows_can_be_folded() -> None:
    frame = load_breast_cancer(as_frame=True).frame
    training = Training("sgd", lr=0.1, batch_size=64, epochs=2)
    for options, advised in (({}, True), ({"time_column": "mean area"}, False)):
        data = TableData.from_frame(frame, "target", **options)
        experiment = Experiment(data, MLP([2]), training, vary={"lr": [0.01, 0.1]}, repeats=3)
        assert ("validating on every fold" in str(experiment.run().best())) == advised


def test_a_share_of_several_labels_is_none_of_rows() -> None:
    rows = ValidationRows(Shared.ALL, number=30, shares={"pet": 30.0})
    assert np.isfinite(rows.others("valid_pet.accuracy", 0.9)).all()
    assert np.isnan(rows.others("valid_signs.accuracy", 0.9)).all()
