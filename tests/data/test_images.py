"""Folders and tables of labelled pictures."""

import io
import json
import os
import random
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secchi import ImageData
from secchi.data.folders import natural_order
from secchi.data.labels_file import LabelsFile
from secchi.data.task import Kind
from secchi.errors import DataError, SealedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    place = tmp_path / "photos"
    place.mkdir()
    return place


def picture(file: Path, seed: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
    """One small picture that no other seed gives, byte for byte."""
    file.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, format="PNG")
    return file


def pictures(folder: Path, names: str) -> Path:
    """A picture for each name; those of other folders differ."""
    for name in names.split():
        seed = zlib.crc32(os.fsencode("/".join((folder.parent.name, folder.name, name))))
        picture(folder / name, seed)
    return folder


def two_classes(root: Path, per_class: int = 10) -> Path:
    for name in ("cats", "dogs"):
        pictures(root / name, " ".join(f"{name}{i}.png" for i in range(per_class)))
    return root


def train_and_valid(root: Path) -> Path:
    two_classes(root / "train", 4)
    two_classes(root / "valid", 2)
    return root


def labelled(root: Path, text: str, names: str = "a b c d e f g h") -> Path:
    """A table beside a folder of pictures."""
    pictures(root / "photos", " ".join(f"{name}.png" for name in names.split()))
    table = root / "labels.csv"
    table.write_text(text, encoding="utf-8")
    return table


def names_of(data: ImageData, split: str) -> list[str]:
    return [os.path.basename(file) for file in data.splits[split].files]


def reasons(data: ImageData) -> dict[str, str]:
    """Why each file was skipped, by its path below the root."""
    return {os.path.relpath(s.file, data.root): s.reason for s in data.skipped}


def snapshot(root: Path) -> dict[str, Any]:
    """Every file and folder as it stands, times and contents included."""
    seen = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files, "."]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            plain = os.path.isfile(path) and not os.path.islink(path)
            content = Path(path).read_bytes() if plain else None
            seen[path] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return seen


# ---------------------------------------------------------------- from_folders


def test_train_and_valid_are_read_with_their_classes(folder: Path) -> None:
    data = ImageData.from_folders(train_and_valid(folder), size=64)
    assert data.classes == ("cats", "dogs")
    assert data.task.target.kind is Kind.BINARY
    assert names_of(data, "valid") == ["cats0.png", "cats1.png", "dogs0.png", "dogs1.png"]
    assert data.valid.targets.tolist() == [0, 0, 1, 1]
    assert len(data.train) == 8
    assert data.train.sizes.tolist() == [[12, 10]] * 8
    assert data.train.picture(0).shape == (10, 12, 3)
    assert data.size == 64
    assert data.test is None
    assert not data.skipped
    assert not data.notes


@pytest.mark.parametrize("name", ["val", "validation", "Valid"])
def test_the_validation_folder_may_have_another_name(folder: Path, name: str) -> None:
    train_and_valid(folder)
    (folder / "valid").rename(folder / name)
    data = ImageData.from_folders(folder)
    assert len(data.valid) == 4
    assert not data.left_alone


def test_a_second_validation_folder_is_left_alone(folder: Path) -> None:
    train_and_valid(folder)
    shutil.copytree(folder / "valid", folder / "val")
    data = ImageData.from_folders(folder)
    assert len(data.valid) == 4
    assert data.left_alone == [("val", "neither train, valid nor test")]


def test_without_a_validation_folder_a_share_is_held_out(folder: Path) -> None:
    two_classes(folder / "train", 10)
    data = ImageData.from_folders(folder, valid_fraction=0.3)
    assert (len(data.train), len(data.valid)) == (14, 6)
    assert "no validation folder or column: 6 of 20 pictures (30% of each class)" in data.notes[0]


def test_folders_beside_the_splits_are_left_alone_and_reported(folder: Path) -> None:
    train_and_valid(folder)
    for name in ("models", "tmp", "sample"):
        pictures(folder / name / "train" / "cats", "x.png")
    (folder / "notes.txt").write_text("mine")
    data = ImageData.from_folders(folder)
    left = ["models", "notes.txt", "sample", "tmp"]
    assert [name for name, _ in data.left_alone] == left
    assert len(data.train) == 8
    assert all(f"left alone: {name} " in str(data.summary()) for name in left)


def test_classes_stand_in_natural_order(folder: Path) -> None:
    for name in ("class10", "class2", "Class1", "class", "class2b", "²"):
        pictures(folder / name, "a.png b.png")
    data = ImageData.from_folder(folder)
    assert data.classes == ("class", "Class1", "class2", "class2b", "class10", "²")


@pytest.mark.parametrize(
    "names",
    [
        ["", "1", "2", "10", "b", "b1", "b2", "b2a", "b10", "b10a"],
        ["a" + "9" * 5000, "a1" + "0" * 5000],
        ["x1²3", "x¹", "x٣", "x₂"],
        ["a", "\udcff"],
    ],
)
def test_natural_order_takes_any_name(names: list[str]) -> None:
    random.Random(0).shuffle(shuffled := list(names))
    assert sorted(shuffled, key=natural_order) == names


def test_a_class_only_in_valid_is_skipped_with_its_reason(folder: Path) -> None:
    train_and_valid(folder)
    pictures(folder / "valid" / "newts", "a.png b.png")
    data = ImageData.from_folders(folder)
    assert data.classes == ("cats", "dogs")
    assert len(data.valid) == 4
    told = "its class 'newts' has no training picture"
    assert reasons(data) == {"valid/newts/a.png": told, "valid/newts/b.png": told}


def test_an_empty_class_is_reported(folder: Path) -> None:
    train_and_valid(folder)
    (folder / "train" / "newts").mkdir()
    data = ImageData.from_folders(folder)
    assert data.classes == ("cats", "dogs")
    assert data.left_alone == [("train/newts", "a folder without pictures")]


