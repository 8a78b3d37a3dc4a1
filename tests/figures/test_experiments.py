"""Heat maps, bars of effects, and settings in order."""

import io

import numpy as np
import pytest

from secchi.figures.experiments import effect_bars, factor_grid, factor_points, ranked_intervals


def test_a_heat_map_has_a_second_panel_where_trials_failed() -> None:
    grid = np.array([[0.5, np.nan], [0.7, 0.8]])
    sides = (["1", "2"], ["0.1", "1"])
    calm = factor_grid(grid, np.zeros((2, 2)), sides, ("depth", "lr"), "accuracy")
    assert len(calm.axes) == 2  # the map and its bar
    assert sorted(text.get_text() for text in calm.axes[0].texts) == ["0.5", "0.7", "0.8"]
    assert [text.get_text() for text in calm.axes[0].get_yticklabels()] == ["1", "2"]
    failed = np.array([[0.0, 1.0], [0.0, 0.0]])
    both = factor_grid(grid, failed, sides, ("depth", "lr"), "accuracy")
    assert len(both.axes) == 4
    both.savefig(io.BytesIO(), format="png", dpi=40)


def test_cells_without_a_trial_are_hatched_and_those_without_a_mean_grey() -> None:
    values = np.array([[0.5, np.nan], [0.7, np.nan]])
    failed = np.array([[0.0, 1.0], [0.0, np.nan]])
    figure = factor_grid(values, failed, (["1", "2"], ["3", "4"]), ("depth", "lr"), "m")
    axes = figure.axes[0]
    assert axes.get_title("left") == "hatched: no trial (1 of 4); grey: no mean"
    (empty,) = axes.collections
    (cell,) = empty.get_paths()
    assert cell.vertices.min(axis=0).tolist() == [0.5, 0.5]
    full = factor_grid(np.eye(2), np.zeros((2, 2)), (["1", "2"], ["3", "4"]), ("a", "b"), "m")
    assert full.axes[0].get_title("left") == ""


def test_points_stand_where_their_values_are_and_a_cross_where_there_is_no_mean() -> None:
    at = np.array([4.0, 8.0, 16.0]), np.array([0.001, 0.03, 1.0])
    values, failed = np.array([0.5, 0.7, np.nan]), np.array([0.0, 0.0, 1.0])
    figure = factor_points(at, values, failed, ("width", "lr"), "accuracy", "3 of 9")
    first, second = (axes for axes in figure.axes if axes.get_xlabel() == "lr")
    assert first.collections[0].get_offsets().tolist() == [[0.001, 4], [0.03, 8]]
    assert first.collections[0].get_array().tolist() == [0.5, 0.7]
    assert first.lines[0].get_xydata().tolist() == [[1.0, 16.0]]
    assert (first.get_xscale(), first.get_title("left")) == ("log", "3 of 9; cross: no mean")
    assert second.collections[0].get_array().tolist() == [0, 0, 1]


def test_rows_go_from_the_bottom_up() -> None:
    figure = factor_grid(np.eye(2), np.zeros((2, 2)), (["a", "b"], ["c", "d"]), ("y", "x"), "m")
    low, high = figure.axes[0].get_ylim()
    assert low < high


def test_what_is_beyond_the_noise_has_a_star() -> None:
    figure = effect_bars({"lr": 0.6, "depth": 0.1}, [True, False], {"the rest": 0.3}, "loss")
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["★ lr", "depth", "the rest"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [60, 10, 30]


def test_settings_that_tie_with_the_first_are_filled() -> None:
    mean, low, high = np.array([0.9, 0.8, 0.5]), np.full(3, 0.4), np.full(3, 0.95)
    figure = ranked_intervals(["a", "b", "c"], mean, low, high, [False, True, False], "m", "note")
    (axes,) = figure.axes
    fills = [one.get_markerfacecolor() for one in axes.lines if one.get_marker() == "o"]
    assert [fill == "white" for fill in fills] == [False, False, True]
    assert axes.get_title("left") == "note"


SEVERAL = "lr = 0.0316228, activation = leaky_relu, weight_decay = 0.001, hidden = [64, 128, 256]"
CUT = (
    "lr = 0.0316228, activation = leaky_relu,",
    "weight_decay = 0.001,",
    "hidden = [64, 128, 256]",
)
DEEP = f"hidden = {[128] * 15}"


@pytest.mark.parametrize(("name", "lines"), [(SEVERAL, CUT), (DEEP, (DEEP,))])
def test_nothing_of_ranked_settings_lies_outside_their_figure(name: str, lines) -> None:
    mean = np.linspace(0.7901, 0.7999, 10)
    note = "95 % intervals over repeats; filled: cannot be told from the first"
    ends = mean - 0.001, mean + 0.001
    measure = "validation final_grade.balanced accuracy"
    figure = ranked_intervals([name] * 10, mean, *ends, [True] * 10, measure, note)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    drawn = axes.get_tightbbox()
    assert figure.bbox.x0 <= drawn.x0 < drawn.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= drawn.y0 < drawn.y1 <= figure.bbox.y1
    assert axes.get_window_extent().width > 3 * figure.dpi
    ticks = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
    assert all(one.x1 < other.x0 for one, other in zip(ticks[:-1], ticks[1:], strict=True))
    assert axes.get_yticklabels()[0].get_text() == "\n".join(lines)


def test_words_of_points_are_strips() -> None:
    at = ["tanh", "relu", "tanh"], np.array([0.001, 0.03, 1.0])
    figure = factor_points(at, np.ones(3), np.zeros(3), ("activation", "lr"), "accuracy", "")
    axes = figure.axes[0]
    assert axes.collections[0].get_offsets()[:, 1].tolist() == [0, 1, 0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["tanh", "relu"]
    assert axes.get_ylim() == (-0.5, 1.5)
    turned = factor_points(at[::-1], np.ones(3), np.zeros(3), ("lr", "activation"), "accuracy", "")
    assert [text.get_text() for text in turned.axes[0].get_xticklabels()] == ["tanh", "relu"]
