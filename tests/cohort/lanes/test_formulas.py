"""Activations, losses and rules of optimizers as vectors have them, against torch's."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from secchi.cohort.lanes.formulas import (
    ACTIVATIONS,
    COEFFICIENTS,
    MEMORIES,
    RULES,
    Cost,
    absolute,
    binary,
    huber,
    moved,
    squared,
)
from secchi.cohort.structure import STACKED_ACTIVATIONS
from secchi.models.parts import activation

REALS = {"float": torch.float32, "double": torch.float64}
CLOSE = {"float": 1e-6, "double": 1e-14}
KINKS = [-20.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0]

Computes = Callable[..., Callable[..., dict[str, NDArray[Any]]]]


def test_every_activation_that_can_be_stacked_has_a_formula() -> None:
    assert set(ACTIVATIONS) == STACKED_ACTIVATIONS


@pytest.mark.parametrize("real", REALS)
def test_activations_and_their_slopes_are_those_of_torch(real: str, computes: Computes) -> None:
    values = {name: each.value for name, each in ACTIVATIONS.items()}
    slopes = {
        f"slope of {name}": lambda z, each=each: each.slope(z, each.value(z))
        for name, each in ACTIVATIONS.items()
    }
    random = np.random.default_rng(0).normal(0, 4, 2000)
    # And next to where they are bent.
    near = [k * (1 + 1e-5 * side) for k in KINKS for side in (-1, 1)]
    z = torch.tensor([*KINKS, *near, *random], dtype=REALS[real])
    made = computes(values | slopes, 1, real)(z.numpy())
    for name, formula in ACTIVATIONS.items():
        inputs = z.clone().requires_grad_()
        outputs = activation(name)(inputs)
        (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
        close = partial(np.testing.assert_allclose, rtol=CLOSE[real], atol=3 * CLOSE[real])
        close(made[name], outputs.detach().numpy(), err_msg=name)
        # torch has the sixth of this one's slope in single precision whatever the numbers are,
        exact = torch.round(gradient * 6) / 6 if name == "hardsigmoid" else gradient
        # and its versions differ on the slope of the other one where it is bent.
        defined = (z.abs() != 3) | (name != "hardswish")
        ours = made[f"slope of {name}"][defined.numpy()]
        close(ours, exact[defined].numpy(), err_msg=f"slope of {name}")
        assert made[name][KINKS.index(0.0)] == pytest.approx(formula.of_zero, rel=CLOSE[real])


def test_what_is_no_number_stays_none(computes: Computes) -> None:
    values = {name: each.value for name, each in ACTIVATIONS.items() if "shrink" not in name}
    made = computes(values, 1, "double")([np.nan])
    assert [name for name, value in made.items() if not np.isnan(value[0])] == []


def smoothed_bce(z: Tensor, truth: Tensor, smoothing: Tensor) -> Tensor:
    truth = truth * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(z, truth, reduction="none")


def huber_of_torch(z: Tensor, truth: Tensor, delta: Tensor) -> Tensor:
    each = [functional.huber_loss(*of, delta=float(d)) for *of, d in zip(z, truth, delta)]  # noqa: B905
    return torch.stack(each)


LOSSES: dict[str, tuple[Callable[..., Cost], Callable[..., Tensor]]] = {
    "squared": (squared, lambda z, truth, _: (z - truth).square()),
    "absolute": (absolute, lambda z, truth, _: (z - truth).abs()),
    "huber": (huber, huber_of_torch),
    "binary": (binary, smoothed_bce),
}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_slopes_are_those_of_torch(
    name: str, real: str, computes: Computes
) -> None:
    ours, theirs = LOSSES[name]
    formulas = {
        part: lambda z, truth, own, part=part: getattr(ours(z, truth, own), part)
        for part in ("value", "slope", "right")
    }
    random = np.random.default_rng(0)
    z = torch.tensor([0.0, 0.0, 80.0, -80.0, *random.normal(0, 3, 300)], dtype=REALS[real])
    truth = torch.from_numpy(random.integers(0, 2, len(z))).to(z.dtype)
    own = torch.tensor(random.choice([0.05, 0.3, 1.0], len(z)), dtype=z.dtype)
    made = computes(formulas, 3, real)(z, truth, own)
    inputs = z.clone().requires_grad_()
    costs = theirs(inputs, truth, own)
    (gradient,) = torch.autograd.grad(costs.sum(), inputs)
    close = partial(np.testing.assert_allclose, rtol=CLOSE[real], atol=CLOSE[real])
    close(made["value"], costs.detach().numpy())
    close(made["slope"], gradient.numpy())
    right = (z > 0) == (truth > 0.5) if name == "binary" else (z - truth).abs()
    close(made["right"], right.to(z.dtype).numpy())


LR, MOMENT, DECAY = 0.03, 0.8, 0.1
OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, lr=LR),
    "momentum": partial(torch.optim.SGD, lr=LR, momentum=MOMENT, nesterov=True),
    "rmsprop": partial(torch.optim.RMSprop, lr=LR, momentum=MOMENT),
    "adam": partial(torch.optim.Adam, lr=LR, betas=(MOMENT, 0.999)),
    "adamw": partial(torch.optim.AdamW, lr=LR, betas=(MOMENT, 0.999), weight_decay=DECAY),
}


def coefficients(rule: str, step: int) -> dict[str, float]:
    """Those of :data:`COEFFICIENTS` in a step, from 1 on."""
    if rule in ("adam", "adamw"):
        correction, root = 1 - MOMENT**step, (1 - 0.999**step) ** 0.5
        given = {"lr": LR / correction, "beta": MOMENT, "rest": 1 - MOMENT, "root": root}
        return given | {"shrink": 1 - LR * DECAY}
    ahead = rule == "momentum"  # as Nesterov has it
    moves = {"of_gradient": float(ahead), "of_momentum": MOMENT if ahead else 1.0}
    return {"lr": LR, "keep": MOMENT, "take": 1.0, **moves}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("rule", RULES)
def test_rules_of_optimizers_are_those_of_torch(rule: str, real: str, computes: Computes) -> None:
    names, remembered = COEFFICIENTS[rule], MEMORIES[rule]

    def part(which: int, number: Any, gradient: Any, *others: Any) -> Any:
        memories, given = others[:remembered], dict(zip(names, others[remembered:], strict=True))
        after, kept = moved(rule, number, gradient, memories, given, decays=True)
        return [after, *kept][which]

    formulas = {f"{which}": partial(part, which) for which in range(1 + remembered)}
    compute = computes(formulas, 2 + remembered + len(names), real)
    random = np.random.default_rng(0)
    parameter = torch.nn.Parameter(torch.tensor(random.normal(size=40), dtype=REALS[real]))
    optimizer = OPTIMIZERS[rule]([parameter])
    numbers = [parameter.detach().numpy().copy()] + [np.zeros(40)] * remembered
    for step in range(1, 6):
        gradient = random.normal(size=40)
        parameter.grad = torch.tensor(gradient, dtype=REALS[real])
        optimizer.step()
        given = coefficients(rule, step)
        made = compute(
            numbers[0], gradient, *numbers[1:], *(np.full(40, given[name]) for name in names)
        )
        numbers = list(made.values())
        np.testing.assert_allclose(
            numbers[0], parameter.detach().numpy(), rtol=20 * CLOSE[real], atol=CLOSE[real]
        )


def test_weight_decay_of_adamw_spares_what_does_not_decay(computes: Computes) -> None:
    def after(decays: bool, number: Any, shrink: Any) -> Any:
        zero, one = number * 0.0, number * 0.0 + 1.0
        given = {"lr": one, "beta": one, "rest": zero, "root": one, "shrink": shrink}
        return moved("adamw", number, zero, [zero, zero], given, decays)[0]

    formulas = {"weight": partial(after, True), "bias": partial(after, False)}
    made = computes(formulas, 2, "double")([4.0], [0.5])
    assert (made["weight"][0], made["bias"][0]) == (2.0, 4.0)
