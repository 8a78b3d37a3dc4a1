"""What a model says of some rows, beside what is true of them."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError, did_you_mean
from secchi.inspection.averages import averaged_outputs, shares_of
from secchi.models.heads import log_probabilities
from secchi.training.losses import task_losses
from secchi.training.metrics import metric

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from secchi.inspection.confusion import Confusion
    from secchi.inspection.curves import Calibration, Roc
    from secchi.inspection.residuals import Residuals

Sources = tuple[str, ...] | NDArray[np.integer[Any]]
"""Where rows came from: paths or other names, or an array of row numbers."""

RowLosses = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""(outputs, one tensor of truth a target) to the loss of every row."""


@dataclasses.dataclass(frozen=True, repr=False)
class Predictions:
    """The answers for some rows, the same record for every split, file list and model.

    Attributes:
        task: What was predicted.
        sources: Where each row came from: the path of a picture, or the number of a table's row.
        outputs: The head's raw outputs of shape (rows, task.outputs): float32, or float64 where
            that is what the network gives.
        labels: What is true, or None.
        losses: What each row costs, of the outputs' type and of shape (rows,), or None without
            labels: by the loss that :meth:`of` was given, such as that of the training, else by
            what suits the targets.
        unreadable: Files that were asked for and could not be read, with their reasons.
        source_name: What the sources are, ``"file"`` or ``"row"``: the first column of a table of
            predictions.

    The loss asks for more than the accuracy: all four rows are right here, and each costs
    -log(probability of the true class), 0.105 or 0.223. Accuracy moves only where a row changes
    sides, and has no slope that training could follow.

    >>> task = Task.classify(["no", "yes"])
    >>> truth = Labels.of(task.target, ["yes", "no", "no", "yes"])
    >>> outputs = torch.tensor([[0.9], [0.1], [0.2], [0.8]]).logit()
    >>> found = Predictions.of(task, np.arange(4), outputs, truth, source_name="row")
    >>> print(f"{found.losses.mean():.6f}")
    0.164252
    >>> found
    4 rows of class (no, yes): accuracy 1.0000 (95 % interval 0.5101 to 1.0000), no misses
    """

    task: Task
    sources: Sources
    outputs: NDArray[np.float32]
    labels: Labels | None = None
    losses: NDArray[np.float32] | None = None
    unreadable: tuple[tuple[str, str], ...] = ()
    source_name: str = "file"

    @classmethod
    def of(
        cls,
        task: Task,
        sources: Sources,
        outputs: Tensor,
        labels: Labels | None = None,
        unreadable: tuple[tuple[str, str], ...] = (),
        source_name: str = "file",
        loss: RowLosses | None = None,
    ) -> "Predictions":
        """From a head's outputs, (rows, task.outputs).

        Args:
            task: As the attribute, like all but the loss.
            sources: Likewise.
            outputs: Likewise.
            labels: Likewise.
            unreadable: Likewise.
            source_name: Likewise.
            loss: Gives the losses of the rows, such as a
                :class:`secchi.training.losses.TaskLoss` that is not smoothed; None takes what suits
                the targets, in their own units.
        """
        each = None
        if labels is not None:
            truth = [torch.from_numpy(values) for values in labels.values]
            costs = loss(outputs, truth) if loss else task_losses(task, outputs, truth)
            each = costs.numpy()
        return cls(task, sources, outputs.numpy(), labels, each, unreadable, source_name)

    @classmethod
    def averaged(
        cls, several: Sequence["Predictions"], weights: Sequence[float] | None = None
    ) -> "Predictions":
        """The average of what several models, or several views of the same rows, say.

        Probabilities are averaged, and numbers are. The outputs of the result are the logits of
        the averaged probabilities (for many classes their logarithms), so that everything else
        follows from them as for any other predictions. They are computed in float64 from
        log-probabilities, so that a probability that rounds to 0 or 1 keeps its logit. Losses are
        those that suit the targets, whatever those of the several were.

        Args:
            several: Predictions of the same task, rows and labels.
            weights: How much each counts, from 0 on; None counts all alike.

        Raises:
            DataError: None are given, or tasks, rows, their order or labels differ.
            SpecError: Weights that cannot be.

        >>> pet = Task.classify(["cat", "dog"])
        >>> unsure = Predictions.of(pet, ("rex.jpg",), torch.tensor([[0.5]]).logit())
        >>> sure = Predictions.of(pet, ("rex.jpg",), torch.tensor([[0.9]]).logit())
        >>> Predictions.averaged([unsure, sure]).probabilities.round(4)
        array([[0.3, 0.7]], dtype=float32)
        """
        check_same_rows(several)
        shares = shares_of(len(several), weights)
        first = several[0]
        counted = [one.outputs for one, share in zip(several, shares, strict=True) if share > 0]
        outputs = torch.from_numpy(np.stack(counted))
        weighing = torch.from_numpy(shares[shares > 0])
        means = [
            averaged_outputs(target, outputs[:, :, columns].double(), weighing)
            for target, columns in first.task.columns()
        ]
        unreadable = tuple(dict.fromkeys(file for one in several for file in one.unreadable))
        return cls.of(
            first.task,
            first.sources,
            torch.cat(means, dim=1).to(outputs.dtype),
            first.labels,
            unreadable,
            first.source_name,
        )

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        from secchi.inspection.records import summary

        return summary(self)

    @property
    def names(self) -> tuple[str, ...]:
        """What the targets are called, in their order."""
        return self.task.names

    def target(self, name: str) -> "Predictions":
        """The answers for one of several targets: its outputs, labels, losses and row weights.

        The losses are those that suit the target, where there are several: what it adds to a loss
        of them all is not known. Those of a single target stay.

        Raises:
            DataError: There is no target of that name.
        """
        if name not in self.names:
            hint = did_you_mean(name, self.names) or f"; there are {', '.join(self.names)}"
            raise DataError(f"no target is called {name!r}{hint}")
        if len(self.names) == 1:
            return self
        place = self.names.index(name)
        target, columns = list(self.task.columns())[place]
        task, labels = Task((target,)), self.labels
        if labels is not None:
            labels = Labels(task, (labels.values[place],), labels.weights)
        outputs = torch.from_numpy(self.outputs[:, columns])
        return Predictions.of(
            task, self.sources, outputs, labels, self.unreadable, self.source_name
        )

    @property
    def only_target(self) -> Target:
        """What was predicted, where that is one target.

        Raises:
            DataError: There are several.
        """
        if len(self.names) > 1:
            raise DataError(
                f"these are predictions of {len(self.names)} targets, {', '.join(self.names)}, and "
                f"this needs one: .target({self.names[0]!r}) gives those of one"
            )
        return self.task.target

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns."""
        return self.only_target.classes

    @property
    def targets(self) -> Any:
        """What is true, as an array; None where nothing is known."""
        return None if self.labels is None else self.labels.values[0]

    @property
    def log_probabilities(self) -> NDArray[np.float32]:
        """Log-probabilities, (rows, classes); of exclusive classes they are those of one choice."""
        outputs = torch.from_numpy(self.outputs)
        return log_probabilities(self.only_target, outputs).numpy()

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities, or shares, (rows, classes)."""
        return np.exp(self.log_probabilities)

    @property
    def predicted(self) -> NDArray[Any]:
        """The likeliest class of each row by number; for labels 0 or 1 each; shares; or numbers."""
        target = self.only_target
        if target.kind is Kind.REGRESSION:
            numbers: NDArray[np.float32] = self.outputs[:, 0]
            return numbers
        if target.exclusive:
            likeliest: NDArray[np.intp] = self.probabilities.argmax(axis=1)
            return likeliest
        if target.kind is Kind.DISTRIBUTION:
            return self.probabilities
        return np.asarray(self.probabilities > 0.5, dtype=np.float32)

    @property
    def predicted_labels(self) -> NDArray[Any]:
        """The class of each row in the type that it came in; for several labels a tuple of those.

        Of shares and numbers it is :attr:`predicted`.
        """
        return self._decoded(self.predicted)

    @property
    def true_labels(self) -> NDArray[Any] | None:
        """What is true, as :attr:`predicted_labels` gives it; None where nothing is known."""
        return None if self.labels is None else self._decoded(self.targets)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each row's class, or all of its labels, are right.

        Raises:
            DataError: Nothing is known of the rows, or numbers or shares were predicted.
        """
        if self.labels is None or self.only_target.kind in (Kind.REGRESSION, Kind.DISTRIBUTION):
            raise DataError("right or wrong needs rows with known classes")
        right: NDArray[np.bool_] = np.asarray(self.predicted == self.targets)
        return right if right.ndim == 1 else np.all(right, axis=1)

    def metric(self, name: str) -> float:
        """A metric by name; see :func:`secchi.training.metrics.metric`."""
        if self.labels is None:
            raise DataError(f"{name} needs rows of which the truth is known")
        target = self.only_target
        answers = self.predicted if target.kind is Kind.REGRESSION else self.probabilities
        return metric(name)(target, answers, self.targets, self.labels.weights)

    def confusion(self, label: str | None = None) -> "Confusion":
        """How often each class was taken for which; of several labels, one of them, yes or no.

        Raises:
            DataError: The truth is not known, there are no classes, or no such label.
        """
        from secchi.inspection.confusion import Confusion

        return Confusion.of(self, label)

    def per_class_accuracy(self) -> Mapping[str, float]:
        """Of each class, the share of its rows that are right; NaN where it has none.

        Of several labels, the share of all rows on which the yes or no of the label is right.

        Raises:
            DataError: As :meth:`confusion`.
        """
        from secchi.inspection.confusion import per_class_accuracy

        return per_class_accuracy(self)

    def roc(self) -> "Roc":
        """True against false positives at every threshold, each class or label against the rest.

        Raises:
            DataError: The truth is not known, or there are no classes or labels.
        """
        from secchi.inspection.curves import Roc

        return Roc.of(self)

    def calibration(self, bins: int = 10) -> "Calibration":
        """How often what was said with a probability is true.

        Args:
            bins: Into how many equally wide ones the probabilities are put.

        Raises:
            DataError: The truth is not known, or there are no classes or labels.
            SpecError: No such number of bins.
        """
        from secchi.inspection.curves import Calibration

        return Calibration.of(self, bins)

    def residuals(self) -> "Residuals":
        """Truth less prediction of a number, row by row.

        Raises:
            DataError: The truth is not known, or no number was predicted.
        """
        from secchi.inspection.residuals import Residuals

        return Residuals.of(self)

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary a row: the file or row, the class, and the probabilities by class name.

        A class is given in the type that it came in (bytes as text). A number stands under its
        target's name; and so does all that is said of each of several targets.
        """
        from secchi.inspection.records import to_records

        return to_records(self)

    def mistakes(self, count: int | None = None) -> "pd.DataFrame":
        """The rows that cost most, the worst first: what was said, what is true, and the loss.

        Of classes those alone that are wrong.

        Args:
            count: How many; None gives all.

        Raises:
            DataError: Nothing is known of the rows, or there are several targets.

        >>> task = Task.classify(["cat", "dog"])
        >>> said = torch.tensor([[2.0], [-1.0], [0.5]])
        >>> truth = Labels.of(task.target, ["dog", "dog", "cat"])
        >>> Predictions.of(task, np.arange(3), said, truth, source_name="row").mistakes()
           row said true      loss
        0    1  cat  dog  1.313262
        1    2  dog  cat  0.974077
        """
        import pandas as pd

        target = self.only_target
        if self.labels is None or self.losses is None:
            raise DataError("mistakes are of rows of which the truth is known")
        rows = np.arange(len(self))
        if target.exclusive:
            rows = rows[~self.correct]
        worst = rows[np.argsort(-self.losses[rows], kind="stable")][:count]
        sources = plain_sources(self.sources)
        columns: dict[str, Any] = {self.source_name: [sources[row] for row in worst]}
        if target.exclusive or target.kind is Kind.MULTILABEL:
            truth = self.true_labels
            columns["said"] = list(self.predicted_labels[worst])
            columns["true"] = [] if truth is None else list(truth[worst])
        elif target.kind is Kind.REGRESSION:
            columns["said"] = self.predicted[worst].astype(np.float64)
            columns["true"] = np.asarray(self.targets[worst], np.float64)
            columns["error"] = columns["said"] - columns["true"]
        return pd.DataFrame(columns | {"loss": self.losses[worst].astype(np.float64)})

    def to_frame(self) -> "pd.DataFrame":
        """One row each: file or row, class, and one column of probability a class.

        Of several targets: the class under the target's name, and ``"quality: p(good)"``.
        """
        import pandas as pd

        from secchi.inspection.records import to_columns

        return pd.DataFrame(to_columns(self))

    def write_csv(self, file: str | os.PathLike[str]) -> None:
        """Write one line a row, and one for each file that could not be read, with its reason."""
        from secchi.inspection.records import write_csv

        write_csv(self, file)

    def plot(
        self,
        rows: Sequence[int] | None = None,
        *,
        count: int = 12,
        columns: int = 4,
        seed: int = 0,
    ) -> "Figure":
        """Draw what was said beside what is true, the misses marked.

        Pictures are drawn with their class and its probability, those that are most wrong first.
        Rows of a table are drawn as dots: by true class and by what was said of them; numbers
        against the truth.

        Args:
            rows: Which; None draws of pictures misses, then others at random, and of a table all
                rows, or 5,000 at random where there are more.
            count: How many pictures.
            columns: How many pictures stand side by side.
            seed: Another seed draws others at random.

        Raises:
            DataError: Several labels or shares a row, or numbers without the truth.
        """
        from secchi.inspection.showing import show_pictures, show_rows

        target = self.only_target
        if self.source_name == "file" and target.kind is not Kind.REGRESSION:
            return show_pictures(self, rows, count, columns, seed)
        return show_rows(self, rows, seed)

    def _decoded(self, values: NDArray[Any]) -> NDArray[Any]:
        target = self.only_target
        if target.exclusive:
            return target.decode(values)
        if target.kind is not Kind.MULTILABEL:
            return values
        labels = np.empty(len(values), dtype=object)
        for row, yes in enumerate(values > 0.5):
            labels[row] = tuple(target.decode(np.flatnonzero(yes)).tolist())
        return labels


