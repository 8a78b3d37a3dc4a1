"""A setting: a plain value for each factor, how one is told and when two are the same."""

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AnySet
from typing import Any

from secchi.data.label_values import plain

Setting = dict[str, Any]
"""A plain JSON value for each factor, by its name."""

_EXACT = 2.0**53
"""Below this, every whole number is a float of its own."""


def canonical(value: Any) -> str:
    """A plain value as the one JSON text that all equal ones have, in any process.

    Keys are sorted, and 1.0 is written as 1.

    >>> canonical({"width": 16.0, "lr": 0.1}) == canonical({"lr": 0.1, "width": 16})
    True
    """
    return json.dumps(_alike(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def told(setting: Mapping[str, Any]) -> str:
    """A setting, as one says it.

    >>> told({"lr": 0.1, "optimizer": "sgd"})
    "lr=0.1, optimizer='sgd'"
    """
    return ", ".join(f"{name}={value!r}" for name, value in setting.items())


def choices(name: str, given: Any) -> tuple[tuple[Any, ...], list[str]]:
    """The values of a list, and its faults."""
    if isinstance(given, str | bytes | Mapping | AnySet) or not isinstance(given, Iterable):
        return (), [f"{name} is {given!r}, which is no list of values"]
    values, faults, seen = [], [], set()
    for each in given:
        value, fault = plain_value(each)
        if fault:
            faults.append(f"{name} {fault}")
            continue
        if (text := canonical(value)) in seen:
            faults.append(f"{name} has {value!r} twice")
        seen.add(text)
        values.append(value)
    return tuple(values), faults if values or faults else [f"{name} has no values"]


def plain_value(value: Any) -> tuple[Any, str | None]:
    """A value as plain JSON, and what is wrong with it."""
    document = value.to_dict() if hasattr(value, "to_dict") else value
    try:
        document = plain(document)
        canonical(document)
    except ValueError:
        return None, f"has {value!r}, which is not finite"
    except TypeError:
        return None, f"has {value!r}, which is no plain value: no number, text, list or mapping"
    return document, None


def _alike(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, Mapping):
        return {name: _alike(each) for name, each in value.items()}
    return [_alike(each) for each in value] if isinstance(value, list | tuple) else value
