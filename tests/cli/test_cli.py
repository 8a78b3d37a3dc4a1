"""The command line, run as a person runs it: what it prints, where, and how it ends."""

import contextlib
import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from PIL import Image

from secchi.features.cache import FeatureCache

MakePictures = Callable[..., Path]
COLOURS = ("blue", "green", "red")
COMMANDS = ("demo", "train", "find-lr", "recipe", "predict", "test", "vary", "look", "cache")
HEAVY = {"torch", "numpy", "pandas", "timm", "openvino", "sklearn", "matplotlib", "PIL"}


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that standard output has to be."""
        assert self.out.endswith("\n")
        return json.loads(self.out)


def secchi(*arguments: object, **environment: str) -> Done:
    """Run ``python -m secchi`` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "secchi", *map(str, arguments)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    texts = (os.fsdecode(text) for text in (done.stdout, done.stderr))
    return Done(done.returncode, *texts)


def refused(done: Done, code: int = 1) -> str:
    """The error of a command with ``--json`` that failed as it should."""
    assert done.code == code, done
    assert list(done.document) == ["error"]
    message: str = done.document["error"]
    assert f"error: {message}\n" in done.err
    assert "Traceback" not in done.err
    assert message.strip()
    return message


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("command line")


@pytest.fixture(scope="module")
def photos(place: Path, make_pictures: MakePictures) -> Path:
    return make_pictures(place / "photos", COLOURS, per_class=10, seed=300)


@pytest.fixture(scope="module")
def prepared(lite0_cache: FeatureCache) -> dict[str, str]:
    """The environment of a command that finds its backbone ready."""
    return {"SECCHI_CACHE": str(lite0_cache.root)}


@pytest.fixture(scope="module")
def trained(photos: Path, place: Path, prepared: dict[str, str]) -> Done:
    out = place / "runs"
    return secchi("train", photos, "--size", 64, "--out", out, "--json", **prepared)


@pytest.fixture(scope="module")
def run(trained: Done) -> Path:
    assert trained.code == 0, trained
    return Path(trained.document["run"])


# ---------------------------------------------------------------- help


def test_help_comes_without_loading_what_is_not_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "secchi", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "secchi.cli" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_has_json(command: str) -> None:
    done = secchi(command, "--help")
    assert done.code == 0
    assert "--json" in done.out
    assert done.err == ""


def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).with_name("secchi")
    if not script.exists():
        pytest.skip("secchi is not installed beside this Python")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60)
    usage, *explained = done.stdout.splitlines()
    assert usage.startswith("Usage: secchi ")
    assert explained == secchi("--help").out.splitlines()[1:]


# ---------------------------------------------------------------- train


def test_train_prints_one_document_and_everything_else_elsewhere(trained: Done, run: Path) -> None:
    document = trained.document
    assert set(document) == {"run", "classes", "train", "valid", "pictures", "seconds"}
    assert document["classes"] == list(COLOURS)
    for split in ("train", "valid"):
        assert set(document[split]) == {"loss", "accuracy"}
        assert document[split]["accuracy"] == 1.0
    assert document["pictures"] == {"computed": 30, "cached": 0, "skipped": 0}
    assert set(document["seconds"]) == {"features", "training", "total"}
    assert document["seconds"]["total"] > document["seconds"]["features"] > 0
    assert run.is_absolute()
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]
    assert "epoch" in trained.err
    assert "30 pictures computed" in trained.err
    assert "Traceback" not in trained.err


def test_a_second_run_computes_nothing_and_minds_its_options(
    photos: Path, place: Path, run: Path, prepared: dict[str, str]
) -> None:
    out = place / "other runs"
    options = ("--epochs", 2, "--lr", 0.5, "--seed", 7, "--valid-fraction", 0.5, "--size", 64)
    done = secchi("train", photos, "--out", out, *options, "--json", **prepared)
    assert done.code == 0, done
    assert done.document["pictures"] == {"computed": 0, "cached": 30, "skipped": 0}
    assert Path(done.document["run"]).parent == out
    record = json.loads((Path(done.document["run"]) / "run.json").read_text())
    assert record["epochs"] == 2
    assert record["training"]["lr"] == 0.5
    assert record["training"]["seed"] == 7
    assert sum(record["data"]["counts"]["valid"].values()) == 15
    assert record["transform"]["size"] == 64


