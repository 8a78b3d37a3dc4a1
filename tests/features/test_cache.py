import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.errors import SecchiError
from secchi.features.cache import FeatureCache, Features, Rows, RowWriter, Space

HEADER = 64
HOUR = 3600.0


def space_of(width: int = 4, body: str = "a body") -> Space:
    return Space(body, {"size": 8}, "torch-cpu-fp32", width, "lite0, 8 px")


def digests_of(count: int, start: int = 0) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(start, start + count)]


def features_of(digests: Sequence[bytes], width: int = 4) -> Features:
    """Features that tell which picture they belong to."""
    seeds = [int.from_bytes(digest[:8], "little") for digest in digests]
    rows = [np.random.default_rng(seed).normal(size=width) for seed in seeds]
    return np.array(rows, np.float32).reshape(-1, width)


def fill(cache: FeatureCache, digests: Sequence[bytes], space: Space | None = None) -> Path:
    """Append the features of some pictures; the file they went to."""
    space = space or space_of()
    before = set(cache.root.rglob("*.rows"))
    with cache.writer(space) as writer:
        writer.append(digests, features_of(digests, space.width))
    (file,) = set(cache.root.rglob("*.rows")) - before
    return file


def append(writer: RowWriter, digests: Sequence[bytes]) -> None:
    writer.append(digests, features_of(digests, 4))


def found(cache: FeatureCache, digests: Sequence[bytes], space: Space | None = None) -> set[bytes]:
    """Which of the pictures have features; wrong ones fail the test."""
    space = space or space_of()
    return right(cache.find(space, set(digests)), digests)


def right(rows: Rows, digests: Sequence[bytes]) -> set[bytes]:
    here = [digest for digest in digests if digest in rows]
    table = rows.table(here)
    assert np.array_equal(table.take(slice(None)), features_of(here, rows.space.width))
    return set(here)


@contextlib.contextmanager
def new_cache() -> Iterator[FeatureCache]:
    """A cache for one example of hypothesis."""
    with tempfile.TemporaryDirectory() as folder:
        yield FeatureCache(folder)


def set_used(path: Path, seconds_ago: float) -> None:
    then = time.time() - seconds_ago
    for one in [path, *path.iterdir()] if path.is_dir() else [path]:
        os.utime(one, (then, then))


# ---------------------------------------------------------------- round trip


@settings(max_examples=50, deadline=None)
@given(
    width=st.integers(1, 40),
    batches=st.lists(st.integers(0, 9), max_size=5),
    data=st.data(),
)
def test_what_was_appended_is_found_bit_by_bit(
    width: int, batches: list[int], data: st.DataObject
) -> None:
    space = space_of(width)
    digests = digests_of(sum(batches))
    with new_cache() as cache:
        remaining = iter(digests)
        for size in batches:  # a file each
            with cache.writer(space) as writer:
                batch = list(itertools.islice(remaining, size))
                writer.append(batch, features_of(batch, width))
                assert writer.appended == size
                assert writer.kept == []
        asked = data.draw(
            st.lists(st.sampled_from(digests), max_size=20) if digests else st.just([])
        )
        rows = cache.find(space, set(digests))
        table = rows.table(asked)
        wanted = features_of(asked, width)
        assert len(table) == len(asked)
        assert table.width == width
        assert np.array_equal(table.take(slice(None)), wanted)
        places = np.array(data.draw(st.permutations(range(len(asked)))), np.int64)
        assert np.array_equal(table.take(places), wanted[places])
        chunks = list(table.chunks(3))
        assert all(len(chunk) <= 3 for chunk in chunks)
        assert np.array_equal(np.concatenate([wanted[:0], *chunks]), wanted)


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=8
    )
)
@settings(max_examples=50, deadline=None)
def test_values_of_every_kind_come_back_bit_by_bit(values: list[float]) -> None:
    space, digests = space_of(len(values)), digests_of(1)
    features = np.array([values], np.float32)
    with new_cache() as cache:
        with cache.writer(space) as writer:
            writer.append(digests, features)
        taken = cache.find(space, digests).table(digests).take(slice(None))
    assert taken.tobytes() == features.tobytes()


