"""Layer groups of a body, and cutting it in two between them.

A body is frozen from its first group up to some point and trained from there on. What is frozen
computes the same numbers for a picture every time, so it is cut off and computed once
(:func:`cut`); what is trained takes its output as input.
"""

import dataclasses
import os
import re
from typing import Any

import torch
from torch import fx, nn

PIXELS = "pixels"
"""The name of the point before the first group: nothing is frozen."""

FEATURES = "features"
"""The name of the point behind the last group: the whole body is frozen."""

HEAD = "head"
"""The name of the layer group on top of a body; no group of a body has it."""


@dataclasses.dataclass(frozen=True)
class LayerGroup:
    """Layers that freeze together and share a learning rate.

    Attributes:
        name: Such as ``"stem"``, ``"blocks.3"`` or ``"head"``; no two of a network are alike.
        tensors: The names of its parameters in the network.
        parameters: How many numbers they hold.

    >>> LayerGroup("head", ("linear.weight", "linear.bias"), 1281).name
    'head'
    """

    name: str
    tensors: tuple[str, ...]
    parameters: int


@dataclasses.dataclass(frozen=True)
class Cut:
    """A body in two parts, which share its parameters.

    Attributes:
        before: What is frozen: normalised pictures in, activations out.
        after: What is trained: activations in, features out.
        point: The name of the last layer before the cut, which names its activations; that of
            the features is ``"features"``.

    :func:`cut` has an example.
    """

    before: nn.Module
    after: nn.Module
    point: str


def layer_groups(body: nn.Module) -> tuple[LayerGroup, ...]:
    """The layer groups of a body, first to last, by timm's own group matcher.

    A network that has none is one group, ``"body"``.

    >>> import timm
    >>> [group.name for group in layer_groups(timm.create_model("resnet18", num_classes=0))]
    ['stem', 'layer1', 'layer2', 'layer3', 'layer4']
    """
    numbers = {name: p.numel() for name, p in body.named_parameters()}
    members = _by_matcher(body) or {"body": list(numbers)}
    return tuple(
        LayerGroup(name, tuple(tensors), sum(numbers[tensor] for tensor in tensors))
        for name, tensors in members.items()
    )


def cut(
    body: nn.Module, groups: tuple[LayerGroup, ...], frozen: int, example: torch.Tensor
) -> Cut | None:
    """Cut a body behind its first ``frozen`` groups.

    The cut is made at the last layer behind which everything that trains lies and through which
    everything passes, so that one array a picture is all that has to be kept; behind the body
    itself where all of it is frozen. The two parts hold the body's own layers, not copies.

    Args:
        body: A network, in evaluation mode.
        groups: All of its layer groups.
        frozen: How many of them, from the first, are frozen.
        example: Normalised pictures, two or more, to try it with.

    Returns:
        None where there is no such layer, or where the network cannot be traced.

    >>> layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    >>> body = nn.Sequential(*layers, nn.Linear(4, 5)).eval()
    >>> names = ("0.weight", "0.bias"), ("4.weight", "4.bias")
    >>> groups = tuple(LayerGroup(f"group {i}", each, 0) for i, each in enumerate(names))
    >>> parts = cut(body, groups, 1, torch.zeros(2, 3, 8, 8))
    >>> parts.point, parts.before(torch.zeros(2, 3, 8, 8)).shape
    ('3', torch.Size([2, 4]))
    """
    if frozen >= len(groups):
        return Cut(body, nn.Identity(), FEATURES) if _is_a_row_each(body, example) else None
    group_of = {f"body.{t}": number for number, group in enumerate(groups) for t in group.tensors}
    root = _OneInput(body)
    try:
        nodes = list(_Tracer(group_of).trace(root).nodes)
    except Exception:
        # torch.fx names no error of its own for control flow that depends on the data.
        return None
    for place in reversed(_narrow_places(root, nodes, group_of, frozen)):
        before, after = _parts(root, nodes, place)
        if _is_a_row_each(before, example):
            return Cut(before, after, str(nodes[place].target).removeprefix("body."))
    return None


def _is_a_row_each(part: nn.Module, example: torch.Tensor) -> bool:
    """Whether a part of a network gives one array with a row for each picture."""
    # Without gradients, and not in inference mode: what a network keeps for itself has to be fit
    # for training later.
    with torch.no_grad():
        activations = part(example)
    return isinstance(activations, torch.Tensor) and len(activations) == len(example)