def test_a_class_with_one_picture_stays_in_training(folder: Path) -> None:
    two_classes(folder)
    pictures(folder / "newts", "only.png")
    data = ImageData.from_folder(folder, valid_fraction=0.5)
    assert "only.png" in names_of(data, "train")
    assert data.summary().counts["valid"] == {"cats": 5, "dogs": 5, "newts": 0}


def test_a_class_of_which_nothing_can_be_read_is_left_out(folder: Path) -> None:
    train_and_valid(folder)
    (folder / "train" / "newts").mkdir()
    (folder / "train" / "newts" / "a.jpg").write_text("no picture")
    pictures(folder / "valid" / "newts", "b.png")
    data = ImageData.from_folders(folder)
    assert data.classes == ("cats", "dogs")
    assert data.notes == ["no training picture of 'newts' can be used; the class is left out"]
    assert reasons(data) == {
        "train/newts/a.jpg": "not a picture but text",
        "valid/newts/b.png": "its class 'newts' has no training picture",
    }


def test_pictures_deep_in_a_class_belong_to_it(folder: Path) -> None:
    train_and_valid(folder)
    deep = folder / "train" / "cats"
    for _ in range(300):
        deep = deep / "d"
    pictures(deep, "deep.png")
    data = ImageData.from_folders(folder)
    assert data.train.targets[names_of(data, "train").index("deep.png")] == 0


def test_what_is_no_picture_is_told_by_file(folder: Path) -> None:
    train_and_valid(folder)
    cats = folder / "train" / "cats"
    (cats / "readme.md").write_text("x")
    (cats / ".hidden.png").write_bytes(b"x")
    (cats / "Thumbs.db").write_bytes(b"x")
    (cats / "empty.jpg").touch()
    (cats / "folder.jpg").mkdir()
    picture(folder / "train" / "loose.png")
    data = ImageData.from_folders(folder)
    assert len(data.train) == 8
    assert reasons(data) == {
        "train/loose.png": "it lies beside the class folders, not in one",
        "train/cats/readme.md": "not a picture by its ending",
        "train/cats/.hidden.png": "a hidden or thumbnail file",
        "train/cats/Thumbs.db": "a hidden or thumbnail file",
        "train/cats/empty.jpg": "the file is empty",
        "train/cats/folder.jpg": "a folder named like a picture",
    }
    assert [s.file for s in data.skipped if s.unreadable] == [str(cats / "empty.jpg")]


STRANGE_NAMES = [
    "with spaces.png",
    "emoji 🐈‍⬛.png",
    "two\nlines.png",
    "quote\"'`$(x).png",
    "-rf.png",
    "SHOUT.PNG",
    "Mixed.JpEg",
    "многоточие….png",
    "\udcff\udcfe.png",
    "%s {0} \\n.png",
]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_names_may_be_strange(folder: Path, name: str) -> None:
    root = train_and_valid(folder / "ro\udce9t é")
    picture(root / "train" / "cats" / name, seed=77)
    shutil.copytree(root / "train" / "cats", root / "train" / f"class {name}")
    (root / "train" / "cats" / f"broken {name}").write_text("text")
    data = ImageData.from_folders(root)
    assert name in names_of(data, "train")
    assert f"class {name}" in data.classes
    text = str(data.summary())
    text.encode()  # a terminal takes it
    assert "not a picture but text" in text
    assert json.loads(json.dumps(data.summary().to_dict()))["pictures"]["train"] == 14


def test_a_link_to_a_folder_is_followed_once(folder: Path) -> None:
    root = train_and_valid(folder / "data")
    elsewhere = pictures(folder / "elsewhere", "more.png")
    cats = root / "train" / "cats"
    (cats / "link").symlink_to(elsewhere)
    (cats / "same").symlink_to(elsewhere)
    data = ImageData.from_folders(root)
    assert names_of(data, "train").count("more.png") == 1
    assert reasons(data) == {"train/cats/same": "a link to a folder that was read"}


@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
def test_a_link_to_a_folder_above_is_not_followed(folder: Path, target: str) -> None:
    """Else the pictures of every class would count for this one."""
    root = train_and_valid(folder / "data")
    (root / "train" / "cats" / "loop").symlink_to(target)
    data = ImageData.from_folders(root)
    assert data.train.targets.tolist() == [0] * 4 + [1] * 4
    assert list(reasons(data)) == ["train/cats/loop"]
    assert reasons(data)["train/cats/loop"].startswith("a link to a folder that")


def test_a_class_that_links_to_elsewhere_loops_nowhere(folder: Path) -> None:
    root = train_and_valid(folder / "data")
    newts = pictures(folder / "elsewhere" / "newts", "n.png")
    (root / "train" / "newts").symlink_to(newts)
    (newts / "back").symlink_to(root)
    (newts / "up").symlink_to("..")
    data = ImageData.from_folders(root)
    assert data.classes == ("cats", "dogs", "newts")
    assert len(data.train) == 9
    assert set(reasons(data)) == {"train/newts/back", "train/newts/up"}


def test_a_link_to_itself_is_unreadable(folder: Path) -> None:
    train_and_valid(folder)
    for place in ("cats", "."):
        loop = folder / "train" / place / "loop.png"
        loop.symlink_to(loop)
    data = ImageData.from_folders(folder)
    assert "symbolic links" in reasons(data)["train/cats/loop.png"]
    assert reasons(data)["train/loop.png"] == "it lies beside the class folders, not in one"


def test_pictures_in_both_train_and_valid_are_noted(folder: Path) -> None:
    train_and_valid(folder)
    for name in ("cats0.png", "cats1.png"):
        shutil.copy(folder / "train" / "cats" / name, folder / "valid" / "cats" / f"x{name}")
    data = ImageData.from_folders(folder)
    assert data.notes == [
        "2 of the 6 validation pictures stand in train too, byte for byte: on them accuracy "
        "measures memory"
    ]