def test_a_table_of_labels_trains_and_a_person_reads_lines(
    photos: Path, place: Path, run: Path, prepared: dict[str, str]
) -> None:
    table = place / "labels.csv"
    lines = [f"{file.stem},{file.parent.name[0]}" for file in photos.glob("*/*.png")]
    table.write_text("\n".join(["id,breed", *lines, "missing,b"]) + "\n")
    done = secchi(
        *("train", photos, "--labels", table, "--file-column", "id", "--label-column", "breed"),
        *("--suffix", ".png", "--size", 64, "--epochs", 2, "--out", place / "table runs"),
        *("--metric", "accuracy", "--metric", "top_2"),
        **prepared,
    )
    assert done.code == 0, done
    assert done.err == ""
    assert "no such picture" in done.out
    assert "all 30 pictures from the cache" in done.out
    assert "top_2" in done.out
    (made,) = (place / "table runs").iterdir()
    assert f"run: {made}" in done.out
    assert f"next: secchi predict {shlex.quote(str(made))} " in done.out
    record = json.loads((made / "run.json").read_text())
    assert record["task"]["targets"][0] == {
        "name": "breed", "kind": "multiclass", "classes": ["b", "g", "r"], "label_type": "str",
    }  # fmt: skip


@pytest.mark.slow
def test_the_demo_trains_and_draws(prepared: dict[str, str]) -> None:
    done = secchi("demo", "--json", **prepared)
    assert done.code == 0, done
    document = done.document
    assert document["classes"] == [str(digit) for digit in range(10)]
    assert document["valid"]["accuracy"] > 0.9
    assert sum(len(list(Path("secchi-demo/digits").glob(f"{d}/*.png"))) for d in range(10)) == 1797
    with Image.open(document["figure"]) as figure:
        assert figure.width > 300


# ---------------------------------------------------------------- find-lr


RULES = ["still_improving", "steepest", "valley", "minimum_tenth"]
SMALL = ("--size", 64)


def test_find_lr_prints_a_rate_with_its_reason_and_draws_it(
    photos: Path, prepared: dict[str, str], run: Path
) -> None:
    done = secchi("find-lr", photos, *SMALL, **prepared)
    assert done.code == 0, done
    assert done.err == ""
    lines = done.out.splitlines()
    for line, rule in zip(lines[-6:-2], RULES, strict=True):
        assert line.removeprefix("->").split()[0] == rule
    assert lines[-6].startswith("-> still_improving ")
    figure = Path("learning-rate.png").absolute()
    assert lines[-2].endswith(f" s; figure: {figure}")
    rate = lines[-6].split()[2]
    words = ["secchi", "train", str(photos), "--lr", rate, "--size", "64"]
    assert shlex.split(lines[-1].removeprefix("next: ")) == words
    with Image.open(figure) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
    assert os.listdir() == ["learning-rate.png"]


def test_find_lr_prints_one_document(
    photos: Path, tmp_path: Path, prepared: dict[str, str], run: Path
) -> None:
    figure = tmp_path / "deep" / "rate.svg"
    options = ("--batch-size", 8, "--set", "optimizer=sgd", "--set", "weight_decay=0.0")
    done = secchi(
        "find-lr", photos, *SMALL, *options, "--figure", figure, "--json", "--seed", 3, **prepared
    )
    assert done.code == 0, done
    document = done.document
    keys = ["lr", "suggestions", "rates", "losses", "seconds", "figure"]
    assert list(document) == keys
    assert len(document["rates"]) == len(document["losses"])
    assert document["rates"] == sorted(document["rates"])
    first = next(iter(document["suggestions"].values()))
    assert set(first) == {"lr", "why"}
    assert document["lr"] == first["lr"]
    assert document["seconds"] > 0
    assert document["figure"] == str(figure)
    assert figure.read_text().startswith("<?xml")
    assert os.listdir() == []
    other = secchi(
        "find-lr", photos, *SMALL, *options, "--figure", figure, "--json", "--seed", 4, **prepared
    )
    assert other.document["losses"] != document["losses"]