def test_only_what_is_wanted_is_found(cache: FeatureCache) -> None:
    digests = digests_of(5)
    fill(cache, digests)
    rows = cache.find(space_of(), set(digests[:2]))
    assert [digest in rows for digest in digests] == [True, True, False, False, False]


def test_what_was_never_appended_is_not_found(cache: FeatureCache) -> None:
    assert found(cache, digests_of(3)) == set()
    fill(cache, digests_of(3))
    assert found(cache, digests_of(3, start=10)) == set()


def test_whatever_shapes_a_feature_makes_a_space_of_its_own() -> None:
    space = space_of()
    others = [
        Space("another body", space.transform, space.runtime, space.width),
        Space(space.body, {"size": 9}, space.runtime, space.width),
        Space(space.body, space.transform, "torch-cpu-bf16", space.width),
        Space(space.body, space.transform, space.runtime, 5),
        Space(space.body, space.transform, space.runtime, space.width, dtype="bfloat16"),
    ]
    assert len({s.key for s in [space, *others]}) == 6
    assert Space(space.body, space.transform, space.runtime, 4, "renamed").key == space.key


def test_features_of_one_space_are_not_found_in_another(cache: FeatureCache) -> None:
    digests = digests_of(3)
    fill(cache, digests)
    assert found(cache, digests, space_of(body="another body")) == set()


def test_features_are_mapped_not_read(cache: FeatureCache) -> None:
    digests = digests_of(3)
    fill(cache, digests)
    rows = cache.find(space_of(), digests)
    assert all(isinstance(part, np.memmap) for part in rows._parts)
    taken = rows.table(digests).take(slice(None))
    assert not isinstance(taken, np.memmap)
    assert taken.flags.writeable


# ---------------------------------------------------------------- what numbers are kept as


def kept_and_taken(features: Features, dtype: str) -> Features:
    """Features after they were kept on disk."""
    digests = digests_of(len(features))
    space = Space("a body", {}, "torch", features[0].size, "", features.shape[1:], dtype)
    with new_cache() as cache:
        for some in (slice(0, 1), slice(1, None)):  # a file each
            with cache.writer(space) as writer:
                writer.append(digests[some], features[some])
        return cache.find(space, digests).table(digests).take(slice(None))


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40),
    st.lists(st.floats(width=32), min_size=1, max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_bfloat16_is_rounded_as_torch_rounds_it_bit_for_bit(
    patterns: list[int], numbers: list[float]
) -> None:
    import torch

    # Whatever four bytes can be: subnormal numbers, both zeros and infinities, every NaN.
    some = np.array(patterns, np.uint32).view(np.float32)
    values = np.concatenate([some, np.array(numbers, np.float32)])[None]
    ours = kept_and_taken(values, "bfloat16")
    theirs = torch.from_numpy(values).bfloat16().float().numpy()
    sound = ~np.isnan(values)
    assert np.array_equal(np.isnan(ours), ~sound)
    assert np.array_equal(ours[sound].view(np.uint32), theirs[sound].view(np.uint32))


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (0x3F808000, 0x3F80),  # half way: to the even one below
        (0x3F818000, 0x3F82),  # half way: to the even one above
        (0x3F808001, 0x3F81),
        (0x3F807FFF, 0x3F80),
        (0x7F7FFFFF, 0x7F80),  # the largest number rounds to infinity
        (0x7F800000, 0x7F80),
        (0xFF800000, 0xFF80),
        (0x80000000, 0x8000),
        (0x7F800001, 0x7FC0),  # NaNs stay NaNs, with their sign
        (0x7FFFFFFF, 0x7FFF),
        (0xFFFFFFFF, 0xFFFF),
        (0xFF800001, 0xFFC0),
    ],
)
def test_bfloat16_of_chosen_numbers(given_: int, kept: int) -> None:
    values = np.array([[given_]], np.uint32).view(np.float32)
    taken = kept_and_taken(np.repeat(values, 2, axis=0), "bfloat16")
    assert [int(bits) for bits in taken.view(np.uint32)[:, 0]] == [kept << 16] * 2


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_numbers_that_are_bfloat16_already_come_back_bit_by_bit(patterns: list[int]) -> None:
    values = (np.array([patterns], np.uint32) << 16).view(np.float32)
    values = np.where(np.isnan(values), np.float32(0), values)
    taken = kept_and_taken(values, "bfloat16")
    assert taken.dtype == np.float32
    assert taken.tobytes() == values.tobytes()


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_bytes_come_back_as_bytes(values: list[int]) -> None:
    pixels = np.array([values, values[::-1]], np.uint8)
    taken = kept_and_taken(pixels, "uint8")
    assert taken.dtype == np.uint8
    assert np.array_equal(taken, pixels)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_rows_keep_their_shape(dtype: str) -> None:
    features = np.arange(3 * 24).reshape(3, 2, 3, 4).astype(np.uint8 if dtype == "uint8" else "f4")
    taken = kept_and_taken(features, dtype)
    assert taken.shape == (3, 2, 3, 4)
    assert np.array_equal(taken, features)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("uint8", 1)])
