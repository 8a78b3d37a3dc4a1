"""The whole specification of a run."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from secchi.errors import SpecError, did_you_mean
from secchi.training.loss_names import (
    LossChoice,
    loss_faults,
    loss_from_plain,
    loss_to_plain,
    settled_loss,
)
from secchi.training.schedules import Constant, Restarts, Schedule, schedule_named
from secchi.values import is_number, is_whole

OPTIMIZER_NAMES = ("sgd", "rmsprop", "adam", "adamw")

_DEFAULT_MOMENTUM = {"sgd": 0.0, "rmsprop": 0.0, "adam": 0.9, "adamw": 0.9}

_WHAT = "this training cannot be"


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        optimizer: ``"sgd"``, ``"rmsprop"``, ``"adam"`` or ``"adamw"``, as torch has them.
        lr: The learning rate, at the top of the schedule. For layer groups: two rates are those of
            the first and the last trained group, the ones between in even ratios; more than two
            are shared out over the groups in their order.
        epochs: Passes over the training rows. A schedule with a length of its own, such as
            restarts, says how many, whatever is given here: a number that was given cannot be told
            from the default. :meth:`but` can, and refuses two that differ.
        batch_size: Rows in a batch.
        drop_last: Whether the rows that are left over where an epoch's rows do not fill its last
            step are left out of that epoch, so that all batches are of one size; other rows are
            left over in every epoch. None: tables do so, pictures do not.
        accumulate: Batches whose gradients are averaged for one step.
        loss: What a wrong answer costs: ``"mse"``, ``"l1"`` or ``"huber"`` for numbers,
            ``"cross_entropy"`` or ``"bce"`` for classes, ``"kl"`` for shares of classes; one's own
            function or module, as :class:`secchi.training.losses.TaskLoss` calls it; or, for
            several targets, a mapping of their names to such, which is kept as pairs. None, and
            targets that are not in it: what suits the target.
        huber_delta: The error, in the target's own unit whatever the loss is computed in, at which
            ``"huber"`` turns from a parabola into a line.
        schedule: How the rate moves: a :class:`secchi.training.schedules.Schedule` or its name.
        momentum: Of sgd and rmsprop (None: 0), or Adam's first beta (None: 0.9).
        dampening: Of sgd with momentum: the new gradient is scaled by 1 - dampening before it is
            added. With 0, as in torch, momentum adds gradients up; with the same number as the
            momentum it is their weighted average, and the steps are shorter by that factor.
        nesterov: Nesterov's momentum, for sgd.
        weight_decay: Pull of the weights, not of biases and norms, towards zero, in the optimizer.
            Of normalised weights it shortens v alone, see
            :class:`secchi.training.optimizers.Optimizer`.
        l1: Adds l1 * mean(abs(w)) to what is minimised; see :mod:`secchi.training.penalties`.
        l2: Adds l2 * mean(w ** 2). With ``l1`` it is the elastic net.
        matrix_norm: Adds matrix_norm * the sum of the Frobenius norms of all weight matrices.
        clip: The longest that the gradient of all weights together may be; None leaves it alone.
        label_smoothing: The share of a label that is spread over all classes.
        ema: Decay of the exponential moving average of the weights, which is what is judged and
            kept; None keeps the weights themselves.
        patience: Epochs without a lower validation loss after which training stops; None goes on.
        keep_best: Keep the weights of the epoch with the lowest validation loss, not the last.
        batch_statistics: Whether batch normalisation that trains uses the statistics of each batch
            rather than those it came with; None: only where the body started from random weights.
        seed: Names the order of the batches and every other random choice.

    Raises:
        SpecError: With every fault at once.

    >>> Training(lr=-1, optimizer="adamv")
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this training cannot be: optimizer is 'adamv', which is none of \
sgd, rmsprop, adam, adamw; did you mean adam or adamw?; lr is -1, which is not a number above 0
    >>> Training(schedule=Restarts(cycles=3, cycle_mult=2)).epochs
    7
    """

    optimizer: str = "adamw"
    lr: float | tuple[float, ...] = 1e-2
    epochs: int = 10
    batch_size: int = 64
    drop_last: bool | None = None
    accumulate: int = 1
    loss: LossChoice = None
    huber_delta: float = 1.0
    schedule: Schedule = Constant()
    momentum: float | None = None
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 1e-2
    l1: float = 0.0
    l2: float = 0.0
    matrix_norm: float = 0.0
    clip: float | None = None
    label_smoothing: float = 0.0
    ema: float | None = None
    patience: int | None = None
    keep_best: bool = False
    batch_statistics: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        faults = self._faults()
        try:
            object.__setattr__(self, "schedule", schedule_named(self.schedule))
        except SpecError as error:
            faults += error.faults
        if faults:
            raise SpecError(_WHAT, faults)
        # NumPy's numbers become Python's, which JSON can hold.
        kinds = dict.fromkeys(_WHOLE, int) | dict.fromkeys(_NUMBERS, float)
        for name, kind in (kinds | dict.fromkeys(_CHOICES, bool)).items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, kind(value))
        rates = tuple(float(rate) for rate in _as_rates(self.lr))
        object.__setattr__(self, "lr", rates[0] if len(rates) == 1 else rates)
        object.__setattr__(self, "loss", settled_loss(self.loss))
        if self.schedule.length is not None:
            object.__setattr__(self, "epochs", self.schedule.length)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rate, or rates, as a tuple."""
        return self.lr if isinstance(self.lr, tuple) else (self.lr,)

    @property
    def base_momentum(self) -> float:
        """The momentum where the schedule does not move it."""
        return _DEFAULT_MOMENTUM[self.optimizer] if self.momentum is None else self.momentum

    def rows_of_epoch(self, rows: int, equal_batches: bool = False) -> int:
        """How many rows an epoch trains on: all, or those that fill steps of one size.

        Where there are fewer than one step takes, they are all in that one.

        Args:
            rows: How many there are.
            equal_batches: Whether those that are left over are dropped where ``drop_last`` is None.

        >>> Training(batch_size=32, drop_last=True).rows_of_epoch(100)
        96
        """
        drops = equal_batches if self.drop_last is None else self.drop_last
        step = self.batch_size * self.accumulate
        return rows - rows % step if drops and rows >= step else rows

    def but(self, **changes: Any) -> "Training":
        """The same with some fields changed; a change of None changes nothing.

        ``cycles``, ``cycle_len`` and ``cycle_mult`` are short for ``schedule=Restarts(...)``.

        Raises:
            SpecError: With every field that does not exist, every value that cannot be, and fields
                that contradict each other: epochs and cycles, or a schedule that takes others.

        >>> Training().but(cycles=3, cycle_len=1, cycle_mult=2).epochs
        7
        >>> Training().but(epochs=5, schedule=Restarts(3))
        Traceback (most recent call last):
        ...
        secchi.errors.SpecError: this training cannot be: epochs cannot be given with a schedule \
