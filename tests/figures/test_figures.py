"""Figures: what is in them, then that they can be drawn."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from secchi.figures.curves import epoch_curves
from secchi.figures.pictures import Tile, picture_grid
from secchi.figures.schedules import schedule_curves
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
    schedule_curves([0], {"head": [0.01]})
    assert plt.get_fignums() == []


def legend_names(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_rates_of_every_group_stand_beside_their_momenta() -> None:
    rates = {"body": [0.01, 0.005], "head": [0.02, 0.01]}
    momenta = {"body": [0.9, 0.8], "head": [0.95, 0.85]}
    figure = schedule_curves([0.0, 0.5], rates, momenta)
    left, right = figure.axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "learning rate")
    assert (right.get_xlabel(), right.get_ylabel()) == ("epoch", "momentum")
    for axes, curves in ((left, rates), (right, momenta)):
        assert [list(line.get_ydata()) for line in axes.lines] == list(curves.values())
        assert [list(line.get_xdata()) for line in axes.lines] == [[0.0, 0.5]] * 2
    assert legend_names(figure) == ["body", "head"]
    assert_not_blank(figure)


def test_without_momenta_there_is_the_rate_alone() -> None:
    (axes,) = schedule_curves([0.0, 0.5], {"head": [0.01, 0.005]}, None).axes
    assert (axes.get_ylabel(), axes.get_title()) == ("learning rate", "head")


@pytest.mark.parametrize(("ratio", "scale"), [(1.5, "linear"), (3, "linear"), (3.5, "log")])
def test_rates_far_apart_have_a_log_axis(ratio: float, scale: str) -> None:
    figure = schedule_curves([0, 1], {"body": [0.25, 0.125], "head": [0.25 * ratio, 0.0]})
    assert figure.axes[0].get_yscale() == scale
    assert_not_blank(figure)


def test_one_group_has_a_linear_axis_however_far_it_falls() -> None:
    assert schedule_curves([0, 1], {"head": [1.0, 1e-9]}).axes[0].get_yscale() == "linear"


def test_a_log_axis_shows_what_is_high_though_the_rates_end_at_almost_nothing() -> None:
    rates = {"body": [1e-4, 1e-12, 0.0], "head": [1e-2, 1e-10, 0.0]}
    low, high = schedule_curves([0, 1, 2], rates).axes[0].get_ylim()
    assert 1e-7 < low < 1e-4
    assert high > 1e-2


def test_a_log_axis_hides_nothing_that_is_near() -> None:
    rates = {"body": [1e-4, 5e-5], "head": [1e-2, 5e-3]}
    assert schedule_curves([0, 1], rates).axes[0].get_ylim()[0] < 5e-5


def test_a_group_whose_rate_is_always_zero_is_named_so() -> None:
    rates = {"stem": [0.0, 0.0], "body": [1e-4, 1e-5], "head": [1e-2, 1e-3]}
    figure = schedule_curves([0, 1], rates)
    assert legend_names(figure) == ["stem (always 0)", "body", "head"]
    assert figure.axes[0].get_yscale() == "log"
    assert_not_blank(figure)


def test_what_is_the_same_for_every_group_is_drawn_once_and_says_so() -> None:
    rates = {"body": [1e-4, 1e-5], "head": [1e-2, 1e-3]}
    left, right = schedule_curves([0, 1], rates, {"body": [0.9, 0.9], "head": [0.9, 0.9]}).axes
    assert (len(left.lines), left.get_title()) == (2, "")
    assert (len(right.lines), right.get_title()) == (1, "every group")


@pytest.mark.parametrize("count", [2, 6, 7, 24])
def test_groups_are_named_outside_the_data_and_look_different(count: int) -> None:
    rates = {f"_blocks.{n} 5$ \\frac{{$": [10.0 ** (n / 4 - 8)] * 30 for n in range(count)}
    figure = schedule_curves(np.linspace(0, 3, 30), rates, dict.fromkeys(rates, [0.9] * 30))
    assert legend_names(figure) == list(rates)
    assert_not_blank(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x0 > max(axes.get_window_extent().x1 for axes in figure.axes)
    assert figure.bbox.y0 <= box.y0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    lines = figure.axes[0].lines
    assert len({line.get_color() for line in lines}) == count
    assert all(a.get_marker() != b.get_marker() for a, b in zip(lines, lines[1:], strict=False))


@pytest.mark.parametrize("values", [[], [0.01], [0.0, 0.0], [float("nan"), 1.0]])
def test_schedules_of_any_length_can_be_drawn(values: list[float]) -> None:
    curves = {"body": values, "head": [5 * value for value in values]}
    assert_not_blank(schedule_curves(range(len(values)), curves, curves))
    assert_not_blank(schedule_curves(range(len(values)), {}, {}))
