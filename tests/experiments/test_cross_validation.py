"""Cross-validation: which rows validate, and an interval that folds are not independent in."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_iris

from secchi import MLP, Experiment, Qwerties, TableData, Training
from secchi.cohort.alone import train_alone
from secchi.cohort.member import Member
from secchi.errors import DataError, SpecError
from secchi.experiments.cross_validation import CrossValidation, cross_validate
from secchi.intervals import mean_intervals
from secchi.training.prepared import PreparedTable


@pytest.fixture(scope="module")
def iris() -> TableData:
    return TableData.from_frame(load_iris(as_frame=True).frame, "target", task="class")


def made(scores: dict[str, np.ndarray]) -> CrossValidation:
    """Scores of a made-up table."""
    repeats, k = scores["valid_loss"].shape
    ratio = 1 / (k - 1)
    return CrossValidation("toy", k, repeats, scores, rows=60, epoch_chosen=False, ratio=ratio)


def test_each_score_is_that_of_the_fold_trained_alone(iris: TableData) -> None:
    base = Experiment(iris, MLP([4]), Training(epochs=5))
    found = cross_validate(base, 3)
    seed = base.seed_of(0)
    for place, fold in enumerate(iris.folds(3)):
        training = Training(epochs=5, seed=seed)
        alone = train_alone(Member(PreparedTable.of(fold), MLP([4]), training, seed), ["accuracy"])
        kept = found.scores["valid_loss"][0, place]
        assert kept == pytest.approx(alone.valid_loss[-1], rel=1e-5)
        assert found.scores["valid_accuracy"][0, place] == alone.metrics["accuracy"][-1]


def test_repeats_fold_the_rows_anew(iris: TableData) -> None:
    found = cross_validate(Experiment(iris, MLP([]), Training(epochs=5)), 4, 3)
    assert found.scores["valid_loss"].shape == (3, 4)
    assert len(np.unique(found.scores["valid_loss"])) == 12
    assert "table: 150 rows in 4 folds, 3 times" in str(found)


def test_the_interval_counts_the_rows_that_folds_share() -> None:
    scores = np.random.default_rng(0).normal(0.9, 0.02, (2, 5))
    mean, low, high = made({"valid_loss": scores}).mean("valid_loss")
    half = stats.t.ppf(0.975, 9) * scores.std(ddof=1) * np.sqrt(1 / 10 + 1 / 4)
    assert (mean, low, high) == pytest.approx((scores.mean(), mean - half, mean + half))
    plain = stats.t.ppf(0.975, 9) * scores.std(ddof=1) / np.sqrt(10)
    assert half > 1.8 * plain


def test_the_interval_is_that_of_the_result(iris: TableData) -> None:
    base = Experiment(iris, MLP([4]), Training(epochs=5))
    for data, repeats in ((iris, 1), (iris, 3), (Qwerties(rows=90), 1), (Qwerties(rows=90), 2)):
        found = cross_validate(base.but(data=data), 3, repeats)
        result = base.but(
            data=data, vary={"fold": [0, 1, 2]}, folds=3, repeats=repeats, resplit=repeats > 1
        ).run()
        mean = result.mean("valid_loss")
        assert found.mean("valid_loss") == pytest.approx((mean.mean[0], mean.low[0], mean.high[0]))


def test_two_scores_have_no_interval_and_failures_are_left_out() -> None:
    assert np.isnan(mean_intervals(np.array([0.1, 0.2]), ratio=1.0)[1:]).all()
    assert np.isnan(mean_intervals(np.array([np.nan]), ratio=1.0)).all()
    scores = {"valid_loss": np.array([[0.1, 0.2, np.nan, 0.3]])}
    found = made(scores)
    assert found.failed == 1
    assert found.mean("valid_loss")[0] == pytest.approx(0.2)
    assert "1 fold failed" in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["failed"] == 1
    with pytest.raises(DataError, match="no measure 'valid_los'"):
        found.mean("valid_los")


def test_scores_that_leave_nothing_to_say_say_why() -> None:
    two = str(made({"valid_loss": np.array([[0.1, 0.2]])}))
    assert "two scores are too few for an interval: repeats=3 folds the rows anew" in two
    assert "training rows in common" not in two
    measures = {
        "valid_loss": np.array([[0.1, 0.2, 0.3]]),
        "valid_accuracy": np.array([[1.0, 1.0, 0.9]]),
        "valid_f1": np.ones((1, 3)),
        "valid_auc": np.full((1, 3), np.nan),
    }
    lines = str(made(measures)).splitlines()
    assert lines[3].split()[-5:] == ["0.7399", "to", "1.0000", "0.9000", "1.0000"]
    assert lines[4].split()[2:] == ["1.0000", "all", "the", "same", "1.0000", "1.0000"]
    assert lines[5].split()[2:] == ["-", "-", "-", "-"]


def test_an_epoch_that_the_validating_fold_chose_is_told(iris: TableData) -> None:
    plain = cross_validate(Experiment(iris, MLP([4]), Training(epochs=5)), 3)
    assert not plain.epoch_chosen
    assert "optimistic" not in str(plain)
    kept = cross_validate(Experiment(iris, MLP([4]), Training(lr=1.0, epochs=9, keep_best=True)), 3)
    assert kept.epoch_chosen
    assert "each fold that validates also chose the epoch" in str(kept)


def test_what_cannot_be_is_refused(iris: TableData) -> None:
    base = Experiment(iris, MLP([]))
    with pytest.raises(SpecError, match=r"k is 1, not a whole number from 2 on; lr would vary"):
        cross_validate(base.but(vary={"lr": [0.1]}), 1)
    for k in (2.5, "5"):
        with pytest.raises(SpecError, match=rf"k is {k!r}, not a whole number from 2 on"):
            cross_validate(base, k)
    with pytest.raises(SpecError, match="repeats is 0"):
        cross_validate(base, 3, 0)
    frame = load_breast_cancer(as_frame=True).frame
    by_place = TableData.from_frame(frame, "target", task="class", split="position")
    with pytest.raises(DataError, match="parted by position"):
        cross_validate(Experiment(by_place, MLP([])))


def test_a_network_that_always_fails_is_said_to(iris: TableData) -> None:
    base = Experiment(iris, MLP([4]), Training("sgd", lr=1e30, epochs=3))
    with pytest.raises(DataError, match="failed in every fold"):
        cross_validate(base, 3)
