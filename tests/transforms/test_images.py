"""From a picture to what a backbone wants."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from secchi.errors import SpecError
from secchi.transforms.images import ImageTransform

MODES = {
    "bicubic": (Image.Resampling.BICUBIC, InterpolationMode.BICUBIC),
    "bilinear": (Image.Resampling.BILINEAR, InterpolationMode.BILINEAR),
}


SLOPE = 50 * 100 / 2
"""The most that :func:`waves` changes over the shorter side of a picture, along an axis."""


def waves(width: int, height: int) -> Image.Image:
    """Red changes along the rows, green along the columns and blue along the diagonal."""
    step = min(width, height) / 50
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = [128 + 100 * np.sin(axis / step / 2) for axis in (x, y, x + y)]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def by_pillow(image: Image.Image, transform: ImageTransform) -> np.ndarray:
    """The window to a fraction of a pixel, resized by Pillow."""
    side = transform.crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    mode = MODES[transform.interpolation][0]
    return np.asarray(image.resize((transform.size, transform.size), mode, box=box)).astype(int)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(64, 64), (256, 256), (512, 320), (320, 640), (800, 1120)])
def test_where_the_window_is_whole_pixels_pillow_gives_the_same(
    size: tuple[int, int], mode: str
) -> None:
    transform = ImageTransform(interpolation=mode)
    image = waves(*size)
    side = int(transform.crop * min(size))
    left, top = ((length - side) // 2 for length in size)
    window = image.crop((left, top, left + side, top + side))
    theirs = np.asarray(window.resize((transform.size,) * 2, MODES[mode][0])).astype(int)
    apart = abs(transform(np.asarray(image)) - theirs)
    assert apart.max() <= 2
    assert apart.mean() <= 0.1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "size", [(500, 375), (499, 374), (231, 477), (299, 301), (1201, 802), (200, 3000)]
)
def test_elsewhere_the_window_is_off_by_half_a_pixel_at_most(
    size: tuple[int, int], mode: str
) -> None:
    """Half a pixel in each direction at a corner, times the steepest slope of these waves."""
    transform = ImageTransform(interpolation=mode)
    image = waves(*size)
    apart = abs(transform(np.asarray(image)) - by_pillow(image, transform))
    most = (0.5 + 0.5) * SLOPE / min(size)
    assert apart.max() <= most + 3
    assert apart.mean() <= most / 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(500, 375), (231, 477), (256, 256), (640, 480), (1201, 802)])
def test_it_is_the_window_of_resize_and_centre_crop(size: tuple[int, int], mode: str) -> None:
    """Theirs lies up to half a pixel of the result off the middle, in each direction."""
    transform = ImageTransform(interpolation=mode)
    image = waves(*size)
    whole = Resize(round(transform.size / transform.crop), MODES[mode][1])(image)
    theirs = np.asarray(CenterCrop(transform.size)(whole)).astype(int)
    apart = abs(transform(np.asarray(image)) - theirs)
    most = (1 / min(size) + 1 / min(whole.size)) * SLOPE
    assert apart.max() <= most + 3
    assert apart.mean() <= most / 2


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 40),
    st.floats(0.01, 1),
)
def test_the_window_is_in_the_middle_whatever_the_shape(
    shape: tuple[int, int], size: int, crop: float
) -> None:
    height, width = shape
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    transform = ImageTransform(size=size, crop=crop)
    seen = transform(pixels)
    assert seen.shape == (size, size, 3)
    turned = transform(pixels[::-1, ::-1]).astype(int)
    assert abs(turned - seen[::-1, ::-1]).max() <= 2


def test_the_result_goes_where_it_is_asked_for() -> None:
    pixels = np.asarray(waves(50, 40))
    transform = ImageTransform(size=32)
    batch = np.zeros((2, 32, 32, 3), np.uint8)
    transform(pixels, out=batch[1])
    assert (batch[1] == transform(pixels)).all()
    assert not batch[0].any()


def test_pixels_that_are_read_only_or_mirrored_are_taken() -> None:
    pixels = np.asarray(waves(32, 32))
    assert not pixels.flags.writeable
    transform = ImageTransform(size=16, crop=1)
    upright = transform(pixels)
    assert (transform(np.ascontiguousarray(pixels[:, ::-1])) == transform(pixels[:, ::-1])).all()
    assert upright.shape == (16, 16, 3)


def test_normalising_follows_its_formula() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    transform = ImageTransform(mean=mean, std=std)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    wanted = (pixels / 255.0 - np.array(mean)) / np.array(std)
    result = transform.normalize(pixels)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-6)
    assert transform.normalize(pixels[0]).shape == (5, 5, 3)


def test_the_shorter_side_that_is_needed_keeps_two_pixels_for_one() -> None:
    assert ImageTransform(size=224, crop=0.875).shorter_side == 512
    assert ImageTransform(size=224, crop=1).shorter_side == 448


@given(
    st.builds(
        ImageTransform,
        size=st.integers(1, 4096),
        crop=st.floats(0.01, 1),
        interpolation=st.sampled_from(sorted(MODES)),
        mean=st.tuples(*[st.floats(0, 1)] * 3),
        std=st.tuples(*[st.floats(0.01, 2)] * 3),
    )
)
def test_a_transform_survives_json(transform: ImageTransform) -> None:
    text = json.dumps(transform.to_dict(), allow_nan=False)
    assert ImageTransform.from_dict(json.loads(text)) == transform


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        ImageTransform(size=0, crop=1.5, interpolation="nearest", std=(1, 0, 1))
    assert len(caught.value.faults) == 4
    for word in ("size is 0", "crop is 1.5", "'nearest'", "std above 0"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"size": 5000},
        {"crop": 0},
        {"crop": float("nan")},
        {"mean": (0.5, 0.5)},
        {"mean": (0.5, 0.5, float("nan"))},
        {"std": ()},
        {"std": (1, 1, -1)},
        {"std": (1, 1, float("inf"))},
    ],
)
def test_a_value_that_cannot_be_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="this image transform cannot be"):
        ImageTransform(**fault)
