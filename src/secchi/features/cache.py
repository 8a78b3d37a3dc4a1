"""What was computed once, kept on disk.

::

    <cache>/bodies/<digest>/           a network made ready: weights, converted model, checksums
    <cache>/bodies/sources/<source>    which digest a backbone's specification led to
    <cache>/features/<space>/*.rows    features of pictures, appended as they are computed

A *space* is everything that shapes a feature besides the picture: the body's weights, the
transform, the runtime and its precision. Within it a row is found by the picture's content, so
renamed and moved pictures keep theirs.

A ``.rows`` file is a line of header, then fixed-length records of (digest, checksum, features),
only ever appended to and by one process alone. A record that is damaged or half written fails its
checksum and counts as missing; whoever needs it computes it again. So the process may be killed at
any moment, and any number of them may share a cache, without a lock.
"""

import atexit
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SecchiError
from secchi.files import write_json

FORMAT = 1
_HEADER_BYTES = 64
_DIGEST_BYTES = 32
_DEFAULT_LIMIT_GB = 10.0
_IN_USE_SECONDS = 600

_OWN_FOLDER = re.compile(
    r"[0-9a-f]{24}|[0-9a-f]{32}|\.[0-9a-f]{32}-[0-9a-f]{8}\.(part|old)|sources"
)
"""The names of the folders that a cache makes in its two folders."""

Features = NDArray[Any]
"""float32, or uint8 for pixels."""


_STORED = {"float32": "<f4", "bfloat16": "<u2", "uint8": "u1"}
"""What numbers are kept as, by name; bfloat16, which NumPy lacks, as the bits of it."""


def _record(width: int, dtype: str) -> np.dtype[Any]:
    features = ("features", _STORED[dtype], (width,))
    return np.dtype([("digest", "u1", (_DIGEST_BYTES,)), ("check", "<u4"), features])


@dataclasses.dataclass(frozen=True)
class Space:
    """What shapes a feature besides the picture.

    Attributes:
        body: Digest of the network and its weights.
        transform: The transform, as plain values.
        runtime: The runtime and its precision, such as ``"openvino-bf16"``.
        width: Numbers in a feature.
        title: What a person calls it; names nothing.
        shape: Of a feature, as it is taken; () for a row of numbers.
        dtype: What its numbers are kept as: ``"float32"``, ``"bfloat16"`` (taken as float32) or
            ``"uint8"``.
    """

    body: str
    transform: dict[str, Any]
    runtime: str
    width: int
    title: str = dataclasses.field(default="", compare=False)
    shape: tuple[int, ...] = ()
    dtype: str = "float32"

    @property
    def row_bytes(self) -> int:
        """What a row takes on disk."""
        return _record(self.width, self.dtype).itemsize

    @property
    def key(self) -> str:
        """The folder's name."""
        named = [FORMAT, self.body, self.transform, self.runtime, self.width]
        if self.dtype != "float32":
            named.append(self.dtype)
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:24]


class FeatureTable:
    """Rows of features, mapped from disk and copied only when taken.

    Attributes:
        width: Numbers in a row.
        shape: Of a row as it is taken.
    """

    def __init__(
        self, space: Space, parts: Sequence[NDArray[Any]], where: NDArray[np.int64]
    ) -> None:
        self.width = space.width
        self.shape = space.shape or (space.width,)
        self._dtype = space.dtype
        self._parts = list(parts)
        self._where = where  # (rows, 2): which part, which record in it

    def __len__(self) -> int:
        return len(self._where)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> Features:
        """Copy some rows into memory.

        Args:
            rows: Their places, or a slice of them.
            epoch: Features are the same in every epoch.

        Returns:
            float32, or uint8 for pixels, of shape (rows, *shape).
        """
        where = self._where[rows]
        if len(self._parts) == 1:
            taken = np.ascontiguousarray(self._parts[0]["features"][where[:, 1]])
        else:
            taken = np.empty((len(where), self.width), _STORED[self._dtype])
            for part in np.unique(where[:, 0]):
                here = where[:, 0] == part
                taken[here] = self._parts[part]["features"][where[here, 1]]
        if self._dtype == "bfloat16":
            taken = (taken.astype(np.uint32) << 16).view(np.float32)
        return taken.reshape(len(where), *self.shape)

    def chunks(self, rows: int = 4096) -> Iterator[Features]:
        """All rows in their order, a bounded number of them at a time."""
        for start in range(0, len(self), rows):
            yield self.take(slice(start, start + rows))