that takes another number: epochs is 5, restarts takes 3
        """
        fields = [field.name for field in dataclasses.fields(self)]
        known = [*fields, *_CYCLES]
        unknown = [name for name in changes if name not in known]
        faults = [f"there is no {name!r}{_instead(name, known)}" for name in unknown]
        given = {k: v for k, v in changes.items() if k in known and v is not None}
        cycles = {name: given.pop(name) for name in _CYCLES if name in given}
        try:
            if cycles:
                if clash := [name for name in ("epochs", "schedule") if name in given]:
                    faults.append(f"{' and '.join(clash)} cannot be given with cycles")
                # As a mapping, whose faults are told together with those of the other fields.
                given["schedule"] = {"name": Restarts.name, "cycles": 1, **cycles}
            elif "epochs" in given and "schedule" in given:
                faults += _clash(given["epochs"], given["schedule"])
            elif "epochs" in given and self.schedule.length is not None:
                given["schedule"] = Constant()  # epochs instead of cycles
            changed = dataclasses.replace(self, **given)
        except SpecError as error:
            faults += error.faults
        if faults:
            raise SpecError(_WHAT, faults)
        return changed

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; of a loss of one's own, its name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["lr"] = list(self.lr) if isinstance(self.lr, tuple) else self.lr
        values["loss"] = loss_to_plain(self.loss)
        return values | {"schedule": self.schedule.to_dict()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Training":
        """From what :meth:`to_dict` gave.

        A record names a loss of one's own and does not hold it: what is read can be looked at, and
        training with it is refused until that loss is given again.
        """
        return cls(**{**document, "loss": loss_from_plain(document.get("loss"))})

    def _faults(self) -> list[str]:
        faults = []
        if self.optimizer not in OPTIMIZER_NAMES:
            hint = did_you_mean(str(self.optimizer), OPTIMIZER_NAMES)
            known = ", ".join(OPTIMIZER_NAMES)
            faults.append(f"optimizer is {self.optimizer!r}, which is none of {known}{hint}")
        rates = _as_rates(self.lr)
        if not rates or not all(is_number(rate) and rate > 0 for rate in rates):
            given = rates[0] if len(rates) == 1 else self.lr
            faults.append(f"lr is {given!r}, which is not a number above 0")
        for name, value in self._not_left_out(_WHOLE):
            if not (is_whole(value) and value >= _WHOLE[name]):
                least = _WHOLE[name]
                faults.append(f"{name} is {value!r}, which is not a whole number from {least} on")
        for name, value in self._not_left_out(_NUMBERS):
            holds, words = _NUMBERS[name]
            if not (is_number(value) and holds(value)):
                faults.append(f"{name} is {value!r}, which is not {words}")
        for name, value in self._not_left_out(_CHOICES):
            if not isinstance(value, bool | np.bool_):
                faults.append(f"{name} is {value!r}, which is neither True nor False")
        without = self.optimizer != "sgd" or not self.momentum
        for name in ("nesterov", "dampening"):
            if getattr(self, name) and without:
                faults.append(f"{name} needs the optimizer 'sgd' and a momentum above 0")
        if self.nesterov and self.dampening:
            faults.append("nesterov and dampening cannot be had together")
        return faults + loss_faults(self.loss)

    def _not_left_out(self, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """Fields and their values, but for those that are None and may be."""
        for name in names:
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                yield name, value


def _instead(name: str, known: Sequence[str]) -> str:
    """The nearest of the known names, or all of them."""
    return did_you_mean(name, known) or f"; there are {', '.join(known)}"


def _clash(epochs: Any, schedule: Any) -> list[str]:
    """The fault of epochs that a schedule given with them does not take."""
    try:
        schedule = schedule_named(schedule)
    except SpecError:
        return []  # told together with the faults of the other fields
    if schedule.length is None or not is_whole(epochs) or epochs == schedule.length:
        return []
    return [
        "epochs cannot be given with a schedule that takes another number: "
        f"epochs is {epochs}, {schedule.name} takes {schedule.length}"
    ]


_CYCLES = ("cycles", "cycle_len", "cycle_mult")
_WHOLE = {"epochs": 0, "batch_size": 1, "accumulate": 1, "patience": 1, "seed": 0}
_NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "momentum": (lambda v: 0 <= v < 1, "a number from 0 on, below 1"),
    "dampening": (lambda v: 0 <= v < 1, "a number from 0 on, below 1"),
    "huber_delta": (lambda v: v > 0, "a number above 0"),
    "weight_decay": (lambda v: v >= 0, "a number from 0 on"),
    "l1": (lambda v: v >= 0, "a number from 0 on"),
    "l2": (lambda v: v >= 0, "a number from 0 on"),
    "matrix_norm": (lambda v: v >= 0, "a number from 0 on"),
    "clip": (lambda v: v > 0, "a number above 0"),
    "label_smoothing": (lambda v: 0 <= v < 1, "a number from 0 on, below 1"),
    "ema": (lambda v: 0 < v < 1, "a number between 0 and 1"),
}
_CHOICES = ("nesterov", "keep_best", "batch_statistics", "drop_last")
_OPTIONAL = ("momentum", "clip", "ema", "patience", "batch_statistics", "drop_last")


def spread(rates: tuple[float, ...], groups: int) -> list[float]:
    """One learning rate for each layer group, from those that were given.

    One is for all; two are the first's and the last's, the ones between in even ratios; more are
    shared out in their order, over runs of groups as even as can be, the last rate for the last
    group alone (the head).

    Raises:
        SpecError: There are more rates than groups.

    >>> spread((1e-4, 1e-2), 3)
    [0.0001, 0.001, 0.01]
    >>> spread((1e-4, 1e-3, 1e-2), 5)
    [0.0001, 0.0001, 0.001, 0.001, 0.01]
    """
    if len(rates) > max(groups, 1):
        raise SpecError(
            _WHAT, [f"lr names {len(rates)} rates, and {groups} layer groups are trained"]
        )
    if len(rates) == 1 or groups == 1:
        return [rates[-1]] * groups
    if len(rates) == 2:
        low, high = rates
        shares = [place / (groups - 1) for place in range(groups)]
        return [low ** (1 - share) * high**share for share in shares]
    runs = len(rates) - 1
    return [*(rates[place * runs // (groups - 1)] for place in range(groups - 1)), rates[-1]]


def _as_rates(lr: Any) -> tuple[Any, ...]:
    lr = lr.tolist() if isinstance(lr, np.ndarray) else lr
    return tuple(lr) if isinstance(lr, Sequence) and not isinstance(lr, str | bytes) else (lr,)
