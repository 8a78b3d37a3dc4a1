"""Settings compared with the first of them: over which repeats, and by which tests."""

from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.collected import Collected
from secchi.intervals import LEVEL, holm, mean_intervals, without_rounding

POWER = 0.8
"""How often so many repeats would show a difference that is there."""

Array = NDArray[np.float64]


class Comparable(NamedTuple):
    """What settings are ranked by.

    Attributes:
        values: (settings, repeats), NaN where there is no number; only the repeats that count.
        failed: Trials of each setting that failed or have no number, (settings,).
        sound: Whether each setting is compared with others; then it has every one of the values.
        repeats: Which repeats those are, each as its number and its fold.
    """

    values: Array
    failed: NDArray[np.int64]
    sound: NDArray[np.bool_]
    repeats: tuple[tuple[int, int], ...]


def comparable(collected: Collected, measure: str) -> Comparable:
    """The numbers to rank by; :class:`secchi.experiments.reading.ranking.Ranking` says which."""
    values = collected.finals(measure)
    there = collected.matrix(np.ones(len(collected.trials), dtype=np.bool_), absent=False)
    failed = (there & ~np.isfinite(values)).sum(axis=1)
    sound = failed == 0
    count = there.sum(axis=1)
    sound &= 2 * count >= count[sound].max(initial=0)
    common = there[sound].all(axis=0)
    if not (sound.any() and common.any()):
        sound &= there.all(axis=1)
        common[:] = True
    repeats = tuple(compress(collected.repeats, common))
    return Comparable(values[:, common], failed, sound, repeats)


def compare(behind: Array, ratio: float = 0.0) -> tuple[Array, Array, Array, Array, Array]:
    """Paired t-tests of many settings against the first, and what would settle those that tie.

    Two-sided p-values by Student's t, over the repeats that a setting shares with the first,
    corrected by :func:`secchi.intervals.holm` for how many settings are compared. Because the
    first was chosen as the best of them, what is held is this: a setting that is as good as any
    other is among the first and its ties in at least 95 % of experiments (the subset of Hsu 1984,
    "Constrained simultaneous confidence intervals for multiple comparisons with the best", Annals
    of Statistics 12(3), 1136-1144, by pairwise t-tests). Of many equal ones, some other may be
    excluded.

    The repeats n that a paired t-test needs for a difference d of standard deviation s, at the
    level a of the strictest step of the correction and with a power of 80 % (Guenther 1981, "Sample
    size formulas for normal theory t tests", The American Statistician 35(4), 243-244)::

        n = 1 / (1 / m - ratio) + z(1 - a/2)^2 / 2,   m = (z(1 - a/2) + z(0.8))^2 s^2 / d^2

    as if d and s were what they seem to be. Where repeats split the same rows, more of them tell
    only so much: from m ratio = 1 on no number does.

    Args:
        behind: How much worse each setting is in each repeat, (settings, repeats); NaN where
            nothing is compared.
        ratio: As for :func:`secchi.intervals.mean_intervals`.

    Returns:
        The mean difference of each setting, both ends of its interval, its corrected p-value, and
        the repeats that are missing (infinite where no number would do), each (settings,).
    """
    from scipy import special

    found, low, high = mean_intervals(behind, ratio=ratio)
    mean = without_rounding(found, behind)
    n = np.isfinite(behind).sum(axis=1)
    known = (n > 2) & (np.isfinite(high) | (mean == 0))
    freedom = np.where(n > 2, n - 1, 1)
    error = (high - found) / special.stdtrit(freedom, (1 + LEVEL) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, np.abs(mean) / error)
        spread = error / np.sqrt(1 / n + ratio) / np.abs(mean)
    p = holm(np.where(known, 2 * special.stdtr(freedom, -t), np.nan))
    level = (1 - LEVEL) / max(1, int(known.sum()))
    z = -special.ndtri(level / 2)
    apart = (z + special.ndtri(POWER)) ** 2 * spread**2
    with np.errstate(divide="ignore", invalid="ignore"):
        overlapping = np.where(apart * ratio < 1, apart / (1 - apart * ratio), np.inf)
    needed = np.ceil(overlapping + z**2 / 2)
    return mean, low, high, p, np.maximum(needed - n, 1.0)
