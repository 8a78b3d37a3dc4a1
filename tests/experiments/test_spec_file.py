"""An experiment as a file: it comes back as it was, and every fault of a file is told."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_wine
from torch import nn

from secchi.data.read_table import Roles
from secchi.data.splitting import Splitting
from secchi.data.synthetic import Line, Qwerties, Spirals
from secchi.data.table import TableData
from secchi.errors import DataError, SpecError
from secchi.experiments.data_keys import _TYPES
from secchi.experiments.experiment import TRAINING, Experiment
from secchi.experiments.factor_values import (
    integers,
    linspace,
    log_uniform,
    logspace,
    nested,
    uniform,
)
from secchi.experiments.settings import canonical
from secchi.experiments.spec_file import read_spec, write_spec
from secchi.models.mlp import MLP
from secchi.training.schedules import Cosine, Restarts, Warmup
from secchi.training.spec import Training


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    """scikit-learn's wines as a file."""
    inputs, values = load_wine(return_X_y=True)
    path = tmp_path / "tables" / "wine of three.csv"
    path.parent.mkdir()
    lines = [";".join(map(str, [*row, value])) for row, value in zip(inputs, values, strict=True)]
    names = [*(f"x{place}" for place in range(inputs.shape[1])), "grape"]
    path.write_text("\n".join([";".join(names), *lines]))
    return path


def spec(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(SpecError, match=r"spec\.toml is no experiment") as caught:
        read_spec(spec(folder, text))
    return caught.value.faults


# ---------------------------------------------------------------- reading


def test_a_file_says_what_python_says(tmp_path: Path, wine: Path) -> None:
    text = """
    [data]
    csv = "tables/wine of three.csv"
    target = "grape"
    sep = ";"
    scale = "minmax"
    valid_fraction = 0.3

    [model]
    hidden = [16, 32]
    batch_norm = "none"

    [training]
    optimizer = "sgd"
    lr = 0.01
    momentum = "none"
    schedule = {name = "cosine"}

    [vary]
    lr = {logspace = [1e-4, 1, 5]}
    dropout = [0, 0.25, 0.5]
    patience = ["none", 10]
    scale = ["none", "zscore"]
    width = {powers_of_two = [4, 8]}

    [experiment]
    repeats = 20
    seed = 3
    resplit = true
    metrics = ["accuracy", "f1"]
    """
    data = TableData.from_csv(wine, "grape", sep=";", scale="minmax", valid_fraction=0.3)
    expected = Experiment(
        data,
        MLP([16, 32]),
        Training("sgd", lr=0.01, schedule=Cosine()),
        {
            "lr": logspace(1e-4, 1, 5),
            "dropout": [0, 0.25, 0.5],
            "patience": [None, 10],
            "scale": ["none", "zscore"],
            "width": [4, 8],
        },
        repeats=20,
        seed=3,
        resplit=True,
        metrics=["accuracy", "f1"],
    )
    found = read_spec(spec(tmp_path, text))
    assert found.trials == expected.trials
    assert found.fingerprint() == expected.fingerprint()


def test_what_is_left_out_is_as_in_python(tmp_path: Path) -> None:
    found = read_spec(spec(tmp_path, 'data = {made = "line", rows = 20, valid_fraction = 0.5}'))
    assert found.to_dict() == Experiment(Line(20), data_options={"valid_fraction": 0.5}).to_dict()
    assert found.training == TRAINING
    found = read_spec(spec(tmp_path, '[data]\nmade = "line"\n[training]\ncycles = 3'))
    assert found.training == Training(schedule=Restarts(3))


# ---------------------------------------------------------------- faults of a file


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    faults = refused(
        tmp_path,
        """
        trainings = {}
        [data]
        made = "line"
        slpe = 3
        noise = -1
        [model]
        hiden = [3]
        dropout = 1.0
        [training]
        optimiser = "sgd"
        lr = 0
        seed = 4
        [vary]
        lr = {logspase = [1e-4, 1, 40]}
        l1 = {linspace = [0, 1]}
        l2 = {uniform = [1, 0]}
        weight_decay = "lambda s: s['lr'] / 10"
        [experiment]
        repeat = 3
        """,
    )
    words = [
        "there is no table [trainings]; did you mean training?",
        "[data] there is no 'slpe'; did you mean slope",
        "[data] noise is -1, which is not a number from 0 on",
        "[model] there is no 'hiden'; did you mean hidden?",
        "[model] dropout is 1.0, which is not a number from 0 on, below 1",
        "[training] there is no 'optimiser'; did you mean optimizer?",
        "[training] lr is 0, which is not a number above 0",
        "[training] seed belongs in [experiment]",
        "did you mean logspace",
        "[vary] l1: linspace takes [low, high, number], not [0, 1]",
        "[vary] l2: uniform cannot be: low is 1, which is not below high, 0",
        "functions cannot be written in a file",
        "[experiment] there is no 'repeat'; did you mean repeats",
    ]
    assert len(faults) == len(words)
    for fault, word in zip(faults, words, strict=True):
        assert word in fault


def test_faults_of_the_experiment_name_the_file(tmp_path: Path) -> None:
    faults = refused(
        tmp_path, '[data]\nmade = "line"\n[vary]\nlrr = [1]\nlr = [-1]\n[experiment]\nrepeats = 0'
    )
    assert [fault.split(";")[0].split(",")[0] for fault in faults] == [
        "repeats is 0",
        "there is no factor 'lrr'",
        "lr is -1",
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "[data] it names a table, csv = …, or made-up rows"),
        ('data = {made = "line", csv = "a.csv"}', "one of them"),
        ('data = {made = "lines"}', "did you mean line"),
        ('data = {csv = "a.csv"}', "target is missing"),
        ('data = "a.csv"', "data is 'a.csv', which is no table"),
        ('data = {made = "line"}\nvary = {lr = 3}', "lr is 3, which is no list of values"),
        ('data = {made = "line"}\nvary = {lr = [1979-05-27]}', "which is no plain value"),
        ("[data", "it is no TOML: "),
    ],
)
def test_a_file_that_is_no_experiment(text: str, word: str, tmp_path: Path) -> None:
    assert any(word in fault for fault in refused(tmp_path, text))


