"""Features of pictures as a table: its columns come from a frozen body, its rows are pictures."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from secchi.data.images import ImageData
from secchi.data.looks import keys_of_digests
from secchi.data.splits import TRAIN, VALID, Parts, assign, folds
from secchi.data.task import Labels, Task
from secchi.data.units import units_of
from secchi.errors import DataError, did_you_mean
from secchi.features.cache import FeatureTable
from secchi.features.extract import Extraction


class Pictures(Protocol):
    """The pictures of a split: a :class:`secchi.data.picture_split.PictureSplit`, say."""

    @property
    def digests(self) -> Sequence[bytes]:
        """SHA-256 of each file's bytes."""
        ...

    @property
    def labels(self) -> Labels | None:
        """What is true of each picture; None where nothing is known."""
        ...

    @property
    def groups(self) -> NDArray[np.int64]:
        """Pictures of one number belong together; -1 is no group."""
        ...


class FeatureData:
    """Features of pictures, split as the pictures are: a table that networks can be trained on.

    :meth:`secchi.Learner.features` makes it. Pictures whose files could not be read are not in it.

    Attributes:
        name: What the pictures are called.
        task: What is predicted.
        body: The digest of the network that computed the features.
        seed: Names the folds.

    For example::

        features = learn.features()
        print(features, features.split("train").take(slice(0, 4)).shape)
    """

    def __init__(
        self,
        name: str,
        task: Task,
        extraction: Extraction,
        body: str,
        splits: Mapping[str, Pictures],
        seed: int = 0,
    ) -> None:
        self.name = name
        self.task = task
        self.body = body
        self.seed = seed
        self._extraction = extraction
        self._splits = dict(splits)

    @classmethod
    def of(cls, data: ImageData, extraction: Extraction, body: str) -> "FeatureData":
        """Those of pictures.

        Args:
            data: The pictures.
            extraction: Their features.
            body: The digest of the network that computed them.
        """
        return cls(data.name, data.task, extraction, body, data.splits)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the splits."""
        return tuple(self._splits)

    @property
    def width(self) -> int:
        """Numbers in a feature."""
        return self.split("train").width

    def split(self, name: str) -> FeatureTable:
        """The features of a split's pictures, in their order.

        Raises:
            DataError: There is none of that name.
        """
        return self._extraction.table(self._pictures(name).digests)

    def labels(self, split: str) -> Labels:
        """What is true of a split's pictures, in their order.

        Raises:
            DataError: There is none of that name, or nothing is known of its pictures.
            SealedError: The split is a test split that has not been opened.
        """
        labels = self._pictures(split).labels
        if labels is None:
            raise DataError(f"the pictures of {split!r} have no labels")
        return labels

    def resplit(self, seed: int | None = None, repeat: int = 0) -> "FeatureData":
        """The same pictures, parted anew into training and validation, in the same shares.

        Classes are in the same shares too, equal pictures and those of a group are never parted,
        and a test set stays as it is.

        Args:
            seed: Another seed parts otherwise; None keeps it.
            repeat: Likewise; the number of a repetition.
        """
        seed = self.seed if seed is None else seed
        both = self._both()
        share = len(self._pictures("valid").digests) / len(both.digests)
        part = assign(
            keys_of_digests(both.digests),
            valid=share,
            labels=classes_of(both.labels),
            groups=both.groups,
            seed=seed,
            repeat=repeat,
        )
        return self._parted(both, part, seed)

    def folds(self, k: int = 5) -> "Iterator[FeatureData]":
        """The same pictures k times, each validating once.

        Classes are in the same shares in every fold, equal pictures and those of a group are never
        parted, and a test set stays out of all of them.

        Args:
            k: How many folds, two or more.

        Raises:
            DataError: More folds than pictures or groups, or than those of a class.
        """
        both = self._both()
        keys, classes = keys_of_digests(both.digests), classes_of(both.labels)
        for part in folds(keys, k, labels=classes, groups=both.groups, seed=self.seed):
            yield self._parted(both, part, self.seed)

    def fingerprint(self) -> str:
        """A digest of the pictures that train and validate, and of what computed their features.

        In their order, with what is true of them, and which of them belong together.
        """
        task = json.dumps(self.task.to_dict(), sort_keys=True)
        joint = hashlib.sha256(f"{self.body} {self._extraction.runtime} {task}".encode())
        for name in ("train", "valid"):
            joint.update(name.encode() + b"".join(self._pictures(name).digests))
            labels = self.labels(name)
            weights = [] if labels.weights is None else [labels.weights]
            for each in (*labels.values, *weights):
                joint.update(f"{each.dtype} {each.shape}".encode() + each.tobytes())
        groups = self._groups()
        if (groups >= 0).any():
            units = units_of(keys_of_digests(self._digests()), None, groups, together=True)
            joint.update(units.names[units.of].tobytes())
        return joint.hexdigest()

    def __repr__(self) -> str:
        rows = ", ".join(f"{len(each.digests):,} {name}" for name, each in self._splits.items())
        return f"<features of {self.name}: {rows}; {self.width:,} numbers a picture>"

    def _pictures(self, split: str) -> Pictures:
        if split not in self._splits:
            known = ", ".join(self._splits)
            hint = did_you_mean(split, self._splits)
            raise DataError(f"there is no split {split!r}, only {known}{hint}")
        return self._splits[split]

    def _both(self) -> "_Known":
        """The pictures that train and those that validate, behind each other."""
        labels = _joined(self.labels("train"), self.labels("valid"))
        return _Known(self._digests(), labels, self._groups())

    def _digests(self) -> list[bytes]:
        return [*self._pictures("train").digests, *self._pictures("valid").digests]

    def _groups(self) -> NDArray[np.int64]:
        return np.concatenate([self._pictures(name).groups for name in ("train", "valid")])

    def _parted(self, both: "_Known", part: Parts, seed: int) -> "FeatureData":
        train, valid = (both.take(np.flatnonzero(part == each)) for each in (TRAIN, VALID))
        splits = {**self._splits, "train": train, "valid": valid}
        return FeatureData(self.name, self.task, self._extraction, self.body, splits, seed)


class _Known(NamedTuple):
    """Pictures with what is true of them."""

    digests: Sequence[bytes]
    labels: Labels
    groups: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> "_Known":
        digests = [self.digests[row] for row in rows]
        return _Known(digests, self.labels.take(rows), self.groups[rows])


def classes_of(labels: Labels) -> NDArray[np.int64] | None:
    """The class of each row; of several targets the first with classes, None without any."""
    for target, values in zip(labels.task.targets, labels.values, strict=True):
        if target.exclusive:
            return np.asarray(values, np.int64)
    return None


def _joined(one: Labels, other: Labels) -> Labels:
    """Those of some rows, and behind them those of others; without a weight a row counts 1."""
    values = (np.concatenate(pair) for pair in zip(one.values, other.values, strict=True))
    weights = None
    if one.weights is not None or other.weights is not None:
        ones = (np.ones(len(each), np.float32) for each in (one, other))
        given = (one.weights, other.weights)
        pairs = zip(given, ones, strict=True)
        weights = np.concatenate([like if own is None else own for own, like in pairs])
    return Labels(one.task, tuple(values), weights)
