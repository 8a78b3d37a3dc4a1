"""One picture, whatever is in the file."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from secchi.data.pictures import Scratch, decode, read_picture, survey
from secchi.errors import PictureError
from secchi.transforms.images import ImageTransform

WHITE = [255, 255, 255]


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture with soft and sharp parts, large and small, of which every corner differs."""
    random = np.random.default_rng(seed)
    spots = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8))
    picture = spots.resize((width, height), Image.Resampling.BICUBIC)
    brush = ImageDraw.Draw(picture)
    for size in np.linspace(0.4, 0.02, 60) * min(width, height):
        left, top = random.uniform(-0.1, 1, 2) * (width, height)
        right, color = left + size * random.uniform(0.3, 1), random.integers(0, 256, 3)
        brush.ellipse((left, top, right, top + size), fill=tuple(color.tolist()))
    noisy = np.asarray(picture) + random.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def as_pillow_sees(blob: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(blob)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def reason(read: Callable[[], Any]) -> str:
    with pytest.raises(PictureError) as caught:
        read()
    return str(caught.value)


# ---------------------------------------------------------------- JPEG


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"quality": 30}, {"progressive": 1}])
@pytest.mark.parametrize("size", [(300, 200), (17, 33), (1, 1)])
def test_the_fast_path_gives_the_pixels_that_pillow_gives(
    size: tuple[int, int], options: dict[str, Any]
) -> None:
    blob = saved(scene(*size), "JPEG", **options)
    apart = decode(blob).astype(int) - as_pillow_sees(blob)
    # Both are libjpeg-turbo; another version may round otherwise.
    assert abs(apart).max() <= 1


