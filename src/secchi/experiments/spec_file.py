"""An experiment as a file of text (TOML) that a person writes and reads.

::

    [data]                       # a table: the options of TableData.from_csv
    csv = "wine.csv"             # from the folder of this file
    target = "quality"
    above = 5
    # or made-up rows: their name, their fields, and how they are parted and scaled
    # made = "line"
    # rows = 50

    [model]                      # the fields of MLP
    hidden = [16, 32]

    [training]                   # the fields of Training
    optimizer = "sgd"
    lr = 0.01
    schedule = {name = "cosine"}

    [vary]                       # a list of values, or what makes one
    lr = {logspace = [1e-4, 1, 40]}
    dropout = [0, 0.25, 0.5]
    patience = ["none", 10]

    [experiment]                 # the other arguments of Experiment
    repeats = 20

Names are those of Python. ``"none"`` stands for None where a field of the model or the training can
be that, as TOML has no word for it. What is left out is as in Python.
"""

import dataclasses
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secchi.data.label_values import plain
from secchi.data.splitting import Splitting
from secchi.data.synthetic import SYNTHETIC, Synthetic
from secchi.data.table import TableData
from secchi.errors import DataError, SpecError, did_you_mean
from secchi.experiments.as_toml import table_of
from secchi.experiments.data_keys import faults_of_types
from secchi.experiments.experiment import TRAINING, Experiment
from secchi.experiments.forms import is_function, read, written
from secchi.files import write_text
from secchi.models.mlp import MLP
from secchi.training.spec import Training

_TABLES = ("data", "model", "training", "vary", "experiment")
_EXPERIMENT: dict[str, Any] = {
    "repeats": 1,
    "seed": 0,
    "resplit": False,
    "folds": None,
    "design": "grid",
    "samples": None,
    "metrics": None,
    "precision": "fp32",
    "device": "cpu",
    "name": None,
}
"""The arguments of an experiment that stand in a table of their own, with their defaults."""

_NONE = "none"
_CAN_BE_NONE = (
    "batch_norm",
    *(field.name for field in dataclasses.fields(Training) if field.default is None),
)
_PARTING = [
    *(
        field.name
        for field in dataclasses.fields(Splitting)
        if field.name not in ("seed", "repeat")
    ),
    *("scale", "target_scale", "class_weights"),
]
"""How made-up rows can be parted and scaled."""


def read_spec(path: str | os.PathLike[str]) -> Experiment:
    """The experiment that a file describes.

    Raises:
        SpecError: With everything in the file that cannot be, such as a table that cannot be read.
        DataError: The file cannot be read, or its table cannot be parted as asked for.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "slopes.toml"
    >>> _ = file.write_text('''
    ... data = {made = "line", rows = 50}
    ... vary = {slope = {linspace = [-2, 2, 21]}}
    ... experiment = {repeats = 50}
    ... ''')
    >>> read_spec(file)
    <line: slope varies, 21 settings x 50 repeats = 1,050 trials>
    """
    path = Path(path)
    document = _parsed(path)
    faults = [
        f"there is no table [{name}]{did_you_mean(name, _TABLES)}"
        for name in document
        if name not in _TABLES
    ]
    tables: dict[str, dict[str, Any]] = {}
    for name in _TABLES:
        tables[name] = document.get(name, {})
        if not isinstance(tables[name], Mapping):
            faults.append(f"{name} is {tables[name]!r}, which is no table")
            tables[name] = {}
    data, options = _read(
        "data", faults, lambda: _data(tables["data"], path.parent), instead=(None, {})
    )
    # The others are looked at even where one of these cannot be.
    model = _read("model", faults, lambda: MLP().but(**_without_none(tables["model"])), MLP())
    training = _read("training", faults, lambda: _training(tables["training"]), Training())
    vary = _vary(tables["vary"], faults)
    for name in tables["experiment"]:
        if name not in _EXPERIMENT:
            faults.append(f"[experiment] there is no {name!r}{did_you_mean(name, _EXPERIMENT)}")
    given = {name: each for name, each in tables["experiment"].items() if name in _EXPERIMENT}
    if data is not None:
        try:
            made = Experiment(
                data,
                model,
                training if "training" in document else None,
                vary,
                data_options=options,
                **given,
            )
            if not faults:
                return made
        except SpecError as error:
            faults += error.faults
    raise SpecError(f"{path} is no experiment", faults)


def write_spec(experiment: Experiment, path: str | os.PathLike[str]) -> None:
    """Write an experiment as a file that :func:`read_spec` reads.

    What is as where nobody says anything is left out.

    Raises:
        SpecError: With everything that a file cannot hold: data that came from none, functions,
            models and losses of one's own.
    """
    path = Path(path)
    faults: list[str] = []
    tables = {
        "data": _data_table(experiment, path.parent, faults),
        "model": _model_table(experiment.model, faults),
        "training": _training_table(experiment.training, faults),
        "vary": _vary_table(experiment.vary, faults),
        "experiment": _experiment_table(experiment),
    }
    if faults:
        raise SpecError(f"{path} cannot hold this experiment", faults)
    parts = [table_of(name, table) for name, table in tables.items() if table is not None]
    write_text(path, "\n\n".join(parts) + "\n")


# ---------------------------------------------------------------- reading


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; is it the right file?") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text in UTF-8, which such a file has to be") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path} is no experiment", [f"it is no TOML: {error}"]) from None


