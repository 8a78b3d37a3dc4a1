"""Paired comparisons: known tables, the coverage of their intervals, and what they refuse."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from secchi.data.task import Labels, Task
from secchi.errors import DataError, SpecError
from secchi.inspection.comparison import Comparison, compare
from secchi.inspection.predictions import Predictions
from secchi.intervals import mean_interval, proportion_interval

BINARY = Task.classify(["cat", "dog"])
MANY = Task.classify(["cat", "dog", "mouse"])
LABELS = Task.label(["sky", "sea", "sand"])
NUMBER = Task.regress("price")


def answers(right: list[bool] | np.ndarray, weights: np.ndarray | None = None) -> Predictions:
    """Predictions of dogs, right in these rows, all equally sure."""
    count = len(right)
    logits = torch.tensor([[1.0 if each else -1.0] for each in right]).reshape(count, 1)
    labels = Labels(BINARY, (np.ones(count, np.int64),), weights)
    return Predictions.of(BINARY, tuple(f"{row}.jpg" for row in range(count)), logits, labels)


def table(both: int, fixed: int, broken: int, neither: int) -> tuple[Predictions, Predictions]:
    counts = (both, fixed, broken, neither)
    before = np.repeat([True, False, True, False], counts)
    after = np.repeat([True, True, False, False], counts)
    return answers(before), answers(after)


def numbers(off: list[float], weights: np.ndarray | None = None) -> Predictions:
    """Predictions of a number that is 0; the loss is the square."""
    labels = Labels(NUMBER, (np.zeros(len(off), np.float32),), weights)
    sources = tuple(f"row {row}" for row in range(len(off)))
    return Predictions.of(NUMBER, sources, torch.tensor(off)[:, None], labels)


# ---------------------------------------------------------------- accuracy


def test_a_small_table_by_hand() -> None:
    found = compare(*table(both=986, fixed=5, broken=2, neither=7))
    assert (found.before, found.after) == (0.988, 0.991)
    assert found.difference == pytest.approx(0.003, abs=1e-15)
    assert (found.n, found.fixed, found.broken) == (1000, 5, 2)
    half = 1.959964 * math.sqrt(5 + 2 + 1 - 3**2 / 1002) / 1002
    assert found.low == pytest.approx(3 / 1002 - half, abs=1e-9)
    assert found.high == pytest.approx(3 / 1002 + half, abs=1e-9)
    assert not found.beyond_noise
    assert not found.improved
    assert str(found) == (
        "accuracy 0.9880 -> 0.9910: +0.0030 (95 % interval -0.0025 to +0.0085, "
        "5 fixed, 2 broken of 1,000): within the noise"
    )


def test_the_interval_is_the_published_one() -> None:
    """What R's PropCIs 0.3-0, diffpropci.mp(40, 20, 160), prints in its documentation."""
    found = compare(*table(both=50, fixed=20, broken=40, neither=50))
    assert found.low == pytest.approx(-0.21601726, abs=1e-8)
    assert found.high == pytest.approx(-0.03089632, abs=1e-8)
    assert found.beyond_noise
    assert not found.improved
    assert str(found).endswith("20 fixed, 40 broken of 160): worse beyond the noise")


@pytest.mark.parametrize(("fixed", "beyond"), [(4, False), (5, True)])
def test_five_rows_fixed_and_none_broken_are_the_least_that_is_beyond_noise(
    fixed: int, beyond: bool
) -> None:
    found = compare(*table(both=990 - fixed, fixed=fixed, broken=0, neither=10))
    assert found.beyond_noise is beyond
    assert found.improved is beyond
    assert str(found).endswith("better beyond the noise" if beyond else "within the noise")


def test_the_interval_stays_within_what_can_be() -> None:
    worse, better = answers([False] * 8), answers([True] * 8)
    assert compare(worse, better).high == 1
    assert compare(better, worse).low == -1


@settings(deadline=None, max_examples=50)
@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_exchanging_the_two_changes_the_signs(counts: tuple[int, int, int, int]) -> None:
    before, after = table(*counts)
    there, back = compare(before, after), compare(after, before)
    expected = [back.after, back.before, -back.difference, -back.high, -back.low]
    got = [there.before, there.after, there.difference, there.low, there.high]
    np.testing.assert_array_equal(got, expected)
    assert (there.fixed, there.broken, there.n) == (back.broken, back.fixed, back.n)
    assert there.beyond_noise == back.beyond_noise
    assert not (there.improved and back.improved)


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_predictions_do_not_differ(measure: str, weighted: bool) -> None:
    right = np.arange(40) % 5 > 0
    weights = np.linspace(0.5, 2, 40, dtype=np.float32) if weighted else None
    same = answers(right, weights)
    found = compare(same, same, measure)
    assert found.difference == 0
    assert found.low <= 0 <= found.high
    assert found.before == found.after
    assert not found.beyond_noise
    assert not found.improved
    assert "+0.0000 (" in str(found)


