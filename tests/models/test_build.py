"""Networks of one's own, taken as they are."""

import functools
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secchi.errors import SpecError
from secchi.models.build import build_model, drawing_from, model_to_dict, tried
from secchi.models.mlp import MLP


class Own(nn.Module):
    """As a person writes one, with its sizes in it."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.output = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.norm(self.input(x))))


class Sized(nn.Linear):
    """Takes its sizes."""


class Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError


class Giving(nn.Module):
    """Gives the same, whatever it is given."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Any:
        return self.what


class Counting(nn.Linear):
    """Counts its calls in buffers, one changed in place and one replaced, and draws numbers."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.replaced = self.replaced + 1
        return super().forward(x) + torch.rand(1)


def test_a_specification_is_built() -> None:
    spec = MLP([3])
    one, other = build_model(spec, 4, 2, seed=7), spec.build(4, 2, seed=7)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_module_is_taken_as_it_is() -> None:
    net = Own()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert build_model(net, 4, 2) is net
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert net.training


def test_modules_are_put_in_a_row() -> None:
    parts = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)
    net = build_model(parts, 4, 2)
    assert list(net.children()) == list(parts)


@pytest.mark.parametrize(
    "factory",
    [Own, Sized, lambda inputs, outputs: nn.Linear(inputs, outputs), lambda: nn.Linear(4, 2)],
)
def test_a_class_or_function_makes_a_module_from_the_seed(factory: Any) -> None:
    before = torch.get_rng_state()
    one, same, other = (list(build_model(factory, 4, 2, seed=s).parameters()) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])


def test_defaults_of_ones_own_are_not_taken_for_sizes() -> None:
    def factory(units: int = 5, layers: int = 1) -> nn.Module:
        return MLP(depth=layers, width=units).build(4, 2)

    assert build_model(factory, 4, 2).hidden1.linear.out_features == 5


def test_layers_that_wait_for_their_shape_are_drawn_from_the_seed() -> None:
    one, same = (
        build_model([nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2)], 4, 2, seed=1) for _ in range(2)
    )
    assert one(torch.zeros(3, 4)).shape == (3, 2)
    assert torch.equal(one[0].weight, same[0].weight)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (nn.Linear(4, 3), r"rows of 4 numbers Linear gives an array of shape \(rows, 3\)"),
        (nn.Linear(5, 2), "Linear cannot take rows of 4 numbers: .*mat1 and mat2"),
        (nn.ModuleList([nn.Linear(4, 2)]), "ModuleList cannot take rows"),
        (Raising(), "Raising cannot take rows of 4 numbers: KeyError"),
        (Giving(torch.zeros(2)), r"an array of shape \(rows\), and \(rows, 2\) is needed"),
        (Giving(torch.zeros(())), r"an array of shape \(\)"),
        (Giving((1, 2)), "gives a tuple"),
        ([nn.Linear(4, 2), torch.relu], "relu.* is among the modules and is none"),
        ("resnet18", "'resnet18' is no MLP"),
        (3, "3 is no MLP"),
        (lambda inputs, outputs: 3, "made a int, no module"),
        (lambda inputs: nn.Linear(inputs, 2), "takes neither"),
    ],
)
def test_what_is_no_model_is_told(model: Any, fault: str) -> None:
    with pytest.raises(SpecError, match=f"this model cannot be: .*{fault}"):
        build_model(model, 4, 2)


def test_a_fault_inside_a_factory_is_its_own() -> None:
    def broken(inputs: int, outputs: int) -> nn.Module:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        build_model(broken, 4, 2)


def test_trying_a_network_leaves_it_as_it_was() -> None:
    net = nn.Sequential(Counting(), nn.Dropout(0.5), nn.BatchNorm1d(2))
    net[1].eval()
    counted = net[0].replaced
    before = torch.get_rng_state()
    tried(net, torch.ones(2, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert (net[0].calls.item(), net[0].replaced.item()) == (0, 0)
    assert net[0].replaced is counted
    assert [part.training for part in net] == [True, False, True]
    assert net[2].num_batches_tracked.item() == 0


def test_a_network_is_put_back_though_it_fails() -> None:
    net = nn.Sequential(nn.BatchNorm1d(4), Raising())
    with pytest.raises(KeyError):
        tried(net, torch.zeros(2, 4))
    assert net.training


def test_drawing_ends_where_it_began() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with drawing_from(9):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with drawing_from(9):
        assert torch.equal(torch.rand(2), inside)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (MLP([3], dropout=[0.5]), "MLP"),
        (MLP([3], input_dropout=0.5), "MLP"),
        (Own(), f"{__name__}.Own"),
        (Own, f"{__name__}.Own"),
        ([nn.Linear(4, 2)], "torch.nn.modules.container.Sequential"),
        (functools.partial(nn.Linear, bias=False), "partial(torch.nn.modules.linear.Linear"),
    ],
)
def test_a_record_of_a_model(model: Any, kind: str) -> None:
    document = json.loads(json.dumps(model_to_dict(model)))
    assert document["model"].startswith(kind)
    assert ("repr" in document) == isinstance(model, nn.Module | list)
    if isinstance(model, MLP):
        del document["model"]
        assert MLP.from_dict(document) == model
        # Records from before it could be dropped know no such field, and are of the same network.
        assert ("input_dropout" in document) == (model.input_dropout > 0)
