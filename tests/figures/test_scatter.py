"""Points: each where it is, and no two classes that look alike."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from secchi.figures.scatter import class_scatter, value_scatter


def assert_not_blank(figure: Figure) -> None:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    low, high = Image.open(out).convert("L").getextrema()
    assert low < high


def test_classes_have_a_colour_and_a_mark_each_and_stand_in_the_legend() -> None:
    codes = np.arange(52) % 26
    classes = [f"class {number}" for number in range(26)]
    figure = class_scatter(np.arange(52.0), -np.arange(52.0), codes, classes, ("width", "height"))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "height")
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 26
    assert [text.get_text() for text in figure.legends[0].get_texts()] == classes
    assert axes.lines[3].get_xydata().tolist() == [[3, -3], [29, -29]]
    assert_not_blank(figure)


def test_the_first_classes_differ_in_both() -> None:
    codes = np.arange(6)
    lines = class_scatter(codes * 1.0, codes * 1.0, codes, list("abcdef"), ("x", "y")).axes[0].lines
    assert len({line.get_color() for line in lines}) == 6
    assert len({line.get_marker() for line in lines}) == 6


def test_both_axes_of_the_plane_have_one_scale() -> None:
    figure = class_scatter(np.array([0.0, 1]), np.array([0.0, 9]), np.zeros(2, int), ["a"], "xy")
    assert figure.axes[0].get_aspect() == 1


def test_a_class_without_points_can_be_drawn() -> None:
    none = np.zeros(0)
    assert_not_blank(class_scatter(none, none, np.zeros(0, int), ["a", "b"], ("x", "y")))


def test_numbers_stand_where_they_are() -> None:
    figure = value_scatter(np.array([1.0, 2]), np.array([3.0, 4]), ("age", "price"))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("age", "price")
    assert axes.lines[0].get_xydata().tolist() == [[1, 3], [2, 4]]
    assert_not_blank(figure)


def test_figures_leave_no_trace_in_pyplot() -> None:
    import matplotlib.pyplot as plt

    value_scatter(np.zeros(1), np.zeros(1), ("x", "y"))
    assert plt.get_fignums() == []
