"""In what two experiments differ, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

EXTENDED = ("vary", "repeats", "design", "samples", "name", "loss_units")
"""Parts of an experiment that say which trials it has, not what a trial is."""


def differences(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Each value, but for those of :data:`EXTENDED`, that is not the same in two experiments.

    Args:
        kept: The experiment in a file, as plain JSON values.
        wanted: Another one, likewise, whose trials are not the same ones.

    Returns:
        At least one: what is not in the values is in a model or a loss of one's own.

    >>> kept = {"training": {"lr": 0.1, "seed": 0}, "repeats": 5}
    >>> differences(kept, {"training": {"lr": 0.2, "seed": 0}, "repeats": 9})
    ['training.lr is 0.2 and was 0.1']
    """
    old, new = (tuple(each.get("vary", ())) for each in (kept, wanted))
    factors = [f"what varies is {_told(new)} and was {_told(old)}"] if set(old) != set(new) else []
    values = [
        _ROWS if name == "data.fingerprint" else f"{name} is {_short(now)} and was {_short(before)}"
        for name, before, now in _differing(*_comparable(kept, wanted))
        if name.split(".")[0] not in EXTENDED
        and not name.startswith(_FOLLOWING)
        and name.rpartition(".")[2] not in {*old} & {*new}
    ]
    return [*factors, *values] or [_OWN]


def _comparable(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Two experiments; where one is on a table and one on made-up rows, their data by its name."""
    made, made_too = ("made" in each.get("data", {}) for each in (one, other))
    return (one, other) if made == made_too else (_with_name(one), _with_name(other))


def _with_name(experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    data = experiment["data"]
    return {**experiment, "data": data.get("made", data)["name"]}


def _differing(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        inside = f"{name}." if name else ""
        for key in sorted(old.keys() | new.keys()):
            yield from _differing(old.get(key), new.get(key), inside + key)
    else:
        yield name, old, new


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _told(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


_FOLLOWING = ("data.name", "data.rows", "data.source")
"""Of a table, what is another where its rows are others, or says nothing of them."""

_ROWS = "the rows of the data, or what is true of them, are others"

_OWN = "its model or its loss is another one of the same name: its weights or its code"

_LONGEST = 60
"""Characters of a value in a message."""
