"""The rows that score the trials of an experiment, as its record tells of them."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from secchi.experiments.measures import is_share
from secchi.intervals import share_interval

_USUAL = {"train": 4, "valid": 1, "scoring": None}
"""Rows of a record that does not say how many, as a table is usually parted."""


class ValidationRows(NamedTuple):
    """Which rows validate, and what that means for the noise of a score.

    Attributes:
        same: Whether every repeat has the same ones.
        number: How many; None where it is not the same number everywhere, or not known.
        scoring: As how many rows a share of them counts, by their weights
            (:func:`secchi.intervals.effective_rows`); None where answers are no single class.
        ratio: Validating rows by training rows, where repeats or folds part the same rows in other
            ways; else 0. It is that of the split, whatever share of its training rows a trial
            learns from.
    """

    same: bool
    number: int | None
    scoring: float | None
    ratio: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ValidationRows":
        """Those of an experiment, from what ``Experiment.to_dict`` gave.

        >>> rows = {"train": 120, "valid": 30, "scoring": 30.0}
        >>> ValidationRows.of({"data": {"rows": rows}, "resplit": True}).ratio
        0.25
        >>> ValidationRows.of({"data": {"rows": rows}}).number
        30
        >>> ValidationRows.of({"data": {"made": {"name": "line"}}, "resplit": True}).ratio
        0.0
        """
        data = document.get("data", {})
        rows = data.get("rows", _USUAL)
        if "made" in data:
            return cls(False, None, None, 0.0)
        if (folds := document.get("folds")) is not None:
            return cls(False, None, None, 1 / (folds - 1))
        if document.get("resplit"):
            return cls(False, None, None, rows["valid"] / rows["train"])
        return cls(True, rows["valid"] if "rows" in data else None, rows["scoring"], 0.0)

    def others(self, measure: str, score: float) -> tuple[float, float]:
        """Where a score could be with as many other rows.

        The 95 % interval of Wilson for a share (:func:`secchi.intervals.share_interval`), which
        takes rows to be independent of each other.

        Returns:
            The lower and the upper end; NaN both of a measure that is no share of rows, and where
            repeats have other rows anyhow.

        >>> rows = ValidationRows(same=True, number=30, scoring=30.0, ratio=0.0)
        >>> low, high = rows.others("valid_accuracy", 0.9)
        >>> f"{low:.3f} {high:.3f}"
        '0.744 0.965'
        """
        if self.scoring is None or not is_share(measure) or math.isnan(score):
            return math.nan, math.nan
        return share_interval(np.arange(round(self.scoring)) < round(score * self.scoring))
