"""What goes wrong in a run has a name, and leaves weights that one can use."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secchi.data.task import Labels, Target, Task
from secchi.errors import DataError
from secchi.training.evaluation import evaluate
from secchi.training.execution import Execution
from secchi.training.history import History, Outcome
from secchi.training.loop import train
from secchi.training.optimizers import Optimizer
from secchi.training.rows import Rows
from secchi.training.spec import Training

TASK = Task((Target.classify("pet", ["cat", "dog", "mouse"]),))
TRAINING = Training("adamw", lr=0.05, epochs=5, batch_size=16, seed=3)
PER_EPOCH = 4  # of 64 rows
MOST_ROWS = 8

ERRORS: dict[str, Callable[[], BaseException]] = {
    "a GPU's": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "torch's on a processor": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "Python's": lambda: MemoryError(),
}


class InMemory:
    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.width = values.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        return self.values[rows]


def rows_of(seed: int = 0, count: int = 64, weighted: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 6)).astype(np.float32)
    truth = inputs[:, :3].argmax(axis=1)
    weights = random.integers(1, 4, count).astype(np.float32) if weighted else None
    return Rows(InMemory(inputs), Labels(TASK, (truth,), weights))


class _BrokenGradient(torch.autograd.Function):
    """The same forwards, and backwards no number."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor) -> Tensor:
        return outputs.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * math.nan


class Network(nn.Module):
    """A small network with whatever is to go wrong in it, its first weights always the same.

    Args:
        spoil: Gets outputs, the number of the forward passes in this mode before this one, and
            whether it is in training mode; gives the outputs.
        norm: Whether it normalises by batches.
    """

    def __init__(
        self, spoil: Callable[[Tensor, int, bool], Tensor] | None = None, norm: bool = False
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            middle = nn.BatchNorm1d(12) if norm else nn.Tanh()
            self.layers = nn.Sequential(nn.Linear(6, 12), middle, nn.Linear(12, 3))
        self._spoil = spoil
        self.passes = {True: 0, False: 0}

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        if self._spoil:
            outputs = self._spoil(outputs, self.passes[self.training], self.training)
        self.passes[self.training] += 1
        return outputs


def trained(
    net: Network, training: Training = TRAINING, rows: Rows | None = None, **options: Any
) -> History:
    rows = rows or rows_of()
    return train(net, rows, rows_of(seed=1), training, metrics=["accuracy"], **options)


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def assert_close(one: nn.Module, other: nn.Module) -> None:
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[key], rtol=1e-4, atol=1e-5, msg=key)


def loss_is_no_number_in(step: int) -> Callable[[Tensor, int, bool], Tensor]:
    return lambda outputs, number, trains: (
        outputs * math.nan if trains and number == step else outputs
    )


def gradient_is_no_number_in(step: int) -> Callable[[Tensor, int, bool], Tensor]:
    return lambda outputs, number, trains: (
        _BrokenGradient.apply(outputs) if trains and number == step else outputs
    )


