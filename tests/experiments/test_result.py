"""A result: its tables, its words, its figures, and a trial done again."""

import io
import sys
import types

import numpy as np
import pandas as pd
import pytest

from secchi.cohort.curve import Curve
from secchi.errors import DataError, SpecError
from secchi.experiments.replay import relative_difference
from secchi.experiments.result import Result
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

GRID = [{"lr": lr, "hidden": hidden} for lr in (0.01, 0.1) for hidden in ([8], [16, 4])]


def curve(valid: list[float], outcome: Outcome = Outcome.COMPLETED, kept: int | None = None):
    loss = np.array(valid)
    return Curve(loss / 2, loss, {"accuracy": 1 - loss}, outcome, 7, kept)


def test_the_tables_are_tidy() -> None:
    finished = [
        Finished(Trial({"lr": 0.1, "hidden": [8]}, 0), curve([0.9, 0.5]), None, 1.0),
        Finished(Trial({"lr": 1.0, "hidden": None}, 0), curve([], Outcome.DIVERGED), "alone", 1.0),
        Finished(
            Trial({"lr": 0.1, "hidden": [8]}, 1),
            curve([0.8, 0.4, 0.6], Outcome.STOPPED_EARLY, 1),
            None,
            1.0,
        ),
    ]
    result = Result({}, finished)
    final = result.final
    columns = "trial lr hidden repeat train_loss valid_loss valid_accuracy outcome epochs kept"
    assert list(final.columns) == columns.split()
    assert final["valid_loss"].tolist() == pytest.approx([0.5, np.nan, 0.4], nan_ok=True)
    assert final["hidden"].isna().tolist() == [False, True, False]
    assert final["hidden"][0] == "[8]"
    assert final["outcome"].tolist() == ["completed", "diverged", "stopped_early"]
    assert final["epochs"].tolist() == [2, 0, 3]
    assert final["kept"].isna().tolist() == [True, True, False]
    table = result.table
    assert table["trial"].tolist() == [0, 0, 2, 2, 2]
    assert table["epoch"].tolist() == [0, 1, 0, 1, 2]
    assert table["valid_loss"].tolist() == [0.9, 0.5, 0.8, 0.4, 0.6]
    assert table["repeat"].tolist() == [0, 0, 1, 1, 1]
    assert result.failed == (finished[1].trial,)
    assert result.curve(2) is finished[2].curve


def test_losses_in_other_units_are_not_compared(make_result) -> None:
    settings = [{"slope": slope, "lr": lr} for slope in (1, 2) for lr in (0.1, 1)]
    result = make_result(settings, np.arange(12.0).reshape(4, 3), loss_units=["slope"])
    for asked in (result.rank, result.best, result.effects, result.mean):
        with pytest.raises(SpecError, match="validation loss is in units .* for each slope"):
            asked("valid_loss")
    with pytest.raises(SpecError, match="generalisation gap"):
        result.plot("lr", "gap", color="slope")
    assert len(result.mean("valid_loss", "lr").groups) == 2
    assert result.curves("valid_loss", "slope").to_dict()
    assert result.rank("valid_accuracy").measure == "valid_accuracy"
    assert "best of 4 settings" in str(result)


def test_without_a_measure_to_compare_the_summary_says_why() -> None:
    loss = np.ones(2)
    finished = [
        Finished(Trial({"slope": s}, 0), Curve(loss, loss, {}, Outcome.COMPLETED, 2, None), None, 1)
        for s in (1, 2)
    ]
    said = str(Result({"name": "lines", "loss_units": ["slope"]}, finished))
    assert said.splitlines()[1].startswith("the validation loss is in units of the spread")


def test_a_factor_called_epochs_keeps_its_name(make_result) -> None:
    result = make_result([{"epochs": 2}, {"epochs": 3}], np.ones((2, 1)))
    assert result.final["epochs"].tolist() == [2, 3]
    assert result.final["trained_epochs"].tolist() == [2, 2]


def test_final_reads_the_trials_once_and_holds_none(make_result) -> None:
    made = make_result(GRID, np.random.default_rng(0).random((4, 3)))

    class Lazy:
        reads = 0

        def __len__(self) -> int:
            return len(made)

        def __iter__(self):
            for one in made.finished:
                Lazy.reads += 1
                yield one

    result = Result({}, Lazy())
    pd.testing.assert_frame_equal(result.final, made.final)
    result.rank()
    result.effects()
    assert Lazy.reads == len(made)
    pd.testing.assert_frame_equal(result.table, made.table)
    assert Lazy.reads == 2 * len(made)


def test_unknown_names_are_told_with_a_hint(make_result) -> None:
    result = make_result(GRID, np.ones((4, 3)))
    with pytest.raises(SpecError, match="did you mean valid_accuracy"):
        result.mean("valid_acuracy")
    with pytest.raises(SpecError) as error:
        result.mean(None, "hiden", "lr", "lr")
    assert len(error.value.faults) == 2
    assert "did you mean hidden" in str(error.value)
    with pytest.raises(DataError, match="numbered from 0 to 11"):
        result.curve(12)


