"""What is refused of an experiment, and how that is told."""

from typing import Any

import pytest
from sklearn.datasets import load_iris

from secchi.data.synthetic import Line
from secchi.data.table import TableData
from secchi.errors import DataError, SpecError
from secchi.experiments.experiment import Experiment
from secchi.learner import Learner
from secchi.models.mlp import MLP
from secchi.training.spec import Training


@pytest.fixture(scope="module")
def iris() -> TableData:
    return TableData.from_arrays(*load_iris(return_X_y=True))


def refused(data: Any, vary: Any = None, **given: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError, match="this experiment cannot be") as caught:
        Experiment(data, vary=vary, **given)
    return caught.value.faults


def test_arguments_that_there_are_not_are_told_with_the_nearest(iris: TableData) -> None:
    learn = Learner(iris)
    for make in (Experiment(iris).but, learn.experiment, learn.vary):
        with pytest.raises(SpecError) as caught:
            make({"lr": [0.1]}, repets=3, fold=2) if make == learn.vary else make(repets=3, fold=2)
        assert [fault.partition("; ")[2] for fault in caught.value.faults] == [
            "did you mean repeats?",
            "did you mean folds?",
        ]
    with pytest.raises(SpecError, match="there is no 'stor'; did you mean store?"):
        learn.vary({"lr": [0.1]}, stor="a.sqlite")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("learning_rate", "lr"),
        ("batch", "batch_size"),
        ("layers", "depth"),
        ("hidden_units", "hidden"),
        ("WD", "weight_decay"),
    ],
)
def test_a_factor_by_another_name_is_understood(iris: TableData, name: str, meant: str) -> None:
    fault = f"there is no factor '{name}'; did you mean {meant}?"
    assert refused(iris, {name: [1]}) == (fault,)


def test_all_faults_are_told_at_once(iris: TableData) -> None:
    faults = refused(
        iris,
        {"lrr": [1], "slope": [1], "seed": [1], "fold": [0], "dropout": [0, 1], "depth": [-1]},
        repeats=0,
        resplit=1,
        precision="fp16",
        device="gpu",
        metrics=["accurcy", "mae"],
        data_options={"scale": "none"},
    )
    words = [
        "repeats is 0",
        "resplit is 1",
        "precision is 'fp16'",
        "device is 'gpu', not one of auto, cpu and cuda",
        "data_options",
        "'accurcy'; did you mean accuracy",
        "mae needs a number",
        "'lrr'; did you mean lr?",
        "no factor 'slope'",
        "seed cannot vary: repeats=n",
        "fold needs folds=k",
        "dropout is 1, which is not a number from 0 on, below 1",
        "depth is -1",
    ]
    assert len(faults) == len(words)
    for word in words:
        assert sum(word in fault for fault in faults) == 1, word


def test_values_are_told_with_their_factor_and_combinations_with_their_setting(
    iris: TableData,
) -> None:
    faults = refused(
        iris,
        {
            "hidden": [[4], [4, 0]],
            "momentum": [0, 0.9],
            "nesterov": [False, True],
            "loss": ["mse", None],
            "train_fraction": [0, 1],
        },
        training=Training("sgd"),
    )
    whole = "which is not a whole number from 1 on"
    assert faults == (
        "train_fraction is 0, which is not a number above 0, at most 1",
        "loss is 'mse', which does not suit 'target', many classes; cross_entropy does",
        "nesterov needs the optimizer 'sgd' and a momentum above 0, for hidden=[4], momentum=0, "
        "nesterov=True, loss='mse', train_fraction=0",
        f"hidden=[4, 0]: hidden layer 2 has 0 units, {whole}",
    )
    (alone,) = refused(
        iris,
        {"residual": [True], "hidden": [[4, 4], [4, 8]]},
        model=MLP([4, 4]),
    )
    assert alone.endswith("for residual=True, hidden=[4, 8]")


def test_a_value_that_needs_another_factor_is_no_fault(iris: TableData) -> None:
    vary = {"optimizer": ["sgd"], "momentum": [0.9], "nesterov": [True]}
    assert len(Experiment(iris, vary=vary).settings) == 1


