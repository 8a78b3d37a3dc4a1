"""What the columns of a table hold, and how they go together."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Task
from secchi.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FAR_OUT = 3.0
"""Standard deviations from the mean beyond which a number counts as an outlier."""


@dataclasses.dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Attributes:
        name: The column.
        missing: Rows without a value.
        low: The smallest value.
        high: The largest.
        mean: Of the values there are.
        median: Likewise.
        spread: Their standard deviation.
        skew: The mean cube of the standardised values; above 0 where a tail reaches to the right.
        outliers: Rows more than three standard deviations from the mean.
        correlation: With the target (Pearson's r), where it is a number or two classes; else NaN.
        values: The numbers, NaN where missing.
    """

    name: str
    missing: int
    low: float
    high: float
    mean: float
    median: float
    spread: float
    skew: float
    outliers: int
    correlation: float
    values: NDArray[np.float64] = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, values: NDArray[np.float64], truth: Any) -> "NumberColumn":
        """Measure the values of a column beside those of the target, or None."""
        given = values[~np.isnan(values)]
        if not len(given):
            no = float("nan")
            return cls(name, len(values), no, no, no, no, no, no, 0, no, values)
        mean, spread = float(given.mean()), float(given.std())
        standard = (given - mean) / spread if spread > 0 else np.zeros_like(given)
        return cls(
            name,
            len(values) - len(given),
            float(given.min()),
            float(given.max()),
            mean,
            float(np.median(given)),
            spread,
            float((standard**3).mean()),
            int((np.abs(standard) > FAR_OUT).sum()),
            float("nan") if truth is None else _correlation(values, truth),
            values,
        )


