"""An experiment: which factors there are, what is refused, and the networks that it asks for."""

import copy
import inspect
import json
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris
from torch import nn

from secchi.cohort.alone import train_alone
from secchi.data.synthetic import SYNTHETIC, Line, Qwerties
from secchi.data.table import TableData
from secchi.data.task import Labels, Task
from secchi.errors import DataError, SpecError
from secchi.experiments import experiment as home
from secchi.experiments.experiment import Experiment
from secchi.experiments.experiment_faults import ARGUMENTS
from secchi.experiments.factor_values import logspace, nested, uniform
from secchi.experiments.factors import MODEL_FACTORS, TRAINING_FACTORS
from secchi.experiments.trials import Trial
from secchi.features.table import FeatureData
from secchi.learner import Learner
from secchi.models.mlp import MLP
from secchi.seeding import stream_seed
from secchi.table_trainee import TableTrainee
from secchi.training.schedules import Cosine, Restarts
from secchi.training.spec import Training


@pytest.fixture(scope="module")
def iris() -> TableData:
    return TableData.from_arrays(*load_iris(return_X_y=True))


@pytest.fixture(scope="module")
def diabetes() -> TableData:
    return TableData.from_arrays(*load_diabetes(return_X_y=True), task="number")


def refused(data: Any, vary: Any = None, **given: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError, match="this experiment cannot be") as caught:
        Experiment(data, vary=vary, **given)
    return caught.value.faults


def networks(experiment: Experiment) -> list[Any]:
    """The members of all trials, of no matter which rows."""
    tables: Any = SimpleNamespace(of=lambda setting, repeat: (dict(setting), repeat))
    return [experiment.member(trial, tables) for trial in experiment.trials]


# ---------------------------------------------------------------- factors


def test_no_name_is_in_two_specifications() -> None:
    rows = ("train_fraction", "fold", "scale", "target_scale")
    names = [*MODEL_FACTORS, *TRAINING_FACTORS, *rows]
    assert len(set(names)) == len(names)
    for kind in SYNTHETIC.values():
        assert not set(kind().to_dict()) & set(names)


def test_every_factor_can_vary() -> None:
    experiment = Experiment(Line(), vary={"fold": [0, 1]}, folds=2)
    base = experiment._factors.base
    for name, value in base.items():
        if name not in ("hidden", "fold"):
            assert Experiment(Line(), vary={name: [value]}).settings[0].keys() == {name}
    assert set(base) | {"cycles", "cycle_len", "cycle_mult"} == set(experiment._factors.names)


def test_a_setting_changes_model_training_and_nothing_else(iris: TableData) -> None:
    base = MLP([4], activation="tanh"), Training("sgd", lr=0.5, momentum=0.9, seed=7)
    vary = {"lr": [0.1, 0.2], "width": [8, 16], "dropout": [0.5], "scale": ["robust"]}
    members = networks(Experiment(iris, *base, vary))
    assert [(each.training.lr, each.model.hidden) for each in members] == [
        (0.1, (8,)),
        (0.1, (16,)),
        (0.2, (8,)),
        (0.2, (16,)),
    ]
    assert all(each.model.but(width=4, dropout=0) == base[0] for each in members)
    assert all(each.training.but(lr=0.5, seed=7) == base[1] for each in members)


def test_none_switches_off_what_the_base_has(iris: TableData) -> None:
    vary = {"patience": [None, 3], "batch_norm": [None, "after"], "clip": [None]}
    base = MLP(batch_norm="before"), Training(patience=5, clip=1.0)
    found = networks(Experiment(iris, *base, vary))
    assert [(m.training.patience, m.model.batch_norm) for m in found] == [
        (None, None),
        (None, "after"),
        (3, None),
        (3, "after"),
    ]
    assert {each.training.clip for each in found} == {None}


def test_settings_hold_values_as_specifications_do(iris: TableData) -> None:
    vary = {
        "dropout": [0, np.float32(0.25)],
        "hidden": [4, (4, 8)],
        "activation": ["LeakyReLU"],
        "schedule": ["cosine"],
        "lr": [(0.1, 1)],
        "loss": [None],
    }
    first, *_, last = Experiment(iris, vary=vary).settings
    assert first == {
        "dropout": 0.0,
        "hidden": [4],
        "activation": "leaky_relu",
        "schedule": Cosine().to_dict(),
        "lr": [0.1, 1.0],
        "loss": None,
    }
    assert type(first["dropout"]) is float
    assert last["hidden"] == [4, 8]