def test_no_file_is_changed_or_touched(folder: Path) -> None:
    root = train_and_valid(folder / "data")
    two_classes(root / "test", 2)
    (root / "train" / "cats" / "broken.jpg").write_text("x")
    (root / "train" / "cats" / "nowhere.jpg").symlink_to("gone")
    (root / "models").mkdir()
    before = snapshot(root)
    data = ImageData.from_folders(root)
    data.open_test("to see that nothing is written")
    str(data.summary())
    assert snapshot(root) == before


def test_progress_counts_every_file(folder: Path) -> None:
    two_classes(folder, 100)
    seen: list[tuple[int, int]] = []
    ImageData.from_folder(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (200, 200)
    assert seen == sorted(seen)
    assert len(seen) > 2


# ---------------------------------------------------------------- the sealed test split


def test_a_test_split_is_sealed_until_it_is_opened(folder: Path) -> None:
    train_and_valid(folder)
    two_classes(folder / "test", 3)
    data = ImageData.from_folders(folder)
    assert data.test is not None
    assert data.test.sealed
    for read in (lambda: data.test.labels, lambda: data.test.targets):
        with pytest.raises(SealedError, match="open_test"):
            read()
    assert data.summary().counts["test"] == {None: 6}
    assert "cats" not in str(data.summary()).split("test")[1].split("\n")[0]
    with pytest.raises(DataError, match="needs a reason"):
        data.open_test("  ")
    assert data.test.sealed

    assert data.open_test("the choices are made") is data.test
    assert data.test.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_openings == ["the choices are made"]
    assert data.summary().counts["test"] == {"cats": 3, "dogs": 3}
    data.open_test("again")
    assert data.test_openings == ["the choices are made", "again"]


def test_nothing_of_a_sealed_split_depends_on_its_labels(folder: Path) -> None:
    """The same test pictures under other classes give the same data up to their paths."""
    for place, classes in (("a", ("cats", "dogs")), ("b", ("dogs", "cats")), ("c", ("x", "y"))):
        train_and_valid(folder / place)
        for number, name in enumerate(classes):
            picture(folder / place / "test" / name / "p.png", seed=number)
    read = [ImageData.from_folders(folder / place) for place in "abc"]
    assert len({data.fingerprint() for data in read}) == 1
    summaries = [str(data.summary()).split("\n", 1)[1] for data in read]
    assert len(set(summaries)) == 1


def test_a_test_split_without_classes_has_no_labels_when_opened(folder: Path) -> None:
    train_and_valid(folder)
    pictures(folder / "test", "a.png b.png")
    data = ImageData.from_folders(folder)
    test = data.open_test("to predict it")
    assert len(test) == 2
    assert test.labels is None
    with pytest.raises(DataError, match="no labels"):
        _ = test.targets
    assert data.summary().counts["test"] == {None: 2}


def test_test_pictures_that_cannot_be_judged_are_skipped_when_opened(folder: Path) -> None:
    train_and_valid(folder)
    two_classes(folder / "test", 1)
    picture(folder / "test" / "newts" / "n.png", seed=1)
    picture(folder / "test" / "loose.png", seed=2)
    data = ImageData.from_folders(folder)
    assert len(data.test or ()) == 4
    assert not data.skipped
    test = data.open_test("done")
    assert test.targets.tolist() == [0, 1]
    assert len(test.files) == len(test.digests) == len(test.sizes) == 2
    assert reasons(data) == {
        "test/loose.png": "it has no label",
        "test/newts/n.png": "its class 'newts' has no training picture",
    }


def test_a_test_split_of_strange_classes_stays_sealed(folder: Path) -> None:
    train_and_valid(folder)
    picture(folder / "test" / "newts" / "n.png")
    data = ImageData.from_folders(folder)
    with pytest.raises(DataError, match="no test picture .* has a class that is known"):
        data.open_test("done")
    assert data.test is not None
    assert data.test.sealed
    assert not data.test_openings


def test_without_a_test_split_there_is_nothing_to_open(folder: Path) -> None:
    data = ImageData.from_folders(train_and_valid(folder))
    with pytest.raises(DataError, match="no test split to open"):
        data.open_test("why not")


# ---------------------------------------------------------------- from_folder


def test_one_folder_a_class_is_split_by_seed_and_content(folder: Path) -> None:
    root = two_classes(folder / "a", 20)
    data = ImageData.from_folder(root)
    assert data.summary().counts == {
        "train": {"cats": 16, "dogs": 16}, "valid": {"cats": 4, "dogs": 4}
    }  # fmt: skip
    again = ImageData.from_folder(root)
    assert again.valid.files == data.valid.files
    assert ImageData.from_folder(root, seed=1).valid.files != data.valid.files

    # Other names, the same pictures.
    for name in ("cats", "dogs"):
        (folder / "b" / name).mkdir(parents=True)
        for number, file in enumerate(sorted((root / name).iterdir(), reverse=True)):
            shutil.copy(file, folder / "b" / name / f"{number}.png")
    renamed = ImageData.from_folder(folder / "b")
    assert sorted(renamed.valid.digests) == sorted(data.valid.digests)
    assert renamed.fingerprint() == data.fingerprint()


def test_identical_pictures_are_not_parted(folder: Path) -> None:
    root = two_classes(folder, 6)
    for number in range(6):
        for copy in "xyz":
            source = root / "cats" / f"cats{number}.png"
            shutil.copy(source, root / "cats" / f"{copy}{number}.png")
    for seed in range(5):
        data = ImageData.from_folder(root, seed=seed)
        assert not set(data.train.digests) & set(data.valid.digests)
        assert len(data.notes) == 1


def test_from_path_finds_the_layout(folder: Path) -> None:
    assert ImageData.from_path(train_and_valid(folder / "a")).left_alone == []
    assert len(ImageData.from_path(train_and_valid(folder / "a")).valid) == 4
    plain = ImageData.from_path(two_classes(folder / "b"), valid_fraction=0.5)
    assert len(plain.valid) == 10
    assert plain.classes == ("cats", "dogs")


def test_from_path_takes_no_split_for_a_class(folder: Path) -> None:
    two_classes(folder / "valid", 2)
    two_classes(folder / "test", 2)
    with pytest.raises(DataError, match="no folder 'train'"):
        ImageData.from_path(folder)


def test_capitals_in_the_names_of_splits_are_understood(folder: Path) -> None:
    train_and_valid(folder)
    (folder / "train").rename(folder / "Train")
    assert len(ImageData.from_path(folder).train) == 8


# ---------------------------------------------------------------- from_csv


def test_a_table_gives_labels_by_name_with_a_suffix(folder: Path) -> None:
    table = labelled(
        folder, "id,breed\n" + "".join(f"{n},{'xy'[i % 2]}\n" for i, n in enumerate("abcdefgh"))
    )
    data = ImageData.from_csv(
        table, folder / "photos", file_column="id", label_column="breed", suffix=".png"
    )
    assert data.classes == ("x", "y")
    assert data.task.target.name == "breed"
    label_of = dict(zip(names_of(data, "train"), data.train.targets.tolist(), strict=True))
    label_of |= dict(zip(names_of(data, "valid"), data.valid.targets.tolist(), strict=True))
    assert label_of == {f"{name}.png": i % 2 for i, name in enumerate("abcdefgh")}
    assert not data.skipped


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_columns_and_their_separator_are_found(folder: Path, separator: str, mark: str) -> None:
    rows = ["file,label", *(f"{name}.png,{'xy'[i % 2]}" for i, name in enumerate("abcdefgh"))]
    table = labelled(folder, mark + "\n".join(rows).replace(",", separator))
    data = ImageData.from_csv(table, folder / "photos")
    assert len(data.train) + len(data.valid) == 8


def test_a_table_beside_its_pictures_names_them_by_path(folder: Path) -> None:
    pictures(folder / "one", "a.png b.png c.png")
    pictures(folder / "two", "a.png b.png d.png")
    table = folder / "t.csv"
    table.write_text(
        "path,label\none/a.png,x\n./one/b.png,y\ntwo/../two/a.png,x\ntwo/b.png,y\nd.png,x\n"
        f"{folder}/one/c.png,y\n"
    )
    data = ImageData.from_csv(table)
    assert len(data.train) + len(data.valid) == 6
    assert not data.skipped


def test_a_name_that_two_pictures_have_is_not_guessed(folder: Path) -> None:
    pictures(folder / "photos" / "one", "a.png")
    pictures(folder / "photos" / "two", "a.png")
    table = labelled(folder, "file,label\nb.png,x\nc.png,x\nd.png,y\ne.png,y\na.png,x\n", "b c d e")
    data = ImageData.from_csv(table, folder / "photos")
    assert {"one/a.png", "two/a.png"} <= set(reasons(data))
    assert len(data.train) + len(data.valid) == 4


def test_rows_and_pictures_without_each_other_are_reported(folder: Path) -> None:
    table = labelled(
        folder,
        "file,label\na.png,x\nb.png,y\nc.png,x\nd.png,y\ngone.png,x\n,y\ne.png,\nf.png,  \n",
    )
    data = ImageData.from_csv(table, folder / "photos")
    assert len(data.train) + len(data.valid) == 4
    told = {os.path.basename(s.file): s.reason for s in data.skipped}
    assert told == {
        "gone.png": "a row of labels.csv names it, and there is no such picture",
        "row 7 of labels.csv": "it names no file",
        "e.png": "its row in labels.csv has no label",
        "f.png": "its row in labels.csv has no label",
        "g.png": "no row in labels.csv",
        "h.png": "no row in labels.csv",
    }
    for reason in told.values():
        assert reason in str(data.summary())


def test_a_thousand_rows_without_a_picture_take_one_line(folder: Path) -> None:
    rows = "".join(f"gone{i}.png,x\n" for i in range(1000))
    table = labelled(folder, "file,label\na.png,x\nb.png,x\nc.png,y\nd.png,y\n" + rows)
    data = ImageData.from_csv(table, folder / "photos")
    assert len(data.skipped) == 1004
    assert len(str(data.summary()).splitlines()) < 8


def test_rows_that_contradict_each_other_are_reported_and_repeats_are_not(folder: Path) -> None:
    table = labelled(
        folder,
        "file,label\na.png,x\na.png,y\nb.png,x\nb.png, x\nc.png,y\nd.png,y\ne.png,x\n",
        "a b c d e",
    )
    data = ImageData.from_csv(table, folder / "photos")
    assert len(data.train) + len(data.valid) == 4
    assert reasons(data) == {"a.png": "its rows in labels.csv contradict each other"}


def test_a_column_names_the_splits(folder: Path) -> None:
    table = labelled(
        folder,
        "file,label,part\na.png,x,train\nb.png,y,Training\nc.png,x,val\nd.png,y, valid\n"
        "e.png,y,test\nf.png,x,TEST\ng.png,,test\nh.png,z,valid\n",
    )
    data = ImageData.from_csv(table, folder / "photos", label_column="label", split_column="part")
    assert names_of(data, "train") == ["a.png", "b.png"]
    assert names_of(data, "valid") == ["c.png", "d.png"]
    assert reasons(data) == {"h.png": "its class 'z' has no training picture"}
    assert data.test is not None
    with pytest.raises(SealedError):
        _ = data.test.targets
    data.open_test("done")
    assert names_of(data, "test") == ["e.png", "f.png"]
    assert data.test.targets.tolist() == [1, 0]
    assert reasons(data)["g.png"] == "it has no label"


def test_labels_of_test_rows_are_not_read_before_opening(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = labelled(
        folder,
        "file,label,part\na.png,x,train\nb.png,y,train\nc.png,x,valid\nd.png,y,valid\n"
        "e.png,x,test\ne.png,y,test\nf.png,x,test\nf.png,x,test\n",
        "a b c d e f",
    )
    read: list[int] = []
    label = LabelsFile.label
    monkeypatch.setattr(LabelsFile, "label", lambda self, r: read.append(r) or label(self, r))
    data = ImageData.from_csv(table, folder / "photos", label_column="label", split_column="part")
    assert names_of(data, "test") == ["e.png", "f.png"]
    assert set(read) == {0, 1, 2, 3}
    data.open_test("done")
    assert names_of(data, "test") == ["f.png"]
    assert set(read) == set(range(8))


def test_a_table_with_test_rows_only_says_so(folder: Path) -> None:
    table = labelled(folder, "file,label,part\na.png,x,test\nb.png,y,test\n", "a b")
    with pytest.raises(DataError, match=r"no row of .*labels.csv with a picture .* for training"):
        ImageData.from_csv(table, folder / "photos", label_column="label", split_column="part")


def test_pictures_of_a_group_are_not_parted_and_the_groupless_are_free(folder: Path) -> None:
    names = [f"p{i}" for i in range(24)]
    rows = [f"{n}.png,{'xy'[i % 2]},{f'patient{i // 6}' if i < 12 else ''}" for i, n in
            enumerate(names)]  # fmt: skip
    table = labelled(folder, "file,label,who\n" + "\n".join(rows), " ".join(names))
    sides = set()
    for seed in range(6):
        data = ImageData.from_csv(
            table, folder / "photos", label_column="label", group_column="who", seed=seed,
            valid_fraction=0.4,
        )  # fmt: skip
        held = {int(name[1:-4]) for name in names_of(data, "valid")}
        for patient in (range(6), range(6, 12)):
            assert len(held & set(patient)) in (0, 6)
        sides.add(frozenset(held & set(range(12, 24))))
        assert 0 < len(held & set(range(12, 24))) < 12
    assert len(sides) > 1


def test_splits_know_the_groups_of_the_pictures_that_are_left(folder: Path) -> None:
    names, who = "abcdefgh", ["p", "q", "p", "", "q", "p", "r", "r"]
    rows = [
        f"{name}.png,{'xy'[i % 2]},{who[i]},{'valid' if i > 4 else 'train'}"
        for i, name in enumerate(names)
    ]
    table = labelled(folder, "file,label,who,part\n" + "\n".join(rows), " ".join(names))
    options = {"label_column": "label", "split_column": "part"}
    data = ImageData.from_csv(table, folder / "photos", group_column="who", **options)
    data.set_aside("train", {1: "it broke"})

    def groups() -> dict[str, int]:
        both = (data.train, data.valid)
        found = [zip(names_of(data, s.name), s.groups.tolist(), strict=True) for s in both]
        return {name[0]: number for pairs in found for name, number in pairs}

    found = groups()
    assert sorted(found) == list("acdefgh")
    assert found["a"] == found["c"] == found["f"] != found["e"]
    assert found["g"] == found["h"] not in (found["a"], found["e"])
    assert [name for name, number in found.items() if number < 0] == ["d"]
    data = ImageData.from_csv(table, folder / "photos", **(options | {"label_column": "who"}))
    assert set(groups().values()) == {-1}


def test_weights_come_with_their_rows(folder: Path) -> None:
    rows = [f"{name}.png,{'xy'[i % 2]},{i + 0.5}" for i, name in enumerate("abcdefgh")]
    table = labelled(folder, "file,label,weight\n" + "\n".join(rows))
    data = ImageData.from_csv(
        table, folder / "photos", label_column="label", weight_column="weight"
    )
    for split in ("train", "valid"):
        labels = data.splits[split].labels
        assert labels is not None
        assert labels.weights is not None
        wanted = ["abcdefgh".index(name[0]) + 0.5 for name in names_of(data, split)]
        assert labels.weights.tolist() == wanted


def test_weights_of_test_rows_come_with_their_labels(folder: Path) -> None:
    parts = ["train", "train", "train", "valid", "valid", "test", "test", "test"]
    labels = ["x", "y", "x", "x", "y", "y", "", "x"]  # one without any
    rows = [
        f"{name}.png,{label},{part},{i + 0.5}"
        for i, (name, label, part) in enumerate(zip("abcdefgh", labels, parts, strict=True))
    ]
    table = labelled(folder, "file,label,part,weight\n" + "\n".join(rows))
    data = ImageData.from_csv(
        table,
        folder / "photos",
        label_column="label",
        split_column="part",
        weight_column="weight",
    )
    test = data.open_test("the choices are made")
    assert names_of(data, "test") == ["f.png", "h.png"]
    assert test.labels is not None
    assert test.labels.weights is not None
    assert test.labels.weights.tolist() == [5.5, 7.5]
    assert test.targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        ("-1", "the weight '-1'"),
        ("heavy", "the weight 'heavy'"),
        ("nan", "the weight 'nan'"),
        ("", "no"),
    ],
)
def test_a_weight_that_cannot_be_is_told_with_its_row(folder: Path, weight: str, told: str) -> None:
    table = labelled(folder, f"file,label,w\na.png,x,1\nb.png,y,{weight}\n", "a b")
    with pytest.raises(DataError, match=f"row 3 of .*labels.csv has {told}"):
        ImageData.from_csv(table, folder / "photos", label_column="label", weight_column="w")


