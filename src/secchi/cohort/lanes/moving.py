"""The rule by which parameters move, as machine code."""

from typing import Any

from llvmlite import ir

from secchi.cohort.lanes.formulas import COEFFICIENTS, MEMORIES, moved
from secchi.cohort.lanes.language import Code, Number, Whole
from secchi.cohort.lanes.program import COMMON, CONSTANTS, Program
from secchi.cohort.lanes.tables import Table


class Moving:
    """Moves parameters against their gradients, in a function that is being written.

    Args:
        code: The function.
        program: What it is written for.
        table: The stack's.
        step: The number of the step, of those that run at once.

    Attributes:
        total: The weight of the rows of the step.
    """

    def __init__(self, code: Code, program: Program, table: ir.Value, step: Whole) -> None:
        self._code = code
        self._program = program
        self._common = Table(code, table, COMMON)
        names = ("total", *COEFFICIENTS[program.rule])
        pointer = self._common.pointer("coefficients")
        numbers = [code.load(pointer, step * len(names) + n) for n in range(len(names))]
        self._given = dict(zip(names, numbers, strict=True))
        self.total = self._given["total"]
        self._parameters = self._common.pointer("parameters")
        self._memories = [
            self._common.pointer(f"memory{number}") for number in range(MEMORIES[program.rule])
        ]
        self._sound = code.variable(code.number(0.0))

    def constant(self, name: str) -> Number:
        """A number that each network keeps throughout."""
        return self._code.load(self._common.pointer("constants"), CONSTANTS.index(name))

    def move(self, place: Any, gradient: Number, decays: bool) -> None:
        """Move the parameter at a place.

        Args:
            place: Counted in vectors from the first parameter.
            gradient: That of the loss and the penalties.
            decays: Whether weight decay pulls at it.
        """
        code = self._code
        # Infinity times zero is no number, which stays.
        self._sound.set(gradient.times_plus(0.0, self._sound.get()))
        number = code.load(self._parameters, place)
        if self._program.decays and decays:
            gradient = gradient + number * self.constant("weight_decay")
        past = [code.load(memory, place) for memory in self._memories]
        number, kept = moved(self._program.rule, number, gradient, past, self._given, decays)
        code.store(number, self._parameters, place)
        for memory, value in zip(self._memories, kept, strict=True):
            code.store(value, memory, place)

    def tell(self) -> None:
        """Add to the stack's memory whether all gradients were finite: 0, else no number."""
        pointer = self._common.pointer("sound")
        self._code.store(self._code.load(pointer, 0) + self._sound.get(), pointer, 0)
