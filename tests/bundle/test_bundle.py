"""A bundle predicts anywhere what it predicted here, or is refused with its reason."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from secchi import Bundle, FeatureCache, ImageData, Learner
from secchi.console import Console
from secchi.errors import BundleError, DataError
from secchi.models.heads import Head

WEIGHTS, MANIFEST = "model.safetensors", "manifest.json"


@pytest.fixture(scope="module")
def learn(
    tmp_path_factory: pytest.TempPathFactory,
    make_pictures: Callable[..., Path],
    lite0_cache: FeatureCache,
) -> Learner:
    photos = tmp_path_factory.mktemp("bundles") / "photos"
    make_pictures(photos, ("blue", "green", "red"), per_class=10, seed=200)
    data = ImageData.from_folder(photos, size=64)
    learner = Learner.pretrained(
        "lite0", data, cache=lite0_cache, out=photos.parent / "runs", console=Console(quiet=True)
    )
    learner.fit(epochs=3)
    return learner


@pytest.fixture(scope="module")
def kept(learn: Learner) -> Path:
    """The folder of a run, which no test changes."""
    return learn.save_run()


@pytest.fixture
def bundle(kept: Path, tmp_path: Path) -> Path:
    """A copy of its bundle, to be changed."""
    return Path(shutil.copytree(kept / "bundle", tmp_path / "bundle"))


@pytest.fixture
def load(lite0_cache: FeatureCache) -> Callable[[Path], Bundle]:
    return lambda place: Bundle.load(place, cache=lite0_cache)


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest and make its checksum fit, as someone with a purpose would."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    del manifest["checksum"]
    change(manifest)
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=True).encode()
    manifest["checksum"] = hashlib.sha256(text).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def with_weights(bundle: Path, blob: bytes) -> None:
    (bundle / WEIGHTS).write_bytes(blob)
    digest = hashlib.sha256(blob).hexdigest()
    rewrite(bundle, lambda manifest: manifest["files"].update({WEIGHTS: digest}))


# ---------------------------------------------------------------- anywhere


PREDICT = """
import json, sys
from secchi import Bundle
found = Bundle.load(sys.argv[1]).predict(sys.argv[2:])
print(json.dumps({"records": found.to_records(), "outputs": found.outputs.tolist()}))
"""


def test_a_new_process_with_an_empty_cache_predicts_the_same_from_any_folder(
    learn: Learner, bundle: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "somewhere else" / "größe"
    moved.parent.mkdir()
    bundle.rename(moved)
    files = learn.data.valid.files
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(moved), *files],
        env=os.environ | {"SECCHI_CACHE": str(tmp_path / "empty")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    here = learn.predictions("valid")
    np.testing.assert_allclose(found["outputs"], here.outputs, rtol=1e-5, atol=1e-6)
    assert [r["file"] for r in found["records"]] == files
    for record, expected in zip(found["records"], here.to_records(), strict=True):
        assert record["class"] == expected["class"]
        assert record["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-6)


def test_what_it_holds_is_data_that_others_can_read(learn: Learner, bundle: Path) -> None:
    assert sorted(os.listdir(bundle)) == [MANIFEST, WEIGHTS]
    manifest = json.loads((bundle / MANIFEST).read_text())
    assert (manifest["format"], manifest["version"]) == ("secchi bundle", 1)
    assert manifest["task"]["targets"][0]["classes"] == ["blue", "green", "red"]
    assert manifest["backbone"]["timm_name"] == "tf_efficientnet_lite0"
    assert manifest["transform"]["size"] == 64
    assert {"secchi", "torch", "timm"} <= manifest["versions"].keys()
    weights = load_file(bundle / WEIGHTS)
    assert torch.equal(weights["head.linear.weight"], learn.head.linear.weight)
    assert sum(key.startswith("body.") for key in weights) > 100


def test_a_run_is_read_through_its_bundle(
    learn: Learner, kept: Path, load: Callable[[Path], Bundle]
) -> None:
    assert torch.equal(load(kept).head.linear.weight, learn.head.linear.weight)


def test_pictures_come_back_in_the_order_asked_for(
    learn: Learner, bundle: Path, load: Callable[[Path], Bundle], tmp_path: Path
) -> None:
    first, second, third = learn.data.valid.files[:3]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b10.png", "b9.png"):
        shutil.copy(second, folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "a.jpg").write_bytes(b"no picture")
    cut = folder / "z.png"
    cut.write_bytes(Path(third).read_bytes()[:3000])
    gone = tmp_path / "gone.jpg"
    gone.symlink_to("nowhere")
    found = load(bundle).predict([third, cut, gone, folder, first, third])
    expected = [third, str(folder / "b9.png"), str(folder / "b10.png"), first]
    assert list(found.sources) == expected
    assert [file for file, _ in found.unreadable] == [str(cut), str(gone), str(folder / "a.jpg")]
    assert all(reason for _, reason in found.unreadable)
    np.testing.assert_array_equal(found.outputs[1], found.outputs[2])


def test_where_nothing_can_be_read_there_are_reasons(
    bundle: Path, load: Callable[[Path], Bundle], tmp_path: Path
) -> None:
    (tmp_path / "empty.jpg").touch()
    found = load(bundle).predict([tmp_path / "empty.jpg"])
    assert len(found) == 0
    assert found.unreadable == ((str(tmp_path / "empty.jpg"), "the file is empty"),)


def test_paths_without_pictures_are_errors(
    bundle: Path, load: Callable[[Path], Bundle], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no such picture or folder"):
        load(bundle).predict([tmp_path / "nothing.jpg"])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").touch()
    with pytest.raises(DataError, match="no pictures in .*skipped were 1 other"):
        load(bundle).predict([tmp_path / "texts"])


# ---------------------------------------------------------------- refused


def test_every_changed_byte_of_the_manifest_is_refused(
    bundle: Path, load: Callable[[Path], Bundle]
) -> None:
    blob = (bundle / MANIFEST).read_bytes()
    for place in range(len(blob) - 1):  # the last byte ends the line
        changed = bytearray(blob)
        changed[place] ^= 1
        (bundle / MANIFEST).write_bytes(changed)
        with pytest.raises(BundleError, match=f"{MANIFEST}|reads up to 1"):
            load(bundle)


@settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_other_change_of_the_manifest_is_refused_or_means_the_same(
    kept: Path, tmp_path: Path, load: Callable[[Path], Bundle], data: st.DataObject
) -> None:
    blob = (kept / "bundle" / MANIFEST).read_bytes()
    start = data.draw(st.integers(0, len(blob)))
    end = data.draw(st.integers(start, min(len(blob), start + 20)))
    changed = blob[:start] + data.draw(st.binary(max_size=4)) + blob[end:]
    place = tmp_path / "changed"
    place.mkdir(exist_ok=True)
    (place / MANIFEST).write_bytes(changed)
    if not (place / WEIGHTS).exists():
        os.link(kept / "bundle" / WEIGHTS, place / WEIGHTS)
    try:
        load(place)
    except BundleError:
        return
    assert json.loads(changed) == json.loads(blob)


def test_line_ends_of_another_system_change_nothing(
    bundle: Path, load: Callable[[Path], Bundle]
) -> None:
    blob = (bundle / MANIFEST).read_bytes()
    (bundle / MANIFEST).write_bytes(blob.replace(b"\n", b"\r\n"))
    load(bundle)


@pytest.mark.parametrize("place", [0, 7, 8, 100, 0.5, -1])
def test_a_changed_byte_of_the_weights_is_refused(
    bundle: Path, load: Callable[[Path], Bundle], place: float
) -> None:
    blob = bytearray((bundle / WEIGHTS).read_bytes())
    blob[int(place * len(blob)) if place == 0.5 else int(place)] ^= 1
    (bundle / WEIGHTS).write_bytes(blob)
    with pytest.raises(BundleError, match=f"{WEIGHTS} was changed or cut short"):
        load(bundle)


@pytest.mark.parametrize("length", [0, 1, 8, 1000, -1])
def test_weights_cut_short_are_refused(
    bundle: Path, load: Callable[[Path], Bundle], length: int
) -> None:
    (bundle / WEIGHTS).write_bytes((bundle / WEIGHTS).read_bytes()[:length])
    with pytest.raises(BundleError, match="changed or cut short"):
        load(bundle)


def test_weights_with_something_behind_them_are_refused(
    bundle: Path, load: Callable[[Path], Bundle]
) -> None:
    with open(bundle / WEIGHTS, "ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match="changed or cut short"):
        load(bundle)


def test_missing_weights_are_told(bundle: Path, load: Callable[[Path], Bundle]) -> None:
    (bundle / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=f"{WEIGHTS} cannot be read: No such file"):
        load(bundle)


@pytest.mark.parametrize("length", [0, 1, 50, 500])
def test_a_manifest_cut_short_is_refused(
    bundle: Path, load: Callable[[Path], Bundle], length: int
) -> None:
    (bundle / MANIFEST).write_bytes((bundle / MANIFEST).read_bytes()[:length])
    with pytest.raises(BundleError, match=f"{MANIFEST} cannot be read"):
        load(bundle)


def test_a_newer_format_asks_for_an_upgrade(bundle: Path, load: Callable[[Path], Bundle]) -> None:
    rewrite(bundle, lambda manifest: manifest.update(version=2))
    with pytest.raises(BundleError, match="format 2.*pip install -U secchi"):
        load(bundle)


@pytest.mark.parametrize(
    "text", ["[]", "null", "{}", '{"format": "another"}', "[" * 100_000, "\xff"], ids=range(6)
)
def test_a_manifest_of_something_else_is_refused(
    bundle: Path, load: Callable[[Path], Bundle], text: str
) -> None:
    (bundle / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=MANIFEST):
        load(bundle)


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("trap",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("checksums_fit", [False, True])
def test_a_pickle_in_disguise_is_refused_and_does_not_run(
    bundle: Path, load: Callable[[Path], Bundle], protocol: int, checksums_fit: bool
) -> None:
    blob = pickle.dumps(_Trap(), protocol)
    if checksums_fit:
        with_weights(bundle, blob)
    else:
        (bundle / WEIGHTS).write_bytes(blob)
    reason = "pickle in disguise" if protocol >= 2 else "changed|no safetensors file"
    with pytest.raises(BundleError, match=reason):
        load(bundle)
    assert not Path("trap").exists()


def test_a_file_of_torchs_own_is_a_pickle_in_disguise(
    bundle: Path, load: Callable[[Path], Bundle]
) -> None:
    torch.save({"weight": torch.zeros(1), "trap": _Trap()}, bundle / WEIGHTS)
    with_weights(bundle, (bundle / WEIGHTS).read_bytes())
    with pytest.raises(BundleError, match="pickle in disguise"):
        load(bundle)
    assert not Path("trap").exists()


def _set(*path_and_value: Any) -> Callable[[dict[str, Any]], None]:
    *path, last, value = path_and_value

    def change(manifest: dict[str, Any]) -> None:
        for key in path:
            manifest = manifest[key]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("head", "inputs", 10**12),
        _set("head", "inputs", 7),
        _set("head", "outputs", 4),
        _set("head", []),
        _set("task", "targets", []),
        _set("task", "targets", 0, "classes", ["blue", "green"]),
        _set("task", "targets", 0, "classes", ["blue", "green", "green"]),
        _set("task", "targets", 0, "kind", "oracle"),
        _set("task", "targets", 0, "classes", None),
        _set("task", None),
        _set("transform", "size", float("inf")),
        _set("transform", "size", -1),
        _set("transform", "mean", [0.5]),
        _set("transform", None),
        _set("backbone", None),
        _set("files", []),
        _set("files", None),
        lambda manifest: manifest.pop("head"),
        lambda manifest: manifest.pop("task"),
        lambda manifest: manifest.pop("transform"),
        lambda manifest: manifest["backbone"].pop("name"),
    ],
)
def test_a_manifest_that_fits_its_checksum_and_nothing_else_is_refused(
    bundle: Path, load: Callable[[Path], Bundle], change: Callable[[dict[str, Any]], object]
) -> None:
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=str(bundle)):
        load(bundle)


def test_preparation_that_the_body_does_not_want_is_told(
    bundle: Path, load: Callable[[Path], Bundle], learn: Learner
) -> None:
    rewrite(bundle, _set("transform", "mean", [0.1, 0.2, 0.3]))
    with pytest.raises(BundleError, match=r"prepares pictures by .*0\.1, 0\.2, 0\.3.* wants"):
        load(bundle).predict(learn.data.valid.files[:1])


def test_a_head_for_other_features_is_told(
    bundle: Path, load: Callable[[Path], Bundle], learn: Learner
) -> None:
    body = {k: v for k, v in load_file(bundle / WEIGHTS).items() if k.startswith("body.")}
    head = {f"head.{k}": v for k, v in Head(5, 3).state_dict().items()}
    save_file(body | head, bundle / WEIGHTS)
    with_weights(bundle, (bundle / WEIGHTS).read_bytes())
    rewrite(bundle, _set("head", {"inputs": 5, "outputs": 3}))
    with pytest.raises(BundleError, match="gives 1280 numbers a picture, and the head takes 5"):
        load(bundle).predict(learn.data.valid.files[:1])


def test_what_is_no_bundle_says_what_it_is(
    kept: Path, load: Callable[[Path], Bundle], tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        load(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="is a file; a bundle is a folder"):
        load(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match="no bundle and no run"):
        load(tmp_path / "folder")
    with pytest.raises(BundleError, match=f"did you mean {kept}"):
        load(kept.parent)


# ---------------------------------------------------------------- saving


def test_a_bundle_is_replaced_whole(
    learn: Learner, bundle: Path, load: Callable[[Path], Bundle]
) -> None:
    changed = learn.bundle()
    torch.nn.init.ones_(changed.head.linear.bias)
    place = bundle.parent / "kept" / "here"
    assert load(bundle).save(place) == place
    before = (place / WEIGHTS).read_bytes()
    changed.save(place)
    assert (place / WEIGHTS).read_bytes() != before
    assert load(place).head.linear.bias.tolist() == [1, 1, 1]
    assert os.listdir(place.parent) == ["here"]


def test_a_loaded_bundle_can_be_saved_over_itself(
    bundle: Path, load: Callable[[Path], Bundle]
) -> None:
    before = load_file(bundle / WEIGHTS)
    load(bundle).save(bundle)
    after = load_file(bundle / WEIGHTS)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"notes.txt": "mine"},
        {MANIFEST: '{"name": "an app of mine", "icons": []}', "icon.png": "mine"},
        {MANIFEST: "{", WEIGHTS: "mine"},
    ],
    ids=["empty", "notes", "web app", "damaged"],
)
def test_a_folder_that_is_no_bundle_is_left_alone(
    learn: Learner, tmp_path: Path, files: dict[str, str]
) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    for name, text in files.items():
        (place / name).write_text(text)
    with pytest.raises(BundleError, match="is no bundle; it is left as it is"):
        learn.bundle().save(place)
    assert {file.name: file.read_text() for file in place.iterdir()} == files


def test_a_bundle_with_files_of_someone_else_in_it_is_left_alone(
    learn: Learner, bundle: Path
) -> None:
    (bundle / "notes.txt").write_text("mine")
    before = (bundle / WEIGHTS).read_bytes()
    with pytest.raises(BundleError, match=r"other files \(notes.txt\)"):
        learn.bundle().save(bundle)
    assert (bundle / "notes.txt").read_text() == "mine"
    assert (bundle / WEIGHTS).read_bytes() == before


def test_a_file_in_the_way_is_left_alone(learn: Learner, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(BundleError, match="is no bundle"):
        learn.bundle().save(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"
