"""Slices: planted trouble is found, noise is not, and the numbers are those of the definitions."""

import json
import math
import weakref
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from secchi.errors import DataError, SpecError
from secchi.inspection.cuts import Cut, cut_by_both
from secchi.inspection.slices import Slices, slices


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{n}": random.normal(size=rows) for n in range(6)})
    frame["site"] = random.choice(["bay", "reef", "river"], rows)
    frame.loc[random.random(rows) < 0.1, "x5"] = np.nan
    return frame


def misses(chance: Any, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + 1000).random(rows) < chance


def test_planted_trouble_in_a_range_comes_first_and_is_a_finding() -> None:
    frame = table(800)
    found = slices(frame, misses(np.where(frame["x2"] > 0.7, 0.5, 0.1), 800), measure="error rate")
    (first, *_) = found.slices
    assert first.worse
    assert first.p < 1e-6
    (condition,) = first.conditions
    assert condition.feature == "x2"
    assert condition.up_to == math.inf
    assert condition.above == pytest.approx(0.7, abs=0.1)
    assert found.verdict.startswith("one slice is worse")


@pytest.mark.parametrize(("column", "name"), [("site", "site = reef"), ("x5", "x5 is missing")])
def test_planted_trouble_in_a_category_or_a_gap_is_found(column: str, name: str) -> None:
    frame = table(800)
    there = frame[column].isna() if column == "x5" else frame[column] == "reef"
    found = slices(frame, misses(np.where(there, 0.6, 0.1), 800), measure="error rate")
    assert found.findings[0].name == name
    np.testing.assert_array_equal(found.findings[0].where(frame), there)


def test_trouble_where_two_features_meet_is_found_by_pairs() -> None:
    frame = table(2000)
    both = (frame["x0"] > 0.6) & (frame["site"] == "bay")
    found = slices(frame, misses(np.where(both, 0.7, 0.1), 2000), measure="error rate", pairs=True)
    first = found.slices[0]
    assert [condition.feature for condition in first.conditions] == ["x0", "site"]
    assert first.worse
    assert first.rows == first.where(frame).sum()


def test_trouble_of_one_feature_comes_before_the_pairs_within_it() -> None:
    frame = table(2000)
    hard = np.where(frame["site"] == "bay", 0.5, 0.1)
    found = slices(frame, misses(hard, 2000), measure="error rate", pairs=True)
    assert found.slices[0].name == "site = bay"


@pytest.mark.parametrize("kind", ["misses", "losses"])
def test_noise_is_no_finding_in_nineteen_tables_of_twenty(kind: str) -> None:
    quiet = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        frame = pd.DataFrame(random.normal(size=(300, 8)), columns=list("abcdefgh"))
        costs = random.random(300) < 0.2 if kind == "misses" else random.exponential(size=300)
        found = slices(frame, costs, measure=kind)
        quiet += not found.findings
        assert found.findings or found.verdict.startswith("no slice is worse than chance")
    assert quiet >= 190


