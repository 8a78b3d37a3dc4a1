"""Features of pictures as a table that networks are trained on."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from secchi.data.picture_split import PictureSplit
from secchi.data.pictures import Survey
from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError, SealedError
from secchi.features.cache import FeatureCache, Space
from secchi.features.extract import Extraction
from secchi.features.table import FeatureData, classes_of
from secchi.models.heads import SCALE, head_for
from secchi.models.mlp import MLP
from secchi.training.loop import train
from secchi.training.prepared import PreparedTable
from secchi.training.rows import Rows
from secchi.training.spec import Training

PLACES = {"train": slice(0, 200), "valid": slice(200, 260), "test": slice(260, 300)}

Make = Callable[..., FeatureData]


@pytest.fixture
def make(cache: FeatureCache) -> Make:
    """Makes tables of 300 digits, whose features are their pixels."""
    pixels, digits = load_digits(return_X_y=True)
    pixels = pixels[:300].astype(np.float32)
    digests = [hashlib.sha256(row.tobytes()).digest() for row in pixels]
    space = Space("pixels", {}, "as they are", 64)
    with cache.writer(space) as writer:
        writer.append(digests, pixels)
    extraction = Extraction({}, 300, 0, 0, 0.1, space.runtime, None, cache.find(space, digests))

    def made(
        target: Target | None = None,
        weights: bool = False,
        body: str = "a body",
        groups: np.ndarray | None = None,
    ) -> FeatureData:
        target = target or Target.classify("digit", list(range(10)))
        plain = Labels.of(target, digits[:300])
        weight = np.linspace(0.5, 2, 300, dtype=np.float32) if weights else None
        labels = Labels(plain.task, plain.values, weight)
        splits = {
            name: PictureSplit(
                name,
                [f"{place}.png" for place in range(300)[where]],
                [Survey(digest, 8, 8) for digest in digests[where]],
                labels.take(np.arange(300)[where]),
                sealed=name == "test",
                groups=None if groups is None else groups[where],
            )
            for name, where in PLACES.items()
        }
        return FeatureData("digits", labels.task, extraction, body, splits)

    return made


def test_features_stand_beside_what_is_true_of_their_pictures(make: Make) -> None:
    data = make()
    pixels, digits = load_digits(return_X_y=True)
    assert data.names == ("train", "valid", "test")
    assert (data.name, data.width, data.task) == ("digits", 64, Task.classify(range(10), "digit"))
    for name in ("train", "valid"):
        np.testing.assert_array_equal(data.split(name).take(slice(None)), pixels[PLACES[name]])
        np.testing.assert_array_equal(data.labels(name).values[0], digits[PLACES[name]])
    assert repr(data) == "<features of digits: 200 train, 60 valid, 40 test; 64 numbers a picture>"


def test_what_is_not_there_and_what_is_sealed(make: Make) -> None:
    data = make()
    assert len(data.split("test")) == 40
    with pytest.raises(SealedError):
        data.labels("test")
    with pytest.raises(DataError, match="no split 'vali', only train, valid, test; did you mean"):
        data.split("vali")
    data._splits["test"] = PictureSplit("test", [], [])
    with pytest.raises(DataError, match="have no labels"):
        data.labels("test")


def test_a_fingerprint_names_pictures_splits_and_body(make: Make) -> None:
    data = make()
    again = next(iter(data.folds(3)))
    prints = [each.fingerprint() for each in (data, make(), make(body="another"), again)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_a_fingerprint_names_what_is_true_of_pictures(make: Make) -> None:
    data, weighted, other = make(), make(weights=True), make()
    train = other._splits["train"]
    assert isinstance(train, PictureSplit)
    (truth,) = other.labels("train").values
    train.unseal(Labels(other.task, (np.where(np.arange(200) == 7, 9 - truth, truth),)))
    assert len({each.fingerprint() for each in (data, weighted, other)}) == 3


def test_folds_validate_each_picture_once_and_leave_the_test_set_alone(make: Make) -> None:
    data = make(weights=True)
    pixels, digits = load_digits(return_X_y=True)
    weight = np.linspace(0.5, 2, 300, dtype=np.float32)
    of = {row.astype(np.float32).tobytes(): place for place, row in enumerate(pixels[:300])}
    seen: list[int] = []
    for fold in data.folds(4):
        for name in ("train", "valid"):
            places = [of[row.tobytes()] for row in fold.split(name).take(slice(None))]
            np.testing.assert_array_equal(fold.labels(name).values[0], digits[places])
            np.testing.assert_array_equal(fold.labels(name).weights, weight[places])
        seen += places
        assert len(places) == 65
        assert len(fold.split("test")) == 40
    assert sorted(seen) == list(range(260))


SCENES = np.where(np.arange(300) % 4, np.random.default_rng(0).integers(0, 20, 300), -1)
"""Which of 20 scenes a picture shows, in both splits; a quarter shows none."""


def scenes_in(data: FeatureData, name: str) -> set[int]:
    return set(data._pictures(name).groups.tolist()) - {-1}


def test_folds_never_part_a_group(make: Make) -> None:
    data = make(groups=SCENES)
    assert scenes_in(data, "train") & scenes_in(data, "valid")
    validated, alone = [], 0
    for fold in data.folds(4):
        train, valid = (scenes_in(fold, name) for name in ("train", "valid"))
        assert not train & valid
        assert train | valid == set(range(20))
        validated += sorted(valid)
        alone += int((fold._pictures("valid").groups == -1).sum())
    assert sorted(validated) == list(range(20))
    assert alone == (SCENES[:260] == -1).sum()


def test_a_resplit_never_parts_a_group(make: Make) -> None:
    data = make(groups=SCENES)
    for repeat in range(3):
        again = data.resplit(repeat=repeat)
        assert not scenes_in(again, "train") & scenes_in(again, "valid")
        assert scenes_in(again, "valid")
        assert abs(len(again.split("valid")) - 60) <= 20


def test_more_folds_than_groups_are_refused(make: Make) -> None:
    halves = make(groups=np.arange(300) % 2)
    with pytest.raises(DataError, match="groups"):
        list(halves.folds(3))


def test_a_fingerprint_names_what_belongs_together_whatever_its_number(make: Make) -> None:
    other = np.where(SCENES == 3, 4, SCENES)
    prints = [make(groups=groups).fingerprint() for groups in (None, SCENES, SCENES + 7, other)]
    assert prints[0] == make().fingerprint()
    renumbered = np.where(SCENES < 0, -1, 50 - SCENES)
    assert prints[1] == make(groups=renumbered).fingerprint()
    assert len(set(prints)) == 4


def test_a_resplit_moves_pictures_and_keeps_shares(make: Make) -> None:
    data = make()
    first, same, other = (data.resplit(repeat=repeat) for repeat in (0, 0, 1))
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()
    assert abs(len(other.split("valid")) - 60) <= 1
    counts = np.bincount(other.labels("valid").values[0])
    assert counts.min() >= 5


def test_weights_of_one_split_alone_are_joined_with_ones(make: Make) -> None:
    data = make()
    train = data._splits["train"]
    assert isinstance(train, PictureSplit)
    train.unseal(Labels(data.task, data.labels("train").values, np.full(200, 3, np.float32)))
    fold = next(iter(data.folds(2)))
    weights = np.concatenate([fold.labels(name).weights for name in ("train", "valid")])
    assert np.unique(weights, return_counts=True)[1].tolist() == [60, 200]


def test_inputs_are_what_the_linear_layer_of_a_head_sees(make: Make) -> None:
    data = make()
    table = PreparedTable.of(data)
    head = head_for(data.task, data.width)
    head.fit_center(data.split("train").chunks())
    seen = []
    head.linear.register_forward_hook(lambda _, given, __: seen.append(given[0].numpy()))
    for name in ("train", "valid"):
        head(torch.from_numpy(data.split(name).take(slice(None))))
        np.testing.assert_array_equal(table.inputs(name), seen[-1])
    np.testing.assert_allclose(np.square(table.inputs("train")).mean(1) ** 0.5, SCALE, rtol=1e-5)
    double = PreparedTable.of(data, "fp64").inputs("train")
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, table.inputs("train"), atol=1e-6)


def test_a_part_has_a_center_of_its_own(make: Make) -> None:
    data = make()
    rows = np.array([5, 17, 60])
    part = PreparedTable.of(data, "fp64").part(rows)
    features = data.split("train").take(rows).astype(np.float64)
    centred = features - features.mean(0)
    length = SCALE * 8 / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(part.inputs("train"), centred * length)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_a_linear_layer_from_zero_is_the_head(make: Make, kind: str) -> None:
    data = make(Target("digit", Kind.REGRESSION) if kind == "number" else None)
    training = Training(lr=0.03, epochs=5, batch_size=32, drop_last=False)
    head = head_for(data.task, data.width)
    head.fit_center(data.split("train").chunks())
    table = PreparedTable.of(data)
    metrics = ["mae" if kind == "number" else "accuracy"]
    rows = {name: Rows(data.split(name), data.labels(name)) for name in ("train", "valid")}
    learned = train(head, rows["train"], rows["valid"], training, metrics=metrics)
    other = train(
        table.network(MLP([], init="zeros"), seed=0),
        table.rows("train"),
        table.rows("valid"),
        training,
        metrics=metrics,
        units=table.units,
    )
    for one, same in zip(learned.epochs, other.epochs, strict=True):
        assert one.train_loss == pytest.approx(same.train_loss, rel=1e-6)
        assert one.valid_loss == pytest.approx(same.valid_loss, rel=1e-6)
        assert one.metrics == pytest.approx(same.metrics, rel=1e-6)


def test_the_class_of_each_row() -> None:
    number = Target("price", Kind.REGRESSION)
    pet = Target.classify("pet", ["cat", "dog"])
    price, animal = Labels.of(number, [1, 2]), Labels.of(pet, ["dog", "cat"])
    assert classes_of(price) is None
    both = Labels(Task((number, pet)), (price.values[0], animal.values[0]))
    found = classes_of(both)
    assert found is not None
    assert found.tolist() == [1, 0]
