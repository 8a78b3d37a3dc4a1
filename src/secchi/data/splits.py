"""Which rows train, which validate and which test.

A split is fixed by the seed and by what is in the rows, never by their order: the same rows in
another order, or under other names, part in the same way. Rows with the same content, or of the
same group, are never parted. Only :func:`assign_by_time` and :func:`assign_by_position` go by an
order, and :func:`order_warning` tells what that does to the answers.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence, Sized
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.quotas import held_out
from secchi.data.units import Bits, Numbers, Units, joined, numbered, units_of
from secchi.errors import DataError
from secchi.seeding import stream_seed
from secchi.values import is_number, is_whole

Parts = NDArray[np.int8]
"""The part of each row, of shape (rows,)."""


class Part(IntEnum):
    """What a row is for."""

    TRAIN = 0
    VALID = 1
    TEST = 2


TRAIN, VALID, TEST = Part.TRAIN, Part.VALID, Part.TEST


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
    _check_lengths(rows, labels=labels, groups=groups)

    members: defaultdict[int, list[int]] = defaultdict(list)
    units = joined(numbered(keys), numbered([None] * rows if groups is None else groups))
    for row, unit in enumerate(units.tolist()):
        members[unit].append(row)

    names = labels if labels is not None else [None] * rows
    strata: defaultdict[Hashable, list[tuple[bytes, list[int]]]] = defaultdict(list)
    for unit_rows in members.values():
        # The smallest row speaks for the unit, so that the order of its rows does not matter.
        speaker = min(unit_rows, key=lambda row: (keys[row], str(names[row])))
        digest = hashlib.sha256(f"holdout {seed} ".encode() + keys[speaker]).digest()
        strata[names[speaker]].append((digest, unit_rows))

    held = np.zeros(rows, dtype=bool)
    for stratum in strata.values():
        if len(stratum) < 2:
            continue
        stratum.sort(key=lambda unit: unit[0])
        wanted = fraction * sum(len(unit_rows) for _, unit_rows in stratum)
        taken = 0
        for count, (_, unit_rows) in enumerate(stratum):
            nearer = abs(taken + len(unit_rows) - wanted) <= abs(taken - wanted)
            if count > 0 and (not nearer or count == len(stratum) - 1):
                break
            held[unit_rows] = True
            taken += len(unit_rows)
    return held


def assign(
    keys: Bits,
    *,
    valid: float,
    test: float = 0.0,
    labels: Numbers | None = None,
    groups: Numbers | None = None,
    together: bool = True,
    stable: bool = False,
    seed: int = 0,
    repeat: int = 0,
) -> Parts:
    """Part rows at random, fixed by the seed and by what is in them.

    Rows that share a key or a group form one unit, with the label of its row of the smallest key.
    Within each label the units are put in an order drawn from (seed, repeat, content); the first
    ones test, the last ones validate. The shares are met to one row in the whole and to one unit
    in each label; a label with one unit stays in training, and every other keeps one there. A part
    that was asked for is empty only where there are no units for it.

    Where every row is a unit, adding k rows of one label moves at most k + 1 old ones. Where there
    is a test part too it moves at most k + 5, and k + 1 into or out of that part. A rule that never
    moves any has to judge each unit by itself, so that no share can be exact: that is ``stable``.

    Args:
        keys: The content of each row, as a digest, uint64 of shape (rows,).
        valid: The share of rows that validate, from 0 on.
        test: The share of rows that test, from 0 on; both together less than 1.
        labels: What to stratify by, as a number a row; None stratifies by nothing.
        groups: Rows of one number stay together (measurements of one patient); a negative number
            is no group.
        together: Whether rows of equal keys stay together. Otherwise they are told apart by their
            number among their equals.
        stable: Let the part of each unit follow from the seed and its own content, or the number of
            its group, alone: rows that are added move no old one, unless they join what was apart.
            The shares hold on average only, labels are not looked at, and a group has to keep its
            number when rows are added.
        seed: Another seed gives another split.
        repeat: Likewise: which repetition of an experiment it is.

    Returns:
        TRAIN, VALID or TEST for each row.

    Raises:
        DataError: Shares that cannot be, or columns of another length.

    >>> part = assign(np.arange(50, dtype=np.uint64), valid=0.2, test=0.1)
    >>> np.bincount(part).tolist()
    [35, 10, 5]
    """
    _check_shares(valid, test)
    _check_lengths(len(keys), labels=labels, groups=groups)
    units = units_of(keys, labels, groups, together=together, by_group=stable)
    number = stream_seed(seed, "split", repeat)
    if stable:
        places = units.draws(number) * 2.0**-64
        tests, validates = places < test, places >= 1 - valid
    else:
        tests, validates = held_out(units, test, valid, number)
    return np.select([tests, validates], [TEST, VALID], TRAIN).astype(np.int8)[units.of]


def assign_by_time(
    when: NDArray[Any], *, valid: float, test: float = 0.0, groups: Numbers | None = None
) -> Parts:
    """Part rows by time: the latest test, those before them validate, the others train.

    Rows of one time are never parted, so the shares are met to the nearest whole time. A group
    stands at the time of its last row, so that nothing trains that is later than what it is judged
    by.

    Args:
        when: The time of each row, as dates or numbers.
        valid: The share of rows that validate, from 0 on.
        test: The share of rows that test, from 0 on; both together less than 1.
        groups: Rows of one number stay together; a negative number is no group.

    Raises:
        DataError: Shares that cannot be, columns of another length, a row without a time, or fewer
            times than parts.

    >>> assign_by_time(np.array([2020, 2023, 2021, 2022, 2020]), valid=0.2, test=0.2).tolist()
    [0, 2, 0, 1, 0]
    """
    _check_shares(valid, test)
    _check_lengths(len(when), groups=groups)
    if missing := int((when != when).sum()):  # as only NaN and NaT are
        raise DataError(f"{missing:,} rows have no time; leave them out, or part rows at random")
    times = _times(when, groups)
    sizes = np.bincount(times)
    shares = [(share, part) for share, part in ((test, TEST), (valid, VALID)) if share]
    if len(sizes) <= len(shares):
        raise DataError(
            f"{len(shares) + 1} parts need as many different times, and there are {len(sizes)}; "
            "part the rows at random"
        )
    parts = np.full(len(sizes), TRAIN, np.int8)
    end = len(sizes)
    for (share, part), left in zip(shares, range(len(shares), 0, -1), strict=True):
        latest = sizes[left:end][::-1]
        nearer = 2 * np.cumsum(latest) - latest <= 2 * share * len(when)
        start = end - max(1, int(nearer.sum()))
        parts[start:end] = part
        end = start
    return parts[times]


def assign_by_position(rows: int, *, valid: float, test: float = 0.0) -> Parts:
    """Part rows by where they stand: the first train, those after them validate, the last test.

    That is right for rows in the order of time. Where they are sorted in another way, such as by
    class, the parts are of different kinds; :func:`order_warning` tells.

    Raises:
        DataError: Shares that cannot be, or fewer rows than parts.

    >>> assign_by_position(5, valid=0.2, test=0.2).tolist()
    [0, 0, 0, 1, 2]
    """
    return assign_by_time(np.arange(rows), valid=valid, test=test)


def folds(
    keys: Bits,
    k: int,
    *,
    repeats: int = 1,
    labels: Numbers | None = None,
    groups: Numbers | None = None,
    together: bool = True,
    seed: int = 0,
) -> Iterator[Parts]:
    """Part rows k times, so that each validates once; and that again, in another way.

    The rule is scikit-learn's ``KFold``, ``StratifiedKFold``, ``GroupKFold`` or
    ``StratifiedGroupKFold``, on units in an order drawn from (seed, repeat, content): the order of
    the rows does not matter, and equal ones are not parted. Without groups each unit counts as one
    row.

    Args:
        keys: The content of each row, as in :func:`assign`.
        k: How many folds, two or more.
        repeats: How many times, each with other folds.
        labels: What to stratify by, as a number a row; None stratifies by nothing.
        groups: Rows of one number stay together; a negative number is no group.
        together: Whether rows of equal keys stay together.
        seed: Another seed gives other folds.

    Returns:
        An iterator over k x repeats arrays of TRAIN and VALID, one repeat after another.

    Raises:
        DataError: More folds than there are units, of all rows or of those of a label; or columns
            of another length.

    >>> keys = np.arange(6, dtype=np.uint64)
    >>> sum(part.astype(int) for part in folds(keys, 3)).tolist()
    [1, 1, 1, 1, 1, 1]
    """
    _check_lengths(len(keys), labels=labels, groups=groups)
    for name, value, least in (("folds", k, 2), ("repeats", repeats, 1)):
        if not (is_whole(value) and value >= least):
            raise DataError(f"{value!r} {name} cannot be; it has to be a whole number from {least}")
    units = units_of(keys, labels, groups, together=together)
    grouped = groups is not None and bool((np.asarray(groups) >= 0).any())
    _check_folds(k, units, labels, grouped)
    return (
        np.where(numbers == number, VALID, TRAIN).astype(np.int8)
        for repeat in range(repeats)
        for numbers in [_fold_numbers(units, labels, grouped, k, seed, repeat)]
        for number in range(k)
    )


def order_warning(
    part: Parts, values: NDArray[Any], classes: Sequence[str] | None = None
) -> str | None:
    """Say where the answers in the parts differ more than chance allows.

    Classes are held to the chi-squared test of their counts in each part, numbers to the test of
    Kruskal and Wallis, both at p < 0.001.

    Args:
        part: The part of each row.
        values: The number of each row's class, or a number.
        classes: The names of the classes by their numbers; None where the values are numbers.

    Returns:
        A sentence with the averages in each part, or None where nothing is strange.

    >>> part = assign_by_position(100, valid=0.2)
    >>> print(order_warning(part, np.repeat([0, 1], 50), ["cat", "dog"]))
    the parts are of different kinds (train: cat 62 %, dog 38 %; valid: dog 100 %): the rows are \