@pytest.mark.slow
def test_find_lr_of_the_last_layers_of_the_body(
    photos: Path, prepared: dict[str, str], run: Path
) -> None:
    ratios = ("--set", "lr=[0.1, 1]")
    body = ("--freeze-to", "blocks.6", "--augment", "side_on", "--views", 2)
    one_core = prepared | {"OMP_NUM_THREADS": "1"}
    done = secchi("find-lr", photos, *SMALL, *body, *ratios, "--json", **one_core)
    assert done.code == 0, done
    assert "training blocks.6 to head" in done.err
    assert len(done.document["losses"]) > 10


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--set", "emma=0.9"), "no 'emma'; did you mean ema"),
        (("--set", "ema=2"), "ema is 2, which is not a number between 0 and 1"),
        (("--set", "ema", "--set", "=3"), "'ema' is not NAME=VALUE\n  '=3' is not NAME=VALUE"),
        (("--batch-size", 0), "batch_size is 0"),
        (("--augment", "side_up"), "did you mean side_on"),
        (("--figure", "rate.xyz"), "rate.xyz would be of the format 'xyz'.*pdf, .*png"),
    ],
)
def test_find_lr_tells_what_cannot_be_before_the_work(
    photos: Path, prepared: dict[str, str], options: tuple[object, ...], reason: str
) -> None:
    done = secchi("find-lr", photos, *SMALL, *options, "--json", **prepared)
    assert "features:" not in done.err
    assert re.search(reason, refused(done))
    assert os.listdir() == []


@pytest.mark.parametrize("command", ["find-lr", "train", "recipe"])
def test_an_unknown_layer_group_is_told_with_those_that_there_are(
    photos: Path, prepared: dict[str, str], run: Path, command: str
) -> None:
    skipped = [("--skip", name) for name in ("find", "features", "restarts")]
    more = [word for pair in skipped for word in pair] if command == "recipe" else []
    done = secchi(command, photos, *SMALL, "--freeze-to", "block.5", *more, "--json", **prepared)
    message = refused(done)
    assert "no layer group 'block.5'; did you mean blocks.5" in message
    assert "there are stem, blocks.0" in message
    assert not Path("learning-rate.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "lr"), [((), 1e-3), (("--lr", 5e-3), 5e-3), (("--set", "lr=5e-3"), 5e-3)]
)
def test_a_body_trains_gently_unless_a_rate_is_named(
    photos: Path, place: Path, prepared: dict[str, str], options: tuple[object, ...], lr: float
) -> None:
    words = ("--freeze-to", "blocks.6", "--epochs", 1, *options, "--out", place / "gentle")
    one_core = prepared | {"OMP_NUM_THREADS": "1"}
    done = secchi("train", photos, *SMALL, *words, "--json", **one_core)
    assert done.code == 0, done
    assert json.loads((Path(done.document["run"]) / "run.json").read_text())["training"]["lr"] == lr


@pytest.mark.parametrize("command", ["find-lr", "train", "recipe"])
def test_views_are_one_or_more(photos: Path, command: str) -> None:
    assert "--views" in refused(secchi(command, photos, "--views", 0, "--json"), code=2)


# ---------------------------------------------------------------- recipe


QUICK = (*SMALL, "--freeze-to", "blocks.6", "--cycles", 2, "--views", 2, "--set", "batch_size=8")


