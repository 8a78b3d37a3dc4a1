"""Seven experiments as one writes them in a notebook: plain PyTorch, one network after the other.

Each is a function of a setting, the number of a repeat and of the epochs, which draws or splits the
rows, trains one network and gives its curve. With mini-batches it is judged on the rows held out
after every epoch, and on every batch; with all rows in one batch, as is usual, when it is trained,
or with --judge-each-epoch after every epoch too, which is what an experiment of secchi keeps.

Trains some trials after each other and prints one JSON document: seconds of each, and its curve.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_iris, make_blobs, make_circles
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WARM_UP_EPOCHS = 2
Setting = Mapping[str, Any]


class Curve(NamedTuple):
    """One training.

    Attributes:
        losses: On the training rows, of each epoch.
        train: The score on the training rows, of each epoch where there are mini-batches.
        valid: The score on the rows held out, of each epoch that was judged.
    """

    losses: list[float]
    train: list[float]
    valid: list[float]


class Split(NamedTuple):
    """Rows to train with and rows held out."""

    train_inputs: Tensor
    train_truth: Tensor
    valid_inputs: Tensor
    valid_truth: Tensor


Loss = Callable[[Tensor, Tensor], Tensor]
Score = Callable[[Tensor, Tensor], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=list(EXPERIMENTS))
    parser.add_argument("--trials", required=True, help="JSON: a list of [setting, repeat]")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--wine", help="the table of red wines, where it is they")
    parser.add_argument("--judge-each-epoch", action="store_true")
    parser.add_argument("--threads", type=int, help="cores of torch (its own choice)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    train = EXPERIMENTS[args.experiment]
    trials = json.loads(args.trials)
    always: Setting = {"judge_each_epoch": args.judge_each_epoch, "wine": args.wine}
    train(always | trials[0][0], 0, WARM_UP_EPOCHS)
    seconds, curves = [], []
    for setting, repeat in trials:
        started = time.perf_counter()
        curve = train(always | setting, repeat, args.epochs)
        seconds.append(time.perf_counter() - started)
        curves.append(curve._asdict())
    print(json.dumps({"seconds": seconds, "curves": curves}))


# ---------------------------------------------------------------- the experiments


def slopes(setting: Setting, repeat: int, epochs: int) -> Curve:
    """A line of some slope, 50 points with noise, told by 1-1-1 units."""
    random = np.random.default_rng(repeat)
    x = random.normal(size=50)
    y = setting["slope"] * x + random.normal(size=50) / 2
    split = parted(x[:, None], y[:, None], repeat)
    torch.manual_seed(repeat)
    net = layers([1, 1, 1])
    return all_rows(net, nn.MSELoss(), correlation, split, setting | {"lr": 0.05}, epochs)


def rates(setting: Setting, repeat: int, epochs: int) -> Curve:
    """Two clouds of 100 points, told by 2-16-1-1 units at some learning rate."""
    split = parted(*clouds(2, 200, repeat), repeat)
    torch.manual_seed(repeat)
    return all_rows(layers([2, 16, 1, 1]), nn.BCEWithLogitsLoss(), sides, split, setting, epochs)


def hidden_units(setting: Setting, repeat: int, epochs: int) -> Curve:
    """Irises told by one hidden layer of some units."""
    return irises([setting["width"]], setting, repeat, epochs)


def depth_and_width(setting: Setting, repeat: int, epochs: int) -> Curve:
    """Irises told by some hidden layers of some units each."""
    return irises([setting["width"]] * setting["depth"], setting, repeat, epochs)


def dropout(setting: Setting, repeat: int, epochs: int) -> Curve:
    """Two rings of 200 points, told by 2-128-128-1 units with some dropout, batches of 16."""
    inputs, truth = make_circles(400, noise=0.1, factor=0.5, random_state=repeat)
    split = parted(inputs, truth, repeat)
    torch.manual_seed(repeat)
    net = layers([2, 128, 128, 1], setting["dropout"])
    return batches(net, nn.BCEWithLogitsLoss(), sides, split, 16, epochs, lr=0.02)


def momentum(setting: Setting, repeat: int, epochs: int) -> Curve:
    """Three clouds of 300 points, told by 2-8-8-3 units with some momentum, batches of 32."""
    split = parted(*clouds(3, 900, repeat), repeat)
    torch.manual_seed(repeat)
    net = layers([2, 8, 8, 3])
    given = {"lr": 0.01, "momentum": setting["momentum"]}
    return batches(net, nn.CrossEntropyLoss(), classes, split, 32, epochs, **given)


def batch_sizes(setting: Setting, repeat: int, epochs: int) -> Curve:
    """Wines told by 11-16-32-32-1 units with batches of some size."""
    split = parted(*wines(setting["wine"]), repeat)
    torch.manual_seed(repeat)
    net = layers([11, 16, 32, 32, 1])
    lr = setting.get("lr", 0.01)
    loss_of = nn.BCEWithLogitsLoss()
    return batches(net, loss_of, sides, split, setting["batch_size"], epochs, lr=lr)


def irises(hidden: list[int], setting: Setting, repeat: int, epochs: int) -> Curve:
    """Irises told by hidden layers of some units."""
    split = parted(*load_iris(return_X_y=True), repeat)
    torch.manual_seed(repeat)
    net = layers([4, *hidden, 3])
    return all_rows(net, nn.CrossEntropyLoss(), classes, split, setting | {"lr": 0.01}, epochs)


EXPERIMENTS: Mapping[str, Callable[[Setting, int, int], Curve]] = {
    "slopes": slopes,
    "rates": rates,
    "hidden_units": hidden_units,
    "depth_and_width": depth_and_width,
    "dropout": dropout,
    "momentum": momentum,
    "batch_sizes": batch_sizes,
}
"""Every experiment by its name."""


# ---------------------------------------------------------------- the two loops


def all_rows(
    net: nn.Module, loss_of: Loss, score: Score, split: Split, setting: Setting, epochs: int
) -> Curve:
    """Train by gradient descent with all training rows in each step."""
    optimizer = torch.optim.SGD(net.parameters(), lr=setting["lr"])
    losses = torch.zeros(epochs)
    valid = []
    for epoch in range(epochs):
        output = net(split.train_inputs)
        loss = loss_of(output, split.train_truth)
        losses[epoch] = loss.detach()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if setting["judge_each_epoch"] or epoch == epochs - 1:
            with torch.no_grad():
                valid.append(score(net(split.valid_inputs), split.valid_truth))
    return Curve(losses.tolist(), [], valid)


def batches(
    net: nn.Module,
    loss_of: Loss,
    score: Score,
    split: Split,
    batch_size: int,
    epochs: int,
    **given: float,
) -> Curve:
    """Train by gradient descent with a batch in each step, judged after every epoch."""
    train_rows = TensorDataset(split.train_inputs, split.train_truth)
    valid_rows = TensorDataset(split.valid_inputs, split.valid_truth)
    train_loader = DataLoader(train_rows, batch_size=batch_size, shuffle=True, drop_last=True)
    valid_loader = DataLoader(valid_rows, batch_size=len(valid_rows))
    optimizer = torch.optim.SGD(net.parameters(), **given)
    losses, train, valid = [], [], []
    for _ in range(epochs):
        net.train()
        batch_losses, batch_scores = [], []
        for inputs, truth in train_loader:
            output = net(inputs)
            loss = loss_of(output, truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            batch_losses.append(loss.item())
            batch_scores.append(score(output, truth))
        losses.append(float(np.mean(batch_losses)))
        train.append(float(np.mean(batch_scores)))
        net.eval()
        inputs, truth = next(iter(valid_loader))
        with torch.no_grad():
            valid.append(score(net(inputs), truth))
    return Curve(losses, train, valid)


# ---------------------------------------------------------------- networks, rows and scores


def layers(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with a ReLU, and dropout if any, behind all but the last."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
        if dropout:
            parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts[: -2 if dropout else -1])


def clouds(number: int, rows: int, repeat: int) -> tuple[np.ndarray, np.ndarray]:
    """Points around the corners of a regular polygon whose sides are 5 long."""
    angle = 2 * np.pi * np.arange(number) / number
    radius = 5 / (2 * np.sin(np.pi / number))
    centers = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inputs, truth = make_blobs(rows, centers=centers, random_state=repeat)
    return inputs, truth


@cache
def wines(file: str) -> tuple[np.ndarray, np.ndarray]:
    """The columns of the red wines, each z-scored, and whether their quality is above 5."""
    values = np.genfromtxt(file, delimiter=";", skip_header=1)
    inputs = values[:, :-1]
    return (inputs - inputs.mean(axis=0)) / inputs.std(axis=0), values[:, -1] > 5


def parted(inputs: np.ndarray, truth: np.ndarray, repeat: int) -> Split:
    """A fifth of the rows held out; two classes and numbers as a column of float32."""
    several = truth.ndim == 1 and truth.max() > 1
    parts = train_test_split(inputs, truth, test_size=0.2, random_state=repeat)
    train_inputs, valid_inputs = (torch.tensor(part).float() for part in parts[:2])
    train_truth, valid_truth = (torch.tensor(part) for part in parts[2:])
    if not several:
        train_truth = train_truth.float().reshape(-1, 1)
        valid_truth = valid_truth.float().reshape(-1, 1)
    return Split(train_inputs, train_truth, valid_inputs, valid_truth)


def sides(output: Tensor, truth: Tensor) -> float:
    """Accuracy of two classes."""
    return torch.mean(((output > 0) == truth).float()).item()


def classes(output: Tensor, truth: Tensor) -> float:
    """Accuracy of several classes."""
    return torch.mean((torch.argmax(output, dim=1) == truth).float()).item()


def correlation(output: Tensor, truth: Tensor) -> float:
    """Pearson's; NaN where the answer never changes."""
    return torch.corrcoef(torch.cat([output, truth], dim=1).T)[0, 1].item()


if __name__ == "__main__":
    main()