def test_the_numbers_are_those_of_welch() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"site": ["bay"] * 30 + ["reef"] * 70})
    costs = np.concatenate([random.normal(2, 3, 30), random.normal(0, 1, 70)])
    bay, reef = (one for one in slices(frame, costs, measure="loss").slices)
    test = stats.ttest_ind(costs[:30], costs[30:], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (bay.rows, bay.share) == (30, 0.3)
    assert bay.mean == pytest.approx(costs[:30].mean())
    assert bay.difference == pytest.approx(costs[:30].mean() - costs[30:].mean())
    assert (bay.low, bay.high) == pytest.approx((interval.low, interval.high))
    # The other is the same difference, where the variance is held no smaller than that of all.
    assert reef.difference == pytest.approx(-bay.difference)
    assert reef.high - reef.low > bay.high - bay.low
    single = 2 * stats.t.sf(abs(test.statistic), test.df)
    assert bay.p == pytest.approx(2 * single)  # the smaller of two p-values, by Holm


def test_whole_weights_give_the_means_of_repeated_rows() -> None:
    frame, costs = table(300), misses(0.3, 300).astype(float)
    weights = np.random.default_rng(5).integers(0, 4, 300)
    weighted = slices(frame, costs, measure="m", weights=weights, bins=2)
    again = np.repeat(np.arange(300), weights)
    assert weighted.mean == pytest.approx(costs[again].mean())
    assert weighted.rows == (weights > 0).sum()
    for one in weighted.slices:
        held = one.where(frame)
        assert one.mean == pytest.approx(np.average(costs[held], weights=weights[held]))
        rest = np.average(costs[~held], weights=weights[~held])
        assert one.difference == pytest.approx(one.mean - rest)
        assert one.share == pytest.approx(weights[held].sum() / weights.sum())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_pieces_of_a_feature_hold_every_row_once(data: st.DataObject) -> None:
    values = st.one_of(st.none(), st.integers(-3, 3), st.floats(allow_nan=False))
    column = data.draw(st.lists(values, min_size=6, max_size=60))
    bins = data.draw(st.integers(2, 6))
    frame = pd.DataFrame({"x": pd.Series(column, dtype="float64")})
    found = slices(frame, np.arange(len(column)) % 2, measure="m", bins=bins, min_rows=3)
    held = [one.where(frame) for one in found.slices]
    assert all(count.sum() == one.rows for count, one in zip(held, found.slices, strict=True))
    assert (np.sum(held, axis=0) <= 1).all()
    assert sum("missing" not in one.name for one in found.slices) <= bins


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_units_change_nothing_but_the_units(seed: int, factor: float, shift: float) -> None:
    frame, costs = table(120), np.random.default_rng(seed).exponential(size=120)
    one = slices(frame, costs, measure="m")
    other = slices(frame, factor * costs + shift * factor, measure="m")
    assert [s.name for s in one.slices] == [s.name for s in other.slices]
    np.testing.assert_allclose(
        [s.p for s in one.slices], [s.p for s in other.slices], rtol=1e-5, atol=1e-12
    )
    np.testing.assert_allclose(
        [factor * s.difference for s in one.slices],
        [s.difference for s in other.slices],
        rtol=1e-5,
        atol=1e-9 * factor,
    )


@pytest.mark.parametrize("cost", [0.0, 0.1, 1 / 3, 1e12])
def test_where_every_row_costs_the_same_nothing_is_found(cost: float) -> None:
    found = slices(table(100), np.full(100, cost), measure="loss")
    assert not found.findings
    assert {one.p for one in found.slices} == {1.0}
    assert "no slice is worse" in str(found)


def test_a_few_rows_that_happen_to_be_alike_do_not_look_sure() -> None:
    costs = np.ones(1000)
    costs[10:60] = 0  # 950 of the others cost 1 too
    frame = pd.DataFrame({"site": ["bay"] * 10 + ["reef"] * 990})
    assert not slices(frame, costs, measure="m").findings


def test_columns_of_any_type_can_be_cut() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, 2, None, 4] * 10, dtype="Int64"),
            "yes": [True, False] * 20,
            "kind": pd.Categorical(["a", "b", "a", "c"] * 10),
            "text": ["x", None, "y", "x"] * 10,
            "end": [1.0, 2.0, 3.0, np.inf] * 10,
            "low": [-np.inf, 2.0, 3.0, 4.0] * 10,
            "same": [1.0] * 40,
            "row": [f"row {n}" for n in range(40)],
        }
    )
    found = slices(frame, np.arange(40) % 4 == 0, measure="error rate", bins=2)
    for one in found.slices:
        assert one.rows == one.where(frame).sum() >= 10
    names = {one.name for one in found.slices}
    assert {"yes = True", "kind = a", "text is missing", "low ≤ 2", "whole is missing"} <= names
    assert not any("same" in name or "row" in name for name in names)
    assert found.too_small == 40
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_value_that_most_rows_have_leaves_the_others_a_slice() -> None:
    frame = pd.DataFrame({"depth": [*np.arange(20.0), *[99.0] * 80]})
    names = {one.name for one in slices(frame, np.arange(100) % 3, measure="m").slices}
    assert names == {"depth ≤ 19", "depth > 19"}