sorted; part them at random, unless their order is that of time
    >>> order_warning(part, np.tile([0, 1], 50), ["cat", "dog"])
    """
    _check_lengths(len(part), values=values)
    samples = {each.name.lower(): values[part == each] for each in Part if (part == each).any()}
    if len(samples) < 2 or len(np.unique(values)) < 2 or _chance(samples, classes) >= _STRANGE:
        return None
    averages = "; ".join(
        f"{name}: {f'mean {sample.mean():.4g}' if classes is None else _mix(sample, classes)}"
        for name, sample in samples.items()
    )
    return (
        f"the parts are of different kinds ({averages}): the rows are sorted; part them at random, "
        "unless their order is that of time"
    )


def _times(when: NDArray[Any], groups: Numbers | None) -> NDArray[np.int64]:
    """The time of each row, or the last one of its group, numbered from 0 on without gaps."""
    times = np.unique(when, return_inverse=True)[1]
    if groups is None:
        return times.astype(np.int64)
    units = joined(np.arange(len(when)), groups)
    last = np.zeros(len(when), np.int64)
    np.maximum.at(last, units, times)
    return np.unique(last[units], return_inverse=True)[1].astype(np.int64)


def _fold_numbers(
    units: Units, labels: Numbers | None, grouped: bool, k: int, seed: int, repeat: int
) -> NDArray[np.int64]:
    """The fold in which each row validates."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    order = np.argsort(units.draws(stream_seed(seed, "folds", repeat)))
    places = np.argsort(order)[units.of]
    if grouped:
        splitter = GroupKFold(k) if labels is None else StratifiedGroupKFold(k)
        held = splitter.split(places, labels, places)
    else:
        splitter = KFold(k) if labels is None else StratifiedKFold(k)
        held = splitter.split(order, units.labels[order])
    numbers = np.empty(len(places) if grouped else len(order), np.int64)
    for number, (_, valid) in enumerate(held):
        numbers[valid] = number
    return numbers if grouped else numbers[places]


