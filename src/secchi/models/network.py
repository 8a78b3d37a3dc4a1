"""A body with a head on it, frozen up to some point."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secchi.errors import SpecError, did_you_mean
from secchi.models.depthwise import speed_up
from secchi.models.groups import (
    HEAD,
    PIXELS,
    Cut,
    LayerGroup,
    count_of,
    cut,
    is_batch_norm,
    layer_groups,
)
from secchi.models.heads import Head
from secchi.transforms.images import ImageTransform


class Network(nn.Module):
    """A body and its head, of which the first layer groups may be frozen.

    Its input is what comes out of the frozen part, which can be computed once and kept: the
    features where the whole body is frozen, else the activations of the last frozen layer, or
    pictures as bytes where nothing is frozen (or where the network cannot be cut). Frozen layers
    stay in evaluation mode, so that a picture's activations are the same in every epoch and every
    batch; so does batch normalisation that trains, unless ``batch_statistics`` is set: then it uses
    and updates statistics of batches.

    Args:
        body: From normalised pictures to features.
        head: From features to outputs.
        transform: Normalises the pictures.

    Attributes:
        groups: All layer groups, first layers first, the head last.
        frozen: How many of them are frozen, from the first.
        point: The layer whose activations are the input, ``"features"`` or ``"pixels"``.
        computes_all: Take pictures as input whatever is frozen: what is not kept is computed every
            time. Freezing anew ends it.

    >>> import timm
    >>> body = timm.create_model("resnet10t", num_classes=0)
    >>> network = Network(body, Head(512, 1), ImageTransform(size=32))
    >>> network.point, network(torch.zeros(4, 512)).shape
    ('features', torch.Size([4, 1]))
    >>> network.freeze_to("layer3")
    >>> network.point, [name for name, _ in network.trained_groups()]
    ('layer2', ['layer3', 'layer4', 'head'])
    >>> network(torch.zeros(4, 128, 4, 4)).shape
    torch.Size([4, 1])
    """

    def __init__(self, body: nn.Module, head: Head, transform: ImageTransform) -> None:
        super().__init__()
        self.body = body.eval().to(memory_format=torch.channels_last)
        self.head = head
        self.groups = (
            *layer_groups(body),
            LayerGroup(HEAD, tuple(n for n, _ in head.named_parameters()), count_of(head)),
        )
        speed_up(self.body)
        self.batch_statistics = False
        self._transform = transform
        self._cut: Cut | None = None
        self.computes_all = False
        self.frozen = 0
        self.freeze_to(len(self.groups) - 1)

    @property
    def point(self) -> str:
        """The layer whose activations are the input, ``"features"`` or ``"pixels"``."""
        return self._used.point if self._used else PIXELS

    @property
    def frozen_part(self) -> nn.Module | None:
        """From normalised pictures to the input; None where the input is pictures."""
        return self._used.before if self._used else None

    def freeze_to(self, group: int | str) -> None:
        """Freeze every layer group before one; that one and those behind it train.

        Args:
            group: Its name, or its place in :attr:`groups`; negative places count from the last.

        Raises:
            SpecError: There is no such group.
        """
        self.frozen = place_of(self.groups, group)
        for place, (_, parameters) in enumerate(self._by_group()):
            for parameter in parameters:
                parameter.requires_grad_(place >= self.frozen)
        self._cut = self._cut_in_two() if self.frozen else None
        self.computes_all = False
        self.train(self.training)

    def trained_groups(self) -> list[tuple[str, Sequence[nn.Parameter]]]:
        """Names and parameters of the layer groups that train, first layers first."""
        return self._by_group()[self.frozen :]

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations at :attr:`point`, or pictures as bytes, to outputs.

        Args:
            inputs: float (rows, …); pictures as uint8, or mixed as float, (rows, size, size, 3).

        Returns:
            (rows, head.outputs)
        """
        if self._used:
            if inputs.ndim == 4:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            features = self._used.after(inputs)
        else:
            features = self.body(self._normalized(inputs))
        with _without_autocast(inputs.device):
            outputs: Tensor = self.head(features.float())
        return outputs

    def train(self, mode: bool = True) -> "Network":
        """Training mode for what trains; see the class for what stays in evaluation mode."""
        super().train(mode)
        if mode:
            trained = {id(p) for _, ps in self._by_group()[self.frozen :] for p in ps}
            for module in self.body.modules():
                own = [p for p in module.parameters()]
                frozen = bool(own) and not any(id(p) in trained for p in own)
                if frozen or (is_batch_norm(module) and not self.batch_statistics):
                    module.eval()
            if self._cut:
                self._cut.before.eval()  # dropout between frozen layers has no parameters
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "Network":
        """Do the same to what tracing kept in the parts alone, such as constants."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._cut:
            for part in (self._cut.before, self._cut.after):
                part._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @property
    def _used(self) -> Cut | None:
        """The cut, where the input comes from its first part."""
        # Else it is remembered: it tells which layers without parameters are frozen.
        return None if self.computes_all else self._cut

    def _cut_in_two(self) -> Cut | None:
        """The body cut behind what is frozen; None where that cannot be."""
        device = next(self.body.parameters()).device
        # Two, because a batch of one would look like any other array of one row.
        example = torch.zeros(2, 3, self._transform.size, self._transform.size, device=device)
        return cut(self.body.eval(), self.groups[:-1], self.frozen, example)

    def _normalized(self, pictures: Tensor) -> Tensor:
        """Pictures as bytes, brought to the scale of the body, channels last."""
        mean, std = (
            255 * torch.tensor(values, device=pictures.device).view(1, 3, 1, 1)
            for values in (self._transform.mean, self._transform.std)
        )
        return (pictures.permute(0, 3, 1, 2) - mean) / std

    def _by_group(self) -> list[tuple[str, Sequence[nn.Parameter]]]:
        body = dict(self.body.named_parameters())
        groups: list[tuple[str, Sequence[nn.Parameter]]]
        groups = [(g.name, [body[name] for name in g.tensors]) for g in self.groups[:-1]]
        return [*groups, (HEAD, list(self.head.parameters()))]


def _without_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """For the head, whose logits in bf16 would move in steps of a hundredth."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class LayerGroups:
    """The layer groups of a network, and which of them train.

    Attributes:
        groups: First layers first, the head last.
        frozen: How many are frozen, from the first.

    >>> print(LayerGroups((LayerGroup("stem", (), 928), LayerGroup("head", (), 1281)), frozen=1))
        group   parameters
      0 stem          928  frozen
      1 head        1,281  trains
    """

    groups: tuple[LayerGroup, ...]
    frozen: int

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[LayerGroup]:
        return iter(self.groups)

    @property
    def names(self) -> list[str]:
        """Their names in order."""
        return [group.name for group in self.groups]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        width = max(len(name) for name in self.names)
        lines = [f"{'':>3} {'group':<{width}} {'parameters':>12}"]
        for place, group in enumerate(self.groups):
            state = "frozen" if place < self.frozen else "trains"
            lines.append(f"{place:>3} {group.name:<{width}} {group.parameters:>12,}  {state}")
        return "\n".join(lines)


def place_of(groups: Sequence[LayerGroup], group: int | str) -> int:
    """The place of a layer group that is named, or counted from either end.

    Raises:
        SpecError: There is no such group.

    >>> place_of([LayerGroup("stem", (), 0), LayerGroup("head", (), 0)], "head")
    1
    """
    names = [one.name for one in groups]
    if isinstance(group, str) and group in names:
        return names.index(group)
    if isinstance(group, int) and -len(names) <= group < len(names):
        return group % len(names)
    hint = did_you_mean(group, names) if isinstance(group, str) else ""
    raise SpecError(
        "this cannot be frozen", [f"no layer group {group!r}{hint}; there are {', '.join(names)}"]
    )
