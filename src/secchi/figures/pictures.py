"""Pictures side by side."""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secchi.figures.style import FONT, FRAME, MISS

_CHARACTERS = 24
"""What fits above a picture in one line."""


class Tile(NamedTuple):
    """One picture, uint8 of shape (height, width, 3), its title, and whether to mark it."""

    pixels: NDArray[np.uint8]
    title: str
    marked: bool = False


def picture_grid(tiles: Sequence[Tile], columns: int = 4, title: str = "") -> Figure:
    """Pictures in rows; a marked one has a thick frame and a cross before its title.

    Args:
        tiles: The pictures.
        columns: How many stand side by side.
        title: What stands above them all.
    """
    rows = max(1, math.ceil(len(tiles) / columns))
    figure = Figure(figsize=(1.9 * columns, 2.1 * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=FONT + 1)
    for place, tile in enumerate(tiles):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(tile.pixels, interpolation="nearest" if tile.pixels.shape[0] < 64 else None)
        axes.set_xticks([])
        axes.set_yticks([])
        color = MISS if tile.marked else "black"
        title_lines = (("✗ " if tile.marked else "") + tile.title).splitlines()
        above = "\n".join(textwrap.fill(line, _CHARACTERS) for line in title_lines)
        # Names of classes are no mathematics, whatever dollar signs they have.
        axes.set_title(above, fontsize=FONT, color=color, parse_math=False)
        for spine in axes.spines.values():
            spine.set_color(MISS if tile.marked else FRAME)
            spine.set_linewidth(3 if tile.marked else 1)
    return figure
