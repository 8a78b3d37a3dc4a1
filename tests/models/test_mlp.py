"""The specification of a multilayer perceptron, and what is built from it."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from secchi.errors import SpecError
from secchi.models.build import _INITS, Residual, first_weights
from secchi.models.dropout import Dropout
from secchi.models.mlp import INIT_NAMES, MLP
from secchi.models.parts import ACTIVATION_NAMES


def rows(count: int = 6, numbers: int = 5) -> Tensor:
    return torch.randn(count, numbers, generator=torch.Generator().manual_seed(1))


@st.composite
def specs(draw: st.DrawFn) -> MLP:
    """Any specification that can be."""
    hidden = draw(st.lists(st.integers(1, 9), max_size=4))
    rate = st.floats(0, 0.95)
    each = st.lists(rate, min_size=len(hidden), max_size=len(hidden))
    init = draw(st.sampled_from(INIT_NAMES))
    agree = len(hidden) < 2 or any(a == b for a, b in zip(hidden, hidden[1:], strict=False))
    return MLP(
        hidden,
        activation=draw(st.sampled_from(ACTIVATION_NAMES)),
        dropout=draw(rate | each),
        batch_norm=draw(st.sampled_from(["before", "after", None])),
        init=init,
        residual=draw(st.booleans()) and agree,
        weight_norm=draw(st.booleans()) and init != "zeros",
        input_dropout=draw(rate),
    )


# The specification


@given(specs())
@settings(deadline=None, max_examples=60)
def test_a_specification_comes_back_from_json(spec: MLP) -> None:
    back = MLP.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert back == spec
    assert hash(back) == hash(spec)
    assert dataclasses.replace(spec) == spec.but() == spec


@given(specs(), st.integers(1, 7), st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_any_specification_makes_finite_outputs(spec: MLP, inputs: int, outputs: int) -> None:
    net = spec.build(inputs, outputs)
    for mode in (True, False):
        given = net.train(mode)(rows(4, inputs))
        assert given.shape == (4, outputs)
        assert torch.isfinite(given).all()


@pytest.mark.parametrize(
    ("spec", "hidden"),
    [
        (MLP(), (64, 64)),
        (MLP([16, 32]), (16, 32)),
        (MLP(32), (32,)),
        (MLP([]), ()),
        (MLP(depth=3), (64, 64, 64)),
        (MLP(width=8), (8, 8)),
        (MLP(depth=0), ()),
        (MLP(np.array([4, 5])), (4, 5)),
        (MLP(np.int64(7)), (7,)),
        (MLP(units for units in (1, 2)), (1, 2)),
    ],
)
def test_ways_to_say_the_hidden_layers(spec: MLP, hidden: tuple[int, ...]) -> None:
    assert spec.hidden == hidden
    assert spec.depth == len(hidden)
    assert json.loads(json.dumps(spec.to_dict()))["hidden"] == list(hidden)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(SpecError) as error:
        MLP(
            [16, 0, True],
            activation="rellu",
            dropout=[0.5, 1.0],
            batch_norm=True,  # type: ignore[arg-type]
            init="xavier_normale",
            residual="yes",  # type: ignore[arg-type]
            depth=3,
            input_dropout=-0.5,
        )
    faults = error.value.faults
    assert len(faults) == 10
    assert faults[0] == "hidden layer 2 has 0 units, which is not a whole number from 1 on"
    assert "did you mean relu" in faults[3]
    assert faults[5] == "dropout names 2 rates, and there are 3 hidden layers"
    assert faults[6] == "input_dropout is -0.5, which is not a number from 0 on, below 1"
    assert "did you mean xavier_normal" in faults[8]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"depth": -1}, "depth is -1"),
        ({"width": 2.5}, "width is 2.5"),
        ({"hidden": "16"}, "hidden layer 1 has '16' units"),
        ({"hidden": 3, "width": 4}, "depth and width cannot be given"),
        ({"dropout": 1}, "dropout is 1,"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"input_dropout": 1}, "input_dropout is 1,"),
        ({"activation": "Softmax"}, "works on a whole row"),
        ({"hidden": [4, 8], "residual": True}, r"of as many units.*are \(4, 8\)"),
        ({"weight_norm": True, "init": "zeros"}, "weights that have a direction"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError, match=f"this network cannot be: .*{fault}") as error:
        MLP(**settings)
    assert len(error.value.faults) == 1


def test_an_unknown_depth_has_no_wrong_number_of_rates() -> None:
    with pytest.raises(SpecError) as error:
        MLP(depth=-1, dropout=[0.5, 0.5])
    assert len(error.value.faults) == 1


def test_changes() -> None:
    spec = MLP([8, 8], batch_norm="after", dropout=0.5)
    assert spec.but(depth=3) == MLP([8, 8, 8], batch_norm="after", dropout=0.5)
    assert spec.but(width=4, dropout=None) == MLP([4, 4], batch_norm="after", dropout=0.5)
    assert spec.but(hidden=[3], batch_norm=None) == MLP([3], dropout=0.5)
    assert MLP([8, 4]).but(width=5).hidden == (5, 5)
    assert MLP([8, 4]).but(depth=0).hidden == ()
    assert MLP([]).but(depth=1, width=5).hidden == (5,)
    with pytest.raises(SpecError, match="no 'dropuot'; did you mean dropout.*init is 'no'"):
        spec.but(dropuot=1, init="no")
    with pytest.raises(SpecError, match="depth is given without a width") as error:
        MLP([]).but(depth=2)
    assert len(error.value.faults) == 1


def test_a_specification_needs_no_torch() -> None:
    program = "import sys, secchi.models.mlp as m; m.MLP([16]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_shapes_that_cannot_be() -> None:
    with pytest.raises(SpecError) as error:
        MLP().build(0, 1.5)  # type: ignore[arg-type]
    assert len(error.value.faults) == 2


# What is built


def test_it_is_the_network_that_one_writes_by_hand() -> None:
    spec = MLP([16, 32], activation="tanh", batch_norm="before", dropout=0.5, input_dropout=0.1)
    net = spec.build(5, 3)
    plain = nn.Sequential(
        Dropout(0.1),
        *(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Tanh(), Dropout(0.5)),
        *(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Tanh(), Dropout(0.5)),
        nn.Linear(32, 3),
    )
    plain.load_state_dict(dict(zip(plain.state_dict(), net.state_dict().values(), strict=True)))
    for mode in (True, False):
        torch.manual_seed(0)
        one = net.train(mode)(rows())
        torch.manual_seed(0)
        torch.testing.assert_close(one, plain.train(mode)(rows()), rtol=0, atol=0)


def test_the_names_of_the_weights() -> None:
    net = MLP([4, 4], batch_norm="after", residual=True).build(5, 3)
    names = [name for name, _ in net.named_parameters()]
    assert names[:4] == [
        "hidden1.linear.weight",
        "hidden1.linear.bias",
        "hidden1.batch_norm.weight",
        "hidden1.batch_norm.bias",
    ]
    assert names[-2:] == ["output.weight", "output.bias"]
    assert type(net) is nn.Sequential


def test_without_hidden_layers_it_is_a_linear_layer() -> None:
    net = MLP([]).build(5, 3)
    assert [type(layer) for layer in net.children()] == [nn.Linear]


@pytest.mark.parametrize(
    ("place", "order"),
    [
        ("before", ["linear", "batch_norm", "activation", "dropout"]),
        ("after", ["linear", "activation", "batch_norm", "dropout"]),
        (None, ["linear", "activation", "dropout"]),
    ],
)
def test_batch_norm_stands_where_it_was_asked_for(place: str | None, order: list[str]) -> None:
    net = MLP([7], batch_norm=place, dropout=0.5).build(5, 3)
    assert [name for name, _ in net.hidden1.named_children()] == order
    seen = {}
    for name, part in net.hidden1.named_children():
        part.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    net(rows(200))
    if place == "before":
        torch.testing.assert_close(seen["activation"], seen["batch_norm"].relu())
    if place == "after":
        torch.testing.assert_close(seen["batch_norm"].mean(0), torch.zeros(7), atol=1e-5, rtol=0)
        assert seen["batch_norm"].min() < 0  # no activation behind it


def test_dropout_scales_what_it_keeps_and_rests_in_evaluation() -> None:
    net = MLP([1000], activation="identity", dropout=0.25, init="zeros").build(5, 1)
    nn.init.ones_(net.hidden1.linear.bias)
    torch.manual_seed(0)
    kept = net.hidden1(rows(1))
    assert kept.detach().unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (kept == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert (net.eval().hidden1(rows(1)) == 1).all()


def test_a_dropout_for_each_layer() -> None:
    net = MLP([3, 3, 3], dropout=(0.1, 0, 0.5)).build(5, 1)
    rates = {n: part.p for n, part in net.named_modules() if isinstance(part, nn.Dropout)}
    assert rates == {"hidden1.dropout": 0.1, "hidden3.dropout": 0.5}


def test_dropped_inputs_stand_before_the_first_layer_and_change_no_weight() -> None:
    plain, dropping = (MLP([4], input_dropout=p).build(5, 3) for p in (0, 0.4))
    assert [name for name, _ in plain.named_children()] == ["hidden1", "output"]
    assert [name for name, _ in dropping.named_children()] == ["input_dropout", "hidden1", "output"]
    one, other = plain.state_dict(), dropping.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_residual_connections_add_the_input_where_hidden_widths_agree() -> None:
    spec = MLP([5, 5, 4, 4], activation="tanh", residual=True)
    net = spec.build(5, 2)
    around = [name for name, part in net.named_children() if isinstance(part, Residual)]
    assert around == ["hidden2", "hidden4"]  # not the first, though there are five inputs
    x = rows()
    for name, layer in net.named_children():
        if name == "output":
            x = layer(x)
        else:
            change = layer.linear(x).tanh()
            x = x + change if name in around else change
    torch.testing.assert_close(net(rows()), x, rtol=0, atol=0)


@pytest.mark.parametrize("depth", [0, 1])
def test_residual_connections_are_none_where_there_is_nothing_to_go_around(depth: int) -> None:
    with_them, without = (
        MLP(depth=depth, width=5, residual=each).build(5, 2) for each in (True, False)
    )
    torch.testing.assert_close(with_them(torch.ones(3, 5)), without(torch.ones(3, 5)))


def test_residual_connections_change_no_weight() -> None:
    spec = MLP(depth=3, width=5)
    one, other = (spec.but(residual=each).build(5, 2).state_dict() for each in (True, False))
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weight_norm_has_lengths_and_directions_and_changes_no_output() -> None:
    plain, normed = (MLP([7], weight_norm=each).build(5, 2) for each in (False, True))
    torch.testing.assert_close(normed(rows()), plain(rows()))
    state = normed.state_dict()
    for layer in ("hidden1.linear", "output"):
        length = state[f"{layer}.parametrizations.weight.original0"]
        direction = state[f"{layer}.parametrizations.weight.original1"]
        with torch.no_grad():
            length *= 3
        weight = normed.get_submodule(layer).weight
        torch.testing.assert_close(weight, length * direction / direction.norm(dim=1, keepdim=True))
        torch.testing.assert_close(weight, 3 * plain.get_submodule(layer).weight)


# First weights


def test_there_is_a_way_to_draw_for_every_name() -> None:
    assert {"torch", *_INITS} == set(INIT_NAMES)


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        ("torch", 1 / (3 * 300)),
        ("xavier_uniform", 2 / (300 + 500)),
        ("xavier_normal", 2 / (300 + 500)),
        ("kaiming_uniform", 2 / 300),
        ("kaiming_normal", 2 / 300),
        ("normal", 1.0),
        ("orthogonal", 1 / 500),
        ("zeros", 0.0),
    ],
)
def test_first_weights_have_the_variance_of_their_formula(init: str, variance: float) -> None:
    linear = MLP([500], init=init).build(300, 1).hidden1.linear
    weight = linear.weight.detach()
    assert weight.square().mean().item() == pytest.approx(variance, rel=0.02)
    if init == "orthogonal":
        torch.testing.assert_close(weight.T @ weight, torch.eye(300), atol=1e-5, rtol=0)
    elif init in ("torch", "xavier_uniform", "kaiming_uniform"):
        bound = (3 * variance) ** 0.5
        assert 0.99 * bound < weight.abs().max() <= bound
    elif variance:
        assert weight.abs().max() > 3.5 * variance**0.5
    assert linear.bias.any() == (init == "torch")


FIRST_WEIGHTS = {
    "torch": [
        [-0.1750712, -0.1899885, 0.1878881, -0.1423939, 0.1869729, 0.402994],
        [-0.3815989, 0.1847501],
        [0.02535116, -0.1744866, 0.1234096, -0.4877045],
        [0.5459329, 0.6907284],
    ],
    "xavier_uniform": [
        [0.7820848, -0.6987664, 0.7122709, -0.8349471, -0.9824483, -0.4421773],
        [0, 0],
        [-1.130912, -0.7975335, 0.5097139, 0.1989907],
        [0, 0],
    ],
    "xavier_normal": [
        [0.5286312, -0.6747403, -1.651304, 1.010404, -0.8945304, 0.9451364],
        [0, 0],
        [-0.3630988, 0.9802784, 0.03533192, -0.4351844],
        [0, 0],
    ],
    "kaiming_uniform": [
        [1.009667, -0.9021035, 0.9195377, -1.077912, -1.268335, -0.5708483],
        [0, 0],
        [-1.599351, -1.127883, 0.7208443, 0.2814153],
        [0, 0],
    ],
    "kaiming_normal": [
        [0.6824599, -0.8710859, -2.131824, 1.304426, -1.154834, 1.220166],
        [0, 0],
        [-0.5134992, 1.386323, 0.04996688, -0.6154436],
        [0, 0],
    ],
    "normal": [
        [0.8358393, -1.066858, -2.61094, 1.597589, -1.414377, 1.494392],
        [0, 0],
        [-0.5134992, 1.386323, 0.04996688, -0.6154436],
        [0, 0],
    ],
    "orthogonal": [
        [0.2841312, -0.3626625, -0.8875503, 0.6587934, -0.5987244, 0.4555444],
        [0, 0],
        [-0.9952991, -0.09684921, 0.09684921, -0.995299],
        [0, 0],
    ],
    "zeros": [
        [0, 0, 0, 0, 0, 0],
        [0, 0],
        [0, 0, 0, 0],
        [0, 0],
    ],
}
"""Weights and biases of a 3-2-2 network, as they have been since the first version."""


@pytest.mark.parametrize("init", INIT_NAMES)
def test_first_weights_are_what_they_always_were(init: str) -> None:
    net = MLP([2], init=init).build(3, 2, seed=1)
    for parameter, values in zip(net.parameters(), FIRST_WEIGHTS[init], strict=True):
        assert parameter.detach().flatten().tolist() == pytest.approx(values, rel=1e-6)


@given(specs(), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_first_weights_are_those_of_the_network(spec: MLP, seed: int) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn = first_weights(spec, 5, 2, seed)
    assert torch.equal(torch.get_rng_state(), before)
    plain = spec.but(weight_norm=False).build(5, 2, seed=seed)
    linear = [part for part in plain.modules() if isinstance(part, nn.Linear)]
    for (weight, bias), layer in zip(drawn, linear, strict=True):
        assert torch.equal(weight, layer.weight)
        assert torch.equal(bias, layer.bias)


def test_the_same_seed_gives_the_same_weights_and_moves_no_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (MLP([9]).build(5, 2, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_layers_share_weights_with_networks_that_go_on_in_another_way() -> None:
    short = MLP([9, 9]).build(5, 2).state_dict()
    deep = MLP([9, 9, 4, 9], batch_norm="after", dropout=0.5).build(5, 2).state_dict()
    shared = [name for name in short if torch.equal(short[name], deep[name])]
    assert shared == list(short)
    assert not torch.equal(short["hidden1.linear.bias"], short["hidden2.linear.bias"])


def test_weights_are_made_on_the_cpu_whatever_the_default_is() -> None:
    spec = MLP([3], activation="prelu", batch_norm="after")
    with torch.device("meta"):
        net = spec.build(5, 2)
    assert {str(tensor.device) for tensor in net.state_dict().values()} == {"cpu"}
    assert torch.equal(net.output.weight, spec.build(5, 2).output.weight)
