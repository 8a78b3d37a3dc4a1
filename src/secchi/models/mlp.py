"""The multilayer perceptron, as a specification that is built when the data's shapes are known."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.errors import SpecError, did_you_mean
from secchi.models.parts import activation_name
from secchi.values import is_number, is_whole

if TYPE_CHECKING:
    from torch import nn

INIT_NAMES = (
    "torch",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "normal",
    "orthogonal",
    "zeros",
)
"""How the first weights can be drawn; :class:`MLP` tells what each is."""

_WHAT = "this network cannot be"
_DEPTH, _WIDTH = 2, 64
_BATCH_NORM = ("before", "after", None)


@dataclasses.dataclass(frozen=True, init=False)
class MLP:
    """Layers in which every unit is connected with every unit of the layer before.

    A hidden layer is a linear layer, batch normalisation (if before the activation), the
    activation, batch normalisation (if after it), and dropout; behind the hidden layers stands a
    linear one that gives the outputs, without an activation: losses take logits.

    Residual connections (He and others, 2015) go around a hidden layer, x + layer(x), wherever the
    hidden layer before it has as many units. There are none anywhere else, not even by a
    projection: so a network has the same parameters, and the same first weights, with and without.
    With fewer than two hidden layers it is the same network, so that depths can be compared from
    the first on; where no two of several hidden layers agree, to ask for them is a fault.

    ``init`` is, for the weights of every linear layer with n inputs and m outputs:

    - ``"torch"``: torch's default, uniform between ±1/√n, biases too; of all others biases are 0.
    - ``"xavier_uniform"``, ``"xavier_normal"``: variance 2 / (n + m) (Glorot and Bengio, 2010).
    - ``"kaiming_uniform"``, ``"kaiming_normal"``: variance 2 / n (He and others, 2015).
    - ``"normal"``: variance 1, whatever the width, as torch's ``normal_``: outputs of wide layers
      are large.
    - ``"orthogonal"``: orthonormal rows or columns (Saxe and others, 2013).
    - ``"zeros"``: every unit of a layer the same, now and forever.

    Args:
        hidden: Units of each hidden layer; a whole number is one layer, ``[]`` none: the network
            is then a linear layer. None: as ``depth`` and ``width`` say, else ``(64, 64)``.
        activation: One of :data:`secchi.models.parts.ACTIVATION_NAMES`, or torch's name of the
            module.
        dropout: The share of hidden units that are set to 0 in training, the others divided by
            what is kept; or one for each hidden layer.
        batch_norm: ``"before"`` or ``"after"`` the activation, or None.
        init: One of :data:`INIT_NAMES`.
        residual: Whether there are residual connections.
        weight_norm: Whether each linear layer has the length and the direction of its weights as
            parameters, w = g v / |v| for every unit (Salimans and Kingma, 2016).
        input_dropout: The share of inputs that are set to 0 in training, as hidden units are by
            ``dropout``.
        depth: How many hidden layers, instead of ``hidden``; None: 2.
        width: Units of each of them; None: 64.

    Raises:
        SpecError: With every fault at once.

    >>> MLP(depth=3, width=16, activation="LeakyReLU").hidden
    (16, 16, 16)
    >>> MLP([16, 0], batch_norm="both")
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this network cannot be: hidden layer 2 has 0 units, which is not a \
whole number from 1 on; batch_norm is 'both', which is none of 'before', 'after', None
    """

    hidden: tuple[int, ...]
    activation: str
    dropout: float | tuple[float, ...]
    batch_norm: str | None
    init: str
    residual: bool
    weight_norm: bool
    input_dropout: float

    def __init__(
        self,
        hidden: int | Iterable[int] | None = None,
        activation: str = "relu",
        dropout: float | Sequence[float] = 0.0,
        batch_norm: str | None = None,
        init: str = "torch",
        residual: bool = False,
        weight_norm: bool = False,
        input_dropout: float = 0.0,
        *,
        depth: int | None = None,
        width: int | None = None,
    ) -> None:
        widths, faults = _widths(hidden, depth, width)
        try:
            activation = activation_name(activation)
        except SpecError as error:
            faults += error.faults
        shared = not _is_several(dropout)
        rates = _as_tuple(dropout)
        is_known = bool(widths) or not faults
        faults += _rate_faults("dropout", rates)
        if is_known and not shared and len(rates) != len(widths):
            faults.append(
                f"dropout names {len(rates)} rates, and there are {len(widths)} hidden layers"
            )
        faults += _rate_faults("input_dropout", (input_dropout,))
        if batch_norm not in _BATCH_NORM:
            faults.append(f"batch_norm is {batch_norm!r}, which is none of 'before', 'after', None")
        if init not in INIT_NAMES:
            hint = did_you_mean(str(init), INIT_NAMES)
            faults.append(f"init is {init!r}, which is none of {', '.join(INIT_NAMES)}{hint}")
        choices: dict[str, Any] = {"residual": residual, "weight_norm": weight_norm}
        for name, value in choices.items():
            if not isinstance(value, bool | np.bool_):
                faults.append(f"{name} is {value!r}, which is neither True nor False")
        if not faults:
            faults = _contradictions(widths, init, residual, weight_norm)
        if faults:
            raise SpecError(_WHAT, faults)
        # NumPy's numbers become Python's, which JSON can hold.
        settled = {
            "hidden": tuple(int(units) for units in widths),
            "activation": activation,
            "dropout": float(rates[0]) if shared else tuple(float(rate) for rate in rates),
            "batch_norm": batch_norm,
            "init": init,
            "residual": bool(residual),
            "weight_norm": bool(weight_norm),
            "input_dropout": float(input_dropout),
        }
        for name, field in settled.items():
            object.__setattr__(self, name, field)

    @property
    def depth(self) -> int:
        """How many hidden layers there are."""
        return len(self.hidden)

    @property
    def width(self) -> int | None:
        """Units of every hidden layer; None where they differ, or there is none."""
        return self.hidden[0] if len(set(self.hidden)) == 1 else None

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The dropout of each hidden layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * self.depth

    def build(self, inputs: int, outputs: int, *, seed: int = 0) -> "nn.Module":
        """The network, with its first weights.

        Its layers are named ``hidden1``, ``hidden2``, … and ``output``, behind ``input_dropout``
        where there is any; parts of a hidden layer ``linear``, ``batch_norm``, ``activation`` and
        ``dropout``. Every layer has a random stream of its own, so that networks whose early layers
        have the same shapes have the same weights there, whatever stands behind or between. torch's
        generators are left as they were.

        Args:
            inputs: Numbers in a row.
            outputs: Numbers to give for it.
            seed: Names the first weights.

        Raises:
            SpecError: Inputs or outputs are not whole numbers from 1 on.

        >>> net = MLP([16]).build(inputs=4, outputs=3)
        >>> [(name, tuple(tensor.shape)) for name, tensor in net.named_parameters()]
        [('hidden1.linear.weight', (16, 4)), ('hidden1.linear.bias', (16,)), \
('output.weight', (3, 16)), ('output.bias', (3,))]
        """
        from secchi.models.build import build_mlp

        counts = {"inputs": inputs, "outputs": outputs}
        faults = [
            _count_fault(f"{name} is {count!r}")
            for name, count in counts.items()
            if not _is_count(count)
        ]
        if faults:
            raise SpecError(_WHAT, faults)
        return build_mlp(self, int(inputs), int(outputs), seed)

    def but(self, **changes: Any) -> "MLP":
        """The same with some fields changed, or with another ``depth`` or ``width``.

        A change of None changes nothing, but that of ``batch_norm``, which it switches off. Of
        depth and width the one that is not given stays.

        Raises:
            SpecError: With every field that does not exist and every value that cannot be.

        >>> MLP([16, 16], dropout=0.5).but(depth=3, dropout=0).hidden
        (16, 16, 16)
        >>> MLP([16, 32]).but(depth=3)
        Traceback (most recent call last):
        ...
        secchi.errors.SpecError: this network cannot be: depth is given without a width, and the \
