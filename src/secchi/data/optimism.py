"""How much the best of several models looks better than it is, because it was chosen."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError
from secchi.values import is_whole


def optimism(models: int, standard_error: float, lower_is_better: bool = False) -> float:
    """What choosing the best of some models by their results on the same rows adds to its result.

    The expected maximum of k independent standard normal variables (Tippett 1925, "On the extreme
    individuals and the range of samples taken from a normal population", Biometrika 17, 364-387)
    times the standard error of one result::

        E(k) = integral over x of x k phi(x) Phi(x)^(k - 1)
             = integral over x > 0 of 1 - Phi(x)^k - Phi(-x)^k

    with phi and Phi the density and the distribution function of the standard normal; the second
    form is integrated numerically. A result is taken to be normal, which a mean over many rows is
    nearly; for an accuracy of which only a handful of rows is wrong (or right) it is a rough one.

    This is the most that choosing brings: the models are taken to be equally good and to err
    independently. Where one is truly better, or where models err on the same rows, as they mostly
    do, it is less. (Only models that err on opposite rows could bring more.)

    Args:
        models: How many were to choose from, 1 or more.
        standard_error: Of one model's result on these rows, from :func:`standard_error`.
        lower_is_better: Whether the lowest result is chosen, as of a loss; then it is below the
            truth, and the sign is negative.

    Returns:
        How far the best result lies above the truth on average, in the units of the result; 0 for
        one model.

    Raises:
        SpecError: The number of models is not a whole number from 1 on, or the standard error is
            negative or not finite.

    >>> print(f"{optimism(1, 0.02):.4f} {optimism(2, 0.02):.4f} {optimism(20, 0.02):.4f}")
    0.0000 0.0113 0.0373
    >>> print(f"{optimism(2, 0.02, lower_is_better=True):.4f}")
    -0.0113
    """
    faults = []
    if not is_whole(models) or models < 1:
        faults.append(f"models is {models!r}; it is a whole number from 1 on")
    if not (math.isfinite(standard_error) and standard_error >= 0):
        faults.append(f"standard_error is {standard_error!r}; it is a number from 0 on")
    if faults:
        raise SpecError("this optimism cannot be", faults)
    if models == 1:
        return 0.0
    size = _expected_maximum(models) * standard_error
    return -size if lower_is_better else size


def standard_error(values: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """The standard error of a mean over rows.

    sqrt(sum(w^2 (x - m)^2)) / sum(w), with x the rows' values and m = sum(w x) / sum(w). Of equal
    weights it is the standard deviation divided by the root of the number of rows n: for an
    accuracy p the values are 1 (right) and 0 (wrong), and it is sqrt(p (1 - p) / n).

    Args:
        values: What each row adds to the result, such as its loss or whether it is right, (n,).
        weights: How much each row counts, from 0 on, (n,); rows of weight 0 are as if they were
            not there. None counts all alike.

    Returns:
        NaN where there are no rows; 0 where all rows are alike, which tells nothing of luck.

    >>> right = np.repeat([True, False], [80, 20])
    >>> print(f"{standard_error(right):.3f}")
    0.040
    """
    shares = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    each, shares = np.asarray(values, dtype=np.float64)[shares > 0], shares[shares > 0]
    if not len(each):
        return math.nan
    shares /= shares.sum()
    each -= each[0]  # so that rows that are alike differ by 0 and not by rounding
    return math.sqrt(np.sum((shares * (each - np.average(each, weights=shares))) ** 2))


def _expected_maximum(count: int) -> float:
    """Of so many independent standard normal variables."""
    from scipy import integrate, special

    def beyond(x: float) -> float:
        # 1 - Phi(x)^k without cancellation, and less Phi(-x)^k.
        above = -math.expm1(count * special.log_ndtr(x))
        return above - math.exp(count * special.log_ndtr(-x))

    return float(integrate.quad(beyond, 0, _FAR, limit=200)[0])


_FAR = 38.0
"""Phi(-38) is below every positive double: nothing is beyond."""
