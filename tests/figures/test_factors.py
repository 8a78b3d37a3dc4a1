"""Means against factors: axes, intervals, failures, and many lines."""

import io

import numpy as np
import pytest

from secchi.figures.factors import Line, factor_curves, factor_means, log_spaced


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
