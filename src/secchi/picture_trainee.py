"""What a learner trains on pictures: a body, a head on it, how far they are frozen, their inputs.

Modules that import torch are imported where they are used: making a trainee starts the process that
makes the body ready, and torch is imported while that works.
"""

import copy
import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secchi.console import Console
from secchi.data.images import ImageData
from secchi.data.task import Labels
from secchi.errors import DataError, SpecError
from secchi.features.cache import FeatureCache, temporary_bodies
from secchi.features.extract import Extraction, extract
from secchi.features.inputs import NetworkInputs
from secchi.features.prepare import Preparation, Prepared, prepare_part
from secchi.features.runtimes import resolve_device, resolve_precision
from secchi.features.views import PLAIN, View
from secchi.models.backbones import RANDOM, Backbone
from secchi.training.spec import Training, spread
from secchi.transforms.augment import Augmentation

if TYPE_CHECKING:
    from torch import Tensor

    from secchi.bundle.picture_bundle import PictureBundle
    from secchi.inspection.predictions import Predictions
    from secchi.models.heads import Head
    from secchi.models.network import Network
    from secchi.training.execution import Execution
    from secchi.training.memory import StepMemory
    from secchi.training.optimizers import ParameterGroup
    from secchi.training.rows import Inputs, Mixing, Rows


