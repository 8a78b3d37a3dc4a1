"""How the learning rate moves through a run: pure functions of where training stands.

A schedule gives a factor for every step. Each group's learning rate is multiplied with it, so
ratios between groups hold, and 1.0 is the rate that the person gave. torch's own schedulers, or
their closed forms, are the reference; a property test holds every schedule to them.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from secchi.errors import SpecError, did_you_mean
from secchi.values import is_number, is_whole

_WHAT = "this schedule cannot be"

Rule = Callable[[str, Any], Any]
"""(field, value): the value as a plain one; raises SpecError where it cannot be."""


class At(NamedTuple):
    """Where training stands before a step.

    Attributes:
        step: Steps of this call that are done, 0 <= step < steps.
        steps: Steps of the whole call, 1 or more.
        per_epoch: Steps of one epoch, 1 or more.

    >>> At(step=7, steps=10, per_epoch=5).step // 5  # in the second epoch
    1
    """

    step: int
    steps: int
    per_epoch: int


def _rule(kind: type, holds: Callable[[Any], bool], words: str) -> Rule:
    def settled(field: str, value: Any) -> Any:
        right = is_whole(value) if kind is int else is_number(value)
        if not (right and holds(value)):
            raise SpecError(_WHAT, [f"{field} is {value!r}, which is not {words}"])
        return kind(value)  # NumPy's numbers become Python's, which JSON can hold.

    return settled


_COUNT = _rule(int, lambda value: value >= 1, "a whole number from 1 on")
_FRACTION = _rule(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
_DECAY = _rule(float, lambda value: 0 < value <= 1, "a number above 0, at most 1")
_MOMENTUM = _rule(float, lambda value: 0 <= value < 1, "a number from 0 on, below 1")
_DIVISOR = _rule(float, lambda value: value >= 1, "a number from 1 on")
_POWER = _rule(float, lambda value: value > 0, "a number above 0")
_LENGTH = _rule(float, lambda value: value >= 0, "a number from 0 on")


@dataclasses.dataclass(frozen=True)
class Schedule(ABC):
    """What every schedule is: parameters, and a factor for every step.

    Frozen, comparable and hashable; :meth:`to_dict` writes one as plain JSON values, and
    :func:`schedule_named` reads it back.

    Attributes:
        name: What it is called in :data:`SCHEDULES`.

    Raises:
        SpecError: When made from parameters that cannot be, with every fault at once.

    >>> Cosine(end=0.1).to_dict()
    {'name': 'cosine', 'end': 0.1}
    >>> Cosine(end=0.1) == schedule_named({"name": "cosine", "end": 0.1})
    True
    """

    name: ClassVar[str]
    _rules: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values, faults = self._settled(given)
        if faults:
            raise SpecError(_WHAT, faults)
        for field, value in values.items():
            object.__setattr__(self, field, value)

    @abstractmethod
    def factor(self, at: At) -> float:
        """What every group's learning rate is multiplied with at this step."""

    def momentum(self, at: At, base: float) -> float:
        """The momentum, or Adam's first beta, at this step.

        Args:
            at: Where training stands.
            base: The optimizer's own, which holds unless the schedule moves it.
        """
        return base

    @property
    def length(self) -> int | None:
        """The epochs that a run of it takes, where it says so itself."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Its name and parameters, as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {k: v.to_dict() if isinstance(v, Schedule) else v for k, v in values.items()}
        return {"name": self.name, **plain}

    @classmethod
    def _settled(cls, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The given parameters that can be, as plain values, and the faults of the others."""
        values: dict[str, Any] = {}
        faults: list[str] = []
        for field, value in given.items():
            try:
                values[field] = cls._rules[field](field, value)
            except SpecError as error:
                faults += error.faults
        return values, faults


