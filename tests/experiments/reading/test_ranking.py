"""Rankings and the best: ties in the null case, real leads, power, and the luck of choosing."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from secchi.cohort.curve import Curve
from secchi.experiments.reading.best import left_out_score
from secchi.experiments.reading.comparing import compare
from secchi.experiments.result import Result
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

LRS = [{"lr": float(lr)} for lr in range(10)]


def test_of_equal_settings_nearly_all_are_ties(make_result) -> None:
    """Any given one is among the first and its ties in at least 95 % of experiments."""
    random, tied, times = np.random.default_rng(0), 0, 300
    for _ in range(times):
        values = random.normal(0.5, 0.1, (10, 6)) + random.normal(0, 0.3, 6)
        found = make_result(LRS, values, epochs=1).rank("valid_accuracy")
        kept = (found.settings[0], *found.ties)
        tied += any(one.setting["lr"] == 4.0 for one in kept)
    assert tied / times >= 0.95


def test_the_truly_best_is_kept_where_others_are_worse(make_result) -> None:
    random, kept, first = np.random.default_rng(1), 0, 0
    truth = np.full(10, 0.5)
    truth[[3, 7]] = 0.6
    for _ in range(300):
        values = truth[:, None] + random.normal(0, 0.05, (10, 6))
        found = make_result(LRS, values, epochs=1).rank("valid_accuracy")
        kept += any(one.setting["lr"] == 3.0 for one in (found.settings[0], *found.ties))
        first += found.settings[0].setting["lr"] in (3.0, 7.0)
    assert kept / 300 >= 0.95
    assert first / 300 > 0.95


def test_a_real_lead_is_called_one(make_result) -> None:
    random = np.random.default_rng(2)
    values = random.normal(0, 0.3, 8) + random.normal(0, 0.01, (10, 8))
    values[6] += 0.1
    result = make_result(LRS, values)
    found = result.rank("valid_accuracy")
    assert found.settings[0].setting == {"lr": 6.0}
    assert not found.ties
    assert found.verdict == "lr = 6 is first, beyond the noise after correction for 9 comparisons"
    second = found.settings[1]
    paired = stats.ttest_rel(values[6], values[int(second.setting["lr"])])
    assert second.behind == pytest.approx(
        values[6].mean() - values[int(second.setting["lr"])].mean()
    )
    interval = paired.confidence_interval()
    assert (second.behind_low, second.behind_high) == pytest.approx((interval.low, interval.high))
    best = result.best("valid_accuracy")
    assert best.real is True
    assert best.next == second
    assert "beyond the noise" in str(best)


def test_less_loss_is_better(make_result) -> None:
    values = np.linspace(0, 0.9, 10)[:, None] + np.random.default_rng(3).normal(0, 0.001, (10, 4))
    result = make_result(LRS, values)
    for measure in ("valid_loss", "valid_accuracy"):
        found = result.rank(measure)
        assert [one.setting["lr"] for one in found.settings] == list(range(9, -1, -1))
        assert all(one.behind > 0 for one in found.settings[1:])


def test_corrected_p_values_are_those_of_holm() -> None:
    behind = np.random.default_rng(4).normal(0.05, 0.1, (5, 8))
    p = compare(behind)[3]
    raw = stats.ttest_1samp(behind, 0, axis=1).pvalue
    order, largest = np.argsort(raw), 0.0
    for place, one in enumerate(order):
        largest = max(largest, min(1.0, raw[one] * (5 - place)))
        assert p[one] == pytest.approx(largest)


@pytest.mark.parametrize("spread", [0.5, 2.0, 8.0])
def test_so_many_more_repeats_would_settle_a_tie(spread: float) -> None:
    """The power of a paired t-test with so many repeats is 80 %, from the noncentral t."""
    behind = np.array([[1.0, -1.0, 1.0, -1.0, 0.0]]) * spread
    behind += 1 - behind.mean()
    settings = np.vstack([behind, behind, behind])
    more = compare(settings)[4]
    deviation = behind.std(ddof=1)
    needed = int(more[0]) + 5

    def power(n: int) -> float:
        threshold = stats.t.isf(0.05 / 3 / 2, n - 1)
        return float(stats.nct.sf(threshold, n - 1, math.sqrt(n) / deviation))

    assert power(needed) == pytest.approx(0.8, abs=0.03) or needed == 6
    if needed > 8:
        assert power(needed - 3) < 0.8 < power(needed + 2)


def test_with_one_repeat_nothing_is_said_about_noise(make_result) -> None:
    result = make_result(LRS, np.random.default_rng(5).random((10, 1)))
    found = result.rank("valid_accuracy")
    assert not found.ties
    assert "with one repeat nothing can be said about noise" in found.verdict
    best = result.best("valid_accuracy")
    assert best.real is None
    assert math.isnan(best.corrected)
    assert "cannot be known with one repeat" in str(best)
    json.dumps([found.to_dict(), best.to_dict()], allow_nan=False)


def test_two_repeats_are_too_few(make_result) -> None:
    found = make_result(LRS, np.random.default_rng(6).random((10, 2))).rank()
    assert "two repeats are too few" in found.verdict


def test_settings_that_fail_come_last_and_are_not_compared(make_result) -> None:
    values = np.linspace(0, 0.9, 10)[:, None] + np.random.default_rng(7).normal(0, 0.1, (10, 5))
    result = make_result(LRS, values, lambda s, r: s["lr"] == 8.0 or (s["lr"] == 9.0 and r == 0))
    found = result.rank("valid_accuracy")
    order = [one.setting["lr"] for one in found.settings]
    assert order[-2:] == [9.0, 8.0]
    assert [math.isnan(one.p) for one in found.settings[-2:]] == [True, True]
    assert result.best("valid_accuracy").among == 8


def test_a_trial_without_a_number_counts_like_one_that_failed(make_result) -> None:
    """The mean of what is left of a setting may be the best, and its differences not."""
    values = np.array([[0.60, 0.70, 0.80], [np.nan, 0.69, 0.79], [0.50, 0.61, 0.69]])
    result = make_result(LRS[:3], values)
    found = result.rank("valid_accuracy")
    assert [one.setting["lr"] for one in found.settings] == [0.0, 2.0, 1.0]
    assert [one.failed for one in found.settings] == [0, 0, 1]
    assert "1 without a number" in str(found)
    best = result.best("valid_accuracy")
    assert (best.among, best.next.setting) == (2, {"lr": 2.0})
    assert best.next.behind == pytest.approx(0.1)
    assert result.failed == ()


def test_where_every_setting_lacks_a_number_none_is_compared(make_result) -> None:
    values = np.where(np.eye(3), np.nan, np.random.default_rng(11).random((3, 3)))
    result = make_result(LRS[:3], values)
    assert "no other setting has a number in every repeat" in result.rank().verdict
    best = result.best()
    assert best.among == 3
    assert "cannot be compared with it: each has trials without a number" in str(best)
    json.dumps(best.to_dict(), allow_nan=False)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))
cells = st.sampled_from([0.1, 0.2, 0.3, 0.7, np.nan, -1.0])  # the last: not finished


@settings(max_examples=200, deadline=None)
@given(arrays(np.float64, shapes, elements=cells))
def test_the_first_is_never_behind_another(values: np.ndarray) -> None:
    """Whatever is not finished or has no number."""
    finished = []
    for setting, repeat in np.argwhere(values != -1):
        loss = values[setting, repeat, None]
        curve = Curve(loss, loss, {}, Outcome.COMPLETED, 1, None)
        finished.append(Finished(Trial(LRS[setting], int(repeat)), curve, None, 0.1))
    if not finished:
        return
    result = Result({}, finished)
    found = result.rank()
    compared = [one for one in found.settings if not math.isnan(one.behind)]
    assert compared[0] == found.settings[0]
    for better, worse in pairwise(compared):
        assert worse.mean >= better.mean - 1e-12
        assert worse.behind >= better.behind - 1e-12
        assert worse.behind == pytest.approx(worse.mean - compared[0].mean)
        assert worse.n == compared[0].n == found.repeats
    assert "by -" not in str(result)


def test_the_unfinished_are_compared_over_the_repeats_that_all_have(make_result) -> None:
    values = np.array([[0.5, 0.5, 0.5, 0.9], [0.6, 0.6, 0.6, 0.7]])
    result = make_result(LRS[:2], values)
    less = Result(result.document, result.finished[:-1])
    found = less.rank("valid_accuracy")
    assert found.settings[0].setting == {"lr": 1.0}
    assert [one.n for one in found.settings] == [3, 3]
    assert less.best("valid_accuracy").mean == pytest.approx(0.6)


def test_the_luck_of_choosing_is_taken_out(make_result) -> None:
    """Of equal settings the best looks better than all; its corrected score does not."""
    random, raw, corrected = np.random.default_rng(8), [], []
    for _ in range(300):
        best = make_result(LRS, random.normal(0.5, 0.1, (10, 5)), epochs=1).best("valid_accuracy")
        raw.append(best.mean)
        corrected.append(best.corrected)
    assert np.mean(raw) > 0.56
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.01)


def test_a_choice_is_scored_where_it_had_no_part() -> None:
    values = np.random.default_rng(9).random((4, 6))
    scores = []
    for left in range(6):
        others = np.delete(values, left, axis=1).mean(axis=1)
        scores.append(values[others.argmin(), left])
    each = np.arange(6)
    assert left_out_score(values, lower=True, parts=each) == pytest.approx(np.mean(scores))
    assert math.isnan(left_out_score(values, lower=True, parts=0 * each))


def scores_of_chance(random: np.random.Generator, anew: bool) -> np.ndarray:
    """Accuracies of 40 settings that guess, (settings, repeats, folds), on one table of 100 rows.

    Other first weights change a tenth of the answers, and nothing but them.
    """
    right = random.random((40, 1, 100)) < 0.5
    right = right ^ (random.random((40, 3, 100)) < 0.1)
    rows = [random.permutation(100) if anew else np.arange(100) for _ in range(3)]
    parted = np.stack([right[:, repeat, order] for repeat, order in enumerate(rows)], axis=1)
    return parted.reshape(40, 3, 5, 20).mean(axis=-1)


@pytest.mark.parametrize("anew", [False, True])
def test_rows_that_validate_in_several_repeats_keep_their_luck(make_result, anew: bool) -> None:
    """It is out where no row that is left out had a part in the choice, and only there."""
    random, raw, corrected = np.random.default_rng(22), [], []
    folded = [{"lr": lr, "fold": fold} for lr in range(40) for fold in range(5)]
    for _ in range(60):
        values = scores_of_chance(random, anew).transpose(0, 2, 1).reshape(200, 3)
        best = make_result(folded, values, epochs=1, folds=5, resplit=anew).best("valid_accuracy")
        raw.append(best.mean)
        corrected.append(best.corrected)
        assert best.mixed_rows == anew
        assert ("without its luck" in str(best)) == (not anew)
        assert ("part of the luck of the rows stays in it" in str(best)) == anew
    assert np.mean(raw) > 0.58
    if anew:
        assert np.mean(corrected) > 0.53
    else:
        assert np.mean(corrected) == pytest.approx(0.5, abs=0.015)


def test_what_stays_of_the_luck_is_said(make_result) -> None:
    values = np.random.default_rng(10).random((10, 4))
    assert "the luck of these validation rows stays" in str(make_result(LRS, values).best())
    anew = str(make_result(LRS, values, resplit=True).best())
    assert "validation rows" not in anew
    assert "; part of the luck of the rows stays in it, for repeats have rows in common" in anew
    assert "stays" not in str(make_result(LRS, values, data={"made": {}}).best())


def test_where_other_validation_rows_would_put_the_score_is_told(make_result) -> None:
    values = np.random.default_rng(10).uniform(0.7, 0.8, (10, 4))
    rows = {"train": 120, "valid": 30, "shares": {"pet": 30.0}}
    best = make_result(LRS, values, data={"rows": rows}).best("valid_accuracy")
    expected = stats.binomtest(round(30 * best.mean), 30).proportion_ci(method="wilson")
    assert (best.rows_low, best.rows_high) == pytest.approx((expected.low, expected.high))
    assert "the luck of these 30 validation rows stays" in str(best)
    assert f"as many others could give {best.rows_low:.4f} to" in str(best)
    for measure, shares in (("valid_loss", {"pet": 30.0}), ("valid_accuracy", {})):
        other = make_result(LRS, values, data={"rows": rows | {"shares": shares}}).best(measure)
        assert math.isnan(other.rows_low)
        assert "as many others" not in str(other)
    parted = make_result(LRS, values, data={"rows": rows}, resplit=True).best()
    assert (parted.rows, math.isnan(parted.rows_low)) == (None, True)
    json.dumps([best.to_dict(), parted.to_dict()], allow_nan=False)


def test_the_ratio_of_the_record_widens_the_noise_of_splits(make_result) -> None:
    values = np.random.default_rng(11).normal(0.5, 0.01, (2, 5))
    rows = {"train": 100, "valid": 100}
    plain, again = (
        make_result(LRS[:2], values, resplit=True, data=data).rank("valid_accuracy").settings[1]
        for data in ({}, {"rows": rows})
    )
    factor = math.sqrt((1 / 5 + 1) / (1 / 5 + 1 / 4))
    assert again.behind_high - again.behind == pytest.approx(
        factor * (plain.behind_high - plain.behind)
    )


def test_a_tie_whose_own_interval_leaves_out_zero_is_told_as_corrected(make_result) -> None:
    """By itself the second would be worse beyond the noise; as one of nine it may be chance."""
    values = np.random.default_rng(14).normal(0.5, 0.05, (10, 6))
    values[4] += 0.06
    result = make_result(LRS, values)
    found, best = result.rank("valid_accuracy"), result.best("valid_accuracy")
    alone = [one for one in found.ties if one.behind_low > 0]
    assert alone
    assert "within the noise of it after correction for 9 comparisons, and" in found.verdict
    assert best.compared == 9
    assert f", p = {found.settings[1].p:.3f} after correction for 9 comparisons; of" in str(best)
    two = make_result(LRS[:2], values[:2])
    assert "correction" not in str(two.best("valid_accuracy"))
    assert "correction" not in two.rank("valid_accuracy").verdict


def test_no_optimism_is_no_negative_zero(make_result) -> None:
    values = np.random.default_rng(15).uniform(0.1, 0.3, 4) + np.array([[0.0], [0.5]])
    best = make_result(LRS[:2], values).best("valid_accuracy")
    assert (best.optimism, math.copysign(1, best.optimism)) == (0.0, 1.0)


def test_a_setting_with_few_repeats_comes_after_those_that_have_more(make_result) -> None:
    """One lucky trial neither is the best nor takes the others' repeats away."""
    values = np.random.default_rng(12).normal([[0.5], [0.9], [0.95]], 0.01, (3, 10))
    whole = make_result(LRS[:3], values)
    few = [one for one in whole.finished if one.trial.setting["lr"] < 2 or one.trial.repeat == 0]
    found = Result({}, few).rank("valid_accuracy")
    assert [one.setting["lr"] for one in found.settings] == [1.0, 0.0, 2.0]
    assert found.repeats == 10
    assert math.isnan(found.settings[2].behind)
    assert "1 of 10 repeats" in str(found)
    assert found.verdict == "lr = 1 is first, beyond the noise"