def test_classes_of_any_number() -> None:
    labels = Labels.of(MANY.target, ["cat", "dog", "mouse", "mouse"])
    first = Predictions.of(MANY, tuple("abcd"), torch.eye(3)[[0, 0, 2, 0]], labels)
    second = Predictions.of(MANY, tuple("abcd"), torch.eye(3)[[0, 1, 1, 2]], labels)
    found = compare(first, second)
    assert (found.before, found.after) == (0.5, 0.75)
    assert (found.fixed, found.broken) == (2, 1)


# ---------------------------------------------------------------- several labels


def labelled(rows: list[list[int]]) -> Predictions:
    """Predictions of labels that are all present, right where a row has a 1."""
    outputs = 2.0 * torch.tensor(rows, dtype=torch.float32) - 1
    labels = Labels(LABELS, (np.ones((len(rows), 3), np.float32),))
    return Predictions.of(LABELS, tuple(map(str, range(len(rows)))), outputs, labels)


def test_the_accuracy_of_several_labels_is_that_of_the_metric() -> None:
    before = labelled([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]])
    after = labelled([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    found = compare(before, after)
    assert found.before == pytest.approx(before.metric("accuracy"))
    assert found.after == pytest.approx(after.metric("accuracy"))
    assert (found.fixed, found.broken) == (1, 1)
    # Changes +1/3, +1/3, -1/3, 0 and the four half rows of +1/3, -1/3, 0 and 0.
    changes, shares = np.array([1, 1, -1, 0, 1, -1, 0]) / 3, np.array([1, 1, 1, 1, 0.5, 0.5, 1])
    centre = (shares * changes).sum() / 6
    half = 1.959964 * math.sqrt((shares * (changes - centre) ** 2).sum()) / 6
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-7)


# ---------------------------------------------------------------- loss


def test_a_loss_by_hand() -> None:
    before, after = [1.0, 2.0, 3.0, 0.5], [0.5, 1.0, 1.0, 1.0]
    found = compare(numbers(before), numbers(after), "loss")
    change = np.square(after) - np.square(before)
    expected = stats.ttest_1samp(change, 0).confidence_interval(0.95)
    assert found.before == pytest.approx(np.square(before).mean())
    assert found.after == pytest.approx(np.square(after).mean())
    assert found.difference == pytest.approx(change.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.n, found.fixed, found.broken) == (4, None, None)
    assert str(found).endswith(", 4 rows): within the noise")


def test_a_lower_loss_is_an_improvement() -> None:
    high, low = numbers([2.0, 2.1, 2.2, 1.9]), numbers([1.0, 1.1, 0.9, 1.0])
    assert compare(high, low, "loss").improved
    assert str(compare(high, low, "loss")).endswith("better beyond the noise")
    worse = compare(low, high, "loss")
    assert worse.beyond_noise
    assert not worse.improved
    assert str(worse).endswith("worse beyond the noise")


def test_the_loss_of_several_targets_is_their_sum() -> None:
    task = Task((*BINARY.targets, *NUMBER.targets))
    labels = Labels(task, (np.array([1, 0, 1]), np.zeros(3, np.float32)))
    first, second = (
        Predictions.of(task, tuple("abc"), torch.full((3, 2), x), labels) for x in (0.0, 1.0)
    )
    found = compare(first, second, "loss")
    assert found.before == pytest.approx(math.log(2))
    assert found.after == pytest.approx(second.losses.mean())
    with pytest.raises(DataError, match="2 targets"):
        compare(first, second)


def test_a_loss_without_bounds_has_no_interval() -> None:
    found = compare(numbers([1.0] * 4), numbers([math.inf, 1.0, 1.0, 1.0]), "loss")
    assert found.after == math.inf
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.beyond_noise
    both = compare(numbers([math.inf] * 4), numbers([math.inf] * 4), "loss")
    assert not both.beyond_noise
    assert math.isnan(both.difference)
    json.dumps(both.to_dict(), allow_nan=False)


def test_small_differences_are_shown_with_the_digits_that_they_need() -> None:
    found = Comparison("loss", 0.0021123, 0.0021201, 0.0000078, 0.0000021, 0.0000135, 50)
    assert str(found) == (
        "loss 0.0021123 -> 0.0021201: +0.0000078 (95 % interval +0.0000021 to +0.0000135, "
        "50 rows): worse beyond the noise"
    )


# ---------------------------------------------------------------- weights


def test_weights_by_hand() -> None:
    """A row of weight 3 that is fixed and one of weight 1 that is broken, of ten."""
    weights = np.array([3, 1, 1, 1, 1, 1, 1, 1, 1, 1], np.float32)
    before = answers([False, True] + [True] * 8, weights)
    after = answers([True, False] + [True] * 8, weights)
    found = compare(before, after)
    assert found.before == pytest.approx(before.metric("accuracy"))
    assert found.after == pytest.approx(after.metric("accuracy"))
    assert found.difference == pytest.approx(2 / 12)
    assert (found.fixed, found.broken) == (1, 1)
    extra = 18 / 12  # sum(w^2) / sum(w)
    centre = 2 / (12 + 2 * extra)
    seen = 9 * (1 - centre) ** 2 + (1 + centre) ** 2 + 8 * centre**2
    unseen = extra**2 * ((1 - centre) ** 2 / 2 + (1 + centre) ** 2 / 2 + centre**2)
    half = 1.959964 * math.sqrt(seen + unseen) / (12 + 2 * extra)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_a_weighted_loss_by_hand() -> None:
    weights = np.array([2, 1, 1, 4], np.float32)
    before, after = numbers([1.0, 2.0, 3.0, 1.0], weights), numbers([0.0, 2.0, 2.0, 1.5], weights)
    found = compare(before, after, "loss")
    change = np.array([-1.0, 0.0, -5.0, 1.25])
    mean = (2 * -1 + 0 - 5 + 4 * 1.25) / 8
    rows = 8**2 / 22
    variance = (weights**2 * (change - mean) ** 2).sum() / 8**2 * rows / (rows - 1)
    half = stats.t.ppf(0.975, rows - 1) * math.sqrt(variance)
    assert found.difference == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
@pytest.mark.parametrize("scale", [1e-20, 0.3, 7.0])
def test_equal_weights_of_any_size_are_no_weights(measure: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(50) < 0.7, rng.random(50) < 0.9
    weights = np.full(50, scale, np.float32)
    weighted = compare(answers(before, weights), answers(after, weights), measure)
    plain = compare(answers(before), answers(after), measure)
    for field in ("before", "after", "difference", "low", "high"):
        assert getattr(weighted, field) == pytest.approx(getattr(plain, field), rel=1e-6), field
    assert (weighted.n, weighted.fixed, weighted.broken) == (plain.n, plain.fixed, plain.broken)


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_rows_without_weight_count_as_absent(measure: str) -> None:
    rng = np.random.default_rng(1)
    before, after = rng.random(30) < 0.7, rng.random(30) < 0.9
    weights = (rng.random(30) < 0.5).astype(np.float32)
    found = compare(answers(before, weights), answers(after, weights), measure)
    left = weights > 0
    assert found == compare(answers(before[left]), answers(after[left]), measure)
    assert found.n == int(left.sum())


# ---------------------------------------------------------------- coverage


def covered(draw: Callable[[], tuple[float, float]], truth: float, times: int = 3000) -> float:
    intervals = np.array([draw() for _ in range(times)])
    return float(((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean())


@pytest.mark.parametrize(
    ("rows", "fixed", "broken"),
    [(30, 0.2, 0.1), (100, 0.05, 0.02), (200, 0.05, 0.05), (1000, 0.01, 0.007), (500, 0.2, 0.1)],
)
def test_the_interval_of_an_accuracy_holds_the_truth_as_often_as_it_says(
    rows: int, fixed: float, broken: float
) -> None:
    rng = np.random.default_rng(rows)

    def draw() -> tuple[float, float]:
        counts = rng.multinomial(rows, [fixed, broken, 1 - fixed - broken])
        return proportion_interval(np.repeat([1.0, -1.0, 0.0], counts))

    assert 0.93 < covered(draw, fixed - broken) < 0.98


def test_where_next_to_no_row_changes_the_interval_is_wider_rather_than_narrower() -> None:
    rng = np.random.default_rng(0)

    def draw() -> tuple[float, float]:
        counts = rng.multinomial(100, [0.005, 0.005, 0.99])
        return proportion_interval(np.repeat([1.0, -1.0, 0.0], counts))

    assert covered(draw, 0.0) > 0.99


def test_the_interval_of_weighted_rows_holds_the_truth_as_often_as_it_says() -> None:
    """A rare class of weight 9 in which three times as many rows are fixed."""
    rng = np.random.default_rng(3)

    def draw() -> tuple[float, float]:
        rare = rng.random(1000) < 0.1
        chance = rng.random(1000)
        fixed = chance < np.where(rare, 0.09, 0.03)
        return proportion_interval(fixed - 1.0 * (chance > 0.98), np.where(rare, 9.0, 1.0))

    truth = (0.1 * 9 * 0.07 + 0.9 * 0.01) / (0.1 * 9 + 0.9)
    assert 0.93 < covered(draw, truth) < 0.98


@pytest.mark.parametrize("labels", [3, 20])
def test_the_interval_of_several_labels_holds_the_truth_as_often_as_it_says(labels: int) -> None:
    rng = np.random.default_rng(labels)

    def draw() -> tuple[float, float]:
        chance = rng.random((200, labels))
        change = (1.0 * (chance < 0.03) - 1.0 * (chance > 0.98)).mean(axis=1)
        return proportion_interval(change, step=1 / labels)

    assert 0.93 < covered(draw, 0.01, 2000) < 0.98


@pytest.mark.parametrize("rows", [5, 50])
@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_the_interval_of_a_loss_holds_the_truth_as_often_as_it_says(
    rows: int, spread: float
) -> None:
    rng = np.random.default_rng(rows)

    def draw() -> tuple[float, float]:
        return mean_interval(rng.normal(0.1, 1, rows), np.exp(spread * rng.normal(size=rows)))

    assert 0.93 < covered(draw, 0.1) < 0.98


# ---------------------------------------------------------------- too little to say


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_two_rows_or_fewer_have_no_interval(measure: str, rows: int) -> None:
    found = compare(answers([False] * rows), answers([True] * rows), measure)
    assert found.n == rows
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.beyond_noise
    assert not found.improved
    assert "(no interval, " in str(found)
    assert str(found).endswith("within the noise")


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
@pytest.mark.parametrize("heavy", [1, 2])
def test_rows_of_which_two_have_all_the_weight_have_no_interval(measure: str, heavy: int) -> None:
    weights = np.full(10, 1e-30, np.float32)
    weights[:heavy] = 0.1
    found = compare(answers([False] * 10, weights), answers([True] * 10, weights), measure)
    assert math.isnan(found.low)
    assert not found.beyond_noise


# ---------------------------------------------------------------- refusals and records


def test_what_cannot_be_compared() -> None:
    one = answers([True, False, True])
    other_truth = Predictions.of(
        BINARY, one.sources, torch.zeros(3, 1), Labels(BINARY, (np.array([1, 1, 0]),))
    )
    unknown = Predictions.of(BINARY, one.sources, torch.zeros(3, 1))
    turned = Predictions.of(BINARY, one.sources[::-1], torch.zeros(3, 1), one.labels)
    task = Task.classify(["cat", "wolf"])
    other_task = Predictions.of(
        task, one.sources, torch.zeros(3, 1), Labels(task, one.labels.values)
    )
    for other, message in [
        (answers([True] * 4), "3 rows"),
        (turned, "row 0 is '0.jpg'"),
        (other_task, "different tasks"),
        (other_truth, "labels"),
        (unknown, "labels"),
        (answers([True] * 3, np.ones(3, np.float32)), "weights"),
    ]:
        for measure in ("accuracy", "loss"):
            with pytest.raises(DataError, match=message):
                compare(one, other, measure)
    with pytest.raises(DataError, match="truth is known"):
        compare(unknown, unknown)


def test_measures_that_do_not_suit() -> None:
    with pytest.raises(SpecError, match="did you mean accuracy"):
        compare(answers([True]), answers([True]), "acuracy")
    with pytest.raises(SpecError, match="is a number; compare the loss"):
        compare(numbers([1.0]), numbers([1.0]))


def test_predictions_without_losses_have_none_to_compare() -> None:
    known = answers([True] * 4)
    bare = Predictions(BINARY, known.sources, known.outputs, known.labels)
    assert compare(bare, known).difference == 0
    with pytest.raises(DataError, match="no losses"):
        compare(bare, known, "loss")


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
@pytest.mark.parametrize("rows", [2, 20])
def test_a_comparison_goes_into_json(measure: str, rows: int) -> None:
    found = compare(answers([False] * rows), answers([True] * rows), measure)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document == found.to_dict()
    assert document["measure"] == measure
    assert document["n"] == rows
    assert document["improved"] is document["beyond_noise"] is (rows == 20)
    assert document["low"] == (found.low if rows == 20 else None)
    assert document["fixed"] == (rows if measure == "accuracy" else None)


def test_minus_nothing_is_shown_as_nothing() -> None:
    found = Comparison("loss", 0.5, 0.5, -1e-9, -0.01, 0.01, 1000)
    assert "+0.0000 (95 % interval -0.0100 to +0.0100, 1,000 rows)" in str(found)


def test_the_gain_of_an_average_is_compared_like_any_other() -> None:
    """An average of views that err in different rows beats the first of them beyond noise."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    labels = Labels(BINARY, (truth,))
    sources = tuple(map(str, range(400)))
    signal = np.where(truth == 1, 1.0, -1.0)[:, None]
    views = [
        Predictions.of(
            BINARY,
            sources,
            torch.from_numpy(4 * (signal + rng.normal(size=(400, 1)))).float(),
            labels,
        )
        for _ in range(5)
    ]
    average = Predictions.averaged(views)
    assert compare(views[0], average).improved
    assert compare(views[0], average, "loss").improved
