"""Activations, losses and rules of optimizers, as formulas of vectors: one lane a network.

They are those of torch, whose defaults the constants are.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from secchi.cohort.lanes.language import Number, erf, exp, log1p, sigmoid, softplus, tanh

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@dataclasses.dataclass(frozen=True)
class Activation:
    """How a unit bends what it gets.

    Attributes:
        value: What it gives for z.
        slope: The derivative, of (z, what it gave).
        of_value: Whether the slope follows from what it gave alone, so that z need not be kept.
        of_zero: What it gives for 0.
    """

    value: Callable[[Number], Number]
    slope: Callable[[Number, Number], Number]
    of_value: bool = False
    of_zero: float = 0.0


def _gelu_slope(z: Number, _: Number) -> Number:
    bell = exp(z * z * -0.5) * 0.3989422804014327  # 1 / sqrt(2 pi)
    return 0.5 * (1.0 + erf(z * 0.7071067811865476)) + z * bell


def _mish_slope(z: Number, _: Number) -> Number:
    bent = tanh(softplus(z))
    return bent + z * sigmoid(z) * (1.0 - bent * bent)


def _silu_slope(z: Number, _: Number) -> Number:
    gate = sigmoid(z)
    return gate * (1.0 + z * (1.0 - gate))


def _within(z: Number, low: float, high: float, slope: float) -> Number:
    return ((z > low) & (z < high)).choose(z._like(slope), 0.0)


ACTIVATIONS: Mapping[str, Activation] = {
    "identity": Activation(lambda z: z, lambda z, y: y._like(1.0), of_value=True),
    "relu": Activation(
        lambda z: z.at_least(0.0), lambda z, y: (y > 0.0).choose(y._like(1.0), 0.0), of_value=True
    ),
    "leaky_relu": Activation(
        lambda z: (z > 0.0).choose(z, z * 0.01),
        lambda z, y: (y > 0.0).choose(y._like(1.0), 0.01),
        of_value=True,
    ),
    "relu6": Activation(
        lambda z: z.at_least(0.0).at_most(6.0), lambda z, y: _within(z, 0.0, 6.0, 1.0)
    ),
    "sigmoid": Activation(sigmoid, lambda z, y: y * (1.0 - y), of_value=True, of_zero=0.5),
    "tanh": Activation(tanh, lambda z, y: 1.0 - y * y, of_value=True),
    "celu": Activation(
        lambda z: (z > 0.0).choose(z, exp(z.at_most(0.0)) - 1.0),
        lambda z, y: (y > 0.0).choose(y._like(1.0), y + 1.0),
        of_value=True,
    ),
    "elu": Activation(
        lambda z: (z > 0.0).choose(z, exp(z.at_most(0.0)) - 1.0),
        lambda z, y: (y > 0.0).choose(y._like(1.0), y + 1.0),
        of_value=True,
    ),
    "gelu": Activation(lambda z: z * 0.5 * (1.0 + erf(z * 0.7071067811865476)), _gelu_slope),
    "hardshrink": Activation(
        lambda z: (z.abs() <= 0.5).choose(0.0, z),
        lambda z, y: (z.abs() > 0.5).choose(z._like(1.0), 0.0),
    ),
    "hardsigmoid": Activation(
        lambda z: (z + 3.0).at_least(0.0).at_most(6.0) / 6.0,
        lambda z, y: _within(z, -3.0, 3.0, 1 / 6),
        of_zero=0.5,
    ),
    "hardswish": Activation(
        lambda z: z * (z + 3.0).at_least(0.0).at_most(6.0) / 6.0,
        lambda z, y: (z <= -3.0).choose(
            z._like(0.0), (z < 3.0).choose(z / 3.0 + 0.5, z._like(1.0))
        ),
    ),
    "hardtanh": Activation(
        lambda z: z.at_least(-1.0).at_most(1.0), lambda z, y: _within(z, -1.0, 1.0, 1.0)
    ),
    "logsigmoid": Activation(
        lambda z: -softplus(-z), lambda z, y: sigmoid(-z), of_zero=-0.6931471805599453
    ),
    "mish": Activation(lambda z: z * tanh(softplus(z)), _mish_slope),
    "selu": Activation(
        lambda z: (z > 0.0).choose(z, (exp(z.at_most(0.0)) - 1.0) * _SELU_ALPHA) * _SELU_SCALE,
        lambda z, y: (y > 0.0).choose(y._like(_SELU_SCALE), y + _SELU_SCALE * _SELU_ALPHA),
        of_value=True,
    ),
    "silu": Activation(lambda z: z * sigmoid(z), _silu_slope),
    "softplus": Activation(
        lambda z: (z > 20.0).choose(z, softplus(z)),
        lambda z, y: (z > 20.0).choose(z._like(1.0), sigmoid(z)),
        of_zero=0.6931471805599453,
    ),
    "softshrink": Activation(
        lambda z: (z.abs() <= 0.5).choose(0.0, z - z._like(0.5).signed_as(z)),
        lambda z, y: (z.abs() > 0.5).choose(z._like(1.0), 0.0),
    ),
    "softsign": Activation(
        lambda z: z / (1.0 + z.abs()), lambda z, y: 1.0 / ((1.0 + z.abs()) * (1.0 + z.abs()))
    ),
    "tanhshrink": Activation(lambda z: z - tanh(z), lambda z, y: (z - y) * (z - y)),
}
"""By name; those that have parameters or random numbers of their own are not among them."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an output costs.

    Attributes:
        value: The loss.
        slope: Its derivative.
        right: 1 where the answer is right, else 0; of numbers, how far it is off.
    """

    value: Number
    slope: Number
    right: Number


def squared(z: Number, truth: Number, _: Number) -> Cost:
    """Of a number, the squared error."""
    error = z - truth
    return Cost(error * error, error * 2.0, error.abs())


def absolute(z: Number, truth: Number, _: Number) -> Cost:
    """Of a number, the absolute error."""
    error = z - truth
    sign = (error > 0.0).choose(error._like(1.0), (error < 0.0).choose(error._like(-1.0), error))
    return Cost(error.abs(), sign, error.abs())


def huber(z: Number, truth: Number, delta: Number) -> Cost:
    """Of a number, a parabola that goes on as a line from delta on (Huber, 1964)."""
    error = z - truth
    size = error.abs()
    value = (size < delta).choose(error * error * 0.5, delta * (size - delta * 0.5))
    return Cost(value, error.at_most(delta).at_least(-delta), size)


def binary(z: Number, truth: Number, smoothing: Number) -> Cost:
    """Of yes or no from a logit, the cross-entropy."""
    smoothed = truth * (1.0 - smoothing) + smoothing * 0.5
    value = z.at_least(0.0) - z * smoothed + log1p(exp(-z.abs()))
    said, yes = z > 0.0, truth > 0.5
    right = ((said & yes) | (~said & ~yes)).choose(z._like(1.0), 0.0)
    return Cost(value, sigmoid(z) - smoothed, right)


RULES = ("sgd", "momentum", "rmsprop", "adam", "adamw")
"""What a step of the optimizer does; ``"sgd"`` is without a momentum."""

COEFFICIENTS: Mapping[str, Sequence[str]] = {
    "sgd": ("lr",),
    "momentum": ("lr", "keep", "take", "of_gradient", "of_momentum"),
    "rmsprop": ("lr", "keep", "take", "of_gradient", "of_momentum"),
    "adam": ("lr", "rest", "root"),
    "adamw": ("lr", "rest", "root", "shrink"),
}
"""The numbers that a rule takes, one a network and step. ``keep`` and ``take``: the shares of the
momentum before and of the gradient in that after; ``of_gradient`` and ``of_momentum``: what is
gone along; of Adam ``lr`` is the rate over the first correction of bias, ``root`` the square root
of the second, ``rest`` 1 - beta, and ``shrink`` 1 - rate * weight decay."""

MEMORIES = {"sgd": 0, "momentum": 1, "rmsprop": 2, "adam": 2, "adamw": 2}
"""How many numbers a rule remembers of each parameter."""


def moved(
    rule: str,
    number: Number,
    gradient: Number,
    memories: Sequence[Number],
    given: Mapping[str, Number],
    decays: bool,
) -> tuple[Number, list[Number]]:
    """A parameter after a step, and what is remembered of it.

    Args:
        rule: One of :data:`RULES`.
        number: The parameter.
        gradient: Its gradient, weight decay included but for AdamW's.
        memories: What is remembered of it.
        given: The coefficients.
        decays: Whether weight decay pulls at it.
    """
    lr = given["lr"]
    if rule == "sgd":
        return number - lr * gradient, []
    if rule == "momentum":
        momentum = memories[0] * given["keep"] + gradient * given["take"]
        step = gradient * given["of_gradient"] + momentum * given["of_momentum"]
        return number - lr * step, [momentum]
    if rule == "rmsprop":
        square = memories[0] * 0.99 + gradient * gradient * (1 - 0.99)
        gradient = gradient / (square.sqrt() + 1e-8)
        momentum = memories[1] * given["keep"] + gradient * given["take"]
        step = gradient * given["of_gradient"] + momentum * given["of_momentum"]
        return number - lr * step, [square, momentum]
    if rule == "adamw" and decays:
        number = number * given["shrink"]
    mean = memories[0] + (gradient - memories[0]) * given["rest"]
    square = memories[1] * 0.999 + gradient * gradient * (1 - 0.999)
    return number - lr * mean / (square.sqrt() / given["root"] + 1e-8), [mean, square]
