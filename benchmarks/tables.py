"""Networks on tables beside scikit-learn's of the same shape, on the same rows.

- Red wine, quality above 5, 11-16-32-32-1: accuracy on the fifth of the rows that is held out, over
  many seeds, z-scored and raw, against ``MLPClassifier``, all by Adam; and by plain stochastic
  gradient descent, which raw columns hurt more. Nothing chooses by the rows held out.
- The sugar of red wines from all other columns: the correlation of prediction and truth on the rows
  held out, against ``MLPRegressor`` and linear regression. Once with rows parted at random, as is
  usual, and once with equal rows never parted: 240 of the 1,599 wines are copies, and a copy in
  training tells the answer.

PATH is the table of the red wines (winequality-red.csv, P. Cortez and others, 2009).
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from common import print_table, say, whole_number
from secchi import MLP, Learner, TableData, Training
from secchi.console import Console

DEFAULT_TABLE = (
    Path(__file__).resolve().parents[2] / "shared" / "data" / "wine" / "winequality-red.csv"
)
SHAPE = (16, 32, 32)
CLASSES = Training("adam", lr=1e-3, epochs=100, weight_decay=0.0)
PLAIN = Training("sgd", lr=1e-2, epochs=100, weight_decay=0.0)
NUMBERS = Training(lr=1e-2, epochs=50, schedule="one_cycle")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("path", nargs="?", type=Path, default=DEFAULT_TABLE, metavar="PATH")
    parser.add_argument("--seeds", type=whole_number, default=20, help="splits and first weights")
    arguments = parser.parse_args()
    if not arguments.path.is_file():
        raise SystemExit(f"there is no table {arguments.path}; PATH names it")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of networks that scikit-learn stops before they converge
    with threadpool_limits(1):
        quality(arguments.path, arguments.seeds)
        sugar(arguments.path, max(2, arguments.seeds // 2))


def quality(path: Path, seeds: int) -> None:
    """Accuracy on the rows held out, for each seed and way."""
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for seed in range(seeds):
        say(f"quality, seed {seed}")
        for scale in ("zscore", "none"):
            data = TableData.from_csv(path, "quality", above=5, scale=scale, seed=seed)
            learn = learner(data, MLP(SHAPE), CLASSES.but(seed=seed))
            name = "z-scored" if scale == "zscore" else "raw"
            note(scores, seconds, f"secchi, {name}", partial(fitted, learn, "accuracy"))
            plain = learner(data, MLP(SHAPE), PLAIN.but(seed=seed))
            note(scores, seconds, f"secchi by sgd, {name}", partial(fitted, plain, "accuracy"))
            peer = MLPClassifier(
                SHAPE,
                learning_rate_init=1e-3,
                batch_size=64,
                max_iter=100,
                alpha=0,
                random_state=seed,
            )
            note(scores, seconds, f"scikit-learn, {name}", partial(peer_score, peer, learn))
    title = f"Red wine, quality above 5, 11-16-32-32-1, {seeds} seeds: accuracy on rows held out"
    report(title, scores, seconds)
    difference(scores, "secchi, z-scored", "scikit-learn, z-scored")
    difference(scores, "secchi, z-scored", "secchi, raw")
    difference(scores, "secchi by sgd, z-scored", "secchi by sgd, raw")


def sugar(path: Path, seeds: int) -> None:
    """The correlation of predicted and true sugar on the rows held out."""
    for duplicates in ("apart", "together"):
        scores: dict[str, list[float]] = {}
        seconds: dict[str, float] = {}
        for seed in range(seeds):
            say(f"sugar, rows {duplicates}, seed {seed}")
            data = TableData.from_csv(path, "residual sugar", seed=seed, duplicates=duplicates)
            for hidden in (SHAPE, (64, 64)):
                learn = learner(data, MLP(hidden), NUMBERS.but(seed=seed))
                shape = "-".join(map(str, hidden))
                note(scores, seconds, f"secchi, {shape}", partial(fitted, learn, "r"))
                peer = MLPRegressor(hidden_layer_sizes=hidden, max_iter=1000, random_state=seed)
                note(scores, seconds, f"scikit-learn, {shape}", partial(peer_r, peer, learn))
            note(scores, seconds, "linear regression", partial(peer_r, LinearRegression(), learn))
        parted = "at random" if duplicates == "apart" else "equal rows never parted"
        title = f"Residual sugar, {seeds} splits, {parted}: correlation on rows held out"
        report(title, scores, seconds)


def learner(data: TableData, model: MLP, training: Training) -> Learner:
    return Learner(data, model, training, console=Console(quiet=True))


def fitted(learn: Learner, metric: str) -> float:
    learn.fit()
    return learn.evaluate()[metric]


def peer_score(peer: MLPClassifier, learn: Learner) -> float:
    (train, valid), data = prepared(learn), learn.data
    return float(peer.fit(train, data.train.targets).score(valid, data.valid.targets))


def peer_r(peer: MLPRegressor | LinearRegression, learn: Learner) -> float:
    (train, valid), data = prepared(learn), learn.data
    says = peer.fit(train, data.train.targets).predict(valid)
    return float(np.corrcoef(says, data.valid.targets)[0, 1])


def prepared(learn: Learner) -> Sequence[np.ndarray]:
    """The rows as the network got them."""
    bundle = learn.bundle()
    return [bundle.inputs(learn.data.split(name).frame) for name in ("train", "valid")]


def note(
    scores: dict[str, list[float]], seconds: dict[str, float], name: str, run: Callable[[], float]
) -> None:
    started = time.perf_counter()
    scores.setdefault(name, []).append(run())
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started


def report(title: str, scores: dict[str, list[float]], seconds: dict[str, float]) -> None:
    rows = []
    for name, values in scores.items():
        low, high = interval(np.array(values))
        rows.append(
            [
                name,
                f"{np.mean(values):.4f}",
                f"{low:.4f} to {high:.4f}",
                f"{seconds[name] / len(values):.2f}",
            ]
        )
    print_table(title, ["", "mean", "95 % interval", "seconds each"], rows)


def difference(scores: dict[str, list[float]], one: str, other: str) -> None:
    """Say by how much one is better, paired by seed."""
    gaps = np.array(scores[one]) - np.array(scores[other])
    low, high = interval(gaps)
    print(f"{one} against {other}: {gaps.mean():+.4f} ({low:+.4f} to {high:+.4f})")


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean, by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


if __name__ == "__main__":
    main()
