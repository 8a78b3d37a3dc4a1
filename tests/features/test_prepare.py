import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from secchi.errors import BackboneError, SecchiError
from secchi.features import prepare
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
    prepare_part,
)
from secchi.features.runtimes import TorchRuntime, openvino_is_here
from secchi.models.backbones import RANDOM, Backbone
from secchi.models.groups import FEATURES, cut, layer_groups
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
        name = prepared.space({}, "cpu", precision).runtime
        assert name == prepared.runtime("cpu", precision).name
        assert name == f"{'openvino' if openvino_is_here() else 'torch-cpu'}-{precision}"


@pytest.mark.parametrize("prefix", ["", "body."])
def test_a_body_is_found_by_the_weights_in_a_file(
    small_cache: FeatureCache, tmp_path: Path, prefix: str
) -> None:
    prepared = ready_in(small_cache)
    file = tmp_path / "model.safetensors"
    state = {prefix + key: value for key, value in load_file(prepared.weights).items()}
    if prefix:  # the file of a bundle
        state["head.center"] = torch.zeros(prepared.width)
    save_file(state, file)
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
    assert made.space({}, "cpu", "fp32").runtime == "openvino-fp32"


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
    _, model, _ = _convert(body, SMALL.transform_of(body), "cpu", flat=True)
    with room_for(100_000), pytest.raises(OSError, match="."), _as_os_error():
        _save_model(model, tmp_path / "model.xml")


def test_the_temporary_folder_goes_with_the_process(unwritable: FeatureCache) -> None:
    code = "from secchi.features.cache import temporary_bodies as t; f = t(); print(f, f.is_dir())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder, was_there = done.stdout.split()
    assert was_there == "True"
    assert not Path(folder).exists()
    assert done.stderr == ""


@contextlib.contextmanager
def read_only_copy(of: FeatureCache) -> Iterator[FeatureCache]:
    """A copy of a cache in which nothing can be written, not by the administrator either."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are of another kind here")
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)  # for every user, unlike pytest's own
        cache = FeatureCache(shutil.copytree(of.root, Path(parent) / "cache"))
        for path in [cache.root, *cache.root.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        administrator = os.geteuid() == 0
        if administrator:
            os.seteuid(65534)
        try:
            packages = sysconfig.get_path("purelib")
            if not os.access(packages, os.R_OK | os.X_OK, effective_ids=True):
                pytest.skip("other users may not read the Python packages here")
            yield cache
        finally:
            if administrator:
                os.seteuid(0)
            for path in cache.root.rglob("*"):
                path.chmod(0o755)
            cache.root.chmod(0o755)


def test_a_body_in_a_read_only_cache_is_used_as_it_is(small_cache: FeatureCache) -> None:
    with read_only_copy(small_cache) as cache:
        assert cache.place_for_bodies() != cache.bodies
        prepared = ready_in(cache)
        assert prepared.folder.parent == cache.bodies
        assert computed(prepared).shape == (8, prepared.width)


# ---------------------------------------------------------------- the first part of a body


GROUPS = 4
"""How many layer groups the part has."""


def part_of(body: torch.nn.Module, groups: int = GROUPS, size: int = 32) -> tuple[Any, str]:
    """The first layer groups of a body, and the name of their last layer."""
    found = cut(body, layer_groups(body), groups, torch.zeros(2, 3, size, size))
    assert found is not None
    return found.before, found.point


@pytest.fixture(scope="module")
def body() -> torch.nn.Module:
    return SMALL.build()


@pytest.fixture(scope="module")
def part_cache(
    small_cache: FeatureCache, body: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory
) -> FeatureCache:
    """A cache in which the first part of a body is ready."""
    cache = FeatureCache(tmp_path_factory.mktemp("part-cache"))
    prepare_part(*part_of(body), ready_in(small_cache), cache, "cpu")
    return cache


@pytest.fixture
def own_parts(part_cache: FeatureCache, tmp_path: Path) -> FeatureCache:
    """A copy that a test may change."""
    shutil.copytree(part_cache.root, tmp_path / "parts")
    return FeatureCache(tmp_path / "parts")


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where names alone are tested, conversion would cost a second each time."""
    monkeypatch.setattr(prepare, "openvino_is_here", lambda: False)


