"""A trained model as a folder of data: safetensors and JSON, and nothing that runs.

::

    bundle/
      model.safetensors   the weights
      manifest.json       what it predicts, architecture, preprocessing, versions, checksums

A bundle that was changed, cut short, is of a newer format, or is a pickle in disguise is refused,
with its reason.
"""

import abc
import os
from pathlib import Path
from typing import Any

from secchi.bundle.manifest import find_bundle, read_manifest
from secchi.data.folders import Progress
from secchi.data.task import Task
from secchi.errors import BundleError, SpecError
from secchi.inspection.predictions import Predictions

_OPTIONS = {"pictures": {"cache", "device", "precision"}, "table": {"model"}}
"""What can be said of how each kind is loaded."""


class Bundle(abc.ABC):
    """A model that predicts, of pictures or of tables.

    Attributes:
        task: What it predicts.

    For example::

        bundle = Bundle.load("runs/20261104-101500-dogscats")
        print(bundle.predict(["rex.jpg"]))
    """

    task: Task

    @staticmethod
    def load(folder: str | os.PathLike[str], **options: Any) -> "Bundle":
        """Read a bundle, or the bundle of a run's folder.

        Args:
            folder: A bundle, or a run that has one.
            **options: Of pictures: ``cache`` (where features and converted models are kept; the
                user's), ``device`` and ``precision`` (what to compute on, and how; auto). Of tables
                whose network is a module of one's own: ``model``, as it was given to the learner.

        Raises:
            BundleError: It is no bundle, or not as it was written; the message says why.
            SpecError: An option that is not for what it predicts.
        """
        place = find_bundle(Path(os.path.abspath(os.fspath(folder))))
        manifest = read_manifest(place)
        kind = manifest.get("kind", "pictures")
        if kind in _OPTIONS and (strange := sorted(options.keys() - _OPTIONS[kind])):
            raise SpecError(
                "this bundle cannot be loaded so", [f"{n} is not for {kind}" for n in strange]
            )
        if kind == "table":
            from secchi.bundle.table_bundle import TableBundle

            return TableBundle.read(place, manifest, **options)
        if kind == "pictures":
            from secchi.bundle.picture_bundle import PictureBundle

            return PictureBundle.read(place, manifest, **options)
        raise BundleError(f"the bundle {place} is of {kind!r}, which this secchi does not know")

    @abc.abstractmethod
    def predict(self, rows: Any, /, progress: Progress | None = None) -> Predictions:
        """Predict pictures by their paths, or the rows of a table.

        Args:
            rows: As :meth:`secchi.Learner.predict` has them.
            progress: Called with (pictures computed, pictures to compute).
        """

    @abc.abstractmethod
    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the bundle, whole or not at all; one that stands there is replaced.

        Raises:
            BundleError: Something else stands there.
        """
