"""Which losses there are, and how one is named, given and written down.

The specification of a run reads this without torch; :mod:`secchi.training.losses` computes them.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from secchi.errors import SpecError, did_you_mean

LOSS_NAMES = ("mse", "l1", "huber", "bce", "cross_entropy", "kl")

Loss = str | Callable[..., Any]
"""A name, or one's own: (outputs, values) to one number a row, or to their mean."""

LossChoice = Loss | Mapping[str, Loss] | tuple[tuple[str, Loss], ...] | None
"""One for every target, one each by the target's name, or what suits the target."""


@dataclasses.dataclass(frozen=True)
class OwnLoss:
    """Stands for a loss of one's own in a training that was read from a record.

    Attributes:
        name: What it was called.

    >>> OwnLoss("mine.quantile")(None, None)
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this training cannot be: its loss was one's own, mine.quantile, \
which a record names and does not hold; give it again, as loss=quantile
    """

    name: str

    @property
    def fault(self) -> str:
        """Why nothing can be trained with it."""
        last = self.name.rpartition(".")[2]
        return (
            f"its loss was one's own, {self.name}, which a record names and does not hold; give "
            f"it again, as loss={last}"
        )

    def __call__(self, *_: Any) -> NoReturn:
        """Refuse.

        Raises:
            SpecError: Always.
        """
        raise SpecError("this training cannot be", [self.fault])


def loss_name(loss: Loss) -> str:
    """What a loss is called: its name, or that of the function or the module's class.

    >>> loss_name("mse"), loss_name(print)
    ('mse', 'builtins.print')
    """
    if isinstance(loss, str):
        return loss
    if isinstance(loss, OwnLoss):
        return loss.name
    named: Any = loss if hasattr(loss, "__qualname__") else type(loss)
    return f"{named.__module__}.{named.__qualname__}"


def loss_faults(loss: Any) -> list[str]:
    """What is wrong with the choice of a loss, as far as that can be told without the task."""
    if loss is None:
        return []
    if not isinstance(loss, Mapping | tuple):
        return list(filter(None, [_fault("loss", loss)]))
    pairs = list(loss.items()) if isinstance(loss, Mapping) else list(loss)
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        return [f"loss is {loss!r}, which is no mapping of targets to losses"]
    faults = [
        f"loss names a target {name!r}, which is no text"
        for name, _ in pairs
        if not isinstance(name, str)
    ]
    return faults + list(filter(None, [_fault(f"loss of {name!r}", one) for name, one in pairs]))


def settled_loss(loss: LossChoice) -> Loss | tuple[tuple[str, Loss], ...] | None:
    """A mapping as pairs, which cannot be changed; anything else as it is."""
    return tuple(loss.items()) if isinstance(loss, Mapping) else loss


def loss_to_plain(loss: LossChoice) -> str | dict[str, str] | None:
    """As plain JSON values, one's own by name."""
    if loss is None:
        return None
    if isinstance(loss, Mapping | tuple):
        return {name: loss_name(one) for name, one in dict(loss).items()}
    return loss_name(loss)


def loss_from_plain(document: str | Mapping[str, str] | None) -> LossChoice:
    """From what :func:`loss_to_plain` gave; for one's own an :class:`OwnLoss`."""
    if isinstance(document, Mapping):
        return {name: _read(one) for name, one in document.items()}
    return None if document is None else _read(document)


def _read(name: str) -> Loss:
    return OwnLoss(name) if "." in name else name


def _fault(what: str, loss: Any) -> str | None:
    if isinstance(loss, str):
        known = ", ".join(LOSS_NAMES)
        hint = did_you_mean(loss, LOSS_NAMES)
        return None if loss in LOSS_NAMES else f"{what} is {loss!r}, which is none of {known}{hint}"
    if inspect.isclass(loss):
        return f"{what} is {loss!r}, which is a class; give an object of it: {loss.__name__}()"
    return None if callable(loss) else f"{what} is {loss!r}, which is neither a name nor a function"