class Rows:
    """The records of one space that this process can see, by digest."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.damaged = 0
        self._parts: list[NDArray[Any]] = []
        self._where: dict[bytes, tuple[int, int]] = {}

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._where

    def table(self, digests: Sequence[bytes]) -> FeatureTable:
        """The features of these pictures, in this order; every one has to be here."""
        where = np.array([self._where[digest] for digest in digests], np.int64).reshape(-1, 2)
        used, part = np.unique(where[:, 0], return_inverse=True)
        where[:, 0] = part
        return FeatureTable(self.space, [self._parts[i] for i in used] or self._parts[:1], where)

    def add(self, records: NDArray[Any], wanted: Collection[bytes]) -> bool:
        """Take in the sound records that are wanted and not here yet; True if there were any."""
        number = len(self._parts)
        raw = records.view(np.uint8).reshape(len(records), records.dtype.itemsize)
        digests = raw[:, :_DIGEST_BYTES].tobytes()
        before = len(self._where)
        for row in range(len(records)):
            digest = digests[row * _DIGEST_BYTES : (row + 1) * _DIGEST_BYTES]
            if digest not in wanted or digest in self._where:
                continue
            if _checksum(digest, raw[row, _DIGEST_BYTES + 4 :]) == records["check"][row]:
                self._where[digest] = (number, row)
            else:
                self.damaged += 1
        if len(self._where) > before:
            self._parts.append(records)
            return True
        return False


class RowWriter:
    """Appends records to a file of its own, or keeps them in memory where no file can be written.

    Attributes:
        appended: Records so far.
        kept: The records that are in memory.
        trouble: Why they are in memory; None while they reach the disk.
    """

    def __init__(self, folder: Path, space: Space) -> None:
        self.trouble: str | None = None
        self._folder = folder
        self._space = space
        self._dtype = _record(space.width, space.dtype)
        self._file: BinaryIO | None = None
        self.appended = 0
        self.kept: list[NDArray[Any]] = []

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            # Rows have appeared after another process saw none, and before it removed the record.
            with contextlib.suppress(OSError):
                if self._folder.is_dir():
                    self._note_space()

    def append(self, digests: Sequence[bytes], features: Features) -> None:
        """Write the features of some pictures; a full or read-only disk is survived."""
        self.appended += len(digests)
        records = np.zeros(len(digests), dtype=self._dtype)
        records["digest"] = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _DIGEST_BYTES)
        rows = features.reshape(len(digests), self._space.width)
        records["features"] = _as_stored(rows, self._space.dtype)
        for row, digest in enumerate(digests):
            records["check"][row] = _checksum(digest, records["features"][row].view(np.uint8))
        if self.trouble is None:
            try:
                _write_whole(self._open(), records.tobytes())
                return
            except OSError as error:
                self.trouble = error.strerror or str(error)
                warnings.warn(
                    f"features cannot be kept in {self._folder}: {self.trouble}; work goes on "
                    "from memory, and the next run computes them again",
                    stacklevel=2,
                )
        self.kept.append(records)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = self._made()
            _write_whole(self._file, _header(self._dtype).ljust(_HEADER_BYTES))
        return self._file

    def _made(self) -> BinaryIO:
        """A file of its own in the folder, which another process may be removing as empty."""
        path = self._folder / f"{time.time_ns():x}-{uuid.uuid4().hex[:8]}.rows"
        for _ in range(3):
            with contextlib.suppress(FileNotFoundError):
                self._note_space()
                # Unbuffered: what was computed is safe from kill -9 as soon as it is appended.
                return path.open("xb", buffering=0)
        return path.open("xb", buffering=0)

    def _note_space(self) -> None:
        """Write down what the rows are of, where that is not known."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "space.json").exists():
            write_json(self._folder / "space.json", dataclasses.asdict(self._space))


@dataclasses.dataclass(frozen=True)
class Usage:
    """One line of what a cache keeps.

    Attributes:
        kind: ``"features"`` or ``"body"``.
        title: What it is.
        pictures: Rows of features; 0 for a body.
        bytes: Its size on disk.
        used: When it was last used, in seconds since the epoch.
    """

    kind: str
    title: str
    pictures: int
    bytes: int
    used: float


