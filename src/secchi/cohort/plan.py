"""Which networks go in step, which train alone and why, and what all that takes."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from secchi.cohort.member import Member
from secchi.cohort.structure import Structure, structure

_OPERATIONS = 3e9
"""Vector operations of a core in a second; half of what was measured at best on an AMD EPYC with
registers of 512 bits."""

_DRAWN = 4e-9
"""Seconds for a number that dropout draws."""

_PREPARING = 5e-4
"""Seconds to lay out a network and to read off its curve."""

_COMPILING = 0.3
"""Seconds that LLVM takes for the code of a training."""

_ALONE_STEP, _ALONE_EPOCH = 4e-4, 1e-3
"""Seconds for a step, and for what is beside the steps of an epoch, of a network alone."""


class Plan(NamedTuple):
    """How networks would be trained.

    Attributes:
        cohorts: The places of those that go in step.
        structures: What each cohort has in common.
        alone: The places of those that train alone, and why they do.
        seconds: An estimate, on one core, without compiling.
        nbytes: What a core needs in memory beside the rows, estimated.
    """

    cohorts: tuple[tuple[int, ...], ...]
    structures: tuple[Structure, ...]
    alone: tuple[tuple[int, str], ...]
    seconds: float
    nbytes: int


def plan(members: Sequence[Member], metrics: Sequence[str] = ()) -> Plan:
    """Sort networks into those that go in step and those that do not.

    Args:
        members: The networks.
        metrics: What is measured; it changes nothing but the estimate.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.models.mlp import MLP
    >>> from secchi.training.prepared import PreparedTable
    >>> from secchi.training.spec import Training
    >>> table = PreparedTable.of(TableData.made(Line()))
    >>> of_width = [Member(table, MLP([width]), Training("sgd"), 0) for width in (4, 8, 16)]
    >>> found = plan([*of_width, Member(table, MLP([4]), Training("sgd", ema=0.9), 0)])
    >>> found.cohorts, found.alone
    (((0, 1, 2),), ((3, 'its weights are averaged (ema)'),))
    """
    cohorts: dict[Structure, list[int]] = defaultdict(list)
    alone: list[tuple[int, str]] = []
    for place, member in enumerate(members):
        found = structure(member)
        if isinstance(found, str):
            alone.append((place, found))
        else:
            cohorts[found].append(place)
    seconds = sum(_seconds_alone(members[place]) for place, _ in alone)
    nbytes = 0
    for common, places in cohorts.items():
        some = [members[place] for place in places]
        seconds += _seconds(common, some)
        nbytes = max(nbytes, _nbytes(common, some))
    return Plan(
        tuple(tuple(places) for places in cohorts.values()),
        tuple(cohorts),
        tuple(alone),
        seconds,
        nbytes,
    )


def seconds_of_compiling(networks: Mapping[Structure, int]) -> float:
    """How long their machine code takes to be made, once in a process, whatever the cores.

    Code is written for all of a structure but its counts; and once more where networks fill stacks,
    some of which learn from the same rows and some not.

    Args:
        networks: How many there are of each structure.
    """
    from secchi.cohort.lanes.compile import lanes_of

    codes = Counter[Structure]()
    for common, count in networks.items():
        codes[common._replace(inputs=0, outputs=0, batch=0, steps=0, epochs=0, valid=0)] += count
    return sum(
        _COMPILING * (2 if count > lanes_of(common.precision) else 1)
        for common, count in codes.items()
    )


def _seconds(common: Structure, members: Sequence[Member]) -> float:
    from secchi.cohort.lanes.compile import lanes_of

    lanes = lanes_of(common.precision)
    weights, units = _size(common, members)
    rows = common.steps * common.batch
    operations = rows * (3 * weights + 8 * units) + common.steps * 8 * (weights + units)
    operations += common.valid * (weights + 3 * units)
    seconds = -(-len(members) // lanes) * common.epochs * operations / _OPERATIONS
    streams = {
        (id(member.table), member.training.seed, member.model.hidden): member for member in members
    }
    for member in streams.values():
        drawn = common.inputs * bool(member.model.input_dropout)
        drawn += sum(member.model.hidden) * any(member.model.dropouts)
        seconds += common.epochs * rows * drawn * _DRAWN
    return seconds + len(members) * _PREPARING


def _seconds_alone(member: Member) -> float:
    training = member.training
    steps = -(-len(member.table.labels("train")) // training.batch_size)
    return training.epochs * (steps * _ALONE_STEP + _ALONE_EPOCH)


def _nbytes(common: Structure, members: Sequence[Member]) -> int:
    """Of one stack: weights, gradients and what is remembered of them, statistics, and space."""
    from secchi.cohort.lanes.compile import register_bytes
    from secchi.cohort.lanes.program import STATISTICS
    from secchi.cohort.lanes.stack import STEP_BYTES, WORKING_BYTES

    weights, units = _size(common, members)
    statistics = common.epochs * len(STATISTICS) * 8 * register_bytes() // 4
    drops = any(m.model.input_dropout or any(m.model.dropouts) for m in members)
    # The statistics of a batch need all of it at once, and so do the draws of a step.
    rows = common.batch * (4 * bool(common.batch_norm) + drops)
    numbers = (
        4 * (weights + 3 * units) * register_bytes()
        + rows * (units + common.inputs) * register_bytes()
    )
    return int(numbers) + statistics + WORKING_BYTES + STEP_BYTES


def _size(common: Structure, members: Sequence[Member]) -> tuple[float, float]:
    """Weights and units of a network, on average."""
    weights = units = 0
    for member in members:
        widths = (common.inputs, *member.model.hidden, common.outputs)
        weights += sum(before * after for before, after in zip(widths, widths[1:], strict=False))
        units += sum(widths[1:])
    return weights / len(members), units / len(members)
