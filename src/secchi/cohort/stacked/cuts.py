"""Networks cut into stacks that a device has the memory for."""

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from itertools import pairwise

import torch

from secchi.cohort.curve import Curve
from secchi.cohort.member import Member
from secchi.cohort.plan import Plan
from secchi.cohort.stacked.train import JUDGED_NUMBERS, train_stack
from secchi.cohort.structure import Structure
from secchi.training.memory import where_it_fits

STACK_BYTES = 2**28
"""What a stack may take on a processor, which tells nobody how much is free."""

_FREE_SHARE = 0.5
"""Of the memory that is free on a GPU, for a stack; the rest is for what the estimate misses."""

_OF_WEIGHT = 8
"""Arrays as large as the weights at once: they, their gradients, what an optimizer remembers of
them, and what is computed on the way to the next ones."""

_OF_UNIT = 8
"""Arrays as large as what units give for a batch: what autograd keeps, slopes, and draws."""

_OF_OUTPUT = 16
"""Arrays as large as the outputs for the rows that validate, many in double precision."""


def train_stacks(
    members: Sequence[Member], found: Plan, metrics: Sequence[str], device: str = "cuda"
) -> Generator[tuple[int, Curve], None, None]:
    """Train the networks of a plan that go in step, stack after stack.

    Cohorts that differ only in what a stack can mix are joined. Stacks are cut so that they take a
    bounded part of the device's memory, as estimated; where it is not there, halves are trained.

    Args:
        members: Networks.
        found: What :func:`secchi.cohort.plan.plan` says of them.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        device: ``"cuda"`` or ``"cpu"``.

    Returns:
        The place and the curve of each, as its stack ends.

    >>> from secchi.cohort.plan import plan
    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.models.mlp import MLP
    >>> from secchi.training.prepared import PreparedTable
    >>> from secchi.training.spec import Training
    >>> table = PreparedTable.of(TableData.made(Line()))
    >>> bends = [MLP([4], name) for name in ("relu", "tanh")]
    >>> members = [Member(table, model, Training("sgd", epochs=2), 0) for model in bends]
    >>> [place for place, _ in train_stacks(members, plan(members), [], "cpu")]
    [0, 1]
    """
    for places in _joined(found):
        # Those of a size are neighbours, so that little is filled up.
        places.sort(key=lambda place: _widths(members[place]))
        yield from _trained(members, places, metrics, device)


def _joined(found: Plan) -> Iterator[list[int]]:
    """The places of the networks that a stack can hold together."""
    alike: dict[Structure, list[int]] = defaultdict(list)
    for common, places in zip(found.structures, found.cohorts, strict=True):
        alike[common._replace(activation=None, inputs=0, valid=0)] += places
    yield from alike.values()


def _trained(
    members: Sequence[Member], places: Sequence[int], metrics: Sequence[str], device: str
) -> Iterator[tuple[int, Curve]]:
    """Those of a stack, or of its halves where there is no memory for it."""
    some, curves = [members[place] for place in places], None
    if len(some) == 1:  # nothing can be halved, so what goes wrong is told
        curves = train_stack(some, metrics, device)
    elif stack_bytes(some) <= _room(device):
        curves = where_it_fits(lambda: train_stack(some, metrics, device))
    if curves is not None:
        yield from zip(places, curves, strict=True)
        return
    half = len(places) // 2
    yield from _trained(members, places[:half], metrics, device)
    yield from _trained(members, places[half:], metrics, device)


def _room(device: str) -> int:
    """Bytes that a stack may take."""
    if device != "cuda":
        return STACK_BYTES
    free, _ = torch.cuda.mem_get_info()
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # of stacks before
    return int((free + kept) * _FREE_SHARE)


def stack_bytes(members: Sequence[Member]) -> int:
    """What a stack takes, estimated by the widest of its networks and the longest of its tables.

    Args:
        members: The networks.
    """
    tables = {id(member.table): member.table for member in members}.values()
    widths: list[int] = [max(each) for each in zip(*map(_widths, members), strict=True)]
    inputs, *units = widths
    rows, valid = (
        max(len(table.labels(split)) for table in tables) for split in ("train", "valid")
    )
    batch = min(rows, members[0].training.batch_size)
    weights = sum(before * after for before, after in pairwise(widths))
    each = _OF_WEIGHT * (weights + sum(units)) + batch * (2 * inputs + _OF_UNIT * sum(units))
    each += _OF_OUTPUT * valid * units[-1]
    judged = 2 * min(len(members) * valid * max(widths), JUDGED_NUMBERS)
    numbers = len(tables) * (rows + valid) * (inputs + 2) + len(members) * each + judged
    return numbers * (8 if members[0].table.precision == "fp64" else 4)


def _widths(member: Member) -> tuple[int, ...]:
    """Inputs, units of each hidden layer, and outputs."""
    return (member.table.width, *member.model.hidden, member.table.task.outputs)
