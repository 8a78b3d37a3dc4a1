"""Folders and lists of labelled pictures."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secchi.data.folders import Progress, Search, Skipped, existing_folder, natural_order
from secchi.data.labels_file import LabelsFile
from secchi.data.looks import keys_of_digests
from secchi.data.picture_split import PictureSplit
from secchi.data.pictures import Survey
from secchi.data.seal import Seal
from secchi.data.splits import holdout
from secchi.data.summary import Summary
from secchi.data.task import Labels, Target, Task
from secchi.data.units import numbered
from secchi.data.usable import (
    classes_of,
    names_in,
    refuse_one_class,
    refuse_unusable,
    strata,
    why_strange,
)
from secchi.errors import DataError, did_you_mean

VALID_NAMES = ("valid", "val", "validation")
"""What a folder of validation pictures may be called."""


def _one_class_each(classes: Sequence[str]) -> Target:
    return Target.classify("class", classes)


class ImageData:
    """Labelled pictures, split for training and validation.

    Made by :meth:`from_folders`, :meth:`from_folder`, :meth:`from_csv` or :meth:`from_path`; none
    of them changes, moves or writes a file. Reading takes each file's bytes once (for its digest,
    which names it in the cache) and its header; pixels are decoded when they are needed.

    Attributes:
        root: The folder, absolute.
        task: What is predicted; ``task.target.classes`` are the classes in natural order.
        size: The side, in pixels, that pictures are brought to; None leaves it to the backbone.
        splits: By name.
        skipped: Files that stand among the pictures and are not used, each with its reason.
        left_alone: Files and folders beside the splits, untouched, each with a remark.
        notes: What a person should know about the data before trusting a result.
    """

    def __init__(
        self,
        root: str,
        task: Task,
        splits: Iterable[PictureSplit],
        *,
        size: int | None = None,
        skipped: Iterable[Skipped] = (),
        left_alone: Iterable[tuple[str, str]] = (),
        notes: Iterable[str] = (),
        open_labels: Callable[[Sequence[str]], Sequence[Any]] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if size is not None and not 8 <= size <= 4096:
            raise DataError(f"size is {size} pixels; it has to lie between 8 and 4096")
        self.root = root
        self.task = task
        self.size = size
        self.splits = {split.name: split for split in splits}
        self.skipped = list(skipped)
        self.left_alone = list(left_alone)
        self.notes = list(notes)
        self.seal: Seal | None = None
        self._open_labels = open_labels
        self._weights = weights
        self._refuse_unusable()
        self._note_repeats()

    @property
    def name(self) -> str:
        """What the pictures are called: the last part of their folder."""
        return os.path.basename(self.root)

    # ---------------------------------------------------------------- ways in

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], **options: Any) -> "ImageData":
        """Read a folder in whichever of the two layouts it has.

        A folder with ``train`` or ``valid`` in it is read by :meth:`from_folders`, any other by
        :meth:`from_folder`. The options are theirs.
        """
        root = existing_folder(path)
        if _split_folders(root).keys() & {"train", "valid"}:
            return cls.from_folders(root, **options)
        return cls.from_folder(root, **options)

    @classmethod
    def from_folders(
        cls,
        path: str | os.PathLike[str],
        *,
        size: int | None = None,
        valid_fraction: float = 0.2,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> "ImageData":
        """Read ``train`` and ``valid``, with one folder a class in each, and ``test`` if it exists.

        ``val`` and ``validation`` are understood too, and capitals. Without any of them the
        validation pictures are held out of ``train``, as :meth:`from_folder` does, and the summary
        says so. The pictures of ``test`` may lie in one folder a class or in none; their labels are
        not read before :meth:`open_test`. Whatever else lies beside is left alone and reported.

        Args:
            path: The folder.
            size: The side in pixels that pictures are brought to; None leaves it to the backbone.
            valid_fraction: The share held out where no validation folder exists.
            seed: Names the pictures that are held out then.
            progress: Called with (pictures read, pictures in all).

        Raises:
            DataError: No such folder, no pictures, fewer than two classes, or more than half of
                the pictures unreadable.
        """
        root = existing_folder(path)
        folders = _split_folders(root)
        if "train" not in folders:
            raise DataError(
                f"no folder 'train' in {root}; for one folder a class without splits, use "
                "ImageData.from_folder, which holds out a part for validation"
            )
        found = Search(root)
        for entry in sorted(os.listdir(root), key=natural_order):
            if os.path.join(root, entry) not in folders.values():
                found.left_alone.append((entry, "neither train, valid nor test"))
        by_class = {
            split: found.classes_in(folder, split)
            for split, folder in folders.items()
            if split != "test"
        }
        test = found.pictures_under(folders["test"], "test") if "test" in folders else []
        rows = {split: _rows_of(files) for split, files in by_class.items()}

        def test_labels(files: Sequence[str]) -> list[str | None]:
            parts = [os.path.relpath(f, folders["test"]).split(os.sep) for f in files]
            return [part[0] if len(part) > 1 else None for part in parts]

        return cls._assemble(
            found,
            rows,
            test=test,
            size=size,
            valid_fraction=valid_fraction,
            seed=seed,
            progress=progress,
            open_labels=test_labels,
        )

    @classmethod
    def from_folder(
        cls,
        path: str | os.PathLike[str],
        *,
        size: int | None = None,
        valid_fraction: float = 0.2,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> "ImageData":
        """Read one folder a class and hold out a share of each class for validation.

        Which pictures are held out depends on the seed and on their content: renaming or moving
        pictures changes nothing, and identical pictures are never parted.

        Args:
            path: The folder whose folders are the classes.
            size: The side in pixels that pictures are brought to; None leaves it to the backbone.
            valid_fraction: The share of each class that is held out.
            seed: Another seed holds out others.
            progress: Called with (pictures read, pictures in all).

        Raises:
            DataError: As for :meth:`from_folders`.
        """
        root = existing_folder(path)
        found = Search(root)
        return cls._assemble(
            found,
            {"train": _rows_of(found.classes_in(root, "train"))},
            size=size,
            valid_fraction=valid_fraction,
            seed=seed,
            progress=progress,
        )

    @classmethod
    def from_csv(
        cls,
        csv: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        file_column: str | None = None,
        label_column: str | None = None,
        suffix: str = "",
        split_column: str | None = None,
        group_column: str | None = None,
        weight_column: str | None = None,
        kind: str = "class",
        separator: str = " ",
        size: int | None = None,
        valid_fraction: float = 0.2,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> "ImageData":
        """Read pictures whose labels stand in a table.

        Rows without a picture and pictures without a row are reported, not guessed at.

        Args:
            csv: The table; its separator is detected.
            images: The folder of the pictures; None takes the table's own folder. A row may name
                a picture by its path below the folder or, where that is unique, by its name.
            file_column: The column that names the picture; None takes the only one that does.
            label_column: The column of labels; None takes the only other one.
            suffix: Added to the names, such as ``".jpg"``.
            split_column: A column of ``train``, ``valid`` and ``test``; None holds out a share.
            group_column: Pictures of one group are never parted (several of one patient), nor are
                they by the folds of their features.
            weight_column: How much each row counts in the loss.
            kind: ``"class"`` (one class a row), ``"labels"`` (several, with ``separator`` between
                them) or ``"number"`` (regression).
            separator: What stands between several labels.
            size: The side in pixels that pictures are brought to; None leaves it to the backbone.
            valid_fraction: The share of each class that is held out where no column says.
            seed: Another seed holds out others.
            progress: Called with (pictures read, pictures in all).

        Raises:
            DataError: A missing file or column, or as for :meth:`from_folders`.
        """
        table = LabelsFile.read(
            csv,
            file_column=file_column,
            label_column=label_column,
            suffix=suffix,
            split_column=split_column,
            group_column=group_column,
            weight_column=weight_column,
            kind=kind,
            separator=separator,
        )
        root = existing_folder(images if images is not None else os.path.dirname(table.path))
        found = Search(root)
        files = found.pictures_under(root, "train", ignore={table.path})
        matched, missing, unnamed = table.match(files, root)
        found.skipped += [Skipped(name, reason, "train") for name, reason in missing]
        found.skipped += [Skipped(f, f"no row in {table.name}", "train") for f in unnamed]
        if not matched:
            raise DataError(
                f"no row of {table.path} names a picture in {root}: the first row names "
                f"{table.first_name()!r}; suffix and file_column say how names are read"
            )
        rows: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        for file, row in matched.items():
            split = table.split(row)
            rows[split].append((file, table.label(row) if split != "test" else None))
        if "train" not in rows:
            raise DataError(f"no row of {table.path} with a picture and a label is for training")

        def test_labels(files: Sequence[str]) -> list[Any]:
            return [table.agreed_label(matched[file]) for file in files]

        return cls._assemble(
            found,
            {split: rows[split] for split in ("train", "valid") if split in rows},
            test=[file for file, _ in rows.get("test", [])],
            size=size,
            valid_fraction=valid_fraction,
            seed=seed,
            progress=progress,
            open_labels=test_labels,
            target=table.target,
            groups={f: table.group(row) for f, row in matched.items()} if group_column else None,
            weights={f: table.weight(row) for f, row in matched.items()} if weight_column else None,
        )

    @classmethod
    def _assemble(
        cls,
        found: Search,
        rows: Mapping[str, Sequence[tuple[str, Any]]],
        *,
        test: Sequence[str] = (),
        size: int | None,
        valid_fraction: float,
        seed: int,
        progress: Progress | None,
        open_labels: Callable[[Sequence[str]], Sequence[Any]] | None = None,
        target: Callable[[Sequence[str]], Target] = _one_class_each,
        groups: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> "ImageData":
        """Look at every file once, hold out where needed, and put the splits together."""
        if not rows.get("train"):
            raise DataError(found.why_empty())
        claimed = classes_of(rows["train"])
        refuse_one_class(claimed, found.root)
        files = {file: name for name, split in rows.items() for file, _ in split}
        surveys = found.survey(files | dict.fromkeys(test, "test"), progress)
        kept = {s: [(f, v) for f, v in split if f in surveys] for s, split in rows.items()}
        readable = [f for f in test if f in surveys]
        counts = {split: len(pictures) for split, pictures in kept.items()}
        refuse_unusable(found.root, found.skipped, counts | {"test": len(readable)})

        if "valid" not in kept:
            groups_of = [groups[f] for f, _ in kept["train"]] if groups else None
            _hold_out(found, kept, surveys, groups_of, valid_fraction, seed)
        classes = classes_of(kept["train"])
        known = frozenset(classes)
        refuse_one_class(classes, found.root)
        found.notes += [
            f"no training picture of {name!r} can be used; the class is left out"
            for name in claimed
            if name not in known
        ]
        found.skipped += [
            Skipped(file, reason, "valid")
            for file, label in kept["valid"]
            if (reason := why_strange(label, known))
        ]
        kept["valid"] = [(f, v) for f, v in kept["valid"] if not why_strange(v, known)]
        predicted = target(classes)
        numbers = dict(zip(groups, numbered(groups.values()), strict=True)) if groups else None
        splits = [
            PictureSplit(
                name,
                [f for f, _ in s],
                [surveys[f] for f, _ in s],
                _labels(predicted, [v for _, v in s], [f for f, _ in s], weights),
                groups=_groups([f for f, _ in s], numbers),
            )
            for name, s in (("train", kept["train"]), ("valid", kept["valid"]))
        ]
        if test:
            splits.append(
                PictureSplit("test", readable, [surveys[f] for f in readable], sealed=True)
            )
        return cls(
            found.root,
            Task((predicted,)),
            splits,
            size=size,
            skipped=found.skipped,
            left_alone=found.left_alone,
            notes=found.notes,
            open_labels=open_labels,
            weights=weights,
        )

    # ---------------------------------------------------------------- what a person asks

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in natural order; empty for regression."""
        return self.task.target.classes

    @property
    def train(self) -> PictureSplit:
        """The pictures to train on."""
        return self.splits["train"]

    @property
    def valid(self) -> PictureSplit:
        """The pictures to validate on."""
        return self.splits["valid"]

    @property
    def test(self) -> PictureSplit | None:
        """The pictures of the sealed test split, or None."""
        return self.splits.get("test")

    def split(self, name: str) -> PictureSplit:
        """A split by its name.

        Raises:
            DataError: There is none of that name.

        For example::

            print(len(data.split("valid")))
        """
        if name not in self.splits:
            known = ", ".join(self.splits)
            hint = did_you_mean(name, self.splits)
            raise DataError(f"there is no split {name!r}, only {known}{hint}")
        return self.splits[name]

    def open_test(self, reason: str) -> PictureSplit:
        """Unseal the labels of the test split.

        Pictures without a label, and those of a class that has no training picture, are skipped
        then; where no picture has a label, the split stays without.

        Args:
            reason: Why now; kept with every run that follows, and in the ledger
                (:mod:`secchi.data.vault`).

        Raises:
            DataError: There is no test split, no reason, or no picture with a class that is known.
        """
        test = self.test
        if test is None:
            raise DataError(f"{self.root} has no test split to open")
        if not reason.strip():
            raise DataError("opening the test split needs a reason, in words")
        if test.sealed:
            self._unseal(test)
        if self.seal is None:
            self.seal = Seal(keys_of_digests(test.digests))
        self.seal.open(reason)
        return test

    @property
    def test_openings(self) -> list[str]:
        """The reasons for which the test split was opened."""
        return self.seal.reasons if self.seal else []

    def _unseal(self, test: PictureSplit) -> None:
        says = self._open_labels(test.files) if self._open_labels else []
        if all(label is None for label in says):
            test.unseal(None)
            return
        known = frozenset(self.classes)
        faults = {
            row: "it has no label" if label is None else why_strange(label, known)
            for row, label in enumerate(says)
        }
        sound = [row for row, fault in faults.items() if not fault]
        if not sound:
            raise DataError(f"no test picture in {self.root} has a class that is known")
        self.skipped += [
            Skipped(test.files[row], fault, "test") for row, fault in faults.items() if fault
        ]
        test.keep(np.array(sound, np.intp))
        sound_says = [says[row] for row in sound]
        test.unseal(_labels(self.task.target, sound_says, test.files, self._weights))

    def summary(self) -> "Summary":
        """Counts by split and class, sizes, and what was skipped, left alone and why."""
        return Summary.of(self)

    def fingerprint(self) -> str:
        """A digest of which pictures stand in which split, whatever they are called."""
        joint = hashlib.sha256()
        for name, split in self.splits.items():
            joint.update(name.encode())
            for digest in sorted(split.digests):
                joint.update(digest)
        return joint.hexdigest()

    def set_aside(self, split: str, faults: Mapping[int, str]) -> None:
        """Quarantine pictures that turned out to be unreadable.

        Args:
            split: Whose pictures.
            faults: The reason by the picture's place in the split.

        Raises:
            DataError: More than half of all pictures are unreadable now, or none is left, or
                only one class.
        """
        pictures = self.splits[split]
        self.skipped += [
            Skipped(pictures.files[row], faults[row], split, unreadable=True)
            for row in sorted(faults)
        ]
        pictures.keep(np.array([r for r in range(len(pictures)) if r not in faults], np.intp))
        self._refuse_unusable()
        if split == "train" and self.task.target.exclusive:
            left = [self.classes[number] for number in sorted(set(self.train.targets.tolist()))]
            refuse_one_class(left, self.root)
            self.notes += [
                f"no training picture of {name!r} can be read; the class is never predicted"
                for name in self.classes
                if name not in left
            ]

    def _refuse_unusable(self) -> None:
        counts = {name: len(split) for name, split in self.splits.items()}
        refuse_unusable(self.root, self.skipped, counts)

    def _note_repeats(self) -> None:
        seen = set(self.train.digests)
        both = sum(digest in seen for digest in self.valid.digests)
        if both:
            self.notes.append(
                f"{both:,} of the {len(self.valid):,} validation pictures stand in train too, "
                "byte for byte: on them accuracy measures memory"
            )


