"""The numbers of a curve as one block of bytes, bit for bit.

::

    zlib of: for each of the 8 bytes of a number, that byte of every number
             (float64, little-endian; the training losses, the validation losses, each metric)

Bytes of one place resemble each other more than those of one number, so that blocks are a sixth
smaller than without the turn and made in half the time: 5 to 8 KB and 0.05 ms for 500 epochs of
two losses and an accuracy.
"""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from secchi.cohort.curve import Curve

Numbers = NDArray[np.float64]


def packed(curve: "Curve") -> bytes:
    """The losses and metrics of a curve; their names are kept elsewhere.

    :func:`unpacked` has an example.
    """
    numbers = np.stack([curve.train_loss, curve.valid_loss, *curve.metrics.values()])
    bytes_of_numbers = numbers.astype("<f8").view(np.uint8).reshape(-1, _BYTES)
    return zlib.compress(bytes_of_numbers.T.tobytes(), level=1)


def unpacked(block: bytes, metrics: Sequence[str]) -> tuple[Numbers, Numbers, dict[str, Numbers]]:
    """The training losses, the validation losses and the metrics that :func:`packed` was given.

    Args:
        block: What it gave.
        metrics: The names of the metrics, in their order.

    Raises:
        ValueError: The block is not whole, or not of so many metrics.

    >>> from typing import NamedTuple
    >>> class Some(NamedTuple):
    ...     train_loss: Numbers
    ...     valid_loss: Numbers
    ...     metrics: dict[str, Numbers]
    >>> curve = Some(np.array([0.5, 0.1]), np.array([0.7, np.inf]), {"r2": np.array([0.2, np.nan])})
    >>> unpacked(packed(curve), ["r2"])
    (array([0.5, 0.1]), array([0.7, inf]), {'r2': array([0.2, nan])})
    """
    try:
        content = zlib.decompress(block)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    rows = 2 + len(metrics)
    bytes_of_places = np.frombuffer(content, np.uint8).reshape(_BYTES, -1)
    numbers = np.ascontiguousarray(bytes_of_places.T).view("<f8").astype(np.float64)
    train, valid, *others = numbers.reshape(rows, numbers.size // rows)
    return train, valid, dict(zip(metrics, others, strict=True))


_BYTES = 8
"""Of a float64."""
