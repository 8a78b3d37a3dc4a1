"""What each step of a stack takes: the order of its rows, what dropout draws, and coefficients."""

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from secchi.cohort.lanes.formulas import COEFFICIENTS
from secchi.cohort.lanes.memory import Array, aligned
from secchi.cohort.lanes.sides import Side
from secchi.cohort.member import Member
from secchi.cohort.structure import steps_of
from secchi.seeding import stream, stream_seed
from secchi.training.schedules import At, Constant, Schedule

KEPT_NUMBERS = 2**18
"""Orders of so many numbers at the most are kept: 32 of them, a megabyte each."""


class Given(NamedTuple):
    """What some steps take.

    Attributes:
        orders: The rows, one after the other; of all lanes together, or of each.
        ends: (steps, 2): the number of the epoch, and 1 where the step is its last.
        coefficients: (steps, numbers, lanes), the weight of the step's rows first.
        draws: Of each layer: (sources, steps * batch, units).
        source_draws: Of the inputs, likewise.
    """

    orders: list[NDArray[np.int32]]
    ends: NDArray[np.int64]
    coefficients: Array
    draws: list[Array]
    source_draws: Array


class Drawn:
    """What dropout drew last, for stacks that are trained in turns."""

    def __init__(self) -> None:
        self._steps = (0, 0)
        self._known: dict[object, list[Array]] = {}
        self._spare: list[list[Array]] = []

    def of(self, start: int, stop: int) -> dict[object, list[Array]]:
        """What was drawn for the steps from one to before another, by what draws; to be added to.

        What was drawn for other steps is forgotten.
        """
        if self._steps != (start, stop):
            self._spare = list(self._known.values())
            self._steps, self._known = (start, stop), {}
        return self._known

    def spaces(self, shapes: Sequence[tuple[int, int]]) -> list[Array]:
        """Arrays to draw into: those of steps that were forgotten, where they have these shapes.

        Memory that was just given back takes as long to have again as a draw.
        """
        for place, spare in enumerate(self._spare):
            if [each.shape for each in spare] == list(shapes):
                return self._spare.pop(place)
        return [np.zeros(shape, np.float32) for shape in shapes]


