"""The record of what happened, as text, rows, CSV and figure."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from secchi.training.history import Epoch, History, Outcome, no_steps
from secchi.training.schedules import Restarts
from secchi.training.spec import Training


def history(*metrics: dict[str, float], outcome: Outcome = Outcome.COMPLETED) -> History:
    epochs = tuple(Epoch(i, 0.5, 0.25, names, 0.01) for i, names in enumerate(metrics))
    return History(epochs, outcome, Training(), steps=7)


def test_a_line_an_epoch_stands_under_its_heading() -> None:
    text = str(history({"accuracy": 0.9, "quality.error_rate": 0.1}, {"accuracy": 1.0}))
    lines = text.splitlines()
    assert lines[0].split() == [
        *("epoch", "train", "loss", "valid", "loss"),
        *("accuracy", "quality.error_rate", "seconds"),
    ]
    assert len(lines[0]) == len(lines[1])
    assert lines[1].split() == ["0", "0.5000", "0.2500", "0.9000", "0.1000", "0.01"]


def test_other_metrics_get_a_heading_of_their_own() -> None:
    lines = str(history({"accuracy": 0.9}, {"accuracy": 0.9}, {"f1": 0.8})).splitlines()
    assert len(lines) == 5
    assert "accuracy" in lines[0]
    assert "f1" in lines[3]


def test_the_outcome_is_told_where_it_is_not_the_usual_one() -> None:
    assert "diverged" not in str(history({"accuracy": 0.9}))
    diverged = str(history({"accuracy": math.nan}, outcome=Outcome.DIVERGED))
    assert diverged.splitlines()[-1].startswith("after 7 steps diverged: ")
    assert str(history()) == "no epochs (completed)"
    at_once = str(history(outcome=Outcome.DIVERGED))
    assert at_once.startswith("no epochs (after 7 steps diverged: ")


def test_rows_hold_every_metric_that_was_measured_at_all() -> None:
    found = history({"accuracy": 0.9}, {"f1": 0.8})
    assert found.metrics == ("accuracy", "f1")
    first, second = found.rows()
    assert list(first) == ["epoch", "train_loss", "valid_loss", "accuracy", "f1", "seconds"]
    assert (first["accuracy"], second["f1"]) == (0.9, 0.8)
    assert math.isnan(first["f1"])
    assert math.isnan(second["accuracy"])


def test_the_csv_file_holds_the_rows(tmp_path: Path) -> None:
    found = history({"accuracy": 0.9}, {"f1": 0.8})
    found.write_csv(tmp_path / "history.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), found.to_frame())


def test_the_csv_file_of_no_epochs_has_a_heading(tmp_path: Path) -> None:
    history().write_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        assert list(csv.reader(file)) == [["epoch"]]


def test_joined_histories_keep_the_later_outcome() -> None:
    both = history({"a": 1.0}).joined(history({"a": 2.0}, outcome=Outcome.DIVERGED))
    assert [epoch.metrics["a"] for epoch in both.epochs] == [1.0, 2.0]
    assert both.outcome is Outcome.DIVERGED
    assert both.steps == 14


def test_joined_histories_keep_the_weights_of_the_later_one() -> None:
    best = dataclasses.replace(history({"a": 1.0}, {"a": 2.0}), kept=0)
    assert history({"a": 1.0}).joined(best).kept == 0
    assert best.joined(history({"a": 1.0})).kept is None


def test_the_weights_that_were_kept_are_told_where_they_are_not_the_last() -> None:
    run = history({"a": 1.0}, {"a": 2.0}, outcome=Outcome.STOPPED_EARLY)
    assert "are kept" not in str(run)
    told = str(dataclasses.replace(run, kept=0)).splitlines()[-1]
    assert told.startswith("after 7 steps stopped early: ")
    assert told.endswith("the weights of epoch 0 are kept, the lowest validation loss")


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.OUT_OF_MEMORY])
def test_of_a_run_that_went_wrong_one_epoch_is_told_whose_weights_are_left(
    outcome: Outcome,
) -> None:
    run = history({"a": 1.0}, {"a": 2.0}, outcome=outcome)
    assert run.remark == f"after 7 steps {outcome}; the weights are those of the last good epoch"
    best = dataclasses.replace(run, kept=0).remark
    assert best.endswith("; the weights of epoch 0 are kept, the lowest validation loss")
    assert "last good epoch" not in best


@pytest.mark.parametrize("outcome", Outcome)
def test_what_is_written_as_plain_values_makes_the_same_history(outcome: Outcome) -> None:
    training = Training("sgd", lr=(1e-3, 1e-2), schedule=Restarts(2), ema=0.9)
    epochs = history({"accuracy": 0.9}, {"f1": 0.8}).epochs
    found = History(epochs, outcome, training, steps=12, kept=1)
    assert History.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_curves_are_drawn_of_every_metric() -> None:
    losses, metrics = history({"accuracy": 0.9}, {"accuracy": 1.0, "f1": 0.8}).plot().axes
    assert [line.get_label() for line in losses.lines] == ["training loss", "validation loss"]
    assert [line.get_label() for line in metrics.lines] == ["accuracy", "f1"]
    assert metrics.lines[0].get_ydata().tolist() == [0.9, 1.0]


def with_steps(*losses: float) -> History:
    rates = no_steps([0.1] * len(losses))
    return dataclasses.replace(history({"a": 1.0}), step_losses=no_steps(losses), step_rates=rates)


def test_steps_are_rows_of_a_frame() -> None:
    frame = with_steps(0.5, 0.25).steps_frame()
    assert frame.index.name == "step"
    assert frame["loss"].tolist() == [0.5, 0.25]
    assert frame["lr"].tolist() == pytest.approx([0.1, 0.1])
    assert history().steps_frame().empty


def test_steps_are_joined_and_written() -> None:
    both = with_steps(0.5).joined(with_steps(0.25, 0.125))
    assert list(both.step_losses) == [0.5, 0.25, 0.125]
    assert len(both.step_rates) == 3
    document = json.loads(json.dumps(both.to_dict()))
    read = History.from_dict(document)
    assert read == both
    assert read != with_steps(0.5, 0.25, 0.5)
    del document["step_losses"], document["step_rates"]
    assert History.from_dict(document).epochs == both.epochs  # written before there were any


def test_a_step_takes_few_bytes() -> None:
    many = with_steps(*[0.123456789] * 10_000)
    assert many.step_losses.itemsize + many.step_rates.itemsize == 8
    assert len(json.dumps(many.to_dict())) < 12 * 10_000


def test_rows_look_for_the_names_of_the_metrics_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, looks = history(*[{"accuracy": 0.9}] * 30), []
    names = History.metrics.fget
    monkeypatch.setattr(History, "metrics", property(lambda one: looks.append(1) or names(one)))
    assert len(found.rows()) == 30
    assert len(looks) == 1