def test_a_row_may_have_several_labels(folder: Path) -> None:
    table = labelled(
        folder,
        "file,tags\n" + "".join(f"{n}.png,clear t{i % 3}\n" for i, n in enumerate("abcdefgh")),
    )
    data = ImageData.from_csv(table, folder / "photos", kind="labels")
    assert data.task.target.kind is Kind.MULTILABEL
    assert data.classes == ("clear", "t0", "t1", "t2")
    assert data.train.targets.shape == (len(data.train), 4)
    assert (data.train.targets[:, 0] == 1).all()
    summary = data.summary()
    assert summary.pictures == {"train": len(data.train), "valid": len(data.valid)}
    assert summary.counts["train"]["clear"] == len(data.train)
    assert f"{len(data.train)} pictures: clear {len(data.train)}" in str(summary)


def test_of_several_labels_the_rarest_decides_what_is_held_out(folder: Path) -> None:
    names = [f"p{i}" for i in range(60)]
    tags = {name: ["common", *(f"every{n}" for n in (2, 5, 15) if i % n == 0)]
            for i, name in enumerate(names)}  # fmt: skip
    tags["p1"].append("once")
    rows = "".join(f"{name}.png,{'|'.join(tags[name])}\n" for name in names)
    table = labelled(folder, "file,tags\n" + rows, " ".join(names))
    for seed in range(5):
        data = ImageData.from_csv(
            table, folder / "photos", kind="labels", separator="|", valid_fraction=0.25, seed=seed
        )
        assert not data.skipped
        assert data.classes == ("common", "every2", "every5", "every15", "once")
        counts = data.summary().counts
        assert counts["valid"]["every15"] == 1
        assert counts["valid"]["every5"] == 3
        assert counts["valid"]["once"] == 0
        assert counts["train"]["once"] == 1


