"""A backbone made ready: its weights found, named by their content, and converted.

That takes seconds (importing timm, tracing the network, converting it), so it is done once for each
backbone, kept in the cache, and done in a process of its own, so that pictures are decoded
meanwhile. ``python -m secchi.features.prepare`` is that process: a request as JSON in its argument,
the answer as JSON on standard output.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import uuid
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.errors import BackboneError, SecchiError
from secchi.features.cache import FeatureCache, Space, temporary_bodies, touch
from secchi.features.runtimes import (
    CPU_BATCH,
    LEAST_COSINE,
    OpenVinoRuntime,
    Runtime,
    TorchRuntime,
    cores,
    openvino_is_here,
    resolve_device,
    resolve_precision,
    runtime_name,
    telemetry_off,
)
from secchi.files import write_json, write_text
from secchi.models.backbones import Backbone, read_weights, weights_digest
from secchi.transforms.images import ImageTransform

if TYPE_CHECKING:
    import torch
    from torch import nn

_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A body that can compute.

    Attributes:
        backbone: The specification it came from.
        digest: Names the network, the size of its pictures and its weights.
        transform: What it wants its pictures brought to.
        shape: Of a picture's features.
        parameters: Numbers in its weights.
        folder: Holds ``body.safetensors`` and, where it was converted, ``model.xml``.
        trouble: Why it was not converted, where that was tried in vain.
        point: The last layer, where it is the first part of a body; else ``""``.
        network: That part itself; a whole body is built when it is needed.
    """

    backbone: Backbone
    digest: str
    transform: ImageTransform
    shape: tuple[int, ...]
    parameters: int
    folder: Path
    trouble: str | None = None
    point: str = ""
    network: "nn.Module | None" = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def width(self) -> int:
        """Numbers in a picture's features."""
        return math.prod(self.shape)

    @property
    def title(self) -> str:
        """What a person calls it."""
        upto = f" up to {self.point}" if self.point else ""
        return f"{self.backbone.name}{upto}, {self.transform.size} px"

    @property
    def weights(self) -> Path:
        """The body's weights, under timm's names."""
        return self.folder / "body.safetensors"

    def build(self) -> "nn.Module":
        """The network itself, with its weights."""
        return dataclasses.replace(self.backbone, weights=str(self.weights)).build()

    def runtime(self, device: str = "auto", precision: str = "auto") -> Runtime:
        """The fastest runtime that there is for it here.

        Args:
            device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
            precision: ``"auto"``, ``"fp32"`` or ``"bf16"``.
        """
        touch(self.folder)  # it is in use, for longer than what it computes first
        kind, device, precision = self._choose(device, precision)
        if kind == "openvino":
            return OpenVinoRuntime(self.folder / "model.xml", precision)
        return TorchRuntime(self.network or self.build(), self.transform, device, precision)

    def space(
        self, transform: dict[str, Any], device: str = "auto", precision: str = "auto"
    ) -> Space:
        """The space of its features.

        The activations inside a body, many times as many as its features, are kept in bf16 where
        they are computed in it.

        Args:
            transform: What pictures go through before, as plain values.
            device: As for :meth:`runtime`.
            precision: Likewise.
        """
        kind, device, precision = self._choose(device, precision)
        inside = len(self.shape) > 1
        return Space(
            self.digest,
            transform,
            runtime_name(kind, device, precision),
            self.width,
            self.title,
            self.shape,
            "bfloat16" if inside and precision == "bf16" else "float32",
        )

    def _choose(self, device: str, precision: str) -> tuple[str, str, str]:
        device = resolve_device(device)
        converted = (self.folder / "model.xml").exists() and openvino_is_here()
        kind = "openvino" if device == "cpu" and converted else "torch"
        return kind, device, resolve_precision(precision, device)


