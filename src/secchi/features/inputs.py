"""What a network is given of pictures: the input at its freeze point, computed once.

The more of a body is frozen, the less is left to compute in an epoch, and the smaller is what has
to be kept. Where not even that fits the cache, pictures are decoded, or frozen layers computed,
every time they are needed; the numbers are the same.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from secchi.data.folders import Progress
from secchi.data.picture_split import PictureSplit
from secchi.features.cache import FeatureCache, FeatureTable
from secchi.features.extract import Computable, DecodedPixels, Ready, extract
from secchi.features.prepare import Prepared
from secchi.features.views import (
    PLAIN,
    AugmentedPixels,
    DrawnViews,
    PicturePixels,
    View,
    unreadable_now,
)
from secchi.transforms.augment import Augmentation
from secchi.transforms.images import ImageTransform

MOST_OF_CACHE = 0.8
"""The share of the cache's limit, and of the free disk, that one kind of input may take."""

IN_MEMORY = 2**30
"""Bytes of inputs that may be held in memory where the cache's folder cannot be written."""

MOST_TABLES = 32
"""Tables that are remembered at most: each that is mapped keeps its files open."""

Inputs = FeatureTable | DrawnViews | AugmentedPixels | PicturePixels


@dataclasses.dataclass(frozen=True)
class Cost:
    """What inputs take before they are computed.

    Attributes:
        what: What is kept.
        rows: How many rows: pictures times views.
        bytes: What they take on disk.
        fits: Whether there is room.

    >>> print(Cost("activations of lite0 up to blocks.3, 224 px", 9000, 282_564_000, fits=True))
    activations of lite0 up to blocks.3, 224 px: 9,000 rows, 283 MB of the cache
    """

    what: str
    rows: int
    bytes: int
    fits: bool

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:,.0f} MB"
        if self.fits:
            return f"{self.what}: {self.rows:,} rows, {size} of the cache"
        return (
            f"{self.what}: {self.rows:,} rows would take {size}, more than the cache has room for"
        )


