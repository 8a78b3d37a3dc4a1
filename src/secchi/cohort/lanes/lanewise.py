"""What each network of a stack has of its own, as vectors with a lane for each."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from secchi.cohort.lanes.memory import Array, aligned
from secchi.cohort.lanes.program import CONSTANTS, Places
from secchi.cohort.lanes.sides import Side
from secchi.cohort.member import Member
from secchi.models.build import first_weights


def draw_parameters(
    parameters: Array, members: Sequence[Member], places: Sequence[Places], widths: Sequence[int]
) -> None:
    """Put first weights and biases, and scales of normalisation, among parameters that are all 0.

    Args:
        parameters: Of shape (numbers, lanes).
        members: A network a lane.
        places: Where those of each layer lie.
        widths: Inputs, units of each hidden layer, and outputs, as the stack has them.
    """
    drawn: dict[Any, Any] = {}
    for lane, member in enumerate(members):
        key = (member.seed, member.model.init, member.model.hidden)
        if key not in drawn:
            drawn[key] = first_weights(member.model, widths[0], widths[-1], member.seed)
        for at, shape, (weight, bias) in zip(places, pairwise(widths), drawn[key], strict=True):
            units, inputs = weight.shape
            whole = parameters[at.weights : at.biases].reshape(*reversed(shape), len(members))
            whole[:units, :inputs, lane] = weight.numpy()
            parameters[at.biases : at.biases + units, lane] = bias.numpy()
    for at, units in zip(places, widths[1:], strict=True):
        if at.norms < at.end:
            parameters[at.norms : at.norms + units] = 1.0


def constants(members: Sequence[Member], valid: Sequence[Side], real: np.dtype[Any]) -> Array:
    """What networks keep throughout: :data:`secchi.cohort.lanes.program.CONSTANTS` by lanes.

    Args:
        members: A network a lane.
        valid: The rows that validate each.
        real: What numbers are.
    """
    table = aligned((len(CONSTANTS), len(members)), real)
    for lane, (member, side) in enumerate(zip(members, valid, strict=True)):
        training, decays = member.training, member.training.optimizer != "adamw"
        units = member.table.width, *member.model.hidden, member.table.task.outputs
        weights = sum(before * after for before, after in pairwise(units))
        values = {
            "weight_decay": training.weight_decay if decays else 0.0,
            "l1": training.l1 / weights,
            "l2": 2 * training.l2 / weights,
            "matrix_norm": training.matrix_norm,
            "clip": math.inf if training.clip is None else training.clip,
            "smoothing": training.label_smoothing,
            "delta": training.huber_delta / member.table.scales[0],
            "shift": side.mean,
        }
        for name, value in values.items():
            table[CONSTANTS.index(name), lane] = value
    return table


def mask(counts: Sequence[int], units: int, real: np.dtype[Any]) -> Array:
    """Which units of a layer networks have: 1, else 0, as units by lanes.

    >>> mask([1, 3], 3, np.dtype(np.float32)).tolist()
    [[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """
    made = aligned((units, len(counts)), real)
    made[:] = np.arange(units)[:, None] < np.array(counts)
    return made


def rates(shares: Sequence[float], real: np.dtype[Any]) -> Array:
    """The shares that are dropped, in single precision; then what the rest is multiplied with."""
    made = aligned((2, len(shares)), real)
    made[0].view(np.float32)[: len(shares)] = shares
    made[1] = 1 / (1 - np.array(shares))
    return made
