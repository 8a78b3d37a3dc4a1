"""What all networks of an experiment have in common, told before it runs."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from secchi.data.task import Kind, Target
from secchi.experiments.factors import CYCLES
from secchi.models.mlp import MLP
from secchi.text import names_of
from secchi.training.spec import Training

if TYPE_CHECKING:
    from secchi.experiments.experiment import Experiment

_ALWAYS = ("optimizer", "lr", "batch_size", "epochs", "weight_decay")
"""Of a training these are told, and what else is not as in ``Training()``."""


def held_fixed(experiment: "Experiment") -> dict[str, Any]:
    """What does not vary of the network and of the training, as far as it matters.

    Left out are fields that are as in ``MLP()`` and ``Training()``, but for the main ones.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.experiments.experiment import Experiment
    >>> held_fixed(Experiment(Line(), MLP([4]), Training("sgd"), {"lr": [0.1, 1]}))["hidden"]
    [4]
    """
    vary, training = experiment.vary, experiment.training.to_dict()
    usual = Training().to_dict()
    fixed = {name: training[name] for name in _ALWAYS}
    fixed |= {name: value for name, value in training.items() if value != usual[name]}
    cycles = ("schedule", "epochs") if any(name in vary for name in CYCLES) else ()
    left_out = {*vary, *cycles, "seed"}
    of_network = _network(experiment.model, vary)
    return {name: each for name, each in (of_network | fixed).items() if name not in left_out}


def _network(model: Any, vary: Mapping[str, Any]) -> dict[str, Any]:
    """Of the network, whose layers are told by depth and width where one of these varies."""
    if not isinstance(model, MLP):
        from secchi.models.build import model_to_dict

        return {"model": model_to_dict(model)["model"]}
    document, usual = model.to_dict(), MLP().to_dict()
    of_layers = [name for name in ("hidden", "depth", "width") if name in vary]
    told: dict[str, Any] = {}
    if not of_layers:
        told["hidden"] = document["hidden"]
    elif "hidden" not in of_layers:
        told |= {"depth": model.depth, "width": model.width}
    if model.depth or of_layers:
        told["activation"] = model.activation
    document = {name: each for name, each in document.items() if name not in ("hidden", *told)}
    told |= {name: each for name, each in document.items() if each != usual[name]}
    return {name: each for name, each in told.items() if each is not None}


def predicted(targets: Collection[Target]) -> str:
    """What is predicted, in words.

    >>> predicted([Target.classify("quality", [3, 4, 5]), Target("age", Kind.REGRESSION)])
    'quality, one of 3 classes (3, 4, 5); age, a number'
    """
    return "; ".join(f"{target.name}, {_words(target)}" for target in targets)


def _words(target: Target) -> str:
    if target.kind is Kind.REGRESSION:
        return "a number"
    of = {Kind.MULTILABEL: "any of", Kind.DISTRIBUTION: "the shares of"}.get(target.kind, "one of")
    return f"{of} {len(target.classes)} classes ({names_of(target.classes, most=_MOST_NAMES)})"


_MOST_NAMES = 10