def test_a_row_takes_what_its_space_says(cache: FeatureCache, dtype: str, size: int) -> None:
    space = dataclasses.replace(space_of(width=10), dtype=dtype)
    assert space.row_bytes == 36 + 10 * size
    with cache.writer(space) as writer:
        writer.append(digests_of(7), np.zeros((7, 10), np.uint8))
    (file,) = cache.root.rglob("*.rows")
    assert file.stat().st_size == HEADER + 7 * space.row_bytes
    assert cache.usage()[0].pictures == 7


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["bfloat16", "uint8"]), width=st.integers(1, 9))
def test_damage_is_found_in_rows_of_every_kind(data: st.DataObject, dtype: str, width: int) -> None:
    space = dataclasses.replace(space_of(width), dtype=dtype)
    digests = digests_of(3)
    with new_cache() as cache:
        with cache.writer(space) as writer:
            writer.append(digests, np.full((3, width), 100, np.uint8))
        (file,) = cache.root.rglob("*.rows")
        row = data.draw(st.integers(0, 2))
        byte = data.draw(st.integers(32, space.row_bytes - 1))
        content = bytearray(file.read_bytes())
        content[HEADER + row * space.row_bytes + byte] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(content)
        rows = cache.find(space, digests)
        assert [digest in rows for digest in digests] == [number != row for number in range(3)]
        assert rows.damaged == 1


def test_kinds_of_numbers_are_kept_apart(cache: FeatureCache) -> None:
    spaces = [dataclasses.replace(space_of(), dtype=d) for d in ("float32", "bfloat16", "uint8")]
    assert len({space.key for space in spaces}) == 3
    for space in spaces:
        with cache.writer(space) as writer:
            writer.append(digests_of(2), np.ones((2, 4), np.uint8))
    # Even in each other's folders they are not mistaken for their own.
    files = {space.dtype: next(cache._folder(space).glob("*.rows")) for space in spaces}
    for space in spaces:
        for dtype, file in files.items():
            if dtype != space.dtype:
                shutil.copy(file, cache._folder(space) / f"0-{dtype}.rows")
        rows = cache.find(space, digests_of(2))
        assert (len(rows._parts), rows.damaged) == (1, 0)


def test_what_older_versions_kept_is_found(cache: FeatureCache) -> None:
    """Its folder, header and records as they were before there was anything but float32."""
    space = dataclasses.replace(space_of(), shape=(4,))
    named = json.dumps([1, "a body", {"size": 8}, "torch-cpu-fp32", 4])
    folder = cache.root / "features" / hashlib.sha256(named.encode()).hexdigest()[:24]
    assert space.key == folder.name
    digests = digests_of(3)
    content = b"secchi features 1 4\n".ljust(64)
    for digest, features in zip(digests, features_of(digests), strict=True):
        check = zlib.crc32(features.tobytes(), zlib.crc32(digest))
        content += digest + check.to_bytes(4, "little") + features.tobytes()
    folder.mkdir(parents=True)
    (folder / "1.rows").write_bytes(content)
    record = {"body": "a body", "transform": {"size": 8}, "runtime": "torch-cpu-fp32", "width": 4}
    (folder / "space.json").write_text(json.dumps(record | {"title": "lite0, 8 px"}))
    assert found(cache, digests, space) == set(digests)
    assert (cache.usage()[0].title, cache.usage()[0].pictures) == ("lite0, 8 px", 3)
    # What is written now is the same.
    file = fill(cache, digests, space)
    assert file.parent == folder
    assert file.read_bytes() == content


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
@pytest.mark.parametrize("files", [1, 3])
def test_taking_some_rows_takes_memory_for_those_alone(
    cache: FeatureCache, dtype: str, files: int
) -> None:
    space = Space("a body", {}, "torch", 10_000, "", (100, 100), dtype)
    digests = digests_of(600)
    for number in range(files):
        with cache.writer(space) as writer:
            some = digests[number::files]
            writer.append(some, np.ones((len(some), 10_000), np.uint8))
    tracemalloc.start()
    try:
        table = cache.find(space, digests).table(digests)
        found_with = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        taken = table.take(np.array([3, 500, 4, 3]))
        taken_with = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        for chunk in table.chunks(10):
            taken = chunk
        chunked_with = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken.shape == (10, 100, 100)
    # The whole table takes 6 to 24 MB.
    assert max(found_with, taken_with) < 1_000_000
    assert chunked_with < 2_500_000


