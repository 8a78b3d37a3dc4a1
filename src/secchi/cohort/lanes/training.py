"""The training of a stack, step after step and epoch after epoch, as machine code."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from secchi.cohort.lanes import formulas
from secchi.cohort.lanes.formulas import Cost
from secchi.cohort.lanes.language import Code, Number, Variable, exp, log
from secchi.cohort.lanes.layers import Layers
from secchi.cohort.lanes.matrices import Rows
from secchi.cohort.lanes.moving import Moving
from secchi.cohort.lanes.program import (
    COMMON,
    CONSTANTS,
    LAYER,
    NUMBER_LOSSES,
    SOURCE,
    STATISTICS,
    Program,
)
from secchi.cohort.lanes.tables import Table

_DOUBLE = ir.DoubleType()
_TINY = 1.1754943508222875e-38
_FIRST = {"least": math.inf, "most": -math.inf}
"""What a statistic begins with, if not with 0; such are put, not added."""

_OF_ONE: dict[str, Callable[[Number, Number, Number], Cost]] = {
    "mse": formulas.squared,
    "l1": formulas.absolute,
    "huber": formulas.huber,
    "bce": formulas.binary,
    "labels": formulas.binary,
}


def write(program: Program) -> ir.Module:
    """The module whose function ``train`` trains a stack.

    It takes a pointer for each of :attr:`secchi.cohort.lanes.program.Program.tables`.
    """
    module = ir.Module("stack")
    names = program.tables
    code = Code(module, "train", program.real, program.lanes, (len(names), 0), exported=True)
    _Training(program, module, code, dict(zip(names, code.pointers, strict=True))).write()
    code.close()
    return module


class _Training:
    """Writes the function that trains.

    Args:
        program: What it is written for.
        module: Where to.
        code: Its code.
        tables: What it gets.
    """

    def __init__(
        self, program: Program, module: ir.Module, code: Code, tables: dict[str, ir.Value]
    ) -> None:
        self.program = program
        self.code = code
        self.tables = tables
        self.common = Table(code, tables["common"], COMMON)
        self.layers = Layers(module, program)
        self.gather = Code(module, "gather", program.real, program.lanes, (2, 2))
        self._write_gather()

    def write(self) -> None:
        """All of it."""
        code, common = self.code, self.common
        with code.loop(0, common.whole("steps")) as step:
            epoch = code.index(common.pointer("ends"), step * 2)
            self._step(step, epoch)
            judged = code.index(common.pointer("ends"), step * 2 + 1)
            with code.when(judged.is_more(0)):
                self._judge(epoch)

    # ---------------------------------------------------------------- steps

    def _step(self, step: Any, epoch: Any) -> None:
        """A step, and what it adds to the statistics of its epoch."""
        code, common = self.code, self.common
        batch, sound = common.whole("batch"), common.pointer("sound")
        code.store(code.number(0.0), sound, 0)
        if not self.program.whole:
            with code.loop(0, common.whole("numbers")) as place:
                code.store(code.number(0.0), common.pointer("gradients"), place)
        moving = Moving(code, self.program, self.tables["common"], step)
        loss = code.variable(code.wide(0.0))
        with self._parts(batch) as (rows, row):
            at = step * batch + row
            self._forward("train", rows, at)
            self._slopes(rows, moving.total, loss)
            self._backward(rows, at, step)
        self._add(epoch, {"train_loss": loss.get(), "train_weight": moving.total.wide()})
        if not self.program.moves_at_once:
            self._move(moving)
        sound = (loss.get() / moving.total.wide()).finite() & code.load(sound, 0).equals(0.0)
        bad, now = common.pointer("bad"), code.wide_of(step + common.whole("first_step"))
        before = code.load(bad, 0, _DOUBLE)
        code.store((~sound & (before < 0.0)).choose(now, before), bad, 0)

    def _constant(self, name: str) -> Number:
        return self.code.load(self.common.pointer("constants"), CONSTANTS.index(name))

    @contextlib.contextmanager
    def _parts(self, rows: Any) -> Iterator[tuple[Any, Any]]:
        """Code for every part of some rows that is computed at once: how many, and the first."""
        chunk = self.common.whole("chunk")
        with self.code.loop(0, (rows + chunk - 1) // chunk) as part:
            row = part * chunk
            yield (rows - row).at_most(chunk), row

    def _forward(self, mode: str, rows: Any, at: Any) -> None:
        """Rows through all layers; their truth and weights gathered."""
        self.code.call(
            self.gather, [self.tables["common"], self.tables[f"{mode}_rows"]], [rows, at]
        )
        for layer in range(self.program.hidden + 1):
            table = self.tables[f"{mode}{layer}"]
            self.layers.forward(self.code, table, layer, rows, at, mode == "train")

    def _backward(self, rows: Any, at: Any, step: Any) -> None:
        """From the slopes of the outputs to the gradients of all parameters."""
        here, there = self.common.pointer("here"), self.common.pointer("there")
        for layer in range(self.program.hidden, -1, -1):
            own, before = self.tables[f"train{layer}"], self.tables[f"train{max(0, layer - 1)}"]
            tables = self.tables["common"], own, before
            self.layers.backward(self.code, tables, layer, rows, at, step, (here, there))
            here, there = there, here

    def _write_gather(self) -> None:
        """Brings truth and weights of rows together, and inputs where each lane has its own."""
        code = self.gather
        common, source = (
            Table(code, code.pointers[0], COMMON),
            Table(code, code.pointers[1], SOURCE),
        )
        rows, at = code.wholes
        width, truths = source.whole("width"), common.whole("truths")
        truth_tile, weight_tile = common.pointer("truth_tile"), common.pointer("weight_tile")
        tile, lanes = source.pointer("tile"), self.program.lanes
        names = ("inputs", "truth", "weights", "order")
        with code.loop(0, 1 if self.program.shared_rows else lanes) as lane:
            inputs, truth, weights, order = (
                source.pointer(name)
                if self.program.shared_rows
                else code.pointer(source.pointer(name), lane)
                for name in names
            )
            with code.loop(0, rows) as row:
                where = code.index(order, at + row, 32)
                moved = [(weights, code.whole(1), weight_tile), (truth, truths, truth_tile)]
                if not self.program.shared_rows:
                    moved.append((inputs, width, tile))
                for origin, size, goal in moved:
                    with code.loop(0, size) as place:
                        value = code.one(origin, where * size + place)
                        if self.program.shared_rows:
                            code.store(code.spread(value), goal, row * size + place)
                        else:
                            code.put_one(value, goal, (row * size + place) * lanes + lane)
        code.close()

    # ---------------------------------------------------------------- losses

    def _slopes(self, rows: Any, total: Number, loss: Variable) -> None:
        """Leave the slopes of the outputs for some rows, and add their losses, by weight.

        Row by row, so that it does not matter how many are computed at once.
        """
        code, common = self.code, self.common
        slopes = Rows(code, common.pointer("here"), common.whole("units"))
        with code.loop(0, rows) as row:
            weight = code.load(common.pointer("weight_tile"), row)
            share = weight / total

            def put(unit: Any, slope: Number, row: Any = row, share: Number = share) -> None:
                slopes.put(row, unit, slope * share)

            value, _ = self._cost(row, f"train{self.program.hidden}", put)
            # What weighs nothing may be no number.
            counted = (weight > 0.0).choose(value * weight.wide(), 0.0)
            loss.set(loss.get() + counted)

    def _cost(self, row: Any, table: str, put: Any = None) -> tuple[Number, Number]:
        """The loss of a row, and what is right of it; the slopes go to ``put``.

        Of numbers in double precision, in which the squares of large errors can be told.
        """
        code, common, loss = self.code, self.common, self.program.loss
        outputs = Table(code, self.tables[table], LAYER).pointer("values")
        units, truth = common.whole("units"), common.pointer("truth_tile")
        given = Rows(code, outputs, units)
        option = self._constant("delta") if loss == "huber" else self._smoothing(put is not None)
        if loss == "cross_entropy":
            return self._cross_entropy(given, row, code.load(truth, row), option, put)
        count = code.real_of(units)
        value, right = code.variable(code.wide(0.0)), code.variable(code.wide(0.0))
        with code.loop(0, units) as unit:
            z, t = given.at(row, unit), code.load(truth, row * units + unit)
            if loss in NUMBER_LOSSES:
                z, t, option = z.wide(), t.wide(), option.wide()
            cost = _OF_ONE[loss](z, t, option)
            value.set(value.get() + cost.value.wide())
            right.set(right.get() + cost.right.wide())
            if put:
                put(unit, cost.slope.narrow() / count)
        return value.get() / count.wide(), right.get() / count.wide()

    def _smoothing(self, training: bool) -> Number:
        """How far labels are smoothed: in training alone."""
        return self._constant("smoothing") if training else self.code.number(0.0)

    def _cross_entropy(
        self, given: Rows, row: Any, truth: Number, smoothing: Number, put: Any
    ) -> tuple[Number, Number]:
        """-log p(true class), part of it that of all classes; right where no class has more."""
        code, units = self.code, self.common.whole("units")
        top, best = code.variable(given.at(row, 0)), code.variable(code.number(0.0))
        with code.loop(1, units) as unit:
            z = given.at(row, unit)
            more = z > top.get()
            best.set(more.choose(code.real_of(unit), best.get()))
            top.set(more.choose(z, top.get()))
        total, own, every = (code.variable(code.number(0.0)) for _ in range(3))
        with code.loop(0, units) as unit:
            z = given.at(row, unit) - top.get()
            total.set(total.get() + exp(z))
            own.set(truth.equals(code.real_of(unit)).choose(z, own.get()))
            every.set(every.get() + z)
        of_sum, count = log(total.get()), code.real_of(units)
        # Nothing of labels that are not smoothed: none may be so unlikely that that is no number.
        of_all = (smoothing > 0.0).choose(smoothing * (of_sum - every.get() / count), 0.0)
        value = (1.0 - smoothing) * (of_sum - own.get()) + of_all
        if put:
            with code.loop(0, units) as unit:
                share = exp(given.at(row, unit) - top.get()) / total.get()
                true = truth.equals(code.real_of(unit)).choose(1.0 - smoothing, 0.0)
                put(unit, share - true - smoothing / count)
        right = best.get().equals(truth).choose(code.number(1.0), 0.0)
        return value.wide(), right.wide()

    # ---------------------------------------------------------------- judging

    def _judge(self, epoch: Any) -> None:
        """What the rows that validate say of the networks, added to an epoch's statistics."""
        code, common = self.code, self.common
        names = STATISTICS[2:]
        sums = {name: code.variable(code.wide(_FIRST.get(name, 0.0))) for name in names}
        table = f"valid{self.program.hidden}"
        units = common.whole("units")
        given = Rows(code, Table(code, self.tables[table], LAYER).pointer("values"), units)
        outputs = Rows(code, common.pointer("outputs"), units)
        with self._parts(common.whole("valid")) as (rows, first):
            self._forward("valid", rows, first)
            with code.loop(0, rows) as row:
                with code.loop(0, units) as unit:
                    outputs.put(first + row, unit, given.at(row, unit))
                value, right = self._cost(row, table)
                weight = code.load(common.pointer("weight_tile"), row).wide()
                counted = weight > 0.0
                self._sum(sums, "loss", counted, value * weight)
                self._sum(sums, "weight", counted, weight)
                self._sum(sums, "right", counted, right * weight)
                if self.program.loss in NUMBER_LOSSES:
                    truth = code.load(common.pointer("truth_tile"), row)
                    self._moments(sums, counted, weight, given.at(row, 0), truth)
        self._add(epoch, {name: sums[name].get() for name in names})

    def _sum(self, sums: Any, name: str, counted: Number, value: Number) -> None:
        sums[name].set(sums[name].get() + counted.choose(value, 0.0))

    def _moments(self, sums: Any, counted: Number, weight: Number, z: Number, t: Number) -> None:
        """Of answers and truth, in double precision throughout.

        From a number near the mean of the truth on, or their squares would hide their spread.
        """
        shift = self._constant("shift").wide()
        z, t = z.wide() - shift, t.wide() - shift
        error = z - t
        squares = ("squares", error * error), ("zz", z * z), ("zt", z * t), ("tt", t * t)
        for name, value in (*squares, ("z", z), ("t", t)):
            self._sum(sums, name, counted, value * weight)
        least, most = sums["least"], sums["most"]
        least.set(counted.choose(least.get().at_most(z), least.get()))
        most.set(counted.choose(most.get().at_least(z), most.get()))

    def _add(self, epoch: Any, sums: dict[str, Number]) -> None:
        """To an epoch's statistics."""
        code, pointer = self.code, self.common.pointer("statistics")
        for name, value in sums.items():
            place = epoch * len(STATISTICS) + STATISTICS.index(name)
            before = code.load(pointer, place, _DOUBLE)
            code.store(value if name in _FIRST else before + value, pointer, place)

    # ---------------------------------------------------------------- moving

    def _move(self, moving: Moving) -> None:
        """Move all parameters, when all gradients are known."""
        code, program = self.code, self.program
        gradients = self.common.pointer("gradients")
        for layer in range(program.hidden + 1):
            if program.penalised or program.normed:
                self._penalise(layer)
        shrink = None
        if program.clipped:
            total = code.variable(code.number(0.0))
            with code.loop(0, self.common.whole("numbers")) as place:
                gradient = code.load(gradients, place)
                total.set(gradient.times_plus(gradient, total.get()))
            length, longest = total.get().sqrt(), self._constant("clip")
            shrink = (longest / (length + 1e-6)).at_most(1.0)
            # A length that is no number is lost where it is clipped, and is nobody's elsewhere.
            shrink = longest.finite().choose(length.finite().choose(shrink, math.nan), 1.0)
        for layer in range(program.hidden + 1):
            table = Table(code, self.tables[f"train{layer}"], LAYER)
            first, end = table.whole("weight_number"), table.whole("end")
            others = first + table.whole("inputs") * table.whole("units")
            for start, stop, decays in ((first, others, True), (others, end, False)):
                with code.loop(start, stop) as place:
                    gradient = code.load(gradients, place)
                    gradient = gradient if shrink is None else gradient * shrink
                    moving.move(place, gradient, decays)
        moving.tell()

    def _penalise(self, layer: int) -> None:
        """Add the gradients of penalties on the weights of a layer."""
        code, table = self.code, Table(self.code, self.tables[f"train{layer}"], LAYER)
        first = table.whole("weight_number")
        end = first + table.whole("inputs") * table.whole("units")
        weights, gradients = self.common.pointer("parameters"), self.common.pointer("gradients")
        length = None
        if self.program.normed:
            total = code.variable(code.number(0.0))
            with code.loop(first, end) as place:
                weight = code.load(weights, place)
                total.set(weight.times_plus(weight, total.get()))
            length = total.get().sqrt().at_least(_TINY)
        with code.loop(first, end) as place:
            weight, gradient = code.load(weights, place), code.load(gradients, place)
            if self.program.penalised:
                sign = (weight > 0.0).choose(
                    code.number(1.0), (weight < 0.0).choose(code.number(-1.0), 0.0)
                )
                gradient = gradient + sign * self._constant("l1") + weight * self._constant("l2")
            if length is not None:
                gradient = gradient + weight / length * self._constant("matrix_norm")
            code.store(gradient, gradients, place)