def test_the_same_difference_in_every_repeat_is_no_finding(make_result) -> None:
    values = np.repeat([[0.9667], [1.0]], 3, axis=1)
    result = make_result(LRS[:2], values)
    found, best = result.rank("valid_accuracy"), result.best("valid_accuracy")
    assert not found.compared
    assert "with the same difference in every repeat nothing can be said" in found.verdict
    assert "the same in every repeat" in str(found)
    assert best.real is None
    assert "by 0.0333; with the same difference in every repeat nothing" in str(best)
    third = np.vstack([values, np.random.default_rng(13).normal(0.5, 0.01, 3)])
    more = make_result(LRS[:3], third)
    assert more.rank("valid_accuracy").verdict == (
        "lr = 1 is first, beyond the noise; but lr = 0 differs by the same in every repeat"
    )
    assert more.best("valid_accuracy").real is None


def test_a_next_beyond_the_noise_is_said_to_be_where_a_third_never_differs(make_result) -> None:
    values = np.array([[1.0] * 5, [0.80, 0.83, 0.81, 0.84, 0.82], [0.5] * 5])
    best = make_result(LRS[:3], values).best("valid_accuracy")
    assert (best.real, best.unknown) == (None, ("lr = 2",))
    lead = str(best).splitlines()[2]
    assert lead.startswith("ahead of the next, lr = 1, by 0.1800 (95 % interval 0.1604 to 0.1996):")
    assert lead.endswith(": beyond the noise; but lr = 2 differs by the same in every repeat")


