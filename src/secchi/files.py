"""Files that are whole or not there: written aside, then renamed."""

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secchi.errors import SecchiError


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to, renamed onto it at the end, removed on an error.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_aside(folder / "a.txt") as aside:
    ...     _ = aside.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['a.txt']
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        yield aside
        os.replace(aside, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()


def write_text(target: Path, text: str) -> None:
    """Write a text file whole."""
    with written_aside(target) as aside:
        aside.write_text(text, encoding="utf-8")


def finite(document: Any) -> Any:
    """A document that JSON can hold: numbers that are not finite become null.

    >>> finite({"loss": float("nan"), "epochs": [1, 2]})
    {'loss': None, 'epochs': [1, 2]}
    """
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def write_json(target: Path, document: Any) -> None:
    """Write a JSON document whole, indented, keys in the order given.

    Names of files may hold bytes that are no text; then everything beyond ASCII is escaped.
    """
    document = finite(document)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    write_text(target, text + "\n")


def check_writable(folder: Path, option: str = "--out (or out=)") -> None:
    """Make sure that a folder can be written to, or made, without making it.

    Args:
        folder: The folder.
        option: What names another one.

    Raises:
        SecchiError: It cannot; the message says what stands in the way.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise SecchiError(f"{folder} cannot be a folder: {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise SecchiError(f"no permission to write to {place}; {option} names another folder")


@contextlib.contextmanager
def folder_written_aside(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` to fill, renamed onto it at the end, removed on an error.

    A folder that stands at ``target`` is replaced. The caller makes sure that it may be.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    name = f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}"
    aside, old = target.with_name(f"{name}.part"), target.with_name(f"{name}.old")
    aside.mkdir()
    try:
        yield aside
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(aside, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
