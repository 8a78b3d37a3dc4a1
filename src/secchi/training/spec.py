"""The whole specification of a run."""

import dataclasses
import math
from numbers import Integral, Real
from typing import Any

from secchi.errors import SpecError, did_you_mean

OPTIMIZER_NAMES = ("sgd", "adam", "adamw")


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        optimizer: ``"sgd"`` (with momentum 0.9), ``"adam"`` or ``"adamw"``.
        lr: The learning rate.
        epochs: Passes over the training rows.
        batch_size: Rows in a step; the last batch of an epoch may be shorter.
        weight_decay: Pull of the weights, not the biases, towards zero.
        seed: Names the order of the batches.

    Raises:
        SpecError: With every fault at once.

    >>> Training(lr=-1, optimizer="adamv")
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this training cannot be: optimizer is 'adamv', which is none of \
sgd, adam, adamw; did you mean adam or adamw?; lr is -1, which is not a number above 0
    """

    optimizer: str = "adamw"
    lr: float = 1e-2
    epochs: int = 10
    batch_size: int = 64
    weight_decay: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        faults = []
        if self.optimizer not in OPTIMIZER_NAMES:
            hint = did_you_mean(str(self.optimizer), OPTIMIZER_NAMES)
            known = ", ".join(OPTIMIZER_NAMES)
            faults.append(f"optimizer is {self.optimizer!r}, which is none of {known}{hint}")
        if not (_is_number(self.lr) and self.lr > 0):
            faults.append(f"lr is {self.lr!r}, which is not a number above 0")
        for name, least in (("epochs", 0), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if not _is_whole(value) or value < least:
                faults.append(f"{name} is {value!r}, which is not a whole number from {least} on")
        if not (_is_number(self.weight_decay) and self.weight_decay >= 0):
            faults.append(f"weight_decay is {self.weight_decay!r}, which is not a number from 0 on")
        if faults:
            raise SpecError("this training cannot be", faults)
        # NumPy's numbers become Python's, which JSON can hold.
        plain = {"lr": float, "weight_decay": float, "epochs": int, "batch_size": int, "seed": int}
        for name, python_type in plain.items():
            object.__setattr__(self, name, python_type(getattr(self, name)))

    def but(self, **changes: Any) -> "Training":
        """The same with some fields changed; a change of None changes nothing.

        Raises:
            SpecError: With every field that does not exist and every value that cannot be.
        """
        fields = [field.name for field in dataclasses.fields(self)]
        unknown = [name for name in changes if name not in fields]
        faults = [f"there is no {name!r}{did_you_mean(name, fields)}" for name in unknown]
        given = {k: v for k, v in changes.items() if k in fields and v is not None}
        try:
            changed = dataclasses.replace(self, **given)
        except SpecError as error:
            faults += error.faults
        if faults:
            raise SpecError("this training cannot be", faults)
        return changed

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
