"""The optimizers of :mod:`secchi.training.optimizers`, with settings of each member's own.

They move every parameter of a stack, (members, …), by the arithmetic that torch has for one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from secchi.cohort.member import Member
from secchi.cohort.stacked.members import Stacked, one_each
from secchi.training.schedules import At

Memory = dict[str, Tensor]
"""What is remembered of one parameter, by name."""


class Settings(NamedTuple):
    """What members move by in one step; tensors are float64, (members, 1, 1).

    Attributes:
        steps: How many steps there are with this one.
        lr: The learning rate.
        weight_decay: The pull towards zero.
        momentum: Or Adam's first beta.
        dampening: What a new gradient loses before it is added to the momentum.
        nesterov: Whether momentum is Nesterov's.
    """

    steps: int
    lr: Tensor
    weight_decay: Tensor
    momentum: Tensor
    dampening: Tensor
    nesterov: Tensor


class StackedOptimizer(Stacked):
    """Moves the parameters of a stack against their gradients.

    Args:
        members: Whose; all with the same optimizer.
        steps: Those of the whole training.
        per_epoch: Those of an epoch.
        device: Where the parameters are.
    """

    def __init__(self, members: Sequence[Member], steps: int, per_epoch: int, device: str) -> None:
        trainings = [member.training for member in members]
        self._rule = _RULES[trainings[0].optimizer]
        self._device = device
        self._at = At(0, steps, per_epoch)
        self._lr = one_each([training.rates[-1] for training in trainings], device)
        self._weight_decay = one_each([training.weight_decay for training in trainings], device)
        self._dampening = one_each([training.dampening for training in trainings], device)
        self._nesterov = one_each([training.nesterov for training in trainings], device) > 0
        moved = [(training.schedule, training.base_momentum) for training in trainings]
        # A schedule is asked once a step, however many members have it.
        self._schedules = tuple(dict.fromkeys(moved))
        numbers = {each: number for number, each in enumerate(self._schedules)}
        self._schedule_of = torch.tensor([numbers[each] for each in moved], device=device)
        self._memories: dict[str, Memory] = {}

    def step(
        self,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        decayed: Mapping[str, Tensor],
    ) -> None:
        """Move every parameter once.

        Args:
            parameters: By name.
            gradients: By the same names.
            decayed: Those of the parameters that weight decay pulls at.
        """
        settings = self._settings()
        spared = settings._replace(weight_decay=torch.zeros_like(settings.weight_decay))
        for name, parameter in parameters.items():
            memory = self._memories.setdefault(name, {})
            own = settings if name in decayed else spared
            self._rule(parameter, gradients[name], memory, own)
        self._at = self._at._replace(step=self._at.step + 1)

    def _settings(self) -> Settings:
        at = self._at
        factors = [schedule.factor(at) for schedule, _ in self._schedules]
        momenta = [
            schedule.momentum(at, base) if base else 0.0 for schedule, base in self._schedules
        ]
        return Settings(
            at.step + 1,
            self._lr * one_each(factors, self._device)[self._schedule_of],
            self._weight_decay,
            one_each(momenta, self._device)[self._schedule_of],
            self._dampening,
            self._nesterov,
        )


def _sgd(parameter: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> None:
    """Momentum begins with the first gradient, undampened; what has none remembers nothing."""
    lr, decay, momentum, kept = (
        each.to(parameter.dtype)
        for each in (settings.lr, settings.weight_decay, settings.momentum, 1 - settings.dampening)
    )
    moves = momentum > 0
    before = _remembered("momentum", parameter, memory)
    begun = _remembered("begun", moves, memory)
    gradient = gradient + decay * parameter
    after = torch.where(begun, momentum * before + kept * gradient, gradient)
    ahead = torch.where(settings.nesterov, gradient + momentum * after, after)
    memory["momentum"] = torch.where(moves, after, before)
    memory["begun"] = begun | moves
    parameter.sub_(lr * torch.where(moves, ahead, gradient))


def _rmsprop(parameter: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> None:
    """RMSprop (Hinton, 2012) with torch's constants: alpha 0.99, epsilon 1e-8."""
    lr, decay, momentum = (
        each.to(parameter.dtype) for each in (settings.lr, settings.weight_decay, settings.momentum)
    )
    gradient = gradient + decay * parameter
    square = _remembered("square", parameter, memory)
    square.mul_(0.99).addcmul_(gradient, gradient, value=1 - 0.99)
    before = _remembered("momentum", parameter, memory)
    after = momentum * before + gradient / (square.sqrt() + 1e-8)
    memory["momentum"] = torch.where(momentum > 0, after, before)
    parameter.sub_(lr * after)


def _adam(parameter: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> None:
    """Adam (Kingma and Ba, 2014); weight decay is added to the gradient."""
    decay = settings.weight_decay.to(parameter.dtype)
    _adaptive(parameter, gradient + decay * parameter, memory, settings)


def _adamw(parameter: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> None:
    """AdamW (Loshchilov and Hutter, 2017); weight decay shrinks the weights themselves."""
    parameter.mul_((1 - settings.lr * settings.weight_decay).to(parameter.dtype))
    _adaptive(parameter, gradient, memory, settings)


def _adaptive(parameter: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> None:
    """What Adam and AdamW share, with torch's constants: second beta 0.999, epsilon 1e-8."""
    beta, squares = settings.momentum, 0.999
    mean = _remembered("mean", parameter, memory)
    mean.lerp_(gradient, (1 - beta).to(parameter.dtype))
    square = _remembered("square", parameter, memory)
    square.mul_(squares).addcmul_(gradient, gradient, value=1 - squares)
    length = (settings.lr / (1 - beta**settings.steps)).to(parameter.dtype)
    root = square.sqrt() / (1 - squares**settings.steps) ** 0.5
    parameter.sub_(length * mean / (root + 1e-8))


def _remembered(name: str, like: Tensor, memory: Memory) -> Tensor:
    """What is remembered under a name: zeros at first."""
    if name not in memory:
        memory[name] = torch.zeros_like(like)
    return memory[name]


_RULES: dict[str, Callable[[Tensor, Tensor, Memory, Settings], None]] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
}