class NetworkInputs:
    """Gives a network its inputs, of any split, augmented or not.

    Args:
        frozen: The frozen part of the body, or all of it; None gives pictures as bytes.
        transform: What pictures are brought to.
        cache: Where inputs are kept.
        device: What frozen layers are computed on.
        precision: With what precision.
        progress: Makes what to call with (pictures done, pictures to do), given a title.
        draws_views: Layers are frozen, but computed every time, so ``frozen`` is None: training
            sees the same numbered versions as if what they give was kept.

    >>> import contextlib, tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     inputs = NetworkInputs(
    ...         None,  # nothing is frozen
    ...         ImageTransform(size=64),
    ...         FeatureCache(place),
    ...         device="cpu",
    ...         precision="fp32",
    ...         progress=lambda title: contextlib.nullcontext(),
    ...     )
    ...     print(inputs.cost(1000))
    decoded pictures: 1,000 rows, 12 MB of the cache
    """

    def __init__(
        self,
        frozen: Prepared | None,
        transform: ImageTransform,
        cache: FeatureCache,
        *,
        device: str,
        precision: str,
        progress: Callable[[str], AbstractContextManager[Progress | None]],
        draws_views: bool = False,
    ) -> None:
        self._frozen = frozen
        self._transform = transform
        self._cache = cache
        self._device = device
        self._precision = precision
        self._progress = progress
        self._draws_views = draws_views
        self._tables: dict[_Key, _Table] = {}  # what was used latest comes last

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        if self._frozen:
            return self._frozen.shape
        return (self._transform.size, self._transform.size, 3)

    def cost(self, rows: int, transform: ImageTransform | None = None) -> Cost:
        """What so many rows at the freeze point, or of pixels for a transform, would take."""
        computable = self._frozen or DecodedPixels(transform or self._transform)
        space = computable.space({}, self._device, self._precision)
        size = rows * space.row_bytes
        folder = self._cache.place_for_bodies()
        free = shutil.disk_usage(folder).free if folder == self._cache.bodies else IN_MEMORY
        room = min(1e9 * self._cache.limit_gb, free)
        what = f"activations of {self._frozen.title}" if self._frozen else "decoded pictures"
        return Cost(what, rows, size, size <= MOST_OF_CACHE * room)

    def knows(
        self, split: PictureSplit, view: View = PLAIN, transform: ImageTransform | None = None
    ) -> bool:
        """Whether all of a split's rows are kept already, so that they need no more room."""
        computable = self._frozen or DecodedPixels(transform or self._transform)
        if _key_of(split, computable, view) in self._tables:
            return True
        space = computable.space(view.key(computable.transform), self._device, self._precision)
        rows = self._cache.find(space, set(split.digests))
        return all(digest in rows for digest in split.digests)

    def plain(self, split: PictureSplit) -> Inputs:
        """A split's pictures as they are."""
        if self._frozen is None and not self._has_room(split, self._transform):
            return PicturePixels(split.files, split.digests, self._transform)
        source = self._frozen or DecodedPixels(self._transform)
        return self._table(split, source, PLAIN)

    def augmented(
        self,
        split: PictureSplit,
        augmentation: Augmentation,
        views: int,
        seed: int,
    ) -> Inputs:
        """A split's pictures augmented.

        Where layers are frozen, there are so many versions of each, computed and kept where they
        can be, and every epoch draws one of them; where none are, every epoch sees a version of its
        own.
        """
        if not augmentation.alters:
            return self.plain(split)
        if self._frozen is not None:
            numbered = [View(augmentation, seed, number) for number in range(views)]
            tables = [self._table(split, self._frozen, view) for view in numbered]
            return DrawnViews(tables, split.digests, seed)
        canvas = augmentation.canvas(self._transform)
        pictures: FeatureTable | PicturePixels
        if self._has_room(split, canvas):
            pictures = self._table(split, DecodedPixels(canvas), PLAIN)
        else:
            pictures = PicturePixels(split.files, split.digests, canvas)

        def changed(number: int | None) -> AugmentedPixels:
            given = (pictures, split.digests, augmentation, self._transform, seed)
            return AugmentedPixels(*given, number)

        if not self._draws_views:
            return changed(None)
        return DrawnViews([changed(number) for number in range(views)], split.digests, seed)

    def view(self, split: PictureSplit, view: View) -> Inputs:
        """One augmented version of each of a split's pictures; as pixels it is not kept."""
        if self._frozen is None:
            return PicturePixels(split.files, split.digests, self._transform, view)
        return self._table(split, self._frozen, view)

    def _has_room(self, split: PictureSplit, transform: ImageTransform) -> bool:
        """Whether a split's pixels can be kept, or are: kept ones have taken of the free disk."""
        return self.cost(len(split), transform).fits or self.knows(split, PLAIN, transform)

    def _table(self, split: PictureSplit, computable: Computable, view: View) -> FeatureTable:
        """A split's rows, remembered: what the cache could not keep is not computed again."""
        key = _key_of(split, computable, view)
        kept = self._tables.pop(key, None) or self._extracted(split, computable, view)
        self._tables[key] = kept
        while len(self._tables) > 1 and (
            len(self._tables) > MOST_TABLES
            or sum(table.in_memory for table in self._tables.values()) > IN_MEMORY
        ):
            del self._tables[next(iter(self._tables))]
        return kept.rows

    def _extracted(self, split: PictureSplit, computable: Computable, view: View) -> "_Table":
        number = f", view {view.number + 1}" if view.augmentation else ""
        with self._progress(f"{split.name}{number}") as progress:
            extraction = extract(
                split.files,
                split.digests,
                Ready(computable),
                self._cache,
                view=view,
                device=self._device,
                precision=self._precision,
                progress=progress,
            )
        for row, why in extraction.faults.items():
            raise unreadable_now(split.files[row], why)
        space = computable.space(view.key(computable.transform), self._device, self._precision)
        in_memory = len(split) * space.row_bytes if extraction.trouble else 0
        return _Table(extraction.table(split.digests), in_memory)


class _Table(NamedTuple):
    """Extracted rows, and the bytes of memory that they take at most; mapped ones take none."""

    rows: FeatureTable
    in_memory: int


_Key = tuple[Computable, str, tuple[bytes, ...]]


def _key_of(split: PictureSplit, computable: Computable, view: View) -> _Key:
    """What names a table: what computes it, which version of the pictures, and which pictures."""
    version = json.dumps(view.key(computable.transform), sort_keys=True)
    return computable, version, tuple(split.digests)
