"""What every trial came to: the curves are read once, and a few numbers of each are kept."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.measures import GAP, LOSSES, all_numbers
from secchi.experiments.settings import canonical
from secchi.text import counted
from secchi.training.history import Outcome

if TYPE_CHECKING:
    from secchi.cohort.curve import Curve
    from secchi.experiments.trials import Finished, Trial

Array = NDArray[np.float64]
Places = NDArray[np.intp]

FAILED = (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY, Outcome.REFUSED)
"""The ways in which a trial fails."""

FOLD = "fold"
"""The factor that says which rows validate."""


@dataclasses.dataclass(frozen=True, eq=False)
class Collected:
    """One number of each kind for each trial.

    Which fold validates is no property of a network: it is a part of the repeat, and a setting goes
    without it.

    Attributes:
        trials: In their order; a trial's number is its place here.
        ratio: Validating rows by training rows where repeats part the same rows in other ways; 0
            where they do not. See :func:`secchi.intervals.mean_intervals`.
        factors: The names of all factors, in the order in which they first appear.
        settings: The settings that differ, in the order in which they first appear.
        setting: The place of each trial's setting among them, (trials,).
        repeats: The repeats, ascending, each as its number and its fold; -1 where there are none.
        repeat: The place of each trial's repeat among them, (trials,).
        values: Each measure at the epoch that was kept, else the last; NaN where there is none;
            (trials,).
        outcomes: How each ended.
        epochs: How many epochs each has, (trials,).
        kept: The epoch whose weights were kept, the last where none was chosen; None of a trial
            without epochs.
        epoch_chosen: Whether the validation rows said which epoch is the last of a trial, or is
            kept, (trials,).
        alone: Why a trial was trained alone; None where it was not.
        reasons: Why a trial failed, and what helps; None where it did not.
    """

    trials: tuple["Trial", ...]
    ratio: float
    factors: tuple[str, ...]
    settings: tuple[Mapping[str, Any], ...]
    setting: Places
    repeats: tuple[tuple[int, int], ...]
    repeat: Places
    values: Mapping[str, Array]
    outcomes: tuple[Outcome, ...]
    epochs: NDArray[np.int64]
    kept: tuple[int | None, ...]
    epoch_chosen: NDArray[np.bool_]
    alone: tuple[str | None, ...]
    reasons: tuple[str | None, ...]

    @classmethod
    def of(cls, finished: "Iterable[Finished]", ratio: float = 0.0) -> "Collected":
        """Read every trial once, in order; of the curves only the numbers above are kept."""
        trials, outcomes, epochs, kept, chosen, alone, reasons = [], [], [], [], [], [], []
        rows: list[dict[str, float]] = []
        names = dict.fromkeys(LOSSES)
        for one in finished:
            curve = one.curve
            trials.append(one.trial)
            outcomes.append(curve.outcome)
            epochs.append(len(curve.valid_loss))
            kept.append(len(curve.valid_loss) - 1 if curve.kept is None else curve.kept)
            alone.append(one.alone)
            reasons.append(_reason(one))
            rows.append(_last(curve))
            names |= dict.fromkeys(f"valid_{name}" for name in curve.metrics)
            chosen.append(curve.kept is not None or curve.outcome is Outcome.STOPPED_EARLY)
        values = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
        factors = dict.fromkeys(name for trial in trials for name in trial.setting)
        return cls(
            tuple(trials),
            ratio,
            tuple(factors),
            *_places([_without_fold(trial.setting) for trial in trials]),
            *_repeats([(trial.repeat, trial.setting.get(FOLD, -1)) for trial in trials]),
            values,
            tuple(outcomes),
            np.array(epochs, dtype=np.int64),
            tuple(epoch if epoch >= 0 else None for epoch in kept),
            np.array(chosen, dtype=np.bool_),
            tuple(alone),
            tuple(reasons),
        )

    def apart(self, by: Sequence[str]) -> "Collected":
        """The same; where the fold is among the factors that are asked for, it is one."""
        if FOLD not in by:
            return self
        settings, setting = _places([trial.setting for trial in self.trials])
        repeats, repeat = _repeats([(trial.repeat, -1) for trial in self.trials])
        return dataclasses.replace(
            self, settings=settings, setting=setting, repeats=repeats, repeat=repeat
        )

    @property
    def folds(self) -> int:
        """Into how many folds the trials of a repeat are parted; 1 where there are none."""
        return len({fold for _, fold in self.repeats})

    @property
    def repeats_text(self) -> str:
        """How many repeats there are, with how many folds."""
        text = counted(len({repeat for repeat, _ in self.repeats}), "repeat", "repeats")
        return f"{text} x {self.folds:,} folds" if self.folds > 1 else text

    @property
    def measures(self) -> tuple[str, ...]:
        """What can be asked for by name: the losses, their gap, and the metrics."""
        return (*self.values, GAP)

    @property
    def varied(self) -> tuple[str, ...]:
        """The factors that have more than one value, but for the fold."""
        return tuple(
            name
            for name in self.factors
            if len({canonical(setting.get(name)) for setting in self.settings}) > 1
        )

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether each trial failed, (trials,)."""
        return np.array([outcome in FAILED for outcome in self.outcomes], dtype=np.bool_)

    def usual(self, besides: Sequence[str]) -> dict[str, Any]:
        """The value that most settings have of each factor that varies, but for some factors."""
        found = {}
        for name in self.varied:
            if name not in besides:
                values = [setting.get(name) for setting in self.settings]
                keys = [canonical(value) for value in values]
                found[name] = values[keys.index(Counter(keys).most_common(1)[0][0])]
        return found

    def matrix(self, values: NDArray[Any], absent: Any = np.nan) -> NDArray[Any]:
        """Values of the trials as (settings, repeats, …); ``absent`` where there is no trial."""
        shape = (len(self.settings), len(self.repeats), *values.shape[1:])
        found = np.full(shape, absent, dtype=values.dtype)
        found[self.setting, self.repeat] = values
        return found

    def finals(self, measure: str) -> Array:
        """A measure as (settings, repeats): NaN where a trial failed, or where there is none."""
        if measure == GAP:
            each = self.values["valid_loss"] - self.values["train_loss"]
        else:
            each = self.values[measure]
        return self.matrix(np.where(self.failed, np.nan, each))

    def courses(self, measure: str, finished: "Sequence[Finished]") -> Array:
        """A measure as (settings, repeats, epochs), from another reading of the curves.

        NaN after a trial's last epoch, where it failed, and where there is none.
        """
        epochs = int(self.epochs.max(initial=0))
        found = np.full((len(self.settings), len(self.repeats), epochs), np.nan)
        places = zip(finished, self.setting, self.repeat, self.failed, strict=True)
        for one, setting, repeat, failed in places:
            if not failed:
                found[setting, repeat, : len(one.curve.valid_loss)] = course(one.curve, measure)
        return found

    def grouped(self, by: Sequence[str]) -> tuple[tuple[dict[str, Any], ...], Places]:
        """The groups of settings that have the same values of some factors, in order.

        Groups stand in the order of their numbers, else in that in which they first appear. Groups
        by the fold are those of :meth:`apart`.

        Returns:
            The values of each group by factor, and the group of each setting, (settings,).
        """
        found = [{name: setting.get(name) for name in by} for setting in self.settings]
        ranks = [_ranks([group[name] for group in found]) for name in by]
        keys = list(zip(*ranks, strict=True)) if by else [()] * len(found)
        groups = dict(zip(keys, found, strict=True))
        places = {key: place for place, key in enumerate(sorted(groups))}
        ordered = tuple(groups[key] for key in sorted(groups))
        return ordered, np.array([places[key] for key in keys], dtype=np.intp)