def folders_in(cache: FeatureCache) -> list[str]:
    return sorted(path.name for path in cache.bodies.iterdir())


def test_a_part_made_ready_tells_what_it_is(
    small_cache: FeatureCache, part_cache: FeatureCache, body: torch.nn.Module
) -> None:
    part, point = part_of(body)
    prepared = prepare_part(part, point, ready_in(small_cache), part_cache, "cpu")
    assert prepared.shape == tuple(part(torch.zeros(1, 3, 32, 32)).shape[1:])
    assert prepared.width == np.prod(prepared.shape)
    assert prepared.point == point == "blocks.2"
    assert prepared.title == "mobilenetv3_small_050 up to blocks.2, 32 px"
    assert prepared.parameters == sum(p.numel() for p in part.parameters())
    assert prepared.transform == ready_in(small_cache).transform
    assert prepared.network is part
    assert prepared.folder == part_cache.bodies / prepared.digest
    assert prepared.digest != ready_in(small_cache).digest
    titles = [line.title for line in part_cache.usage()]
    assert titles == ["mobilenetv3_small_050 up to blocks.2, 32 px"]
    assert leftovers(part_cache) == []


@pytest.mark.parametrize("converted", [True, False])
def test_a_part_computes_what_the_layers_do(
    small_cache: FeatureCache,
    part_cache: FeatureCache,
    body: torch.nn.Module,
    converted: bool,
    tmp_path: Path,
) -> None:
    if converted and not openvino_is_here():
        pytest.skip("OpenVINO is not installed")
    part, point = part_of(body)
    prepared = prepare_part(part, point, ready_in(small_cache), part_cache, "cpu")
    if not converted:
        prepared = dataclasses.replace(prepared, folder=tmp_path)
    pictures = _smooth_pictures(8, 32)
    normalised = torch.from_numpy(prepared.transform.normalize(pictures)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = part(normalised).numpy()
    runtime = prepared.runtime("cpu", "fp32")
    assert runtime.name.startswith("openvino" if converted else "torch")
    found = runtime.compute(pictures)
    assert found.shape == (8, *prepared.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def test_activations_are_kept_in_the_precision_that_they_are_computed_in(
    small_cache: FeatureCache, part_cache: FeatureCache, body: torch.nn.Module
) -> None:
    whole = ready_in(small_cache)
    part = prepare_part(*part_of(body), whole, part_cache, "cpu")
    for prepared, precision, dtype in [
        (part, "fp32", "float32"),
        (part, "bf16", "bfloat16"),
        (whole, "fp32", "float32"),
        (whole, "bf16", "float32"),
    ]:
        space = prepared.space({"a": 1}, "cpu", precision)
        assert space.dtype == dtype
        assert (space.body, space.width) == (prepared.digest, prepared.width)
        assert space.shape == prepared.shape
        assert space.runtime == prepared.runtime("cpu", precision).name
        assert (space.transform, space.title) == ({"a": 1}, prepared.title)


@pytest.mark.usefixtures("no_conversion")
def test_a_part_is_named_by_its_weights_and_where_it_ends(
    small_cache: FeatureCache, cache: FeatureCache
) -> None:
    whole, body = ready_in(small_cache), SMALL.build()
    groups, parameters = layer_groups(body), dict(body.named_parameters())

    def digest(groups: int = GROUPS, of: Prepared = whole) -> str:
        return prepare_part(*part_of(body, groups), of, cache, "cpu").digest

    def change(tensor: torch.Tensor) -> None:
        with torch.no_grad():
            tensor.view(-1)[0] += 1e-3

    first = digest()
    body = SMALL.build()
    parameters = dict(body.named_parameters())
    assert digest() == first, "the same weights have the same name"
    change(parameters[groups[GROUPS].tensors[0]])
    assert digest() == first, "what lies behind it has no say"
    other_end = digest(GROUPS + 1)
    change(parameters[groups[GROUPS - 1].tensors[0]])
    changed = digest()
    change(
        next(b for name, b in body.named_buffers() if name.endswith("blocks.0.0.bn1.running_var"))
    )
    statistics = digest()
    larger = dataclasses.replace(whole, transform=dataclasses.replace(whole.transform, size=64))
    size = digest(of=larger)
    names = {first, other_end, changed, statistics, size}
    assert len(names) == 5
    assert folders_in(cache) == sorted(names)


def test_a_part_is_found_again_without_any_work(
    small_cache: FeatureCache, own_parts: FeatureCache
) -> None:
    (folder,) = own_parts.bodies.iterdir()
    before = folder.stat().st_ino, (folder / "body.json").stat().st_mtime_ns
    part, point = part_of(SMALL.build())
    for _ in range(2):
        prepared = prepare_part(part, point, ready_in(small_cache), own_parts, "cpu")
        assert prepared.folder == folder
    assert (folder.stat().st_ino, (folder / "body.json").stat().st_mtime_ns) == before
    assert folders_in(own_parts) == [folder.name]


def test_opening_a_runtime_is_using_the_part(
    small_cache: FeatureCache, own_parts: FeatureCache
) -> None:
    prepared = prepare_part(*part_of(SMALL.build()), ready_in(small_cache), own_parts, "cpu")
    for path in (prepared.folder, *prepared.folder.iterdir()):
        os.utime(path, (0, 0))
    prepared.runtime("cpu", "fp32")
    assert FeatureCache(own_parts.root, limit_gb=0).evict() == 0
    assert (prepared.folder / "body.safetensors").exists()


def test_a_whole_body_is_the_same_as_a_part_and_from_a_file(
    copied: FeatureCache, tmp_path: Path
) -> None:
    """A body that was trained and frozen is not converted again for its bundle."""
    whole, body = ready_in(copied), SMALL.build()
    prepared = prepare_part(body, FEATURES, whole, copied, "cpu")
    assert (prepared.digest, prepared.folder) == (whole.digest, whole.folder)
    with torch.no_grad():
        next(body.parameters()).view(-1)[0] += 1e-3
    prepared = prepare_part(body, FEATURES, whole, copied, "cpu")
    assert prepared.digest != whole.digest
    assert prepared.network is body
    file = tmp_path / "trained.safetensors"
    save_file(body.state_dict(), file)
    again = ready_in(copied, Backbone(SMALL.name, str(file), size=32))
    assert (again.digest, again.folder, again.title) == (
        prepared.digest,
        prepared.folder,
        prepared.title,
    )
    assert again.space({}, "cpu", "fp32") == prepared.space({}, "cpu", "fp32")
    assert again.space({}, "cpu", "fp32").key == prepared.space({}, "cpu", "fp32").key
    assert {line.title for line in copied.usage()} == {
        "mobilenetv3_small_050 (mobilenetv3_small_050), 32 px"
    }


def test_what_layers_keep_for_themselves_stays_fit_for_training(tmp_path: Path) -> None:
    class Keeping(torch.nn.Module):
        kept: torch.Tensor | None = None

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if self.kept is None:  # as some networks keep what depends on the size alone
                self.kept = torch.full((3,), float(batch.shape[-1]))
            return self.weight * self.kept * batch.mean((2, 3))

    for use in ("converting", "computing"):
        body = Keeping().eval()
        if use == "converting":
            _convert(body, ImageTransform(32), "cpu", flat=True)
        else:
            TorchRuntime(body, ImageTransform(32), "cpu", "fp32").compute(_smooth_pictures(8, 32))
        assert body.kept is not None
        assert not body.kept.is_inference()
        body(torch.ones(2, 3, 32, 32)).sum().backward()


@needs_openvino
def test_a_damaged_part_is_made_again(small_cache: FeatureCache, own_parts: FeatureCache) -> None:
    (folder,) = own_parts.bodies.iterdir()
    damage(folder / "model.bin")
    prepared = prepare_part(*part_of(SMALL.build()), ready_in(small_cache), own_parts, "cpu")
    assert prepared.folder == folder
    assert prepared.space({}, "cpu", "fp32").runtime == "openvino-fp32"
    assert leftovers(own_parts) == []


def test_making_a_part_ready_leaves_the_layers_as_they_are(
    small_cache: FeatureCache, cache: FeatureCache
) -> None:
    body = SMALL.build().to(memory_format=torch.channels_last)
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    before = {key: value.clone() for key, value in body.state_dict().items()}
    prepared = prepare_part(*part_of(body, 1), ready_in(small_cache), cache, "cpu")
    prepared.runtime("cpu", "fp32")
    dataclasses.replace(prepared, folder=cache.root).runtime("cpu", "fp32")
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())
    assert not any(parameter.requires_grad for parameter in body.parameters())
    assert not any(module.training for module in body.modules())


@pytest.mark.usefixtures("no_conversion")
def test_a_part_goes_to_a_temporary_folder_where_there_is_no_other_and_is_found_there(
    small_cache: FeatureCache, unwritable: FeatureCache, no_temporary_folder_yet: list[Path]
) -> None:
    given = (*part_of(SMALL.build()), ready_in(small_cache))
    prepared = prepare_part(*given, unwritable, "cpu")
    (temporary,) = no_temporary_folder_yet
    assert prepared.folder.parent == temporary
    before = (prepared.folder / "body.json").stat().st_mtime_ns
    assert prepare_part(*given, unwritable, "cpu") == prepared
    assert (prepared.folder / "body.json").stat().st_mtime_ns == before
    assert prepared.runtime("cpu", "fp32").compute(_smooth_pictures(8, 32)).shape[0] == 8


@pytest.mark.usefixtures("no_conversion")
def test_a_part_that_can_be_kept_nowhere_is_told(
    small_cache: FeatureCache, cache: FeatureCache, no_temporary_folder_yet: list[Path]
) -> None:
    given = (*part_of(SMALL.build()), ready_in(small_cache))
    with room_for(10_000), pytest.raises(SecchiError, match="up to blocks.2' cannot be kept in"):
        prepare_part(*given, cache, "cpu")
    assert list(cache.bodies.iterdir()) == list(no_temporary_folder_yet[0].iterdir()) == []


@needs_openvino
def test_a_part_in_a_read_only_cache_is_used_as_it_is(
    small_cache: FeatureCache, part_cache: FeatureCache, no_temporary_folder_yet: list[Path]
) -> None:
    given = (*part_of(SMALL.build()), ready_in(small_cache))
    with read_only_copy(part_cache) as cache:
        assert cache.place_for_bodies() != cache.bodies
        prepared = prepare_part(*given, cache, "cpu")
        assert prepared.folder.parent == cache.bodies
        assert prepared.space({}, "cpu", "fp32").runtime == "openvino-fp32"
        other = prepare_part(*part_of(SMALL.build(), 1), given[-1], cache, "cpu")
        assert other.folder.parent == no_temporary_folder_yet[0]


@needs_openvino
def test_a_part_that_cannot_be_converted_is_computed_by_torch(
    small_cache: FeatureCache, cache: FeatureCache
) -> None:
    class Strange(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(batch[:, :, ::2])

    prepared = prepare_part(Strange(), "strange", ready_in(small_cache), cache, "cpu")
    assert prepared.trouble
    assert prepared.shape == (3, 16, 32)
    runtime = prepared.runtime("cpu", "fp32")
    assert runtime.name == "torch-cpu-fp32"
    assert runtime.compute(_smooth_pictures(8, 32)).shape == (8, 3, 16, 32)


def test_a_record_of_before_there_were_shapes_is_of_rows(copied: FeatureCache) -> None:
    before = ready_in(copied)
    file = before.folder / "body.json"
    record = json.loads(file.read_text())
    del record["shape"]
    file.write_text(json.dumps(record))
    assert ready_in(copied) == before
    assert before.shape == (before.width,)


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
        _convert(Maps(), ImageTransform(32), "cpu", flat=True)


@needs_openvino
def test_an_operation_that_cannot_be_converted_leaves_torch_and_the_reason() -> None:
    class Strange(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(batch.mean((2, 3)))

    shape, model, trouble = _convert(Strange(), ImageTransform(32), "cpu", flat=True)
    assert (shape, model) == ((3,), None)
    assert trouble


@needs_openvino
def test_a_converted_model_that_computes_something_else_is_not_used() -> None:
    class Different(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            means = batch.mean((2, 3))
            return -means if torch.jit.is_tracing() else means

    shape, model, trouble = _convert(Different(), ImageTransform(32), "cpu", flat=True)
    assert (shape, model) == ((3,), None)
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
