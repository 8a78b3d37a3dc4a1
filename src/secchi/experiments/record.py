"""The data, the model and the factors of an experiment, to and from its record."""

import hashlib
from collections.abc import Container, Mapping
from typing import Any

from secchi.data.label_values import plain
from secchi.data.synthetic import SYNTHETIC, Synthetic
from secchi.data.table import TableData
from secchi.data.task import Task
from secchi.errors import DataError
from secchi.experiments.forms import is_function, read
from secchi.experiments.settings import canonical
from secchi.intervals import effective_rows
from secchi.models.mlp import MLP


def data_to_dict(data: Any, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """What is learned from, as plain JSON values: how it is made up, or what names it.

    Args:
        data: A table, the specification of made-up rows, or the features of pictures.
        task: What is predicted.
        options: How made-up rows are parted and scaled.
    """
    if isinstance(data, Synthetic):
        return {"made": plain(data.to_dict()), "options": plain(options)}
    document = {"name": data.name, "fingerprint": fingerprint_of(data), "rows": _rows_of(data)}
    if isinstance(data, TableData):
        wishes = ("scale", "target_scale", "class_weights")
        document |= {"target": list(task.names), "source": data.source}
        document |= {name: plain(getattr(data, name)) for name in wishes}
    return document


def fingerprint_of(data: Any) -> str:
    """Names the rows of a table or of features, in their order, and what is true of them."""
    if not isinstance(data, TableData):
        fingerprint: str = data.fingerprint()
        return fingerprint
    joint = hashlib.sha256(canonical([data.task.to_dict(), data.inputs]).encode())
    for split in (data.train, data.valid):
        weights = [] if split.labels.weights is None else [split.labels.weights]
        for part in (split.keys, *split.labels.values, *weights):
            joint.update(f"{split.name} {part.dtype} {part.shape}".encode() + part.tobytes())
    return joint.hexdigest()


def _rows_of(data: Any) -> dict[str, Any]:
    """How many rows train and validate, as how many a share counts, and how they are parted.

    ``shares`` has each target of which an answer is a single class, so that a share of the
    validation rows can be right: of weighted rows it is their effective number. ``parted_by`` is
    what forbids to part the rows in other ways, such as time; None where nothing does.
    """
    if isinstance(data, TableData):
        train, valid, parted_by = data.train.labels, data.valid.labels, data.parted_by
    else:
        train, valid, parted_by = data.labels("train"), data.labels("valid"), None
    counted = effective_rows(len(valid), valid.weights)
    shares = {target.name: counted for target in data.task.targets if target.exclusive}
    return {"train": len(train), "valid": len(valid), "shares": shares, "parted_by": parted_by}


def data_from(document: Mapping[str, Any], faults: list[str]) -> Any:
    """The data of a record."""
    if "made" in document:
        fields = dict(document["made"])
        kind = fields.pop("name")
        if kind in SYNTHETIC:
            return SYNTHETIC[kind](**fields)
        faults.append(f"its rows are made up by {kind}, one of your own: give it as data")
        return None
    if not document.get("source"):
        faults.append(f"{document['name']} was not read from a file: give it as data")
        return None
    data = TableData.read_again(document["source"])
    if fingerprint_of(data) != document["fingerprint"]:
        raise DataError(
            f"{document['source']['path']} has changed since: its rows, or how they are parted, "
            "are others; give data to take it as it is"
        )
    return data


def model_from(document: Mapping[str, Any], faults: list[str]) -> Any:
    """The model of a record."""
    fields = {name: value for name, value in document.items() if name != "model"}
    if document["model"] == "MLP":
        return MLP.from_dict(fields)
    faults.append(f"its model was {document['model']}: give it as model")
    return None


def vary_from(
    document: Mapping[str, Any], again: Mapping[str, Any], faults: list[str]
) -> dict[str, Any]:
    """The factors of a record in their order, with those in place that are given again."""
    vary = {}
    for name, form in document.items():
        if name in again:
            vary[name] = again[name]
        elif is_function(form):
            faults.append(f"{name} was a function, {form['function']}: give it in vary")
        else:
            vary[name], wrong = read(name, form)
            faults += wrong
    return vary


def without(document: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    """A record without what stands under some names, at whatever depth.

    >>> without({"training": {"lr": 0.1, "epochs": 5}, "seed": 0}, ["lr"])
    {'training': {'epochs': 5}, 'seed': 0}
    """
    return {
        name: without(value, names) if isinstance(value, Mapping) else value
        for name, value in document.items()
        if name not in names
    }
