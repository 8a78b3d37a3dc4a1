"""Rows that are never parted, as units: each with a name from its content, a label and a size."""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Numbers = NDArray[np.integer]


class Units(NamedTuple):
    """The units of some rows.

    Attributes:
        of: The unit of each row, int64 of shape (rows,), from 0 on.
        names: What each unit is called, uint64 of shape (units,): from its content alone.
        labels: The label of each unit, int64.
        sizes: How many rows each has, int64.
    """

    of: NDArray[np.int64]
    names: Bits
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def draws(self, seed: int) -> Bits:
        """64 random bits for each unit, which follow from the seed and its name alone."""
        return mixed(self.names ^ np.uint64(seed))


def units_of(
    keys: Bits,
    labels: Numbers | None,
    groups: Numbers | None,
    *,
    together: bool,
    by_group: bool = False,
) -> Units:
    """Join the rows that are never parted.

    The row with the smallest digest speaks for its unit: it gives the name and the label. The order
    of the rows does not matter, nor do the numbers of the groups.

    Args:
        keys: The content of each row, as a digest.
        labels: The label of each row, as a number; None for one label.
        groups: The group of each row; a negative number is no group.
        together: Whether rows of equal keys are one unit; otherwise they are told apart by their
            number among those of their key and label.
        by_group: Whether a group gives its number for a name, so that rows that join it change
            nothing; its content gives one otherwise.

    >>> units = units_of(
    ...     np.array([7, 8, 7, 9], np.uint64), None, np.array([-1, 0, 0, -1]), together=True
    ... )
    >>> len(set(units.of[:3].tolist())), units.sizes.tolist()
    (1, [3, 1])
    """
    rows = len(keys)
    label_of = np.zeros(rows, np.int64) if labels is None else np.asarray(labels, np.int64)
    group_of = np.full(rows, -1) if groups is None else np.asarray(groups, np.int64)
    contents = keys if together else keys ^ mixed(_numbers(keys, label_of, group_of))
    of = joined(keys if together else np.arange(rows), group_of)
    names = mixed(contents)
    if by_group:
        # The upper half is for rows without a group, so that a group's number speaks before them.
        names = np.where(group_of >= 0, mixed(group_of.astype(np.uint64)) >> _ONE, names | _UPPER)
    order = np.lexsort((label_of, names, of))
    speakers = order[_starts(of[order])]
    return Units(of, names[speakers], label_of[speakers], np.bincount(of))


def joined(codes: NDArray[Any], groups: Numbers) -> NDArray[np.int64]:
    """The unit of each row, where rows of one code or one group are connected.

    Args:
        codes: Anything that can be sorted, one a row.
        groups: The group of each row; a negative number is no group.

    >>> joined(np.array([5, 5, 6, 7]), np.array([-1, 2, 2, -1])).tolist()
    [0, 0, 0, 1]
    """
    known, places = np.unique(codes, return_inverse=True)
    grouped = np.flatnonzero(groups >= 0)
    if not len(grouped):
        return places.astype(np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, numbers = np.unique(groups[grouped], return_inverse=True)
    nodes = len(known) + len(names)
    # A graph of codes and groups, with an edge for each row that has both.
    edges = coo_array(
        (np.ones(len(grouped), bool), (places[grouped], len(known) + numbers)), (nodes, nodes)
    )
    _, units = connected_components(edges, directed=False)
    return np.asarray(units[places], np.int64)


def numbered(names: Iterable[Hashable | None]) -> NDArray[np.int64]:
    """A number for each name, by where it comes first; None is -1.

    >>> numbered(["b", None, "a", "b"]).tolist()
    [0, -1, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    given = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(given, np.int64)


def mixed(bits: Bits) -> Bits:
    """The finalizer of splitmix64 (Steele, Lea and Flood, 2014): every bit depends on every bit.

    >>> mixed(np.array([0, 1], np.uint64)).tolist()
    [0, 6238072747940578789]
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _numbers(keys: Bits, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> Bits:
    """The number of each row among those of its key and label; groups settle who comes first."""
    order = np.lexsort((groups, labels, keys))
    starts = _starts(keys[order]) | _starts(labels[order])
    places = np.arange(len(keys))
    numbers = np.empty(len(keys), np.uint64)
    numbers[order] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return numbers


def _starts(values: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a run of equal values starts."""
    starts = np.ones(len(values), bool)
    starts[1:] = values[1:] != values[:-1]
    return starts


_ONE, _UPPER = np.uint64(1), np.uint64(1 << 63)
