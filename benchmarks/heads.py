"""What was tried for the default head; docs/head.md has the measured table and the decision.

Features come from secchi's own extraction (lite0) on:

- dogs and cats: the photographs of PATH;
- 100 of them: the same with only a hundred training pictures;
- digits: scikit-learn's handwritten digits as pictures of 8 x 8 pixels;
- shapes: six kinds of noisy shapes in random colours, made here.

Every head is trained by secchi's own loop (AdamW, batches of 64, weight decay 0.01), several seeds
each; its last layer starts at zero where it is the only one. The peer is scikit-learn's
LogisticRegression, trained to convergence.
"""

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from common import (
    DEFAULT_PICTURES,
    picture_arguments,
    pictures,
    print_table,
    say,
    scratch,
    whole_number,
)
from secchi import Backbone, FeatureCache, ImageData, Training
from secchi.cli.demo import write_digits
from secchi.data.images import PictureSplit
from secchi.features.extract import extract
from secchi.features.prepare import Preparation
from secchi.models.heads import Head
from secchi.training.loop import train
from secchi.training.rows import Rows

Features = NDArray[np.float32]

EPOCHS = (3, 10)
LR = 1e-2
OTHER_RATES = (3e-3, 3e-2)
SHAPES = ("circle", "square", "triangle", "cross", "ring", "bars")


class InMemory:
    """Features in memory, as the training loop takes its rows."""

    def __init__(self, values: Features) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice) -> Features:
        """Some rows."""
        return self.values[rows]


class FeatureSet(NamedTuple):
    """Features and labels of training and validation pictures."""

    name: str
    train: Rows
    valid: Rows


class Score(NamedTuple):
    """On the validation pictures."""

    accuracy: float
    loss: float


class Row(NamedTuple):
    """A row of the table, by its first cells."""

    head: str
    epochs: str
    lr: str


DEFAULT = Row("Head: centred, normalised", "10", "0.01")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    picture_arguments(parser)
    parser.add_argument("--seeds", type=whole_number, default=3)
    args = parser.parse_args()

    sets = list(feature_sets(args.path, args.pictures))
    scores: dict[Row, list[list[Score]]] = {}
    for each in sets:
        say(f"training heads on {each.name}")
        for (name, epochs, lr), make in trials():
            runs = [run(each, make, epochs, lr, seed) for seed in range(args.seeds)]
            scores.setdefault(Row(name, str(epochs), f"{lr:g}"), []).append(runs)
        for name, scaled in (("LogisticRegression", False), ("the same, standardised", True)):
            score = logistic_regression(each, scaled)
            scores.setdefault(Row(name, "-", "-"), []).append([score])
    report(sets, scores, args.seeds)


def trials() -> Iterator[tuple[tuple[str, int, float], "MakeHead"]]:
    """Every head with few and many epochs; the default one with other learning rates too."""
    for name, make in HEADS.items():
        for epochs in EPOCHS:
            yield (name, epochs, LR), make
    for lr in OTHER_RATES:
        yield (DEFAULT.head, EPOCHS[-1], lr), HEADS[DEFAULT.head]


# ---------------------------------------------------------------- heads


class Standardise(nn.Module):
    """Shift and scale features by numbers that were taken from the training features."""

    def __init__(self, shift: Features, scale: Features) -> None:
        super().__init__()
        self.register_buffer("shift", torch.from_numpy(shift))
        self.register_buffer("scale", torch.from_numpy(scale))

    def forward(self, features: Tensor) -> Tensor:
        """(features - shift) / scale."""
        return (features - self.shift) / self.scale


class BatchNorm(nn.BatchNorm1d):
    """torch's, which cannot train on the single row that the last batch may be left with."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise by the batch, or a single row by what was seen before."""
        if len(features) > 1:
            return super().forward(features)
        return functional.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias
        )


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def plain(features: Features, outputs: int) -> nn.Module:
    return linear(features.shape[1], outputs)


