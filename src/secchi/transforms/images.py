"""How a picture becomes the array that a backbone wants.

A transform is data: five numbers and a word, so it travels with a model and names its features in
the cache. It knows no backbone; a backbone hands out the one it wants.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError

Pixels = NDArray[np.uint8]

VERSION = 1
"""Raised when the same transform would give other pixels, so that cached features are renewed."""


@dataclasses.dataclass(frozen=True)
class ImageTransform:
    """Cut out the middle of a picture, resize it to a square, and normalise it.

    The window is the square in the middle whose side is ``crop`` times the shorter side of the
    picture: the same part as resizing the shorter side to ``size / crop`` and cropping ``size``
    from the centre, in one step and without ever holding the enlarged picture. Its margins are
    whole pixels, the same on opposite sides: the middle stays where it is, and an edge lies at most
    half a pixel off. Resizing averages over the pixels that it merges (antialiasing), like
    Pillow's.

    Attributes:
        size: Side of the result, in pixels.
        crop: Side of the window as a share of the picture's shorter side, in (0, 1].
        interpolation: ``"bicubic"`` or ``"bilinear"``.
        mean: What is subtracted from each colour channel, on the scale 0 to 1.
        std: What each channel is divided by after that.

    Raises:
        SpecError: A value that cannot be.

    >>> transform = ImageTransform(size=32)
    >>> transform(np.zeros((50, 40, 3), np.uint8)).shape
    (32, 32, 3)
    >>> ImageTransform.from_dict(transform.to_dict()) == transform
    True
    """

    size: int = 224
    crop: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        faults = []
        if not 1 <= self.size <= 4096:
            faults.append(f"size is {self.size}, not between 1 and 4096 pixels")
        if not 0 < self.crop <= 1:
            faults.append(f"crop is {self.crop}, not a share in (0, 1]")
        if self.interpolation not in ("bicubic", "bilinear"):
            faults.append(f"interpolation is {self.interpolation!r}, not 'bicubic' or 'bilinear'")
        finite = all(math.isfinite(value) for value in (*self.mean, *self.std))
        if len(self.mean) != 3 or len(self.std) != 3 or not finite or min(self.std) <= 0:
            faults.append(f"mean {self.mean} and std {self.std} need three numbers, std above 0")
        if faults:
            raise SpecError("this image transform cannot be", faults)

    @property
    def shorter_side(self) -> int:
        """The shorter side, in pixels, below which a picture should not be decoded."""
        return 2 * round(self.size / self.crop)

    def __call__(self, pixels: Pixels, out: Pixels | None = None) -> Pixels:
        """Crop and resize; normalising is left to whoever computes (see :meth:`normalize`).

        Args:
            pixels: Red, green and blue, uint8 of shape (height, width, 3).
            out: Where to put the result.

        Returns:
            uint8 of shape (size, size, 3).
        """
        import torch
        from torch.nn.functional import interpolate

        height, width = pixels.shape[:2]
        side = self.crop * min(height, width)
        top, left = (min(round((n - side) / 2), (n - 1) // 2) for n in (height, width))
        window = pixels[top : height - top, left : width - left]
        if out is None:
            out = np.empty((self.size, self.size, 3), dtype=np.uint8)
        # torch resizes uint8 with vector instructions, three times as fast as Pillow; it takes
        # neither the negative strides of mirrored pictures nor memory that is read-only.
        source = torch.from_numpy(np.array(window, order="C"))
        resized = interpolate(
            source.permute(2, 0, 1)[None],
            (self.size, self.size),
            mode=self.interpolation,
            antialias=True,
        )
        np.copyto(out, resized[0].permute(1, 2, 0).numpy())
        return out

    def normalize(self, pixels: Pixels) -> NDArray[np.float32]:
        """Bring pixels to the scale that a backbone was trained with.

        Args:
            pixels: uint8 of shape (…, height, width, 3).

        Returns:
            (pixels / 255 - mean) / std, float32 of the same shape.
        """
        scale = 255 * np.asarray(self.std, np.float32)
        shift = 255 * np.asarray(self.mean, np.float32)
        return ((pixels - shift) / scale).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "version": VERSION,
            "size": self.size,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "ImageTransform":
        """From what :meth:`to_dict` gave."""
        mean, std = (tuple(float(v) for v in document[name]) for name in ("mean", "std"))
        return cls(
            int(document["size"]),
            float(document["crop"]),
            str(document["interpolation"]),
            mean,  # type: ignore[arg-type]
            std,  # type: ignore[arg-type]
        )
