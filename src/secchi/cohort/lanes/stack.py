"""Networks side by side in memory, a lane each, and their training."""

import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from secchi.cohort.lanes.compile import compiled, garbage_put_off, lanes_of
from secchi.cohort.lanes.formulas import ACTIVATIONS, MEMORIES
from secchi.cohort.lanes.lanewise import constants, draw_parameters, mask, rates
from secchi.cohort.lanes.memory import Array, Table, aligned, pointers
from secchi.cohort.lanes.program import (
    COMMON,
    LAYER,
    SOURCE,
    STATISTICS,
    Program,
)
from secchi.cohort.lanes.sides import Sides
from secchi.cohort.lanes.steps import Drawn, Steps
from secchi.cohort.lanes.training import write
from secchi.cohort.member import Member
from secchi.data.task import Kind

WORKING_BYTES = 2**18
"""What the numbers between the layers of a stack may take, so that they stay in a core's caches:
the rows of a batch are computed in parts where they would take more."""

STEP_BYTES = 2**23
"""What the orders, draws and coefficients of the steps that run at once may take."""

STEP_PRODUCTS = 1e9
"""Products of vectors in the steps that run at once: about a third of a second, behind which an
interruption is heard."""


_COMPILING = threading.Lock()


def _compiled(program: Program) -> Callable[..., None]:
    """The function ``train`` of a program; threads that ask together wait for one of them."""
    with _COMPILING:
        return _compiled_once(program)


@functools.lru_cache(maxsize=64)
def _compiled_once(program: Program) -> Callable[..., None]:
    with garbage_put_off():
        return compiled(write(program), "train", len(program.tables))


