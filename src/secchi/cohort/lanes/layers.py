"""The layers of a stack, forward and backward, as machine code."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from secchi.cohort.lanes.formulas import ACTIVATIONS
from secchi.cohort.lanes.language import Code, Number, Whole
from secchi.cohort.lanes.matrices import Load, Rows, pieces, product
from secchi.cohort.lanes.moving import Moving
from secchi.cohort.lanes.program import COMMON, LAYER, Program
from secchi.cohort.lanes.tables import Table

_SINGLE = ir.FloatType()
_EPSILON, _MOMENTUM = 1e-5, 0.1
"""torch's, of batch normalisation."""


class Layers:
    """Writes what layers do, each thing once for all layers that do it.

    Args:
        module: Where to.
        program: What for.
    """

    def __init__(self, module: ir.Module, program: Program) -> None:
        self._module = module
        self._program = program
        self._activation = ACTIVATIONS[program.activation]
        self._written: dict[str, Code] = {}

    def forward(
        self, code: Code, table: ir.Value, layer: int, rows: Whole, at: Whole, training: bool
    ) -> None:
        """What a layer gives for rows.

        Args:
            code: Where it is called.
            table: The layer's.
            layer: Its number, from 0 on.
            rows: How many.
            at: The first one's place in the order of the rows.
            training: Whether units are dropped and statistics are those of the batch.
        """
        program, first = self._program, layer == 0
        given = [table], [rows, at]
        drops = training and first and program.input_dropout
        self._call(code, self._linear, given, first=first, drops=drops)
        if layer == program.hidden:
            return
        drops = training and program.dropout
        norm = program.batch_norm
        if norm == "before":
            self._call(code, self._normalise, given, training=training)
        if norm != "after":
            self._call(code, self._bend, given, bends=True, drops=drops)
            return
        self._call(code, self._bend, given, bends=True, drops=False)
        self._call(code, self._normalise, given, training=training)
        if drops:
            self._call(code, self._bend, given, bends=False, drops=True)

    def backward(
        self,
        code: Code,
        tables: tuple[ir.Value, ir.Value, ir.Value],
        layer: int,
        rows: Whole,
        at: Whole,
        step: Whole,
        slopes: tuple[ir.Value, ir.Value],
    ) -> None:
        """Go back through a layer, from the slopes of its linear outputs.

        The slopes of the linear outputs of the layer before are found, and the gradients of the
        layer's parameters: they are added up, or, where all rows of a step are computed at once
        and nothing is left to do with the gradients, move the parameters.

        Args:
            code: Where it is called.
            tables: That of the stack, of the layer, and of the layer before, where there is one.
            layer: Its number, from 0 on.
            rows: How many.
            at: The first one's place in the order of the rows.
            step: The number of the step.
            slopes: Where those of its outputs are, and where those of the layer before go.
        """
        program, first = self._program, layer == 0
        (common, own, before), (here, there) = tables, slopes
        drops = first and program.input_dropout
        if not first:
            self._call(code, self._linear_backward, ([own, here, there], [rows, at]))
        # Behind that, as it may move the weights.
        given = [own, here, common], [rows, at, step]
        self._call(code, self._gradients, given, first=first, drops=drops)
        if first:
            return
        given = [before, there, common], [rows, at, step]
        if program.batch_norm != "after":
            self._call(code, self._unbend, given, bends=True, drops=program.dropout)
        elif program.dropout:
            self._call(code, self._unbend, given, bends=False, drops=True)
        if program.batch_norm:
            self._call(code, self._normalise_backward, given)
        if program.batch_norm == "after":
            self._call(code, self._unbend, given, bends=True, drops=False)

    def _call(
        self,
        code: Code,
        write: Callable[..., None],
        given: tuple[list[ir.Value], list[Whole]],
        **how: bool,
    ) -> None:
        """Call a function, which is written where that was not done yet."""
        pointers, wholes = given
        name = "_".join([write.__name__.strip("_"), *(key for key, holds in how.items() if holds)])
        if name not in self._written:
            program, shape = self._program, (len(pointers), len(wholes))
            function = Code(self._module, name, program.real, program.lanes, shape)
            write(function, **how)
            function.close()
            self._written[name] = function
        code.call(self._written[name], pointers, wholes)

    # ---------------------------------------------------------------- linear layers

    def _linear(self, code: Code, first: bool, drops: bool) -> None:
        """What the linear layer gives."""
        table = Table(code, code.pointers[0], LAYER)
        rows, at = code.wholes
        inputs, units = table.whole("inputs"), table.whole("units")
        biases, values = table.pointer("biases"), Rows(code, table.pointer("values"), units)
        product(
            code,
            (rows, units, inputs),
            self._given(code, table, at, first, drops),
            Rows(code, table.pointer("weights"), inputs).at,
            lambda row, unit: code.load(biases, unit),
            values.put,
            None if first else values.at,  # what lanes share of rows is near anyway
        )

    def _given(self, code: Code, table: Table, at: Whole, first: bool, drops: bool) -> Load:
        """What a layer gets, of row and place."""
        inputs, source = table.whole("inputs"), table.pointer("source")
        order = table.pointer("order")

        def read_shared(row: Any, place: Any) -> Number:
            where = code.index(order, at + row, 32) * inputs + place
            return code.spread(code.one(source, where))

        shared = first and self._program.shared_rows
        read: Load = read_shared if shared else Rows(code, source, inputs).at
        if not drops:
            return read
        kept = self._kept(code, table, "source_", at, inputs)
        return lambda row, place: read(row, place) * kept(row, place)

    def _gradients(self, code: Code, first: bool, drops: bool) -> None:
        """What the slopes of the outputs say of weights and biases."""
        pointer, here, common = code.pointers
        table = Table(code, pointer, LAYER)
        rows, at, step = code.wholes
        inputs, units = table.whole("inputs"), table.whole("units")
        slopes = Rows(code, here, units)
        given = self._given(code, table, at, first, drops)
        found = _Found(code, self._program, common, step)
        weights = table.whole("weight_number")
        product(
            code,
            (units, inputs, rows),
            lambda unit, row: slopes.at(row, unit),
            lambda place, row: given(row, place),
            lambda unit, place: found.before(weights + unit * inputs + place),
            lambda unit, place, sum: found.put(weights + unit * inputs + place, sum, decays=True),
        )
        biases = weights + units * inputs
        for unit, count in pieces(code, units, 4):  # sums that do not wait for each other
            totals = [code.variable(found.before(biases + unit + n)) for n in range(count)]
            with code.loop(0, rows) as row:
                for n, total in enumerate(totals):
                    total.set(total.get() + slopes.at(row, unit + n))
            for n, total in enumerate(totals):
                found.put(biases + unit + n, total.get(), decays=False)
        found.close()

    def _linear_backward(self, code: Code) -> None:
        """The slopes of what the linear layer got."""
        own, here, there = code.pointers
        table = Table(code, own, LAYER)
        rows, _ = code.wholes
        inputs, units = table.whole("inputs"), table.whole("units")
        weights, slopes = Rows(code, table.pointer("weights"), inputs), Rows(code, there, inputs)
        product(
            code,
            (rows, inputs, units),
            Rows(code, here, units).at,
            lambda place, unit: weights.at(unit, place),
            lambda row, place: code.number(0.0),
            slopes.put,
            slopes.at,
        )

    # ---------------------------------------------------------------- activation and dropout

    def _bend(self, code: Code, bends: bool, drops: bool) -> None:
        """What the activation gives, or dropout leaves, of a layer's values."""
        table = Table(code, code.pointers[0], LAYER)
        rows, at = code.wholes
        units = table.whole("units")
        values, before = (Rows(code, table.pointer(name), units) for name in ("values", "kept"))
        kept = self._kept(code, table, "", at, units) if drops else None
        with code.loop(0, rows) as row, code.loop(0, units) as unit:
            number = values.at(row, unit)
            if bends:
                z, number = number, self._activation.value(number)
                if self._looks_back:
                    before.put(row, unit, number if self._activation.of_value else z)
                number = self._masked(code, table, unit, number)
            values.put(row, unit, number * kept(row, unit) if kept else number)

    def _unbend(self, code: Code, bends: bool, drops: bool) -> None:
        """From the slopes of what dropout left, or of what the activation gave, to those before."""
        pointer, there, _ = code.pointers
        table = Table(code, pointer, LAYER)
        rows, at, _ = code.wholes
        units = table.whole("units")
        values = Rows(code, table.pointer("kept" if self._looks_back else "values"), units)
        slopes = Rows(code, there, units)
        kept = self._kept(code, table, "", at, units) if drops else None
        with code.loop(0, rows) as row, code.loop(0, units) as unit:
            slope = slopes.at(row, unit)
            slope = slope * kept(row, unit) if kept else slope
            if bends:
                number = values.at(row, unit)
                of_value = self._activation.of_value
                y = number if of_value else self._activation.value(number)
                slope = slope * self._activation.slope(number, y)
                slope = self._masked(code, table, unit, slope)
            slopes.put(row, unit, slope)

    @property
    def _looks_back(self) -> bool:
        """Whether the slope of the activation needs what is no longer among the values."""
        program = self._program
        changed = program.dropout or program.batch_norm == "after"
        return changed or not self._activation.of_value

    def _masked(self, code: Code, table: Table, unit: Whole, number: Number) -> Number:
        """Nothing of a unit that is padding."""
        if self._program.masked:
            return number * code.load(table.pointer("mask"), unit)
        return number

    def _kept(self, code: Code, table: Table, of: str, at: Whole, width: Whole) -> Load:
        """What numbers are multiplied with that may be dropped, of row and place."""
        draws, rates = table.pointer(f"{of}draws"), table.pointer(f"{of}rates")
        share, factor = code.load(rates, 0, _SINGLE), code.load(rates, 1)
        drawn, drawing = table.whole(f"{of}drawn"), table.pointer("drawing")
        others = [
            (code.load(drawing, source) > 0.0, code.whole(source) * drawn)
            for source in range(1, self._program.sources)
        ]

        def kept(row: Any, place: Any) -> Number:
            where = (at + row) * width + place
            draw = code.spread(code.one(draws, where, _SINGLE))
            for lanes, first in others:
                draw = lanes.choose(code.spread(code.one(draws, first + where, _SINGLE)), draw)
            return (draw >= share).choose(factor, 0.0)

        return kept

    # ---------------------------------------------------------------- batch normalisation

    def _normalise(self, code: Code, training: bool) -> None:
        """Normalises a layer's values.

        With the mean and the variance of the batch, which the running ones follow, or with those
        (Ioffe and Szegedy, 2015).
        """
        table = Table(code, code.pointers[0], LAYER)
        rows, _ = code.wholes
        units = table.whole("units")
        values, normed = (Rows(code, table.pointer(name), units) for name in ("values", "normed"))
        norms, running = table.pointer("norms"), table.pointer("running")
        with code.loop(0, units) as unit:
            if training:
                mean, inverse = self._batch_statistics(code, values, unit, rows, running, units)
                code.store(inverse, table.pointer("spread"), unit)
            else:
                mean = code.load(running, unit)
                inverse = 1.0 / (code.load(running, units + unit) + _EPSILON).sqrt()
            scale, shift = code.load(norms, unit), code.load(norms, units + unit)
            with code.loop(0, rows) as row:
                number = (values.at(row, unit) - mean) * inverse
                normed.put(row, unit, number)
                values.put(row, unit, number * scale + shift)

    def _batch_statistics(
        self, code: Code, given: Rows, unit: Whole, rows: Whole, running: ir.Value, units: Whole
    ) -> tuple[Number, Number]:
        """The mean of a unit over the batch, and one over its standard deviation."""
        count = code.real_of(rows)
        total = code.variable(code.number(0.0))
        with code.loop(0, rows) as row:
            total.set(total.get() + given.at(row, unit))
        mean = total.get() / count
        total.set(code.number(0.0))
        with code.loop(0, rows) as row:
            off = given.at(row, unit) - mean
            total.set(total.get() + off * off)
        squares = total.get()
        for place, now in ((unit, mean), (units + unit, squares / (count - 1.0))):
            past = code.load(running, place)
            code.store(past + (now - past) * _MOMENTUM, running, place)
        return mean, 1.0 / (squares / count + _EPSILON).sqrt()

    def _normalise_backward(self, code: Code) -> None:
        """From the slopes of normalised numbers to those before, scales and shifts included."""
        pointer, there, common = code.pointers
        table = Table(code, pointer, LAYER)
        rows, _, step = code.wholes
        units = table.whole("units")
        slopes, normed = Rows(code, there, units), Rows(code, table.pointer("normed"), units)
        norms, scales = table.pointer("norms"), table.whole("norm_number")
        spread, count = table.pointer("spread"), code.real_of(rows)
        found = _Found(code, self._program, common, step)
        with code.loop(0, units) as unit:
            of_scale, of_shift = (code.variable(code.number(0.0)) for _ in range(2))
            with code.loop(0, rows) as row:
                slope = slopes.at(row, unit)
                of_scale.set(of_scale.get() + slope * normed.at(row, unit))
                of_shift.set(of_shift.get() + slope)
            scale, shift = of_scale.get(), of_shift.get()
            factor = code.load(norms, unit) * code.load(spread, unit)
            found.put(scales + unit, scale, decays=False)
            found.put(scales + units + unit, shift, decays=False)
            with code.loop(0, rows) as row:
                off = (shift + normed.at(row, unit) * scale) / count
                slopes.put(row, unit, (slopes.at(row, unit) - off) * factor)
        found.close()


class _Found:
    """Gradients as they are found: kept, or gone along at once.

    Args:
        code: Where they are found.
        program: What it is written for.
        common: The table of the stack.
        step: The number of the step.
    """

    def __init__(self, code: Code, program: Program, common: ir.Value, step: Whole) -> None:
        self._code = code
        self._adds = not program.whole
        self._moving = Moving(code, program, common, step) if program.moves_at_once else None
        self._gradients = Table(code, common, COMMON).pointer("gradients")

    def before(self, place: Any) -> Number:
        """What was found of a gradient in other rows of the step."""
        return self._code.load(self._gradients, place) if self._adds else self._code.number(0.0)

    def put(self, place: Any, gradient: Number, decays: bool) -> None:
        """The gradient of the parameter at a place."""
        if self._moving:
            self._moving.move(place, gradient, decays)
        else:
            self._code.store(gradient, self._gradients, place)

    def close(self) -> None:
        """All are found."""
        if self._moving:
            self._moving.tell()