def test_equal_settings_are_ties_that_no_number_of_repeats_parts(make_result) -> None:
    values = np.random.default_rng(14).random(6) * np.ones((2, 1))
    found = make_result(LRS[:2], values).rank()
    assert found.settings[1].tied
    assert found.verdict.endswith("and no number of repeats would part it from lr = 1")


def test_the_verdict_names_the_setting_that_ties(make_result) -> None:
    """The next may be worse without a doubt, where the one after it varies more."""
    random = np.random.default_rng(15)
    values = 0.9 - np.array([[0.0], [0.05], [0.1]]) + random.normal(0, 0.1, 8)
    values[2] += np.resize([0.3, -0.3], 8)
    found = make_result(LRS[:3], values + random.normal(0, 0.001, (3, 8))).rank("valid_accuracy")
    assert [one.setting["lr"] for one in found.settings] == [0.0, 1.0, 2.0]
    assert [one.tied for one in found.settings] == [False, False, True]
    assert found.verdict.endswith("more repeats would part it from lr = 2")


def test_rounding_is_no_lead(make_result) -> None:
    """Sums in another order differ in their last digit."""
    base = np.random.default_rng(16).random(9)
    values = np.stack([base, np.random.default_rng(17).permutation(base)])
    result = make_result(LRS[:2], values)
    found = result.rank("valid_accuracy")
    assert found.settings[0].setting == {"lr": 0.0}
    assert (found.settings[1].behind, found.settings[1].more) == (0.0, None)
    assert "by 0.0000 " in str(result.best("valid_accuracy"))
    behind = np.array([[0.1, 0.2, -0.3]])
    assert behind.mean() != 0
    mean, _, _, p, more = compare(behind)
    assert (mean[0], p[0], more[0]) == (0.0, 1.0, np.inf)


