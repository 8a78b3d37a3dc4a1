"""A network frozen up to some point: what trains, what stays, and what its input is."""

import copy
import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secchi.errors import SpecError
from secchi.models.backbones import RANDOM, Backbone
from secchi.models.depthwise import DepthwiseConv2d
from secchi.models.groups import FEATURES, PIXELS, LayerGroup, is_batch_norm
from secchi.models.heads import Head
from secchi.models.network import LayerGroups, Network, place_of
from secchi.transforms.images import ImageTransform

BACKBONE = Backbone("mobilenetv3_small_050", RANDOM, size=64)
TRANSFORM = ImageTransform(size=64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
MIDDLE = 4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small pictures are computed sooner on one core than on cores that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def body() -> nn.Module:
    """A small network with running statistics that are not those that it starts from."""
    body = BACKBONE.build()
    generator = torch.Generator().manual_seed(0)
    for module in body.modules():
        if is_batch_norm(module):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 1)
    return body


def network_of(body: nn.Module, frozen: int | None = None) -> Network:
    body = copy.deepcopy(body)
    width = body(torch.zeros(1, 3, TRANSFORM.size, TRANSFORM.size)).shape[1]
    head = Head(width, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        nn.init.normal_(head.linear.weight)
    network = Network(body, head, TRANSFORM)
    if frozen is not None:
        network.freeze_to(frozen)
    return network


@pytest.fixture
def network(body: nn.Module) -> Network:
    return network_of(body, MIDDLE)


def pictures(count: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 64, 64, 3), generator=generator, dtype=torch.uint8)


def normalized(inputs: Tensor) -> Tensor:
    return torch.from_numpy(TRANSFORM.normalize(inputs.numpy())).permute(0, 3, 1, 2)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {key for key, v in network.state_dict().items() if not torch.equal(v, before[key])}


def step(network: Network, inputs: Tensor) -> None:
    """One step of gradient descent."""
    network.train()
    network(inputs).square().sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-3 * parameter.grad)


# ---------------------------------------------------------------- freezing


def test_a_network_begins_with_its_head_alone_to_train(body: nn.Module) -> None:
    network = network_of(body)
    assert [name for name, _ in network.trained_groups()] == ["head"]
    assert network.frozen == len(network.groups) - 1
    assert network.point == FEATURES
    assert {n for n, p in network.named_parameters() if p.requires_grad} == {
        "head.linear.weight",
        "head.linear.bias",
    }


def test_groups_are_those_of_the_body_and_the_head(network: Network) -> None:
    names = [group.name for group in network.groups]
    assert names == ["stem", *(f"blocks.{i}" for i in range(6)), "conv_head", "head"]
    assert sum(group.parameters for group in network.groups) == sum(
        p.numel() for p in network.parameters()
    )


@pytest.mark.parametrize(
    ("group", "place"),
    [("blocks.3", 4), (4, 4), (-5, 4), ("head", 8), (-1, 8), (0, 0), ("stem", 0)],
)
def test_groups_are_frozen_by_name_or_place(network: Network, group: int | str, place: int) -> None:
    network.freeze_to(group)
    assert network.frozen == place
    names = [group.name for group in network.groups[place:]]
    assert [name for name, _ in network.trained_groups()] == names
    trained = {id(p) for _, parameters in network.trained_groups() for p in parameters}
    assert trained == {id(p) for p in network.parameters() if p.requires_grad}
    assert sum(len(ps) for _, ps in network.trained_groups()) == sum(
        len(group.tensors) for group in network.groups[place:]
    )


@pytest.mark.parametrize(
    ("group", "hint"),
    [
        ("block.3", "did you mean blocks.3"),
        (9, "no layer group 9;"),
        (-10, ""),
        ("", ""),
        (1.0, ""),
    ],
)
def test_a_group_that_there_is_not_is_refused_with_those_that_there_are(
    network: Network, group: int | str, hint: str
) -> None:
    with pytest.raises(SpecError) as caught:
        network.freeze_to(group)
    assert hint in str(caught.value)
    assert "there are stem, blocks.0, " in str(caught.value)
    assert network.frozen == MIDDLE


