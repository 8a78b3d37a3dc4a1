"""What every runtime has to keep, whatever it runs on; a new one is tested by being listed."""

import copy
import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from secchi.data.pictures import read_picture
from secchi.errors import SpecError
from secchi.features.prepare import _to_openvino
from secchi.features.runtimes import (
    LEAST_COSINE,
    OpenVinoRuntime,
    Runtime,
    TorchRuntime,
    check_setting,
    openvino_is_here,
    processor_has_bf16,
    resolve_device,
    resolve_precision,
)
from secchi.models.backbones import RANDOM, Backbone
from secchi.transforms.images import ImageTransform

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]

NETWORKS = {
    "tf_efficientnet_lite0": Backbone("lite0"),
    "resnet18": Backbone("resnet18", RANDOM),
    "resnet34": Backbone("resnet34", RANDOM),
    "mobilenetv3_small_100": Backbone("mobilenetv3_small_100", RANDOM),
    "convnext_atto": Backbone("convnext_atto", RANDOM),
    "vit_tiny_patch16_224": Backbone("vit_tiny_patch16_224", RANDOM),
}

LEAST_COSINE_OF_ONE = 0.995

PICTURES = 8


@dataclasses.dataclass
class Network:
    """A body, pictures for it, and their features by plain PyTorch in fp32."""

    body: torch.nn.Module
    transform: ImageTransform
    pictures: Pixels
    reference: Features

    @functools.cached_property
    def converted(self) -> object:
        batch = torch.zeros(8, 3, self.transform.size, self.transform.size)
        return _to_openvino(self.body, batch, self.transform)

    def opened(self, kind: str, device: str, precision: str) -> Runtime:
        if kind == "openvino":
            return OpenVinoRuntime(self.converted, precision)
        body = copy.deepcopy(self.body)
        return TorchRuntime(body, self.transform, device, precision)


