"""What a column of a table asks to be predicted: classes, a number, or shares."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.data.cells import is_dressed_number
from secchi.data.folders import natural_order
from secchi.data.task import Kind, Target
from secchi.errors import DataError, did_you_mean
from secchi.values import is_number

MOST_WHOLE_CLASSES = 10
"""Up to so many different whole numbers are taken as classes, more as a number."""

KINDS = ("class", "number", "distribution")
"""What a person can say of a target."""


class Aim(NamedTuple):
    """A target, and what is true of each row.

    Attributes:
        target: What is predicted.
        values: As :meth:`secchi.Target.encode` gives them, for the rows that are known.
        known: bool of shape (rows,): which rows have a value.
        notes: How it was taken, where a person could have meant something else.
    """

    target: Target
    values: NDArray[Any]
    known: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def read_target(
    name: str, values: NDArray[Any], *, above: float | None = None, kind: str | None = None
) -> Aim:
    """Decide what a column asks for.

    Text, bytes and truth values are classes. So are whole numbers of which there are at most ten
    different ones; more, and numbers with a fraction, are a number to predict.

    Args:
        name: The column.
        values: One a row; None and NaN are missing.
        above: Makes two classes of a number: those above this value, and the others.
        kind: ``"class"`` or ``"number"`` decides; None takes the rule.

    Raises:
        DataError: No value, a single class, a number that never changes, dates, or text where a
            number is asked for.

    >>> read_target("quality", np.array([5, 6, 7, 5]), above=5).target.classes
    ('at most 5', 'above 5')
    >>> read_target("sugar", np.array([1.9, 2.6])).target.kind.value
    'regression'
    """
    _check_kind(name, kind, above)
    if values.dtype.kind in "mM":
        raise DataError(
            f"the target {name!r} holds dates, which are neither classes nor a number; make a "
            "number of them first, such as days since the first"
        )
    known = ~_missing(values)
    given = values[known]
    if given.dtype == object:
        given = np.array(given.tolist())
    if not len(given):
        raise DataError(f"the target {name!r} has no value in any row; is it the right column?")
    numeric = given.dtype.kind in "iuf"
    if above is not None:
        if not numeric:
            raise DataError(f"above={above:g} needs a target of numbers, and {name!r} holds text")
        return _two_sides(name, given, known, above)
    if kind == "number" or (kind is None and numeric and not _few_whole(given)):
        if not numeric and given.dtype.kind != "b":
            raise DataError(
                f"the target {name!r} holds text such as {str(given[0])!r}, so it cannot be "
                "predicted as a number; task='class' takes it as classes"
            )
        return _number(name, given, known)
    notes = []
    if kind is None and numeric:
        different = len(np.unique(given))
        notes.append(
            f"the target {name!r} holds {different} different whole numbers, taken as classes; "
            "task='number' predicts the number itself"
        )
    return _classes(name, given, known, notes)


def read_shares(columns: Sequence[str], values: NDArray[Any]) -> Aim:
    """Several columns whose numbers are the shares of as many classes, adding up to one.

    Args:
        columns: The names of the classes.
        values: float of shape (rows, classes); rows with a missing share are not known.

    Raises:
        DataError: Shares that are negative or do not add up to one.

    >>> read_shares(["sun", "rain"], np.array([[0.25, 0.75]])).target.kind.value
    'distribution'
    """
    known = ~np.isnan(values).any(axis=1)
    if not known.any():
        raise DataError(f"no row has all the shares of {' + '.join(columns)}")
    target = Target(" + ".join(columns), Kind.DISTRIBUTION, tuple(columns))
    return Aim(target, target.encode(values[known]), known)


def _notes_on_texts(name: str, labels: list[str]) -> list[str]:
    """What may be a slip of who wrote the classes.

    Raises:
        DataError: They are numbers written as text.
    """
    dressed = [label for label in labels if is_dressed_number(label)]
    if len(dressed) > 2 and len(dressed) >= 0.9 * len(labels):
        raise DataError(
            f"the target {name!r} holds numbers written as text, such as {dressed[0]!r}; write "
            "them without percent and currency signs and thousands separators"
        )
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault("".join(label.casefold().split()), []).append(label)
    same = [" and ".join(map(repr, each)) for each in alike.values() if len(each) > 1]
    if not same:
        return []
    return [
        f"classes of {name!r} differ in capitals or blanks alone, and are taken as different: "
        + "; ".join(same[:3])
    ]


def _check_kind(name: str, kind: str | None, above: Any) -> None:
    if kind is not None and kind not in KINDS:
        raise DataError(
            f"the task of {name!r} is {kind!r}, which is none of {', '.join(KINDS)}"
            + did_you_mean(str(kind), KINDS)
        )
    if kind == "distribution":
        raise DataError(
            f"{name!r} alone is no distribution; task='distribution' is for all targets together"
        )
    if above is not None and not is_number(above):
        raise DataError(f"above is {above!r}, which is no number")


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "iub":
        return np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        return np.asarray(~np.isfinite(values))
    import pandas as pd

    missing: NDArray[np.bool_] = np.asarray(pd.isna(values), bool)
    return missing


def _few_whole(given: NDArray[Any]) -> bool:
    if given.dtype.kind == "f" and not np.equal(given, np.round(given)).all():
        return False
    return len(np.unique(given)) <= MOST_WHOLE_CLASSES


def _two_sides(name: str, given: NDArray[Any], known: NDArray[np.bool_], above: float) -> Aim:
    sides = (given > above).astype(np.int64)
    if sides.min() == sides.max():
        raise DataError(
            f"above={above:g} parts nothing: {name!r} lies between {given.min():g} and "
            f"{given.max():g}"
        )
    target = Target.classify(name, [f"at most {above:g}", f"above {above:g}"])
    return Aim(target, sides, known)


def _number(name: str, given: NDArray[Any], known: NDArray[np.bool_]) -> Aim:
    target = Target(name, Kind.REGRESSION)
    numbers = target.encode(given)
    if len(numbers) > 1 and numbers.min() == numbers.max():
        raise DataError(f"the target {name!r} is {numbers[0]:g} in every row: nothing to learn")
    return Aim(target, numbers, known)


def _classes(name: str, given: NDArray[Any], known: NDArray[np.bool_], notes: list[str]) -> Aim:
    labels = list(dict.fromkeys(given.tolist()))
    try:
        labels.sort(key=natural_order if isinstance(labels[0], str) else None)
    except TypeError:
        labels.sort(key=str)
    if len(labels) < 2:
        raise DataError(
            f"the target {name!r} is {labels[0]!r} in every row: there is nothing to tell apart"
        )
    if len(labels) > len(given) / 2 and len(given) > 2 * MOST_WHOLE_CLASSES:
        raise DataError(
            f"the target {name!r} has {len(labels):,} different values in {len(given):,} rows, too "
            "many for classes; is it the right column? task='number' predicts a number"
        )
    if isinstance(labels[0], str):
        notes += _notes_on_texts(name, labels)
    target = Target.classify(name, labels)
    return Aim(target, target.encode(given), known, tuple(notes))
