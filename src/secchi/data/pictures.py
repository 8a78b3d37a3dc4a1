"""Reading one picture, whatever is in the file.

JPEG goes through libjpeg-turbo at a reduced scale where the picture is much larger than needed;
everything else, and every JPEG that the fast path refuses, goes through Pillow. Both paths turn the
picture as its EXIF orientation says, lay transparency on white, bring 16 bits down to 8, take the
first frame of an animation, and give three colour channels. At full scale both give the same
pixels to rounding; a picture decoded at a reduced scale and then brought to a backbone's size
differs by less than one level of 255 on average.
"""

import dataclasses
import hashlib
import io
import os
import stat
import threading
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from secchi.errors import PictureError

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib")
    + (".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif")
)
"""The endings, in lower case, that make a file a picture."""

MAX_BYTES = 2**28
"""Larger files are refused unread."""
MAX_JPEG_PIXELS = 2**28
"""JPEGs that claim more pixels are refused; they are decoded at reduced scale, row by row."""
MAX_PIXELS = 89_478_485
"""Other pictures that claim more are refused (Pillow's own warning limit)."""

# What the endings above stand for; Pillow opens the many-pictured JPEGs of some cameras as JPEG.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "AVIF")
_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101
# EXIF in AVIF, in PNG, in WebP, as ImageMagick keeps it in PNG; XMP, plain and packed.
_ORIENTATION_MARKS = (
    b"Exif\x00",
    b"eXIf",
    b"EXIF",
    b"Raw profile type",
    b"tiff:Orientation",
    b"XML:com.adobe.xmp",
)
_KEPT_SCRATCH = 2**25
_TOO_MANY_PIXELS = "its pixels would take more memory than a picture may (a decompression bomb?)"
# simplejpeg raises ValueError, and KeyError for a header without colours.
_JPEG_FAULTS = (ValueError, KeyError)


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one look at a picture's file tells.

    Attributes:
        digest: SHA-256 of the file's bytes.
        width: Columns of pixels, as the picture is seen.
        height: Rows of pixels, as the picture is seen.
    """

    digest: bytes
    width: int
    height: int


class Scratch(threading.local):
    """Memory that one thread decodes into again and again.

    Fresh memory for every picture costs as much as decoding it, when two threads decode.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.uint8)

    def take(self, size: int) -> Pixels:
        """At least ``size`` bytes, valid until this thread takes again."""
        if size > _KEPT_SCRATCH:
            return np.empty(size, dtype=np.uint8)
        if self._memory.size < size:
            self._memory = np.empty(size, dtype=np.uint8)
        return self._memory


def survey(path: str) -> Survey:
    """Read a file's bytes and its header, not its pixels.

    Raises:
        PictureError: The file cannot be read or is no picture; the message is the reason.
    """
    blob = read_bytes(path)
    width, height = _header(blob)
    return Survey(hashlib.sha256(blob).digest(), width, height)


def read_picture(path: str, at_least: int = 0) -> Pixels:
    """Read a picture's pixels.

    Args:
        path: The file.
        at_least: The shorter side that is needed. A JPEG whose sides are at least twice as long
            is decoded at a half of its size or less, never below this; 0 decodes in full.

    Returns:
        Red, green and blue, uint8 of shape (height, width, 3).

    Raises:
        PictureError: The message is the reason.
    """
    return decode(read_bytes(path), at_least)


