"""A backbone made ready: its weights found, named by their content, and converted.

That takes seconds (importing timm, tracing the network, converting it), so it is done once for each
backbone, kept in the cache, and done in a process of its own, so that pictures are decoded
meanwhile. ``python -m secchi.features.prepare`` is that process: a request as JSON on standard
input, the answer on standard output.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.errors import BackboneError, SecchiError
from secchi.features.cache import FeatureCache
from secchi.features.runtimes import (
    CPU_BATCH,
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

_LEAST_COSINE = 0.9999
"""A converted model whose fp32 features agree less with torch's, as a cosine, is not used."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A body that can compute.

    Attributes:
        backbone: The specification it came from.
        digest: Names the network, the size of its pictures and its weights.
        transform: What it wants its pictures brought to.
        width: Numbers in a feature.
        parameters: Numbers in its weights.
        folder: Holds ``body.safetensors`` and, where it was converted, ``model.xml``.
        trouble: Why it was not converted, where that was tried in vain.
    """

    backbone: Backbone
    digest: str
    transform: ImageTransform
    width: int
    parameters: int
    folder: Path
    trouble: str | None = None

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
        kind, device, precision = self._choose(device, precision)
        if kind == "openvino":
            return OpenVinoRuntime(self.folder / "model.xml", precision)
        return TorchRuntime(self.build(), self.transform, device, precision)

    def runtime_name(self, device: str = "auto", precision: str = "auto") -> str:
        """The name of the runtime that :meth:`runtime` would open."""
        kind, device, precision = self._choose(device, precision)
        return runtime_name(kind, device, precision)

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
        self._process: subprocess.Popen[str] | None = None
        source = backbone.source()
        self._ready = _look_up(cache.bodies, source, backbone)
        if self._ready is None:
            self._ready = _look_up_by_weights(cache.bodies, backbone)
        if self._ready is None:
            self._request: dict[str, Any] = {
                "backbone": dataclasses.asdict(backbone),
                "source": source,
                "bodies": str(cache.place_for_bodies()),
                "device": device,
            }
            self._process = _start(self._request)
            if self._process is not None:
                weakref.finalize(self, _stop, self._process)

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
        if self._ready is None:
            if self._process is not None:
                answer = _finish(self._process, self._request)
                self._process = None
            else:
                answer = _answer(self._request)
            if "error" in answer:
                raise BackboneError(answer["error"])
            folder = Path(self._request["bodies"]) / answer["digest"]
            self._ready = _read(folder, self.backbone)
            if self._ready is None:
                raise SecchiError(f"{folder} was written and cannot be read; is the disk damaged?")
        return self._ready

    def cancel(self) -> None:
        """Stop the work, if it is still going on; that happens at the latest when Python ends."""
        if self._process is not None:
            _stop(self._process)
            self._process = None


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


def _look_up(bodies: Path, source: str, backbone: Backbone) -> Prepared | None:
    try:
        digest = (bodies / "sources" / source).read_text().strip()
    except OSError:
        return None
    return _read(bodies / digest, backbone)


def _look_up_by_weights(bodies: Path, backbone: Backbone) -> Prepared | None:
    """Find a body by the weights in a file, which a bundle shares with what it was trained on."""
    if backbone.size is None or not backbone.weights.endswith(".safetensors"):
        return None
    weights = read_weights(Path(backbone.weights))
    return _read(bodies / _digest(backbone, backbone.size, weights), backbone)


def _digest(backbone: Backbone, size: int, weights: "dict[str, torch.Tensor]") -> str:
    named = f"{backbone.timm_name} {size} {weights_digest(weights)}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _read(folder: Path, backbone: Backbone) -> Prepared | None:
    """A body from the cache, or None where it is absent, damaged or of another format."""
    try:
        record = json.loads((folder / "body.json").read_text())
        if record["format"] != _FORMAT:
            return None
        for name, digest in record["files"].items():
            if _file_digest(folder / name) != digest:
                return None
            os.utime(folder / name)
        return Prepared(
            backbone,
            folder.name,
            ImageTransform.from_dict(record["transform"]),
            int(record["width"]),
            int(record["parameters"]),
            folder,
            record["trouble"],
        )
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _prepare(backbone: Backbone, source: str, bodies: Path, device: str) -> str:
    """Build, name, convert and keep a body; its digest."""
    from safetensors.torch import save_file

    body = backbone.build()
    state = {key: value.contiguous() for key, value in body.state_dict().items()}
    transform = backbone.transform_of(body)
    digest = _digest(backbone, transform.size, state)
    target = bodies / digest
    if _read(target, backbone) is None:
        aside = bodies / f".{digest}-{uuid.uuid4().hex[:8]}.part"
        aside.mkdir(parents=True)
        try:
            save_file(state, aside / "body.safetensors")
            width, trouble = _convert(body, transform, aside, device)
            files = {p.name: _file_digest(p) for p in sorted(aside.iterdir())}
            write_json(
                aside / "body.json",
                {
                    "format": _FORMAT,
                    "title": f"{backbone.name} ({backbone.timm_name}), {transform.size} px",
                    "timm_name": backbone.timm_name,
                    "transform": transform.to_dict(),
                    "width": width,
                    "parameters": sum(p.numel() for p in body.parameters()),
                    "trouble": trouble,
                    "files": files,
                },
            )
            _move_into_place(aside, target, backbone)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    write_text(bodies / "sources" / source, digest)
    return digest


def _convert(
    body: "nn.Module", transform: ImageTransform, folder: Path, device: str
) -> tuple[int, str | None]:
    """Convert a body for OpenVINO and check it against torch; the width and any trouble."""
    import torch

    pixels = _smooth_pictures(CPU_BATCH, transform.size)
    batch = torch.from_numpy(transform.normalize(pixels)).permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        reference = body(batch[:2]).numpy()
    if reference.ndim != 2:
        shape = tuple(reference.shape)
        raise BackboneError(f"the body gives an array of {shape} for 2 pictures, not a row each")
    width = int(reference.shape[1])
    if resolve_device(device) != "cpu" or not openvino_is_here():
        return width, None
    try:
        model = _to_openvino(body, batch, transform)
        computed = OpenVinoRuntime(model, "fp32").compute(pixels)
        worst = float(_cosines(computed[:2], reference).min())
        if worst < _LEAST_COSINE:
            return width, f"its features agree with torch's to a cosine of only {worst:.5f}"
        with telemetry_off():
            import openvino

        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    except Exception as error:
        # OpenVINO raises RuntimeError, its own errors and what its frontends raise.
        for name in ("model.xml", "model.bin"):
            with contextlib.suppress(FileNotFoundError):
                (folder / name).unlink()
        return width, (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return width, None


def _to_openvino(body: "nn.Module", batch: "torch.Tensor", transform: ImageTransform) -> Any:
    """A model that takes bytes as they are decoded and normalises them itself."""
    import torch

    with telemetry_off():
        import openvino
        from openvino.preprocess import PrePostProcessor

    with torch.inference_mode(), warnings.catch_warnings():
        # Tracing is deprecated and still what OpenVINO converts best: three times as fast as an
        # exported program, and with a fixed shape.
        warnings.simplefilter("ignore", FutureWarning)
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


def _move_into_place(aside: Path, target: Path, backbone: Backbone) -> None:
    """Rename a finished folder; a sound one in its place (another process was first) stays."""
    try:
        os.replace(aside, target)
    except OSError:
        if _read(target, backbone) is None:
            shutil.rmtree(target, ignore_errors=True)
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
