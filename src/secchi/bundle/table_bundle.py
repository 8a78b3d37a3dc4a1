"""A model of tables as a folder of data: the network, and how rows are prepared for it."""

import copy
import dataclasses
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
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
from secchi.models.units import InUnits, in_units
from secchi.training.evaluation import outputs_of
from secchi.training.execution import Execution
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
        given: Columns that could have been learned from, in their order; None takes those that are.
        reading: How files are read, where that was said in training: ``sep`` and ``encoding``.
    """

    task: Task
    transform: TableTransform
    model: Any
    network: nn.Module
    beside: tuple[str, ...] = ()
    given: tuple[str, ...] | None = None
    reading: Mapping[str, str] = dataclasses.field(default_factory=dict)

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
                build_model(copy.deepcopy(model), transform.width, task.outputs),
                [0.0] * task.outputs if manifest["in_units"] else None,
            )
            if manifest["precision"] == "fp64":
                network.double()
            network.load_state_dict(weights)
            beside, given = (tuple(map(str, manifest[name])) for name in ("beside", "given"))
            reading = {str(name): str(said) for name, said in manifest["reading"].items()}
        except BundleError:
            raise
        except (*UNFIT, SecchiError) as error:
            raise BundleError(
                f"the manifest in {place} does not fit its weights: {error}"
            ) from None
        return cls(task, transform, model, network.eval(), beside, given, reading)

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
            "in_units": isinstance(self.network, InUnits),
            "precision": self.precision,
            "beside": list(self.beside),
            "given": list(self._given()),
            "reading": dict(self.reading),
        }
        # Each on its own: safetensors refuses tensors that share their memory.
        weights = {key: value.detach().contiguous().clone() for key, value in state}
        return write_bundle(folder, weights, about)

    def predict(
        self,
        rows: Any,
        /,
        progress: Progress | None = None,
        *,
        sep: str | None = None,
        encoding: str | None = None,
    ) -> Predictions:
        """Predict rows.

        Args:
            rows: A file of comma-separated values, a pandas frame, or an array of numbers, (rows,
                columns), in the order of the columns in training. Of files and frames the order of
                the columns does not matter, and the target may be among them or not.
            progress: Is not called; rows of tables take no time.
            sep: What stands between two fields of a file; None takes what was said in training, or
                else finds it out.
            encoding: Of a file; None likewise.

        Raises:
            DataError: A column is missing, or holds text where the model learned from numbers.

        Warns:
            UserWarning: Columns or values that training did not know, and rows that are left out.
        """
        import pandas as pd

        name, numbers, known = "row", None, self.transform.known
        if isinstance(rows, str | os.PathLike):
            said = {
                **self.reading,
                **{k: v for k, v in (("sep", sep), ("encoding", encoding)) if v},
            }
            found = read_csv(rows, known=known, **said)
            frame, numbers, name, notes = found.frame, found.lines, "line", found.notes
        elif isinstance(rows, pd.DataFrame):
            frame, notes = typed_frame(rows, known)
        else:
            frame, notes = self._framed(np.asarray(rows))
        if numbers is None:
            numbers = np.arange(len(frame))
        inputs = self.inputs(self.transform.matched(frame, (*self.beside, *self.task.names)))
        for note in _about(notes, self.transform.known):
            warnings.warn(note, UserWarning, stacklevel=2)
        outputs = outputs_of(
            self.network, ArrayInputs(inputs), self.task.outputs, Execution("cpu", self.precision)
        )
        return Predictions.of(self.task, numbers, outputs, source_name=name)

    @property
    def precision(self) -> str:
        """``"fp32"`` or ``"fp64"``, as the network was trained."""
        double = any(p.dtype == torch.float64 for p in self.network.parameters())
        return "fp64" if double else "fp32"

    def inputs(self, frame: "pd.DataFrame") -> NDArray[Any]:
        """Rows as the network gets them, (rows, inputs)."""
        return self.transform.apply(frame, np.float64 if self.precision == "fp64" else np.float32)

    def _given(self) -> tuple[str, ...]:
        learned = tuple(column.name for column in self.transform.columns)
        return learned if self.given is None else self.given

    def _framed(self, rows: NDArray[Any]) -> "tuple[pd.DataFrame, tuple[str, ...]]":
        """An array with the names of the columns that it stands for."""
        import pandas as pd

        learned = [column.name for column in self.transform.columns]
        for names in (self._given(), learned):
            if rows.ndim == 2 and rows.shape[1] == len(names):
                return typed_frame(pd.DataFrame(rows, columns=list(names)), self.transform.known)
        raise DataError(
            f"an array of shape {rows.shape} has not the {len(learned)} columns that the model "
            f"learned from: {', '.join(learned[:8])}"
        )


def _about(notes: Iterable[str], columns: Iterable[str]) -> list[str]:
    """The notes on what was read that are of rows, or of columns that are learned from."""
    learned = [repr(name) for name in columns]
    return [
        note
        for note in notes
        if note.startswith("rows left out") or any(name in note for name in learned)
    ]


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
