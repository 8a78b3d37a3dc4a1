"""Effects of factors: against the analysis of variance by hand, and what noise is called."""

import json

import numpy as np
import pytest
from scipy import stats

from secchi.errors import SpecError
from secchi.experiments.factor_values import log_uniform, uniform
from secchi.experiments.reading.variance import levels, variance_of
from secchi.experiments.space import Space
from secchi.intervals import mean_intervals

GRID = [
    {"lr": lr, "depth": depth, "optimizer": name}
    for lr in (0.01, 0.1, 1.0)
    for depth in (1, 2)
    for name in ("sgd", "adam")
]


def test_a_balanced_grid_has_the_ordinary_analysis_of_variance() -> None:
    values = np.random.default_rng(0).normal(size=(6, 5))
    values[:3] += 1
    one, other = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    found = variance_of(values, [one, other])
    cells = values.reshape(2, 3, 5)
    grand, total = values.mean(), ((values - values.mean()) ** 2).sum()
    first = 15 * ((cells.mean(axis=(1, 2)) - grand) ** 2).sum()
    second = 10 * ((cells.mean(axis=(0, 2)) - grand) ** 2).sum()
    both = 5 * ((cells.mean(axis=2) - grand) ** 2).sum() - first - second
    repeats = 6 * ((values.mean(axis=0) - grand) ** 2).sum()
    rest = total - first - second - both - repeats
    for part, squares, freedom in zip(found.parts, (first, second, both), (1, 2, 2), strict=True):
        assert part.share == pytest.approx(squares / total)
        assert part.freedom == freedom
    assert (found.repeat, found.rest) == pytest.approx((repeats / total, rest / total))
    assert found.balanced
    of_two = cells.mean(axis=1)
    assert found.parts[0].p == pytest.approx(stats.ttest_rel(*of_two).pvalue)
    differences = cells[0] - cells[1]
    for part, three in ((found.parts[1], cells.mean(axis=0)), (found.parts[2], differences)):
        assert part.p == pytest.approx(repeated_measures(three.T))


def repeated_measures(values: np.ndarray) -> float:
    """The p-value of three levels, (repeats, levels), with the correction of Huynh and Feldt."""
    n, k = values.shape
    contrasts = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    each = values @ contrasts.T
    covariance = np.cov(each.T)
    even = np.trace(covariance) ** 2 / ((k - 1) * (covariance**2).sum())
    even = min(1.0, (n * (k - 1) * even - 2) / ((k - 1) * (n - 1 - (k - 1) * even)))
    f = n * (each.mean(axis=0) ** 2).sum() / np.trace(covariance)
    return float(stats.f.sf(f, even * (k - 1), even * (k - 1) * (n - 1)))


def test_without_balance_it_is_least_squares() -> None:
    random = np.random.default_rng(1)
    codes = [random.integers(0, 3, 20), random.integers(0, 2, 20)]
    values = random.normal(size=(20, 3)) + codes[0][:, None]
    values[4, 1] = np.nan
    found = variance_of(values, codes)
    assert not found.balanced
    weights = np.sqrt(np.isfinite(values).sum(axis=1))
    columns = [np.eye(code.max() + 1)[code] for code in codes]

    def left(*parts: np.ndarray) -> float:
        design = np.hstack([np.ones((20, 1)), *parts]) * weights[:, None]
        target = found.means * weights
        fit = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        return float(((target - fit) ** 2).sum())

    total = np.nansum((values - np.nanmean(values)) ** 2)
    assert found.parts[0].share == pytest.approx((left(columns[1]) - left(*columns)) / total)
    assert found.parts[1].share == pytest.approx((left(columns[0]) - left(*columns)) / total)
    pair = (columns[0][:, :, None] * columns[1][:, None]).reshape(20, -1)
    assert found.parts[2].share == pytest.approx((left(*columns) - left(*columns, pair)) / total)


