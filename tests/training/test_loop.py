"""The loop: the same seed gives the same numbers, and what goes wrong has a name."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError
from secchi.models.heads import Head
from secchi.training.history import Epoch, History, Outcome
from secchi.training.loop import EVALUATION_NUMBERS, Rows, evaluate, train
from secchi.training.optimizers import OPTIMIZERS
from secchi.training.spec import OPTIMIZER_NAMES, Training

PET = Target.classify("pet", ["cat", "dog", "mouse"])


class InMemory:
    """Inputs that remember which rows were taken."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.width = values.shape[1]
        self.taken: list[list[int]] = []
        self.epochs: list[int] = []

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        self.taken.append(np.arange(len(self))[rows].tolist())
        self.epochs.append(epoch)
        return self.values[rows]


def rows_of(
    target: Target = PET, count: int = 50, seed: int = 0, weights: Sequence[float] | None = None
) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 6)).astype(np.float32)
    signal = inputs @ np.random.default_rng(99).normal(size=(6, len(target.classes) or 1))
    if target.kind is Kind.REGRESSION:
        values = signal[:, 0].astype(np.float32)
    elif target.exclusive:
        values = signal.argmax(axis=1)
    else:
        values = (signal > 0).astype(np.float32)
    share = None if weights is None else np.array(weights, np.float32)
    return Rows(InMemory(inputs), Labels(Task((target,)), (values,), share))


def fitted(training: Training, rows: Rows | None = None, **options: object) -> tuple[Head, History]:
    rows = rows or rows_of()
    head = Head(6, rows.labels.task.outputs)
    history = train(head, rows, rows_of(rows.labels.task.target, seed=1), training, **options)
    return head, history


def numbers(history: History) -> list[tuple[object, ...]]:
    return [(e.number, e.train_loss, e.valid_loss, *e.metrics.items()) for e in history.epochs]


def test_the_names_of_the_specification_are_the_optimizers_that_there_are() -> None:
    assert tuple(OPTIMIZERS) == OPTIMIZER_NAMES


@pytest.mark.parametrize("optimizer", OPTIMIZER_NAMES)
def test_one_seed_gives_the_same_numbers_to_the_bit(optimizer: str) -> None:
    training = Training(optimizer, epochs=4, batch_size=16, seed=7)
    (one, first), (other, second) = fitted(training), fitted(training)
    assert numbers(first) == numbers(second)
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert torch.equal(one.linear.bias, other.linear.bias)


def test_what_else_draws_random_numbers_moves_nothing() -> None:
    training = Training(epochs=2, batch_size=16)
    _, first = fitted(training)
    torch.manual_seed(123)
    np.random.seed(123)
    _, second = fitted(training)
    assert numbers(first) == numbers(second)


def test_another_seed_gives_other_numbers() -> None:
    _, first = fitted(Training(epochs=2, batch_size=16, seed=0))
    _, second = fitted(Training(epochs=2, batch_size=16, seed=1))
    assert numbers(first) != numbers(second)


def test_training_learns() -> None:
    _, history = fitted(Training(lr=0.05, epochs=30, batch_size=16))
    assert history.outcome is Outcome.COMPLETED
    assert history.epochs[-1].metrics["accuracy"] > 0.85
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss / 2


def test_every_epoch_takes_every_row_once_in_batches_of_the_size_asked_for() -> None:
    rows = rows_of(count=50)
    fitted(Training(epochs=3, batch_size=16), rows)
    taken = rows.inputs.taken
    assert [len(batch) for batch in taken] == [16, 16, 16, 2] * 3
    for epoch in range(3):
        assert sorted(sum(taken[4 * epoch : 4 * epoch + 4], [])) == list(range(50))
    assert taken[0] != taken[4]


def test_the_order_of_the_batches_follows_from_seed_and_epoch_alone() -> None:
    together, apart, other = rows_of(), rows_of(), rows_of()
    fitted(Training(epochs=2, batch_size=16), together)
    fitted(Training(epochs=1, batch_size=16, lr=0.5), apart)
    fitted(Training("sgd", epochs=1, batch_size=16), apart, first_epoch=1)
    fitted(Training(epochs=2, batch_size=16, seed=1), other)
    assert together.inputs.taken == apart.inputs.taken
    assert together.inputs.taken != other.inputs.taken


def test_epochs_are_numbered_from_the_first_one_asked_for() -> None:
    _, history = fitted(Training(epochs=2), first_epoch=5)
    assert [epoch.number for epoch in history.epochs] == [5, 6]


def test_no_epochs_change_nothing() -> None:
    head, history = fitted(Training(epochs=0))
    assert history.epochs == ()
    assert history.outcome is Outcome.COMPLETED
    assert not head.linear.weight.any()


def test_the_training_loss_is_the_mean_over_rows_and_not_over_batches() -> None:
    """A tiny learning rate keeps the network where it is: every batch costs log 3 a row."""
    rows = rows_of(count=17, weights=[5.0] * 16 + [1.0])
    _, history = fitted(Training(lr=1e-12, epochs=1, batch_size=16), rows)
    assert history.epochs[0].train_loss == pytest.approx(math.log(3), rel=1e-5)


