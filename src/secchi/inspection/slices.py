"""Which ranges of which features give trouble: a model's costs, slice by slice of a table.

A table is cut by one feature at a time, or two, and the rows of each piece are held against all
others. Of many slices some look bad by chance alone, so every p-value is corrected for how many
were looked at.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secchi.errors import DataError, SpecError
from secchi.files import finite
from secchi.inspection.against_rest import against_rest, enough, moments, sums_of
from secchi.inspection.cuts import Condition, Cut, cut, cut_by_both
from secchi.intervals import LEVEL
from secchi.text import decimals
from secchi.values import is_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_SHOWN = 10
"""Slices in the printed table and in the figure."""

_MOST_PAIRED = 100
"""Columns of which every pair can be looked at: they make 4,950 pairs."""

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Slice:
    """Some rows of a table, and what goes wrong in them beside all other rows.

    Attributes:
        conditions: What the rows have in common; one condition, or two of different features.
        rows: How many they are.
        share: Their share of all rows, by weight.
        mean: Their mean cost.
        difference: ``mean`` less the mean cost of all other rows.
        low: Lower end of the 95 % interval of the difference, of this slice alone.
        high: Upper end of it.
        p: How often chance alone would give a difference as large somewhere among all slices that
            were looked at: the p-value of this slice, corrected by the method of Holm (1979).
    """

    conditions: tuple[Condition, ...]
    rows: int
    share: float
    mean: float
    difference: float
    low: float
    high: float
    p: float

    @property
    def name(self) -> str:
        """Its conditions as text."""
        return " and ".join(map(str, self.conditions))

    @property
    def worse(self) -> bool:
        """Whether it costs more than chance would make it, however many slices were looked at."""
        return self.difference > 0 and self.p < 1 - LEVEL

    def where(self, frame: "pd.DataFrame") -> NDArray[np.bool_]:
        """Which rows of a table belong to it, (rows,): to look at them, or to clean them."""
        held = [condition.where(frame) for condition in self.conditions]
        return np.asarray(np.logical_and.reduce(held))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, its name among them; the ends of open ranges are infinite."""
        document = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        document["conditions"] = [condition.to_dict() for condition in self.conditions]
        return document | {"name": self.name, "worse": self.worse}


