"""The error against the number of training rows, and what more of them would bring."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.synthetic import Synthetic
from secchi.data.table import TableData
from secchi.errors import DataError, SpecError
from secchi.experiments.forecast import ErrorName, Forecast
from secchi.experiments.measures import check_measure
from secchi.experiments.power_law import LEAST_SIZES, PowerLaws, fit_power_laws
from secchi.experiments.row_luck import drawn_means, intervals, own_variances
from secchi.experiments.tables import rows_of_share
from secchi.files import finite
from secchi.intervals import LEVEL
from secchi.text import counted, table
from secchi.values import is_whole

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

    from secchi.experiments.experiment import Experiment
    from secchi.experiments.result import Result

Array = NDArray[np.float64]

SIZES = 9
"""So many sizes are trained where nobody says."""

_SMALLEST = 1 / 16
_ROWS_OF_A_CLASS = 10

_DRAWN = 4.0
"""The figure goes on to so many times the largest size."""


@dataclasses.dataclass(frozen=True, eq=False)
class LearningCurve:
    """The error on the validation rows by the number of training rows, and the law it follows.

    Each repeat has its own order of the training rows; a size is that many of its first ones, so
    that a larger size contains a smaller one. Unless rows are made up, those that validate are the
    same throughout: their luck stays in it.

    Intervals tell how far an error would move with other training rows of the same kind; see
    :mod:`secchi.experiments.row_luck`.

    Attributes:
        measure: What was measured.
        rows: What the rows are: ``"pictures"`` or ``"rows"``.
        sizes: Numbers of training rows, ascending, (sizes,).
        each: The error in each repeat, (sizes, repeats): a score s of which more is better as
            1 - s. Repeats in which a training failed are left out.
        mean: Over the repeats, (sizes,).
        low: Lower ends of the 95 % intervals by Student's t, (sizes,); NaN of two repeats or fewer.
        high: Upper ends, (sizes,).
        law: The law that the means follow best.
        laws: Those of repeats drawn anew (the bootstrap), in which the luck of all rows together
            moves all sizes by as many of their standard deviations; none of two repeats or fewer.
        failed: In how many repeats a training failed.
        same_rows: Whether repeats draw from the same rows, and do not make up rows of their own.
    """

    measure: str
    rows: str
    sizes: NDArray[np.int64]
    each: Array
    mean: Array
    low: Array
    high: Array
    law: PowerLaws
    laws: PowerLaws
    failed: int = 0
    same_rows: bool = True

    def at(self, size: int) -> Forecast:
        """The error to be expected with another number of training rows, with its interval.

        The interval is that of the law: it does not hold that the law itself may bend. Print it.

        Args:
            size: How many rows.

        Raises:
            SpecError: It is no whole number from 1 on.
        """
        if not (is_whole(size) and size >= 1):
            raise SpecError("this forecast cannot be", [f"size is {size!r}, not 1 or more"])
        largest = int(self.sizes[-1])
        both = np.array([size, largest])
        error, last = self.law.at(both)[0]
        drawn = self.laws.at(both)
        low, high = _ends(drawn[:, 0])
        change_low, change_high = _ends(drawn[:, 0] - drawn[:, 1])
        change = float(error - last)
        ends = low, high, largest, change, change_low, change_high
        return Forecast(self.measure, self.rows, int(size), float(error), *ends)

    @property
    def asymptote(self) -> tuple[float, float, float]:
        """Where the error would level off, and its interval; from 0 where nothing is known."""
        return float(self.law.asymptote[0]), *_ends(self.laws.asymptote)

    def plot(self) -> "Figure":
        """Draw the errors, the law with its interval, and, dashed, where it would lead."""
        from secchi.figures.learning_curves import Law, learning_curve

        name, largest = self._name, float(self.sizes[-1])
        at = np.geomspace(self.sizes[0], _DRAWN * largest, 200)
        low, high = name.scale * np.array([_ends(errors) for errors in self.laws.at(at).T]).T
        points = [name.scale * one for one in (self.mean, self.low, self.high)]
        return learning_curve(
            self.sizes,
            name.scale * self.each,
            (points[0], points[1], points[2]),
            Law(at, name.scale * self.law.at(at)[0], low, high, largest),
            (f"training {self.rows}", name.axis),
            self._levels_off,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, a dictionary a size; numbers that are not finite are None."""
        points = [
            {"size": int(size), "mean": mean, "low": low, "high": high, "each": each}
            for size, mean, low, high, each in zip(
                *(one.tolist() for one in (self.sizes, self.mean, self.low, self.high, self.each)),
                strict=True,
            )
        ]
        value, low, high = self.asymptote
        low_exponent, high_exponent = _ends(self.laws.exponent)
        document = {
            "measure": self.measure,
            "rows": self.rows,
            "failed": self.failed,
            "points": points,
            "asymptote": {"value": value, "low": low, "high": high},
            "exponent": {
                "value": float(self.law.exponent[0]),
                "low": low_exponent,
                "high": high_exponent,
            },
            "double": self.at(2 * int(self.sizes[-1])).to_dict(),
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        name, repeats = self._name, self.each.shape[1]
        cells = [[self.rows, name.text, f"{100 * LEVEL:g} % interval"]]
        for size, mean, low, high in zip(self.sizes, self.mean, self.low, self.high, strict=True):
            interval = "-" if math.isnan(low) else f"{name.number(low)} to {name.number(high)}"
            cells.append([f"{size:,}", name.value(mean), interval])
        failed = f"; left out: {self.failed:,}, in which a training failed" if self.failed else ""
        return "\n".join(
            [
                table(cells, left=0),
                f"{counted(repeats, 'repeat', 'repeats')}{self._validation}{failed}",
                self._levels_off,
                str(self.at(2 * int(self.sizes[-1]))),
            ]
        )

    @property
    def _validation(self) -> str:
        """What validated, in words."""
        return " on the same validation rows, whose luck stays in it" if self.same_rows else ""

    @property
    def _name(self) -> ErrorName:
        return ErrorName.of(self.measure)

    @property
    def _levels_off(self) -> str:
        """Where more rows would lead in the end, in words."""
        name, (value, low, high) = self._name, self.asymptote
        if math.isnan(low):
            return "with so few repeats nothing can be said about noise"
        interval = f"{100 * LEVEL:g} % interval {name.number(low)} to {name.number(high)}"
        if low > 0 and high - low < float(self.law.at(self.sizes[-1:])[0, 0]):
            return f"levels off at about {name.value(value)} ({interval})"
        return f"where it levels off these sizes cannot tell ({interval})"


def learning_curve(
    base: "Experiment",
    fractions: Sequence[float] | None = None,
    repeats: int = 10,
    *,
    measure: str | None = None,
    store: "str | os.PathLike[str] | None" = None,
    jobs: int | None = None,
) -> LearningCurve:
    """Train with more and more of the training rows, several times each.

    Each training has as many epochs as that of the base, so that smaller sizes take fewer steps.

    Args:
        base: An experiment in which nothing varies: data, model, training, metrics and seed.
        fractions: Shares of the training rows, four or more; None takes nine in even ratios, from
            a sixteenth, or ten rows a class, to all.
        repeats: How many orders of the training rows there are.
        measure: Such as ``"valid_loss"``; None takes the first metric.
        store: As for :meth:`secchi.Experiment.run`.
        jobs: Likewise.

    Raises:
        SpecError: With every fault.
        DataError: There are too few rows, or a training failed in every repeat.

    >>> from secchi import MLP, Experiment, Qwerties, Training
    >>> rows = Experiment(Qwerties(rows=300), MLP([]), Training(epochs=5))
    >>> curve = learning_curve(rows, [0.1, 0.2, 0.5, 1])
    >>> curve.sizes.tolist(), curve.each.shape
    ([24, 48, 120, 240], (4, 10))
    """
    if others := [name for name in ("vary", "resplit", "folds") if getattr(base, name)]:
        faults = [f"{name} is given: it takes one setting and one split" for name in others]
        raise SpecError("this learning curve cannot be", faults)
    known = [f"valid_{name}" for name in (*base.metrics, "loss")]
    measure = known[0] if measure is None else measure
    check_measure(measure, known)
    count = len(base.tables().of({}, 0).labels("train"))
    if fractions is None:
        fractions = even_fractions(count, base.task.outputs)
    experiment = base.but(vary={"train_fraction": list(fractions)}, repeats=repeats)
    made_up = isinstance(base.data, Synthetic)
    return curve_of(
        experiment.run(store, jobs=jobs),
        measure,
        count,
        rows="rows" if made_up or isinstance(base.data, TableData) else "pictures",
        same_rows=not made_up,
        seed=base.seed,
    )


def even_fractions(rows: int, outputs: int) -> list[float]:
    """Shares in even ratios up to all rows; see :func:`learning_curve`.

    >>> [round(100 * share) for share in even_fractions(100, outputs=1)]
    [20, 24, 30, 37, 45, 55, 67, 82, 100]
    """
    least = min(max(rows * _SMALLEST, _ROWS_OF_A_CLASS * max(outputs, 2)), rows / 2)
    sizes = np.unique(np.geomspace(max(least, 1), rows, SIZES).round())
    if len(sizes) < LEAST_SIZES:
        raise DataError(f"{rows} training rows are too few for a learning curve; it takes some 10")
    return [float(size / rows) for size in sizes]


def curve_of(
    result: "Result",
    measure: str,
    count: int,
    *,
    rows: str = "rows",
    same_rows: bool = True,
    seed: int = 0,
) -> LearningCurve:
    """The learning curve of an experiment in which ``train_fraction`` varies.

    Args:
        result: What came of it.
        measure: What is taken for the error.
        count: How many training rows there are.
        rows: What they are.
        same_rows: Whether repeats draw from the same rows, and do not make up rows of their own.
        seed: Names what the bootstrap draws.

    Raises:
        SpecError: There are fewer than four sizes.
        DataError: A training failed in every repeat.
    """
    means = result.mean(measure, "train_fraction")
    shares = np.array([group["train_fraction"] for group in means.groups])
    whole = np.isfinite(means.each).all(axis=0)
    if not whole.any():
        raise DataError(
            "in every repeat a training failed, so there is no learning curve; a lower rate helps"
        )
    each = ErrorName.of(measure).error(means.each[:, whole])
    sizes = np.array([rows_of_share(share, count) for share in shares])
    shared = shares if same_rows else 0 * shares
    variances = own_variances(sizes, each, shared)
    mean = each.mean(axis=1)
    low, high = intervals(mean, variances, shared, each.shape[1])
    weights = 1 / np.where(variances > 0, variances, 1.0)
    drawn = drawn_means(each, variances, shared, seed)
    return LearningCurve(
        measure,
        rows,
        sizes,
        each,
        mean,
        low,
        high,
        fit_power_laws(sizes, mean[None], weights),
        fit_power_laws(sizes, drawn, weights),
        int((~whole).sum()),
        same_rows,
    )


def _ends(values: Array) -> tuple[float, float]:
    """The ends of the interval that holds 95 % of some values; NaN of none."""
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
