"""Experiments on the features of pictures, and the calls of a learner that make them."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from secchi import MLP, Experiment, FeatureCache, ImageData, Learner, TableData, Training
from secchi.cli.demo import write_digits
from secchi.console import Console
from secchi.errors import SpecError


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty handwritten digits of each of ten classes."""
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder / "all")
    for name in sorted(os.listdir(folder / "all")):
        (folder / "some" / name).mkdir(parents=True)
        for file in sorted((folder / "all" / name).iterdir())[:20]:
            file.rename(folder / "some" / name / file.name)
    return folder / "some"


@pytest.fixture(scope="module")
def learn(digits: Path, lite0_cache: FeatureCache) -> Learner:
    return learner(digits, lite0_cache)


def learner(folder: Path, cache: FeatureCache, **options: object) -> Learner:
    data = ImageData.from_path(folder, size=64)
    return Learner(data, cache=cache, console=Console(quiet=True), **options)


def test_the_base_setting_is_the_head_that_the_learner_trains(
    digits: Path, learn: Learner, lite0_cache: FeatureCache
) -> None:
    result = learn.vary({"lr": [1e-3, 1e-2]}, repeats=2)
    assert result.experiment is not None
    seed = result.experiment.seed_of(1)
    history = learner(digits, lite0_cache, seed=seed).fit(drop_last=True)
    number = next(
        n for n, t in enumerate(result.trials) if (t.setting["lr"], t.repeat) == (1e-2, 1)
    )
    curve = result.curve(number)
    for name in ("train_loss", "valid_loss"):
        expected = [getattr(epoch, name) for epoch in history.epochs]
        assert getattr(curve, name) == pytest.approx(expected, rel=1e-4)
    assert result.replay(number).difference < 1e-4


def test_heads_vary_in_everything_and_go_in_step(learn: Learner) -> None:
    vary = {
        "lr": [1e-3, 1e-2],
        "weight_decay": [0, 0.1],
        "input_dropout": [0, 0.5],
        "init": ["zeros", "torch"],
        "train_fraction": [0.3, 1],
        "fold": [0, 2],
    }
    experiment = learn.experiment(vary, folds=3, training=Training(epochs=3, batch_size=32))
    assert not experiment.plan().alone
    result = experiment.run()
    assert len(result) == 64
    assert not result.failed
    assert result.best().mean > 0.5
    for number in (5, 40):
        assert result.replay(number).difference < 1e-4


def test_heads_have_hidden_units(learn: Learner) -> None:
    result = learn.vary({"hidden": [[], [4], [16]], "dropout": [0, 0.3]}, 2, model=MLP([8]))
    assert len(result) == 12
    assert {one.alone for one in result.finished} == {None}
    assert result.replay(3).difference < 1e-3


def test_an_experiment_on_features_is_gone_on_with(learn: Learner, tmp_path: Path) -> None:
    store = tmp_path / "heads.sqlite"
    first = learn.vary({"lr": [1e-3, 1e-2]}, 1, store=store)
    again = learn.vary({"lr": [1e-3, 1e-2]}, 2, store=store)
    assert (len(first), len(again)) == (2, 4)
    np.testing.assert_array_equal(first.curve(1).valid_loss, again.curve(1).valid_loss)


def test_pictures_are_cross_validated(learn: Learner) -> None:
    found = learn.cross_validate(4, 2)
    assert found.scores["valid_accuracy"].shape == (2, 4)
    mean, low, high = found.mean("valid_accuracy")
    assert 0.6 < low < mean < high
    other = learn.cross_validate(3, model=MLP([8]), training=Training(epochs=2))
    assert other.scores["valid_loss"].shape == (1, 3)


def test_the_learning_curve_of_pictures(learn: Learner) -> None:
    curve = learn.learning_curve([0.1, 0.2, 0.5, 1], 4)
    assert curve.rows == "pictures"
    assert curve.sizes[-1] == len(learn.data.train)
    assert curve.mean[0] > curve.mean[-1]
    found = str(curve.at(int(curve.sizes[-1]) + 100))
    assert "another 100 pictures would bring" in found
    curve.plot().savefig(io.BytesIO(), format="png", dpi=40)


def test_a_learner_on_a_table_has_the_same_calls() -> None:
    iris = TableData.from_frame(load_iris(as_frame=True).frame, "target", task="class")
    model, training = MLP([4]), Training(epochs=4)
    net = Learner(iris, model, training, seed=5, precision="fp64", console=Console(quiet=True))
    experiment = net.experiment({"lr": [0.01, 0.1]}, 2)
    plain = Experiment(
        iris, model, training, {"lr": [0.01, 0.1]}, repeats=2, seed=5, precision="fp64"
    )
    assert experiment.to_dict() == plain.to_dict()
    assert len(net.vary({"lr": [0.01, 0.1]}, 2)) == 4
    assert net.cross_validate(3).scores["valid_loss"].shape == (1, 3)
    assert net.learning_curve([0.2, 0.4, 0.7, 1], 3).rows == "rows"


def test_faults_of_what_varies_are_told(learn: Learner) -> None:
    with pytest.raises(SpecError, match=r"did you mean lr\?"):
        learn.vary({"lrr": [0.1]})
    with pytest.raises(SpecError, match="there is no factor 'scale'"):
        learn.vary({"scale": ["zscore"]})


def test_photographs_of_cats_and_dogs(
    dogscats: Path, tmp_path: Path, lite0_cache: FeatureCache
) -> None:
    for split, count in (("train", 60), ("valid", 30)):
        for name in ("cats", "dogs"):
            (tmp_path / split / name).mkdir(parents=True)
            for file in sorted((dogscats / split / name).iterdir())[:count]:
                shutil.copyfile(file, tmp_path / split / name / file.name)
    learn = learner(tmp_path, lite0_cache)
    result = learn.vary({"lr": [1e-3, 1e-2], "input_dropout": [0, 0.5]}, 3)
    assert result.best().mean > 0.75
    assert not result.experiment.plan().alone
