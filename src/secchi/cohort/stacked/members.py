"""What the members of a stack have, side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Stacked:
    """Something of which every member of a stack has a part of its own.

    Of its attributes, tensors have the members first, and lists have one thing for each; so have
    the tensors in mappings. Everything else is shared by all members.

    >>> class Scores(Stacked):
    ...     def __init__(self):
    ...         self.means, self.names = torch.tensor([1.0, 2.0, 3.0]), ["a", "b", "c"]
    >>> scores = Scores()
    >>> scores.keep([0, 2])
    >>> scores.means.tolist(), scores.names
    ([1.0, 3.0], ['a', 'c'])
    """

    def keep(self, places: Sequence[int]) -> None:
        """Leave out all members but those at some places."""
        for name, value in vars(self).items():
            setattr(self, name, _kept(value, places))


def _kept(value: Any, places: Sequence[int]) -> Any:
    if isinstance(value, Tensor):
        return value[torch.tensor(places, dtype=torch.int64, device=value.device)]
    if isinstance(value, list):
        return [value[place] for place in places]
    if isinstance(value, dict):
        return {name: _kept(each, places) for name, each in value.items()}
    return value


def one_each(values: Sequence[Any], device: str) -> Tensor:
    """One number a member, which meets tensors of (members, rows, units); float64, (members, 1, 1).

    >>> one_each([0.1, 0.2], "cpu").shape
    torch.Size([2, 1, 1])
    """
    return torch.tensor(values, dtype=torch.float64, device=device).reshape(-1, 1, 1)


def filled_up(arrays: Sequence[NDArray[Any]], device: str) -> Tensor:
    """Arrays as one tensor, (arrays, …), with zeros behind the rows and columns of smaller ones.

    >>> filled_up([np.ones(1), np.ones(2)], "cpu").tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    shape = np.max([array.shape for array in arrays], axis=0)
    joint = np.zeros((len(arrays), *shape), arrays[0].dtype)
    for place, array in zip(joint, arrays, strict=True):
        place[tuple(slice(size) for size in array.shape)] = array
    return torch.from_numpy(joint).to(device)
