import contextlib
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from secchi.data.pictures import Scratch, read_picture
from secchi.errors import SecchiError
from secchi.features import extract as module
from secchi.features.cache import FeatureCache, Features
from secchi.features.extract import DecodedPixels, Extraction, Ready, batched, extract
from secchi.features.prepare import Preparation
from secchi.features.views import PLAIN, View
from secchi.models.backbones import RANDOM, Backbone
from secchi.transforms.augment import Augmentation
from secchi.transforms.images import ImageTransform

MakePictures = Any

LITE0 = Backbone(size=64)
SMALL = Backbone("mobilenetv3_small_050", RANDOM, size=32)
SIDE_ON = Augmentation.named("side_on")


@pytest.fixture
def own_cache(lite0_cache: FeatureCache, tmp_path: Path) -> FeatureCache:
    """A cache in which lite0 is ready, and nothing is computed."""
    shutil.copytree(lite0_cache.bodies, tmp_path / "own" / "bodies")
    return FeatureCache(tmp_path / "own")


@pytest.fixture
def pictures(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """Twenty pictures in two folders."""
    folder: Path = make_pictures(tmp_path / "pictures")
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def digests_of(files: Sequence[str]) -> list[bytes]:
    return [hashlib.sha256(Path(file).read_bytes()).digest() for file in files]


def run(files: Sequence[str], cache: FeatureCache, **options: Any) -> Extraction:
    return extract(
        files, digests_of(files), Preparation(LITE0, cache, "cpu"), cache, device="cpu", **options
    )


def features_of(extraction: Extraction, files: Sequence[str]) -> Features:
    return extraction.table(digests_of(files)).take(slice(None))


def counts(extraction: Extraction) -> tuple[int, int]:
    return extraction.computed, extraction.cached


# ---------------------------------------------------------------- what is computed, what is known


def test_pictures_are_computed_once(own_cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    first, second = run(files, own_cache), run(files, own_cache)
    assert counts(first) == (20, 0)
    assert counts(second) == (0, 20)
    assert first.faults == second.faults == {}
    assert first.trouble is None
    assert first.runtime == second.runtime
    assert np.array_equal(features_of(first, files), features_of(second, files))


def test_features_are_those_of_the_network_in_the_order_asked_for(
    own_cache: FeatureCache, pictures: Path
) -> None:
    import torch

    files = files_in(pictures)
    transform = LITE0.transform
    assert transform is not None
    pixels = np.stack([transform(read_picture(file, transform.shorter_side)) for file in files])
    batch = torch.from_numpy(transform.normalize(pixels)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = LITE0.build()(batch).numpy()
    computed = features_of(run(files, own_cache, precision="fp32"), files)
    np.testing.assert_allclose(computed, wanted, atol=1e-3 * np.abs(wanted).max())
    backwards = features_of(run(files[::-1], own_cache, precision="fp32"), files[::-1])
    assert np.array_equal(backwards, computed[::-1])


def test_renamed_and_moved_pictures_are_known(own_cache: FeatureCache, pictures: Path) -> None:
    before = features_of(run(files_in(pictures), own_cache), files_in(pictures))
    elsewhere = pictures.parent / "elsewhere"
    elsewhere.mkdir()
    for number, file in enumerate(files_in(pictures)):
        Path(file).rename(elsewhere / f"{number:03d} renamed.png")
    again = run(files_in(elsewhere), own_cache)
    assert counts(again) == (0, 20)
    assert np.array_equal(features_of(again, files_in(elsewhere)), before)


def test_one_new_picture_is_one_computation(
    own_cache: FeatureCache, pictures: Path, make_pictures: MakePictures
) -> None:
    run(files_in(pictures), own_cache)
    make_pictures(pictures, classes=("red",), per_class=1, seed=5)
    assert counts(run(files_in(pictures), own_cache)) == (1, 20)


def test_features_do_not_depend_on_what_else_is_computed(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    some = files[3:14:5]
    alone = features_of(run(some, own_cache), some)
    clear_features(own_cache)
    among = run(files[::-1], own_cache)
    assert counts(among) == (20, 0)
    assert np.array_equal(features_of(among, some), alone)


def clear_features(cache: FeatureCache) -> None:
    shutil.rmtree(cache.root / "features", ignore_errors=True)


def test_one_content_is_computed_once_however_many_files_have_it(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    copies = [shutil.copy(file, f"{file}.copy.png") for file in files[:5] for _ in range(2)]
    told: list[tuple[int, int]] = []
    extraction = run(files + copies, own_cache, progress=lambda *at: told.append(at))
    assert told[-1] == (20, 20)
    assert own_cache.usage()[0].pictures == 20
    assert counts(extraction) == (30, 0)
    features = features_of(extraction, files + copies)
    assert np.array_equal(features[20:], features[:5].repeat(2, axis=0))


def test_each_precision_has_features_of_its_own(own_cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    assert counts(run(files, own_cache, precision="fp32")) == (20, 0)
    assert counts(run(files, own_cache, precision="bf16")) == (20, 0)
    assert counts(run(files, own_cache, precision="fp32")) == (0, 20)


def test_progress_counts_up_to_what_is_to_compute(own_cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    run(files[:3], own_cache)
    told: list[tuple[int, int]] = []
    run(files, own_cache, progress=lambda *at: told.append(at))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {17}
    assert told[-1][0] == 17


def test_decoding_goes_on_while_the_body_is_made_ready(cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    preparation = Preparation(LITE0, cache, "cpu")
    assert not preparation.ready
    first = extract(files, digests_of(files), preparation, cache, device="cpu")
    assert counts(first) == (20, 0)
    assert counts(run(files, cache)) == (0, 20)


def test_no_picture_at_all_is_no_error(
    cache: FeatureCache, own_cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counts(run([], own_cache)) == (0, 0)
    monkeypatch.setattr(sys, "executable", "")  # no process of its own: sooner
    extraction = extract([], [], Preparation(SMALL, cache, "cpu"), cache, device="cpu")
    assert counts(extraction) == (0, 0)
    assert len(extraction.table([])) == 0


# ---------------------------------------------------------------- versions, and nothing but pixels


def test_every_version_of_the_pictures_is_computed_once(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    views = [PLAIN, View(SIDE_ON), View(SIDE_ON, number=1), View(SIDE_ON, seed=1)]
    firsts = [run(files, own_cache, view=view) for view in views]
    assert [counts(extraction) for extraction in firsts] == [(20, 0)] * 4
    seconds = [run(files[::-1], own_cache, view=view) for view in views]
    assert [counts(extraction) for extraction in seconds] == [(0, 20)] * 4
    features = [features_of(extraction, files) for extraction in firsts]
    for one, again in zip(features, seconds, strict=True):
        assert np.array_equal(features_of(again, files), one)
    differ = [not np.array_equal(a, b) for a, b in itertools.combinations(features, 2)]
    assert all(differ)


def test_features_of_a_version_are_those_of_its_pixels(
    own_cache: FeatureCache, pictures: Path
) -> None:
    import torch

    files = files_in(pictures)
    view, transform = View(SIDE_ON, seed=2, number=1), LITE0.transform
    assert transform is not None
    named = list(zip(digests_of(files), files, strict=True))
    pixels, _ = view.pixels(named, transform, Scratch())
    batch = torch.from_numpy(transform.normalize(pixels)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = LITE0.build()(batch).numpy()
    computed = features_of(run(files, own_cache, precision="fp32", view=view), files)
    np.testing.assert_allclose(computed, wanted, atol=1e-3 * np.abs(wanted).max())


def decoded(files: Sequence[str], cache: FeatureCache, size: int, **options: Any) -> Extraction:
    source = Ready(DecodedPixels(ImageTransform(size=size)))
    return extract(files, digests_of(files), source, cache, **options)


def test_pixels_are_decoded_once_for_each_size(cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    first = decoded(files, cache, 32)
    assert (counts(first), first.runtime) == ((20, 0), "decoded")
    transform = ImageTransform(size=32)
    wanted = [transform(read_picture(file, transform.shorter_side)) for file in files]
    taken = features_of(first, files)
    assert taken.dtype == np.uint8
    assert np.array_equal(taken, np.stack(wanted))
    assert counts(decoded(files, cache, 40)) == (20, 0)
    # What a network would be computed on and with has no say.
    assert counts(decoded(files, cache, 32, device="cpu", precision="bf16")) == (0, 20)
    assert {line.title for line in cache.usage()} == {"32 px", "40 px"}


def test_pixels_of_undecodable_pictures_are_faults(cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    Path(files[7]).write_bytes(b"no picture")
    told: list[tuple[int, int]] = []
    extraction = decoded(files, cache, 32, progress=lambda *at: told.append(at))
    assert list(extraction.faults) == [7]
    assert (counts(extraction), told[-1]) == ((19, 0), (20, 20))
    again = decoded(files, cache, 32)
    assert (again.faults, counts(again)) == (extraction.faults, (0, 19))


# ---------------------------------------------------------------- pictures that go wrong


def test_an_undecodable_picture_is_a_fault_and_its_neighbours_are_as_ever(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    sound = features_of(run(files, own_cache), files)
    clear_features(own_cache)
    broken = [pictures / "a.png", pictures / "blue" / "blue_0_3a.png", pictures / "z.jpg"]
    cut = Path(files[0]).read_bytes()
    contents = (b"no picture", cut[: len(cut) // 2], b"\xff\xd8\xff" * 9)
    for file, content in zip(broken, contents, strict=True):
        file.write_bytes(content)
    everything = files_in(pictures)
    extraction = run(everything, own_cache)
    places = {everything.index(str(file)) for file in broken}
    assert extraction.faults.keys() == places
    assert all(extraction.faults.values())
    assert counts(extraction) == (20, 0)
    assert np.array_equal(features_of(extraction, files), sound)
    again = run(everything, own_cache)
    assert again.faults == extraction.faults
    assert counts(again)[1] == 20


def test_pictures_that_are_all_undecodable_are_all_faults(
    own_cache: FeatureCache, tmp_path: Path
) -> None:
    files = [str(tmp_path / f"{number}.jpg") for number in range(11)]
    for number, file in enumerate(files):
        Path(file).write_text(f"text {number}")
    extraction = run(files, own_cache)
    assert len(extraction.faults) == 11
    assert counts(extraction) == (0, 0)
    assert len(extraction.table([])) == 0


def test_a_picture_that_changed_since_it_was_looked_at_is_a_fault(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    digests = digests_of(files)
    Image.new("RGB", (64, 64), "red").save(files[4])
    Path(files[5]).unlink()
    Path(files[6]).unlink()
    Path(files[6]).mkdir()
    preparation = Preparation(LITE0, own_cache, "cpu")
    extraction = extract(files, digests, preparation, own_cache, device="cpu")
    assert extraction.faults == {
        4: "it was changed while it was read",
        5: "no such file",
        6: "a folder",
    }
    assert counts(extraction) == (17, 0)
    # The new content is another picture.
    assert counts(run(files[:5], own_cache)) == (1, 4)


def test_a_picture_of_a_folder_that_vanishes_is_known_if_it_was_computed(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    digests = digests_of(files)
    run(files, own_cache)
    shutil.rmtree(pictures)
    preparation = Preparation(LITE0, own_cache, "cpu")
    extraction = extract(files, digests, preparation, own_cache, device="cpu")
    assert counts(extraction) == (0, 20)
    assert extraction.faults == {}


# ---------------------------------------------------------------- a cache that goes wrong


def test_a_damaged_row_is_computed_again(own_cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    before = features_of(run(files, own_cache), files)
    (rows,) = (own_cache.root / "features").rglob("*.rows")
    content = bytearray(rows.read_bytes())
    content[-100] ^= 1
    rows.write_bytes(content)
    again = run(files, own_cache)
    assert counts(again) == (1, 19)
    assert again.damaged == 1
    assert np.array_equal(features_of(again, files), before)
    healed = run(files, own_cache)
    assert counts(healed) == (0, 20)
    assert healed.damaged == 0


def test_without_a_place_for_features_work_goes_on_from_memory(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    kept = features_of(run(files, own_cache), files)
    clear_features(own_cache)
    (own_cache.root / "features").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="features cannot be kept in .*work goes on from memory"):
        extraction = run(files, own_cache)
    assert extraction.trouble == "Not a directory"
    assert counts(extraction) == (20, 0)
    assert np.array_equal(features_of(extraction, files), kept)


def test_a_disk_that_fills_midway_costs_no_feature(own_cache: FeatureCache, pictures: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    files = files_in(pictures)
    kept = features_of(run(files, own_cache), files)
    for rows in (own_cache.root / "features").rglob("*.rows"):
        rows.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))  # eleven rows and a half
    try:
        with pytest.warns(UserWarning, match="File too large"):
            extraction = run(files, own_cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert extraction.trouble == "File too large"
    assert np.array_equal(features_of(extraction, files), kept)
    assert counts(run(files, own_cache)) == (9, 11)


def test_a_cache_over_its_limit_loses_nothing_that_is_in_use(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    small = FeatureCache(own_cache.root, limit_gb=0)
    assert len(features_of(run(files, small), files)) == 20
    assert counts(run(files, small)) == (0, 20)


def test_an_old_data_set_makes_room_for_a_new_one(
    own_cache: FeatureCache, pictures: Path, make_pictures: MakePictures
) -> None:
    run(files_in(pictures), own_cache)
    (old,) = (own_cache.root / "features").rglob("*.rows")
    os.utime(old, (0, 0))
    other = files_in(make_pictures(pictures.parent / "other", seed=1))
    run(other, FeatureCache(own_cache.root, limit_gb=0))
    assert not old.exists()
    assert counts(run(other, own_cache)) == (0, 20)


def test_a_cache_cleared_by_another_while_it_is_used_is_told(
    own_cache: FeatureCache, pictures: Path
) -> None:
    with pytest.raises(SecchiError, match=r"vanished from .* run it again"):
        run(files_in(pictures), own_cache, progress=lambda *at: clear_features(own_cache))
    assert counts(run(files_in(pictures), own_cache)) == (20, 0)


# ---------------------------------------------------------------- kill -9, Ctrl-C, two at once


EXTRACTING = """
import hashlib, sys, time
from pathlib import Path
from secchi.features.cache import FeatureCache
from secchi.features.extract import extract
from secchi.features.prepare import Preparation
from secchi.models.backbones import Backbone

def progress(done, total):
    print(done, flush=True)
    time.sleep(0.1)

if __name__ == "__main__":
    cache = FeatureCache(sys.argv[1])
    files = sorted(str(path) for path in Path(sys.argv[2]).rglob("*.png"))
    digests = [hashlib.sha256(Path(file).read_bytes()).digest() for file in files]
    preparation = Preparation(Backbone(size=64), cache, "cpu")
    done = extract(files, digests, preparation, cache, device="cpu", progress=progress)
    features = done.table(digests).take(slice(None))
    print(done.computed, done.cached, hashlib.sha256(features.tobytes()).hexdigest())
"""


def extracting(cache: FeatureCache, pictures: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", EXTRACTING, str(cache.root), str(pictures)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_after_kill_9_only_what_was_lost_is_computed(
    own_cache: FeatureCache, tmp_path: Path, make_pictures: MakePictures
) -> None:
    files = files_in(make_pictures(tmp_path / "sixty", per_class=30))
    undisturbed = features_of(run(files, own_cache), files)
    clear_features(own_cache)
    chance = random.Random(0)
    safe = 0
    for _ in range(3):
        with extracting(own_cache, tmp_path / "sixty") as process:
            assert process.stdout is not None
            done = int(process.stdout.readline())
            time.sleep(chance.uniform(0, 0.12))
            process.kill()
            told = [done, *map(int, process.stdout.read().split())]
        assert process.returncode == -signal.SIGKILL
        safe += told[-1]  # what it told of was written
    extraction = run(files, own_cache)
    assert extraction.computed + extraction.cached == 60
    assert extraction.cached >= safe
    assert np.array_equal(features_of(extraction, files), undisturbed)
    assert counts(run(files, own_cache)) == (0, 60)


def test_two_processes_at_once_get_the_same_features(
    own_cache: FeatureCache, tmp_path: Path, make_pictures: MakePictures
) -> None:
    make_pictures(tmp_path / "sixty", per_class=30)
    processes = [extracting(own_cache, tmp_path / "sixty") for _ in range(2)]
    ends = [p.communicate(timeout=200)[0].splitlines()[-1].split() for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    assert ends[0][2] == ends[1][2]
    assert all(int(computed) + int(cached) == 60 for computed, cached, _ in ends)


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("decode", "compute"))]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interruption_leaves_no_thread_and_keeps_what_was_computed(
    own_cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    try:
        run(files, own_cache, progress=interrupt)
    except KeyboardInterrupt:
        assert own_threads() == []
    else:
        pytest.fail("it was not interrupted")
    assert counts(run(files, own_cache)) == (12, 8)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers of signals")
def test_an_interruption_while_the_body_is_made_ready_leaves_no_process(
    cache: FeatureCache, pictures: Path
) -> None:
    files = files_in(pictures)
    digests = digests_of(files)
    before = set(psutil.Process().children(recursive=True))
    preparation = Preparation(SMALL, cache, "cpu")
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.7)
        with pytest.raises(KeyboardInterrupt):
            extract(files, digests, preparation, cache, device="cpu")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert set(psutil.Process().children(recursive=True)) == before
    assert own_threads() == []
    # The same preparation can be waited for once more.
    again = extract(files, digests, preparation, cache, device="cpu")
    assert counts(again) == (20, 0)


def test_a_fault_of_the_body_leaves_no_thread(own_cache: FeatureCache, pictures: Path) -> None:
    files = files_in(pictures)
    digests = digests_of(files)
    nameless = Preparation(Backbone("no such body", size=64), own_cache, "cpu")
    with contextlib.suppress(SecchiError):
        extract(files, digests, nameless, own_cache, device="cpu")
        pytest.fail("it was not refused")
    assert own_threads() == []


# ---------------------------------------------------------------- memory


MEASURING = """
import hashlib, re, sys, threading, time
from pathlib import Path
from secchi.features import extract as module
from secchi.features.cache import FeatureCache
from secchi.features.prepare import Preparation
from secchi.models.backbones import Backbone

module.DECODED_AHEAD = int(sys.argv[3])
files = sorted(str(path) for path in Path(sys.argv[2]).rglob("*.png"))
cache = FeatureCache(sys.argv[1])
peak = 0

def watch():
    global peak
    while True:
        kilobytes = re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())
        peak = max(peak, int(kilobytes[1]))
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
for some in (files[:60], files):
    digests = [hashlib.sha256(Path(file).read_bytes()).digest() for file in some]
    preparation = Preparation(Backbone(size=224), cache, "cpu")
    done = module.extract(some, digests, preparation, cache, device="cpu")
    for chunk in done.table(digests).chunks(64):
        pass
    print(peak // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told elsewhere here")
def test_memory_does_not_grow_with_the_number_of_pictures(
    own_cache: FeatureCache, tmp_path: Path, make_pictures: MakePictures
) -> None:
    make_pictures(tmp_path / "many", per_class=300, size=32)
    arguments = [str(own_cache.root), str(tmp_path / "many"), str(2**22)]
    command = [sys.executable, "-c", MEASURING, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = map(int, done.stdout.split())
    # The pixels of the pictures would take 81 MB more.
    assert many - few < 40


@pytest.mark.parametrize(
    ("size", "count", "most"),
    [
        (224, 2, 445),  # 64 MB
        (224, 64, 445),
        (512, 16, 85),
        (1024, 64, 63),  # one for each thread
        (4096, 1, 1),
    ],
)
def test_what_is_decoded_ahead_is_bounded_whatever_the_size_and_the_cores(
    size: int, count: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cores", lambda: count)
    begun: list[bytes] = []

    class Counted(View):
        def pixels(self, files: Any, transform: Any, scratch: Any) -> Any:
            begun.extend(digest for digest, _ in files)
            return np.zeros((len(files), 1, 1, 3), np.uint8), {}

    names = [f"{number}".encode() for number in range(1000)]
    ahead = module.DECODED_AHEAD
    given = (dict.fromkeys(names, ""), ImageTransform(size=size), Counted(), ahead)
    with module._decoding(*given) as decoded:
        deadline = time.monotonic() + 20
        while len(begun) < 0.9 * most and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert 0.9 * most <= len(begun) <= most
        taken = [next(decoded)[0] for _ in range(40)]
        time.sleep(0.05)
        # And the chunk that is being handed out.
        assert len(begun) - len(taken) <= most + 8
        assert taken + [digest for digest, _ in decoded] == names
    assert set(begun) == set(names)


def test_batches_are_consecutive_and_the_last_may_be_short() -> None:
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batched([], 3)) == []