def read_bytes(path: str) -> bytes:
    """A file's bytes, or a :class:`PictureError` that says why there are none."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("not a file" if not stat.S_ISDIR(status.st_mode) else "a folder")
        if status.st_size == 0:
            raise PictureError("the file is empty")
        if status.st_size > MAX_BYTES:
            raise PictureError(f"the file is larger than {MAX_BYTES // 2**20} MB")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise PictureError(
            "a link to nowhere" if os.path.islink(path) else "no such file"
        ) from None
    except PermissionError:
        raise PictureError("no permission to read it") from None
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from None


def decode(blob: bytes, at_least: int = 0, scratch: Scratch | None = None) -> Pixels:
    """Turn a file's bytes into pixels, as :func:`read_picture` does.

    With a ``scratch`` the result may live in it: use it before this thread decodes again.
    """
    if blob[:2] == b"\xff\xd8":
        pixels = _decode_jpeg(blob, at_least, scratch)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(blob)


def _header(blob: bytes) -> tuple[int, int]:
    """Width and height as seen; refuses what is no picture and what claims to be too large."""
    if blob[:2] == b"\xff\xd8":
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(blob, strict=False)
        except _JPEG_FAULTS:
            pass
        else:
            _refuse_if_over(width, height, MAX_JPEG_PIXELS)
            return (height, width) if _jpeg_orientation(blob) >= 5 else (width, height)
    with _open_with_pillow(blob) as image:
        width, height = image.size
        if isinstance(image, TiffImageFile):
            # Pillow gives a TIFF's size as seen, where it heeds the orientation while it loads.
            width, height = int(image.tag_v2[_TIFF_WIDTH]), int(image.tag_v2[_TIFF_HEIGHT])
        turned = _may_be_turned(blob) and _orientation(image) >= 5
        return (height, width) if turned else (width, height)


def _decode_jpeg(blob: bytes, at_least: int, scratch: Scratch | None) -> Pixels | None:
    """The fast path, or None where Pillow has to decide."""
    reduced: dict[str, int] = {}
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(blob)
        _refuse_if_over(width, height, MAX_JPEG_PIXELS)
        if colors in ("CMYK", "YCCK"):
            return None
        if at_least and min(height, width) >= 2 * at_least:
            reduced = {"min_height": at_least, "min_width": at_least, "min_factor": 2}
            height, width, _, _ = simplejpeg.decode_jpeg_header(blob, **reduced)
        buffer = scratch.take(height * width * 3) if scratch else None
        pixels = simplejpeg.decode_jpeg(blob, colorspace="RGB", buffer=buffer, **reduced)
    except _JPEG_FAULTS:
        # libjpeg complained: Pillow knows the harmless complaints from a picture cut short.
        return None
    return _oriented(pixels, _jpeg_orientation(blob))


def _decode_with_pillow(blob: bytes) -> Pixels:
    with _open_with_pillow(blob) as image:
        try:
            image.load()
            # Asked only now: Pillow turns a TIFF while it loads and strikes the orientation out.
            orientation = _orientation(image)
            pixels = _eight_bit_rgb(image)
        except MemoryError:
            raise PictureError("too large for the memory that is left") from None
        except Exception as error:
            # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more.
            raise PictureError(_damage(error)) from None
    return _oriented(pixels, orientation)


def _open_with_pillow(blob: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(blob), formats=_FORMATS)
    except UnidentifiedImageError:
        raise PictureError(_what_it_is(blob)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(_TOO_MANY_PIXELS) from None
    except Exception as error:
        raise PictureError(_damage(error)) from None
    _refuse_if_over(*image.size, MAX_PIXELS)
    return image


def _refuse_if_over(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise PictureError(_TOO_MANY_PIXELS)


def _damage(error: Exception) -> str:
    """What Pillow complains about, without the numbers in brackets: equal faults read alike."""
    return f"damaged: {str(error).split(' (')[0] or type(error).__name__}"


def _what_it_is(blob: bytes) -> str:
    head = blob[:512]
    try:
        head.decode()
        text = True
    except UnicodeDecodeError as error:
        text = len(blob) > len(head) <= error.start + 3  # the last letter is cut in two
    if text and b"\0" not in head:
        return "not a picture but text"
    return "not a picture, or damaged from its first bytes"


def _eight_bit_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return _grey_to_rgb(np.asarray(image).astype(np.uint16) >> 8)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = values.max(initial=0.0)
        # Whole numbers over 255 are 16-bit levels; fractions up to 1 are shares of white.
        scale = 1 / 257 if top > 255 else 255.0 if image.mode == "F" and top <= 1 else 1.0
        return _grey_to_rgb(np.clip(np.rint(values * scale), 0, 255))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, seen).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(grey: NDArray[Any]) -> Pixels:
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def _may_be_turned(blob: bytes) -> bool:
    """Whether the bytes speak of an orientation; Pillow would decode a whole PNG to find out."""
    if blob[:2] == b"\xff\xd8":
        return _has_notes(blob)
    return blob[:2] in (b"II", b"MM") or any(mark in blob for mark in _ORIENTATION_MARKS)


def _has_notes(blob: bytes) -> bool:
    """Whether a JPEG holds EXIF or XMP, or is so odd that one cannot tell."""
    at = 2
    while blob[at : at + 1] == b"\xff":
        if blob[at + 1 : at + 2] == b"\xda":  # the pixels begin
            return False
        if blob[at + 1 : at + 2] == b"\xe1":
            return True
        at += 2 + int.from_bytes(blob[at + 2 : at + 4], "big")
    return True


def _jpeg_orientation(blob: bytes) -> int:
    if not _may_be_turned(blob):
        return 1
    try:
        with Image.open(io.BytesIO(blob), formats=("JPEG",)) as image:
            return _orientation(image)
    except Exception:  # damaged EXIF says nothing about the orientation
        return 1


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none that makes sense."""
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror a picture so that it stands as it was seen."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