def test_labels_that_are_all_different_cannot_be_split(folder: Path) -> None:
    table = labelled(folder, "file,tags\na.png,x y\nb.png,x z\nc.png,x w\n", "a b c")
    with pytest.raises(DataError, match="nothing .* can be held out"):
        ImageData.from_csv(table, folder / "photos", kind="labels")


def test_the_order_of_labels_in_a_row_means_nothing(folder: Path) -> None:
    table = labelled(
        folder, "file,tags\na.png,x y\na.png,y  x\nb.png,y x\nc.png,x\nd.png,y\n", "a b c d"
    )
    data = ImageData.from_csv(table, folder / "photos", kind="labels")
    assert len(data.train) + len(data.valid) == 4
    assert not data.skipped


def test_a_label_may_be_a_number(folder: Path) -> None:
    table = labelled(
        folder, "file,age\n" + "".join(f"{n}.png,{i * 1.5}\n" for i, n in enumerate("abcdefgh"))
    )
    data = ImageData.from_csv(table, folder / "photos", kind="number", valid_fraction=0.25)
    assert data.task.target.kind is Kind.REGRESSION
    assert data.classes == ()
    assert (len(data.train), len(data.valid)) == (6, 2)
    wanted = ["abcdefgh".index(name[0]) * 1.5 for name in names_of(data, "train")]
    assert data.train.targets.tolist() == wanted
    assert "train" in str(data.summary())


