"""What a factor can be: a list of values, a range to draw from, a list that depends on others."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from secchi.errors import SpecError
from secchi.experiments.settings import Setting
from secchi.values import is_number, is_whole


def linspace(low: float, high: float, number: int) -> list[float]:
    """Numbers with equal distances, both ends among them.

    As ``numpy.linspace``, rounded to 15 digits of the larger end, so that 0.3 is 0.3.

    Raises:
        SpecError: With every fault.

    >>> linspace(0, 0.9, 4)
    [0.0, 0.3, 0.6, 0.9]
    """
    _refuse("linspace", low, high, number, above=-math.inf)
    digits = 14 - math.floor(math.log10(max(abs(low), abs(high))))
    between = [round(value, digits) for value in np.linspace(low, high, number).tolist()[1:-1]]
    return [float(low), *between, float(high)]


def logspace(low: float, high: float, number: int) -> list[float]:
    """Numbers with equal ratios, both ends among them: from ``low`` itself, not from 10 ** low.

    As ``numpy.geomspace``, rounded to 15 significant digits.

    Raises:
        SpecError: With every fault.

    >>> logspace(1e-4, 1, 5)
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    _refuse("logspace", low, high, number, above=0)
    between = [float(f"{value:.15g}") for value in np.geomspace(low, high, number).tolist()[1:-1]]
    return [float(low), *between, float(high)]


def powers_of_two(low: int, high: int) -> list[int]:
    """The powers of two from ``low`` to ``high``, both included.

    Raises:
        SpecError: Ends that are no whole numbers from 1 on, or no power of two between them.

    >>> powers_of_two(8, 128)
    [8, 16, 32, 64, 128]
    """
    ends = (low, high)
    faults = [f"{end!r} is not a whole number from 1 on" for end in ends if not _is_count(end)]
    if faults:
        raise SpecError("these powers of two cannot be", faults)
    exponents = range((int(low) - 1).bit_length(), int(high).bit_length())
    if not exponents:
        raise SpecError("these powers of two cannot be", [f"there is none from {low} to {high}"])
    return [2**exponent for exponent in exponents]


# ---------------------------------------------------------------- ranges to draw from


class Range(NamedTuple):
    """A range of values, for designs that draw.

    Attributes:
        kind: ``"uniform"``, ``"log_uniform"`` or ``"integers"``.
        low: Its lower end.
        high: Its upper end; of integers it is among them.
    """

    kind: str
    low: float
    high: float

    def at(self, share: float) -> float:
        """The value below which this share of the range lies, 0 <= share < 1.

        >>> uniform(0, 10).at(0.5), log_uniform(1e-4, 1).at(0.5), integers(1, 6).at(0.5)
        (5.0, 0.01, 4)
        """
        if self.kind == "integers":
            return min(int(self.low) + int(share * (self.high - self.low + 1)), int(self.high))
        if self.kind == "uniform":
            value = self.low + share * (self.high - self.low)
        else:
            value = math.exp((1 - share) * math.log(self.low) + share * math.log(self.high))
        return min(max(float(f"{value:.15g}"), self.low), self.high)


def uniform(low: float, high: float) -> Range:
    """Every number from ``low`` to ``high`` alike.

    Raises:
        SpecError: With every fault.
    """
    _refuse("uniform", low, high)
    return Range("uniform", float(low), float(high))


def log_uniform(low: float, high: float) -> Range:
    """Numbers from ``low`` to ``high`` whose logarithms are all alike, as suits rates.

    Raises:
        SpecError: With every fault.
    """
    _refuse("log_uniform", low, high, above=0)
    return Range("log_uniform", float(low), float(high))


def integers(low: int, high: int) -> Range:
    """Every whole number from ``low`` to ``high`` alike, both included.

    Raises:
        SpecError: With every fault.
    """
    _refuse("integers", low, high)
    if faults := [f"{end!r} is no whole number" for end in (low, high) if not is_whole(end)]:
        raise SpecError("integers cannot be", faults)
    return Range("integers", int(low), int(high))


class Nested(NamedTuple):
    """A factor whose list of values depends on the factors before it; see :func:`nested`."""

    values: Callable[[Setting], Iterable[Any]]


def nested(values: Callable[[Setting], Iterable[Any]]) -> Nested:
    """A factor whose list of values depends on those that were given before it.

    Args:
        values: Called with the setting so far; gives the list.

    >>> from secchi.experiments.space import Space
    >>> vary = {"depth": [1, 2], "width": nested(lambda s: [4, 8] if s["depth"] == 1 else [4])}
    >>> [(each["depth"], each["width"]) for each in Space(vary).settings]
    [(1, 4), (1, 8), (2, 4)]
    """
    return Nested(values)


def _is_count(value: Any) -> bool:
    return is_whole(value) and value >= 1


def _refuse(what: str, low: Any, high: Any, number: Any = 2, *, above: float = -math.inf) -> None:
    """Refuse ends, and a number of values, that cannot be."""
    ends = {"low": low, "high": high}
    words = f"a number above {above:g}" if math.isfinite(above) else "a number"
    faults = [
        f"{name} is {end!r}, which is not {words}"
        for name, end in ends.items()
        if not (is_number(end) and end > above)
    ]
    if not faults and low >= high:
        faults.append(f"low is {low!r}, which is not below high, {high!r}")
    if not (is_whole(number) and number >= 2):
        faults.append(f"number is {number!r}, which is not a whole number from 2 on")
    if faults:
        raise SpecError(f"{what} cannot be", faults)
