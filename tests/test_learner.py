"""The façade on made pictures: three lines, every kind of task, keeping and coming back."""

import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from secchi import MLP, Augmentation, Backbone, Bundle, FeatureCache, ImageData, Learner, Training
from secchi.cohort.alone import train_alone
from secchi.cohort.member import Member
from secchi.console import Console
from secchi.errors import BundleError, DataError, SealedError, SecchiError, SpecError
from secchi.training.prepared import PreparedTable

MakePictures = Callable[..., Path]


@pytest.fixture(autouse=True, scope="module")
def _one_core() -> Iterator[None]:
    """Networks on pictures as small as these wait longer for a second core than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def test_features_are_a_table_on_which_a_linear_layer_is_the_head(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    history = learn.fit(1e-2, epochs=3, batch_size=8, drop_last=False)
    features = learn.features()
    assert (features.name, features.task, features.names) == (
        "photos",
        learn.data.task,
        ("train", "valid"),
    )
    model = MLP([], init="zeros")
    member = Member(PreparedTable.of(features), model, history.training, seed=0)
    curve = train_alone(member, ["accuracy"])
    for name, values in zip(("train_loss", "valid_loss"), curve[:2], strict=True):
        assert [getattr(epoch, name) for epoch in history.epochs] == pytest.approx(values, rel=1e-6)
    accuracy = [epoch.metrics["accuracy"] for epoch in history.epochs]
    assert accuracy == pytest.approx(curve.metrics["accuracy"])


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
    assert told.training == Training("sgd", 0.5, epochs=2, batch_size=4, weight_decay=0.0, seed=9)
    assert learn.fit().training == Training(lr=0.02, epochs=1)


def test_a_setting_that_cannot_be_is_refused_before_any_work(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    with pytest.raises(SpecError, match="'momentun'.*did you mean momentum"):
        learn.fit(momentun=0.9)
    with pytest.raises(SpecError, match="lr is -1"):
        learn.fit(-1)
    with pytest.raises(SpecError, match="'accuracyy'.*did you mean accuracy"):
        learn.fit(metrics=["accuracyy"])
    with pytest.raises(SpecError, match="always 1"):
        learn.fit(metrics=["top_3"])
    assert learn.history is None
    assert learn._trainee._extraction is None
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
    run = learn.save_run()
    record = strict(run / "run.json")
    assert record["outcome"].startswith("diverged")
    # The weights are those before: of a head that says nothing yet.
    assert record["valid"] == pytest.approx(learner(data).evaluate("valid"))
    assert record["epochs"] == len(learn.history.epochs)


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
    features = {name: whole.features().split(name).take(slice(None)) for name in files}
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
        left = learn.features().split(name).take(slice(None))
        np.testing.assert_array_equal(left, features[name][kept])
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


# ---------------------------------------------------------------- layer groups


LATE = "blocks.6"
"""The last layer group of lite0's body: what trains in most of these tests, being quick."""


def body_weights(learn: Learner) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in learn.network.body.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


def tensors_of(learn: Learner, group: str) -> set[str]:
    return {tensor for one in learn.groups() if one.name == group for tensor in one.tensors}