class _OneInput(nn.Module):
    """A body of which only the pictures are an input, whatever else it may be given."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, pictures: torch.Tensor) -> Any:
        return self.body(pictures)


class _Tracer(fx.Tracer):
    """Records a network as few steps: whatever lies inside one group is a step of its own."""

    def __init__(self, group_of: dict[str, int]) -> None:
        super().__init__()
        self._group_of = group_of

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        inside = {self._group_of[f"{qualified_name}.{n}"] for n, _ in module.named_parameters()}
        return len(inside) <= 1


def _narrow_places(
    root: nn.Module, nodes: list[fx.Node], group_of: dict[str, int], frozen: int
) -> list[int]:
    """The layers that depend on nothing trained and whose output alone is used behind them."""
    alive: set[fx.Node] = set()
    found = []
    last_use = {use: place for place, node in enumerate(nodes) for use in node.all_input_nodes}
    for place, node in enumerate(nodes):
        group = _group_of(root, node, group_of)
        if node.op == "output" or (group is not None and group >= frozen):
            break
        alive = {n for n in {*alive, node} if last_use.get(n, -1) > place}
        if alive == {node} and node.op == "call_module":
            found.append(place)
    return found


def _group_of(root: nn.Module, node: fx.Node, group_of: dict[str, int]) -> int | None:
    """The group whose parameters a step uses; None where it has none."""
    if node.op == "get_attr":
        return group_of.get(str(node.target))
    if node.op == "call_module":
        names = [n for n, _ in root.get_submodule(str(node.target)).named_parameters()]
        return group_of[f"{node.target}.{names[0]}"] if names else None
    return None


def _parts(root: nn.Module, nodes: list[fx.Node], place: int) -> tuple[nn.Module, nn.Module]:
    """The network up to a step, that step included, and the network behind it."""
    before, after = fx.Graph(), fx.Graph()
    first: dict[fx.Node, fx.Node] = {}
    for node in nodes[: place + 1]:
        first[node] = before.node_copy(node, lambda n: first[n])
    before.output(first[nodes[place]])
    second = {nodes[place]: after.placeholder("activations")}
    for node in nodes[place + 1 :]:
        second[node] = after.node_copy(node, lambda n: second[n])
    return fx.GraphModule(root, before).eval(), fx.GraphModule(root, after).eval()


def _by_matcher(body: nn.Module) -> dict[str, list[str]]:
    """Timm's groups by a person's name for each; empty where timm has none for this network."""
    from timm.models import group_parameters

    try:
        matcher: Any = body.group_matcher(coarse=True)  # type: ignore[operator]
        members: dict[Any, list[str]] = group_parameters(body, matcher)
    except (AttributeError, TypeError, KeyError, ValueError):
        return {}
    found = {tensor for tensors in members.values() for tensor in tensors}
    if found != {name for name, _ in body.named_parameters()}:
        return {}
    named: dict[str, list[str]] = {}
    for place, tensors in enumerate(members.values()):
        name = "stem" if place == 0 else _matched(matcher, tensors)
        name = f"body.{name}" if name == HEAD else name
        named[f"{name} ({place})" if name in named else name] = tensors
    return named


def _matched(matcher: Any, tensors: list[str]) -> str:
    """What a matcher's pattern sees of a tensor's name: ``blocks.3`` of ``blocks.3.0.conv``.

    Where there is no pattern, the layer that all tensors are of.
    """
    rules = matcher.values() if isinstance(matcher, dict) else []
    patterns = [q for p in rules for q in (p if isinstance(p, list) else [p])]
    for pattern in (p[0] if isinstance(p, tuple) else p for p in patterns):
        if isinstance(pattern, str) and (match := re.match(pattern, tensors[0])):
            return match[0].strip(".")
    shared = os.path.commonprefix([tensor.split(".")[:-1] for tensor in tensors])
    return ".".join(shared) or tensors[0].split(".")[0]


def count_of(network: nn.Module) -> int:
    """How many numbers a network's parameters hold.

    >>> count_of(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in network.parameters())


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether a layer of the network, as it stands, normalises by the batch that it sees.

    >>> network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    >>> uses_batch_statistics(network), uses_batch_statistics(network.eval())
    (True, False)
    """
    return any(is_batch_norm(module) and module.training for module in network.modules())


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a layer keeps running statistics of batches.

    >>> is_batch_norm(nn.BatchNorm2d(4)), is_batch_norm(nn.LayerNorm(4))
    (True, False)
    """
    return isinstance(getattr(module, "running_mean", None), torch.Tensor)
