"""Shares of rows in whole units, label by label, without roundings that add up."""

import math

import numpy as np
from numpy.typing import NDArray

from secchi.data.units import Units, mixed

Ints = NDArray[np.int64]


def held_out(
    units: Units, test: float, valid: float, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which units test and which validate.

    In each label the units stand in an order drawn from the seed and their names. Those that test
    are taken from its start and those that validate from its end, so that one share moves no border
    of the other. A label with one unit has neither, and every other keeps a unit that has neither.

    Args:
        units: The units.
        test: The share of rows that test.
        valid: The share of rows that validate.
        seed: Names the order, and settles which of two labels is rounded up where both have the
            same claim.

    Returns:
        Two arrays of shape (units,).
    """
    if not len(units.sizes):
        return np.zeros(0, bool), np.zeros(0, bool)
    names, labels, counts = np.unique(units.labels, return_inverse=True, return_counts=True)
    order = np.lexsort((units.draws(seed), labels))
    labels, sizes = labels[order], units.sizes[order]
    rows = np.bincount(labels, sizes).astype(np.int64)
    firsts = np.cumsum(counts) - counts

    most = np.where(counts > 1, rows - 1, 0)
    ranks = np.argsort(np.argsort(mixed(names.astype(np.uint64) ^ np.uint64(seed))))
    spared = np.minimum(np.floor(_exact(valid, rows)).astype(np.int64), most)
    test_rows = apportioned(rows, test, most - spared, ranks)
    valid_rows = apportioned(rows, valid, most - test_rows, ranks)

    after = np.cumsum(rows)[labels] - np.cumsum(sizes)
    before = rows[labels] - after - sizes
    tests = 2 * before + sizes <= 2 * test_rows[labels]
    validates = 2 * after + sizes <= 2 * valid_rows[labels]
    # Units can be so large that the nearest number of them is none, or all.
    largest = np.argmax(counts)
    if test and not tests.any():
        tests[firsts[largest]] = True
    if valid and not validates.any():
        validates[firsts[largest] + counts[largest] - 1] = True
    bare = np.bincount(labels, ~(tests | validates), len(counts)) == 0
    inner = firsts + np.minimum(np.bincount(labels, tests, len(counts)).astype(int), counts - 1)
    tests[inner[bare]] = validates[inner[bare]] = False

    back = np.argsort(order)
    return tests[back], validates[back]


def apportioned(rows: Ints, share: float, most: Ints, ranks: Ints) -> Ints:
    """A share of each label's rows, rounded so that the sum is rounded too.

    Every label gets what its share comes to, rounded down; what is then left of the whole goes
    to those that were rounded down by most (the method of the largest remainder, of Hamilton and
    Hare). So no label is a row or more away from its share, and the whole half a row, unless too
    many labels have no more to give. A share of anything is one row at least.

    Args:
        rows: The rows of each label.
        share: From 0 on, below 1.
        most: What each label can give at most.
        ranks: Which label goes first where several were rounded down by as much.

    >>> apportioned(np.array([5, 5, 5]), 0.5, np.array([4, 4, 4]), np.array([2, 0, 1])).tolist()
    [2, 3, 3]
    """
    exact = _exact(share, rows)
    given = np.minimum(np.floor(exact).astype(np.int64), most)
    claims = np.where(given < most, exact - given, 0.0)
    wanted = max(1, math.floor(exact.sum() + 0.5)) if share else 0
    first = np.lexsort((ranks, -claims))[: max(0, wanted - int(given.sum()))]
    given[first[claims[first] > 0]] += 1
    return given


def _exact(share: float, rows: Ints) -> NDArray[np.float64]:
    """What a share comes to; 0.1 of 30 is 3, not a hair more."""
    return np.round(share * rows, 9)