def test_an_observer_sees_every_epoch_when_it_is_done() -> None:
    seen: list[Epoch] = []
    _, history = fitted(Training(epochs=3), observe=seen.append)
    assert tuple(seen) == history.epochs


@pytest.mark.parametrize(("lr", "epochs"), [(1e30, 5), (1e30, 1)])
def test_divergence_is_named_even_when_the_last_step_brought_it(lr: float, epochs: int) -> None:
    number = Target("price", Kind.REGRESSION)
    training = Training("sgd", lr=lr, epochs=epochs, batch_size=50)
    _, history = fitted(training, rows_of(number), metrics=["mae"])
    assert history.outcome is Outcome.DIVERGED
    assert len(history.epochs) == 1
    assert math.isfinite(history.epochs[0].train_loss)
    assert not math.isfinite(history.epochs[0].valid_loss)
    assert "learning rate" in str(history)


def test_divergence_within_an_epoch_ends_it_with_metrics_that_are_no_numbers() -> None:
    number = Target("price", Kind.REGRESSION)
    rows = rows_of(number)
    training = Training("sgd", lr=1e30, epochs=5, batch_size=1)
    _, history = fitted(training, rows, metrics=["mae", "r2"])
    assert history.outcome is Outcome.DIVERGED
    assert len(history.epochs) == 1
    assert len(rows.inputs.taken) < 10
    assert all(math.isnan(value) for value in history.epochs[0].metrics.values())


class _WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        assert self.training == torch.is_grad_enabled()
        return self.linear(inputs)


def test_rows_are_judged_in_evaluation_mode_and_without_gradients() -> None:
    net = _WithDropout()
    train(net, rows_of(), rows_of(seed=1), Training(epochs=1, batch_size=16))
    assert not net.training


def test_evaluating_changes_no_weight() -> None:
    head, _ = fitted(Training(epochs=1))
    before = {key: value.clone() for key, value in head.state_dict().items()}
    evaluate(head, rows_of(seed=3), metrics=["accuracy"])
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())


def test_many_rows_are_judged_in_parts_as_they_are_at_once() -> None:
    count = EVALUATION_ROWS + 100
    random = np.random.default_rng(5)
    rows = rows_of(count=count, weights=random.integers(0, 3, count).tolist())
    head, _ = fitted(Training(epochs=1))
    found = evaluate(head, rows, metrics=["accuracy"])
    assert [len(batch) for batch in rows.inputs.taken] == [EVALUATION_ROWS, 100]
    with torch.no_grad():
        outputs = head(torch.from_numpy(rows.inputs.values))
    truth, weights = rows.labels.values[0], rows.labels.weights
    torch.testing.assert_close(found.outputs, outputs)
    each = nn.functional.cross_entropy(outputs, torch.from_numpy(truth), reduction="none").numpy()
    assert found.loss == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    right = outputs.argmax(1).numpy() == truth
    assert found.metrics["accuracy"] == pytest.approx(np.average(right, weights=weights))


def test_weights_move_what_is_learned() -> None:
    """Of two rows that contradict each other, the one that counts more is believed."""
    binary = Target.classify("tame", ["no", "yes"])
    inputs = np.ones((2, 6), np.float32)
    for weights, expected in (([9.0, 1.0], 0), ([1.0, 9.0], 1), ([0.0, 1.0], 1)):
        labels = Labels(Task((binary,)), (np.array([0, 1]),), np.array(weights, np.float32))
        rows = Rows(InMemory(inputs), labels)
        head = Head(6, 1)
        train(head, rows, rows, Training(lr=0.1, epochs=20, batch_size=2))
        assert (head(torch.ones(1, 6)).item() > 0) == expected


def test_the_metrics_of_several_targets_are_kept_apart() -> None:
    task = Task.regress("height", "weight")
    inputs = InMemory(np.ones((4, 6), np.float32))
    values = (np.zeros(4, np.float32), np.full(4, 2, np.float32))
    found = evaluate(Head(6, 2), Rows(inputs, Labels(task, values)), metrics=["mae"])
    assert found.metrics == {"height.mae": 0.0, "weight.mae": 2.0}
    assert found.loss == 4.0


@pytest.mark.parametrize("side", ["training", "validation"])
@pytest.mark.parametrize("count", [0, 3])
def test_rows_of_which_none_counts_are_refused(side: str, count: int) -> None:
    nothing = rows_of(count=count, weights=[0.0] * count if count else None)
    sides = {"training": rows_of(), "validation": rows_of(seed=1)} | {side: nothing}
    with pytest.raises(DataError, match=f"no {side} row counts"):
        train(Head(6, 3), sides["training"], sides["validation"], Training(epochs=1))


def test_no_rows_have_no_loss_and_no_metrics() -> None:
    found = evaluate(Head(6, 3), rows_of(count=0), metrics=["accuracy"])
    assert found.outputs.shape == (0, 3)
    assert math.isnan(found.loss)
    assert math.isnan(found.metrics["accuracy"])
