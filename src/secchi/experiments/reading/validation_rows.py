"""The rows that score the trials of an experiment, as its record tells of them."""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from secchi.experiments.reading.measures import is_share, target_of
from secchi.intervals import share_interval

_USUAL = {"train": 4, "valid": 1}
"""Rows of a record that does not say how many, as a table is usually parted."""


class Shared(Enum):
    """Which of the rows that validate two repeats have in common.

    Attributes:
        NONE: Each repeat makes up rows of its own.
        ALL: One split, or a single fold.
        FOLDS: The same folds, of which each validates in turn.
        SOME: Each repeat parts the same rows in another way.
    """

    NONE = "none"
    ALL = "all"
    FOLDS = "folds"
    SOME = "some"


class ValidationRows(NamedTuple):
    """Which rows validate, and what that means for the noise of a score.

    Attributes:
        shared: Which of them two repeats have in common.
        number: How many; None where it is not the same number everywhere, or not known.
        shares: As how many rows a share of them counts, by target: by their weights
            (:func:`secchi.intervals.effective_rows`). Only targets of which an answer is a single
            class; none where repeats have other rows.
        ratio: Validating rows by training rows, where repeats or folds part the same rows in other
            ways; else 0. It is that of the split, whatever share of its training rows a trial
            learns from. Over folds of rows that are made up anew for each repeat it is divided by
            the number of repeats, which are independent.
        foldable: Whether the rows can be parted in other ways: not by time, say.
    """

    shared: Shared
    number: int | None = None
    shares: Mapping[str, float] = {}
    ratio: float = 0.0
    foldable: bool = True

    @property
    def same(self) -> bool:
        """Whether every repeat has the same ones."""
        return self.shared is Shared.ALL

    @property
    def caution(self) -> str:
        """What to say of differences that are beyond the noise of repeats; "" for nothing."""
        if not self.same:
            return ""
        rows = "the same" if self.number is None else f"the same {self.number:,}"
        told = "; resplit=True tells" if self.foldable else ""
        return f"all on {rows} validation rows: on others it may be otherwise{told}"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ValidationRows":
        """Those of an experiment, from what ``Experiment.to_dict`` gave.

        >>> rows = {"train": 120, "valid": 30, "shares": {"pet": 30.0}, "parted_by": None}
        >>> ValidationRows.of({"data": {"rows": rows}, "resplit": True}).ratio
        0.25
        >>> ValidationRows.of({"data": {"rows": rows}}).number
        30
        >>> ValidationRows.of({"data": {"made": {"name": "line"}}, "resplit": True}).ratio
        0.0
        """
        data, folds = document.get("data", {}), document.get("folds")
        rows = data.get("rows", _USUAL)
        ratio = rows["valid"] / rows["train"] if folds is None else 1 / (folds - 1)
        several = folds is not None and not _is_single(document.get("vary", {}).get("fold"))
        if "made" in data:
            return cls(Shared.NONE, ratio=ratio / document.get("repeats", 1) if several else 0.0)
        if document.get("resplit"):
            return cls(Shared.SOME, ratio=ratio)
        if several:
            return cls(Shared.FOLDS, ratio=ratio)
        foldable = rows.get("parted_by") is None
        if folds is not None or "rows" not in data:
            return cls(Shared.ALL, foldable=foldable)
        return cls(Shared.ALL, rows["valid"], rows.get("shares", {}), foldable=foldable)

    def others(self, measure: str, score: float) -> tuple[float, float]:
        """Where a score could be with as many other rows.

        The 95 % interval of Wilson for a share (:func:`secchi.intervals.share_interval`), which
        takes rows to be independent of each other.

        Returns:
            The lower and the upper end; NaN both of a measure that is no share of rows, and where
            repeats have other rows anyhow.

        >>> rows = ValidationRows(Shared.ALL, number=30, shares={"pet": 30.0})
        >>> low, high = rows.others("valid_accuracy", 0.9)
        >>> f"{low:.3f} {high:.3f}"
        '0.744 0.965'
        """
        target = target_of(measure) or next(iter(self.shares), "")
        rows = self.shares.get(target)
        if rows is None or not is_share(measure) or math.isnan(score):
            return math.nan, math.nan
        return share_interval(np.arange(round(rows)) < round(score * rows))


def _is_single(factor: Any) -> bool:
    """Whether a factor, as it is written down, has one value."""
    return isinstance(factor, list) and len(set(factor)) == 1