def test_values_of_a_wrong_type_are_told_all_at_once(tmp_path: Path) -> None:
    wrong = {
        **{"csv": "[1]", "target": "{a = 1}", "sep": "5", "encoding": "true", "above": '"five"'},
        **{"task": "1", "inputs": "[0.5]", "drop": "1.5", "weight_column": "[2]"},
        **{"group_column": "true", "time_column": "1979-05-27", "split_column": "0.5"},
        **{"valid_fraction": '"half"', "test": '"yes"', "split": "1", "stable": "1"},
        **{"stratify": '"no"', "duplicates": "false", "seed": "0.5", "repeat": "true"},
        **{"scale": "3", "target_scale": "[]", "class_weights": '{a = "b"}'},
    }
    table = "\n".join(f"{name} = {value}" for name, value in wrong.items())
    faults = refused(tmp_path, f"[data]\n{table}\ncolour = 1")
    expected = [*(f"[data] {name} is " for name in wrong), "[data] there is no 'colour'"]
    assert len(faults) == len(expected)
    assert all(map(str.startswith, faults, expected))
    assert faults[2] == "[data] sep is 5, which is no text"
    made = refused(tmp_path, '[data]\nmade = "line"\nstable = 1\nrows = -1')
    assert "[data] stable is 1, which is neither true nor false" in made
    assert len(made) == 2


def test_every_option_of_a_table_has_a_type() -> None:
    fields = {field.name for kind in (Roles, Splitting) for field in dataclasses.fields(kind)}
    assert fields | {"csv", "sep", "encoding", "scale", "target_scale", "class_weights"} == set(
        _TYPES
    )


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.toml cannot be read: No such file"):
        read_spec(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"binary\.toml is no text in UTF-8"):
        read_spec(tmp_path / "binary.toml")
    (fault,) = refused(tmp_path, 'data = {csv = "a.csv", target = "b"}')
    assert fault.startswith("[data] ")
    assert "a.csv" in fault


def test_one_table_that_cannot_be_hides_no_fault_of_the_others(tmp_path: Path) -> None:
    faults = refused(
        tmp_path,
        """
        [data]
        made = "line"
        [model]
        activation = "rellu"
        [training]
        lr = -1
        [vary]
        lrr = [1]
        dropout = [1.5]
        [experiment]
        repeats = 0
        repeat = 5
        """,
    )
    for name in ("rellu", "lr is -1", "'lrr'", "dropout is 1.5", "repeats", "'repeat'"):
        assert [fault for fault in faults if name in fault], (name, faults)


# ---------------------------------------------------------------- there and back


