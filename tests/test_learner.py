"""The façade on made pictures: three lines, every kind of task, keeping and coming back."""

import io
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from secchi import Backbone, Bundle, FeatureCache, ImageData, Learner, Training
from secchi.console import Console
from secchi.errors import BundleError, DataError, SealedError, SecchiError, SpecError

MakePictures = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """Twelve pictures in each of three classes, always the same ones."""
    return make_pictures(tmp_path / "photos", ("blue", "green", "red"), per_class=12, seed=100)


@pytest.fixture
def learner(photos: Path, lite0_cache: FeatureCache) -> Callable[..., Learner]:
    """Makes learners on those pictures, which keep what they keep in ``runs``."""

    def make(data: ImageData | None = None, **options: object) -> Learner:
        data = data or ImageData.from_folder(photos, size=64)
        quiet: dict[str, object] = {"cache": lite0_cache, "console": Console(quiet=True)}
        return Learner.pretrained("lite0", data, **(quiet | options))

    return make


def strict(file: Path) -> dict:
    """A JSON document without the NaN and Infinity that JSON does not have."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)


def numbers(learn: Learner) -> list[tuple[object, ...]]:
    assert learn.history is not None
    return [
        (e.number, e.train_loss, e.valid_loss, *e.metrics.values()) for e in learn.history.epochs
    ]


def write_labels(photos: Path, rows: list[tuple[object, ...]], *columns: str) -> Path:
    file = photos / "labels.csv"
    lines = [",".join(map(str, row)) for row in [columns, *rows]]
    file.write_text("\n".join(lines) + "\n")
    return file


def pictures(photos: Path) -> list[Path]:
    return sorted(photos.glob("*/*.png"))


# ---------------------------------------------------------------- training


def test_three_lines_train_a_classifier(photos: Path, lite0_cache: FeatureCache) -> None:
    out = io.StringIO()
    data = ImageData.from_folder(photos, size=64)
    learn = Learner.pretrained("lite0", data, cache=lite0_cache, console=Console(out))
    history = learn.fit(1e-2, epochs=3)
    assert [epoch.number for epoch in history.epochs] == [0, 1, 2]
    assert history.epochs[-1].metrics["accuracy"] > 0.9
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("features: ")
    assert lines[1].split() == ["epoch", "train", "loss", "valid", "loss", "accuracy", "seconds"]
    assert [line.split()[0] for line in lines[2:]] == ["0", "1", "2"]


def test_a_backbone_of_its_own_does_the_same(
    photos: Path, learner: Callable[..., Learner], lite0_cache: FeatureCache
) -> None:
    named = learner()
    given = Learner(
        ImageData.from_folder(photos),
        Backbone(size=64),
        cache=lite0_cache,
        console=Console(quiet=True),
    )
    named.fit(epochs=2)
    given.fit(epochs=2)
    assert numbers(named) == numbers(given)


def test_one_seed_gives_the_same_history_to_the_bit(learner: Callable[..., Learner]) -> None:
    one, other, another = learner(seed=3), learner(seed=3), learner(seed=4)
    for learn in (one, other, another):
        learn.fit(epochs=3, batch_size=8)
    assert numbers(one) == numbers(other)
    assert numbers(one) != numbers(another)
    assert torch.equal(one.head.linear.weight, other.head.linear.weight)


def test_a_seed_is_the_trainings_where_none_is_given(learner: Callable[..., Learner]) -> None:
    assert learner(seed=3).training.seed == 3
    assert learner(training=Training(seed=5)).training.seed == 5
    assert learner(training=Training(lr=0.5, seed=5), seed=6).training == Training(lr=0.5, seed=6)
    assert learner().training == Training()


def test_a_second_fit_goes_on_from_the_first(learner: Callable[..., Learner]) -> None:
    learn = learner()
    learn.fit(epochs=2, batch_size=8)
    weights = learn.head.linear.weight.clone()
    second = learn.fit(epochs=1, batch_size=8)
    assert [epoch.number for epoch in second.epochs] == [2]
    assert learn.history is not None
    assert [epoch.number for epoch in learn.history.epochs] == [0, 1, 2]
    assert second.epochs[0].train_loss < learn.history.epochs[0].train_loss
    assert not torch.equal(weights, learn.head.linear.weight)


def test_what_fit_is_told_holds_for_that_call_alone(learner: Callable[..., Learner]) -> None:
    learn = learner(training=Training(lr=0.02, epochs=1))
    told = learn.fit(0.5, 2, optimizer="sgd", weight_decay=0.0, batch_size=4, seed=9)
    assert told.training == Training("sgd", 0.5, 2, 4, 0.0, 9)
    assert learn.fit().training == Training(lr=0.02, epochs=1)


def test_a_setting_that_cannot_be_is_refused_before_any_work(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    with pytest.raises(SpecError, match="momentum"):
        learn.fit(momentum=0.9)
    with pytest.raises(SpecError, match="lr is -1"):
        learn.fit(-1)
    with pytest.raises(SpecError, match="'accuracyy'.*did you mean accuracy"):
        learn.fit(metrics=["accuracyy"])
    with pytest.raises(SpecError, match="always 1"):
        learn.fit(metrics=["top_3"])
    assert learn.history is None
    assert learn._extraction is None
    for wrong in ({"metrics": ["r2"]}, {"device": "gpu"}, {"precision": "fp8"}, {"seed": -1}):
        with pytest.raises(SpecError):
            learner(**wrong)


def test_metrics_by_name_are_measured_after_each_epoch(learner: Callable[..., Learner]) -> None:
    names = ["accuracy", "error_rate", "top_2", "f1", "auc"]
    learn = learner(metrics=names)
    history = learn.fit(epochs=2)
    assert list(history.epochs[-1].metrics) == names
    found = learn.predictions("valid")
    for name in names:
        assert history.epochs[-1].metrics[name] == pytest.approx(found.metric(name))
    assert list(learn.evaluate("valid")) == ["loss", *names]
    assert list(learn.fit(epochs=1, metrics=["f1"]).epochs[0].metrics) == ["f1"]


def test_predictions_agree_with_the_history(learner: Callable[..., Learner]) -> None:
    learn = learner()
    last = learn.fit(epochs=3).epochs[-1]
    found = learn.predictions("valid")
    assert found.sources == tuple(learn.data.valid.files)
    assert found.losses is not None
    assert found.losses.mean() == pytest.approx(last.valid_loss, rel=1e-5)
    assert found.correct.mean() == pytest.approx(last.metrics["accuracy"])


def test_a_split_that_does_not_exist_is_told(learner: Callable[..., Learner]) -> None:
    with pytest.raises(DataError, match="only train, valid; did you mean valid"):
        learner().predictions("vaild")


def test_divergence_is_named_and_the_run_is_kept_as_json(
    learner: Callable[..., Learner], photos: Path, tmp_path: Path
) -> None:
    file = write_labels(photos, [(f.name, i) for i, f in enumerate(pictures(photos))], "f", "y")
    data = ImageData.from_csv(file, photos, label_column="y", kind="number", size=64)
    out = io.StringIO()
    learn = learner(data, out=tmp_path / "runs", console=Console(out))
    learn.fit(1e30, 3, optimizer="sgd", batch_size=4)
    assert "diverged" in out.getvalue().splitlines()[-1]
    record = strict(learn.save_run() / "run.json")
    assert record["outcome"].startswith("diverged")
    assert record["valid"]["loss"] is None


# ---------------------------------------------------------------- every kind of task


def test_classes_from_a_table(photos: Path, learner: Callable[..., Learner]) -> None:
    rows = [(file.name, file.parent.name.upper()) for file in pictures(photos)]
    data = ImageData.from_csv(write_labels(photos, rows, "file", "colour"), photos, size=64)
    learn = learner(data)
    learn.fit(epochs=5)
    found = learn.predictions("valid")
    assert found.task.target.name == "colour"
    assert found.classes == ("BLUE", "GREEN", "RED")
    assert found.metric("accuracy") > 0.9
    for record in found.to_records():
        assert record["class"] == Path(record["file"]).parent.name.upper()


def test_two_classes_have_one_logit(
    tmp_path: Path, make_pictures: MakePictures, learner: Callable[..., Learner]
) -> None:
    photos = make_pictures(tmp_path / "two", per_class=12, seed=101)
    learn = learner(ImageData.from_folder(photos, size=64), metrics=["accuracy", "auc"])
    history = learn.fit(epochs=5)
    assert learn.head.outputs == 1
    assert history.epochs[-1].metrics == {"accuracy": 1.0, "auc": 1.0}


def test_several_labels_from_a_table(photos: Path, learner: Callable[..., Learner]) -> None:
    says = {"blue": "cold;dark", "green": "dark", "red": "warm"}
    rows = [(file.name, says[file.parent.name]) for file in pictures(photos)]
    data = ImageData.from_csv(
        write_labels(photos, rows, "file", "moods"),
        photos,
        file_column="file",
        label_column="moods",
        kind="labels",
        separator=";",
        size=64,
    )
    learn = learner(data, metrics=["accuracy", "f1", "auc"])
    history = learn.fit(epochs=30)
    assert history.epochs[-1].metrics["accuracy"] > 0.9
    assert history.epochs[-1].metrics["f1"] > 0.9
    found = learn.predictions("valid")
    assert found.classes == ("cold", "dark", "warm")
    for record in found.to_records():
        assert record["class"] == says[Path(record["file"]).parent.name].split(";")


def test_numbers_from_a_table(photos: Path, learner: Callable[..., Learner]) -> None:
    says = {"blue": -1.0, "green": 0.5, "red": 2.0}
    rows = [(file.name, says[file.parent.name]) for file in pictures(photos)]
    data = ImageData.from_csv(
        write_labels(photos, rows, "file", "warmth"), photos, kind="number", size=64
    )
    learn = learner(data)
    first = learn.fit(epochs=1)
    assert list(first.epochs[0].metrics) == ["mae"]
    learn.fit(0.03, epochs=60, batch_size=8, metrics=["mae", "r2"])
    found = learn.predictions("valid")
    assert found.metric("r2") > 0.9
    assert all(abs(r["warmth"] - says[Path(r["file"]).parent.name]) < 1 for r in found.to_records())
    learn.save_run()


def test_weights_in_the_table_change_what_is_learned(
    photos: Path, learner: Callable[..., Learner]
) -> None:
    """Every picture is called by chance; the rows that count decide what the colours mean."""
    rows = []
    for number, file in enumerate(pictures(photos)):
        right = number % 2 == 0
        says = (file.parent.name == "red") == right
        rows.append(
            (file.name, says, 1 if right else 0.01, "valid" if number % 6 == 0 else "train")
        )
    file = write_labels(photos, rows, "file", "red", "weight", "split")
    found = {}
    for column in ("weight", None):
        data = ImageData.from_csv(
            file,
            photos,
            file_column="file",
            label_column="red",
            split_column="split",
            weight_column=column,
            size=64,
        )
        learn = learner(data)
        learn.fit(epochs=10, batch_size=8)
        found[column] = learn.predictions("valid")
    assert found["weight"].labels is not None
    assert set(found["weight"].labels.weights.tolist()) == {1.0}
    assert found["weight"].metric("accuracy") == 1.0
    assert found[None].losses.mean() > 2 * found["weight"].losses.mean()


# ---------------------------------------------------------------- pictures that cannot be read


def test_pictures_that_cannot_be_decoded_are_set_aside_and_the_rest_stays_aligned(
    tmp_path: Path, make_pictures: MakePictures, learner: Callable[..., Learner]
) -> None:
    root = tmp_path / "broken"
    for seed, split in enumerate(("train", "valid")):
        make_pictures(root / split, ("blue", "green", "red"), per_class=5, seed=130 + seed)
    whole = learner(ImageData.from_folders(root, size=64))
    files = {name: list(split.files) for name, split in whole.data.splits.items()}
    features = {name: whole.features(name).take(slice(None)) for name in files}
    cut = {files["train"][0], files["train"][7], files["valid"][14]}
    for number, file in enumerate(cut):
        # The header is sound; the pixels end early.
        Path(file).write_bytes(Path(file).read_bytes()[: 3000 + number])

    learn = learner(ImageData.from_folders(root, size=64))
    assert learn.data.skipped == []
    learn.fit(epochs=3)
    assert {s.file for s in learn.data.skipped} == cut
    assert all(s.unreadable and "damaged" in s.reason for s in learn.data.skipped)
    assert learn.pictures() == {"computed": 0, "cached": 27, "skipped": 3}
    for name in files:
        kept = [row for row, file in enumerate(files[name]) if file not in cut]
        split, found = learn.data.splits[name], learn.predictions(name)
        assert split.files == [files[name][row] for row in kept]
        assert found.sources == tuple(split.files)
        np.testing.assert_array_equal(learn.features(name).take(slice(None)), features[name][kept])
        classes = [learn.data.classes[target] for target in split.targets]
        assert classes == [Path(file).parent.name for file in split.files]
        np.testing.assert_array_equal(found.targets, split.targets)


def test_when_most_pictures_cannot_be_decoded_that_is_an_error(
    photos: Path, learner: Callable[..., Learner]
) -> None:
    for number, file in enumerate(pictures(photos)[:30]):
        file.write_bytes(file.read_bytes()[: 3000 + number])
    with pytest.raises(DataError, match="of 36 pictures .* more than 50%"):
        learner().fit(epochs=1)


# ---------------------------------------------------------------- the test split


@pytest.fixture
def with_test(tmp_path: Path, make_pictures: MakePictures) -> Path:
    root = tmp_path / "with-test"
    for seed, split in enumerate(("train", "valid", "test")):
        make_pictures(root / split, per_class=6, seed=110 + seed)
    return root


def test_the_test_split_is_judged_only_after_it_was_opened(
    with_test: Path, learner: Callable[..., Learner]
) -> None:
    learn = learner(ImageData.from_folders(with_test, size=64))
    learn.fit(epochs=5)
    with pytest.raises(SealedError):
        learn.evaluate("test")
    sealed = learn.predictions("test")
    assert len(sealed) == 12
    assert sealed.labels is None
    learn.data.open_test("the choices are made")
    assert learn.evaluate("test")["accuracy"] == 1.0
    assert learn.predictions("test").correct.all()
    assert learn.record()["test_openings"] == ["the choices are made"]


def test_a_test_split_of_which_nothing_can_be_read_is_empty(
    with_test: Path, learner: Callable[..., Learner]
) -> None:
    for number, file in enumerate(sorted(with_test.glob("test/*/*.png"))):
        file.write_bytes(file.read_bytes()[: 3000 + number])
    learn = learner(ImageData.from_folders(with_test, size=64))
    learn.fit(epochs=1)
    assert len(learn.predictions("test")) == 0


# ---------------------------------------------------------------- keeping


def test_a_run_is_a_folder_with_everything_in_it(
    learner: Callable[..., Learner], photos: Path, tmp_path: Path
) -> None:
    learn = learner(out=tmp_path / "runs")
    learn.fit(epochs=2)
    learn.fit(epochs=1, metrics=["f1"])
    run = learn.save_run()
    assert run.parent == tmp_path / "runs"
    assert run.name.endswith("-photos")
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]
    record = strict(run / "run.json")
    assert record["epochs"] == 3
    assert record["outcome"] == "completed"
    assert record["data"]["root"] == str(photos)
    assert record["data"]["fingerprint"] == learn.data.fingerprint()
    assert record["valid"] == pytest.approx(learn.evaluate("valid"))
    assert record["pictures"] == learn.pictures()
    heading, *lines = (run / "history.csv").read_text().splitlines()
    assert heading == "epoch,train_loss,valid_loss,accuracy,f1,seconds"
    assert len(lines) == 3
    assert os.listdir(run.parent) == [run.name]


def test_saving_a_run_again_brings_it_up_to_date(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learn = learner(out=tmp_path / "runs")
    learn.save("before")
    learn.fit(epochs=1)
    run = learn.save_run()
    learn.fit(epochs=1)
    assert learn.save_run() == run
    assert strict(run / "run.json")["epochs"] == 2
    assert (run / "checkpoints" / "before").is_dir()
    assert os.listdir(run.parent) == [run.name]


def test_runs_of_one_second_have_folders_of_their_own(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learners = [learner(out=tmp_path / "runs", seed=seed) for seed in range(3)]
    for learn in learners:
        learn.fit(epochs=1)
    runs = {learn.run for learn in learners}
    assert len(runs) == 3
    assert {learn.save_run() for learn in learners} == runs
    seeds = [strict(run / "run.json")["training"]["seed"] for run in sorted(runs)]
    assert sorted(seeds) == [0, 1, 2]


def test_a_run_that_cannot_be_written_says_where(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    learn = learner(out=tmp_path / "file")
    learn.fit(epochs=1)
    for keep in (learn.save_run, lambda: learn.save("best")):
        with pytest.raises(SecchiError, match=f"{tmp_path / 'file'}.*another folder"):
            keep()
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_head_is_kept_and_brought_back_by_name(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learn = learner(out=tmp_path / "runs")
    learn.fit(epochs=2, batch_size=8)
    before = learn.predictions("valid").outputs
    learn.save("two epochs")
    learn.fit(epochs=2, batch_size=8)
    assert not np.array_equal(learn.predictions("valid").outputs, before)
    assert learn.load("two epochs") is learn
    np.testing.assert_array_equal(learn.predictions("valid").outputs, before)
    assert learn.fit(epochs=1).epochs[0].number == 2

    new = learner(out=tmp_path / "runs").load("two epochs")
    np.testing.assert_array_equal(new.predictions("valid").outputs, before)
    assert len(os.listdir(tmp_path / "runs")) == 1


def test_the_head_of_other_classes_is_passed_over(
    learner: Callable[..., Learner], photos: Path, tmp_path: Path
) -> None:
    """Both networks have the same shape; only one of them knows these classes."""
    learn = learner(out=tmp_path / "runs")
    learn.fit(epochs=1)
    learn.save("best")
    before = learn.predictions("valid").outputs

    (photos / "red").rename(photos / "cherry")
    other = learner(ImageData.from_folder(photos, size=64), out=tmp_path / "runs")
    with pytest.raises(BundleError, match="other classes or another backbone"):
        other.load("best")
    other.fit(epochs=3)
    other.save("best")
    (photos / "cherry").rename(photos / "red")
    np.testing.assert_array_equal(
        learner(out=tmp_path / "runs").load("best").predictions("valid").outputs, before
    )


def test_an_unknown_name_suggests_the_nearest(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learn = learner(out=tmp_path / "runs")
    with pytest.raises(BundleError, match="nothing called 'best' was saved"):
        learn.load("best")
    assert not (tmp_path / "runs").exists()
    learn.save("best")
    with pytest.raises(BundleError, match="did you mean best"):
        learn.load("besst")


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", ".hidden", "a\nb", "*"])
def test_a_name_that_could_lead_elsewhere_is_refused(
    learner: Callable[..., Learner], tmp_path: Path, name: str
) -> None:
    learn = learner(out=tmp_path / "runs")
    for keep in (learn.save, learn.load):
        with pytest.raises(BundleError, match="cannot be a name"):
            keep(name)
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------- using


def test_a_bundle_is_the_model_as_it_was(learner: Callable[..., Learner]) -> None:
    learn = learner()
    learn.fit(epochs=1)
    bundle = learn.bundle()
    before = bundle.head.linear.weight.clone()
    learn.fit(epochs=1)
    assert torch.equal(bundle.head.linear.weight, before)
    assert not torch.equal(learn.head.linear.weight, before)


def test_new_pictures_are_predicted_from_files_and_folders(
    learner: Callable[..., Learner], tmp_path: Path, make_pictures: MakePictures
) -> None:
    learn = learner()
    learn.fit(epochs=5)
    new = make_pictures(tmp_path / "new", ("blue", "green", "red"), per_class=3, seed=120)
    (new / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    found = learn.predict(new / "red", new / "blue" / "blue_120_0.png", new / "broken.jpg")
    assert [record["class"] for record in found.to_records()] == ["red"] * 3 + ["blue"]
    assert found.sources[3] == str(new / "blue" / "blue_120_0.png")
    assert [file for file, _ in found.unreadable] == [str(new / "broken.jpg")]
    assert found.labels is None
    with pytest.raises(DataError, match="no such picture or folder"):
        learn.predict(new / "nothing.jpg")


def test_the_pictures_of_a_split_are_predicted_alike_by_path_and_by_name(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    learn.fit(epochs=2)
    by_path = learn.predict(*learn.data.valid.files)
    np.testing.assert_array_equal(by_path.outputs, learn.predictions("valid").outputs)


def test_features_are_computed_once(photos: Path, learner: Callable[..., Learner]) -> None:
    learner().extract()
    shutil.copytree(photos, photos.with_name("renamed"))
    again = learner(ImageData.from_folder(photos.with_name("renamed"), size=64))
    assert again.pictures() == {"computed": 0, "cached": 36, "skipped": 0}


def test_a_saved_run_predicts_what_the_learner_does(
    learner: Callable[..., Learner], lite0_cache: FeatureCache, tmp_path: Path
) -> None:
    learn = learner(out=tmp_path / "runs")
    learn.fit(epochs=2)
    bundle = Bundle.load(learn.save_run(), cache=lite0_cache)
    found = bundle.predict(learn.data.valid.files)
    np.testing.assert_array_equal(found.outputs, learn.predictions("valid").outputs)
    assert not math.isnan(float(found.outputs.sum()))
