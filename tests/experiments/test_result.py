"""A result: its tables, its words, its figures, and a trial done again."""

import dataclasses
import io
import sys
import types

import numpy as np
import pandas as pd
import pytest

from secchi.cohort.curve import Curve
from secchi.errors import DataError, SecchiError, SpecError
from secchi.experiments.reading.replay import Replay, relative_difference
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
    assert list(final.columns) == [*columns.split(), "reason"]
    assert final["valid_loss"].tolist() == pytest.approx([0.5, np.nan, 0.4], nan_ok=True)
    assert final["hidden"].tolist() == ["[8]", "none", "[8]"]
    assert final["outcome"].tolist() == ["completed", "diverged", "stopped_early"]
    assert final["epochs"].tolist() == [2, 0, 3]
    assert final["kept"].isna().tolist() == [False, True, False]
    assert final["kept"].dropna().tolist() == [1, 1]
    assert final["reason"].isna().tolist() == [True, False, True]
    assert final["reason"][1].startswith("the loss or its gradient was no longer a number; try")
    table = result.table
    assert table["trial"].tolist() == [0, 0, 2, 2, 2]
    assert table["epoch"].tolist() == [0, 1, 0, 1, 2]
    assert table["valid_loss"].tolist() == [0.9, 0.5, 0.8, 0.4, 0.6]
    assert table["repeat"].tolist() == [0, 0, 1, 1, 1]
    assert result.failed == (finished[1].trial,)
    assert result.curve(2) is finished[2].curve


def test_grouping_by_a_factor_loses_no_trial(make_result) -> None:
    settings = [{"patience": None, "lr": 0.1}, {"patience": 10, "lr": None}]
    result = make_result([*settings, {"patience": 5, "lr": 0.1}], np.ones((3, 2)))
    for frame in (result.final, result.table, result.mean().to_frame(), result.rank().to_frame()):
        for factor in ("patience", "lr"):
            assert frame.groupby(factor).size().sum() == len(frame)
    final = result.final
    assert final.groupby("patience").size().to_dict() == {5: 2, 10: 2, "none": 2}
    assert final[final["patience"] == 10]["lr"].tolist() == ["none", "none"]
    assert result.curves().to_frame().groupby("patience").size().sum() == 6
    assert result.failures("patience").to_frame()["patience"].tolist() == ["none", 10, 5]
    assert result.mean().to_dict()["groups"][0]["patience"] is None


def refused(trial: Trial, reason: str) -> Finished:
    return Finished.refused(trial, ValueError(reason))


def test_trials_that_could_not_be_trained_are_told_with_their_reason(make_result) -> None:
    made = make_result([{"lr": 0.1}], np.ones((1, 3)), lambda s, r: r == 2)
    trials = [Trial({"lr": lr}, 0) for lr in (1.0, 2.0, 3.0, 4.0, 5.0)]
    reasons = ["one row", "one row", "no rows", "no classes", "no luck"]
    finished = [*made.finished, *map(refused, trials, reasons)]
    result = Result({}, finished)
    assert result.final["reason"].tolist()[3:] == reasons
    said = str(result.failures("lr")).splitlines()
    assert said[-5].startswith("6 of 8 trials failed, at lr")
    assert said[-4] == "2 trials could not be trained, such as lr=1.0, repeat 0: one row"
    assert said[-3].startswith("1 trial diverged: the loss or its gradient")
    assert said[-1] == "2 more in the column reason of result.final"
    assert result.failures().to_dict()["reasons"] == said[-4:]
    assert "such as lr=1.0, repeat 0: one row" in str(result)


def test_where_every_trial_failed_that_is_what_is_told(make_result) -> None:
    every = make_result(GRID, np.ones((4, 3)), lambda s, r: True, epochs=1)
    for answer in (every.mean("valid_accuracy"), every.rank(), every.effects("valid_accuracy")):
        assert str(answer).endswith("has a number; result.failures() says which failed and why")
    none = Result({}, [refused(trial, "one row") for trial in every.trials])
    with pytest.raises(DataError, match="'valid_accuracy' was not measured: all 12 tri"):
        none.mean("valid_accuracy")
    with pytest.raises(DataError, match="such as lr=0.01, .*: one row"):
        none.best()
    assert none.measures == ("train_loss", "valid_loss", "gap")
    with pytest.raises(SpecError, match="did you mean valid_accuracy"):
        every.mean("valid_acuracy")
    assert every.measures == ("train_loss", "valid_loss", "valid_accuracy", "gap")


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
    assert text.startswith("made: 20 trials (4 settings x 5 repeats)\n2 of 20 trials failed, at lr")
    assert "best of 2 settings" in text
    every = make_result(GRID, values, lambda s, r: True)
    assert "all 20 trials failed\n20 trials diverged: the loss" in str(every)
    with pytest.raises(DataError, match="all 20 trials failed; 20 trials diverged: .* try a tenth"):
        every.best()