class Preparation:
    """A backbone being made ready, or found ready in the cache.

    Making one starts the work; :meth:`wait` ends it.

    Args:
        backbone: What to make ready.
        cache: Where it is looked for and kept.
        device: What it will run on; only a processor needs a converted model.

    Raises:
        BackboneError: The file of weights does not exist.
    """

    def __init__(self, backbone: Backbone, cache: FeatureCache, device: str = "auto") -> None:
        self.backbone = backbone
        self._cache = cache
        self._device = device
        self._source = backbone.source()
        self._request: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None
        self._ready = self._found()
        if self._ready is None:
            self._begin(cache.place_for_bodies())

    @property
    def ready(self) -> bool:
        """Whether it was found in the cache or has been waited for."""
        return self._ready is not None

    @property
    def transform(self) -> ImageTransform:
        """The transform that the body wants; waits only where building has to tell."""
        return self.backbone.transform or self.wait().transform

    def wait(self) -> Prepared:
        """Wait until it is ready.

        Raises:
            BackboneError: An unknown name, no weights, or weights that do not fit.
        """
        # It may have been deleted since: by another process that clears or limits the cache.
        if self._ready is None or not self._ready.weights.exists():
            self._ready = self._made()
        return self._ready

    def cancel(self) -> None:
        """Stop the work, if it is still going on; that happens at the latest when Python ends."""
        if self._process is not None:
            _stop(self._process)
            self._process = None

    def _found(self) -> Prepared | None:
        """The body in the cache, by its specification or else by its weights."""
        places = self._cache.places_of_bodies()
        digests = [_digest_noted(place, self._source) for place in places]
        if not any(digests):
            digests = [_digest_of_file(self.backbone)] * len(places)
        found = (
            _read(place / digest, self.backbone, self._device)
            for place, digest in zip(places, digests, strict=True)
            if digest
        )
        return next((prepared for prepared in found if prepared), None)

    def _begin(self, bodies: Path) -> None:
        self._request = {
            "backbone": dataclasses.asdict(self.backbone),
            "source": self._source,
            "bodies": str(bodies),
            "device": self._device,
        }
        self._process = _start(self._request)
        if self._process is not None:
            weakref.finalize(self, _stop, self._process)

    def _made(self) -> Prepared:
        """What was begun, or begun anew; elsewhere where the cache turns out to be full."""
        trouble = ""
        for place in (self._cache.place_for_bodies, temporary_bodies):
            if self._process is None:
                self._begin(place())
            answer = self._answered()
            if "error" in answer:
                raise BackboneError(answer["error"])
            if "digest" in answer:
                folder = Path(self._request["bodies"]) / answer["digest"]
                made = _read(folder, self.backbone, self._device)
                if made is not None:
                    return made
            trouble = answer.get("unwritable", "it was written and cannot be read back")
        raise SecchiError(
            f"{self.backbone.name!r} cannot be kept in {self._cache.bodies}, nor in a temporary "
            f"folder: {trouble}"
        )

    def _answered(self) -> dict[str, Any]:
        process, self._process = self._process, None
        if process is None:
            return _answer(self._request)
        try:
            return _finish(process, self._request)
        except BaseException:
            _stop(process)
            raise


def _start(request: dict[str, Any]) -> "subprocess.Popen[str] | None":
    """The process that does the work, or None where no process can be started."""
    if not sys.executable:
        return None
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        # Its threads would wait, busily, for the cores that decode meanwhile.
        "OMP_NUM_THREADS": str(max(1, cores() - 1)),
    }
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "secchi.features.prepare", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    except OSError:
        return None


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.returncode is None:
        process.kill()
        process.communicate()


def _finish(process: "subprocess.Popen[str]", request: dict[str, Any]) -> dict[str, Any]:
    output, errors = process.communicate()
    try:
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        name = request["backbone"]["name"]
        last = (errors.strip().splitlines() or ["it said nothing"])[-1]
        raise BackboneError(
            f"making {name!r} ready ended with exit code {process.returncode}: {last}"
        ) from None
    return answer


def _digest_noted(bodies: Path, source: str) -> str | None:
    """Which body a specification led to before."""
    with contextlib.suppress(OSError, ValueError):
        return (bodies / "sources" / source).read_text(encoding="utf-8").strip() or None
    return None


def _digest_of_file(backbone: Backbone) -> str | None:
    """Which body a file of weights holds; a bundle shares it with what it was trained on."""
    if backbone.size is None or not backbone.weights.endswith(".safetensors"):
        return None
    return _digest(backbone.timm_name, backbone.size, read_weights(Path(backbone.weights)))


