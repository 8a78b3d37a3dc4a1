"""What the test ledger speaks of: a test set, named by its rows, and the looks at it."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np

from secchi.data.row_keys import Keys
from secchi.errors import DataError


@dataclasses.dataclass(frozen=True)
class TestSet:
    """A test set, named by the contents of its rows.

    It is the same test set in another order, in a copy, under another file name, and where rows
    stand in it twice.

    Attributes:
        fingerprint: A digest of the set of row contents, 64 hexadecimal digits.
        keys: The digest of each different row, sorted, uint64 of shape (rows,).

    >>> keys = np.array([3, 1, 2], np.uint64)
    >>> test = TestSet.of(keys)
    >>> len(test), test == TestSet.of(keys[[2, 0, 1, 1]]), test == TestSet.of(keys[:2])
    (3, True, False)
    """

    __test__ = False  # pytest collects classes whose names begin with Test

    fingerprint: str
    keys: Keys = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, keys: Keys) -> "TestSet":
        """From a digest of each row's content, uint64 of shape (rows,).

        Raises:
            DataError: There are no rows.
        """
        if not len(keys):
            raise DataError("a test set without rows has nothing to look at; give it a share")
        different = np.unique(keys)
        blob = different.astype("<u8").tobytes()
        return cls(hashlib.sha256(b"secchi test set 1\n" + blob).hexdigest(), different)

    def __len__(self) -> int:
        return len(self.keys)


def fingerprint(keys: Keys) -> str:
    """A digest of a set of rows, whatever their order and however often each stands in it.

    Args:
        keys: A digest of each row's content, uint64 of shape (rows,).

    Raises:
        DataError: There are no rows.

    >>> fingerprint(np.array([1, 2], np.uint64)) == fingerprint(np.array([2, 1, 2], np.uint64))
    True
    """
    return TestSet.of(keys).fingerprint


def keys_of_digests(digests: Iterable[bytes]) -> Keys:
    """Row keys of things that are named by longer digests, such as pictures.

    Args:
        digests: Such as SHA-256; the first eight bytes of each are taken.

    Returns:
        uint64 of shape (digests,)

    Raises:
        DataError: A digest is shorter than eight bytes.

    >>> keys_of_digests([bytes([1, 0, 0, 0, 0, 0, 0, 0, 99])])
    array([1], dtype=uint64)
    """
    heads = [digest[:8] for digest in digests]
    if any(len(head) < 8 for head in heads):
        raise DataError("a digest of a row is shorter than eight bytes; SHA-256 gives 32")
    return np.frombuffer(b"".join(heads), "<u8").astype(np.uint64)


@dataclasses.dataclass(frozen=True)
class Look:
    """One line of the ledger: an opening of a test set, or a model's result on it.

    Attributes:
        id: Names the line.
        test: The fingerprint of the test set.
        reason: Why it was opened, in the person's words.
        when: When, in UTC.
        version: Of the secchi that wrote the line.
        opening: The ``id`` of the opening that a result belongs to; None for an opening.
        model: What identifies the model, such as a digest of its weights; None for an opening.
        name: What a person calls the model.
        metric: What ``value`` measures, such as ``"accuracy"``.
        value: The result; None for an opening, and where it was not finite.

    >>> from datetime import UTC
    >>> when = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
    >>> print(Look("a1", "77c0", "the paper", when, "0.1.0"))
    2026-11-03 09:30 UTC, opened: the paper
    >>> print(Look("b2", "77c0", "the paper", when, "0.1.0", "a1", "5f", "16-32", "accuracy", 0.75))
    2026-11-03 09:30 UTC, 16-32: accuracy 0.75
    """

    id: str
    test: str
    reason: str
    when: datetime
    version: str
    opening: str | None = None
    model: str | None = None
    name: str = ""
    metric: str = ""
    value: float | None = None

    def __post_init__(self) -> None:
        if self.value is not None:  # -0.0 becomes 0.0, as in the file
            number = float(self.value) + 0.0
            object.__setattr__(self, "value", number if math.isfinite(number) else None)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self) | {"when": self.when.isoformat()}

    def __str__(self) -> str:
        when = f"{self.when:%Y-%m-%d %H:%M} UTC"
        if self.model is None:
            return f"{when}, opened: {self.reason}"
        value = "not finite" if self.value is None else f"{self.value:.4g}"
        return f"{when}, {self.name or self.model[:12]}: {self.metric} {value}"


@dataclasses.dataclass(frozen=True)
class Overlap:
    """A test set of the ledger that shares rows with the one in hand, and the looks at it.

    Attributes:
        test: Its fingerprint.
        rows: How many different rows it has.
        shared: How many of them are in the test set in hand.
        exact: Whether ``shared`` was counted; if not, it is estimated from a sample.
        looks: Its lines, the oldest first.
    """

    test: str
    rows: int
    shared: int
    exact: bool
    looks: tuple[Look, ...]


@dataclasses.dataclass(frozen=True)
class Looks:
    """All that the ledger knows of a test set.

    Attributes:
        test: The test set.
        here: The lines of this test set, the oldest first; those that are in no file last.
        others: Other test sets that share rows with it, those that share the most first.
        remarks: What is not counted, and why; mostly none.
    """

    test: TestSet
    here: tuple[Look, ...]
    others: tuple[Overlap, ...]
    remarks: tuple[str, ...] = ()