def _read(table: str, faults: list[str], make: Callable[[], Any], instead: Any = None) -> Any:
    """What a table makes; its faults are told with its name."""
    try:
        return make()
    except (SpecError, DataError) as error:
        told = error.faults if isinstance(error, SpecError) else [str(error)]
        faults += [f"[{table}] {fault}" for fault in told]
        return instead


def _data(table: Mapping[str, Any], folder: Path) -> tuple[Any, dict[str, Any]]:
    """The data, and how made-up rows are parted and scaled."""
    given = dict(table)
    if ("csv" in given) == ("made" in given):
        fault = "it names a table, csv = …, or made-up rows, made = …; one of them"
        raise SpecError("this data cannot be", [fault])
    if "made" in given:
        return _made_up(given.pop("made"), given)
    faults = faults_of_types(given)
    if "target" not in given:
        faults.append("target is missing: the column to predict")
    if faults:
        raise SpecError("this data cannot be", faults)
    return TableData.from_csv(folder / str(given.pop("csv")), **given), {}


def _made_up(name: Any, given: dict[str, Any]) -> tuple[Synthetic, dict[str, Any]]:
    """Made-up rows by their name, and how they are parted and scaled."""
    kind = SYNTHETIC.get(str(name))
    if kind is None:
        hint = did_you_mean(str(name), SYNTHETIC)
        fault = f"made is {name!r}, which is none of {', '.join(SYNTHETIC)}{hint}"
        raise SpecError("this data cannot be", [fault])
    fields = [field.name for field in dataclasses.fields(kind)]
    known = [*fields, *_PARTING]
    faults = [
        f"there is no {each!r}{did_you_mean(each, known)}" for each in given if each not in known
    ]
    faults += faults_of_types({each: given[each] for each in _PARTING if each in given})
    try:
        made = kind(**{each: value for each, value in given.items() if each in fields})
    except SpecError as error:
        faults += error.faults
    if faults:
        raise SpecError("this data cannot be", faults)
    return made, {each: value for each, value in given.items() if each in _PARTING}


def _training(table: Mapping[str, Any]) -> Training:
    """The training, whose fields are None where nobody says."""
    try:
        training = Training().but(**_without_none(table))
    except SpecError as error:
        faults = list(error.faults)
    else:
        faults = []
    if "seed" in table:
        faults.append("seed belongs in [experiment], which has one for all")
    if faults:
        raise SpecError("this training cannot be", faults)
    return training


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields that are None, as all are that can be where nobody says."""
    return {
        name: value
        for name, value in table.items()
        if not (name in _CAN_BE_NONE and value == _NONE)
    }


def _vary(table: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    vary = {}
    for name, form in table.items():
        if isinstance(form, str):
            faults.append(
                f"[vary] {name} is {form!r}, which is no list of values; functions cannot be "
                "written in a file: make the experiment in Python for those"
            )
            continue
        factor, wrong = read(name, form)
        faults += [f"[vary] {fault}" for fault in wrong]
        if isinstance(factor, list) and name in _CAN_BE_NONE:
            factor = [None if value == _NONE else value for value in factor]
        vary[name] = factor
    return vary


# ---------------------------------------------------------------- writing


def _data_table(experiment: Experiment, folder: Path, faults: list[str]) -> dict[str, Any]:
    data = experiment.data
    if isinstance(data, Synthetic) and type(data) is SYNTHETIC.get(data.name):
        fields = _other(data.to_dict(), type(data)().to_dict())
        options = {k: v for k, v in experiment.data_options.items() if v is not None}
        return {"made": data.name, **plain({**fields, **options})}
    source = getattr(data, "source", None)
    if not source:
        faults.append(f"the data, {data.name}, did not come from a file as they are")
        return {}
    given = {name: value for name, value in source.items() if value is not None}
    csv, targets = given.pop("path"), given.pop("target")
    return {
        "csv": _from_folder(csv, folder),
        "target": targets[0] if len(targets) == 1 else targets,
        **given,
    }


def _from_folder(path: str, folder: Path) -> str:
    """A path as it is from a folder, where there is such a way."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path


def _model_table(model: Any, faults: list[str]) -> dict[str, Any] | None:
    if not isinstance(model, MLP):
        faults.append("the model is no MLP")
        return None
    return _other(model.to_dict(), MLP().to_dict()) or None


def _training_table(training: Training, faults: list[str]) -> dict[str, Any] | None:
    """None where the training is the usual one; without fields it would be ``Training()``."""
    losses = (
        [training.loss]
        if not isinstance(training.loss, tuple)
        else [loss for _, loss in training.loss]
    )
    if any(map(callable, losses)):
        faults.append("the training has a loss of your own")
    return None if training == TRAINING else _other(training.to_dict(), Training().to_dict())


def _vary_table(vary: Mapping[str, Any], faults: list[str]) -> dict[str, Any] | None:
    table = {}
    for name, factor in vary.items():
        form = written(factor)
        if is_function(form):
            faults.append(f"{name} is a function")
        elif isinstance(form, list) and None in form and name not in _CAN_BE_NONE:
            faults.append(f"{name} has the value None")
        elif isinstance(form, list):
            form = [_NONE if value is None else value for value in form]
        table[name] = form
    return table or None


def _experiment_table(experiment: Experiment) -> dict[str, Any] | None:
    given = {name: getattr(experiment, name) for name in _EXPERIMENT}
    if experiment.name == experiment.data.name:
        given["name"] = None
    return plain(_other(given, _EXPERIMENT)) or None


def _other(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not the usual ones."""
    return {name: value for name, value in values.items() if value != usual[name]}
