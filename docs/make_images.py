"""Makes the figures of the documentation from data that everybody has.

``python docs/make_images.py`` writes them to ``docs/images``: the schedules from their formulas,
the search for a learning rate and the learning curve on scikit-learn's handwritten digits, a drawn
picture, augmented, the regions of two half moons, and experiments on made-up rows.
"""

import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from secchi import (
    MLP,
    Experiment,
    ImageData,
    Learner,
    Line,
    Moons,
    TableData,
    Training,
    logspace,
)
from secchi.cli.demo import write_digits
from secchi.console import Console
from secchi.figures.style import FONT, SERIES
from secchi.training.schedules import (
    At,
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Polynomial,
    Restarts,
    Schedule,
    Step,
    Warmup,
)

IMAGES = Path(__file__).parent / "images"

EPOCHS, PER_EPOCH = 7, 40

SHOWN: dict[str, Schedule] = {
    "constant": Constant(),
    "cosine": Cosine(),
    "restarts: cycles=3, cycle_mult=2": Restarts(cycles=3, cycle_mult=2),
    "one_cycle": OneCycle(),
    "step: every=2, gamma=0.3": Step(every=2, gamma=0.3),
    "exponential: gamma=0.6": Exponential(gamma=0.6),
    "polynomial: power=2": Polynomial(power=2),
    "warmup: cosine, epochs=1": Warmup(Cosine(), epochs=1),
}


def schedules() -> Figure:
    """The factor of the learning rate over seven epochs, for every schedule."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    places = [At(step, EPOCHS * PER_EPOCH, PER_EPOCH) for step in range(EPOCHS * PER_EPOCH)]
    for axes, (title, schedule) in zip(panels.flat, SHOWN.items(), strict=True):
        factors = [schedule.factor(at) for at in places]
        axes.plot([at.step / PER_EPOCH for at in places], factors, color=SERIES[0])
        axes.set_title(title, fontsize=FONT - 1)
        axes.grid(alpha=0.3)
    figure.supxlabel("epoch", fontsize=FONT)
    figure.supylabel("factor of the learning rate", fontsize=FONT)
    return figure


def digits(folder: Path) -> Learner:
    """A head on the handwritten digits."""
    write_digits(folder / "digits")
    data = ImageData.from_folder(folder / "digits", size=64)
    return Learner.pretrained("lite0", data, console=Console(quiet=True))


def augmented(folder: Path) -> Figure:
    """A drawn picture as it is and as training sees it."""
    for place in ("train/house", "train/other", "valid/house", "valid/other"):
        (folder / "drawn" / place).mkdir(parents=True)
        house().save(folder / "drawn" / place / "house.png")
    data = ImageData.from_folders(folder / "drawn", size=224)
    learn = Learner.pretrained("lite0", data, console=Console(quiet=True))
    return learn.augment("side_on", max_zoom=1.1).show_augmented(0, count=5)


def house() -> Image.Image:
    """A house under a sun, with a path and a tree: left, right, up and down can be told apart."""
    picture = Image.new("RGB", (360, 300), "#a9d3ee")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 210, 360, 300), fill="#7fae5a")
    draw.ellipse((270, 25, 325, 80), fill="#f2c53d")
    draw.rectangle((110, 130, 240, 240), fill="#d9b98c", outline="#5c4630", width=3)
    draw.polygon([(95, 130), (175, 65), (255, 130)], fill="#a8442f", outline="#5c4630")
    draw.rectangle((130, 175, 165, 240), fill="#5c4630")
    draw.rectangle((185, 155, 222, 190), fill="#dff0f7", outline="#5c4630", width=3)
    draw.polygon([(130, 240), (165, 240), (205, 300), (120, 300)], fill="#cdbb95")
    draw.rectangle((280, 170, 290, 235), fill="#6d4c30")
    draw.ellipse((258, 110, 312, 185), fill="#4a7d3a")
    return picture


def plane() -> Figure:
    """The regions that a network gives to two half moons."""
    data = TableData.made(Moons())
    learn = Learner(data, MLP([16, 16]), console=Console(quiet=True))
    learn.fit()
    return learn.boundary().plot()


def momentum() -> Figure:
    """Accuracy on two half moons by learning rate, with and without momentum."""
    sgd = Training("sgd", batch_size=32, epochs=50)
    vary = {"lr": logspace(1e-3, 10, 17), "momentum": [0, 0.9]}
    result = Experiment(Moons(rows=200, noise=0.2), MLP([16]), sgd, vary, repeats=20).run()
    return result.plot("lr", "valid_accuracy", color="momentum")


def failing() -> Figure:
    """Where trainings on a line fail, by learning rate and momentum."""
    sgd = Training("sgd", batch_size=16, epochs=20)
    vary = {"lr": logspace(1e-4, 1, 9), "momentum": [0, 0.5, 0.8, 0.9, 0.95, 0.99]}
    result = Experiment(Line(), MLP([8]), sgd, vary, repeats=10).run()
    return result.heatmap("lr", "momentum", "valid_r")


def main() -> None:
    """Write every figure."""
    with tempfile.TemporaryDirectory() as place:
        learn = digits(Path(place))
        figures = {
            "schedules": schedules(),
            "find_lr": learn.find_lr().plot(),
            "learning_curve": learn.learning_curve().plot(),
            "augmented": augmented(Path(place)),
            "boundary": plane(),
            "experiment": momentum(),
            "heatmap": failing(),
        }
        for name, figure in figures.items():
            figure.savefig(IMAGES / f"{name}.png", dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main()
