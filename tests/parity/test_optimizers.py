"""secchi's optimizers move weights as the classes of torch.optim do, to the bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secchi.errors import SpecError
from secchi.models.mlp import MLP
from secchi.training.execution import ON_CPU
from secchi.training.loop import begin
from secchi.training.optimizers import Optimizer, ParameterGroup, one_group
from secchi.training.schedules import At, OneCycle
from secchi.training.spec import Training

LOW, HIGH, DECAY, STEPS = 0.003, 0.03, 0.1, 12

Make = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]

PAIRS: dict[str, tuple[Training, Make]] = {
    "sgd": (Training("sgd"), lambda groups: torch.optim.SGD(groups)),
    "momentum": (
        Training("sgd", momentum=0.8),
        lambda groups: torch.optim.SGD(groups, momentum=0.8),
    ),
    "weighted average": (
        Training("sgd", momentum=0.8, dampening=0.8),
        lambda groups: torch.optim.SGD(groups, momentum=0.8, dampening=0.8),
    ),
    "nesterov": (
        Training("sgd", momentum=0.8, nesterov=True),
        lambda groups: torch.optim.SGD(groups, momentum=0.8, nesterov=True),
    ),
    "rmsprop": (Training("rmsprop"), lambda groups: torch.optim.RMSprop(groups)),
    "rmsprop with momentum": (
        Training("rmsprop", momentum=0.8),
        lambda groups: torch.optim.RMSprop(groups, momentum=0.8),
    ),
    "adam": (Training("adam"), lambda groups: torch.optim.Adam(groups)),
    "adam with another beta": (
        Training("adam", momentum=0.8),
        lambda groups: torch.optim.Adam(groups, betas=(0.8, 0.999)),
    ),
    "adamw": (Training("adamw"), lambda groups: torch.optim.AdamW(groups)),
}
WITH_MOMENTUM = [name for name, (training, _) in PAIRS.items() if training.base_momentum]


def network(seed: int = 0) -> nn.ModuleDict:
    """A body with a convolution and a norm, and a head: two layer groups."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Linear(3, 4))
        return nn.ModuleDict({"body": body, "head": nn.Linear(4, 2)})


def groups_of(net: nn.ModuleDict) -> list[ParameterGroup]:
    return [ParameterGroup(name, list(part.parameters())) for name, part in net.items()]


def torchs(make: Make, net: nn.ModuleDict) -> torch.optim.Optimizer:
    """With two rates, and decay for what has more than one dimension."""
    groups = []
    for part, lr in ((net["body"], LOW), (net["head"], HIGH)):
        parameters = list(part.parameters())
        weights = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        groups.append({"params": weights, "lr": lr, "weight_decay": DECAY})
        groups.append({"params": others, "lr": lr, "weight_decay": 0.0})
    return make(groups)


def give_gradients(net: nn.Module, step: int, without: str = "") -> None:
    generator = torch.Generator().manual_seed(step)
    for name, parameter in net.named_parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if without and name.startswith(without) else gradient


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for (name, ours), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def pair(name: str) -> tuple[nn.ModuleDict, Optimizer, nn.ModuleDict, torch.optim.Optimizer]:
    training, make = PAIRS[name]
    ours, theirs = network(), network()
    training = training.but(lr=(LOW, HIGH), weight_decay=DECAY)
    return ours, Optimizer(training, groups_of(ours)), theirs, torchs(make, theirs)


@pytest.mark.parametrize("name", PAIRS)
def test_steps_are_those_of_torchs_class(name: str) -> None:
    ours, optimizer, theirs, reference = pair(name)
    for step in range(STEPS):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        optimizer.step()
        reference.step()
        assert_same_weights(ours, theirs)


@pytest.mark.parametrize("name", PAIRS)
def test_a_factor_moves_the_rate_of_every_group(name: str) -> None:
    ours, optimizer, theirs, reference = pair(name)
    rates = [group["lr"] for group in reference.param_groups]
    for step in range(STEPS):
        factor = 1 / (1 + step)
        give_gradients(ours, step)
        give_gradients(theirs, step)
        for group, lr in zip(reference.param_groups, rates, strict=True):
            group["lr"] = lr * factor
        optimizer.step(factor)
        reference.step()
        assert_same_weights(ours, theirs)


