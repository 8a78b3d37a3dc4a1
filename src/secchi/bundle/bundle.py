"""A trained model as a folder of data: safetensors and JSON, and nothing that runs.

::

    bundle/
      model.safetensors   the body's weights as ``body.*``, the head's as ``head.*``
      manifest.json       task, backbone, preprocessing, head, versions, checksums

A bundle that was changed, cut short, is of a newer format, or is a pickle in disguise is refused,
with its reason.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file

from secchi import __version__
from secchi.data.folders import Progress, Search, Skipped
from secchi.data.pictures import survey
from secchi.data.task import Task
from secchi.errors import BundleError, DataError, PictureError, SecchiError
from secchi.features.cache import FeatureCache
from secchi.features.extract import extract
from secchi.features.prepare import Preparation
from secchi.files import folder_written_aside, write_json
from secchi.inspection.predictions import Predictions
from secchi.models.backbones import Backbone
from secchi.models.heads import Head
from secchi.training.loop import outputs_of
from secchi.transforms.images import ImageTransform

FORMAT = "secchi bundle"
VERSION = 1
_WEIGHTS = "model.safetensors"
_MANIFEST = "manifest.json"
_UNFIT = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)
"""What Python and torch raise for values of a manifest that cannot be."""


@dataclasses.dataclass
class Bundle:
    """A model that predicts.

    Attributes:
        task: What it predicts.
        backbone: The body; its weights are in the bundle's own file once it is saved.
        transform: What pictures are brought to.
        head: What was trained.
        preparation: The body, ready or on its way.
        cache: Where features are kept.
        device: What it computes on.
        precision: With what precision.
    """

    task: Task
    backbone: Backbone
    transform: ImageTransform
    head: Head
    preparation: Preparation
    cache: FeatureCache
    device: str = "auto"
    precision: str = "auto"

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        cache: FeatureCache | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> "Bundle":
        """Read a bundle, or the bundle of a run's folder.

        Args:
            folder: A bundle, or a run that has one.
            cache: Where features and converted models are kept; None takes the user's.
            device: What to compute on.
            precision: With what precision.

        Raises:
            BundleError: It is no bundle, or not as it was written; the message says why.
        """
        place = _find(Path(os.path.abspath(os.fspath(folder))))
        manifest = _read_manifest(place)
        weights = _checked_weights(place, manifest)
        try:
            task = Task.from_dict(manifest["task"])
            transform = ImageTransform.from_dict(manifest["transform"])
            state = {
                k.removeprefix("head."): v for k, v in weights.items() if k.startswith("head.")
            }
            # Its size is that of the weights that are here, whatever the manifest claims.
            head = Head(len(state["center"]), len(state["linear.bias"]))
            head.load_state_dict(state)
            claimed = (manifest["head"]["inputs"], manifest["head"]["outputs"])
            if claimed != (head.inputs, task.outputs) or head.outputs != task.outputs:
                raise ValueError(f"a head of {head.inputs} inputs and {head.outputs} outputs")
            named = str(manifest["backbone"]["name"])
        except (*_UNFIT, SecchiError) as error:
            raise BundleError(
                f"the manifest in {place} does not fit its weights: {error}"
            ) from None
        backbone = Backbone(named, weights=str(place / _WEIGHTS), size=transform.size)
        cache = cache or FeatureCache()
        preparation = Preparation(backbone, cache, device)
        return cls(task, backbone, transform, head.eval(), preparation, cache, device, precision)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the bundle, whole or not at all; one that stands there is replaced.

        Raises:
            BundleError: Something else stands there.
        """
        target = Path(os.path.abspath(os.fspath(folder)))
        _refuse_to_replace(target)
        prepared = self.preparation.wait()
        body = {f"body.{key}": value for key, value in load_file(prepared.weights).items()}
        head = {f"head.{key}": value.contiguous() for key, value in self.head.state_dict().items()}
        with folder_written_aside(target) as aside:
            save_file(body | head, aside / _WEIGHTS)
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "task": self.task.to_dict(),
                "backbone": {
                    "name": self.backbone.name,
                    "timm_name": self.backbone.timm_name,
                    "features": prepared.width,
                    "parameters": prepared.parameters,
                },
                "transform": self.transform.to_dict(),
                "head": {"inputs": self.head.inputs, "outputs": self.head.outputs},
                "versions": versions(),
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "files": {_WEIGHTS: _digest((aside / _WEIGHTS).read_bytes())},
            }
            write_json(aside / _MANIFEST, manifest | {"checksum": _checksum(manifest)})
        return target

    def predict(
        self,
        paths: Sequence[str | os.PathLike[str]],
        progress: Progress | None = None,
    ) -> Predictions:
        """Predict pictures.

        Args:
            paths: Pictures, and folders of which every picture is taken.
            progress: Called with (pictures computed, pictures to compute).

        Raises:
            DataError: A path that does not exist, or no picture at all.
        """
        files = _pictures_at(paths)
        unreadable: list[tuple[str, str]] = []
        surveys = {}
        for file in files:
            try:
                surveys[file] = survey(file)
            except PictureError as error:
                unreadable.append((file, str(error)))
        readable = list(surveys)
        outputs = torch.empty(0, self.task.outputs)
        if readable:
            self._check_body()
            digests = [surveys[file].digest for file in readable]
            found = extract(
                readable,
                digests,
                self.preparation,
                self.cache,
                device=self.device,
                precision=self.precision,
                progress=progress,
            )
            unreadable += [(readable[i], reason) for i, reason in found.faults.items()]
            sound = [i for i in range(len(readable)) if i not in found.faults]
            readable = [readable[i] for i in sound]
            table = found.table([digests[i] for i in sound])
            outputs = outputs_of(self.head, table, self.task.outputs)
        order = {file: place for place, file in enumerate(files)}
        unreadable.sort(key=lambda pair: order[pair[0]])
        return Predictions.of(self.task, tuple(readable), outputs, unreadable=tuple(unreadable))

    def _check_body(self) -> None:
        wanted, width = self.preparation.transform, self.preparation.wait().width
        if width != self.head.inputs:
            raise BundleError(
                f"the backbone {self.backbone.timm_name!r} gives {width} numbers a picture, and "
                f"the head takes {self.head.inputs}"
            )
        if wanted != self.transform:
            raise BundleError(
                f"the bundle prepares pictures by {self.transform}, and its backbone "
                f"{self.backbone.timm_name!r} wants {wanted} in this version of timm"
            )


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