class Steps:
    """The steps of networks that are trained side by side.

    Args:
        members: The networks, one a lane.
        sides: The rows that each trains on.
        widths: Inputs, units of each hidden layer, and outputs, as the widest has them.
        shared: What dropout drew for other stacks.

    Attributes:
        epochs: Passes over the rows.
        per_epoch: Steps in each.
        batch: Rows in a step.
        rule: What the optimizer does; see :data:`secchi.cohort.lanes.formulas.RULES`.
        shared_rows: Whether all lanes take the same rows in the same order.
        drawing: The lanes for which dropout draws the same; those that drop nothing are in none.
    """

    def __init__(
        self,
        members: Sequence[Member],
        sides: Sequence[Side],
        widths: Sequence[int],
        shared: Drawn,
    ) -> None:
        self._members, self._sides, self._widths = members, sides, tuple(widths)
        self._shared = shared
        first = members[0].training
        self.epochs = first.epochs
        self.per_epoch, self.batch = steps_of(sides[0].rows, first)
        momenta = [member.training.base_momentum for member in members]
        self.rule = first.optimizer
        if self.rule == "sgd" and any(momenta):
            self.rule = "momentum"
        self.shared_rows = len({rows_of(member) for member in members}) == 1
        # One that drops nothing may be told the draws of any other.
        drawing: dict[object, list[int]] = defaultdict(list)
        for lane, member in enumerate(members):
            if any(drawn_by(member)):
                drawing[draws_of(member)].append(lane)
        self.drawing = list(drawing.values())
        self._sources = [members[lanes[0]] for lanes in self.drawing]
        # Where one layer drops units, the machine code looks at the draws of all of them.
        drops = any(any(member.model.dropouts) for member in members)
        drops_inputs = any(member.model.input_dropout for member in members)
        self._drawn = (drops_inputs, *[drops] * (len(self._widths) - 2))

    @property
    def step_bytes(self) -> int:
        """What one step takes in memory."""
        lanes = len(self._members)
        widths = zip(self._widths[:-1], self._drawn, strict=True)
        drawn = sum(width for width, has in widths if has) * len(self.drawing) * self.batch * 4
        orders = self.batch * 4 * (1 if self.shared_rows else lanes)
        return drawn + orders + 8 * 8 * lanes

    def between(self, start: int, stop: int) -> Given:
        """What the steps from one to before another take; good until the next ones are asked for.

        Of these what is drawn goes to the same memory, where stacks share their draws.
        """
        steps = np.arange(start, stop)
        ends = np.stack([steps // self.per_epoch, (steps + 1) % self.per_epoch == 0], axis=1)
        orders = self._orders(start, stop)
        source_draws, *draws = self._all_draws(start, stop)
        return Given(
            orders,
            np.ascontiguousarray(ends, np.int64),
            self._coefficients(start, stop, orders),
            draws,
            source_draws,
        )

    # ---------------------------------------------------------------- orders

    def _orders(self, start: int, stop: int) -> list[NDArray[np.int32]]:
        lanes = range(1 if self.shared_rows else len(self._members))
        return [self._order(lane, start, stop) for lane in lanes]

    def _order(self, lane: int, start: int, stop: int) -> NDArray[np.int32]:
        side, seed = self._sides[lane], self._members[lane].training.seed
        if not ordered(self._members[lane]):
            return np.ascontiguousarray(np.tile(side.counted, stop - start), np.int32)
        first, last = start // self.per_epoch, (stop - 1) // self.per_epoch
        many = side.rows * (last + 1 - first) > KEPT_NUMBERS
        orders = (_drawn_orders if many else _orders)(side.rows, seed, first, last + 1)
        orders = orders[:, : self.per_epoch * self.batch]
        behind = (start - first * self.per_epoch) * self.batch
        taken = orders.reshape(-1)[behind : behind + (stop - start) * self.batch]
        # Rows that weigh nothing are passed over.
        counted = taken if side.rows == len(side.weights) else side.counted[taken]
        return np.ascontiguousarray(counted, np.int32)

    # ---------------------------------------------------------------- dropout

    def _all_draws(self, start: int, stop: int) -> list[Array]:
        """Those of inputs and of each layer; nothing is drawn behind the outputs."""
        none = np.zeros((1, 0), np.float32)
        if not any(self._drawn):
            return [none] * len(self._widths)
        each = [self._draws_of(member, start, stop) for member in self._sources]
        joint = [
            np.stack(spaces) if len(each) > 1 else spaces[0][None]
            for spaces in zip(*each, strict=True)
        ]
        return [*joint, none]

    def _draws_of(self, member: Member, start: int, stop: int) -> list[Array]:
        """What a network draws in some steps; known where another stack took the same."""
        seed, widths = member.training.seed, self._widths[:-1]
        key = seed, self.batch, widths, self._drawn, drawn_by(member)
        known = self._shared.of(start, stop)
        if key not in known:
            rows = (stop - start) * self.batch
            spaces = self._shared.spaces(
                [
                    (rows, width if has else 0)
                    for width, has in zip(widths, self._drawn, strict=True)
                ]
            )
            for step in range(start, stop):
                self._draw(member, step, (step - start) * self.batch, spaces)
            known[key] = spaces
        return known[key]

    def _draw(self, member: Member, step: int, row: int, spaces: Sequence[Array]) -> None:
        """What a network draws in a step, layer after layer."""
        epoch, number = divmod(step, self.per_epoch)
        purpose = f"step {number} of epoch {epoch}"
        random = torch.Generator().manual_seed(stream_seed(member.training.seed, purpose))
        for width, space in zip(drawn_by(member), spaces, strict=True):
            if width:
                numbers = torch.rand(self.batch, width, generator=random).numpy()
                space[row : row + self.batch, :width] = numbers

    # ---------------------------------------------------------------- coefficients

    def _coefficients(self, start: int, stop: int, orders: Sequence[NDArray[np.int32]]) -> Array:
        lanes, real = len(self._members), self._sides[0].inputs.dtype
        names = ("total", *COEFFICIENTS[self.rule])
        table = aligned((stop - start, len(names), lanes), real)
        steps = np.arange(start + 1, stop + 1)
        made: dict[object, dict[str, Array]] = {}
        for lane, (member, side) in enumerate(zip(self._members, self._sides, strict=True)):
            if member.training not in made:
                made[member.training] = self._numbers(member, start, stop, steps)
            if side.even:
                table[:, 0, lane] = self.batch
            else:
                weights = side.weights[orders[0 if self.shared_rows else lane]]
                table[:, 0, lane] = weights.reshape(-1, self.batch).sum(axis=1)
            for place, name in enumerate(names[1:], start=1):
                table[:, place, lane] = made[member.training][name]
        return table

    def _numbers(
        self, member: Member, start: int, stop: int, steps: NDArray[np.int64]
    ) -> dict[str, Array]:
        """The coefficients of a network's rule, one a step."""
        training = member.training
        total = self.epochs * self.per_epoch
        factors, moments = _scheduled(
            training.schedule, total, self.per_epoch, training.base_momentum
        )
        lr = training.rates[0] * factors[start:stop]
        moment = moments[start:stop]
        if self.rule in ("adam", "adamw"):
            return {
                "lr": lr / (1 - moment**steps),
                "rest": 1 - moment,
                "root": np.sqrt(1 - 0.999**steps),
                "shrink": 1 - lr * training.weight_decay,
            }
        # A step without momentum leaves what is remembered as it is; the first with one takes the
        # gradient undampened.
        moves = moment > 0
        first = steps - 1 == np.argmax(moments > 0)
        take = np.where(first, 1.0, 1 - training.dampening) if self.rule == "momentum" else 1.0
        of_momentum = moment if training.nesterov else 1.0
        return {
            "lr": lr,
            "keep": np.where(moves, moment, 1.0),
            "take": np.where(moves, take, 0.0),
            "of_gradient": np.where(moves, float(training.nesterov), 1.0),
            "of_momentum": np.where(moves, of_momentum, 0.0),
        }


def ordered(member: Member) -> bool:
    """Whether it matters in which order the rows are taken.

    Not where a step takes all of them and nothing is drawn for each: that changes but the order in
    which numbers are added up.
    """
    training = member.training
    whole = training.batch_size * training.accumulate >= len(member.table.labels("train"))
    return not whole or any(drawn_by(member))


def rows_of(member: Member) -> tuple[int, int | None]:
    """What names the rows that a network learns from, and their order."""
    return id(member.table), member.training.seed if ordered(member) else None


def draws_of(member: Member) -> tuple[int, tuple[int, ...]]:
    """What names the draws of a network."""
    return member.training.seed, drawn_by(member)


def drawn_by(member: Member) -> tuple[int, ...]:
    """How many numbers dropout draws for a row: of inputs, and of each layer; 0 where none is."""
    model = member.model
    return (
        member.table.width if model.input_dropout else 0,
        *(units if share else 0 for units, share in zip(model.hidden, model.dropouts, strict=True)),
    )


def _drawn_orders(rows: int, seed: int, first: int, stop: int) -> NDArray[np.int32]:
    """The order of each epoch from one to before another, (epochs, rows)."""
    orders = np.empty((stop - first, rows), np.int32)
    for epoch in range(first, stop):
        orders[epoch - first] = stream(seed, f"batch order of epoch {epoch}").permutation(rows)
    return orders


_orders = functools.lru_cache(maxsize=32)(_drawn_orders)
"""Kept for the stacks that follow, which are often of the same seed."""


@functools.lru_cache(maxsize=64)
def _scheduled(schedule: Schedule, steps: int, per_epoch: int, base: float) -> tuple[Array, Array]:
    """What the rate is multiplied with at each step, and the momentum there."""
    if isinstance(schedule, Constant):
        return np.ones(steps), np.full(steps, base)
    places = [At(step, steps, per_epoch) for step in range(steps)]
    factors = np.array([schedule.factor(at) for at in places])
    moments = np.array([schedule.momentum(at, base) if base else 0.0 for at in places])
    return factors, moments
