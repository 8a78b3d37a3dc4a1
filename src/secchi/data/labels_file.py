"""A table that says which picture is what."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from secchi.data.folders import natural_order
from secchi.data.task import Kind, Target
from secchi.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}


class LabelsFile:
    """The rows of a CSV file of labels, and how its columns are read.

    Attributes:
        path: The file, absolute.
        name: Its name, for messages.
    """

    def __init__(self, path: str, frame: "pd.DataFrame", columns: dict[str, str | None]) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self._frame = frame
        self._columns = columns
        self.suffix = ""
        self.kind = "class"
        self.separator = " "

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        suffix: str,
        kind: str,
        separator: str,
        **columns: str | None,
    ) -> "LabelsFile":
        """Read the table as text; see :meth:`secchi.ImageData.from_csv` for the arguments."""
        import pandas as pd

        file = os.path.abspath(os.fspath(path))
        if not os.path.isfile(file):
            raise DataError(f"no such table of labels: {file}")
        if kind not in ("class", "labels", "number"):
            hint = did_you_mean(kind, ["class", "labels", "number"])
            raise DataError(f"kind is {kind!r}; it is one of class, labels and number{hint}")
        try:
            frame = pd.read_csv(
                file, sep=None, engine="python", dtype=str, keep_default_na=False, na_values=[""]
            )
        except (ValueError, UnicodeDecodeError, OSError) as error:
            raise DataError(f"{file} cannot be read as a table: {error}") from None
        if frame.empty:
            raise DataError(f"the table {file} has no rows")
        names = [str(c) for c in frame.columns]
        for option, named in columns.items():
            if named is not None and named not in names:
                raise DataError(
                    f"{file} has no column {named!r} ({option}); it has {', '.join(names)}"
                    + did_you_mean(named, names)
                )
        table = cls(file, frame, dict(columns))
        table.suffix, table.kind, table.separator = suffix, kind, separator
        return table

    def match(
        self, files: Sequence[str], root: str
    ) -> tuple[dict[str, int], list[tuple[str, str]], list[str]]:
        """Bring rows and pictures together.

        Args:
            files: The pictures that exist.
            root: The folder that names in the table are relative to.

        Returns:
            The row of each picture that has one; the rows without, as (name, reason); and the
            pictures without a row.
        """
        by_name: defaultdict[str, list[str]] = defaultdict(list)
        for file in files:
            by_name[os.path.basename(file)].append(file)
        known = {os.path.relpath(file, root): file for file in files}
        known |= {name: only[0] for name, only in by_name.items() if len(only) == 1}
        known |= {file: file for file in files}

        self._choose_columns(known)
        missing: list[tuple[str, str]] = []
        rows_of: defaultdict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(self._column("file_column")):
            if not isinstance(name, str):
                missing.append((f"row {row + 2} of {self.name}", "it names no file"))
                continue
            picture = known.get(os.path.normpath(self._with_suffix(name)))
            if picture is None:
                reason = f"row {row + 2} of {self.name} names it, and there is no such picture"
                missing.append((self._with_suffix(name), reason))
            elif not isinstance(self._column("label_column")[row], str) and not self._is_test(row):
                missing.append((picture, f"row {row + 2} of {self.name} has no label for it"))
                rows_of.setdefault(picture, [])
            else:
                rows_of[picture].append(row)
        matched: dict[str, int] = {}
        for file, rows in rows_of.items():
            says = {(self._column("label_column")[r], self.split(r)) for r in rows}
            if len(says) == 1:
                matched[file] = rows[0]
            elif says:
                lines = ", ".join(str(r + 2) for r in rows)
                missing.append((file, f"rows {lines} of {self.name} contradict each other"))
        return matched, missing, [file for file in files if file not in rows_of]

    def first_name(self) -> str:
        """The picture that the first row names, suffix and all."""
        return self._with_suffix(str(self._column("file_column")[0]))

    def label(self, row: int) -> Any:
        """What a row says: a class, several, or a number."""
        text = self._column("label_column")[row].strip()
        if self.kind == "labels":
            return tuple(self.parts(text))
        if self.kind == "number":
            try:
                return float(text)
            except ValueError:
                raise DataError(
                    f"row {row + 2} of {self.path} has the label {text!r}, which is no number"
                ) from None
        return text

    def parts(self, label: Any) -> Iterable[str]:
        """The class names in a label."""
        if self.kind == "labels":
            if isinstance(label, str):
                return [part for part in label.split(self.separator) if part]
            return list(label)
        return [] if self.kind == "number" else [label]

    def classes(self, labels: Iterable[Any]) -> list[str] | None:
        """Every class that occurs, in natural order; None for numbers."""
        if self.kind == "number":
            return None
        return sorted({part for label in labels for part in self.parts(label)}, key=natural_order)

    def target(self, classes: Sequence[str] | None) -> Target:
        """What the label column is, as a target."""
        name = str(self._columns["label_column"])
        if self.kind == "class":
            return Target.classify(name, classes or ())
        if self.kind == "labels":
            return Target(name, Kind.MULTILABEL, tuple(classes or ()))
        return Target(name, Kind.REGRESSION)

    def split(self, row: int) -> str:
        """The split that a row names; ``train`` where no column says."""
        if self._columns.get("split_column") is None:
            return "train"
        says = str(self._column("split_column")[row]).strip().lower()
        if says not in _SPLITS:
            raise DataError(
                f"row {row + 2} of {self.path} names the split {says!r}; it has to be train, "
                f"valid or test{did_you_mean(says, _SPLITS)}"
            )
        return _SPLITS[says]

    def group(self, row: int) -> Any:
        """The group of a row."""
        return self._column("group_column")[row]

    def weight(self, row: int) -> float:
        """The weight of a row."""
        text = self._column("weight_column")[row]
        try:
            return float(text)
        except (TypeError, ValueError):
            raise DataError(f"row {row + 2} of {self.path} has the weight {text!r}") from None

    def _is_test(self, row: int) -> bool:
        return self.split(row) == "test"

    def _column(self, option: str) -> Any:
        return self._frame[self._columns[option]].array

    def _with_suffix(self, name: str) -> str:
        return name if not self.suffix or name.endswith(self.suffix) else name + self.suffix

    def _choose_columns(self, known: dict[str, str]) -> None:
        """Find the columns that were not named, where only one can be meant."""
        names = [str(c) for c in self._frame.columns]
        if self._columns["file_column"] is None:
            hits = Counter(
                {
                    name: sum(
                        isinstance(v, str) and self._with_suffix(v) in known
                        for v in self._frame[name].array[:200]
                    )
                    for name in names
                }
            )
            best, count = hits.most_common(1)[0]
            if not count:
                raise DataError(
                    f"no column of {self.path} names pictures; file_column says which does "
                    f"(there are {', '.join(names)}), and suffix what to add, such as '.jpg'"
                )
            self._columns["file_column"] = best
        if self._columns["label_column"] is None:
            others = [n for n in names if n not in self._columns.values()]
            if len(others) != 1:
                raise DataError(
                    f"label_column has to say which column of {self.path} holds the labels: "
                    + (", ".join(others) or "there is none beside the names")
                )
            self._columns["label_column"] = others[0]
