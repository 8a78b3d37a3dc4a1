"""What is kept of one training."""

import numpy as np

from secchi.cohort.curve import Curve
from secchi.training.history import Epoch, History, Outcome
from secchi.training.spec import Training


def test_a_history_becomes_arrays_and_keeps_how_it_ended() -> None:
    epochs = (Epoch(0, 0.5, 0.4, {"mae": 1.0}, 1.0), Epoch(1, 0.3, float("inf"), {}, 1.0))
    curve = Curve.of(History(epochs, Outcome.STOPPED_EARLY, Training(), steps=20, kept=0), ["mae"])
    np.testing.assert_array_equal(curve.train_loss, [0.5, 0.3])
    np.testing.assert_array_equal(curve.valid_loss, [0.4, np.inf])
    np.testing.assert_array_equal(curve.metrics["mae"], [1.0, np.nan])
    assert curve[3:] == (Outcome.STOPPED_EARLY, 20, 0)
    assert {values.dtype for values in (*curve[:2], *curve.metrics.values())} == {np.dtype(float)}


def test_a_history_without_epochs_has_empty_curves() -> None:
    curve = Curve.of(History((), Outcome.DIVERGED, Training()), ["mae"])
    assert curve.train_loss.shape == curve.valid_loss.shape == (0,)
    assert curve.metrics["mae"].shape == (0,)
