"""Made-up rows, for questions whose answer one wants to know beforehand.

Each kind is a frozen specification of what is drawn; the same seed and repeat draw the same rows.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Target
from secchi.errors import SpecError
from secchi.seeding import stream, stream_seed
from secchi.values import is_number, is_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHAT = "these rows cannot be made up"
_PURPOSE = "made-up rows"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Array = NDArray[np.float64]
Center = tuple[float, float]


class Drawn(NamedTuple):
    """Rows that were made up.

    Attributes:
        inputs: float64 of shape (rows, columns).
        values: The answer of each row, of shape (rows,): the name of its class, or a float64.
        names: What the columns are called.
        target: What the answers are.
    """

    inputs: Array
    values: NDArray[Any]
    names: tuple[str, ...]
    target: Target

    def plot(self) -> "Figure":
        """Two columns against each other with a colour and a mark a class; or number against x."""
        from secchi.figures.scatter import class_scatter, value_scatter

        if self.target.exclusive:
            codes = self.target.encode(self.values.tolist())
            x, y = self.inputs.T
            return class_scatter(x, y, codes, self.target.classes, self.names)
        return value_scatter(self.inputs[:, 0], self.values, (self.names[0], self.target.name))


class _Rule(NamedTuple):
    """What a field can be, and those words."""

    whole: bool
    holds: Callable[[Any], bool]
    words: str

    def fault(self, field: str, value: Any) -> str | None:
        right = is_whole(value) if self.whole else is_number(value)
        if right and self.holds(value):
            return None
        return f"{field} is {value!r}, which is not {self.words}"

    def plain(self, value: Any) -> int | float:
        """As a number of Python, which JSON can hold."""
        return int(value) if self.whole else float(value)


_ROWS = _Rule(True, lambda value: value >= 1, "a whole number from 1 on")
_CLASSES = _Rule(True, lambda value: 2 <= value <= 26, "a whole number from 2 to 26")
_ANY = _Rule(False, lambda value: True, "a number")
_SPREAD = _Rule(False, lambda value: value >= 0, "a number from 0 on")
_ABOVE = _Rule(False, lambda value: value > 0, "a number above 0")
_INSIDE = _Rule(False, lambda value: 0 < value < 1, "a number above 0, below 1")


@dataclasses.dataclass(frozen=True)
class Synthetic(ABC):
    """What every kind of made-up rows is: parameters, and rows for every seed.

    Attributes:
        name: What it is called in :data:`SYNTHETIC`.

    Raises:
        SpecError: When made from parameters that cannot be, with every fault at once.

    >>> Line(rows=0, noise=-1)
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: these rows cannot be made up: rows is 0, which is not a whole number \
from 1 on; noise is -1, which is not a number from 0 on
    >>> Line(slope=2).to_dict()
    {'name': 'line', 'rows': 50, 'slope': 2.0, 'noise': 0.5}
    """

    name: ClassVar[str]
    _rules: ClassVar[Mapping[str, _Rule]] = {}

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise SpecError(_WHAT, faults)
        for field, rule in self._rules.items():
            object.__setattr__(self, field, rule.plain(getattr(self, field)))

    def _faults(self) -> list[str]:
        each = (rule.fault(field, getattr(self, field)) for field, rule in self._rules.items())
        return [fault for fault in each if fault]

    @abstractmethod
    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Rows that follow from the parameters, the seed and the repeat alone."""

    def to_dict(self) -> dict[str, Any]:
        """Its name and parameters, as plain JSON values."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Qwerties(Synthetic):
    """Clouds of points in the plane, each a class, with the same normal scatter on both axes.

    Two classes whose centres are ``apart`` can be told with an accuracy of at most
    Phi(apart / (2 spread)): 0.994 with the defaults, 0.977 where they are 4 apart.

    Attributes:
        classes: How many clouds, 2 to 26: A, B, C and so on.
        rows: All points; the clouds differ by one at the most.
        apart: How far the centres of neighbours are apart: the corners of a regular polygon, of
            which A is at (1, 1) and B at (1 + apart, 1).
        spread: The standard deviation of a cloud along each axis.
        centers: The centre of each cloud, in place of ``apart``.

    >>> cloud = Qwerties(classes=2, rows=200, apart=4).draw(seed=1)
    >>> cloud.inputs.shape, cloud.target.classes
    ((200, 2), ('A', 'B'))
    """

    name: ClassVar[str] = "qwerties"
    _rules: ClassVar[Mapping[str, _Rule]] = {
        "classes": _CLASSES,
        "rows": _ROWS,
        "apart": _SPREAD,
        "spread": _SPREAD,
    }
    classes: int = 3
    rows: int = 900
    apart: float = 5.0
    spread: float = 1.0
    centers: Sequence[Center] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.centers is not None:
            plain = tuple((float(x), float(y)) for x, y in self.centers)
            object.__setattr__(self, "centers", plain)

    def _faults(self) -> list[str]:
        faults = super()._faults()
        if self.centers is not None:
            given = np.asarray(self.centers, dtype=object)
            if given.ndim != 2 or given.shape[1] != 2 or not all(map(is_number, given.flat)):
                faults.append(
                    f"centers is {self.centers!r}, which is not a pair of numbers a class"
                )
            elif len(given) != self.classes:
                faults.append(f"centers are {len(given)}, and classes is {self.classes!r}")
        return faults

    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Points in random order; see :class:`Qwerties`."""
        from sklearn.datasets import make_blobs

        inputs, codes = make_blobs(
            self.rows,
            centers=_polygon(self.classes, self.apart) if self.centers is None else self.centers,
            cluster_std=self.spread,
            random_state=_random_state(seed, repeat),
        )
        return _in_plane(inputs, codes, tuple(_LETTERS[: self.classes]))


