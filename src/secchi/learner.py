"""The façade: what a person types."""

import contextlib
import copy
import dataclasses
import datetime
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secchi.console import Console
from secchi.data.images import ImageData
from secchi.data.picture_split import PictureSplit
from secchi.errors import BundleError, DataError, SecchiError, did_you_mean
from secchi.features.cache import FeatureCache, FeatureTable
from secchi.features.extract import Extraction, extract
from secchi.features.prepare import Preparation
from secchi.features.runtimes import check_setting, resolve_device
from secchi.files import folder_written_aside, write_json
from secchi.models.backbones import PRETRAINED, Backbone
from secchi.training.history import Epoch, History
from secchi.training.metrics import check_metrics, default_metric
from secchi.training.spec import Training

if TYPE_CHECKING:
    from secchi.bundle.bundle import Bundle
    from secchi.inspection.predictions import Predictions
    from secchi.models.heads import Head
    from secchi.training.loop import Rows

# Modules that import torch are imported where they are used: making a learner starts the process
# that makes the body ready, and torch is imported while that works.


class Learner:
    """A frozen body, a head that learns, and the pictures it learns from.

    Making one starts to make the body ready; the pictures' features are computed once, when they
    are first needed, and kept in the cache.

    Args:
        data: The pictures. Those that turn out to be unreadable are set aside in it, with their
            reasons, before training.
        backbone: The body; None takes ``lite0``.
        training: How the head is trained where :meth:`fit` is not told otherwise.
        metrics: What is measured on the validation pictures after each epoch: accuracy,
            error_rate, top_3, f1, auc; r2 and mae for numbers. None takes accuracy, or mae.
        seed: Names every random choice; the same seed gives the same numbers. None takes the
            training's.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: Of the body: ``"auto"``, ``"fp32"`` or ``"bf16"``.
        cache: Where features are kept; None takes the user's cache folder.
        out: The folder that runs go into.
        console: Where lines and progress go; None takes standard output.

    Raises:
        SpecError: A setting that cannot be.
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
        cache: FeatureCache | None = None,
        out: str | os.PathLike[str] = "runs",
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
        self._out = Path(os.path.abspath(os.fspath(out)))
        self._run: Path | None = None
        self._preparation = Preparation(self.backbone, self.cache, device)
        self._extraction: Extraction | None = None
        self._head: Head | None = None
        self._epochs = 0
        self._training_seconds = 0.0

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
        """
        body = Backbone(backbone, os.fspath(weights), data.size, seed or 0)
        return cls(data, body, seed=seed, **options)

    # ---------------------------------------------------------------- training

    def fit(
        self,
        lr: float | None = None,
        epochs: int | None = None,
        *,
        metrics: Sequence[str] | None = None,
        **changes: Any,
    ) -> History:
        """Train the head, and show a line an epoch.

        A second call goes on from where the first one ended.

        Args:
            lr: The learning rate; None takes the one of :attr:`training` (0.01).
            epochs: Passes over the training pictures; None likewise (10).
            metrics: What is measured after each epoch; None takes :attr:`metrics`.
            **changes: Other fields of :class:`secchi.Training` for this call: batch_size,
                optimizer, weight_decay, seed.

        Returns:
            This call's epochs; :attr:`history` has those of every call.

        Raises:
            SpecError: A setting that cannot be.
        """
        from secchi.training.loop import train

        training = self.training.but(lr=lr, epochs=epochs, **changes)
        names = list(metrics or self.metrics)
        check_metrics(names, self.data.task)
        rows = {split: self._rows(split) for split in ("train", "valid")}
        started = time.perf_counter()
        heading_is_due = True

        def show(epoch: Epoch) -> None:
            nonlocal heading_is_due
            if heading_is_due:
                self.console.line(Epoch.heading(list(epoch.metrics)))
                heading_is_due = False
            self.console.line(str(epoch))

        history = train(
            self.head,
            rows["train"],
            rows["valid"],
            training,
            metrics=names,
            first_epoch=self._epochs,
            device=resolve_device(self.device),
            observe=show,
        )
        self._epochs += len(history.epochs)
        self._training_seconds += time.perf_counter() - started
        self.history = self.history.joined(history) if self.history else history
        if history.outcome != history.outcome.COMPLETED:
            self.console.line(str(history.outcome.value))
        return history

    @property
    def head(self) -> "Head":
        """What is trained."""
        from secchi.models.heads import head_for

        if self._head is None:
            table = self.features("train")
            self._head = head_for(self.data.task, table.width)
            self._head.fit_center(table.chunks())
        return self._head

    def evaluate(self, split: str = "valid") -> dict[str, float]:
        """Loss and metrics on a split, as it stands now.

        Raises:
            SealedError: The test split, before ``data.open_test``.
        """
        from secchi.training.loop import evaluate

        result = evaluate(
            self.head, self._rows(split), metrics=self.metrics, device=resolve_device(self.device)
        )
        return {"loss": result.loss, **result.metrics}

    # ---------------------------------------------------------------- features and predictions

    def features(self, split: str = "train") -> FeatureTable:
        """The features of a split's pictures, in their order, computed if they are not known."""
        extraction = self.extract()
        return extraction.table(self._split(split).digests)

    def extract(self) -> Extraction:
        """Compute what the cache does not know of all splits, once; unreadable ones are set aside.

        Raises:
            BackboneError: The body could not be made ready.
            DataError: More than half of the pictures cannot be read.
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
        """What the head says of a split's pictures, beside what is true of them.

        The labels of a test split are left out until ``data.open_test`` has opened it.
        """
        from secchi.inspection.predictions import Predictions
        from secchi.models.heads import outputs_of

        pictures = self._split(split)
        table = self.features(split)
        head = self.head.to("cpu").eval()
        outputs = outputs_of(head, table.chunks())
        labels = None if pictures.sealed else pictures.labels
        return Predictions.of(self.data.task, tuple(pictures.files), outputs, labels)

    def predict(self, *paths: str | os.PathLike[str]) -> "Predictions":
        """Predict pictures from anywhere.

        Args:
            *paths: Pictures, and folders of which every picture is taken.

        Raises:
            DataError: A path that does not exist, or no picture at all.
        """
        with self.console.progress("features") as progress:
            return self.bundle().predict(paths, progress)

    def bundle(self) -> "Bundle":
        """The model as it stands now, ready to predict or to be saved; later training spares it."""
        from secchi.bundle.bundle import Bundle

        self.extract()
        return Bundle(
            self.data.task,
            self.backbone,
            self._preparation.transform,
            copy.deepcopy(self.head).to("cpu").eval(),
            self._preparation,
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
        """
        if self._run is None:
            when = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            name = re.sub(r"[^\w.-]+", "-", os.path.basename(self.data.root))[:40].strip("-.")
            with _writing_to(self._out):
                self._run = _new_folder(self._out, f"{when}-{name or 'run'}")
        return self._run

    def save(self, name: str) -> Path:
        """Keep the head as it is now, under a name, in this run's folder."""
        _checked_name(name)
        self.extract()
        folder = self.run / "checkpoints" / name
        with _writing_to(self._out):
            self._write_checkpoint(folder)
        return folder

    def load(self, name: str) -> "Learner":
        """Bring the head back to what was saved under a name.

        It is looked for in this run's folder, and then in the others beside it, newest first;
        what was saved for other classes or on another backbone is passed over.

        Raises:
            BundleError: Nothing of that name was saved for these classes and this backbone.
        """
        from secchi.training.checkpoint import load_checkpoint, read_record

        _checked_name(name)
        folders = sorted(self._out.glob(f"*/checkpoints/{name}"), reverse=True)
        folders.sort(key=lambda folder: folder.parent.parent != self._run)
        for folder in folders:
            if read_record(folder).get("of") == self._network():
                self._epochs = int(load_checkpoint(folder, self.head)["epochs"])
                return self
        if folders:
            raise BundleError(
                f"{name!r} was saved in {self._out} only for other classes or another backbone"
            )
        known = sorted({p.name for p in self._out.glob("*/checkpoints/[!.]*")})
        raise BundleError(
            f"nothing called {name!r} was saved in {self._out}{did_you_mean(name, known)}"
        )

    def save_run(self) -> Path:
        """Write everything about this run into its folder: the record, history and model.

        Returns:
            The folder: ``run.json``, ``history.csv``, ``checkpoint/`` and ``bundle/``.

        Raises:
            SecchiError: The folder cannot be written.
        """
        record = self.record()
        run = self.run
        with _writing_to(self._out):
            if any(run.iterdir()):
                self._write_run(run, record)
            else:
                with folder_written_aside(run) as aside:
                    self._write_run(aside, record)
        return run

    def record(self) -> dict[str, Any]:
        """What ``run.json`` holds: what was asked for, with what, and what came of it."""
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
        """How many pictures were computed, known to the cache, and skipped."""
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

        save_checkpoint(folder, self.head, {"epochs": self._epochs, "of": self._network()})

    def _network(self) -> dict[str, Any]:
        """What a checkpoint of this learner is of: heads of other classes may have its shape."""
        return {"task": self.data.task.to_dict(), "body": self._preparation.wait().digest}

    def _split(self, name: str) -> PictureSplit:
        if name not in self.data.splits:
            known = ", ".join(self.data.splits)
            hint = did_you_mean(name, self.data.splits)
            raise DataError(f"there is no split {name!r}, only {known}{hint}")
        return self.data.splits[name]

    def _rows(self, split: str) -> "Rows":
        from secchi.training.loop import Rows

        table = self.features(split)
        labels = self._split(split).labels
        if labels is None:
            raise DataError(f"the pictures of {split!r} have no labels")
        return Rows(table, labels)

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


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder that nothing else has; a number is added to the name where it is taken."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, count = parent / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            count += 1
            folder = parent / f"{name}-{count}"
        else:
            return folder


def _checked_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w. -]*", name):
        raise BundleError(f"{name!r} cannot be a name; use letters, digits, '_', '-' and '.'")


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turn the errors of an unwritable folder into one that says which folder."""
    try:
        yield
    except OSError as error:
        raise SecchiError(
            f"the run cannot be written to {folder}: {error.strerror or error}; "
            "--out (or out=) names another folder"
        ) from error
