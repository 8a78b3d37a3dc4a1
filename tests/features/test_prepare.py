import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from secchi.errors import BackboneError
from secchi.features.cache import FeatureCache
from secchi.features.prepare import (
    Preparation,
    Prepared,
    _answer,
    _as_os_error,
    _convert,
    _move_into_place,
    _save_model,
    _smooth_pictures,
)
from secchi.features.runtimes import openvino_is_here
from secchi.models.backbones import RANDOM, Backbone
from secchi.transforms.images import ImageTransform

SMALL = Backbone("mobilenetv3_small_050", RANDOM, size=32)

needs_openvino = pytest.mark.skipif(not openvino_is_here(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    """A cache in which a small network is ready."""
    cache = FeatureCache(tmp_path_factory.mktemp("small-cache"))
    Preparation(SMALL, cache, "cpu").wait()
    return cache


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process can be started; the work is done all the same, and sooner here."""
    monkeypatch.setattr(sys, "executable", "")


@pytest.fixture
def copied(small_cache: FeatureCache, tmp_path: Path) -> FeatureCache:
    """A copy that a test may damage."""
    shutil.copytree(small_cache.root, tmp_path / "copied")
    return FeatureCache(tmp_path / "copied")


def ready_in(cache: FeatureCache, backbone: Backbone = SMALL) -> Prepared:
    """What is found without any work."""
    preparation = Preparation(backbone, cache, "cpu")
    found = preparation.ready
    preparation.cancel()
    assert found
    return preparation.wait()


def is_ready_in(cache: FeatureCache, backbone: Backbone = SMALL) -> bool:
    preparation = Preparation(backbone, cache, "cpu")
    preparation.cancel()
    return preparation.ready


def computed(
    prepared: Prepared, precision: str = "fp32"
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    runtime = prepared.runtime("cpu", precision)
    return runtime.compute(_smooth_pictures(runtime.batch_size, prepared.transform.size))


def leftovers(cache: FeatureCache) -> list[Path]:
    return [path for path in cache.bodies.rglob(".*")]


# ---------------------------------------------------------------- made ready, and found again


def test_lite0_made_ready_tells_what_it_is(lite0_cache: FeatureCache) -> None:
    prepared = ready_in(lite0_cache, Backbone(size=64))
    assert (prepared.width, prepared.transform.size, prepared.trouble) == (1280, 64, None)
    assert prepared.parameters == 3_371_008
    assert prepared.folder == lite0_cache.bodies / prepared.digest


def test_what_was_made_ready_is_found_again(small_cache: FeatureCache) -> None:
    assert ready_in(small_cache) == ready_in(small_cache)
    assert leftovers(small_cache) == []


def test_another_size_or_seed_is_another_body(small_cache: FeatureCache) -> None:
    assert not is_ready_in(small_cache, Backbone(SMALL.name, RANDOM, size=64))
    assert not is_ready_in(small_cache, Backbone(SMALL.name, RANDOM, size=32, seed=1))


def test_the_runtime_computes_what_the_network_computes(small_cache: FeatureCache) -> None:
    prepared = ready_in(small_cache)
    pictures = _smooth_pictures(8, 32)
    normalised = torch.from_numpy(prepared.transform.normalize(pictures)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = SMALL.build()(normalised).numpy()
        rebuilt = prepared.build()(normalised).numpy()
    assert np.array_equal(rebuilt, wanted)
    np.testing.assert_allclose(computed(prepared), wanted, atol=1e-3 * np.abs(wanted).max())


def test_the_name_of_the_runtime_is_known_without_opening_it(small_cache: FeatureCache) -> None:
    prepared = ready_in(small_cache)
    for precision in ("fp32", "bf16"):
        name = prepared.runtime_name("cpu", precision)
        assert name == prepared.runtime("cpu", precision).name
        assert name == f"{'openvino' if openvino_is_here() else 'torch-cpu'}-{precision}"


@pytest.mark.parametrize("prefix", ["", "body."])
def test_a_body_is_found_by_the_weights_in_a_file(
    small_cache: FeatureCache, tmp_path: Path, prefix: str
) -> None:
    prepared = ready_in(small_cache)
    file = tmp_path / "model.safetensors"
    save_file({prefix + key: value for key, value in load_file(prepared.weights).items()}, file)
    again = ready_in(small_cache, Backbone(SMALL.name, str(file), size=32))
    assert again.digest == prepared.digest


def test_a_file_of_half_precision_is_looked_up_too(
    small_cache: FeatureCache, tmp_path: Path
) -> None:
    file = tmp_path / "half.safetensors"
    state = load_file(ready_in(small_cache).weights)
    save_file({k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}, file)
    assert not is_ready_in(small_cache, Backbone(SMALL.name, str(file), size=32))


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "body.safetensors"])
@pytest.mark.parametrize("how", ["a bit", "cut short", "gone"])
@needs_openvino
def test_a_damaged_file_is_not_used(copied: FeatureCache, name: str, how: str) -> None:
    file = ready_in(copied).folder / name
    damage(file, how)
    assert not is_ready_in(copied)


def damage(file: Path, how: str = "a bit") -> None:
    content = bytearray(file.read_bytes())
    if how == "a bit":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif how == "cut short":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.unlink()


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("name", ["model.bin", "body.safetensors"])
@needs_openvino
def test_a_damaged_body_is_converted_again(copied: FeatureCache, name: str) -> None:
    before = ready_in(copied)
    features = computed(before)
    damage(before.folder / name)
    made = Preparation(SMALL, copied, "cpu").wait()
    assert made == before
    assert np.array_equal(computed(made), features)
    assert is_ready_in(copied)
    assert leftovers(copied) == []


@pytest.mark.parametrize(
    "record",
    ["", "{", "[]", "null", "{}", '{"format": 1, "files": []}', '{"format": 1, "files": {}}', "\0"],
)
def test_a_damaged_record_is_not_used(copied: FeatureCache, record: str) -> None:
    (ready_in(copied).folder / "body.json").write_text(record)
    assert not is_ready_in(copied)


def test_a_record_of_a_newer_format_is_not_used(copied: FeatureCache) -> None:
    file = ready_in(copied).folder / "body.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    assert not is_ready_in(copied)


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"no such body", b"../..", b"a\0b"])
def test_a_damaged_note_of_the_source_leads_nowhere(copied: FeatureCache, note: bytes) -> None:
    (file,) = (copied.bodies / "sources").iterdir()
    file.write_bytes(note)
    assert not is_ready_in(copied)


@pytest.mark.usefixtures("in_this_process")
@needs_openvino
def test_a_body_made_ready_for_a_gpu_is_converted_when_a_processor_needs_it(
    copied: FeatureCache,
) -> None:
    folder = ready_in(copied).folder
    record = json.loads((folder / "body.json").read_text())
    for name in ("model.xml", "model.bin"):
        (folder / name).unlink()
        del record["files"][name]
    (folder / "body.json").write_text(json.dumps(record))
    made = Preparation(SMALL, copied, "cpu").wait()
    assert (made.folder / "model.xml").exists()
    assert made.runtime_name("cpu", "fp32") == "openvino-fp32"


def test_a_body_that_could_not_be_converted_stays_as_it_is(copied: FeatureCache) -> None:
    folder = ready_in(copied).folder
    record = json.loads((folder / "body.json").read_text())
    record["files"] = {"body.safetensors": record["files"]["body.safetensors"]}
    for name in ("model.xml", "model.bin"):
        (folder / name).unlink(missing_ok=True)
    (folder / "body.json").write_text(json.dumps(record | {"trouble": "no such operation"}))
    prepared = ready_in(copied)
    assert prepared.trouble == "no such operation"
    assert prepared.runtime("cpu", "fp32").name == "torch-cpu-fp32"


@pytest.mark.usefixtures("in_this_process")
def test_what_another_process_deleted_is_made_again(copied: FeatureCache) -> None:
    preparation = Preparation(SMALL, copied, "cpu")
    prepared = preparation.wait()
    copied.clear()
    assert not prepared.weights.exists()
    assert preparation.wait() == prepared
    assert prepared.weights.exists()


# ---------------------------------------------------------------- several processes


PREPARING = """
import sys
from secchi.features.cache import FeatureCache
from secchi.features.prepare import Preparation
from secchi.models.backbones import Backbone

backbone = Backbone("mobilenetv3_small_050", "random", size=32)
print(Preparation(backbone, FeatureCache(sys.argv[1]), "cpu").wait().digest)
"""


@pytest.mark.parametrize("before", ["nothing", "a damaged body"])
def test_two_processes_make_one_body_ready_at_once(copied: FeatureCache, before: str) -> None:
    prepared = ready_in(copied)
    if before == "nothing":
        copied.clear()
    else:
        damage(prepared.weights)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARING, str(copied.root)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=200)[0].strip() for process in processes]
    assert answers == [prepared.digest] * 2
    assert ready_in(copied) == prepared
    assert leftovers(copied) == []
    assert {p.name for p in copied.bodies.iterdir()} == {"sources", prepared.digest}


def test_what_another_process_finished_first_stays(copied: FeatureCache) -> None:
    target = ready_in(copied).folder
    aside = copied.bodies / f".{target.name}-00000000.part"
    shutil.copytree(target, aside)
    inode = target.stat().st_ino
    _move_into_place(aside, target, SMALL, "cpu")
    assert target.stat().st_ino == inode


def test_a_damaged_body_is_replaced_as_one(copied: FeatureCache) -> None:
    target = ready_in(copied).folder
    aside = copied.bodies / f".{target.name}-00000000.part"
    shutil.copytree(target, aside)
    damage(target / "body.safetensors")
    _move_into_place(aside, target, SMALL, "cpu")
    assert is_ready_in(copied)
    assert leftovers(copied) == []


def test_cancelling_ends_the_process_and_waiting_begins_anew(cache: FeatureCache) -> None:
    preparation = Preparation(SMALL, cache, "cpu")
    assert not preparation.ready
    assert preparation._process is not None
    process = psutil.Process(preparation._process.pid)
    preparation.cancel()
    assert not process.is_running()
    preparation.cancel()
    assert preparation.wait().width == ready_in(cache).width


def test_a_preparation_that_nobody_waits_for_leaves_no_process(cache: FeatureCache) -> None:
    preparation = Preparation(SMALL, cache, "cpu")
    assert preparation._process is not None
    process = psutil.Process(preparation._process.pid)
    del preparation
    assert not process.is_running()


def test_a_process_that_dies_is_told_with_its_exit_code(cache: FeatureCache) -> None:
    preparation = Preparation(SMALL, cache, "cpu")
    assert preparation._process is not None
    preparation._process.kill()
    with pytest.raises(BackboneError, match=f"making '{SMALL.name}' ready ended with exit code -9"):
        preparation.wait()


# ---------------------------------------------------------------- where nothing can be written


@pytest.fixture
def unwritable(tmp_path: Path) -> FeatureCache:
    (tmp_path / "file").write_text("the person's own")
    return FeatureCache(tmp_path / "file")


@pytest.fixture
def no_temporary_folder_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    from secchi.features import cache

    made: list[Path] = []
    monkeypatch.setattr(cache, "_TEMPORARY", made)
    yield made
    for folder in made:
        shutil.rmtree(folder)


@pytest.mark.usefixtures("in_this_process")
def test_without_a_cache_a_temporary_folder_is_used_and_found_again(
    unwritable: FeatureCache, no_temporary_folder_yet: list[Path]
) -> None:
    prepared = Preparation(SMALL, unwritable, "cpu").wait()
    (temporary,) = no_temporary_folder_yet
    assert prepared.folder.parent == temporary
    assert computed(prepared).shape == (8, prepared.width)
    assert ready_in(unwritable) == prepared


@pytest.mark.usefixtures("in_this_process")
def test_a_cache_that_fills_up_gives_way_to_a_temporary_folder(
    cache: FeatureCache, no_temporary_folder_yet: list[Path]
) -> None:
    cache.bodies.mkdir(parents=True)
    (cache.bodies / "sources").write_text("a file where a folder should be")
    prepared = Preparation(SMALL, cache, "cpu").wait()
    assert prepared.folder.parent == no_temporary_folder_yet[0]
    assert ready_in(cache) == prepared


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can become larger, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource", reason="this system limits no file sizes")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_nothing_half_made_is_left(cache: FeatureCache) -> None:
    request = {
        "backbone": dataclasses.asdict(SMALL),
        "source": "0" * 32,
        "bodies": str(cache.bodies),
        "device": "cpu",
    }
    with room_for(100_000):
        answer = _answer(request)
    assert list(answer) == ["unwritable"]
    assert list(cache.bodies.iterdir()) == []


@needs_openvino
def test_a_full_disk_is_no_fault_of_the_converted_model(tmp_path: Path) -> None:
    body = SMALL.build()
    _, model, _ = _convert(body, SMALL.transform_of(body), "cpu")
    with room_for(100_000), pytest.raises(OSError, match="."), _as_os_error():
        _save_model(model, tmp_path / "model.xml")


def test_the_temporary_folder_goes_with_the_process(unwritable: FeatureCache) -> None:
    code = "from secchi.features.cache import temporary_bodies as t; f = t(); print(f, f.is_dir())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder, was_there = done.stdout.split()
    assert was_there == "True"
    assert not Path(folder).exists()
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are of another kind here")
def test_a_body_in_a_read_only_cache_is_used_as_it_is(small_cache: FeatureCache) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)  # for every user, unlike pytest's own
        cache = FeatureCache(shutil.copytree(small_cache.root, Path(parent) / "cache"))
        for path in [cache.root, *cache.root.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        administrator = os.geteuid() == 0
        if administrator:
            os.seteuid(65534)
        try:
            packages = sysconfig.get_path("purelib")
            if not os.access(packages, os.R_OK | os.X_OK, effective_ids=True):
                pytest.skip("other users may not read the Python packages here")
            assert cache.place_for_bodies() != cache.bodies
            prepared = ready_in(cache)
            assert prepared.folder.parent == cache.bodies
            assert computed(prepared).shape == (8, prepared.width)
        finally:
            if administrator:
                os.seteuid(0)
            for path in cache.root.rglob("*"):
                path.chmod(0o755)
            cache.root.chmod(0o755)


# ---------------------------------------------------------------- errors


def test_an_unknown_backbone_is_told_across_the_process(cache: FeatureCache) -> None:
    preparation = Preparation(Backbone("resnet43"), cache, "cpu")
    with pytest.raises(BackboneError, match="no backbone is called 'resnet43'; did you mean .*34"):
        preparation.wait()
    assert leftovers(cache) == []


def test_weights_that_are_not_there_are_told_at_once(cache: FeatureCache) -> None:
    with pytest.raises(BackboneError, match="no file of weights"):
        Preparation(Backbone("resnet18", "nowhere.safetensors"), cache)


def test_a_body_that_gives_no_row_a_picture_is_refused() -> None:
    class Maps(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch

    with pytest.raises(BackboneError, match=r"\(2, 3, 32, 32\) for 2 pictures, not a row each"):
        _convert(Maps(), ImageTransform(32), "cpu")


@needs_openvino
def test_an_operation_that_cannot_be_converted_leaves_torch_and_the_reason() -> None:
    class Strange(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(batch.mean((2, 3)))

    width, model, trouble = _convert(Strange(), ImageTransform(32), "cpu")
    assert (width, model) == (3, None)
    assert trouble


@needs_openvino
def test_a_converted_model_that_computes_something_else_is_not_used() -> None:
    class Different(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            means = batch.mean((2, 3))
            return -means if torch.jit.is_tracing() else means

    width, model, trouble = _convert(Different(), ImageTransform(32), "cpu")
    assert (width, model) == (3, None)
    assert trouble is not None
    assert "its features agree with torch's to a cosine of only -1.0" in trouble


# ---------------------------------------------------------------- nothing leaves the machine


WATCH = """
import atexit, os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        tell(event)

def tell(what):
    with open(os.environ["WATCHED"], "a") as file:
        file.write(what + "\\n")

def at_the_end():
    tell("openvino " + str("openvino" in sys.modules))
    if sys.modules.get("openvino_telemetry"):
        tell("telemetry")

sys.addaudithook(watch)
atexit.register(at_the_end)
"""

COMPUTING = """
import sys
import numpy as np
from secchi.features.cache import FeatureCache
from secchi.features.prepare import Preparation
from secchi.models.backbones import Backbone

prepared = Preparation(Backbone(size=64), FeatureCache(sys.argv[1]), "cpu").wait()
prepared.runtime("cpu").compute(np.zeros((8, 64, 64, 3), np.uint8))
"""


def watched(code: str, tmp_path: Path, *arguments: str) -> list[str]:
    """What this code and the processes that it starts did that a watcher should know."""
    place = tmp_path / "watch"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join([str(place), *(p for p in sys.path if p)])
    environment = os.environ | {"PYTHONPATH": path, "WATCHED": str(place / "log")}
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True)
    return (place / "log").read_text().splitlines()


@needs_openvino
def test_making_ready_and_computing_reach_for_no_network(tmp_path: Path) -> None:
    seen = watched(COMPUTING, tmp_path, str(tmp_path / "cold"))
    assert seen == ["openvino True"] * 2  # the process that converts, and the one that computes


def test_the_watcher_sees_what_it_watches_for(tmp_path: Path) -> None:
    code = "import socket, sys; sys.modules['openvino_telemetry'] = sys\n"
    code += "try: socket.create_connection(('127.0.0.1', 9), timeout=1)\nexcept OSError: pass"
    seen = watched(code, tmp_path)
    assert {"socket.connect", "socket.getaddrinfo", "openvino False", "telemetry"} == set(seen)
