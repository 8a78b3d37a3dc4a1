"""What is added to the loss so that weights stay small.

With w all weights that are trained, biases, norms and everything else of one dimension left out,
n how many numbers they are, and W each of their matrices::

    l1 * sum(abs(w)) / n  +  l2 * sum(w ** 2) / n  +  matrix_norm * sum(sqrt(sum(W ** 2)))

The mean over the weights makes one factor mean the same for networks of any size. The gradients of
these are added to that of the loss, before it is clipped; losses that are shown are without them,
so that those of training and validation can be compared. Where a weight is 0, abs(w) and the norm
have the gradient 0. ``weight_decay`` is another thing: the optimizer pulls at the weights with it,
each one by itself.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from secchi.training.spec import Training


class Penalties:
    """The penalties of a training on the weights of a network.

    Args:
        training: Its ``l1``, ``l2`` and ``matrix_norm``.
        parameters: What is trained.

    >>> weight = torch.tensor([[3.0, -4.0]])
    >>> weight.grad = torch.zeros(1, 2)
    >>> Penalties(Training(l1=2.0, l2=1.0), [weight]).add_gradients()
    >>> weight.grad  # 2.0 * sign(w) / 2 + 1.0 * 2 * w / 2
    tensor([[ 4., -5.]])
    """

    def __init__(self, training: Training, parameters: Iterable[Tensor]) -> None:
        self._weights = [p for p in parameters if p.ndim > 1]
        number = max(1, sum(p.numel() for p in self._weights))
        self._of_signs = training.l1 / number
        self._of_weights = 2 * training.l2 / number
        self._of_directions = training.matrix_norm
        self._any = bool(training.l1 or training.l2 or training.matrix_norm)

    def add_gradients(self) -> None:
        """Add the gradients of the penalties to those of the weights."""
        if self._any and self._weights:
            self._add_gradients()

    @torch.no_grad()
    def _add_gradients(self) -> None:
        for weight in self._weights:
            if weight.grad is None:  # a layer that the step did not use is penalised too
                weight.grad = torch.zeros_like(weight)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        if self._of_signs:
            torch._foreach_add_(gradients, torch._foreach_sign(self._weights), alpha=self._of_signs)
        if self._of_weights:
            torch._foreach_add_(gradients, self._weights, alpha=self._of_weights)
        if self._of_directions:
            for gradient, weight in zip(gradients, self._weights, strict=True):
                length = torch.linalg.vector_norm(weight)
                tiny = torch.finfo(weight.dtype).tiny
                gradient.add_(weight / length.clamp_min(tiny), alpha=self._of_directions)