class FeatureCache:
    """The folder in which features and converted models are kept.

    Args:
        root: The folder; None takes ``SECCHI_CACHE`` or else the user's cache folder.
        limit_gb: When it is larger, what was used least recently goes first; None takes
            ``SECCHI_CACHE_LIMIT`` (in GB) or else 10.

    Raises:
        SecchiError: The limit is no number of GB.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, limit_gb: float | None = None
    ) -> None:
        if root is None:
            root = os.environ.get("SECCHI_CACHE") or None
        if root is None:
            import platformdirs

            root = platformdirs.user_cache_path("secchi")
        self.root = Path(os.path.abspath(os.path.expanduser(root)))
        said = os.environ.get("SECCHI_CACHE_LIMIT")
        try:
            self.limit_gb = float(said or _DEFAULT_LIMIT_GB) if limit_gb is None else limit_gb
        except ValueError:
            raise SecchiError(f"SECCHI_CACHE_LIMIT is {said!r}; it is a number of GB") from None
        if not self.limit_gb >= 0:
            raise SecchiError(f"the cache's limit is {self.limit_gb} GB; it is a number from 0 on")

    def __repr__(self) -> str:
        return f"FeatureCache({str(self.root)!r})"

    @property
    def bodies(self) -> Path:
        """The folder of networks made ready."""
        return self.root / "bodies"

    def find(self, space: Space, wanted: Collection[bytes]) -> Rows:
        """The sound records of a space for the pictures that are wanted."""
        rows = Rows(space)
        for path in sorted(self._folder(space).glob("*.rows")):
            with contextlib.suppress(OSError, ValueError):
                if rows.add(_mapped(path, _record(space.width, space.dtype)), wanted):
                    touch(path)
        return rows

    def writer(self, space: Space) -> RowWriter:
        """A writer of new records for a space."""
        return RowWriter(self._folder(space), space)

    def usage(self) -> list[Usage]:
        """What is kept, the most recently used first."""
        lines = []
        for folder in _own_folders(self.root / "features"):
            files = [_stat(p) for p in folder.glob("*.rows")]
            if files:
                title, record = _title_and_row_bytes(folder / "space.json")
                sizes = [size for size, _ in files]
                rows = (
                    sum(max(0, size - _HEADER_BYTES) // record for size in sizes) if record else 0
                )
                used = max(used for _, used in files)
                lines.append(Usage("features", title or folder.name, rows, sum(sizes), used))
        for folder in self._body_folders():
            files = [_stat(p) for p in _files(folder)]
            title, _ = _title_and_row_bytes(folder / "body.json")
            size, used = sum(f[0] for f in files), max((f[1] for f in files), default=0.0)
            lines.append(Usage("body", title or folder.name, 0, size, used))
        return sorted(lines, key=lambda line: -line.used)

    def evict(self) -> int:
        """Delete what was used least recently until the limit holds; the bytes freed.

        What this process has mapped stays readable where the system allows deleting it at all.
        What was used in the last ten minutes stays: it is in use, here or in another process.
        """
        # Their times as they are before anything in them is deleted.
        spaces = {folder: _stat(folder)[1] for folder in _own_folders(self.root / "features")}
        units = [(f, [path], *_stat(path)) for f in spaces for path in f.glob("*.rows")]
        for folder in self._body_folders():
            files = _files(folder)
            # The folder's own time counts too: one that is still being filled may be empty.
            stats = [_stat(path) for path in files]
            newest = max(used for _, used in [*stats, _stat(folder)])
            units.append((folder, files, sum(size for size, _ in stats), newest))
        over = sum(unit[2] for unit in units) - self.limit_gb * 1e9
        freed = 0
        for folder, files, size, used in sorted(units, key=lambda unit: unit[3]):
            if freed >= over or used > time.time() - _IN_USE_SECONDS:
                break
            for path in files:
                with contextlib.suppress(OSError):
                    path.unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()
            freed += size
        for folder, used in spaces.items():
            # A young one may be just begun, its first row still to come.
            if used <= time.time() - _IN_USE_SECONDS:
                _remove_without_rows(folder)
        return freed

    def clear(self) -> int:
        """Delete everything that is kept; the bytes freed.

        Only what the cache made is deleted, by the names that it gives, so that a folder of the
        person's own that was taken for a cache loses nothing.
        """
        freed = sum(line.bytes for line in self.usage())
        for parent in (self.root / "features", self.bodies):
            for folder in _own_folders(parent):
                shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                parent.rmdir()
        return freed

    def place_for_bodies(self) -> Path:
        """The folder for networks made ready, or a temporary one where it cannot be written."""
        try:
            self.bodies.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.bodies):
                return self.bodies
        except OSError:
            return temporary_bodies()

    def places_of_bodies(self) -> list[Path]:
        """Every folder in which a network may be found ready."""
        return [self.bodies, *_TEMPORARY]

    def _folder(self, space: Space) -> Path:
        return self.root / "features" / space.key

    def _body_folders(self) -> list[Path]:
        return [folder for folder in _own_folders(self.bodies) if folder.name != "sources"]


_TEMPORARY: list[Path] = []


def temporary_bodies() -> Path:
    """One folder for this process, removed when it ends."""
    if not _TEMPORARY:
        _TEMPORARY.append(Path(tempfile.mkdtemp(prefix="secchi-")))
        atexit.register(shutil.rmtree, _TEMPORARY[0], ignore_errors=True)
    return _TEMPORARY[0]


def _write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all of it, or raise: a disk that fills takes a part first and says nothing."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The whole records in a file, mapped.

    Raises:
        ValueError: It is no file of such records, or of a newer format.
    """
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
        if header.rstrip() != _header(dtype).rstrip():
            raise ValueError(f"{path} is no file of features of this version")
        records = (size - _HEADER_BYTES) // dtype.itemsize
        if records <= 0:  # a header can be cut short, too
            return np.empty(0, dtype=dtype)
        return np.memmap(file, dtype=dtype, mode="r", offset=_HEADER_BYTES, shape=(records,))


