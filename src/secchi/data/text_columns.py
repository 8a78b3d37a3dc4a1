"""Columns that are no numbers: texts become categories, dates become dates."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secchi.data.cells import MISSING

NEARLY_ALL = 0.9
"""A column holds numbers, or dates, if this share of its values that are not missing do."""

_DATE_LIKE = re.compile(
    r"(\d{4}-\d{1,2}|\d{1,4}([-/. ])(\d{1,2}|[A-Za-z]{3,9})\2\d{1,4}|[A-Za-z]{3,9} \d{1,2},? \d{4})"
    r"([T ,]+\d{1,2}:\d{2}.*)?"
)
_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d-%m-%Y", "%m/%d/%Y", "%d/%m/%Y"),
    *("%m-%d-%Y", "%m/%d/%y", "%d/%m/%y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d %Y"),
    *("%b %d, %Y", "%B %d %Y", "%B %d, %Y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_TRIED = 1000


class Texts:
    """The cells of one column of texts, added block by block; each different text is kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._blocks: list[NDArray[np.int32]] = []

    def add(self, cells: "pd.Series[Any]") -> None:
        """Take the cells of some rows: texts, None or NaN where missing."""
        codes, texts = pd.factorize(cells)
        numbers = [self._number(str(text).strip()) for text in texts.tolist()]
        self._blocks.append(np.array([*numbers, -1], dtype=np.int32)[codes])

    def _number(self, text: str) -> int:
        return -1 if text in MISSING else self._numbers.setdefault(text, len(self._numbers))

    def codes(self) -> NDArray[np.int32]:
        """The number of the text of each row, -1 where missing, of shape (rows,)."""
        return np.concatenate([np.zeros(0, dtype=np.int32), *self._blocks])

    def texts(self) -> list[str]:
        """The different texts by number, in the order in which they came."""
        return list(self._numbers)


def category(codes: NDArray[np.int32], texts: list[str]) -> pd.Categorical:
    """Texts as categories in alphabetical order.

    Args:
        codes: The number of the text of each row, -1 where missing, of shape (rows,).
        texts: The texts.

    >>> category(np.array([0, -1, 1], np.int32), ["b", "a"]).tolist()
    ['b', nan, 'a']
    """
    order = sorted(range(len(texts)), key=texts.__getitem__)
    places = np.full(len(texts) + 1, -1, dtype=np.int32)
    places[order] = np.arange(len(texts))
    names = pd.Index([texts[number] for number in order], dtype=object)
    return pd.Categorical.from_codes(places[codes], categories=names)


def dates_in(codes: NDArray[np.int32], texts: list[str]) -> "NDArray[np.datetime64] | None":
    """The dates that nearly all texts are, or None.

    Understood are dates of ISO 8601 and the usual ways to write days, months and years, with or
    without a time of day. What is like a date and is none becomes NaT. Times with an offset are
    turned into those of UTC.

    Args:
        codes: The number of the text of each row, -1 where missing, of shape (rows,).
        texts: The different texts.

    >>> dates_in(np.array([0, 1], np.int32), ["24.12.2026", "1.1.2027"]).astype("<M8[D]").tolist()
    [datetime.date(2026, 12, 24), datetime.date(2027, 1, 1)]
    >>> dates_in(np.array([0, 1], np.int32), ["red", "1.1.2027"])
    """
    if share_of(codes, [_DATE_LIKE.fullmatch(text) is not None for text in texts]) < NEARLY_ALL:
        return None
    dates = np.append(_dates(texts), np.datetime64("NaT", "us"))
    return None if share_of(codes, ~np.isnat(dates[:-1])) < NEARLY_ALL else dates[codes]


def share_of(codes: NDArray[np.int32], marked: Sequence[bool] | NDArray[np.bool_]) -> float:
    """The share of the rows with a text whose text is marked; 0 where there is none."""
    times = np.bincount(codes[codes >= 0], minlength=len(marked))
    return float(times[np.asarray(marked, dtype=bool)].sum() / max(1, times.sum()))


def _dates(texts: list[str]) -> NDArray[np.datetime64]:
    """Texts as dates of whichever way of writing suits most of them; NaT for the others."""
    sample = texts[:: max(1, len(texts) // _TRIED)]
    ways = ["ISO8601", *(day + time for day in _DAYS for time in _TIMES)]
    suited = [np.isnat(_as(sample, way)).sum() for way in ways]
    return _as(texts, ways[int(np.argmin(suited))])


def _as(texts: list[str], way: str) -> NDArray[np.datetime64]:
    dates = pd.to_datetime(pd.Series(texts, dtype=object), format=way, errors="coerce", utc=True)
    plain: NDArray[Any] = dates.dt.tz_localize(None).to_numpy().astype("<M8[us]")
    return plain
