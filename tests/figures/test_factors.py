"""Means against factors: axes, intervals, failures, and many lines."""

import io

import numpy as np
import pytest

from secchi.figures.factors import factor_curves, factor_means, log_spaced
from secchi.figures.lines import Line


def line(values: list[float], name: str = "", **more) -> Line:
    mean = np.array(values, dtype=float)
    return Line(name, mean, mean - 0.1, mean + 0.1, **more)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-4, 1e-3, 1e-2, 1e-1], True),
        ([8, 32, 128, 512], True),
        ([4, 12, 20, 28, 36], False),
        ([0, 0.25, 0.5], False),
        ([0.0, 1e-4, 1e-2], False),
        ([0.5, 0.9, 0.95, 0.999], False),
        ([1, 10], False),
    ],
)
def test_an_axis_is_logarithmic_where_values_are_spaced_so(values, expected: bool) -> None:
    assert log_spaced(np.array(values, dtype=float)) is expected
    figure = factor_means(values, [line([0.5] * len(values))], "x", "y")
    assert figure.axes[0].get_xscale() == ("log" if expected else "linear")


def test_the_share_that_failed_stands_below_where_any_did() -> None:
    fine = line([1, 2, 3], failed=np.zeros(3))
    assert len(factor_means([1, 2, 3], [fine], "x", "y").axes) == 1
    bad = line([1, 2, np.nan], failed=np.array([0, 0.5, 1.0]))
    above, below = factor_means([1, 2, 3], [bad], "x", "y").axes
    assert below.get_ylabel() == "share failed"
    assert below.lines[0].get_ydata().tolist() == [0, 0.5, 1.0]
    assert above.get_xlabel() == ""


def test_words_stand_as_points_beside_each_other() -> None:
    lines = [line([0.5, 0.6], "one"), line([0.7, 0.8], "two")]
    (axes,) = factor_means(["sgd", "adam"], lines, "optimizer", "accuracy").axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["sgd", "adam"]
    places = [container.lines[0].get_xdata() for container in axes.containers]
    assert (places[0] < places[1]).all()
    assert all(container.lines[0].get_linestyle() == "None" for container in axes.containers)


def test_a_line_goes_on_over_values_that_it_was_not_tried_at_but_not_over_failures() -> None:
    absent = np.nan
    one = line([1, np.nan, 3, np.nan, 5], "one", failed=np.array([0, absent, 0, 1, 0]))
    two = line(
        [np.nan, 2, np.nan, 4, np.nan], "two", failed=np.array([absent, 0, absent, 0, absent])
    )
    above, below = factor_means([1, 2, 3, 4, 5], [one, two], "x", "y").axes
    drawn = [each.get_xydata().tolist() for each in above.lines]
    assert drawn[0][:2] == [[1, 1], [3, 3]]
    assert np.isnan(drawn[0][2][1])
    assert drawn[1] == [[2, 2], [4, 4]]
    assert below.lines[0].get_xydata().tolist() == [[1, 0], [3, 0], [4, 1], [5, 0]]


def test_each_of_many_lines_of_one_point_is_seen() -> None:
    failed = np.where(np.eye(12, dtype=bool), 0.5, np.nan)
    lines = [
        line(np.where(np.eye(12)[g], 1.0, np.nan), str(g), failed=failed[g]) for g in range(12)
    ]
    above, below = factor_means(list(range(12)), lines, "x", "y").axes
    assert {one.get_marker() for one in (*above.lines, *below.lines)} == {"o"}


def test_either_all_lines_of_a_figure_have_marks_or_none() -> None:
    short = line([1.0] * 10 + [np.nan] * 30, "short")
    few = factor_curves([short, line([2.0] * 30 + [np.nan] * 10, "30")], "loss").axes[0]
    assert [one.get_marker() for one in few.lines] == ["o", "s"]
    many = factor_curves([short, line([2.0] * 40, "40")], "loss").axes[0]
    assert [one.get_marker() for one in many.lines] == ["", ""]
    alone = line([1.0] + [np.nan] * 39, "alone")
    with_dot = factor_curves([alone, line([2.0] * 40, "40")], "loss")
    first, second = with_dot.axes[0].lines
    assert (first.get_marker(), second.get_marker()) == ("o", "")
    assert np.flatnonzero(first.get_markevery()).tolist() == [0]
    with_dot.savefig(io.BytesIO(), format="png", dpi=40)


