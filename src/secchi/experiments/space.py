"""What varies in an experiment, and the settings that follow from it.

A factor has values of its own, as :mod:`secchi.experiments.factor_values` makes them: a list, or a
range that a design draws from. It can also depend on other factors: a plain function gives its one
value, :func:`secchi.experiments.factor_values.nested` its list of values.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.label_values import plain
from secchi.errors import SpecError, did_you_mean
from secchi.experiments.factor_values import Nested, Range
from secchi.experiments.settings import Setting, canonical, choices, plain_value, told
from secchi.seeding import stream
from secchi.values import is_whole

DESIGNS = ("grid", "one_at_a_time", "random", "latin_hypercube")
"""How settings are chosen; :class:`Space` tells what each does."""

DRAWN = ("random", "latin_hypercube")
"""Designs that draw settings, which fill the space of the factors."""

WHAT = "these factors cannot be varied"
_MOST_SETTINGS = 1_000_000


class Space:
    """Factors, their values, and the settings that a design makes of them.

    Designs:

    - ``"grid"``: every combination, the last factor changing first.
    - ``"one_at_a_time"``: the base, then every value of each factor with the others at the base.
    - ``"random"``: as many settings as ``samples`` says, each drawn from ranges and lists, with
      replacement. More samples leave the first ones as they were.
    - ``"latin_hypercube"``: the same, but every range is cut into as many equal parts as there are
      samples, and each part holds one value (McKay and others, 1979); lists are spread evenly.

    A setting that is drawn twice, or is the base again, is kept once: there can be fewer settings
    than samples, and ``dropped`` says by how many.

    A function as a factor gives its value, whatever that is, a list too; it is called with the
    setting after all other factors have theirs, in the order given. One that
    :func:`secchi.experiments.factor_values.nested` makes gives a list of values to choose from.

    Args:
        vary: What each factor can be, by its name: a list, a range, a function, or nested.
        design: One of :data:`DESIGNS`.
        samples: How many settings are drawn; for random and Latin hypercube designs only.
        base: The values of factors where they do not vary; one at a time needs them.
        seed: Names what is drawn.

    Attributes:
        vary: The factors; lists as tuples of plain values.
        settings: A value for each factor by its name; in a stable order, each of them once.
        dropped: How many settings were dropped as they were there already.

    Raises:
        SpecError: With every fault at once.

    >>> from secchi.experiments.factor_values import log_uniform, logspace, uniform
    >>> space = Space({"lr": logspace(1e-3, 0.1, 3), "weight_decay": lambda s: s["lr"] / 10})
    >>> space.settings[0]
    {'lr': 0.001, 'weight_decay': 0.0001}
    >>> len(Space({"lr": log_uniform(1e-4, 1), "depth": [1, 2]}, "random", samples=50).settings)
    50
    >>> Space({"lr": uniform(0, 1), "depth": []})
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: these factors cannot be varied: lr is a range, which the designs \
random and latin_hypercube take, not grid; depth has no values
    """

    def __init__(
        self,
        vary: Mapping[str, Any],
        design: str = "grid",
        samples: int | None = None,
        base: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        base = base or {}
        faults = _design_faults(design, samples)
        self.vary: dict[str, Any] = {}
        for name, given in vary.items():
            self.vary[name], wrong = _factor(name, given)
            faults += wrong
            if isinstance(given, Range) and design not in DRAWN:
                drawn = " and ".join(DRAWN)
                faults.append(f"{name} is a range, which the designs {drawn} take, not {design}")
            if design == "one_at_a_time" and not _depends(given) and name not in base:
                faults.append(f"{name} has no value at the base, which one_at_a_time needs")
        if faults:
            raise SpecError(WHAT, faults)
        self.design = design
        self._samples = samples or 0
        self._base = {name: plain(base[name]) for name in vary if name in base}
        self._seed = seed
        self.settings, self.dropped = self._made()

    def _made(self) -> tuple[tuple[Setting, ...], int]:
        """The settings, each once, and how many are not."""
        designs = {"grid": self._grid, "one_at_a_time": self._one_at_a_time}
        made = [self._completed(each) for each in designs.get(self.design, self._drawn)()]
        once: dict[str, Setting] = {}
        for setting in made:
            once.setdefault(canonical(setting), setting)
        return tuple(once.values()), len(made) - len(once)

    def _grid(self) -> list[Setting]:
        settings: list[Setting] = [{}]
        for name in self._free:
            settings = [
                {**setting, name: value}
                for setting in settings
                for value in self._values(name, setting)
            ]
            if len(settings) > _MOST_SETTINGS:
                fault = f"they make more than {_MOST_SETTINGS:,} settings; random draws fewer"
                raise SpecError(WHAT, [fault])
        return settings

    def _one_at_a_time(self) -> list[Setting]:
        base = {name: self._base[name] for name in self._free}
        changed = [
            {**base, name: value} for name in self._free for value in self._values(name, base)
        ]
        return [base, *changed]

    def _drawn(self) -> list[Setting]:
        settings = []
        for shares in self._shares().tolist():
            setting: Setting = {}
            for name, share in zip(self._free, shares, strict=True):
                factor = self.vary[name]
                if isinstance(factor, Range):
                    setting[name] = factor.at(share)
                else:
                    values = self._values(name, setting)
                    setting[name] = values[self._place(share, len(values))]
            settings.append(setting)
        return settings

    def _place(self, share: float, count: int) -> int:
        """Which of so many values a share stands for."""
        if self.design == "latin_hypercube":
            # By the stratum: then no value is drawn more than once more often than another.
            return int(share * self._samples) * count // self._samples
        return int(share * count)

    def _shares(self) -> NDArray[np.float64]:
        """A place within each factor for every sample, (samples, factors), from 0 on, below 1."""
        if self.design == "latin_hypercube" and self._free:
            from scipy.stats.qmc import LatinHypercube

            random = stream(self._seed, "latin hypercube design")
            return np.asarray(LatinHypercube(len(self._free), seed=random).random(self._samples))
        # A stream for each factor, so that more samples go on where fewer ended.
        shares = [
            stream(self._seed, f"random design of {name}").random(self._samples)
            for name in self._free
        ]
        return np.array(shares).reshape(len(self._free), self._samples).T

    @property
    def _free(self) -> list[str]:
        """The factors that do not depend on all others."""
        return [name for name, factor in self.vary.items() if not _depends(factor)]

    def _values(self, name: str, setting: Setting) -> tuple[Any, ...]:
        factor = self.vary[name]
        if not isinstance(factor, Nested):
            return tuple(factor)
        values, faults = choices(name, _called(name, factor.values, setting))
        if faults:
            raise SpecError(WHAT, [f"{fault}, for {told(setting)}" for fault in faults])
        return values

    def _completed(self, setting: Setting) -> Setting:
        """With the factors that depend on it, in the order in which factors were given."""
        for name, factor in self.vary.items():
            if _depends(factor):
                value, fault = plain_value(_called(name, factor, setting))
                if fault:
                    raise SpecError(WHAT, [f"{name} {fault}, for {told(setting)}"])
                setting = {**setting, name: value}
        return {name: setting[name] for name in self.vary}


def _depends(factor: Any) -> bool:
    """Whether it is a function of all other factors."""
    return callable(factor)


def _factor(name: str, given: Any) -> tuple[Any, list[str]]:
    """A factor with plain values, and its faults."""
    if _depends(given) or isinstance(given, Range | Nested):
        return given, []
    return choices(name, given)


def _called(name: str, function: Callable[[Setting], Any], setting: Setting) -> Any:
    """What a function of one's own makes of a setting."""
    try:
        return function(dict(setting))
    except KeyError as error:
        missing = str(error.args[0]) if error.args else ""
        hint = did_you_mean(missing, setting)
        fault = f"the function of {name} asks for {missing!r}, which no factor before it is{hint}"
        raise SpecError(WHAT, [fault]) from error
    except Exception as error:  # a function of one's own can raise anything
        raised = f"{type(error).__name__}: {error}"
        fault = f"the function of {name} fails with {raised}, for {told(setting)}"
        raise SpecError(WHAT, [fault]) from error


def _design_faults(design: Any, samples: Any) -> list[str]:
    if design not in DESIGNS:
        hint = did_you_mean(str(design), DESIGNS)
        return [f"design is {design!r}, which is none of {', '.join(DESIGNS)}{hint}"]
    if design not in DRAWN:
        drawn = " and ".join(DRAWN)
        return [] if samples is None else [f"samples are for {drawn} designs, not for {design}"]
    if samples is None:
        return [f"samples says how many settings a {design} design has, and is not given"]
    if is_whole(samples) and samples >= 1:
        return []
    return [f"samples is {samples!r}, not a whole number from 1 on"]
