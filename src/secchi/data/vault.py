"""The sealed test set's ledger: who looked at which test set, how often, and why.

Nobody is stopped and nothing is hidden. Each opening of a test set is a line, each result of a
model on it another one, and every result comes with the count of all of them. A test set is known
by the contents of its rows, so the count goes on in new processes, for copies, and for tables that
were renamed, put in another order, extended or split anew.
"""

import dataclasses
import math
import os
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secchi import __version__
from secchi.data.ledger_file import LedgerFile, Unreachable, shared_rows
from secchi.data.looks import Look, Looks, Overlap, TestSet
from secchi.data.optimism import optimism
from secchi.errors import DataError
from secchi.files import finite


class Ledger:
    """Where looks at test sets are written down.

    A line is in the file when the call that adds it returns, and several processes can add lines
    at once. The file holds digests of rows, digests and names of models, metrics, numbers, times
    and reasons: no row can be read from it, but who has a row can find out whether it was in a
    test set. Each test set takes eight bytes a row, half a MiB at the most.

    Where the file cannot be written or read, the looks of this process are counted in its memory,
    and ``trouble`` and the remarks of :meth:`looks` say so.

    Args:
        path: The file; None takes ``SECCHI_LEDGER``, or else ``test-ledger.sqlite`` in the user's
            data folder (on Linux ``~/.local/share/secchi``).

    >>> import tempfile
    >>> import numpy as np
    >>> ledger = Ledger(tempfile.mkdtemp() + "/ledger.sqlite")
    >>> test = TestSet.of(np.arange(320, dtype=np.uint64))
    >>> opening = ledger.note_opening(test, "the choices are made")
    >>> for name in ("16", "16-32"):
    ...     _ = ledger.note_result(test, opening, model=name, name=name, metric="r", value=0.8)
    >>> print(TestReport.of(ledger.looks(test), "r", standard_error=0.02))
    this test set was opened once and looked at twice, by 2 models (16, 16-32)
    by luck alone the best of 2 on 320 different rows shows up to about 0.011 more r than it has
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        path = path or os.environ.get("SECCHI_LEDGER") or None
        if path is None:
            import platformdirs

            path = platformdirs.user_data_path("secchi") / "test-ledger.sqlite"
        self.path = Path(os.path.abspath(os.path.expanduser(path)))

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    def note_opening(self, test: TestSet, reason: str) -> Look:
        """Write down that a test set is opened.

        Args:
            test: The test set.
            reason: Why now.

        Raises:
            DataError: There is no reason, or the file is damaged, of a newer format, or of
                something else.
        """
        if not (isinstance(reason, str) and reason.strip()):
            raise DataError("opening the test split needs a reason, in words")
        return self._add(test, reason)

    def note_result(
        self,
        test: TestSet,
        opening: Look,
        *,
        model: str,
        name: str,
        metric: str,
        value: float | None,
    ) -> Look:
        """Write down a model's result on a test set that was opened.

        One line a look: the metric to give is the one by which models are chosen.

        Args:
            test: The test set.
            opening: What :meth:`note_opening` returned, or an earlier opening of the same set.
            model: What identifies the model, such as a digest of its weights: another look by the
                same one is another line, and no other model.
            name: What a person calls it.
            metric: What the value measures, such as ``"accuracy"``.
            value: The result; None where there is none.

        Raises:
            DataError: The opening is of another test set, or the file is damaged, of a newer
                format, or of something else.
        """
        if opening.test != test.fingerprint:
            raise DataError(
                f"the opening {opening.id} is of the test set {opening.test[:12]}, and this is "
                f"{test.fingerprint[:12]}; note an opening of this one first"
            )
        return self._add(test, opening.reason, opening.id, model, name, metric, value)

    def looks(self, test: TestSet) -> Looks:
        """All looks at a test set so far, and at others that share rows with it.

        Raises:
            DataError: The file is damaged, of a newer format, or of something else.
        """
        remarks = [self.trouble] if self.trouble else []
        try:
            kept = LedgerFile(self.path).overlaps(test)
        except Unreachable as why:
            kept = []
            remarks.append(f"earlier looks are not counted: {self.path} cannot be read ({why})")
        joined: dict[str, Overlap] = {}
        for found in [*kept, *_uncounted(self.path, test)]:
            before = joined.get(found.test)
            looks = (*before.looks, *found.looks) if before else found.looks
            joined[found.test] = dataclasses.replace(before or found, looks=looks)
        same = joined.pop(test.fingerprint, None)
        others = sorted(joined.values(), key=lambda other: -other.shared)
        return Looks(test, same.looks if same else (), tuple(others), tuple(remarks))

    @property
    def trouble(self) -> str | None:
        """That looks of this process could not be written, and why, as a sentence; or None."""
        if self.path not in _UNWRITTEN:
            return None
        memory = _UNWRITTEN[self.path]
        count = len(memory.looks)
        return (
            f"not counted beyond this process: {count} line{'s' * (count > 1)} of the test ledger, "
            f"for {self.path} cannot be written ({memory.why}); SECCHI_LEDGER names another file"
        )

    def _add(self, test: TestSet, reason: str, *result: Any) -> Look:
        when = datetime.now(UTC)
        look = Look(uuid.uuid4().hex, test.fingerprint, reason, when, __version__, *result)
        try:
            LedgerFile(self.path).append(test, look)
        except Unreachable as why:
            memory = _UNWRITTEN.setdefault(self.path, _Memory())
            memory.why = str(why)
            memory.sets[test.fingerprint] = test
            memory.looks.append(look)
        return look


@dataclasses.dataclass(frozen=True)
class OtherTestSet:
    """What was looked at on another test set that shares rows with the one in hand.

    Attributes:
        test: Its fingerprint.
        rows: How many different rows it has.
        shared: How many of them are in the test set in hand.
        exact: Whether ``shared`` was counted; if not, it is estimated from a sample.
        openings: How often it was opened.
        looks: How many results are known of it.
        models: Of how many different models.
        optimism: How much the best of those models looks better on the test set in hand, because
            it was chosen on that other one; None where it cannot be said.
    """

    test: str
    rows: int
    shared: int
    exact: bool
    openings: int
    looks: int
    models: int
    optimism: float | None


@dataclasses.dataclass(frozen=True)
class TestReport:
    """What every result on a test set says with it.

    Attributes:
        test: The fingerprint of the test set.
        rows: How many different rows it has.
        openings: How often it was opened.
        looks: How many results are known of it.
        models: Of how many different models.
        names: What those models are called, the first that looked first.
        metric: By which models are chosen.
        optimism: How far the best of those models lies above its truth by luck alone, on average
            and at the most, as :func:`secchi.data.optimism.optimism` says; below, where lower is
            better; None where it cannot be said.
        others: Test sets that share rows with it, those that share the most first.
        models_in_all: How many different models looked at it or at one of the others.
        optimism_in_all: The same where the best of all those results is the one that is told, as
            when a table is split anew by every seed; the test sets are taken to be of one size.
        remarks: What is not counted, and why; mostly none.
    """

    __test__ = False  # pytest collects classes whose names begin with Test

    test: str
    rows: int
    openings: int
    looks: int
    models: int
    names: tuple[str, ...]
    metric: str
    optimism: float | None
    others: tuple[OtherTestSet, ...]
    models_in_all: int
    optimism_in_all: float | None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        looks: Looks,
        metric: str = "accuracy",
        standard_error: float = math.nan,
        lower_is_better: bool = False,
    ) -> "TestReport":
        """Count the looks at a test set, and say what choosing by them brings.

        A model that was chosen among k on another test set, of m rows of which s are among the n
        in hand, carries a share of that luck: the results of one model on both correlate by
        s / sqrt(m n), and the optimism is as many times that of k models on the rows in hand.

        Args:
            looks: From :meth:`Ledger.looks`.
            metric: By which models are chosen.
            standard_error: Of one model's result on these rows, as
                :func:`secchi.data.optimism.standard_error` gives it. NaN where it is not known,
                and then, as for 0, the optimism among several models cannot be said.
            lower_is_better: Whether the lowest result is chosen, as of a loss.
        """

        def luck(models: int) -> float | None:
            if models < 2:
                return 0.0
            known = math.isfinite(standard_error) and standard_error > 0
            return optimism(models, standard_error, lower_is_better) if known else None

        others = tuple(_other(found, len(looks.test), luck) for found in looks.others)
        openings, results, names = _counted(looks.here)
        in_all = set(names).union(*(_counted(found.looks)[2] for found in looks.others))
        return cls(
            test=looks.test.fingerprint,
            rows=len(looks.test),
            openings=openings,
            looks=results,
            models=len(names),
            names=tuple(names.values()),
            metric=metric,
            optimism=luck(len(names)),
            others=others,
            models_in_all=len(in_all),
            optimism_in_all=luck(len(in_all)),
            remarks=looks.remarks,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        plain: dict[str, Any] = finite(dataclasses.asdict(self))
        return plain

    def __str__(self) -> str:
        lines = [f"this test set {_history(self.openings, self.looks, self.models, self.names)}"]
        if self.optimism:
            best = f"the best of {self.models} on {self.rows:,} different rows"
            lines.append(f"by luck alone {best} shows {_more(self.optimism, self.metric)}")
        elif self.optimism is None:
            lines.append(f"how much luck helps the best of {self.models} cannot be said here")
        for other in self.others[:_OTHERS_TOLD]:
            history = _history(other.openings, other.looks, other.models)
            shared = f"{'' if other.exact else 'about '}{other.shared:,} of these {self.rows:,}"
            line = f"another, with {shared} rows in it, {history}"
            if other.optimism:
                line += f"; chosen there, the best shows {_more(other.optimism, self.metric)}"
            lines.append(line)
        if len(self.others) > _OTHERS_TOLD:
            lines.append(f"and {len(self.others) - _OTHERS_TOLD:,} more share rows with it")
        if self.models_in_all > self.models and self.optimism_in_all:
            best = f"the best of all {self.models_in_all:,} models on all these test sets"
            lines.append(f"{best} shows {_more(self.optimism_in_all, self.metric)}")
        return "\n".join([*lines, *self.remarks])


@dataclasses.dataclass
class _Memory:
    """Looks that could not be written."""

    why: str = ""
    sets: dict[str, TestSet] = dataclasses.field(default_factory=dict)
    looks: list[Look] = dataclasses.field(default_factory=list)


_UNWRITTEN: dict[Path, _Memory] = {}
"""Of this process, by the file that they belong in."""

_OTHERS_TOLD = 3
_NAMES_TOLD = 5


def _uncounted(path: Path, test: TestSet) -> list[Overlap]:
    """The looks that are in no file, at this test set and at others that share rows with it."""
    memory = _UNWRITTEN.get(path, _Memory())
    found = []
    for name, other in memory.sets.items():
        shared, exact = shared_rows(other.keys, len(other), test)
        if shared:
            looks = tuple(look for look in memory.looks if look.test == name)
            found.append(Overlap(name, len(other), shared, exact, looks))
    return found


def _other(found: Overlap, rows: int, luck: Callable[[int], float | None]) -> OtherTestSet:
    """Count the looks at another test set; ``rows`` are those of the one in hand."""
    openings, results, names = _counted(found.looks)
    whole = luck(len(names))
    return OtherTestSet(
        test=found.test,
        rows=found.rows,
        shared=found.shared,
        exact=found.exact,
        openings=openings,
        looks=results,
        models=len(names),
        optimism=whole and whole * found.shared / math.sqrt(found.rows * rows),
    )


def _counted(looks: Sequence[Look]) -> tuple[int, int, dict[str, str]]:
    """How many openings and results there are, and each model's last name."""
    results = [(look.model, look.name) for look in looks if look.model is not None]
    names = {model: name or model[:12] for model, name in results}
    return len(looks) - len(results), len(results), names


def _history(openings: int, looks: int, models: int, names: Sequence[str] = ()) -> str:
    """What was done with a test set, as the end of a sentence."""
    if not (openings or looks):
        return "is untouched, as far as is known"
    opened = f"was opened {_times(openings)}"
    if not looks:
        return f"{opened}, without a result"
    told = ", ".join(names[:_NAMES_TOLD])
    rest = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    models_told = f"by {models} model{'s' * (models > 1)}" + (f" ({told}{rest})" if told else "")
    return f"{opened} and looked at {_times(looks)}, {models_told}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _more(optimism: float, metric: str) -> str:
    """How much better a result looks, in its own units."""
    size = abs(optimism)
    number = f"{size:.2g}" if size < 100 else f"{size:,.0f}"
    return f"up to about {number} {'more' if optimism > 0 else 'less'} {metric} than it has"
