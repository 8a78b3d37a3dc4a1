"""The part that is trained on top of frozen features, and how its outputs are read."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from secchi.data.task import Kind, Target, Task
from secchi.errors import DataError

SCALE = 1 / 3
"""Root mean square of a feature as the linear layer sees it."""


class Head(nn.Module):
    """A linear layer on features that are centred and brought to one length.

    Features are shifted by their mean over the training pictures, and every picture's feature
    vector is then scaled so that the root mean square of its numbers is :data:`SCALE`. The linear
    layer starts at zero, so the first loss is that of knowing nothing. docs/head.md tells what
    else was tried.

    Args:
        inputs: Numbers in a feature.
        outputs: Numbers to give, as :attr:`secchi.Task.outputs` says.

    >>> Head(4, 2)(torch.ones(3, 4)).shape
    torch.Size([3, 2])
    """

    center: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(inputs))
        self.linear = nn.Linear(inputs, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def inputs(self) -> int:
        """Numbers in a feature."""
        return self.linear.in_features

    @property
    def outputs(self) -> int:
        """Numbers that it gives."""
        return self.linear.out_features

    def fit_center(self, chunks: Iterable[NDArray[np.float32]]) -> None:
        """Take the mean of the training features.

        Args:
            chunks: The features, float32 of shape (rows, inputs), some rows at a time.
        """
        self.center.copy_(torch.from_numpy(mean_of(chunks, self.inputs)))

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (rows, inputs) to outputs of shape (rows, outputs)."""
        outputs: Tensor = self.linear(of_one_length(features, self.center))
        return outputs


def mean_of(chunks: Iterable[NDArray[Any]], inputs: int) -> NDArray[np.float64]:
    """The mean of features that come some rows at a time, added up in float64."""
    total = np.zeros(inputs)
    rows = 0
    for chunk in chunks:
        total += chunk.sum(axis=0, dtype=np.float64)
        rows += len(chunk)
    return total / max(rows, 1)


def of_one_length(features: Tensor, center: Tensor) -> Tensor:
    """Features as the linear layer of a :class:`Head` sees them, (rows, inputs).

    >>> of_one_length(torch.tensor([[5.0, 1.0]]), torch.tensor([2.0, 1.0])).square().mean().sqrt()
    tensor(0.3333)
    """
    length = SCALE * math.sqrt(features.shape[1])
    return length * functional.normalize(features - center, dim=1)


def log_probabilities(target: Target, outputs: Tensor) -> Tensor:
    """Read a head's outputs for one target as log-probabilities.

    Args:
        target: Two classes, many classes, several labels, or shares of classes.
        outputs: float of shape (rows, target.outputs).

    Returns:
        (rows, classes). For exclusive classes the probabilities of a row sum to one, as shares do;
        for several labels each is the probability that the row has the label.

    Raises:
        DataError: The target is a number.

    >>> target = Target.classify("pet", ["cat", "dog"])
    >>> log_probabilities(target, torch.tensor([[0.0]])).exp().tolist()
    [[0.5, 0.5]]
    """
    if target.kind is Kind.BINARY:
        logit = outputs[:, :1]
        return functional.logsigmoid(torch.cat([-logit, logit], dim=1))
    if target.kind in (Kind.MULTICLASS, Kind.DISTRIBUTION):
        return functional.log_softmax(outputs, dim=1)
    if target.kind is Kind.MULTILABEL:
        return functional.logsigmoid(outputs)
    raise DataError(f"{target.name!r} is a number; numbers have no probabilities")


def head_for(task: Task, inputs: int) -> Head:
    """A fresh head for a task."""
    return Head(inputs, task.outputs)
