"""A table that says which picture is what."""

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
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

_ENCODING = "utf-8-sig"


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
        self._cells: dict[str, list[Any]] = {}
        self._same_file: dict[int, list[int]] = {}

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
        if os.path.isdir(file):
            raise DataError(f"{file} is a folder; labels are read from a CSV file")
        if not os.path.isfile(file):
            raise DataError(f"no such table of labels: {file}")
        if kind not in ("class", "labels", "number"):
            hint = did_you_mean(kind, ["class", "labels", "number"])
            raise DataError(f"kind is {kind!r}; it is one of class, labels and number{hint}")
        try:
            frame = pd.read_csv(
                file,
                sep=_separator_of(file),
                encoding=_ENCODING,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
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
            picture = known.get(self._file_name(name))
            if picture is None:
                reason = f"a row of {self.name} names it, and there is no such picture"
                missing.append((self._with_suffix(name), reason))
            elif self.split(row) != "test" and self.label(row) is None:
                missing.append((picture, f"its row in {self.name} has no label"))
                rows_of.setdefault(picture, [])
            else:
                rows_of[picture].append(row)
        matched: dict[str, int] = {}
        for file, rows in rows_of.items():
            # What rows of a test split say is not looked at before the split is opened.
            splits = [self.split(row) for row in rows]
            says = {
                (split, None if split == "test" else self.label(row))
                for split, row in zip(splits, rows, strict=True)
            }
            if len(says) == 1:
                matched[file] = rows[0]
                self._same_file[rows[0]] = rows
            elif says:
                missing.append((file, f"its rows in {self.name} contradict each other"))
        return matched, missing, [file for file in files if file not in rows_of]

    def first_name(self) -> str:
        """The picture that the first row names, suffix and all."""
        return self._with_suffix(str(self._column("file_column")[0]))

    def label(self, row: int) -> Any:
        """What a row says: a class, several in natural order, a number; None if nothing."""
        cell = self._column("label_column")[row]
        text = cell.strip() if isinstance(cell, str) else ""
        if not text:
            return None
        if self.kind == "labels":
            names = {part.strip() for part in text.split(self.separator)} - {""}
            return tuple(sorted(names, key=natural_order)) or None
        if self.kind == "number":
            number = _number(text)
            if number is None:
                raise DataError(
                    f"row {row + 2} of {self.path} has the label {text!r}, which is no number"
                )
            return number
        return text

    def agreed_label(self, row: int) -> Any:
        """What all rows about the picture of a row say; None if nothing, or contradictions."""
        says = {self.label(same) for same in self._same_file[row]}
        return says.pop() if len(says) == 1 else None

    def target(self, classes: Sequence[str]) -> Target:
        """What the label column is, as a target."""
        name = str(self._columns["label_column"])
        if self.kind == "class":
            return Target.classify(name, classes)
        if self.kind == "labels":
            return Target(name, Kind.MULTILABEL, tuple(classes))
        return Target(name, Kind.REGRESSION)

    def split(self, row: int) -> str:
        """The split that a row names; ``train`` where no column says."""
        if self._columns.get("split_column") is None:
            return "train"
        cell = self._column("split_column")[row]
        says = cell.strip().lower() if isinstance(cell, str) else ""
        if says not in _SPLITS:
            raise DataError(
                f"row {row + 2} of {self.path} names the split {says!r}; it has to be train, "
                f"valid or test{did_you_mean(says, _SPLITS)}"
            )
        return _SPLITS[says]

    def group(self, row: int) -> str | None:
        """The group of a row; None if it names none."""
        group = self._column("group_column")[row]
        return group if isinstance(group, str) else None

    def weight(self, row: int) -> float:
        """The weight of a row."""
        text = self._column("weight_column")[row]
        weight = _number(text) if isinstance(text, str) else None
        if weight is None or weight < 0:
            says = f"the weight {text!r}" if isinstance(text, str) else "no weight"
            raise DataError(
                f"row {row + 2} of {self.path} has {says}; it has to be a number, 0 or more"
            )
        return weight

    def _column(self, option: str) -> list[Any]:
        name = str(self._columns[option])
        if name not in self._cells:
            self._cells[name] = self._frame[name].tolist()
        return self._cells[name]

    def _with_suffix(self, name: str) -> str:
        return name if not self.suffix or name.endswith(self.suffix) else name + self.suffix

    def _file_name(self, name: str) -> str:
        return os.path.normpath(self._with_suffix(name))

    def _choose_columns(self, known: dict[str, str]) -> None:
        """Find the columns that were not named, where only one can be meant."""
        names = [str(c) for c in self._frame.columns]
        if self._columns["file_column"] is None:
            hits = Counter(
                {
                    name: sum(
                        isinstance(v, str) and self._file_name(v) in known
                        for v in self._frame[name].head(10_000).tolist()
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


def _separator_of(file: str) -> str:
    """What stands between the columns' names; a comma if there is one column."""
    with open(file, encoding=_ENCODING) as text:
        names = re.sub(r'"[^"]*"', "", text.readline())
    for rare_in_names in (",\t;|", " "):
        counts = {separator: names.count(separator) for separator in rare_in_names}
        most = max(counts, key=lambda separator: counts[separator])
        if counts[most]:
            return most
    return ","


def _number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
