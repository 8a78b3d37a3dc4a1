"""The seal on a test set: broken with a reason, and every look behind it counted."""

import math
import warnings
from typing import TYPE_CHECKING

from secchi.data.looks import Look, TestSet
from secchi.data.vault import Ledger, TestReport

if TYPE_CHECKING:
    from secchi.data.row_keys import Keys


class Seal:
    """What stands between a person and a test set: a line in the ledger, and nothing else.

    Args:
        keys: A digest of the content of each row.

    Attributes:
        reasons: Why it was opened, each time.
    """

    def __init__(self, keys: "Keys") -> None:
        self._test = TestSet.of(keys)
        self._opening: Look | None = None
        self.reasons: list[str] = []

    @property
    def fingerprint(self) -> str:
        """Names the test set."""
        return self._test.fingerprint

    def open(self, reason: str) -> None:
        """Note the opening.

        Raises:
            DataError: There is no reason, or the ledger is damaged.

        Warns:
            UserWarning: It could not be written, so that this process alone knows of it.
        """
        ledger = Ledger()
        self._opening = ledger.note_opening(self._test, reason)
        self.reasons.append(reason)
        if ledger.trouble:
            warnings.warn(ledger.trouble, UserWarning, stacklevel=3)

    def note(
        self,
        *,
        model: str,
        name: str,
        metric: str,
        value: float,
        standard_error: float = math.nan,
        lower_is_better: bool = False,
    ) -> TestReport:
        """Note what a model came to on the opened test set, and count all looks at it.

        Args:
            model: What identifies the model, such as a digest of its weights.
            name: What a person calls it.
            metric: By which models are chosen.
            value: What it came to.
            standard_error: Of that value; NaN where it is not known.
            lower_is_better: Whether the lowest value is chosen.
        """
        if self._opening is None:
            raise ValueError("the test set has not been opened")
        ledger = Ledger()
        ledger.note_result(
            self._test, self._opening, model=model, name=name, metric=metric, value=value
        )
        looks = ledger.looks(self._test)
        return TestReport.of(looks, metric, standard_error, lower_is_better)