def test_the_whole_interval_is_in_the_figure() -> None:
    wide = Line("", np.array([0.5, 0.51]), np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    (axes,) = factor_means([1, 2], [wide], "x", "y").axes
    low, high = axes.get_ylim()
    assert low < 0 < 1 < high


def test_a_curve_is_dotted_where_some_repeats_have_ended() -> None:
    some = line([4, 3, 2, 1], whole=np.array([True, True, False, False]))
    (axes,) = factor_curves([some], "loss").axes
    solid, dotted = axes.lines
    assert np.isfinite(solid.get_ydata()).tolist() == [True, True, False, False]
    assert np.isfinite(dotted.get_ydata()).tolist() == [False, True, True, True]
    assert dotted.get_linestyle() == ":"


def test_what_is_dotted_is_said() -> None:
    ended = line([2, 1], whole=np.array([True, False]))
    assert factor_curves([ended], "loss", note="95 %").axes[0].get_title("left") == (
        "95 %; dotted where some trials have ended"
    )
    whole = factor_curves([line([2, 1], whole=np.array([True, True]))], "loss")
    assert whole.axes[0].get_title("left") == ""


CALM = np.concatenate([[-40.0, -3.0], np.linspace(-0.1, 0.2, 18)])


def test_an_axis_is_cut_where_the_first_epochs_would_flatten_the_rest() -> None:
    axes = factor_curves([line(CALM)], "gap", cut=True).axes[0]
    low, high = axes.get_ylim()
    assert -1 < low < -0.1
    assert high == pytest.approx(0.3)
    assert axes.get_title("left") == "axis cut: values go down to -40.1"
    assert factor_curves([line(CALM)], "gap").axes[0].get_ylim()[0] < -40
    even = line(np.linspace(-1, 1, 20).tolist())
    whole = factor_curves([even], "gap", cut=True).axes[0]
    assert whole.get_ylim()[0] < -1
    assert whole.get_title("left") == ""


@pytest.mark.parametrize(("wild", "failed"), [(5.0, 0.8), (1e6, 0.0)])
def test_a_line_that_all_but_diverges_moves_no_axis_and_is_faint(wild, failed: float) -> None:
    calm = line(np.linspace(0.1, 0.2, 20).tolist(), "calm", failed=np.zeros(20))
    jumps = line(np.resize([-wild, wild], 20).tolist(), "wild", failed=np.full(20, failed))
    gone = line([np.nan] * 20, "gone", failed=np.ones(20))
    axes = factor_curves([calm, jumps, gone], "gap", cut=True).axes[0]
    assert -1 < axes.get_ylim()[0] < axes.get_ylim()[1] < 1
    alphas = [one.get_alpha() for one in axes.lines]
    assert alphas[0] == 1 > alphas[1]
    assert f"down to {-wild - 0.1:.3g} and up to {wild + 0.1:.3g}" in axes.get_title("left")


def bare(end: float, name: str) -> Line:
    """One that goes from 0 to an end, without intervals."""
    return Line(name, np.linspace(0, end, 20), np.full(20, np.nan), np.full(20, np.nan))


@pytest.mark.parametrize("small", [0.003, 1e-6, 0.0])
def test_what_learns_is_in_the_figure_beside_lines_that_stay_at_zero(small: float) -> None:
    lines = [bare(small, "0.0001"), bare(small, "0.001"), bare(2.0, "0.1")]
    axes = factor_curves(lines, "gap", cut=True).axes[0]
    assert axes.get_ylim()[1] > 2
    assert axes.get_title("left") == ""
    assert [one.get_alpha() for one in axes.lines] == [1, 1, 1]
    gone = factor_curves([*lines, bare(1e6, "10")], "gap", cut=True).axes[0]
    assert 2 < gone.get_ylim()[1] < 10
    assert [one.get_alpha() < 1 for one in gone.lines] == [False, False, False, True]


def test_the_axis_of_what_can_be_below_zero_is_never_logarithmic() -> None:
    falling = np.concatenate([[1000.0, 20.0], np.linspace(0.1, 0.15, 18)])
    fallen = Line("", falling, falling, falling)
    axes = factor_curves([fallen], "gap", cut=True).axes[0]
    assert axes.get_yscale() == "linear"
    assert 0 < axes.get_ylim()[0] < axes.get_ylim()[1] < 1
    assert axes.get_title("left").endswith("up to 1e+03")
    assert factor_curves([fallen], "loss").axes[0].get_yscale() == "log"


def test_nothing_to_draw_is_drawn() -> None:
    assert factor_curves([line([np.nan, np.nan])], "gap", cut=True).axes[0].get_title("left") == ""


def test_many_lines_of_numbers_have_a_bar_of_colours() -> None:
    few = [line([1, 2], str(n), value=float(n)) for n in range(4)]
    assert len(factor_curves(few, "loss", "lr").legends) == 1
    many = [line([1, 2], str(n), value=10.0**n) for n in range(12)]
    figure = factor_curves(many, "loss", "lr")
    assert not figure.legends
    assert figure.axes[1].get_ylabel() == "lr"
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_losses_over_many_powers_of_ten_have_a_logarithmic_axis() -> None:
    one = Line("", np.array([1e-3, 1.0]), np.array([1e-4, 0.5]), np.array([2e-3, 2.0]))
    assert factor_curves([one], "loss").axes[0].get_yscale() == "log"
    assert factor_curves([line([0.5, 1.0])], "loss").axes[0].get_yscale() == "linear"