def test_a_table_is_named_from_the_folder_of_the_file(tmp_path: Path, wine: Path) -> None:
    data = TableData.from_csv(wine, "grape", sep=";", drop=["x1"], test=True)
    experiment = Experiment(data, MLP([]), vary={"fold": [0, 1]}, folds=2, name='wine "3"\x7f\n')
    path = tmp_path / "specs" / "wine.toml"
    write_spec(experiment, path)
    assert 'csv = "../tables/wine of three.csv"' in path.read_text()
    again = read_spec(path)
    assert again.fingerprint() == experiment.fingerprint()
    assert again.trials == experiment.trials
    assert again.name == experiment.name


def test_what_a_file_cannot_hold_is_told_at_once(tmp_path: Path) -> None:
    experiment = Experiment(
        TableData.from_arrays(np.arange(40.0)[:, None], range(40), task="number"),
        nn.Linear(1, 1),
        Training(loss=nn.SmoothL1Loss(reduction="none")),
        {"lr": [1], "l1": lambda s: s["lr"], "l2": nested(lambda s: [1])},
    )
    with pytest.raises(SpecError, match="cannot hold this experiment") as caught:
        write_spec(experiment, tmp_path / "spec.toml")
    assert [fault.split(",")[0] for fault in caught.value.faults] == [
        "the data",
        "the model is no MLP",
        "the training has a loss of your own",
        "l1 is a function",
        "l2 is a function",
    ]
    assert not (tmp_path / "spec.toml").exists()


RATES = st.floats(1e-9, 1e9)
SHARES = st.floats(0, 0.99)


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3, unique_by=canonical)


FACTORS = {
    "lr": lists(RATES) | st.just(logspace(1e-4, 1, 5)),
    "momentum": lists(SHARES | st.none()),
    "patience": lists(st.integers(1, 10**12) | st.none()),
    "hidden": lists(st.lists(st.integers(1, 99), max_size=3)),
    "batch_norm": lists(st.sampled_from([None, "before", "after"])),
    "schedule": lists(st.sampled_from([Cosine(0.1).to_dict(), Warmup(Cosine(), 2.5).to_dict()])),
    "scale": lists(st.sampled_from(["none", "zscore", "robust"])),
    "rows": lists(st.integers(20, 99)),
    "train_fraction": st.just(linspace(0.1, 1, 4)),
    "keep_best": st.just([False, True]),
}
RANGES = {"lr": log_uniform(1e-5, 2), "spread": uniform(0, 3), "rows": integers(20, 90)}
MODELS = st.builds(
    MLP,
    st.lists(st.integers(1, 64), max_size=3),
    activation=st.sampled_from(["relu", "tanh"]),
    dropout=SHARES,
    batch_norm=st.sampled_from([None, "before"]),
)
TRAININGS = st.none() | st.builds(
    Training,
    lr=RATES | st.tuples(RATES, RATES),
    schedule=st.sampled_from([Cosine(), Restarts(3, cycle_mult=2)]),
    patience=st.none() | st.integers(1, 9),
    keep_best=st.booleans(),
)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    drawn = draw(st.booleans())
    names = draw(st.lists(st.sampled_from(list(RANGES if drawn else FACTORS)), unique=True))
    vary = {name: RANGES[name] if drawn else draw(FACTORS[name]) for name in names}
    design = {"design": "random", "samples": draw(st.integers(1, 9))} if drawn else {}
    return Experiment(
        draw(st.sampled_from([Qwerties(), Qwerties(2, centers=[(0, 1.5), (2, 3)])])),
        draw(MODELS),
        draw(TRAININGS),
        vary,
        repeats=draw(st.integers(1, 9)),
        seed=draw(st.integers(0, 2**63)),
        metrics=draw(st.sampled_from([None, ["f1"]])),
        precision=draw(st.sampled_from(["fp32", "fp64"])),
        data_options=draw(st.sampled_from([{}, {"scale": "none", "valid_fraction": 0.25}])),
        name=draw(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
        **design,
    )


@settings(deadline=None, max_examples=60)
@given(experiments())
def test_an_experiment_comes_back_from_a_file_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, experiment: Experiment
) -> None:
    path = tmp_path_factory.mktemp("round") / "spec.toml"
    write_spec(experiment, path)
    again = read_spec(path)
    assert again.to_dict() == experiment.to_dict()
    assert again.trials == experiment.trials


def test_a_training_of_defaults_alone_is_not_the_usual_one(tmp_path: Path) -> None:
    experiment = Experiment(Spirals(), training=Training())
    write_spec(experiment, tmp_path / "spec.toml")
    assert read_spec(tmp_path / "spec.toml").training == Training() != TRAINING