def course(curve: "Curve", measure: str) -> Array:
    """A measure by epoch, (epochs,)."""
    if measure == GAP:
        return curve.valid_loss - curve.train_loss
    if measure in LOSSES:
        return curve.train_loss if measure == "train_loss" else curve.valid_loss
    found = curve.metrics.get(measure.removeprefix("valid_"))
    return np.full(len(curve.valid_loss), np.nan) if found is None else found


def _reason(finished: "Finished") -> str | None:
    """Why a trial failed, without the name of how it ended."""
    outcome = finished.curve.outcome
    return finished.fault or outcome.partition(": ")[2] if outcome in FAILED else None


def _last(curve: "Curve") -> dict[str, float]:
    """Every measure at the epoch that was kept, else the last; nothing without epochs."""
    if not len(curve.valid_loss):
        return {}
    at = -1 if curve.kept is None else curve.kept
    row = {"train_loss": float(curve.train_loss[at]), "valid_loss": float(curve.valid_loss[at])}
    return row | {f"valid_{name}": float(each[at]) for name, each in curve.metrics.items()}


def _ranks(values: list[Any]) -> list[int]:
    """The place of each value among those that differ: numbers by size, else as they come."""
    distinct = {canonical(value): value for value in values}
    order = sorted(distinct, key=distinct.__getitem__) if all_numbers(values) else list(distinct)
    places = {key: place for place, key in enumerate(order)}
    return [places[canonical(value)] for value in values]


def _without_fold(setting: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in setting.items() if name != FOLD}


def _places(
    settings: Sequence[Mapping[str, Any]],
) -> tuple[tuple[Mapping[str, Any], ...], Places]:
    """The settings that differ, as they first appear, and the place of each among them."""
    keys = [canonical(setting) for setting in settings]
    firsts = dict(zip(reversed(keys), reversed(settings), strict=True))
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    found = np.array([places[key] for key in keys], dtype=np.intp)
    return tuple(firsts[key] for key in places), found


def _repeats(
    repeats: Sequence[tuple[int, int]],
) -> tuple[tuple[tuple[int, int], ...], Places]:
    """The repeats that differ, ascending, and the place of each among them."""
    ordered = sorted(set(repeats))
    places = {repeat: place for place, repeat in enumerate(ordered)}
    return tuple(ordered), np.array([places[repeat] for repeat in repeats], dtype=np.intp)
