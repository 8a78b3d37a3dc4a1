"""Scores of a network when every row validates once, and how sure their mean is."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError, SpecError
from secchi.experiments.reading.measures import measure_range, measure_text
from secchi.experiments.reading.validation_rows import ValidationRows
from secchi.files import finite
from secchi.intervals import LEVEL, mean_intervals
from secchi.text import counted, interval_cell, number, table
from secchi.values import is_whole

if TYPE_CHECKING:
    import os

    from secchi.experiments.experiment import Experiment

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
    """The scores of k folds, each of which validates once; several times with other folds.

    Folds have training rows in common, which the interval of a mean counts: it is that of
    :func:`secchi.intervals.mean_intervals` over all k times repeats scores.

    Attributes:
        name: Of the data.
        k: How many folds.
        repeats: How often all rows were folded.
        scores: By measure, such as ``"valid_accuracy"``, that of each fold, (repeats, k); NaN where
            a training failed.
        rows: How many rows there are in all folds.
        epoch_chosen: Whether the fold that validates said of some training which epoch is the last,
            or is kept.
        ratio: Validating rows by training rows, as
            :class:`secchi.experiments.reading.validation_rows.ValidationRows` has it.
    """

    name: str
    k: int
    repeats: int
    scores: Mapping[str, Array]
    rows: int
    epoch_chosen: bool
    ratio: float

    @property
    def failed(self) -> int:
        """In how many folds the training failed."""
        return int(np.isnan(self.scores["valid_loss"]).sum())

    def mean(self, measure: str) -> tuple[float, float, float]:
        """The mean over all folds of a measure, and the ends of its 95 % interval.

        The ends are NaN where there are two scores or fewer, and where all are the same.

        Raises:
            DataError: There is no such measure.
        """
        if measure not in self.scores:
            known = ", ".join(self.scores)
            raise DataError(f"there is no measure {measure!r}, only {known}")
        scores, within = self.scores[measure].ravel(), measure_range(measure)
        mean, low, high = mean_intervals(scores, ratio=self.ratio, within=within)
        return float(mean), float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; numbers that are not finite are None."""
        measures = {}
        for measure, scores in self.scores.items():
            mean, low, high = self.mean(measure)
            measures[measure] = {"mean": mean, "low": low, "high": high, "scores": scores.tolist()}
        names = ("name", "k", "repeats", "rows", "epoch_chosen", "failed")
        document = {name: getattr(self, name) for name in names} | {"measures": measures}
        plain: dict[str, Any] = finite(document)
        return plain

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [["", "mean", f"{100 * LEVEL:g} % interval", "lowest fold", "highest fold"]]
        for measure, scores in self.scores.items():
            mean, low, high = self.mean(measure)
            there = scores[np.isfinite(scores)]
            interval = interval_cell(low, high, len(there))
            ends = (there.min(initial=math.inf), there.max(initial=-math.inf))
            cells = [number(float(end)) if len(there) else "-" for end in ends]
            rows.append([measure_text(measure), number(mean), interval, *cells])
        several = f", {self.repeats:,} times" if self.repeats > 1 else ""
        failed = f"; {counted(self.failed, 'fold', 'folds')} failed" if self.failed else ""
        what = (
            f"{self.name}: {counted(self.rows, 'row', 'rows')} in {self.k} folds{several}{failed}"
        )
        return "\n".join([what, table(rows), *self._notes])

    @property
    def _notes(self) -> list[str]:
        """What there is to know of the scores."""
        few = self.k * self.repeats - self.failed <= 2
        notes = [
            "two scores are too few for an interval: repeats=3 folds the rows anew"
            if few
            else "the interval is of the mean; it counts that folds have training rows in common "
            "(Nadeau and Bengio 2003)"
        ]
        if self.epoch_chosen:
            notes.append(
                "each fold that validates also chose the epoch, which makes its score optimistic"
            )
        return notes


def cross_validate(
    base: "Experiment",
    k: int = 5,
    repeats: int = 1,
    *,
    store: "str | os.PathLike[str] | None" = None,
    jobs: int | None = None,
) -> CrossValidation:
    """Train a network on all folds but one, for each of them.

    Args:
        base: An experiment in which nothing varies: data, model, training, metrics and seed.
        k: How many folds.
        repeats: How many times, each with other folds.
        store: As for :meth:`secchi.Experiment.run`.
        jobs: Likewise.

    Raises:
        SpecError: With every fault.
        DataError: Rows that cannot be folded; or every training failed.

    >>> from secchi import MLP, Experiment, Qwerties, Training
    >>> rows = Experiment(Qwerties(rows=90), MLP([]), Training(epochs=5))
    >>> found = cross_validate(rows, k=3)
    >>> list(found.scores), found.scores["valid_accuracy"].shape
    (['valid_loss', 'valid_accuracy'], (1, 3))
    """
    faults = [] if is_whole(k) and k >= 2 else [f"k is {k!r}, not a whole number from 2 on"]
    if base.vary:
        faults.append(f"{', '.join(base.vary)} would vary: it takes one setting")
    if faults:
        raise SpecError("this cross-validation cannot be", faults)
    experiment = base.but(
        vary={"fold": list(range(k))}, folds=k, repeats=repeats, resplit=repeats != 1
    )
    result = experiment.run(store, jobs=jobs)
    names = ("valid_loss", *(f"valid_{name}" for name in experiment.measured))
    scores = {name: result.mean(name, "fold").each.T for name in names}
    if np.isnan(scores["valid_loss"]).all():
        raise DataError("the training failed in every fold; a lower rate helps")
    table = experiment.tables().of({"fold": 0}, 0)
    rows = len(table.labels("train")) + len(table.labels("valid"))
    chosen = result.best("valid_loss").epoch_chosen
    ratio = ValidationRows.of(result.document).ratio
    return CrossValidation(experiment.name, int(k), repeats, scores, rows, chosen, ratio)
