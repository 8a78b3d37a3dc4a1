"""``secchi train``: pictures or a table in, a trained network out."""

import contextlib
import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secchi.cli import options
from secchi.cli.options import console, print_json
from secchi.console import Console
from secchi.errors import DataError, SecchiError, SpecError
from secchi.files import check_writable

if TYPE_CHECKING:
    from secchi.learner import Learner

_BODY_RATE = 1e-3
"""With --freeze-to, where no rate is named: a head's own would undo what the body knows."""


def train(
    context: typer.Context,
    path: options.Data,
    labels: options.LabelsFile = None,
    file_column: options.FileColumn = None,
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    suffix: options.Suffix = "",
    valid_fraction: options.ValidFraction = None,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = "pretrained",
    size: options.Size = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training rows.")] = None,
    lr: Annotated[
        list[float] | None,
        typer.Option(
            help="Learning rate; several times: of early to late layer groups. Without it 0.01, "
            "0.001 with --freeze-to, or 0.003 on tables."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a training step.")] = None,
    cycles: Annotated[int | None, typer.Option(help="Restarts of the learning rate.")] = None,
    cycle_len: Annotated[int | None, typer.Option(help="Epochs of the first cycle.")] = None,
    cycle_mult: Annotated[int | None, typer.Option(help="How much longer each next is.")] = None,
    freeze_to: options.FreezeTo = None,
    augment: options.Augment = "none",
    max_zoom: options.MaxZoom = None,
    views: options.Views = 4,
    target: options.Target = None,
    above: options.Above = None,
    task: options.TaskKind = None,
    sep: options.Separator = None,
    drop: options.Drop = None,
    group_column: options.GroupColumn = None,
    time_column: options.TimeColumn = None,
    weight_column: options.WeightColumn = None,
    balanced: options.Balanced = False,
    test: options.Test = False,
    baselines: options.Baselines = False,
    scale: options.Scale = "zscore",
    hidden: options.Hidden = "64,64",
    activation: options.Activation = "relu",
    dropout: options.Dropout = 0.0,
    batch_norm: options.BatchNorm = None,
    set_: options.Set = None,
    metric: options.Metrics = None,
    seed: options.Seed = 0,
    out: options.Out = Path("runs"),
    fresh: options.Fresh = False,
    resume: options.Resume = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    compile: options.Compile = False,
    as_json: options.Json = False,
) -> None:
    """Train on a folder of pictures or on a table; run again after a kill, it goes on."""
    started = time.perf_counter()
    screen = console(as_json)
    check_writable(out.absolute())
    is_table = path.is_file() or (bool(target) and not path.exists())
    _refuse_strangers(context, is_table)
    if lr is None and freeze_to is not None:
        lr = [_BODY_RATE]
    changes: dict[str, Any] = {"lr": lr, "epochs": epochs, "batch_size": batch_size, "seed": seed}
    changes |= {"cycles": cycles, "cycle_len": cycle_len, "cycle_mult": cycle_mult}
    changes |= options.settings(set_)
    common: dict[str, Any] = {
        "metrics": metric,
        "device": device,
        "precision": precision,
        "out": out,
        "resume": options.how_to_resume(fresh, resume),
        "console": screen,
    }
    splitting: dict[str, Any] = {"valid_fraction": valid_fraction, "seed": seed}
    if is_table:
        roles = {
            "sep": sep,
            "above": above,
            "task": task,
            "drop": drop or (),
            "group_column": group_column,
            "time_column": time_column,
            "weight_column": weight_column,
            "split_column": split_column,
            "class_weights": "balanced" if balanced else None,
            "test": test,
            "scale": scale,
            **splitting,
        }
        network = {"activation": activation, "dropout": dropout, "batch_norm": batch_norm}
        network["hidden"] = options.hidden_layers(hidden)
        learn = _on_table(path, target, roles, network, changes, common)
        hint = "ROWS.csv"
    else:
        table = {"file_column": file_column, "label_column": label_column, "suffix": suffix}
        table["split_column"] = split_column
        learn = _on_pictures(
            path,
            labels,
            table,
            {"size": size, **splitting},
            (backbone, weights, compile),
            (freeze_to, augment, max_zoom, views),
            changes,
            common,
        )
        hint = "PICTURE_OR_FOLDER"
    _finish(learn, screen, started, hint, as_json, baselines)


_OF_PICTURES = (
    *("labels", "file_column", "label_column", "suffix", "backbone", "weights", "size"),
    *("freeze_to", "augment", "max_zoom", "views", "compile"),
)
_OF_TABLES = (
    *("target", "above", "task", "sep", "drop", "group_column", "time_column", "weight_column"),
    *("balanced", "test", "baselines", "scale", "hidden", "activation", "dropout", "batch_norm"),
)


def _refuse_strangers(context: typer.Context, is_table: bool) -> None:
    """Refuse options that the data have no use for, rather than pass over them."""
    strangers, what = (_OF_PICTURES, "pictures") if is_table else (_OF_TABLES, "tables")
    given = [
        name
        for name in strangers
        if (source := context.get_parameter_source(name)) is not None and source.name != "DEFAULT"
    ]
    if given:
        faults = [f"--{name.replace('_', '-')} is for {what}" for name in given]
        raise SpecError("this cannot be trained so", faults)


def _on_pictures(
    path: Path,
    labels: Path | None,
    table: dict[str, Any],
    reading: dict[str, Any],
    body: tuple[str, str, bool],
    lesson: tuple[str | None, str, float | None, int],
    changes: dict[str, Any],
    common: dict[str, Any],
) -> "Learner":
    """A learner on pictures, ready to train."""
    from secchi.learner import Learner
    from secchi.training.spec import Training
    from secchi.transforms.augment import Augmentation

    (backbone, weights, compiled), (freeze_to, augment, max_zoom, views) = body, lesson
    training = Training().but(**changes)  # faults before the work
    zoom = {} if max_zoom is None else {"max_zoom": max_zoom}
    augmentation = Augmentation.named(augment, **zoom)
    screen: Console = common["console"]
    if reading["valid_fraction"] is None:
        del reading["valid_fraction"]
    data = options.read_pictures(path, screen, labels, table, **reading)
    learn = Learner.pretrained(
        backbone,
        data,
        weights=weights,
        training=training,
        compile=compiled,
        purpose={
            "command": "train",
            "metrics": common["metrics"],
            "freeze_to": freeze_to,
            "augmentation": augmentation.to_dict(),
            "views": views,
        },
        **common,
    )
    learn.extract()
    screen.line(str(data.summary()))
    if freeze_to is not None:
        learn.freeze_to(options.group_named(freeze_to))
    return learn.augment(augment, views=views, **zoom)


def _on_table(
    path: Path,
    target: list[str] | None,
    roles: dict[str, Any],
    network: dict[str, Any],
    changes: dict[str, Any],
    common: dict[str, Any],
) -> "Learner":
    """A learner on a table, ready to train."""
    from secchi.data.table import TableData
    from secchi.learner import Learner
    from secchi.models.mlp import MLP
    from secchi.table_trainee import TableTrainee

    if not target:
        raise DataError(_without_target(path))
    training = TableTrainee.TRAINING.but(**changes)  # faults before the work
    model = MLP(**network)
    data = TableData.from_csv(path, target, **roles)
    common["console"].line(str(data.summary()))
    purpose = {"command": "train", "metrics": common["metrics"]}
    return Learner(data, model, training, purpose=purpose, **common)


def _without_target(path: Path) -> str:
    """What to say of a file, where nothing says what of it is predicted."""
    from secchi.data.csv_file import read_csv

    said = f"{path.absolute()} is a file, not a folder of pictures"
    with contextlib.suppress(DataError):
        columns = ", ".join(read_csv(path).frame.columns[:12])
        said += f"; if it is a table, --target names the column to predict; there are: {columns}"
    return said


def _finish(
    learn: "Learner", screen: Console, started: float, hint: str, as_json: bool, baselines: bool
) -> None:
    """Train, keep the run, and say what came of it."""
    from secchi.training.history import Outcome

    history = learn.fit()
    run = learn.save_run()
    if history.outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY):
        raise SecchiError(f"{history.remark}; what there is of it is in {run}")
    report = outline(run)
    simpler = learn.baselines() if baselines else None
    if simpler:
        report["baselines"] = simpler.to_dict()
    report["seconds"]["total"] = time.perf_counter() - started
    if as_json:
        print_json(report)
        return
    for split in ("train", "valid"):
        scores = ", ".join(
            f"{name} {value:.4f}" for name, value in report[split].items() if value is not None
        )
        screen.line(f"{split}: {scores}")
    if "rows" in report:
        screen.line(f"validation: {learn.predictions()}")
    if simpler:
        screen.line(str(simpler))
    screen.line(f"{report['seconds']['total']:.1f} s in all")
    screen.line(f"run: {run}")
    screen.line(f"next: {shlex.join(['secchi', 'predict', str(run)])} {hint}")


def outline(run: Path) -> dict[str, Any]:
    """What a run came to, from its record."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    kept = ("train", "valid", "pictures", "rows", "seconds")
    return {
        "run": str(run),
        "classes": record["task"]["targets"][0]["classes"],
        **{name: record[name] for name in kept if name in record},
    }
