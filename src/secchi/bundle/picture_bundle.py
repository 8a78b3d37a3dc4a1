"""A model of pictures as a folder of data: the body and the head, and how pictures are prepared.

The body's weights are ``body.*`` in the file, the head's ``head.*``.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from secchi.bundle.bundle import Bundle
from secchi.bundle.manifest import UNFIT, WEIGHTS, read_weights, write_bundle
from secchi.data.folders import Progress, Search, Skipped
from secchi.data.pictures import survey
from secchi.data.task import Task
from secchi.errors import BundleError, DataError, PictureError, SecchiError
from secchi.features.cache import FeatureCache
from secchi.features.extract import extract
from secchi.features.prepare import Preparation
from secchi.inspection.predictions import Predictions
from secchi.models.backbones import Backbone
from secchi.models.heads import Head
from secchi.training.evaluation import outputs_of
from secchi.transforms.images import ImageTransform


@dataclasses.dataclass
class PictureBundle(Bundle):
    """A model that predicts pictures.

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
    def read(
        cls,
        place: Path,
        manifest: dict[str, Any],
        *,
        cache: FeatureCache | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> "PictureBundle":
        """Read a bundle of whose manifest all is known; :meth:`secchi.Bundle.load` does it.

        Raises:
            BundleError: The weights are not as they were written, or do not fit the manifest.
        """
        weights = read_weights(place, manifest)
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
        except (*UNFIT, SecchiError) as error:
            raise BundleError(
                f"the manifest in {place} does not fit its weights: {error}"
            ) from None
        backbone = Backbone(named, weights=str(place / WEIGHTS), size=transform.size)
        cache = cache or FeatureCache()
        preparation = Preparation(backbone, cache, device)
        return cls(task, backbone, transform, head.eval(), preparation, cache, device, precision)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the bundle, whole or not at all; one that stands there is replaced.

        Raises:
            BundleError: Something else stands there.
        """
        prepared = self.preparation.wait()
        body = {f"body.{key}": value for key, value in load_file(prepared.weights).items()}
        head = {f"head.{key}": value.contiguous() for key, value in self.head.state_dict().items()}
        about = {
            "kind": "pictures",
            "task": self.task.to_dict(),
            "backbone": {
                "name": self.backbone.name,
                "timm_name": self.backbone.timm_name,
                "features": prepared.width,
                "parameters": prepared.parameters,
            },
            "transform": self.transform.to_dict(),
            "head": {"inputs": self.head.inputs, "outputs": self.head.outputs},
        }
        return write_bundle(folder, body | head, about)

    def predict(
        self,
        paths: Sequence[str | os.PathLike[str]],
        /,
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