def test_parquet_is_written_whole(make_result, tmp_path, monkeypatch) -> None:
    settings = [one | {"patience": None if one["lr"] == 0.1 else 5} for one in GRID]
    result = make_result(settings, np.ones((4, 2)))
    written = []

    def to_parquet(frame, path, **options) -> None:
        written.append(len(frame))
        assert [set(map(type, frame[name])) for name in ("hidden", "patience")] == [{str}, {str}]
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


def test_where_every_trial_failed_the_figures_are_of_failures(make_result, tmp_path) -> None:
    every = make_result(GRID, np.ones((4, 3)), lambda s, r: True)
    names = [path.name for path in every.plots(tmp_path)]
    assert names == ["01_failures_by_lr.png", "02_failures_by_hidden.png"]


def test_the_figures_of_a_design_go_into_a_folder(make_result, tmp_path) -> None:
    values = np.random.default_rng(0).random((4, 3))
    result = make_result(GRID, values, lambda s, r: s["lr"] == 0.1 and r == 0)
    paths = result.plots(tmp_path / "figures")
    names = [path.name for path in paths]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "figures").iterdir())
    for wanted in ("by_lr.png", "effects.png", "ranking.png", "failures_by_lr.png", "gap_by_epoch"):
        assert any(wanted in name for name in names), wanted
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    with pytest.raises(SecchiError, match=r"01_.*png cannot be a folder: .* is a file"):
        result.plots(paths[0])


def test_a_design_that_is_no_grid_is_said_to_be_none(make_result, tmp_path) -> None:
    drawn = [{"lr": 10.0**-place, "width": 4 + place**2} for place in range(6)]
    values = np.random.default_rng(0).random((6, 3))
    result = make_result(drawn, values, design="random")
    means = result.mean(None, "lr", "width")
    assert (len(means.groups), means.combinations) == (6, 36)
    assert "6 of 36 combinations of lr, width were tried" in str(means)
    assert means.to_dict()["combinations"] == 36
    note = result.heatmap("lr", "width").axes[0].get_title("left")
    assert note == "6 of 36 pairs were tried, each a point"
    names = [path.name for path in result.plots(tmp_path)]
    assert sum("_and_" in name for name in names) == 1
    grid = make_result(GRID, values[:4]).mean()
    assert "tried" not in str(grid)
    words = [{"optimizer": name, "width": width} for width, name in enumerate("abcd")]
    holes = make_result(words, values[:4]).heatmap("width", "optimizer")
    assert holes.axes[0].get_title("left") == "4 of 16 pairs were tried, each a point"
    assert [text.get_text() for text in holes.axes[0].get_yticklabels()] == list("abcd")
    names = [{"optimizer": name, "init": name.upper()} for name in "abcd"]
    cells = make_result(names, values[:4]).heatmap("init", "optimizer")
    assert cells.axes[0].get_title("left") == "hatched: no trial (12 of 16)"
    lines = [{"lr": 10.0**-place, "kind": "ab"[place % 2]} for place in range(6)]
    apart = make_result(lines, values).plot("lr", color="kind").axes[0]
    for line in apart.get_lines():
        assert len(line.get_xdata()) == 3
        assert np.isfinite(line.get_ydata()).all()


def test_the_intervals_of_many_lines_are_left_out_and_that_is_said(make_result) -> None:
    rates = [{"lr": 10.0**-place} for place in range(9)]
    values = np.random.default_rng(0).random((9, 3))
    for count, note in ((8, "95 % intervals over repeats"), (9, "9 lines, drawn without their")):
        result = make_result(rates[:count], values[:count])
        axes = result.plot("epoch", "valid_loss", "lr").axes[0]
        assert axes.get_title("left").startswith(note)
        shaded = [len(band.get_paths()) > 0 for band in axes.collections]
        assert shaded == [count == 8] * count


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
        self.precision = "fp32"

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
    assert "rounding" not in str(other)
    other.plot().savefig(io.BytesIO(), format="png", dpi=40)
    with pytest.raises(DataError, match="read without its data"):
        made.replay(0)


def test_a_large_difference_of_a_trial_done_again_is_explained(make_result) -> None:
    one = make_result(GRID, np.ones((4, 2))).finished[0]
    large = Replay(one.trial, one.curve, one.curve, 0.09)
    assert "differ by 9.0e-02 of themselves at most; rounding comes to so much" in str(large)
    assert "precision='fp64' tells" in large.plot().axes[0].get_title("left").replace("\n", " ")
    doubles = dataclasses.replace(large, precision="fp64")
    assert str(doubles).endswith(
        "; even in fp64 rounding comes to so much where training is unstable"
    )
    assert "rounding" not in str(dataclasses.replace(large, difference=1e-7, precision="fp64"))


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
