"""The moving average of weights follows its formula, and gives the weights back."""

import contextlib

import pytest
import torch
from torch import nn

from secchi.training.averaging import WeightAverage


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def move(net: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_the_average_follows_its_formula(decay: float) -> None:
    net = network()
    average = WeightAverage(net, decay)
    expected = {key: value.double() for key, value in weights(net).items()}
    for step in range(1, 40):
        move(net, step)
        average.update()
        d = min(decay, (1 + step) / (10 + step))
        for key, value in weights(net).items():
            expected[key] = d * expected[key] + (1 - d) * value
    assert average.steps == 39
    for key, value in average.averages.items():
        torch.testing.assert_close(value, expected[key].float())
    assert set(average.averages) == set(expected) - {"1.num_batches_tracked"}


def test_before_the_first_step_the_average_is_the_weights() -> None:
    net = network()
    before = weights(net)
    with WeightAverage(net, 0.9).applied():
        assert all(torch.equal(before[key], value) for key, value in weights(net).items())


def test_the_averages_stand_in_for_the_weights_for_a_while() -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    move(net, 1)
    average.update()
    before = weights(net)
    inside = {}
    with contextlib.suppress(KeyboardInterrupt), average.applied():
        inside = weights(net)
        raise KeyboardInterrupt
    for key, value in average.averages.items():
        assert torch.equal(inside[key], value)
        assert not torch.equal(inside[key], before[key])
    assert all(torch.equal(before[key], value) for key, value in weights(net).items())


def test_settling_leaves_the_averages_in_the_network() -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    move(net, 1)
    average.update()
    average.settle()
    found = weights(net)
    assert all(torch.equal(found[key], value) for key, value in average.averages.items())


def test_what_does_not_train_is_left_out() -> None:
    net = network()
    net[0].requires_grad_(False)
    assert not any(key.startswith("0.") for key in WeightAverage(net, 0.9).averages)


def test_an_average_goes_on_from_where_it_was() -> None:
    net = network()
    one = WeightAverage(net, 0.9)
    for step in range(5):
        move(net, step)
        one.update()
    other = WeightAverage(net, 0.9)
    other.load(one.steps, one.averages)
    move(net, 5)
    for average in (one, other):
        average.update()
    assert other.steps == 6
    for key, value in one.averages.items():
        assert torch.equal(value, other.averages[key])
