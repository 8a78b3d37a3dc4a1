"""What a learner trains on tables: a network, and the rows as the numbers that it takes."""

import copy
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from secchi.console import Console
from secchi.data.table import TableData
from secchi.data.task import Kind
from secchi.errors import BundleError, DataError, SpecError, did_you_mean
from secchi.models.mlp import MLP
from secchi.training.spec import Training, spread

if TYPE_CHECKING:
    from torch import Tensor, nn

    from secchi.bundle.table_bundle import TableBundle
    from secchi.inspection.baselines import Baselines
    from secchi.inspection.boundaries import Boundary
    from secchi.inspection.predictions import Predictions
    from secchi.inspection.slices import Slices
    from secchi.training.execution import Execution
    from secchi.training.memory import StepMemory
    from secchi.training.optimizers import ParameterGroup
    from secchi.training.prepared import PreparedTable
    from secchi.training.rows import Mixing, Rows
    from secchi.transforms.table import TableTransform

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "fp64")


class TableTrainee:
    """A network on the rows of a table.

    Columns and targets are scaled by what the training rows are, when they are first needed; then
    the network is built, with first weights that follow from the seed.

    Args:
        data: The table.
        model: Anything that :func:`secchi.models.build.build_model` takes; None takes ``MLP()``. Of
            a module a copy is trained, so that one can be given to several.
        console: Where lines and progress go.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``; auto is the processor, which such
            networks are faster on.
        precision: ``"fp32"`` or ``"fp64"``; auto is fp32.
        seed: Names the first weights.

    Raises:
        SpecError: A device or precision that there is not.
    """

    TRAINING = Training(lr=3e-3, epochs=100, patience=20, keep_best=True)
    """How networks on tables are trained where nobody says."""

    equal_batches = True
    quick = True
    mixing: "Mixing | None" = None

    def __init__(
        self,
        data: TableData,
        model: Any,
        console: Console,
        device: str = "auto",
        precision: str = "auto",
        seed: int = 0,
    ) -> None:
        _check_setting(device, precision)
        self.data = data
        self.model = MLP() if model is None else model
        self.console = console
        self.precision = "fp64" if precision == "fp64" else "fp32"
        self._device = device
        self._seed = seed
        self._network: nn.Module | None = None

    # ---------------------------------------------------------------- parts

    @cached_property
    def table(self) -> "PreparedTable":
        """The rows as the network takes them."""
        from secchi.training.prepared import PreparedTable

        return PreparedTable.of(self.data, self.precision)

    @property
    def transform(self) -> "TableTransform":
        """How rows are prepared, as the training rows have it."""
        return cast("TableTransform", self.table.preparation)

    @property
    def trained(self) -> "nn.Module":
        """The network; its outputs are in the units of what is predicted."""
        if self._network is None:
            self._network = self.table.network(self.model, self._seed)
            if self.precision == "fp32" and self.execution().device == "mps":  # without float64
                self._network.float()
        return self._network

    @property
    def units(self) -> list[float] | None:
        """The spread of each number to predict over the training rows, which losses are in."""
        return self.table.units

    @property
    def trained_names(self) -> list[str]:
        """All of it is one group."""
        return ["network"]

    def parameter_groups(self) -> "list[ParameterGroup]":
        """All parameters, as one group."""
        from secchi.training.optimizers import one_group

        return one_group(self.trained)

    # ---------------------------------------------------------------- rows

    def prepare(self) -> None:
        """Fit the scaling and build the network."""
        _ = self.trained

    def training_rows(self, seed: int) -> "Rows":
        """The training rows, and their labels."""
        return self.rows("train")

    def rows(self, split: str) -> "Rows":
        """The rows of a split, and their labels."""
        return self.table.rows(split)

    def predictions(self, split: str, training: Training) -> "Predictions":
        """What the network says of a split's rows."""
        from secchi.inspection.predictions import Predictions
        from secchi.training.evaluation import outputs_of
        from secchi.training.losses import TaskLoss

        rows = self.data.split(split)
        inputs = self.table.rows(split).inputs
        outputs = outputs_of(self.trained, inputs, self.data.task.outputs, self.execution())
        return Predictions.of(
            self.data.task,
            rows.rows,
            outputs,
            rows.labels,
            source_name=self.data.row_name,
            loss=TaskLoss(self.data.task, training, self.units, smoothed=False),
        )

    def example(self) -> "Tensor":
        """Four rows as the network gets them."""
        import torch

        inputs = self.table.inputs("train")
        return torch.from_numpy(inputs[np.arange(4) % len(inputs)])

    # ---------------------------------------------------------------- questions

    def baselines(self, target: str | None, training: Training) -> "Baselines":
        """What simpler methods come to on the same rows, beside the network."""
        import torch

        from secchi.inspection.baselines import baselines
        from secchi.inspection.predictions import Predictions

        train, valid = self.data.train.labels, self.data.valid.labels
        name = self.data.task.target.name if target is None else target
        said = self.predictions("valid", training).target(name)
        place = self.data.task.names.index(name)
        # With the losses that the others are judged by, not those that it was trained with.
        network = Predictions.of(
            said.task,
            said.sources,
            torch.from_numpy(said.outputs),
            said.labels,
            source_name=said.source_name,
        )
        return baselines(
            (self.table.inputs("train"), train.values[place]),
            (self.table.inputs("valid"), valid.values[place]),
            network.task.target,
            weights=(train.weights, valid.weights),
            seed=self._seed,
            network=network,
        )

    def slices(self, split: str, target: str | None, pairs: bool, training: Training) -> "Slices":
        """Which ranges of which columns the network errs in."""
        from secchi.inspection.slices import slices

        found = self.predictions(split, training)
        found = found.target(self.data.task.target.name if target is None else target)
        costs: NDArray[Any] | None
        if found.task.target.exclusive:
            costs, measure = ~found.correct, "error rate"
        elif found.task.target.kind is Kind.REGRESSION:
            costs, measure = np.abs(found.predicted - found.targets), "absolute error"
        else:
            costs, measure = found.losses, "loss"
        rows = self.data.split(split)
        return slices(
            rows.frame,
            np.asarray(costs, np.float64),
            measure=measure,
            weights=rows.labels.weights,
            pairs=pairs,
        )

    def boundary(self, split: str) -> "Boundary":
        """What the network says at every place of the plane that its two columns span."""
        import pandas as pd
        import torch

        from secchi.inspection.boundaries import boundary
        from secchi.models.heads import log_probabilities
        from secchi.training.evaluation import outputs_of
        from secchi.training.rows import ArrayInputs

        names = [column.name for column in self.transform.columns]
        rows, target = self.data.split(split), self.data.task.target
        if len(names) != 2 or self.transform.width != 2:
            raise DataError(
                f"boundaries are drawn for two columns of numbers, and {self.data.name} has "
                f"{len(names)} that are learned from"
            )

        def says(points: NDArray[Any]) -> NDArray[Any]:
            inputs = ArrayInputs(self.table.prepared(pd.DataFrame(points, columns=names)))
            outputs = outputs_of(self.trained, inputs, target.outputs, self.execution())
            if target.kind is Kind.REGRESSION:
                return np.asarray(outputs[:, 0].numpy())
            with torch.no_grad():
                return np.asarray(log_probabilities(target, outputs).exp().numpy())

        points = rows.frame[names].to_numpy()
        return boundary(says, points, rows.targets, (names[0], names[1]), target.classes)

    # ---------------------------------------------------------------- training

    def check(self, training: Training) -> None:
        """Refuse more rates than one, and losses that do not suit what is predicted."""
        from secchi.training.losses import check_loss

        spread(training.rates, 1)
        check_loss(training, self.data.task)

    def will_train(self) -> None:
        """Nothing depends on it here."""

    def prepare_to_train(self, training: Training) -> None:
        """Nothing depends on it here."""

    def execution(
        self, rows: "Rows | None" = None, training: Training | None = None
    ) -> "Execution":
        """Where the network computes."""
        from secchi.features.runtimes import resolve_device
        from secchi.training.execution import Execution

        device = "cpu" if self._device == "auto" else resolve_device(self._device)
        return Execution(device, self.precision)

    def step_memory(self, training: Training) -> "StepMemory":
        """What a training step takes, by its rows; measured on four."""
        from secchi.training.memory import step_memory

        execution = self.execution()
        few = self.example().to(execution.device)
        network, mode = self.trained.to(execution.device), self.trained.training
        memory = step_memory(network.train(), few, training, execution.precision)
        network.train(mode)
        return memory

    # ---------------------------------------------------------------- keeping

    def key(self) -> dict[str, Any]:
        """What tells two learners apart before training, as plain values."""
        return {
            "data": {"rows": self._rows_digest()},
            "precision": self.precision,
            "device": self.execution().device,
            **self.identity(),
        }

    def _rows_digest(self) -> str:
        """Names the numbers that train and validate, in their order, and what is true of them."""
        joint = hashlib.sha256()
        for split in ("train", "valid"):
            labels = self.data.split(split).labels
            parts = [self.table.inputs(split), *labels.values]
            parts += [] if labels.weights is None else [labels.weights]
            for part in parts:
                joint.update(f"{part.dtype} {part.shape}".encode())
                joint.update(np.ascontiguousarray(part).data)
        return joint.hexdigest()

    def start(self) -> dict[str, Any]:
        """What a call of training starts from, as plain values."""
        from secchi.training.checkpoint import weights_digest

        return {"weights": weights_digest(self.trained)}

    def identity(self) -> dict[str, Any]:
        """What a checkpoint is of: a network of this model on rows prepared like these."""
        from secchi.models.build import model_to_dict

        return {
            "task": self.data.task.to_dict(),
            "model": model_to_dict(self.model),
            "transform": self.transform.to_dict(),
        }

    def record(self) -> dict[str, Any]:
        """What a run's record says of data, network and preparation."""
        from secchi.models.build import model_to_dict

        summary = self.data.summary().to_dict()
        skipped = sum(count for _, count in self.data.skipped)
        return {
            "data": summary | {"fingerprint": self.data.fingerprint()},
            "source": self.data.source,
            "model": model_to_dict(self.model),
            "precision": self.precision,
            "transform": self.transform.to_dict(),
            "rows": {**summary["rows"], "skipped": skipped},
            "seconds": {},
        }

    def write_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        """Keep the network beside a record."""
        from secchi.training.checkpoint import save_checkpoint

        save_checkpoint(folder, self.trained, record | {"of": self.identity()})

    def read_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        """Bring the network back."""
        from secchi.training.checkpoint import load_checkpoint

        load_checkpoint(folder, self.trained)

    def bundle(self) -> "TableBundle":
        """The model as it stands now; later training spares it."""
        from secchi.bundle.table_bundle import TableBundle

        return TableBundle(
            self.data.task,
            self.transform,
            self.model,
            copy.deepcopy(self.trained).to("cpu").eval(),
            self.data.beside,
            self.data.given,
            self.data.reading,
        )


def model_of(record: dict[str, Any]) -> MLP:
    """The specification in a run's record.

    Raises:
        BundleError: It is a module of one's own.
    """
    said = dict(record["model"])
    if (kind := said.pop("model")) != "MLP":
        raise BundleError(f"the network of this run is {kind}, of your own, which no file holds")
    return MLP.from_dict(said)


def _check_setting(device: str, precision: str) -> None:
    known = {"device": (device, DEVICES), "precision": (precision, PRECISIONS)}
    faults = [
        f"{name} is {value!r}, not one of {', '.join(names)}{did_you_mean(str(value), names)}"
        for name, (value, names) in known.items()
        if value not in names
    ]
    if faults:
        raise SpecError("this device setting cannot be", faults)
