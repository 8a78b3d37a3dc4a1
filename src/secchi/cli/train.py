"""``secchi train``: pictures in, a trained classifier out."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from secchi.cli import options
from secchi.cli.options import console, print_json
from secchi.errors import SecchiError
from secchi.files import check_writable

_BODY_RATE = 1e-3
"""With --freeze-to, where no rate is named: a head's own would undo what the body knows."""


def train(
    path: options.Pictures,
    labels: options.LabelsFile = None,
    file_column: options.FileColumn = None,
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    suffix: options.Suffix = "",
    valid_fraction: options.ValidFraction = 0.2,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = "pretrained",
    size: options.Size = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    lr: Annotated[
        list[float] | None,
        typer.Option(
            help="Learning rate; several times: of early to late layer groups. Without it 0.01, "
            "or 0.001 with --freeze-to."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures in a training step.")] = None,
    cycles: Annotated[int | None, typer.Option(help="Restarts of the learning rate.")] = None,
    cycle_len: Annotated[int | None, typer.Option(help="Epochs of the first cycle.")] = None,
    cycle_mult: Annotated[int | None, typer.Option(help="How much longer each next is.")] = None,
    freeze_to: options.FreezeTo = None,
    augment: options.Augment = "none",
    max_zoom: options.MaxZoom = None,
    views: options.Views = 4,
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
    """Train a classifier on a folder of pictures; run again after a kill, it goes on."""
    from secchi.learner import Learner
    from secchi.training.history import Outcome
    from secchi.training.spec import Training
    from secchi.transforms.augment import Augmentation

    started = time.perf_counter()
    screen = console(as_json)
    check_writable(out.absolute())
    if lr is None and freeze_to is not None:
        lr = [_BODY_RATE]
    changes: dict[str, Any] = {"lr": lr, "epochs": epochs, "batch_size": batch_size, "seed": seed}
    changes |= {"cycles": cycles, "cycle_len": cycle_len, "cycle_mult": cycle_mult}
    training = Training().but(**changes | options.settings(set_))  # faults before the work
    zoom = {} if max_zoom is None else {"max_zoom": max_zoom}
    augmentation = Augmentation.named(augment, **zoom)
    table = {"file_column": file_column, "label_column": label_column, "suffix": suffix}
    table["split_column"] = split_column
    data = options.read_pictures(
        path, screen, labels, table, size=size, valid_fraction=valid_fraction, seed=seed
    )
    learn = Learner.pretrained(
        backbone,
        data,
        weights=weights,
        training=training,
        metrics=metric,
        device=device,
        precision=precision,
        compile=compile,
        out=out,
        resume=options.how_to_resume(fresh, resume),
        purpose={
            "command": "train",
            "metrics": metric,
            "freeze_to": freeze_to,
            "augmentation": augmentation.to_dict(),
            "views": views,
        },
        console=screen,
    )
    learn.extract()
    screen.line(str(data.summary()))
    if freeze_to is not None:
        learn.freeze_to(options.group_named(freeze_to))
    learn.augment(augment, views=views, **zoom)
    history = learn.fit()
    run = learn.save_run()
    if history.outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY):
        raise SecchiError(f"{history.remark}; what there is of it is in {run}")
    report = outline(run)
    report["seconds"]["total"] = time.perf_counter() - started
    if as_json:
        print_json(report)
        return
    for split in ("train", "valid"):
        scores = ", ".join(
            f"{name} {value:.4f}" for name, value in report[split].items() if value is not None
        )
        screen.line(f"{split}: {scores}")
    screen.line(f"{report['seconds']['total']:.1f} s in all")
    screen.line(f"run: {run}")
    screen.line(f"next: secchi predict {run} PICTURE_OR_FOLDER")


def outline(run: Path) -> dict[str, Any]:
    """What a run came to, from its record."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return {
        "run": str(run),
        "classes": record["task"]["targets"][0]["classes"],
        "train": record["train"],
        "valid": record["valid"],
        "pictures": record["pictures"],
        "seconds": record["seconds"],
    }
