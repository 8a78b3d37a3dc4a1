"""The recipe's rules: what is kept, when it ends, what it says."""

import dataclasses
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secchi import FeatureCache, ImageData, Learner, Training
from secchi.console import Console
from secchi.data.task import Labels, Task
from secchi.errors import SpecError
from secchi.inspection.comparison import Comparison
from secchi.inspection.predictions import Predictions
from secchi.recipe import STEPS, TTA, Recipe, RecipeStep
from secchi.training.history import History

MakePictures = Callable[..., Path]

BODY = ("unfreeze", "rates", "find_again", "cycles")


@pytest.fixture(autouse=True, scope="module")
def _one_core() -> Iterator[None]:
    """Networks on pictures as small as these wait longer for a second core than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photos(tmp_path: Path, make_pictures: MakePictures) -> Path:
    return make_pictures(tmp_path / "photos", per_class=20, seed=700)


@pytest.fixture
def options(lite0_cache: FeatureCache) -> dict[str, Any]:
    return {"cache": lite0_cache, "console": Console(quiet=True)}


def read(photos: Path) -> ImageData:
    return ImageData.from_folder(photos, size=64)


def by_name(recipe: Recipe) -> dict[str, RecipeStep]:
    return {step.name: step for step in recipe.steps}


# ---------------------------------------------------------------- on pictures


def test_the_weights_that_stay_are_those_of_the_lowest_validation_loss(
    photos: Path, options: dict[str, Any]
) -> None:
    learn = Learner.pretrained("lite0", read(photos), **options)
    recipe = learn.recipe(skip=BODY, views=2)
    assert [step.name for step in recipe.steps] == [*STEPS.values(), TTA]
    steps = by_name(recipe)
    assert [name for name, key in zip(steps, STEPS, strict=False) if key in BODY] == [
        step.name for step in recipe.steps if step.decided == "skipped"
    ]
    trained = [step for step in recipe.steps if step.kept]
    losses = [step.loss for step in trained]
    assert losses == sorted(losses, reverse=True)
    assert learn.evaluate("valid")["loss"] == pytest.approx(losses[-1], rel=1e-6)
    assert learn.augmentation.name == "side_on"


class Spoilt(Learner):
    """Its second training turns every answer around."""

    def fit(self, *args: Any, **changes: Any) -> History:
        history = super().fit(*args, **changes)
        if history.epochs[0].number > 0:
            with torch.no_grad():
                self.head.linear.weight.neg_()
        return history


def test_a_step_that_makes_it_worse_is_undone_and_said(
    photos: Path, options: dict[str, Any]
) -> None:
    out = io.StringIO()
    learn = Spoilt.pretrained("lite0", read(photos), **options | {"console": Console(out)})
    recipe = learn.recipe(skip=("find", *BODY), views=1)
    first, second = (by_name(recipe)[STEPS[key]] for key in ("features", "restarts"))
    assert (first.kept, second.kept) == (True, False)
    assert second.gain is not None
    assert second.gain.difference < 0
    assert learn.evaluate("valid")["loss"] == pytest.approx(first.loss, rel=1e-6)
    assert "its validation loss is not lower: the weights before it stay" in out.getvalue()
    assert ", not kept" in str(recipe)


class Scripted(Learner):
    """Its trainings of the body have the validation losses that they are told."""

    losses: tuple[float, ...] = ()

    def fit(self, *args: Any, **changes: Any) -> History:
        history = super().fit(*args, **changes)
        if "schedule" not in changes:
            return history
        self.asked = [*getattr(self, "asked", []), changes["epochs"]]
        # A mark that tells whose weights are there.
        with torch.no_grad():
            self.head.linear.bias.fill_(float(len(self.asked)))
        number = len(self.asked) - 1
        said = {"train_loss": 0.5 - 0.1 * number, "valid_loss": self.losses[number]}
        *before, last = history.epochs
        return dataclasses.replace(history, epochs=(*before, dataclasses.replace(last, **said)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("losses", "lengths", "best", "ended"),
    [
        ((0.3, 0.2, 0.1), [1, 2, 4], 3, "that many were asked for"),
        ((0.3, 0.4, 0.1), [1, 2], 1, "overfitting"),
        ((0.3, 0.2, 0.25), [1, 2, 4], 2, "overfitting"),
    ],
)
def test_cycles_double_until_they_overfit(
    photos: Path,
    options: dict[str, Any],
    losses: tuple[float, ...],
    lengths: list[int],
    best: int,
    ended: str,
) -> None:
    learn = Scripted.pretrained("lite0", read(photos), **options)
    learn.losses = losses
    skip = ("augment", "find", "features", "restarts", "find_again")
    recipe = learn.recipe(skip=skip, freeze_to="blocks.6", views=1)
    assert learn.asked == lengths
    assert learn.head.linear.bias.eq(best).all()
    step = by_name(recipe)[STEPS["cycles"]]
    assert step.decided.startswith(f"cycles of {', '.join(map(str, lengths))} epochs: {ended}")


@pytest.mark.slow
def test_two_recipes_of_one_seed_are_the_same(photos: Path, options: dict[str, Any]) -> None:
    def followed() -> tuple[Recipe, np.ndarray]:
        learn = Learner.pretrained("lite0", read(photos), **options, seed=3)
        recipe = learn.recipe(freeze_to="blocks.6", views=2, cycles=1)
        return recipe, recipe.predictions.probabilities

    (one, said), (other, also) = followed(), followed()
    for step, same in zip(one.steps, other.steps, strict=True):
        assert dataclasses.replace(step, seconds=0) == dataclasses.replace(same, seconds=0)
    np.testing.assert_array_equal(said, also)


def test_numbers_are_judged_by_their_loss(
    photos: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    rows = [f"{file},{len(file.parent.name)}" for file in sorted(photos.glob("*/*.png"))]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["file,length", *rows]) + "\n")
    data = ImageData.from_csv(labels, photos, kind="number", size=64)
    recipe = Learner.pretrained("lite0", data, **options).recipe(skip=BODY, views=1)
    judged = [step for step in recipe.steps if step.loss is not None]
    assert len(judged) == 3
    assert all(step.measure == "" and step.score is None for step in judged)
    assert all(step.gain is None or step.gain.measure == "loss" for step in judged)


def test_unknown_steps_are_all_told_before_any_work(photos: Path, options: dict[str, Any]) -> None:
    learn = Learner.pretrained("lite0", read(photos), **options)
    with pytest.raises(SpecError, match="no step 'finde'; did you mean find.*no step 'x'"):
        learn.recipe(skip=["finde", "x"])
    with pytest.raises(SpecError, match="views is 0.*cycles is 1.5.*did you mean side_on"):
        learn.recipe(views=0, cycles=1.5, augmentation="side_up")  # type: ignore[arg-type]
    assert learn.history is None


class Watched(Learner):
    """Notes how pictures were changed in each of its trainings, and at what rates."""

    def fit(self, lr: Any = None, *args: Any, **changes: Any) -> History:
        self.seen = [*getattr(self, "seen", []), (self.augmentation.name, tuple(lr))]
        return super().fit(lr, *args, **changes)


@pytest.mark.slow
def test_augmentation_is_on_from_step_four_whether_that_is_skipped_or_not(
    photos: Path, options: dict[str, Any]
) -> None:
    learn = Watched.pretrained("lite0", read(photos), **options)
    learn.recipe(skip=("restarts", "find_again"), freeze_to="blocks.6", views=1, cycles=1)
    assert [name for name, _ in learn.seen] == ["none", "side_on"]
    learn = Watched.pretrained("lite0", read(photos), **options)
    learn.recipe(skip=("augment", *BODY), views=1)
    assert [name for name, _ in learn.seen] == ["none", "none"]


def test_the_rate_of_the_training_is_taken_where_no_search_finds_one(
    photos: Path, options: dict[str, Any]
) -> None:
    training = Training(lr=(1e-4, 3e-3))
    learn = Watched.pretrained("lite0", read(photos), **options, training=training)
    learn.recipe(skip=("find", *BODY), views=1)
    assert [rates for _, rates in learn.seen] == [(3e-3,), (3e-3,)]
    learn.recipe(skip=BODY, views=1)  # and the search takes one


def test_a_layer_group_that_there_is_not_is_told_before_any_work(
    photos: Path, options: dict[str, Any]
) -> None:
    learn = Watched.pretrained("lite0", read(photos), **options)
    with pytest.raises(SpecError, match=r"no layer group 'blocks\.9'"):
        learn.recipe(freeze_to="blocks.9")
    assert not hasattr(learn, "seen")


def test_rows_count_by_their_weight(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    files = sorted(photos.glob("*/*.png"))
    rows = [f"{file},{file.parent.name},{number % 3}" for number, file in enumerate(files)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["file,label,weight", *rows]) + "\n")
    data = ImageData.from_csv(labels, photos, weight_column="weight", size=64)
    learn = Learner.pretrained("lite0", data, **options)
    recipe = learn.recipe(skip=BODY, views=1)
    kept = [step for step in recipe.steps if step.kept]
    assert learn.evaluate("valid")["loss"] == pytest.approx(kept[-1].loss, rel=1e-5)
    assert "errors" not in recipe.verdict


# ---------------------------------------------------------------- what it says


def recipe_with(errors: int, rows: int = 1000, gain: Comparison | None = None) -> Recipe:
    pet = Task.classify(["cat", "dog"])
    truth = Labels.of(pet.target, ["dog"] * rows)
    outputs = torch.ones(rows, 1)
    outputs[:errors] = -1
    said = Predictions.of(pet, tuple(str(row) for row in range(rows)), outputs, truth)
    return Recipe((RecipeStep("last", "", 0.0, "accuracy", 1 - errors / rows, 0.1, gain),), said)


def test_the_verdict_says_how_much_room_errors_leave() -> None:
    assert recipe_with(50).verdict == "beyond the noise of 1,000 validation pictures helped: none"
    assert "9 errors leave little room" in recipe_with(9).verdict
    assert "with 4 errors left no further step could show a gain" in recipe_with(4).verdict
    better = Comparison("accuracy", 0.9, 0.95, 0.05, 0.03, 0.07, 1000, 55, 5)
    assert recipe_with(50, gain=better).helped == ["last"]
    worse = dataclasses.replace(better, difference=-0.05, low=-0.07, high=-0.03)
    assert recipe_with(50, gain=worse).helped == []


def test_no_single_pair_of_answers_can_be_beyond_noise_with_four_errors() -> None:
    """What the verdict says of four errors holds: all of them put right, none broken."""
    from secchi.inspection.comparison import compare

    for errors in range(1, 6):
        before, after = recipe_with(errors).predictions, recipe_with(0).predictions
        assert compare(before, after, "accuracy").improved == (errors > 4), errors


def test_a_table_has_a_line_a_step_and_the_verdict() -> None:
    better = Comparison("accuracy", 0.9, 0.95, 0.05, 0.03, 0.07, 1000, 55, 5)
    heading, line, verdict = str(recipe_with(50, gain=better)).splitlines()
    assert heading.split()[:4] == ["step", "accuracy", "loss", "seconds"]
    assert re.search(r"0\.9500 +0\.1000 +0\.0  \+0\.0500 \(\+0\.0300 to \+0\.0700, beyond", line)
    assert verdict.endswith("helped: last")