def test_small_tables_are_cut_into_fewer_slices() -> None:
    frame = pd.DataFrame({"x": np.arange(24.0)})
    assert len(slices(frame, np.arange(24) % 2, measure="m", bins=8).slices) == 2
    nothing = slices(frame[:9], np.zeros(9), measure="m")
    assert nothing.slices == ()
    assert "no slice has enough rows" in str(nothing)
    assert nothing.to_frame().empty
    nothing.plot()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"costs": np.zeros(99)}, "the table has 100 rows, and the costs the shape"),
        ({"costs": np.full(100, np.inf)}, "costs of row 0 are inf"),
        ({"weights": np.full(100, -1.0)}, "not negative"),
        ({"weights": np.zeros(100)}, "there are no rows"),
    ],
)
def test_costs_and_weights_that_do_not_fit_are_refused(
    change: dict[str, Any], message: str
) -> None:
    given = {"costs": np.zeros(100)} | change
    costs = given.pop("costs")
    with pytest.raises(DataError, match=message):
        slices(table(100), costs, measure="m", **given)


def test_faults_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        slices(table(100), np.zeros(100), measure="m", bins=1, min_rows=2)
    assert len(caught.value.faults) == 2
    wide = pd.DataFrame(np.zeros((20, 101)))
    with pytest.raises(DataError, match="choose 100 columns"):
        slices(wide, np.zeros(20), measure="m", pairs=True)


@pytest.fixture(scope="module")
def found() -> Slices:
    frame, truth = load_breast_cancer(return_X_y=True, as_frame=True)
    model = LogisticRegression(C=1e-4, max_iter=5000).fit(frame, truth)
    return slices(frame, model.predict(frame) != truth, measure="error rate")


def test_real_tumours_are_missed_where_the_classes_meet(found: Slices) -> None:
    assert found.findings
    assert all(one.difference > 0 for one in found.findings)
    assert all("worst" in one.name or "mean" in one.name for one in found.findings[:3])


def test_the_record_as_text_table_json_and_figure(found: Slices) -> None:
    text = str(found).splitlines()
    assert text[0].startswith("error rate 0.")
    assert text[2].startswith("-> ")
    assert text[-1] == found.verdict
    frame = found.to_frame()
    assert list(frame["slice"]) == [one.name for one in found.slices]
    assert frame["worse"].sum() == len(found.findings)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["slices"][0]["name"] == found.slices[0].name
    (axes,) = found.plot(count=5).axes
    assert len(axes.patches) == 5
    # An interval leaves out the line of all rows just where the difference leaves out zero.
    line = axes.lines[-1].get_xdata()[0]
    assert line == pytest.approx(found.mean)
    for drawn, one in zip(axes.lines, found.slices[:5], strict=False):
        low, high = drawn.get_xdata()
        assert (low > line, high < line) == (one.low > 0, one.high < 0)
        assert (low + high) / 2 == pytest.approx(one.mean)


def test_pairs_are_cut_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Cut]] = []
    most = []

    def counted(one: Cut, other: Cut) -> Cut:
        both = cut_by_both(one, other)
        made.append(weakref.ref(both))
        most.append(sum(one() is not None for one in made))
        return both

    monkeypatch.setattr("secchi.inspection.slices.cut_by_both", counted)
    found = slices(table(60), misses(0.3, 60), measure="error rate", pairs=True)
    assert len(most) == 7 * 6 / 2
    assert max(most) <= 2
    assert any(len(one.conditions) == 2 for one in found.slices)


def test_what_rounds_to_zero_has_no_sign() -> None:
    frame = pd.DataFrame({"x": np.arange(40.0)})
    costs = np.where(np.arange(40) < 20, -1e-4, 1e-4) + np.tile([-1.0, 1.0], 20)
    text = str(slices(frame, costs, measure="m", bins=2))
    assert "+0.00" in text
    assert "-0.00 " not in text


def test_names_of_columns_that_are_numbers_are_found_again() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)))
    for one in slices(frame, frame[1] > 0, measure="m", pairs=True).slices:
        assert one.where(frame).sum() == one.rows