@dataclasses.dataclass(frozen=True)
class CategoryColumn:
    """A column of text.

    Attributes:
        name: The column.
        missing: Rows without a value.
        levels: How often each value occurs, the most frequent first.
    """

    name: str
    missing: int
    levels: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Description:
    """What each column of a table holds.

    Attributes:
        numbers: The columns of numbers.
        categories: The columns of text.
        target: What correlations are with; None where there is no one number to correlate with.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "pet": ["cat", "cat", "dog", "cat"]})
    >>> found = Description.of(frame, Task.regress("y"), (np.array([1.0, 3.0, 5.0, 7.0]),))
    >>> round(found.numbers[0].correlation, 6), found.categories[0].levels
    (1.0, {'cat': 3, 'dog': 1})
    """

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    target: str | None

    @classmethod
    def of(
        cls, frame: "pd.DataFrame", task: Task, values: tuple[NDArray[Any], ...]
    ) -> "Description":
        """Describe the inputs of a table.

        Args:
            frame: Numbers as float64, everything else as text.
            task: What is predicted.
            values: What is true of each row, for every target.
        """
        scalars = _scalars(task, values)
        target, truth = next(iter(scalars.items()), (None, None))
        numbers, categories = [], []
        for name in frame.columns:
            column = frame[name]
            if column.dtype.kind == "f":
                numbers.append(NumberColumn.of(name, column.to_numpy(), truth))
            else:
                counts = column.astype(object).value_counts()
                levels = {str(level): int(count) for level, count in counts.items()}
                categories.append(CategoryColumn(name, int(column.isna().sum()), levels))
        return cls(tuple(numbers), tuple(categories), target)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        kept = [f.name for f in dataclasses.fields(NumberColumn) if f.name != "values"]
        return {
            "target": self.target,
            "numbers": [{name: getattr(c, name) for name in kept} for c in self.numbers],
            "categories": [dataclasses.asdict(column) for column in self.categories],
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = []
        if self.numbers:
            width = max(len(column.name) for column in self.numbers)
            width = min(max(width, len("column")), 32)
            heads = ["low", "median", "mean", "high", "spread", "skew", "outliers", "missing"]
            heads += ["r"] if self.target else []
            lines.append(f"{'column':<{width}}" + "".join(f"{head:>10}" for head in heads))
            for c in self.numbers:
                shown = [f"{v:.4g}" for v in (c.low, c.median, c.mean, c.high, c.spread)]
                shown += [f"{c.skew:.2f}", f"{c.outliers:,}", f"{c.missing:,}"]
                shown += [f"{c.correlation:+.2f}"] if self.target else []
                lines.append(f"{c.name[:width]:<{width}}" + "".join(f"{s:>10}" for s in shown))
        for column in self.categories:
            some = [f"{level} {count:,}" for level, count in list(column.levels.items())[:6]]
            more = f", … {len(column.levels) - 6:,} more" if len(column.levels) > 6 else ""
            missing = f"; {column.missing:,} missing" if column.missing else ""
            lines.append(f"{column.name}: {', '.join(some)}{more}{missing}")
        if self.target:
            lines.append(f"r is the correlation with {self.target}")
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Draw how the values of each column of numbers are spread, outliers marked."""
        from secchi.figures.distributions import histograms

        if not self.numbers:
            raise DataError("there is no column of numbers to draw")
        columns = {column.name: column.values for column in self.numbers}
        outliers = {
            column.name: np.abs(column.values - column.mean) > FAR_OUT * column.spread
            for column in self.numbers
        }
        return histograms(columns, outliers)


@dataclasses.dataclass(frozen=True)
class Correlations:
    """Pearson's correlation of every two columns of numbers, the targets last.

    Attributes:
        names: The columns; of a target of two classes, the second one.
        matrix: (columns, columns), from -1 to 1; NaN where a column never changes.
        targets: How many of the last columns are targets.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    >>> found = Correlations.of(frame, Task.regress("y"), (np.array([4.0, 2.0, 0.0]),))
    >>> found.names, found.matrix.round(6).tolist()
    (('x', 'y'), [[1.0, -1.0], [-1.0, 1.0]])
    """

    names: tuple[str, ...]
    matrix: NDArray[np.float64] = dataclasses.field(repr=False)
    targets: int

    @classmethod
    def of(
        cls, frame: "pd.DataFrame", task: Task, values: tuple[NDArray[Any], ...]
    ) -> "Correlations":
        """Of the columns of numbers and the targets; rows where either is missing are left out.

        Raises:
            DataError: There are no two columns of numbers.
        """
        import pandas as pd

        numbers = frame[[name for name in frame.columns if frame[name].dtype.kind == "f"]]
        scalars = _scalars(task, values)
        joined = pd.concat([numbers, pd.DataFrame(scalars, index=frame.index)], axis=1)
        if joined.shape[1] < 2:
            raise DataError("correlations need two columns of numbers, the target among them")
        return cls(tuple(joined.columns), joined.corr().to_numpy(), len(scalars))

    def with_target(self) -> dict[str, float]:
        """The correlation of each column with the first target, the strongest first."""
        if not self.targets:
            raise DataError("the target is neither a number nor one of two classes")
        last = len(self.names) - self.targets
        found = dict(zip(self.names[:last], self.matrix[last, :last].tolist(), strict=True))
        return dict(sorted(found.items(), key=lambda pair: -abs(pair[1])))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"names": list(self.names), "matrix": self.matrix.tolist(), "targets": self.targets}

    def plot(self) -> "Figure":
        """Draw the matrix."""
        from secchi.figures.correlations import correlation_matrix

        targets = self.names[len(self.names) - self.targets :]
        return correlation_matrix(self.names, self.matrix, targets)


def _scalars(task: Task, values: tuple[NDArray[Any], ...]) -> dict[str, NDArray[np.float64]]:
    """Targets that are one number a row: numbers, and two classes as 0 and 1."""
    found = {}
    for target, truth in zip(task.targets, values, strict=True):
        if target.kind is Kind.REGRESSION:
            found[target.name] = truth.astype(np.float64)
        elif target.kind is Kind.BINARY:
            found[f"{target.name}: {target.classes[1]}"] = truth.astype(np.float64)
    return found


def _correlation(values: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    known = ~np.isnan(values)
    one, other = values[known], truth[known]
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
