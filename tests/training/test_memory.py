"""What a step takes of memory, by hand, and what counts as running out of it."""

import weakref

import pytest
import torch
from torch import nn

from secchi.training.memory import StepMemory, is_out_of_memory, step_memory, where_it_fits
from secchi.training.spec import Training

NUMBERS = 4 * 8 + 8 + 8 * 1 + 1
"""Parameters of the network below."""

LARGEST = 4 * 8
"""Numbers in its largest weight."""


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def rows(count: int = 8, width: int = 4) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("count", [2, 4, 16])
def test_a_row_adds_what_the_backward_pass_needs_of_it(count: int) -> None:
    """8 numbers behind the first layer, which both layers behind it share; 4 of input."""
    found = step_memory(mlp(), rows(count), Training())
    assert found.largest == 4 * 8
    assert found.per_row == 4 * (8 + 2 * 8 + 4)


@pytest.mark.parametrize(
    ("training", "copies", "at_work"),
    [
        # The weights, those before the epoch, and their gradients; then what is remembered. And
        # the arrays that the optimizer fills while it moves the largest weight.
        (Training("sgd"), 3, 1),
        (Training("sgd", momentum=0.9), 4, 1),
        (Training("rmsprop"), 4, 3),
        (Training("rmsprop", momentum=0.9), 5, 3),
        (Training("adam"), 5, 4),
        (Training("adamw"), 5, 3),
        (Training("adamw", ema=0.99), 6, 3),
        (Training("adamw", keep_best=True), 6, 3),
        (Training("sgd", ema=0.99, keep_best=True), 5, 1),
    ],
)
def test_weights_have_copies_whatever_the_rows(
    training: Training, copies: int, at_work: int
) -> None:
    expected = 4 * (copies * NUMBERS + at_work * LARGEST)
    assert step_memory(mlp(), rows(), training).fixed == expected


def test_frozen_weights_have_no_gradients_and_nothing_is_remembered_of_them() -> None:
    net = mlp()
    net[0].requires_grad_(False)
    found = step_memory(net, rows(), Training("adamw"))
    trained = 8 + 1
    assert found.fixed == 4 * (2 * NUMBERS + 3 * trained + 3 * 8)
    assert found.per_row == 4 * (8 + 2 * 8 + 4)  # the last layer needs its inputs
    net[2].requires_grad_(False)
    assert step_memory(net, rows(), Training("adamw")).per_row == 4 * 4


def test_what_does_not_grow_with_the_rows_is_counted_once() -> None:
    """A batch norm that trains keeps two numbers a channel of its batch."""
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    found = step_memory(net, rows(), Training("sgd"))
    weights = 4 * (NUMBERS + 16)
    statistics = 4 * 16 + 8
    assert found.per_row == 4 * (8 + 8 + 2 * 8 + 4)
    assert found.fixed == 2 * (weights + statistics) + weights + 4 * LARGEST + 2 * 4 * 8


def test_more_rows_take_more_memory() -> None:
    found = step_memory(mlp(), rows(), Training())
    taken = [found.of(count) for count in range(100)]
    assert taken == sorted(set(taken))
    assert taken[0] == found.fixed
    assert taken[10] - taken[7] == 3 * found.per_row


def test_bf16_keeps_half_as_much_of_a_row_and_its_own_weights() -> None:
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128))
    full = step_memory(net, rows(width=64), Training())
    half = step_memory(net, rows(width=64), Training(), "bf16")
    assert full.largest == 4 * 128
    assert half.largest == 2 * 128
    assert full.per_row == 4 * (128 + 2 * 128 + 64)
    # The inputs too are kept a second time, in bf16.
    assert half.per_row == 2 * (64 + 128 + 2 * 128) + 4 * 64
    # For the gradient of what lies before a layer its weights are needed; of the inputs none is.
    assert half.fixed == full.fixed + 2 * 128 * 128


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(0, 2**24), (1, 2**24), (2**19, 32), (2**19 + 1, 16), (2**21, 8), (2**24, 8), (2**30, 8)],
)
def test_a_fast_step_has_no_array_that_outgrows_what_is_used_again(
    largest: int, expected: int
) -> None:
    assert StepMemory(0, 0, largest).fast_rows == expected


def test_measuring_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    step_memory(net, rows(), Training())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_what_was_measured_is_freed() -> None:
    class Mark:
        """Lives as long as the graph that it is tied to."""

    class Watched(nn.Sigmoid):
        """Its output is kept for its own backward pass."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            outputs = super().forward(inputs)
            mark = Mark()
            outputs.grad_fn.metadata["mark"] = mark
            marks.append(weakref.ref(mark))
            return outputs

    marks: list[weakref.ref] = []
    step_memory(nn.Sequential(nn.Linear(4, 8), Watched()), rows(), Training())
    assert len(marks) == 2
    assert not any(mark() for mark in marks)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (torch.cuda.OutOfMemoryError(), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("DefaultCPUAllocator"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(
    error: BaseException, expected: bool
) -> None:
    assert is_out_of_memory(error) == expected


def test_torchs_own_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert where_it_fits(lambda: torch.empty(2**60, dtype=torch.uint8)) is None


def test_what_fits_is_computed_and_other_errors_pass() -> None:
    assert where_it_fits(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        where_it_fits(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="shapes"):
        where_it_fits(lambda: torch.zeros(2, 3) @ torch.zeros(2, 3))


def test_nothing_of_a_failed_computation_is_held() -> None:
    held: list[weakref.ref] = []

    def compute() -> None:
        large = nn.Linear(2, 2)
        held.append(weakref.ref(large))
        raise MemoryError

    assert where_it_fits(compute) is None
    assert held[0]() is None
