"""Plain values as TOML, which Python reads and does not write."""

import json
import re
from collections.abc import Mapping
from typing import Any


def table_of(name: str, values: Mapping[str, Any]) -> str:
    """A table with its name, a line for each value.

    >>> print(table_of("vary", {"lr": [0.1, 1.0], "schedule": {"name": "cosine"}, "a b": True}))
    [vary]
    lr = [0.1, 1.0]
    schedule = {name = "cosine"}
    "a b" = true
    """
    return "\n".join(
        [f"[{name}]", *(f"{_key(key)} = {_toml(each)}" for key, each in values.items())]
    )


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    # JSON's texts are TOML's, but for one character that TOML wants escaped.
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)
    return text.replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