@pytest.fixture(scope="module")
def one_core(prepared: dict[str, str]) -> dict[str, str]:
    """Steps as small as these wait longer for a second core than they compute."""
    return prepared | {"OMP_NUM_THREADS": "1", "SECCHI_CHECKPOINT_SECONDS": "0"}


@pytest.fixture(scope="module")
def followed(photos: Path, place: Path, one_core: dict[str, str]) -> Done:
    return secchi("recipe", photos, *QUICK, "--out", place / "recipes", "--json", **one_core)


@pytest.mark.slow
def test_a_recipe_prints_a_table_of_eight_steps_and_the_average(followed: Done) -> None:
    assert followed.code == 0, followed
    document = followed.document
    keys = {"run", "classes", "train", "valid", "pictures", "seconds", "recipe", "tta"}
    assert set(document) == keys
    steps = document["recipe"]["steps"]
    assert [step["name"] for step in steps] == [
        "enable augmentation",
        "find the rate",
        "last layer from features",
        "last layer, augmented, with restarts",
        "unfreeze",
        "lower rates for earlier layers",
        "find the rate again",
        "doubling cycles until overfitting",
        "test-time augmentation",
    ]
    trains = [False, False, True, True, False, False, False, True, False]
    for step, trained in zip(steps, trains, strict=True):
        assert step["decided"]
        assert step["seconds"] >= 0
        assert (step["kept"] is not None) == trained
        assert (step["loss"] is not None) == (trained or step is steps[-1])
    judged = [step for step in steps if step["loss"] is not None]
    assert judged[0]["gain"] is None
    assert judged[0]["kept"] is True
    for step in judged[1:]:
        assert set(step["gain"]) >= {"measure", "difference", "low", "high", "improved"}
        assert step["gain"]["measure"] == "accuracy"
    assert "blocks.6 to head" in steps[4]["decided"]
    assert document["tta"] == {"loss": steps[-1]["loss"], "accuracy": steps[-1]["score"]}
    assert document["recipe"]["verdict"].startswith("beyond the noise of 6 validation pictures")
    # Each cycle's line is on the screen, which is standard error here.
    for number in range(1, 9):
        assert re.search(rf"^{number} ", followed.err, re.MULTILINE)
    run = Path(document["run"])
    left = sorted(os.listdir(run))
    assert left == ["bundle", "checkpoint", "checkpoints", "history.csv", "run.json"]


@pytest.mark.slow
def test_a_recipe_that_is_killed_midway_goes_on_to_the_same_weights(
    photos: Path, place: Path, one_core: dict[str, str], followed: Done
) -> None:
    """In the first call of fit, then in a cycle of the body."""
    from safetensors.torch import load_file

    out = place / "killed recipes"
    command = ("recipe", photos, *QUICK, "--out", out, "--json")
    for moment in ("*/journal/000/state-*", "*/journal/002/state-*"):
        with started(*command, **one_core) as process:
            wait_until(lambda moment=moment: any(out.glob(moment)), process)  # type: ignore[misc]
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    again = secchi(*command, **one_core)
    assert again.code == 0, again
    (run,) = out.iterdir()
    assert f"going on with the unfinished run {run}" in again.err
    reference = Path(followed.document["run"])
    for file in ("checkpoint/net.safetensors", "bundle/model.safetensors"):
        one, other = load_file(run / file), load_file(reference / file)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert sorted(os.listdir(run)) == sorted(os.listdir(reference))
    for one, other in zip(
        again.document["recipe"]["steps"], followed.document["recipe"]["steps"], strict=True
    ):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.slow
