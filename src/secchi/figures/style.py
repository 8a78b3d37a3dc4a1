"""Colours that colour-blind readers can tell apart (Okabe and Ito, 2008), and sizes."""

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

MISS = "#D55E00"
FRAME = "#BBBBBB"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P")
FONT = 10


def line_colors(count: int) -> list[str]:
    """Colours that can be told apart; of many lines, dark to light in their order.

    >>> line_colors(2)
    ['#0072B2', '#D55E00']
    """
    if count <= len(SERIES):
        return list(SERIES[:count])
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))
    return [to_hex(shade) for shade in shades]
