"""``secchi find-lr``: which learning rate?"""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from secchi.cli import options
from secchi.cli.options import console, print_json
from secchi.errors import SpecError
from secchi.files import check_writable, written_aside


def find_lr(
    path: options.Pictures,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = "pretrained",
    size: options.Size = None,
    valid_fraction: options.ValidFraction = 0.2,
    batch_size: Annotated[int | None, typer.Option(help="Pictures in a training step.")] = None,
    freeze_to: options.FreezeTo = None,
    augment: options.Augment = "none",
    views: options.Views = 4,
    set_: options.Set = None,
    figure: Annotated[Path, typer.Option(help="Where the figure is written.")] = Path(
        "learning-rate.png"
    ),
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Suggest a learning rate for a folder of pictures, and draw loss and accuracy against it."""
    from secchi.learner import Learner
    from secchi.training.spec import Training
    from secchi.transforms.augment import Augmentation

    screen = console(as_json)
    kind = _kind_of(figure)  # faults before the work
    check_writable(figure.absolute().parent, "--figure")
    Augmentation.named(augment)
    changes: dict[str, Any] = {"batch_size": batch_size, "seed": seed}
    training = Training().but(**changes | options.settings(set_))
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
        console=screen,
    )
    learn.augment(augment, views=views)
    if freeze_to is not None:
        learn.freeze_to(options.group_named(freeze_to))
    search = learn.find_lr()
    with written_aside(figure.absolute()) as aside:
        search.plot().savefig(aside, dpi=150, format=kind)
    if as_json:
        print_json(
            {
                "lr": search.suggestion,
                "suggestions": {
                    name: {"lr": one.lr, "why": one.why} for name, one in search.suggestions.items()
                },
                "rates": list(search.rates),
                "losses": list(search.losses),
                "seconds": search.seconds,
                "figure": str(figure.absolute()),
            }
        )
        return
    screen.line(str(search))
    screen.line(f"{search.seconds:.2f} s; figure: {figure.absolute()}")
    if search.suggestion:
        # Of several rates the suggestion is the last one's, and the ratios hold.
        rates = [rate / training.rates[-1] * search.suggestion for rate in training.rates]
        given: list[tuple[str, Any, Any]] = [
            *(("--lr", f"{rate:.1e}", None) for rate in rates),
            ("--backbone", backbone, "lite0"),
            ("--weights", weights, "pretrained"),
            ("--size", size, None),
            ("--batch-size", batch_size, None),
            ("--freeze-to", freeze_to, None),
            ("--augment", augment, "none"),
            ("--views", views, 4),
            ("--seed", seed, 0),
            *(("--set", each, None) for each in set_ or [] if not each.startswith("lr=")),
        ]
        words = [word for name, value, usual in given if value != usual for word in (name, value)]
        screen.line(f"next: {shlex.join(map(str, ('secchi', 'train', path, *words)))}")


def _kind_of(figure: Path) -> str:
    """The format that a figure's name asks for.

    Raises:
        SpecError: No figure can be written in it.
    """
    from matplotlib.figure import Figure

    kind = figure.suffix.lstrip(".").lower() or "png"
    known = Figure().canvas.get_supported_filetypes()
    if kind not in known:
        fault = f"{figure.name} would be of the format {kind!r}, which is none of "
        raise SpecError("this figure cannot be", [fault + ", ".join(sorted(known))])
    return kind
