"""Activations and their derivatives."""

import io

import pytest
from PIL import Image

from secchi.models.parts import ACTIVATION_NAMES, activation_curves


def test_few_stand_in_one_panel_with_their_derivatives_beside() -> None:
    curves = activation_curves(["relu", "tanh"])
    figure = curves.plot()
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("activation", "derivative")
    assert left.get_xlabel() == right.get_xlabel() == "input"
    for axes, expected in ((left, curves.values), (right, curves.derivatives)):
        drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
        for name, values in zip(curves.names, expected, strict=True):
            assert (drawn[name] == values).all()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["relu", "tanh"]


def test_many_have_a_panel_each() -> None:
    curves = activation_curves()
    figure = curves.plot()
    assert [axes.get_title() for axes in figure.axes] == list(ACTIVATION_NAMES)
    for number, axes in enumerate(figure.axes):
        assert (axes.lines[0].get_ydata() == curves.values[number]).all()
        assert (axes.lines[1].get_ydata() == curves.derivatives[number]).all()


@pytest.mark.parametrize("count", [1, 6, 7, len(ACTIVATION_NAMES)])
def test_any_number_can_be_drawn(count: int) -> None:
    out = io.BytesIO()
    activation_curves(ACTIVATION_NAMES[:count]).plot().savefig(out, format="png")
    low, high = Image.open(out).convert("L").getextrema()
    assert low < high
