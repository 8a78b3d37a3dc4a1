"""The power law with an asymptote that errors follow as training rows grow in number."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError
from secchi.text import counted

Array = NDArray[np.float64]

EXPONENTS: Array = np.geomspace(0.05, 2.0, 60)
"""What the exponent is looked for among, a step of 6 % from each to the next; then between them."""

_FINER: Array = np.geomspace(1 / 1.07, 1.07, 41)

LEAST_SIZES = 4
"""Three would be met exactly, whatever they are."""


class PowerLaws(NamedTuple):
    """Laws error(n) = a + b n^-c, n in units of the largest size.

    Hestness and others (2017), "Deep learning scaling is predictable, empirically",
    arXiv:1712.00409, found them in four fields, with exponents from 0.07 to 0.35; with n in these
    units b is what all further rows together could gain.

    Attributes:
        asymptote: a, from 0 on, (laws,).
        gain: b; below zero where errors rise, (laws,).
        exponent: c, within :data:`EXPONENTS`, (laws,).
        unit: The largest size.
    """

    asymptote: Array
    gain: Array
    exponent: Array
    unit: float

    def at(self, sizes: Sequence[float] | NDArray[Any]) -> Array:
        """The errors at some sizes, (laws, sizes)."""
        shrunk = (np.asarray(sizes) / self.unit) ** -self.exponent[:, None]
        return np.asarray(self.asymptote[:, None] + self.gain[:, None] * shrunk)


def size_faults(sizes: Iterable[float]) -> list[str]:
    """What is wrong with sizes: there are too few for a law.

    >>> size_faults([10, 20, 20])
    ['it has 2 sizes, and a curve takes 4 or more']
    """
    count = len(set(sizes))
    if count >= LEAST_SIZES:
        return []
    sizes_text = counted(count, "size", "sizes")
    return [f"it has {sizes_text}, and a curve takes {LEAST_SIZES} or more"]


def fit_power_laws(sizes: Array, errors: Array, weights: Array) -> PowerLaws:
    """The laws that some curves follow best, by weighted least squares with a from 0 on.

    For a given exponent a and b are those of a line, whose best values are known; so every one of
    :data:`EXPONENTS` is tried, and then those around the best (variable projection, Golub and
    Pereyra 1973), which no local minimum can mislead.

    Args:
        sizes: Numbers of rows, (sizes,).
        errors: Curves at these sizes, (curves, sizes).
        weights: Of each size, such as one by its variance, (sizes,).

    Raises:
        SpecError: There are fewer than four sizes.

    >>> sizes = np.array([100.0, 200, 400, 800, 1600])
    >>> law = fit_power_laws(sizes, 0.02 + 0.5 * sizes[None] ** -0.4, np.ones(5))
    >>> print(f"{law.asymptote[0]:.3f} {law.exponent[0]:.2f} {law.at([6400])[0, 0]:.4f}")
    0.020 0.40 0.0350
    """
    if faults := size_faults(sizes):
        raise SpecError("this learning curve cannot be", faults)
    unit = float(np.max(sizes))
    shares = weights / weights.sum()
    logs = np.log(np.asarray(sizes) / unit)
    coarse = np.broadcast_to(EXPONENTS, (len(errors), len(EXPONENTS)))
    around = _best(logs, errors, shares, coarse)[2][:, None] * _FINER
    a, b, c = _best(logs, errors, shares, around.clip(EXPONENTS[0], EXPONENTS[-1]))
    return PowerLaws(a, b, c, unit)


def _best(
    logs: Array, errors: Array, shares: Array, exponents: Array
) -> tuple[Array, Array, Array]:
    """The best a, b and c of each curve, (curves,), c one of its exponents, (curves, exponents)."""
    x = np.exp(-exponents[..., None] * logs)
    y = errors[:, None]
    about = x - (shares * x).sum(axis=-1, keepdims=True)
    b = (shares * about * y).sum(axis=-1) / (shares * about**2).sum(axis=-1)
    a = (shares * (y - b[..., None] * x)).sum(axis=-1)
    through_zero = (shares * x * y).sum(axis=-1) / (shares * x**2).sum(axis=-1)
    a, b = np.where(a < 0, 0.0, a), np.where(a < 0, through_zero, b)
    misses = (shares * (y - a[..., None] - b[..., None] * x) ** 2).sum(axis=-1)
    best = np.arange(len(errors)), misses.argmin(axis=1)
    return a[best], b[best], exponents[best]
