"""Products of matrices whose numbers are vectors, in tiles that stay in registers."""

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from secchi.cohort.lanes.language import Code, Number, Whole

Load = Callable[[Any, Any], Number]
"""(row, column): the vector there."""

_WIDE, _TALL = 4, 8
"""A tile is four by four, or eight by one: enough sums to keep the units busy that add them."""

_DEEP = 32
"""So many terms of all sums are added before the next ones, where sums can wait in memory: what
the terms are made of then stays in the nearest cache while all tiles read it."""


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
    waiting: Load | None = None,
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
        waiting: What ``finish`` took of (i, j), where that can be read: it then may take the sum
            of some terms before that of all.
    """
    rows, columns, terms = shape
    for part in _parts(code, terms) if waiting else [(code.whole(0), terms)]:
        for column, wide in pieces(code, columns, _WIDE):
            for row, high in pieces(code, rows, _WIDE if wide == _WIDE else _TALL):
                tile = (row, high), (column, wide), part
                _tile(code, tile, first, second, start, finish, waiting)


def _parts(code: Code, terms: Whole) -> Iterator[tuple[Whole, Whole]]:
    """The first of the terms that are added together, and the first behind them."""
    with code.loop(0, terms.at_least(_DEEP), _DEEP) as begin:
        end = begin + _DEEP
        yield begin, code.either((end + _DEEP).is_more(terms), terms, end)


def _tile(
    code: Code,
    tile: tuple[tuple[Whole, int], tuple[Whole, int], tuple[Whole, Whole]],
    first: Load,
    second: Load,
    start: Load,
    finish: Callable[[Any, Any, Number], None],
    waiting: Load | None,
) -> None:
    (row, high), (column, wide), (begin, end) = tile
    places = [(i, j) for i in range(high) for j in range(wide)]
    sums = {(i, j): code.variable(start(row + i, column + j)) for i, j in places}
    if waiting:
        with code.when(begin.is_more(0)):
            for i, j in places:
                sums[i, j].set(waiting(row + i, column + j))
    with code.loop(begin, end) as k:
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
