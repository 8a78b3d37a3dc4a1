"""As many decimals as a number's noise leaves a meaning."""

import math
from collections.abc import Iterable


def decimals(halves: Iterable[float]) -> int:
    """How many decimals show two digits of the narrowest interval's half width.

    Args:
        halves: Half widths of intervals; those that are 0 or no number are passed over, and
            without any there are three decimals.

    >>> decimals([0.034, 1.2]), decimals([340.0]), decimals([])
    (3, 0, 3)
    """
    narrowest = min([half for half in halves if 0 < half < math.inf], default=0.01)
    return min(max(0, 1 - math.floor(math.log10(narrowest))), 12)
