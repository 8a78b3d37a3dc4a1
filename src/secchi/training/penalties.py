"""What is added to the loss so that weights stay small.

With w all weights that are trained, biases, norms and everything else of one dimension left out,
n how many numbers they are, and W each of their matrices::

    l1 * sum(abs(w)) / n  +  l2 * sum(w ** 2) / n  +  matrix_norm * sum(sqrt(sum(W ** 2)))

Weights that a layer makes of other parameters, as weight normalisation does of lengths and
directions, are penalised themselves, and not what they are made of.

The mean over the weights makes one factor mean the same for networks of any size. The gradients of
these are added to that of the loss, before it is clipped; losses that are shown are without them,
so that those of training and validation can be compared. Where a weight is 0, abs(w) and the norm
have the gradient 0. ``weight_decay`` is another thing: the optimizer pulls at the weights with it,
each one by itself.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from secchi.training.spec import Training


class Penalties:
    """The penalties of a training on the weights of a network.

    Args:
        training: Its ``l1``, ``l2`` and ``matrix_norm``.
        parameters: What is trained.
        network: Whose they are; None where no layer makes weights of them.

    >>> weight = torch.tensor([[3.0, -4.0]])
    >>> weight.grad = torch.zeros(1, 2)
    >>> Penalties(Training(l1=2.0, l2=1.0), [weight]).add_gradients()
    >>> weight.grad  # 2.0 * sign(w) / 2 + 1.0 * 2 * w / 2
    tensor([[ 4., -5.]])
    """

    def __init__(
        self, training: Training, parameters: Iterable[Tensor], network: nn.Module | None = None
    ) -> None:
        parameters = list(parameters)
        self._makers, parts = _makers(network, set(parameters))
        self._weights = [p for p in parameters if p.ndim > 1 and p not in parts]
        number = max(1, sum(p.numel() for p in [*self._weights, *self._made()]))
        self._of_signs = training.l1 / number
        self._of_weights = 2 * training.l2 / number
        self._of_directions = training.matrix_norm
        self._any = bool(training.l1 or training.l2 or training.matrix_norm)

    def add_gradients(self) -> None:
        """Add the gradients of the penalties to those of the weights."""
        if not self._any:
            return
        for weight in self._weights:
            if weight.grad is None:  # a layer that the step did not use is penalised too
                weight.grad = torch.zeros_like(weight)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        self._add(gradients, self._weights)
        if made := self._made():
            gradients = [torch.zeros_like(weight) for weight in made]
            self._add(gradients, made)
            torch.autograd.backward(made, gradients)

    def _made(self) -> list[Tensor]:
        """The weights that layers make of what is trained."""
        return [getattr(layer, name) for layer, name in self._makers]

    @torch.no_grad()
    def _add(self, gradients: list[Tensor], weights: list[Tensor]) -> None:
        """Add the gradients of the penalties to those that there are."""
        if not weights:
            return
        if self._of_signs:
            torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self._of_signs)
        if self._of_weights:
            torch._foreach_add_(gradients, weights, alpha=self._of_weights)
        if self._of_directions:
            for gradient, weight in zip(gradients, weights, strict=True):
                length = torch.linalg.vector_norm(weight)
                tiny = torch.finfo(weight.dtype).tiny
                gradient.add_(weight / length.clamp_min(tiny), alpha=self._of_directions)


def _makers(
    network: nn.Module | None, trained: set[Tensor]
) -> tuple[list[tuple[nn.Module, str]], set[Tensor]]:
    """The layers that make weights of what is trained, with the weight's name; and those parts."""
    makers: list[tuple[nn.Module, str]] = []
    parts: set[Tensor] = set()
    for layer in () if network is None else network.modules():
        made = getattr(layer, "parametrizations", None)
        for name, ways in made.items() if isinstance(made, nn.ModuleDict) else ():
            own = trained.intersection(ways.parameters())
            if own and getattr(layer, name).ndim > 1:
                makers.append((layer, name))
                parts |= own
    return makers, parts
