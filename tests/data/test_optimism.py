"""What choosing the best of several models brings by luck alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secchi.data.optimism import optimism, standard_error
from secchi.errors import SpecError

MODELS = st.integers(1, 10**9)


@pytest.mark.parametrize(
    ("models", "maximum"),
    [
        (2, 1 / math.sqrt(math.pi)),
        (3, 1.5 / math.sqrt(math.pi)),
        (5, 1.1629645),  # from 5 on: Teichroew 1956, Annals of Mathematical Statistics 27, 410-426
        (10, 1.5387527),
        (20, 1.8674750),
        (100, 2.5075936),
    ],
)
def test_it_is_the_expected_maximum_of_normal_variables(models: int, maximum: float) -> None:
    assert optimism(models, 1.0) == pytest.approx(maximum, abs=1e-7)


@pytest.mark.parametrize("models", [7, 1000, 10**6, 10**9])
def test_both_forms_of_the_integral_agree(models: int) -> None:
    x = np.linspace(-12, 12, 400_001)
    density = np.exp(stats.norm.logpdf(x) + (models - 1) * stats.norm.logcdf(x))
    assert optimism(models, 1.0) == pytest.approx(np.trapezoid(x * models * density, x), rel=1e-7)


@given(MODELS, MODELS)
def test_more_models_bring_more(few: int, many: int) -> None:
    few, many = sorted((few, many))
    if many > 1.001 * few:  # less is beyond the integral's accuracy
        assert optimism(few, 0.01) < optimism(many, 0.01)
    assert optimism(few, 0.01, lower_is_better=True) == -optimism(few, 0.01)


def test_one_model_brings_nothing() -> None:
    assert optimism(1, 0.3) == 0


@pytest.mark.parametrize("models", [2, 5, 30])
@pytest.mark.parametrize("lowest", [False, True])
def test_it_is_what_choosing_among_equal_classifiers_brings(models: int, lowest: bool) -> None:
    random = np.random.default_rng(models)
    rows, truth, trials = 2000, 0.8, 20_000
    seen = random.binomial(rows, truth, (trials, models)) / rows
    best = seen.min(axis=1) if lowest else seen.max(axis=1)
    error = standard_error(np.repeat([1, 0], [round(rows * truth), round(rows * (1 - truth))]))
    noise = best.std() / math.sqrt(trials)
    expected = optimism(models, error, lower_is_better=lowest)
    assert best.mean() - truth == pytest.approx(expected, abs=4 * noise + 0.01 * abs(expected))


@pytest.mark.parametrize(("alike", "better"), [(0.9, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_models_that_err_alike_or_differ_in_truth_bring_less(alike: float, better: float) -> None:
    random = np.random.default_rng(1)
    common = random.normal(size=(20_000, 1)) * math.sqrt(alike)
    truth = np.array([better, 0, 0, 0, 0])
    seen = truth + common + random.normal(size=(20_000, 5)) * math.sqrt(1 - alike)
    chosen = seen.argmax(axis=1)
    brings = (seen[np.arange(len(seen)), chosen] - truth[chosen]).mean()
    assert 0 < brings < optimism(5, 1.0)


def test_the_standard_error_of_an_accuracy_and_of_a_loss() -> None:
    right = np.repeat([True, False], [240, 80])
    assert standard_error(right) == pytest.approx(math.sqrt(0.75 * 0.25 / 320))
    losses = np.random.default_rng(0).gamma(2, size=(4000, 100)).astype(np.float32)
    measured = losses.mean(axis=1).std()
    assert standard_error(losses[0]) == pytest.approx(measured, rel=0.2)
    assert standard_error(np.ones(5)) == 0
    assert math.isnan(standard_error(np.array([])))


def test_every_fault_is_said_at_once() -> None:
    with pytest.raises(SpecError, match=r"models is 0; .*standard_error is nan"):
        optimism(0, math.nan)
    with pytest.raises(SpecError, match=r"models is 2\.5"):
        optimism(2.5, 0.1)  # type: ignore[arg-type]


COUNTED = st.lists(
    st.tuples(st.floats(-1e3, 1e3), st.floats(0.01, 100)), min_size=1, max_size=30
).map(lambda pairs: np.array(pairs).T)


@given(COUNTED)
def test_the_standard_error_of_a_weighted_mean_is_that_of_its_formula(rows: np.ndarray) -> None:
    values, weights = rows
    mean = (weights * values).sum() / weights.sum()
    expected = math.sqrt((weights**2 * (values - mean) ** 2).sum()) / weights.sum()
    assert standard_error(values, weights) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(COUNTED, st.floats(0.1, 10), st.integers(0, 5))
def test_alike_weights_are_none_and_rows_of_weight_zero_are_absent(
    rows: np.ndarray, weight: float, absent: int
) -> None:
    values, weights = rows
    expected = float(np.std(values)) / math.sqrt(len(values))
    for found in (standard_error(values), standard_error(values, np.full(len(values), weight))):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    more = np.append(values, np.full(absent, np.nan)), np.append(weights, np.zeros(absent))
    assert standard_error(*more) == pytest.approx(standard_error(values, weights))


def test_the_standard_error_of_a_weighted_mean_is_how_far_means_scatter() -> None:
    random = np.random.default_rng(3)
    weights = random.gamma(1, size=400)
    values = random.gamma(2, size=(4000, 400))
    measured = np.average(values, axis=1, weights=weights).std()
    assert standard_error(values[0], weights) == pytest.approx(measured, rel=0.2)
    assert standard_error(np.full(3, 0.1), np.array([0.3, 0.1, 7.0])) == 0
    assert math.isnan(standard_error(np.ones(3), np.zeros(3)))
