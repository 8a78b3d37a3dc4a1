"""From what is summed up in an epoch to losses, metrics, and how a training ended."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.cohort.lanes.curves import End, curve, ended, losses, metrics
from secchi.cohort.lanes.program import STATISTICS
from secchi.data.task import Kind, Labels, Target, Task
from secchi.training.evaluation import score
from secchi.training.history import Epoch, Outcome
from secchi.training.spec import Training
from secchi.training.stopping import EarlyStopping, KeepBest

PER_EPOCH = 3


def statistics(train: list[float], valid: list[float]) -> np.ndarray:
    """Of one network: sums over rows that weigh 2 together, and 4 where they validate."""
    table = np.zeros((len(train), len(STATISTICS)))
    of = {name: place for place, name in enumerate(STATISTICS)}
    table[:, of["train_weight"]], table[:, of["weight"]] = 2, 4
    table[:, of["train_loss"]] = 2 * np.array(train)
    table[:, of["loss"]] = 4 * np.array(valid)
    return table


def ends(train: list[float], valid: list[float], bad: int, done: int, training: Training) -> End:
    """How far a training came, epoch after epoch, with the rules of the ordinary loop."""
    stopping, keeping = EarlyStopping(training.patience), KeepBest(training.keep_best)
    waits, keeps, best = stopping.init(), keeping.init(), None
    epochs, steps, outcome = 0, 0, None
    for number in range(done):
        if 0 <= bad < (number + 1) * PER_EPOCH:
            steps, outcome = bad, Outcome.DIVERGED
            break
        epoch = Epoch(number, train[number], valid[number], {}, 0.0)
        waits, keeps = stopping.update(waits, epoch), keeping.update(keeps, epoch)
        best = number if keeping.keeps(keeps) else best
        epochs, steps = number + 1, (number + 1) * PER_EPOCH
        if not (math.isfinite(train[number]) and math.isfinite(valid[number])):
            outcome = Outcome.DIVERGED
        elif epochs == training.epochs:
            outcome = Outcome.COMPLETED
        elif stopping.stops(waits):
            outcome = Outcome.STOPPED_EARLY
        if outcome:
            break
    return End(epochs, steps, outcome, best if best != epochs - 1 else None)


LOSSES = st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, math.inf, math.nan]) | st.floats(0, 1)
SOUND = st.floats(0, 1)


@st.composite
def trainings(draw: st.DrawFn) -> tuple[list[float], list[float], int, int, Training]:
    epochs = draw(st.integers(1, 12))
    done = draw(st.integers(0, epochs))
    which = draw(st.sampled_from([LOSSES, SOUND]))
    train, valid = (draw(st.lists(which, min_size=done, max_size=done)) for _ in range(2))
    bad = draw(st.just(-1) | st.integers(0, max(0, done * PER_EPOCH - 1)))
    patience = draw(st.none() | st.integers(1, 4))
    training = Training(epochs=epochs, patience=patience, keep_best=draw(st.booleans()))
    return train, valid, bad if done else -1, done, training


@settings(max_examples=400)
@given(trainings())
def test_trainings_end_by_the_rules_of_the_ordinary_loop(
    given_: tuple[list[float], list[float], int, int, Training],
) -> None:
    train, valid, bad, done, training = given_
    ours = ended(statistics(train, valid), bad, done, PER_EPOCH, training)
    assert ours == ends(train, valid, bad, done, training)


def test_a_curve_goes_as_far_as_the_training_came() -> None:
    table = statistics([0.5, 0.4, 0.3], [0.9, 0.8, 0.7])
    end = End(2, 6, Outcome.STOPPED_EARLY, 0)
    made = curve(end, table, {"mae": np.arange(3.0), "rmse": np.arange(3.0)}, ["rmse"])
    np.testing.assert_allclose(made.train_loss, [0.5, 0.4])
    np.testing.assert_allclose(made.valid_loss, [0.9, 0.8])
    assert {name: values.tolist() for name, values in made.metrics.items()} == {"rmse": [0, 1]}
    assert made[3:] == (Outcome.STOPPED_EARLY, 6, 0)


def test_losses_without_any_row_are_zero_not_an_error() -> None:
    train, valid = losses(np.zeros((2, len(STATISTICS))))
    assert train.tolist() == valid.tolist() == [0, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["random", "one answer", "one truth", "nan"]))
def test_metrics_of_numbers_are_those_of_all_rows(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    rows, center, scale = int(random.integers(3, 30)), 50.0, 7.0
    z, t = random.normal(size=rows), random.normal(size=rows)
    weights = random.choice([0.5, 1.0, 2.0], rows).astype(np.float32)
    if kind == "one answer":
        z[:] = z[0]
    elif kind == "one truth":
        t[:] = t[0]
    elif kind == "nan":
        z[1] = np.nan
    table = np.zeros((1, len(STATISTICS)))
    sums = {"weight": 1 + 0 * z, "right": np.abs(z - t), "z": z, "zz": z * z, "zt": z * t}
    sums |= {"t": t, "tt": t * t, "squares": (z - t) ** 2}
    for name, each in sums.items():
        table[0, STATISTICS.index(name)] = (weights * each).sum()
    table[0, STATISTICS.index("least")] = z.min()
    table[0, STATISTICS.index("most")] = z.max()
    names = ["mae", "rmse", "r2", "r"]
    target = Target("price", Kind.REGRESSION)
    made = metrics(names, table, target, scale)
    labels = Labels(Task((target,)), (t * scale + center,), weights)
    expected = score(labels, torch.from_numpy(z * scale + center)[:, None], names)
    for name in names:
        np.testing.assert_allclose(
            made[name][0], expected[name], rtol=1e-6, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.MULTICLASS, Kind.MULTILABEL])
def test_of_classes_what_is_right_is_the_accuracy(kind: Kind) -> None:
    table = np.zeros((1, len(STATISTICS)))
    table[0, STATISTICS.index("weight")], table[0, STATISTICS.index("right")] = 8, 6
    target = Target("kind", kind, ("a", "b", "c")[: 2 if kind is Kind.BINARY else 3])
    made = metrics(["auc", "error_rate", "accuracy"], table, target, 1.0)
    assert {name: values.tolist() for name, values in made.items()} == {
        "error_rate": [0.25],
        "accuracy": [0.75],
    }
