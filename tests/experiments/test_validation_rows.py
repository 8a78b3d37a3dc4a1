"""Which rows validate, as the record of an experiment tells it."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from secchi.data.synthetic import Moons
from secchi.data.table import TableData
from secchi.experiments.experiment import Experiment
from secchi.experiments.result import Result
from secchi.experiments.validation_rows import ValidationRows
from secchi.models.mlp import MLP
from secchi.training.spec import Training


def tumours(**options) -> TableData:
    frame = load_breast_cancer(as_frame=True).frame
    return TableData.from_frame(frame, "target", valid_fraction=0.4, **options)


def rows_of(data: object) -> dict:
    return Experiment(data, MLP([2])).to_dict()["data"].get("rows")


def test_the_record_has_the_numbers_of_rows() -> None:
    data = tumours()
    rows = {"train": len(data.train), "valid": len(data.valid), "scoring": len(data.valid)}
    assert rows_of(data) == rows
    assert rows["valid"] == pytest.approx(0.4 * 569, abs=2)
    assert rows_of(Moons()) is None


def test_weighted_rows_count_as_many_as_their_weights_are_worth() -> None:
    frame = load_breast_cancer(as_frame=True).frame
    frame["weight"] = np.resize([1.0, 3.0], len(frame))
    data = TableData.from_frame(frame, "target", weight_column="weight")
    weights = data.valid.labels.weights
    assert rows_of(data)["scoring"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    numbers = TableData.from_frame(frame, "mean area", task="number")
    assert rows_of(numbers)["scoring"] is None


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
    assert ValidationRows.of(before) == (True, None, None, 0.0)
    monkeypatch.setattr("secchi.experiments.record._rows_of", lambda data: None)
    assert experiment.fingerprint() == fingerprint
