"""How factors are written down: in the record of an experiment, and in a file of a person's."""

from collections.abc import Callable, Mapping
from typing import Any

from secchi.errors import SpecError, did_you_mean
from secchi.experiments.factor_values import (
    Nested,
    Range,
    integers,
    linspace,
    log_uniform,
    logspace,
    powers_of_two,
    uniform,
)

_MAKERS: dict[str, Callable[..., Any]] = {
    "linspace": linspace,
    "logspace": logspace,
    "powers_of_two": powers_of_two,
    "uniform": uniform,
    "log_uniform": log_uniform,
    "integers": integers,
}
_TAKES = dict.fromkeys(_MAKERS, "[low, high]") | dict.fromkeys(
    ("linspace", "logspace"), "[low, high, number]"
)
_FUNCTION = "function"


def written(factor: Any) -> Any:
    """A factor as plain JSON values; of a function, its name.

    >>> written(uniform(0, 1)), written((1, 2))
    ({'uniform': [0.0, 1.0]}, [1, 2])
    """
    if isinstance(factor, Range):
        return {factor.kind: [factor.low, factor.high]}
    if isinstance(factor, Nested):
        factor = factor.values
    if callable(factor):
        return {_FUNCTION: getattr(factor, "__qualname__", type(factor).__qualname__)}
    return list(factor)


def is_function(document: Any) -> bool:
    """Whether what :func:`written` gave stands for a function, which it does not hold."""
    return isinstance(document, Mapping) and _FUNCTION in document


def read(name: str, document: Any) -> tuple[Any, list[str]]:
    """A factor from what is written down, and its faults.

    Args:
        name: Of the factor.
        document: A list of values, or a mapping of one name, such as ``linspace``, to a list.

    >>> read("lr", {"logspace": [0.01, 1, 3]})
    ([0.01, 0.1, 1.0], [])
    >>> read("lr", {"power_of_2": [1, 8]})[1]
    ["lr is {'power_of_2': [1, 8]}, which is no list of values; did you mean powers_of_two?"]
    """
    if is_function(document):
        return None, [f"{name} is a function, which is not written down: give it again in Python"]
    if not isinstance(document, Mapping):
        return document, []
    made = next(iter(document), "")
    if len(document) != 1 or made not in _MAKERS:
        hint = did_you_mean(str(made), _MAKERS) or f"; {', '.join(_MAKERS)} make some"
        return None, [f"{name} is {dict(document)!r}, which is no list of values{hint}"]
    try:
        return _MAKERS[made](*document[made]), []
    except TypeError:
        return None, [f"{name}: {made} takes {_TAKES[made]}, not {document[made]!r}"]
    except SpecError as error:
        return None, [f"{name}: {error}"]
