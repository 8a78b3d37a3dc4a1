"""The correlation matrix: every number is where it belongs, and any matrix can be drawn."""

import io

import numpy as np
import pytest

from secchi.figures.correlations import correlation_matrix

NAMES = ["alcohol", "pH 5$ \\frac{", "quality"]
MATRIX = np.array([[1.0, -0.9, np.nan], [-0.9, 1.0, -0.001], [np.nan, -0.001, 1.0]])


def test_numbers_are_written_in_their_cells() -> None:
    axes = correlation_matrix(NAMES, MATRIX, ["quality"]).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert (written[0, 0], written[1, 0], written[2, 0]) == ("1.00", "-0.90", "none")
    assert written[2, 1] == "0.00"
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES


def test_zero_is_white_and_both_ends_are_as_far_from_it() -> None:
    image = correlation_matrix(NAMES, MATRIX).axes[0].images[0]
    assert image.get_clim() == (-1, 1)
    np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], 1, atol=0.01)


def test_targets_are_set_off_wherever_they_stand() -> None:
    axes = correlation_matrix(NAMES, MATRIX, ["alcohol"]).axes[0]
    weights = [label.get_fontweight() for label in axes.get_yticklabels()]
    assert weights == ["bold", "normal", "normal"]
    assert sorted({line.get_ydata()[0] for line in axes.lines[::2]}) == [-0.5, 0.5]
    assert not correlation_matrix(NAMES, MATRIX).axes[0].lines


@pytest.mark.parametrize("count", [1, 20, 21, 150])
def test_any_number_of_columns_can_be_drawn(count: int) -> None:
    figure = correlation_matrix([f"column {n}" for n in range(count)], np.eye(count))
    axes = figure.axes[0]
    assert len(axes.texts) == (count**2 if count <= 20 else 0)
    assert len(axes.get_yticklabels()) <= 60
    figure.savefig(io.BytesIO(), format="png", dpi=40)
