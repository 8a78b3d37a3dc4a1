"""Trials that are finished: as rows of a table, and as a sequence that reads them when asked."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from secchi.cohort.curve import Curve
from secchi.experiments.storing.curve_block import packed, unpacked
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

AT_ONCE = 256
"""Trials that are read together: 3 MB of curves of 500 epochs."""


class FinishedTrials(Sequence[Finished]):
    """Trials that are finished, read when they are asked for, so that few are in memory.

    Args:
        fetch: Reads those with some keys, in their order.
        keys: Of all of them.

    >>> lazy = FinishedTrials(lambda keys: [key.upper() for key in keys], ["a", "b", "c"])
    >>> lazy[0], lazy[-1], list(lazy[1:]), list(lazy)
    ('A', 'C', ['B', 'C'], ['A', 'B', 'C'])
    """

    def __init__(
        self, fetch: Callable[[Sequence[str]], list[Finished]], keys: Sequence[str]
    ) -> None:
        self._fetch = fetch
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> Finished: ...
    @overload
    def __getitem__(self, place: slice) -> "FinishedTrials": ...
    def __getitem__(self, place: int | slice) -> "Finished | FinishedTrials":
        if isinstance(place, slice):
            return FinishedTrials(self._fetch, self._keys[place])
        return self._fetch([self._keys[place]])[0]

    def __iter__(self) -> Iterator[Finished]:
        for start in range(0, len(self), AT_ONCE):
            yield from self._fetch(self._keys[start : start + AT_ONCE])


def curve_row(finished: Finished) -> tuple[Any, ...]:
    """A finished trial as a row of ``curves``; :func:`finished_trial` brings it back."""
    curve = finished.curve
    return (
        finished.trial.key,
        curve.outcome.name,
        curve.steps,
        curve.kept,
        json.dumps(list(curve.metrics)),
        packed(curve),
        finished.alone,
        finished.seconds,
        finished.fault,
    )


def finished_trial(trial: Sequence[Any], curve: Sequence[Any]) -> Finished:
    """A finished trial from its row of ``trials`` and that of ``curves``.

    Args:
        trial: Its setting and repeat.
        curve: What :func:`curve_row` gave, without the key.

    Raises:
        ValueError: The numbers are not what was written.
    """
    setting, repeat = trial
    outcome, steps, kept, names, block, alone, seconds, fault = curve
    try:
        train, valid, metrics = unpacked(block, json.loads(names))
        of = Trial(json.loads(setting), repeat)
    except TypeError as error:  # NULL, say, where bytes or text were written
        raise ValueError(str(error)) from None
    numbers = Curve(train, valid, metrics, Outcome[outcome], steps, kept)
    return Finished(of, numbers, alone, seconds, fault)
