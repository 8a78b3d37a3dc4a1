"""Telling two models of one's own apart, in this process and in the next."""

import copy
import inspect
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any

from secchi.models.mlp import MLP

if TYPE_CHECKING:
    from torch import nn

    from secchi.training.prepared import PreparedTable


def is_made(model: Any) -> bool:
    """Whether a model is a network, or the parts of one, whose weights are there already.

    >>> from torch import nn
    >>> is_made(nn.Linear(4, 3)), is_made([nn.Linear(4, 3)]), is_made(lambda: nn.Linear(4, 3))
    (True, True, False)
    """
    if isinstance(model, MLP):
        return False
    from torch import nn

    if isinstance(model, Sequence) and not isinstance(model, str):
        return all(isinstance(part, nn.Module) for part in model)
    return isinstance(model, nn.Module)


def network_identity(model: Any, table: "PreparedTable") -> list[Any]:
    """What is the same for models that make the same network, as plain values.

    Not the model is looked at but the network that it makes: how that prints, its first weights,
    and the code and plain attributes of the classes in it that are one's own. So two functions
    that are written alike and mean other widths are told apart, whatever they take it from.

    Args:
        model: What :func:`secchi.models.build.build_model` takes.
        table: What the network is for.

    Raises:
        SpecError: It makes no network for these rows.
    """
    from secchi.models.build import build_model
    from secchi.training.checkpoint import weights_digest

    net = build_model(copy.deepcopy(model), table.width, table.task.outputs)
    own = [_own(module) for module in net.modules() if _is_own(type(module))]
    return [repr(net), weights_digest(net), own]


def _own(module: "nn.Module") -> list[Any]:
    """The plain attributes of a module, and the code of its class and of those that it extends."""
    attributes = sorted(
        (name, repr(value))
        for name, value in vars(module).items()
        if isinstance(value, _PLAIN) and name != "training"
    )
    classes = filter(_is_own, type(module).__mro__)
    return [attributes, [list(_methods(each)) for each in classes]]


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in ("torch", "builtins")


def _methods(kind: type) -> Iterator[list[Any]]:
    for name, function in inspect.getmembers_static(kind, inspect.isfunction):
        if name in vars(kind):
            yield [name, _code(function.__code__)]


def _code(code: CodeType) -> list[Any]:
    """What a function does; of functions within it likewise, whose repr has an address in it."""
    constants = [
        _code(each)
        if isinstance(each, CodeType)
        else sorted(map(repr, each))
        if isinstance(each, frozenset)
        else repr(each)
        for each in code.co_consts
    ]
    return [code.co_code.hex(), constants, list(code.co_names)]


_PLAIN = (str, int, float, bool, tuple)
