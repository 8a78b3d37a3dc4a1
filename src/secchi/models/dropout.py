"""Dropout whose masks do not depend on its rate."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Numbers that are set to 0 in training, the others divided by what is kept.

    For each number a u is drawn evenly from 0 to 1, in float32 whatever the numbers are, from
    torch's generator of their device; it is kept where u >= p. So what is drawn depends on the
    shape alone: of two networks that differ in the rate or in the precision, the one that keeps
    less keeps nothing that the other does not, and many can be trained with the same masks at once.
    torch's own draws other numbers for every rate.

    Args:
        p: The share that is set to 0, from 0 on, below 1.

    >>> dropout, kept = Dropout(0.5), []
    >>> for dropout.p in (0.2, 0.6):
    ...     _ = torch.manual_seed(0)
    ...     kept.append(dropout(torch.ones(1000)) > 0)
    >>> bool((kept[1] <= kept[0]).all()), [round(float(each.float().mean()), 1) for each in kept]
    (True, [0.8, 0.4])
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        """Numbers of any shape to as many; in evaluation as they are."""
        if not self.training:
            return input
        drawn = torch.rand(input.shape, dtype=torch.float32, device=input.device)
        return input * (drawn >= self.p) / (1 - self.p)
