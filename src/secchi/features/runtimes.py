"""What runs the frozen body: one small contract, and the fastest implementation that fits.

Every runtime takes batches of one fixed shape, so that a picture's features do not depend on the
pictures beside it, and normalises inside, so that pictures travel as bytes.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from secchi.transforms.images import ImageTransform

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")

CPU_BATCH = 8
"""Pictures in a batch on a processor: what fits its caches; larger ones are slower."""
GPU_BATCH = 128

LEAST_COSINE = {"fp32": 0.9999, "bf16": 0.999}
"""Features of every runtime agree with torch's in fp32 at least this well: the cosine between a
picture's two features, averaged over photographs. In bf16 a single one may fall to 0.99."""


class Runtime(Protocol):
    """Runs a body over batches of pictures.

    Attributes:
        name: The runtime and its precision, such as ``"openvino-bf16"``.
        batch_size: The number of pictures in every batch.
        parallel: How many threads may usefully call :meth:`compute` at once.
    """

    name: str
    batch_size: int
    parallel: int

    def compute(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Compute the features of one batch.

        Args:
            pixels: uint8 of shape (batch_size, size, size, 3).

        Returns:
            float32 of shape (batch_size, features), or (batch_size, …) inside of a body.
        """
        ...


class OpenVinoRuntime:
    """A converted model on the processor.

    Args:
        model: The model's ``.xml`` file, or a model of ``openvino``'s own.
        precision: ``"fp32"`` or ``"bf16"``.
    """

    def __init__(self, model: "Path | Any", precision: str) -> None:
        with telemetry_off():
            import openvino

        core = openvino.Core()
        self.name = runtime_name("openvino", "cpu", precision)
        self.batch_size = CPU_BATCH
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
                "PERFORMANCE_HINT": "THROUGHPUT",
                "INFERENCE_NUM_THREADS": str(cores()),
                # Threads for decoding share the cores; a pinned thread would wait for its own.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self.parallel = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._requests = threading.local()
        # The first call alone: it sets up what OpenVINO's bindings keep behind C++ guards, while
        # holding Python's lock on and off, and two first calls at once may wait for each other
        # forever.
        self.compute(np.zeros(tuple(self._compiled.input(0).shape), np.uint8))

    def compute(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`Runtime.compute`."""
        if not hasattr(self._requests, "mine"):
            self._requests.mine = self._compiled.create_infer_request()
        outputs = self._requests.mine.infer([pixels], share_inputs=True)
        return np.array(outputs[0], dtype=np.float32)


class TorchRuntime:
    """The network itself, on any device that torch has.

    Args:
        body: The network, in evaluation mode.
        transform: Normalises its pictures.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"fp32"``, or ``"bf16"`` under autocast.
    """

    def __init__(
        self, body: "nn.Module", transform: "ImageTransform", device: str, precision: str
    ) -> None:
        import torch

        self.name = runtime_name("torch", device, precision)
        self.batch_size = CPU_BATCH if device == "cpu" else GPU_BATCH
        self.parallel = 1
        self._device = device
        self._bf16 = precision == "bf16"
        self._body = body.eval().to(device).to(memory_format=torch.channels_last)
        self._shift = 255 * torch.tensor(transform.mean, device=device).view(1, 3, 1, 1)
        self._scale = 255 * torch.tensor(transform.std, device=device).view(1, 3, 1, 1)

    def compute(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`Runtime.compute`; halves the batch as often as the memory demands."""
        import torch

        try:
            return self._compute(pixels)
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                raise
        torch.cuda.empty_cache()
        middle = (len(pixels) + 1) // 2
        return np.concatenate([self.compute(pixels[:middle]), self.compute(pixels[middle:])])

    def _compute(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with (
            # Not in inference mode: the layers may be a living network's, and what they keep for
            # themselves has to be fit for training later.
            torch.no_grad(),
            torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._bf16),
        ):
            # A batch of (pictures, height, width, channels) seen as (pictures, channels, height,
            # width) is already what torch calls channels last.
            batch = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
            features = self._body((batch - self._shift) / self._scale)
            return features.float().cpu().numpy()  # type: ignore[no-any-return]


def runtime_name(kind: str, device: str, precision: str) -> str:
    """The name of a runtime, which is part of the name of its features."""
    return f"openvino-{precision}" if kind == "openvino" else f"torch-{device}-{precision}"


def check_setting(device: str, precision: str) -> None:
    """Refuse a device or a precision that does not exist.

    Raises:
        SpecError: With every fault.
    """
    faults = []
    if device not in DEVICES:
        hint = did_you_mean(device, DEVICES)
        faults.append(f"device is {device!r}, not one of {', '.join(DEVICES)}{hint}")
    if precision not in PRECISIONS:
        hint = did_you_mean(precision, PRECISIONS)
        faults.append(f"precision is {precision!r}, not one of {', '.join(PRECISIONS)}{hint}")
    if faults:
        raise SpecError("this device setting cannot be", faults)


def resolve_device(device: str) -> str:
    """The device that ``auto`` means here: CUDA, else Apple's GPU, else the processor.

    Raises:
        SpecError: The device was named and is not there.
    """
    import torch

    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, there in present.items() if there)
    if not present[device]:
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise SpecError("this device setting cannot be", [f"no {device} here; there is {there}"])
    return device


def resolve_precision(precision: str, device: str) -> str:
    """The precision that ``auto`` means on a device: bf16 where its arithmetic is native."""
    if precision != "auto":
        return precision
    if device == "cuda":
        import torch

        return "bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp32"
    return "bf16" if device == "cpu" and processor_has_bf16() else "fp32"


def processor_has_bf16() -> bool:
    """Whether OpenVINO, or else torch, finds bf16 arithmetic in the processor."""
    if openvino_is_here():
        with telemetry_off():
            import openvino

        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())


def openvino_is_here() -> bool:
    """Whether OpenVINO is installed."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def telemetry_off() -> Iterator[None]:
    """Import OpenVINO inside, and it finds no telemetry package and so sends nothing.

    OpenVINO reports conversions to a web service, by consent that it takes for granted, unless
    its telemetry package is absent; absent is what it looks here while OpenVINO is imported.
    """
    if "openvino" in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    before = modules.pop("openvino_telemetry", None)
    modules["openvino_telemetry"] = None  # imports of it fail
    try:
        yield
    finally:
        modules.pop("openvino_telemetry", None)
        if before is not None:
            modules["openvino_telemetry"] = before