def test_layer_groups_have_names_parameters_and_say_which_train(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    groups = learn.groups()
    assert groups.names == ["stem", *(f"blocks.{number}" for number in range(7)), "head"]
    assert groups.frozen == len(groups) - 1 == 8
    assert sum(group.parameters for group in groups) == sum(
        p.numel() for p in learn.network.parameters()
    )
    learn.freeze_to("blocks.5")
    heading, *lines = str(learn.groups()).splitlines()
    assert heading.split() == ["group", "parameters"]
    assert [line.split()[-1] for line in lines] == ["frozen"] * 6 + ["trains"] * 3
    assert lines[6].split()[:2] == ["6", "blocks.5"]
    assert {p.requires_grad for p in learn.network.head.parameters()} == {True}
    assert {p.requires_grad for p in learn.network.body.blocks[4].parameters()} == {False}


def test_a_group_is_named_or_counted_from_either_end(learner: Callable[..., Learner]) -> None:
    learn = learner()
    for group, frozen in {"blocks.5": 6, 6: 6, -3: 6, 0: 0, "stem": 0, -1: 8, "head": 8}.items():
        assert learn.freeze_to(group) is learn
        assert learn.groups().frozen == frozen
    assert learn.unfreeze().groups().frozen == 0
    assert learn.freeze().groups().frozen == 8


@pytest.mark.parametrize("group", ["block.5", "nothing at all", 9, -10])
def test_an_unknown_group_is_told_with_those_that_there_are(
    learner: Callable[..., Learner], group: int | str
) -> None:
    learn = learner().freeze_to("blocks.5")
    with pytest.raises(SpecError, match="no layer group.*there are stem, blocks.0") as caught:
        learn.freeze_to(group)
    assert ("did you mean blocks.5" in str(caught.value)) == (group == "block.5")
    assert learn.groups().frozen == 6


def test_freezing_what_never_trained_builds_nothing(learner: Callable[..., Learner]) -> None:
    learn = learner().freeze()
    assert learn._trainee._network is None
    assert learn._trainee._extraction is None


def test_only_what_is_not_frozen_is_trained(learner: Callable[..., Learner]) -> None:
    learn = learner().freeze_to(LATE)
    before = body_weights(learn)
    learn.fit(1e-3, epochs=1, batch_size=8)
    assert changed(before, body_weights(learn)) == tensors_of(learn, LATE)

    learn.freeze()
    before = body_weights(learn)
    head = learn.head.linear.weight.clone()
    learn.fit(1e-2, epochs=1, batch_size=8)
    assert not changed(before, body_weights(learn))
    assert not torch.equal(head, learn.head.linear.weight)


# ---------------------------------------------------------------- rates and cycles


def test_a_pair_of_rates_is_of_the_first_and_the_last_group(
    learner: Callable[..., Learner],
) -> None:
    learn = learner().freeze_to("blocks.5")
    before = body_weights(learn)
    # Too small to change a number: nothing but the head moves.
    learn.fit([1e-20, 1e-18, 1e-2], epochs=1, batch_size=8)
    assert not changed(before, body_weights(learn))
    assert learn.head.linear.weight.any()
    learn.fit((1e-30, 1e-3), epochs=1, batch_size=8)
    assert not changed(before, body_weights(learn))
    learn.fit([1e-20, 1e-3, 1e-20], epochs=1, batch_size=8)
    assert changed(before, body_weights(learn)) == tensors_of(learn, LATE)


def test_more_rates_than_groups_are_refused_before_any_work(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    for call in (learn.fit, learn.find_lr, learn.plan):
        with pytest.raises(SpecError, match="2 rates"):
            call([1e-3, 1e-2])
    assert learn._trainee._extraction is None
    learn = learner().freeze_to(LATE)
    rows = rows_kept(learn.cache)
    for call in (learn.fit, learn.find_lr, learn.plan):
        with pytest.raises(SpecError, match="lr names 3 rates, and 2 layer groups"):
            call([1e-4, 1e-3, 1e-2])
    assert rows_kept(learn.cache) == rows
    assert learn.history is None


def test_cycles_are_as_long_as_they_are_told(learner: Callable[..., Learner]) -> None:
    learn = learner()
    history = learn.fit(1e-2, cycles=2, cycle_len=1, cycle_mult=2)
    assert [epoch.number for epoch in history.epochs] == [0, 1, 2]
    assert learn.fit(1e-2, cycles=2, cycle_len=2).epochs[-1].number == 6
    assert learn.fit().training == Training()
    with pytest.raises(SpecError, match="cycles is 0"):
        learn.fit(cycles=0)
    with pytest.raises(SpecError, match="epochs cannot be given with cycles"):
        learn.fit(epochs=3, cycles=2)


def test_a_plan_shows_every_group_that_trains_before_it_does(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    alone = learn.plan(1e-2, 2, batch_size=8)
    assert list(alone.rates) == ["head"]
    assert learn._trainee._extraction is None
    learn.freeze_to("blocks.5")
    plan = learn.plan([1e-4, 1e-3, 1e-2], cycles=2, cycle_mult=2, batch_size=8)
    steps = -(-len(learn.data.train) // 8)
    assert list(plan.rates) == ["blocks.5", "blocks.6", "head"]
    assert len(plan.epochs) == 3 * steps
    for name, peak in zip(plan.rates, (1e-4, 1e-3, 1e-2), strict=True):
        assert [plan.rates[name][place] for place in (0, steps)] == [peak, peak]
    figure = plan.plot()
    axes = figure.axes[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(plan.rates)
    assert [tuple(line.get_ydata()) for line in axes.get_lines()] == list(plan.rates.values())
    assert axes.get_yscale() == "log"
    moving = learn.plan(1e-2, 2, schedule="one_cycle", batch_size=8).plot()
    assert [axes.get_ylabel() for axes in moving.axes] == ["learning rate", "momentum"]


def test_a_plan_is_what_training_does(learner: Callable[..., Learner]) -> None:
    """With plain descent the head's bias moves by the rate times the same gradient."""
    learn = learner()
    options = {"schedule": "polynomial", "optimizer": "sgd", "weight_decay": 0.0, "batch_size": 64}
    planned = learn.plan(1.0, 2, **options).rates["head"]
    gradient = first_bias(learner, lr=1e-6) / 1e-6
    np.testing.assert_allclose(first_bias(learner, lr=planned[0]), planned[0] * gradient, rtol=1e-3)
    assert planned == pytest.approx((1.0, 0.5))


def first_bias(learner: Callable[..., Learner], lr: float) -> np.ndarray:
    """The head's bias after one step of plain descent."""
    learn = learner()
    learn.fit(lr, epochs=1, optimizer="sgd", weight_decay=0.0, batch_size=64)
    return learn.head.linear.bias.detach().numpy()


# ---------------------------------------------------------------- augmentation


def rows_kept(cache: FeatureCache) -> int:
    return sum(line.pictures for line in cache.usage())


@pytest.mark.parametrize("freeze_to", ["head", LATE])
def test_views_are_computed_once_and_a_second_fit_reads_no_picture(
    learner: Callable[..., Learner], photos: Path, freeze_to: str
) -> None:
    learn = learner(seed=40 + len(freeze_to)).freeze_to(freeze_to).augment("side_on", views=3)
    learn.fit(epochs=1, batch_size=8)
    rows = rows_kept(learn.cache)
    learn.augment("basic", views=2).fit(epochs=1, batch_size=8)
    assert rows_kept(learn.cache) == rows + 2 * len(learn.data.train)
    shutil.rmtree(photos)
    learn.fit(epochs=2, batch_size=8)
    learn.augment("side_on", views=3).fit(epochs=1, batch_size=8)
    assert rows_kept(learn.cache) == rows + 2 * len(learn.data.train)


def test_a_view_more_computes_that_view_alone(learner: Callable[..., Learner]) -> None:
    learn = learner(seed=50).augment("side_on", views=1)
    learn.fit(epochs=1)
    rows = rows_kept(learn.cache)
    learn.augment("side_on", views=3).fit(epochs=1)
    assert rows_kept(learn.cache) == rows + 2 * len(learn.data.train)


def test_augmentation_changes_what_is_learned_and_none_undoes_it(
    learner: Callable[..., Learner],
) -> None:
    plain, augmented, undone = learner(), learner().augment(), learner().augment().augment("none")
    for learn in (plain, augmented, undone):
        learn.fit(epochs=2, batch_size=8)
    assert numbers(plain) == numbers(undone)
    assert numbers(plain)[0][1] != numbers(augmented)[0][1]


def test_an_augmentation_that_cannot_be_is_refused(learner: Callable[..., Learner]) -> None:
    learn = learner()
    with pytest.raises(SpecError, match="did you mean side_on"):
        learn.augment("side_up")
    with pytest.raises(SpecError, match="max_zoom is 0.5"):
        learn.augment("side_on", max_zoom=0.5)
    for views in (0, -1, 2.5):
        with pytest.raises(SpecError, match="views is"):
            learn.augment("side_on", views=views)
    assert learn.augmentation == Augmentation()


def test_a_picture_is_drawn_as_it_is_and_as_training_sees_it(
    learner: Callable[..., Learner],
) -> None:
    learn = learner().augment("side_on", max_zoom=1.3)
    figure = learn.show_augmented(2, count=5)
    tiles = [np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["as it is", *(f"version {number}" for number in range(1, 6))]
    assert {tile.shape for tile in tiles} == {(64, 64, 3)}
    assert len({tile.tobytes() for tile in tiles}) == 6
    name = Path(learn.data.train.files[2]).name
    assert figure.get_suptitle() == f"{name}, augmented by 'side_on'"

    last = learn.show_augmented(-1, split="valid", count=1)
    assert Path(learn.data.valid.files[-1]).name in last.get_suptitle()
    unchanged = learn.augment("none").show_augmented(2, count=1)
    one, other = (np.asarray(a.get_images()[0].get_array()) for a in unchanged.axes)
    np.testing.assert_array_equal(one, tiles[0])
    # By way of the larger canvas, which is softer.
    assert np.abs(one.astype(int).mean(axis=(0, 1)) - other.mean(axis=(0, 1))).max() < 2

    with pytest.raises(DataError, match="no 99"):
        learn.show_augmented(99)
    with pytest.raises(DataError, match="did you mean train"):
        learn.show_augmented(split="trian")


# ---------------------------------------------------------------- averaged over views


def test_averaging_over_views_is_the_same_record_and_says_what_it_gained(
    photos: Path, learner: Callable[..., Learner]
) -> None:
    out = io.StringIO()
    learn = learner(console=Console(out))
    learn.fit(epochs=2)
    plain, averaged = learn.predictions("valid"), learn.tta("valid", views=2)
    assert averaged.sources == plain.sources
    assert averaged.task == plain.task
    np.testing.assert_array_equal(averaged.targets, plain.targets)
    assert not np.array_equal(averaged.outputs, plain.outputs)
    np.testing.assert_allclose(averaged.probabilities.sum(axis=1), 1, rtol=1e-5)
    lines = out.getvalue().splitlines()[-2:]
    for line, measure in zip(lines, ("accuracy", "loss"), strict=True):
        assert line.startswith(f"2 views beside each picture: {measure} ")
        assert line.endswith("the noise")
        assert "95 % interval" in line

    # The second view's share is what is left of the average of three.
    second = 2 * learn.tta("valid", views=1).probabilities - plain.probabilities
    third = 3 * averaged.probabilities - plain.probabilities - second
    assert (second >= -1e-5).all()
    assert (third >= -1e-5).all()
    assert not np.allclose(second, third)
    learn.tta("train", views=1)


def test_averaging_takes_mirrored_views_whatever_training_does_and_others_by_name(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    learn.fit(epochs=2)
    usual = learn.tta("valid", views=2).outputs
    np.testing.assert_array_equal(learn.augment("top_down").tta("valid", views=2).outputs, usual)
    others = learn.tta("valid", views=2, augmentation="top_down").outputs
    assert not np.array_equal(others, usual)


def test_cutmix_cuts_no_activations_whose_channels_are_last(
    learner: Callable[..., Learner],
) -> None:
    learn = learner().freeze_to(LATE).augment("side_on", views=1, cutmix=1.0)
    learn.network.body.output_fmt = "NHWC"
    with pytest.raises(SpecError, match="lite0, which are NHWC; mixup takes any"):
        learn.fit(epochs=1)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"views": 0}, "views is 0"),
        ({"augmentation": "none"}, "'none' changes nothing"),
        ({"mixup": 0.2}, "mixes pictures"),
        ({"cutmix": 1.0}, "mixes pictures"),
        ({"augmentation": "basik"}, "did you mean basic"),
    ],
)
def test_views_that_cannot_be_averaged_are_refused_before_any_work(
    learner: Callable[..., Learner], options: dict[str, object], fault: str
) -> None:
    learn = learner()
    with pytest.raises(SpecError, match=fault):
        learn.tta(**options)  # type: ignore[arg-type]
    assert learn._trainee._extraction is None


def test_numbers_are_averaged_over_views_too(photos: Path, learner: Callable[..., Learner]) -> None:
    rows = [(f.name, float(len(f.parent.name))) for f in pictures(photos)]
    data = ImageData.from_csv(
        write_labels(photos, rows, "file", "letters"), photos, kind="number", size=64
    )
    out = io.StringIO()
    learn = learner(data, console=Console(out))
    learn.fit(epochs=2)
    plain, once, twice = learn.predictions(), *(learn.tta(views=views) for views in (1, 2))
    assert twice.sources == plain.sources
    assert np.ptp([plain.outputs, once.outputs, twice.outputs], axis=0).max() > 0
    *_, line = out.getvalue().splitlines()
    assert line.startswith("2 views beside each picture: loss ")
    assert "accuracy" not in out.getvalue().partition("views beside")[2]


def test_a_sealed_test_split_is_averaged_without_its_labels(
    with_test: Path, learner: Callable[..., Learner]
) -> None:
    out = io.StringIO()
    learn = learner(ImageData.from_folders(with_test, size=64), console=Console(out))
    learn.fit(epochs=1)
    averaged = learn.tta("test", views=1)
    assert len(averaged) == 12
    assert averaged.labels is None
    assert "views beside" not in out.getvalue()


# ---------------------------------------------------------------- memory


def test_the_memory_estimate_grows_by_the_same_for_every_row(
    learner: Callable[..., Learner],
) -> None:
    learn = learner()
    head = learn.memory_estimate(64)
    estimates = {}
    for group in (LATE, 0):
        learn.freeze_to(group)
        of = {rows: learn.memory_estimate(rows) for rows in (1, 2, 10, 64)}
        row = of[2] - of[1]
        assert row > 0
        assert of[10] == of[1] + 9 * row
        assert of[64] == of[1] + 63 * row
        estimates[group] = of
    assert learn.memory_estimate() == estimates[0][64]
    assert head < estimates[LATE][64] < estimates[0][64]
    # The weights, the gradients and AdamW's two averages of 3.4 million numbers at least.
    parameters = sum(group.parameters for group in learn.groups())
    assert 16 * parameters < estimates[0][1] < 1e9
    assert learn.history is None


# ---------------------------------------------------------------- a trained body


@pytest.fixture
def body_trained(learner: Callable[..., Learner], tmp_path: Path) -> Callable[..., Learner]:
    """Makes learners whose last layer group was trained far enough to matter."""

    def make(**options: object) -> Learner:
        learn = learner(out=tmp_path / "runs", **options)
        learn.fit(1e-2, epochs=1, batch_size=8)
        learn.freeze_to(LATE)
        learn.fit([3e-3, 1e-2], epochs=1, batch_size=8)
        return learn

    return make


def test_everything_that_judges_a_trained_body_agrees(
    body_trained: Callable[..., Learner],
) -> None:
    learn = body_trained(metrics=["accuracy", "auc"])
    assert learn.history is not None
    for _ in range(2):  # frozen up to the last group, and not at all
        last, found = learn.history.epochs[-1], learn.predictions("valid")
        assert found.losses is not None
        judged = learn.evaluate("valid")
        assert judged["loss"] == pytest.approx(last.valid_loss, rel=1e-5)
        assert judged["loss"] == pytest.approx(float(found.losses.mean()), rel=1e-5)
        for name in ("accuracy", "auc"):
            assert judged[name] == last.metrics[name] == pytest.approx(found.metric(name))
        learn.unfreeze().fit(1e-4, epochs=1, batch_size=8)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("auto", 0.05)])
def test_a_bundle_of_a_trained_body_predicts_what_the_learner_predicts(
    body_trained: Callable[..., Learner],
    lite0_cache: FeatureCache,
    tmp_path: Path,
    precision: str,
    tolerance: float,
) -> None:
    learn = body_trained(precision=precision)
    expected = learn.predictions("valid")
    body = body_weights(learn)
    by_path = learn.predict(*learn.data.valid.files)
    learn.bundle().save(tmp_path / "bundle")
    read = Bundle.load(tmp_path / "bundle", cache=lite0_cache, precision=precision)
    run = Bundle.load(learn.save_run(), cache=lite0_cache, precision=precision)
    for found in (by_path, read.predict(learn.data.valid.files), run.predict(expected.sources)):
        assert found.sources == expected.sources
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=tolerance)
    np.testing.assert_array_equal(
        run.predict(expected.sources).outputs, read.predict(expected.sources).outputs
    )
    assert not changed(body, body_weights(learn))


