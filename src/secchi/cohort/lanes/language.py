"""A small language for loops over vectors of numbers, of which LLVM makes machine code.

A vector has a lane for each network of a stack, so that one instruction does the same for all of
them and no lane ever meets another: what a network comes to does not depend on its neighbours.
Arithmetic is that of IEEE 754 as it is written down: nothing is fused, reordered or approximated
behind one's back, so that every processor, whatever the width of its registers, gives the same
numbers. :func:`Number.times_plus` is the fused multiply-add, where it is asked for.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir

INDEX = ir.IntType(64)
POINTER = ir.PointerType()
_INT32 = ir.IntType(32)
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()

_LINE = 64
"""Bytes of a cache line, where vectors begin."""


class Number:
    """A vector of floating-point numbers, or of truths, in code that is being written.

    Operators write the arithmetic of all lanes; plain numbers stand for vectors of them.

    Args:
        code: Where it is computed.
        value: Its LLVM value.
    """

    __slots__ = ("code", "value")

    def __init__(self, code: "Code", value: ir.Value) -> None:
        self.code = code
        self.value = value

    def __add__(self, other: Any) -> "Number":
        return self._with("fadd", other)

    def __sub__(self, other: Any) -> "Number":
        return self._with("fsub", other)

    def __mul__(self, other: Any) -> "Number":
        return self._with("fmul", other)

    def __truediv__(self, other: Any) -> "Number":
        return self._with("fdiv", other)

    def __radd__(self, other: Any) -> "Number":
        return self._like(other) + self

    def __rsub__(self, other: Any) -> "Number":
        return self._like(other) - self

    def __rmul__(self, other: Any) -> "Number":
        return self._like(other) * self

    def __rtruediv__(self, other: Any) -> "Number":
        return self._like(other) / self

    def __neg__(self) -> "Number":
        return Number(self.code, self.code.builder.fneg(self.value))

    def __lt__(self, other: Any) -> "Number":
        return self._compared("<", other)

    def __le__(self, other: Any) -> "Number":
        return self._compared("<=", other)

    def __gt__(self, other: Any) -> "Number":
        return self._compared(">", other)

    def __ge__(self, other: Any) -> "Number":
        return self._compared(">=", other)

    def equals(self, other: Any) -> "Number":
        """Where it is the same number."""
        return self._compared("==", other)

    def __and__(self, other: "Number") -> "Number":
        return Number(self.code, self.code.builder.and_(self.value, other.value))

    def __or__(self, other: "Number") -> "Number":
        return Number(self.code, self.code.builder.or_(self.value, other.value))

    def __invert__(self) -> "Number":
        return Number(self.code, self.code.builder.not_(self.value))

    def times_plus(self, factor: Any, other: Any) -> "Number":
        """This number times a factor, plus another, rounded once."""
        return self._called("fma", self._like(factor), self._like(other))

    def sqrt(self) -> "Number":
        """Its square root."""
        return self._called("sqrt")

    def abs(self) -> "Number":
        """Without its sign."""
        return self._called("fabs")

    def signed_as(self, other: "Number") -> "Number":
        """With the sign of another number."""
        return self._called("copysign", other)

    def at_most(self, other: Any) -> "Number":
        """The other number where that is less; what is no number stays so."""
        return self._compared(">", other).choose(self._like(other), self)

    def at_least(self, other: Any) -> "Number":
        """The other number where that is more; what is no number stays so."""
        return self._compared("<", other).choose(self._like(other), self)

    def choose(self, yes: "Number | float", no: "Number | float") -> "Number":
        """Of truths: one number where they hold, another elsewhere; not both are plain."""
        model = yes if isinstance(yes, Number) else no
        assert isinstance(model, Number)
        both = model._like(yes).value, model._like(no).value
        return Number(self.code, self.code.builder.select(self.value, *both))

    def finite(self) -> "Number":
        """Where it is a finite number."""
        return (self * 0.0).equals(0.0)

    def wide(self) -> "Number":
        """In double precision."""
        if self.value.type.element == _DOUBLE:
            return self
        kind = ir.VectorType(_DOUBLE, self.code.lanes)
        return Number(self.code, self.code.builder.fpext(self.value, kind))

    def narrow(self) -> "Number":
        """In the precision of the code."""
        if self.value.type.element == self.code.real:
            return self
        kind = ir.VectorType(self.code.real, self.code.lanes)
        return Number(self.code, self.code.builder.fptrunc(self.value, kind))

    def _like(self, other: Any) -> "Number":
        """A number of the same kind."""
        if isinstance(other, Number):
            return other
        return Number(self.code, ir.Constant(self.value.type, [float(other)] * self.code.lanes))

    def _with(self, operation: str, other: Any) -> "Number":
        both = self.value, self._like(other).value
        return Number(self.code, getattr(self.code.builder, operation)(*both))

    def _compared(self, how: str, other: Any) -> "Number":
        value = self.code.builder.fcmp_ordered(how, self.value, self._like(other).value)
        return Number(self.code, value)

    def _called(self, name: str, *others: "Number") -> "Number":
        values = [self.value, *(other.value for other in others)]
        bits = 32 if self.value.type.element == _FLOAT else 64
        full = f"llvm.{name}.v{self.code.lanes}f{bits}"
        intrinsic = self.code.module.globals.get(full) or ir.Function(
            self.code.module,
            ir.FunctionType(self.value.type, [self.value.type] * len(values)),
            full,
        )
        return Number(self.code, self.code.builder.call(intrinsic, values))


class Whole:
    """A place or a count, in code that is being written; operators write its arithmetic."""

    __slots__ = ("code", "value")

    def __init__(self, code: "Code", value: Any) -> None:
        self.code = code
        self.value = ir.Constant(INDEX, value) if isinstance(value, int) else value

    def __add__(self, other: "Whole | int") -> "Whole":
        return self._with("add", other)

    def __sub__(self, other: "Whole | int") -> "Whole":
        return self._with("sub", other)

    def __mul__(self, other: "Whole | int") -> "Whole":
        return self._with("mul", other)

    def __floordiv__(self, other: "Whole | int") -> "Whole":
        return self._with("sdiv", other)

    def __radd__(self, other: int) -> "Whole":
        return self + other

    def __rmul__(self, other: int) -> "Whole":
        return self * other

    def at_most(self, other: "Whole | int") -> "Whole":
        """The lesser of two."""
        limit = self.code.whole(other)
        return self.code.either(limit.is_more(self), self, limit)

    def at_least(self, other: "Whole | int") -> "Whole":
        """The greater of two."""
        limit = self.code.whole(other)
        return self.code.either(limit.is_more(self), limit, self)

    def is_more(self, other: "Whole | int") -> ir.Value:
        """Whether it is more than the other: a condition."""
        return self.code.builder.icmp_signed(">", self.value, self.code.whole(other).value)

    def _with(self, operation: str, other: "Whole | int") -> "Whole":
        value = self.code.whole(other).value
        if isinstance(self.value, ir.Constant) and isinstance(value, ir.Constant):
            a, b = self.value.constant, value.constant
            known = {"add": a + b, "sub": a - b, "mul": a * b, "sdiv": a // b if b else 0}
            return Whole(self.code, known[operation])
        return Whole(self.code, getattr(self.code.builder, operation)(self.value, value))


class Variable:
    """A number that changes while the code runs; kept in a register."""

    def __init__(self, code: "Code", first: Number) -> None:
        self._code = code
        with code.at_entry():
            self._place = code.builder.alloca(first.value.type)
        self._kind = first.value.type
        self.set(first)

    def get(self) -> Number:
        """What it is now."""
        return Number(self._code, self._code.builder.load(self._place, typ=self._kind))

    def set(self, number: Number) -> None:
        """Change it."""
        self._code.builder.store(number.value, self._place)


class Code:
    """A function that is being written.

    Args:
        module: What it becomes a part of.
        name: Its name there.
        real: ``"float"`` or ``"double"``, what numbers are.
        lanes: How many numbers are in a vector.
        parameters: How many it takes: pointers first, then whole numbers.
        exported: Whether it is called from outside.
    """

    def __init__(
        self,
        module: ir.Module,
        name: str,
        real: str,
        lanes: int,
        parameters: tuple[int, int],
        exported: bool = False,
    ) -> None:
        pointers, wholes = parameters
        kinds = [POINTER] * pointers + [INDEX] * wholes
        self.module = module
        self.lanes = lanes
        self.real = _FLOAT if real == "float" else _DOUBLE
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        if not exported:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        for argument in self.function.args[:pointers]:
            argument.add_attribute("noalias")
        self._entry = self.function.append_basic_block("entry")
        body = self.function.append_basic_block("body")
        self.builder = ir.IRBuilder(body)
        self._body = body
        self.pointers = list(self.function.args[:pointers])
        self.wholes = [Whole(self, value) for value in self.function.args[pointers:]]

    def close(self) -> None:
        """The function is written."""
        self.builder.ret_void()
        ir.IRBuilder(self._entry).branch(self._body)

    def call(self, other: "Code", pointers: Sequence[ir.Value], wholes: Sequence[Any]) -> None:
        """Call another function of the module."""
        counts = [self.whole(whole).value for whole in wholes]
        self.builder.call(other.function, [*pointers, *counts])

    # ---------------------------------------------------------------- numbers

    def whole(self, value: Any) -> Whole:
        """A whole number."""
        return value if isinstance(value, Whole) else Whole(self, value)

    def number(self, value: float) -> Number:
        """The same number in every lane."""
        kind = ir.VectorType(self.real, self.lanes)
        return Number(self, ir.Constant(kind, [float(value)] * self.lanes))

    def wide(self, value: float) -> Number:
        """The same, in double precision."""
        kind = ir.VectorType(_DOUBLE, self.lanes)
        return Number(self, ir.Constant(kind, [float(value)] * self.lanes))

    def real_of(self, whole: "Whole") -> Number:
        """A whole number as a number, in every lane."""
        return self.spread(self.builder.sitofp(whole.value, self.real))

    def wide_of(self, whole: "Whole") -> Number:
        """The same, in double precision."""
        return self.spread(self.builder.sitofp(whole.value, _DOUBLE))

    def variable(self, first: Number) -> Variable:
        """A number that changes."""
        return Variable(self, first)

    def spread(self, value: ir.Value) -> Number:
        """One number in every lane."""
        kind = ir.VectorType(value.type, self.lanes)
        one = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT32, 0)
        )
        places = ir.Constant(ir.VectorType(_INT32, self.lanes), [0] * self.lanes)
        return Number(self, self.builder.shuffle_vector(one, one, places))

    def lane(self, number: Number, place: int) -> ir.Value:
        """The number in one lane."""
        return self.builder.extract_element(number.value, ir.Constant(_INT32, place))

    def gathered(self, values: Sequence[ir.Value]) -> Number:
        """A vector of one value a lane."""
        vector = ir.Constant(ir.VectorType(values[0].type, self.lanes), ir.Undefined)
        for place, value in enumerate(values):
            vector = self.builder.insert_element(vector, value, ir.Constant(_INT32, place))
        return Number(self, vector)

    # ---------------------------------------------------------------- memory

    def load(self, pointer: ir.Value, place: Any, kind: ir.Type | None = None) -> Number:
        """The vector at a place, counted in vectors."""
        vector = ir.VectorType(kind or self.real, self.lanes)
        where = self._where(pointer, place, vector)
        return Number(self, self.builder.load(where, align=self._alignment(vector), typ=vector))

    def store(self, number: Number, pointer: ir.Value, place: Any) -> None:
        """Put a vector at a place, counted in vectors."""
        where = self._where(pointer, place, number.value.type)
        self.builder.store(number.value, where, align=self._alignment(number.value.type))

    def one(self, pointer: ir.Value, place: Any, kind: ir.Type | None = None) -> ir.Value:
        """A single number at a place, counted in numbers."""
        kind = kind or self.real
        return self.builder.load(self._where(pointer, place, kind), typ=kind)

    def put_one(self, value: ir.Value, pointer: ir.Value, place: Any) -> None:
        """Put a single number at a place."""
        self.builder.store(value, self._where(pointer, place, value.type))

    def index(self, pointer: ir.Value, place: Any, bits: int = 64) -> Whole:
        """A whole number in memory."""
        kind = ir.IntType(bits)
        value = self.one(pointer, place, kind)
        return Whole(self, value if bits == 64 else self.builder.sext(value, INDEX))

    def pointer(self, pointer: ir.Value, place: Any) -> ir.Value:
        """A pointer in memory."""
        return self.one(pointer, place, POINTER)

    def further(self, pointer: ir.Value, place: Any, kind: ir.Type | None = None) -> ir.Value:
        """A pointer so many vectors, or numbers of a kind, behind another."""
        return self._where(pointer, place, kind or ir.VectorType(self.real, self.lanes))

    def _where(self, pointer: ir.Value, place: Any, kind: ir.Type) -> ir.Value:
        return self.builder.gep(pointer, [self.whole(place).value], source_etype=kind)

    def _alignment(self, vector: ir.Type) -> int:
        return min(_LINE, self.lanes * (8 if vector.element == _DOUBLE else 4))

    # ---------------------------------------------------------------- control

    @contextlib.contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Whole]:
        """Code for every place from start on, as long as a whole step is left before stop."""
        start, last = self.whole(start), self.whole(stop) - (step - 1)
        before = self.builder.block
        body = self.function.append_basic_block("loop")
        after = self.function.append_basic_block("after")
        some = self.builder.icmp_signed("<", start.value, last.value)
        self.builder.cbranch(some, body, after)
        self.builder.position_at_end(body)
        place = self.builder.phi(INDEX)
        place.add_incoming(start.value, before)
        yield Whole(self, place)
        following = self.builder.add(place, ir.Constant(INDEX, step))
        place.add_incoming(following, self.builder.block)
        again = self.builder.icmp_signed("<", following, last.value)
        self.builder.cbranch(again, body, after)
        self.builder.position_at_end(after)

    @contextlib.contextmanager
    def when(self, condition: ir.Value) -> Iterator[None]:
        """Code that runs where a condition holds."""
        with self.builder.if_then(condition):
            yield

    def either(self, condition: ir.Value, yes: Whole, no: Whole) -> Whole:
        """One place or count where a condition holds, else another."""
        return Whole(self, self.builder.select(condition, yes.value, no.value))

    @contextlib.contextmanager
    def at_entry(self) -> Iterator[None]:
        """Code that runs once, first of all."""
        here = self.builder.block
        self.builder.position_at_end(self._entry)
        yield
        self.builder.position_at_end(here)


# ---------------------------------------------------------------- functions of numbers

_LOG_2_SINGLE = 0.693359375, -2.12194440e-4
_LOG_2_DOUBLE = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""log 2 in two parts, the first so short that whole multiples of it are exact (Cody and Waite)."""


