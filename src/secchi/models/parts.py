"""Activations by name, and how they bend a number."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError, did_you_mean
from secchi.values import is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

_ACTIVATIONS = {
    "identity": "Identity",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "relu6": "ReLU6",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "celu": "CELU",
    "elu": "ELU",
    "gelu": "GELU",
    "hardshrink": "Hardshrink",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "hardtanh": "Hardtanh",
    "logsigmoid": "LogSigmoid",
    "mish": "Mish",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "selu": "SELU",
    "silu": "SiLU",
    "softplus": "Softplus",
    "softshrink": "Softshrink",
    "softsign": "Softsign",
    "tanhshrink": "Tanhshrink",
}
"""Names as ``torch.nn.functional`` has them, and the modules of ``torch.nn``."""

ACTIVATION_NAMES = tuple(_ACTIVATIONS)
"""Every activation that a hidden layer can have; ``"identity"`` is none."""

_ROW_WISE = "it works on a whole row, not on each unit; the loss does that to the outputs"

_REFUSED = {
    "glu": "it halves the number of units",
    "multiheadattention": "it is a layer with weights of its own",
    "threshold": "its threshold has no default",
    **dict.fromkeys(("softmax", "softmax2d", "softmin", "logsoftmax"), _ROW_WISE),
}

_POINTS = 801
"""Places on a curve: an odd number, so that the middle one of a range around 0 is 0 itself."""


def activation_name(name: str) -> str:
    """The one name of an activation; torch's name of its module, such as ``"LeakyReLU"``, will do.

    Raises:
        SpecError: There is no such activation, or it cannot stand in a hidden layer.

    >>> activation_name("LeakyReLU"), activation_name("relu")
    ('leaky_relu', 'relu')
    >>> activation_name("softmax")
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this activation cannot be: 'softmax' is no activation of a hidden \
layer: it works on a whole row, not on each unit; the loss does that to the outputs
    """
    wanted = _plain(name) if isinstance(name, str) else ""
    found = {_plain(known): known for known in ACTIVATION_NAMES}
    if wanted in found:
        return found[wanted]
    if wanted in _REFUSED:
        fault = f"{name!r} is no activation of a hidden layer: {_REFUSED[wanted]}"
    else:
        hint = did_you_mean(str(name).lower(), ACTIVATION_NAMES)
        fault = f"activation is {name!r}, which is none of {', '.join(ACTIVATION_NAMES)}{hint}"
    raise SpecError("this activation cannot be", [fault])


def activation(name: str) -> "nn.Module":
    """A fresh activation, with torch's own default parameters.

    Args:
        name: One of :data:`ACTIVATION_NAMES`, or torch's name of the module.

    Raises:
        SpecError: As :func:`activation_name` does.

    >>> activation("leaky_relu")
    LeakyReLU(negative_slope=0.01)
    """
    from torch import nn

    module: nn.Module = getattr(nn, _ACTIVATIONS[activation_name(name)])()
    return module


def activation_curves(
    names: str | Sequence[str] = ACTIVATION_NAMES, lo: float = -4.0, hi: float = 4.0
) -> "ActivationCurves":
    """What activations make of the numbers of a range, and their derivatives by autograd.

    They are as in evaluation: ``"rrelu"``, whose slope is random in training, has its mean slope.

    Args:
        names: One or more of :data:`ACTIVATION_NAMES`, or torch's names of the modules.
        lo: Where the range begins.
        hi: Where it ends.

    Raises:
        SpecError: With every name that does not exist, and a range that is none.

    >>> print(activation_curves(["relu", "sigmoid"]))
    activation   lowest  highest  steepest  flat
    relu           0.00     4.00      1.00   50%
    sigmoid        0.02     0.98      0.25    0%
    """
    settled: list[str] = []
    faults: list[str] = []
    for name in [names] if isinstance(names, str) else names:
        try:
            settled.append(activation_name(name))
        except SpecError as error:
            faults += error.faults
    if not (is_number(lo) and is_number(hi) and lo < hi):
        faults.append(f"the range from {lo!r} to {hi!r} is none")
    if not (settled or faults):
        faults.append("no activation is named")
    if faults:
        raise SpecError("these curves cannot be", faults)
    x = np.linspace(lo, hi, _POINTS)
    settled = list(dict.fromkeys(settled))
    pairs = [_curve(name, x) for name in settled]
    values, derivatives = (np.stack(each) for each in zip(*pairs, strict=True))
    return ActivationCurves(tuple(settled), x, values, derivatives)


@dataclasses.dataclass(frozen=True, eq=False)
class ActivationCurves:
    """Activations over a range of numbers.

    Attributes:
        names: The activations.
        x: What goes in, rising; (points,).
        values: What comes out, (activations, points).
        derivatives: The slope there, (activations, points); at a kink, the one that autograd has.
    """

    names: tuple[str, ...]
    x: NDArray[np.float64]
    values: NDArray[np.float64]
    derivatives: NDArray[np.float64]

    def plot(self) -> "Figure":
        """The curves on the left and their derivatives on the right; many in a panel each."""
        from secchi.figures.activations import activation_panels

        return activation_panels(self.x, self.names, self.values, self.derivatives)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "x": self.x.tolist(),
            "curves": {
                name: {"value": value.tolist(), "derivative": derivative.tolist()}
                for name, value, derivative in zip(
                    self.names, self.values, self.derivatives, strict=True
                )
            },
        }

    def __str__(self) -> str:
        """A line each: the range of its values, its steepest slope, and where no gradient passes.

        ``flat`` is the share of the range where the derivative is 0.
        """
        lines = [f"{'activation':<11}{'lowest':>8} {'highest':>8} {'steepest':>9} {'flat':>5}"]
        for name, value, slope in zip(self.names, self.values, self.derivatives, strict=True):
            low, high, steep = value.min() + 0.0, value.max() + 0.0, np.abs(slope).max()
            flat = np.mean(slope == 0)
            lines.append(f"{name:<11}{low:>8.2f} {high:>8.2f} {steep:>9.2f} {flat:>5.0%}")
        return "\n".join(lines)


def _plain(name: str) -> str:
    """Without case and underscores: ``Leaky_ReLU``, ``LeakyReLU`` and ``leaky_relu`` are one."""
    return name.lower().replace("_", "")


def _curve(name: str, x: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The values and derivatives of one activation."""
    import torch

    inputs = torch.from_numpy(x).clone().requires_grad_()
    outputs = activation(name).double().eval()(inputs)
    (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
    return outputs.detach().numpy(), slopes.numpy()
