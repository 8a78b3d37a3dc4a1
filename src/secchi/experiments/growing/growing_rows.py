"""Training with more and more of the rows, for a learning curve."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from secchi.data.synthetic import Synthetic
from secchi.data.table import TableData
from secchi.errors import DataError, SpecError
from secchi.experiments.growing.few_steps import cut_short
from secchi.experiments.growing.forecast import ErrorName
from secchi.experiments.growing.learning_curve import FAILED, LearningCurve
from secchi.experiments.growing.power_law import LEAST_SIZES, fit_power_laws, size_faults
from secchi.experiments.growing.row_luck import drawn_means, intervals, own_variances
from secchi.experiments.reading.measures import check_measure, unit_fault
from secchi.experiments.reading.validation_rows import ValidationRows
from secchi.experiments.tables import rows_of_share

if TYPE_CHECKING:
    import os

    from secchi.experiments.experiment import Experiment
    from secchi.experiments.result import Result

SIZES = 9
"""So many sizes are trained where nobody says."""

_SMALLEST = 1 / 16
_ROWS_OF_A_CLASS = 10

_ROUNDING = 1e-6
"""What is below zero by less is zero, as a divergence of equal shares can be in float32."""


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

    Each training has as many epochs as that of the base, so that smaller sizes take fewer steps;
    where those are too few, it is said.

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
        DataError: There are too few rows, a training failed in every repeat, or a loss of one's own
            lies below zero.

    >>> from secchi import MLP, Experiment, Qwerties, Training
    >>> rows = Experiment(Qwerties(rows=300), MLP([]), Training(epochs=5))
    >>> curve = learning_curve(rows, [0.1, 0.2, 0.5, 1])
    >>> curve.sizes.tolist(), curve.each.shape
    ([24, 48, 120, 240], (4, 10))
    """
    if others := [name for name in ("vary", "resplit", "folds") if getattr(base, name)]:
        faults = [f"{name} is given: it takes one setting and one split" for name in others]
        raise SpecError("this learning curve cannot be", faults)
    known = [f"valid_{name}" for name in (*base.measured, "loss")]
    measure = known[0] if measure is None else measure
    check_measure(measure, known)
    count = len(base.tables().of({}, 0).labels("train"))
    if fractions is None:
        fractions = even_fractions(count, base.task.outputs)
    experiment = base.but(vary={"train_fraction": list(fractions)}, repeats=repeats)
    _check(experiment, measure, count)
    return curve_of(
        experiment.run(store, jobs=jobs),
        measure,
        count,
        rows="rows" if isinstance(base.data, TableData | Synthetic) else "pictures",
        seed=base.seed,
    )


def _check(experiment: "Experiment", measure: str, count: int) -> None:
    """Refuse what no learning curve would come of, before anything is trained."""
    sizes = [rows_of_share(each["train_fraction"], count) for each in experiment.settings]
    faults = size_faults(sizes)
    if fault := unit_fault(measure, experiment.to_dict()["loss_units"]):
        faults.append(fault)
    if faults:
        raise SpecError("this learning curve cannot be", faults)


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
    seed: int = 0,
) -> LearningCurve:
    """The learning curve of an experiment in which ``train_fraction`` varies.

    Args:
        result: What came of it.
        measure: What is taken for the error.
        count: How many training rows there are.
        rows: What they are.
        seed: Names what the bootstrap draws.

    Raises:
        SpecError: There are fewer than four sizes.
        DataError: A training failed in every repeat, or a loss of one's own lies below zero.
    """
    means = result.mean(measure, "train_fraction")
    shares = np.array([group["train_fraction"] for group in means.groups])
    whole = np.isfinite(means.each).all(axis=0)
    if not whole.any():
        raise DataError(
            f"in every repeat {FAILED}, so there is no learning curve; a lower rate, or larger "
            "fractions, may help"
        )
    name, courses = ErrorName.of(measure), result.curves("valid_loss", "train_fraction")
    each = name.error(means.each[:, whole])
    if each.min() < -_ROUNDING:
        raise DataError(
            f"the {name.text} goes down to {each.min():.4g}, and a learning curve takes errors "
            "from 0 on; choose a metric as the measure"
        )
    sizes = np.array([rows_of_share(share, count) for share in shares])
    validation = ValidationRows.of(result.document)
    shared = shares if validation.same else 0 * shares
    variances = own_variances(sizes, each, shared)
    mean = each.mean(axis=1)
    low, high = intervals(mean, variances, shared, each.shape[1], name.most)
    weights = 1 / np.where(variances > 0, variances, 1.0)
    others = np.array(validation.others(measure, float(means.each[-1, whole].mean())))
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
        validation.same,
        cut_short(courses, result.document),
        courses.mean.shape[1],
        validation.number,
        *sorted(name.error(others).tolist()),
    )