class PictureTrainee:
    """A head on a frozen body, until :meth:`freeze_to` makes it a network of both.

    Args:
        data: The pictures. Those that turn out to be unreadable are set aside in it.
        backbone: The body.
        cache: Where features and activations are kept.
        console: Where lines and progress go.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: Of the body: ``"auto"``, ``"fp32"`` or ``"bf16"``.
        compile: Let torch compile what trains of the body.
        seed: Of the augmented versions, unless training names another.

    Attributes:
        preparation: The body as it came, on its way or ready.
        augmentation: How training pictures are changed.
        views: How many versions of a picture are kept where layers are frozen.
        body_trained: Whether weights of the body may differ from those that it came with.
    """

    equal_batches = False
    units = None

    def __init__(
        self,
        data: ImageData,
        backbone: Backbone,
        cache: FeatureCache,
        console: Console,
        *,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        self.data = data
        self.backbone = backbone
        self.cache = cache
        self.console = console
        self.device = device
        self.precision = precision
        self.preparation = Preparation(backbone, cache, device)
        self.augmentation = Augmentation()
        self.views = 4
        self.body_trained = False
        self._compile = compile
        self._seed = seed
        self._extraction: Extraction | None = None
        self._head: Head | None = None
        self._network: Network | None = None
        self._inputs: NetworkInputs | None = None
        self._told: set[str] = set()

    # ---------------------------------------------------------------- parts

    @property
    def head(self) -> "Head":
        """The layers on top of the body."""
        from secchi.models.heads import head_for

        if self._head is None:
            table = self.extract().table(self.data.train.digests)
            self._head = head_for(self.data.task, table.width)
            self._head.fit_center(table.chunks())
        return self._head

    @property
    def network(self) -> "Network":
        """The body and the head together, frozen up to some point."""
        from secchi.models.network import Network

        if self._network is None:
            head = self.head
            prepared = self.preparation.wait()
            self._network = Network(prepared.build(), head, prepared.transform)
        return self._network

    @property
    def trained(self) -> "Network | Head":
        """What is trained and judged: the head on its own as long as it can."""
        return self.head if self.frozen is None else self.network

    @property
    def trains_body(self) -> bool:
        """Whether any layer of the body trains."""
        return self._network is not None and self._network.frozen < len(self._network.groups) - 1

    @property
    def frozen(self) -> int | None:
        """How many layer groups are frozen; None where the body is as it came, all of it frozen."""
        if self._network is None or not (self.trains_body or self.body_trained):
            return None
        return self._network.frozen

    @property
    def quick(self) -> bool:
        """Whether the head alone trains."""
        return not self.trains_body

    @property
    def trained_names(self) -> list[str]:
        """The layer groups that train, first layers first."""
        return [name for name, _ in self._network.trained_groups()] if self._network else ["head"]

    def parameter_groups(self) -> "list[ParameterGroup]":
        """The parameters that train, by layer group."""
        from secchi.training.optimizers import ParameterGroup, one_group

        if self._network is None or self.frozen is None:
            return one_group(self.head)
        return [ParameterGroup(name, ps) for name, ps in self._network.trained_groups()]

    def freeze_to(self, group: int | str) -> None:
        """Freeze every layer group before one; that one and those behind it train.

        Raises:
            SpecError: There is no such group.
        """
        self.network.freeze_to(group)
        self._inputs = None

    def freeze(self) -> None:
        """Let the head alone train, which it does from the start."""
        if self._network:
            self.freeze_to(-1)

    def augment(self, augmentation: Augmentation, views: int) -> None:
        """Change training pictures so from now on."""
        self.augmentation, self.views = augmentation, views
        self._inputs = None
        if self._network:
            self._network.computes_all = False  # there may be room for these

    # ---------------------------------------------------------------- features

    def prepare(self) -> None:
        """Compute the features."""
        self.extract()

    def extract(self) -> Extraction:
        """Compute what the cache does not know of all splits, once; unreadable ones are set aside.

        Raises:
            BackboneError: The body could not be made ready.
            DataError: More than half of the pictures cannot be read.
        """
        if self._extraction is not None:
            return self._extraction
        splits = list(self.data.splits.values())
        preparing = "" if self.preparation.ready else f" (preparing {self.backbone.name})"
        with self.console.progress("features" + preparing) as progress:
            extraction = extract(
                [file for split in splits for file in split.files],
                [digest for split in splits for digest in split.digests],
                self.preparation,
                self.cache,
                device=self.device,
                precision=self.precision,
                progress=progress,
            )
        start = 0
        for split in splits:
            end = start + len(split)
            here = {i - start: why for i, why in extraction.faults.items() if start <= i < end}
            start = end
            if here:
                self.data.set_aside(split.name, here)
        self._tell(extraction)
        self._extraction = extraction
        return extraction

    # ---------------------------------------------------------------- inputs

    def training_rows(self, seed: int) -> "Rows":
        """The training pictures as what trains is given them, augmented, and their labels.

        Raises:
            SpecError: The augmentation cannot mix such inputs.
        """
        from secchi.training.rows import Rows

        self.extract()
        inputs = self._network_inputs()
        self._check_mixing(inputs.shape)
        split = self.data.train
        return Rows(
            inputs.augmented(split, self.augmentation, self.views, seed), self._labels("train")
        )

    def rows(self, split: str) -> "Rows":
        """The pictures of a split as they are, and their labels."""
        from secchi.training.rows import Rows

        self._labels(split)  # faults before the work, which may set pictures aside
        self.extract()
        return Rows(self._network_inputs().plain(self.data.split(split)), self._labels(split))

    def predictions(self, split: str, training: Training, view: View = PLAIN) -> "Predictions":
        """What the network says of a split's pictures, or of one augmented version of each.

        The labels of a sealed split are left out.
        """
        from secchi.inspection.predictions import Predictions
        from secchi.training.evaluation import outputs_of
        from secchi.training.losses import TaskLoss

        self.extract()
        pictures, inputs = self.data.split(split), self._network_inputs()
        given = inputs.plain(pictures) if view == PLAIN else inputs.view(pictures, view)
        task = self.data.task
        outputs = outputs_of(self.trained, given, task.outputs, self.execution())
        labels = None if pictures.sealed else pictures.labels
        loss = TaskLoss(task, training, smoothed=False)
        return Predictions.of(task, tuple(pictures.files), outputs, labels, loss=loss)

    def _labels(self, split: str) -> Labels:
        labels = self.data.split(split).labels
        if labels is None:
            raise DataError(f"the pictures of {split!r} have no labels")
        return labels

    def _network_inputs(self) -> NetworkInputs:
        """What gives the network its inputs, as it is frozen now."""
        if self._inputs is None:
            self._inputs = self._inputs_of(self._frozen_part())
            if self.trains_body and not self._has_room(self._inputs):
                self.network.computes_all = True
                self._inputs = self._inputs_of(None)
        return self._inputs

    def _check_mixing(self, shape: tuple[int, ...]) -> None:
        """Refuse what cannot be mixed, before any work."""
        self.augmentation.check_mixing(shape)
        if not (self.augmentation.cutmix and self.trains_body and self.network.frozen_part):
            return
        layout = getattr(self.network.body, "output_fmt", "NCHW")  # as timm says it
        if layout != "NCHW":
            fault = f"cutmix cannot cut activations of {self.backbone.name}, which are {layout}"
            raise SpecError("this augmentation cannot be", [f"{fault}; mixup takes any"])

    def _inputs_of(self, frozen: Prepared | None) -> NetworkInputs:
        return NetworkInputs(
            frozen,
            self.preparation.transform,
            self.cache,
            device=self.device,
            precision=self.precision,
            progress=self.console.progress,
            draws_views=self._network is not None and self._network.computes_all,
        )

    def _frozen_part(self) -> Prepared | None:
        """The frozen layers, ready to compute; None where there are none, or no cut behind them."""
        whole, network = self.preparation.wait(), self._network
        if network is None or self.frozen is None:
            return whole
        part = network.frozen_part
        if part is None:
            if network.frozen:
                self._tell_once("this network cannot be cut there: nothing is computed ahead")
            return None
        prepared = prepare_part(part, network.point, whole, self.cache, self.device)
        self._tell_trouble(prepared)
        return prepared

    def _has_room(self, inputs: NetworkInputs) -> bool:
        """Whether activations can be kept, said with what they take; pixels see to themselves."""
        if self.network.frozen_part is None:
            return True
        train, valid = self.data.train, self.data.valid
        views = [PLAIN]  # they too are judged in the end
        if self.augmentation.alters:
            views += [View(self.augmentation, self._seed, k) for k in range(self.views)]
        cost = inputs.cost(len(train) * len(views) + len(valid))
        self._tell_once(str(cost))
        # What is kept already has taken of the room that it was promised.
        if cost.fits or (inputs.knows(valid) and all(inputs.knows(train, view) for view in views)):
            return True
        self._tell_once("so the frozen layers are computed in every epoch")
        return False

    # ---------------------------------------------------------------- training

    @property
    def mixing(self) -> "Mixing | None":
        """What mixes the rows of a batch."""
        return self.augmentation.mix if self.augmentation.mixes else None

    def check(self, training: Training) -> None:
        """Refuse more rates than there are layer groups to train, before any work."""
        spread(training.rates, len(self.trained_names))

    def will_train(self) -> None:
        """Note that the weights of the body may differ from now on, where it trains."""
        self.body_trained |= self.trains_body

    def prepare_to_train(self, training: Training) -> None:
        """Settle how batch normalisation behaves, and say what a person should know."""
        if not self.trains_body:
            return
        self._settle_batch_statistics(training)
        names, execution = self.trained_names, self.execution()
        compiled = ", compiled" if execution.compiled else ""
        self._tell_once(
            f"training {names[0]} to {names[-1]} in {execution.precision} on "
            f"{execution.device}{compiled}"
        )

    def _settle_batch_statistics(self, training: Training) -> None:
        """Random weights came with no statistics that are worth keeping."""
        wanted = training.batch_statistics
        self.network.batch_statistics = (
            self.backbone.weights == RANDOM if wanted is None else wanted
        )

    def execution(
        self, rows: "Rows | None" = None, training: Training | None = None
    ) -> "Execution":
        """Where the network computes; for training, how many rows at once too."""
        from secchi.models.groups import uses_batch_statistics
        from secchi.training.execution import Execution

        device = resolve_device(self.device)
        if not self.trains_body:
            return Execution(device)
        micro = None
        if rows is not None and training is not None and device == "cpu":
            network, mode = self.network, self.network.training
            by_batches = uses_batch_statistics(network.train())
            network.train(mode)
            if not by_batches:
                micro = self.step_memory(training, rows).fast_rows
        precision = resolve_precision(self.precision, device)
        return Execution(device, precision, micro, self._compile)

    def step_memory(self, training: Training, rows: "Rows | None" = None) -> "StepMemory":
        """What a training step takes, by its rows; measured on four, which are computed for it."""
        from secchi.training.memory import step_memory

        if self.trains_body:
            self._settle_batch_statistics(training)
        execution = self.execution()
        given = self.example(rows).to(execution.device)
        network, mode = self.trained.to(execution.device), self.trained.training
        memory = step_memory(network.train(), given, training, execution.precision)
        network.train(mode)
        return memory

    def example(self, rows: "Rows | None" = None) -> "Tensor":
        """Four rows as what is trained gets them; where no others are given, computed for it."""
        import torch

        inputs = rows.inputs if rows else self._few_inputs()
        return torch.from_numpy(inputs.take(np.arange(4) % len(inputs)))

    def _few_inputs(self) -> "Inputs":
        self.extract()
        few = copy.copy(self.data.train)
        few.keep(np.arange(min(4, len(few))))
        return self._network_inputs().plain(few)

    # ---------------------------------------------------------------- keeping

    def rows_digest(self) -> str:
        """Names the pictures that train and validate, in their order, and what is true of them."""
        joint = hashlib.sha256()
        for split in (self.data.train, self.data.valid):
            labels = self._labels(split.name)
            parts = [*labels.values] + ([] if labels.weights is None else [labels.weights])
            joint.update(f"{split.name} {len(split)} {len(parts)}".encode())
            for part in (b"".join(split.digests), *(values.tobytes() for values in parts)):
                joint.update(part)
        return joint.hexdigest()

    def start(self) -> dict[str, Any]:
        """What a call of training starts from, as plain values: weights, inputs, augmentation."""
        from secchi.models.groups import FEATURES
        from secchi.training.checkpoint import weights_digest

        return {
            "weights": weights_digest(self.trained),
            "frozen": self.frozen,
            "point": FEATURES if self.frozen is None else self.network.point,
            "augmentation": self.augmentation.to_dict(),
            "views": self.views,
        }

    def key(self) -> dict[str, Any]:
        """What tells two learners apart before training, as plain values."""
        device = resolve_device(self.device)
        return {
            "data": {"pictures": self.data.fingerprint(), "rows": self.rows_digest()},
            "task": self.data.task.to_dict(),
            "body": self.preparation.wait().digest,
            "device": device,
            "precision": resolve_precision(self.precision, device),
            "compile": self._compile,
        }

    def record(self) -> dict[str, Any]:
        """What a run's record says of pictures, body and preparation."""
        extraction = self.extract()
        return {
            "data": self.data.summary().to_dict() | {"fingerprint": self.data.fingerprint()},
            "backbone": dataclasses.asdict(self.backbone),
            "transform": self.preparation.transform.to_dict(),
            "pictures": self.pictures(),
            "runtime": extraction.runtime,
            "seconds": {"features": extraction.seconds},
        }

    def pictures(self) -> dict[str, int]:
        """How many pictures were computed, known to the cache, and skipped."""
        extraction = self.extract()
        return {
            "computed": extraction.computed,
            "cached": extraction.cached,
            "skipped": len(self.data.skipped),
        }

    def identity(self) -> dict[str, Any]:
        """What a checkpoint is of: heads of other classes may have its shape."""
        return {"task": self.data.task.to_dict(), "body": self.preparation.wait().digest}

    def write_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        """Keep what was trained, and how it is frozen, beside a record."""
        from secchi.training.checkpoint import save_checkpoint

        record |= {"of": self.identity(), "frozen": self.frozen, "whole": self.body_trained}
        save_checkpoint(folder, self.trained if self.body_trained else self.head, record)

    def read_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        """Bring back what was kept, and how it was frozen."""
        from secchi.training.checkpoint import load_checkpoint

        if record.get("whole"):
            load_checkpoint(folder, self.network)
        else:
            load_checkpoint(folder, self.head)
            if self.body_trained:  # back to the body as it came
                self._network, self._inputs = None, None
        self.body_trained = bool(record.get("whole"))
        frozen = record.get("frozen")
        if frozen is None:
            self.freeze()
        else:
            self.freeze_to(frozen)

    def bundle(self) -> "PictureBundle":
        """The model as it stands now; later training spares it."""
        from secchi.bundle.picture_bundle import PictureBundle

        self.extract()
        preparation = self._trained_body() if self.body_trained else self.preparation
        return PictureBundle(
            self.data.task,
            self.backbone,
            preparation.transform,
            copy.deepcopy(self.head).to("cpu").eval(),
            preparation,
            self.cache,
            self.device,
            self.precision,
        )

    def _trained_body(self) -> Preparation:
        """The body as it was trained, made ready like one from a file."""
        from safetensors.torch import save

        body = self.network.body
        state = {k: v.detach().cpu().contiguous() for k, v in body.state_dict().items()}
        blob = save(state)
        digest = hashlib.sha256(blob).hexdigest()[:32]
        file = temporary_bodies() / f"{digest}.safetensors"
        if not file.exists():
            file.write_bytes(blob)
        size = self.preparation.transform.size
        backbone = dataclasses.replace(self.backbone, weights=str(file), size=size)
        return Preparation(backbone, self.cache, self.device)

    # ---------------------------------------------------------------- what a person is told

    def _tell_once(self, line: str) -> None:
        """Show a line that was not shown before."""
        if line not in self._told:
            self._told.add(line)
            self.console.line(line)

    def _tell_trouble(self, prepared: Prepared) -> None:
        if prepared.trouble:
            self._tell_once(f"OpenVINO could not take {prepared.title}: {prepared.trouble}")

    def _tell(self, extraction: Extraction) -> None:
        """Say what came of the extraction, in a line, and what a person should know."""
        if extraction.computed:
            rate = extraction.computed / extraction.seconds
            self.console.line(
                f"features: {extraction.computed:,} pictures computed in "
                f"{extraction.seconds:.1f} s ({rate:,.0f} a second, {extraction.runtime}), "
                f"{extraction.cached:,} from the cache"
            )
        else:
            self.console.line(f"features: all {extraction.cached:,} pictures from the cache")
        if extraction.damaged:
            self.console.line(f"{extraction.damaged:,} damaged rows of the cache were renewed")
        if extraction.faults:
            self.console.line(f"{len(extraction.faults):,} unreadable pictures were set aside")
        self._tell_trouble(self.preparation.wait())