def _chance(samples: Mapping[str, NDArray[Any]], classes: Sequence[str] | None) -> float:
    """How probable it is that samples of one kind differ as much as these."""
    from scipy.stats import chi2_contingency, kruskal

    if classes is None:
        return float(kruskal(*samples.values()).pvalue)
    counts = np.array([np.bincount(each, minlength=len(classes)) for each in samples.values()])
    return float(chi2_contingency(counts[:, counts.any(axis=0)]).pvalue)


def _mix(sample: NDArray[Any], classes: Sequence[str]) -> str:
    """The shares of the classes that there are; of the largest, where they are many."""
    shares = np.bincount(sample, minlength=len(classes)) / len(sample)
    there = np.flatnonzero(shares)
    named = there
    if len(there) > _NAMED:
        named = np.sort(np.argsort(-shares, kind="stable")[: _NAMED - 1])
    words = [f"{classes[i]} {100 * shares[i]:.0f} %" for i in named.tolist()]
    if others := len(there) - len(named):
        words.append(f"{others} others {100 * (1 - shares[named].sum()):.0f} %")
    return ", ".join(words)


def _check_folds(k: int, units: Units, labels: Numbers | None, grouped: bool) -> None:
    what = "groups or single rows" if grouped else "different rows"
    count = len(units.sizes)
    if count < k:
        raise DataError(f"{k} folds need {k} {what}, and there are {count}; ask for fewer folds")
    if labels is None:
        return
    names, codes = np.unique(labels if grouped else units.labels, return_inverse=True)
    # A group may hold rows of several labels; each label is counted once in it.
    reach = np.bincount(np.unique(codes * count + units.of) // count if grouped else codes)
    rarest = int(np.argmin(reach))
    if reach[rarest] < k:
        raise DataError(
            f"{k} folds need {k} {what} of each label, and label {names[rarest]} has "
            f"{reach[rarest]}; ask for fewer folds, or stratify by nothing"
        )


def _check_shares(valid: float, test: float) -> None:
    for name, share in (("validate", valid), ("test", test)):
        if not (is_number(share) and share >= 0):
            raise DataError(f"the share of rows to {name} is {share}; it has to be from 0 to 1")
    if valid + test >= 1:
        raise DataError(
            f"{valid:g} of the rows to validate and {test:g} to test leave none to train; both "
            "together have to be less than 1"
        )


def _check_lengths(rows: int, **columns: Sized | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != rows:
            raise DataError(f"{rows} rows but {len(column)} {name}")


_STRANGE = 1e-3
"""The probability below which a difference is no chance."""
_NAMED = 5
"""Classes that are named one by one."""