def _find(folder: Path) -> Path:
    for place in (folder, folder / "bundle"):
        if (place / _MANIFEST).is_file():
            return place
    if not folder.exists():
        raise BundleError(f"no such folder: {folder}; 'secchi train' says where its run is")
    if folder.is_file():
        raise BundleError(f"{folder} is a file; a bundle is a folder with {_MANIFEST} in it")
    inside = sorted(p.parent.parent for p in folder.glob(f"*/bundle/{_MANIFEST}"))
    hint = f"; did you mean {inside[-1]}?" if inside else ""
    raise BundleError(f"{folder} is no bundle and no run: there is no {_MANIFEST} in it{hint}")


def _refuse_to_replace(target: Path) -> None:
    """Make sure that nothing but a bundle is replaced."""
    if not os.path.lexists(target):
        return
    try:
        _parsed_manifest(target)
        others = {path.name for path in target.iterdir()} - {_MANIFEST, _WEIGHTS}
    except (BundleError, OSError):
        raise BundleError(f"{target} exists and is no bundle; it is left as it is") from None
    if others:
        named = ", ".join(sorted(others)[:3])
        raise BundleError(f"the bundle {target} holds other files ({named}); it is left as it is")


def _parsed_manifest(place: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{place / _MANIFEST} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{place / _MANIFEST} is no manifest of a secchi bundle")
    return manifest


def _read_manifest(place: Path) -> dict[str, Any]:
    manifest = _parsed_manifest(place)
    version = manifest.get("version")
    if isinstance(version, int) and version > VERSION:
        raise BundleError(
            f"the bundle {place} has format {version}, and this secchi ({__version__}) reads up "
            f"to {VERSION}; upgrade it: pip install -U secchi"
        )
    said = manifest.pop("checksum", None)
    if said != _checksum(manifest) or version != VERSION:
        raise BundleError(f"{place / _MANIFEST} was changed after it was written")
    return manifest


def _checked_weights(place: Path, manifest: dict[str, Any]) -> dict[str, torch.Tensor]:
    file = place / _WEIGHTS
    try:
        blob = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror or error}") from None
    if blob[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise BundleError(f"{file} is a pickle in disguise, which could run code; it was not read")
    files = manifest.get("files")
    if not isinstance(files, dict) or _digest(blob) != files.get(_WEIGHTS):
        raise BundleError(f"{file} was changed or cut short after it was written")
    try:
        return load(blob)
    except SafetensorError as error:
        raise BundleError(f"{file} is no safetensors file: {error}") from None


def _pictures_at(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    files: list[str] = []
    skipped: list[Skipped] = []
    for path in paths:
        place = os.path.abspath(os.fspath(path))
        if os.path.isdir(place):
            search = Search(place)
            files += search.pictures_under(place, "predict")
            skipped += search.skipped
        elif os.path.lexists(place):
            files.append(place)
        else:
            raise DataError(f"no such picture or folder: {place}")
    if not files:
        what = f"; skipped were {len(skipped)} other files" if skipped else ""
        raise DataError(f"no pictures in {', '.join(str(p) for p in paths)}{what}")
    return list(dict.fromkeys(files))


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _checksum(manifest: dict[str, Any]) -> str:
    return _digest(json.dumps(manifest, sort_keys=True, ensure_ascii=True).encode())
