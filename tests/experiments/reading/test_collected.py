"""What trials came to: the fold that validates is a part of the repeat."""

import numpy as np
import pytest

FOLDED = [{"lr": lr, "fold": fold} for lr in (0.1, 1.0) for fold in range(5)]


@pytest.fixture
def values() -> np.ndarray:
    """The second rate is better by about 0.1; folds differ by more."""
    random = np.random.default_rng(0)
    rows = np.repeat([0.0, 0.1], 5) + np.tile([0.5, 0.1, 0.4, 0.2, 0.3], 2)
    return rows[:, None] + random.normal(0, 0.005, (10, 4))


def test_a_fold_is_no_setting(make_result, values: np.ndarray) -> None:
    result = make_result(FOLDED, values, folds=5)
    assert result.factors == ("lr",)
    found = result.mean("valid_accuracy")
    assert [group for group in found.groups] == [{"lr": 0.1}, {"lr": 1.0}]
    each = np.sort(values.reshape(2, 5, 4).transpose(0, 2, 1).reshape(2, 20))
    assert np.sort(found.each) == pytest.approx(each)
    assert [one.setting for one in result.rank("valid_accuracy").settings] == [
        {"lr": 1.0},
        {"lr": 0.1},
    ]
    assert "2 settings x 4 repeats x 5 folds" in str(result)
    assert result.final["fold"].tolist() == [*range(5), *range(5)] * 4


def test_settings_are_compared_within_folds(make_result, values: np.ndarray) -> None:
    found = make_result(FOLDED, values, folds=5).mean("valid_accuracy").difference(1, 0)
    change = (values[5:] - values[:5]).ravel()
    half = 2.093 * change.std(ddof=1) * np.sqrt(1 / 20 + 1 / 4)
    assert (found.difference, found.n) == (pytest.approx(change.mean()), 20)
    assert found.high - found.difference == pytest.approx(half, rel=1e-3)
    assert found.beyond_noise


def test_whoever_asks_by_fold_is_told_by_fold(make_result, values: np.ndarray) -> None:
    result = make_result(FOLDED, values, folds=5)
    expected = values.reshape(2, 5, 4)
    assert result.mean("valid_accuracy", "fold").each == pytest.approx(expected.mean(axis=0))
    both = result.mean("valid_accuracy", "fold", "lr").each
    assert both == pytest.approx(expected.transpose(1, 0, 2).reshape(10, 4))
    assert result.curves("valid_accuracy", "fold").each.shape == (5, 4, 2)
    assert result.failures("fold").runs.tolist() == [8] * 5