def _digest(name: str, size: int, weights: "dict[str, torch.Tensor]") -> str:
    named = f"{name} {size} {weights_digest(weights)}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def prepare_part(
    part: "nn.Module", point: str, whole: Prepared, cache: FeatureCache, device: str
) -> Prepared:
    """Make the first part of a body ready: converted where that helps, and named by its weights.

    Args:
        part: From normalised pictures to activations, in evaluation mode; on the processor where
            that is the device.
        point: The name of its last layer; ``"features"`` where it is the whole body, which then has
            the name that the same body has from a file.
        whole: The body that it is a part of.
        cache: Where what was converted is kept.
        device: What it will run on.

    Raises:
        SecchiError: It cannot be kept anywhere.
    """
    from secchi.models.groups import FEATURES

    state = {key: value.contiguous() for key, value in part.state_dict().items()}
    is_whole = point == FEATURES
    timm_name = whole.backbone.timm_name
    upto = f"{timm_name} up to {point}"
    name = _title_of(whole.backbone) if is_whole else upto
    digest = _digest(timm_name if is_whole else upto, whole.transform.size, state)
    known = (_read(place / digest, whole.backbone, device) for place in cache.places_of_bodies())
    found = next((prepared for prepared in known if prepared), None)
    trouble = "it was written and cannot be read back"
    for place in (cache.place_for_bodies, temporary_bodies):
        if found is None:
            target = place() / digest
            try:
                _keep(part, state, target, whole.backbone, whole.transform, device, name, is_whole)
            except OSError as error:
                trouble = error.strerror or str(error)
            found = _read(target, whole.backbone, device)
    if found is None:
        raise SecchiError(f"{name!r} cannot be kept in {cache.bodies}: {trouble}")
    return dataclasses.replace(found, point="" if is_whole else point, network=part)


def _read(folder: Path, backbone: Backbone, device: str) -> Prepared | None:
    """A body from the cache, or None where it is absent, damaged, or not made for this device."""
    try:
        record = json.loads((folder / "body.json").read_text(encoding="utf-8"))
        if record["format"] != _FORMAT:
            return None
        for name, digest in record["files"].items():
            if _file_digest(folder / name) != digest:
                return None
            touch(folder / name)
        prepared = Prepared(
            backbone,
            folder.name,
            ImageTransform.from_dict(record["transform"]),
            tuple(int(side) for side in record.get("shape") or [record["width"]]),
            int(record["parameters"]),
            folder,
            record["trouble"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SecchiError):
        return None
    converted = "model.xml" in record["files"] or prepared.trouble is not None
    return prepared if converted or not _wants_conversion(device) else None


def _wants_conversion(device: str) -> bool:
    return openvino_is_here() and resolve_device(device) == "cpu"


def _prepare(backbone: Backbone, source: str, bodies: Path, device: str) -> str:
    """Build, name, convert and keep a body; its digest."""
    body = backbone.build()
    state = {key: value.contiguous() for key, value in body.state_dict().items()}
    transform = backbone.transform_of(body)
    digest = _digest(backbone.timm_name, transform.size, state)
    if _read(bodies / digest, backbone, device) is None:
        named = _title_of(backbone)
        _keep(body, state, bodies / digest, backbone, transform, device, named, flat=True)
    write_text(bodies / "sources" / source, digest)
    return digest


def _title_of(backbone: Backbone) -> str:
    """What a person calls a whole body."""
    return f"{backbone.name} ({backbone.timm_name})"


def _keep(
    network: "nn.Module",
    state: "dict[str, torch.Tensor]",
    target: Path,
    backbone: Backbone,
    transform: ImageTransform,
    device: str,
    name: str,
    flat: bool = False,
) -> None:
    """Convert a body, or a part of one, and write it down; a body's features have to be a row."""
    from safetensors.torch import save_file

    aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}.part")
    aside.mkdir(parents=True)
    try:
        shape, model, trouble = _convert(network, transform, device, flat)
        with _as_os_error():
            save_file(state, aside / "body.safetensors")
            if model is not None:
                _save_model(model, aside / "model.xml")
        files = {p.name: _file_digest(p) for p in sorted(aside.iterdir())}
        write_json(
            aside / "body.json",
            {
                "format": _FORMAT,
                "title": f"{name}, {transform.size} px",
                "timm_name": backbone.timm_name,
                "transform": transform.to_dict(),
                "width": math.prod(shape),
                "shape": list(shape),
                "parameters": sum(p.numel() for p in network.parameters()),
                "trouble": trouble,
                "files": files,
            },
        )
        _move_into_place(aside, target, backbone, device)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Libraries that write files tell of a full disk by errors of their own."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise OSError(_first_line(error)) from error


