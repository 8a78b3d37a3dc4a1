"""Scores with intervals: the network is marked by more than colour."""

import io
import math

from secchi.figures.baselines import score_intervals


def test_scores_stand_with_their_intervals_and_the_network_is_marked() -> None:
    nan = math.nan
    figure = score_intervals(
        ["mean", "network"], [0.0, 0.5], [nan, 0.4], [nan, 0.6], [False, True], "r2"
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0.000", "0.500"]
    assert axes.lines[2].get_xdata().tolist() == [0.4, 0.6]
    assert axes.lines[1].get_marker() != axes.lines[3].get_marker()
    assert axes.get_xlabel().startswith("r2")
    figure.savefig(io.BytesIO(), format="png", dpi=40)