def test_at_most_ten_faults_are_told_and_how_many_more(iris: TableData) -> None:
    faults = refused(iris, {"lr": [-rate for rate in range(1, 16)], "l1": [0, 1]})
    assert len(faults) == 11
    assert faults[-1] == "and 5 more"


def test_two_names_of_one_value_are_refused(iris: TableData) -> None:
    assert refused(iris, {"activation": ["relu", "ReLU"]}) == (
        "activation='ReLU' is there twice, in other words",
    )


@pytest.mark.parametrize("name", ["hidden", "depth", "width", "cycles"])
def test_none_is_refused_where_it_would_change_nothing(name: str, iris: TableData) -> None:
    assert refused(iris, {name: [None, 1]}) == (f"{name} is None, which says nothing",)


def test_folds(iris: TableData) -> None:
    assert len(Experiment(iris, vary={"fold": range(5)}, folds=5).trials) == 5
    assert refused(iris, {"fold": [5]}, folds=5) == (
        "fold is 5, which is not a whole number from 0 to 4",
    )
    assert "the factor fold" in refused(iris, folds=5)[0]
    assert "folds is 1" in refused(iris, {"fold": [0]}, folds=1)[0]


def test_a_table_that_cannot_be_parted_anew() -> None:
    data = TableData.from_arrays(*load_iris(return_X_y=True), split="position", stratify=False)
    for given in ({"resplit": True}, {"vary": {"fold": [0]}, "folds": 2}):
        with pytest.raises(DataError, match="parted by position"):
            Experiment(data, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"data": [[1, 2]]}, "no TableData"),
        ({"data": Line, "training": "sgd", "vary": [1]}, "no made-up rows"),
        ({"training": {"lr": 1}}, "which is no Training"),
        ({"vary": ["lr"]}, "no mapping of factors"),
        ({"model": 16}, "which is no MLP"),
    ],
)
def test_arguments_of_another_kind(given: dict[str, Any], word: str) -> None:
    assert word in refused(**{"data": Line(), **given})[0]


def test_options_of_made_up_rows() -> None:
    vary = {"noise": [0, 1], "target_scale": ["none", "zscore"]}
    experiment = Experiment(Line(), vary=vary, data_options={"valid_fraction": 0.5})
    assert experiment.settings[0] == {"noise": 0.0, "target_scale": "none"}
    members = [experiment.member(trial, experiment.tables()) for trial in experiment.trials]
    assert {len(each.table.labels("valid")) for each in members} == {25}
    assert [each.table.scales[0] == 1 for each in members] == [True, False, True, False]
    with pytest.raises(SpecError, match="did you mean valid_fraction"):
        Experiment(Line(), data_options={"valid_fractions": 0.5})
    faults = refused(Line(), data_options={"repeat": 0, "seed": 3})
    assert [fault.split(",")[0] for fault in faults] == [
        "data_options has seed",
        "data_options has repeat",
    ]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"model": "resnet"}, "model is 'resnet', which is no MLP and makes no network"),
        ({"model": [3]}, "model is [3], which is no MLP and makes no network"),
        ({"metrics": "accuracy"}, "metrics is 'accuracy', which is no list of names"),
        ({"metrics": [5]}, "metrics is [5], which is no list of names"),
        ({"data_options": ["scale"]}, "data_options is ['scale'], which is no mapping"),
        ({"training": [MLP([8]), MLP([8, 8])]}, "training is a list, which is no Training"),
    ],
)
def test_arguments_of_another_kind_are_told_in_a_line(
    iris: TableData, given: dict[str, Any], fault: str
) -> None:
    assert refused(iris, **given) == (fault,)


def test_a_frame_is_told_how_it_becomes_a_table() -> None:
    (fault,) = refused(load_iris(as_frame=True).frame)
    assert fault.startswith("data is a DataFrame, which is no TableData")
    assert fault.endswith("TableData.from_frame makes a table of it")