def test_a_person_reads_the_recipe_as_a_table(
    photos: Path, place: Path, one_core: dict[str, str], run: Path
) -> None:
    skips = [word for step in ("unfreeze", "rates", "cycles") for word in ("--skip", step)]
    done = secchi("recipe", photos, *QUICK, *skips, "--out", place / "short", **one_core)
    assert done.code == 0, done
    assert done.err == ""
    lines = done.out.splitlines()
    (heading,) = [number for number, line in enumerate(lines) if line.startswith("step  ")]
    table = lines[heading + 1 : heading + 10]
    assert [line.split()[0] for line in table] == [str(number) for number in range(1, 10)]
    assert [line.endswith("skipped") for line in table] == [
        number in (5, 6, 8) for number in range(1, 10)
    ]
    assert lines[heading + 10].startswith("beyond the noise of")
    (made,) = (place / "short").iterdir()
    assert f"run: {made}" in lines
    assert lines[-1] == f"next: secchi predict {made} PICTURE_OR_FOLDER"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--skip", "featurs"), "no step 'featurs'; did you mean features.*; there are augment, "),
        (("--skip", "x", "--skip", "y"), "no step 'x'.*\n.*no step 'y'"),
        (("--augment", "side_up"), "did you mean side_on"),
        (("--max-zoom", 0.5), "max_zoom is 0.5"),
        (("--set", "lr=-1"), "lr is -1"),
        (("--resume", "nothing"), "there is no run .*nothing"),
    ],
)
def test_recipe_tells_what_cannot_be_before_the_work(
    photos: Path, prepared: dict[str, str], options: tuple[object, ...], reason: str
) -> None:
    done = secchi("recipe", photos, *SMALL, *options, "--json", **prepared)
    assert "features:" not in done.err
    assert re.search(reason, refused(done))
    assert os.listdir() == []


def test_a_recipe_has_one_cycle_or_more(photos: Path) -> None:
    assert "--cycles" in refused(secchi("recipe", photos, "--cycles", 0, "--json"), code=2)


# ---------------------------------------------------------------- predict


@pytest.fixture
def new(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """A few pictures that were not trained on, and a file that is none."""
    make_pictures(tmp_path / "new", COLOURS, per_class=2, seed=301)
    (tmp_path / "new" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    return tmp_path / "new"


def test_predict_tells_files_folders_and_broken_ones_apart(
    run: Path, new: Path, tmp_path: Path, prepared: dict[str, str]
) -> None:
    one, table = new / "red" / "red_301_0.png", tmp_path / "said.csv"
    paths = (one, new / "blue", new / "broken.jpg")
    done = secchi("predict", run, *paths, "--out", table, "--json", **prepared)
    assert done.code == 0, done
    assert list(done.document) == ["predictions"]
    *sound, broken = done.document["predictions"]
    assert [record["class"] for record in sound] == ["red", "blue", "blue"]
    assert [record["file"] for record in sound] == [
        str(file) for file in (one, *sorted((new / "blue").iterdir()))
    ]
    for record in sound:
        assert set(record) == {"file", "class", "probabilities"}
        assert list(record["probabilities"]) == list(COLOURS)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert set(broken) == {"file", "error"}
    assert broken["file"] == str(new / "broken.jpg")

    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "class", *COLOURS, "error"]
    for row, record in zip(rows, sound, strict=False):
        assert (row["file"], row["class"]) == (record["file"], record["class"])
        for name in COLOURS:
            assert float(row[name]) == pytest.approx(record["probabilities"][name])
    assert (rows[3]["file"], rows[3]["error"]) == (broken["file"], broken["error"])


def test_predict_prints_a_line_a_picture_whatever_its_name(
    run: Path, new: Path, prepared: dict[str, str]
) -> None:
    folder = new / "green"
    first, second = sorted(folder.iterdir())
    first.rename(folder / "two\nlines \x1b[31m 🐈.png")
    second.rename(os.path.join(folder, os.fsdecode(b"no \xff text.png")))
    done = secchi(
        "predict", run / "bundle", folder, new / "broken.jpg", PYTHONIOENCODING="ascii", **prepared
    )
    assert done.code == 0, done
    assert done.err == ""
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("green") for line in lines[:2])
    assert lines[2].startswith("unreadable: ")
    assert "\x1b" not in done.out


