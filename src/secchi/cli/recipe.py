"""``secchi recipe``: the lesson's eight steps in one command."""

import time
from pathlib import Path
from typing import Annotated

import typer

from secchi.cli import options
from secchi.cli.options import console, print_json
from secchi.cli.train import outline
from secchi.errors import SpecError
from secchi.files import check_writable

_OWN = ("epochs", "schedule", "cycles", "cycle_len", "cycle_mult", "label_smoothing")
"""Fields of a training that the recipe sets."""


def recipe(
    path: options.Pictures,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            help="A step to leave out: augment, find, features, restarts, unfreeze, rates, "
            "find_again or cycles; may be given several times."
        ),
    ] = None,
    freeze_to: options.FreezeTo = None,
    augment: options.Augment = "side_on",
    max_zoom: options.MaxZoom = None,
    views: options.Views = 4,
    cycles: Annotated[
        int, typer.Option(min=1, help="The most cycles of the last step, of 1, 2, 4, ... epochs.")
    ] = 3,
    label_smoothing: Annotated[
        float, typer.Option(help="The share of a label that is spread over all classes.")
    ] = 0.1,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = "pretrained",
    size: options.Size = None,
    valid_fraction: options.ValidFraction = 0.2,
    set_: options.Set = None,
    seed: options.Seed = 0,
    out: options.Out = Path("runs"),
    fresh: options.Fresh = False,
    resume: options.Resume = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    compile: options.Compile = False,
    as_json: options.Json = False,
) -> None:
    """Train the best classifier that the lesson's eight steps give, each step explained."""
    from secchi.learner import Learner
    from secchi.recipe import RecipeSpec
    from secchi.training.spec import Training

    started = time.perf_counter()
    screen = console(as_json)
    check_writable(out.absolute())
    given = options.settings(set_)
    if own := [name for name in _OWN if name in given]:
        raise SpecError("this recipe cannot be", [f"it sets {name} itself" for name in own])
    training = Training().but(**{"seed": seed} | given)
    spec = RecipeSpec(  # faults before the work
        tuple(skip or ()),
        0 if freeze_to is None else options.group_named(freeze_to),
        augment,
        1.1 if max_zoom is None else max_zoom,
        views,
        cycles,
        label_smoothing,
    )
    data = options.read_pictures(
        path, screen, None, {}, size=size, valid_fraction=valid_fraction, seed=seed
    )
    learn = Learner.pretrained(
        backbone,
        data,
        weights=weights,
        training=training,
        device=device,
        precision=precision,
        compile=compile,
        out=out,
        resume=options.how_to_resume(fresh, resume),
        purpose={"command": "recipe", **spec.to_dict()},
        console=screen,
    )
    learn.extract()
    screen.line(str(data.summary()))
    followed = learn.recipe(**spec.to_dict())
    run = learn.save_run()
    report = outline(run) | {"recipe": followed.to_dict()}
    report["tta"] = {"loss": followed.steps[-1].loss, "accuracy": followed.steps[-1].score}
    report["seconds"]["total"] = time.perf_counter() - started
    if as_json:
        print_json(report)
        return
    screen.line(f"\n{followed}")
    screen.line(f"{report['seconds']['total']:.1f} s in all")
    screen.line(f"run: {run}")
    screen.line(f"next: secchi predict {run} PICTURE_OR_FOLDER")