def test_freezing_moves_either_way(network: Network) -> None:
    for place in (0, 8, 3, 5, 0, 4):
        network.freeze_to(place)
        by_group = [[p.requires_grad for p in ps] for _, ps in network._by_group()]
        assert by_group == [
            [number >= place] * len(group.tensors) for number, group in enumerate(network.groups)
        ]


def test_no_group_is_taken_for_the_head() -> None:
    groups = [LayerGroup("stem", (), 0), LayerGroup("head.norm", (), 0), LayerGroup("head", (), 0)]
    assert place_of(groups, "head") == 2


def test_groups_are_shown_with_what_trains() -> None:
    groups = LayerGroups((LayerGroup("stem", ("a",), 1200), LayerGroup("head", ("b",), 5)), 1)
    assert str(groups).splitlines() == [
        "    group   parameters",
        "  0 stem        1,200  frozen",
        "  1 head            5  trains",
    ]
    assert (len(groups), groups.names) == (2, ["stem", "head"])
    assert [group.parameters for group in groups] == [1200, 5]


# ---------------------------------------------------------------- inputs


def test_pictures_are_normalised_as_the_transform_says(network: Network) -> None:
    inputs = pictures()
    ours = network._normalized(inputs)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(ours.permute(0, 2, 3, 1).numpy(), TRANSFORM.normalize(inputs.numpy()))
    # Mixed pictures are no whole numbers any more.
    assert torch.equal(network._normalized(inputs.float()), ours)


@pytest.mark.parametrize("frozen", range(9))
def test_the_input_at_every_freeze_point_leads_to_the_same_outputs(
    body: nn.Module, frozen: int
) -> None:
    network = network_of(body, frozen).eval()
    inputs = pictures()
    with torch.no_grad():
        wanted = network.head(network.body(normalized(inputs)))
        if frozen == 0:
            assert network.frozen_part is None
            assert network.point == PIXELS
        else:
            assert network.frozen_part is not None
            assert network.point != PIXELS
            at_point = network.frozen_part(normalized(inputs)).contiguous()
            torch.testing.assert_close(network(at_point), wanted, rtol=1e-4, atol=1e-4)
        network.computes_all = True
        assert network.frozen_part is None
        assert network.point == PIXELS
        torch.testing.assert_close(network(inputs), wanted, rtol=1e-4, atol=1e-4)


def test_freezing_anew_ends_that_all_is_computed(network: Network) -> None:
    network.computes_all = True
    network.freeze_to(3)
    assert network.point == "blocks.1"
    assert network.frozen_part is not None


def test_weights_and_activations_are_channels_last(network: Network) -> None:
    for parameter in network.body.parameters():
        if parameter.ndim == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    network.body.blocks[3].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    activations = network.frozen_part(normalized(pictures())).contiguous()
    kept = activations.clone()
    network(activations)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(activations, kept)


def test_depthwise_convolutions_have_their_faster_backward_pass(network: Network) -> None:
    assert any(isinstance(module, DepthwiseConv2d) for module in network.body.modules())


def test_a_body_that_cannot_be_cut_takes_pictures_as_soon_as_some_of_it_trains() -> None:
    network = network_of(DependingOnData()).eval()
    features = network.body(normalized(pictures()))
    assert network.point == FEATURES
    torch.testing.assert_close(network(features), network.head(features))
    network.freeze_to(1)
    assert network.point == PIXELS
    assert network.frozen_part is None
    torch.testing.assert_close(network(pictures()), network.head(features))


def test_features_that_no_layer_gives_are_an_input_all_the_same() -> None:
    """Where all of a body is frozen, what is kept are its features, pooled by no layer of it."""
    network = network_of(Mixed())
    features = network.body(normalized(pictures()))
    assert features.shape == (4, 5)
    torch.testing.assert_close(network(features), network.head(features))


# ---------------------------------------------------------------- evaluation mode


