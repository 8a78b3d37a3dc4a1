"""What a set of pictures holds, as a record that prints well."""

import dataclasses
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from secchi.data.folders import Skipped
    from secchi.data.images import ImageData


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts by split and class, sizes, and what became of everything else.

    Attributes:
        root: The folder.
        pictures: Pictures by split.
        counts: Pictures by split and class; ``None`` counts those whose labels are sealed,
            unknown or no classes. Of several labels a picture counts for each.
        sizes: Smallest, median and largest (width, height), by area.
        skipped: What stands among the pictures and is not used.
        left_alone: What lies beside them, with a remark.
        notes: What to know before trusting a result.
    """

    root: str
    pictures: dict[str, int]
    counts: dict[str, dict[str | None, int]]
    sizes: tuple[tuple[int, int], ...]
    skipped: "tuple[Skipped, ...]"
    left_alone: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, data: "ImageData") -> "Summary":
        """The summary of some pictures as they stand now."""
        counts: dict[str, dict[str | None, int]] = {}
        for name, split in data.splits.items():
            labels = None if split.sealed else split.labels
            counts[name] = {None: len(split)}
            if labels is not None and data.classes:
                values = labels.values[0]
                each = (
                    values.sum(0)
                    if values.ndim == 2
                    else np.bincount(values, minlength=len(data.classes))
                )
                counts[name] = {c: int(n) for c, n in zip(data.classes, each, strict=True)}
        sizes = np.concatenate([split.sizes for split in data.splits.values()])
        order = np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")
        chosen = [sizes[order[i]] for i in (0, len(order) // 2, -1)]
        return cls(
            data.root,
            {name: len(split) for name, split in data.splits.items()},
            counts,
            tuple((int(w), int(h)) for w, h in chosen),
            tuple(data.skipped),
            tuple(data.left_alone),
            tuple(data.notes),
        )

    def reasons(self) -> list[tuple[str, int]]:
        """How many were skipped for each reason, the most frequent first."""
        return Counter(s.reason for s in self.skipped).most_common()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "root": self.root,
            "pictures": dict(self.pictures),
            "counts": {
                split: {name or "": count for name, count in each.items()}
                for split, each in self.counts.items()
            },
            "sizes": [list(size) for size in self.sizes],
            "skipped": [dataclasses.asdict(s) for s in self.skipped],
            "left_alone": [list(pair) for pair in self.left_alone],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [self.root]
        for split, each in self.counts.items():
            total = f"  {split:<6}{self.pictures[split]:>8,} pictures"
            shown = [f"{name} {n:,}" for name, n in each.items() if name is not None]
            more = f", … {len(shown) - 8} classes more" if len(shown) > 8 else ""
            lines.append(total + (f": {', '.join(shown[:8])}{more}" if shown else ""))
        small, middle, large = (f"{w:,} x {h:,}" for w, h in self.sizes)
        lines.append(f"  sizes  {small} to {large} pixels, median {middle}")
        for reason, count in self.reasons():
            files = [
                os.path.relpath(s.file, self.root) if os.path.isabs(s.file) else s.file
                for s in self.skipped
                if s.reason == reason
            ]
            dots = ", …" if count > 3 else ""
            lines.append(f"  skipped {count:,}: {reason} ({', '.join(files[:3])}{dots})")
        for name, remark in self.left_alone:
            lines.append(f"  left alone: {name} ({remark})")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(printable(line) for line in lines)


def printable(name: str) -> str:
    r"""A text on one line, with control characters and bytes that are no text written out.

    >>> printable("two\nlines.jpg")
    'two\\nlines.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