# ---------------------------------------------------------------- cache


def test_cache_tells_what_is_kept_and_clears_it(
    run: Path, lite0_cache: FeatureCache, tmp_path: Path
) -> None:
    own = {"SECCHI_CACHE": str(tmp_path / "cache")}
    shutil.copytree(lite0_cache.root, own["SECCHI_CACHE"])
    (tmp_path / "cache" / "mine.txt").write_text("mine")
    kept = secchi("cache", "--json", **own).document
    assert kept["folder"] == own["SECCHI_CACHE"]
    assert {line["kind"] for line in kept["kept"]} == {"features", "body"}
    assert kept["bytes"] == sum(line["bytes"] for line in kept["kept"]) > 10_000_000
    assert kept["freed_bytes"] == 0

    lines = secchi("cache", **own).out.splitlines()
    assert len(lines) == len(kept["kept"]) + 1
    assert own["SECCHI_CACHE"] in lines[-1]

    cleared = secchi("cache", "--clear", "--json", **own).document
    assert cleared["freed_bytes"] >= kept["bytes"]
    assert (cleared["bytes"], cleared["kept"]) == (0, [])
    assert (tmp_path / "cache" / "mine.txt").read_text() == "mine"
    assert not any(path.is_file() for path in (tmp_path / "cache").glob("*/**/*"))


def test_a_cache_that_does_not_exist_is_empty() -> None:
    done = secchi("cache", "--json")
    assert done.code == 0
    assert done.document["kept"] == []


# ---------------------------------------------------------------- errors


def test_a_folder_that_does_not_exist_says_what_does(tmp_path: Path) -> None:
    message = refused(secchi("train", tmp_path / "photoss" / "deep", "--json"))
    assert "no such folder" in message
    assert f"what exists of it is {tmp_path}" in message


def test_an_empty_folder_says_what_should_be_in_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "one folder a class" in refused(secchi("train", tmp_path / "empty", "--json"))


def test_a_file_is_no_folder(run: Path) -> None:
    message = refused(secchi("train", run / "run.json", "--json"))
    assert "is a file, not a folder" in message


def test_pictures_without_class_folders_say_what_to_do(tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos / "red", tmp_path / "loose")
    message = refused(secchi("train", tmp_path / "loose", "--json"))
    assert "10 pictures but no folder" in message


def test_an_unknown_backbone_suggests_the_nearest(photos: Path, prepared: dict[str, str]) -> None:
    message = refused(secchi("train", photos, "--backbone", "resnet43", "--json", **prepared))
    assert "no backbone is called 'resnet43'" in message
    assert "resnet34" in message


def test_weights_that_do_not_exist_are_told_at_once(photos: Path) -> None:
    message = refused(secchi("train", photos, "--weights", "my.safetensors", "--json"))
    assert "my.safetensors" in message


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    done = secchi("train", photos, "--size", 64, "--out", tmp_path / "file" / "runs", "--json")
    assert str(tmp_path / "file") in refused(done)
    assert "features:" not in done.err


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_permission_is_told_before_the_work(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = secchi("train", photos, "--size", 64, "--out", tmp_path / "locked", "--json")
    assert "no permission" in refused(done)
    assert "features:" not in done.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--lr", -1), "lr is -1"),
        (("--epochs", -1, "--batch-size", 0), "epochs is -1.*\n  batch_size is 0"),
        (("--metric", "acuracy"), "did you mean accuracy"),
        (("--metric", "top_3"), "always 1"),
        (("--metric", "r2"), "has classes"),
        (("--valid-fraction", 1.5), "between 0 and 1"),
        (("--size", 3), "between 8 and 4096"),
        (("--device", "gpu"), "device is 'gpu'"),
        (("--seed", -1), "seed is -1"),
    ],
)
def test_a_setting_that_cannot_be_is_told_before_the_work(
    photos: Path, prepared: dict[str, str], options: tuple[object, ...], reason: str
) -> None:
    done = secchi("train", photos, *options, "--json", **prepared)
    assert "features:" not in done.err
    assert re.search(reason, refused(done))