@dataclasses.dataclass(frozen=True)
class Moons(Synthetic):
    """Two half circles in the plane, each of which reaches into the other.

    Attributes:
        rows: All points; half of them, or one more, are in the lower moon.
        noise: The standard deviation of the noise on each axis; the moons have radius 1.

    >>> Moons(rows=7).draw().target.classes
    ('upper', 'lower')
    """

    name: ClassVar[str] = "moons"
    _rules: ClassVar[Mapping[str, _Rule]] = {"rows": _ROWS, "noise": _SPREAD}
    rows: int = 500
    noise: float = 0.15

    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Points in random order; see :class:`Moons`."""
        from sklearn.datasets import make_moons

        state = _random_state(seed, repeat)
        inputs, codes = make_moons(self.rows, noise=self.noise, random_state=state)
        return _in_plane(inputs, codes, ("upper", "lower"))


@dataclasses.dataclass(frozen=True)
class Rings(Synthetic):
    """Two rings in the plane around one centre, which no straight line tells apart.

    Attributes:
        rows: All points; half of them, or one more, are in the inner ring.
        factor: The radius of the inner ring; that of the outer one is 1.
        noise: The standard deviation of the noise on each axis.

    >>> Rings(rows=7).draw().target.classes
    ('outer', 'inner')
    """

    name: ClassVar[str] = "rings"
    _rules: ClassVar[Mapping[str, _Rule]] = {"rows": _ROWS, "factor": _INSIDE, "noise": _SPREAD}
    rows: int = 500
    factor: float = 0.5
    noise: float = 0.1

    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Points in random order; see :class:`Rings`."""
        from sklearn.datasets import make_circles

        inputs, codes = make_circles(
            self.rows,
            noise=self.noise,
            factor=self.factor,
            random_state=_random_state(seed, repeat),
        )
        return _in_plane(inputs, codes, ("outer", "inner"))


