"""What a network is made of: its layers, their shapes, and how many numbers they hold."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from secchi.errors import SpecError
from secchi.models.build import Model, Residual, build_model, made_up_rows, tried
from secchi.models.groups import is_batch_norm
from secchi.models.parts import activation_name
from secchi.models.units import InUnits
from secchi.values import is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shape = tuple[int, ...] | None
"""What a layer gives for one row; None where that is no array."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer of a network, or a parameter that no layer of its own holds.

    Attributes:
        name: Its name in the network; empty for a network that is a single layer.
        kind: Its class, such as ``"Linear"``; ``"Parameter"`` for a parameter.
        shape: What it gives for one row or picture; None where that is no array, and for a layer
            that is not used.
        parameters: Numbers that it holds; those that it shares count for the first who has them.
        trainable: Those of them that train.
    """

    name: str
    kind: str
    shape: Shape
    parameters: int
    trainable: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a network in the order in which they compute; those never used come last.

    Attributes:
        rows: The layers.

    >>> from secchi.models.mlp import MLP
    >>> print(summary(MLP([16]).build(inputs=4, outputs=3), 4))
    layer               kind    output  parameters  trainable
    hidden1.linear      Linear  16              80         80
    hidden1.activation  ReLU    16               0          0
    output              Linear  3               51         51
    total                                      131        131
    """

    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """Numbers that the whole network holds."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Those of them that train."""
        return sum(row.trainable for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "layers": [
                dataclasses.asdict(row) | {"shape": None if row.shape is None else [*row.shape]}
                for row in self.rows
            ],
            "parameters": self.parameters,
            "trainable": self.trainable,
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        total = ("total", "", "", f"{self.parameters:,}", f"{self.trainable:,}")
        cells = [("layer", "kind", "output", "parameters", "trainable")]
        for row in self.rows:
            shape = "-" if row.shape is None else " x ".join(f"{size:,}" for size in row.shape)
            numbers = (f"{row.parameters:,}", f"{row.trainable:,}")
            cells.append((row.name or "-", row.kind, shape, *numbers))
        cells.append(total)
        widths = [max(len(line[column]) for line in cells) for column in range(5)]
        sides = "<<<>>"
        return "\n".join(
            "  ".join(
                f"{cell:{side}{width}}"
                for cell, side, width in zip(line, sides, widths, strict=True)
            )
            for line in cells
        )


def summary(net: nn.Module, inputs: int | Tensor, depth: int | None = 2) -> Summary:
    """The layers of a network, found by computing once; the network is left as it was.

    Args:
        net: Any network.
        inputs: Numbers in a row, or an example of what goes in, (rows, …).
        depth: How many names deep a layer is looked for: at 2, ``blocks.0`` is one layer, however
            many it is made of. None goes all the way down.

    >>> import torch
    >>> counted = summary(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), torch.zeros(2, 3, 9, 9))
    >>> [(row.name, row.shape, row.parameters) for row in counted.rows]
    [('0', (8, 7, 7), 224), ('1', (8, 7, 7), 0)]
    """
    rows = inputs if isinstance(inputs, Tensor) else made_up_rows(net, inputs)
    given: dict[nn.Module, tuple[int, Shape]] = {}
    for place, (module, shape) in enumerate(_calls(net, rows)):
        given.setdefault(module, (place, shape))
    counted: set[nn.Parameter] = set()
    lines = []
    for _, name, part in sorted(_parts(net, "", depth, given), key=lambda each: each[0]):
        holds = [part] if isinstance(part, nn.Parameter) else part.parameters()
        own = [parameter for parameter in holds if parameter not in counted]
        counted.update(own)
        lines.append(
            Row(
                name,
                _kind(part),
                None if isinstance(part, nn.Parameter) else given.get(part, (0, None))[1],
                sum(parameter.numel() for parameter in own),
                sum(parameter.numel() for parameter in own if parameter.requires_grad),
            )
        )
    return Summary(tuple(lines))


@dataclasses.dataclass(frozen=True)
class Layer:
    """A column of a picture of a network.

    Attributes:
        name: Such as ``"inputs"`` or ``"hidden 1"``.
        units: How many numbers come out of it; of a convolution, how many channels.
        note: What is done with them, a line each, such as ``"relu"`` and ``"dropout 0.5"``.
    """

    name: str
    units: int
    note: str


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a picture of a network shows.

    Attributes:
        layers: The inputs, then every linear layer and convolution.

    :func:`architecture` has an example.
    """

    layers: tuple[Layer, ...]

    def plot(self) -> "Figure":
        """Columns of units with their connections, notes under them."""
        from secchi.figures import networks

        return networks.draw_network([(one.name, one.units, one.note) for one in self.layers])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"layers": [dataclasses.asdict(layer) for layer in self.layers]}

    def __str__(self) -> str:
        return "-".join(str(layer.units) for layer in self.layers)


def architecture(model: Model, inputs: int, outputs: int) -> Architecture:
    r"""The layers of a network for its picture, found by computing once.

    Args:
        model: What :func:`secchi.models.build.build_model` takes.
        inputs: Numbers in a row.
        outputs: Numbers that it gives.

    Raises:
        SpecError: The model does not make outputs of inputs.

    >>> from secchi.models.mlp import MLP
    >>> shown = architecture(MLP([16, 32, 32], dropout=0.25), inputs=11, outputs=1)
    >>> print(shown, shown.layers[1])
    11-16-32-32-1 Layer(name='hidden 1', units=16, note='relu\ndropout 0.25')
    """
    net = build_model(model, inputs, outputs)
    columns: list[tuple[int, list[str]]] = [(inputs, [])]
    for module, _ in _calls(net, made_up_rows(net, inputs)):
        if not (_is_leaf(module) or isinstance(module, Residual)):
            continue
        units = getattr(module, "out_features", getattr(module, "out_channels", None))
        if isinstance(units, int):
            columns.append((units, []))
        elif note := _note(module):
            columns[-1][1].append(note)
    if len(columns) == 1 or columns[-1][0] != outputs:
        columns.append((outputs, []))  # given by something that is no layer
    names = ["inputs", *(f"hidden {number}" for number in range(1, len(columns) - 1)), "outputs"]
    return Architecture(
        tuple(
            Layer(name, units, "\n".join(notes))
            for name, (units, notes) in zip(names, columns, strict=False)
        )
    )


def draw_network(model: Model, inputs: int, outputs: int) -> "Figure":
    """The picture of a network; :func:`architecture` tells what is in it.

    >>> from secchi.models.mlp import MLP
    >>> figure = draw_network(MLP([16, 32]), inputs=4, outputs=3)
    """
    return architecture(model, inputs, outputs).plot()


def _calls(net: nn.Module, rows: Tensor) -> list[tuple[nn.Module, Shape]]:
    """Every module that computes, in order of their ends, and the shape of what it gives a row."""
    calls: list[tuple[nn.Module, Shape]] = []

    def remember(module: nn.Module, _: Any, output: Any) -> None:
        calls.append((module, tuple(output.shape[1:]) if isinstance(output, Tensor) else None))

    # What makes weights from others computes too, but nothing of a row.
    modules = [m for name, m in net.named_modules() if "parametrizations" not in name.split(".")]
    hooks = [module.register_forward_hook(remember) for module in modules]
    try:
        tried(net, rows)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _parts(
    part: nn.Module, name: str, depth: int | None, given: Mapping[nn.Module, tuple[int, Shape]]
) -> list[tuple[float, str, nn.Module | nn.Parameter]]:
    """The layers at a depth, and the parameters above them: when each computes, name, itself.

    A parameter stands before the first layer of the module that holds it.
    """
    if isinstance(part, InUnits):  # it brings what the network gives to units, and is no layer
        return _parts(part.net, name, depth, given)
    if depth == 0 or _is_leaf(part):
        return [(given[part][0] if part in given else math.inf, name, part)]
    below = depth and depth - 1
    layers = [
        layer
        for child_name, child in part.named_children()
        for layer in _parts(child, _joined(name, child_name), below, given)
    ]
    first = min(place for place, _, _ in layers)
    own = part.named_parameters(recurse=False)
    return [*((first, _joined(name, own_name), p) for own_name, p in own), *layers]


def _is_leaf(part: nn.Module) -> bool:
    """Whether it is one layer, though what makes its weights, or an activation, may be in it."""
    return is_parametrized(part) or is_batch_norm(part) or next(part.children(), None) is None


def _joined(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _kind(part: nn.Module | nn.Parameter) -> str:
    if isinstance(part, nn.Parameter):
        return "Parameter"
    return type_before_parametrizations(part).__name__


def _note(module: nn.Module) -> str:
    """What a module that is no column of its own does, in a word or two; nothing for nothing."""
    if isinstance(module, nn.Identity):
        return ""
    if isinstance(module, Residual):
        return "+ its input"
    if is_batch_norm(module):
        return "batch norm"
    kind, rate = type(module).__name__, getattr(module, "p", None)
    if kind.endswith("Dropout") and is_number(rate):
        return f"dropout {rate:g}"
    try:
        return activation_name(kind)
    except SpecError:
        return kind