def test_in_words(make_result) -> None:
    values = np.random.default_rng(0).normal(0.5, 0.01, (4, 5))
    result = make_result(GRID, values, lambda s, r: s["lr"] == 0.1 and r == 0)
    text = str(result)
    assert text.startswith("made: 20 trials (4 settings × 5 repeats)\n2 of 20 trials failed, at lr")
    assert "best of 2 settings" in text
    every = make_result(GRID, values, lambda s, r: True)
    assert "20 of 20 trials failed" in str(every)
    with pytest.raises(DataError, match="none is best"):
        every.best()


def test_parquet_is_written_whole(make_result, tmp_path, monkeypatch) -> None:
    result = make_result(GRID, np.ones((4, 2)))
    written = []

    def to_parquet(frame, path, **options) -> None:
        written.append(len(frame))
        path.write_bytes(b"PAR1")

    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))
    monkeypatch.setattr(pd.DataFrame, "to_parquet", to_parquet)
    result.to_parquet(tmp_path / "all.parquet")
    assert written == [16]
    assert [path.name for path in tmp_path.glob("*.par*")] == ["all.parquet"]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        result.to_parquet(tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_the_figures_of_a_design_go_into_a_folder(make_result, tmp_path) -> None:
    values = np.random.default_rng(0).random((4, 3))
    result = make_result(GRID, values, lambda s, r: s["lr"] == 0.1 and r == 0)
    paths = result.plots(tmp_path / "figures")
    names = [path.name for path in paths]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "figures").iterdir())
    for wanted in ("by_lr.png", "effects.png", "ranking.png", "failures_by_lr.png", "gap_by_epoch"):
        assert any(wanted in name for name in names), wanted
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


@pytest.mark.parametrize("settings", [[{}], [{"lr": 0.1}, {"lr": 1.0}]])
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("failed", [False, True])
def test_every_question_has_an_answer_in_the_smallest_experiments(
    make_result, settings, repeats: int, failed: bool
) -> None:
    result = make_result(settings, np.ones((len(settings), repeats)), lambda s, r: failed)
    answers = [result.mean(), result.rank(), result.effects(), result.failures(), result.gap()]
    assert all(str(answer) for answer in (*answers, result))
    assert all(answer.plot().axes for answer in (*answers, result.curves()))


class Alone:
    """An experiment whose trials are what they were."""

    def __init__(self, finished: Finished) -> None:
        self.finished = finished
        self.metrics = ("accuracy",)

    def tables(self) -> None:
        return None

    def member(self, trial: Trial, tables: None) -> Finished:
        return self.finished


def test_a_trial_is_done_again(make_result, monkeypatch) -> None:
    import secchi.cohort.alone

    made = make_result(GRID, np.random.default_rng(0).random((4, 2)))
    one = made.finished[3]
    moved = one.curve._replace(valid_loss=one.curve.valid_loss * (1 + 1e-6))
    monkeypatch.setattr(secchi.cohort.alone, "train_alone", lambda member, *others: member.curve)
    same = Result({}, made.finished, Alone(one)).replay(3)
    assert same.difference == 0
    assert "to the bit" in str(same)
    other = Result({}, made.finished, Alone(one._replace(curve=moved))).replay(one.trial)
    assert other.difference == pytest.approx(1e-6, rel=1e-3)
    assert other.trial == one.trial
    other.plot().savefig(io.BytesIO(), format="png", dpi=40)
    with pytest.raises(DataError, match="read without its data"):
        made.replay(0)


def test_curves_that_ended_differently_are_as_different_as_can_be() -> None:
    one = curve([0.5, 0.25])
    assert relative_difference(one, curve([0.5])) == np.inf
    assert relative_difference(one, curve([0.5, 0.25], Outcome.DIVERGED)) == np.inf
    assert relative_difference(curve([np.nan]), curve([np.nan])) == 0
    assert relative_difference(curve([np.nan]), curve([1.0])) == np.inf
    assert relative_difference(one, curve([0.5, 0.2])) == pytest.approx(0.2)


def test_a_real_trial_replays() -> None:
    from secchi.cohort.alone import train_alone
    from secchi.data.synthetic import Line
    from secchi.experiments.experiment import Experiment
    from secchi.models.mlp import MLP
    from secchi.training.spec import Training

    experiment = Experiment(
        Line(rows=40), MLP([2]), Training("sgd", lr=0.1, epochs=3), vary={"lr": [0.01, 0.1]}
    )
    tables = experiment.tables()
    finished = [
        Finished(trial, train_alone(experiment.member(trial, tables), experiment.metrics), None, 1)
        for trial in experiment.trials
    ]
    result = Result(experiment.to_dict(), finished, experiment)
    assert result.replay(1).difference == 0
