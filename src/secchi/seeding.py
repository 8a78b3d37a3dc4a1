"""One seed, many independent random streams, each with a name.

A stream is named by (seed, repeat, purpose), so that two settings in the same repeat share their
split and their batch order, and drawing more from one stream moves no other.
"""

import hashlib

import numpy as np


def stream_seed(seed: int, purpose: str, repeat: int = 0) -> int:
    """The 63-bit seed of one named stream.

    Args:
        seed: The one seed that a person gives.
        purpose: What the stream is for, such as ``"batch order"``.
        repeat: Which repetition of the whole experiment.

    >>> stream_seed(0, "split") == stream_seed(0, "split")
    True
    >>> stream_seed(0, "split") == stream_seed(0, "batch order")
    False
    """
    text = f"{seed}\x00{repeat}\x00{purpose}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def stream(seed: int, purpose: str, repeat: int = 0) -> np.random.Generator:
    """A NumPy generator for one named stream."""
    return np.random.Generator(np.random.Philox(stream_seed(seed, purpose, repeat)))