# ---------------------------------------------------------------- damage


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(1, 6), width=st.integers(1, 6))
def test_a_file_cut_anywhere_keeps_its_whole_records(
    data: st.DataObject, count: int, width: int
) -> None:
    space, digests = space_of(width), digests_of(count)
    with new_cache() as cache:
        file = fill(cache, digests, space)
        length = data.draw(st.integers(0, file.stat().st_size - 1))
        with file.open("r+b") as opened:
            opened.truncate(length)
        record = 32 + 4 + 4 * width
        whole = max(0, length - HEADER) // record
        assert found(cache, digests, space) == set(digests[:whole])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), count=st.integers(1, 5), width=st.integers(1, 6))
def test_a_flipped_bit_in_a_record_makes_it_missing_and_never_wrong(
    data: st.DataObject, count: int, width: int
) -> None:
    space, digests = space_of(width), digests_of(count)
    with new_cache() as cache:
        file = fill(cache, digests, space)
        record = 32 + 4 + 4 * width
        row = data.draw(st.integers(0, count - 1))
        byte, bit = data.draw(st.integers(0, record - 1)), data.draw(st.integers(0, 7))
        content = bytearray(file.read_bytes())
        content[HEADER + row * record + byte] ^= 1 << bit
        file.write_bytes(content)
        assert found(cache, digests, space) == set(digests) - {digests[row]}
        # A damaged digest is only another picture's; anything else is known to be damage.
        assert cache.find(space, digests).damaged == (byte >= 32)


def test_every_byte_of_a_record_is_guarded(cache: FeatureCache) -> None:
    digests = digests_of(2)
    file = fill(cache, digests)
    sound = file.read_bytes()
    for byte in range(HEADER, HEADER + 32 + 4 + 16):
        content = bytearray(sound)
        content[byte] ^= 0x10
        file.write_bytes(content)
        assert found(cache, digests) == {digests[1]}


def test_a_damaged_record_is_no_loss_where_another_file_has_it(cache: FeatureCache) -> None:
    digests = digests_of(2)
    first, _ = fill(cache, digests), fill(cache, digests)
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    assert found(cache, digests) == set(digests)


@settings(max_examples=60, deadline=None)
@given(byte=st.integers(0, HEADER - 1), value=st.integers(0, 255))
def test_a_damaged_header_loses_all_or_nothing_and_gives_nothing_wrong(
    byte: int, value: int
) -> None:
    digests = digests_of(3)
    with new_cache() as cache:
        file = fill(cache, digests)
        content = bytearray(file.read_bytes())
        content[byte] = value
        file.write_bytes(content)
        assert found(cache, digests) in (set(), set(digests))


@pytest.mark.parametrize(
    "content",
    [b"", b"secchi features 1 4", b"secchi features 1 4".ljust(HEADER), b"\x00" * 500, b"x" * 10],
)
def test_a_file_that_is_none_of_ours_is_passed_over(cache: FeatureCache, content: bytes) -> None:
    digests = digests_of(3)
    fill(cache, digests)
    (cache.root / "features" / space_of().key / "0.rows").write_bytes(content)
    (cache.root / "features" / space_of().key / "1.rows").mkdir()
    assert found(cache, digests) == set(digests)