def test_cycles_are_short_for_restarts(iris: TableData) -> None:
    found = networks(Experiment(iris, vary={"cycles": [1, 3], "cycle_mult": [2]}))
    assert [each.training.schedule for each in found] == [Restarts(1, 1, 2), Restarts(3, 1, 2)]
    assert [each.training.epochs for each in found] == [1, 7]


def test_one_at_a_time_starts_at_the_specifications(iris: TableData) -> None:
    experiment = Experiment(
        iris,
        MLP([8, 8]),
        Training("sgd", lr=0.1, schedule=Restarts(2)),
        {"lr": [0.1, 1], "depth": [1, 2], "cycles": [1], "scale": ["none"]},
        design="one_at_a_time",
    )
    base = {"lr": 0.1, "depth": 2, "cycles": 2, "scale": "zscore"}
    assert experiment.settings == (
        base,
        base | {"lr": 1.0},
        base | {"depth": 1},
        base | {"cycles": 1},
        base | {"scale": "none"},
    )


def test_dependent_and_nested_factors(iris: TableData) -> None:
    vary = {
        "depth": [1, 2],
        "width": nested(lambda s: [4, 8][: s["depth"]]),
        "lr": [0.1],
        "weight_decay": lambda s: s["lr"] / s["width"],
    }
    found = [tuple(setting.values()) for setting in Experiment(iris, vary=vary).settings]
    assert found == [(1, 4, 0.1, 0.025), (2, 4, 0.1, 0.025), (2, 8, 0.1, 0.0125)]


def test_another_model_has_training_and_data_to_vary(iris: TableData) -> None:
    net = nn.Linear(4, 3)
    assert len(Experiment(iris, net, vary={"lr": [0.1, 1]}).trials) == 2
    assert refused(iris, {"dropout": [0.1]}, model=net) == (
        "dropout is a factor of an MLP, and the model is none",
    )


def test_features_of_pictures_are_a_table() -> None:
    class Features(FeatureData):
        def __init__(self) -> None:
            self.name, self.task = "pets", Task.regress("age")

        def fingerprint(self) -> str:
            return "of these pictures"

        def labels(self, split: str) -> Labels:
            return Labels(self.task, (np.zeros({"train": 8, "valid": 2}[split]),))

    experiment = Experiment(Features(), MLP([]), vary={"train_fraction": [0.1, 1]})
    assert experiment.metrics == ("mae",)
    assert experiment.to_dict()["data"] == {
        "name": "pets",
        "fingerprint": "of these pictures",
        "rows": {"train": 8, "valid": 2, "shares": {}, "parted_by": None},
    }
    assert "no factor 'scale'" in refused(Features(), {"scale": ["none"]})[0]


# ---------------------------------------------------------------- repeats and seeds


def test_a_repeat_has_one_seed_for_all_its_settings(iris: TableData) -> None:
    experiment = Experiment(iris, vary={"lr": [0.1, 1]}, repeats=2, seed=5)
    found = networks(experiment)
    seeds = [stream_seed(5, "repeat", repeat) for repeat in (0, 0, 1, 1)]
    assert [each.seed for each in found] == seeds == [each.training.seed for each in found]
    assert [each.table for each in found] == [
        ({"lr": 0.1}, 0),
        ({"lr": 1.0}, 0),
        ({"lr": 0.1}, 1),
        ({"lr": 1.0}, 1),
    ]


def test_a_trial_is_an_ordinary_run(iris: TableData) -> None:
    experiment = Experiment(
        iris, MLP([4]), Training("sgd", lr=0.1, epochs=3), {"momentum": [0, 0.9]}, repeats=2
    )
    trial = experiment.trials[3]
    found = train_alone(experiment.member(trial, experiment.tables()), experiment.metrics)
    training = Training("sgd", lr=0.1, epochs=3, momentum=0.9, seed=experiment.seed_of(1))
    learner = Learner(iris, MLP([4]), training, seed=training.seed)
    history = learner.fit()
    assert found.valid_loss.tolist() == [row["valid_loss"] for row in history.rows()]


