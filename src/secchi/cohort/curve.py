"""What is kept of one training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.training.history import History, Outcome

Numbers = NDArray[np.float64]


class Curve(NamedTuple):
    """What is kept of one training: a number an epoch, and how it ended.

    Attributes:
        train_loss: Mean over an epoch's batches, while the weights were changing; (epochs,).
        valid_loss: After each epoch, likewise.
        metrics: Each by its name, on the validation rows after each epoch, likewise.
        outcome: How it ended.
        steps: Steps that were taken.
        kept: The epoch whose weights are kept; None: the last one, or, of a training that went
            wrong, the one before that in which it did.

    >>> from secchi.training.history import Epoch
    >>> from secchi.training.spec import Training
    >>> epochs = tuple(Epoch(at, 0.5, loss, {"mae": loss}, 1.0) for at, loss in enumerate([4, 3]))
    >>> Curve.of(History(epochs, Outcome.COMPLETED, Training(), steps=20), ["mae"]).metrics
    {'mae': array([4., 3.])}
    """

    train_loss: Numbers
    valid_loss: Numbers
    metrics: dict[str, Numbers]
    outcome: Outcome
    steps: int
    kept: int | None

    @classmethod
    def of(cls, history: History, metrics: Sequence[str]) -> "Curve":
        """That of a training of its own, with the metrics of those names.

        One that went wrong in its first epoch has no value of any.
        """
        rows = history.rows()

        def by_epoch(name: str) -> Numbers:
            return np.array([row[name] for row in rows], np.float64)

        return cls(
            by_epoch("train_loss"),
            by_epoch("valid_loss"),
            {name: by_epoch(name) for name in metrics},
            history.outcome,
            history.steps,
            history.kept,
        )
