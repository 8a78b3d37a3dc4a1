"""One pass of the frozen body over the pictures that the cache does not know yet.

Threads decode ahead into a bounded store of pixels while the body is made ready and while it
computes; finished rows go to the disk at once. What is held in memory does not grow with the number
of pictures: pixels up to :data:`DECODED_AHEAD` (:data:`DECODED_WHILE_PREPARING` while the body is
being made ready), and a few batches.
"""

import contextlib
import dataclasses
import hashlib
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from secchi.data.folders import Progress
from secchi.data.pictures import Scratch, decode, read_bytes
from secchi.errors import PictureError, SecchiError
from secchi.features.cache import FeatureCache, FeatureTable, Rows, Space
from secchi.features.prepare import Preparation, Prepared
from secchi.features.runtimes import Runtime, cores
from secchi.transforms.images import ImageTransform, Pixels

DECODED_AHEAD = 2**26
"""Bytes of decoded pixels that may wait for a body that computes."""

DECODED_WHILE_PREPARING = 2**28
"""Bytes of decoded pixels that may wait for a body that is still being made ready."""

_CHUNK = 8

_T = TypeVar("_T")


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
    preparation: Preparation,
    cache: FeatureCache,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Extraction:
    """Find or compute the features of pictures.

    Args:
        files: The pictures.
        digests: SHA-256 of each file; pictures with one digest are computed once.
        preparation: The body, ready or on its way.
        cache: Where features are looked for and kept.
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
    # A body that is still being made ready hardly has features: decoding starts at once.
    if preparation.ready:
        space = _space(preparation.wait(), device, precision)
        rows = cache.find(space, first)
        missing = {d: f for d, f in first.items() if d not in rows}
    faults: dict[bytes, str] = {}
    trouble = None
    if missing or not preparation.ready:
        ahead = DECODED_AHEAD if preparation.ready else DECODED_WHILE_PREPARING
        with (
            _cancelled_on_error(preparation),
            _decoding(missing, preparation.transform, ahead) as decoded,
        ):
            prepared = preparation.wait()
            runtime = prepared.runtime(device, precision)
            space = _space(prepared, device, precision)
            known = cache.find(space, missing)
            damaged = known.damaged
            missing = {d: f for d, f in missing.items() if d not in known}
            decoded = (one for one in decoded if one[0] in missing)
            computed = _computed(decoded, runtime, faults)
            with cache.writer(space) as writer, contextlib.closing(computed):
                for names, features in computed:
                    writer.append(names, features)
                    if progress:
                        progress(writer.appended + len(faults), len(missing))
        rows = cache.find(space, first)
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
        space.runtime,
        trouble,
        rows,
    )


def _space(prepared: Prepared, device: str, precision: str) -> Space:
    return Space(
        prepared.digest,
        prepared.transform.to_dict(),
        prepared.runtime_name(device, precision),
        prepared.width,
        f"{prepared.backbone.name}, {prepared.transform.size} px",
    )


@contextlib.contextmanager
def _cancelled_on_error(preparation: Preparation) -> Iterator[None]:
    """Leave no process behind when the work is interrupted."""
    try:
        yield
    except BaseException:
        preparation.cancel()
        raise


Decoded = tuple[bytes, Pixels | str]
"""A picture's digest, with its pixels as the body wants them or the reason why there are none."""


@contextlib.contextmanager
def _decoding(
    files: Mapping[bytes, str], transform: ImageTransform, most_bytes: int
) -> Iterator[Iterator[Decoded]]:
    """Decode on all cores but one, with at most so many bytes of pixels waiting to be used."""
    scratch = Scratch()
    chunks = batched(files.items(), _CHUNK)
    ahead = max(2 * cores(), most_bytes // (_CHUNK * 3 * transform.size**2))

    def decode_chunk(chunk: Sequence[tuple[bytes, str]]) -> list[Decoded]:
        pixels = np.empty((len(chunk), transform.size, transform.size, 3), np.uint8)
        results: list[Decoded] = []
        for row, (digest, file) in enumerate(chunk):
            try:
                blob = read_bytes(file)
                if hashlib.sha256(blob).digest() != digest:
                    raise PictureError("it was changed while it was read")
                seen = decode(blob, transform.shorter_side, scratch)
                results.append((digest, transform(seen, out=pixels[row])))
            except PictureError as error:
                results.append((digest, str(error)))
        return results

    def results() -> Iterator[Decoded]:
        while waiting:
            finished = waiting.popleft().result()
            waiting.extend(pool.submit(decode_chunk, c) for c in islice(chunks, 1))
            yield from finished

    # One core is left to whatever makes the body ready, or computes.
    pool = ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="decode")
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
