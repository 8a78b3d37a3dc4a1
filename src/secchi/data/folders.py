"""Finding the pictures in a folder, and saying what became of everything else in it."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from secchi.data.pictures import SUFFIXES, Survey, survey
from secchi.errors import DataError, PictureError

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file or folder that stands among the pictures and is not used.

    Attributes:
        file: Its path.
        reason: Why.
        split: The split it would have belonged to.
        unreadable: Whether it claims to be a picture and cannot be read as one.
    """

    file: str
    reason: str
    split: str
    unreadable: bool = False


def natural_order(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A sorting key by which ``class2`` comes before ``class10``.

    >>> sorted(["b10", "b9", "b", "A1"], key=natural_order)
    ['A1', 'b', 'b9', 'b10']
    """
    key = []
    for number, word in re.findall(r"([0-9]+)|([^0-9]+)", name.casefold()):
        digits = number.lstrip("0")
        # Of two numbers the one with more digits is the larger, however long they are.
        key.append((0, len(digits), digits) if number else (1, 0, word))
    return tuple(key), name


def existing_folder(path: str | os.PathLike[str]) -> str:
    """The absolute path of a folder that can be listed.

    Raises:
        DataError: It does not exist, is a file, or may not be read; the message says what to do.
    """
    folder = os.path.abspath(os.fspath(path))
    if os.path.isfile(folder):
        raise DataError(
            f"{folder} is a file, not a folder; give the folder that holds one folder a class"
        )
    if not os.path.isdir(folder):
        parent = os.path.dirname(folder)
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        raise DataError(f"no such folder: {folder}; what exists of it is {parent}")
    try:
        os.listdir(folder)
    except PermissionError:
        raise DataError(f"no permission to read the folder {folder}") from None
    return folder


class Search:
    """One walk over a folder of pictures, and what it met on the way.

    Attributes:
        root: Where the walk began, absolute.
        skipped: What stands among the pictures and is not used.
        left_alone: What lies beside the pictures, with a remark.
        notes: What a person should know.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.skipped: list[Skipped] = []
        self.left_alone: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def classes_in(self, folder: str, split: str) -> dict[str, list[str]]:
        """The pictures of each folder in ``folder``, by the folder's name."""
        by_class: dict[str, list[str]] = {}
        for entry in self._entries(folder, split):
            if not _is_folder(entry):
                if _looks_like_picture(entry.name):
                    reason = "it lies beside the class folders, not in one"
                    self.skipped.append(Skipped(entry.path, reason, split))
                else:
                    self._leave_alone(entry.path, "a file beside the class folders")
                continue
            pictures = self.pictures_under(entry.path, split)
            if pictures:
                by_class[entry.name] = pictures
            elif not _looks_like_picture(entry.name):
                self._leave_alone(entry.path, "a folder without pictures")
            else:
                self.skipped.append(Skipped(entry.path, "a folder named like a picture", split))
        return by_class

    def pictures_under(self, folder: str, split: str, ignore: Collection[str] = ()) -> list[str]:
        """Every picture in a folder, then those in the folders below it, in natural order."""
        pictures: list[str] = []
        above = _folders_above(folder)
        read: set[str] = set()
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            real = os.path.realpath(here)
            if real in above or real in read:
                reason = f"a link to a folder that {'holds it' if real in above else 'was read'}"
                self.skipped.append(Skipped(here, reason, split))
                continue
            read.add(real)
            below: list[str] = []
            for entry in self._entries(here, split):
                if entry.path in ignore:
                    continue
                if _is_folder(entry):
                    if _looks_like_picture(entry.name):
                        reason = "a folder named like a picture"
                        self.skipped.append(Skipped(entry.path, reason, split))
                    else:
                        below.append(entry.path)
                elif _looks_like_picture(entry.name):
                    pictures.append(entry.path)
                else:
                    reason = "not a picture by its ending"
                    self.skipped.append(Skipped(entry.path, reason, split))
            waiting += reversed(below)
        return pictures

    def _entries(self, folder: str, split: str) -> Iterator["os.DirEntry[str]"]:
        """What a folder holds, in natural order; hidden and thumbnail files are reported."""
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: natural_order(entry.name))
        except OSError as error:
            reason = f"the folder cannot be read: {error.strerror}"
            self.skipped.append(Skipped(folder, reason, split))
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name in ("Thumbs.db", "desktop.ini", "__MACOSX"):
                self.skipped.append(Skipped(entry.path, "a hidden or thumbnail file", split))
            else:
                yield entry

    def _leave_alone(self, path: str, remark: str) -> None:
        self.left_alone.append((os.path.relpath(path, self.root), remark))

    def survey(
        self, files: Mapping[str, str], progress: Progress | None = None
    ) -> dict[str, Survey]:
        """Look at every file once.

        Args:
            files: The split of each file, by path.
            progress: Called with (files read, files in all).

        Returns:
            What was learned of each readable picture; the others are in :attr:`skipped`.
        """
        surveys: dict[str, Survey] = {}
        names = list(files)
        chunks = [names[i : i + 64] for i in range(0, len(names), 64)]
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            done = 0
            for chunk, looked in zip(chunks, pool.map(_survey_all, chunks), strict=True):
                for name, result in zip(chunk, looked, strict=True):
                    if isinstance(result, Survey):
                        surveys[name] = result
                    else:
                        self.skipped.append(Skipped(name, result, files[name], unreadable=True))
                done += len(chunk)
                if progress:
                    progress(done, len(names))
        return surveys

    def why_empty(self) -> str:
        """The error for a folder in which no labelled picture was found."""
        loose = [s.file for s in self.skipped if "beside the class folders" in s.reason]
        if loose:
            return (
                f"{self.root} holds {len(loose):,} pictures but no folder with pictures in it; "
                "put each class into a folder of its own, or name a table of labels"
            )
        if self.skipped:
            reasons = Counter(s.reason for s in self.skipped).most_common(3)
            found = ", ".join(f"{count:,} x {reason}" for reason, count in reasons)
            return f"no pictures in {self.root}; what is there: {found}"
        return f"{self.root} is empty; it should hold one folder a class with pictures in it"


def _survey_all(files: Sequence[str]) -> list[Survey | str]:
    looked: list[Survey | str] = []
    for file in files:
        try:
            looked.append(survey(file))
        except PictureError as error:
            looked.append(str(error))
    return looked


def _folders_above(folder: str) -> set[str]:
    """Where a folder lies, by its path and, if it is a link, by what it links to."""
    above: set[str] = set()
    for place in (os.path.dirname(folder), os.path.dirname(os.path.realpath(folder))):
        real = os.path.realpath(place)
        while real not in above:
            above.add(real)
            real = os.path.dirname(real)
    return above


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _looks_like_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