def test_what_matters_is_found_and_noise_is_called_noise(make_result) -> None:
    random = np.random.default_rng(2)
    lr = np.array([setting["lr"] for setting in GRID])
    depth = np.array([setting["depth"] for setting in GRID])
    effect = 0.1 * np.log10(lr) + 0.05 * (depth == 2) * (lr == 1)
    values = effect[:, None] + random.normal(0, 0.2, 6) + random.normal(0, 0.01, (12, 6))
    found = make_result(GRID, values).effects("valid_accuracy")
    assert found.effects[0].name == "lr"
    assert found["lr"].range == pytest.approx(0.225, abs=0.03)
    named = {one.name for one in found.effects if one.beyond_noise}
    assert named == {"lr", "depth", "lr x depth"}
    shares = sum(one.share for one in found.effects) + found.repeat + found.rest
    assert shares == pytest.approx(1)
    assert found.balanced
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("repeats", [3, 5, 10])
@pytest.mark.parametrize("alike", [False, True])
def test_where_nothing_matters_a_finding_is_rare(make_result, repeats: int, alike: bool) -> None:
    """Also where networks of one repeat and one rate are all but the same network."""
    random, findings = np.random.default_rng(3), 0
    lr = np.repeat([0, 1, 2], 4)
    for _ in range(200):
        values = random.normal(0, 1, repeats) + random.normal(size=(12, repeats))
        if alike:
            values = (random.normal(size=(3, repeats)) * [[1], [1], [3]])[lr] + values / 10
        found = make_result(GRID, values, epochs=1).effects("valid_accuracy")
        findings += any(one.beyond_noise for one in found.effects)
    assert findings / 200 <= 0.085


@pytest.mark.parametrize("repeats", [1, 2])
def test_with_fewer_than_three_repeats_nothing_is_tested(make_result, repeats: int) -> None:
    found = make_result(GRID, np.random.default_rng(4).random((12, repeats))).effects()
    assert all(np.isnan(one.p) for one in found.effects)
    assert "takes three repeats or more" in found.verdict


def test_numbers_of_a_random_design_are_taken_together(make_result) -> None:
    random = np.random.default_rng(5)
    settings = [{"lr": float(lr), "depth": int(d)} for lr, d in random.random((60, 2)) * [1, 3]]
    values = np.array([[setting["lr"]] for setting in settings]) + random.normal(0, 0.1, (60, 3))
    found = make_result(settings, values).effects("valid_accuracy")
    assert found.binned == ("lr",)
    assert found["lr"].freedom == 4
    assert found["lr"].beyond_noise
    assert not found["depth"].beyond_noise
    assert "neighbouring values were taken together: lr" in str(found)


def test_levels_of_a_grid_are_its_values() -> None:
    codes, cut = levels([[0.1, 0.2] * 10, ["a"] * 10 + ["b"] * 10], repeats=1)
    assert [code.max() for code in codes] == [1, 1]
    assert cut == [False, False]
    many = list(range(40))
    assert levels([many], repeats=3)[1] == [False]
    assert levels([many], repeats=1)[1] == [True]


def test_settings_that_all_failed_are_left_out_and_told(make_result) -> None:
    values = np.random.default_rng(6).random((12, 4))
    found = make_result(GRID, values, lambda s, r: s["lr"] == 1.0).effects("valid_accuracy")
    assert found.left_out == 4
    assert found["lr"].freedom == 1
    assert found.balanced
    assert "4 settings left out" in str(found)


def test_where_nothing_varies_there_is_nothing_to_say(make_result) -> None:
    found = make_result([{"lr": 0.1}], np.random.default_rng(7).random((1, 4))).effects()
    assert found.effects == ()
    assert found.verdict == "nothing varies, so nothing has an effect"
    every = make_result(GRID, np.ones((12, 3)), lambda s, r: True).effects()
    assert (every.effects, every.left_out) == ((), 12)