def exp(x: Number) -> Number:
    """The exponential of x, to the last digit or two.

    x = n log 2 + r with abs(r) <= log(2) / 2; the Taylor series of e ** r, times 2 ** n. From 88.37
    on, in double precision from 709.43 on, it is infinite, and 0 below -87 and -708.
    """
    single = x.value.type.element == _FLOAT
    # Adding 1.5 * 2 ** 23 (2 ** 52) rounds to a whole number, which the last bits then hold.
    rounder = 1.5 * 2.0 ** (23 if single else 52)
    high, low = _LOG_2_SINGLE if single else _LOG_2_DOUBLE
    lowest, highest = (-87.0, 88.37) if single else (-708.0, 709.43)
    inside = x.at_least(lowest).at_most(highest)
    shifted = inside * math.log2(math.e) + rounder
    n = shifted - rounder
    rest = n.times_plus(-low, n.times_plus(-high, inside))
    terms = 7 if single else 13
    total = x._like(1 / math.factorial(terms))
    for power in range(terms - 1, -1, -1):
        total = total.times_plus(rest, 1 / math.factorial(power))
    value = total * _power_of_two(shifted)
    value = (x > highest).choose(math.inf, value)
    return (x < lowest).choose(0.0, value)


def _power_of_two(shifted: Number) -> Number:
    """2 ** n, of the n that the last bits of a number hold."""
    code, single = shifted.code, shifted.value.type.element == _FLOAT
    bits, digits, bias = (32, 23, 127) if single else (64, 52, 1023)
    kind = ir.VectorType(ir.IntType(bits), code.lanes)
    whole = code.builder.bitcast(shifted.value, kind)
    biased = code.builder.add(whole, ir.Constant(kind, [bias] * code.lanes))
    placed = code.builder.shl(biased, ir.Constant(kind, [digits] * code.lanes))
    return Number(code, code.builder.bitcast(placed, shifted.value.type))


