"""Products of matrices whose numbers are vectors, in tiles that stay in registers."""

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from secchi.cohort.lanes.language import Code, Number, Whole

Load = Callable[[Any, Any], Number]
"""(row, column): the vector there."""

_WIDE, _TALL = 4, 8
"""A tile is four by four, or eight by one: enough sums to keep the units busy that add them."""


class Rows:
    """Rows of vectors that lie behind each other.

    Args:
        code: Where they are read.
        pointer: The first.
        width: Vectors in a row.
    """

    def __init__(self, code: Code, pointer: ir.Value, width: Whole) -> None:
        self.code = code
        self.pointer = pointer
        self.width = width

    def at(self, row: Any, column: Any) -> Number:
        """The vector at a place."""
        return self.code.load(self.pointer, row * self.width + column)

    def put(self, row: Any, column: Any, number: Number) -> None:
        """Change it."""
        self.code.store(number, self.pointer, row * self.width + column)


def product(
    code: Code,
    shape: tuple[Whole, Whole, Whole],
    first: Load,
    second: Load,
    start: Load,
    finish: Callable[[Any, Any, Number], None],
) -> None:
    """The sum over k of first(i, k) * second(j, k), for every i and j.

    The terms are added in their order, each rounded once, whatever the tiles are.

    Args:
        code: Where it is written.
        shape: How many i, j and k there are.
        first: A factor.
        second: The other.
        start: What the sum of (i, j) begins with.
        finish: Takes (i, j, sum).
    """
    rows, columns, terms = shape
    for column, wide in pieces(code, columns, _WIDE):
        for row, high in pieces(code, rows, _WIDE if wide == _WIDE else _TALL):
            _tile(code, (row, high), (column, wide), terms, first, second, start, finish)


def _tile(
    code: Code,
    rows: tuple[Whole, int],
    columns: tuple[Whole, int],
    terms: Whole,
    first: Load,
    second: Load,
    start: Load,
    finish: Callable[[Any, Any, Number], None],
) -> None:
    (row, high), (column, wide) = rows, columns
    places = [(i, j) for i in range(high) for j in range(wide)]
    sums = {at: code.variable(start(row + at[0], column + at[1])) for at in places}
    with code.loop(0, terms) as k:
        ones = [first(row + i, k) for i in range(high)]
        others = [second(column + j, k) for j in range(wide)]
        for i, j in places:
            sums[i, j].set(ones[i].times_plus(others[j], sums[i, j].get()))
    for i, j in places:
        finish(row + i, column + j, sums[i, j].get())


def pieces(code: Code, total: Whole, size: int) -> Iterator[tuple[Whole, int]]:
    """Pieces of a size, and single ones of what is left."""
    with code.loop(0, total, size) as place:
        yield place, size
    with code.loop(total // size * size, total) as place:
        yield place, 1