def _convert(
    body: "nn.Module", transform: ImageTransform, device: str, flat: bool
) -> tuple[tuple[int, ...], Any, str | None]:
    """Convert a body for OpenVINO and check it against torch.

    Returns:
        The shape of a picture's features, the model, and any trouble.
    """
    import torch

    pixels = _smooth_pictures(CPU_BATCH, transform.size)
    batch = torch.from_numpy(transform.normalize(pixels)).permute(0, 3, 1, 2).contiguous()
    # Not in inference mode: the layers may be a living network's, and what they keep for themselves
    # has to be fit for training later.
    with torch.no_grad():
        # A part of a network that was trained on a GPU is there.
        device_of = next((p.device for p in body.parameters()), batch.device)
        reference = body(batch[:2].to(device_of)).cpu().contiguous().numpy()
    shape = tuple(int(side) for side in reference.shape[1:])
    if not shape or (flat and len(shape) != 1):
        given = tuple(reference.shape)
        raise BackboneError(f"the body gives an array of {given} for 2 pictures, not a row each")
    if not _wants_conversion(device):
        return shape, None, None
    try:
        model = _to_openvino(body, batch, transform)
        computed = OpenVinoRuntime(model, "fp32").compute(pixels)
    except Exception as error:
        # OpenVINO raises RuntimeError, its own errors and what its frontends raise.
        return shape, None, _first_line(error)
    worst = float(_cosines(computed[:2].reshape(2, -1), reference.reshape(2, -1)).min())
    if worst < LEAST_COSINE["fp32"]:
        return shape, None, f"its features agree with torch's to a cosine of only {worst:.5f}"
    return shape, model, None


def _save_model(model: Any, file: Path) -> None:
    with telemetry_off():
        import openvino
    openvino.save_model(model, file, compress_to_fp16=False)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _to_openvino(body: "nn.Module", batch: "torch.Tensor", transform: ImageTransform) -> Any:
    """A model that takes bytes as they are decoded and normalises them itself."""
    import torch

    with telemetry_off():
        import openvino
        from openvino.preprocess import PrePostProcessor

    with torch.no_grad(), warnings.catch_warnings():
        # Tracing is deprecated and still what OpenVINO converts best: three times as fast as an
        # exported program, and with a fixed shape. It also warns of branches that depend on the
        # shape.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(body, batch, check_trace=False)  # type: ignore[no-untyped-call]
    model = openvino.convert_model(traced, example_input=batch, input=[tuple(batch.shape)])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(
        [255 * value for value in transform.mean]
    ).scale([255 * value for value in transform.std])
    return steps.build()


def _smooth_pictures(count: int, size: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Pictures with soft patches of colour: nearer to photographs than noise is."""
    import torch

    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 7, 7, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    pictures = (255 * fine).byte().permute(0, 2, 3, 1).contiguous()
    return pictures.numpy()


def _cosines(a: Any, b: Any) -> Any:
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


def _move_into_place(aside: Path, target: Path, backbone: Backbone, device: str) -> None:
    """Rename a finished folder; a sound one in its place (another process was first) stays."""
    old = target.with_name(aside.name.removesuffix(".part") + ".old")
    for _ in range(3):
        with contextlib.suppress(OSError):
            os.replace(aside, target)
            return
        if _read(target, backbone, device) is not None:
            return
        # Renamed at once, not emptied file by file: another process may be reading or replacing it.
        with contextlib.suppress(OSError):
            os.replace(target, old)
        shutil.rmtree(old, ignore_errors=True)
    os.replace(aside, target)


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        digest = _prepare(
            Backbone(**request["backbone"]),
            request["source"],
            Path(request["bodies"]),
            request["device"],
        )
    except SecchiError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"unwritable": error.strerror or str(error)}
    return {"digest": digest}


def main() -> None:
    """Answer the request in the first argument."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not mix with the answer
    answer = _answer(json.loads(sys.argv[1]))
    with os.fdopen(answers, "w") as out:
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
