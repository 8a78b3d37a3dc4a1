"""Histograms: every row is counted once, and outliers are marked where they lie."""

import io

import numpy as np
import pytest

from secchi.figures.distributions import histograms


def test_every_row_is_in_a_bar_or_counted_as_missing() -> None:
    values = np.append(np.random.default_rng(0).exponential(size=500), [np.nan, np.inf])
    (axes,) = histograms({"sugar": values}).axes
    assert sum(bar.get_height() for bar in axes.patches) == 500
    assert axes.get_title() == "sugar\n2 without a value"


def test_outliers_are_marked_and_counted() -> None:
    values = np.array([1.0, 2.0, 3.0, 2.0, 40.0, np.nan])
    figure = histograms({"a": values, "b": -values}, {"a": values > 9, "b": values > 99})
    first, second = figure.axes
    assert first.lines[0].get_xdata().tolist() == [40.0]
    assert "1 outlier," in first.get_title()
    assert len(second.lines[0].get_xdata()) == 0
    assert "outlier" not in second.get_title()
    assert "▲" in figure.get_suptitle()


def test_whole_numbers_have_a_bar_each() -> None:
    (axes,) = histograms({"quality": np.array([3, 4, 4, 6, 6, 6])}).axes
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 0, 3]
    assert axes.patches[0].get_x() == 2.5


@pytest.mark.parametrize(
    "values", [[], [np.nan], [5.0], [1e300, 1e300], [0.0] * 99 + [1.0], [1e-12, 2e-12, 1e9]]
)
def test_any_column_can_be_drawn(values: list[float]) -> None:
    figure = histograms({"5$ \\frac{": np.array(values)})
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_of_very_many_columns_some_are_drawn_and_all_are_counted() -> None:
    figure = histograms({f"x{n}": np.arange(3.0) for n in range(10_000)})
    assert len(figure.axes) == 40
    assert "40 of 10,000 columns" in figure.get_suptitle()
