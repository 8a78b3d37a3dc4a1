"""Layer groups of the networks that there are, and cutting between them."""

import copy
import functools
from collections.abc import Iterator

import pytest
import timm
import torch
from torch import Tensor, nn

from secchi.models.groups import (
    FEATURES,
    LayerGroup,
    count_of,
    cut,
    is_batch_norm,
    layer_groups,
    uses_batch_statistics,
)

NETWORKS = [
    "tf_efficientnet_lite0",
    "resnet18",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "mobilenetv3_small_050",
    "densenet121",
]
SMALL = "mobilenetv3_small_050"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small pictures are computed sooner on one core than on cores that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def built(name: str) -> tuple[nn.Module, Tensor]:
    """A network with random weights, in evaluation mode, and two pictures for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options = {"img_size": 64} if name.startswith("vit") else {}
        body = timm.create_model(name, num_classes=0, **options).eval()
        return body, torch.randn(2, 3, 64, 64)


class Plain(nn.Module):
    """Two layers, and nothing that timm would know of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Linear(4, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.second(self.first(pictures).mean((2, 3)))


class Grouped(Plain):
    """The same with a matcher as timm's networks have it: a group for each of the layers named."""

    names = ("first", "second")

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        return {"stem": f"^{self.names[0]}", "blocks": [(f"^{n}", (9,)) for n in self.names[1:]]}


def names_of(body: nn.Module) -> list[str]:
    return [group.name for group in layer_groups(body)]


def called(body: nn.Module, pictures: Tensor) -> list[str]:
    """The names of parameters in the order in which the forward pass comes to their layers."""
    own = {id(p): name for name, p in body.named_parameters()}
    seen: list[str] = []

    def note(module: nn.Module, _: object) -> None:
        names = (own[id(p)] for p in module.parameters(recurse=False))
        seen.extend(name for name in names if name not in seen)

    hooks = [module.register_forward_pre_hook(note) for module in body.modules()]
    with torch.no_grad():
        body(pictures)
    for hook in hooks:
        hook.remove()
    return seen


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_one_group_and_every_group_has_a_name_of_its_own(name: str) -> None:
    body, _ = built(name)
    groups = layer_groups(body)
    tensors = [tensor for group in groups for tensor in group.tensors]
    assert sorted(tensors) == sorted(dict(body.named_parameters()))
    assert len({group.name for group in groups}) == len(groups) > 3
    assert sum(group.parameters for group in groups) == count_of(body)
    sizes = {name: p.numel() for name, p in body.named_parameters()}
    for group in groups:
        assert group.parameters == sum(sizes[tensor] for tensor in group.tensors) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_are_in_the_order_of_the_forward_pass(name: str) -> None:
    body, pictures = built(name)
    group_of = {t: place for place, group in enumerate(layer_groups(body)) for t in group.tensors}
    order = [group_of[tensor] for tensor in called(body, pictures)]
    assert order == sorted(order)


def test_groups_have_the_names_of_the_layers() -> None:
    assert names_of(built("tf_efficientnet_lite0")[0]) == [
        "stem",
        *(f"blocks.{i}" for i in range(7)),
    ]
    assert names_of(built("resnet18")[0]) == ["stem", *(f"layer{i}" for i in range(1, 5))]
    assert names_of(built("vit_tiny_patch16_224")[0]) == [
        "stem",
        *(f"blocks.{i}" for i in range(12)),
    ]


def test_no_group_of_a_body_is_called_as_the_head_on_top_of_it_is() -> None:
    class WithHead(Grouped):
        names = ("first", "head")

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 5)

    assert names_of(WithHead()) == ["stem", "body.head", "second"]


def test_groups_by_a_function_are_named_by_the_layer_that_their_tensors_share() -> None:
    """Some of timm's networks have a function for a matcher, which has no pattern to show."""

    class ByFunction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(2, 2) for _ in range(4)])
            self.norm = nn.LayerNorm(2)

        def group_matcher(self, coarse: bool = False) -> object:
            return lambda name: 3 if name.startswith("norm") else int(name.split(".")[1])

    assert names_of(ByFunction()) == ["stem", "blocks.1", "blocks.2", "blocks"]


def test_groups_that_would_have_one_name_are_told_apart_by_their_place() -> None:
    class Interleaved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.blocks = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])
            self.norms = nn.ModuleList([nn.LayerNorm(2) for _ in range(2)])

        def group_matcher(self, coarse: bool = False) -> object:
            return lambda name: 0 if name.startswith("first") else 1 + int(name.split(".")[1])

    assert names_of(Interleaved()) == ["stem", "blocks", "blocks (2)"]


