"""From a specification, or a network of one's own, to a network with its first weights."""

import contextlib
import functools
import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrizations import weight_norm

from secchi.errors import SpecError
from secchi.models.dropout import Dropout
from secchi.models.mlp import MLP
from secchi.models.parts import activation
from secchi.seeding import stream_seed

Model = MLP | nn.Module | Callable[..., nn.Module] | Sequence[nn.Module]
"""What :func:`build_model` makes a network of."""

_WHAT = "this model cannot be"

_INITS: dict[str, Callable[..., Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "normal": nn.init.normal_,
    "orthogonal": nn.init.orthogonal_,
    "zeros": lambda weight, generator: nn.init.zeros_(weight),
}
"""How weights are drawn, by their names in :data:`secchi.models.mlp.INIT_NAMES`."""


class Residual(nn.Sequential):
    """Modules in a row, around which their input goes to be added to what they give.

    >>> Residual(nn.Linear(2, 2), nn.ReLU())(torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Add what the modules give for x to x; both have the same shape."""
        change: Tensor = super().forward(rows)  # type: ignore[no-untyped-call]
        return rows + change


def build_model(model: Model, inputs: int, outputs: int, seed: int = 0) -> nn.Module:
    """The network that a model describes.

    Args:
        model: A specification; a module, which is taken as it is, weights and all; modules, which
            are put in a row; or a class or function that makes a module. The latter is called with
            nothing where it can be, else with inputs and outputs; its random numbers come from the
            seed.
        inputs: Numbers in a row.
        outputs: Numbers to give for it.
        seed: Names the first weights.

    Raises:
        SpecError: It is none of these, or a network that does not make (rows, outputs) of
            (rows, inputs). All but specifications are tried with two made-up rows.

    >>> build_model([nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)], inputs=4, outputs=1)(
    ...     torch.zeros(5, 4)
    ... ).shape
    torch.Size([5, 1])
    >>> build_model(nn.Linear(4, 3), inputs=4, outputs=1)
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this model cannot be: for rows of 4 numbers Linear gives an array of \
shape (rows, 3), and (rows, 1) is needed
    """
    if isinstance(model, MLP):
        return model.build(inputs, outputs, seed=seed)
    # Layers that take their shape from their first input are drawn when they are tried.
    with drawing_from(stream_seed(seed, "initial weights")):
        net = _module(model, inputs, outputs)
        _check(net, inputs, outputs)
    return net


def model_to_dict(model: Model) -> dict[str, Any]:
    """What a model is, as plain JSON values for a record; only an MLP can be made from them.

    A dropout of inputs that is 0 is left out: what was kept before there was any is of the same
    network.

    >>> model_to_dict(nn.Linear(4, 1))["repr"]
    'Linear(in_features=4, out_features=1, bias=True)'
    """
    if isinstance(model, MLP):
        document = model.to_dict()
        if not model.input_dropout:
            del document["input_dropout"]
        return {"model": "MLP", **document}
    if isinstance(model, Sequence):
        model = nn.Sequential(*model)
    if isinstance(model, nn.Module):
        return {"model": _named(type(model)), "repr": repr(model)}
    return {"model": _named(model)}


def build_mlp(spec: MLP, inputs: int, outputs: int, seed: int) -> nn.Sequential:
    """The network of a specification; :meth:`secchi.models.mlp.MLP.build` tells about it."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    *hidden, last = first_weights(spec, inputs, outputs, seed)
    # On the CPU even where torch makes tensors elsewhere by default, as first weights are.
    with torch.device("cpu"):
        if spec.input_dropout:
            layers["input_dropout"] = Dropout(spec.input_dropout)
        for place, (weight, bias) in enumerate(hidden):
            parts = _hidden_parts(spec, weight, bias, spec.dropouts[place])
            # Never around the first: whether there are as many inputs as units is a coincidence.
            around = spec.residual and place > 0 and weight.shape[0] == weight.shape[1]
            layers[f"hidden{place + 1}"] = Residual(parts) if around else nn.Sequential(parts)
        layers["output"] = _linear(spec, *last)
    return nn.Sequential(layers)


def first_weights(spec: MLP, inputs: int, outputs: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """What the linear layers of a network start from, without making the network.

    Args:
        spec: The network.
        inputs: Numbers in a row.
        outputs: Numbers to give for it.
        seed: Names them; every layer has a stream of its own.

    Returns:
        (weight, bias) of each linear layer, first layers first: (units, inputs) and (units,), on
        the CPU. Under ``weight_norm`` the weight is what lengths and directions are taken from.

    >>> [tuple(weight.shape) for weight, _ in first_weights(MLP([16]), 4, 3, seed=0)]
    [(16, 4), (3, 16)]
    """
    names = [*(f"hidden{number}" for number in range(1, spec.depth + 1)), "output"]
    shapes = pairwise((inputs, *spec.hidden, outputs))
    return [
        _drawn(spec.init, before, units, stream_seed(seed, f"initial weights of {name}"))
        for name, (before, units) in zip(names, shapes, strict=True)
    ]


def _drawn(init: str, inputs: int, units: int, seed: int) -> tuple[Tensor, Tensor]:
    """The first weights and biases of one linear layer."""
    random = torch.Generator("cpu").manual_seed(seed)
    bound = 1 / math.sqrt(inputs)
    # As torch's own layer does it, and whatever else is asked for: that is drawn behind it.
    weight = torch.empty(units, inputs, device="cpu").uniform_(-bound, bound, generator=random)
    bias = torch.empty(units, device="cpu").uniform_(-bound, bound, generator=random)
    if init != "torch":
        _INITS[init](weight, generator=random)
        bias.zero_()
    return weight, bias


@contextlib.contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Weights are made on the CPU, and drawn from a seed; behind it, all is as before.

    On the CPU even where torch makes tensors elsewhere by default: other devices draw other
    numbers.
    """
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the generators of other devices too.
        torch.default_generator.manual_seed(seed)
        yield


def tried(net: nn.Module, rows: Tensor) -> Any:
    """What a network gives for some rows in evaluation mode, itself left as it was.

    Modes, buffers and torch's generator are put back.
    """
    modes = [(module, module.training) for module in net.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in net.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]
    net.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return net(rows)
    finally:
        for module, mode in modes:
            module.training = mode
        for module, name, buffer, value in buffers:
            setattr(module, name, buffer.copy_(value))


def made_up_rows(net: nn.Module, inputs: int) -> Tensor:
    """Two rows of zeros, where and of the type that a network's weights are."""
    weight = next(net.parameters(), torch.empty(0))
    return torch.zeros(2, inputs, device=weight.device, dtype=weight.dtype)


def _hidden_parts(
    spec: MLP, weight: Tensor, bias: Tensor, dropout: float
) -> OrderedDict[str, nn.Module]:
    units = len(bias)
    parts: OrderedDict[str, nn.Module] = OrderedDict(linear=_linear(spec, weight, bias))
    if spec.batch_norm == "before":
        parts["batch_norm"] = nn.BatchNorm1d(units)
    parts["activation"] = activation(spec.activation)
    if spec.batch_norm == "after":
        parts["batch_norm"] = nn.BatchNorm1d(units)
    if dropout:
        parts["dropout"] = Dropout(dropout)
    return parts


def _linear(spec: MLP, weight: Tensor, bias: Tensor) -> nn.Module:
    units, inputs = weight.shape
    # Made without numbers: drawing them only to be replaced would move torch's generator.
    linear = nn.Linear(inputs, units, device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    normed: nn.Module = weight_norm(linear) if spec.weight_norm else linear
    return normed


def _module(model: Any, inputs: int, outputs: int) -> nn.Module:
    """The network that something other than a specification stands for."""
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, Sequence) and not isinstance(model, str):
        others = [part for part in model if not isinstance(part, nn.Module)]
        faults = [f"{part!r} is among the modules and is none" for part in others]
        if faults:
            raise SpecError(_WHAT, faults)
        return nn.Sequential(*model)
    if not callable(model):
        raise SpecError(
            _WHAT,
            [f"{model!r} is no MLP, no module, no modules and nothing that makes a module"],
        )
    made = _called(model, inputs, outputs)
    if not isinstance(made, nn.Module):
        raise SpecError(_WHAT, [f"{_named(model)} made a {type(made).__name__}, no module"])
    return made


def _called(factory: Callable[..., Any], inputs: int, outputs: int) -> Any:
    """What a class or function makes of nothing, or of inputs and outputs."""
    # Nothing first: arguments with defaults can be anything, such as units and layers.
    for given in ((), (inputs, outputs)):
        try:
            inspect.signature(factory).bind(*given)
        except TypeError:
            continue
        return factory(*given)
    raise SpecError(_WHAT, [f"{_named(factory)} takes neither nothing nor (inputs, outputs)"])


def _check(net: nn.Module, inputs: int, outputs: int) -> None:
    """Raise SpecError where a network does not make (rows, outputs) of (rows, inputs)."""
    name = type(net).__name__
    rows = made_up_rows(net, inputs)
    try:
        given = tried(net, rows)
    except Exception as error:  # a network of one's own can raise anything
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise SpecError(
            _WHAT, [f"{name} cannot take rows of {inputs} numbers: {reason}"]
        ) from error
    if isinstance(given, Tensor):
        if given.shape == (len(rows), outputs):
            return
        sizes = ["rows" if size == len(rows) else str(size) for size in given.shape[:1]]
        sizes += [str(size) for size in given.shape[1:]]
        what = f"an array of shape ({', '.join(sizes)})"
    else:
        what = f"a {type(given).__name__}"
    raise SpecError(
        _WHAT,
        [f"for rows of {inputs} numbers {name} gives {what}, and (rows, {outputs}) is needed"],
    )


def _named(maker: Any) -> str:
    """The place where a class or function is written; of other things that of their class."""
    if isinstance(maker, functools.partial):
        given = [*map(repr, maker.args), *(f"{k}={v!r}" for k, v in maker.keywords.items())]
        return f"partial({', '.join([_named(maker.func), *given])})"
    if not hasattr(maker, "__qualname__"):
        maker = type(maker)
    return f"{maker.__module__}.{maker.__qualname__}"