def log(x: Number) -> Number:
    """The natural logarithm of a normal number above 0.

    x = 2 ** n m with m around 1; log m = 2 artanh((m - 1) / (m + 1)), by its series.
    """
    code, single = x.code, x.value.type.element == _FLOAT
    bits, digits = (32, 23) if single else (64, 52)
    kind = ir.VectorType(ir.IntType(bits), code.lanes)

    def every(value: int) -> ir.Constant:
        return ir.Constant(kind, [value] * code.lanes)

    raw = code.builder.bitcast(x.value, kind)
    # The bits of sqrt(1/2): taken off first, so that m is between it and sqrt(2).
    offset = 0x3F3504F3 if single else 0x3FE6A09E667F3BCD
    moved = code.builder.sub(raw, every(offset))
    n = code.builder.ashr(moved, every(digits))
    bits_of_m = code.builder.sub(raw, code.builder.shl(n, every(digits)))
    m = Number(code, code.builder.bitcast(bits_of_m, x.value.type))
    share = (m - 1.0) / (m + 1.0)
    square, terms = share * share, 5 if single else 11
    total = x._like(2 / (2 * terms + 1))
    for term in range(terms - 1, -1, -1):
        total = total.times_plus(square, 2 / (2 * term + 1))
    value = Number(code, code.builder.sitofp(n, x.value.type)) * math.log(2) + share * total
    value = x.equals(math.inf).choose(math.inf, value)
    return (x >= 0.0).choose(value, math.nan)


def log1p(x: Number) -> Number:
    """log(1 + x) for x from 0 on, without losing what a small x adds."""
    one_more = x + 1.0
    value = log(one_more) + (x - (one_more - 1.0)) / one_more
    return x.equals(math.inf).choose(math.inf, value)


def sigmoid(x: Number) -> Number:
    """1 / (1 + e ** -x)."""
    return 1.0 / (1.0 + exp(-x))


def tanh(x: Number) -> Number:
    """The hyperbolic tangent."""
    shrunk = exp(x.abs() * -2.0)
    return ((1.0 - shrunk) / (1.0 + shrunk)).signed_as(x)


def softplus(x: Number) -> Number:
    """log(1 + e ** x)."""
    return x.at_least(0.0) + log1p(exp(-x.abs()))


def erf(x: Number) -> Number:
    """The error function, by the C library, lane by lane."""
    code, kind = x.code, x.value.type.element
    name = "erff" if kind == _FLOAT else "erf"
    function = code.module.globals.get(name) or ir.Function(
        code.module, ir.FunctionType(kind, [kind]), name
    )
    each = [code.builder.call(function, [code.lane(x, place)]) for place in range(code.lanes)]
    return code.gathered(each)