def test_more_repeats_than_can_be_told_are_not_counted(make_result) -> None:
    values = np.random.default_rng(18).normal(size=(2, 9))
    values[1] += values[0].mean() - values[1].mean() - 0.002
    found = make_result(LRS[:2], values).rank("valid_accuracy")
    assert found.settings[1].more > 1000
    assert found.verdict.endswith("and over 1,000 more repeats would part it from lr = 1")


def test_splits_of_the_same_rows_tell_less() -> None:
    behind = np.random.default_rng(19).normal(0.5, 0.3, (1, 10))
    plain, again = compare(behind), compare(behind, ratio=1 / 4)
    factor = math.sqrt((1 / 10 + 1 / 4) * 10)
    assert again[2] - again[0] == pytest.approx(factor * (plain[2] - plain[0]))
    t = behind.mean() / stats.sem(behind[0]) / factor
    assert again[3] == pytest.approx(2 * stats.t.sf(t, 9))
    assert compare(behind - 0.3, ratio=1 / 4)[4] == np.inf


def test_settings_are_ranked_over_folds_with_their_overlap(make_result) -> None:
    random = np.random.default_rng(20)
    folded = [{"lr": lr, "fold": fold} for lr in (0.1, 1.0) for fold in range(5)]
    luck = np.tile(random.normal(0, 0.1, (5, 1)), (2, 2))
    values = np.repeat([[0.5], [0.52]], 5, axis=0) + luck + random.normal(0, 0.03, (10, 2))
    result = make_result(folded, values, folds=5)
    found = result.rank("valid_accuracy").settings[1]
    mean, low, high, *_ = compare((values[5:] - values[:5]).reshape(1, -1), 1 / 4)
    assert (found.behind, found.behind_low) == pytest.approx((mean[0], low[0]))
    best = result.best("valid_accuracy")
    assert (best.setting, best.n, best.same_rows) == ({"lr": 1.0}, 10, False)
    assert "10 folds" in str(best)


