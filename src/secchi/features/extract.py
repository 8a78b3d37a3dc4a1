"""One pass of the frozen body over the pictures that the cache does not know yet.

Threads decode ahead into a bounded store of pixels while the body is made ready and while it
computes; finished rows go to the disk at once. What is held in memory does not grow with the number
of pictures: pixels up to :data:`DECODED_AHEAD` (:data:`DECODED_WHILE_PREPARING` while the body is
being made ready), or one picture for each thread that decodes where those take more, and a few
batches.
"""

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from secchi.data.folders import Progress
from secchi.data.pictures import Scratch
from secchi.errors import SecchiError
from secchi.features.cache import FeatureCache, FeatureTable, Rows, Space
from secchi.features.runtimes import Runtime, cores
from secchi.features.views import PLAIN, View
from secchi.transforms.images import ImageTransform, Pixels

DECODED_AHEAD = 2**26
"""Bytes of decoded pixels that may wait for a body that computes."""

DECODED_WHILE_PREPARING = 2**28
"""Bytes of decoded pixels that may wait for a body that is still being made ready."""


_CHUNK = 8
"""Pictures that a thread decodes at once; fewer where so many of every thread take too much."""

_T = TypeVar("_T")


class Computable(Protocol):
    """What a runtime can be made for: a body, a part of one, or nothing but the pixels."""

    @property
    def transform(self) -> ImageTransform:
        """What it wants its pictures brought to."""
        ...

    def space(self, transform: dict[str, Any], device: str, precision: str) -> Space:
        """The space of its features."""
        ...

    def runtime(self, device: str, precision: str) -> Runtime:
        """The fastest runtime that there is for it here."""
        ...


class Source(Protocol):
    """Something computable that may still be on its way: a :class:`Preparation`, say."""

    @property
    def ready(self) -> bool:
        """Whether :meth:`wait` returns at once."""
        ...

    @property
    def transform(self) -> ImageTransform:
        """What it wants its pictures brought to."""
        ...

    def wait(self) -> Computable:
        """Wait until it is there."""
        ...

    def cancel(self) -> None:
        """Stop the work on it."""
        ...


@dataclasses.dataclass(frozen=True)
class Ready:
    """A source that is there."""

    computable: Computable
    ready: bool = True

    @property
    def transform(self) -> ImageTransform:
        """What it wants its pictures brought to."""
        return self.computable.transform

    def wait(self) -> Computable:
        """It is there."""
        return self.computable

    def cancel(self) -> None:
        """Nothing is going on."""


@dataclasses.dataclass(frozen=True)
class DecodedPixels:
    """Nothing is computed: pictures as uint8, decoded and brought to a size once."""

    transform: ImageTransform

    def space(self, transform: dict[str, Any], device: str, precision: str) -> Space:
        """The space of the pixels; the device and the precision have no say."""
        shape = (self.transform.size, self.transform.size, 3)
        size = f"{self.transform.size} px"
        return Space("pixels", transform, "decoded", 3 * shape[0] ** 2, size, shape, "uint8")

    def runtime(self, device: str, precision: str) -> Runtime:
        """Gives the pixels as they come."""
        return _Unchanged()