def test_more_repeats_and_values_keep_the_keys_of_trials(iris: TableData) -> None:
    few = Experiment(iris, vary={"lr": [0.1, 1]}, repeats=2)
    more = Experiment(iris, vary={"lr": [1, 0.5, 0.1]}, repeats=3)
    assert set(few.trials) < set(more.trials)
    assert few.fingerprint() == more.fingerprint()


def test_an_experiment_without_factors_has_a_trial_a_repeat(iris: TableData) -> None:
    experiment = Experiment(iris, repeats=3)
    assert experiment.trials == tuple(Trial({}, repeat) for repeat in range(3))
    assert repr(experiment) == "<table: nothing varies, 1 setting x 3 repeats = 3 trials>"


def test_usual_metrics_and_training(iris: TableData, diabetes: TableData) -> None:
    assert Experiment(iris).metrics == ("accuracy",)
    assert Experiment(diabetes).metrics == ("r",)
    assert Experiment(iris, metrics=["f1", "auc"]).metrics == ("f1", "auc")
    assert Experiment(iris).training == TableTrainee.TRAINING == home.TRAINING


def test_draws_say_how_many_settings_are_left(iris: TableData) -> None:
    experiment = Experiment(iris, vary={"depth": [1, 2]}, design="random", samples=40)
    assert "2 settings (of 40 drawn)" in repr(experiment)


# ---------------------------------------------------------------- as a record


def test_a_record_is_json_and_makes_the_experiment_again() -> None:
    experiment = Experiment(
        Qwerties(classes=2, centers=[(0, 0), (3, 1)]),
        MLP([8], dropout=[0.5]),
        Training("sgd", lr=[0.1, 1], schedule=Restarts(3)),
        {"spread": uniform(0.5, 2), "hidden": [[4], [8]], "l1": logspace(1e-3, 1, 4)},
        design="latin_hypercube",
        samples=8,
        repeats=3,
        seed=4,
        metrics=["f1"],
        precision="fp64",
        data_options={"valid_fraction": 0.3},
        name="clouds",
    )
    document = json.loads(json.dumps(experiment.to_dict(), allow_nan=False))
    again = Experiment.from_dict(document)
    assert again.trials == experiment.trials
    assert again.to_dict() == document
    assert again.fingerprint() == experiment.fingerprint()
    assert repr(again) == repr(experiment)


def test_another_keeps_every_argument(iris: TableData) -> None:
    wanted = inspect.signature(Experiment.__init__).parameters
    assert set(ARGUMENTS) == set(wanted) - {"self"}
    assert Experiment(iris, device="cuda").but(repeats=2).device == "cuda"


def test_data_that_is_given_again_keeps_its_options() -> None:
    experiment = Experiment(Line(), data_options={"valid_fraction": 0.5})
    again = Experiment.from_dict(experiment.to_dict(), data=Line())
    assert again.to_dict() == experiment.to_dict()


def test_a_table_is_read_again_unless_it_has_changed(tmp_path: Any) -> None:
    file = tmp_path / "ages.csv"
    rows = [f"{age},{age % 3}" for age in range(60)]
    file.write_text("\n".join(["age,group", *rows]))
    document = Experiment(TableData.from_csv(file, "group"), vary={"lr": [0.1]}).to_dict()
    assert Experiment.from_dict(document).to_dict() == document
    elsewhere = shutil.copy(file, tmp_path / "moved.csv")
    moved = Experiment(TableData.from_csv(elsewhere, "group"), vary={"lr": [0.5]})
    assert moved.fingerprint() == Experiment.from_dict(document).fingerprint()
    file.write_text("\n".join(["age,group", *rows[::-1]]))
    with pytest.raises(DataError, match=r"ages.csv has changed since"):
        Experiment.from_dict(document)


def test_what_a_record_does_not_hold_is_given_again(iris: TableData) -> None:
    net, vary = nn.Linear(4, 3), {"l1": lambda s: s["lr"], "lr": [0.1]}
    experiment = Experiment(iris, net, vary=vary)
    document = json.loads(json.dumps(experiment.to_dict()))
    with pytest.raises(SpecError, match="does not hold all") as caught:
        Experiment.from_dict(document)
    assert [fault.split(" ")[0] for fault in caught.value.faults] == ["table", "its", "l1"]
    given = {"data": iris, "model": net, "vary": {"l1": vary["l1"]}}
    again = Experiment.from_dict(document, **given)
    assert again.trials == experiment.trials
    assert list(again.vary) == list(experiment.vary)


