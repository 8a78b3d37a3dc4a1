"""What another number of training rows would bring, in numbers and in words."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.measures import lower_is_better, measure_range
from secchi.files import finite
from secchi.intervals import LEVEL
from secchi.text import number

FAR = 4
"""Beyond so many times the largest size that was measured a forecast is told to be a guess."""


_NOTHING = 1e-4
"""So many percent, of a million rows one, are none."""


class ErrorName(NamedTuple):
    """A measure as an error, of which less is better.

    Attributes:
        text: What it is called.
        share: Whether it is a share, which is told in percent.
        less: Whether less of the measure is better.
        most: The largest error that there can be; the least is 0.
    """

    text: str
    share: bool
    less: bool
    most: float

    @classmethod
    def of(cls, measure: str) -> "ErrorName":
        """That of a measure: the error for accuracy, 1 - auc for auc, and so on.

        That of one target among several keeps the target's name as it is written.

        >>> ErrorName.of("valid_accuracy").value(0.023), ErrorName.of("valid_auc").text
        ('2.3 %', '1 - auc')
        >>> ErrorName.of("valid_kind.accuracy").text, ErrorName.of("valid_final_grade.r").text
        ('error of kind', '1 - final_grade.r')
        """
        target, dot, name = measure.removeprefix("valid_").rpartition(".")
        less, (low, high) = lower_is_better(measure), measure_range(measure)
        most = high if less else 1 - low
        if name in ("accuracy", "error_rate"):
            return cls(f"error of {target}" if target else "error", True, less, most)
        name = f"{target}{dot}{name.replace('_', ' ')}"
        return cls(name if less else f"1 - {name}", False, less, most)

    @property
    def subject(self) -> str:
        """As a sentence names it.

        >>> ErrorName.of("valid_accuracy").subject, ErrorName.of("valid_auc").subject
        ('the error', '1 - auc')
        """
        return self.text if self.text.startswith("1 - ") else f"the {self.text}"

    @property
    def scale(self) -> float:
        """What the error is multiplied with to be shown."""
        return 100.0 if self.share else 1.0

    @property
    def axis(self) -> str:
        """As an axis names it."""
        return f"{self.text} on the validation rows" + (", %" if self.share else "")

    def error(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the measure as errors."""
        return values if self.less else 1 - values

    def possible(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Errors of a law, which knows no ends, brought between the ends.

        >>> ErrorName.of("valid_accuracy").possible(np.array([-0.1, 0.5, 4.5])).tolist()
        [0.0, 0.5, 1.0]
        """
        return np.clip(errors, 0.0, self.most)

    def number(self, error: float) -> str:
        """An error without its unit.

        >>> name = ErrorName.of("valid_accuracy")
        >>> [name.number(error) for error in (0.123, 0.0012, 0.000042, 5e-9)]
        ['12.3', '0.12', '0.0042', '0']
        """
        if not self.share:
            return number(error)
        percent = 100 * error
        places = 1 if abs(percent) >= 1 else 2
        if abs(percent) >= 0.01:
            return number(percent, places)
        return f"{percent:.2g}" if abs(percent) >= _NOTHING else "0"

    def value(self, error: float) -> str:
        """An error with its unit."""
        return self.number(error) + (" %" if self.share else "")


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The error to be expected with a number of training rows.

    Attributes:
        measure: What the error is of.
        rows: What the rows are.
        size: How many of them.
        error: What is expected.
        low: Lower end of its 95 % interval; NaN where nothing can be said of it.
        high: Upper end of it.
        largest: The largest number of rows that was measured.
        change: The error less that with the largest number, both by the law.
        change_low: Lower end of its 95 % interval, likewise.
        change_high: Upper end of it.
        follows: Whether the law follows what was measured; where not, no forecast is told.

    >>> print(Forecast("valid_accuracy", "rows", 300, .02, .01, .03, 200, -.004, -.006, -.001))
    with 300 rows: error 2.0 % (95 % interval 1.0 to 3.0); another 100 rows would bring about \
-0.40 points of error (95 % interval -0.60 to -0.10)
    """

    measure: str
    rows: str
    size: int
    error: float
    low: float
    high: float
    largest: int
    change: float
    change_low: float
    change_high: float
    follows: bool = True

    @property
    def told(self) -> bool:
        """Whether the change is told and beyond the noise: its interval leaves out zero."""
        return self.follows and (self.change_high < 0 or self.change_low > 0)

    @property
    def times(self) -> float:
        """The size in units of the largest that was measured."""
        return self.size / self.largest

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; numbers that are not finite are None."""
        document = dataclasses.asdict(self) | {"told": self.told, "times": self.times}
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        name, where = ErrorName.of(self.measure), f"with {self.size:,} {self.rows}"
        if not self.follows:
            return f"{where}: nothing that can be told, for no power law fits these errors"
        text = f"{where}: {name.text} {name.value(self.error)}"
        text += self._interval(self.low, self.high)
        if self.size > self.largest:
            text += f"; another {self.size - self.largest:,} {self.rows} would bring {self._gain}"
        if self.times > FAR:
            text += (
                f"; that is {self.times:.3g} times the largest size that was measured: a guess, "
                "for the law may bend before"
            )
        return text

    @property
    def _gain(self) -> str:
        name = ErrorName.of(self.measure)
        points = "points of error" if name.share else f"of {name.text}"
        change = f"{name.number(self.change)} {points}"
        interval = self._interval(self.change_low, self.change_high)
        if math.isnan(self.change_low) or self.told:
            return f"about {change}{interval}"
        return f"nothing that can be told: {change}{interval}"

    def _interval(self, low: float, high: float) -> str:
        if math.isnan(low):
            return " (no interval)"
        name = ErrorName.of(self.measure)
        if name.number(low) == name.number(high) == name.number(0.0):
            return " (no interval: the law leaves no error)"
        return f" ({100 * LEVEL:g} % interval {name.number(low)} to {name.number(high)})"