@pytest.mark.parametrize("repeats", [3, 5])
def test_a_factor_that_does_nothing_is_noise_in_a_random_design(make_result, repeats: int) -> None:
    """What the other moves within a group of its values is no effect of this one."""
    random, findings = np.random.default_rng(8), 0
    for seed in range(40):
        ranges = {"lr": log_uniform(1e-4, 1), "dropout": uniform(0, 0.5)}
        settings = Space(ranges, "latin_hypercube", samples=40, seed=seed).settings
        values = np.array([[np.log10(setting["lr"])] for setting in settings])
        values = values + random.normal(0, 0.05, (40, repeats))
        found = make_result(settings, values, epochs=1).effects("valid_accuracy")
        assert found["lr"].beyond_noise
        findings += any(one.beyond_noise for one in found.effects if one.name != "lr")
    assert findings <= 5


def test_a_factor_that_follows_from_another_has_one_effect_with_it(make_result) -> None:
    values = np.random.default_rng(9).normal(0, 0.1, (12, 5)) + np.repeat([0, 1, 2], 4)[:, None]
    plain = make_result(GRID, values).effects()
    dependent = [one | {"weight_decay": one["lr"] / 10, "large": one["lr"] > 0.5} for one in GRID]
    found = make_result(dependent, values).effects()
    name = "lr and weight_decay and large"
    assert found[name].share == pytest.approx(plain["lr"].share)
    assert (found[name].freedom, found[name].p) == (2, pytest.approx(plain["lr"].p))
    assert found[f"({name}) x depth"].p == pytest.approx(plain["lr x depth"].p)
    assert len(found.effects) == len(plain.effects)
    assert "lr, weight_decay, large cannot be told apart" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_of_many_values_a_factor_and_its_function_are_not_taken_together(make_result) -> None:
    settings = [{"lr": lr / 8, "weight_decay": lr / 80} for lr in range(8)]
    found = make_result(settings, np.random.default_rng(10).random((8, 5))).effects()
    assert found.binned == ()
    assert [(one.name, one.freedom) for one in found.effects] == [("lr and weight_decay", 7)]


def test_factors_that_share_what_they_do_are_not_tested(make_result) -> None:
    """Each is what the other two come to, though none follows from one other."""
    settings = [{"a": 0, "b": 0, "c": 0}, {"a": 1, "b": 0, "c": 1}, {"a": 0, "b": 1, "c": 1}]
    found = make_result(settings, np.random.default_rng(11).random((3, 5))).effects()
    assert [(one.freedom, np.isnan(one.p)) for one in found.effects] == [(0, True)] * 3
    assert "a cannot be told from the other factors" in str(found)


def test_one_at_a_time_has_no_interactions(make_result) -> None:
    design = Space(
        {"lr": [0.1, 0.2, 0.3], "depth": [1, 2]}, "one_at_a_time", base={"lr": 0.1, "depth": 1}
    )
    values = np.random.default_rng(12).random((len(design.settings), 5))
    found = make_result(design.settings, values).effects()
    assert sorted((one.name, one.freedom) for one in found.effects) == [("depth", 1), ("lr", 2)]


def test_an_effect_that_there_is_not_is_told(make_result) -> None:
    found = make_result(GRID, np.random.default_rng(13).random((12, 3))).effects()
    with pytest.raises(SpecError, match="did you mean lr x depth"):
        found["lr × depth"]


def test_repeats_that_never_differ_say_nothing_of_noise(make_result) -> None:
    found = make_result(GRID, np.repeat(np.arange(12.0)[:, None], 3, axis=1)).effects()
    assert all(np.isnan(one.p) for one in found.effects)
    assert "nothing can be said about noise" in found.verdict


def test_the_noise_of_splits_of_the_same_rows_counts_more(make_result) -> None:
    """Of two settings F is the square of the corrected t."""
    values = np.random.default_rng(14).normal(size=(2, 6)) + [[0], [1]]
    (part,) = variance_of(values, [np.array([0, 1])], ratio=0.25).parts
    mean, low, high = mean_intervals(values[1] - values[0], ratio=0.25)
    t = mean / ((high - low) / 2 / stats.t.ppf(0.975, 5))
    assert part.p == pytest.approx(2 * stats.t.sf(abs(t), 5))
    again = make_result([{"lr": 0.1}, {"lr": 1.0}], values, resplit=True).effects("valid_accuracy")
    assert again["lr"].p == pytest.approx(part.p)
