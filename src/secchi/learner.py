"""The façade: what a person types."""

import copy
import dataclasses
import datetime
import hashlib
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secchi.console import Console
from secchi.data.images import ImageData
from secchi.data.picture_split import PictureSplit
from secchi.data.pictures import Scratch
from secchi.data.task import Labels
from secchi.errors import BundleError, DataError, PictureError, SpecError, did_you_mean
from secchi.features.cache import FeatureCache, FeatureTable, temporary_bodies
from secchi.features.extract import Extraction, extract
from secchi.features.inputs import NetworkInputs
from secchi.features.prepare import Preparation, Prepared, prepare_part
from secchi.features.runtimes import check_setting, resolve_device, resolve_precision
from secchi.features.views import View
from secchi.files import folder_written_aside, write_json
from secchi.models.backbones import PRETRAINED, RANDOM, Backbone
from secchi.runs import Journal, RunFolder, seconds_between_checkpoints
from secchi.training.history import Epoch, History
from secchi.training.metrics import check_metrics, default_metric
from secchi.training.spec import Training, spread
from secchi.transforms.augment import Augmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from secchi.bundle.bundle import Bundle
    from secchi.inspection.predictions import Predictions
    from secchi.models.heads import Head
    from secchi.models.network import LayerGroups, Network
    from secchi.recipe import Recipe
    from secchi.training.loop import Execution, Rows
    from secchi.training.lr_finder import LearningRateSearch
    from secchi.training.memory import StepMemory
    from secchi.training.optimizers import ParameterGroup
    from secchi.training.plan import SchedulePlan

# Modules that import torch are imported where they are used: making a learner starts the process
# that makes the body ready, and torch is imported while that works.


class Learner:
    """A body, a head on it, and the pictures they learn from.

    The body is frozen until :meth:`unfreeze` or :meth:`freeze_to`: its output is computed once,
    when it is first needed, and kept in the cache, and so is that of whatever part of it is frozen
    later. Making a learner starts to make the body ready.

    Args:
        data: The pictures. Those that turn out to be unreadable are set aside in it, with their
            reasons, before training.
        backbone: The body; None takes ``lite0``.
        training: How it is trained where :meth:`fit` is not told otherwise.
        metrics: What is measured on the validation pictures after each epoch: accuracy,
            error_rate, top_3, f1, auc; r2 and mae for numbers. None takes accuracy, or mae.
        seed: Names every random choice; the same seed gives the same numbers. None takes the
            training's.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: Of the body: ``"auto"``, ``"fp32"`` or ``"bf16"``.
        compile: Let torch compile what trains of the body, which takes a minute first.
        cache: Where features are kept; None takes the user's cache folder.
        out: The folder that runs go into.
        resume: ``"auto"`` goes on with the newest unfinished run in ``out`` that does the same, or
            starts one that can be gone on with; ``"fresh"`` starts one in any case; the name of a
            run goes on with that one. None keeps nothing on the way.
        checkpoint_seconds: Between two checkpoints of a run that can be gone on with; None takes
            ``SECCHI_CHECKPOINT_SECONDS`` or else 30.
        purpose: What else tells two runs apart, as plain values.
        console: Where lines and progress go; None takes standard output.

    Raises:
        SpecError: A setting that cannot be.

    For example::

        from secchi import Learner, Training

        learn = Learner(data, training=Training(epochs=3), metrics=["accuracy", "auc"])
    """

    def __init__(
        self,
        data: ImageData,
        backbone: Backbone | None = None,
        *,
        training: Training | None = None,
        metrics: Sequence[str] | None = None,
        seed: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
        cache: FeatureCache | None = None,
        out: str | os.PathLike[str] = "runs",
        resume: str | None = None,
        checkpoint_seconds: float | None = None,
        purpose: Mapping[str, Any] | None = None,
        console: Console | None = None,
    ) -> None:
        check_setting(device, precision)
        self.data = data
        self.backbone = backbone or Backbone(size=data.size)
        self.training = (training or Training()).but(seed=seed)
        self.metrics = tuple(metrics or [default_metric(data.task.targets[0])])
        check_metrics(self.metrics, data.task)
        self.cache = cache or FeatureCache()
        self.device = device
        self.precision = precision
        self.console = console or Console()
        self.history: History | None = None
        self.augmentation = Augmentation()
        self.views = 4
        self._compile = compile
        self._run = RunFolder(Path(os.path.abspath(os.fspath(out))), os.path.basename(data.root))
        self._resume = resume
        if resume not in (None, "auto", "fresh"):
            self._run.unfinished(resume)  # faults before the work
        self._purpose = dict(purpose or {})
        self._checkpoint_seconds = seconds_between_checkpoints(checkpoint_seconds)
        self._journal: Journal | None = None
        self._preparation = Preparation(self.backbone, self.cache, device)
        self._extraction: Extraction | None = None
        self._head: Head | None = None
        self._network: Network | None = None
        self._body_trained = False
        self._inputs: NetworkInputs | None = None
        self._epochs = 0
        self._training_seconds = 0.0
        self._told: set[str] = set()

    @classmethod
    def pretrained(
        cls,
        backbone: str,
        data: ImageData,
        *,
        weights: str | os.PathLike[str] = PRETRAINED,
        seed: int | None = None,
        **options: Any,
    ) -> "Learner":
        """A learner with a pretrained body.

        Args:
            backbone: ``"lite0"``, whose weights came with secchi, or any name that timm knows.
            data: The pictures.
            weights: ``"pretrained"``, ``"random"``, or a safetensors file or PyTorch state dict.
            seed: Names every random choice, random weights too.
            **options: As for :class:`Learner`.

        Raises:
            BackboneError: The file of weights does not exist. An unknown name or weights that do
                not fit are told when the body is first needed.

        For example::

            learn = Learner.pretrained("lite0", data, seed=1)
        """
        if seed is None:
            seed = (options.get("training") or Training()).seed
        body = Backbone(backbone, os.fspath(weights), data.size, seed)
        return cls(data, body, seed=seed, **options)

    # ---------------------------------------------------------------- what trains

    @property
    def head(self) -> "Head":
        """The layers on top of the body.

        For example::

            print(learn.head.inputs, learn.head.outputs)
        """
        from secchi.models.heads import head_for

        if self._head is None:
            table = self.features("train")
            self._head = head_for(self.data.task, table.width)
            self._head.fit_center(table.chunks())
        return self._head

    @property
    def network(self) -> "Network":
        """The body and the head together, frozen up to some point.

        For example::

            print(learn.network.point)  # "features": the whole body is frozen
        """
        from secchi.models.network import Network

        if self._network is None:
            head = self.head
            prepared = self._preparation.wait()
            self._network = Network(prepared.build(), head, prepared.transform)
        return self._network

    def groups(self) -> "LayerGroups":
        """The layer groups by name, with their parameters, and which of them train.

        For example::

            print(learn.groups())
        """
        from secchi.models.network import LayerGroups

        return LayerGroups(self.network.groups, self.network.frozen)

    def freeze(self) -> "Learner":
        """Let the head alone train, which it does from the start.

        For example::

            learn.freeze().fit(1e-2, epochs=1)
        """
        return self.freeze_to(-1) if self._network else self

    def unfreeze(self) -> "Learner":
        """Let everything train.

        For example::

            learn.unfreeze().fit([1e-4, 1e-3, 1e-2], epochs=1)
        """
        return self.freeze_to(0)

    def freeze_to(self, group: int | str) -> "Learner":
        """Freeze every layer group before one; that one and those behind it train.

        The activations of the last frozen layer are computed once and kept, so the later the group,
        the shorter an epoch.

        Args:
            group: Its name or place, as :meth:`groups` shows them; negative places count from the
                head, which is -1.

        Raises:
            SpecError: There is no such group.

        For example::

            learn.freeze_to("blocks.6").fit([1e-3, 1e-2], epochs=1)
        """
        self.network.freeze_to(group)
        self._inputs = None
        return self

    def augment(self, name: str = "side_on", *, views: int = 4, **changes: Any) -> "Learner":
        """Change training pictures at random from now on; ``"none"`` leaves them as they are.

        Where the body, or its first part, is frozen, so many versions of each picture are computed
        and kept, and every epoch draws one of them; where all trains, every epoch has its own.

        Args:
            name: none, basic, side_on, top_down, random_resized_crop or trivial_augment.
            views: How many versions of a picture are kept.
            **changes: Fields of :class:`secchi.transforms.augment.Augmentation`, such as
                ``max_zoom=1.1``.

        Raises:
            SpecError: There is no such augmentation, or a value that cannot be.

        For example::

            learn.augment("side_on", max_zoom=1.1, views=2)
        """
        if not isinstance(views, int) or views < 1:
            raise SpecError("this augmentation cannot be", [f"views is {views!r}, not 1 or more"])
        self.augmentation = Augmentation.named(name, **changes)
        self.views = views
        self._inputs = None
        return self

    def show_augmented(self, index: int = 0, *, split: str = "train", count: int = 8) -> "Figure":
        """Draw one picture as it is, and several times as training sees it.

        Args:
            index: Which picture of the split.
            split: Of which split.
            count: How many times.

        For example::

            learn.show_augmented(0, count=5).savefig("augmented.png")
        """
        from secchi.figures.pictures import Tile, picture_grid

        pictures = self._split(split)
        if not -len(pictures) <= index < len(pictures):
            raise DataError(f"{split!r} has the pictures 0 to {len(pictures) - 1}, no {index}")
        file = [(pictures.digests[index], pictures.files[index])]
        transform = self._preparation.transform
        versions = [View()]
        versions += [View(self.augmentation, self.training.seed, k) for k in range(count)]
        tiles = []
        for number, view in enumerate(versions):
            pixels, faults = view.pixels(file, transform, Scratch())
            if faults:
                raise PictureError(f"{pictures.files[index]}: {next(iter(faults.values()))}")
            tiles.append(Tile(pixels[0], "as it is" if number == 0 else f"version {number}"))
        name = os.path.basename(pictures.files[index])
        return picture_grid(tiles, 3, f"{name}, augmented by {self.augmentation.name!r}")

    # ---------------------------------------------------------------- training

    def fit(
        self,
        lr: float | Sequence[float] | None = None,
        epochs: int | None = None,
        *,
        metrics: Sequence[str] | None = None,
        **changes: Any,
    ) -> History:
        """Train what is not frozen, and show a line an epoch.

        A second call goes on from where the first one ended.

        Args:
            lr: The learning rate; None takes the one of :attr:`training` (0.01). Two are those of
                the first and the last trained layer group, with the ones between in even ratios;
                more are shared out over the groups in their order, the last one for the head.
            epochs: Passes over the training pictures; None likewise (10).
            metrics: What is measured after each epoch; None takes :attr:`metrics`.
            **changes: Other fields of :class:`secchi.Training` for this call, such as batch_size,
                optimizer, schedule, ema; or cycles, cycle_len and cycle_mult for restarts.

        Returns:
            This call's epochs; :attr:`history` has those of every call.

        Raises:
            SpecError: A setting that cannot be.

        For example::

            learn.fit(1e-2, epochs=2)
            learn.fit([1e-3, 1e-2], cycles=2, optimizer="sgd", momentum=0.9)
            print(learn.history)
        """
        from secchi.training.loop import train

        training = self.training.but(lr=lr, epochs=epochs, **changes)
        names = list(metrics or self.metrics)
        check_metrics(names, self.data.task)
        self._check_rates(training)
        rows = {"train": self._training_rows(training.seed), "valid": self._rows("valid")}
        started = time.perf_counter()
        show = _EpochLines(self.console)
        journal, key = self._going_on(), self._call(training, names)
        self._body_trained |= self._trains_body  # also where training is interrupted
        history = journal.finished(key, self._trained) if journal else None
        if history is not None:
            for epoch in history.epochs:
                show(epoch)
        else:
            self._prepare_to_train(training)
            with self.console.progress("training") as progress:
                history = train(
                    self._trained,
                    rows["train"],
                    rows["valid"],
                    training,
                    metrics=names,
                    groups=self._parameter_groups(),
                    first_epoch=self._epochs,
                    execution=self._execution(rows["train"], training),
                    mixing=self.augmentation.mix if self.augmentation.mixes else None,
                    observe=show,
                    progress=progress,
                    tell=self.console.line,
                    keeper=journal.keeper(key) if journal else None,
                )
            if journal:
                journal.note(key, history, self._trained)
        self._epochs += len(history.epochs)
        self._training_seconds += time.perf_counter() - started
        self.history = self.history.joined(history) if self.history else history
        if history.remark:
            self.console.line(history.remark)
        return history

    def plan(
        self,
        lr: float | Sequence[float] | None = None,
        epochs: int | None = None,
        **changes: Any,
    ) -> "SchedulePlan":
        """The rates and momenta that :meth:`fit` would use, step by step; ``.plot()`` draws them.

        Args:
            lr: As for :meth:`fit`.
            epochs: Likewise.
            **changes: Likewise.

        For example::

            learn.plan([1e-3, 1e-2], cycles=3, cycle_mult=2).plot().savefig("plan.png")
        """
        from secchi.training.plan import SchedulePlan

        training = self.training.but(lr=lr, epochs=epochs, **changes)
        names = [name for name, _ in self._network.trained_groups()] if self._network else ["head"]
        return SchedulePlan.of(training, names, len(self.data.train))

    def find_lr(
        self, lr: float | Sequence[float] | None = None, *, steps: int = 100, **changes: Any
    ) -> "LearningRateSearch":
        """Search for a learning rate by training a copy while the rate rises; nothing changes.

        Args:
            lr: Several rates give the ratios between layer groups, which hold in the search.
            steps: How many steps the copy is trained.
            **changes: Other fields of :class:`secchi.Training`, as for :meth:`fit`.

        Returns:
            Suggestions by name, with their reasons; ``.plot()`` draws loss and metric against
            rate, ``.plot_schedule()`` the rate against the step.

        For example::

            search = learn.find_lr(steps=40)
            print(search)
            search.plot().savefig("learning-rate.png")
        """
        from secchi.training.lr_finder import find_lr

        training = self.training.but(lr=lr, **changes)
        self._check_rates(training)
        rows = self._training_rows(training.seed)
        self._prepare_to_train(training)
        quick = not self._trains_body
        with self.console.progress("finding the rate") as progress:
            return find_lr(
                self._trained,
                rows,
                self._rows("valid"),
                training,
                groups=self._parameter_groups(),
                first_epoch=self._epochs,
                execution=self._execution(rows, training)._replace(compiled=False),
                mixing=self.augmentation.mix if self.augmentation.mixes else None,
                metric=self.metrics[0],
                steps=steps,
                looks=steps if quick else 20,
                most_valid_rows=1000 if quick else 128,
                progress=progress,
            )

    def evaluate(self, split: str = "valid") -> dict[str, float]:
        """Loss and metrics on a split, as it stands now.

        Raises:
            SealedError: The test split, before ``data.open_test``.

        For example::

            print(learn.evaluate("valid")["accuracy"])
        """
        from secchi.training.loop import evaluate

        result = evaluate(
            self._trained, self._rows(split), metrics=self.metrics, execution=self._execution()
        )
        return {"loss": result.loss, **result.metrics}

    def memory_estimate(self, batch_size: int | None = None) -> int:
        """The bytes that a training step would take at most, measured on a few pictures.

        They are within 25 % of what a step really takes, where that is more than 100 MB; what
        Python, torch and the operating system take beside it is not counted.

        Args:
            batch_size: Rows computed at once; None takes the training's.

        For example::

            print(learn.memory_estimate(batch_size=64) / 1e6, "MB")
        """
        return self._step_memory(self.training).of(batch_size or self.training.batch_size)

    # ---------------------------------------------------------------- features and predictions

    def features(self, split: str = "train") -> FeatureTable:
        """The features of a split's pictures, in their order, computed if they are not known.

        For example::

            print(learn.features("train").take(slice(0, 4)).shape)
        """
        extraction = self.extract()
        return extraction.table(self._split(split).digests)

    def extract(self) -> Extraction:
        """Compute what the cache does not know of all splits, once; unreadable ones are set aside.

        Raises:
            BackboneError: The body could not be made ready.
            DataError: More than half of the pictures cannot be read.

        For example::

            print(learn.extract().runtime)
        """
        if self._extraction is not None:
            return self._extraction
        splits = list(self.data.splits.values())
        files = [file for split in splits for file in split.files]
        digests = [digest for split in splits for digest in split.digests]
        preparing = "" if self._preparation.ready else f" (preparing {self.backbone.name})"
        with self.console.progress("features" + preparing) as progress:
            extraction = extract(
                files,
                digests,
                self._preparation,
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

    def predictions(self, split: str = "valid") -> "Predictions":
        """What the network says of a split's pictures, beside what is true of them.

        The labels of a test split are left out until ``data.open_test`` has opened it.

        For example::

            learn.predictions("valid").plot(count=4).savefig("predictions.png")
        """
        self.extract()
        return self._said(split, self._network_inputs().plain(self._split(split)))

    def tta(
        self, split: str = "valid", *, views: int = 4, augmentation: str = "basic", **changes: Any
    ) -> "Predictions":
        """Predictions of a split averaged over each picture and augmented versions of it.

        Test-time augmentation: the probabilities of the picture itself and of so many versions
        are averaged. What that gained is told in a line, with whether it is more than noise.

        Args:
            split: Which pictures.
            views: How many versions.
            augmentation: How they are changed, by name as for :meth:`augment`. Mirrored and a
                little shifted, as it is by default, is what photographs of training look like
                most; what turns and lights them more averages in what is harder to tell.
            **changes: Fields of :class:`secchi.Augmentation`.

        For example::

            print(learn.tta("valid", views=2).metric("accuracy"))
        """
        from secchi.inspection.comparison import compare
        from secchi.inspection.predictions import Predictions

        plain = self.predictions(split)
        change = Augmentation.named(augmentation, **{"max_zoom": 1.0, **changes})
        inputs, pictures = self._network_inputs(), self._split(split)
        versions = (View(change, self.training.seed, number) for number in range(views))
        others = [self._said(split, inputs.view(pictures, view)) for view in versions]
        averaged = Predictions.averaged([plain, *others])
        if averaged.labels is not None:
            measures = ["loss"]
            if len(self.data.task.targets) == 1 and self.data.classes:
                measures.insert(0, "accuracy")
            for measure in measures:
                gain = compare(plain, averaged, measure)
                self.console.line(f"{views} views beside each picture: {gain}")
        return averaged

    def recipe(
        self,
        *,
        skip: Collection[str] = (),
        freeze_to: int | str = 0,
        augmentation: str = "side_on",
        max_zoom: float = 1.1,
        views: int = 4,
        cycles: int = 3,
    ) -> "Recipe":
        """Train by the lesson's eight steps, each said with what it decided and why.

        Args:
            skip: Steps to leave out: augment, find, features, restarts, unfreeze, rates,
                find_again, cycles.
            freeze_to: The first layer group that trains once the body does; 0 trains everything,
                a later one reads cached activations and takes a fraction of the time.
            augmentation: How pictures are changed; see :meth:`augment`.
            max_zoom: How far they are enlarged.
            views: How many versions of a picture are kept, and averaged in the end.
            cycles: The most cycles of the last step; they last 1, 2, 4, … epochs.

        Returns:
            A table of what each step brought; the learner has the best weights.

        For example::

            print(learn.recipe(skip=["find", "find_again"], freeze_to="blocks.6", cycles=1))
        """
        from secchi.recipe import follow_recipe

        return follow_recipe(
            self,
            skip=skip,
            freeze_to=freeze_to,
            augmentation=augmentation,
            max_zoom=max_zoom,
            views=views,
            cycles=cycles,
        )

    def predict(self, *paths: str | os.PathLike[str]) -> "Predictions":
        """Predict pictures from anywhere.

        Args:
            *paths: Pictures, and folders of which every picture is taken.

        Raises:
            DataError: A path that does not exist, or no picture at all.

        For example::

            print(learn.predict("dogscats/valid").to_frame())
        """
        with self.console.progress("features") as progress:
            return self.bundle().predict(paths, progress)

    def bundle(self) -> "Bundle":
        """The model as it stands now, ready to predict or to be saved; later training spares it.

        For example::

            learn.bundle().save("dogs-or-cats")
        """
        from secchi.bundle.bundle import Bundle

        self.extract()
        preparation = self._preparation
        if self._network is not None and self._body_trained:
            preparation = self._preparation_of(self._network)
        return Bundle(
            self.data.task,
            self.backbone,
            preparation.transform,
            copy.deepcopy(self.head).to("cpu").eval(),
            preparation,
            self.cache,
            self.device,
            self.precision,
        )

    # ---------------------------------------------------------------- keeping

    @property
    def run(self) -> Path:
        """The folder of this run, made when it is first asked for.

        Raises:
            SecchiError: It cannot be made.

        For example::

            print(learn.run)
        """
        return self._run.path

    def save(self, name: str) -> Path:
        """Keep what was trained as it is now, under a name, in this run's folder.

        For example::

            learn.save("before")
        """
        _checked_name(name)
        self.extract()
        with self._run.writing():
            folder = self.run / "checkpoints" / name
            self._write_checkpoint(folder)
        return folder

    def load(self, name: str) -> "Learner":
        """Bring what was trained back to what was saved under a name.

        It is looked for in this run's folder, and then in the others beside it, newest first;
        what was saved for other classes or on another backbone is passed over. Layers that were
        frozen then are frozen now.

        Raises:
            BundleError: Nothing of that name was saved for these classes and this backbone.

        For example::

            learn.load("before")
        """
        from secchi.training.checkpoint import read_record

        _checked_name(name)
        out = self._run.out
        folders = sorted(out.glob(f"*/checkpoints/{name}"), reverse=True)
        folders.sort(key=lambda folder: folder.parent.parent != self._run.made)
        for folder in folders:
            record = read_record(folder)
            if record.get("of") == self._identity():
                self._read_checkpoint(folder, record)
                return self
        if folders:
            raise BundleError(
                f"{name!r} was saved in {out} only for other classes or another backbone"
            )
        known = sorted({p.name for p in out.glob("*/checkpoints/[!.]*")})
        raise BundleError(f"nothing called {name!r} was saved in {out}{did_you_mean(name, known)}")

    def save_run(self) -> Path:
        """Write everything about this run into its folder: the record, history and model.

        Returns:
            The folder: ``run.json``, ``history.csv``, ``checkpoint/`` and ``bundle/``.

        Raises:
            SecchiError: The folder cannot be written.

        For example::

            print(learn.save_run())
        """
        record = self.record()
        run = self.run
        with self._run.writing():
            if any(run.iterdir()):
                self._write_run(run, record)
            else:
                with folder_written_aside(run) as aside:
                    self._write_run(aside, record)
        self._run.finish()
        return run

    def record(self) -> dict[str, Any]:
        """What ``run.json`` holds: what was asked for, with what, and what came of it.

        For example::

            print(learn.record()["valid"])
        """
        from secchi.bundle.bundle import versions

        extraction = self.extract()
        summary = self.data.summary().to_dict()
        return {
            "format": 1,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "data": summary | {"fingerprint": self.data.fingerprint()},
            "task": self.data.task.to_dict(),
            "backbone": dataclasses.asdict(self.backbone),
            "transform": self._preparation.transform.to_dict(),
            "training": (self.history.training if self.history else self.training).to_dict(),
            "epochs": self._epochs,
            "outcome": self.history.outcome.value if self.history else "not trained",
            "train": self.evaluate("train"),
            "valid": self.evaluate("valid"),
            "test_openings": self.data.test_openings,
            "pictures": self.pictures(),
            "runtime": extraction.runtime,
            "seconds": {"features": extraction.seconds, "training": self._training_seconds},
            "versions": versions(),
        }

    def pictures(self) -> dict[str, int]:
        """How many pictures were computed, known to the cache, and skipped.

        For example::

            print(learn.pictures()["cached"])
        """
        extraction = self.extract()
        return {
            "computed": extraction.computed,
            "cached": extraction.cached,
            "skipped": len(self.data.skipped),
        }

    def _write_run(self, folder: Path, record: dict[str, Any]) -> None:
        if self.history:
            self.history.write_csv(folder / "history.csv")
        self._write_checkpoint(folder / "checkpoint")
        self.bundle().save(folder / "bundle")
        write_json(folder / "run.json", record)

    def _write_checkpoint(self, folder: Path) -> None:
        from secchi.training.checkpoint import save_checkpoint

        record = {
            "epochs": self._epochs,
            "of": self._identity(),
            "frozen": self._network.frozen if self._network else None,
            "whole": self._body_trained,
        }
        save_checkpoint(folder, self._trained if self._body_trained else self.head, record)

    def _read_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        from secchi.training.checkpoint import load_checkpoint

        frozen = record.get("frozen")
        if record.get("whole"):
            load_checkpoint(folder, self.network)
        else:
            load_checkpoint(folder, self.head)
            if self._body_trained:  # back to the body as it came
                self._network, self._inputs = None, None
        self._body_trained = bool(record.get("whole"))
        if frozen is not None:
            self.freeze_to(frozen)
        elif self._network is not None:
            self.freeze()
        self._epochs = int(record["epochs"])

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint of this learner is of: heads of other classes may have its shape."""
        return {"task": self.data.task.to_dict(), "body": self._preparation.wait().digest}

    # ---------------------------------------------------------------- what trains, within

    @property
    def _trained(self) -> "Network | Head":
        """What :meth:`fit` trains, and what is judged: the head on its own as long as it can."""
        return self._network or self.head

    @property
    def _trains_body(self) -> bool:
        return self._network is not None and self._network.frozen < len(self._network.groups) - 1

    def _network_inputs(self) -> NetworkInputs:
        """What gives the network its inputs, as it is frozen now."""
        if self._inputs is None:
            self._inputs = self._inputs_of(self._frozen_part())
            self._check_room(self._inputs)
        return self._inputs

    def _inputs_of(self, frozen: Prepared | None) -> NetworkInputs:
        return NetworkInputs(
            frozen,
            self._preparation.transform,
            self.cache,
            device=self.device,
            precision=self.precision,
            progress=self.console.progress,
        )

    def _frozen_part(self) -> Prepared | None:
        """The frozen layers, ready to compute; None where there are none, or no cut behind them."""
        whole, network = self._preparation.wait(), self._network
        if network is None or not (self._trains_body or self._body_trained):
            return whole
        part = network.frozen_part
        if part is None:
            return None
        return prepare_part(part, network.point, whole, self.cache, self.device)

    def _check_room(self, inputs: NetworkInputs) -> None:
        """Say what the inputs will take; where there is no room, compute them every time."""
        if self._network is None or not self._trains_body:
            return
        pictures = sum(len(self._split(name)) for name in ("train", "valid"))
        if self._network.frozen_part is None:
            if self._network.frozen:
                self._tell_once("this network cannot be cut there: nothing is computed ahead")
            return
        versions = self.views if self.augmentation.alters else 1
        cost = inputs.cost(pictures + (versions - 1) * len(self._split("train")))
        self._tell_once(str(cost))
        # What is kept already has taken of the room that it was promised.
        if not cost.fits and not self._is_kept(inputs):
            self._tell_once("so the frozen layers are computed in every epoch")
            self._network.uncut()
            self._inputs = self._inputs_of(None)

    def _is_kept(self, inputs: NetworkInputs) -> bool:
        """Whether everything that training will ask for is in the cache."""
        views = [View()]
        if self.augmentation.alters:
            seed = self.training.seed
            views = [View(self.augmentation, seed, number) for number in range(self.views)]
        train, valid = self._split("train"), self._split("valid")
        return inputs.knows(valid) and all(inputs.knows(train, view) for view in views)

    def _training_rows(self, seed: int) -> "Rows":
        from secchi.training.loop import Rows

        self.extract()
        split = self._split("train")
        inputs = self._network_inputs().augmented(split, self.augmentation, self.views, seed)
        return Rows(inputs, self._labels("train"))

    def _rows(self, split: str) -> "Rows":
        from secchi.training.loop import Rows

        labels = self._labels(split)
        self.extract()
        return Rows(self._network_inputs().plain(self._split(split)), labels)

    def _parameter_groups(self) -> "list[ParameterGroup]":
        from secchi.training.optimizers import ParameterGroup, one_group

        if self._network is None:
            return one_group(self.head)
        return [ParameterGroup(name, ps) for name, ps in self._network.trained_groups()]

    def _check_rates(self, training: Training) -> None:
        """Refuse more rates than there are layer groups to train, before any work."""
        spread(training.rates, len(self._network.trained_groups()) if self._network else 1)

    def _prepare_to_train(self, training: Training) -> None:
        """Settle how batch normalisation behaves, and say what a person should know."""
        if self._network is None or not self._trains_body:
            return
        wanted = training.batch_statistics
        self._network.batch_statistics = (
            self.backbone.weights == RANDOM if wanted is None else wanted
        )
        trained = [name for name, _ in self._network.trained_groups()]
        execution = self._execution()
        compiled = ", compiled" if execution.compiled else ""
        self._tell_once(
            f"training {trained[0]} to {trained[-1]} in {execution.precision} on "
            f"{execution.device}{compiled}"
        )

    def _execution(
        self, rows: "Rows | None" = None, training: Training | None = None
    ) -> "Execution":
        """Where the network computes; for training, how many rows at once too."""
        from secchi.models.groups import uses_batch_statistics
        from secchi.training.loop import Execution

        device = resolve_device(self.device)
        if self._network is None or not self._trains_body:
            return Execution(device)
        micro = None
        if rows is not None and training is not None and device == "cpu":
            mode = self._network.training
            by_batches = uses_batch_statistics(self._network.train())
            self._network.train(mode)
            if not by_batches:
                micro = self._step_memory(training, rows).fast_rows
        precision = resolve_precision(self.precision, device)
        return Execution(device, precision, micro, self._compile)

    def _step_memory(self, training: Training, rows: "Rows | None" = None) -> "StepMemory":
        import numpy as np
        import torch

        from secchi.training.memory import step_memory

        execution = self._execution()
        inputs = (rows or self._rows("train")).inputs.take(np.arange(4) % len(self.data.train))
        network, mode = self._trained.to(execution.device), self._trained.training
        given = torch.from_numpy(inputs).to(execution.device)
        memory = step_memory(network.train(), given, training, execution.precision)
        network.train(mode)
        return memory

    def _said(self, split: str, inputs: Any) -> "Predictions":
        """The predictions for inputs of a split's pictures."""
        from secchi.inspection.predictions import Predictions
        from secchi.training.loop import outputs_of

        pictures = self._split(split)
        outputs: Tensor = outputs_of(
            self._trained, inputs, self.data.task.outputs, self._execution()
        )
        labels = None if pictures.sealed else pictures.labels
        return Predictions.of(self.data.task, tuple(pictures.files), outputs, labels)

    def _preparation_of(self, network: "Network") -> Preparation:
        """The body of a network as it was trained, made ready like one from a file."""
        from safetensors.torch import save

        state = {k: v.detach().cpu().contiguous() for k, v in network.body.state_dict().items()}
        blob = save(state)
        digest = hashlib.sha256(blob).hexdigest()[:32]
        file = temporary_bodies() / f"{digest}.safetensors"
        if not file.exists():
            file.write_bytes(blob)
        size = self._preparation.transform.size
        backbone = dataclasses.replace(self.backbone, weights=str(file), size=size)
        return Preparation(backbone, self.cache, self.device)

    # ---------------------------------------------------------------- going on

    def _going_on(self) -> Journal | None:
        """What this run has done so far, where it keeps that."""
        if self._resume is None:
            return None
        if self._journal is None:
            self.extract()
            key = self._key()
            named = None if self._resume in ("auto", "fresh") else self._resume
            if self._resume != "fresh" and self._run.resume(key, named):
                self.console.line(f"going on with the unfinished run {self._run.path}")
            else:
                self._run.begin(key)
            self._journal = Journal(self._run, self._checkpoint_seconds)
        return self._journal

    def _key(self) -> dict[str, Any]:
        """What this learner does, as far as it is known before training."""
        return {
            "data": self.data.fingerprint(),
            "task": self.data.task.to_dict(),
            "body": self._preparation.wait().digest,
            "training": self.training.to_dict(),
            "device": resolve_device(self.device),
            "precision": resolve_precision(self.precision, resolve_device(self.device)),
            "purpose": self._purpose,
        }

    def _call(self, training: Training, metrics: Sequence[str]) -> dict[str, Any]:
        """What one call of :meth:`fit` does."""
        return {
            "training": training.to_dict(),
            "metrics": list(metrics),
            "first_epoch": self._epochs,
            "frozen": self._network.frozen if self._network else None,
            "augmentation": self.augmentation.to_dict(),
            "views": self.views,
        }

    # ---------------------------------------------------------------- small things

    def _split(self, name: str) -> PictureSplit:
        if name not in self.data.splits:
            known = ", ".join(self.data.splits)
            hint = did_you_mean(name, self.data.splits)
            raise DataError(f"there is no split {name!r}, only {known}{hint}")
        return self.data.splits[name]

    def _labels(self, split: str) -> Labels:
        labels = self._split(split).labels
        if labels is None:
            raise DataError(f"the pictures of {split!r} have no labels")
        return labels

    def _tell_once(self, line: str) -> None:
        """Show a line that was not shown before."""
        if line not in self._told:
            self._told.add(line)
            self.console.line(line)

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
        trouble = self._preparation.wait().trouble
        if trouble:
            self.console.line(f"OpenVINO could not take {self.backbone.name!r}: {trouble}")


class _EpochLines:
    """Shows a line an epoch, under a heading."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._heading_is_due = True

    def __call__(self, epoch: Epoch) -> None:
        if self._heading_is_due:
            self._console.line(Epoch.heading(list(epoch.metrics)))
            self._heading_is_due = False
        self._console.line(str(epoch))


def _checked_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w. -]*", name):
        raise BundleError(f"{name!r} cannot be a name; use letters, digits, '_', '-' and '.'")