@pytest.mark.parametrize("width", [1, 4, 1280])
@pytest.mark.parametrize("length", [19, 22, 40, 63])
def test_a_header_cut_short_is_passed_over(cache: FeatureCache, width: int, length: int) -> None:
    space, digests = space_of(width), digests_of(3)
    cut = fill(cache, digests, space)
    cut.write_bytes(cut.read_bytes()[:length])
    fill(cache, digests[:2], space)
    assert found(cache, digests, space) == set(digests[:2])


def test_a_newer_format_is_passed_over_and_left_alone(cache: FeatureCache) -> None:
    digests = digests_of(3)
    file = fill(cache, digests)
    content = file.read_bytes().replace(b"secchi features 1 4", b"secchi features 2 4")
    file.write_bytes(content)
    assert found(cache, digests) == set()
    fill(cache, digests)
    assert found(cache, digests) == set(digests)
    assert file.read_bytes() == content


# ---------------------------------------------------------------- several processes, and kill -9


def test_two_writers_at_once_lose_nothing(cache: FeatureCache) -> None:
    one, other = digests_of(20), digests_of(20, start=10)
    with cache.writer(space_of()) as a, cache.writer(space_of()) as b:
        for start in range(0, 20, 4):
            a.append(one[start : start + 4], features_of(one[start : start + 4]))
            b.append(other[start : start + 4], features_of(other[start : start + 4]))
    assert found(cache, digests_of(30)) == set(digests_of(30))


WRITER = """
import sys, hashlib, time
import numpy as np
from secchi.features.cache import FeatureCache, Space

space = Space("a body", {"size": 8}, "torch-cpu-fp32", 4, "lite0, 8 px")
start, count, pause = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
with FeatureCache(sys.argv[1]).writer(space) as writer:
    for number in range(start, start + count):
        digest = hashlib.sha256(str(number).encode()).digest()
        seed = int.from_bytes(digest[:8], "little")
        writer.append([digest], np.random.default_rng(seed).normal(size=(1, 4)).astype("f4"))
        print(number, flush=True)
        time.sleep(pause)
"""


