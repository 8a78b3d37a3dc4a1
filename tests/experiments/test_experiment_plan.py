"""What is said of an experiment before it runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

from secchi.cohort.plan import seconds_of_compiling
from secchi.cohort.structure import Structure
from secchi.console import Console
from secchi.data.synthetic import Line, Qwerties
from secchi.data.table import TableData
from secchi.data.task import Kind
from secchi.errors import SecchiError
from secchi.experiments import experiment_plan
from secchi.experiments.experiment import Experiment
from secchi.experiments.experiment_plan import Together, plan_of
from secchi.experiments.factor_values import linspace, uniform
from secchi.experiments.run import run
from secchi.experiments.tables import Tables
from secchi.models.mlp import MLP
from secchi.training.spec import Training

QUIET = Console(quiet=True)
TWO = {"lr": [0.1, 0.2]}


def experiment(**given: Any) -> Experiment:
    sgd = Training("sgd", epochs=3, batch_size=8)
    return Experiment(Line(rows=30), MLP([2]), sgd, **({"vary": TWO, "repeats": 2} | given))


def test_the_plan_counts_what_a_run_trains() -> None:
    made = Experiment(
        Line(rows=50),
        MLP([1]),
        Training("sgd", epochs=5, batch_size=8),
        {"slope": [-1, 0, 1], "width": [4, 16], "activation": ["relu", "prelu"]},
        repeats=20,
    )
    found = plan_of(made)
    assert (found.settings, found.repeats, found.trials) == (12, 20, 240)
    assert sum(each.networks for each in (*found.cohorts, *found.alone)) == 240
    assert sum(each.networks for each in found.alone) == 120
    (step,) = found.cohorts
    assert "1 hidden layer (relu)" in step.words
    (reason,) = found.alone
    assert f"120 alone: {reason.words}" in str(found)
    assert found.seconds > 0
    assert found.nbytes > 0
    assert "240 networks: 12 settings, 20 repeats" in str(found)
    assert "estimated:" in str(found)
    assert found.to_dict()["trials"] == 240


@pytest.mark.parametrize(
    ("data", "vary", "tables"),
    [
        (Line(rows=30), {"slope": [-1, 0, 1]}, 3 * 400),
        (Line(rows=30), {"lr": [0.1, 0.2, 0.4]}, 400),
        (TableData.made(Line(rows=30)), {"lr": [0.1, 0.2, 0.4]}, 1),
        (TableData.made(Line(rows=30)), {"train_fraction": [0.5, 1]}, 401),
        (Line(rows=30), {"slope": linspace(-1, 1, 300)}, 300 * 400),
    ],
)
def test_the_estimate_has_the_making_of_tables(
    monkeypatch: pytest.MonkeyPatch, data: Any, vary: dict[str, Any], tables: int
) -> None:
    clock = 0.0
    made: Callable[..., Any] = Tables._made

    def slowly(*given: Any) -> Any:
        nonlocal clock
        clock += 10.0
        return made(*given)

    training = Training("sgd", epochs=1, batch_size=16)
    planned = Experiment(data, MLP([2]), training, vary, repeats=400)
    quick = plan_of(planned).seconds
    monkeypatch.setattr(Tables, "_made", slowly)
    monkeypatch.setattr(experiment_plan.time, "perf_counter", lambda: clock)
    slow = plan_of(planned).seconds
    assert slow == pytest.approx(10 * tables, abs=1 + 1.1 * quick)


def test_a_plan_of_many_repeats_looks_at_some(monkeypatch: pytest.MonkeyPatch) -> None:
    made = experiment(repeats=5000)
    asked: list[int] = []
    plan: Callable[..., Any] = plan_of.__globals__["plan"]

    def noted(members: Sequence[Any], metrics: Sequence[str]) -> Any:
        asked.append(len(members))
        return plan(members, metrics)

    monkeypatch.setitem(plan_of.__globals__, "plan", noted)
    assert sum(each.networks for each in plan_of(made).cohorts) == 10_000
    assert sum(asked) == 256


# ---------------------------------------------------------------- what is left


def test_what_a_store_has_is_left_out(tmp_path: Path) -> None:
    store = tmp_path / "rates.sqlite"
    run(experiment(), store, console=QUIET)
    more = experiment(repeats=3)
    found = more.plan(store)
    assert (found.trials, found.finished, found.store) == (6, 4, str(store))
    assert [each.networks for each in found.cohorts] == [2]
    done = experiment().plan(store)
    assert (done.cohorts, done.alone) == ((), ())
    assert done.seconds < 0.01
    assert str(done).endswith(f"4 of them are finished in {store}\nnothing is left to train")


def test_values_that_an_experiment_no_longer_has_count_where_it_has_them_again(
    tmp_path: Path,
) -> None:
    store = tmp_path / "rates.sqlite"
    for vary in (TWO, {"lr": [0.1]}):
        run(experiment(vary=vary), store, console=QUIET)
    assert experiment().plan(store).finished == 4


def test_a_plan_writes_nothing_and_needs_no_file(tmp_path: Path) -> None:
    store = tmp_path / "new" / "rates.sqlite"
    assert f"none of them is finished in {store}\n" in str(experiment().plan(store))
    assert not store.parent.exists()
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert experiment().plan(empty).finished == 0
    run(experiment(), store, console=QUIET)
    before = store.read_bytes()
    experiment().plan(store)
    assert store.read_bytes() == before


def test_a_store_of_another_experiment_is_told(tmp_path: Path) -> None:
    store = tmp_path / "rates.sqlite"
    run(experiment(), store, console=QUIET)
    with pytest.raises(SecchiError, match="another experiment is in .*: seed is 1 and was 0"):
        experiment(seed=1).plan(store)


# ---------------------------------------------------------------- what it says


def test_how_the_target_was_taken_is_said() -> None:
    data = TableData.from_arrays(*load_iris(return_X_y=True))
    lines = str(Experiment(data, vary=TWO).plan()).splitlines()
    assert lines[1] == "to predict: target, one of 3 classes (0, 1, 2)"
    assert lines[2].startswith("note: the target 'target' holds 3 different whole numbers, taken")
    assert "task='number'" in lines[2]
    assert lines[3].startswith("held fixed: hidden=[64, 64], activation='relu', optimizer='adamw'")
    assert experiment().plan().predicted == "y, a number"
    assert Experiment(Qwerties(), vary={"classes": [2, 3]}).plan().predicted == ""


def test_settings_that_are_drawn_again_are_said() -> None:
    drawn = {"design": "random", "samples": 20, "repeats": 1}
    plan = experiment(vary=TWO, **drawn).plan()
    assert str(plan).startswith("2 networks: 2 different settings of 20 drawn, 1 repeat\n")
    plan = experiment(vary={"lr": uniform(0.1, 1)}, **drawn).plan()
    assert str(plan).startswith("20 networks: 20 settings, 1 repeat\n")
    assert str(experiment(vary={}).plan()).startswith("2 networks: nothing varies, 2 repeats\n")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.99, "less than 1 s"),
        (1.4, "about 1 s"),
        (17, "about 17 s"),
        (64, "about 60 s"),
        (1000, "about 17 min"),
        (5000, "about 80 min"),
        (6300, "about 1.8 h"),
        (400_000, "about 110 h"),
    ],
)
def test_a_time_has_as_many_digits_as_may_be_right(seconds: float, words: str) -> None:
    steps = (Together(5, "of some kind"),)
    text = str(experiment_plan.ExperimentPlan(5, 1, 5, steps, (), seconds, 1, 2))
    assert f"estimated: {words} on 2 cores" in text


def test_compiling_counts_once_for_what_counts_do_not_change() -> None:
    one = Structure(
        *("fp32", 4, 3, Kind.MULTICLASS, 2, "relu", None, None, "sgd"),
        *(8, 5, 10, 30),
    )
    longer, deeper = one._replace(epochs=20, batch=16), one._replace(depth=3)
    once = seconds_of_compiling({one: 1})
    assert once > 0
    assert seconds_of_compiling({one: 1, longer: 1}) == once
    assert seconds_of_compiling({one: 1, deeper: 1}) == 2 * once
    assert seconds_of_compiling({one: 1000}) == 2 * once
    assert seconds_of_compiling({}) == 0
    depths = experiment(vary={"depth": [1, 2, 3], "width": [2]}, repeats=1).plan()
    assert depths.seconds > 3 * once
