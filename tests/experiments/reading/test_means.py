"""Means over repeats: known truths, coverage, pairing, failures and smoothing."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secchi.cohort.curve import Curve
from secchi.errors import DataError, SpecError
from secchi.experiments.reading.averaging import averaged, smoothed
from secchi.experiments.result import Result
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

LRS = [{"lr": lr} for lr in (0.01, 0.1, 1.0)]
GRID = [{"lr": lr, "depth": depth} for lr in (0.01, 0.1) for depth in (1, 2, 3)]


def test_a_mean_has_the_interval_of_student_over_repeats(make_result) -> None:
    values = np.random.default_rng(0).normal(0.8, 0.1, (3, 6))
    found = make_result(LRS, values).mean("valid_accuracy")
    assert [group["lr"] for group in found.groups] == [0.01, 0.1, 1.0]
    for place, row in enumerate(values):
        low, high = stats.t.interval(0.95, 5, row.mean(), stats.sem(row))
        assert (found.mean[place], found.low[place], found.high[place]) == pytest.approx(
            (row.mean(), low, high)
        )
    assert found.n.tolist() == [6, 6, 6]


def test_over_other_factors_the_repeats_are_what_varies(make_result) -> None:
    """Six settings in four repeats are four independent values and not twenty-four."""
    values = np.random.default_rng(1).normal(0.8, 0.1, (6, 4))
    result = make_result(GRID, values)
    depths = result.mean("valid_accuracy", "depth").each
    assert depths == pytest.approx(values.reshape(2, 3, 4).mean(axis=0))
    found = result.mean("valid_accuracy", "lr")
    each = values.reshape(2, 3, 4).mean(axis=1)
    assert found.each == pytest.approx(each)
    assert found.n.tolist() == [4, 4]
    low, high = stats.t.interval(0.95, 3, each[0].mean(), stats.sem(each[0]))
    assert (found.low[0], found.high[0]) == pytest.approx((low, high))


def test_the_intervals_hold_the_truth_as_often_as_they_say(make_result) -> None:
    """What moves all settings of a repeat together would fool whoever counts every trial."""
    random, inside = np.random.default_rng(2), []
    for _ in range(400):
        values = 0.5 + random.normal(0, 0.1, (6, 5)) + random.normal(0, 0.2, 5)
        found = make_result(GRID, values, epochs=1).mean("valid_accuracy", "depth")
        inside += ((found.low < 0.5) & (found.high > 0.5)).tolist()
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def test_an_accuracy_has_no_interval_beyond_one_and_none_where_all_are_alike(make_result) -> None:
    values = np.array([[0.9, 1.0, 1.0], [1.0, 1.0, 1.0], [0.5, 0.5, 0.6]])
    result = make_result(LRS, values)
    found = result.mean("valid_accuracy")
    assert found.high[0] == 1
    assert found.low[0] < 0.9
    assert np.isnan([found.low[1], found.high[1]]).all()
    assert "1.000    all the same" in str(found)
    assert "1.0000, the same in all 3 repeats" in str(result.best())
    assert result.curves("valid_loss").low.min(initial=1, where=[[True], [False], [True]]) == 0
    assert result.rank("valid_accuracy").settings[1].high == 1


def test_differences_are_paired_by_repeat(make_result) -> None:
    random = np.random.default_rng(3)
    values = 0.5 + random.normal(0, 0.3, 8) + np.array([[0.0], [0.1], [0.2]])
    values += random.normal(0, 0.01, (3, 8))
    found = make_result(LRS, values).mean("valid_accuracy").difference(1, 0)
    expected = stats.ttest_rel(values[1], values[0]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.beyond_noise
    assert "8 shared repeats): beyond the noise" in str(found)


def test_trials_that_failed_are_left_out_and_counted(make_result) -> None:
    values = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.9, 0.9, 0.9, 0.9]])

    def failed(setting, repeat) -> bool:
        return setting["lr"] == 1.0 or (setting["lr"] == 0.1 and repeat == 3)

    result = make_result(LRS, values, failed)
    curves = result.curves("valid_accuracy")
    assert curves.n.tolist() == [[4, 4], [3, 3], [0, 0]]
    assert curves.failed.tolist() == [0, 1, 4]
    found = result.mean("valid_accuracy")
    assert found.mean == pytest.approx([0.25, 0.6, np.nan], nan_ok=True)
    assert (found.n.tolist(), found.failed.tolist()) == ([4, 3, 0], [0, 1, 4])
    assert found.runs.tolist() == [4, 4, 4]


def test_a_failure_does_not_move_the_mean_of_its_repeat() -> None:
    """Without the good setting, the repeat's plain mean would be that of the bad one."""
    values = np.array([[[1.0], [1.0], [1.0]], [[5.0], [5.0], [np.nan]]])
    assert averaged(values, np.zeros(2, np.intp), 1)[0, :, 0].tolist() == [3.0, 3.0, 3.0]