@pytest.mark.parametrize("label", ["old", "nan", "inf"])
def test_a_label_that_is_no_number_is_told_with_its_row(folder: Path, label: str) -> None:
    table = labelled(folder, f"file,age\na.png,1\nb.png,{label}\n", "a b")
    with pytest.raises(DataError, match=f"row 3 of .*labels.csv has the label '{label}', which is"):
        ImageData.from_csv(table, folder / "photos", kind="number")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"file_column": "fiel"}, r"has no column 'fiel'.*it has file, label, more; did you mean"),
        ({"label_column": "labell"}, r"no column 'labell'.*; did you mean label\?"),
        ({}, "label_column has to say which column .* holds the labels: label, more"),
        ({"label_column": "label", "split_column": "more"}, "names the split '1'; it has to be"),
        ({"label_column": "label", "kind": "klass"}, "kind is 'klass'.*did you mean class"),
        ({"file_column": "more", "label_column": "label"}, "no row .* suffix and file_column say"),
    ],
)
def test_a_column_that_is_missing_is_told_with_a_hint(
    folder: Path, options: dict[str, str], told: str
) -> None:
    table = labelled(folder, "file,label,more\na.png,x,1\nb.png,y,2\n", "a b")
    with pytest.raises(DataError, match=told):
        ImageData.from_csv(table, folder / "photos", **options)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read as a table"),
        ("file,label\n", "has no rows"),
        ("file\na.png\n", "there is none beside the names"),
        ("name,label\nx,y\n", r"no column .* names pictures.*suffix what to add"),
        ("file,label\na.png,x\nb.png,y,z,w\n", "cannot be read as a table"),
        ('file,label\n"a.png,x\n', "cannot be read as a table"),
        ("file,label\na.png,x\nb.png,x\n", "two classes or more.*only those of 'x'"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(folder: Path, text: str, told: str) -> None:
    table = labelled(folder, text, "a b")
    with pytest.raises(DataError, match=told):
        ImageData.from_csv(table, folder / "photos")


def test_a_table_of_bytes_that_are_no_text_is_told(folder: Path) -> None:
    table = labelled(folder, "", "a b")
    table.write_bytes(b"file,label\na.png,\xff\xfe\nb.png,y\n")
    with pytest.raises(DataError, match="cannot be read as a table"):
        ImageData.from_csv(table, folder / "photos")


def test_a_table_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match="no such table of labels"):
        ImageData.from_csv(folder / "labels.csv")
    with pytest.raises(DataError, match="is a folder; labels are read from a CSV file"):
        ImageData.from_csv(folder)
    table = labelled(folder, "file,label\na.png,x\n")
    with pytest.raises(DataError, match="no such folder"):
        ImageData.from_csv(table, folder / "fotos")


# ---------------------------------------------------------------- what a new user meets


def test_a_folder_that_is_not_there_is_told_with_what_exists(folder: Path) -> None:
    (folder / "photos").mkdir()
    with pytest.raises(DataError, match="no such folder") as caught:
        ImageData.from_path(folder / "photos" / "cats" / "2024")
    assert str(caught.value).endswith(f"what exists of it is {folder / 'photos'}")


def test_a_file_instead_of_a_folder_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match=r"a.png is a file, not a folder; give the folder that"):
        ImageData.from_path(picture(folder / "a.png"))


def test_an_empty_folder_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match="is empty; it should hold one folder a class"):
        ImageData.from_path(folder)
    (folder / "train").mkdir()
    with pytest.raises(DataError, match="is empty; it should hold one folder a class"):
        ImageData.from_path(folder)


