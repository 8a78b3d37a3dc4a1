"""A model of tables as a folder of data: the network, and how rows are prepared for it."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from secchi.bundle.bundle import Bundle
from secchi.bundle.manifest import UNFIT, read_weights, write_bundle
from secchi.data.column_types import typed_frame
from secchi.data.csv_file import read_csv
from secchi.data.folders import Progress
from secchi.data.task import Task
from secchi.errors import BundleError, DataError, SecchiError, SpecError
from secchi.inspection.predictions import Predictions
from secchi.models.build import build_model, model_to_dict
from secchi.models.mlp import MLP
from secchi.models.units import in_units
from secchi.training.evaluation import outputs_of
from secchi.training.rows import ArrayInputs
from secchi.transforms.table import TableTransform

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass
class TableBundle(Bundle):
    """A model that predicts the rows of tables.

    Attributes:
        task: What it predicts.
        transform: How rows are prepared.
        model: What the network was built from.
        network: The network; its outputs are in the units of what is predicted.
        beside: Columns that were there in training and are not learned from.
    """

    task: Task
    transform: TableTransform
    model: Any
    network: nn.Module
    beside: tuple[str, ...] = ()

    @classmethod
    def read(cls, place: Path, manifest: dict[str, Any], *, model: Any = None) -> "TableBundle":
        """Read a bundle of whose manifest all is known; :meth:`secchi.Bundle.load` does it.

        Raises:
            BundleError: The weights are not as they were written, or do not fit the manifest; or
                the network is a module of one's own, and none is given.
        """
        weights = read_weights(place, manifest)
        try:
            task = Task.from_dict(manifest["task"])
            transform = TableTransform.from_dict(manifest["transform"])
            model = _model(place, manifest["model"]) if model is None else model
            network = in_units(
                build_model(model, transform.width, task.outputs),
                [0.0] * task.outputs if "center" in weights else None,
            )
            if any(value.dtype == torch.float64 for value in weights.values()):
                network.double()
            network.load_state_dict(weights)
            beside = tuple(str(name) for name in manifest["beside"])
        except BundleError:
            raise
        except (*UNFIT, SecchiError) as error:
            raise BundleError(
                f"the manifest in {place} does not fit its weights: {error}"
            ) from None
        return cls(task, transform, model, network.eval(), beside)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the bundle, whole or not at all; one that stands there is replaced.

        Raises:
            BundleError: Something else stands there.
        """
        state = self.network.state_dict().items()
        about = {
            "kind": "table",
            "task": self.task.to_dict(),
            "model": model_to_dict(self.model),
            "transform": self.transform.to_dict(),
            "beside": list(self.beside),
        }
        # Each on its own: safetensors refuses tensors that share their memory.
        weights = {key: value.detach().contiguous().clone() for key, value in state}
        return write_bundle(folder, weights, about)

    def predict(self, rows: Any, /, progress: Progress | None = None) -> Predictions:
        """Predict rows.

        Args:
            rows: A file of comma-separated values, a pandas frame, or an array of numbers, (rows,
                columns), in the order of the columns in training. Of files and frames the order of
                the columns does not matter, and the target may be among them or not.

            progress: Is not called; rows of tables take no time.

        Raises:
            DataError: A column is missing, or holds text where the model learned from numbers.

        Warns:
            UserWarning: Columns or values that training did not know.
        """
        import pandas as pd

        name, numbers = "row", None
        if isinstance(rows, str | os.PathLike):
            found = read_csv(rows)
            frame, numbers, name = found.frame, found.lines, "line"
        elif isinstance(rows, pd.DataFrame):
            frame, _ = typed_frame(rows)
        else:
            frame = self._framed(np.asarray(rows))
        if numbers is None:
            numbers = np.arange(len(frame))
        inputs = self.inputs(self.transform.matched(frame, (*self.beside, *self.task.names)))
        outputs = outputs_of(self.network, ArrayInputs(inputs), self.task.outputs)
        return Predictions.of(self.task, numbers, outputs, source_name=name)

    def inputs(self, frame: "pd.DataFrame") -> Any:
        """Rows as the network gets them, (rows, inputs)."""
        first = next(self.network.parameters(), torch.empty(0))
        return self.transform.apply(
            frame, np.float64 if first.dtype == torch.float64 else np.float32
        )

    def _framed(self, rows: Any) -> "pd.DataFrame":
        """An array with the names of the columns that were learned from."""
        import pandas as pd

        names = [column.name for column in self.transform.columns]
        if rows.ndim != 2 or rows.shape[1] != len(names):
            raise DataError(
                f"an array of shape {rows.shape} has not the {len(names)} columns that the model "
                f"learned from: {', '.join(names[:8])}"
            )
        frame, _ = typed_frame(pd.DataFrame(rows, columns=names))
        return frame


def _model(place: Path, document: dict[str, Any]) -> MLP:
    """The specification in a manifest."""
    said = dict(document)
    kind = said.pop("model")
    if kind != "MLP":
        raise BundleError(
            f"the network in {place} is {kind}, of your own; files hold no code, so give it again: "
            "Bundle.load(folder, model=...)"
        )
    try:
        return MLP.from_dict(said)
    except SpecError as error:
        raise BundleError(f"the network in {place} cannot be built: {error}") from None
