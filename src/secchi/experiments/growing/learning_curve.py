"""The error against the number of training rows, and what more of them would bring."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError
from secchi.experiments.growing.forecast import ErrorName, Forecast
from secchi.experiments.growing.power_law import PowerLaws
from secchi.files import finite
from secchi.intervals import LEVEL, mean_intervals
from secchi.text import counted, table
from secchi.values import is_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

FAILED = "a training failed or has no value"

_DRAWN = 4.0
"""The figure goes on to so many times the largest size."""


@dataclasses.dataclass(frozen=True, eq=False)
class LearningCurve:
    """The error on the validation rows by the number of training rows, and the law it follows.

    Each repeat has its own order of the training rows; a size is that many of its first ones, so
    that a larger size contains a smaller one. Unless rows are made up, those that validate are the
    same throughout: their luck stays in it.

    Intervals tell how far an error would move with other training rows of the same kind; see
    :mod:`secchi.experiments.growing.row_luck`.

    Attributes:
        measure: What was measured.
        rows: What the rows are: ``"pictures"`` or ``"rows"``.
        sizes: Numbers of training rows, ascending, (sizes,).
        each: The error in each repeat, (sizes, repeats): a score s of which more is better as
            1 - s. Repeats in which a training failed are left out.
        mean: Over the repeats, (sizes,).
        low: Lower ends of the 95 % intervals by Student's t, (sizes,), within what the error can
            be; NaN of two repeats or fewer, and where no repeat differs from another.
        high: Upper ends, (sizes,).
        law: The law that the means follow best.
        laws: Those of repeats drawn anew (the bootstrap), in which the luck of all rows together
            moves all sizes by as many of their standard deviations; none where there are no
            intervals.
        failed: In how many repeats a training failed or has no value.
        same_rows: Whether repeats draw from the same rows, and do not make up rows of their own.
        cut_short: At how many sizes, from the smallest on, the validation loss was still falling
            when the epochs were over; see :func:`secchi.experiments.growing.few_steps.cut_short`.
            There fewer rows are also fewer steps, so that the curve may tell of steps.
        epochs: How many the longest training has.
        valid: How many rows validate; None where repeats have others, or it is not known.
        valid_low: Lower end of where the error at the largest size could be with as many other
            validation rows, by the 95 % interval of Wilson; NaN where it is no share of rows.
        valid_high: Upper end of it.
    """

    measure: str
    rows: str
    sizes: NDArray[np.int64]
    each: Array
    mean: Array
    low: Array
    high: Array
    law: PowerLaws
    laws: PowerLaws
    failed: int = 0
    same_rows: bool = True
    cut_short: int = 0
    epochs: int = 0
    valid: int | None = None
    valid_low: float = math.nan
    valid_high: float = math.nan

    def at(self, size: int) -> Forecast:
        """The error to be expected with another number of training rows, with its interval.

        The interval is that of the law: it does not hold that the law itself may bend. What the law
        has beyond what the error can be, such as more than 100 %, is cut off. Where the law does
        not follow the errors, that is said in its place. Print it.

        Args:
            size: How many rows.

        Raises:
            SpecError: It is no whole number from 1 on.
        """
        if not (is_whole(size) and size >= 1):
            fault = f"size is {size!r}, not a whole number from 1 on"
            raise SpecError("this forecast cannot be", [fault])
        return dataclasses.replace(self._by_law(int(size)), follows=self.follows)

    @property
    def of_repeats(self) -> tuple[float, float]:
        """The 95 % interval that the repeats alone give the error at the largest size.

        It is that of :meth:`secchi.experiments.result.Result.mean`. Where repeats share their rows
        it leaves out the luck of those, so that it is mostly narrower. NaN of two repeats or fewer,
        and of those that are all the same.
        """
        _, low, high = mean_intervals(self.each[-1], within=(0.0, self._name.most))
        return float(low), float(high)

    @property
    def follows(self) -> bool:
        """Whether the law follows the errors well enough to tell what more rows would bring.

        Not where the law leaves the interval of the error at the largest size, nor where it misses
        that error by more than what twice as many rows are to bring beyond the noise.
        """
        double = self._by_law(2 * int(self.sizes[-1]))
        law = double.error - double.change
        if law < self.low[-1] or law > self.high[-1]:
            return False
        return not (double.told and abs(law - self.mean[-1]) > abs(double.change))

    def _by_law(self, size: int) -> Forecast:
        """What the law has for a number of rows, whether or not it follows the errors."""
        largest = int(self.sizes[-1])
        both, possible = np.array([size, largest]), self._name.possible
        error, last = possible(self.law.at(both)[0])
        drawn = possible(self.laws.at(both))
        low, high = _ends(drawn[:, 0])
        change_low, change_high = _ends(drawn[:, 0] - drawn[:, 1])
        change = float(error - last)
        ends = low, high, largest, change, change_low, change_high
        return Forecast(self.measure, self.rows, size, float(error), *ends)

    @property
    def asymptote(self) -> tuple[float, float, float]:
        """Where the error would level off, and its interval, within what the error can be.

        From 0 where the sizes do not tell.
        """
        possible = self._name.possible
        value = float(possible(self.law.asymptote)[0])
        return value, *_ends(possible(self.laws.asymptote))

    def plot(self) -> "Figure":
        """Draw the errors, the law with its interval, and, dashed, where it would lead.

        Where the law does not follow the errors it ends at the largest size.
        """
        from secchi.figures.learning_curves import Law, learning_curve

        name, largest = self._name, float(self.sizes[-1])
        end = _DRAWN * largest if self.follows else largest
        at = np.geomspace(self.sizes[0], end, 200)
        drawn = name.possible(self.laws.at(at))
        low, high = name.scale * np.array([_ends(errors) for errors in drawn.T]).T
        law = name.scale * name.possible(self.law.at(at)[0])
        points = [name.scale * one for one in (self.mean, self.low, self.high)]
        return learning_curve(
            self.sizes,
            name.scale * self.each,
            (points[0], points[1], points[2]),
            Law(at, law, low, high, largest),
            (f"training {self.rows}", name.axis),
            "\n".join(filter(None, [self._levels_off, self._intervals])),
            self.cut_short,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, a dictionary a size; numbers that are not finite are None."""
        points = [
            {"size": int(size), "mean": mean, "low": low, "high": high, "each": each}
            for size, mean, low, high, each in zip(
                *(one.tolist() for one in (self.sizes, self.mean, self.low, self.high, self.each)),
                strict=True,
            )
        ]
        value, low, high = self.asymptote
        low_exponent, high_exponent = _ends(self.laws.exponent)
        document = {
            "measure": self.measure,
            "rows": self.rows,
            "failed": self.failed,
            "epochs": self.epochs,
            "cut_short": self.cut_short,
            "valid": {"rows": self.valid, "low": self.valid_low, "high": self.valid_high},
            "points": points,
            "asymptote": {"value": value, "low": low, "high": high},
            "exponent": {
                "value": float(self.law.exponent[0]),
                "low": low_exponent,
                "high": high_exponent,
            },
            "double": self.at(2 * int(self.sizes[-1])).to_dict(),
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        name, repeats = self._name, self.each.shape[1]
        cells = [[self.rows, name.text, f"{100 * LEVEL:g} % interval"]]
        for size, mean, low, high in zip(self.sizes, self.mean, self.low, self.high, strict=True):
            interval = "-" if math.isnan(low) else f"{name.number(low)} to {name.number(high)}"
            cells.append([f"{size:,}", name.value(mean), interval])
        failed = f"; left out: {self.failed:,}, in which {FAILED}" if self.failed else ""
        return "\n".join(
            [
                table(cells, left=0),
                f"{counted(repeats, 'repeat', 'repeats')}{self._validation}{failed}",
                *([f"{self._intervals}{self._alone}"] if self._intervals else []),
                *([self._steps] if self.cut_short else []),
                self._levels_off,
                str(self.at(2 * int(self.sizes[-1]))),
            ]
        )

    @property
    def _validation(self) -> str:
        """What validated, in words."""
        if not self.same_rows:
            return ""
        count = "" if self.valid is None else f"{self.valid:,} "
        text = f" on the same {count}validation rows, whose luck stays in it"
        if math.isnan(self.valid_low):
            return text
        ends = f"{self._name.number(self.valid_low)} to {self._name.value(self.valid_high)}"
        size = f"{self.sizes[-1]:,} {self.rows}"
        return f"{text}: as many others could give {ends} with {size}"

    @property
    def _intervals(self) -> str:
        """What the intervals are of where that is not to be seen: repeats share their rows."""
        if math.isnan(self.low[-1]) or not self.same_rows:
            return ""
        return f"intervals: with other training {self.rows} of the same kind"

    @property
    def _alone(self) -> str:
        """The interval that the repeats would give, in words."""
        low, high = self.of_repeats
        if math.isnan(low):
            return ""
        ends = f"{self._name.number(low)} to {self._name.value(high)}"
        return f"; the repeats alone would give {ends} with {self.sizes[-1]:,} {self.rows}"

    @property
    def _name(self) -> ErrorName:
        return ErrorName.of(self.measure)

    @property
    def _steps(self) -> str:
        """That some sizes had few steps, in words."""
        if self.epochs == 1:
            return (
                "with one epoch half as many rows are half as many steps, and the curve does not "
                "tell which of them matters: more epochs do"
            )
        over = f"the validation loss was still falling when the {self.epochs:,} epochs were over"
        where = f"up to {self.sizes[self.cut_short - 1]:,} {self.rows}"
        if self.cut_short == len(self.sizes):
            where = "at all sizes"
        return (
            f"{where} {over}: there fewer {self.rows} are also fewer steps, and more epochs may "
            "change the curve"
        )

    @property
    def _levels_off(self) -> str:
        """Where more rows would lead in the end, in words."""
        name, (value, low, high) = self._name, self.asymptote
        if math.isnan(low):
            few = self.each.shape[1] <= 2
            why = "so few repeats" if few else "the same errors in every repeat"
            return f"with {why} nothing can be said about noise"
        if not self.mean[-1]:
            where = f"with {self.sizes[-1]:,} {self.rows}"
            if name.share:
                return f"{where} no validation row is left that is wrong"
            return f"{where}: {name.text} {name.number(0.0)}, the least that it can be"
        if not self.follows:
            law = name.value(float(self.law.at(self.sizes[-1:])[0, 0]))
            last = name.value(self.mean[-1])
            return f"no power law fits: the best gives {law} where {last} was measured"
        if name.number(high) == name.number(0.0):
            return f"within these sizes {name.subject} does not begin to level off"
        interval = f"{100 * LEVEL:g} % interval {name.number(low)} to {name.value(high)}"
        if low > 0 and high - low < float(self.law.at(self.sizes[-1:])[0, 0]):
            return f"{name.subject} levels off at about {name.value(value)} ({interval})"
        return f"where {name.subject} levels off these sizes cannot tell ({interval})"


def _ends(values: Array) -> tuple[float, float]:
    """The ends of the interval that holds 95 % of some values; NaN of none."""
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