class _Unchanged:
    """A runtime that computes nothing."""

    name = "decoded"
    batch_size = _CHUNK
    parallel = 1

    def compute(self, pixels: Pixels) -> Pixels:
        """The pixels as they come."""
        return pixels


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The features of some pictures, and how they came about.

    Attributes:
        faults: The reason by the place of each picture that could not be decoded.
        computed: Pictures that were computed.
        cached: Pictures whose features were known.
        damaged: Cached rows that failed their checksum and were computed again.
        seconds: How long it took.
        runtime: What computed them.
        trouble: Why the cache could not keep them, or None.
    """

    faults: dict[int, str]
    computed: int
    cached: int
    damaged: int
    seconds: float
    runtime: str
    trouble: str | None
    _rows: Rows

    def table(self, digests: Sequence[bytes]) -> FeatureTable:
        """The features of these pictures, in this order."""
        return self._rows.table(digests)


def extract(
    files: Sequence[str],
    digests: Sequence[bytes],
    source: Source,
    cache: FeatureCache,
    *,
    view: View = PLAIN,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Extraction:
    """Find or compute the features of pictures.

    Args:
        files: The pictures.
        digests: SHA-256 of each file; pictures with one digest are computed once.
        source: The body, or a part of it, ready or on its way; or nothing but the pixels.
        cache: Where features are looked for and kept.
        view: The pictures themselves, or one augmented version of each.
        device: What to compute on.
        precision: With what precision.
        progress: Called with (pictures computed, pictures to compute).

    Raises:
        BackboneError: The body could not be made ready.
    """
    started = time.perf_counter()
    first: dict[bytes, str] = {}
    for file, digest in zip(files, digests, strict=True):
        first.setdefault(digest, file)

    missing, damaged = first, 0

    def space() -> Space:
        prepared = source.wait()
        return prepared.space(view.key(prepared.transform), device, precision)

    # A body that is still being made ready hardly has features: decoding starts at once.
    if source.ready:
        rows = cache.find(space(), first)
        missing = {d: f for d, f in first.items() if d not in rows}
    faults: dict[bytes, str] = {}
    trouble = None
    if missing or not source.ready:
        ahead = DECODED_AHEAD if source.ready else DECODED_WHILE_PREPARING
        with (
            _cancelled_on_error(source),
            _decoding(missing, source.transform, view, ahead) as decoded,
        ):
            runtime = source.wait().runtime(device, precision)
            known = cache.find(space(), missing)
            damaged = known.damaged
            missing = {d: f for d, f in missing.items() if d not in known}
            decoded = (one for one in decoded if one[0] in missing)
            computed = _computed(decoded, runtime, faults)
            with cache.writer(space()) as writer, contextlib.closing(computed):
                for names, features in computed:
                    writer.append(names, features)
                    if progress:
                        progress(writer.appended + len(faults), len(missing))
        rows = cache.find(space(), first)
        for records in writer.kept:
            rows.add(records, first)
        trouble = writer.trouble
        cache.evict()
    if any(digest not in rows and digest not in faults for digest in first):
        raise SecchiError(f"features vanished from {cache.root} while they were used; run it again")
    return Extraction(
        {i: faults[d] for i, d in enumerate(digests) if d in faults},
        sum(d in missing and d not in faults for d in digests),
        sum(d not in missing for d in digests),
        damaged,
        time.perf_counter() - started,
        space().runtime,
        trouble,
        rows,
    )


@contextlib.contextmanager
def _cancelled_on_error(source: Source) -> Iterator[None]:
    """Leave no process behind when the work is interrupted."""
    try:
        yield
    except BaseException:
        source.cancel()
        raise


Decoded = tuple[bytes, Pixels | str]
"""A picture's digest, with its pixels as the body wants them or the reason why there are none."""


@contextlib.contextmanager
def _decoding(
    files: Mapping[bytes, str], transform: ImageTransform, view: View, most_bytes: int
) -> Iterator[Iterator[Decoded]]:
    """Decode on all cores but one, with at most so many bytes of pixels waiting to be used.

    At least one picture for each thread is decoded ahead, however large it is.
    """
    scratch = Scratch()
    # One core is left to whatever makes the body ready, or computes.
    threads = max(1, cores() - 1)
    pictures = most_bytes // (3 * transform.size**2)
    # Two chunks a thread, so that each has the next one while the last is waiting to be used.
    size = min(_CHUNK, max(1, pictures // (2 * threads)))
    chunks = batched(files.items(), size)
    ahead = max(threads, pictures // size)

    def decode_chunk(chunk: Sequence[tuple[bytes, str]]) -> list[Decoded]:
        decoded, faults = view.pixels(chunk, transform, scratch)
        return [(digest, faults.get(digest, decoded[row])) for row, (digest, _) in enumerate(chunk)]

    def results() -> Iterator[Decoded]:
        while waiting:
            finished = waiting.popleft().result()
            waiting.extend(pool.submit(decode_chunk, c) for c in islice(chunks, 1))
            yield from finished

    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        waiting = deque(pool.submit(decode_chunk, chunk) for chunk in islice(chunks, ahead))
        yield results()
    finally:
        pool.shutdown(cancel_futures=True)


def _computed(
    decoded: Iterator[Decoded], runtime: Runtime, faults: dict[bytes, str]
) -> Generator[tuple[list[bytes], NDArray[np.float32]], None, None]:
    """Run the body over decoded pictures; the unreadable ones go to ``faults``."""
    sound = _without_faults(decoded, faults)
    running: deque[tuple[list[bytes], Future[NDArray[np.float32]]]] = deque()
    with ThreadPoolExecutor(runtime.parallel, thread_name_prefix="compute") as pool:
        for chunk in batched(sound, runtime.batch_size):
            names = [digest for digest, _ in chunk]
            pixels = np.zeros((runtime.batch_size, *chunk[0][1].shape), np.uint8)
            np.stack([picture for _, picture in chunk], out=pixels[: len(chunk)])
            running.append((names, pool.submit(runtime.compute, pixels)))
            # One batch more than can run, so that no thread waits for the next.
            if len(running) > runtime.parallel + 1:
                names, result = running.popleft()
                yield names, result.result()[: len(names)]
        for names, result in running:
            yield names, result.result()[: len(names)]


def _without_faults(
    decoded: Iterator[Decoded], faults: dict[bytes, str]
) -> Iterator[tuple[bytes, Pixels]]:
    for digest, result in decoded:
        if isinstance(result, str):
            faults[digest] = result
        else:
            yield digest, result


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Consecutive items, ``size`` at a time (``itertools.batched`` came with Python 3.12)."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
