"""What of a picture is computed: the picture itself, or an augmented version of it."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.pictures import Scratch, decode, read_bytes
from secchi.errors import PictureError
from secchi.features.cache import FeatureTable
from secchi.seeding import stream_seed
from secchi.transforms.augment import Augmentation
from secchi.transforms.images import ImageTransform, Pixels


@dataclasses.dataclass(frozen=True)
class View:
    """One version of every picture.

    Attributes:
        augmentation: How it is changed; None leaves pictures as they are.
        seed: Another seed changes them otherwise.
        number: Which of several versions it is.

    >>> View().key(ImageTransform()) == ImageTransform().to_dict()
    True
    >>> View(Augmentation.named("side_on"), seed=0, number=2).key(ImageTransform())["view"]
    2
    """

    augmentation: Augmentation | None = None
    seed: int = 0
    number: int = 0

    def key(self, transform: ImageTransform) -> dict[str, Any]:
        """What names its pixels, as plain values."""
        if self.augmentation is None:
            return transform.to_dict()
        # Neither a name nor what mixes whole batches has a say in the pixels of a picture.
        changes = dataclasses.replace(self.augmentation, name="", mixup=0.0, cutmix=0.0)
        return transform.to_dict() | {
            "augmentation": changes.to_dict(),
            "seed": self.seed,
            "view": self.number,
        }

    def pixels(
        self, files: Sequence[tuple[bytes, str]], transform: ImageTransform, scratch: Scratch
    ) -> tuple[Pixels, Mapping[bytes, str]]:
        """Read some pictures.

        Args:
            files: Their digests and paths.
            transform: What the pixels are for.
            scratch: Memory to decode into.

        Returns:
            uint8 of shape (files, size, size, 3), and the reason by the digest of each picture
            that has none.
        """
        wanted = self.augmentation.canvas(transform) if self.augmentation else transform
        canvas = np.zeros((len(files), wanted.size, wanted.size, 3), np.uint8)
        faults = {}
        for row, (digest, file) in enumerate(files):
            try:
                read_into(canvas[row], file, digest, wanted, scratch)
            except PictureError as error:
                faults[digest] = str(error)
        if self.augmentation is None:
            return canvas, faults
        digests = [digest for digest, _ in files]
        seeds = seeds_of(digests, self.seed, purpose_of(self.number))
        return self.augmentation.apply(canvas, seeds, transform), faults


PLAIN = View()


def read_into(
    out: Pixels, file: str, digest: bytes, transform: ImageTransform, scratch: Scratch
) -> None:
    """Read a picture whose content is known by its digest.

    Raises:
        PictureError: It cannot be read, or is not what it was.
    """
    blob = read_bytes(file)
    if hashlib.sha256(blob).digest() != digest:
        raise PictureError("it was changed while it was read")
    transform(decode(blob, transform.shorter_side, scratch), out=out)


def seeds_of(digests: Sequence[bytes], seed: int, purpose: str) -> list[int]:
    """A seed for each picture, by its content alone, for one purpose.

    >>> seeds_of([b"a", b"b"], 0, "view 1")[1] == seeds_of([b"b"], 0, "view 1")[0]
    True
    """
    return [stream_seed(seed, f"{purpose} of {digest.hex()}") for digest in digests]


def purpose_of(number: int) -> str:
    """What the seeds of a version are for, by its number.

    >>> purpose_of(1)
    'view 1'
    """
    return f"view {number}"


def unreadable_now(file: str, why: str) -> PictureError:
    """What is wrong with a picture whose features are known already.

    >>> raise unreadable_now("rex.jpg", "it is empty")
    Traceback (most recent call last):
    ...
    secchi.errors.PictureError: rex.jpg could be read before and cannot now: it is empty
    """
    return PictureError(f"{file} could be read before and cannot now: {why}")


class DrawnViews:
    """Several versions of every row, of which each epoch draws one.

    Args:
        versions: One source each, with the same rows.
        digests: SHA-256 of each row's file, which with the epoch says what is drawn.
        seed: Another seed draws others.
    """

    def __init__(
        self,
        versions: "Sequence[FeatureTable | PicturePixels | AugmentedPixels]",
        digests: Sequence[bytes],
        seed: int,
    ) -> None:
        self.width = versions[0].width
        self._versions = list(versions)
        self._digests = list(digests)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._digests)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[Any]:
        """Some rows as an epoch sees them, of shape (rows, …)."""
        places = np.arange(len(self))[rows]
        digests = [self._digests[place] for place in places]
        seeds = seeds_of(digests, self._seed, f"views of epoch {epoch}")
        drawn = np.array(seeds, np.int64) % len(self._versions)
        none = self._versions[0].take(places[:0])
        together = np.empty((len(places), *none.shape[1:]), none.dtype)
        for version in np.unique(drawn):
            here = drawn == version
            together[here] = self._versions[version].take(places[here])
        return together


class PicturePixels:
    """Pictures that are decoded whenever they are taken, where there is no room to keep them.

    Args:
        files: Their paths.
        digests: SHA-256 of each file.
        transform: What they are brought to.
        view: Which version of them.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Image.new("RGB", (40, 30), "red").save(f"{place}/red.png")
    ...     digest = hashlib.sha256(read_bytes(f"{place}/red.png")).digest()
    ...     pictures = PicturePixels([f"{place}/red.png"], [digest], ImageTransform(size=32))
    ...     pixels = pictures.take(slice(0, 1))
    >>> pixels.shape, pixels[0, 0, 0].tolist()
    ((1, 32, 32, 3), [255, 0, 0])
    """

    def __init__(
        self,
        files: Sequence[str],
        digests: Sequence[bytes],
        transform: ImageTransform,
        view: View = PLAIN,
    ) -> None:
        self.width = 3 * transform.size**2
        self._files = list(zip(digests, files, strict=True))
        self._transform = transform
        self._view = view
        self._scratch = Scratch()

    def __len__(self) -> int:
        return len(self._files)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> Pixels:
        """Some pictures, uint8 of shape (rows, size, size, 3).

        Raises:
            PictureError: One cannot be read any more.
        """
        chosen = [self._files[row] for row in np.arange(len(self))[rows]]
        pixels, faults = self._view.pixels(chosen, self._transform, self._scratch)
        for digest, file in chosen:
            if digest in faults:
                raise unreadable_now(file, faults[digest])
        return pixels


class AugmentedPixels:
    """Pictures that are augmented whenever they are taken, for every epoch anew.

    Args:
        canvas: The pictures, larger than they are seen: a table, or :class:`PicturePixels`.
        digests: SHA-256 of each file, which with the epoch says how it is changed.
        augmentation: How pictures are changed.
        transform: What they are brought to.
        seed: Another seed changes them otherwise.
        number: Every epoch sees this one of several versions, the pixels of a :class:`View`.
    """

    def __init__(
        self,
        canvas: FeatureTable | PicturePixels,
        digests: Sequence[bytes],
        augmentation: Augmentation,
        transform: ImageTransform,
        seed: int,
        number: int | None = None,
    ) -> None:
        self.width = 3 * transform.size**2
        self._canvas = canvas
        self._digests = list(digests)
        self._augmentation = augmentation
        self._transform = transform
        self._seed = seed
        self._number = number

    def __len__(self) -> int:
        return len(self._digests)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> Pixels:
        """Some pictures as an epoch sees them, uint8 of shape (rows, size, size, 3)."""
        digests = [self._digests[row] for row in np.arange(len(self))[rows]]
        anew = f"augmentation in epoch {epoch}"
        purpose = anew if self._number is None else purpose_of(self._number)
        seeds = seeds_of(digests, self._seed, purpose)
        return self._augmentation.apply(self._canvas.take(rows), seeds, self._transform)
