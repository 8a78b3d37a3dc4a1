"""What the networks of an experiment have in common."""

from typing import Any

from torch import nn

from secchi.data.synthetic import Line
from secchi.data.task import Kind, Target
from secchi.experiments.experiment import Experiment
from secchi.experiments.held_fixed import held_fixed, predicted
from secchi.models.mlp import MLP
from secchi.training.spec import Training

TRAINED = {"optimizer": "sgd", "lr": 0.01, "batch_size": 64, "epochs": 10, "weight_decay": 0.01}


def fixed(model: Any = None, training: Training | None = None, **vary: Any) -> dict[str, Any]:
    return held_fixed(Experiment(Line(), model, training or Training("sgd"), vary))


def test_what_matters_of_a_training_is_there_and_what_varies_is_not() -> None:
    assert fixed(MLP([8])) == {"hidden": [8], "activation": "relu", **TRAINED}
    found = fixed(MLP([8]), Training("sgd", momentum=0.9, seed=3, patience=4), lr=[1], epochs=[1])
    assert found == {
        **{"hidden": [8], "activation": "relu", "optimizer": "sgd", "batch_size": 64},
        **{"weight_decay": 0.01, "momentum": 0.9, "patience": 4},
    }


def test_the_usual_training_is_told() -> None:
    found = held_fixed(Experiment(Line(), vary={"l1": [0, 1]}))
    assert {"lr": 0.003, "epochs": 100, "patience": 20, "keep_best": True}.items() <= found.items()


def test_layers_are_told_by_what_does_not_vary_of_them() -> None:
    layers = ("hidden", "depth", "width", "activation")

    def of(model: MLP, **vary: Any) -> dict[str, Any]:
        return {name: each for name, each in fixed(model, **vary).items() if name in layers}

    assert of(MLP([8, 8]), depth=[1, 2]) == {"width": 8, "activation": "relu"}
    assert of(MLP([8, 8]), width=[1, 2]) == {"depth": 2, "activation": "relu"}
    assert of(MLP([8, 4]), width=[1, 2]) == {"depth": 2, "activation": "relu"}
    assert of(MLP([8, 8]), depth=[1, 2], width=[2]) == {"activation": "relu"}
    assert of(MLP([8, 8]), hidden=[[1], [2]]) == {"activation": "relu"}
    assert of(MLP([8, 8]), hidden=[[1]], activation=["tanh"]) == {}
    assert of(MLP([])) == {"hidden": []}


def test_other_fields_of_the_network_are_told_where_they_are_set() -> None:
    found = fixed(MLP([4], dropout=0.5, batch_norm="after", init="orthogonal"), dropout=[0.1])
    assert {"batch_norm": "after", "init": "orthogonal"}.items() <= found.items()
    assert "dropout" not in found
    assert fixed(nn.Linear(1, 1))["model"].endswith("Linear")


def test_the_epochs_of_cycles_are_not_told_where_these_vary() -> None:
    found = fixed(MLP([4]), cycles=[1, 2])
    assert not {"epochs", "schedule"} & found.keys()


def test_what_is_predicted_is_told_in_words() -> None:
    kinds = {Kind.MULTILABEL: "any of", Kind.DISTRIBUTION: "the shares of", Kind.BINARY: "one of"}
    for kind, words in kinds.items():
        assert predicted([Target("pet", kind, ("cat", "dog"))]) == (
            f"pet, {words} 2 classes (cat, dog)"
        )
    many = predicted([Target.classify("digit", range(40)), Target("age", Kind.REGRESSION)])
    assert (
        many
        == "digit, one of 40 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … 40 in all); age, a number"
    )
