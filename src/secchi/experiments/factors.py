"""What can vary: fields of the data, the model and the training, by their own names."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from secchi.data.label_values import plain
from secchi.data.synthetic import Synthetic
from secchi.data.table import SCALES, TableData
from secchi.data.task import Kind, Task
from secchi.errors import SpecError, did_you_mean
from secchi.experiments.settings import Setting, canonical, told
from secchi.experiments.space import WHAT, Space
from secchi.models.mlp import MLP
from secchi.training.schedules import Restarts
from secchi.training.spec import Training
from secchi.values import is_number, is_whole

CYCLES = ("cycles", "cycle_len", "cycle_mult")
"""Short for a schedule of restarts."""

MODEL_FACTORS = (*(field.name for field in dataclasses.fields(MLP)), "depth", "width")
"""What can vary of an :class:`secchi.MLP`."""

TRAINING_FACTORS = (
    *(field.name for field in dataclasses.fields(Training) if field.name != "seed"),
    *CYCLES,
)
"""What can vary of a :class:`secchi.Training`; each repeat has a seed of its own."""

_NEVER_NONE = ("hidden", "depth", "width", *CYCLES)
"""Of these, None would leave the base as it is."""

_MOST_TOLD = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Factors:
    """The base of an experiment, and what can vary of it.

    Attributes:
        data: A :class:`secchi.TableData`, a specification of made-up rows, or a table of features.
        model: A :class:`secchi.MLP`, or another model, of which nothing can vary.
        training: How networks are trained.
        task: What is predicted.
        folds: How many folds the factor ``fold`` counts; None has none.
        options: How made-up rows are parted and scaled.
    """

    data: Any
    model: Any
    training: Training
    task: Task
    folds: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What can vary."""
        model = MODEL_FACTORS if isinstance(self.model, MLP) else ()
        return (*self._of_rows, *self._of_made_up, *model, *TRAINING_FACTORS)

    @cached_property
    def base(self) -> Setting:
        """The value of each factor where it does not vary.

        Cycles have none unless the schedule is one of restarts, and the width has none where
        hidden layers have different ones.
        """
        values: Setting = {**self._of_rows, **self._of_made_up}
        if isinstance(self.model, MLP):
            values |= {**self.model.to_dict(), "depth": self.model.depth}
            values |= {} if self.model.width is None else {"width": self.model.width}
        values |= {k: v for k, v in self.training.to_dict().items() if k != "seed"}
        schedule = self.training.schedule
        return values | (dataclasses.asdict(schedule) if isinstance(schedule, Restarts) else {})

    @cached_property
    def _of_rows(self) -> dict[str, Any]:
        """What can vary of how rows are chosen and scaled, with the value of the base."""
        values: dict[str, Any] = {"train_fraction": 1.0}
        if self.folds is not None:
            values["fold"] = 0
        scales = ("scale", "target_scale")
        if isinstance(self.data, TableData):
            values |= {name: getattr(self.data, name) for name in scales}
        elif isinstance(self.data, Synthetic):
            values |= {name: self.options.get(name, "zscore") for name in scales}
        return values

    @cached_property
    def _of_made_up(self) -> dict[str, Any]:
        """The fields of made-up rows, with the value of the base."""
        if not isinstance(self.data, Synthetic):
            return {}
        document: dict[str, Any] = plain(self.data.to_dict())
        return {name: value for name, value in document.items() if name != "name"}

    # ---------------------------------------------------------------- a setting

    def model_of(self, setting: Mapping[str, Any]) -> Any:
        """The model of a setting.

        Raises:
            SpecError: With every value that cannot be.
        """
        changes = {name: setting[name] for name in setting if name in MODEL_FACTORS}
        return self.model.but(**changes) if changes else self.model

    def training_of(self, setting: Mapping[str, Any]) -> Training:
        """The training of a setting.

        None switches off: a patience of None is no early stopping, whatever the base has.

        Raises:
            SpecError: With every value that cannot be.
        """
        changes = {name: setting[name] for name in setting if name in TRAINING_FACTORS}
        off = {name: None for name, value in changes.items() if value is None}
        changed = self.training.but(**changes)
        return dataclasses.replace(changed, **off) if off else changed  # type: ignore[arg-type]

    def data_of(self, setting: Mapping[str, Any]) -> Any:
        """The specification of made-up rows of a setting; other data as they are.

        Raises:
            SpecError: With every value that cannot be.
        """
        changes = {name: setting[name] for name in setting if name in self._of_made_up}
        return dataclasses.replace(self.data, **changes) if changes else self.data

    def settled(self, setting: Setting) -> Setting:
        """A setting with values as the specifications hold them: 0.0 for 0, "relu" for "ReLU"."""
        documents: dict[str, Any] = self.training_of(setting).to_dict()
        if isinstance(self.model, MLP):
            documents |= self.model_of(setting).to_dict()
        if self._of_made_up:
            documents |= plain(self.data_of(setting).to_dict())
        return {name: documents.get(name, value) for name, value in setting.items()}

    def loss_units(self, settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """The factors by which losses are in other units.

        Numbers are learned in units of their spread over the training rows of the setting, unless
        they are not scaled: so the losses of two settings with other training rows, or other ways
        to scale, cannot be compared.
        """
        if all(target.kind is not Kind.REGRESSION for target in self.task.targets):
            return ()
        base = self._of_rows.get("target_scale", "none")  # features have none
        scaled = any(each.get("target_scale", base) != "none" for each in settings)
        names = ("target_scale", "train_fraction", *self._of_made_up) if scaled else ()
        values = {name: {canonical(each.get(name)) for each in settings} for name in names}
        return tuple(name for name, different in values.items() if len(different) > 1)

    # ---------------------------------------------------------------- all settings

    def spanned(
        self, vary: Mapping[str, Any], design: str, samples: int | None, seed: int
    ) -> tuple[dict[str, Any], tuple[Setting, ...]]:
        """The factors, and the settings that a design makes of them.

        Args:
            vary: What each factor can be; see :class:`secchi.experiments.space.Space`.
            design: Likewise.
            samples: Likewise.
            seed: Likewise.

        Raises:
            SpecError: With every fault.
        """
        faults = self.name_faults(vary)
        known = {name: given for name, given in vary.items() if name in self.names}
        try:
            space = Space(known, design, samples, self.base, seed)
        except SpecError as error:
            raise SpecError(WHAT, [*faults, *error.faults]) from error
        if faults := faults + self.setting_faults(space.settings):
            raise SpecError(WHAT, faults)
        return space.vary, self._once(space)

    def _once(self, space: Space) -> tuple[Setting, ...]:
        """The settings with values as specifications hold them, each once.

        A design can come to a setting again; in a grid, two values would be one.
        """
        once: dict[str, Setting] = {}
        faults = []
        for given in space.settings:
            setting = self.settled(given)
            if once.setdefault(canonical(setting), setting) is not setting:
                faults.append(f"{told(given)} is there twice, in other words")
        if faults and space.design == "grid":
            raise SpecError(WHAT, faults[:1])
        return tuple(once.values())

    # ---------------------------------------------------------------- faults

    def name_faults(self, names: Iterable[str]) -> list[str]:
        """What is wrong with the names of factors."""
        return [fault for name in names if (fault := self._name_fault(name))]

    def _name_fault(self, name: str) -> str | None:
        if self.names.count(name) > 1:
            return f"{name} is a field of {self.data.name} and of something else: rename it there"
        if name in self.names:
            return None
        if name == "seed":
            return "seed cannot vary: repeats=n trains every setting n times, each with its own"
        if name == "fold":
            return "fold needs folds=k: it is then the number of a fold, from 0 to k - 1"
        if name in MODEL_FACTORS:
            return f"{name} is a factor of an MLP, and the model is none"
        hint = did_you_mean(str(name), self.names) or f"; there are {', '.join(self.names)}"
        return f"there is no factor {name!r}{hint}"

    def setting_faults(self, settings: Iterable[Setting]) -> list[str]:
        """What is wrong with settings: each fault once, ten of them at the most.

        A fault that a value has by itself is told with that value, unless there are settings in
        which the value is right; any other with the first setting that has it.
        """
        found: dict[str, Setting] = {}
        right = []
        for setting in settings:
            faults = self._faults(setting)
            if not faults:
                right.append(setting)
            for fault in faults:
                found.setdefault(fault, setting)
        placed = [self._placed(*each, right) for each in list(found.items())[:_MOST_TOLD]]
        more = len(found) - len(placed)
        return [*placed, f"and {more} more"] if more else placed

    def _placed(self, fault: str, setting: Setting, right: Sequence[Setting]) -> str:
        """A fault, and where it is."""
        if not right and fault in self._faults({}):
            return fault
        for name, value in setting.items():
            wrong = not any(other[name] == value for other in right)
            if wrong and fault in self._faults({name: value}):
                return fault if fault.startswith(f"{name} is ") else f"{name}={value!r}: {fault}"
        return f"{fault}, for {told(setting)}"

    def _faults(self, setting: Setting) -> list[str]:
        """What is wrong with one setting."""
        faults = [
            f"{name} is None, which says nothing"
            for name in _NEVER_NONE
            if name in setting and setting[name] is None
        ]
        faults += [
            f"{name} is {setting[name]!r}, which is {words}"
            for name, (holds, words) in self._rules.items()
            if name in setting and not holds(setting[name])
        ]
        known = {name: value for name, value in setting.items() if name not in self._rules}
        for of in (self.data_of, self.model_of, self._judged_training_of):
            try:
                of({k: v for k, v in known.items() if v is not None or k not in _NEVER_NONE})
            except SpecError as error:
                faults += error.faults
        return faults

    def _judged_training_of(self, setting: Setting) -> None:
        """The training of a setting, whose loss has to suit the target."""
        from secchi.training.losses import check_loss

        training = self.training_of(setting)
        # With other classes it is another task, which is known when rows are made up.
        if "classes" not in setting:
            check_loss(training, self.task)

    @cached_property
    def _rules(self) -> dict[str, tuple[Callable[[Any], bool], str]]:
        """What factors of rows can be, and what is any other value."""
        folds = self.folds or 0
        return {
            "train_fraction": (
                lambda value: is_number(value) and 0 < value <= 1,
                "not a number above 0, at most 1",
            ),
            "fold": (
                lambda value: is_whole(value) and 0 <= value < folds,
                f"not a whole number from 0 to {folds - 1}",
            ),
            "scale": (lambda value: value in SCALES, f"none of {', '.join(SCALES)}"),
            "target_scale": (lambda value: value in ("zscore", "none"), "neither zscore nor none"),
        }
