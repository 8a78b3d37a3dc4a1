"""What is wrong with the arguments of an experiment."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secchi.data.synthetic import Synthetic
from secchi.data.table import TableData
from secchi.errors import SpecError, did_you_mean
from secchi.experiments.own_model import is_made
from secchi.models.mlp import MLP
from secchi.training.spec import Training
from secchi.values import is_whole

if TYPE_CHECKING:
    from secchi.experiments.experiment import Experiment

WHAT = "this experiment cannot be"

ARGUMENTS = (
    *("data", "model", "training", "vary", "repeats", "seed", "resplit", "folds", "design"),
    *("samples", "metrics", "precision", "device", "data_options", "name"),
)
"""The arguments of :class:`secchi.Experiment`."""

_PRECISIONS = ("fp32", "fp64")
_DEVICES = ("cpu", "cuda")


def check_names(given: Iterable[str], others: Sequence[str] = ()) -> None:
    """Refuse names that are no arguments of an experiment.

    Args:
        given: The names.
        others: What else may be given, so that it can be suggested.

    Raises:
        SpecError: With every one of them.

    >>> check_names(["repets"])
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this experiment cannot be: there is no 'repets'; did you mean repeats?
    """
    known = (*ARGUMENTS, *others)
    unknown = [name for name in given if name not in known]
    if unknown:
        hints = [did_you_mean(each, known) or f"; there are {', '.join(known)}" for each in unknown]
        raise SpecError(
            WHAT, [f"there is no {each!r}{hint}" for each, hint in zip(unknown, hints, strict=True)]
        )


def check_kinds(data: Any, training: Any, vary: Any, metrics: Any, data_options: Any) -> None:
    """Refuse arguments of another kind, with which nothing more could be looked at.

    Raises:
        SpecError: With every one of them.

    >>> faults_of(check_kinds, "iris.csv", Training(), {}, None, None)
    ["data is 'iris.csv', which is no TableData, no made-up rows and no learn.features()"]
    """
    from secchi.features.table import FeatureData

    faults = []
    if not isinstance(data, TableData | Synthetic | FeatureData):
        helps = "; TableData.from_frame makes a table of it" if hasattr(data, "iloc") else ""
        kinds = "no TableData, no made-up rows and no learn.features()"
        faults.append(f"data is {_told(data)}, which is {kinds}{helps}")
    if not isinstance(training, Training):
        faults.append(f"training is {_told(training)}, which is no Training")
    if not isinstance(vary, Mapping):
        faults.append(f"vary is {_told(vary)}, which is no mapping of factors to their values")
    if metrics is not None and not _are_names(metrics):
        faults.append(f"metrics is {_told(metrics)}, which is no list of names")
    if not (data_options is None or isinstance(data_options, Mapping)):
        faults.append(f"data_options is {_told(data_options)}, which is no mapping")
    if faults:
        raise SpecError(WHAT, faults)


def argument_faults(experiment: "Experiment", vary: Mapping[str, Any]) -> list[str]:
    """What is wrong with the arguments, which are of the right kinds, but for the factors.

    Args:
        experiment: What holds them.
        vary: What varies, as it was given.
    """
    data, model, repeats = experiment.data, experiment.model, experiment.repeats
    faults = []
    if not (isinstance(model, MLP) or is_made(model) or callable(model)):
        faults.append(f"model is {_told(model)}, which is no MLP and makes no network")
    elif is_made(model) and is_whole(repeats) and repeats > 1:
        faults.append(
            f"the model is a network that is made, so all {repeats} repeats would start "
            "from the same weights; give a function that makes it"
        )
    for name, least in {"repeats": 1, "seed": 0, "folds": 2}.items():
        value = getattr(experiment, name)
        if not (is_whole(value) and value >= least or value is None and name == "folds"):
            faults.append(f"{name} is {value!r}, which is not a whole number from {least} on")
    resplit: Any = experiment.resplit
    if not isinstance(resplit, bool):
        faults.append(f"resplit is {resplit!r}, which is neither True nor False")
    if experiment.precision not in _PRECISIONS:
        faults.append(f"precision is {experiment.precision!r}, neither fp32 nor fp64")
    if experiment.device not in _DEVICES:
        faults.append(f"device is {experiment.device!r}, not one of auto, cpu and cuda")
    if experiment.data_options and not isinstance(data, Synthetic):
        faults.append("data_options are for made-up rows; a table has its own")
    faults += [
        f"data_options has {name}, which each repeat has of its own"
        for name in ("seed", "repeat")
        if name in experiment.data_options
    ]
    if experiment.folds is not None and "fold" not in vary:
        faults.append("folds is given, and the factor fold, which it counts, is not")
    return faults


def faults_of(check: Callable[..., object], *given: Any) -> list[str]:
    """What a check refuses.

    >>> faults_of(check_names, ["vary"]), len(faults_of(check_names, ["lr", "epochs"]))
    ([], 2)
    """
    try:
        check(*given)
    except SpecError as error:
        return list(error.faults)
    return []


def _are_names(given: Any) -> bool:
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    return listed and all(isinstance(name, str) for name in given)


def _told(value: Any) -> str:
    """A value, or what it is where it would take more than a line."""
    text = repr(value)
    short = len(text) <= _LONGEST and "\n" not in text
    return text if short else f"a {type(value).__name__}"


_LONGEST = 60
"""Characters of a value in a message."""
