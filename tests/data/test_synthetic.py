"""Made-up rows: what is drawn is what was asked for, and the same each time."""

import json
import math
from typing import Any

import numpy as np
import pytest

from secchi.data.synthetic import (
    SYNTHETIC,
    Line,
    Moons,
    Qwerties,
    Rings,
    Sine,
    Spirals,
    Synthetic,
)
from secchi.data.task import Kind
from secchi.errors import SpecError

KINDS = pytest.mark.parametrize("kind", SYNTHETIC.values(), ids=SYNTHETIC)


@KINDS
def test_rows_have_the_shape_that_was_asked_for(kind: type[Synthetic]) -> None:
    drawn = kind(rows=31).draw()
    assert drawn.inputs.shape == (31, len(drawn.names))
    assert drawn.inputs.dtype == np.float64
    assert drawn.values.shape == (31,)
    codes = drawn.target.encode(drawn.values.tolist())
    if drawn.target.kind is Kind.REGRESSION:
        assert drawn.values.dtype == np.float64
    else:
        assert np.ptp(np.bincount(codes, minlength=len(drawn.target.classes))) <= 1


@KINDS
def test_a_seed_and_a_repeat_name_the_rows(kind: type[Synthetic]) -> None:
    same = [kind().draw(seed=3, repeat=2) for _ in range(2)]
    assert same[0].inputs.tobytes() == same[1].inputs.tobytes()
    assert same[0].values.tolist() == same[1].values.tolist()
    ways = {kind().draw(seed, repeat).inputs.tobytes() for seed in range(5) for repeat in range(5)}
    assert len(ways) == 25


@KINDS
def test_rows_are_not_sorted_by_their_answer(kind: type[Synthetic]) -> None:
    values = kind(rows=200).draw().values.tolist()
    assert values not in (sorted(values), sorted(values, reverse=True))


@KINDS
def test_a_specification_is_plain_json_and_back(kind: type[Synthetic]) -> None:
    document = json.loads(json.dumps(kind().to_dict()))
    assert SYNTHETIC[document.pop("name")](**document) == kind()


def test_centers_are_plain_json_and_back() -> None:
    spec = Qwerties(2, centers=np.array([[0, 1], [2, 3]]))
    document = json.loads(json.dumps(spec.to_dict()))
    assert document["centers"] == [[0.0, 1.0], [2.0, 3.0]]
    assert Qwerties(**{k: v for k, v in document.items() if k != "name"}) == spec
    assert hash(spec) == hash(Qwerties(2, centers=((0, 1), (2, 3))))


def test_numbers_of_numpy_become_plain() -> None:
    assert json.dumps(Line(rows=np.int64(5), slope=np.float32(2)).to_dict())


@KINDS
def test_every_field_has_a_rule(kind: type[Synthetic]) -> None:
    fields = [field for field in kind().to_dict() if field not in ("name", "centers")]
    for field in fields:
        for wrong in ("3", None, True, float("nan")):
            with pytest.raises(SpecError, match=f"{field} is {wrong!r}, which is not"):
                kind(**{field: wrong})


@pytest.mark.parametrize(
    ("kind", "fields", "faults"),
    [
        (Qwerties, {"classes": 1, "rows": 0, "apart": -1, "spread": -1}, 4),
        (Qwerties, {"classes": 27}, 1),
        (Qwerties, {"centers": [(1, 1), (5, 1)]}, 1),
        (Qwerties, {"centers": [(1, 1), (5, 1), (3,)]}, 1),
        (Qwerties, {"centers": [(1, 1), (5, 1), (3, "4")], "rows": 1.5}, 2),
        (Qwerties, {"centers": "abc"}, 1),
        (Rings, {"factor": 1, "noise": -1}, 2),
        (Spirals, {"turns": 0}, 1),
        (Sine, {"low": 1, "high": 1, "frequency": 0}, 2),
        (Moons, {"noise": -0.1}, 1),
    ],
)
def test_all_faults_are_told_at_once(
    kind: type[Synthetic], fields: dict[str, Any], faults: int
) -> None:
    with pytest.raises(SpecError) as error:
        kind(**fields)
    assert len(error.value.faults) == faults


def test_three_qwerties_stand_apart() -> None:
    drawn = Qwerties(rows=3000).draw()
    centers = [drawn.inputs[drawn.values == name].mean(axis=0) for name in "ABC"]
    # A mean of 1,000 points has a standard deviation of 0.03.
    np.testing.assert_allclose(centers[:2], [[1, 1], [6, 1]], atol=0.15)
    np.testing.assert_allclose(centers[2], [3.5, 1 + 5 * math.sqrt(3) / 2], atol=0.15)
    assert drawn.inputs[drawn.values == "A"].std(axis=0) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("classes", [2, 3, 7, 26])
