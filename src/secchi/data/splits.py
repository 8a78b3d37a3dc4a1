"""Which rows train and which validate.

A split is fixed by the seed and by what is in the rows, never by their order: the same rows in
another order, or under other names, part in the same way. Rows with the same content, or of the
same group, are never parted.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError


def holdout(
    fraction: float,
    *,
    keys: Sequence[bytes],
    labels: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Choose the rows to hold out.

    Rows that share a key or a group form one unit. Within each label the units are put in an order
    drawn from (seed, content), and the first ones are held out until the label's share is as near
    to ``fraction`` as whole units allow; a label with two units or more keeps at least one on
    either side, and a label with a single unit stays in training. Adding rows later moves at
    most the units at the boundary of their label.

    Args:
        fraction: The share of each label's rows to hold out, between 0 and 1.
        keys: The content of each row, as a digest.
        labels: What to stratify by; None stratifies by nothing.
        groups: Rows of one group stay together (pictures of one patient); None is no group.
        seed: Another seed gives another split.

    Returns:
        True for every row held out, shape (rows,).

    Raises:
        DataError: The fraction is not between 0 and 1, or the lengths differ.

    >>> digests = [bytes([i]) for i in range(10)]
    >>> int(holdout(0.2, keys=digests).sum())
    2
    """
    rows = len(keys)
    if not 0 < fraction < 1:
        raise DataError(f"the share to hold out is {fraction}; it has to lie between 0 and 1")
    for name, column in (("labels", labels), ("groups", groups)):
        if column is not None and len(column) != rows:
            raise DataError(f"{rows} rows but {len(column)} {name}")

    members: defaultdict[int, list[int]] = defaultdict(list)
    for row, unit in enumerate(_units(keys, groups)):
        members[unit].append(row)

    names = labels if labels is not None else [None] * rows
    strata: defaultdict[Hashable, list[tuple[bytes, list[int]]]] = defaultdict(list)
    for unit_rows in members.values():
        # The smallest row speaks for the unit, so that the order of its rows does not matter.
        speaker = min(unit_rows, key=lambda row: (keys[row], str(names[row])))
        digest = hashlib.sha256(f"holdout {seed} ".encode() + keys[speaker]).digest()
        strata[names[speaker]].append((digest, unit_rows))

    held = np.zeros(rows, dtype=bool)
    for units in strata.values():
        if len(units) < 2:
            continue
        units.sort(key=lambda unit: unit[0])
        wanted = fraction * sum(len(unit_rows) for _, unit_rows in units)
        taken = 0
        for count, (_, unit_rows) in enumerate(units):
            nearer = abs(taken + len(unit_rows) - wanted) <= abs(taken - wanted)
            if count > 0 and (not nearer or count == len(units) - 1):
                break
            held[unit_rows] = True
            taken += len(unit_rows)
    return held


def _units(keys: Sequence[bytes], groups: Sequence[Hashable] | None) -> list[int]:
    """The unit of each row: rows connected by a shared key or a shared group."""
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_of: dict[Hashable, int] = {}
    for row, key in enumerate(keys):
        belongs: list[Hashable] = [("key", key)]
        if groups is not None and groups[row] is not None:
            belongs.append(("group", groups[row]))
        for name in belongs:
            parent[root(row)] = root(first_of.setdefault(name, row))
    return [root(row) for row in range(len(keys))]
