"""The rows of one split of a table, and what is true of them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.row_keys import Keys
from secchi.data.task import Labels
from secchi.errors import SealedError

if TYPE_CHECKING:
    import pandas as pd


class TableSplit:
    """Rows of a table, in their order in it.

    A sealed split tells how many rows it has and what names them, and nothing else.

    Attributes:
        name: ``"train"``, ``"valid"`` or ``"test"``.
        rows: The number of each row: its line in the file, or its place in the frame, int64.
        keys: A digest of each row's content, as :func:`secchi.data.row_keys.row_keys` gives it.
    """

    def __init__(
        self,
        name: str,
        frame: "pd.DataFrame",
        labels: Labels,
        rows: NDArray[np.int64],
        keys: Keys,
        sealed: bool = False,
    ) -> None:
        self.name = name
        self.rows = rows
        self.keys = keys
        self._frame = frame
        self._labels = labels
        self._sealed = sealed

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self):,} rows{', sealed' * self._sealed}>"

    @property
    def sealed(self) -> bool:
        """Whether its rows may not be read yet."""
        return self._sealed

    @property
    def frame(self) -> "pd.DataFrame":
        """The inputs as they are in the table.

        Raises:
            SealedError: The split is a test split that has not been opened.
        """
        self._refuse_sealed()
        return self._frame

    @property
    def labels(self) -> Labels:
        """What is true of each row.

        Raises:
            SealedError: The split is a test split that has not been opened.
        """
        self._refuse_sealed()
        return self._labels

    @property
    def targets(self) -> Any:
        """The labels as an array: class numbers, or numbers; several targets by name.

        Raises:
            SealedError: The split is a test split that has not been opened.
        """
        labels = self.labels
        if len(labels.values) == 1:
            return labels.values[0]
        return dict(zip(labels.task.names, labels.values, strict=True))

    def unseal(self) -> None:
        """Let the rows be read from now on."""
        self._sealed = False

    def _refuse_sealed(self) -> None:
        if self._sealed:
            raise SealedError(
                f"the {len(self):,} rows of {self.name!r} are sealed; data.open_test(reason=...) "
                "opens them, once the choices are made that they are to judge"
            )
