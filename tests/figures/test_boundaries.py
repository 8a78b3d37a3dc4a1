"""Regions over two features: colours, marks and rings."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from secchi.figures.boundaries import class_regions, number_field

PLACES = np.linspace(0, 1, 11)


def regions(classes: int) -> Figure:
    """Each class where the first feature is in its part of the plane."""
    part = np.minimum((PLACES * classes).astype(int), classes - 1)
    shares = np.broadcast_to(np.eye(classes)[part], (11, 11, classes)) * 0.9 + 0.1 / classes
    points = np.random.default_rng(0).random((5 * classes, 2))
    labels = np.arange(len(points)) % classes
    names = [f"class {n} 5$ \\frac{{" for n in range(classes)]
    return class_regions(("x", "y"), names, (PLACES, PLACES, shares), (points, labels, labels == 0))


@pytest.mark.parametrize("classes", [1, 2, 3, 6, 12])
def test_every_class_has_a_mark_of_its_own(classes: int) -> None:
    figure = regions(classes)
    handles = figure.legends[0].legend_handles[:classes]
    looks = {(h.get_color(), h.get_marker()) for h in handles}
    assert len(looks) == classes
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_a_place_has_the_colour_of_its_class_the_deeper_the_surer() -> None:
    shares = np.array([[[0.5, 0.5], [0.7, 0.3], [1.0, 0.0]]] * 2)
    points, labels = np.array([[0.0, 0.0], [1.0, 0.5]]), np.array([0, 1])
    rows = points, labels, np.array([False, True])
    figure = class_regions(("x", "y"), ["no", "yes"], (np.arange(3), np.arange(2), shares), rows)
    (axes,) = figure.axes
    light = axes.images[0].get_array()[0].sum(axis=1)
    assert light[0] > light[1] > light[2]
    no, yes, rings = (drawn.get_offsets().tolist() for drawn in axes.collections[-3:])
    assert (no, yes, rings) == ([[0.0, 0.0]], [[1.0, 0.5]], [[1.0, 0.5]])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["no", "yes", "miss (1 of 2)", "p = 0.5"]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_number_has_one_scale_for_the_plane_and_the_rows(value: float) -> None:
    values = PLACES[:, None] * value + np.zeros((11, 11))
    figure = number_field(("x", "y"), (PLACES, PLACES, values), (np.eye(2), np.array([-1.0, 7.0])))
    assert figure.axes[0].images[0].get_clim() == (-1.0, 7.0)
    figure.savefig(io.BytesIO(), format="png", dpi=40)