class Mixed(nn.Module):
    """Dropout between two layers, and batch normalisation with and without parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.between = nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.Dropout(0.5))
        self.last = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5))

    def forward(self, given: Tensor) -> Tensor:
        return self.last(self.between(self.stem(given))).mean((2, 3))

    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        return {"stem": "^stem", "blocks": [("^last", (1,))]}


class DependingOnData(Mixed):
    """The same, where no tracing goes through."""

    def forward(self, given: Tensor) -> Tensor:
        given = self.between(self.stem(given))
        return self.last(given if given.sum() > 0 else -given).mean((2, 3))


def training(network: Network) -> set[str]:
    """The layers of a body that are in training mode, without those that hold others."""
    modules = network.body.named_modules()
    return {n for n, module in modules if module.training and not list(module.children())}


@pytest.mark.parametrize("computes_all", [False, True])
@pytest.mark.parametrize(
    ("frozen", "statistics", "expected"),
    [
        (0, False, {"stem.0", "stem.2", "between.1", "last.0", "last.2"}),
        (0, True, {"stem.0", "stem.1", "stem.2", "between.0", "between.1"}
         | {"last.0", "last.1", "last.2"}),
        (1, False, {"last.0", "last.2"}),
        (1, True, {"last.0", "last.1", "last.2"}),
        (2, False, set()),
        (2, True, set()),
    ],
)  # fmt: skip
def test_what_is_frozen_and_batch_normalisation_stay_in_evaluation_mode(
    frozen: int, statistics: bool, expected: set[str], computes_all: bool
) -> None:
    network = network_of(Mixed(), frozen)
    network.batch_statistics = statistics
    if computes_all:
        network.computes_all = True
    assert network.train() is network
    assert training(network) == expected
    assert network.training
    assert network.head.training
    assert network.eval() is network
    assert training(network) == set()
    assert not network.head.training


def test_frozen_layers_are_in_evaluation_mode_where_a_body_cannot_be_cut_behind_them() -> None:
    network = network_of(DependingOnData(), 1)
    network.batch_statistics = True
    network.train()
    assert network.point == PIXELS
    assert not any(module.training for module in network.body.stem.modules())
    assert all(module.training for module in network.body.last.modules())


def test_freezing_while_training_leaves_the_modes_that_training_has() -> None:
    network = network_of(Mixed(), 0).train()
    network.freeze_to(1)
    assert network.training
    assert training(network) == {"last.0", "last.2"}
    network.freeze_to(0)
    assert training(network) == {"stem.0", "stem.2", "between.1", "last.0", "last.2"}


def test_stochastic_depth_is_for_layers_that_train() -> None:
    import timm
    from timm.layers import DropPath

    body = timm.create_model("mobilenetv3_small_050", num_classes=0, drop_path_rate=0.5)
    network = network_of(body, MIDDLE).train()
    paths = {n: m for n, m in network.body.named_modules() if isinstance(m, DropPath)}
    assert {n for n, m in paths.items() if m.training} == {
        n for n in paths if int(n.split(".")[1]) >= MIDDLE - 1
    }
    assert 0 < sum(m.training for m in paths.values()) < len(paths)


def test_the_activations_of_frozen_layers_are_the_same_in_training(body: nn.Module) -> None:
    for network in (network_of(body, MIDDLE), network_of(Mixed(), 1)):
        network.batch_statistics = True
        part = network.frozen_part
        assert part is not None
        with torch.no_grad():
            quiet = part(normalized(pictures()))
            network.train()
            assert torch.equal(part(normalized(pictures())), quiet)
            assert torch.allclose(part(normalized(pictures()[:2])), quiet[:2], atol=1e-5)


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("computes_all", [False, True])
def test_a_training_step_moves_what_trains_and_nothing_else(
    network: Network, statistics: bool, computes_all: bool
) -> None:
    network.batch_statistics = statistics
    part = network.frozen_part
    assert part is not None
    inputs = part(normalized(pictures())).detach().contiguous()
    if computes_all:
        network.computes_all = True
        inputs = pictures()
    before = state_of(network)
    step(network, inputs)
    step(network, inputs)
    names = {f"body.{t}" for group in network.groups[MIDDLE:-1] for t in group.tensors}
    names |= {"head.linear.weight", "head.linear.bias"}
    if statistics:
        parents = {name.rpartition(".")[0] for name in names}
        names |= {
            name
            for name, _ in network.named_buffers()
            if name.rpartition(".")[0] in parents and name != "head.center"
        }
    moved = changed(network, before)
    assert moved <= names
    assert {name for name in names - moved if "running" in name or "conv" in name} == set()
    assert any("running_mean" in name for name in moved) == statistics


# ---------------------------------------------------------------- copies


def test_a_copy_shares_its_parts_with_its_own_body_and_nothing_with_the_original(
    network: Network,
) -> None:
    copied = copy.deepcopy(network)
    assert copied.point == network.point
    own = {id(t) for t in (*copied.body.parameters(), *copied.body.buffers())}
    theirs = {id(t) for t in (*network.parameters(), *network.buffers())}
    assert not own & theirs
    for part in (copied._cut.before, copied._cut.after):
        tensors = {id(t) for t in (*part.parameters(), *part.buffers())}
        assert tensors
        assert tensors <= own
    modules = {id(module) for module in copied.body.modules()}
    steps = [m for m in copied._cut.after.modules() if not list(m.children())]
    assert steps
    assert {id(m) for m in steps} <= modules


def test_training_a_copy_leaves_the_original_as_it_is_to_the_bit(network: Network) -> None:
    network.batch_statistics = True
    inputs = network.frozen_part(normalized(pictures())).detach().contiguous()
    before, outputs = state_of(network), network.eval()(inputs)
    copied = copy.deepcopy(network)
    step(copied, inputs)
    step(copied, inputs)
    assert changed(network, before) == set()
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(network(inputs), outputs)
    moved = changed(copied, before)
    assert "body.blocks.3.0.conv_pw.weight" in moved
    assert "body.blocks.3.0.bn1.running_mean" in moved
    assert not any(name.startswith("body.blocks.2") for name in moved)
    # What was trained is what the copy computes, from activations and from pictures.
    copied.eval()
    from_activations = copied(inputs)
    assert not torch.allclose(from_activations, outputs)
    copied.computes_all = True
    torch.testing.assert_close(copied(pictures()), from_activations, rtol=1e-4, atol=1e-4)


def test_a_copy_freezes_on_its_own(network: Network) -> None:
    copied = copy.deepcopy(network)
    copied.freeze_to(0)
    assert (network.frozen, network.point) == (MIDDLE, "blocks.2")
    assert not any(p.requires_grad for p in network.body.blocks[0].parameters())


def test_loading_weights_reaches_the_parts(network: Network) -> None:
    inputs = network.frozen_part(normalized(pictures())).detach().contiguous()
    other = copy.deepcopy(network)
    step(other, inputs)
    kept = io.BytesIO()
    torch.save(other.state_dict(), kept)
    kept.seek(0)
    network.load_state_dict(torch.load(kept))
    assert torch.equal(network.eval()(inputs), other.eval()(inputs))
    assert {name.split(".")[0] for name in network.state_dict()} == {"body", "head"}


@pytest.mark.parametrize("move", [lambda n: n.double(), lambda n: n.to("meta")])
def test_moving_a_network_moves_what_tracing_kept(move: Callable[[Network], Network]) -> None:
    class WithConstants(Mixed):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("shift", torch.ones(4, 1, 1))

        def forward(self, given: Tensor) -> Tensor:
            given = self.between(self.stem(given + torch.ones(3, 1, 1))) + self.shift
            return self.last(given).mean((2, 3)) + torch.arange(5.0)

    network = network_of(WithConstants(), 1)
    before = network.frozen_part(normalized(pictures())).detach()
    move(network)
    weight = network.head.linear.weight
    for part in (network._cut.before, network._cut.after):
        for tensor in (*part.parameters(), *part.buffers()):
            if tensor.is_floating_point():
                assert (tensor.device, tensor.dtype) == (weight.device, weight.dtype)
    assert network(before.to(weight)).device == weight.device
