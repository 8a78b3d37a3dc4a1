"""Options that several commands share, and what they make of them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secchi.console import Console
from secchi.errors import SpecError
from secchi.files import finite

if TYPE_CHECKING:
    from secchi.data.images import ImageData

Data = Annotated[
    Path,
    typer.Argument(
        help="A folder with train and valid in it, or with one folder a class; or a table, as a "
        "file of comma-separated values."
    ),
]
Pictures = Annotated[
    Path,
    typer.Argument(help="A folder with train and valid in it, or with one folder a class."),
]
LabelsFile = Annotated[
    Path | None, typer.Option("--labels", help="A table that says which picture is what.")
]
FileColumn = Annotated[str | None, typer.Option(help="Its column of pictures.")]
LabelColumn = Annotated[str | None, typer.Option(help="Its column of labels.")]
SplitColumn = Annotated[str | None, typer.Option(help="Its column of train, valid and test.")]
Suffix = Annotated[str, typer.Option(help="Added to its names of pictures, such as .jpg")]
ValidFraction = Annotated[
    float | None,
    typer.Option(help="The share held out where nothing says what validates; 0.2 without it."),
]
BackboneName = Annotated[str, typer.Option(help="lite0, or any name that timm knows.")]
Weights = Annotated[str, typer.Option(help="pretrained, random, or a file of weights.")]
Size = Annotated[int | None, typer.Option(help="Side that pictures are brought to, in pixels.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        help="accuracy, error_rate, balanced_accuracy, top_3, f1 or auc; of numbers r, r2, mae or "
        "rmse; may be given several times."
    ),
]
Seed = Annotated[int, typer.Option(help="Names every random choice.")]
Out = Annotated[Path, typer.Option(help="The folder that runs go into.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew beside an unfinished run.")]
Resume = Annotated[
    str | None, typer.Option(help="Go on with this unfinished run, and with no other.")
]
FreezeTo = Annotated[
    str | None,
    typer.Option(help="The first layer group that trains, by name or place; 0 trains all."),
]
Augment = Annotated[
    str,
    typer.Option(help="none, basic, side_on, top_down, random_resized_crop or trivial_augment."),
]
MaxZoom = Annotated[float | None, typer.Option(help="How far augmentation enlarges.")]
Views = Annotated[int, typer.Option(min=1, help="Augmented versions of a picture that are kept.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any other field of Training, such as ema=0.99."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(help="Tables: the column to predict; may be given several times."),
]
Above = Annotated[
    float | None, typer.Option(help="Tables: make two classes of it, above this number or not.")
]
TaskKind = Annotated[str | None, typer.Option("--task", help="Tables: class or number.")]
Separator = Annotated[str | None, typer.Option("--sep", help="Tables: what parts two fields.")]
Drop = Annotated[
    list[str] | None, typer.Option(help="Tables: a column to leave out; may be given again.")
]
GroupColumn = Annotated[
    str | None, typer.Option(help="Tables: rows of one group validate together.")
]
TimeColumn = Annotated[str | None, typer.Option(help="Tables: the latest rows validate.")]
WeightColumn = Annotated[str | None, typer.Option(help="Tables: how much each row counts.")]
Balanced = Annotated[
    bool, typer.Option("--balanced", help="Tables: all classes count alike, however rare.")
]
Test = Annotated[
    bool, typer.Option("--test", help="Tables: seal a tenth of the rows as a test set.")
]
Baselines = Annotated[
    bool, typer.Option("--baselines", help="Tables: hold simpler methods against the network.")
]
Scale = Annotated[str, typer.Option(help="Tables: zscore, minmax, robust or none.")]
Hidden = Annotated[
    str, typer.Option(help="Tables: units of each hidden layer, such as 32,32; none for none.")
]
Activation = Annotated[str, typer.Option(help="Tables: what hidden units do, such as relu.")]
Dropout = Annotated[float, typer.Option(help="Tables: the share of hidden units left out.")]
BatchNorm = Annotated[
    str | None, typer.Option(help="Tables: batch normalisation before or after the activation.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="Of the body: auto, fp32 or bf16.")]
Compile = Annotated[bool, typer.Option("--compile", help="Let torch compile what trains.")]


def console(as_json: bool) -> Console:
    """Lines go to standard output, or to standard error where that belongs to JSON."""
    return Console(sys.stderr if as_json else None)


def print_json(document: Any) -> None:
    """Print the one document of a command; numbers that are none become null.

    >>> print_json({"loss": float("nan")})
    {"loss": null}
    """
    print(json.dumps(finite(document)))


def read_pictures(
    path: Path, screen: Console, labels: Path | None, table: dict[str, Any], **options: Any
) -> "ImageData":
    """Read a folder, or the pictures that a table names, with a bar."""
    from secchi.data.images import ImageData

    with screen.progress("reading") as progress:
        if labels is not None:
            return ImageData.from_csv(labels, path, progress=progress, **table, **options)
        return ImageData.from_path(path, progress=progress, **options)


def hidden_layers(text: str) -> list[int]:
    """What ``--hidden`` says.

    Raises:
        SpecError: It is no list of whole numbers.

    >>> hidden_layers("16,32"), hidden_layers("none")
    ([16, 32], [])
    """
    if text.strip().casefold() in ("", "none"):
        return []
    try:
        return [int(units) for units in text.split(",")]
    except ValueError:
        raise SpecError(
            "this network cannot be", [f"--hidden is {text!r}, which is not like 16,32"]
        ) from None


def settings(given: list[str] | None) -> dict[str, Any]:
    """What ``--set NAME=VALUE`` says, several times; values as JSON, or else as text.

    Raises:
        SpecError: With every one that is no NAME=VALUE.

    >>> settings(["ema=0.99", "optimizer=sgd", "nesterov=true"])
    {'ema': 0.99, 'optimizer': 'sgd', 'nesterov': True}
    """
    values: dict[str, Any] = {}
    faults = []
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            faults.append(f"{text!r} is not NAME=VALUE")
            continue
        try:
            values[name.strip().replace("-", "_")] = json.loads(value)
        except ValueError:
            values[name.strip().replace("-", "_")] = value
    if faults:
        raise SpecError("--set cannot be read", faults)
    return values


def group_named(group: str) -> int | str:
    """A layer group by its place where it is a number, else by its name.

    >>> group_named("-2"), group_named("blocks.5")
    (-2, 'blocks.5')
    """
    try:
        return int(group)
    except ValueError:
        return group


def how_to_resume(fresh: bool, resume: str | None) -> str:
    """What a learner is told of ``--fresh`` and ``--resume``.

    Raises:
        SpecError: Both were given.

    >>> how_to_resume(fresh=False, resume=None)
    'auto'
    """
    if fresh and resume:
        raise SpecError("this run cannot be", ["--fresh starts anew and --resume goes on"])
    return "fresh" if fresh else resume or "auto"