@dataclasses.dataclass(frozen=True)
class Spirals(Synthetic):
    """Arms that wind around each other in the plane, each a class.

    At a share t of its length, from 0.1 to 1, an arm is t away from the centre and has turned
    ``turns`` x t times.

    Attributes:
        classes: How many arms, 2 to 26: A, B, C and so on.
        rows: All points; the arms differ by one at the most.
        turns: How often an arm winds around the centre.
        noise: The standard deviation of the noise on each axis; an arm ends at radius 1.

    >>> Spirals(classes=3, rows=30).draw().inputs.shape
    (30, 2)
    """

    name: ClassVar[str] = "spirals"
    _rules: ClassVar[Mapping[str, _Rule]] = {
        "classes": _CLASSES,
        "rows": _ROWS,
        "turns": _ABOVE,
        "noise": _SPREAD,
    }
    classes: int = 2
    rows: int = 500
    turns: float = 1.5
    noise: float = 0.02

    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Points in random order, evenly along each arm; see :class:`Spirals`."""
        random = stream(seed, _PURPOSE, repeat)
        codes = random.permutation(np.arange(self.rows) % self.classes)
        along = random.uniform(0.1, 1, self.rows)  # all arms start in the centre
        angle = 2 * np.pi * (self.turns * along + codes / self.classes)
        points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        inputs = points + random.normal(0, self.noise, points.shape)
        return _in_plane(inputs, codes, tuple(_LETTERS[: self.classes]))


@dataclasses.dataclass(frozen=True)
class Line(Synthetic):
    """A line with noise: y = slope x + noise, where x is drawn from the standard normal.

    The correlation of x and y is slope / sqrt(slope^2 + noise^2) on average.

    Attributes:
        rows: How many points.
        slope: What y gains for each unit of x.
        noise: The standard deviation of the noise on y.

    >>> drawn = Line(slope=2, noise=0).draw()
    >>> bool((drawn.values == 2 * drawn.inputs[:, 0]).all())
    True
    """

    name: ClassVar[str] = "line"
    _rules: ClassVar[Mapping[str, _Rule]] = {"rows": _ROWS, "slope": _ANY, "noise": _SPREAD}
    rows: int = 50
    slope: float = 1.0
    noise: float = 0.5

    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Points in random order; see :class:`Line`."""
        random = stream(seed, _PURPOSE, repeat)
        x = random.normal(size=self.rows)
        return _along(x, self.slope * x + random.normal(0, self.noise, self.rows))


@dataclasses.dataclass(frozen=True)
class Sine(Synthetic):
    """A sine with noise: y = sin(2 pi frequency x) + noise, where x is drawn evenly.

    What is drawn from another ``low`` to another ``high`` shows how far a network generalises.

    Attributes:
        rows: How many points.
        frequency: Periods in one unit of x.
        low: Where x starts.
        high: Where it ends.
        noise: The standard deviation of the noise on y.

    >>> Sine(low=1, high=2).draw().inputs.min() >= 1
    np.True_
    """

    name: ClassVar[str] = "sine"
    _rules: ClassVar[Mapping[str, _Rule]] = {
        "rows": _ROWS,
        "frequency": _ABOVE,
        "low": _ANY,
        "high": _ANY,
        "noise": _SPREAD,
    }
    rows: int = 200
    frequency: float = 1.0
    low: float = -1.0
    high: float = 1.0
    noise: float = 0.1

    def _faults(self) -> list[str]:
        faults = super()._faults()
        if is_number(self.low) and is_number(self.high) and self.low >= self.high:
            faults.append(f"low is {self.low!r}, which is not below high, {self.high!r}")
        return faults

    def draw(self, seed: int = 0, repeat: int = 0) -> Drawn:
        """Points in random order; see :class:`Sine`."""
        random = stream(seed, _PURPOSE, repeat)
        x = random.uniform(self.low, self.high, self.rows)
        noise = random.normal(0, self.noise, self.rows)
        return _along(x, np.sin(2 * np.pi * self.frequency * x) + noise)


SYNTHETIC: Mapping[str, type[Synthetic]] = {
    kind.name: kind for kind in (Qwerties, Moons, Rings, Spirals, Line, Sine)
}
"""Every kind of made-up rows by its name."""


def _polygon(corners: int, side: float) -> Array:
    """The corners of a regular polygon, the first at (1, 1) and the second at (1 + side, 1)."""
    radius = side / (2 * math.sin(math.pi / corners))
    middle = np.array([1 + side / 2, 1 + radius * math.cos(math.pi / corners)])
    angle = -math.pi / 2 + math.pi / corners * (2 * np.arange(corners) - 1)
    return middle + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _random_state(seed: int, repeat: int) -> int:
    """The seed of scikit-learn's generators, which take 32 bits."""
    return stream_seed(seed, _PURPOSE, repeat) % 2**32


def _in_plane(inputs: Array, codes: NDArray[Any], classes: tuple[str, ...]) -> Drawn:
    target = Target.classify("class", classes)
    return Drawn(inputs, target.decode(codes), ("x", "y"), target)


def _along(x: Array, y: Array) -> Drawn:
    return Drawn(x[:, None], y, ("x",), Target("y", Kind.REGRESSION))
