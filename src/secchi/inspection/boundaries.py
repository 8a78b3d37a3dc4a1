"""Where a model changes its mind: its answers over the plane of two features."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError, SpecError
from secchi.values import is_number, is_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
Predict = Callable[[NDArray[np.float64]], Array]
"""Points (n, 2) to probabilities (n, classes), or to numbers (n,)."""


@dataclasses.dataclass(frozen=True)
class Boundary:
    """A model's answers on a grid over two features, and the rows that it was asked about.

    Attributes:
        names: The two features, across and up.
        classes: The names of the classes; empty for a number.
        across: The grid's places in the first feature, (resolution,).
        up: Its places in the second.
        values: Probabilities (resolution, resolution, classes), or numbers (resolution,
            resolution); the first axis goes up, the second across.
        points: The rows, (rows, 2).
        labels: Their classes by number, or their numbers, (rows,).
        answers: The answers for them, as ``values``: (rows, classes) or (rows,).
    """

    names: tuple[str, str]
    classes: tuple[str, ...]
    across: NDArray[np.float64]
    up: NDArray[np.float64]
    values: NDArray[np.float64]
    points: NDArray[np.float64]
    labels: Array
    answers: NDArray[np.float64]

    @property
    def missed(self) -> NDArray[np.bool_]:
        """Which rows lie on the wrong side, (rows,); of a number none."""
        if not self.classes:
            return np.zeros(len(self.points), dtype=np.bool_)
        return np.asarray(self.answers.argmax(axis=1) != self.labels)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the whole grid among them."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        document: dict[str, Any] = {
            name: value.tolist() if isinstance(value, np.ndarray) else list(value)
            for name, value in values.items()
        }
        return document | {"missed": int(self.missed.sum())}

    def plot(self) -> "Figure":
        """Draw the regions and the rows; rows on the wrong side have a ring around them.

        A region has the colour of its likeliest class, the deeper the likelier; on its edge the two
        likeliest are equal, at 0.5 of two classes. Of a number the plane has the colour of the
        answer, and the rows that of the truth: what stands out is wrong.
        """
        from secchi.figures.boundaries import class_regions, number_field

        if self.classes:
            return class_regions(
                self.names,
                self.classes,
                (self.across, self.up, self.values),
                (self.points, self.labels, self.missed),
            )
        return number_field(
            self.names, (self.across, self.up, self.values), (self.points, self.labels)
        )

    def __str__(self) -> str:
        over = f"over {self.names[0]} and {self.names[1]}"
        if not self.classes:
            low, high = self.values.min(), self.values.max()
            return f"numbers from {low:.4g} to {high:.4g} {over}, {len(self.points):,} rows"
        return (
            f"{len(self.classes)} classes {over}: {self.missed.sum():,} of {len(self.points):,} "
            "rows lie on the wrong side"
        )


def boundary(
    predict: Predict,
    points: Array,
    labels: Array,
    names: Sequence[str] = ("x", "y"),
    classes: Sequence[str] = (),
    *,
    resolution: int = 200,
    margin: float = 0.08,
) -> Boundary:
    """Ask a model about a grid of points around the rows, to see where its answer changes.

    Args:
        predict: Points (n, 2), in the features' own units, to probabilities (n, classes), or to
            numbers (n,).
        points: The rows, (rows, 2).
        labels: Their classes by number from 0 on, or their numbers, (rows,).
        names: The two features.
        classes: The names of the classes in the order of the columns; empty for a number.
        resolution: How many places the grid has in each direction.
        margin: How far it reaches beyond the rows, as a share of their range.

    Raises:
        SpecError: Other than two names, or a resolution or margin that cannot be.
        DataError: Rows, labels or answers of another shape, or that are not finite.

    >>> rows, truth = np.array([[0.0, 0.0], [1.0, 1.0], [0.9, 1.1]]), np.array([0, 1, 0])
    >>> def predict(points):
    ...     p = 1 / (1 + np.exp(1 - points.sum(axis=1)))
    ...     return np.stack([1 - p, p], axis=1)
    >>> print(boundary(predict, rows, truth, classes=["near", "far"]))
    2 classes over x and y: 1 of 3 rows lie on the wrong side
    """
    faults = []
    if len(names) != 2:
        faults.append(f"it has two features, and {len(names)} names were given")
    if not (is_whole(resolution) and resolution >= 2):
        faults.append(f"resolution is {resolution!r}; it is a whole number from 2 on")
    if not (is_number(margin) and margin >= 0):
        faults.append(f"margin is {margin!r}; it is a number from 0 on")
    if faults:
        raise SpecError("this boundary cannot be", faults)
    rows, truth = np.asarray(points, dtype=np.float64), np.asarray(labels)
    if rows.ndim != 2 or rows.shape[1] != 2 or truth.shape != (len(rows),) or not len(rows):
        raise DataError(
            "a boundary needs rows of shape (rows, 2) and as many labels, one or more; they have "
            f"the shapes {rows.shape} and {truth.shape}: choose two columns"
        )
    if not np.isfinite(rows).all():
        raise DataError("a boundary needs finite rows; fill or leave out what is missing")
    if classes and not np.isin(truth, np.arange(len(classes))).all():
        raise DataError(
            f"labels are class numbers from 0 to {len(classes) - 1}, as Target.encode gives them"
        )
    low, high = rows.min(axis=0), rows.max(axis=0)
    # A feature that never changes still has a plane around it.
    room = np.where(high > low, margin * (high - low), 0.5)
    across, up = np.linspace(low - room, high + room, resolution).T
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    values = _asked(predict, grid, len(classes))
    return Boundary(
        (names[0], names[1]),
        tuple(classes),
        across,
        up,
        values.reshape(resolution, resolution, *values.shape[1:]),
        rows,
        truth,
        _asked(predict, rows, len(classes)),
    )


def _asked(predict: Predict, points: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    answers = np.asarray(predict(points), dtype=np.float64)
    expected = (len(points), classes) if classes else (len(points),)
    if answers.shape != expected:
        meant = "probabilities" if classes else "numbers"
        raise DataError(
            f"asked about {len(points):,} points, predict gave the shape {answers.shape}; {meant} "
            f"of shape {expected} are needed"
        )
    if not np.isfinite(answers).all():
        raise DataError("predict gave answers that are not finite; the model may have diverged")
    return answers