def plain_sources(sources: Sources) -> list[Any]:
    """Names as they are, and row numbers as plain whole numbers."""
    return list(sources) if isinstance(sources, tuple) else sources.tolist()


def check_same_rows(several: Sequence[Predictions]) -> None:
    """Refuse predictions that are not of the same task, rows in the same order, and labels.

    Raises:
        DataError: With what differs first; or there are no predictions at all.

    >>> pet = Task.classify(["cat", "dog"])
    >>> check_same_rows([Predictions.of(pet, (file,), torch.zeros(1, 1)) for file in "ab"])
    Traceback (most recent call last):
    ...
    secchi.errors.DataError: these predictions are not of the same rows in the same order: row 0 \
is 'a' in the first and 'b' in predictions 1
    """
    if not several:
        raise DataError("there are no predictions at all; at least one is needed")
    first = several[0]
    for number, other in enumerate(several[1:], start=1):
        if other.task != first.task:
            raise DataError(
                f"these predictions are of different tasks: the first of {first.task.to_dict()}, "
                f"predictions {number} of {other.task.to_dict()}"
            )
        if plain_sources(other.sources) != plain_sources(first.sources):
            raise DataError(
                "these predictions are not of the same rows in the same order: "
                + _first_difference(
                    plain_sources(first.sources), plain_sources(other.sources), number
                )
            )
        if not _same_labels(first.labels, other.labels):
            raise DataError(
                f"the labels of predictions {number}, or the weights of their rows, differ from "
                "those of the first"
            )


def _first_difference(one: list[Any], other: list[Any], number: int) -> str:
    if len(one) != len(other):
        return f"the first have {len(one)} rows, predictions {number} have {len(other)}"
    row = next(row for row, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"row {row} is {one[row]!r} in the first and {other[row]!r} in predictions {number}"


def _same_labels(one: Labels | None, other: Labels | None) -> bool:
    if one is None or other is None:
        return one is other
    if (one.weights is None) != (other.weights is None):
        return False
    pairs = list(zip(one.values, other.values, strict=True))
    if one.weights is not None and other.weights is not None:
        pairs.append((one.weights, other.weights))
    return all(np.array_equal(a, b) for a, b in pairs)