def test_a_body_that_is_frozen_again_is_the_one_that_was_trained(
    body_trained: Callable[..., Learner],
) -> None:
    learn = body_trained(precision="fp32")
    expected = learn.predictions("valid")
    for group in ("blocks.5", "head", 0):
        learn.freeze_to(group)
        found = learn.predictions("valid")
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-3)
    learn.freeze()
    loss = learn.fit(1e-2, epochs=2, batch_size=8).epochs[-1].valid_loss
    assert learn.evaluate("valid")["loss"] == pytest.approx(loss, rel=1e-5)
    again = learn.predict(*learn.data.valid.files)
    np.testing.assert_allclose(
        again.probabilities, learn.predictions("valid").probabilities, atol=1e-3
    )


class InterruptedAtOnce(Console):
    """Ctrl-C as soon as the first epoch's line is shown."""

    def line(self, text: str) -> None:
        if text.split()[0].isdigit():
            raise KeyboardInterrupt


def test_a_body_whose_training_is_interrupted_stays_as_far_as_it_came(
    learner: Callable[..., Learner],
) -> None:
    learn = learner(precision="fp32").freeze_to(LATE)
    learn.console = InterruptedAtOnce()
    with pytest.raises(KeyboardInterrupt):
        learn.fit([3e-3, 1e-2], epochs=3, batch_size=8)
    learn.console = Console(quiet=True)
    expected = learn.predictions("valid").probabilities
    assert np.ptp(expected) > 0.1
    by_path = learn.predict(*learn.data.valid.files).probabilities
    np.testing.assert_allclose(by_path, expected, atol=1e-3)
    learn.freeze()
    np.testing.assert_allclose(learn.predictions("valid").probabilities, expected, atol=1e-3)


