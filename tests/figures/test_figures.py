"""Figures: what is in them, then that they can be drawn."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from secchi.figures.curves import epoch_curves
from secchi.figures.pictures import Tile, picture_grid
from secchi.figures.style import MISS


def drawn(figure: Figure) -> Image.Image:
    """The figure as a PNG picture, read back."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return Image.open(out)


def assert_not_blank(figure: Figure) -> None:
    low, high = drawn(figure).convert("L").getextrema()
    assert low < high


def tile(title: str = "cat  99%", marked: bool = False, side: int = 8) -> Tile:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    return Tile(pixels, title, marked)


def test_curves_stand_in_two_panels_with_labels() -> None:
    losses = {"training loss": [0.5, 0.25], "validation loss": [0.75, 0.5]}
    figure = epoch_curves([3, 4], losses, {"accuracy": [0.5, 1.0]})
    left, right = figure.axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "loss")
    assert (right.get_xlabel(), right.get_ylabel()) == ("epoch", "on the validation rows")
    for axes in (left, right):
        names = [line.get_label() for line in axes.lines]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    assert {line.get_label(): line.get_ydata().tolist() for line in left.lines} == losses
    assert left.lines[0].get_xdata().tolist() == [3, 4]
    assert_not_blank(figure)


def test_without_metrics_there_is_one_panel() -> None:
    figure = epoch_curves([0], {"training loss": [0.5]}, {})
    assert len(figure.axes) == 1
    assert_not_blank(figure)


def test_every_curve_is_drawn_and_no_two_look_alike() -> None:
    metrics = {f"top_{k}": [k / 10, k / 10] for k in range(1, 7)}
    lines = epoch_curves([0, 1], {"training loss": [1, 1]}, metrics).axes[1].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 6


def test_more_curves_than_colours_are_drawn_all_the_same() -> None:
    metrics = {f"top_{k}": [k / 10, k / 10] for k in range(1, 10)}
    figure = epoch_curves([0, 1], {"training loss": [1, 1]}, metrics)
    assert [line.get_label() for line in figure.axes[1].lines] == list(metrics)


@pytest.mark.parametrize("values", [[], [float("nan"), float("inf")]])
def test_curves_without_finite_values_can_be_drawn(values: list[float]) -> None:
    assert_not_blank(epoch_curves(range(len(values)), {"training loss": values}, {"f1": values}))


def test_pictures_stand_in_rows_under_their_titles() -> None:
    figure = picture_grid([tile(f"cat  {n}%") for n in range(5)], columns=2, title="what was said")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"cat  {n}%" for n in range(5)]
    assert figure.get_suptitle() == "what was said"
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (3, 2)
    assert_not_blank(figure)


def test_pictures_keep_their_pixels() -> None:
    one = tile(side=8)
    shown = picture_grid([one]).axes[0].images[0]
    np.testing.assert_array_equal(shown.get_array(), one.pixels)
    assert shown.get_interpolation() == "nearest"


def test_a_marked_picture_differs_in_more_than_colour() -> None:
    plain, marked = picture_grid([tile("cat"), tile("cat", marked=True)]).axes
    assert marked.get_title() == "✗ cat"
    assert plain.get_title() == "cat"
    assert marked.spines["left"].get_linewidth() > plain.spines["left"].get_linewidth()
    assert marked.title.get_color() == MISS


@pytest.mark.parametrize("title", ["$100$ note", "50$ \\frac{$", "a\nb", "größer <&> 'x'", ""])
def test_names_are_shown_as_they_are(title: str) -> None:
    figure = picture_grid([tile(title)])
    assert figure.axes[0].get_title() == title
    assert_not_blank(figure)


def test_long_titles_are_broken_and_reach_into_no_other() -> None:
    name = "cavalier_king_charles  98%, is soft_coated_wheaten_terrier"
    figure = picture_grid([tile(name, marked=number == 1) for number in range(3)], columns=3)
    drawn(figure)
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
    assert "".join(figure.axes[0].get_title().split()) == "".join(name.split())


def test_no_pictures_are_an_empty_figure() -> None:
    figure = picture_grid([], title="nothing")
    assert figure.axes == []
    assert_not_blank(figure)


def test_figures_leave_no_trace_in_pyplot() -> None:
    import matplotlib.pyplot as plt

    picture_grid([tile()])
    epoch_curves([0], {"training loss": [0.5]}, {})
    assert plt.get_fignums() == []