def test_a_flat_folder_of_pictures_is_told(folder: Path) -> None:
    pictures(folder, "a.png b.png c.png")
    with pytest.raises(DataError, match="holds 3 pictures but no folder with pictures in it; put"):
        ImageData.from_path(folder)


def test_a_folder_without_train_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no folder 'train' in .*; .* use ImageData.from_folder"):
        ImageData.from_folders(two_classes(folder))


def test_one_class_is_told(folder: Path) -> None:
    pictures(folder / "cats", "a.png b.png")
    with pytest.raises(DataError, match="two classes or more, and .* has only those of 'cats'"):
        ImageData.from_path(folder)


def test_one_class_that_can_be_read_is_told(folder: Path) -> None:
    pictures(folder / "cats", "a.png b.png")
    (folder / "dogs").mkdir()
    (folder / "dogs" / "c.jpg").write_text("x")
    with pytest.raises(DataError, match="has only those of 'cats'"):
        ImageData.from_path(folder)


def test_an_empty_validation_folder_is_told(folder: Path) -> None:
    two_classes(folder / "train")
    (folder / "valid").mkdir()
    with pytest.raises(DataError, match="no picture for 'valid'"):
        ImageData.from_folders(folder)


def test_classes_of_one_picture_each_cannot_be_split(folder: Path) -> None:
    for name in ("cats", "dogs"):
        pictures(folder / name, "a.png")
        shutil.copy(folder / name / "a.png", folder / name / "same.png")
    with pytest.raises(DataError, match="no class has two different pictures"):
        ImageData.from_folder(folder)


def test_more_than_half_unreadable_is_an_error_and_half_is_not(folder: Path) -> None:
    two_classes(folder, 2)
    for number in range(4):
        (folder / "cats" / f"broken{number}.jpg").write_text("x")
    assert len(ImageData.from_folder(folder).skipped) == 4
    (folder / "cats" / "last.jpg").touch()
    with pytest.raises(DataError, match=r"5 of 9 pictures .* cannot be read, more than 50%: 4 x"):
        ImageData.from_folder(folder)


@pytest.mark.parametrize("size", [0, 7, 5000])
def test_a_size_that_cannot_be_is_told(folder: Path, size: int) -> None:
    with pytest.raises(DataError, match=f"size is {size} pixels"):
        ImageData.from_folder(two_classes(folder, 3), size=size)


# ---------------------------------------------------------------- setting aside later


def test_pictures_that_fail_later_are_set_aside(folder: Path) -> None:
    data = ImageData.from_folders(train_and_valid(folder))
    files = list(data.train.files)
    data.set_aside("train", {0: "damaged: cut", 5: "damaged: more"})
    assert data.train.files == [f for i, f in enumerate(files) if i not in (0, 5)]
    assert data.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(data.train.digests) == len(data.train.sizes) == 6
    assert [(s.file, s.reason) for s in data.skipped if s.unreadable] == [
        (files[0], "damaged: cut"), (files[5], "damaged: more")
    ]  # fmt: skip


def test_setting_aside_too_many_is_an_error(folder: Path) -> None:
    data = ImageData.from_folders(train_and_valid(folder))
    with pytest.raises(DataError, match="7 of 12 pictures"):
        data.set_aside("train", dict.fromkeys(range(7), "damaged"))


def test_setting_aside_a_whole_class_is_an_error_or_a_note(folder: Path) -> None:
    train_and_valid(folder)
    data = ImageData.from_folders(folder)
    with pytest.raises(DataError, match="only those of 'dogs'"):
        data.set_aside("train", dict.fromkeys(range(4), "damaged"))
    pictures(folder / "train" / "newts", "n.png")
    data = ImageData.from_folders(folder)
    data.set_aside("train", {8: "damaged"})
    assert data.notes == [
        "no training picture of 'newts' can be read; the class is never predicted"
    ]


# ---------------------------------------------------------------- the summary


def test_the_summary_counts_and_prints(folder: Path) -> None:
    train_and_valid(folder)
    picture(folder / "train" / "cats" / "large.png", size=(300, 200))
    picture(folder / "train" / "cats" / "small.png", size=(3, 2))
    summary = ImageData.from_folders(folder).summary()
    assert summary.pictures == {"train": 10, "valid": 4}
    assert summary.counts == {"train": {"cats": 6, "dogs": 4}, "valid": {"cats": 2, "dogs": 2}}
    assert summary.sizes == ((3, 2), (12, 10), (300, 200))
    assert str(summary).splitlines() == [
        str(folder),
        "  train       10 pictures: cats 6, dogs 4",
        "  valid        4 pictures: cats 2, dogs 2",
        "  sizes  3 x 2 to 300 x 200 pixels, median 12 x 10",
    ]


def test_the_summary_of_many_classes_and_many_faults_stays_short(folder: Path) -> None:
    for number in range(30):
        pictures(folder / f"class{number}", "a.png b.png c.png")
        (folder / f"class{number}" / "x.jpg").write_text("x")
    lines = str(ImageData.from_folder(folder).summary()).splitlines()
    assert lines[1].endswith("class6 2, class7 2, … 22 classes more")
    assert [line for line in lines if "skipped" in line] == [
        "  skipped 30: not a picture but text (class0/x.jpg, class1/x.jpg, class2/x.jpg, …)"
    ]


def test_the_summary_is_json(folder: Path) -> None:
    train_and_valid(folder)
    pictures(folder / "test", "a.png")
    (folder / "train" / "cats" / "x.jpg").touch()
    (folder / "models").mkdir()
    document = json.loads(json.dumps(ImageData.from_folders(folder).summary().to_dict()))
    assert document == {
        "root": str(folder),
        "pictures": {"train": 8, "valid": 4, "test": 1},
        "counts": {
            "train": {"cats": 4, "dogs": 4}, "valid": {"cats": 2, "dogs": 2}, "test": {"": 1}
        },
        "sizes": [[12, 10]] * 3,
        "skipped": [
            {
                "file": str(folder / "train" / "cats" / "x.jpg"),
                "reason": "the file is empty",
                "split": "train",
                "unreadable": True,
            }
        ],
        "left_alone": [["models", "neither train, valid nor test"]],
        "notes": [],
    }  # fmt: skip


