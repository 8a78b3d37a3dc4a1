"""Tables: rows of numbers and categories, and what is to be predicted of them."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.class_weights import class_weights as weights_of
from secchi.data.label_values import names_of, own_labels, plain, whole_numbers
from secchi.data.read_table import Roles, Table, made_table, read_table
from secchi.data.seal import Seal
from secchi.data.splits import TEST, TRAIN, VALID, folds
from secchi.data.splitting import Splitting, note_on_order, parted, parted_at, strata, together
from secchi.data.table_split import TableSplit
from secchi.data.task import Labels
from secchi.errors import DataError, SpecError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from secchi.data.describe import Correlations, Description
    from secchi.data.synthetic import Synthetic
    from secchi.data.table_summary import TableSummary

SCALES = ("zscore", "minmax", "robust", "none")
"""How columns can be scaled; see :class:`secchi.transforms.table.TableTransform`."""

MOST_OF_ONE_CLASS = 0.9
"""From this share of the training rows on, one class is nearly all there is."""

_PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}


class TableData:
    """A table, split for training and validation, and for a sealed test where that is asked for.

    Made by :meth:`from_csv`, :meth:`from_frame`, :meth:`from_arrays` or :meth:`made`; none of them
    changes a file. Rows without a target are left out and counted. Inputs may be numbers and text;
    what is missing of them is filled in when a network gets them
    (:class:`secchi.transforms.table.TableTransform`).

    Attributes:
        task: What is predicted.
        scale: How columns are scaled: a wish, fitted on the training rows of each split.
        target_scale: How numbers to predict are: with ``"zscore"`` losses are in units of their
            spread over the training rows; predictions and metrics are always in their own.
        class_weights: ``"balanced"`` or a weight by class: how much the rows of a class count in
            every loss and metric, beside weights of their own.
        splitting: How rows are parted.
        splits: By name.
        skipped: Rows that are left out: (reason, how many).
        notes: What a person should know about the data before trusting a result.
        source: What :meth:`from_csv` was told, as plain values; None of other tables, and of those
            that were parted, thinned or scaled since.
        seal: What counts the looks at the test set; None without one.

    >>> ages = [[float(age)] for age in range(20)]
    >>> TableData.from_arrays(ages, ["young"] * 10 + ["old"] * 10, names=["age"])
    <table: 16 rows to train, 4 to validate; 1 column tells target (old, young)>
    """

    def __init__(
        self,
        table: Table,
        splitting: Splitting | None = None,
        *,
        scale: str = "zscore",
        target_scale: str = "zscore",
        class_weights: str | Mapping[Any, float] | None = None,
        skipped: Sequence[tuple[str, int]] = (),
        notes: Sequence[str] = (),
        part: NDArray[np.int8] | None = None,
        source: dict[str, Any] | None = None,
    ) -> None:
        _check_wish("scale", scale, SCALES)
        _check_wish("target_scale", target_scale, ("zscore", "none"))
        self._table = table
        self.task = table.task
        self.scale = scale
        self.target_scale = target_scale
        self.class_weights = class_weights
        self.splitting = splitting or Splitting()
        self.skipped = list(skipped)
        self.notes = list(notes)
        self.source = source
        self._part = self._parted() if part is None else part
        self._refuse_unusable()
        self._class_weights: NDArray[np.float32] | None = None
        if class_weights is not None:
            learned = table.values[0][self._part == TRAIN]
            self._class_weights = weights_of(class_weights, self.task.target, learned)
        self.splits = self._made_splits()
        self._note_shares()
        self.seal = Seal(self.test.keys) if self.test else None

    # ---------------------------------------------------------------- ways in

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        target: str | Sequence[str],
        *,
        sep: str | None = None,
        encoding: str | None = None,
        **options: Any,
    ) -> "TableData":
        """Read a table of text, with the names of its columns in the first line.

        Args:
            path: The file.
            target: The column to predict, or several.
            sep: What stands between two fields: ``","``, ``";"``, a tab, …; None finds it out.
            encoding: Of the text; None finds it out.
            **options: As for :meth:`from_frame`.

        Raises:
            DataError: A file that cannot be read as a table, or as for :meth:`from_frame`.

        For example::

            wine = TableData.from_csv("winequality-red.csv", target="quality", above=5, test=True)
        """
        from secchi.data.csv_file import read_csv

        if not isinstance(path, str | os.PathLike):
            raise DataError(
                f"from_csv reads a file, and was given a {type(path).__name__}; from_frame takes a "
                "pandas frame, from_arrays arrays"
            )
        found = read_csv(path, sep=sep, encoding=encoding)
        targets = names_of(target)
        source = {"path": found.path, "target": targets, "sep": sep, "encoding": encoding}
        return cls._assemble(
            found.frame,
            {
                name: whole_numbers(found.frame[name].to_numpy())
                for name in targets
                if name in found.frame
            },
            targets,
            os.path.splitext(os.path.basename(found.path))[0],
            options,
            rows=found.lines,
            row_name="line",
            notes=found.notes,
            skipped=found.skipped,
            source=plain(source | options),
        )

    @classmethod
    def read_again(cls, source: Mapping[str, Any]) -> "TableData":
        """The table that :attr:`source` names, read in the same way."""
        return cls.from_csv(**source)

    @classmethod
    def from_frame(
        cls,
        frame: "pd.DataFrame",
        target: str | Sequence[str],
        *,
        name: str = "table",
        **options: Any,
    ) -> "TableData":
        """Take a pandas frame.

        Args:
            frame: One row each; its index is not looked at.
            target: The column to predict, or several, whose losses are added and metrics kept
                apart.
            name: What the table is called.
            **options: What each column is for: ``above=5`` (two classes of a number), ``task=``
                ``"class"``, ``"number"`` or ``"distribution"``, ``inputs=`` or ``drop=`` some
                columns, ``weight_column=``, ``group_column=``, ``time_column=``,
                ``split_column=``; see :class:`secchi.data.read_table.Roles`. How rows are parted:
                ``valid_fraction=0.2``, ``test=True``, ``split=``, ``stable=``, ``stratify=``,
                ``seed=0``; see :class:`secchi.data.splitting.Splitting`. And ``scale=``,
                ``target_scale=`` and ``class_weights=``, as attributes above.

        Raises:
            DataError: Columns that are not there, dates among the inputs, fewer than two rows or
                classes, or a target that cannot be predicted.
            SpecError: An option that there is not, or a value that cannot be.

        >>> import pandas as pd
        >>> frame = pd.DataFrame({"age": range(20), "pet": ["cat", "dog"] * 10, "dose": range(20)})
        >>> data = TableData.from_frame(frame, "dose", test=True)
        >>> {name: len(split) for name, split in data.splits.items()}
        {'train': 16, 'valid': 2, 'test': 2}
        """
        from secchi.data.column_types import typed_frame

        typed, notes = typed_frame(frame)
        targets = names_of(target)
        places = {str(column): place for place, column in enumerate(frame.columns)}
        labels = {
            each: own_labels(frame.iloc[:, places[each]], typed[each])
            for each in targets
            if each in places
        }
        return cls._assemble(typed, labels, targets, name, options, notes=notes)

    @classmethod
    def from_arrays(
        cls,
        inputs: Any,
        values: Any,
        *,
        names: Sequence[str] | None = None,
        target: str = "target",
        **options: Any,
    ) -> "TableData":
        """Take arrays, or what can be made into some.

        Args:
            inputs: (rows, columns), numbers.
            values: (rows,): what is predicted: labels of any one type, or numbers.
            names: Of the columns; None calls them x1, x2, …
            target: What is predicted, by name.
            **options: As for :meth:`from_frame`.

        Raises:
            DataError: Lengths that differ, or as for :meth:`from_frame`.
        """
        import pandas as pd

        table = np.asarray(inputs)
        given = np.asarray(values)
        if table.ndim != 2 or given.ndim != 1 or len(table) != len(given):
            raise DataError(
                f"inputs of shape {table.shape} and values of shape {given.shape} are no table; "
                "(rows, columns) and (rows,) are"
            )
        made = (f"x{place + 1}" for place in range(table.shape[1]))
        columns = [str(name) for name in (made if names is None else names)]
        if len(columns) != table.shape[1] or target in columns:
            raise DataError(
                f"{len(columns)} names cannot be those of {table.shape[1]} columns beside the "
                f"target {target!r}"
            )
        frame = pd.DataFrame(table, columns=columns)
        frame[target] = list(given) if given.dtype.kind == "S" else given
        return cls.from_frame(frame, target, **options)

    @classmethod
    def made(cls, what: "Synthetic", seed: int = 0, repeat: int = 0, **options: Any) -> "TableData":
        """Made-up rows.

        They are parted by their numbers: with the same seed and repeat, other parameters move no
        row to another split, unless they change how many rows there are, or of which class.

        Args:
            what: Which, such as ``Qwerties(classes=3)``; see :mod:`secchi.data.synthetic`.
            seed: Names the rows that are drawn, and how they are parted.
            repeat: Likewise; the number of a repetition.
            **options: How they are parted and scaled, as for :meth:`from_frame`.

        Raises:
            SpecError: Options that do not exist.

        >>> from secchi.data.synthetic import Qwerties
        >>> TableData.made(Qwerties(classes=2, rows=100))
        <Qwerties: 80 rows to train, 20 to validate; 2 columns tell class (A, B)>
        """
        given = {"seed": seed, "repeat": repeat, **options}
        splitting, wishes = _options(given, (Splitting,))
        table = made_table(what.draw(seed, repeat), type(what).__name__)
        return cls(table, Splitting(**splitting), **wishes)

    @classmethod
    def _assemble(
        cls,
        frame: "pd.DataFrame",
        labels: Mapping[str, NDArray[Any]],
        targets: Sequence[str],
        name: str,
        options: dict[str, Any],
        *,
        rows: NDArray[np.int64] | None = None,
        row_name: str = "row",
        notes: Sequence[str] = (),
        skipped: Sequence[tuple[str, int]] = (),
        source: dict[str, Any] | None = None,
    ) -> "TableData":
        """Sort the options, give every column its part, and part the rows."""
        of_columns, of_rows, wishes = _options(options, (Roles, Splitting))
        roles, splitting = Roles(tuple(targets), **of_columns), Splitting(**of_rows)
        table, more, left_out = read_table(
            frame, labels, roles, name=name, rows=rows, row_name=row_name
        )
        return cls(
            table,
            splitting,
            notes=[*notes, *more],
            skipped=[*skipped, *left_out],
            source=source,
            **wishes,
        )

    # ---------------------------------------------------------------- splits

    @property
    def name(self) -> str:
        """What the table is called."""
        return self._table.name

    @property
    def inputs(self) -> list[str]:
        """The columns that are learned from."""
        return list(self._table.frame.columns)

    @property
    def beside(self) -> tuple[str, ...]:
        """The columns that are not learned from: targets, and what was left out."""
        return self._table.beside

    @property
    def given(self) -> tuple[str, ...]:
        """Every column that could be learned from, in its order; some of them are left out."""
        return self._table.given

    @property
    def reading(self) -> dict[str, str]:
        """Separator and encoding, where :meth:`from_csv` was told them."""
        told = self.source or {}
        return {name: told[name] for name in ("sep", "encoding") if told.get(name)}

    @property
    def row_name(self) -> str:
        """What the number of a row is: ``"line"`` of a file, or ``"row"``."""
        return self._table.row_name

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the only target, as text."""
        return self.task.target.classes

    @property
    def train(self) -> TableSplit:
        """The rows to learn from."""
        return self.splits["train"]

    @property
    def valid(self) -> TableSplit:
        """The rows to choose by."""
        return self.splits["valid"]

    @property
    def test(self) -> TableSplit | None:
        """The rows to judge by in the end, sealed until :meth:`open_test`; None without any."""
        return self.splits.get("test")

    def split(self, name: str) -> TableSplit:
        """A split by its name.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f"there is no split {name!r}; there are: {known}")
        return self.splits[name]

    def resplit(self, seed: int | None = None, repeat: int | None = None) -> "TableData":
        """The same table, parted anew into training and validation; a test set stays as it is.

        Args:
            seed: None keeps it.
            repeat: The number of a repetition; None keeps it.

        Raises:
            DataError: Time, position or a column says how its rows are parted.

        >>> data = TableData.from_arrays([[float(x)] for x in range(50)], range(50), task="number")
        >>> again = data.resplit(repeat=1)
        >>> len(again.valid), set(again.valid.rows) == set(data.valid.rows)
        (10, False)
        """
        splitting = dataclasses.replace(
            self.splitting,
            seed=self.splitting.seed if seed is None else seed,
            repeat=self.splitting.repeat if repeat is None else repeat,
        )
        self._refuse_other_parts("parted anew at random")
        rest = self._part != TEST
        part = self._part.copy()
        share = float((self._part == VALID).sum() / rest.sum())
        alone = dataclasses.replace(splitting, test=0.0, valid_fraction=share)
        part[rest] = parted_at(self._table.take(rest), alone)
        return self._but(splitting=splitting, part=part)

    def scaled(self, scale: str | None = None, target_scale: str | None = None) -> "TableData":
        """The same rows, in the same splits, to be scaled in another way.

        Args:
            scale: Of the columns; None keeps it.
            target_scale: Of numbers to predict; None keeps it.

        Raises:
            SpecError: A way that there is not.

        >>> data = TableData.from_arrays([[float(x)] for x in range(50)], range(50), task="number")
        >>> data.scaled("minmax").scale, data.scaled("minmax").target_scale
        ('minmax', 'zscore')
        """
        return self._but(
            part=self._part,
            scale=scale or self.scale,
            target_scale=target_scale or self.target_scale,
        )

    def folds(self, k: int = 5, *, repeats: int = 1) -> "Iterator[TableData]":
        """The same table k times, each row validating once; repeated with other folds.

        Classes are in the same shares in every fold, groups are never parted, and a test set stays
        out of all of them.

        Args:
            k: How many folds, two or more.
            repeats: How many times.

        Raises:
            DataError: More folds than rows, or than groups; or time, position or a column says how
                its rows are parted, which random folds would break.

        >>> data = TableData.from_arrays([[float(x)] for x in range(9)], range(9), task="number")
        >>> [len(fold.valid) for fold in data.folds(3)]
        [3, 3, 3]
        """
        self._refuse_other_parts("folded")
        rest, table = self._part != TEST, self._table
        labels = strata(table) if self.splitting.stratify else None
        for parts in folds(
            table.names[rest],
            k,
            repeats=repeats,
            labels=None if labels is None else labels[rest],
            groups=None if table.groups is None else table.groups[rest],
            together=together(table, self.splitting),
            seed=self.splitting.seed,
        ):
            part = self._part.copy()
            part[rest] = parts
            yield self._but(part=part)

    @property
    def parted_by(self) -> str | None:
        """What says which rows validate: time, a column or position; None where chance does."""
        by = {
            "time": self._table.when is not None,
            "a column": self._table.part is not None,
            "position": self.splitting.split == "position",
        }
        return next((name for name, holds in by.items() if holds), None)

    def _refuse_other_parts(self, what: str) -> None:
        """Refuse to part at random what is parted by something else."""
        if self.parted_by is not None:
            raise DataError(
                f"{self.name} is parted by {self.parted_by}, so it cannot be {what}: that would "
                "mix what is kept apart; read it without that to do so"
            )

    def _but(self, **changes: Any) -> "TableData":
        """The same with another way to part or scale its rows, or other rows."""
        kept = {
            "table": self._table,
            "splitting": self.splitting,
            "scale": self.scale,
            "target_scale": self.target_scale,
            "class_weights": self.class_weights,
            "skipped": self.skipped,
            "notes": self.notes,
            **changes,
        }
        other = TableData(**kept)
        if self.test is not None and other.test is not None:
            other.seal = self.seal
            if not self.test.sealed:
                other.test.unseal()
        return other

    def _parted(self) -> NDArray[np.int8]:
        part = parted(self._table, self.splitting)
        if self.splitting.split == "position" and self._table.when is None:
            self.notes += filter(None, [note_on_order(self._table, part)])
        return part

    def _note_shares(self) -> None:
        """Say where metrics are weighted, or one class is nearly all there is."""
        target = self.task.targets[0]
        if self._class_weights is not None:
            said = "class weights count in every loss and metric: what is shown is weighted"
        elif target.exclusive:
            counts = np.bincount(self.train.labels.values[0], minlength=len(target.classes))
            share, most = counts.max() / counts.sum(), target.classes[int(counts.argmax())]
            if share < MOST_OF_ONE_CLASS:
                return
            said = (
                f"{share:.1%} of the training rows are {most!r}: who always says so has that "
                "accuracy; balanced_accuracy, f1 and auc tell more, and class_weights='balanced' "
                "(--balanced) trains for all classes alike"
            )
        else:
            return
        if said not in self.notes:
            self.notes.append(said)

    def _made_splits(self) -> dict[str, TableSplit]:
        splits = {}
        for name, number in _PARTS.items():
            here = self._part == number
            if not here.any():
                continue
            table = self._table.take(here)
            labels = Labels(self.task, table.values, self._row_weights(table))
            splits[name] = TableSplit(
                name, table.frame, labels, table.rows, table.keys, sealed=name == "test"
            )
        return splits

    def _row_weights(self, table: Table) -> NDArray[np.float32] | None:
        if self._class_weights is None:
            return table.weights
        weights: NDArray[np.float32] = self._class_weights[table.values[0]]
        if table.weights is not None:
            weights = np.asarray(weights * table.weights)
        return weights

    def _refuse_unusable(self) -> None:
        counts = {name: int((self._part == number).sum()) for name, number in _PARTS.items()}
        left_out = ", ".join(f"{count:,} x {reason}" for reason, count in self.skipped)
        why = f"; left out were {left_out}" if left_out else ""
        for name in ("train", "valid"):
            if not counts[name]:
                raise DataError(
                    f"{self.name} has {len(self._table):,} usable rows, and none is left for "
                    f"{name!r}{why}"
                )
        for target, values in zip(self.task.targets, self._table.values, strict=True):
            learned = values[self._part == TRAIN]
            if target.exclusive and len(np.unique(learned)) < 2:
                raise DataError(
                    f"all training rows of {self.name} are {target.classes[learned[0]]!r}: there "
                    "is nothing to tell apart"
                )

    # ---------------------------------------------------------------- the test set

    def open_test(self, reason: str) -> TableSplit:
        """Unseal the rows of the test set.

        Args:
            reason: Why now; kept with every run that follows, and in the ledger
                (:mod:`secchi.data.vault`).

        Raises:
            DataError: There is no test set, or no reason.
        """
        if self.test is None or self.seal is None:
            raise DataError(f"{self.name} has no test set to open; test=True seals a tenth of it")
        self.seal.open(reason)
        self.test.unseal()
        return self.test

    @property
    def test_openings(self) -> list[str]:
        """The reasons for which the test set was opened."""
        return self.seal.reasons if self.seal else []

    # ---------------------------------------------------------------- what it holds

    def describe(self) -> "Description":
        """What each column holds: ranges, skew, outliers, levels, correlation with the target.

        Rows of a test set are not looked at.
        """
        from secchi.data.describe import Description

        return Description.of(self._seen().frame, self.task, self._seen().values)

    def correlations(self) -> "Correlations":
        """How columns of numbers, and targets of numbers or two classes, go together.

        Rows of a test set are not looked at.
        """
        from secchi.data.describe import Correlations

        return Correlations.of(self._seen().frame, self.task, self._seen().values)

    def drop_outliers(self, z: float = 3.0, columns: Sequence[str] | None = None) -> "TableData":
        """The same without rows that lie far out in some column; a test set keeps all of its own.

        Args:
            z: Standard deviations from the mean of the training rows.
            columns: Of numbers; None takes all of them.

        Raises:
            DataError: A column that is not there or holds no numbers.
        """
        frame = self._table.frame
        numbers = [name for name in frame.columns if frame[name].dtype.kind == "f"]
        chosen = list(numbers if columns is None else columns)
        if strange := [name for name in chosen if name not in numbers]:
            raise DataError(
                f"{strange[0]!r} is no column of numbers{did_you_mean(strange[0], numbers)}"
            )
        values = frame[chosen].to_numpy()
        learned = values[self._part == TRAIN]
        spread = np.nanstd(learned, axis=0)
        distance = np.abs(values - np.nanmean(learned, axis=0)) / np.where(spread > 0, spread, 1)
        far = (distance > z).any(axis=1) & (self._part != TEST)
        counts = [
            f"{int(far[self._part == number].sum()):,} of {name!r}"
            for name, number in _PARTS.items()
            if number != TEST
        ]
        note = f"outliers beyond {z:g} standard deviations are left out: {', '.join(counts)}"
        return self._but(
            table=self._table.take(~far),
            part=self._part[~far],
            skipped=[*self.skipped, (f"beyond {z:g} standard deviations", int(far.sum()))],
            notes=[*self.notes, note],
        )

    def summary(self) -> "TableSummary":
        """Counts by split and class, columns, and what was left out and why."""
        from secchi.data.table_summary import TableSummary

        return TableSummary.of(self)

    def fingerprint(self) -> str:
        """A digest of which rows stand in which split, in whatever order."""
        joint = hashlib.sha256()
        for name, split in self.splits.items():
            joint.update(f"{name} {len(split)}".encode() + np.sort(split.keys).tobytes())
        return joint.hexdigest()

    def __repr__(self) -> str:
        what = {"train": "to train", "valid": "to validate", "test": "to test"}
        rows = ", ".join(
            f"{len(split):,} {'rows ' * (name == 'train')}{what[name]}"
            for name, split in self.splits.items()
        )
        number = len(self.inputs)
        columns = f"{number:,} columns tell" if number > 1 else "1 column tells"
        targets = ", ".join(
            target.name + (f" ({_few(target.classes)})" if target.classes else "")
            for target in self.task.targets
        )
        return f"<{self.name}: {rows}; {columns} {targets}>"

    def _seen(self) -> Table:
        """Every row that is not sealed."""
        sealed = self.test is not None and self.test.sealed
        return self._table.take(self._part != TEST) if sealed else self._table


def _options(options: Mapping[str, Any], kinds: Sequence[type]) -> list[dict[str, Any]]:
    """Options sorted by the specification that has them; behind those, wishes of the table.

    Raises:
        SpecError: With every option that there is not.
    """
    names = [[field.name for field in dataclasses.fields(kind)] for kind in kinds]
    names.append(["scale", "target_scale", "class_weights"])
    known = [name for each in names for name in each]
    if unknown := [option for option in options if option not in known]:
        faults = [f"there is no {each!r}{did_you_mean(each, known)}" for each in unknown]
        raise SpecError("this table cannot be read so", faults)
    return [{key: value for key, value in options.items() if key in each} for each in names]


def _check_wish(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise SpecError(
            "this table cannot be read so",
            [f"{name} is {value!r}, none of {', '.join(known)}{did_you_mean(str(value), known)}"],
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
