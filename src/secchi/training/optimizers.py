"""torch's own optimizers, by name, through torch's functional interface.

The classes of ``torch.optim`` import torch's compiler when the first of them is made, which takes
longer than training a head does. The functions under them are the same arithmetic without it; a
parity test holds them to the classes.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

Buffers = dict[str, list[Any]]
"""What a rule remembers of each parameter, by name."""

Rule = Callable[[list[Tensor], list[Tensor], Buffers, float, float], None]
"""(parameters, gradients, buffers, learning rate, weight decay): moves the parameters."""


@dataclasses.dataclass
class Group:
    """Parameters that share a learning rate and a weight decay."""

    parameters: list[nn.Parameter]
    lr: float
    weight_decay: float
    buffers: Buffers = dataclasses.field(default_factory=dict)


class Optimizer:
    """Moves the parameters of a network against their gradients.

    Weight decay spares biases and everything else of one dimension.

    Args:
        name: One of :data:`OPTIMIZERS`.
        parameters: What it is to change; those without ``requires_grad`` are left out.
        lr: The learning rate.
        weight_decay: For weights of two dimensions or more.
    """

    def __init__(
        self, name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float
    ) -> None:
        trained = [p for p in parameters if p.requires_grad]
        self._rule = OPTIMIZERS[name]
        self.groups = [
            Group([p for p in trained if p.ndim > 1], lr, weight_decay),
            Group([p for p in trained if p.ndim <= 1], lr, 0.0),
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter once."""
        for group in self.groups:
            moved = [p for p in group.parameters if p.grad is not None]
            gradients = [p.grad for p in moved if p.grad is not None]
            if moved:
                self._rule([*moved], gradients, group.buffers, group.lr, group.weight_decay)


def _sgd(
    parameters: list[Tensor],
    gradients: list[Tensor],
    buffers: Buffers,
    lr: float,
    weight_decay: float,
) -> None:
    """Stochastic gradient descent with momentum 0.9, torch's way: the new gradient unscaled."""
    momenta = buffers.setdefault("momentum", [None] * len(parameters))
    sgd(
        parameters,
        gradients,
        momenta,
        lr=lr,
        weight_decay=weight_decay,
        momentum=0.9,
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )


def _adam(*arguments: Any) -> None:
    """Adam (Kingma and Ba, 2014); weight decay is added to the gradient."""
    _adam_like(adam, *arguments)


def _adamw(*arguments: Any) -> None:
    """AdamW (Loshchilov and Hutter, 2017); weight decay shrinks the weights themselves."""
    _adam_like(adamw, *arguments)


def _adam_like(
    function: Callable[..., None],
    parameters: list[Tensor],
    gradients: list[Tensor],
    buffers: Buffers,
    lr: float,
    weight_decay: float,
) -> None:
    if not buffers:
        buffers["mean"] = [torch.zeros_like(p) for p in parameters]
        buffers["square"] = [torch.zeros_like(p) for p in parameters]
        buffers["steps"] = [torch.zeros(()) for _ in parameters]
    function(
        parameters,
        gradients,
        buffers["mean"],
        buffers["square"],
        [],
        buffers["steps"],
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=lr,
        weight_decay=weight_decay,
        eps=1e-8,
        maximize=False,
    )


OPTIMIZERS: dict[str, Rule] = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}
