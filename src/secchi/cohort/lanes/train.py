"""Many networks of one structure, cut into jobs of stacks that fit a core."""

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

import numpy as np

from secchi.cohort.curve import Curve
from secchi.cohort.lanes.compile import lanes_of
from secchi.cohort.lanes.curves import SUMMED, curve, ended, metrics
from secchi.cohort.lanes.grouping import cost, grouped
from secchi.cohort.lanes.sides import Sides
from secchi.cohort.lanes.stack import Stack
from secchi.cohort.lanes.steps import Drawn, drawn_by
from secchi.cohort.member import Member
from secchi.training.evaluation import score

ROUNDS = 20
"""Into so many parts the epochs of networks that may stop early are cut; behind each, those that
have stopped leave, and the others close ranks."""

STACKS = 8
"""So many stacks at the most are trained in turns by a core: where networks may stop early, so that
those that go on can close ranks; and those of one seed that drop units, which is drawn once."""


def jobs_of(
    members: Sequence[Member], places: Sequence[int], names: Sequence[str], threads: int
) -> "Iterator[Job]":
    """What a core can do at a time.

    Args:
        members: Networks.
        places: Those of them that are trained, which have one structure.
        names: Metrics.
        threads: How many cores there are.
    """
    lanes = lanes_of(members[places[0]].table.precision)
    groups, sides = grouped(members, places, lanes), Sides()
    stops = any(members[place].training.patience for place in places)
    drops = any(any(drawn_by(members[place])) for place in places)
    size = 1
    if stops:
        size = min(STACKS, -(-len(groups) // threads))
    elif drops:
        size = min(STACKS, max(1, len(groups) // (4 * threads)))

    def stream(group: Sequence[int]) -> object:
        """The seed of a stack that has but one."""
        seeds = {members[place].training.seed for place in group}
        return seeds if drops and not stops and len(seeds) == 1 else None

    for _, alike in groupby(groups, key=stream):
        some = list(alike)
        for start in range(0, len(some), size):
            yield Job(members, some[start : start + size], names, sides)


@dataclasses.dataclass(frozen=True)
class Job:
    """Stacks that a core trains, one after the other, or in rounds where networks may stop early.

    Attributes:
        members: Networks.
        groups: The places of those of each stack.
        names: Metrics.
        sides: The rows of all.
    """

    members: Sequence[Member]
    groups: Sequence[Sequence[int]]
    names: Sequence[str]
    sides: Sides

    @property
    def work(self) -> float:
        """About how much there is to do, in products of vectors."""
        member = self.members[self.groups[0][0]]
        rows = len(member.table.labels("train")) * member.training.epochs
        return rows * sum(cost(self.members, group) for group in self.groups)

    def __call__(self, stopped: threading.Event) -> list[tuple[int, Curve]]:
        """Train them; the place and the curve of each, or of those that ended before a stop."""
        members, drawn = self.members, Drawn()
        stacks = [
            _Ranks(
                Stack([members[place] for place in group], self.sides, drawn),
                dict(enumerate(group)),
            )
            for group in self.groups
        ]
        scores: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        each = self._round(stacks[0].stack.steps.epochs)
        curves: list[tuple[int, Curve]] = []
        while stacks:
            # In turns, so that they take the same steps with the same draws.
            for _ in zip_longest(*(rank.stack.going_on(each) for rank in stacks)):
                if stopped.is_set():
                    return curves
            for stack, going in stacks:
                for lane, place in list(going.items()):
                    made = self._ended(stack, lane, scores[place])
                    if made is not None:
                        curves.append((place, made))
                        del going[lane]
            stacks = _close_ranks(stacks)
        return curves

    @property
    def _apart(self) -> bool:
        """Whether a metric needs the outputs of every epoch."""
        kind = self.members[self.groups[0][0]].table.task.target.kind
        return any(name not in SUMMED[kind] for name in self.names)

    def _round(self, epochs: int) -> int:
        """How many epochs are trained before it is looked who has ended."""
        if self._apart:
            return 1
        places = [place for group in self.groups for place in group]
        stops = any(self.members[place].training.patience for place in places)
        return -(-epochs // ROUNDS) if stops else epochs

    def _ended(self, stack: Stack, lane: int, scores: dict[str, list[float]]) -> Curve | None:
        """The curve of a network that has ended."""
        member, names = stack.members[lane], self.names
        table, target = member.table, member.table.task.target
        if self._apart:
            for name, value in score(table.labels("valid"), stack.answers(lane), names).items():
                scores[name].append(value)
        statistics = stack.statistics[: stack.done, :, lane]
        bad, per_epoch = int(stack.bad[lane]), stack.steps.per_epoch
        end = ended(statistics, bad, stack.done, per_epoch, member.training)
        if end.outcome is None:
            return None
        made = metrics(names, statistics, target, table.scales[0])
        others = {name: np.array(scores[name]) for name in names if name not in made}
        return curve(end, statistics, made | others, names)


class _Ranks(NamedTuple):
    """A stack, and the places of its networks that go on, by lane."""

    stack: Stack
    going: dict[int, int]


def _close_ranks(stacks: list[_Ranks]) -> list[_Ranks]:
    """The networks that go on, in as few stacks as they fit in."""
    going = [(rank.stack, lane) for rank in stacks for lane in rank.going]
    places = [place for rank in stacks for place in rank.going.values()]
    lanes = stacks[0].stack.lanes
    if -(-len(going) // lanes) == len(stacks):
        return stacks
    return [
        _Ranks(
            Stack.joined(going[start : start + lanes]),
            dict(enumerate(places[start : start + lanes])),
        )
        for start in range(0, len(going), lanes)
    ]
