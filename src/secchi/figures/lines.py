"""Lines with intervals, and which part of an axis shows what matters of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_FLAT = 4.0
"""Where all lines take so many times the room of what matters of them, an axis is cut."""

_AWAY = 1000.0
"""A line so many times as far from zero as others are has all but diverged."""

_AT_ZERO = 0.01
"""Lines nearer to zero than this count as this far from it.

In units of a loss, of which knowing nothing costs about 1, they are all as good as zero, as those
of rates so low that nothing is learned; one that learns something has not diverged beside them.
"""

Array = NDArray[np.float64]


class Line(NamedTuple):
    """One line with its intervals, each (points,); NaN where there is nothing to draw.

    Attributes:
        name: In the legend; nothing for one line alone.
        mean: The line.
        low: The lower ends of the intervals.
        high: The upper ends.
        failed: The share of trials that failed; NaN where there was none.
        whole: Whether each point is of all repeats; the line is dotted where not.
        value: What the colour stands for, where it is a number.
    """

    name: str
    mean: Array
    low: Array
    high: Array
    failed: Array | None = None
    whole: NDArray[np.bool_] | None = None
    value: float | None = None

    @property
    def parts(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where it is solid, and where it is dotted, each (points,)."""
        there = np.isfinite(self.mean)
        whole = there if self.whole is None else there & self.whole
        return whole, there & ~whole

    @property
    def tried(self) -> NDArray[np.bool_]:
        """Where there was a trial, whether or not it failed, (points,)."""
        there = np.isfinite(self.mean)
        return there if self.failed is None else there | np.isfinite(self.failed)

    @property
    def lone(self) -> NDArray[np.bool_]:
        """Which points have no neighbour, so that a line alone would not show them, (points,).

        >>> mean = np.array([1.0, np.nan, 2.0, 3.0])
        >>> Line("", mean, mean, mean).lone.tolist()
        [True, False, False, False]
        """
        there = np.pad(np.isfinite(self.mean), 1)
        lone: NDArray[np.bool_] = there[1:-1] & ~there[:-2] & ~there[2:]
        return lone

    @property
    def numbers(self) -> Array:
        """All that are in it and its interval."""
        numbers: Array = np.concatenate([self.mean, self.low, self.high])
        return numbers[np.isfinite(numbers)]

    def at(self, points: NDArray[Any]) -> "Line":
        """Some of its points, by their places or by whether each is one of them."""
        return self._replace(
            mean=self.mean[points],
            low=self.low[points],
            high=self.high[points],
            failed=None if self.failed is None else self.failed[points],
            whole=None if self.whole is None else self.whole[points],
        )

    @property
    def later_half(self) -> "Line":
        """The second half of the points that it has."""
        there = np.flatnonzero(np.isfinite(self.mean))
        return self.at(there[len(there) // 2 :])


class Cut(NamedTuple):
    """The part of an axis that shows what matters of some lines.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        matter: Whether each line had a say in that; those that all but diverge have none.
        note: What it leaves out, in words.
    """

    low: float
    high: float
    matter: list[bool]
    note: str


def cut_of(lines: Sequence[Line]) -> Cut | None:
    """Cut the axis of some lines; None where that leaves out next to nothing.

    What matters is nine tenths of the later half of each line, intervals among them, and half as
    much room below and above.

    >>> falling = np.array([-90.0, -9, 0, 0.1, 0.2, 0.3])
    >>> cut = cut_of([Line("", falling, falling, falling)])
    >>> print(f"{cut.low:.2f} to {cut.high:.2f}; {cut.note}")
    0.00 to 0.30; axis cut: values go down to -90
    """
    matter = _matter(lines)
    if not any(matter):
        return None
    every = np.concatenate([line.numbers for line in lines])
    fine = [line.later_half.numbers for line, does in zip(lines, matter, strict=True) if does]
    later = [np.quantile(numbers, [0.05, 0.95]) for numbers in fine]
    low, high = float(np.min(later)), float(np.max(later))
    room = (high - low) / 2
    ends = float(every.min()), float(every.max())
    low, high = max(low - room, ends[0]), min(high + room, ends[1])
    if high == low or ends[1] - ends[0] <= _FLAT * (high - low):
        return None
    sides = [f"down to {ends[0]:.3g}"] if ends[0] < low else []
    sides += [f"up to {ends[1]:.3g}"] if ends[1] > high else []
    return Cut(low, high, matter, f"axis cut: values go {' and '.join(sides)}")


def _matter(lines: Sequence[Line]) -> list[bool]:
    """Whether each line says where an axis ends, and is not one that all but diverges.

    Such a line has trials that failed, or is a thousand times as far from zero as others are, and
    at least at 10.
    """
    levels = [np.abs(line.later_half.numbers) for line in lines]
    sound = [
        len(level) > 0 and (line.failed is None or not line.failed.any())
        for level, line in zip(levels, lines, strict=True)
    ]
    if not any(sound):
        return [len(level) > 0 for level in levels]
    far = [float(np.median(level)) if len(level) else 0.0 for level in levels]
    known = sorted(each for each, fine in zip(far, sound, strict=True) if fine)
    usual = max(known[(len(known) - 1) // 2], _AT_ZERO)
    return [fine and each <= _AWAY * usual for each, fine in zip(far, sound, strict=True)]
