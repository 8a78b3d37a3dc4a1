"""Figures of how good answers are: what is in them, that it is legible, that they can be drawn."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from secchi.figures.answers import class_dots, prediction_against_truth, residual_panels
from secchi.figures.confusion import confusion_matrix
from secchi.figures.judging import calibration_curve, roc_curves
from secchi.figures.style import MISS


def assert_not_blank(figure: Figure) -> None:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=60)
    low, high = Image.open(out).convert("L").getextrema()
    assert low < high


def names(count: int) -> list[str]:
    return [f"$class {number}$ of many names" for number in range(count)]


# ---------------------------------------------------------------- confusion matrix


@pytest.mark.parametrize("count", [1, 2, 3, 10, 40, 60])
def test_cells_hold_their_counts_and_nothing_overlaps(count: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 3, (count, count)) + 150.0 * np.eye(count)
    figure = confusion_matrix(names(count), matrix, "pet")
    assert_not_blank(figure)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted pet", "true pet")
    written = {text.get_position(): int(text.get_text().split()[0]) for text in axes.texts}
    cells = {(j, i): matrix[i, j] for i, j in zip(*np.nonzero(matrix), strict=True)}
    assert written == (cells if count <= 45 else {})
    side = axes.get_window_extent().width / count
    for text in axes.texts:
        assert text.get_window_extent().width < side
        assert text.get_window_extent().height < side
    labels = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert all(one.x1 <= other.x0 + 1 for one, other in zip(labels, labels[1:], strict=False))


def test_shares_are_of_the_true_class_and_neither_none_nor_all_by_rounding() -> None:
    matrix = np.array([[999.0, 1.0], [3.0, 1.0]])
    texts = [text.get_text() for text in confusion_matrix(["cat", "dog"], matrix).axes[0].texts]
    assert texts == ["999\n>99 %", "1\n<1 %", "3\n75 %", "1\n25 %"]


def test_weights_are_written_in_few_digits() -> None:
    matrix = np.array([[0.123456, 0.0], [0.0, 1234.5]])
    texts = [text.get_text() for text in confusion_matrix(["cat", "dog"], matrix).axes[0].texts]
    assert texts == ["0.123\n100 %", "1.23e+03\n100 %"]


def test_hits_and_misses_have_colours_of_their_own() -> None:
    figure = confusion_matrix(["cat", "dog"], np.array([[5.0, 5.0], [0.0, 9.0]]))
    hits, misses = figure.axes[0].images
    assert hits.get_array().mask.tolist() == [[False, True], [True, False]]
    assert misses.get_array().mask.tolist() == [[True, False], [True, True]]
    red, _, blue, _ = hits.cmap(1.0)
    assert blue > red
    red, _, blue, _ = misses.cmap(1.0)
    assert red > blue


def test_a_class_without_rows_is_drawn() -> None:
    assert_not_blank(confusion_matrix(["cat", "dog"], np.array([[3.0, 0.0], [0.0, 0.0]])))


# ---------------------------------------------------------------- ROC and calibration


@pytest.mark.parametrize("count", [0, 1, 6, 40])
def test_the_lowest_curves_are_named(count: int) -> None:
    areas = [(7 * number % count + 1) / (count + 1) for number in range(count)]
    curve = (np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.8, 1.0]))
    figure = roc_curves(dict.fromkeys(names(count), curve), areas)
    assert_not_blank(figure)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    lowest = sorted(range(count), key=areas.__getitem__)[:6]
    for number in lowest:
        assert f"{names(count)[number]}, area {areas[number]:.3f}" in labels
    assert len(labels) == len(lowest) + 1 + (count > 6)
    lines = figure.axes[0].lines
    assert len(lines) == count + 1
    looks = {(line.get_color(), line.get_linestyle()) for line in lines if line.get_linewidth() > 1}
    assert len(looks) == len(lowest)


def test_calibration_leaves_out_empty_bins() -> None:
    said, true = np.array([0.2, np.nan, 0.9]), np.array([0.0, np.nan, 1.0])
    ends = np.array([[0.0, 0.4], [np.nan] * 2, [0.7, 1.0]])
    edges = np.linspace(0, 1, 4)
    figure = calibration_curve(edges, np.array([9, 0, 20]), (said, true, ends), "$dog$")
    assert_not_blank(figure)
    above, below = figure.axes
    assert above.lines[1].get_xdata().tolist() == [0.2, 0.9]
    assert [bar.get_height() for bar in below.patches] == [9, 0, 20]
    assert below.get_xlabel() == "probability of $dog$"


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("count", [3, 10, 40])
def test_hits_stand_on_the_diagonal_and_misses_off_it(count: int) -> None:
    truth = np.repeat(np.arange(count), 4)
    said = truth.copy()
    said[::5] = (said[::5] + 1) % count
    figure = class_dots(names(count), truth, said, np.full(len(truth), 0.9), title="rows")
    assert_not_blank(figure)
    hits, misses = figure.axes[0].lines[:2]
    across, up = (np.floor(values).astype(int) for values in (hits.get_xdata(), hits.get_ydata()))
    np.testing.assert_array_equal(across, up)
    across, up = np.floor(misses.get_xdata()), np.floor(misses.get_ydata())
    np.testing.assert_array_equal(across, truth[::5])
    np.testing.assert_array_equal(up, said[::5])
    assert to_hex(misses.get_color()).upper() == MISS
    assert misses.get_marker() != hits.get_marker()
    labels = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert all(one.x1 <= other.x0 + 1 for one, other in zip(labels, labels[1:], strict=False))


def test_two_classes_stand_at_the_probability_of_the_second() -> None:
    second = np.array([0.1, 0.7, 0.9])
    said = (second > 0.5).astype(int)
    figure = class_dots(["cat", "dog"], np.array([0, 0, 1]), said, second, second)
    axes = figure.axes[0]
    assert axes.lines[1].get_ydata().tolist() == [0.7]
    names_below = [text.get_text() for text in axes.get_xticklabels()]
    assert names_below == ["cat\n1 of 2", "dog\n0 of 1"]
    assert_not_blank(figure)


@pytest.mark.parametrize("rows", [0, 1, 300, 30_000])
def test_numbers_of_any_count_are_drawn(rows: int) -> None:
    truth = np.random.default_rng(0).normal(size=rows)
    said = truth * 0.9
    one = prediction_against_truth(truth, said, "$price$")
    both = residual_panels(truth, said, np.arange(min(rows, 2)), "$price$")
    assert_not_blank(one)
    assert_not_blank(both)
    assert both.axes[1].get_ylabel() == "residual: truth less prediction"
    assert len(both.axes) == (4 if rows > 20_000 else 2)
