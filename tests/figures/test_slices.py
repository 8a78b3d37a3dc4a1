"""Bars of slices: findings look different from noise."""

import io

from secchi.figures.slices import slice_bars


def test_findings_are_marked_by_more_than_colour() -> None:
    figure = slice_bars(
        ["5$ \\frac{ > 2", "b"], [0.8, 0.3], [0.6, 0.1], [1.0, 0.5], [True, False], 0.25, "misses"
    )
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["★ 5$ \\frac{ > 2", "b"]
    assert [bar.get_width() for bar in axes.patches] == [0.8, 0.3]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.lines[0].get_xdata().tolist() == [0.6, 1.0]
    assert "worse than chance" in axes.get_title()
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_without_findings_the_figure_says_so() -> None:
    (axes,) = slice_bars(["b"], [0.3], [0.1], [0.5], [False], 0.25, "misses").axes
    assert axes.get_title() == "no slice is beyond the noise"
    slice_bars([], [], [], [], [], 0.25, "misses").savefig(io.BytesIO(), format="png")