class Stack:
    """Networks that are trained side by side.

    Args:
        members: The networks, as many as there are lanes at the most, of one structure; see
            :mod:`secchi.cohort.structure`.
        sides: Their rows in memory.
        drawn: What dropout drew last for other stacks of the same job; None where there are none.
    """

    def __init__(self, members: Sequence[Member], sides: Sides, drawn: Drawn | None = None) -> None:
        self.members = list(members)
        self._sides = sides
        self._drawn = drawn or Drawn()
        table = members[0].table
        self.precision = table.precision
        self.real = np.dtype(np.float64 if self.precision == "fp64" else np.float32)
        self.lanes = lanes_of(self.precision)
        # Lanes that are left over repeat the last network.
        self._all = [*members, *[members[-1]] * (self.lanes - len(members))]
        self._train = [sides.of(member.table, "train") for member in self._all]
        self._valid = [sides.of(member.table, "valid") for member in self._all]
        self.task = table.task
        self.depth = members[0].model.depth
        self.widths = self._widths()
        self.steps = Steps(self._all, self._train, self.widths, self._drawn)
        self._chunk = self._rows_at_once()
        self.program = self._program()
        self.done = 0
        self.bad = aligned((self.lanes,), np.float64, -1.0)
        self.statistics = aligned((self.steps.epochs, len(STATISTICS), self.lanes), np.float64)
        self.outputs = self._vectors(len(self._valid[0].weights), self.widths[-1])
        self._lay_out()

    @classmethod
    def joined(cls, lanes: "Sequence[tuple[Stack, int]]") -> "Stack":
        """Networks of several stacks that are as far as each other, in one, which goes on.

        Args:
            lanes: Each network's stack and its lane there.
        """
        first = lanes[0][0]
        made = cls([stack.members[lane] for stack, lane in lanes], first._sides, first._drawn)
        made.done = first.done
        for lane in range(made.lanes):
            made._take_over(lane, *lanes[min(lane, len(lanes) - 1)])
        return made

    def _take_over(self, lane: int, other: "Stack", its: int) -> None:
        """A network as it is in another stack, whose layers may be padded to other widths."""
        self.bad[lane] = other.bad[its]
        self.statistics[..., lane] = other.statistics[..., its]
        # One without momentum remembers nothing, beside others or not.
        memories = min(MEMORIES[stack.program.rule] for stack in (self, other))
        names = ("parameters", *(f"memory{number}" for number in range(memories)))
        for mine, theirs in zip(self._blocks(names), other._blocks(names), strict=True):
            rows, columns = map(min, mine.shape[:2], theirs.shape[:2])
            mine[:rows, :columns, lane] = theirs[:rows, :columns, its]

    def _blocks(self, names: Sequence[str]) -> Iterator[Array]:
        """All numbers that training changes, as matrices of vectors."""
        for layer, at in enumerate(self.places):
            units, inputs = self.widths[layer + 1], self.widths[layer]
            for name in names:
                whole = self._common.kept(name)
                yield whole[at.weights : at.biases].reshape(units, inputs, self.lanes)
                yield whole[at.biases : at.norms].reshape(1, units, self.lanes)
                if at.norms < at.end:
                    yield whole[at.norms : at.end].reshape(2, units, self.lanes)
            if at.norms < at.end:
                running = self._layers["train"][layer].kept("running")
                yield running.reshape(2, units, self.lanes)

    # ---------------------------------------------------------------- laying out

    def _widths(self) -> list[int]:
        each = zip(*(member.model.hidden for member in self._all), strict=True)
        inputs = self._all[0].table.width
        return [inputs, *(_kept_apart(max(units)) for units in each), self.task.outputs]

    def _program(self) -> Program:
        members, first = self._all, self._all[0]
        model, training = first.model, first.training
        of = [member.training for member in members]
        of_inputs = any(member.model.input_dropout for member in members)
        of_units = any(any(member.model.dropouts) for member in members)
        activation = model.activation if self.depth else "identity"
        padded = any(list(member.model.hidden) != self.widths[1:-1] for member in members)
        return Program(
            "double" if self.precision == "fp64" else "float",
            self.lanes,
            self.depth,
            activation,
            model.batch_norm if self.depth else None,
            loss_of(self.task.target.kind, training.loss),
            self.steps.rule,
            shared_rows=self.steps.shared_rows,
            sources=max(1, len(self.steps.drawing)),
            masked=padded and ACTIVATIONS[activation].of_zero != 0,
            input_dropout=of_inputs,
            dropout=of_units,
            decays=training.optimizer != "adamw" and any(each.weight_decay for each in of),
            penalised=any(each.l1 or each.l2 for each in of),
            normed=any(each.matrix_norm for each in of),
            clipped=any(each.clip is not None for each in of),
            whole=self._chunk >= self.steps.batch,
        )

    def _vectors(self, *shape: int, fill: float | None = 0.0) -> Array:
        return aligned((*shape, self.lanes), self.real, fill)

    def _lay_out(self) -> None:
        program, widths = self.program, self.widths
        places = program.places(widths)
        self.places = places
        self.parameters = self._vectors(places[-1].end)
        draw_parameters(self.parameters, self._all, places, widths)
        chunk = self._chunk
        widest = max(widths[1:])
        self._common = Table(
            COMMON,
            {
                "batch": self.steps.batch,
                "chunk": chunk,
                "valid": len(self._valid[0].weights),
                "units": widths[-1],
                "truths": self._train[0].truth.shape[1],
                "parameters": self.parameters,
                "numbers": len(self.parameters),
                "gradients": self._vectors(0 if program.moves_at_once else len(self.parameters)),
                "sound": self._vectors(1),
                **{
                    f"memory{number}": self._vectors(len(self.parameters))
                    for number in range(MEMORIES[program.rule])
                },
                "constants": constants(self._all, self._valid, self.real),
                "statistics": self.statistics,
                "bad": self.bad,
                "outputs": self.outputs,
                "truth_tile": self._vectors(chunk, self._train[0].truth.shape[1]),
                "weight_tile": self._vectors(chunk),
                "here": self._vectors(chunk, widest),
                "there": self._vectors(chunk, widest),
            },
        )
        self.statistics[:, STATISTICS.index("least")] = math.inf
        self.statistics[:, STATISTICS.index("most")] = -math.inf
        tile = None if program.shared_rows else self._vectors(chunk, widths[0])
        self._sources = {
            "train": self._source(self._train, tile),
            "valid": self._source(self._valid, tile),
        }
        self._layers = self._layer_tables(tile)

    def _rows_at_once(self) -> int:
        """How many rows are computed at once: so many that what layers give stays in the caches.

        Where weights are too many for that, they are what is read from further away, and the more
        rows are computed with them the better.
        """
        batch, valid = self.steps.batch, len(self._valid[0].weights)
        if self.members[0].model.batch_norm:
            return batch
        widths, vector = self.widths, self.lanes * self.real.itemsize
        numbers = 2 * max(widths[1:]) + 2 * sum(widths[1:])
        numbers += 0 if self.steps.shared_rows else widths[0]
        weights = sum(before * units for before, units in pairwise(widths)) * vector
        space = max(WORKING_BYTES, 2 * weights if weights > WORKING_BYTES else 0)
        rows = space // (numbers * vector) // 8 * 8
        return int(min(max(8, rows), max(batch, min(valid, 64))))

    def _source(self, sides: Sequence[Any], tile: Array | None) -> Table:
        names = ("inputs", "truth", "weights", "order")
        values: dict[str, Any] = {"width": self.widths[0]}
        values |= {} if tile is None else {"tile": tile}
        for name in names:
            arrays = [getattr(side, name) for side in sides]
            values[name] = arrays[0] if self.program.shared_rows else pointers(arrays)
        return Table(SOURCE, values)

    def _layer_tables(self, tile: Array | None) -> dict[str, list[Table]]:
        program, widths, chunk = self.program, self.widths, self._chunk
        tables: dict[str, list[Table]] = {"train": [], "valid": []}
        models = [member.model for member in self._all]
        drawing = self._vectors(program.sources)
        for number, lanes in enumerate(self.steps.drawing):
            drawing[number, lanes] = 1.0
        before: Array | None = tile
        for layer, at in enumerate(self.places):
            inputs, units = widths[layer], widths[layer + 1]
            inside = layer < self.depth
            counts = [(*model.hidden, widths[-1])[layer] for model in models]
            values: dict[str, Any] = {
                "inputs": inputs,
                "units": units,
                "weights": self.parameters[at.weights :],
                "biases": self.parameters[at.biases :],
                "weight_number": at.weights,
                "end": at.end,
                "values": self._vectors(chunk, units),
                "kept": self._vectors(chunk, units) if inside else self._vectors(0),
                "mask": mask(counts, units, self.real),
                "rates": rates([(*model.dropouts, 0.0)[layer] for model in models], self.real),
                "source_rates": rates([model.input_dropout for model in models], self.real),
                "drawing": drawing,
            }
            if program.batch_norm and inside:
                values |= {
                    "norms": self.parameters[at.norms :],
                    "norm_number": at.norms,
                    "running": self._running(units),
                    "normed": self._vectors(chunk, units),
                    "spread": self._vectors(units),
                }
            for mode, sides in (("train", self._train), ("valid", self._valid)):
                source = before
                if source is None:
                    source = sides[0].inputs
                    values["order"] = sides[0].order
                tables[mode].append(Table(LAYER, values | {"source": source}))
            before = values["values"]
        return tables

    def _running(self, units: int) -> Array:
        running = self._vectors(2 * units)
        running[units:] = 1.0
        return running

    # ---------------------------------------------------------------- training

    def going_on(self, epochs: int) -> Iterator[None]:
        """Train for some more epochs, with a pause before every few steps."""
        per_epoch, function = self.steps.per_epoch, _compiled(self.program)
        goal = min(self.done + epochs, self.steps.epochs)
        start, stop = self.done * per_epoch, goal * per_epoch
        layers = *self._layers["train"], *self._layers["valid"]
        tables = [self._common, *self._sources.values(), *layers]
        addresses = [table.address for table in tables]
        # Nothing is to be learned of networks that have all gone wrong.
        while start < stop and (self.bad < 0).any():
            yield
            end = min(stop, start + self._steps_at_once())
            self._put(start, end)
            function(*addresses)
            start = end
        self.done = goal

    def _put(self, start: int, end: int) -> None:
        """Bring into place what the steps from one to before another take."""
        given = self.steps.between(start, end)
        self._common.put(
            steps=end - start,
            first_step=start,
            coefficients=given.coefficients,
            ends=given.ends,
        )
        if self.program.shared_rows:
            self._sources["train"].put(order=given.orders[0])
            self._layers["train"][0].put(order=given.orders[0])
        else:
            # The table of pointers does not hold what they point to.
            self._orders = given.orders
            self._sources["train"].put(order=pointers(given.orders))
        for table, draws in zip(self._layers["train"], given.draws, strict=True):
            table.put(draws=draws, drawn=draws[0].size)
        draws = given.source_draws
        self._layers["train"][0].put(source_draws=draws, source_drawn=draws[0].size)

    def _steps_at_once(self) -> int:
        """How many steps run before there is a pause."""
        weights = sum(before * units for before, units in pairwise(self.widths))
        products = 3 * weights * self.steps.batch
        return int(max(1, min(STEP_BYTES // self.steps.step_bytes, STEP_PRODUCTS // products)))

    def answers(self, lane: int) -> torch.Tensor:
        """What a network gives for the rows that validate, in the units of what is predicted."""
        table = self.members[lane].table
        outputs = self.outputs[..., lane].astype(np.float64)
        outputs = outputs * np.array(table.scales) + np.array(table.centers)
        plain = table.task.target.kind is not Kind.REGRESSION
        return torch.from_numpy(outputs.astype(self.real) if plain else outputs)


def _kept_apart(units: int) -> int:
    """A width with one unit of padding where all rows of weights would share places in a cache."""
    return units + 1 if units >= 64 and units % 32 == 0 else units


def loss_of(kind: Kind, loss: Any) -> str:
    """The name of a loss as :data:`secchi.cohort.lanes.program.LOSSES` has it."""
    if kind is Kind.REGRESSION:
        return loss or "mse"
    return {Kind.BINARY: "bce", Kind.MULTICLASS: "cross_entropy", Kind.MULTILABEL: "labels"}[kind]