def test_the_fingerprint_names_the_base(iris: TableData, diabetes: TableData) -> None:
    others = [
        Experiment(iris),
        Experiment(diabetes),
        Experiment(iris.resplit(seed=1)),
        Experiment(iris, MLP([4])),
        Experiment(iris, training=Training()),
        Experiment(iris, training=Training(loss=_own)),
        Experiment(iris, seed=1),
        Experiment(iris, resplit=True),
        Experiment(iris, metrics=["f1"]),
        Experiment(iris, precision="fp64"),
        Experiment(iris, device="cuda"),
        Experiment(Line()),
        Experiment(Line(slope=2)),
        Experiment(Line(), data_options={"scale": "none"}),
    ]
    assert len({each.fingerprint() for each in others}) == len(others)


def test_more_values_and_repeats_and_the_base_of_what_varies_are_no_other_base(
    iris: TableData,
) -> None:
    few = Experiment(iris, training=Training("sgd", lr=0.1), vary={"lr": [1]})
    more = few.but(training=Training("sgd", lr=0.3), vary={"lr": [1, 2]}, repeats=9)
    assert more.fingerprint() == few.fingerprint()
    assert few.but(vary={"l1": [1]}).fingerprint() != more.but(vary={"l1": [1]}).fingerprint()


def test_models_of_ones_own_are_told_apart_by_what_they_make(iris: TableData) -> None:
    def factory(width: int) -> Any:
        return lambda: nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

    class Doubled(nn.Linear):
        def forward(self, rows: Any) -> Any:
            return 2 * super().forward(rows)

    def doubled_otherwise() -> Any:
        class Doubled(nn.Linear):
            def forward(self, rows: Any) -> Any:
                return super().forward(rows) * 3

        return Doubled

    def of(model: Any) -> str:
        return Experiment(iris, model).fingerprint()

    assert of(factory(5)) == of(factory(5)) != of(factory(6))
    torch.manual_seed(0)
    one, other = nn.Linear(4, 3), nn.Linear(4, 3)
    assert of(one) == of(copy.deepcopy(one)) != of(other)
    otherwise = doubled_otherwise()
    otherwise.__qualname__ = Doubled.__qualname__
    assert of(lambda: Doubled(4, 3)) == of(lambda: Doubled(4, 3)) != of(lambda: otherwise(4, 3))
    with pytest.raises(SpecError, match="cannot take rows of 4 numbers"):
        of(nn.Linear(5, 3))


def test_repeats_of_a_network_that_is_made_would_start_alike(iris: TableData) -> None:
    for made in (nn.Linear(4, 3), [nn.Linear(4, 3)]):
        (fault,) = refused(iris, model=made, repeats=3)
        assert fault.endswith("start from the same weights; give a function that makes it")
    assert len(Experiment(iris, lambda: nn.Linear(4, 3), repeats=3).trials) == 3


def test_losses_of_numbers_are_in_units_of_their_own_rows(iris: TableData) -> None:
    def units(data: Any, vary: Any, **given: Any) -> list[str]:
        found: list[str] = Experiment(data, vary=vary, **given).to_dict()["loss_units"]
        return found

    line = {"slope": [1, 2], "rows": [50], "lr": [0.1, 1], "train_fraction": [0.5, 1]}
    assert units(Line(), line) == ["train_fraction", "slope"]
    assert units(Line(), line, data_options={"target_scale": "none"}) == []
    assert units(Line(), line | {"target_scale": ["none"]}) == []
    assert units(Line(), {"target_scale": ["none", "zscore"]}) == ["target_scale"]
    assert units(iris, {"train_fraction": [0.5, 1]}) == []


def test_auto_is_the_processor_and_a_device_that_is_not_there_is_told_of(
    iris: TableData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Experiment(iris).device == Experiment(iris, device="cpu").device == "cpu"
    on_gpu = Experiment(iris, device="cuda")  # a record of one can be read anywhere
    assert Experiment.from_dict(on_gpu.to_dict(), data=iris).device == "cuda"
    assert "were it not for the GPU" in str(on_gpu.plan())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SpecError, match="no cuda here"):
        on_gpu.run()


def _own(outputs: Any, truth: Any) -> Any:
    return nn.functional.cross_entropy(outputs, truth, reduction="none")
