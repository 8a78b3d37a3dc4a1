"""Decision boundaries: the grid asks what the model says, and misses are those of the rows."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_moons
from sklearn.linear_model import LinearRegression, LogisticRegression

from secchi.errors import DataError, SpecError
from secchi.inspection.boundaries import Boundary, boundary

MOONS, MOON = make_moons(200, noise=0.2, random_state=0)


@pytest.fixture(scope="module")
def linear() -> tuple[LogisticRegression, Boundary]:
    model = LogisticRegression().fit(MOONS, MOON)
    found = boundary(model.predict_proba, MOONS, MOON, ["x", "y"], ["no", "yes"], resolution=80)
    return model, found


def test_the_separating_line_of_a_linear_model_is_where_its_weights_say(
    linear: tuple[LogisticRegression, Boundary],
) -> None:
    model, found = linear
    (across, up), bias = model.coef_[0], model.intercept_[0]
    above = found.up[:, None] * up + found.across[None] * across + bias > 0
    np.testing.assert_array_equal(found.values.argmax(axis=2), above)


def test_misses_are_those_of_the_model(linear: tuple[LogisticRegression, Boundary]) -> None:
    model, found = linear
    np.testing.assert_array_equal(found.missed, model.predict(MOONS) != MOON)
    assert 0 < found.missed.sum() < 60
    assert f"{found.missed.sum()} of 200 rows lie on the wrong side" in str(found)
    (axes,) = found.plot().axes
    rings = axes.collections[-1]
    np.testing.assert_allclose(rings.get_offsets(), MOONS[found.missed])
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["missed"] == found.missed.sum()
    assert np.shape(document["values"]) == (80, 80, 2)


def test_the_grid_reaches_beyond_all_rows(linear: tuple[LogisticRegression, Boundary]) -> None:
    found = linear[1]
    for column, places in enumerate((found.across, found.up)):
        assert places[0] < MOONS[:, column].min()
        assert places[-1] > MOONS[:, column].max()


def test_three_classes_of_iris() -> None:
    flowers, species = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(flowers[:, 2:], species)
    names = ["petal length (cm)", "petal width (cm)"]
    found = boundary(model.predict_proba, flowers[:, 2:], species, names, list("abc"))
    assert found.missed.mean() < 0.06
    (axes,) = found.plot().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == tuple(names)


def test_a_number_over_the_plane() -> None:
    truth = MOONS[:, 0] * 2 - MOONS[:, 1]
    model = LinearRegression().fit(MOONS, truth)
    found = boundary(model.predict, MOONS, truth, resolution=30)
    plane = 2 * found.across[None] - found.up[:, None]
    np.testing.assert_allclose(found.values, plane, atol=1e-9)
    assert not found.missed.any()
    assert "numbers from" in str(found)
    found.plot().savefig("field.png")


def test_a_feature_that_never_changes_still_has_a_plane() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 2.0]])
    found = boundary(lambda points: points[:, 1], rows, rows[:, 1], resolution=5)
    assert (found.across[0], found.across[-1]) == (0.5, 1.5)
    found.plot().savefig("plane.png")


def flat(points: np.ndarray) -> np.ndarray:
    return np.full((len(points), 2), 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": MOONS[:, :1]}, "choose two columns"),
        ({"points": MOONS[:0], "labels": MOON[:0]}, "one or more"),
        ({"labels": MOON[:5]}, "as many labels"),
        ({"labels": MOON + 1}, "class numbers from 0 to 1"),
        ({"points": np.where(MOONS > 1, np.nan, MOONS)}, "finite rows"),
        ({"predict": lambda points: points[:, 0]}, "predict gave the shape"),
        ({"predict": lambda points: np.full((len(points), 2), np.nan)}, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"predict": flat, "points": MOONS, "labels": MOON, "classes": ["no", "yes"]} | change
    with pytest.raises(DataError, match=message):
        boundary(**given)


def test_faults_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        boundary(flat, MOONS, MOON, ["x"], ["no", "yes"], resolution=1, margin=-1)
    assert len(caught.value.faults) == 3