def writing(
    cache: FeatureCache, start: int, count: int, pause: float = 0.0
) -> "subprocess.Popen[str]":
    arguments = [str(cache.root), str(start), str(count), str(pause)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_writers_in_several_processes_lose_nothing(cache: FeatureCache) -> None:
    processes = [writing(cache, 20 * number, 30) for number in range(3)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert found(cache, digests_of(70)) == set(digests_of(70))


def test_what_was_appended_before_a_kill_is_found(cache: FeatureCache) -> None:
    with writing(cache, 0, 10_000, pause=0.001) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 25:
                process.kill()
                break
    assert set(digests_of(26)) <= found(cache, digests_of(10_000))


def test_rows_that_another_process_deletes_stay_readable_where_they_are_mapped(
    cache: FeatureCache,
) -> None:
    digests = digests_of(5)
    fill(cache, digests)
    rows = cache.find(space_of(), digests)
    cache.clear()
    assert found(cache, digests) == set()
    if os.name == "posix":
        assert right(rows, digests) == set(digests)


# ---------------------------------------------------------------- where nothing can be written


def goes_on_from_memory(cache: FeatureCache, reason: str) -> None:
    digests = digests_of(6)
    with cache.writer(space_of()) as writer:
        with pytest.warns(UserWarning, match=f"cannot be kept in .*{reason}"):
            append(writer, digests[:4])
        append(writer, digests[4:])  # it warns once
    assert writer.trouble == reason
    assert writer.appended == 6
    rows = cache.find(space_of(), digests)
    for records in writer.kept:
        rows.add(records, digests)
    assert right(rows, digests) == set(digests)


def test_a_file_where_the_folder_should_be_means_memory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("the person's own")
    cache = FeatureCache(file)
    goes_on_from_memory(cache, "Not a directory")
    assert cache.usage() == []
    assert cache.evict() == cache.clear() == 0
    assert file.read_text() == "the person's own"


def test_a_file_where_a_folder_within_should_be_means_memory(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    (tmp_path / "features").write_text("the person's own")
    goes_on_from_memory(cache, "Not a directory")
    assert cache.usage() == []
    assert cache.evict() == cache.clear() == 0
    assert (tmp_path / "features").read_text() == "the person's own"


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written to the folder, not by the administrator either."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are of another kind here")
    places = [folder, *folder.rglob("*")]
    for path in places:
        path.chmod(0o555 if path.is_dir() else 0o444)
    administrator = os.geteuid() == 0
    if administrator:
        os.seteuid(65534)
    try:
        yield
    finally:
        if administrator:
            os.seteuid(0)
        for path in places:
            path.chmod(0o755)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user may enter, unlike those of pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "cache"


def test_a_read_only_folder_means_memory(reachable: Path) -> None:
    reachable.mkdir()
    with read_only(reachable):
        goes_on_from_memory(FeatureCache(reachable), "Permission denied")


def test_what_a_read_only_folder_holds_is_found(reachable: Path) -> None:
    cache, digests = FeatureCache(reachable), digests_of(5)
    fill(cache, digests)
    with read_only(reachable):
        assert found(cache, digests) == set(digests)
        assert cache.usage()[0].pictures == 5
        assert cache.place_for_bodies() != cache.bodies
        with (
            pytest.warns(UserWarning, match="Permission denied"),
            cache.writer(space_of()) as writer,
        ):
            append(writer, digests_of(1, start=9))
    assert cache.place_for_bodies() == cache.bodies


@pytest.mark.parametrize("room", [0, 30, HEADER, HEADER + 52, HEADER + 2 * 52 + 17])
def test_a_disk_that_fills_loses_nothing(cache: FeatureCache, room: int) -> None:
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    fill(cache, digests_of(1, start=100))  # makes the folder and its record, which need room too
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        goes_on_from_memory(cache, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # What did reach the disk is sound.
    assert found(cache, digests_of(6)) == set(digests_of(max(0, room - HEADER) // 52))


# ---------------------------------------------------------------- the limit


def test_what_was_used_least_recently_goes_first(cache: FeatureCache) -> None:
    files = [fill(cache, digests_of(10, start=10 * number)) for number in range(5)]
    for file, hours in zip(files, (2, 5, 3, 1, 4), strict=True):
        set_used(file, hours * HOUR)
    size = files[0].stat().st_size
    kept = FeatureCache(cache.root, limit_gb=3 * size / 1e9)
    assert kept.evict() == 2 * size
    assert [file.exists() for file in files] == [True, False, True, True, False]
    assert kept.evict() == 0


def test_finding_is_using(cache: FeatureCache) -> None:
    old, older = fill(cache, digests_of(10)), fill(cache, digests_of(10, start=10))
    set_used(old, 2 * HOUR)
    set_used(older, 3 * HOUR)
    found(cache, digests_of(10, start=10))
    FeatureCache(cache.root, limit_gb=old.stat().st_size / 1e9).evict()
    assert not old.exists()
    assert older.exists()


def test_looking_for_other_pictures_is_not_using(cache: FeatureCache) -> None:
    file = fill(cache, digests_of(10))
    set_used(file, 2 * HOUR)
    found(cache, digests_of(10, start=50))
    assert FeatureCache(cache.root, limit_gb=0).evict() > 0
    assert not file.exists()


def test_what_is_in_use_is_never_deleted(cache: FeatureCache) -> None:
    file, body = fill(cache, digests_of(10)), make_body(cache, "0" * 32)
    set_used(file, 300)
    set_used(body, 300)
    assert FeatureCache(cache.root, limit_gb=0).evict() == 0
    assert file.exists()
    assert (body / "body.safetensors").exists()


def test_a_folder_goes_with_its_last_row(cache: FeatureCache) -> None:
    old, older = fill(cache, digests_of(10)), fill(cache, digests_of(10, start=10))
    other = fill(cache, digests_of(10), space_of(body="another body"))
    for folder in (old.parent, other.parent):
        set_used(folder, HOUR)
    set_used(old, 2 * HOUR)
    set_used(older, 3 * HOUR)
    size = old.stat().st_size
    assert FeatureCache(cache.root, limit_gb=2 * size / 1e9).evict() == size
    assert {path.name for path in old.parent.iterdir()} == {old.name, "space.json"}
    set_used(old.parent, 2 * HOUR)
    assert FeatureCache(cache.root, limit_gb=size / 1e9).evict() == size
    assert not old.parent.exists()
    assert {path.name for path in other.parent.iterdir()} == {other.name, "space.json"}
    assert found(cache, digests_of(10), space_of(body="another body")) == set(digests_of(10))


@pytest.mark.parametrize("minutes", [5, 15])
def test_a_folder_without_rows_goes_unless_it_is_just_begun(
    cache: FeatureCache, minutes: int
) -> None:
    file = fill(cache, digests_of(10))
    file.unlink()
    set_used(file.parent, 60 * minutes)
    assert cache.evict() == 0
    assert file.parent.exists() == (minutes < 10)


def test_a_writer_whose_folder_another_process_removes_makes_it_again(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fill(cache, digests_of(10))
    file.unlink()
    note = RowWriter._note_space
    removals = []

    def removed_after(writer: RowWriter) -> None:
        note(writer)
        if len(removals) < 2:
            set_used(file.parent, HOUR)
            cache.evict()
            removals.append(not file.parent.exists())

    monkeypatch.setattr(RowWriter, "_note_space", removed_after)
    with cache.writer(space_of()) as writer:
        append(writer, digests_of(10))
    assert removals == [True, True]
    assert writer.trouble is None
    assert found(cache, digests_of(10)) == set(digests_of(10))
    assert (file.parent / "space.json").exists()


def test_a_record_that_another_process_removed_is_written_again(cache: FeatureCache) -> None:
    with cache.writer(space_of()) as writer:
        append(writer, digests_of(10))
        (record,) = cache.root.rglob("space.json")
        record.unlink()
    (line,) = cache.usage()
    assert (line.title, line.pictures) == ("lite0, 8 px", 10)
    with cache.writer(space_of()) as writer:
        append(writer, digests_of(10, start=10))
        cache.clear()
    assert not cache.root.exists() or list(cache.root.iterdir()) == []


def make_body(cache: FeatureCache, name: str, size: int = 1000) -> Path:
    folder = cache.bodies / name
    folder.mkdir(parents=True)
    (folder / "body.safetensors").write_bytes(bytes(size))
    (folder / "body.json").write_text('{"title": "lite0, 224 px", "width": 1280}')
    return folder


def test_a_body_goes_as_one_and_by_its_latest_use(cache: FeatureCache) -> None:
    used, unused = make_body(cache, "0" * 32), make_body(cache, "1" * 32)
    set_used(unused, 3 * HOUR)
    set_used(used, 5 * HOUR)
    set_used(used / "body.safetensors", HOUR)
    FeatureCache(cache.root, limit_gb=1100 / 1e9).evict()
    assert used.exists()
    assert not unused.exists()


def test_a_body_that_is_just_begun_stays(cache: FeatureCache) -> None:
    begun = cache.bodies / f".{'0' * 32}-12345678.part"
    begun.mkdir(parents=True)
    old = make_body(cache, "1" * 32)
    set_used(old, HOUR)
    FeatureCache(cache.root, limit_gb=0).evict()
    assert begun.exists()
    assert not old.exists()


def test_what_a_killed_process_left_half_made_goes_too(cache: FeatureCache) -> None:
    empty, half = (cache.bodies / f".{'0' * 32}-{n * 8}.part" for n in "12")
    empty.mkdir(parents=True)
    half.mkdir()
    (half / "body.safetensors").write_bytes(bytes(1000))
    set_used(empty, HOUR)
    set_used(half, HOUR)
    assert FeatureCache(cache.root, limit_gb=0).evict() == 1000
    assert not empty.exists()
    assert not half.exists()


def test_which_specification_led_to_which_body_is_no_body(cache: FeatureCache) -> None:
    sources = cache.bodies / "sources"
    sources.mkdir(parents=True)
    (sources / "0").write_text("1")
    set_used(sources, HOUR)
    assert FeatureCache(cache.root, limit_gb=0).evict() == 0
    assert (sources / "0").exists()


def test_eviction_leaves_the_persons_own_files_alone(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit_gb=0)
    own = make_own_files(tmp_path)
    for file in own:
        set_used(file, HOUR)
        set_used(file.parent, HOUR)
    assert cache.evict() == 0
    assert all(file.exists() for file in own)


@pytest.mark.parametrize("said", ["ten", "nan", "-1", "1 GB"])
def test_a_limit_that_is_no_size_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECCHI_CACHE_LIMIT", said)
    with pytest.raises(SecchiError, match="limit|LIMIT"):
        FeatureCache()


def test_the_environment_names_the_folder_and_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECCHI_CACHE", str(tmp_path / "there"))
    monkeypatch.setenv("SECCHI_CACHE_LIMIT", "2.5")
    cache = FeatureCache()
    assert (cache.root, cache.limit_gb) == (tmp_path / "there", 2.5)
    assert not cache.root.exists()
    monkeypatch.setenv("SECCHI_CACHE_LIMIT", "")
    assert FeatureCache().limit_gb == 10
    assert FeatureCache(tmp_path, limit_gb=1).limit_gb == 1
    monkeypatch.delenv("SECCHI_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FeatureCache("~/kept").root == tmp_path / "kept"


# ---------------------------------------------------------------- clearing and telling


def make_own_files(root: Path) -> list[Path]:
    """What a person may have in a folder that was taken for a cache."""
    names = ["notes.txt", "features/table.rows", "features/mine/a.rows", "bodies/mine/body.json"]
    files = [root / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("the person's own")
    return files


def test_clearing_deletes_what_the_cache_made_and_nothing_else(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    own = make_own_files(tmp_path)
    fill(cache, digests_of(10))
    make_body(cache, "0" * 32)
    (cache.bodies / "sources").mkdir()
    (cache.bodies / "sources" / "0").write_text("1")
    kept = sum(line.bytes for line in cache.usage())
    assert cache.clear() == kept > 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(own)
    assert cache.usage() == []
    assert found(cache, digests_of(10)) == set()


def test_clearing_leaves_no_folder_behind(cache: FeatureCache) -> None:
    fill(cache, digests_of(10))
    make_body(cache, "0" * 32)
    cache.clear()
    assert list(cache.root.iterdir()) == []


def test_what_links_elsewhere_keeps_its_target(cache: FeatureCache, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "a.rows").write_text("the person's own")
    (cache.root / "features").mkdir(parents=True)
    (cache.root / "features" / ("0" * 24)).symlink_to(target)
    cache.clear()
    assert (target / "a.rows").exists()


def test_usage_tells_what_is_kept_latest_first(cache: FeatureCache) -> None:
    one = fill(cache, digests_of(10))
    two = fill(cache, digests_of(7, start=10))
    body = make_body(cache, "0" * 32, size=500)
    set_used(one, 2 * HOUR)
    set_used(two, 3 * HOUR)
    set_used(body, HOUR)
    first, second = cache.usage()
    assert (first.kind, first.title, first.pictures) == ("body", "lite0, 224 px", 0)
    assert first.bytes == sum(p.stat().st_size for p in body.iterdir())
    assert (second.kind, second.title, second.pictures) == ("features", "lite0, 8 px", 17)
    assert second.bytes == one.stat().st_size + two.stat().st_size
    assert second.used == pytest.approx(time.time() - 2 * HOUR, abs=60)


@pytest.mark.parametrize(
    "record",
    [
        *("", "[1]", "null", '{"title": "x"}', '{"width": "y"}', "\0"),
        '{"title": "", "width": 4, "dtype": "float8"}',
    ],
)
def test_usage_tells_of_what_has_lost_its_record(cache: FeatureCache, record: str) -> None:
    file = fill(cache, digests_of(10))
    body = make_body(cache, "0" * 32)
    (file.parent / "space.json").write_text(record)
    (body / "body.json").write_text(record)
    lines = {line.kind: line for line in cache.usage()}
    assert lines["features"].bytes == file.stat().st_size
    assert lines["features"].title == file.parent.name
    assert lines["features"].pictures == 0
    assert lines["body"].bytes >= 1000


def test_an_empty_cache_keeps_nothing(cache: FeatureCache) -> None:
    assert cache.usage() == []
    assert cache.evict() == cache.clear() == 0
    assert not cache.root.exists()
