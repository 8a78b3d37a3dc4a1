"""Tables of pointers and whole numbers, as machine code reads them."""

from llvmlite import ir

from secchi.cohort.lanes.language import Code, Whole


class Table:
    """A table of pointers and whole numbers, read by name.

    Args:
        code: Where it is read.
        pointer: Where it lies.
        names: What is in it.
    """

    def __init__(self, code: Code, pointer: ir.Value, names: tuple[str, ...]) -> None:
        self._code = code
        self._pointer = pointer
        self._names = names

    def whole(self, name: str) -> Whole:
        """A whole number."""
        return self._code.index(self._pointer, self._names.index(name))

    def pointer(self, name: str) -> ir.Value:
        """A pointer."""
        return self._code.pointer(self._pointer, self._names.index(name))
