"""The manifest of a bundle and the weights beside it: written whole, read with suspicion."""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from secchi import __version__
from secchi.errors import BundleError
from secchi.files import folder_written_aside, write_json

FORMAT = "secchi bundle"
VERSION = 1
WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"
UNFIT = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)
"""What Python and torch raise for values of a manifest that cannot be."""


def write_bundle(
    folder: str | os.PathLike[str], weights: dict[str, torch.Tensor], about: dict[str, Any]
) -> Path:
    """Write a bundle, whole or not at all; one that stands there is replaced.

    Args:
        folder: Where.
        weights: By name.
        about: What the manifest says beside format, versions and checksums.

    Returns:
        The folder, absolute.

    Raises:
        BundleError: Something else stands there.
    """
    target = Path(os.path.abspath(os.fspath(folder)))
    _refuse_to_replace(target)
    with folder_written_aside(target) as aside:
        save_file(weights, aside / WEIGHTS)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            **about,
            "versions": versions(),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "files": {WEIGHTS: _digest((aside / WEIGHTS).read_bytes())},
        }
        write_json(aside / MANIFEST, manifest | {"checksum": _checksum(manifest)})
    return target


def versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    names = ("torch", "timm", "openvino", "numpy")
    found = {"secchi": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def find_bundle(folder: Path) -> Path:
    """The bundle in a folder: itself, or that of a run.

    Raises:
        BundleError: There is none.
    """
    for place in (folder, folder / "bundle"):
        if (place / MANIFEST).is_file():
            return place
    if not folder.exists():
        raise BundleError(f"no such folder: {folder}; 'secchi train' says where its run is")
    if folder.is_file():
        raise BundleError(f"{folder} is a file; a bundle is a folder with {MANIFEST} in it")
    inside = sorted(p.parent.parent for p in folder.glob(f"*/bundle/{MANIFEST}"))
    hint = f"; did you mean {inside[-1]}?" if inside else ""
    raise BundleError(f"{folder} is no bundle and no run: there is no {MANIFEST} in it{hint}")


def _refuse_to_replace(target: Path) -> None:
    """Make sure that nothing but a bundle is replaced."""
    if not os.path.lexists(target):
        return
    try:
        _parsed_manifest(target)
        others = {path.name for path in target.iterdir()} - {MANIFEST, WEIGHTS}
    except (BundleError, OSError):
        raise BundleError(f"{target} exists and is no bundle; it is left as it is") from None
    if others:
        named = ", ".join(sorted(others)[:3])
        raise BundleError(f"the bundle {target} holds other files ({named}); it is left as it is")


def _parsed_manifest(place: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{place / MANIFEST} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{place / MANIFEST} is no manifest of a secchi bundle")
    return manifest


def read_manifest(place: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        BundleError: It is no manifest, of a newer format, or was changed.
    """
    manifest = _parsed_manifest(place)
    version = manifest.get("version")
    if isinstance(version, int) and version > VERSION:
        raise BundleError(
            f"the bundle {place} has format {version}, and this secchi ({__version__}) reads up "
            f"to {VERSION}; upgrade it: pip install -U secchi"
        )
    said = manifest.pop("checksum", None)
    if said != _checksum(manifest) or version != VERSION:
        raise BundleError(f"{place / MANIFEST} was changed after it was written")
    return manifest


def read_weights(place: Path, manifest: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of a bundle.

    Raises:
        BundleError: They are not those that the manifest names, or no safetensors.
    """
    file = place / WEIGHTS
    try:
        blob = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror or error}") from None
    if blob[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise BundleError(f"{file} is a pickle in disguise, which could run code; it was not read")
    files = manifest.get("files")
    if not isinstance(files, dict) or _digest(blob) != files.get(WEIGHTS):
        raise BundleError(f"{file} was changed or cut short after it was written")
    try:
        return load(blob)
    except SafetensorError as error:
        raise BundleError(f"{file} is no safetensors file: {error}") from None


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _checksum(manifest: dict[str, Any]) -> str:
    return _digest(json.dumps(manifest, sort_keys=True, ensure_ascii=True).encode())
