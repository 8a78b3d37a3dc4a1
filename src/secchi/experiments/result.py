"""What came of an experiment: its trials, and every question that can be asked of them."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secchi.errors import DataError, SpecError
from secchi.experiments.reading.asked import Asked, asked_about
from secchi.experiments.reading.best import Best, best_of
from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.curves import MeanCurves, mean_curves
from secchi.experiments.reading.effects import Effects, effects_of
from secchi.experiments.reading.failures import Failures, all_failed, failures_of
from secchi.experiments.reading.frames import final_frame, whole_frame, write_parquet
from secchi.experiments.reading.means import Difference, Means, means_of
from secchi.experiments.reading.measures import (
    GAP,
    LOSSES,
    check_factors,
    check_measure,
    measure_text,
    unit_fault,
    usual_measure,
)
from secchi.experiments.reading.ranking import Ranking, ranking_of
from secchi.experiments.reading.replay import Replay, replayed
from secchi.experiments.reading.validation_rows import ValidationRows
from secchi.text import counted
from secchi.values import is_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from secchi.cohort.curve import Curve
    from secchi.experiments.experiment import Experiment
    from secchi.experiments.trials import Finished, Trial


class Result:
    """The finished trials of an experiment.

    A measure is ``"train_loss"``, ``"valid_loss"``, ``"valid_<metric>"`` such as
    ``"valid_accuracy"``, or ``"gap"``, the validation loss less the training loss. None takes the
    first metric, or the validation loss where there is none. Of each trial it is that of the epoch
    that was kept, else of the last.

    Trials that failed (their loss was no longer a number, there was no memory, or they could not be
    trained at all) are in the tables, are left out of every mean, and are counted beside it.

    Losses of numbers are in units of the spread of the training rows, so that those of settings
    with other training rows, or other ways to scale, cannot be compared: this is refused.

    Args:
        document: The experiment as plain values, as ``Experiment.to_dict`` gives it.
        finished: Its trials in their order. A sequence that reads them when they are asked for
            keeps memory small: only ``table`` and ``curves`` hold more than a few numbers of each.
        experiment: The experiment itself, which :meth:`replay` needs.
        computed: How many trials the run that gives this result trained; the others were finished
            before, or by another process. None where it was read.

    >>> from secchi.cohort.curve import Curve
    >>> from secchi.experiments.trials import Finished, Trial
    >>> from secchi.training.history import Outcome
    >>> import numpy as np
    >>> def made(lr, repeat):
    ...     loss = np.array([1.0, 0.5 + lr + 0.1 * lr * repeat])
    ...     curve = Curve(loss, loss, {}, Outcome.COMPLETED, 2, None)
    ...     return Finished(Trial({"lr": lr}, repeat), curve, None, 0.1)
    >>> result = Result({"name": "toy"}, [made(lr, r) for r in range(3) for lr in (0.1, 0.2)])
    >>> print(result)
    toy: 6 trials (2 settings x 3 repeats), none failed
    best of 2 settings: lr = 0.1
    validation loss: 0.6100 (95 % interval 0.5852 to 0.6348), 3 repeats
    ahead of the next, lr = 0.2, by 0.1100 (95 % interval 0.0852 to 0.1348): beyond the noise
    after choosing: 0.6100 (optimism 0.0000)
    the luck of these validation rows stays in it; the interval is of weights and batches alone; \
