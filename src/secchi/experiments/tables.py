"""What the trials of an experiment learn from: rows by setting and repeat, prepared."""

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.synthetic import Synthetic
from secchi.data.table import TableData
from secchi.data.task import Labels
from secchi.experiments.settings import canonical
from secchi.features.table import FeatureData, classes_of
from secchi.seeding import stream, stream_seed
from secchi.training.prepared import PreparedTable

HELD_BYTES = 256 * 2**20
"""The most that prepared tables take that are held for later trials; the last one always is."""

_BESIDE = 4096
"""Bytes that a table takes beside its inputs, roughly."""

_SCALES = ("scale", "target_scale")


class Tables:
    """Prepared tables by setting and repeat; trials that learn from the same rows share one.

    Made-up rows are drawn anew for each repeat. Other rows are split as they came, or parted anew
    for each repeat; where there are folds, one of them validates. A share of the training rows is
    the first of them in an order that is drawn for each repeat, classes in the same shares as in
    all of them, so that a larger share contains a smaller one.

    Args:
        data: A table, the specification of made-up rows, or the features of pictures.
        seed: Names what is drawn; a split that is taken as it came, and its folds, are not.
        resplit: Whether rows are parted anew for each repeat; into other folds, where there are
            any.
        folds: How many; None has the split as it came.
        precision: ``"fp32"`` or ``"fp64"``.
        options: How made-up rows are parted and scaled; see :meth:`secchi.TableData.made`.

    >>> from secchi.data.synthetic import Line
    >>> tables = Tables(Line(rows=100))
    >>> tables.of({"slope": 2.0, "lr": 0.1}, 0) is tables.of({"slope": 2.0, "lr": 0.2}, 0)
    True
    >>> len(tables.of({"train_fraction": 0.25}, 0).labels("train"))
    20
    """

    def __init__(
        self,
        data: TableData | Synthetic | FeatureData,
        *,
        seed: int = 0,
        resplit: bool = False,
        folds: int | None = None,
        precision: str = "fp32",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._data = data
        self._seed = seed
        self._resplit = resplit
        self._folds = folds
        self._precision = precision
        self._options = dict(options or {})
        made_up = dataclasses.fields(data) if isinstance(data, Synthetic) else ()
        self._fields = [field.name for field in made_up]
        self._held: OrderedDict[tuple[str, int], PreparedTable] = OrderedDict()
        self._bytes = 0

    def of(self, setting: Mapping[str, Any], repeat: int) -> PreparedTable:
        """What a trial learns from.

        Args:
            setting: Factors and their values; those that change no rows do not matter.
            repeat: The number of the repetition.

        Raises:
            DataError: Rows that cannot be parted so.
            SpecError: Made-up rows that cannot be, or a way to scale that there is not.
        """
        known = [*self._fields, *_SCALES, "fold", "train_fraction"]
        chosen = {name: setting[name] for name in known if name in setting}
        if chosen.get("train_fraction") == 1:
            del chosen["train_fraction"]
        differs = self._resplit or self._fields or "train_fraction" in chosen
        key = (canonical(chosen), repeat if differs else 0)
        if key not in self._held:
            self._hold(key, self._made(chosen, repeat))
        self._held.move_to_end(key)
        return self._held[key]

    def _hold(self, key: tuple[str, int], table: PreparedTable) -> None:
        """Keep a table, and let go of those that were not asked for the longest."""
        self._held[key] = table
        self._bytes += table.nbytes + _BESIDE
        while self._bytes > HELD_BYTES and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= oldest.nbytes + _BESIDE

    def _made(self, setting: Mapping[str, Any], repeat: int) -> PreparedTable:
        data = self._split(setting, repeat)
        table = PreparedTable.of(data, self._precision)
        if fraction := setting.get("train_fraction"):
            order = training_order(table.labels("train"), self._seed, repeat)
            table = table.part(np.sort(order[: rows_of_share(fraction, len(order))]))
        return table.alone()

    def _split(self, setting: Mapping[str, Any], repeat: int) -> TableData | FeatureData:
        """The rows of a setting, parted."""
        data = self._whole(setting, repeat)
        if self._folds is None:
            return data
        folds: Iterator[TableData | FeatureData] = data.folds(self._folds)
        return next(islice(folds, setting.get("fold", 0), None))

    def _whole(self, setting: Mapping[str, Any], repeat: int) -> TableData | FeatureData:
        """The rows of a setting, split as they came or anew."""
        data = self._data
        scales = {name: setting[name] for name in _SCALES if name in setting}
        if isinstance(data, Synthetic):
            fields = {name: setting[name] for name in self._fields if name in setting}
            what = dataclasses.replace(data, **fields)
            return TableData.made(what, self._seed, repeat, **(self._options | scales))
        if scales and isinstance(data, TableData):
            data = data.scaled(**scales)
        if not self._resplit:
            return data
        # Folds follow from the seed of a table alone, so the repeat has to be in it.
        return data.resplit(seed=stream_seed(self._seed, "split", repeat))


def rows_of_share(fraction: float, rows: int) -> int:
    """How many of some rows a share of them is: one at least.

    >>> rows_of_share(0.25, 30), rows_of_share(0.001, 30)
    (8, 1)
    """
    return max(1, round(fraction * rows))


def training_order(labels: Labels, seed: int, repeat: int) -> NDArray[np.int64]:
    """The places of training rows in the order in which shares of them grow.

    However many are taken from its start, they are apportioned to the classes by the method of
    Webster and Sainte-Lague: row r of a class of n, counted from 0, comes in the order of
    (r + 1/2) / n.

    Args:
        labels: What is true of the training rows.
        seed: Names the order.
        repeat: Likewise; the number of the repetition.

    >>> from secchi.data.task import Target
    >>> labels = Labels.of(Target.classify("pet", ["cat", "dog"]), ["cat"] * 30 + ["dog"] * 10)
    >>> order = training_order(labels, seed=0, repeat=0)
    >>> [int((order[:count] < 30).sum()) for count in (4, 8, 20)]
    [3, 6, 15]
    """
    order = stream(seed, "training rows", repeat).permutation(len(labels))
    classes = classes_of(labels)
    if classes is None:
        return order
    shuffled = classes[order]
    behind = np.empty(len(order))
    for each in np.unique(shuffled):
        here = np.flatnonzero(shuffled == each)
        behind[here] = (np.arange(len(here)) + 0.5) / len(here)
    return order[np.argsort(behind, kind="stable")]