def centred(features: Features, outputs: int) -> nn.Module:
    mean = features.mean(0)
    return nn.Sequential(Standardise(mean, np.ones_like(mean)), plain(features, outputs))


def standardised(features: Features, outputs: int) -> nn.Module:
    scaled = Standardise(features.mean(0), features.std(0) + 1e-6)
    return nn.Sequential(scaled, plain(features, outputs))


def batch_norm(features: Features, outputs: int) -> nn.Module:
    return nn.Sequential(BatchNorm(features.shape[1]), plain(features, outputs))


def hidden(features: Features, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features.shape[1], 256), nn.ReLU(), nn.Linear(256, outputs))


def hidden_in_head(features: Features, outputs: int) -> nn.Module:
    head = secchi_head(features, 256)
    nn.init.kaiming_uniform_(head.linear.weight, a=math.sqrt(5))  # as nn.Linear begins
    return nn.Sequential(head, nn.ReLU(), nn.Linear(256, outputs))


def secchi_head(features: Features, outputs: int) -> Head:
    head = Head(features.shape[1], outputs)
    head.fit_center([features])
    return head


MakeHead = Callable[[Features, int], nn.Module]

HEADS: dict[str, MakeHead] = {
    "linear": plain,
    "centred": centred,
    "standardised": standardised,
    "batch norm": batch_norm,
    "hidden layer of 256": hidden,
    "Head, then hidden of 256": hidden_in_head,
    DEFAULT.head: secchi_head,
}


def run(each: FeatureSet, make: MakeHead, epochs: int, lr: float, seed: int) -> Score:
    """Train a fresh head on a set."""
    torch.manual_seed(seed)
    net = make(each.train.inputs.take(slice(None)), each.train.labels.task.outputs)
    history = train(net, each.train, each.valid, Training(lr=lr, epochs=epochs, seed=seed))
    last = history.epochs[-1]
    return Score(last.metrics["accuracy"], last.valid_loss)