def test_curves_have_means_by_epoch_and_the_gap(make_result) -> None:
    values = np.random.default_rng(4).random((3, 5))
    result = make_result(LRS, values, epochs=4)
    found = result.curves("valid_loss", "lr")
    assert found.mean[:, 3] == pytest.approx(1 - values.mean(axis=1))
    assert found.mean[:, 0] == pytest.approx(1 - values.mean(axis=1) / 4)
    assert result.gap("lr").mean == pytest.approx(found.mean / 2)
    assert found.to_frame().shape == (12, 7)
    json.dumps(found.to_dict(), allow_nan=False)


@given(st.integers(1, 12), st.sampled_from([1, 3, 5, 21]), st.booleans())
def test_smoothing_is_the_mean_over_neighbours(length: int, count: int, holes: bool) -> None:
    values = np.random.default_rng(length).normal(size=length)
    if holes:
        values[length // 2] = np.nan
    found = smoothed(values, count)
    for at in range(length):
        near = values[max(0, at - count // 2) : at + count // 2 + 1]
        expected = np.nan if np.isnan(values[at]) else np.nanmean(near)
        assert found[at] == pytest.approx(expected, nan_ok=True)


def test_smoothing_is_told(make_result) -> None:
    result = make_result(LRS, np.random.default_rng(5).random((3, 4)))
    found = result.mean("valid_accuracy").smoothed(3)
    assert str(found).endswith("smoothed over 3 values of lr")
    assert found.each[1] == pytest.approx(result.mean("valid_accuracy").each.mean(axis=0))
    assert "smoothed over 3 values of lr" in result.plot("lr", smooth=3).axes[0].get_title("left")
    curves = result.plot("epoch", "valid_loss", "lr", smooth=3)
    assert "smoothed over 3 epochs" in curves.axes[0].get_title("left")
    with pytest.raises(SpecError, match="smooth is 2, which is no odd whole number of neighbours"):
        result.plot("lr", smooth=2)


def test_words_have_no_neighbours(make_result) -> None:
    result = make_result([{"optimizer": "sgd"}, {"optimizer": "adam"}], np.ones((2, 3)))
    with pytest.raises(DataError, match="no neighbours"):
        result.mean().smoothed(3)


def test_the_share_that_failed_has_the_interval_of_wilson(make_result) -> None:
    values = np.ones((3, 10))
    result = make_result(LRS, values, lambda s, r: s["lr"] == 1.0 and r < 7)
    found = result.failures("lr")
    expected = stats.binomtest(7, 10).proportion_ci(method="wilson")
    assert (found.low[2], found.high[2]) == pytest.approx((expected.low, expected.high))
    assert found.verdict == "7 of 30 trials failed, at lr = 1 (70%)"
    assert result.failures().to_dict()["groups"][2]["share"] == pytest.approx(0.7)
    assert make_result(LRS, values).failures().verdict == "none of 30 trials failed"


def test_trials_without_a_value_are_counted_beside_the_means(make_result) -> None:
    values = np.random.default_rng(6).random((3, 4))
    values[2, :3] = np.nan
    found = make_result(LRS, values, lambda s, r: s["lr"] == 0.1 and r == 0).mean("valid_accuracy")
    assert (found.failed.tolist(), found.without.tolist()) == ([0, 1, 0], [0, 0, 3])
    assert "lr = 1: 3 of 4 trials without a value" in str(found)


def test_splits_of_the_same_rows_have_wider_intervals(make_result) -> None:
    values = np.random.default_rng(7).normal(0.5, 0.01, (3, 6))
    plain, again = make_result(LRS, values), make_result(LRS, values, resplit=True)
    factor = np.sqrt((1 / 6 + 1 / 4) * 6)
    for measure in (lambda r: r.mean(), lambda r: r.mean().smoothed(3), lambda r: r.curves()):
        one, other = measure(plain), measure(again)
        assert (other.high - other.mean) == pytest.approx(factor * (one.high - one.mean))
    one, other = plain.mean().difference(0, 1), again.mean().difference(0, 1)
    assert other.high - other.difference == pytest.approx(factor * (one.high - one.difference))
    made = make_result(LRS, values, resplit=True, data={"made": {}})
    assert made.mean().high == pytest.approx(plain.mean().high)


def test_the_same_difference_in_every_repeat_says_nothing_of_noise(make_result) -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4]) + np.array([[0.1], [0.4], [0.5]])
    found = make_result(LRS, values).mean("valid_accuracy").difference(1, 0)
    assert found.difference == pytest.approx(0.3)
    assert np.isnan([found.low, found.high]).all()
    assert not found.beyond_noise
    assert "4 shared repeats, the same in all): nothing can be said about noise" in str(found)


def test_a_mean_curve_shows_where_trials_have_ended() -> None:
    """Some settings are trained longer than others: the mean is then of those alone."""
    finished = [
        Finished(Trial({"lr": 0.1, "epochs": epochs}, repeat), _curve(epochs), None, 0.1)
        for repeat in range(3)
        for epochs in (2, 4)
    ]
    found = Result({}, finished).curves("valid_loss", "lr")
    assert found.n.tolist() == [[3, 3, 3, 3]]
    assert found.trials.tolist() == [[6, 6, 3, 3]]
    assert found.whole.tolist() == [[True, True, False, False]]
    styles = [line.get_linestyle() for line in found.plot().axes[0].get_lines()]
    assert styles == ["-", ":"]


def _curve(epochs: int) -> Curve:
    loss = np.linspace(1, 0.5, epochs)
    return Curve(loss, loss, {}, Outcome.COMPLETED, epochs, None)


def test_two_settings_are_compared_by_the_values_that_are_printed(make_result) -> None:
    settings = [{"lr": lr, "hidden": list(h)} for lr in (1 / 3, 1.0) for h in ((8,), (16, 4))]
    values = np.random.default_rng(5).normal(0.5, 0.01, (4, 5)) + np.array([[0], [0], [0.2], [0.4]])
    result = make_result(settings, values)
    found = result.compare({"lr": 1, "hidden": [16, 4]}, {"lr": 0.333333, "hidden": (8,)})
    assert found.difference == pytest.approx((values[3] - values[0]).mean())
    assert found.beyond_noise
    over_both = result.compare({"lr": 1 / 3}, {"lr": 1.0}, "valid_loss")
    assert over_both.difference == pytest.approx(0.3, abs=0.02)
    for other, fault in (
        ({"lr": 7}, "none has lr = 7; there are lr = 0.333333, lr = 1"),
        ({"hidden": [8]}, "one is of lr and the other of hidden"),
    ):
        with pytest.raises(SpecError, match=fault):
            result.compare({"lr": 1}, other)
