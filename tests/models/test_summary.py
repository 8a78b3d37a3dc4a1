"""Layers counted, and the record behind the picture of a network."""

import json
from itertools import pairwise

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from secchi.errors import SpecError
from secchi.models.groups import count_of
from secchi.models.mlp import MLP
from secchi.models.summary import Row, architecture, draw_network, summary
from secchi.models.units import InUnits


class Own(nn.Module):
    """Layers in another order than they are used; one twice, one never, and a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Linear(2, 2)
        self.output = nn.Linear(8, 2)
        self.middle = nn.Linear(8, 8)
        self.input = nn.Linear(4, 8)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.input(x))
        return self.scale * self.output(self.middle(self.middle(x)))


@given(st.lists(st.integers(1, 128), max_size=4), st.integers(1, 20), st.integers(1, 5))
@settings(deadline=None, max_examples=15)
def test_parameters_are_weights_and_biases(hidden: list[int], inputs: int, outputs: int) -> None:
    counted = summary(MLP(hidden).build(inputs, outputs), inputs)
    expected = sum((a + 1) * b for a, b in pairwise([inputs, *hidden, outputs]))
    assert counted.parameters == counted.trainable == expected


def test_as_many_units_can_have_different_numbers_of_parameters() -> None:
    wide, deep = (summary(MLP(h).build(2, 3), 2).parameters for h in ([4], [2, 2]))
    assert (wide, deep) == (27, 21)


def test_the_layers_of_a_network() -> None:
    net = MLP([16, 16], batch_norm="before", dropout=0.5, residual=True, weight_norm=True)
    counted = summary(net.build(4, 3), 4)
    assert counted.rows[:2] == (
        Row("hidden1.linear", "Linear", (16,), 16 * 4 + 16 + 16, 96),
        Row("hidden1.batch_norm", "BatchNorm1d", (16,), 32, 32),
    )
    assert [row.kind for row in counted.rows[4:8]] == ["Linear", "BatchNorm1d", "ReLU", "Dropout"]


def test_an_own_network_in_the_order_of_its_computation() -> None:
    rows = summary(Own(), 4).rows
    assert rows == (
        Row("scale", "Parameter", None, 1, 1),
        Row("input", "Linear", (8,), 40, 40),
        Row("middle", "Linear", (8,), 72, 72),
        Row("output", "Linear", (2,), 18, 18),
        Row("never", "Linear", None, 6, 6),
    )


def test_shared_and_frozen_parameters() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    net[0].bias.requires_grad_(False)
    counted = summary(net, 4)
    assert [(row.parameters, row.trainable) for row in counted.rows] == [(20, 16), (4, 4)]
    assert (counted.parameters, counted.trainable) == (24, 20)


@pytest.mark.parametrize("name", ["resnet18", "test_vit", "test_convnext"])
def test_large_networks_lose_no_parameter_at_any_depth(name: str) -> None:
    net = timm.create_model(name, num_classes=5).train()
    size = 160 if name == "test_vit" else 64
    for depth in (0, 1, 2, None):
        counted = summary(net, torch.zeros(1, 3, size, size), depth)
        assert counted.parameters == count_of(net)
        assert (5,) in [row.shape for row in counted.rows]
        longest = max(row.name.count(".") + 1 for row in counted.rows)
        assert depth is None or longest <= max(depth, 1)
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_batch_norm_with_an_activation_in_it_is_one_layer() -> None:
    rows = summary(timm.create_model("tf_efficientnet_lite0"), torch.zeros(1, 3, 64, 64)).rows
    assert [(row.name, row.kind, row.parameters) for row in rows[:2]] == [
        ("conv_stem", "Conv2dSame", 864),
        ("bn1", "BatchNormAct2d", 64),
    ]


def test_a_network_is_left_as_it_was() -> None:
    net = MLP([8], batch_norm="after", dropout=0.5).build(4, 3)
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in net.state_dict().items()}
    summary(net, torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    assert net.training


def test_hooks_go_though_the_network_fails() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(RuntimeError):
        summary(net, 5)
    assert not net[0]._forward_hooks


def test_a_single_layer() -> None:
    counted = summary(nn.Linear(4, 1), 4)
    assert counted.rows == (Row("", "Linear", (1,), 5, 5),)
    assert str(counted).splitlines()[1].split() == ["-", "Linear", "1", "5", "5"]


def test_as_json_and_as_text() -> None:
    counted = summary(nn.Sequential(nn.Linear(40, 100), nn.LSTM(100, 7)), 40)
    document = json.loads(json.dumps(counted.to_dict()))
    assert document["parameters"] == counted.parameters
    assert [layer["shape"] for layer in document["layers"]] == [[100], None]
    lines = str(counted).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["0", "Linear", "100", "4,100", "4,100"]
    assert lines[2].split()[:3] == ["1", "LSTM", "-"]


def test_the_picture_names_what_is_done_in_its_order() -> None:
    spec = MLP([8, 8], "leaky_relu", 0.25, "after", residual=True, weight_norm=True)
    shown = architecture(spec.but(input_dropout=0.1), 4, 3)
    assert str(shown) == "4-8-8-3"
    assert [layer.name for layer in shown.layers] == ["inputs", "hidden 1", "hidden 2", "outputs"]
    notes = [layer.note.split("\n") for layer in shown.layers]
    assert notes[1] == ["leaky_relu", "batch norm", "dropout 0.25"]
    assert notes[2] == [*notes[1], "+ its input"]
    assert (notes[0], notes[3]) == (["dropout 0.1"], [""])
    assert json.loads(json.dumps(shown.to_dict()))["layers"][1]["units"] == 8


class OwnDropout(nn.Dropout1d):
    """One whose name ends as torch's do."""


class NoDropout(nn.ReLU):
    """One that has no rate."""


def test_the_picture_of_an_own_network() -> None:
    net = nn.Sequential(
        nn.BatchNorm1d(4),
        nn.Linear(4, 9),
        nn.Softmax(1),
        nn.Identity(),
        OwnDropout(),
        NoDropout(),
        nn.Linear(9, 2),
    )
    shown = architecture(net, 4, 2)
    assert [(layer.units, layer.note) for layer in shown.layers] == [
        (4, "batch norm"),
        (9, "Softmax\ndropout 0.5\nNoDropout"),
        (2, ""),
    ]
    assert str(architecture(Own(), 4, 2)) == "4-8-8-8-2"


def test_a_network_without_layers_has_outputs_all_the_same() -> None:
    shown = architecture([nn.Tanh()], 3, 3)
    assert [(layer.name, layer.note) for layer in shown.layers] == [
        ("inputs", "tanh"),
        ("outputs", ""),
    ]


def test_a_picture_of_what_is_no_network() -> None:
    with pytest.raises(SpecError):
        draw_network(nn.Linear(4, 3), 5, 3)


def test_a_network_is_drawn() -> None:
    texts = {text.get_text() for text in draw_network(MLP([16, 400]), 4, 3).axes[0].texts}
    assert {"inputs\n4", "hidden 1\n16", "hidden 2\n400", "outputs\n3", "relu"} <= texts


@pytest.mark.parametrize("hidden", [[], [16, 16]])
def test_a_network_with_outputs_in_units_has_the_layers_of_one_without(hidden: list[int]) -> None:
    net = MLP(hidden, batch_norm="before").build(4, 2)
    for depth in (1, 2, None):
        assert summary(InUnits(net, [5.0, 6.0], [2.0, 3.0]), 4, depth) == summary(net, 4, depth)