hidden layers have none in common: they are (16, 32)
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        known = [*values, "depth", "width"]
        unknown = [name for name in changes if name not in known]
        faults = [f"there is no {name!r}{did_you_mean(name, known)}" for name in unknown]
        given = {
            name: value
            for name, value in changes.items()
            if name in known and (value is not None or name == "batch_norm")
        }
        if "hidden" not in given and given.keys() & {"depth", "width"}:
            if "width" not in given and self.width is None and given["depth"] != 0:
                faults.append(
                    "depth is given without a width, and the hidden layers have none in common: "
                    f"they are {self.hidden}"
                )
            values |= {"hidden": None, "depth": self.depth, "width": self.width}
        try:
            changed = MLP(**(values | given))
        except SpecError as error:
            faults += error.faults
        if faults:
            raise SpecError(_WHAT, faults)
        return changed

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values.

        >>> MLP.from_dict(MLP([16, 32]).to_dict()) == MLP([16, 32])
        True
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "MLP":
        """From what :meth:`to_dict` gave."""
        return cls(**document)


def _widths(hidden: Any, depth: Any, width: Any) -> tuple[tuple[Any, ...], list[str]]:
    """The units of each hidden layer, and what is wrong with them."""
    if hidden is None:
        depth, width = (_DEPTH if depth is None else depth), (_WIDTH if width is None else width)
        if not (is_whole(depth) and depth >= 0):
            return (), [f"depth is {depth!r}, which is not a whole number from 0 on"]
        if not _is_count(width):
            return (), [_count_fault(f"width is {width!r}")]
        return (width,) * depth, []
    widths = _as_tuple(hidden)
    faults = [
        _count_fault(f"hidden layer {number} has {units!r} units")
        for number, units in enumerate(widths, start=1)
        if not _is_count(units)
    ]
    if (depth, width) != (None, None):
        faults.append("depth and width cannot be given with hidden layers")
    return widths, faults


def _rate_faults(name: str, rates: tuple[Any, ...]) -> list[str]:
    return [
        f"{name} is {rate!r}, which is not a number from 0 on, below 1"
        for rate in rates
        if not (is_number(rate) and 0 <= rate < 1)
    ]


def _contradictions(widths: Sequence[int], init: str, residual: bool, norm: bool) -> list[str]:
    """Settings that cannot be together."""
    faults = []
    neighbours = list(zip(widths, widths[1:], strict=False))
    if residual and neighbours and all(before != units for before, units in neighbours):
        faults.append(
            "residual needs two hidden layers of as many units behind each other, and the hidden "
            f"layers are {tuple(int(units) for units in widths)}"
        )
    if norm and init == "zeros":
        faults.append("weight_norm needs weights that have a direction, and init is 'zeros'")
    return faults


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if _is_several(value) else (value,)


def _is_several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _is_count(value: Any) -> bool:
    return is_whole(value) and value >= 1


def _count_fault(what: str) -> str:
    return f"{what}, which is not a whole number from 1 on"