def test_neighbours_among_qwerties_are_as_far_apart_as_asked(classes: int) -> None:
    drawn = Qwerties(classes, rows=classes, apart=4, spread=0).draw()
    corners = drawn.inputs[np.argsort(drawn.values)]
    gaps = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    assert gaps == pytest.approx(4)
    assert corners[:2] == pytest.approx(np.array([[1, 1], [5, 1]]))


def test_qwerties_stand_where_they_are_put() -> None:
    drawn = Qwerties(2, rows=10, spread=0, centers=[(0, 9), (-3, 2)]).draw()
    assert {tuple(point) for point in drawn.inputs[drawn.values == "A"].tolist()} == {(0, 9)}
    assert {tuple(point) for point in drawn.inputs[drawn.values == "B"].tolist()} == {(-3, 2)}


def test_qwerties_can_be_learned_as_well_as_their_overlap_says() -> None:
    from sklearn.linear_model import LogisticRegression

    train, test = Qwerties().draw(repeat=0), Qwerties(rows=9000).draw(repeat=1)
    model = LogisticRegression().fit(train.inputs, train.values)
    assert model.score(test.inputs, test.values) >= 0.98
    four = Qwerties(2, rows=20_000, apart=4).draw()
    # Phi(2) = 0.977, with a standard deviation of 0.001.
    assert ((four.inputs[:, 0] > 3) == (four.values == "B")).mean() == pytest.approx(
        0.977, abs=0.005
    )


def test_moons_and_rings_are_what_their_names_say() -> None:
    moons = Moons(noise=0).draw()
    upper = moons.inputs[moons.values == "upper"]
    assert upper[:, 1].min() >= -1e-9
    assert np.linalg.norm(upper, axis=1) == pytest.approx(1)
    assert (Moons(rows=7).draw().values == "lower").sum() == 4
    rings = Rings(noise=0, factor=0.3).draw()
    radius = np.linalg.norm(rings.inputs, axis=1)
    assert radius == pytest.approx(np.where(rings.values == "inner", 0.3, 1.0))


def test_arms_of_spirals_are_one_arm_that_is_turned() -> None:
    drawn = Spirals(classes=3, turns=2, noise=0).draw()
    radius = np.linalg.norm(drawn.inputs, axis=1)
    arms = drawn.target.encode(drawn.values.tolist())
    turned = 2 * np.pi * (2 * radius + arms / 3)
    assert drawn.inputs == pytest.approx(
        radius[:, None] * np.stack([np.cos(turned), np.sin(turned)], 1)
    )
    assert radius.min() >= 0.1
    assert radius.max() <= 1


@pytest.mark.parametrize(("slope", "noise"), [(1, 0.5), (-2, 1), (0, 1)])
def test_a_line_correlates_as_its_formula_says(slope: float, noise: float) -> None:
    drawn = Line(rows=20_000, slope=slope, noise=noise).draw()
    expected = slope / math.hypot(slope, noise)
    r = np.corrcoef(drawn.inputs[:, 0], drawn.values)[0, 1]
    assert r == pytest.approx(expected, abs=5 * (1 - expected**2) / math.sqrt(20_000))


def test_a_sine_is_drawn_where_it_was_asked_for() -> None:
    drawn = Sine(frequency=2, low=3, high=5, noise=0).draw()
    x = drawn.inputs[:, 0]
    assert x.min() >= 3
    assert x.max() <= 5
    assert drawn.values == pytest.approx(np.sin(4 * np.pi * x))


def test_a_class_each_has_its_colour_and_mark() -> None:
    drawn = Qwerties(rows=30).draw()
    (axes,) = drawn.plot().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    assert [line.get_label() for line in axes.lines] == ["A", "B", "C"]
    for line in axes.lines:
        points = drawn.inputs[drawn.values == line.get_label()]
        assert line.get_xydata().tolist() == points.tolist()


def test_numbers_are_drawn_against_x() -> None:
    drawn = Line().draw()
    (axes,) = drawn.plot().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    assert axes.lines[0].get_xdata().tolist() == drawn.inputs[:, 0].tolist()
    assert axes.lines[0].get_ydata().tolist() == drawn.values.tolist()
