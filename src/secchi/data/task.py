"""What is predicted: the one record that heads, losses, metrics, predictions and bundles read."""

import dataclasses
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import DataError, did_you_mean


class Kind(StrEnum):
    """What one target is."""

    BINARY = "binary"
    """Two classes, of which each row has exactly one."""
    MULTICLASS = "multiclass"
    """Any number of classes other than two, of which each row has exactly one."""
    MULTILABEL = "multilabel"
    """Any number of classes, of which each row has none, some or all."""
    DISTRIBUTION = "distribution"
    """Shares of any number of classes, which add up to one in each row."""
    REGRESSION = "regression"
    """A number."""


Label = str | int | float | bool | bytes
"""What can name a class."""

_LABEL_TYPES: dict[str, type] = {kind.__name__: kind for kind in (str, int, float, bool, bytes)}


@dataclasses.dataclass(frozen=True)
class Target:
    """One thing to predict.

    Attributes:
        name: What it is called, such as ``"class"`` or ``"quality"``.
        kind: Two classes, many classes, several labels, shares of classes, or a number.
        classes: The names of the classes in their order, as text; empty for a number.
        label_type: What the labels were before they became text: ``"str"``, ``"int"``,
            ``"float"``, ``"bool"`` or ``"bytes"``; :meth:`decode` gives them back so.

    >>> Target("pet", Kind.BINARY, ("cat", "dog")).encode(["dog", "cat"])
    array([1, 0])
    >>> quality = Target.classify("quality", [3, 5])
    >>> quality.classes, quality.decode(quality.encode([5, 3, 5]))
    (('3', '5'), array([5, 3, 5]))
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    label_type: str = "str"

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise DataError(f"target {self.name!r} names a class twice: {list(self.classes)}")
        expected = {
            Kind.BINARY: len(self.classes) == 2,
            Kind.MULTICLASS: len(self.classes) not in (0, 2),
            Kind.MULTILABEL: len(self.classes) >= 1,
            Kind.DISTRIBUTION: len(self.classes) >= 2,
            Kind.REGRESSION: not self.classes,
        }
        if not expected[self.kind]:
            raise DataError(
                f"target {self.name!r} is {self.kind.value}, which {len(self.classes)} classes "
                "cannot be; Target.classify(name, classes) picks the kind by their number"
            )

    @classmethod
    def classify(cls, name: str, classes: Iterable[Label]) -> "Target":
        """Exactly one of these classes a row; all of one type, which :meth:`decode` gives back.

        Raises:
            DataError: The classes are of several types, or of one that names nothing.
        """
        given = [_plain(label) for label in classes]
        types = sorted({type(label).__name__ for label in given}) or ["str"]
        if len(types) > 1 or types[0] not in _LABEL_TYPES:
            raise DataError(
                f"the classes of {name!r} are of the types {', '.join(types)}; they have to be all "
                "text, or all whole numbers, numbers, truth values or bytes"
            )
        names = tuple(_class_name(label) for label in given)
        kind = Kind.BINARY if len(names) == 2 else Kind.MULTICLASS
        return cls(name, kind, names, types[0])

    @property
    def outputs(self) -> int:
        """How many numbers a head gives for it: one logit for two classes, else one a class."""
        return 1 if self.kind in (Kind.BINARY, Kind.REGRESSION) else len(self.classes)

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one of the classes."""
        return self.kind in (Kind.BINARY, Kind.MULTICLASS)

    def encode(self, values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        """Turn names or numbers into an array.

        Args:
            values: One a row: a class as text or in its own type, a collection of class names, a
                share of each class, or a number.

        Returns:
            int64 of shape (rows,) for classes, float32 (rows, classes) for several labels and for
            shares, float64 (rows,) for numbers.

        Raises:
            DataError: A name that is not one of the classes, shares that do not add up to one, or
                a number that is not finite.
        """
        if self.kind is Kind.DISTRIBUTION:
            return self._encode_shares(values)
        if self.kind is Kind.REGRESSION:
            if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
                numbers = values.astype(np.float64)
            else:
                numbers = np.array([_number(value) for value in values], dtype=np.float64)
            sound = np.abs(numbers) <= np.finfo(np.float32).max  # a network computes in float32
            if not sound.all():
                row = int(np.flatnonzero(~sound)[0])
                raise DataError(f"target {self.name!r} of row {row} is {values[row]!r}, no number")
            return numbers
        index: dict[Any, int] = {name: i for i, name in enumerate(self.classes)}
        try:
            if self.exclusive:
                if self.label_type != "str":
                    index |= {self._label(name): i for i, name in enumerate(self.classes)}
                return np.fromiter((index[v] for v in values), dtype=np.int64, count=len(values))
            hot = np.zeros((len(values), len(self.classes)), dtype=np.float32)
            for row, names in enumerate(values):
                hot[row, [index[name] for name in names]] = 1
            return hot
        except KeyError as error:
            name = _class_name(_plain(error.args[0]))
            raise DataError(
                f"{name!r} is none of the {len(self.classes)} classes of {self.name!r}"
                + did_you_mean(name, self.classes)
            ) from None

    def _encode_shares(self, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float32]:
        shares = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
        if shares.shape[1] != len(self.classes):
            raise DataError(
                f"target {self.name!r} has {len(self.classes)} classes, and a row of it "
                f"{shares.shape[1]} shares"
            )
        wrong = ~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= _ROUNDED))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"the shares of {self.name!r} in row {row} are {shares[row].tolist()}; they have "
                "to be 0 or more and to add up to 1"
            )
        shares /= shares.sum(axis=1, keepdims=True)
        return shares.astype(np.float32)

    def decode(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The labels of classes by number, in the type that they came in.

        Args:
            numbers: Whole numbers from 0 on, of any shape.
        """
        labels: NDArray[Any] = np.array([self._label(name) for name in self.classes])[numbers]
        return labels

    def _label(self, name: str) -> Label:
        """A class in the type that it came in."""
        if self.label_type == "bytes":
            return name.encode("utf-8", "surrogateescape")
        if self.label_type == "bool":
            return name == "True"
        label: Label = _LABEL_TYPES[self.label_type](name)
        return label

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self) | {"kind": self.kind.value, "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Target":
        """From what :meth:`to_dict` gave."""
        return cls(
            document["name"],
            Kind(document["kind"]),
            tuple(document["classes"]),
            document.get("label_type", "str"),
        )


@dataclasses.dataclass(frozen=True)
class Task:
    """Everything that is predicted for a row: one target, or several in a fixed order.

    >>> task = Task.classify(["cats", "dogs"])
    >>> task.target.kind.value, task.outputs
    ('binary', 1)
    >>> Task.from_dict(task.to_dict()) == task
    True
    """

    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        names = [t.name for t in self.targets]
        if not names or len(set(names)) != len(names):
            raise DataError(f"a task needs targets with different names, got {names}")

    @classmethod
    def classify(cls, classes: Iterable[Label], name: str = "class") -> "Task":
        """One target: exactly one of these classes."""
        return cls((Target.classify(name, classes),))

    @classmethod
    def label(cls, classes: Iterable[str], name: str = "labels") -> "Task":
        """One target: none, some or all of these classes."""
        return cls((Target(name, Kind.MULTILABEL, tuple(classes)),))

    @classmethod
    def regress(cls, *names: str) -> "Task":
        """One number, or several."""
        return cls(tuple(Target(name, Kind.REGRESSION) for name in names or ("value",)))

    @property
    def target(self) -> Target:
        """The only target.

        Raises:
            DataError: There are several.
        """
        if len(self.targets) != 1:
            raise DataError(
                f"the task has {len(self.targets)} targets: {', '.join(self.names)}; name one, as "
                f"target={self.names[0]!r} does"
            )
        return self.targets[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The targets' names in their order."""
        return tuple(t.name for t in self.targets)

    @property
    def outputs(self) -> int:
        """How many numbers a head gives for a row, over all targets."""
        return sum(t.outputs for t in self.targets)

    def columns(self) -> Iterable[tuple[Target, slice]]:
        """Each target with its columns of a head's output."""
        start = 0
        for target in self.targets:
            yield target, slice(start, start + target.outputs)
            start += target.outputs

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"targets": [t.to_dict() for t in self.targets]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Task":
        """From what :meth:`to_dict` gave."""
        return cls(tuple(Target.from_dict(target) for target in document["targets"]))


@dataclasses.dataclass(frozen=True)
class Labels:
    """What is true of each row, for every target of a task.

    Attributes:
        task: What the values mean.
        values: One array a target, in the task's order; shapes as :meth:`Target.encode` gives.
        weights: How much each row counts, float32 of shape (rows,); None counts all alike.
    """

    task: Task
    values: tuple[NDArray[Any], ...]
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {len(v) for v in self.values} | (
            set() if self.weights is None else {len(self.weights)}
        )
        if len(self.values) != len(self.task.targets) or len(lengths) != 1:
            raise DataError(
                f"labels of {len(self.task.targets)} targets need as many arrays of one length, "
                f"got {len(self.values)} of lengths {sorted(lengths)}"
            )
        if self.weights is not None and not (
            np.isfinite(self.weights).all() and (self.weights >= 0).all()
        ):
            raise DataError("row weights have to be finite and not negative")

    def __len__(self) -> int:
        return len(self.values[0])

    @classmethod
    def of(cls, target: Target, values: Sequence[Any]) -> "Labels":
        """Labels of a single target from names or numbers."""
        return cls(Task((target,)), (target.encode(values),))

    def take(self, rows: NDArray[Any]) -> "Labels":
        """The labels of some rows, in the order asked for."""
        weights = None if self.weights is None else self.weights[rows]
        return Labels(self.task, tuple(v[rows] for v in self.values), weights)


_ROUNDED = 1e-3
"""How far shares may be from adding up to one, as rounded percentages are."""


def _plain(label: Any) -> Any:
    """A label without NumPy's clothes."""
    return label.item() if isinstance(label, np.generic) else label


def _class_name(label: Any) -> str:
    """A label as text."""
    return label.decode("utf-8", "surrogateescape") if isinstance(label, bytes) else str(label)


def _number(value: Any) -> float:
    """A number, or not a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
