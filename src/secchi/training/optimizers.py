"""torch's own optimizers, by name, through torch's functional interface.

The classes of ``torch.optim`` import torch's compiler when the first of them is made, which takes
longer than training a head does. The functions under them are the same arithmetic without it; a
parity test holds them to the classes.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from secchi.training.spec import Training, spread

Memory = dict[str, Tensor]
"""What a rule remembers of one parameter, by name."""


_STEPS = "steps"


class Settings(NamedTuple):
    """What a rule moves by in one step."""

    lr: float
    weight_decay: float
    momentum: float
    dampening: float
    nesterov: bool


Rule = Callable[[list[Tensor], list[Tensor], list[Memory], Settings], None]
"""(parameters, gradients, a memory for each, settings): moves the parameters."""


class ParameterGroup(NamedTuple):
    """Parameters that share a learning rate, and what a person calls them."""

    name: str
    parameters: Sequence[nn.Parameter]


@dataclasses.dataclass
class _Group:
    """Parameters that share a learning rate and a weight decay."""

    parameters: list[nn.Parameter]
    lr: float
    weight_decay: float
    memories: list[Memory] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.memories = [{} for _ in self.parameters]


class Optimizer:
    """Moves the parameters of a network against their gradients.

    Weight decay spares biases, norms and everything else of one dimension. Of weights that are
    normalised, w = g v / |v|, it spares the lengths g, which scale what a unit gives as a norm
    does, and shortens the directions v: no w moves by that, but the shorter v is, the further the
    next step turns it.

    Args:
        training: Names the rule, the rates, the momentum and the weight decay.
        groups: What it is to change, first layers first; parameters without ``requires_grad``,
            and groups of such parameters alone, are left out.
        spared: Other parameters that weight decay leaves alone, such as :func:`lengths`.

    Attributes:
        parameters: Everything that it changes.

    Raises:
        SpecError: The training names more rates than there are groups.
    """

    def __init__(
        self,
        training: Training,
        groups: Sequence[ParameterGroup],
        spared: Iterable[nn.Parameter] = (),
    ) -> None:
        self._rule = OPTIMIZERS[training.optimizer]
        self._momentum = training.base_momentum
        self._dampening = training.dampening
        self._nesterov = training.nesterov
        self._groups: list[_Group] = []
        trained = [[p for p in group.parameters if p.requires_grad] for group in groups]
        trained = [parameters for parameters in trained if parameters]
        alone = set(spared)
        for parameters, lr in zip(trained, spread(training.rates, len(trained)), strict=True):
            weights = [p for p in parameters if p.ndim > 1 and p not in alone]
            others = [p for p in parameters if p.ndim <= 1 or p in alone]
            if training.weight_decay:
                self._groups.append(_Group(weights, lr, training.weight_decay))
                self._groups.append(_Group(others, lr, 0.0))
            else:  # one call for both, which counts where they are small
                self._groups.append(_Group(weights + others, lr, 0.0))
        self.parameters = [p for group in self._groups for p in group.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, factor: float = 1.0, momentum: float | None = None) -> None:
        """Move every parameter once.

        Args:
            factor: What each group's learning rate is multiplied with.
            momentum: None takes the training's.
        """
        moment = self._momentum if momentum is None else momentum
        for group in self._groups:
            moved = [
                (p, p.grad, memory)
                for p, memory in zip(group.parameters, group.memories, strict=True)
                if p.grad is not None
            ]
            if moved:
                parameters, gradients, memories = zip(*moved, strict=True)
                settings = Settings(
                    group.lr * factor,
                    group.weight_decay,
                    moment,
                    self._dampening,
                    self._nesterov,
                )
                self._rule([*parameters], [*gradients], [*memories], settings)

    def state(self) -> dict[str, Tensor]:
        """What it remembers, as tensors by name."""
        return {
            f"{number}.{name}.{place}": value
            for number, group in enumerate(self._groups)
            for place, memory in enumerate(group.memories)
            for name, value in memory.items()
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Remember what :meth:`state` gave of an optimizer with the same groups."""
        for group in self._groups:
            group.memories = [{} for _ in group.parameters]
        for key, value in state.items():
            number, name, place = key.split(".")
            group = self._groups[int(number)]
            if name != _STEPS:
                # In the parameter's own memory format, in which the arithmetic rounds alike.
                value = torch.empty_like(group.parameters[int(place)]).copy_(value)
            group.memories[int(place)][name] = value


def one_group(network: nn.Module) -> list[ParameterGroup]:
    """All of a network's parameters as one group."""
    return [ParameterGroup("network", list(network.parameters()))]


def lengths(network: nn.Module) -> list[nn.Parameter]:
    """The lengths g of the weights that a network normalises: w = g v / |v|.

    >>> from torch.nn.utils.parametrizations import weight_norm
    >>> [length.shape for length in lengths(nn.Sequential(weight_norm(nn.Linear(4, 3))))]
    [torch.Size([3, 1])]
    """
    return [
        made.get_parameter("original0")
        for made in network.modules()
        if isinstance(made, ParametrizationList) and isinstance(made[0], _WeightNorm)
    ]


def _sgd(
    parameters: list[Tensor], gradients: list[Tensor], memories: list[Memory], settings: Settings
) -> None:
    """Stochastic gradient descent; momentum begins with the first gradient, undampened."""
    if not (settings.momentum or settings.weight_decay):
        # The same arithmetic in one call, which is most of what a small network's step can save.
        torch._foreach_add_(parameters, gradients, alpha=-settings.lr)
        return
    momenta = [memory.get("momentum") if settings.momentum else None for memory in memories]
    sgd(
        parameters,
        gradients,
        momenta,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        dampening=settings.dampening,
        nesterov=settings.nesterov,
        maximize=False,
    )
    for memory, momentum in zip(memories, momenta, strict=True):
        if momentum is not None:
            memory["momentum"] = momentum


def _rmsprop(
    parameters: list[Tensor], gradients: list[Tensor], memories: list[Memory], settings: Settings
) -> None:
    """RMSprop (Hinton, 2012) with torch's constants: alpha 0.99, epsilon 1e-8."""
    rmsprop(
        parameters,
        gradients,
        _averages("square", parameters, memories),
        [],
        _averages("momentum", parameters, memories) if settings.momentum else [],
        _steps(memories),
        lr=settings.lr,
        alpha=0.99,
        eps=1e-8,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        centered=False,
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
    memories: list[Memory],
    settings: Settings,
) -> None:
    function(
        parameters,
        gradients,
        _averages("mean", parameters, memories),
        _averages("square", parameters, memories),
        [],
        _steps(memories),
        amsgrad=False,
        beta1=settings.momentum,
        beta2=0.999,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        eps=1e-8,
        maximize=False,
    )


def _averages(name: str, parameters: list[Tensor], memories: list[Memory]) -> list[Tensor]:
    """One running average of each parameter's gradients, zeros at first."""
    for parameter, memory in zip(parameters, memories, strict=True):
        if name not in memory:
            memory[name] = torch.zeros_like(parameter)
    return [memory[name] for memory in memories]


def _steps(memories: list[Memory]) -> list[Tensor]:
    """How many steps each parameter has moved, on the processor, as torch counts them."""
    for memory in memories:
        if _STEPS not in memory:
            memory[_STEPS] = torch.zeros(())
    return [memory[_STEPS] for memory in memories]


OPTIMIZERS: dict[str, Rule] = {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam, "adamw": _adamw}
