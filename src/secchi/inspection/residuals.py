"""How far predicted numbers are from the truth, and where."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.data.task import Kind, Target
from secchi.files import finite
from secchi.inspection.judged import judged
from secchi.inspection.predictions import Sources, plain_sources
from secchi.intervals import correlation_interval, effective_rows, mean_interval
from secchi.text import number, table, with_interval
from secchi.training.metrics import metric

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from secchi.inspection.predictions import Predictions

Array = NDArray[np.float64]

_LARGEST = 5
"""So many of the largest are printed, and ringed in the figure."""


class Residual(NamedTuple):
    """One row: where it came from, what is true, what was said, and the first less the second."""

    source: Any
    truth: float
    predicted: float
    residual: float


@dataclasses.dataclass(frozen=True, repr=False)
class Residuals:
    """Truth less prediction of a number, row by row.

    Attributes:
        target: What was predicted.
        sources: Where each row came from.
        source_name: What the sources are, ``"file"`` or ``"row"``.
        truth: float64 (rows,), in the target's own unit; likewise all below.
        predicted: What was said.
        weights: How much each row counts, above 0; None counts all alike. All numbers are weighted.

    >>> import torch
    >>> from secchi.data.task import Labels, Task
    >>> from secchi.inspection.predictions import Predictions
    >>> price = Task.regress("price")
    >>> said, truth = torch.tensor([[1.0], [2.0], [4.0], [5.0]]), [1.5, 2.0, 3.0, 6.0]
    >>> truth = Labels.of(price.target, truth)
    >>> found = Predictions.of(price, np.arange(4), said, truth, source_name="row").residuals()
    >>> print(found)
    price: r 0.9058 (95 % interval -0.4270 to 0.9980), r2 0.8154, rmse 0.7500, mae 0.6250, 4 rows
    residuals, truth less prediction: mean 0.1250 (95 % interval -1.2338 to 1.4838), standard \
deviation 0.8539, correlation with the prediction 0.0000
    the largest
    row   truth  predicted  residual
    2    3.0000     4.0000   -1.0000
    3    6.0000     5.0000    1.0000
    0    1.5000     1.0000    0.5000
    1    2.0000     2.0000    0.0000
    """

    target: str
    sources: Sources
    source_name: str
    truth: Array
    predicted: Array
    weights: Array | None

    @classmethod
    def of(cls, predictions: "Predictions") -> "Residuals":
        """See :meth:`secchi.inspection.predictions.Predictions.residuals`."""
        rows = judged(predictions, "a residual", (Kind.REGRESSION,))
        sources = predictions.sources
        kept = (
            tuple(sources[row] for row in rows.rows)
            if isinstance(sources, tuple)
            else sources[rows.rows]
        )
        name = predictions.source_name
        return cls(rows.target.name, kept, name, rows.truth, rows.answers, rows.weights)

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def values(self) -> Array:
        """The residuals, truth less prediction, (rows,)."""
        return self.truth - self.predicted

    @property
    def mean(self) -> float:
        """Their mean: above 0 where too little is predicted on the whole."""
        return float(np.average(self.values, weights=self.weights))

    @property
    def spread(self) -> float:
        """Their standard deviation; NaN for one row.

        With weights w the variance is sum(w (x - mean)^2) / (sum(w) - sum(w^2) / sum(w)), which of
        equal ones is the ordinary one with n - 1.
        """
        if len(self) < 2:
            return math.nan
        return math.sqrt(float(np.cov(self.values, aweights=self.weights)))

    @property
    def r(self) -> float:
        """The correlation of prediction and truth (Pearson's); NaN where one of them is constant.

        It is blind to a prediction that is too large throughout, or by a factor; r2 is not.
        """
        return self._metric("r", self.truth)

    @property
    def r_with_prediction(self) -> float:
        """The correlation of residual and prediction; far from 0 a straight line would mend some.

        NaN where one of them is constant.
        """
        return self._metric("r", self.values)

    @property
    def r2(self) -> float:
        """The share of the truth's variance that is explained; NaN for a truth that is constant.

        1 - sum(w residual^2) / sum(w (truth - mean)^2); below 0 it is worse than the mean.
        """
        return self._metric("r2", self.truth)

    @property
    def mae(self) -> float:
        """The mean size of a residual."""
        return self._metric("mae", self.truth)

    @property
    def rmse(self) -> float:
        """The square root of the mean squared residual; large ones weigh more than in mae."""
        return self._metric("rmse", self.truth)

    def largest(self, count: int = _LARGEST) -> tuple[Residual, ...]:
        """The rows that are furthest off, the furthest first."""
        sources, values = plain_sources(self.sources), self.values
        return tuple(
            Residual(sources[row], self.truth[row], self.predicted[row], values[row])
            for row in self._order()[:count].tolist()
        )

    def to_frame(self) -> "pd.DataFrame":
        """One row each: file or row, truth, predicted, residual, and weight where there is one."""
        import pandas as pd

        columns: dict[str, Any] = {
            self.source_name: plain_sources(self.sources),
            "truth": self.truth,
            "predicted": self.predicted,
            "residual": self.values,
        }
        return pd.DataFrame(columns | ({} if self.weights is None else {"weight": self.weights}))

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the largest as plain JSON values; those that are not finite are None."""
        document = {
            "target": self.target,
            "rows": len(self),
            "r": self.r,
            "r_interval": list(self._r_interval()),
            **{name: getattr(self, name) for name in ("r2", "rmse", "mae", "mean", "spread")},
            "r_with_prediction": self.r_with_prediction,
            "largest": [
                {self.source_name: source, "truth": truth, "predicted": said, "residual": value}
                for source, truth, said, value in self.largest()
            ],
        }
        plain: dict[str, Any] = finite(document)
        return plain

    def plot(self) -> "Figure":
        """Prediction against truth with the line of equals, and residual against prediction."""
        from secchi.figures.answers import residual_panels

        title = f"r {number(self.r, 3)}, r2 {number(self.r2, 3)}, mae {number(self.mae, 3)}"
        ringed = self._order()[:_LARGEST]
        return residual_panels(self.truth, self.predicted, ringed, self.target, title)

    def __repr__(self) -> str:
        low, high = mean_interval(self.values, self.weights)
        lines = [[self.source_name, "truth", "predicted", "residual"]]
        for source, *numbers in self.largest():
            lines.append([str(source), *(number(value) for value in numbers)])
        return (
            f"{self.target}: r {with_interval(self.r, *self._r_interval())}, r2 {number(self.r2)}, "
            f"rmse {number(self.rmse)}, mae {number(self.mae)}, {len(self):,} rows\n"
            f"residuals, truth less prediction: mean {with_interval(self.mean, low, high)}, "
            f"standard deviation {number(self.spread)}, "
            f"correlation with the prediction {number(self.r_with_prediction)}\n"
            f"the largest\n{table(lines)}"
        )

    def _metric(self, name: str, truth: Array) -> float:
        target = Target(self.target, Kind.REGRESSION)
        return metric(name)(target, self.predicted, truth, self.weights)

    def _r_interval(self) -> tuple[float, float]:
        return correlation_interval(self.r, effective_rows(len(self), self.weights))

    def _order(self) -> NDArray[np.intp]:
        """Rows by the size of their residual, the largest first."""
        return np.argsort(-np.abs(self.values), kind="stable")
