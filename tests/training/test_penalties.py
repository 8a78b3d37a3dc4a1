"""Penalties against their formulas, differentiated by torch."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from secchi.training.penalties import Penalties
from secchi.training.spec import Training

FORMULAS: dict[str, Callable[[list[Tensor], int], Tensor]] = {
    "l1": lambda weights, count: torch.stack([w.abs().sum() for w in weights]).sum() / count,
    "l2": lambda weights, count: torch.stack([(w**2).sum() for w in weights]).sum() / count,
    "matrix_norm": lambda weights, _: torch.stack([(w**2).sum().sqrt() for w in weights]).sum(),
}


def network() -> nn.Sequential:
    """Two matrices of 15 and 10 weights; biases and a norm, which are not penalised."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)).double()


def added(net: nn.Module, training: Training) -> dict[str, Tensor]:
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    Penalties(training, net.parameters()).add_gradients()
    return {name: p.grad - 7 for name, p in net.named_parameters() if p.grad is not None}


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.sampled_from(sorted(FORMULAS)), st.floats(0.01, 10)))
def test_gradients_are_those_of_the_formulas(factors: dict[str, float]) -> None:
    net = network()
    weights = [net[0].weight, net[2].weight]
    total = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for name, factor in factors.items():
        total = total + factor * FORMULAS[name](weights, 25)
    expected = torch.autograd.grad(total, weights, allow_unused=True)
    found = added(net, Training(**factors))  # type: ignore[arg-type]
    for name, gradient in zip(("0.weight", "2.weight"), expected, strict=True):
        wanted = torch.zeros_like(found[name]) if gradient is None else gradient
        torch.testing.assert_close(found[name], wanted)
    for name in ("0.bias", "1.weight", "1.bias", "2.bias"):
        assert not found[name].any(), name


def test_the_mean_makes_a_factor_mean_the_same_for_a_wider_network() -> None:
    pull = []
    for width in (4, 400):
        weight = nn.Parameter(torch.ones(width, 3))
        weight.grad = torch.zeros_like(weight)
        Penalties(Training(l1=1.0), [weight]).add_gradients()
        pull.append(weight.grad.sum().item())
    assert pull == pytest.approx([1.0, 1.0])


def test_weights_of_zero_are_left_there() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros_like(weight)
    Penalties(Training(l1=1.0, l2=1.0, matrix_norm=1.0), [weight]).add_gradients()
    assert weight.grad.tolist() == [[0, 0], [0, 0]]


def test_a_layer_that_a_step_does_not_use_is_penalised_too() -> None:
    weight = nn.Parameter(torch.full((1, 2), 3.0))
    Penalties(Training(l2=1.0), [weight]).add_gradients()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[3.0, 3.0]]


def test_without_penalties_nothing_is_touched() -> None:
    weight = nn.Parameter(torch.ones(1, 2))
    Penalties(Training(), [weight]).add_gradients()
    assert weight.grad is None


@pytest.mark.parametrize("name", FORMULAS)
def test_normalised_weights_are_penalised_themselves(name: str) -> None:
    """Of w = g v / |v|, w; neither g nor v."""
    net = network()
    for place in (0, 2):
        weight_norm(net[place])
    parts = dict(net.named_parameters())
    total = 3 * FORMULAS[name]([net[0].weight, net[2].weight], 25)
    expected = torch.autograd.grad(total, list(parts.values()), allow_unused=True)
    for parameter in parts.values():
        parameter.grad = torch.full_like(parameter, 7.0)
    Penalties(Training(**{name: 3.0}), parts.values(), net).add_gradients()
    for (part, parameter), wanted in zip(parts.items(), expected, strict=True):
        found = parameter.grad - 7
        wanted = torch.zeros_like(found) if wanted is None else wanted
        torch.testing.assert_close(found, wanted, msg=part)


def test_frozen_normalised_weights_are_not_penalised() -> None:
    net = nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    Penalties(Training(l2=1.0), net[1].parameters(), net).add_gradients()
    assert all(parameter.grad is None for parameter in net[0].parameters())
    torch.testing.assert_close(net[1].weight.grad, 2 * net[1].weight.detach() / 8)
