"""What a table holds, as a record that prints well."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.data.summary import printable

if TYPE_CHECKING:
    from secchi.data.table import TableData


@dataclasses.dataclass(frozen=True)
class TableSummary:
    """Counts by split and class, and what became of rows and columns.

    Attributes:
        name: What the table is called.
        rows: Rows by split.
        counts: Rows by split and class of the only target; empty where it has none, or is sealed.
        inputs: The columns that are learned from.
        targets: What is predicted.
        skipped: Rows that are left out: (reason, how many).
        notes: What to know before trusting a result.
    """

    name: str
    rows: dict[str, int]
    counts: dict[str, dict[str, int]]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    skipped: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, data: "TableData") -> "TableSummary":
        """The summary of a table as it stands now."""
        counts: dict[str, dict[str, int]] = {name: {} for name in data.splits}
        first = data.task.targets[0]
        for name, split in data.splits.items():
            if first.exclusive and len(data.task.targets) == 1 and not split.sealed:
                each = np.bincount(split.targets, minlength=len(first.classes))
                counts[name] = {c: int(n) for c, n in zip(first.classes, each, strict=True)}
        return cls(
            data.name,
            {name: len(split) for name, split in data.splits.items()},
            counts,
            tuple(data.inputs),
            data.task.names,
            tuple(data.skipped),
            tuple(data.notes),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [self.name]
        for name, total in self.rows.items():
            shown = [f"{c} {n:,}" for c, n in self.counts[name].items()]
            more = f", … {len(shown) - 8} classes more" if len(shown) > 8 else ""
            classes = f": {', '.join(shown[:8])}{more}" if shown else ""
            lines.append(f"  {name:<6}{total:>9,} rows{classes}")
        some = ", ".join(self.inputs[:8]) + (", …" if len(self.inputs) > 8 else "")
        lines.append(f"  {len(self.inputs):,} inputs: {some}")
        lines.append(f"  to predict: {', '.join(self.targets)}")
        lines += [f"  left out {count:,} rows: {reason}" for reason, count in self.skipped]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(printable(line) for line in lines)
