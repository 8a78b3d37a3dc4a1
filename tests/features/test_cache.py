import contextlib
import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
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
    ]
    assert len({s.key for s in [space, *others]}) == 5
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


@pytest.mark.parametrize("record", ["", "[1]", "null", '{"title": "x"}', '{"width": "y"}', "\0"])
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