@pytest.mark.parametrize(
    ("outcome", "kept"), [(Outcome.STOPPED_EARLY, None), (Outcome.COMPLETED, 0)]
)
def test_an_epoch_that_was_chosen_on_the_same_rows_is_told(make_result, outcome, kept) -> None:
    made = make_result(LRS, np.random.default_rng(21).random((10, 4)))
    assert "after choosing: " in str(made.best())
    assert "the epoch was chosen" not in str(made.best())
    finished = [
        one._replace(curve=one.curve._replace(outcome=outcome, kept=kept)) for one in made.finished
    ]
    text = str(Result({}, finished).best())
    assert "without its luck" not in text
    assert "the epoch was chosen on the same rows" in text


def test_an_epoch_that_others_chose_is_not_the_bests(make_result) -> None:
    values = np.random.default_rng(20).normal(0.5, 0.01, (len(LRS), 4))
    values[0] += 0.2
    result = make_result(LRS, values)
    for place, one in enumerate(result.finished):
        if one.trial.setting != LRS[0]:
            result.finished[place] = one._replace(curve=one.curve._replace(kept=1))
    assert result.best().setting == LRS[0]
    assert "epoch was chosen" not in str(result.best())
    for place, one in enumerate(result.finished):
        result.finished[place] = one._replace(curve=one.curve._replace(kept=1))
    again = type(result)(result.document, result.finished)
    assert "epoch was chosen on the same rows" in str(again.best())