@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step.

    >>> Constant().factor(At(step=7, steps=10, per_epoch=5))
    1.0
    """

    name: ClassVar[str] = "constant"

    def factor(self, at: At) -> float:
        """Always 1.0."""
        return 1.0


@dataclasses.dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the rate at the first step towards a part of it behind the last.

    end + (1 - end) (1 + cos(pi step / steps)) / 2: one cycle of Loshchilov and Hutter (2016),
    equation 5, as torch's ``CosineAnnealingLR`` with ``T_max=steps`` has it.

    Attributes:
        end: The part of the rate that it falls to, from 0 to 1.

    >>> [round(Cosine().factor(At(step, steps=4, per_epoch=1)), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    name: ClassVar[str] = "cosine"
    _rules: ClassVar[Mapping[str, Rule]] = {"end": _FRACTION}

    end: float = 0.0

    def factor(self, at: At) -> float:
        """Falls from 1.0 towards ``end``."""
        return _annealed(1.0, self.end, at.step / at.steps)


@dataclasses.dataclass(frozen=True)
class Restarts(Schedule):
    """Stochastic gradient descent with warm restarts (SGDR).

    Within each cycle the rate falls along half a cosine; every cycle begins again at exactly the
    rate given. Cycle i, counted from 0, is ``cycle_len * cycle_mult**i`` epochs long. Where a run
    has more steps than the cycles fill, cycles go on by the same rule; a shorter run is cut.

    Source: Loshchilov and Hutter (2016), "SGDR: Stochastic Gradient Descent with Warm Restarts",
    equation 5; torch's ``CosineAnnealingWarmRestarts`` with ``T_0=cycle_len * per_epoch``.

    Attributes:
        cycles: How many, 1 or more.
        cycle_len: Epochs of the first cycle, 1 or more.
        cycle_mult: How many times as long as the one before each next cycle is, 1 or more.

    >>> doubling = Restarts(cycles=3, cycle_mult=2)
    >>> doubling.epochs
    7
    >>> [doubling.factor(At(step, steps=14, per_epoch=2)) for step in (0, 1, 2, 6)]
    [1.0, 0.5, 1.0, 1.0]
    """

    name: ClassVar[str] = "restarts"
    _rules: ClassVar[Mapping[str, Rule]] = {
        "cycles": _COUNT,
        "cycle_len": _COUNT,
        "cycle_mult": _COUNT,
    }

    cycles: int
    cycle_len: int = 1
    cycle_mult: int = 1

    @property
    def length(self) -> int:
        """Epochs of all cycles together."""
        return self.epochs

    @property
    def epochs(self) -> int:
        """Epochs of all cycles together."""
        if self.cycle_mult == 1:
            return self.cycles * self.cycle_len
        next_cycle: int = self.cycle_mult**self.cycles
        return self.cycle_len * (next_cycle - 1) // (self.cycle_mult - 1)

    def factor(self, at: At) -> float:
        """1.0 at the first step of every cycle, falling towards 0 within it."""
        done, length = at.step, self.cycle_len * at.per_epoch
        while done >= length:
            done, length = done - length, length * self.cycle_mult
        return _annealed(1.0, 0.0, done / length)


@dataclasses.dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the rate given, then down to almost nothing, each along half a cosine.

    Momentum moves the other way. As torch's ``OneCycleLR`` with two phases and cosine annealing,
    after Smith and Topin (2017), "Super-Convergence"; the peak is at step ``peak_at * steps - 1``,
    and is met exactly where that is a whole number. Where that is below 0, the run begins on the
    way down, as torch's does: a run of a single step has the rate of the end.

    Attributes:
        peak_at: The part of the run before the peak, from 0 to 1.
        div: What the rate is divided by at the start, 1 or more.
        final_div: What the rate of the start is divided by at the end, 1 or more.
        low_momentum: At the peak.
        high_momentum: At the start and the end.

    >>> one = OneCycle(peak_at=0.3)
    >>> [round(one.factor(At(step, steps=10, per_epoch=10)), 3) for step in (0, 2, 9)]
    [0.04, 1.0, 0.0]
    >>> [round(one.momentum(At(step, 10, 10), base=0.9), 3) for step in (0, 2, 9)]
    [0.95, 0.85, 0.95]
    """

    name: ClassVar[str] = "one_cycle"
    _rules: ClassVar[Mapping[str, Rule]] = {
        "peak_at": _FRACTION,
        "div": _DIVISOR,
        "final_div": _DIVISOR,
        "low_momentum": _MOMENTUM,
        "high_momentum": _MOMENTUM,
    }

    peak_at: float = 0.3
    div: float = 25.0
    final_div: float = 1e4
    low_momentum: float = 0.85
    high_momentum: float = 0.95

    def factor(self, at: At) -> float:
        """From 1 / div up to 1.0, then down to 1 / div / final_div."""
        return self._cycled(at, 1 / self.div, 1.0, 1 / self.div / self.final_div)

    def momentum(self, at: At, base: float) -> float:
        """From ``high_momentum`` down to ``low_momentum`` and back; ``base`` is not used."""
        return self._cycled(at, self.high_momentum, self.low_momentum, self.high_momentum)

    def _cycled(self, at: At, start: float, peak: float, end: float) -> float:
        top, last = self.peak_at * at.steps - 1, at.steps - 1
        if top > 0 and at.step <= top:
            return _annealed(start, peak, at.step / top)
        # A run of one step whose peak is that step has no way down.
        return _annealed(peak, end, (at.step - top) / ((last - top) or 1))

    @classmethod
    def _settled(cls, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        values, faults = super()._settled(given)
        low, high = values.get("low_momentum"), values.get("high_momentum")
        if low is not None and high is not None and low > high:
            faults.append(f"low_momentum is {low}, which is above high_momentum, {high}")
        return values, faults


@dataclasses.dataclass(frozen=True)
class Step(Schedule):
    """The rate falls at once after every few epochs: gamma ** (epoch // every).

    As torch's ``StepLR`` stepped every epoch.

    Attributes:
        every: Epochs between two falls, 1 or more.
        gamma: What the rate is multiplied with at each, above 0, at most 1.

    >>> halves = Step(every=2, gamma=0.5)
    >>> [halves.factor(At(step, steps=5, per_epoch=1)) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    name: ClassVar[str] = "step"
    _rules: ClassVar[Mapping[str, Rule]] = {"every": _COUNT, "gamma": _DECAY}

    every: int = 1
    gamma: float = 0.1

    def factor(self, at: At) -> float:
        """The same within an epoch."""
        return self.gamma ** (at.step // at.per_epoch // self.every)


@dataclasses.dataclass(frozen=True)
class Exponential(Schedule):
    """The rate falls by the same ratio after every epoch: gamma ** epoch.

    As torch's ``ExponentialLR`` stepped every epoch.

    Attributes:
        gamma: What the rate is multiplied with, above 0, at most 1.

    >>> [Exponential(0.5).factor(At(step, steps=4, per_epoch=2)) for step in range(4)]
    [1.0, 1.0, 0.5, 0.5]
    """

    name: ClassVar[str] = "exponential"
    _rules: ClassVar[Mapping[str, Rule]] = {"gamma": _DECAY}

    gamma: float

    def factor(self, at: At) -> float:
        """The same within an epoch."""
        return self.gamma ** (at.step // at.per_epoch)


@dataclasses.dataclass(frozen=True)
class Polynomial(Schedule):
    """From the rate towards a part of it: end + (1 - end) (1 - step / steps) ** power.

    With ``end=0`` as torch's ``PolynomialLR`` with ``total_iters=steps``; with ``power=1`` a
    straight line.

    Attributes:
        power: Above 0; the higher, the earlier the rate falls.
        end: The part of the rate that it falls to, from 0 to 1.

    >>> [Polynomial().factor(At(step, steps=4, per_epoch=1)) for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """

    name: ClassVar[str] = "polynomial"
    _rules: ClassVar[Mapping[str, Rule]] = {"power": _POWER, "end": _FRACTION}

    power: float = 1.0
    end: float = 0.0

    def factor(self, at: At) -> float:
        """Falls from 1.0 towards ``end``."""
        left: float = (1.0 - at.step / at.steps) ** self.power
        return self.end + (1.0 - self.end) * left


def _schedule(field: str, value: Any) -> "Schedule":
    """The rule of a field that is a schedule itself."""
    try:
        return schedule_named(value)
    except SpecError as error:
        raise SpecError(_WHAT, [f"in {field}: {fault}" for fault in error.faults]) from None


@dataclasses.dataclass(frozen=True)
class Warmup(Schedule):
    """Another schedule behind a linear rise.

    Of w warm-up steps, step s has (s + 1) / (w + 1) of the rate at which the other schedule
    begins; the other then runs over the steps that remain, as if they were the whole call. No
    step has a rate of 0. As torch's ``LinearLR(start_factor=1 / (w + 1), total_iters=w)``, then
    the other.

    Attributes:
        schedule: What follows; its name or ``to_dict`` will do.
        epochs: Epochs of the rise, 0 or more, rounded to whole steps; whole epochs where the other
            schedule has a length, or the run would end within an epoch. A call that is shorter
            ends on the way up.

    >>> gentle = Warmup(Cosine(), epochs=0.75)
    >>> [round(gentle.factor(At(step, steps=8, per_epoch=4)), 3) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 0.905]
    """

    name: ClassVar[str] = "warmup"
    _rules: ClassVar[Mapping[str, Rule]] = {"schedule": _schedule, "epochs": _LENGTH}

    schedule: Schedule
    epochs: float

    def factor(self, at: At) -> float:
        """Rises to the other schedule's first factor, then is the other schedule's."""
        share = min(1.0, (at.step + 1) / (self._steps(at) + 1))
        return share * self.schedule.factor(self._behind(at))

    def momentum(self, at: At, base: float) -> float:
        """The other schedule's; that of its first step during the rise."""
        return self.schedule.momentum(self._behind(at), base)

    @property
    def length(self) -> int | None:
        """The other schedule's, with the rise before it."""
        behind = self.schedule.length
        return None if behind is None else behind + round(self.epochs)

    @classmethod
    def _settled(cls, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        values, faults = super()._settled(given)
        behind, epochs = values.get("schedule"), values.get("epochs", 0.0)
        if behind is not None and behind.length is not None and not epochs.is_integer():
            faults.append(
                f"epochs is {epochs}, and {behind.name} fills whole epochs, so the rise before it "
                "has to take whole epochs too"
            )
        return values, faults

    def _steps(self, at: At) -> int:
        return round(self.epochs * at.per_epoch)

    def _behind(self, at: At) -> At:
        """Where the other schedule stands: at its first step as long as the rise lasts."""
        warm = self._steps(at)
        return At(max(0, at.step - warm), max(1, at.steps - warm), at.per_epoch)


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind
    for kind in (Constant, Cosine, Restarts, OneCycle, Step, Exponential, Polynomial, Warmup)
}
"""Every schedule by its name."""


def schedule_named(value: str | Schedule | Mapping[str, Any]) -> Schedule:
    """A schedule from its name, from what ``to_dict`` gave, or from itself.

    Args:
        value: A name of :data:`SCHEDULES`, for that schedule with its defaults; a mapping with
            ``name`` and parameters; or a schedule, which is given back.

    Raises:
        SpecError: There is no such schedule; or, all at once, parameters that do not exist, that
            are missing or that cannot be.

    >>> schedule_named("cosine")
    Cosine(end=0.0)
    >>> schedule_named(Restarts(3, cycle_mult=2).to_dict())
    Restarts(cycles=3, cycle_len=1, cycle_mult=2)
    >>> schedule_named("restart")
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this schedule cannot be: schedule is 'restart', which is none of \
constant, cosine, restarts, one_cycle, step, exponential, polynomial, warmup; \
did you mean restarts?
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        given = dict(value)
        name = given.pop("name", None)
    else:
        given, name = {}, value
    kind = SCHEDULES.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(SCHEDULES)
        hint = did_you_mean(str(name), SCHEDULES)
        raise SpecError(_WHAT, [f"schedule is {name!r}, which is none of {known}{hint}"])
    return _made(kind, given)


def _made(kind: type[Schedule], given: Mapping[str, Any]) -> Schedule:
    """A schedule of this kind, or every fault of what was given."""
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    faults = [
        f"{kind.name} has no {name!r}{did_you_mean(str(name), fields)}"
        for name in given
        if name not in fields
    ]
    values = {name: given.get(name, default) for name, default in fields.items()}
    missing = [name for name, each in values.items() if each is dataclasses.MISSING]
    faults += [f"{kind.name} needs {name}" for name in missing]
    settled, wrong = kind._settled({k: v for k, v in values.items() if k not in missing})
    if faults + wrong:
        raise SpecError(_WHAT, faults + wrong)
    return kind(**settled)


def _annealed(start: float, end: float, share: float) -> float:
    """Half a cosine: ``start`` where the share that is done is 0, ``end`` where it is 1."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