def test_predict_without_a_run_says_so(tmp_path: Path, photos: Path) -> None:
    message = refused(secchi("predict", tmp_path / "nothing", photos, "--json"))
    assert "no such folder" in message
    message = refused(secchi("predict", photos, photos, "--json"))
    assert "no bundle and no run" in message


def test_predict_without_pictures_says_so(run: Path, tmp_path: Path) -> None:
    message = refused(secchi("predict", run, tmp_path / "nothing.jpg", "--json"))
    assert "no such picture or folder" in message


def test_a_csv_file_that_cannot_be_written_is_told(
    run: Path, new: Path, tmp_path: Path, prepared: dict[str, str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "said.csv"
    message = refused(secchi("predict", run, new / "red", "--out", target, "--json", **prepared))
    assert str(tmp_path / "file") in message


def test_without_json_an_error_is_a_line_on_standard_error(tmp_path: Path) -> None:
    done = secchi("train", tmp_path / "nothing")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: no such folder")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("train",), "Missing argument"),
        (("train", "x", "--sise", "64"), "--size"),
        (("train", "x", "--epochs", "many"), "--epochs"),
        (("predict", "x"), "Missing argument"),
        (("trian", "x"), "train"),
    ],
)
def test_wrong_usage_ends_with_two(arguments: tuple[str, ...], reason: str) -> None:
    message = refused(secchi(*arguments, "--json"), code=2)
    assert reason in message
    assert "--help" in message


# ---------------------------------------------------------------- Ctrl-C


@contextlib.contextmanager
def started(*arguments: object, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A command in a group of its own, as a terminal starts it."""
    with subprocess.Popen(
        [sys.executable, "-m", "secchi", *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupted(process: "subprocess.Popen[str]") -> None:
    """Press Ctrl-C, and see it end with a clear line and nothing left running."""
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    message = refused(Done(process.returncode, out, err))
    assert message.startswith("interrupted")
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal on POSIX only")
def test_ctrl_c_during_extraction_keeps_what_was_computed(
    tmp_path: Path, lite0_cache: FeatureCache
) -> None:
    own = {"SECCHI_CACHE": str(tmp_path / "cache")}
    shutil.copytree(lite0_cache.bodies, tmp_path / "cache" / "bodies")
    random = np.random.default_rng(0)
    for name in COLOURS[:2]:
        (tmp_path / "large" / name).mkdir(parents=True)
        pixels = random.integers(0, 60, (1000, 1000, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "large.png", compress_level=1)
        blob = (tmp_path / "large.png").read_bytes()
        for number in range(16):
            # What stands behind the end of a picture makes another file of it.
            (tmp_path / "large" / name / f"{number}.png").write_bytes(blob + bytes([number]))
    command = ("train", tmp_path / "large", "--size", 64, "--json")

    def some_are_kept() -> bool:
        kept = (tmp_path / "cache" / "features").glob("*/*.rows")
        return any(file.stat().st_size > 5000 for file in kept)

    with started(*command, **own) as process:
        wait_until(some_are_kept, process)
        interrupted(process)
    assert not Path("runs").exists()

    again = secchi(*command, **own)
    assert again.code == 0, again
    counts = again.document["pictures"]
    assert counts["cached"] >= 8
    assert counts["computed"] == 32 - counts["cached"]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal on POSIX only")
def test_ctrl_c_while_the_backbone_is_made_ready_leaves_nothing_running(photos: Path) -> None:
    with started("train", photos, "--size", 64, "--json") as process:
        wait_until(lambda: bool(psutil.Process(process.pid).children()), process)
        time.sleep(1)
        interrupted(process)
