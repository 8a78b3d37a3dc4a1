"""Predictions as a line of text, as dictionaries, as the columns of a table, and as a CSV file."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from secchi.data.task import Kind
from secchi.errors import DataError
from secchi.files import written_aside
from secchi.inspection.judged import CLASSES, CLASSES_AND_LABELS, Judged, judged
from secchi.inspection.predictions import Predictions, plain_sources
from secchi.intervals import mean_interval, share_interval
from secchi.text import counted, names_of, number, with_interval


def summary(predictions: Predictions) -> str:
    """How many rows, of what, and how good: a line for each target."""
    lines = [_line(predictions.target(name)) for name in predictions.names]
    if predictions.unreadable:
        lines[-1] += f"; {counted(len(predictions.unreadable), 'file', 'files')} could not be read"
    return "\n".join(lines)


def to_records(predictions: Predictions) -> list[dict[str, Any]]:
    """One dictionary a row, of plain JSON values.

    Of one target: where the row came from, the class and the probabilities by class name; or the
    number under the target's name. Of several targets: where the row came from, and under the name
    of each target its class and probabilities, or its number.
    """
    records = [{predictions.source_name: source} for source in plain_sources(predictions.sources)]
    several = len(predictions.names) > 1
    for name in predictions.names:
        one = predictions.target(name)
        if several or one.task.target.kind is Kind.REGRESSION:
            column = _column_of(one, several)
            for record, answer in zip(records, _answers(one), strict=True):
                record[column] = answer
        else:
            for record, answer in zip(records, _answers(one), strict=True):
                record |= answer
    return records


def to_columns(predictions: Predictions) -> dict[str, list[Any]]:
    """The columns of a table with one line a row.

    Of one target: where the row came from, the class, and the probability of each class by its
    name; or the number. Of several targets: where the row came from, and for each target the class
    under the target's name and the probabilities as ``"quality: p(good)"``; or the number.
    """
    columns = {predictions.source_name: plain_sources(predictions.sources)}
    several = len(predictions.names) > 1
    for name in predictions.names:
        one = predictions.target(name)
        target = one.task.target
        if target.kind is Kind.REGRESSION:
            columns[_column_of(one, several)] = _numbers(one)
            continue
        if target.kind is not Kind.DISTRIBUTION:
            said = [" ".join(v) if isinstance(v, list) else v for v in _said(one)]
            columns[_column_of(one, several) if several else "class"] = said
        shares = one.probabilities.astype(np.float64).T.tolist()
        for label, share in zip(target.classes, shares, strict=True):
            known = label in (one.source_name, "class", "error")
            column = f"p({label})" if several or known else label
            columns[f"{name}: {column}" if several else column] = share
    return columns


def write_csv(predictions: Predictions, file: str | os.PathLike[str]) -> None:
    """Write one line a row, and one for each file that could not be read, with its reason."""
    columns = to_columns(predictions) if len(predictions) else {predictions.source_name: []}
    header = list(columns) + (["error"] if predictions.unreadable else [])
    target = Path(os.path.abspath(os.fspath(file)))
    with (
        written_aside(target) as aside,
        open(aside, "w", newline="", encoding="utf-8", errors="surrogateescape") as out,
    ):
        writer = csv.writer(out)
        writer.writerow(header)
        gap = [""] * (len(header) - len(columns))
        writer.writerows([*line, *gap] for line in zip(*columns.values(), strict=True))
        empty = [""] * (len(columns) - 1)
        writer.writerows([source, *empty, reason] for source, reason in predictions.unreadable)


def _line(one: Predictions) -> str:
    target = one.task.target
    classes = f" ({names_of(target.classes)})" if target.classes else ""
    what = f"{counted(len(one), 'row', 'rows')} of {target.name}{classes}"
    if one.labels is None:
        return f"{what}: the truth is not known"
    try:
        rows = judged(one, "a judgement", tuple(Kind))
    except DataError as error:
        return f"{what}: {error}"
    if target.kind in CLASSES_AND_LABELS:
        return f"{what}: {_accuracy(one, rows)}"
    names = ("r2", "mae") if target.kind is Kind.REGRESSION else ("mae",)
    return f"{what}: " + ", ".join(f"{name} {number(one.metric(name))}" for name in names)


def _accuracy(one: Predictions, rows: Judged) -> str:
    """The accuracy, with the interval of its rows, and the misses."""
    right = one.correct[rows.rows]
    if one.task.target.kind in CLASSES:
        low, high = share_interval(right, rows.weights)
    else:
        each = ((rows.answers > 0.5) == (rows.truth > 0.5)).mean(axis=1)
        low, high = mean_interval(each, rows.weights)
    misses = counted(int((~right).sum()), "miss", "misses")
    weighted = "" if rows.weights is None else "weighted "
    return f"{weighted}accuracy {with_interval(one.metric('accuracy'), low, high)}, {misses}"


def _answers(one: Predictions) -> list[Any]:
    """The answer for the only target: a number, or a class and probabilities."""
    target = one.task.target
    if target.kind is Kind.REGRESSION:
        return _numbers(one)
    shares = [
        dict(zip(target.classes, row, strict=True))
        for row in one.probabilities.astype(np.float64).tolist()
    ]
    if target.kind is Kind.DISTRIBUTION:
        return [{"probabilities": row} for row in shares]
    return [{"class": s, "probabilities": row} for s, row in zip(_said(one), shares, strict=True)]


def _said(one: Predictions) -> list[Any]:
    """The class of each row in the type that it came in, bytes as text; or the list of labels."""
    target = one.task.target
    if not target.exclusive:
        return [list(names) for names in one.predicted_labels]
    if target.label_type == "bytes":
        return [target.classes[number] for number in one.predicted]
    said: list[Any] = one.predicted_labels.tolist()
    return said


def _numbers(one: Predictions) -> list[float]:
    numbers: list[float] = one.predicted.astype(np.float64).tolist()
    return numbers


def _column_of(one: Predictions, several: bool) -> str:
    """The target's name, or another where the table has a column of that name already."""
    name = one.task.target.name
    taken = (one.source_name, "error") if several else (one.source_name, "class", "error")
    return f"predicted {name}" if name in taken else name