def _split_folders(root: str) -> dict[str, str]:
    """The folder of each split that there is; small letters go before capitals."""
    there: dict[str, str] = {}
    for entry in sorted(os.listdir(root)):
        if os.path.isdir(os.path.join(root, entry)):
            there[entry.casefold()] = os.path.join(root, entry)
    names = {"train": ("train",), "valid": VALID_NAMES, "test": ("test",)}
    return {
        split: there[next(name for name in known if name in there)]
        for split, known in names.items()
        if there.keys() & set(known)
    }


def _rows_of(by_class: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Every picture with its class, in the natural order of the classes."""
    classes = sorted(by_class, key=natural_order)
    return [(file, name) for name in classes for file in by_class[name]]


def _labels(
    target: Target, says: Sequence[Any], files: Sequence[str], weights: Mapping[str, float] | None
) -> Labels:
    """What is said of each file, which counts as much as its weight says."""
    share = np.array([weights[file] for file in files], np.float32) if weights else None
    return Labels(Task((target,)), (target.encode(says),), share)


def _groups(files: Sequence[str], numbers: Mapping[str, int] | None) -> NDArray[np.int64] | None:
    """The number of each file's group."""
    return None if numbers is None else np.array([numbers[file] for file in files], np.int64)


def _hold_out(
    found: Search,
    kept: dict[str, list[tuple[str, Any]]],
    surveys: Mapping[str, Survey],
    groups: Sequence[Any] | None,
    fraction: float,
    seed: int,
) -> None:
    """Take a share of the training pictures for validation, and say so."""
    train = kept["train"]
    held = holdout(
        fraction,
        keys=[surveys[f].digest for f, _ in train],
        labels=strata([v for _, v in train]),
        groups=groups,
        seed=seed,
    )
    if not held.any():
        raise DataError(
            f"nothing in {found.root} can be held out for validation: no class has two different "
            "pictures"
        )
    kept["train"] = [row for row, out in zip(train, held, strict=True) if not out]
    kept["valid"] = [row for row, out in zip(train, held, strict=True) if out]
    each = " of each class" if any(names_in(label) for _, label in train) else ""
    found.notes.append(
        f"no validation folder or column: {len(kept['valid']):,} of {len(train):,} "
        f"pictures ({fraction:.0%}{each}) are held out by seed {seed}"
    )
