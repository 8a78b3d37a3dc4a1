"""Where and how a network computes, which changes its numbers by rounding alone."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

SMALL_STEP = 2**24
"""Multiplications in a step's forward pass below which it stays on one core: about 1 ms."""


class Execution(NamedTuple):
    """Where and how a network computes, which changes its numbers by rounding alone.

    Attributes:
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"fp32"``, ``"bf16"`` under autocast, or ``"fp64"``, for which the network's
            weights become float64 and stay so.
        micro: Rows that are computed at once in a training step; None takes the whole batch.
        compiled: Whether torch compiles the network first.

    >>> Execution("cuda", "bf16").precision
    'bf16'
    """

    device: str = "cpu"
    precision: str = "fp32"
    micro: int | None = None
    compiled: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of what a network gives."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    def place(self, net: nn.Module) -> nn.Module:
        """Bring a network to where it computes, and to float64 where it computes in that."""
        return net.to(self.device, torch.float64 if self.precision == "fp64" else None)


ON_CPU = Execution()


def threads_for(net: nn.Module, batch_size: int) -> contextlib.AbstractContextManager[None]:
    """Keep a small step on one core.

    Sharing it costs more than it saves, and a hundred times more where the other core is busy.
    A convolution multiplies by its weights at every place, so a step with one is never small.
    Frozen layers are computed ahead, so only what trains counts; all of it where nothing does.
    """
    small = batch_size * sum(p.numel() for p in _counted(net)) < SMALL_STEP
    return threads(1) if small and not convolves(net) else contextlib.nullcontext()


def _counted(net: nn.Module) -> list[nn.Parameter]:
    everything = list(net.parameters())
    return [p for p in everything if p.requires_grad] or everything


def convolves(net: nn.Module) -> bool:
    """Whether what trains of a network has convolutions."""
    return any(p.ndim > 2 for p in _counted(net))


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute on so many cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gpus(device: str) -> list[int]:
    """The GPUs whose generators a step on a device draws from."""
    return [torch.cuda.current_device()] if device == "cuda" else []


def seed_generators(seed: int, device: str) -> None:
    """Seed the generators that a step draws from, and no other GPU's."""
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed(seed)
    elif device == "mps":
        torch.mps.manual_seed(seed)
