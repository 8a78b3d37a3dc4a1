"""Linear layers behind each other, multiplied out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from torch import Tensor, nn

from secchi.errors import SpecError
from secchi.models.collapse import collapsed
from secchi.models.mlp import MLP
from secchi.models.units import InUnits


def iris() -> Tensor:
    return torch.from_numpy(load_iris().data)


@given(
    hidden=st.lists(st.integers(1, 40), max_size=5),
    batch_norm=st.sampled_from(["before", "after", None]),
    weight_norm=st.booleans(),
)
@settings(deadline=None, max_examples=12)
def test_the_outputs_are_equal_to_rounding(
    hidden: list[int], batch_norm: str | None, weight_norm: bool
) -> None:
    spec = MLP(hidden, "identity", 0.5, batch_norm, weight_norm=weight_norm)
    net = spec.build(4, 3).double()
    net(iris())  # gives batch normalisation statistics of its own
    net.eval()
    one = collapsed(net)
    assert one.weight.shape == (3, 4)
    torch.testing.assert_close(one(iris()), net(iris()), rtol=1e-10, atol=1e-10)


def test_residual_connections_are_linear_too() -> None:
    net = MLP(depth=4, width=6, activation="identity", residual=True).build(4, 3)
    torch.testing.assert_close(collapsed(net)(iris().float()), net(iris().float()))


def test_layers_of_ones_own_without_a_bias() -> None:
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Sequential(nn.Linear(5, 2)))
    net.insert(1, nn.BatchNorm1d(5, affine=False))
    net.eval()
    torch.testing.assert_close(collapsed(net)(iris().float()), net(iris().float()))


def test_one_layer_is_itself_with_weights_of_its_own() -> None:
    linear = nn.Linear(4, 3)
    one = collapsed(linear)
    assert torch.equal(one.weight, linear.weight)
    assert one.weight is not linear.weight
    assert one.weight.requires_grad


def test_it_draws_no_random_numbers() -> None:
    linear = nn.Linear(4, 3)
    before = torch.get_rng_state()
    collapsed(linear)
    assert torch.equal(torch.get_rng_state(), before)


def test_nonlinear_layers_are_named() -> None:
    with pytest.raises(SpecError) as error:
        collapsed(MLP([5, 5], residual=True).build(4, 3))
    assert error.value.faults == (
        "hidden1.activation is a ReLU",
        "hidden2.activation is a ReLU",
    )


@pytest.mark.parametrize(
    "net",
    [nn.Sequential(), nn.Tanh(), nn.Sequential(nn.Linear(4, 2), nn.LayerNorm(2)),
     nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, track_running_stats=False))],
)  # fmt: skip
def test_what_is_not_linear_is_refused(net: nn.Module) -> None:
    with pytest.raises(SpecError, match="this is not one linear layer: "):
        collapsed(net)


def test_outputs_in_units_stay_so() -> None:
    net = MLP([6, 5], "identity").build(4, 2).double()
    whole = InUnits(net, [1000.0, -3.0], [20.0, 0.5]).eval()
    one = collapsed(whole)
    torch.testing.assert_close(one(iris()), whole(iris()), rtol=1e-10, atol=1e-10)
    with pytest.raises(SpecError, match=r"hidden1\.activation is a ReLU"):
        collapsed(InUnits(MLP([6]).build(4, 1), [1.0], [2.0]))