def test_a_run_with_a_trained_body_is_written_whole(
    body_trained: Callable[..., Learner],
) -> None:
    learn = body_trained()
    run = learn.save_run()
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]
    record = strict(run / "run.json")
    assert record["epochs"] == 2
    assert record["training"]["lr"] == [3e-3, 1e-2]
    assert record["valid"] == pytest.approx(learn.evaluate("valid"))
    kept = strict(run / "checkpoint" / "checkpoint.json")["record"]
    assert (kept["whole"], kept["frozen"], kept["epochs"]) == (True, 8 - 1, 2)


# ---------------------------------------------------------------- coming back to what was saved


def outputs(learn: Learner) -> np.ndarray:
    return learn.predictions("valid").outputs


def test_a_trained_body_comes_back_by_name_and_is_frozen_as_it_was(
    body_trained: Callable[..., Learner], learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learn = body_trained()
    expected, body = outputs(learn), body_weights(learn)
    learn.save("late")
    learn.unfreeze().fit(1e-3, epochs=1, batch_size=8)
    assert changed(body, body_weights(learn))
    learn.load("late")
    assert learn.groups().frozen == 7
    assert not changed(body, body_weights(learn))
    np.testing.assert_array_equal(outputs(learn), expected)
    assert learn.fit(1e-3, epochs=1, batch_size=8).epochs[0].number == 2

    new = learner(out=tmp_path / "runs").load("late")
    assert new.groups().frozen == 7
    np.testing.assert_array_equal(outputs(new), expected)
    assert new.fit(1e-3, epochs=1, batch_size=8).epochs[0].number == 2


def test_a_trained_body_that_was_frozen_again_comes_back_so(
    body_trained: Callable[..., Learner], learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learn = body_trained().freeze()
    expected, body = outputs(learn), body_weights(learn)
    learn.save("frozen again")
    new = learner(out=tmp_path / "runs").load("frozen again")
    assert new.groups().frozen == 8
    assert not changed(body, body_weights(new))
    np.testing.assert_array_equal(outputs(new), expected)
    new.fit(1e-2, epochs=1)
    assert not changed(body, body_weights(new))


@pytest.mark.parametrize("unfrozen", [False, True])
def test_a_head_that_was_saved_alone_brings_the_pretrained_body_back(
    learner: Callable[..., Learner], tmp_path: Path, unfrozen: bool
) -> None:
    learn = learner(out=tmp_path / "runs")
    learn.fit(1e-2, epochs=2, batch_size=8)
    pretrained = body_weights(learner())
    if unfrozen:
        learn.freeze_to(LATE)
    expected = outputs(learn)
    learn.save("head")
    learn.freeze_to(LATE).fit([3e-3, 1e-2], epochs=1, batch_size=8)
    assert changed(pretrained, body_weights(learn))
    learn.load("head")
    assert learn._trainee.body_trained is False
    assert learn.groups().frozen == (7 if unfrozen else 8)
    assert not changed(pretrained, body_weights(learn))
    np.testing.assert_array_equal(outputs(learn), expected)
    np.testing.assert_allclose(
        learn.predict(*learn.data.valid.files).probabilities,
        learn.predictions("valid").probabilities,
        atol=0.05,
    )
    new = learner(out=tmp_path / "runs").load("head")
    np.testing.assert_array_equal(outputs(new), expected)
    assert (new._trainee.frozen is not None) == unfrozen


def test_a_damaged_checkpoint_leaves_the_learner_as_it_is(
    body_trained: Callable[..., Learner],
) -> None:
    learn = body_trained()
    learn.save("whole")
    whole = outputs(learn)
    head = learn.run / "checkpoints" / "head"
    shutil.copytree(learn.run / "checkpoints" / "whole", head)
    record = strict(head / "checkpoint.json")
    record["record"]["whole"] = False  # now it claims to be of the head alone
    (head / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match="of another network"):
        learn.load("head")
    np.testing.assert_array_equal(outputs(learn), whole)
    assert learn.groups().frozen == 7


# ---------------------------------------------------------------- runs that can be gone on with


def test_the_seed_of_the_training_names_random_weights_too(
    learner: Callable[..., Learner],
) -> None:
    assert learner(weights="random", training=Training(seed=3)).backbone.seed == 3
    assert learner(weights="random", training=Training(seed=3), seed=4).backbone.seed == 4


def test_a_run_to_go_on_with_is_looked_for_before_any_work(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    with pytest.raises(SecchiError, match="there is no run .*runs/nothing"):
        learner(out=tmp_path / "runs", resume="nothing")
    learn = learner(out=tmp_path / "runs", resume="auto")
    learn.fit(epochs=1)
    run = learn.save_run()
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]
    with pytest.raises(SecchiError, match="is finished; there is nothing to go on with"):
        learner(out=tmp_path / "runs", resume=run.name)


def test_a_learner_goes_on_with_the_calls_that_are_done(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    """The same calls in the same order find their results again, as after a kill."""
    first = learner(out=tmp_path / "runs", resume="auto")
    first.fit(epochs=2, batch_size=8)
    first.freeze_to(LATE).fit([1e-3, 1e-2], epochs=1, batch_size=8)
    expected = outputs(first)
    first._run._release()  # as the end of its process would

    lines = io.StringIO()
    again = learner(out=tmp_path / "runs", resume="auto", console=Console(lines))
    again.fit(epochs=2, batch_size=8)
    assert f"going on with the unfinished run {first.run}" in lines.getvalue()
    again.freeze_to(LATE).fit([1e-3, 1e-2], epochs=1, batch_size=8)
    assert again.history is not None
    assert first.history is not None
    assert again.history.epochs == first.history.epochs  # the seconds too: nothing was trained
    np.testing.assert_array_equal(outputs(again), expected)
    assert again.save_run() == first.run
    assert os.listdir(tmp_path / "runs") == [first.run.name]


def test_a_run_that_another_learner_is_at_work_on_is_left_to_it(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learners = [learner(out=tmp_path / "runs", resume="auto") for _ in range(2)]
    for learn in learners:
        learn.fit(epochs=1)
    one, other = (learn.run for learn in learners)
    assert one != other
    with pytest.raises(SecchiError, match="another process is at work on"):
        learner(out=tmp_path / "runs", resume=one.name).fit(epochs=1)
    learners[0].save_run()
    assert (other / "unfinished.json").exists()
    third = learner(out=tmp_path / "runs", resume="auto")
    third.fit(epochs=1)
    assert third.run not in (one, other)


def test_seconds_between_checkpoints_are_a_number(
    learner: Callable[..., Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECCHI_CHECKPOINT_SECONDS", "soon")
    with pytest.raises(SecchiError, match="SECCHI_CHECKPOINT_SECONDS is 'soon'"):
        learner(resume="auto")
    learner(checkpoint_seconds=1.0)


# ---------------------------------------------------------------- going on


def test_a_call_goes_on_only_from_the_weights_that_it_started_from(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    """The first call is another one now: what the second one came to then is of no use."""
    resumed = {"out": tmp_path / "runs", "resume": "auto"}
    learn = learner(**resumed)
    learn.fit(1e-2, epochs=1)
    learn.fit(1e-3, epochs=1)
    learn._run._release()  # as if the process had been killed
    again = learner(**resumed)
    again.fit(3e-2, epochs=1)
    again.fit(1e-3, epochs=1)
    assert again.run == learn.run
    alone = learner()
    alone.fit(3e-2, epochs=1)
    alone.fit(1e-3, epochs=1)
    assert numbers(again) == numbers(alone)


def test_other_labels_are_another_run(
    photos: Path, learner: Callable[..., Learner], tmp_path: Path
) -> None:
    rows = [(file.name, file.parent.name) for file in pictures(photos)]
    resumed = {"out": tmp_path / "runs", "resume": "auto"}
    runs = []
    for swapped in (False, False, True):
        if swapped:  # two pictures were mistaken for each other
            rows[0], rows[-1] = (rows[0][0], rows[-1][1]), (rows[-1][0], rows[0][1])
        split = ["valid" if number % 4 == 1 else "train" for number in range(len(rows))]
        table = [(*row, part) for row, part in zip(rows, split, strict=True)]
        file = write_labels(photos, table, "file", "class", "split")
        columns = {"label_column": "class", "split_column": "split"}
        learn = learner(ImageData.from_csv(file, photos, size=64, **columns), **resumed)
        learn.fit(epochs=1)
        learn._run._release()
        runs.append(learn.run)
    assert runs[0] == runs[1] != runs[2]


def test_what_follows_a_finished_run_is_not_kept(
    learner: Callable[..., Learner], tmp_path: Path
) -> None:
    learn = learner(out=tmp_path / "runs", resume="auto", checkpoint_seconds=0)
    learn.fit(epochs=1)
    run = learn.save_run()
    learn.fit(epochs=1)
    left = {place.name for place in run.iterdir()}
    assert left == {"run.json", "history.csv", "checkpoint", "bundle"}
    assert learn.save_run() == run
    assert strict(run / "run.json")["epochs"] == 2


def test_going_back_brings_back_the_history(learner: Callable[..., Learner]) -> None:
    learn = learner()
    learn.fit(epochs=1)
    learn.save("first")
    before = learn.history
    learn.fit(1e6, epochs=3, optimizer="sgd")
    learn.load("first")
    assert learn.history == before
    learn.fit(epochs=1)
    assert [epoch.number for epoch in learn.history.epochs] == [0, 1]


def test_an_estimate_of_memory_computes_four_pictures(
    learner: Callable[..., Learner], make_pictures: MakePictures, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "others", per_class=10, seed=101)
    learn = learner(ImageData.from_folder(tmp_path / "others", size=64)).freeze_to(LATE)
    before = rows_kept(learn.cache)
    assert learn.memory_estimate(8) > 0
    assert rows_kept(learn.cache) - before == 4


def test_logits_are_not_rounded_where_the_body_is(learner: Callable[..., Learner]) -> None:
    learn = learner().freeze_to(LATE)
    learn.fit(1e-2, epochs=1, batch_size=8)
    learn.freeze()
    features = torch.randn(4, 1280)
    expected = learn.head(features)
    with torch.autocast("cpu", torch.bfloat16):
        said = learn.network(features)
    assert torch.equal(said, expected)