def logistic_regression(each: FeatureSet, scaled: bool) -> Score:
    """The peer, with its own defaults but for the number of iterations."""
    scaler = StandardScaler() if scaled else "passthrough"
    model = make_pipeline(scaler, LogisticRegression(max_iter=1000))
    inputs, truth = (
        [rows.inputs.take(slice(None)) for rows in (each.train, each.valid)],
        [rows.labels.values[0] for rows in (each.train, each.valid)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs[0], truth[0])
    answers = model.predict_proba(inputs[1])
    accuracy = float((model.classes_[answers.argmax(1)] == truth[1]).mean())
    return Score(accuracy, float(log_loss(truth[1], answers, labels=model.classes_)))


# ---------------------------------------------------------------- pictures


def feature_sets(path: Path | None, count: int | None) -> Iterator[FeatureSet]:
    """Extract the features of all sets, with one cache for them all."""
    with scratch() as place:
        cache = FeatureCache(place / "cache")
        preparation = Preparation(Backbone(), cache)
        with photographs(path, count) as folder:
            photos = features_of("dogs and cats", folder, preparation, cache)
            if folder is not None and photos is not None:
                yield photos
                yield fewer(photos, "100 of them", 100)
        write_digits(place / "digits")
        write_shapes(place / "shapes", (count or 900) // len(SHAPES))
        for name in ("digits", "shapes"):
            found = features_of(name, place / name, preparation, cache)
            assert found is not None
            yield found


@contextmanager
def photographs(path: Path | None, count: int | None) -> Iterator[Path | None]:
    """The photographs, or None where there are none."""
    if path is None and not DEFAULT_PICTURES.is_dir():
        say("no photographs here: the sets of dogs and cats are left out")
        yield None
        return
    with pictures(path, count) as folder:
        yield folder


def features_of(
    name: str, folder: Path | None, preparation: Preparation, cache: FeatureCache
) -> FeatureSet | None:
    """Features and labels of a folder of pictures."""
    if folder is None:
        return None
    say(f"features of {name}")
    data = ImageData.from_path(folder)

    def rows(split: PictureSplit) -> Rows:
        found = extract(split.files, split.digests, preparation, cache)
        data.set_aside(split.name, found.faults)
        labels = split.labels
        assert labels is not None
        return Rows(InMemory(found.table(split.digests).take(slice(None))), labels)

    return FeatureSet(name, rows(data.train), rows(data.valid))


def fewer(all_of_them: FeatureSet, name: str, count: int) -> FeatureSet:
    """The same validation pictures with fewer for training, as many of each class."""
    labels = all_of_them.train.labels
    values, classes = labels.values[0], len(labels.task.target.classes)
    order = np.random.default_rng(0).permutation(len(labels))
    chosen = np.concatenate([order[values[order] == c][: count // classes] for c in range(classes)])
    inputs = InMemory(all_of_them.train.inputs.take(chosen))
    return FeatureSet(name, Rows(inputs, labels.take(chosen)), all_of_them.valid)


def write_shapes(folder: Path, per_class: int, size: int = 96) -> None:
    """Six kinds of shapes: colour, size and place are random, and everything is noisy."""
    rng = np.random.default_rng(0)
    for name in SHAPES:
        place = folder / name
        place.mkdir(parents=True)
        for number in range(max(per_class, 3)):
            ground, ink = (tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(2))
            image = Image.new("RGB", (size, size), ground)
            radius = int(rng.integers(size // 6, size // 3))
            x, y = (int(v) for v in rng.integers(radius, size - radius, 2))
            draw_shape(ImageDraw.Draw(image), name, x, y, radius, ink)
            noisy = np.asarray(image) + rng.normal(0, 60, (size, size, 3))
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(place / f"{number}.png")


def draw_shape(
    draw: ImageDraw.ImageDraw, name: str, x: int, y: int, r: int, ink: tuple[int, ...]
) -> None:
    box = (x - r, y - r, x + r, y + r)
    thin = max(2, r // 4)
    if name == "circle":
        draw.ellipse(box, fill=ink)
    elif name == "ring":
        draw.ellipse(box, outline=ink, width=thin)
    elif name == "square":
        draw.rectangle(box, fill=ink)
    elif name == "triangle":
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
    elif name == "cross":
        draw.rectangle((x - thin, y - r, x + thin, y + r), fill=ink)
        draw.rectangle((x - r, y - thin, x + r, y + thin), fill=ink)
    else:
        for left in range(x - r, x + r, 2 * thin):
            draw.rectangle((left, y - r, left + thin, y + r), fill=ink)


# ---------------------------------------------------------------- table


def report(sets: Sequence[FeatureSet], scores: dict[Row, list[list[Score]]], seeds: int) -> None:
    means = {
        row: [Score(*map(statistics.mean, zip(*runs, strict=True))) for runs in several]
        for row, several in scores.items()
    }
    rows = []
    for row, several in means.items():
        ratios = [one.loss / ours.loss for one, ours in zip(several, means[DEFAULT], strict=True)]
        cells = [f"{100 * one.accuracy:.1f} % / {one.loss:.3f}" for one in several]
        rows.append([*row, *cells, f"{statistics.geometric_mean(ratios):.2f}x"])
    sizes = ", ".join(f"{s.name} {len(s.train.labels)} + {len(s.valid.labels)}" for s in sets)
    print_table(
        f"Heads on frozen features: validation accuracy / loss, means over seeds: {seeds}\n"
        f"(training + validation pictures: {sizes};\n"
        f"over seeds Head with 10 epochs at 0.01 varies by {spread(scores[DEFAULT])} at most;\n"
        "the last column is the loss against its own, geometric mean over the sets)",
        ["head", "epochs", "rate", *(s.name for s in sets), "loss"],
        rows,
    )


def spread(several: list[list[Score]]) -> str:
    """The largest range over seeds of any set, in words."""
    ranges = [[max(v) - min(v) for v in zip(*runs, strict=True)] for runs in several]
    accuracy, loss = (max(values) for values in zip(*ranges, strict=True))
    return f"{100 * accuracy:.1f} % and {loss:.3f}"


if __name__ == "__main__":
    main()
