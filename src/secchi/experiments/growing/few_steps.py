"""Whether trainings on few rows ended too early: in as many epochs, fewer rows are fewer steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.experiments.reading.curves import MeanCurves
from secchi.intervals import mean_intervals
from secchi.training.schedules import Constant

Array = NDArray[np.float64]

_PART = 5
"""The last fifth of the epochs is compared with the one before."""

_STILL = 0.05
"""A loss is still falling where the last fifth of the epochs took this share of its whole fall.

A loss that approaches its end as exp(-t) has 5 % of its fall before it then.
"""


def cut_short(curves: MeanCurves, document: Mapping[str, Any]) -> int:
    """At how many sizes, from the smallest on, the loss was still falling at the last epoch.

    At such a size most trainings went on to the last epoch, and the loss fell from the last fifth
    but one of the epochs to the last one, beyond the noise over repeats, by 5 % or more of its
    whole fall since the first epoch. The smallest size takes the fewest steps: where it has had
    enough, larger ones have. A rate that falls in the end makes the loss fall with it, however many
    epochs there are, so that nothing is said unless the rate is constant; but after one epoch
    nothing parts rows from steps.

    Args:
        curves: The validation loss by size, ascending.
        document: The experiment, with its training.

    Returns:
        0 where the curve tells of rows alone.
    """
    constant = document["training"]["schedule"]["name"] == Constant.name
    if not constant and curves.mean.shape[1] > 1:
        return 0
    falling = [_still_falls(losses) for losses in curves.each]
    return next((size for size, still in enumerate(falling) if not still), len(falling))


def _still_falls(losses: Array) -> bool:
    """Whether the losses of one size, (repeats, epochs), were still falling at the last epoch."""
    last = losses[np.isfinite(losses[:, -1])]
    if 2 * len(last) <= len(losses):
        return False
    epochs = losses.shape[1]
    if epochs == 1:
        return True
    part = max(1, epochs // _PART)
    end = last[:, -part:].mean(axis=1)
    falls = last[:, -2 * part : -part].mean(axis=1) - end
    low = float(mean_intervals(falls)[1])
    sure = low > 0 if np.isfinite(low) else bool((falls > 0).all())
    return sure and bool(falls.mean() >= _STILL * (last[:, 0] - end).mean())