def test_a_network_without_a_matcher_is_one_group() -> None:
    assert layer_groups(Plain()) == (
        LayerGroup("body", ("first.weight", "first.bias", "second.weight", "second.bias"), 137),
    )


def test_a_matcher_that_leaves_parameters_out_is_not_believed() -> None:
    class Partial(Grouped):
        def group_matcher(self, coarse: bool = False) -> dict[str, object]:
            raise KeyError("blocks")

    assert names_of(Partial()) == ["body"]
    assert names_of(Grouped()) == ["stem", "second"]


# ---------------------------------------------------------------- cutting


@pytest.mark.parametrize("name", NETWORKS)
def test_cut_behind_any_group_the_parts_are_the_whole(name: str) -> None:
    body, pictures = built(name)
    groups = layer_groups(body)
    own = {id(p): name for name, p in body.named_parameters()}
    points = set()
    with torch.no_grad():
        whole = body(pictures)
    for frozen in range(1, len(groups) + 1):
        parts = cut(body, groups, frozen, pictures)
        assert parts is not None
        with torch.no_grad():
            activations = parts.before(pictures)
            kept = activations.clone()
            torch.testing.assert_close(parts.after(activations), whole, rtol=1e-4, atol=1e-5)
        assert torch.equal(activations, kept)  # computing with them leaves them as they are
        assert len(activations) == len(pictures)
        held = {own[id(p)] for p in parts.before.parameters()}
        left = {own[id(p)] for p in parts.after.parameters()}
        frozen_tensors = {t for group in groups[:frozen] for t in group.tensors}
        assert held == frozen_tensors, "as much as can be is cut off"
        assert left == set(own.values()) - frozen_tensors
        points.add(parts.point)
    assert len(points) == len(groups)
    assert parts.point == FEATURES
    torch.testing.assert_close(activations, whole)


def test_a_cut_is_behind_what_has_no_parameters() -> None:
    """The pooled activations of a ResNet's stem are a quarter of the others, and kept."""
    body, pictures = built("resnet18")
    parts = cut(body, layer_groups(body), 1, pictures)
    assert parts is not None
    assert parts.point == "maxpool"
    assert parts.before(pictures).shape == (2, 64, 16, 16)


def test_parts_share_the_parameters_of_the_body() -> None:
    body = copy.deepcopy(built(SMALL)[0])
    groups, pictures = layer_groups(body), built(SMALL)[1]
    parts = cut(body, groups, 3, pictures)
    assert parts is not None
    with torch.no_grad():
        before, after = parts.before(pictures), parts.after(parts.before(pictures))
        for group in (groups[1], groups[5]):
            dict(body.named_parameters())[group.tensors[0]].mul_(1.5)
        changed = parts.before(pictures)
        assert not torch.allclose(changed, before)
        assert not torch.allclose(parts.after(before), after)
        torch.testing.assert_close(parts.after(changed), body(pictures))


def test_parts_share_running_statistics() -> None:
    body = copy.deepcopy(built(SMALL)[0])
    parts = cut(body, layer_groups(body), 3, built(SMALL)[1])
    assert parts is not None
    buffers = {id(buffer) for buffer in body.buffers()}
    assert {id(b) for part in (parts.before, parts.after) for b in part.buffers()} == buffers


def test_gradients_reach_what_is_behind_the_cut_and_nothing_before() -> None:
    body = copy.deepcopy(built(SMALL)[0])
    groups, pictures = layer_groups(body), built(SMALL)[1]
    parts = cut(body, groups, 5, pictures)
    assert parts is not None
    with torch.no_grad():
        activations = parts.before(pictures)
    parts.after(activations).square().sum().backward()
    reached = {name for name, p in body.named_parameters() if p.grad is not None}
    assert reached == {t for group in groups[5:] for t in group.tensors}


def test_trying_a_cut_changes_nothing() -> None:
    body = copy.deepcopy(built(SMALL)[0])
    before = {key: value.clone() for key, value in body.state_dict().items()}
    cut(body, layer_groups(body), 3, built(SMALL)[1])
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())
    assert not any(module.training for module in body.modules())


# ---------------------------------------------------------------- what cannot be cut


class DependingOnData(Grouped):
    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.first(pictures)
        return self.second((maps if maps.sum() > 0 else -maps).mean((2, 3)))


class SkippingEverything(Grouped):
    def forward(self, pictures: Tensor) -> Tensor:
        return self.second(self.first(pictures).mean((2, 3))) + pictures.mean((1, 2, 3))[:, None]


