"""The picture of a network."""

import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from secchi.figures.networks import draw_network


def layers(*units: int, note: str = "relu\ndropout 0.25") -> list[tuple[str, int, str]]:
    middle = [(f"hidden {n}", each, note) for n, each in enumerate(units[1:-1], start=1)]
    return [("inputs", units[0], ""), *middle, ("outputs", units[-1], "")]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def lines(figure: Figure) -> list[int]:
    """How many lines go from each column to the next."""
    found = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    return [len(each.get_segments()) for each in found]


def circles(figure: Figure) -> list[int]:
    """How many units each column shows."""
    found = [c for c in figure.axes[0].collections if not isinstance(c, LineCollection)]
    return [len(each.get_offsets()) for each in found if each.get_sizes()[0] > 50]


def assert_legible(figure: Figure) -> None:
    """It is not blank, every text lies within it, and no two lie on each other."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    low, high = Image.open(out).convert("L").getextrema()
    assert low < high
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_every_unit_is_connected_with_every_one_of_the_next_layer() -> None:
    figure = draw_network(layers(3, 12, 2))
    assert circles(figure) == [3, 12, 2]
    assert lines(figure) == [36, 24]
    assert texts(figure)[::2] == ["inputs\n3", "hidden 1\n12", "outputs\n2"]
    assert texts(figure)[1::2] == ["", "relu\ndropout 0.25", ""]


def test_many_units_are_a_few_and_their_number() -> None:
    figure = draw_network(layers(784, 13, 1000, 10))
    assert circles(figure) == [8, 8, 8, 10]
    assert "hidden 2\n1,000" in texts(figure)
    assert_legible(figure)


def test_many_layers_are_a_few_and_their_number() -> None:
    figure = draw_network(layers(2, *[4] * 30, 1))
    assert "24\nlayers" in texts(figure)
    assert [text.split("\n")[0] for text in texts(figure) if "hidden" in text] == [
        f"hidden {n}" for n in (1, 2, 3, 28, 29, 30)
    ]
    assert len(lines(figure)) == 6
    assert_legible(figure)


@pytest.mark.parametrize(
    "drawn",
    [
        layers(1, 1),
        layers(2, *[8] * 8, 3, note="leaky_relu\nbatch norm\ndropout 0.333333\n+ its input"),
        layers(11, 16, 32, 32, 1),
        layers(10_000_000, 10_000_000, 10_000_000),
        [("in$put_", 3, "$\\frac{"), ("outputs", 1, "")],
    ],
)
def test_all_is_legible(drawn: list[tuple[str, int, str]]) -> None:
    assert_legible(draw_network(drawn))


def test_units_of_a_column_do_not_touch() -> None:
    figure = draw_network(layers(12, 40))
    side = np.sqrt(150) / 72
    for column in figure.axes[0].collections:
        if not isinstance(column, LineCollection):
            places = np.unique(np.round(column.get_offsets()[:, 1], 6))
            assert (np.diff(places) > side).all()