@functools.cache
def network_called(name: str) -> Network:
    backbone = NETWORKS[name]
    body = backbone.build()
    transform = backbone.transform_of(body)
    pictures = photo_like(PICTURES, transform.size)
    normalised = torch.from_numpy(transform.normalize(pictures)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        reference = body(normalised.contiguous()).numpy()
    return Network(body, transform, pictures, reference)


def photo_like(count: int, size: int) -> Pixels:
    """Noise whose amplitude falls with the frequency, with the contrast of photographs."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    spectrum = 1 / np.maximum(frequency, 1 / size)
    noise = np.fft.rfft2(random.normal(size=(count, 3, size, size)))
    noise[:, 1:] = 0.7 * noise[:, :1] + 0.3 * noise[:, 1:]  # channels go together
    images = np.fft.irfft2(noise * spectrum, s=(size, size))
    images /= images.std(axis=(1, 2, 3), keepdims=True)
    brightness = random.uniform(90, 160, (count, 3, 1, 1))
    contrast = random.uniform(45, 80, (count, 1, 1, 1))
    pixels = np.clip(brightness + contrast * images, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def needs_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU of NVIDIA's here")


def needs_mps() -> None:
    if not torch.backends.mps.is_available():
        pytest.skip("no GPU of Apple's here")


def needs_openvino() -> None:
    if not openvino_is_here():
        pytest.skip("OpenVINO is not installed")


def needs_bf16() -> None:
    if not processor_has_bf16():
        pytest.skip("the processor has no bf16 arithmetic")


RUNTIMES: dict[tuple[str, str, str], tuple[Callable[[], None], ...]] = {
    ("openvino", "cpu", "fp32"): (needs_openvino,),
    ("openvino", "cpu", "bf16"): (needs_openvino, needs_bf16),
    ("torch", "cpu", "fp32"): (),
    ("torch", "cpu", "bf16"): (needs_bf16,),
    ("torch", "cuda", "fp32"): (needs_cuda,),
    ("torch", "cuda", "bf16"): (needs_cuda,),
    ("torch", "mps", "fp32"): (needs_mps,),
}


@dataclasses.dataclass
class Case:
    """A runtime that runs a network, and what it says of the network's pictures."""

    network: Network
    runtime: Runtime
    precision: str

    def batch(self, pictures: Pixels, at: int = 0) -> Pixels:
        """One batch with these pictures from place ``at`` on and black ones around them."""
        batch = np.zeros((self.runtime.batch_size, *pictures.shape[1:]), np.uint8)
        batch[at : at + len(pictures)] = pictures
        return batch

    @functools.cached_property
    def features(self) -> Features:
        return self.runtime.compute(self.batch(self.network.pictures))[:PICTURES]


@pytest.fixture(
    scope="module",
    params=[(name, *runtime) for name in NETWORKS for runtime in RUNTIMES],
    ids="-".join,
)
def case(request: pytest.FixtureRequest) -> Case:
    name, kind, device, precision = request.param
    for need in RUNTIMES[kind, device, precision]:
        need()
    network = network_called(name)
    return Case(network, network.opened(kind, device, precision), precision)


def cosines(a: Features, b: Features) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    result: NDArray[np.float64] = (a * b).sum(-1) / length
    return result


def test_a_batch_gives_a_row_of_float32_for_each_picture(case: Case) -> None:
    features = case.runtime.compute(case.batch(case.network.pictures))
    assert features.dtype == np.float32
    assert features.shape == (case.runtime.batch_size, case.network.reference.shape[1])
    assert np.isfinite(features).all()


def test_features_agree_with_torchs_in_fp32(case: Case) -> None:
    agreement = cosines(case.features, case.network.reference)
    assert agreement.mean() >= LEAST_COSINE[case.precision]
    assert agreement.min() >= LEAST_COSINE_OF_ONE


@pytest.mark.parametrize("kind", ["openvino", "torch"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lite0s_features_of_photographs_agree(kind: str, precision: str, dogscats: Path) -> None:
    for need in RUNTIMES[kind, "cpu", precision]:
        need()
    network = network_called("tf_efficientnet_lite0")
    files = [
        f for name in ("cats", "dogs") for f in sorted((dogscats / "valid" / name).iterdir())[:8]
    ]
    shorter_side = network.transform.shorter_side
    pictures = [network.transform(read_picture(str(f), shorter_side)) for f in files]
    normalised = torch.from_numpy(network.transform.normalize(np.stack(pictures)))
    with torch.inference_mode():
        reference = network.body(normalised.permute(0, 3, 1, 2).contiguous()).numpy()
    runtime = network.opened(kind, "cpu", precision)
    batches = [np.stack(pictures[start : start + 8]) for start in (0, 8)]
    agreement = cosines(np.concatenate([runtime.compute(b) for b in batches]), reference)
    assert agreement.mean() >= LEAST_COSINE[precision]
    assert agreement.min() >= LEAST_COSINE_OF_ONE


def test_what_tells_pictures_apart_agrees_too(case: Case) -> None:
    # Networks of random weights give all pictures nearly the same features: what they have in
    # common would hide two pictures that changed places.
    common = case.network.reference.mean(0)
    own, seen = case.network.reference - common, case.features - common
    assert np.array_equal(cosines(seen[:, None], own[None]).argmax(1), np.arange(PICTURES))
    if case.precision == "fp32":
        assert cosines(seen, own).min() >= 0.99


def test_a_pictures_features_do_not_depend_on_its_neighbours(case: Case) -> None:
    batch = case.batch(case.network.pictures[:1])
    assert np.array_equal(case.runtime.compute(batch)[0], case.features[0])
    batch[1:] = 255
    assert np.array_equal(case.runtime.compute(batch)[0], case.features[0])


def test_a_pictures_features_do_not_depend_on_its_place_in_the_batch(case: Case) -> None:
    for place in (1, case.runtime.batch_size - 1):
        batch = case.batch(case.network.pictures[:1], place)
        assert np.array_equal(case.runtime.compute(batch)[place], case.features[0])


def test_the_same_batch_gives_the_same_features_from_any_thread(case: Case) -> None:
    kept = case.features.copy()
    batch = case.batch(case.network.pictures)
    assert case.runtime.parallel >= 1
    with ThreadPoolExecutor(case.runtime.parallel) as pool:
        again = list(pool.map(case.runtime.compute, [batch] * (case.runtime.parallel + 1)))
    for features in again:
        assert np.array_equal(features[:PICTURES], kept)
    # A result is the caller's own: computing more has not changed it.
    assert np.array_equal(case.features, kept)


def test_a_runtime_is_named_by_what_shapes_its_features(case: Case) -> None:
    kind, _, rest = case.runtime.name.partition("-")
    assert kind in ("openvino", "torch")
    assert rest.endswith(case.precision)


# ---------------------------------------------------------------- settings


def test_settings_that_do_not_exist_are_refused_together() -> None:
    with pytest.raises(SpecError) as caught:
        check_setting("cudo", "fp31")
    assert len(caught.value.faults) == 2
    assert "did you mean cuda" in str(caught.value)
    assert "did you mean fp32" in str(caught.value)
    check_setting("auto", "auto")


def test_a_device_that_is_not_here_is_refused_with_those_that_are() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(SpecError, match="no cuda here; there is .*cpu"):
        resolve_device("cuda")
    assert resolve_device("cpu") == "cpu"


def test_auto_takes_bf16_where_its_arithmetic_is_native() -> None:
    assert resolve_precision("fp32", "cpu") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"
    assert resolve_precision("auto", "cpu") == ("bf16" if processor_has_bf16() else "fp32")
    assert resolve_precision("auto", "mps") == "fp32"