class OutOfOrder(Grouped):
    """What is frozen comes behind what trains."""

    names = ("second", "first")


class OfTwo(Grouped):
    """Two arrays go from the one layer to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.GRU(3, 4, batch_first=True)

    def forward(self, pictures: Tensor) -> Tensor:
        _, state = self.first(pictures.mean(3).transpose(1, 2))
        return self.second(state[0])


class Mixing(Grouped):
    """Rows that are not pictures' come out of the first layer."""

    def forward(self, pictures: Tensor) -> Tensor:
        return self.second(Flat(self.first)(pictures)).unflatten(0, (len(pictures), -1)).mean(1)


class Flat(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layer(pictures).permute(0, 2, 3, 1).flatten(0, 2)


@pytest.mark.parametrize("kind", [DependingOnData, SkippingEverything, OutOfOrder, OfTwo, Mixing])
def test_what_cannot_be_cut_is_not(kind: type[Grouped]) -> None:
    body, pictures = kind().eval(), torch.randn(2, 3, 8, 8)
    groups = layer_groups(body)
    assert len(groups) == 2
    assert cut(body, groups, 1, pictures) is None
    # Frozen as a whole it needs no cut within.
    parts = cut(body, groups, 2, pictures)
    assert parts is not None
    assert parts.point == FEATURES
    with torch.no_grad():
        assert torch.equal(parts.after(parts.before(pictures)), body(pictures))


def test_a_skip_connection_moves_the_cut_before_it() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = (nn.Conv2d(3, 3, 1) for _ in range(3))

        def forward(self, pictures: Tensor) -> Tensor:
            one = self.first(pictures)
            return (self.third(self.second(one)) + one).mean((2, 3))

        def group_matcher(self, coarse: bool = False) -> dict[str, object]:
            return {"stem": "^first", "blocks": [("^second", (1,)), ("^third", (2,))]}

    body, pictures = Skipping().eval(), torch.randn(2, 3, 8, 8)
    parts = cut(body, layer_groups(body), 2, pictures)
    assert parts is not None
    assert parts.point == "first"
    assert {id(p) for p in parts.before.parameters()} == {id(p) for p in body.first.parameters()}
    with torch.no_grad():
        torch.testing.assert_close(parts.after(parts.before(pictures)), body(pictures))


def test_a_layer_that_gives_a_list_is_no_place_for_a_cut() -> None:
    """HRNet's stages give an array for each of several resolutions."""
    body = timm.create_model("hrnet_w18_small", num_classes=0).eval()
    groups, pictures = layer_groups(body), torch.randn(2, 3, 64, 64)
    assert [group.name for group in groups][:4] == ["stem", "layer1", "stage2", "stage3"]
    parts = cut(body, groups, 4, pictures)
    assert parts is not None
    assert parts.point == "layer1"
    with torch.no_grad():
        torch.testing.assert_close(
            parts.after(parts.before(pictures)), body(pictures), rtol=1e-4, atol=1e-5
        )


def test_a_body_that_gives_no_row_a_picture_is_not_cut() -> None:
    class Two(Plain):
        def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return pictures, pictures

    body = Two().eval()
    assert cut(body, layer_groups(body), 1, torch.randn(2, 3, 8, 8)) is None


def test_weights_that_two_layers_share_are_no_error() -> None:
    body = Grouped()
    body.second.bias = nn.Parameter(torch.zeros(5))
    body.third = body.second
    body.fourth = nn.Linear(4, 5)
    body.fourth.weight = body.second.weight
    body.names = ("first", "second", "fourth")
    groups = layer_groups(body.eval())
    tensors = [tensor for group in groups for tensor in group.tensors]
    assert sorted(tensors) == sorted(name for name, _ in body.named_parameters())
    cut(body, groups, 1, torch.randn(2, 3, 8, 8))


# ---------------------------------------------------------------- batch normalisation


def test_what_keeps_running_statistics_is_batch_normalisation() -> None:
    from timm.layers import BatchNormAct2d

    assert all(map(is_batch_norm, [nn.BatchNorm1d(2), nn.BatchNorm2d(2), BatchNormAct2d(2)]))
    assert is_batch_norm(nn.BatchNorm2d(2, affine=False))
    others = [nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.BatchNorm2d(2, track_running_stats=False)]
    assert not any(map(is_batch_norm, [*others, nn.Linear(2, 2), nn.Dropout()]))


def test_batch_statistics_are_used_where_batch_normalisation_trains() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert uses_batch_statistics(network.train())
    assert not uses_batch_statistics(network.eval())
    assert not uses_batch_statistics(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)).train())
