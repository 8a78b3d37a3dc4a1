"""Which networks go side by side in a stack."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from secchi.cohort.lanes.steps import drawn_by, draws_of, rows_of
from secchi.cohort.member import Member

_GATHERED = 1.0
"""What bringing together a number of a row for all lanes takes, in products of vectors."""


def grouped(members: Sequence[Member], places: Sequence[int], lanes: int) -> list[list[int]]:
    """The places of the networks of each stack.

    A stack takes as long as its widest layers do, and less where all its networks learn from the
    same rows in the same order, which are then read once for all lanes. So networks go together by
    their rows, or by their size, whichever takes less; the largest first, so that it is the small
    ones that may not fill their stack.

    Args:
        members: Networks.
        places: Those of them that are trained, of one structure.
        lanes: How many there can be in a stack.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.models.mlp import MLP
    >>> from secchi.training.prepared import PreparedTable
    >>> from secchi.training.spec import Training
    >>> table = PreparedTable.of(TableData.made(Line()))
    >>> of_width = [Member(table, MLP([width]), Training("sgd"), 0) for width in (64, 4, 64, 4)]
    >>> grouped(of_width, range(4), lanes=2)
    [[0, 2], [1, 3]]
    """

    def of_size(place: int) -> Any:
        return _size(members[place])

    alike: dict[Any, list[int]] = defaultdict(list)
    for place in places:
        alike[rows_of(members[place])].append(place)
    whole: list[list[int]] = []
    left: list[list[int]] = []
    for some in alike.values():
        some.sort(key=of_size, reverse=True)
        full = len(some) // lanes * lanes
        whole += _cut(some[:full], lanes)
        left += [some[full:]] if some[full:] else []
    mixed = _cut(
        sorted((place for some in left for place in some), key=of_size, reverse=True), lanes
    )
    by_size = _cut(sorted(places, key=of_size, reverse=True), lanes)
    ways = (_in_order(whole + left, members), whole + mixed, by_size)
    return min(ways, key=lambda groups: sum(cost(members, each) for each in groups))


def _in_order(groups: list[list[int]], members: Sequence[Member]) -> list[list[int]]:
    """Those of one seed behind each other."""
    return sorted(groups, key=lambda group: members[group[0]].training.seed)


def _cut(places: list[int], lanes: int) -> list[list[int]]:
    return [places[start : start + lanes] for start in range(0, len(places), lanes)]


def _size(member: Member) -> tuple[Any, ...]:
    """Neighbours in this order have layers of about the same size, and the same seed."""
    model = member.model
    return sum(model.hidden), model.hidden, bool(model.input_dropout), member.training.seed


def cost(members: Sequence[Member], places: Sequence[int]) -> float:
    """What a row takes in the stack of some networks, in products of vectors."""
    some = [members[place] for place in places]
    inputs, outputs = some[0].table.width, some[0].table.task.outputs
    hidden: list[tuple[int, ...]] = [member.model.hidden for member in some]
    widths = [inputs, *(max(units) for units in zip(*hidden, strict=True)), outputs]
    products = sum(before * units for before, units in pairwise(widths))
    shared = len({rows_of(member) for member in some}) == 1
    drawn = sum(max(numbers) for numbers in zip(*map(drawn_by, some), strict=True))
    sources = len({draws_of(member) for member in some if any(drawn_by(member))})
    apart = 0.0 if shared else _GATHERED * inputs * len(some)
    return float(3 * products + 10 * sum(widths[1:]) + 2 * drawn * sources + apart)