@pytest.mark.parametrize("name", WITH_MOMENTUM)
def test_one_cycle_moves_rate_and_momentum_as_torchs_scheduler_does(name: str) -> None:
    ours, optimizer, theirs, reference = pair(name)
    schedule = OneCycle(peak_at=0.25)
    peaks = [group["lr"] for group in reference.param_groups]
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        reference, peaks, total_steps=STEPS, pct_start=0.25
    )
    for step in range(STEPS):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        at = At(step, STEPS, STEPS)
        optimizer.step(schedule.factor(at), schedule.momentum(at, base=0.5))
        reference.step()
        scheduler.step()
        for mine, others in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, others, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("part", ["body.0", "body.2", "head"])
def test_what_gets_no_gradient_in_a_step_stays_and_is_remembered(name: str, part: str) -> None:
    """A layer that a step does not use: at the start, and again later."""
    ours, optimizer, theirs, reference = pair(name)
    for step in range(STEPS):
        without = part if step in (0, 1, 5) else ""
        give_gradients(ours, step, without)
        give_gradients(theirs, step, without)
        optimizer.step()
        reference.step()
        assert_same_weights(ours, theirs)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("without", ["", "body.0"])
def test_an_optimizer_goes_on_from_its_state(name: str, without: str) -> None:
    ours, optimizer, _, _ = pair(name)
    for step in range(3):
        give_gradients(ours, step, without)
        optimizer.step()
    # A checkpoint holds arrays in plain order only.
    kept = {key: value.contiguous().clone() for key, value in optimizer.state().items()}
    other, another, _, _ = pair(name)
    other.load_state_dict(ours.state_dict())
    another.load_state(kept)
    for step in range(3, 6):
        give_gradients(ours, step)
        give_gradients(other, step)
        optimizer.step()
        another.step()
        assert_same_weights(ours, other)


def test_a_state_comes_back_in_the_memory_format_of_the_weights() -> None:
    def made() -> tuple[nn.Module, Optimizer]:
        net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return net, Optimizer(Training("adamw"), one_group(net))

    net, optimizer = made()
    give_gradients(net, 0)
    optimizer.step()
    _, other = made()
    other.load_state({key: value.contiguous() for key, value in optimizer.state().items()})
    strides = {key: value.stride() for key, value in optimizer.state().items()}
    assert {key: value.stride() for key, value in other.state().items()} == strides
    assert (27, 1, 9, 3) in strides.values()


def test_frozen_parameters_and_groups_are_left_out() -> None:
    net = network()
    net["body"].requires_grad_(False)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    # Two rates for the two groups that train: the frozen one takes none.
    head = [ParameterGroup(str(i), [p]) for i, p in enumerate(net["head"].parameters())]
    optimizer = Optimizer(
        Training("sgd", lr=(1.0, 2.0), weight_decay=0), [*groups_of(net)[:1], *head]
    )
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved: dict[str, Tensor] = {n: before[n] - p.detach() for n, p in net.named_parameters()}
    for name, distance in moved.items():
        expected = {"head.weight": 1.0, "head.bias": 2.0}.get(name, 0.0)
        torch.testing.assert_close(distance, torch.full_like(distance, expected))
    assert [id(p) for p in optimizer.parameters] == [id(p) for p in net["head"].parameters()]


def test_more_rates_than_groups_that_train_are_refused() -> None:
    net = network()
    net["body"].requires_grad_(False)
    with pytest.raises(SpecError, match="2 rates, and 1 layer groups"):
        Optimizer(Training(lr=(LOW, HIGH)), groups_of(net))


def test_gradients_are_forgotten() -> None:
    net = network()
    give_gradients(net, 0)
    Optimizer(Training(), one_group(net)).zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_spares_the_lengths_of_normalised_weights(name: str) -> None:
    """The directions alone are shortened, in a training as in one step; no weight moves by it."""
    training, make = PAIRS[name]
    ours, theirs = (MLP([5], weight_norm=True).build(3, 2, seed=1) for _ in range(2))
    lengths = [p for n, p in theirs.named_parameters() if n.endswith("original0")]
    directions = [p for n, p in theirs.named_parameters() if n.endswith("original1")]
    biases = [p for n, p in theirs.named_parameters() if n.endswith("bias")]
    reference = make(
        [
            {"params": directions, "lr": 0.1, "weight_decay": DECAY},
            {"params": [*lengths, *biases], "lr": 0.1, "weight_decay": 0.0},
        ]
    )
    training = training.but(lr=0.1, weight_decay=DECAY)
    optimizer = begin(ours, training, None, 0, ON_CPU).optimizer
    for step in range(STEPS):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        optimizer.step()
        reference.step()
        assert_same_weights(ours, theirs)
