"""Predictions as a figure: pictures with their class, or the rows of a table as dots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.pictures import read_picture
from secchi.data.task import Kind
from secchi.errors import DataError
from secchi.inspection.predictions import Predictions
from secchi.seeding import stream
from secchi.text import counted, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS = 5000
"""Of more rows so many are drawn, at random."""


def show_pictures(
    predictions: Predictions, rows: Sequence[int] | None, count: int, columns: int, seed: int
) -> "Figure":
    """Pictures under the class that was said and its probability, the misses marked.

    Arguments and errors as of :meth:`secchi.inspection.predictions.Predictions.plot`.
    """
    from secchi.figures.pictures import Tile, picture_grid

    target = predictions.only_target
    if not target.exclusive:
        raise DataError("pictures are drawn with one class each, and the task has none")
    known = predictions.labels is not None
    missed = ~predictions.correct if known else np.zeros(len(predictions), dtype=np.bool_)
    if rows is None:
        rows = _picked(predictions, missed, count, seed)
    probabilities, predicted = predictions.probabilities, predictions.predicted
    tiles = []
    for row in rows:
        title = f"{target.classes[predicted[row]]}  {probabilities[row].max():.0%}"
        if missed[row]:
            title += f", is {target.classes[predictions.targets[row]]}"
        tiles.append(Tile(read_picture(str(predictions.sources[row])), title, bool(missed[row])))
    above = "predicted class and its probability"
    if known:
        shown, misses = int(missed[list(rows)].sum()), int(missed.sum())
        above += f"; ✗ is a miss ({shown:,} of {misses:,})" if misses else "; no row is a miss"
    return picture_grid(tiles, columns, above)


def show_rows(predictions: Predictions, rows: Sequence[int] | None, seed: int) -> "Figure":
    """Rows of a table: by true class and by what was said, or numbers against the truth.

    Arguments and errors as of :meth:`secchi.inspection.predictions.Predictions.plot`.
    """
    target, known = predictions.only_target, predictions.labels is not None
    if target.kind in (Kind.MULTILABEL, Kind.DISTRIBUTION):
        raise DataError(
            f"rows are drawn with one class or number each, and {target.name!r} is "
            f"{target.kind.value}; roc(), calibration() and to_frame() show what was said"
        )
    if target.kind is Kind.REGRESSION and not known:
        raise DataError(
            "numbers are drawn against the truth, and of these rows it is not known; to_frame() "
            "has the numbers"
        )
    if rows is None:
        rows = np.sort(stream(seed, "rows to show").permutation(len(predictions))[:_DOTS]).tolist()
    chosen = np.array(rows, dtype=np.intp)
    shown = "" if len(chosen) == len(predictions) else f"{len(chosen):,} of "
    title = f"{shown}{len(predictions):,} rows"
    if target.kind is Kind.REGRESSION:
        return _numbers(predictions, chosen, title)
    return _classes(predictions, chosen, title)


def _picked(
    predictions: Predictions, missed: NDArray[np.bool_], count: int, seed: int
) -> list[int]:
    """Misses, the one whose true class was least likely first; then others at random."""
    misses = np.flatnonzero(missed)
    if len(misses):
        likely = predictions.log_probabilities[misses, predictions.targets[misses]]
        misses = misses[np.argsort(likely, kind="stable")]
    mixed = stream(seed, "pictures to show").permutation(len(predictions))
    others = np.sort(mixed[~missed[mixed]][: max(count - len(misses), 0)])
    picked: list[int] = np.concatenate([misses[:count], others]).tolist()
    return picked


def _classes(predictions: Predictions, chosen: NDArray[Any], title: str) -> "Figure":
    from secchi.figures.answers import class_dots

    target, probabilities = predictions.only_target, predictions.probabilities
    truth = None if predictions.labels is None else predictions.targets[chosen]
    if truth is not None:
        missed = int((~predictions.correct[chosen]).sum())
        title += f", {counted(missed, 'miss', 'misses')} (✗)"
    likeliest = predictions.predicted[chosen]
    second = probabilities[chosen, 1] if target.kind is Kind.BINARY else None
    sure = probabilities.max(axis=1)[chosen]
    return class_dots(target.classes, truth, likeliest, sure, second, title)


def _numbers(predictions: Predictions, chosen: NDArray[Any], title: str) -> "Figure":
    from secchi.figures.answers import prediction_against_truth

    truth, said = predictions.targets[chosen], predictions.predicted[chosen]
    title += f", r2 {number(predictions.metric('r2'), 3)}"
    return prediction_against_truth(truth, said, predictions.only_target.name, title)
