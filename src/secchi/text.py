"""Numbers and names as a terminal shows them."""

import math
from collections.abc import Iterable, Sequence


def number(value: float, places: int = 4) -> str:
    """So many decimals; few digits where those would show nothing or too much; ``-`` for none.

    >>> number(0.5), number(-0.0000123), number(123456.0), number(float("nan"))
    ('0.5000', '-1.23e-05', '1.235e+05', '-')
    """
    if math.isnan(value):
        return "-"
    if value and not 10.0**-places <= abs(value) < 1e5:
        return f"{value:.{places}g}"
    return f"{value:.{places}f}"


def decimals(halves: Iterable[float]) -> int:
    """How many decimals show two digits of the narrowest interval's half width.

    Args:
        halves: Half widths of intervals; those that are 0 or no number are passed over, and
            without any there are three decimals.

    >>> decimals([0.034, 1.2]), decimals([340.0]), decimals([])
    (3, 0, 3)
    """
    narrowest = min([half for half in halves if 0 < half < math.inf], default=0.01)
    return min(max(0, 1 - math.floor(math.log10(narrowest))), 12)


def with_interval(value: float, low: float, high: float) -> str:
    """A number with its interval, where it has one.

    >>> with_interval(0.9, 0.8, 0.95)
    '0.9000 (95 % interval 0.8000 to 0.9500)'
    """
    if math.isnan(low):
        return number(value)
    from secchi.intervals import LEVEL  # with NumPy, which most of what is shown does without

    return f"{number(value)} ({100 * LEVEL:g} % interval {number(low)} to {number(high)})"


def interval_cell(low: float, high: float, count: int, places: int = 4) -> str:
    """An interval in a table, or why there is none.

    >>> interval_cell(0.8, 0.95, 5, 2), interval_cell(math.nan, math.nan, 5)
    ('0.80 to 0.95', 'all the same')
    >>> interval_cell(math.nan, math.nan, 2)
    '-'
    """
    if math.isnan(low):
        return "all the same" if count > 2 else "-"
    return f"{number(low, places)} to {number(high, places)}"


def counted(count: int, one: str, several: str) -> str:
    """So many of something.

    >>> counted(0, "miss", "misses"), counted(1, "miss", "misses"), counted(1200, "row", "rows")
    ('no misses', '1 miss', '1,200 rows')
    """
    return f"{count:,} {one if count == 1 else several}" if count else f"no {several}"


def names_of(names: Sequence[str], most: int = 5) -> str:
    """The names, or the first of them and how many there are.

    >>> names_of(["cat", "dog"]), names_of(["a", "b", "c", "d"], most=2)
    ('cat, dog', 'a, b, … 4 in all')
    """
    if len(names) <= most:
        return ", ".join(names)
    return ", ".join(names[:most]) + f", … {len(names)} in all"


def cut(name: str, characters: int) -> str:
    """A name that fits, in one line.

    >>> cut("soft_coated_wheaten_terrier", 12)
    'soft_coated…'
    """
    name = " ".join(name.split())
    return name if len(name) <= characters else name[: characters - 1] + "…"


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of one width each, two spaces apart; the first ``left`` ones flush left.

    >>> print(table([["class", "rows"], ["cat", "5"]]))
    class  rows
    cat       5
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
