"""What several models, or several views of the same rows, say together."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from secchi.data.task import Kind, Target
from secchi.errors import SpecError


def shares_of(count: int, weights: Sequence[float] | None) -> NDArray[np.float64]:
    """Weights of ``count`` predictions that sum to one; None weighs all alike.

    Raises:
        SpecError: Weights that cannot be, with every fault.

    >>> shares_of(2, [3, 1])
    array([0.75, 0.25])
    """
    if weights is None:
        return np.full(count, 1 / count)
    faults = [
        f"weight {i} is {w!r}, which is not a number from 0 on"
        for i, w in enumerate(weights)
        if not _is_weight(w)
    ]
    if len(weights) != count:
        faults.append(f"there are {len(weights)} for {count} predictions")
    if not faults and not any(weights):
        faults.append("all of them are 0")
    if faults:
        raise SpecError("these weights cannot be", faults)
    given = np.array(weights, dtype=np.float64)
    given /= given.sum()
    return given


def averaged_outputs(target: Target, outputs: Tensor, shares: Tensor) -> Tensor:
    """The outputs for one target that stand for the averaged probabilities, or numbers.

    Args:
        target: What is predicted.
        outputs: float64 of shape (several, rows, target.outputs).
        shares: Positive and of sum one, (several,).

    Returns:
        (rows, target.outputs)
    """
    shares = shares[:, None, None]

    def log_mean(logs: Tensor) -> Tensor:
        return torch.logsumexp(logs + shares.log(), dim=0)

    if target.kind is Kind.REGRESSION:
        return (shares * outputs).sum(dim=0)
    if target.kind in (Kind.MULTICLASS, Kind.DISTRIBUTION):
        return log_mean(functional.log_softmax(outputs, dim=2))
    # logit(p) = log p - log(1 - p), and 1 - sigmoid(x) = sigmoid(-x).
    return log_mean(functional.logsigmoid(outputs)) - log_mean(functional.logsigmoid(-outputs))


def _is_weight(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value) and float(value) >= 0