@pytest.mark.parametrize("changes", [{}, {"clip": 0.1}, {"ema": 0.9}, {"ema": 0.9, "clip": 0.1}])
@pytest.mark.parametrize("step", [0, 2, PER_EPOCH - 1, PER_EPOCH, 2 * PER_EPOCH + 1])
@pytest.mark.parametrize("spoiled", [loss_is_no_number_in, gradient_is_no_number_in])
def test_a_step_that_is_no_number_ends_the_run_with_the_last_good_epoch(
    spoiled: Callable[[int], Any], step: int, changes: dict[str, Any]
) -> None:
    training = TRAINING.but(**changes)
    net, before = Network(spoiled(step)), Network()
    history = trained(net, training)
    assert history.outcome is Outcome.DIVERGED
    assert history.steps == step
    assert net.passes[True] == step + 1
    expected = trained(before, training.but(epochs=max(step // PER_EPOCH, 1)))
    good = expected.epochs if step >= PER_EPOCH else ()
    assert [(e.number, e.train_loss, e.valid_loss) for e in history.epochs] == [
        (e.number, e.train_loss, e.valid_loss) for e in good
    ]
    assert_equal(net, before if step >= PER_EPOCH else Network())
    assert f"after {step} steps diverged" in str(history)
    assert not net.training
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_loss_that_is_no_number_is_written_and_ends_the_run(
    value: float, epoch: int, ema: float | None
) -> None:
    training = TRAINING.but(ema=ema)
    net = Network(
        lambda outputs, number, trains: outputs if trains or number != epoch else outputs * value
    )
    history = trained(net, training)
    assert history.outcome is Outcome.DIVERGED
    assert [e.number for e in history.epochs] == list(range(epoch + 1))
    assert history.steps == (epoch + 1) * PER_EPOCH
    assert math.isfinite(history.epochs[-1].train_loss)
    assert not math.isfinite(history.epochs[-1].valid_loss)
    before = Network()
    if epoch:
        trained(before, training.but(epochs=epoch))
    assert_equal(net, before)


def test_a_run_that_diverges_leaves_the_best_epoch_where_that_is_kept() -> None:
    training = TRAINING.but(keep_best=True)
    net = Network(loss_is_no_number_in(3 * PER_EPOCH))
    history = trained(net, training)
    assert history.outcome is Outcome.DIVERGED
    seen = [epoch.valid_loss for epoch in history.epochs]
    assert len(seen) == 3
    assert evaluate(net, rows_of(seed=1)).loss == min(seen)


def too_many_rows(error: Callable[[], BaseException]) -> Callable[[Tensor, int, bool], Tensor]:
    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        if len(outputs) > MOST_ROWS:
            raise error()
        return outputs

    return spoil


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_without_the_memory_a_batch_is_computed_in_parts(error: str, weighted: bool) -> None:
    """A batch of 64 in eights, in training and where it is judged."""
    rows, training = rows_of(count=128, weighted=weighted), TRAINING.but(batch_size=64)
    said: list[str] = []
    undisturbed, net = Network(), Network(too_many_rows(ERRORS[error]))
    expected = trained(undisturbed, training, rows)
    history = trained(net, training, rows, tell=said.append)
    assert history.outcome is Outcome.COMPLETED
    assert history.steps == expected.steps == 10
    assert net.passes[True] == 128 // 8 * 5
    assert_close(net, undisturbed)
    for mine, theirs in zip(history.epochs, expected.epochs, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert mine.valid_loss == pytest.approx(theirs.valid_loss, rel=1e-5)
        assert mine.metrics == theirs.metrics
    assert said == [
        "out of memory: a batch of 64 is computed in 8 parts of 8 from now on, and their "
        "gradients are added up: the same steps"
    ]


@pytest.mark.parametrize("training", [True, False])
def test_a_person_is_warned_of_batch_normalisation_where_it_sees_batches(training: bool) -> None:
    class Frozen(Network):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self.layers[1].train(mode and training)
            return self

    said: list[str] = []
    net = Frozen(too_many_rows(MemoryError), norm=True)
    trained(net, TRAINING.but(batch_size=64), tell=said.append)
    assert len(said) == 1
    warned = "batch normalisation sees 8 rows at a time instead" in said[0]
    assert warned == training
    assert said[0].endswith("the same steps") != training


def test_memory_that_runs_out_later_is_told_then() -> None:
    said: list[str] = []

    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        if trains and number >= PER_EPOCH and len(outputs) > 4:
            raise MemoryError
        return outputs

    epochs: list[int] = []
    net, undisturbed = Network(spoil), Network()
    trained(net, observe=lambda epoch: epochs.append(len(said)), tell=said.append)
    trained(undisturbed)
    assert epochs == [0, 1, 1, 1, 1]
    assert_close(net, undisturbed)


def test_memory_that_runs_out_again_is_not_told_again() -> None:
    said: list[str] = []

    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        if trains and len(outputs) > (8 if number < 2 * PER_EPOCH else 4):
            raise MemoryError
        return outputs

    net, undisturbed = Network(spoil), Network()
    trained(net, tell=said.append)
    trained(undisturbed)
    assert len(said) == 1
    assert_close(net, undisturbed)


def test_nobody_has_to_be_told() -> None:
    net, undisturbed = Network(too_many_rows(MemoryError)), Network()
    trained(net)
    trained(undisturbed)
    assert_close(net, undisturbed)


@pytest.mark.parametrize("micro", [None, 3])
@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("step", [0, 1, 2 * PER_EPOCH + 1])
def test_where_not_even_one_row_fits_the_last_good_epoch_is_left(
    step: int, ema: float | None, micro: int | None
) -> None:
    training = TRAINING.but(ema=ema)
    full = {"now": step == 0}

    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        if trains and full["now"]:
            raise torch.OutOfMemoryError
        return outputs

    def progress(done: int, total: int) -> None:
        full["now"] = done == 16 * step

    net = Network(spoil)
    said: list[str] = []
    execution = Execution(micro=micro)
    history = trained(net, training, execution=execution, progress=progress, tell=said.append)
    assert history.outcome is Outcome.OUT_OF_MEMORY
    assert history.steps == step
    assert len(history.epochs) == step // PER_EPOCH
    assert said == []  # the outcome says it
    before = Network()
    if step >= PER_EPOCH:
        trained(before, training.but(epochs=step // PER_EPOCH), execution=execution)
    assert_equal(net, before)
    assert f"after {step} steps out of memory: not even one row fits" in str(history)


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}])
@pytest.mark.parametrize("step", [0, 2 * PER_EPOCH + 1])
def test_where_the_optimizer_has_no_memory_the_last_good_epoch_is_left(
    step: int, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that were moved in part do not stay."""
    training, before = TRAINING.but(**changes), Network()
    if step >= PER_EPOCH:
        trained(before, training.but(epochs=step // PER_EPOCH))
    move, calls = Optimizer.step, 0

    def step_(self: Optimizer, *arguments: float) -> None:
        nonlocal calls
        move(self, *arguments)
        calls += 1
        if calls == step + 1:
            raise MemoryError

    monkeypatch.setattr(Optimizer, "step", step_)
    net = Network()
    history = trained(net, training)
    assert history.outcome is Outcome.OUT_OF_MEMORY
    assert history.steps == step
    assert len(history.epochs) == step // PER_EPOCH
    assert "what the optimizer remembers" in history.remark
    assert_equal(net, before)
    assert not net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def sizes_in(net: nn.Module) -> list[int]:
    """The rows of every forward pass in training mode, as they come."""
    seen: list[int] = []
    net.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if module.training else None
    )
    return seen


@pytest.mark.parametrize(
    ("changes", "micro", "expected"),
    [
        ({}, None, [16, 17]),
        ({"accumulate": 2}, None, [16, 17]),  # one step
        ({}, 4, [4, 4, 4, 4, 4, 4, 4, 5]),
        ({}, 5, [5, 5, 6, 5, 5, 5, 2]),
        ({}, 1, [2] * 8 + [2] * 7 + [3]),
    ],
)
def test_a_row_that_is_left_over_joins_others_where_batches_are_normalised(
    changes: dict[str, Any], micro: int | None, expected: list[int]
) -> None:
    training = TRAINING.but(epochs=2, **changes)
    net = Network(norm=True)
    seen = sizes_in(net)
    history = trained(net, training, rows_of(count=33), execution=Execution(micro=micro))
    assert history.outcome is Outcome.COMPLETED
    assert seen == expected * 2
    assert history.steps == 2 * (1 if "accumulate" in changes else 2)


def test_a_row_that_is_left_over_stays_alone_where_it_can() -> None:
    net = Network()
    seen = sizes_in(net)
    assert trained(net, TRAINING.but(epochs=1), rows_of(count=33)).steps == 3
    assert seen == [16, 16, 1]


def test_batch_normalisation_sees_two_rows_at_least_where_memory_is_short() -> None:
    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        if trains and len(outputs) > 3:
            raise MemoryError
        return outputs

    net = Network(spoil, norm=True)
    seen = sizes_in(net)
    assert trained(net, TRAINING.but(epochs=1)).outcome is Outcome.COMPLETED
    assert seen == [16, 8, 4] + [2] * 32

    def all_of_it(outputs: Tensor, number: int, trains: bool) -> Tensor:
        if trains:
            raise MemoryError
        return outputs

    net = Network(all_of_it, norm=True)
    seen = sizes_in(net)
    assert trained(net).outcome is Outcome.OUT_OF_MEMORY
    assert seen == [16, 8, 4, 2]


@pytest.mark.parametrize(("count", "batch_size"), [(1, 16), (5, 1)])
def test_one_row_cannot_be_normalised_by_itself(count: int, batch_size: int) -> None:
    with pytest.raises(DataError, match="batch normalisation cannot use the statistics of one row"):
        trained(Network(norm=True), TRAINING.but(batch_size=batch_size), rows_of(count=count))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    net = Network(spoil)
    with pytest.raises(RuntimeError, match="shapes"):
        trained(net)
    assert net.passes[True] == 0


def test_where_not_even_one_row_can_be_judged_the_error_says_so() -> None:
    def spoil(outputs: Tensor, number: int, trains: bool) -> Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(MemoryError, match="not even one row can be judged"):
        evaluate(Network(spoil), rows_of())
