"""How much the rows of a class count."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Target
from secchi.errors import SpecError, did_you_mean
from secchi.values import is_number

_WHAT = "this table cannot be read so"


def class_weights(
    wish: str | Mapping[Any, float], target: Target, learned: NDArray[Any]
) -> NDArray[np.float32]:
    """The weight of each class, by its number.

    Args:
        wish: ``"balanced"``: every class of the training rows counts alike in sum; or a weight by
            class, 1 for those that are not named.
        target: What has the classes.
        learned: The class of each training row.

    Raises:
        SpecError: The target has no classes, or weights that cannot be.

    >>> pet = Target.classify("pet", ["cat", "dog"])
    >>> [f"{weight:.2f}" for weight in class_weights("balanced", pet, np.array([0, 0, 0, 1]))]
    ['0.67', '2.00']
    """
    if not target.exclusive:
        raise SpecError(_WHAT, [f"{target.name!r} has no classes to weigh"])
    if wish != "balanced":
        return _named_weights(wish, target.classes)
    counts = np.bincount(learned, minlength=len(target.classes))
    there = counts > 0  # a class that no training row has is neither rare nor frequent
    balanced = np.ones(len(counts), np.float32)
    balanced[there] = counts.sum() / (there.sum() * counts[there])
    return balanced


def _named_weights(
    weights: str | Mapping[Any, float], classes: Sequence[str]
) -> NDArray[np.float32]:
    if not isinstance(weights, Mapping):
        raise SpecError(
            _WHAT,
            [f"class_weights is {weights!r}; it is 'balanced', or a weight by class"],
        )
    named = {str(name): value for name, value in weights.items()}
    faults = [
        f"class_weights names {name!r}, which is no class{did_you_mean(name, classes)}"
        for name in named
        if name not in classes
    ]
    faults += [
        f"the weight of {name!r} is {value!r}, which is not a number from 0 on"
        for name, value in named.items()
        if not (is_number(value) and value >= 0)
    ]
    if faults:
        raise SpecError(_WHAT, faults)
    return np.array([named.get(name, 1.0) for name in classes], np.float32)
