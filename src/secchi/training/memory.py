"""What a training step takes of memory: said before, and what is done when it is not there."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from secchi.training.spec import Training
from secchi.training.steps import forward

T = TypeVar("T")

STATED_ERROR = 0.25
"""How far, as a share, an estimate may lie from what a step really takes."""

_FAST_BYTES = 2**24
"""The largest array of a step that a processor computes fast. Several of half of that lie in its
caches, and the C library keeps blocks of up to twice that and uses them again; larger ones are
asked of the system each time, whose clearing them costs more than computing on them."""

_AVERAGES = {"sgd": 0, "rmsprop": 1, "adam": 2, "adamw": 2}
"""What an optimizer remembers of each weight; sgd and rmsprop one more with momentum."""

_AT_WORK = {"sgd": 1, "rmsprop": 3, "adam": 4, "adamw": 3}
"""Arrays of the size of a weight that an optimizer fills at once while it moves the weights one by
one, the last one of the weight before among them. The memory of a step is highest there where most
of it is of weights, not of rows."""


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """What a step takes, in bytes.

    A step over several batches (``accumulate``) takes what a step over one of them does: each is
    made when the one before it is done with.

    Attributes:
        fixed: Weights, gradients and the optimizer's memory.
        per_row: What a row adds: its input and what the backward pass needs of it.
        largest: The largest single array of a row.

    >>> memory = StepMemory(fixed=1_000_000, per_row=50_000, largest=1_048_576)
    >>> memory.of(rows=64)
    4200000
    >>> memory.fast_rows
    16
    """

    fixed: int
    per_row: int
    largest: int

    def of(self, rows: int) -> int:
        """Of a step whose batches have so many rows, all of a batch computed at once."""
        return self.fixed + rows * self.per_row

    @property
    def fast_rows(self) -> int:
        """Rows at once at which a processor is fast: no array outgrows what is used again."""
        rows = max(8, _FAST_BYTES // max(self.largest, 1))
        return 1 << (rows.bit_length() - 1)


def step_memory(
    net: nn.Module, inputs: Tensor, training: Training, precision: str = "fp32"
) -> StepMemory:
    """Measure what a step takes by computing a few rows forwards.

    What autograd keeps for the backward pass is counted as it is kept, each storage once, without
    weights, buffers and inputs; half of the rows are computed too, and the difference is what a row
    adds. The largest array that is kept is held twice more, as gradients, and the largest weight a
    few times, while the optimizer moves it. The weights before the epoch, and the best ones where
    they are wanted, are copies beside the weights themselves. Batches that are accumulated are held
    one at a time, so how many they are changes nothing. Estimates are within :data:`STATED_ERROR`
    for steps of 100 MB and more, as ``benchmarks/memory_estimate.py`` measures. The network and the
    generators are left as they are.

    Args:
        net: What is trained, in the mode in which it is trained.
        inputs: An even number of rows, four or more where batch statistics are used, on the
            network's device.
        training: Its optimizer and its moving average have a memory of their own.
        precision: ``"fp32"``, ``"bf16"``, or ``"fp64"`` for a network of float64.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> memory = step_memory(net, torch.zeros(4, 4), Training("sgd"))
    >>> weights, largest = 4 * (4 * 8 + 8 + 8 + 1), 4 * (4 * 8)
    >>> memory.fixed == 3 * weights + largest  # they, those before the epoch, their gradients
    True
    """
    half = len(inputs) // 2
    with _left_alone(net, inputs.device):
        few, many = (_kept_for_backward(net, rows, precision) for rows in (inputs[:half], inputs))
    kept = (sum(many) - sum(few)) // half
    # Pair by pair, so that what does not grow with the rows, such as weights in bf16, is left out.
    largest = max((m - f for f, m in zip(few, many, strict=False)), default=0) // half
    everything = sum(value.nbytes for value in net.state_dict().values())
    weights = [p.nbytes for p in net.parameters() if p.requires_grad]
    averages = _AVERAGES[training.optimizer] + bool(training.ema)
    if training.optimizer in ("sgd", "rmsprop") and training.base_momentum:
        averages += 1
    copies = 2 + training.keep_best
    fixed = copies * everything + (1 + averages) * sum(weights)
    fixed += _AT_WORK[training.optimizer] * max(weights, default=0)
    fixed += max(0, sum(few) - half * kept)
    return StepMemory(fixed, kept + 2 * largest + inputs[0].nbytes, largest)


def _kept_for_backward(net: nn.Module, inputs: Tensor, precision: str) -> list[int]:
    """The bytes of each array that autograd keeps of a forward pass, in the order of its layers."""
    others = {
        tensor.untyped_storage().data_ptr()
        for tensor in (inputs, *net.parameters(), *net.buffers())
    }
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        tensor = tensor.detach()  # kept with its graph, it would never be freed
        address = tensor.untyped_storage().data_ptr()
        if address not in others:
            kept[address] = tensor  # held, so that no other array gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = forward(net, inputs, precision)
    sizes = [tensor.untyped_storage().nbytes() for tensor in kept.values()]
    del outputs
    return sizes


@contextlib.contextmanager
def _left_alone(net: nn.Module, device: torch.device) -> Iterator[None]:
    """A network's buffers, such as running statistics, and the generators as they were."""
    before = [(buffer, buffer.detach().clone()) for buffer in net.buffers()]
    gpus = [torch.cuda.current_device()] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


_TEXTS = ("DefaultCPUAllocator", "MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Of errors that torch has no class for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory, on a GPU or a processor.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def where_it_fits(compute: Callable[[], T]) -> T | None:
    """What is computed; None where the memory for it is not there.

    >>> where_it_fits(lambda: 1 + 1)
    2
    """
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the handler, whose traceback would hold on to what was computed so far.
    torch.cuda.empty_cache()
    return None
