"""What a training step takes of memory: said before, and what is done when it is not there."""

import dataclasses

import torch
from torch import Tensor, nn

from secchi.training.spec import Training

STATED_ERROR = 0.25
"""How far, as a share, an estimate may lie from what a step really takes."""

_FAST_BYTES = 2**25
"""Blocks of memory up to here are kept by the C library and used again; larger ones are asked of
the system each time, whose clearing them costs more than computing on them."""

_BUFFERS = {"sgd": 1, "rmsprop": 2, "adam": 2, "adamw": 2}


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """What a step takes, in bytes.

    Attributes:
        fixed: Weights, gradients and the optimizer's memory.
        per_row: What a row adds: its input and what the backward pass needs of it.
        largest: The largest single array of a row.
    """

    fixed: int
    per_row: int
    largest: int

    def of(self, rows: int) -> int:
        """Of a step that computes so many rows at once."""
        return self.fixed + rows * self.per_row

    @property
    def fast_rows(self) -> int:
        """Rows at once at which a processor is fast: no array outgrows what is used again."""
        return max(8, 2 ** ((_FAST_BYTES // max(self.largest, 1)).bit_length() - 1))


def step_memory(
    net: nn.Module, inputs: Tensor, training: Training, precision: str = "fp32"
) -> StepMemory:
    """Measure what a step takes by computing a few rows forwards.

    What autograd keeps for the backward pass is counted as it is kept, each storage once, without
    the weights; half of the rows are computed too, and the difference is what a row adds. The
    largest array that is made on the way is held twice more, as gradients. Estimates are within
    :data:`STATED_ERROR` for steps of some 100 MB and more; docs/training.md has the figures.

    Args:
        net: What is trained, in the mode in which it is trained.
        inputs: An even number of rows, on the network's device.
        training: Its optimizer and its moving average have a memory of their own.
        precision: ``"fp32"`` or ``"bf16"``.
    """
    half = len(inputs) // 2
    (few, _), (many, largest) = (
        _kept_for_backward(net, rows, precision) for rows in (inputs[:half], inputs)
    )
    kept = (many - few) // half
    everything = sum(p.numel() * p.element_size() for p in net.parameters())
    trained = sum(p.numel() * p.element_size() for p in net.parameters() if p.requires_grad)
    copies = 1 + _BUFFERS[training.optimizer] + (1 if training.ema else 0)
    fixed = everything + copies * trained + max(0, few - half * kept)
    largest //= len(inputs)
    return StepMemory(fixed, kept + 2 * largest + inputs[0].nbytes, largest)


def _kept_for_backward(net: nn.Module, inputs: Tensor, precision: str) -> tuple[int, int]:
    """Bytes that autograd keeps of a forward pass, and of the largest array among them."""
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor  # held, so that no other array gets its address
        return tensor

    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        outputs = net(inputs)
    sizes = [tensor.untyped_storage().nbytes() for tensor in kept.values()]
    del outputs
    return sum(sizes), max(sizes, default=0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory, on a GPU or a processor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's allocator for processors has no error of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