def test_the_photographs_of_cats_and_dogs_are_read(dogscats: Path) -> None:
    data = ImageData.from_folders(dogscats, size=224)
    assert data.classes == ("cats", "dogs")
    assert data.summary().counts == {
        "train": {"cats": 1000, "dogs": 1000}, "valid": {"cats": 500, "dogs": 500}
    }  # fmt: skip
    assert not data.skipped


# ---------------------------------------------------------------- all of it at once


def test_hostile_folder(folder: Path) -> None:
    """Broken, strange and hostile files of twenty kinds and more: some are read, all are told."""
    root = folder
    make_hostile(root)
    before = snapshot(root)
    data = ImageData.from_folders(root)
    assert snapshot(root) == before

    assert data.classes == ("cats", "dogs", "one")
    read = {os.path.relpath(file, root): i for i, file in enumerate(data.train.files)}
    for name in READABLE:
        assert f"train/cats/{name}" in read
        pixels = data.train.picture(read[f"train/cats/{name}"])
        width, height = data.train.sizes[read[f"train/cats/{name}"]]
        assert pixels.shape == (height, width, 3)
    assert data.train.sizes[read["train/cats/turned.jpg"]].tolist() == [30, 40]

    # A picture that is cut short shows it when its pixels are decoded, before training.
    faults = {}
    for row in range(len(data.train)):
        try:
            data.train.picture(row)
        except DataError as error:
            faults[row] = str(error)
    data.set_aside("train", faults)
    told = reasons(data)
    for name, reason in UNREADABLE.items():
        assert reason in told[f"train/cats/{name}"], name
        assert f"train/cats/{name}" not in {os.path.relpath(f, root) for f in data.train.files}
    assert told["valid/newts/v.png"] == "its class 'newts' has no training picture"
    assert data.left_alone == [("models", "neither train, valid nor test"),
                               ("train/empty", "a folder without pictures")]  # fmt: skip

    # Nothing is silent: every file is a picture of a split, skipped, or left alone.
    told_of = set(told) | {name for name, _ in data.left_alone}
    used = {os.path.relpath(f, root) for split in data.splits.values() for f in split.files}
    for place, _, files in os.walk(root):
        for file in files:
            name = os.path.relpath(os.path.join(place, file), root)
            above = {str(parent) for parent in Path(name).parents}
            assert name in used | told_of or above & told_of, name

    text = str(data.summary())
    text.encode()
    for reason in {*told.values()}:
        assert reason in text
    json.dumps(data.summary().to_dict())


READABLE = [
    "cmyk.jpg", "sixteen.png", "palette.png", "animated.gif", "animated.webp", "turned.jpg",
    "dot.png", "ribbon.png", "with space.png", "emoji 🐕.png", "two\nlines.png", "LOUD.PNG",
    "\udcff.png",
]  # fmt: skip

UNREADABLE = {
    "cut.jpg": "damaged",
    "cut.png": "damaged",
    "zero.jpg": "the file is empty",
    "text.jpg": "not a picture but text",
    "nulls.jpg": "not a picture, or damaged",
    "bomb.png": "decompression bomb",
    "nowhere.jpg": "a link to nowhere",
    "self.jpg": "symbolic links",
    "pipe.jpg": "not a file",
    "folder.jpg": "a folder named like a picture",
    ".hidden.jpg": "a hidden or thumbnail file",
    "Thumbs.db": "a hidden or thumbnail file",
    "notes.txt": "not a picture by its ending",
    "up": "a link to a folder that holds it",
}


def make_hostile(root: Path) -> None:
    two_classes(root / "train", 12)
    two_classes(root / "valid", 3)
    cats = root / "train" / "cats"
    photo = Image.open(picture(cats / "with space.png", 1, (40, 30)))
    photo.load()
    jpeg = io.BytesIO()
    photo.save(jpeg, "JPEG")
    (cats / "cut.jpg").write_bytes(jpeg.getvalue()[: jpeg.tell() // 2])
    (cats / "cut.png").write_bytes((cats / "with space.png").read_bytes()[:900])
    (cats / "zero.jpg").touch()
    (cats / "text.jpg").write_text("this is no picture\n" * 9)
    (cats / "nulls.jpg").write_bytes(bytes(999))
    photo.convert("CMYK").save(cats / "cmyk.jpg")
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50).save(
        cats / "sixteen.png"
    )
    photo.quantize(16).save(cats / "palette.png", transparency=3)
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    frames[0].save(cats / "animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(cats / "animated.webp", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(cats / "turned.jpg", exif=exif)
    picture(cats / "dot.png", 2, (1, 1))
    picture(cats / "ribbon.png", 3, (20_000, 10))
    bomb = bytearray((cats / "dot.png").read_bytes())
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (cats / "bomb.png").write_bytes(bomb)
    (cats / "nowhere.jpg").symlink_to("gone.jpg")
    (cats / "self.jpg").symlink_to("self.jpg")
    (cats / "up").symlink_to("..")
    os.mkfifo(cats / "pipe.jpg")
    (cats / "folder.jpg").mkdir()
    for seed, name in enumerate(("emoji 🐕.png", "two\nlines.png", "LOUD.PNG", "\udcff.png")):
        picture(cats / name, 10 + seed)
    picture(cats / ".hidden.jpg", 20)
    (cats / "Thumbs.db").write_bytes(b"x")
    (cats / "notes.txt").write_text("x")
    picture(root / "train" / "one" / "only.png", 21)
    (root / "train" / "empty").mkdir()
    picture(root / "valid" / "newts" / "v.png", 22)
    (root / "models").mkdir()
    (root / "models" / "old.bin").write_bytes(b"x")
