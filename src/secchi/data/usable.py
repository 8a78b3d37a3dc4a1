"""Which labelled pictures can be used, and what to say of the others."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from secchi.data.folders import Skipped, natural_order
from secchi.errors import DataError

MOST_UNREADABLE = 0.5
"""When more than this share of the pictures cannot be read, that is an error."""


def names_in(label: Any) -> tuple[str, ...]:
    """The classes in a label: one, several, or none in a number."""
    if isinstance(label, tuple):
        return label
    return (label,) if isinstance(label, str) else ()


def classes_of(rows: Iterable[tuple[str, Any]]) -> list[str]:
    """Every class that occurs, in natural order; none where the labels are numbers."""
    return sorted({name for _, label in rows for name in names_in(label)}, key=natural_order)


def why_strange(label: Any, known: Collection[str]) -> str:
    """Why a picture that is not for training cannot be judged, or nothing."""
    strange = [name for name in names_in(label) if name not in known]
    return f"its class {strange[0]!r} has no training picture" if strange else ""


def strata(labels: Sequence[Any]) -> list[str | None]:
    """What to stratify by: a class, of several labels in a row the rarest, never a number."""
    times = Counter(name for label in labels for name in names_in(label))

    def rarest(label: Any) -> str | None:
        return min(names_in(label), key=lambda name: (times[name], name), default=None)

    return [rarest(label) for label in labels]


def refuse_one_class(classes: Sequence[str], root: str) -> None:
    """Raise where there is nothing to tell apart."""
    if len(classes) == 1:
        raise DataError(
            f"a classifier needs pictures of two classes or more, and {root} has only those of "
            f"{classes[0]!r}; a class is a folder with pictures, or a label that a table names"
        )


def refuse_unusable(root: str, skipped: Sequence[Skipped], counts: Mapping[str, int]) -> None:
    """Raise where too little can be read, or nothing is left of a split."""
    unreadable, readable = sum(s.unreadable for s in skipped), sum(counts.values())
    most = Counter(s.reason for s in skipped).most_common(3)
    reasons = ", ".join(f"{count:,} x {reason}" for reason, count in most) or "none"
    if unreadable > MOST_UNREADABLE * (unreadable + readable):
        raise DataError(
            f"{unreadable:,} of {unreadable + readable:,} pictures in {root} cannot be read, more "
            f"than {MOST_UNREADABLE:.0%}: {reasons}"
        )
    for name in ("train", "valid"):
        if counts.get(name) == 0:
            raise DataError(f"no picture for {name!r} in {root}; skipped were: {reasons}")
