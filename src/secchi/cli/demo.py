"""``secchi demo``: the whole of it on handwritten digits, without a network or any data."""

import time
from pathlib import Path
from typing import Annotated

import typer

from secchi.cli.options import Json, console, print_json
from secchi.cli.train import outline
from secchi.files import check_writable


def demo(
    out: Annotated[Path, typer.Option(help="The folder that everything goes into.")] = Path(
        "secchi-demo"
    ),
    seed: Annotated[int, typer.Option(help="Names every random choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Train on scikit-learn's handwritten digits, and show what comes of it."""
    import numpy as np

    from secchi.data.images import ImageData
    from secchi.learner import Learner
    from secchi.seeding import stream

    started = time.perf_counter()
    screen = console(as_json)
    folder = out.absolute()
    check_writable(folder)
    digits = folder / "digits"
    screen.line(f"writing 1,797 handwritten digits to {digits}")
    write_digits(digits)
    data = ImageData.from_folder(digits, seed=seed)
    learn = Learner.pretrained("lite0", data, seed=seed, out=folder / "runs", console=screen)
    learn.extract()
    screen.line(str(data.summary()))
    learn.fit()
    run = learn.save_run()
    predictions = learn.predictions("valid")
    figure = run / "predictions.png"
    misses, hits = np.flatnonzero(~predictions.correct), np.flatnonzero(predictions.correct)
    shown = [*misses[:5], *np.sort(stream(seed, "digits to show").choice(hits, 10, replace=False))]
    predictions.plot(shown, columns=5).savefig(figure, dpi=120)
    report = outline(run) | {"figure": str(figure)}
    report["seconds"]["total"] = time.perf_counter() - started
    if as_json:
        print_json(report)
        return
    screen.line("")
    screen.line("on pictures that it was not trained on:")
    screen.line(f"{'digit':>7}{'pictures':>10}{'right':>8}")
    for number, name in enumerate(data.classes):
        rows = predictions.targets == number
        screen.line(f"{name:>7}{rows.sum():>10}{predictions.correct[rows].mean():>8.1%}")
    screen.line(f"{'all':>7}{len(predictions):>10}{predictions.correct.mean():>8.1%}")
    screen.line("")
    screen.line(f"{report['seconds']['total']:.1f} s in all")
    screen.line(f"pictures  {digits}")
    screen.line(f"run       {run}")
    screen.line(f"figure    {figure}")
    screen.line("")
    screen.line("try next:")
    screen.line(f"  secchi predict {run} {digits / '7'}")
    screen.line(f"  secchi train {digits} --epochs 30     (the features are kept: seconds)")
    screen.line("  secchi train FOLDER_OF_YOUR_PICTURES  (one folder a class)")


def write_digits(folder: Path) -> None:
    """Write the digits as PNG files, 8 x 8 pixels, one folder a class; an earlier demo's stay.

    Raises:
        DataError: The folder holds something else.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    from secchi.errors import DataError
    from secchi.files import folder_written_aside

    digits = load_digits()
    if folder.exists():
        if len(list(folder.glob("[0-9]/digit_*.png"))) == len(digits.target):
            return
        raise DataError(f"{folder} exists and was not made by 'secchi demo'; --out names another")
    with folder_written_aside(folder) as aside:
        for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            place = aside / str(label)
            place.mkdir(exist_ok=True)
            grey = (255 - pixels * (255 / 16)).astype("uint8")
            Image.fromarray(grey).save(place / f"digit_{number:04d}.png")