def test_the_fast_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparison above compares Pillow with itself."""
    calls = []
    real = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **k: calls.append(a) or real(*a, **k))
    decode(saved(scene(40, 30), "JPEG"))
    assert len(calls) == 1


@pytest.mark.parametrize("size", [(1024, 1024), (1100, 1500), (2000, 1333), (2600, 1950)])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(size: tuple[int, int]) -> None:
    """The stated bound: one level of 255 on average, 16 or less for 99 of 100 values.

    The edge of the window lies at most half a pixel off in either, which shows at sharp edges.
    """
    transform = ImageTransform()
    blob = saved(scene(*size), "JPEG", quality=90)
    full, reduced = decode(blob), decode(blob, transform.shorter_side)
    assert transform.shorter_side <= min(reduced.shape[:2]) <= min(full.shape[:2]) / 2 + 1
    apart = abs(transform(full).astype(int) - transform(reduced))
    assert apart.mean() <= 1.0
    assert np.quantile(apart, 0.99) <= 16


def test_a_jpeg_that_is_not_twice_as_large_as_needed_is_decoded_in_full() -> None:
    blob = saved(scene(1000, 700), "JPEG")
    assert decode(blob, 512).shape == (700, 1000, 3)
    assert (decode(blob, 512) == decode(blob)).all()


def test_a_grey_jpeg_gives_three_equal_channels() -> None:
    blob = saved(scene(40, 30).convert("L"), "JPEG")
    pixels = decode(blob)
    assert (pixels == as_pillow_sees(blob)).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_a_cmyk_jpeg_is_read() -> None:
    blob = saved(scene(64, 48).convert("CMYK"), "JPEG", quality=95)
    assert (decode(blob) == as_pillow_sees(blob)).all()
    apart = abs(decode(blob).astype(int) - np.asarray(scene(64, 48)))
    assert apart.mean() < 8


def test_a_scratch_changes_no_pixels() -> None:
    scratch = Scratch()
    for size in ((300, 200), (100, 90), (500, 400)):
        blob = saved(scene(*size), "JPEG")
        assert (decode(blob, 0, scratch) == decode(blob)).all()


# ---------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"save_all": True, "append_images": [Image.new("RGB", (5, 5))]}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_pictures_stand_as_their_exif_says(
    tmp_path: Path, form: str, options: dict[str, Any], orientation: int
) -> None:
    blob = saved(scene(24, 16), form, exif=turned(orientation), **options)
    expected = as_pillow_sees(blob)
    assert expected.shape == ((24, 16, 3) if orientation >= 5 else (16, 24, 3))
    for same in (blob, that_only_pillow_reads(blob)) if form == "JPEG" else (blob,):
        assert abs(decode(same).astype(int) - expected).max() <= (1 if form == "JPEG" else 0)
        (tmp_path / "picture").write_bytes(same)
        seen = survey(str(tmp_path / "picture"))
        assert (seen.height, seen.width) == expected.shape[:2]


def that_only_pillow_reads(blob: bytes) -> bytes:
    """The JPEG with bytes between its segments: the fast path refuses it, Pillow skips them."""
    spoiled = blob[:2] + b"\xff\x00" + blob[2:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(spoiled)
    return spoiled


def test_an_orientation_far_into_the_file_counts() -> None:
    profile = bytes(np.random.default_rng(0).integers(0, 256, 90_000, np.uint8))
    blob = saved(scene(24, 16), "JPEG", quality=95)
    notes = b"".join(
        b"\xff\xe2" + struct.pack(">H", 2 + len(part)) + part
        for part in (b"OTHER\0" + profile[:60_000], b"OTHER\0" + profile[60_000:])
    )
    exif = turned(6).tobytes()
    exif = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    late = blob[:2] + notes + exif + blob[2:]
    assert decode(late).shape == (24, 16, 3)
    assert (decode(late) == as_pillow_sees(late)).all()


def test_an_orientation_in_xmp_counts() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    blob = saved(scene(24, 16), "JPEG", xmp=xmp, quality=95)
    assert decode(blob).shape == (24, 16, 3)
    assert (decode(blob) == as_pillow_sees(blob)).all()


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_makes_no_sense_is_ignored(orientation: int) -> None:
    blob = saved(scene(24, 16), "JPEG", exif=turned(orientation))
    assert decode(blob).shape == (16, 24, 3)


# ---------------------------------------------------------------- kinds of pixels


def test_grey_and_one_bit_pictures_are_read() -> None:
    grey = scene(20, 10).convert("L")
    pixels = decode(saved(grey, "PNG"))
    assert (pixels == np.asarray(grey)[..., None]).all()
    ink = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert decode(saved(ink, "PNG"))[..., 1].tolist() == [[0, 255], [255, 0]]


def test_transparency_lies_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 128]]
    red, clear, half = decode(saved(Image.fromarray(rgba), "PNG"))[0].tolist()
    assert red == [200, 0, 0]
    assert clear == WHITE
    assert half == pytest.approx([227, 127, 127], abs=1)

    la = Image.fromarray(np.array([[[40, 255], [40, 0]]], np.uint8), "LA")
    assert decode(saved(la, "PNG"))[0].tolist() == [[40, 40, 40], WHITE]


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_palette_with_transparency_lies_on_white(form: str) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    blob = saved(image, form, transparency=1)
    assert decode(blob)[0].tolist() == [[255, 0, 0], WHITE, [0, 0, 255]]


def test_a_palette_with_degrees_of_transparency_lies_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.putdata([0, 1])
    blob = saved(image, "PNG", transparency=bytes([255, 51]))
    assert decode(blob)[0].tolist() == [[0, 0, 0], [204, 204, 204]]


def test_a_transparent_colour_lies_on_white() -> None:
    image = Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8))
    blob = saved(image, "PNG", transparency=(1, 2, 3))
    assert decode(blob)[0].tolist() == [[9, 8, 7], WHITE]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight(form: str) -> None:
    levels = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    pixels = decode(saved(Image.fromarray(levels), form))
    assert pixels.shape == (1, 5, 3)
    assert pixels[0, :, 1].tolist() == pytest.approx([0, 1, 1, 128, 255], abs=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([-1.0, float("nan"), 1.0], [0, 0, 255]),
    ],
)
def test_float_pictures_are_scaled_by_their_range(values: list[float], expected: list[int]) -> None:
    blob = saved(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert decode(blob)[0, :, 0].tolist() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(form: str) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    lossless = {"lossless": True} if form == "WEBP" else {}
    blob = saved(frames[0], form, save_all=True, append_images=frames[1:], **lossless)
    with Image.open(io.BytesIO(blob)) as image:
        assert getattr(image, "n_frames", 1) == 3
    pixels = decode(blob)
    assert pixels.shape == (6, 8, 3)
    assert (pixels == [255, 0, 0]).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF"])
def test_every_common_format_is_read(tmp_path: Path, form: str) -> None:
    picture = scene(400, 300)
    blob = saved(picture, form)
    pixels = decode(blob)
    assert pixels.shape == (300, 400, 3)
    assert pixels.dtype == np.uint8
    assert abs(pixels.astype(int) - np.asarray(picture)).mean() < 12
    file = tmp_path / "picture"
    file.write_bytes(blob)
    assert (read_picture(str(file)) == pixels).all()
    assert (survey(str(file)).width, survey(str(file)).height) == (400, 300)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000), (1, 500)])
def test_extreme_shapes_are_read_and_brought_to_size(size: tuple[int, int], form: str) -> None:
    blob = saved(Image.new("RGB", size, (200, 100, 50)), form)
    transform = ImageTransform(size=32)
    pixels = decode(blob, transform.shorter_side)
    assert pixels.shape == (size[1], size[0], 3)
    assert abs(transform(pixels).astype(int) - [200, 100, 50]).max() <= 2


# ---------------------------------------------------------------- what cannot be read


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def jpeg_that_claims(width: int, height: int) -> bytes:
    blob = bytearray(saved(scene(16, 16), "JPEG"))
    at = blob.index(b"\xff\xc0")
    blob[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(blob)


@pytest.mark.parametrize(
    "blob",
    [
        png_that_claims(12_000, 12_000),
        png_that_claims(50_000, 50_000),
        jpeg_that_claims(65_000, 65_000),
    ],
)
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "bomb.png").write_bytes(blob)
    with warnings.catch_warnings():  # Pillow's own warning, which is an error in these tests
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for read in (survey, read_picture):
            assert "decompression bomb" in reason(lambda: read(str(tmp_path / "bomb.png")))  # noqa: B023


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_picture_cut_short_is_unreadable_not_half_read(form: str, share: float) -> None:
    blob = saved(scene(200, 150), form)
    told = reason(lambda: decode(blob[: int(share * len(blob))]))
    assert "damaged" in told


def test_pictures_cut_at_different_places_have_one_reason() -> None:
    """Else a summary of a thousand of them has a thousand lines."""
    blobs = [saved(scene(200, 150, seed), "JPEG") for seed in range(3)]
    told = {reason(lambda: decode(blob[: len(blob) * 2 // 3])) for blob in blobs}  # noqa: B023
    assert told == {"damaged: image file is truncated"}


def test_a_damaged_checksum_in_a_png_is_told() -> None:
    blob = bytearray(saved(scene(200, 150), "PNG"))
    blob[len(blob) // 2] ^= 0xFF
    assert "damaged" in reason(lambda: decode(bytes(blob)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"x" * 511 + "é".encode() + b"x" * 100, "not a picture but text"),
        ("<html>Not found – 404</html>".encode() * 30, "not a picture but text"),
        (b"short", "not a picture but text"),
        (bytes(5000), "not a picture, or damaged from its first bytes"),
        (b"PK\x03\x04" + bytes(range(256)), "not a picture, or damaged from its first bytes"),
        (b"\xff\xd8", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
    ],
)
def test_what_is_no_picture_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    assert told in reason(lambda: survey(str(file)))
    assert told in reason(lambda: read_picture(str(file)))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    link, loop, pipe = tmp_path / "link.jpg", tmp_path / "loop.jpg", tmp_path / "pipe.jpg"
    link.symlink_to(tmp_path / "nowhere.jpg")
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    for path, told in [
        (link, "a link to nowhere"),
        (loop, "symbolic links"),
        (pipe, "not a file"),
        (tmp_path, "a folder"),
        (tmp_path / "gone.jpg", "no such file"),
    ]:
        assert told in reason(lambda: survey(str(path)))  # noqa: B023


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"x")
    file.chmod(0)
    assert "no permission" in reason(lambda: survey(str(file)))


BLOBS = {
    form: saved(scene(40, 30), form, exif=turned(6))
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
} | {form: saved(scene(40, 30), form) for form in ("GIF", "BMP", "PPM")}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(BLOBS)), st.data())
def test_spoiled_bytes_give_pixels_or_a_reason_and_nothing_else(
    form: str, data: st.DataObject
) -> None:
    blob = bytearray(BLOBS[form])
    for _ in range(data.draw(st.integers(1, 6))):
        # Half of the damage goes to the headers, where it hurts more.
        last = len(blob) - 1 if data.draw(st.booleans()) else min(len(blob) - 1, 200)
        blob[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(1, len(blob))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks about the damage
        try:
            pixels = decode(bytes(blob[:cut]), data.draw(st.sampled_from([0, 8])))
        except PictureError:
            return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
