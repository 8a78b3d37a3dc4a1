"""Telling two losses of one's own apart, in this process and in the next."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from secchi.training.checkpoint import weights_digest
from secchi.training.loss_names import LossChoice, loss_name


def loss_identity(choice: LossChoice) -> Any:
    """What is the same for losses that do the same, as plain values.

    A name is itself; a module is its class, how it prints and its weights; a function is its code,
    its defaults and what it closes over. Where that cannot be told from one process to the next, as
    of a function within a function, no two are the same.

    >>> loss_identity(nn.HuberLoss(delta=1.0)) == loss_identity(nn.HuberLoss(delta=1.0))
    True
    >>> loss_identity(lambda says, is_: says - is_) == loss_identity(lambda says, is_: is_ - says)
    False
    """
    if choice is None or isinstance(choice, str):
        return choice
    if isinstance(choice, Mapping):
        choice = tuple(choice.items())
    if isinstance(choice, tuple):
        return [[name, loss_identity(loss)] for name, loss in choice]
    parts: list[Any] = [loss_name(choice)]
    if isinstance(choice, nn.Module):
        parts += [repr(choice), weights_digest(choice), sorted(map(str, vars(choice)))]
        parts += [repr(value) for value in vars(choice).values() if isinstance(value, _PLAIN)]
    else:
        code = getattr(choice, "__code__", None)
        parts += [code.co_code, code.co_consts, code.co_names] if code else [repr(choice)]
        closed = getattr(choice, "__closure__", None) or ()
        parts += [getattr(choice, "__defaults__", None), [cell.cell_contents for cell in closed]]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


_PLAIN = (str, int, float, bool, tuple)
