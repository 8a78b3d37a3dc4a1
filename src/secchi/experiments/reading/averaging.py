"""Averages over settings within each repeat, and smoothing."""

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError
from secchi.experiments.reading.collected import Collected, Places
from secchi.values import is_whole

Array = NDArray[np.float64]


def averaged(values: Array, places: Places, groups: int) -> Array:
    """The mean over the settings of each group, in each repeat.

    Repeats are what varies by chance: settings of one repeat share their streams of random numbers,
    so a group's mean has as many independent values as there are repeats, however many settings are
    in it. With the mean m of each setting over its repeats, the mean M of those, and the deviation
    d of each trial from its setting's m, it is M plus the mean of d over the settings that the
    repeat has. Where nothing is missing that is the plain mean; where trials failed, it does not
    move because another repeat has other settings.

    Args:
        values: (settings, repeats, epochs), NaN where there is none.
        places: The group of each setting, (settings,).
        groups: How many there are.

    Returns:
        (groups, repeats, epochs), NaN where a repeat has no value of the group.

    >>> values = np.array([[[1.0], [3.0]], [[5.0], [np.nan]]])
    >>> averaged(values, np.array([0, 0]), 1)[0, :, 0].tolist()
    [3.0, 4.5]
    """
    found = np.empty((groups, *values.shape[1:]))
    order = np.argsort(places, kind="stable")
    ends = np.cumsum(np.bincount(places, minlength=groups))
    for group, members in enumerate(np.split(order, ends[:-1])):
        found[group] = values[members[0]] if len(members) == 1 else _pooled(values[members])
    return found


def counts(
    collected: Collected, places: Places, groups: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many trials each group has, and how many of them failed, (groups,) each."""
    of_trials = places[collected.setting]
    runs = np.bincount(of_trials, minlength=groups)
    failed = np.bincount(of_trials, collected.failed, minlength=groups)
    return runs.astype(np.int64), failed.astype(np.int64)


def tally(there: NDArray[np.bool_], places: Places, groups: int) -> NDArray[np.int64]:
    """Over the settings of each group and all repeats, how many are true.

    Args:
        there: (settings, repeats, …).
        places: The group of each setting, (settings,).
        groups: How many there are.

    Returns:
        (groups, …).
    """
    found = np.zeros((groups, *there.shape[2:]), dtype=np.int64)
    np.add.at(found, places, there.sum(axis=1))
    return found


def smoothed(values: Array, count: int, axis: int = -1) -> Array:
    """The centred moving mean over so many neighbours, fewer at the ends.

    Args:
        values: NaN is left out of the means, and stays NaN.
        count: An odd number of neighbours.
        axis: Along which they stand.

    Raises:
        SpecError: It is not an odd number.

    >>> smoothed(np.array([0.0, 3.0, 0.0, 3.0]), 3).tolist()
    [1.5, 1.0, 2.0, 1.5]
    """
    if not (is_whole(count) and count >= 1 and count % 2):
        fault = f"smooth is {count!r}, which is no odd whole number of neighbours, such as 3 or 5"
        raise SpecError("this smoothing cannot be", [fault])
    rows = np.moveaxis(values, axis, -1)
    there, filled = np.isfinite(rows), np.where(np.isfinite(rows), rows, 0.0)
    total, weight = np.zeros_like(filled), np.zeros_like(filled)
    length, half = rows.shape[-1], count // 2
    for shift in range(-min(half, length - 1), min(half, length - 1) + 1):
        into = slice(max(0, -shift), length - max(0, shift))
        out = slice(max(0, shift), length - max(0, -shift))
        total[..., into] += filled[..., out]
        weight[..., into] += there[..., out]
    mean = np.where(there, total / np.maximum(weight, 1.0), np.nan)
    return np.moveaxis(mean, -1, axis)


def _pooled(values: Array) -> Array:
    """One group's mean in each repeat: (settings, repeats, epochs) to (repeats, epochs)."""
    own = _mean(values, axis=1)
    return np.asarray(_mean(own, axis=0) + _mean(values - own[:, None], axis=0))


def _mean(values: Array, axis: int) -> Array:
    """The mean of what is there; NaN of nothing."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis)
    return mean
