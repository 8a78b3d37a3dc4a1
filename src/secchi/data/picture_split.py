"""The pictures of one split, and what is true of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.pictures import Pixels, Survey, read_picture
from secchi.data.task import Labels
from secchi.errors import DataError, SealedError


class PictureSplit:
    """The pictures of one split, in a fixed order.

    Attributes:
        name: ``"train"``, ``"valid"`` or ``"test"``.
        files: Absolute paths.
        digests: SHA-256 of each file's bytes.
        sizes: Width and height of each picture as seen, int32 of shape (pictures, 2).
        groups: Pictures of one number belong together, int64 of shape (pictures,); -1 is no group.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[str],
        surveys: Sequence[Survey],
        labels: Labels | None = None,
        sealed: bool = False,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self.name = name
        self.files = list(files)
        self.digests = [s.digest for s in surveys]
        self.sizes = np.array([(s.width, s.height) for s in surveys], np.int32).reshape(-1, 2)
        self.groups = np.full(len(self.files), -1) if groups is None else groups
        self._labels = labels
        self._sealed = sealed

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self):,} pictures>"

    @property
    def sealed(self) -> bool:
        """Whether its labels may not be read yet."""
        return self._sealed

    @property
    def labels(self) -> Labels | None:
        """What is true of each picture; None where nothing is known.

        Raises:
            SealedError: The split is a test split that has not been opened.
        """
        if self._sealed:
            raise SealedError(
                f"the labels of {self.name!r} are sealed; data.open_test(reason=...) opens them, "
                "once the choices are made that they are to judge"
            )
        return self._labels

    @property
    def targets(self) -> Any:
        """The labels as an array: class numbers, or numbers; several targets by name.

        Raises:
            SealedError: The split is a test split that has not been opened.
            DataError: The split has no labels.
        """
        labels = self.labels
        if labels is None:
            raise DataError(f"the pictures of {self.name!r} have no labels")
        if len(labels.values) == 1:
            return labels.values[0]
        return dict(zip(labels.task.names, labels.values, strict=True))

    def picture(self, index: int) -> Pixels:
        """One picture as it is in its file: uint8 of shape (height, width, 3)."""
        return read_picture(self.files[index])

    def unseal(self, labels: Labels | None) -> None:
        """Let the labels be read from now on."""
        self._labels, self._sealed = labels, False

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Drop every picture but these."""
        self.files = [self.files[row] for row in rows]
        self.digests = [self.digests[row] for row in rows]
        self.sizes = self.sizes[rows]
        self.groups = self.groups[rows]
        if self._labels is not None:
            self._labels = self._labels.take(rows)