validating on every fold takes it out (folds=5, and fold varies)
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        finished: "Sequence[Finished]",
        experiment: "Experiment | None" = None,
        computed: int | None = None,
    ) -> None:
        self.document = document
        self.finished = finished
        self.experiment = experiment
        self.computed = computed

    def __len__(self) -> int:
        return len(self.finished)

    # ---------------------------------------------------------------- trials and tables

    @property
    def trials(self) -> "tuple[Trial, ...]":
        """Which trials there are; a trial's number is its place."""
        return self._collected.trials

    @property
    def failed(self) -> "tuple[Trial, ...]":
        """The trials that failed."""
        pairs = zip(self.trials, self._collected.failed, strict=True)
        return tuple(trial for trial, failed in pairs if failed)

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that have more than one value."""
        return self._collected.varied

    @property
    def measures(self) -> tuple[str, ...]:
        """What can be asked for by name."""
        return self._collected.measures

    def curve(self, number: int) -> "Curve":
        """The curve of a trial, by its number.

        Raises:
            DataError: There is no such trial.
        """
        return self._trial(number).curve

    @cached_property
    def final(self) -> "pd.DataFrame":
        """One row a trial.

        Columns: ``trial`` (its number), the factors, ``repeat``, ``train_loss``, ``valid_loss``,
        ``valid_<metric>``, ``outcome``, ``epochs`` (how many it was trained; ``trained_epochs``
        where ``epochs`` is a factor), ``kept`` (the epoch, from 0, of which the values are: the one
        that was kept, else the last), and ``reason`` (why it failed, and what helps). Values are
        NaN, and ``kept`` is nothing, where a trial failed before the first epoch ended. Values of
        factors that are neither numbers nor truth values are text, and None is ``"none"``, so that
        ``final.groupby(factor)`` loses no row.
        """
        return final_frame(self._collected)

    @property
    def table(self) -> "pd.DataFrame":
        """One row a trial and epoch: the same columns up to the metrics, and ``epoch`` from 0.

        Made anew each time: 10,000 trials of 500 epochs are five million rows.
        """
        return whole_frame(self._collected, self.finished)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write :attr:`table` as a Parquet file, whole or not at all.

        A factor that has both numbers and None is text there, since a column is of one kind.

        Raises:
            DataError: The package pyarrow is not installed.
        """
        write_parquet(lambda: self.table, Path(os.path.abspath(os.fspath(path))))

    # ---------------------------------------------------------------- questions

    def mean(self, measure: str | None = None, *by: str) -> Means:
        """Means over repeats with their 95 % intervals, paired differences among them.

        Args:
            measure: What; see the class.
            by: The factors that tell groups apart; over all others means are taken, but in a
                design that changes one factor at a time, where the others are as in the base.
                None takes every factor.

        Raises:
            SpecError: There is no such measure or factor; or it is a loss, in other units for each
                group.
        """
        by = self._by(by)
        asked = self._asked(by)
        return means_of(asked.collected, self._compared(measure, by), by, asked.remark)

    def compare(
        self, one: Mapping[str, Any], other: Mapping[str, Any], measure: str | None = None
    ) -> Difference:
        """How two settings differ, or all trials with some values from those with others.

        Paired by repeat. It is one comparison: of the best of many with another setting, chosen on
        the same scores, the difference is larger than it is on others.

        Args:
            one: A value for each of some factors, such as ``{"lr": 0.1}``.
            other: Other values of the same factors; what is found is the first less this.
            measure: What; see the class.

        Raises:
            SpecError: They are not of the same factors, or no trial has such values.

        >>> from secchi import MLP, Experiment, Moons, Training
        >>> sgd = Training("sgd", batch_size=32, epochs=20)
        >>> rates = Experiment(Moons(), MLP([8]), sgd, {"lr": [0.001, 0.1]}, repeats=5).run()
        >>> rates.compare({"lr": 0.1}, {"lr": 0.001}).beyond_noise
        True
        """
        if set(one) != set(other):
            fault = f"one is of {', '.join(one)} and the other of {', '.join(other)}"
            raise SpecError("these trials cannot be compared", [fault])
        means = self.mean(measure, *one)
        return means.difference(means.place_of(one), means.place_of(other))

    def curves(self, measure: str | None = None, *by: str) -> MeanCurves:
        """Means over repeats after every epoch; arguments as of :meth:`mean`."""
        return self._curves(measure, self._by(by))

    def gap(self, *by: str) -> MeanCurves:
        """The generalisation gap by epoch: the validation loss less the training loss.

        The training loss is a mean over an epoch in which the weights were changing, with dropout:
        early, or with much dropout, the gap is below zero.
        """
        return self.curves(GAP, *by)

    def failures(self, *by: str) -> Failures:
        """The share of trials that failed, with intervals, and at which values; as :meth:`mean`."""
        by = self._by(by)
        return failures_of(self._asked(by).collected, by)

    def rank(self, measure: str | None = None) -> Ranking:
        """All settings in order, and which of them cannot be told from the first.

        What is compared is said at :class:`secchi.experiments.reading.ranking.Ranking`, the
        formulas stand at :func:`secchi.experiments.reading.comparing.compare`. With fewer than
        three repeats nothing is said about noise.
        """
        return ranking_of(self._collected, self._compared(measure), self._rows.caution)

    def best(self, measure: str | None = None) -> Best:
        """The best setting, by how much it leads, and how much of its score is luck.

        A setting that has a number in every repeat, where there is one. The best of many looks
        better than it is, for it was chosen by the same scores: choosing on all repeats but one and
        scoring on that one tells by how much. Over folds, one is left out of all repeats. Where
        repeats have the same validation rows, what choosing gained on those rows stays in that
        score too; with ``resplit=True`` a part of it, for what validates in one repeat does so in
        others. Made-up rows and folds leave none. What choosing the epoch gained, by early stopping
        or ``keep_best``, stays in any case.
        Intervals count that splits of the same rows have most of them in common
        (:func:`secchi.intervals.mean_intervals`).

        Raises:
            DataError: No trial came to an end.
        """
        found = best_of(self._collected, self._compared(measure), self._rows)
        if found is None:
            nothing = f"no trial has a number of the {measure_text(self._measure(measure))}"
            raise DataError(f"no setting is best: {all_failed(self._collected) or nothing}")
        return found

    def effects(self, measure: str | None = None) -> Effects:
        """How much each factor matters, and each two together; what is noise is called so.

        The formulas stand at :func:`secchi.experiments.reading.variance.variance_of`.
        """
        return effects_of(self._collected, self._compared(measure), self._rows.caution)

    def replay(self, trial: "int | Trial") -> Replay:
        """Train a trial alone, by the ordinary loop, and compare it with what was kept.

        Args:
            trial: It, or its number.

        Raises:
            DataError: There is no such trial, or the experiment is not at hand.
        """
        number = self.trials.index(trial) if trial in self.trials else trial
        if self.experiment is None:
            raise DataError(
                "this result was read without its data; Experiment.from_dict(result.document), or "
                "the experiment as it was written, has run(store) and replays its trials"
            )
        return replayed(self._trial(number), self.experiment)

    # ---------------------------------------------------------------- figures

    def plot(
        self, x: str, y: str | None = None, color: str | None = None, smooth: int | None = None
    ) -> "Figure":
        """Draw means with their intervals over repeats.

        Args:
            x: A factor; or ``"epoch"``, for curves.
            y: The measure.
            color: A factor with a line for each value; of more than eight lines the intervals are
                left out, and the figure says so.
            smooth: Over how many epochs, or values of ``x``, to smooth (an odd number); the figure
                says so. None does not.
        """
        by = () if color is None else (color,)
        if x == "epoch":
            course = self._curves(y, self._checked(by))
            return (course if smooth is None else course.smoothed(smooth)).plot()
        found = self.mean(y, x, *by)
        return (found if smooth is None else found.smoothed(smooth)).plot()

    def heatmap(self, x: str, y: str, measure: str | None = None) -> "Figure":
        """Draw means over two factors, ``x`` from left to right and ``y`` from bottom to top."""
        return self.mean(measure, y, x).heatmap()

    def plots(self, folder: str | os.PathLike[str], measure: str | None = None) -> list[Path]:
        """Draw what a design lends itself to, as PNG files in a folder.

        Args:
            folder: Is made where it is not there.
            measure: What the figures are of, but for those of losses.

        Returns:
            The files, in the order in which they are best looked at.

        Raises:
            SecchiError: The folder is a file, or cannot be written to.
        """
        from secchi.experiments.reading.plots import draw

        return draw(self, Path(os.path.abspath(os.fspath(folder))), self._measure(measure))

    # ---------------------------------------------------------------- in words

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        collected = self._collected
        what = counted(len(collected.settings), "setting", "settings")
        failed = "" if self.failed else ", none failed"
        name = self.document.get("name") or "experiment"
        trials = counted(len(self), "trial", "trials")
        lines = [f"{name}: {trials} ({what} x {collected.repeats_text}){failed}"]
        if self.failed:
            failing = self._failing()
            lines += [failing.verdict, *failing.reasons]
        if fault := self._unit_fault(self._measure(None), self.factors):
            return "\n".join([*lines, fault])
        found = best_of(collected, self._measure(None), self._rows) if len(self) else None
        return "\n".join([*lines, *([] if found is None else [str(found)])])

    # ---------------------------------------------------------------- helpers

    def _failing(self) -> Failures:
        """The failures by the factor whose values tell most about them."""
        found = [failures_of(self._collected, [name]) for name in self.factors]
        found = found or [failures_of(self._collected, [])]
        return max(found, key=lambda one: float((one.runs * one.share**2).sum()))

    @cached_property
    def _collected(self) -> Collected:
        return Collected.of(self.finished, self._rows.ratio)

    @property
    def _rows(self) -> ValidationRows:
        return ValidationRows.of(self.document)

    def _measure(self, measure: str | None) -> str:
        known = self._collected.measures
        if measure is None:
            return usual_measure(known)
        if known == (*LOSSES, GAP) and (why := all_failed(self._collected)):
            raise DataError(f"{measure!r} was not measured: {why}")
        check_measure(measure, known)
        return measure

    def _compared(self, measure: str | None, by: Sequence[str] | None = None) -> str:
        """A measure that settings, or groups of them by some factors, can be compared by."""
        measure = self._measure(measure)
        if fault := self._unit_fault(measure, self.factors if by is None else by):
            raise SpecError("these trials cannot be compared so", [fault])
        return measure

    def _curves(self, measure: str | None, by: Sequence[str]) -> MeanCurves:
        asked = self._asked(by)
        measure = self._measure(measure)
        return mean_curves(asked.collected, asked.finished, measure, by, asked.remark)

    def _asked(self, by: Sequence[str]) -> Asked:
        design = self.document.get("design", "grid")
        return asked_about(by, self._collected, self.finished, design)

    def _unit_fault(self, measure: str, by: Sequence[str]) -> str | None:
        names = [name for name in self.document.get("loss_units", ()) if name in by]
        return unit_fault(measure, names)

    def _by(self, by: tuple[str, ...]) -> tuple[str, ...]:
        return self._checked(by) or self._collected.varied

    def _checked(self, by: tuple[str, ...]) -> tuple[str, ...]:
        check_factors(by, self._collected.factors)
        return by

    def _trial(self, number: Any) -> "Finished":
        if not (is_whole(number) and 0 <= number < len(self)):
            raise DataError(
                f"there is no trial {number!r}; they are numbered from 0 to {len(self) - 1:,}"
            )
        found: Finished = self.finished[number]
        return found
