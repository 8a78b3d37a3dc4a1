"""Made-up finished trials of which the truth is known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from secchi.cohort.curve import Curve
from secchi.experiments.result import Result
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

MakeResult = Callable[..., Result]


@pytest.fixture(scope="session")
def make_result() -> MakeResult:
    return _make_result


def _make_result(
    settings: Sequence[Mapping[str, Any]],
    values: np.ndarray,
    failed: Callable[[Mapping[str, Any], int], bool] = lambda setting, repeat: False,
    epochs: int = 2,
    **document: Any,
) -> Result:
    """Trials whose last accuracy is ``values`` (settings, repeats) and whose loss is 1 less it.

    Both rise or fall evenly over the epochs. Those that failed did so in the last.
    """
    finished = []
    for repeat in range(values.shape[1]):
        for number, setting in enumerate(settings):
            accuracy = values[number, repeat] * np.arange(1, epochs + 1) / epochs
            outcome = Outcome.COMPLETED
            if failed(setting, repeat):
                accuracy, outcome = accuracy[:-1], Outcome.DIVERGED
            loss = 1 - accuracy
            curve = Curve(loss / 2, loss, {"accuracy": accuracy}, outcome, 10, None)
            finished.append(Finished(Trial(setting, repeat), curve, None, 0.5))
    return Result({"name": "made"} | document, finished)
