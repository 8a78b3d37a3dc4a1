"""Of what type the keys of a table [data] are, in the file of an experiment."""

from collections.abc import Callable, Mapping
from typing import Any

from secchi.errors import did_you_mean
from secchi.values import is_number, is_whole


def faults_of_types(given: Mapping[str, Any]) -> list[str]:
    """Keys that there are not, and values of a type that they cannot have.

    Whether a value of the right type will do is seen where it is used.

    Args:
        given: The keys of a table that is read from a file, or of how made-up rows are parted.

    >>> faults_of_types({"csv": "wine.csv", "target": 5, "sep": 5, "inputs": ["pH", 0.5]})
    ['sep is 5, which is no text', "inputs is ['pH', 0.5], which is no name and no list of names"]
    """
    faults = []
    for name, value in given.items():
        if name not in _TYPES:
            faults.append(f"there is no {name!r}{did_you_mean(name, _TYPES)}")
        elif not _TYPES[name][0](value):
            faults.append(f"{name} is {value!r}, which is {_TYPES[name][1]}")
    return faults


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    """Names of columns can be numbers, such as years."""
    return _is_text(value) or is_whole(value)


def _is_names(value: Any) -> bool:
    return _is_name(value) or isinstance(value, list) and all(map(_is_name, value))


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return is_number(value) or _is_truth(value)


def _or_by_name(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """One value, or a table with one for each of several names."""
    return lambda value: (
        all(map(check, value.values())) if isinstance(value, Mapping) else check(value)
    )


def _is_weights(value: Any) -> bool:
    return _is_text(value) or isinstance(value, Mapping) and all(map(is_number, value.values()))


_TEXT = (_is_text, "no text")
_NAME = (_is_name, "no name of a column")
_NAMES = (_is_names, "no name and no list of names")
_TRUTH = (_is_truth, "neither true nor false")
_WHOLE = (is_whole, "no whole number")

_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("csv", "sep", "encoding", "split", "duplicates"), _TEXT),
    **dict.fromkeys(("scale", "target_scale"), _TEXT),
    **dict.fromkeys(("weight_column", "group_column", "time_column", "split_column"), _NAME),
    **dict.fromkeys(("target", "inputs", "drop"), _NAMES),
    **dict.fromkeys(("stable", "stratify"), _TRUTH),
    **dict.fromkeys(("seed", "repeat"), _WHOLE),
    "above": (_or_by_name(is_number), "no number, and no table of numbers by target"),
    "task": (_or_by_name(_is_text), "no text, and no table of texts by target"),
    "valid_fraction": (is_number, "no number"),
    "test": (_is_share, "no number, and neither true nor false"),
    "class_weights": (_is_weights, "no text, and no table of numbers by class"),
}
"""What each key has to be, and what a value is called that is not."""
