"""What the text of one cell of a table says."""

import re

MISSING = frozenset(
    ("", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "-NaN", "-nan", "null", "NULL", "Null")
    + ("None", "<NA>", "?", "-", "--", ".", "#N/A", "#NA", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!")
    + ("#REF!", "#VALUE!")
)
"""The texts that say that a value is missing; blanks around them do not count."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")

_DRESSED_NUMBER = re.compile(
    r"[$€£¥]?\s?[+-]?(\d{1,3}([,.' \u00a0]\d{3})+([.,]\d+)?|\d+([.,]\d+)?)\s?[%$€£¥]?"
)


def number_in(text: str) -> float:
    """The number that a text is, to the nearest float64; NaN if it is none.

    >>> number_in(" 1e3"), number_in("1_000"), number_in("ten")
    (1000.0, nan, nan)
    """
    try:
        return float("nan") if "_" in text else float(text)
    except ValueError:
        return float("nan")


def number_with_comma(text: str) -> float:
    """The number that a text with a decimal comma is; NaN if it is none.

    >>> number_with_comma("-3,14"), number_with_comma("1.234,5"), number_with_comma("3")
    (-3.14, nan, nan)
    """
    found = _DECIMAL_COMMA.fullmatch(text)
    return float(text.replace(",", ".")) if found else float("nan")


def is_dressed_number(text: str) -> bool:
    """Whether a text is a number, but for thousands separators or a percent or currency sign.

    >>> is_dressed_number("$1,234.50"), is_dressed_number("12 %"), is_dressed_number("12 a")
    (True, True, False)
    """
    return _DRESSED_NUMBER.fullmatch(text) is not None