def _header(record: np.dtype[Any]) -> bytes:
    """What stands at the beginning of a file of such records."""
    features = record["features"]
    kind = "" if features.base == np.float32 else f" {features.base.name}"
    return f"secchi features {FORMAT} {features.shape[0]}{kind}\n".encode()


def _as_stored(features: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Numbers as they are kept; bfloat16 is rounded to the nearest, to the even one of two."""
    if dtype != "bfloat16":
        return features
    features = np.ascontiguousarray(features, np.float32)
    bits = features.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding could carry what makes a NaN one out of it; cut off, it is marked as a quiet one.
    rounded = np.where(np.isnan(features), (bits >> 16) | 0x40, rounded)
    return rounded.astype(np.uint16)


def _checksum(digest: bytes, features: NDArray[np.uint8]) -> int:
    return zlib.crc32(features.data, zlib.crc32(digest))


def touch(path: Path) -> None:
    """Note that a file or folder was used, for :meth:`FeatureCache.evict`.

    Nothing happens where that cannot be noted: in another's cache, or one on a read-only disk.

    >>> touch(Path("no such file"))
    """
    with contextlib.suppress(OSError):
        os.utime(path)


def _remove_without_rows(folder: Path) -> None:
    """Remove the folder of a space that has no rows; one in which some appear meanwhile stays."""
    with contextlib.suppress(OSError):
        if not any(folder.glob("*.rows")):
            (folder / "space.json").unlink(missing_ok=True)
            folder.rmdir()


def _stat(path: Path) -> tuple[int, float]:
    """Size and time of last use; a file that has just gone has neither."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0.0
    return status.st_size, status.st_mtime


def _title_and_row_bytes(record: Path) -> tuple[str, int]:
    """What a record says of its folder; nothing and 0 where it is damaged or not there."""
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        width = max(0, int(kept["width"]))
        size = _record(width, str(kept.get("dtype", "float32"))).itemsize if width else 0
        return str(kept["title"]), size
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def _own_folders(parent: Path) -> list[Path]:
    """The folders in it that a cache made; others are not ours to count or to delete."""
    with contextlib.suppress(OSError):
        return sorted(p for p in parent.iterdir() if _OWN_FOLDER.fullmatch(p.name) and p.is_dir())
    return []


def _files(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it has just gone."""
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []
