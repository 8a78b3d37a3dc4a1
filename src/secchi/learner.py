"""The façade: what a person types."""

import dataclasses
import datetime
import json
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secchi.console import Console
from secchi.data.images import ImageData
from secchi.data.pictures import Scratch
from secchi.data.table import TableData
from secchi.data.task import Kind
from secchi.errors import BundleError, DataError, PictureError, SpecError, did_you_mean
from secchi.features.cache import FeatureCache
from secchi.features.extract import Extraction
from secchi.features.runtimes import check_setting
from secchi.features.table import FeatureData
from secchi.features.views import View
from secchi.files import folder_written_aside, write_json
from secchi.models.backbones import PRETRAINED, Backbone
from secchi.picture_trainee import PictureTrainee
from secchi.runs import Journal, RunFolder, read_run, seconds_between_checkpoints
from secchi.table_trainee import TableTrainee
from secchi.trainee import Trainee
from secchi.training.history import Epoch, History
from secchi.training.metrics import check_metrics, default_metric
from secchi.training.spec import Training
from secchi.transforms.augment import Augmentation
from secchi.values import is_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from secchi.bundle.bundle import Bundle
    from secchi.experiments.cross_validation import CrossValidation
    from secchi.experiments.experiment import Experiment
    from secchi.experiments.growing.learning_curve import LearningCurve
    from secchi.experiments.result import Result
    from secchi.inspection.baselines import Baselines
    from secchi.inspection.boundaries import Boundary
    from secchi.inspection.predictions import Predictions
    from secchi.inspection.sealed import TestResult
    from secchi.inspection.slices import Slices
    from secchi.models.heads import Head
    from secchi.models.network import LayerGroups
    from secchi.models.summary import Summary
    from secchi.recipe import Recipe
    from secchi.training.evaluation import Evaluation
    from secchi.training.lr_finder import LearningRateSearch
    from secchi.training.plan import SchedulePlan

# Modules that import torch are imported where they are used: making a learner starts the process
# that makes the body ready, and torch is imported while that works.


class Learner:
    """A network, and the pictures or the table that it learns from.

    For pictures it is a body with a head on it. The body is frozen until :meth:`unfreeze` or
    :meth:`freeze_to`: its output is computed once, when it is first needed, and kept in the cache,
    and so is that of whatever part of it is frozen later. Making a learner starts to make the body
    ready.

    Args:
        data: Pictures or a table. Pictures that turn out to be unreadable are set aside in it,
            with their reasons, before training.
        model: For pictures the body (:class:`secchi.Backbone`); None takes ``lite0``. For a table
            a :class:`secchi.MLP`, or any module, or a class or function that is called with the
            numbers of inputs and outputs; None takes two hidden layers of 64 units.
        training: How it is trained where :meth:`fit` is not told otherwise.
        metrics: What is measured on the validation rows after each epoch: accuracy, error_rate,
            top_3, f1, auc; r, r2, mae for numbers. None takes accuracy, or mae.
        seed: Names every random choice; the same seed gives the same numbers. None takes the
            training's.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: Of the body: ``"auto"``, ``"fp32"`` or ``"bf16"``; of a network on a table
            ``"fp32"`` or ``"fp64"``.
        compile: Let torch compile what trains of the body, which takes a minute first.
        cache: Where features of pictures are kept; None takes the user's cache folder.
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
        data: ImageData | TableData,
        model: Any = None,
        training: Training | None = None,
        *,
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
        self.data = data
        self.console = console or Console()
        self.history: History | None = None
        usual = TableTrainee.TRAINING if isinstance(data, TableData) else Training()
        self.training = (training or usual).but(seed=seed)
        self.metrics = tuple(metrics or usual_metrics(data))
        check_metrics(self.metrics, data.task)
        self._run = RunFolder(Path(os.path.abspath(os.fspath(out))), data.name)
        self._resume = resume
        if resume not in (None, "auto", "fresh"):
            self._run.unfinished(resume)  # faults before the work
        self._purpose = dict(purpose or {})
        self._checkpoint_seconds = seconds_between_checkpoints(checkpoint_seconds)
        self._journal: Journal | None = None
        self._trainee: Trainee
        if isinstance(data, TableData):
            self._trainee = TableTrainee(
                data, model, self.console, device, precision, self.training.seed
            )
        else:
            check_setting(device, precision)
            self._trainee = PictureTrainee(
                data,
                model or Backbone(size=data.size),
                cache or FeatureCache(),
                self.console,
                device=device,
                precision=precision,
                compile=compile,
                seed=self.training.seed,
            )
        self._tested: TestResult | None = None
        self._epochs = 0
        self._training_seconds = 0.0

    def __repr__(self) -> str:
        trained = f"{self._epochs:,} epochs" if self._epochs else "not trained yet"
        return f"<Learner on {self.data!r}: {trained}>"

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

    @classmethod
    def from_run(cls, run: str | os.PathLike[str], **options: Any) -> "Learner":
        """The learner of a finished run on a table, as it stood when the run was saved.

        The table is read again from where it was, in the same way.

        Args:
            run: The run's folder.
            **options: As for :class:`Learner`, such as ``console``; ``training`` where its loss is
                one's own, which no file holds.

        Raises:
            BundleError: It is no run on a table, or not as it was written; or the network is a
                module of one's own, which no file holds.
            DataError: The table is not there any more, or its rows have changed.

        For example::

            print(Learner.from_run(net.save_run()).test("the choices are made"))
        """
        from secchi.table_trainee import model_of

        folder = Path(os.path.abspath(os.fspath(run)))
        record = read_run(folder)
        if not record.get("source"):
            raise BundleError(
                f"the run {folder} is not of a table that was read from a file; with what it was "
                "trained on, learn.test(reason) judges it"
            )
        data = TableData.read_again(record["source"])
        if data.fingerprint() != record["data"]["fingerprint"]:
            raise DataError(
                f"the rows of {record['source']['path']} have changed since the run {folder.name}: "
                "its test set is not the one that was sealed"
            )
        given = {
            "training": Training.from_dict(record["training"]),
            "metrics": record["metrics"],
            "precision": record["precision"],
            **options,
        }
        learn = cls(data, model_of(record), out=folder.parent, **given)
        learn._bring_back(folder / "checkpoint")
        learn._run = RunFolder.at(folder)
        if learn.history and "training" in options:
            learn.history = dataclasses.replace(learn.history, training=learn.training)
        return learn

    # ---------------------------------------------------------------- what trains

    @property
    def head(self) -> "Head":
        """The layers on top of the body.

        For example::

            print(learn.head.inputs, learn.head.outputs)
        """
        return self._pictures("a head").head

    @property
    def network(self) -> "nn.Module":
        """What is trained: for pictures the body and the head together, frozen up to some point.

        For example::

            print(learn.network)
        """
        trainee = self._trainee
        return trainee.network if isinstance(trainee, PictureTrainee) else trainee.trained

    @property
    def backbone(self) -> Backbone:
        """The body of a learner on pictures.

        For example::

            print(learn.backbone.name)
        """
        return self._pictures("a backbone").backbone

    @property
    def cache(self) -> FeatureCache:
        """Where features of pictures are kept.

        For example::

            print(learn.cache.root)
        """
        return self._pictures("a cache").cache

    @property
    def augmentation(self) -> Augmentation:
        """How training pictures are changed; :meth:`augment` sets it.

        For example::

            print(learn.augmentation.name)
        """
        return self._pictures("augmentation").augmentation

    def groups(self) -> "LayerGroups":
        """The layer groups by name, with their parameters, and which of them train.

        For example::

            print(learn.groups())
        """
        from secchi.models.network import LayerGroups

        network = self._pictures("layer groups").network
        return LayerGroups(network.groups, network.frozen)

    def freeze(self) -> "Learner":
        """Let the head alone train, which it does from the start.

        For example::

            learn.freeze().fit(1e-2, epochs=1)
        """
        self._pictures("frozen layers").freeze()
        return self

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
        self._pictures("frozen layers").freeze_to(group)
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
        _check_views(views)
        self._pictures("augmentation").augment(Augmentation.named(name, **changes), views)
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

        trainee = self._pictures("augmentation")
        pictures = trainee.data.split(split)
        if not -len(pictures) <= index < len(pictures):
            raise DataError(f"{split!r} has the pictures 0 to {len(pictures) - 1}, no {index}")
        file = [(pictures.digests[index], pictures.files[index])]
        transform = trainee.preparation.transform
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

    def summary(self, depth: int | None = 2) -> "Summary":
        """The layers of what is trained: their shapes, parameters, and which of those train.

        Args:
            depth: How deep layers within layers are listed; None lists all.

        For example::

            print(learn.summary())
        """
        from secchi.models.summary import summary

        return summary(self._trainee.trained, self._trainee.example(), depth)

    def draw_network(self) -> "Figure":
        """Draw the network of a table: its layers with their units.

        For example::

            net.draw_network().savefig("network.png")
        """
        from secchi.models.summary import draw_network

        trainee = self._table("the picture of a network")
        return draw_network(trainee.model, trainee.transform.width, trainee.data.task.outputs)

    # ---------------------------------------------------------------- questions about a table

    def baselines(self, target: str | None = None) -> "Baselines":
        """What simpler methods come to on the same rows: the right tool first.

        The majority or the mean, logistic or linear regression, k-means and gradient-boosted trees
        learn from the training rows, and are judged by the validation rows like the network, with
        the difference and its interval.

        Args:
            target: Which, of several.

        For example::

            print(net.baselines())
        """
        self._tell_untrained()
        return self._table("baselines").baselines(target, self._last_training())

    def slices(
        self, split: str = "valid", *, target: str | None = None, pairs: bool = False
    ) -> "Slices":
        """Which ranges of which columns give trouble, the worst first, and whether that is noise.

        Args:
            split: Of which rows.
            target: Which, of several.
            pairs: Whether two columns at a time are looked at too.

        For example::

            print(net.slices())
        """
        self._tell_untrained()
        found = self._table("slices").slices(split, target, pairs, self._last_training())
        self._count_look(split)
        return found

    def boundary(self, split: str = "valid") -> "Boundary":
        """What a network on two columns says everywhere; ``.plot()`` draws the regions.

        Args:
            split: Whose rows are drawn too.

        For example::

            plane.boundary().plot().savefig("boundary.png")
        """
        found = self._table("boundaries").boundary(split)
        self._count_look(split)
        return found

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
            lr: The learning rate; None takes the one of :attr:`training` (0.01, or 0.003 for a
                table). Two are those of the first and the last trained layer group, with the ones
                between in even ratios; more are shared out over the groups in their order, the last
                one for the head.
            epochs: Passes over the training rows; None likewise: 10, or 100 for a table.
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
        trainee = self._trainee
        trainee.check(training)
        rows = {"train": trainee.training_rows(training.seed), "valid": trainee.rows("valid")}
        started = time.perf_counter()
        show = _EpochLines(self.console, training.epochs)
        journal, key = self._going_on(), self._call(training, names)
        trainee.will_train()  # also where training is interrupted
        history = journal.finished(key, trainee.trained) if journal else None
        if history is not None:
            history = dataclasses.replace(history, training=training)  # with a loss of one's own
            for epoch in history.epochs:
                show(epoch)
        else:
            trainee.prepare_to_train(training)
            with self.console.progress("training") as progress:
                history = train(
                    trainee.trained,
                    rows["train"],
                    rows["valid"],
                    training,
                    metrics=names,
                    groups=trainee.parameter_groups(),
                    first_epoch=self._epochs,
                    execution=trainee.execution(rows["train"], training),
                    mixing=trainee.mixing,
                    units=trainee.units,
                    equal_batches=trainee.equal_batches,
                    observe=show,
                    progress=progress,
                    tell=self.console.line,
                    keeper=journal.keeper(key) if journal else None,
                )
            if journal:
                journal.note(key, history, trainee.trained)
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
        names, equal = self._trainee.trained_names, self._trainee.equal_batches
        weights = self.data.train.labels.weights if self.data.train.labels else None
        rows = len(self.data.train) if weights is None else int((weights > 0).sum())
        return SchedulePlan.of(training, names, rows, equal)

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
        trainee = self._trainee
        trainee.check(training)
        rows = trainee.training_rows(training.seed)
        trainee.prepare_to_train(training)
        quick = trainee.quick
        with self.console.progress("finding the rate", "steps") as progress:
            return find_lr(
                trainee.trained,
                rows,
                trainee.rows("valid"),
                training,
                groups=trainee.parameter_groups(),
                first_epoch=self._epochs,
                execution=trainee.execution(rows, training)._replace(compiled=False),
                mixing=trainee.mixing,
                units=trainee.units,
                equal_batches=trainee.equal_batches,
                metric=self.metrics[0],
                steps=steps,
                looks=steps if quick else 20,
                most_valid_rows=1000 if quick else 128,
                progress=progress,
            )

    def evaluate(self, split: str = "valid") -> dict[str, float]:
        """Loss and metrics on a split, as it stands now.

        A look at the test split is counted in the ledger, and how many there were is told.

        Raises:
            SealedError: The test split, before ``data.open_test``.

        For example::

            print(learn.evaluate("valid")["accuracy"])
        """
        if split == "test":
            return self._count_look(split)
        judged = self._judged(split)
        return {"loss": judged.loss, **judged.metrics}

    def test(self, reason: str) -> "TestResult":
        """Open the test split, and judge the network by it as it stands now.

        Args:
            reason: Why now, in words; it is kept in the ledger of looks at test sets.

        Returns:
            Loss and metrics, how often this test set was looked at and by which models, and how
            much choosing the best of them flatters it. Print it.

        Raises:
            DataError: There is no test split, or no reason.

        For example::

            print(net.test("the choices are made"))
        """
        self._trainee.check(self._last_training())
        self._trainee.prepare()  # faults before the ledger says that it was opened
        self.data.open_test(reason)
        return self._look()

    def _count_look(self, split: str) -> dict[str, float]:
        """Where a split is the test split, count the look at it, and say how many there were."""
        if split != "test":
            return {}
        result = self._look()
        self.console.line(str(result.report))
        return result.scores

    def _tell_untrained(self) -> None:
        if not self._epochs:
            self.console.line("the network is not trained yet: it is judged by its first weights")

    def _last_training(self) -> Training:
        """How it was trained last; before, how it would be."""
        return self.history.training if self.history else self.training

    def _judged(self, split: str) -> "Evaluation":
        from secchi.training.evaluation import evaluate

        trainee = self._trainee
        return evaluate(
            trainee.trained,
            trainee.rows(split),
            metrics=self.metrics,
            execution=trainee.execution(),
            training=self._last_training(),
            units=trainee.units,
        )

    def _look(self) -> "TestResult":
        """Judge the network by the opened test split; that is counted."""
        from secchi.inspection.sealed import look
        from secchi.training.checkpoint import weights_digest

        judged = self._judged("test")
        scores = {"loss": judged.loss, **judged.metrics}
        seal = self.data.seal
        if seal is None:
            raise DataError(f"the test split of {self.data.name} has not been opened")
        model = weights_digest(self._trainee.trained)
        made = self._run.made
        name = made.name if made else model[:12]
        predictions = self._trainee.predictions("test", self._last_training())
        self._tested = look(predictions, scores, seal, model=model, name=name)
        return self._tested

    def memory_estimate(self, batch_size: int | None = None) -> int:
        """The bytes that a training step would take at most, measured on a few pictures.

        They are within 25 % of what a step really takes, where that is more than 100 MB; what
        Python, torch and the operating system take beside it is not counted.

        Args:
            batch_size: Rows computed at once; None takes the training's.

        For example::

            print(learn.memory_estimate(batch_size=64) / 1e6, "MB")
        """
        memory = self._trainee.step_memory(self.training)
        return memory.of(batch_size or self.training.batch_size)

    # ---------------------------------------------------------------- experiments

    def experiment(
        self, vary: Mapping[str, Any] | None = None, repeats: int = 1, **options: Any
    ) -> "Experiment":
        """What varies around this learner: its data, model and training are the base setting.

        For a table it is the table and its network. For pictures it is their :meth:`features`, as
        they are without augmentation, and a head on them, ``MLP([], init="zeros")``; of an epoch's
        pictures those are left out that fill no batch, as :meth:`fit` does with
        ``drop_last=True``. Whatever was trained so far does not matter.

        Args:
            vary: The values of each factor; see :class:`secchi.Experiment`.
            repeats: How many times each setting is trained.
            **options: Other arguments of :class:`secchi.Experiment`, which stand before the
                learner's own: ``model=MLP([64])`` has a hidden layer in the head.

        Raises:
            SpecError: With every fault at once.

        For example::

            print(learn.experiment({"lr": [1e-3, 1e-2]}, repeats=3).plan())
        """
        from secchi.experiments.experiment import Experiment
        from secchi.experiments.experiment_faults import check_names
        from secchi.models.mlp import MLP

        check_names(options)
        own: dict[str, Any] = {"training": self.training, "metrics": self.metrics}
        own["seed"] = self.training.seed
        trainee = self._trainee
        if isinstance(trainee, TableTrainee):
            own |= {"data": self.data, "model": trainee.model, "precision": trainee.precision}
        else:
            own |= {"data": self.features(), "model": MLP([], init="zeros")}
        return Experiment(vary=vary, repeats=repeats, **(own | options))

    def vary(
        self,
        vary: Mapping[str, Any],
        repeats: int = 5,
        *,
        store: str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        **options: Any,
    ) -> "Result":
        """Train :meth:`experiment`: heads on the pictures' features, or networks on the table.

        Args:
            vary: The values of each factor.
            repeats: How many times each setting is trained.
            store: A file that keeps what is finished; None keeps all in memory.
            jobs: How many processor cores work; None takes all.
            **options: As for :meth:`experiment`.

        For example::

            print(learn.vary({"lr": [1e-3, 1e-2], "input_dropout": [0, 0.5]}, repeats=3).best())
        """
        from secchi.experiments.experiment_faults import check_names

        check_names(options, ("store", "jobs"))
        return self.experiment(vary, repeats, **options).run(store, jobs=jobs)

    def cross_validate(
        self,
        k: int = 5,
        repeats: int = 1,
        *,
        store: str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        **options: Any,
    ) -> "CrossValidation":
        """Scores when every row of training and validation validates once.

        The network is that of :meth:`experiment`. The interval of the mean does not take folds for
        independent trials (Nadeau and Bengio 2003). What a ``group_column`` of the data says to
        belong together, such as the pictures of one patient, is never parted.

        Args:
            k: How many folds.
            repeats: How many times, each with other folds.
            store: As for :meth:`vary`.
            jobs: Likewise.
            **options: As for :meth:`experiment`.

        For example::

            print(learn.cross_validate(k=3))
        """
        from secchi.experiments.cross_validation import cross_validate

        return cross_validate(self.experiment(**options), k, repeats, store=store, jobs=jobs)

    def learning_curve(
        self,
        fractions: Sequence[float] | None = None,
        repeats: int = 10,
        *,
        measure: str | None = None,
        store: str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        **options: Any,
    ) -> "LearningCurve":
        """The error by the number of training rows, and what more of them would bring.

        The network is that of :meth:`experiment`. ``.at(5000)`` says what to expect of so many,
        ``.plot()`` draws it.

        Args:
            fractions: Shares of the training rows, four or more; None takes nine.
            repeats: How many times, each with another order of the rows.
            measure: Such as ``"valid_loss"``; None takes the first metric.
            store: As for :meth:`vary`.
            jobs: Likewise.
            **options: As for :meth:`experiment`.

        For example::

            print(net.learning_curve([0.2, 0.4, 0.7, 1], repeats=3))
        """
        from secchi.experiments.growing.growing_rows import learning_curve

        base = self.experiment(**options)
        return learning_curve(base, fractions, repeats, measure=measure, store=store, jobs=jobs)

    # ---------------------------------------------------------------- features and predictions

    def features(self) -> FeatureData:
        """The features of all pictures, computed if they are not known, as a table.

        They are those of the body as it came, whatever was trained since.

        Raises:
            BackboneError: The body could not be made ready.
            DataError: More than half of the pictures cannot be read.

        For example::

            print(learn.features().split("train").take(slice(0, 4)).shape)
        """
        trainee = self._pictures("features")
        extraction = trainee.extract()
        return FeatureData.of(trainee.data, extraction, trainee.preparation.wait().digest)

    def extract(self) -> Extraction:
        """Compute what the cache does not know of all splits, once; unreadable ones are set aside.

        Raises:
            BackboneError: The body could not be made ready.
            DataError: More than half of the pictures cannot be read.

        For example::

            print(learn.extract().runtime)
        """
        return self._pictures("features").extract()

    def predictions(self, split: str = "valid") -> "Predictions":
        """What the network says of a split's rows, beside what is true of them.

        The labels of test pictures are left out until ``data.open_test`` has opened them, and so
        are whole rows of a table; behind that, each call is a look that the ledger counts.

        For example::

            learn.predictions("valid").plot(count=4).savefig("predictions.png")
        """
        self._tell_untrained()
        predictions = self._trainee.predictions(split, self._last_training())
        if predictions.labels is not None:
            self._count_look(split)
        return predictions

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

        Raises:
            SpecError: An augmentation that cannot be, changes nothing, or mixes pictures.

        For example::

            print(learn.tta("valid", views=2).metric("accuracy"))
        """
        from secchi.inspection.comparison import compare
        from secchi.inspection.predictions import Predictions

        _check_views(views)
        trainee = self._pictures("augmentation")
        change = Augmentation.named(augmentation, **{"max_zoom": 1.0, **changes})
        if change.mixes or not change.alters:
            fault = "mixes pictures" if change.mixes else "changes nothing"
            raise SpecError("these views cannot be", [f"{change.name!r} {fault}"])
        plain = self.predictions(split)
        versions = (View(change, self.training.seed, number) for number in range(views))
        others = [trainee.predictions(split, self._last_training(), view) for view in versions]
        averaged = Predictions.averaged([plain, *others])
        if averaged.labels is not None:
            measures = ["loss"]
            if len(self.data.task.targets) == 1 and trainee.data.classes:
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
        label_smoothing: float = 0.1,
    ) -> "Recipe":
        """Train by the lesson's eight steps, each said with what it decided and why.

        Rates, epochs, schedule and label smoothing are the recipe's, everything else is
        :attr:`training`'s; its rate is taken where the search is skipped or finds none.

        Args:
            skip: Steps to leave out: augment, find, features, restarts, unfreeze, rates,
                find_again, cycles.
            freeze_to: The first layer group that trains once the body does; 0 trains everything,
                a later one reads cached activations and takes a fraction of the time.
            augmentation: How pictures are changed; see :meth:`augment`.
            max_zoom: How far they are enlarged.
            views: How many versions of a picture are kept, and averaged in the end.
            cycles: The most cycles of the last step; they last 1, 2, 4, … epochs.
            label_smoothing: In every step.

        Returns:
            A table of what each step brought; the learner has the best weights.

        Raises:
            SpecError: A step that there is not, or a value that cannot be.

        For example::

            print(learn.recipe(skip=["find", "find_again"], freeze_to="blocks.6", cycles=1))
        """
        from secchi.recipe import RecipeSpec, follow_recipe

        spec = RecipeSpec(
            tuple(skip), freeze_to, augmentation, max_zoom, views, cycles, label_smoothing
        )
        self._pictures("the recipe")
        return follow_recipe(self, spec)

    def predict(self, *rows: Any) -> "Predictions":
        """Predict pictures, or rows of a table, from anywhere.

        Args:
            *rows: Paths of pictures, and of folders of which every picture is taken; or one table:
                a file of comma-separated values, a pandas frame, or an array.

        Raises:
            DataError: A path that does not exist, no picture at all, or a column that is missing.

        For example::

            print(learn.predict("dogscats/valid").to_frame())
        """
        if isinstance(self._trainee, PictureTrainee):
            with self.console.progress("features") as progress:
                return self.bundle().predict(rows, progress)
        if len(rows) != 1:
            raise DataError(f"one table is predicted at a time, and {len(rows)} are given")
        return self.bundle().predict(rows[0])

    def bundle(self) -> "Bundle":
        """The model as it stands now, ready to predict or to be saved; later training spares it.

        For example::

            learn.bundle().save("dogs-or-cats")
        """
        return self._trainee.bundle()

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
        self._trainee.prepare()
        with self._run.writing():
            folder = self.run / "checkpoints" / name
            self._trainee.write_checkpoint(folder, self._so_far())
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
            if record.get("of") == self._trainee.identity():
                self._bring_back(folder)
                return self
        if folders:
            raise BundleError(
                f"{name!r} was saved in {out} only for other classes or another backbone or "
                "network, or for rows that are prepared otherwise"
            )
        known = sorted({p.name for p in out.glob("*/checkpoints/[!.]*")})
        raise BundleError(f"nothing called {name!r} was saved in {out}{did_you_mean(name, known)}")

    def _bring_back(self, folder: Path) -> None:
        """Take over a checkpoint: weights, epochs, history."""
        from secchi.training.checkpoint import read_record

        record = read_record(folder)
        self._trainee.read_checkpoint(folder, record)
        self._epochs = int(record["epochs"])
        said = record.get("history")
        self.history = History.from_dict(json.loads(said)) if said else None

    def save_run(self) -> Path:
        """Write everything about this run into its folder: the record, history and model.

        With it a run that can be gone on with is finished: nothing is kept of later calls of
        :meth:`fit` until the next one.

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
        self._resume, self._journal = None, None
        return run

    def record(self) -> dict[str, Any]:
        """What ``run.json`` holds: what was asked for, with what, and what came of it.

        For example::

            print(learn.record()["valid"])
        """
        from secchi.bundle.manifest import versions

        about = self._trainee.record()
        return {
            "format": 1,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "task": self.data.task.to_dict(),
            **about,
            "training": self._last_training().to_dict(),
            "metrics": list(self.metrics),
            "epochs": self._epochs,
            "outcome": self.history.outcome.value if self.history else "not trained",
            "train": self.evaluate("train"),
            "valid": self.evaluate("valid"),
            "test_openings": self.data.test_openings,
            "test": self._tested.to_dict() if self._tested else None,
            "seconds": {**about["seconds"], "training": self._training_seconds},
            "versions": versions(),
        }

    def pictures(self) -> dict[str, int]:
        """How many pictures were computed, known to the cache, and skipped.

        For example::

            print(learn.pictures()["cached"])
        """
        return self._pictures("pictures").pictures()

    def _so_far(self) -> dict[str, Any]:
        # As text: JSON has no infinity, and a history may hold one.
        said = json.dumps(self.history.to_dict()) if self.history else None
        return {"epochs": self._epochs, "history": said}

    def _write_run(self, folder: Path, record: dict[str, Any]) -> None:
        if self.history:
            self.history.write_csv(folder / "history.csv")
        self._trainee.write_checkpoint(folder / "checkpoint", self._so_far())
        self.bundle().save(folder / "bundle")
        write_json(folder / "run.json", record)

    # ---------------------------------------------------------------- going on

    def _going_on(self) -> Journal | None:
        """What this run has done so far, where it keeps that."""
        if self._resume is None:
            return None
        if self._journal is None:
            self._trainee.prepare()
            key = {
                **self._trainee.key(),
                "training": _plain(self.training),
                "purpose": self._purpose,
            }
            named = None if self._resume in ("auto", "fresh") else self._resume
            if self._resume != "fresh" and self._run.resume(key, named):
                self.console.line(f"going on with the unfinished run {self._run.path}")
            else:
                self._run.begin(key)
            self._journal = Journal(self._run, self._checkpoint_seconds)
        return self._journal

    def _call(self, training: Training, metrics: Sequence[str]) -> dict[str, Any]:
        """What one call of :meth:`fit` does."""
        return {
            "training": _plain(training),
            "metrics": list(metrics),
            "first_epoch": self._epochs,
            **self._trainee.start(),
        }

    def _table(self, what: str) -> TableTrainee:
        """What is trained on a table; pictures have no such thing."""
        if not isinstance(self._trainee, TableTrainee):
            raise SpecError(
                "this learner learns from pictures", [f"{what} is only there for tables"]
            )
        return self._trainee

    def _pictures(self, what: str) -> PictureTrainee:
        """What is trained on pictures; a table has no such thing."""
        if not isinstance(self._trainee, PictureTrainee):
            raise SpecError(
                "this learner learns from a table", [f"{what} is only there for pictures"]
            )
        return self._trainee


def _plain(training: Training) -> dict[str, Any]:
    """A training as plain values, in which two losses of one's own differ where they do."""
    from secchi.training.own_loss import loss_identity

    return training.to_dict() | {"loss": loss_identity(training.loss)}


def usual_metrics(data: ImageData | TableData) -> list[str]:
    """What is measured where nobody says: accuracy, and of numbers how near they are.

    Of tables that is the correlation with the truth, of pictures the mean absolute error.
    """
    names = [
        "r"
        if isinstance(data, TableData) and target.kind is Kind.REGRESSION
        else default_metric(target)
        for target in data.task.targets
    ]
    return list(dict.fromkeys(names))


_MOST_LINES = 20
"""Of twice as many epochs and more, about so many are shown; the history has all."""

_LONGEST_SILENCE = 2.0
"""Seconds after which the next epoch is shown in any case."""


class _EpochLines:
    """Shows a line an epoch, under a heading; of many epochs some."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._heading_is_due = True
        self._every = max(1, epochs // _MOST_LINES)
        self._seen, self._shown = 0, time.perf_counter()

    def __call__(self, epoch: Epoch) -> None:
        self._seen += 1
        waited = time.perf_counter() - self._shown
        if (self._seen - 1) % self._every and waited < _LONGEST_SILENCE:
            return
        self._shown = time.perf_counter()
        if self._heading_is_due:
            self._console.line(Epoch.heading(list(epoch.metrics)))
            self._heading_is_due = False
        self._console.line(str(epoch))


def _check_views(views: int) -> None:
    if not (is_whole(views) and views >= 1):
        raise SpecError("this augmentation cannot be", [f"views is {views!r}, not 1 or more"])


def _checked_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w. -]*", name):
        raise BundleError(f"{name!r} cannot be a name; use letters, digits, '_', '-' and '.'")
