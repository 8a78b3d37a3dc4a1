"""How the rows of a table are parted."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.read_table import Table
from secchi.data.splits import (
    TEST,
    TRAIN,
    VALID,
    assign,
    assign_by_position,
    assign_by_time,
    order_warning,
)
from secchi.data.task import Kind
from secchi.errors import DataError, SpecError, did_you_mean
from secchi.values import is_number

MOST_REPEATED = 0.5
"""Up to this share of rows that repeat another, equal rows are never parted."""


@dataclasses.dataclass(frozen=True)
class Splitting:
    """How rows are parted.

    Attributes:
        valid_fraction: The share that validates; None takes a fifth, or a tenth beside a test set.
        test: The share that is sealed as a test set; True takes a tenth, False none.
        split: ``"random"``: drawn from seed and content; ``"position"``: the first rows train.
        stable: A row's split follows from its own content alone, so that adding rows moves none;
            then the shares hold on average only.
        stratify: Whether every class is parted in the same shares.
        duplicates: ``"together"``: equal rows are in one split, as a copy in training tells the
            answer; ``"apart"``: each goes its own way. None keeps them together unless most rows
            have copies, as where there are few columns of few values.
        seed: Another seed parts otherwise.
        repeat: Likewise; the number of a repetition.

    Raises:
        SpecError: With every fault at once.

    >>> Splitting(test=True).valid_fraction
    0.1
    """

    valid_fraction: float | None = None
    test: float = False
    split: str = "random"
    stable: bool = False
    stratify: bool = True
    duplicates: str | None = None
    seed: int = 0
    repeat: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.test, bool):
            object.__setattr__(self, "test", 0.1 if self.test else 0.0)
        if self.valid_fraction is None:
            object.__setattr__(self, "valid_fraction", 0.1 if self.test else 0.2)
        faults = []
        if self.split not in ("random", "position"):
            hint = did_you_mean(str(self.split), ("random", "position"))
            faults.append(f"split is {self.split!r}, neither random nor position{hint}")
        if self.duplicates not in (None, "together", "apart"):
            hint = did_you_mean(str(self.duplicates), ("together", "apart"))
            faults.append(f"duplicates is {self.duplicates!r}, neither together nor apart{hint}")
        shares = {"valid_fraction": self.valid_fraction, "test": self.test}
        for name, share in shares.items():
            if not (is_number(share) and 0 <= float(share or 0) < 1):
                faults.append(f"{name} is {share!r}, which is no share from 0 to 1")
        if not faults and not self.valid_fraction:
            faults.append("valid_fraction is 0: without validation rows nothing is judged")
        if not faults and sum(float(share or 0) for share in shares.values()) >= 1:
            faults.append("valid_fraction and test leave nothing to train on")
        if faults:
            raise SpecError("these splits cannot be", faults)


def parted(table: Table, splitting: Splitting) -> NDArray[np.int8]:
    """The split of each row, TRAIN, VALID or TEST: by a column, by time, by position or at random.

    Raises:
        SpecError: A test set is asked for beside a column that says what tests.
        DataError: Times or groups that cannot be parted so.
    """
    says = table.part
    if says is None:
        return parted_at(table, splitting)
    if splitting.test:
        raise SpecError(
            "these splits cannot be",
            ["test is given beside split_column, which says itself what tests"],
        )
    if (says == VALID).any() or not (says == TRAIN).any():
        return says
    # It names no rows that validate, so a share of those that train is held out.
    part, rest = says.copy(), says == TRAIN
    part[rest] = parted_at(table.take(rest), splitting)
    return part


def parted_at(table: Table, splitting: Splitting) -> NDArray[np.int8]:
    """The same, whatever a column of the table says."""
    valid, test = float(splitting.valid_fraction or 0), float(splitting.test)
    if table.when is not None:
        if table.groups is not None and len(np.unique(table.groups)) > 1:
            return _by_time_and_group(table.when, table.groups, valid, test)
        return assign_by_time(table.when, valid=valid, test=test, groups=table.groups)
    if splitting.split == "position":
        if table.groups is None:
            return assign_by_position(len(table), valid=valid, test=test)
        places = np.arange(len(table), dtype=np.float64)
        return assign_by_time(places, valid=valid, test=test, groups=table.groups)
    return assign(
        table.names,
        valid=valid,
        test=test,
        labels=strata(table) if splitting.stratify else None,
        groups=table.groups,
        together=together(table, splitting),
        stable=splitting.stable,
        seed=splitting.seed,
        repeat=splitting.repeat,
    )


def _by_time_and_group(
    when: NDArray[Any], groups: NDArray[np.int64], valid: float, test: float
) -> NDArray[np.int8]:
    """The latest groups test; where groups go on through all times, both cannot be kept."""
    try:
        return assign_by_time(when, valid=valid, test=test, groups=groups)
    except DataError as error:
        raise DataError(
            f"time_column and group_column cannot both be kept here, as the rows of a group go on "
            f"through the times: give one of them alone ({error})"
        ) from None


def strata(table: Table) -> NDArray[np.int64] | None:
    """The class of each row; of several targets the first with classes."""
    for target, values in zip(table.task.targets, table.values, strict=True):
        if target.exclusive:
            return np.asarray(values, np.int64)
    return None


def together(table: Table, splitting: Splitting) -> bool:
    """Whether equal rows stay together."""
    if splitting.duplicates is not None:
        return splitting.duplicates == "together"
    return len(np.unique(table.names)) >= (1 - MOST_REPEATED) * len(table)


def note_on_order(table: Table, part: NDArray[np.int8]) -> str | None:
    """What parting by position does to rows that are ordered; nothing of rows that test."""
    seen = part != TEST
    target, values = table.task.targets[0], table.values[0][seen]
    if not (target.exclusive or target.kind is Kind.REGRESSION):
        return None
    return order_warning(part[seen], values, target.classes or None)
