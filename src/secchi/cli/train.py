"""``secchi train``: pictures in, a trained classifier out."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from secchi.cli.options import Device, Json, Precision, console, print_json
from secchi.errors import SecchiError
from secchi.files import check_writable


def train(
    path: Annotated[
        Path,
        typer.Argument(help="A folder with train and valid in it, or with one folder a class."),
    ],
    labels: Annotated[
        Path | None, typer.Option(help="A table that says which picture is what.")
    ] = None,
    file_column: Annotated[str | None, typer.Option(help="Its column of pictures.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Its column of labels.")] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Its column of train, valid and test.")
    ] = None,
    suffix: Annotated[str, typer.Option(help="Added to its names of pictures, such as .jpg")] = "",
    valid_fraction: Annotated[
        float, typer.Option(help="The share held out where nothing says what validates.")
    ] = 0.2,
    backbone: Annotated[str, typer.Option(help="lite0, or any name that timm knows.")] = "lite0",
    weights: Annotated[
        str, typer.Option(help="pretrained, random, or a file of weights.")
    ] = "pretrained",
    size: Annotated[
        int | None, typer.Option(help="Side that pictures are brought to, in pixels.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures in a training step.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="accuracy, error_rate, top_3, f1 or auc; may be given several times."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Names every random choice.")] = 0,
    out: Annotated[Path, typer.Option(help="The folder that runs go into.")] = Path("runs"),
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Train a classifier on a folder of pictures."""
    from secchi.data.images import ImageData
    from secchi.learner import Learner
    from secchi.training.history import Outcome

    started = time.perf_counter()
    screen = console(as_json)
    check_writable(out.absolute())
    options: dict[str, Any] = {"size": size, "valid_fraction": valid_fraction, "seed": seed}
    with screen.progress("reading") as progress:
        if labels is not None:
            data = ImageData.from_csv(
                labels,
                path,
                file_column=file_column,
                label_column=label_column,
                split_column=split_column,
                suffix=suffix,
                progress=progress,
                **options,
            )
        else:
            data = ImageData.from_path(path, progress=progress, **options)
    learn = Learner.pretrained(
        backbone,
        data,
        weights=weights,
        seed=seed,
        metrics=metric,
        device=device,
        precision=precision,
        out=out,
        console=screen,
    )
    learn.training.but(lr=lr, epochs=epochs, batch_size=batch_size)  # faults before the work
    learn.extract()
    screen.line(str(data.summary()))
    history = learn.fit(lr, epochs, batch_size=batch_size)
    run = learn.save_run()
    if history.outcome is not Outcome.COMPLETED:
        raise SecchiError(f"{history.outcome.value}; what there is of it is in {run}")
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