@dataclasses.dataclass(frozen=True)
class Slices:
    """The slices of a table, the surest trouble first.

    They stand in the order of the difference over its standard error: a wide trouble comes before
    a few unlucky rows, and before the smaller slices that lie within it.

    Attributes:
        measure: What the costs are, such as ``"error rate"``.
        rows: How many rows were looked at.
        mean: Their mean cost.
        slices: All that were looked at, in that order.
        too_small: How many were not, for they or the rest have too few rows.
    """

    measure: str
    rows: int
    mean: float
    slices: tuple[Slice, ...]
    too_small: int = 0

    @property
    def findings(self) -> tuple[Slice, ...]:
        """The slices that cost more than chance would make them."""
        return tuple(one for one in self.slices if one.worse)

    @property
    def verdict(self) -> str:
        """One sentence: how many slices are worse than chance would make them."""
        looked_at = f"{len(self.slices):,} looked at"
        if not self.slices:
            return f"no slice has enough rows to be looked at ({self.too_small:,} are too small)"
        if not self.findings:
            return f"no slice is worse than chance would make it ({looked_at})"
        if len(self.findings) == 1:
            return f"one slice is worse than chance would make it ({looked_at}): " + (
                self.findings[0].name
            )
        return f"{len(self.findings):,} slices are worse than chance would make them ({looked_at})"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; the ends of open ranges are None."""
        document = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        document["slices"] = [one.to_dict() for one in self.slices]
        plain: dict[str, Any] = finite(document | {"verdict": self.verdict})
        return plain

    def to_frame(self) -> "pd.DataFrame":
        """One row a slice, in their order."""
        import pandas as pd

        columns = ["slice", *_COLUMNS, "worse"]
        records = [
            {"slice": one.name} | {name: getattr(one, name) for name in (*_COLUMNS, "worse")}
            for one in self.slices
        ]
        return pd.DataFrame(records, columns=columns)

    def plot(self, count: int = _SHOWN) -> "Figure":
        """Draw the mean cost of the first slices with intervals, beside that of all rows.

        The intervals are those of the difference, so that one that leaves out the line of all rows
        is one that leaves out zero: the mean of a slice less that of all rows is its difference to
        the rest times the share of the rest.

        Args:
            count: How many, the surest trouble first.
        """
        from secchi.figures.slices import slice_bars

        shown = self.slices[:count]
        return slice_bars(
            [f"{one.name}  ({one.rows:,})" for one in shown],
            [one.mean for one in shown],
            [self.mean + (1 - one.share) * one.low for one in shown],
            [self.mean + (1 - one.share) * one.high for one in shown],
            [one.worse for one in shown],
            self.mean,
            self.measure,
        )

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        shown = self.slices[:_SHOWN]
        places = decimals((one.high - one.low) / 2 for one in shown)
        width = max([len(one.name) for one in shown], default=0)
        lines = [f"{self.measure} {self.mean:z.{places}f} of {self.rows:,} rows"]
        if shown:
            lines.append(
                f"{'':<3}{'slice':<{width}}{'rows':>8}{'mean':>{places + 6}}  "
                "to the rest (95 % interval), p corrected"
            )
        for one in shown:
            low, difference, high = (
                f"{value:+z.{places}f}" for value in (one.low, one.difference, one.high)
            )
            lines.append(
                f"{'->' if one.worse else '':<3}{one.name:<{width}}{one.rows:>8,}"
                f"{one.mean:>z{places + 6}.{places}f}  {difference} ({low} to {high}), "
                + ("p < 0.001" if one.p < 0.001 else f"p = {one.p:.3f}")
            )
        return "\n".join([*lines, self.verdict])


_COLUMNS = ("rows", "share", "mean", "difference", "low", "high", "p")


def slices(
    frame: "pd.DataFrame",
    costs: ArrayLike,
    *,
    measure: str,
    weights: ArrayLike | None = None,
    bins: int = 4,
    min_rows: int = 10,
    pairs: bool = False,
) -> Slices:
    """Cut a table by its features, and say in which slices a model costs more than elsewhere.

    Numbers are cut at their quantiles, everything else by its values; rows without a value are a
    slice of their own. A slice is held against all other rows by Welch's t, and its p-value is
    corrected by Holm's method for how many slices are looked at: where a model is equally good
    everywhere, there is a finding in at most 5 % of tables. The formulas stand at
    :func:`secchi.inspection.against_rest.against_rest`.

    A slice within a bad one is bad for that reason too; with ``pairs`` there are many of those.

    Args:
        frame: The features, one row each.
        costs: What goes wrong in each row: 1 for a miss and 0 for none, a loss, or an absolute
            error; (rows,).
        measure: What the mean of the costs is called, such as ``"error rate"``.
        weights: How much each row counts, from 0 on; rows of 0 are left out. None counts all alike.
        bins: Into how many slices numbers are cut at most; fewer where one would have less than
            ``min_rows`` rows.
        min_rows: Slices with fewer rows are left out, as are those that leave fewer rows beside.
        pairs: Also look at the rows that two features have in common.

    Raises:
        SpecError: Numbers of bins or rows that cannot be.
        DataError: Costs or weights that do not fit the table, or are not finite; or pairs are asked
            of more than 100 columns.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"depth": np.arange(80), "site": "reef"})
    >>> missed = (table["depth"] >= 40) & (table["depth"] % 5 > 0)
    >>> print(slices(table, missed, measure="error rate", bins=2))
    error rate 0.40 of 80 rows
       slice         rows    mean  to the rest (95 % interval), p corrected
    -> depth > 39      40    0.80  +0.80 (+0.64 to +0.96), p < 0.001
       depth ≤ 39      40    0.00  -0.80 (-1.00 to -0.60), p < 0.001
    one slice is worse than chance would make it (2 looked at): depth > 39
    """
    _check_numbers(bins, min_rows)
    values, counts = _checked(costs, weights, len(frame))
    counted = counts > 0
    frame, values, counts = frame[counted], values[counted], counts[counted]
    if not len(frame):
        raise DataError("there are no rows to look at; costs of one row or more are needed")
    if pairs and frame.shape[1] > _MOST_PAIRED:
        raise DataError(
            f"pairs of {frame.shape[1]:,} columns are too many; choose {_MOST_PAIRED} columns or "
            "fewer, such as frame[names]"
        )
    mean = float(np.average(values, weights=counts))
    # In units of their own scatter, so that what is rounding alone can be told from a difference.
    scale = math.sqrt(np.average((values - mean) ** 2, weights=counts)) or 1.0
    each = moments((values - mean) / scale, counts)
    total = each.sum(axis=1)

    fewer = max(1, min(bins, len(frame) // min_rows))
    cuts = [cut(str(name), column, fewer) for name, column in frame.items()]
    both = itertools.combinations(cuts, 2) if pairs else ()
    # Each pair is made when it is its turn: together they would hold every row thousands of times.
    every = itertools.chain(cuts, (cut_by_both(one, other) for one, other in both))
    pieces, sums, too_small = _gather(every, each, min_rows)
    found = against_rest(sums, total)
    return Slices(
        measure,
        len(frame),
        mean,
        tuple(
            Slice(
                pieces[i],
                rows=int(sums[0, i]),
                share=float(sums[1, i] / total[1]),
                mean=mean + scale * float(found.mean[i]),
                difference=scale * float(found.difference[i]),
                low=scale * float(found.difference[i] - found.half[i]),
                high=scale * float(found.difference[i] + found.half[i]),
                p=float(found.p[i]),
            )
            for i in np.argsort(-found.t, kind="stable")
        ),
        too_small,
    )


def _check_numbers(bins: int, min_rows: int) -> None:
    faults = []
    if not (is_whole(bins) and bins >= 2):
        faults.append(f"bins is {bins!r}; it is a whole number from 2 on")
    if not (is_whole(min_rows) and min_rows >= 3):
        faults.append(f"min_rows is {min_rows!r}; it is a whole number from 3 on")
    if faults:
        raise SpecError("these slices cannot be", faults)


def _checked(costs: ArrayLike, weights: ArrayLike | None, rows: int) -> tuple[Array, Array]:
    each = np.asarray(costs, dtype=np.float64)
    counts = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    for name, values in (("costs", each), ("weights", counts)):
        if values.shape != (rows,):
            raise DataError(f"the table has {rows:,} rows, and the {name} the shape {values.shape}")
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(
                f"the {name} of row {row} are {values[row]}; a mean needs finite numbers: leave "
                "that row out, or give it a weight of 0 and a finite cost"
            )
    if (counts < 0).any():
        raise DataError("row weights have to be finite and not negative")
    return each, counts


def _gather(
    cuts: Iterable[Cut], each: Array, min_rows: int
) -> tuple[list[tuple[Condition, ...]], Array, int]:
    """The pieces with enough rows, the sums of their moments (6, pieces), and how many have not."""
    pieces: list[tuple[Condition, ...]] = []
    sums: list[Array] = []
    too_small = 0
    total = each.sum(axis=1)[:, None]
    for one in cuts:
        found = sums_of(each, one.codes, len(one.pieces))
        large = enough(found, min_rows) & enough(total - found, min_rows)
        pieces += itertools.compress(one.pieces, large)
        sums.append(found[:, large])
        # A piece without rows, or of all of them, is none.
        too_small += int((~large & (found[0] > 0) & (found[0] < total[0])).sum())
    return pieces, np.concatenate([np.empty((6, 0)), *sums], axis=1), too_small
