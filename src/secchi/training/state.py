"""All that evolves while a network is trained."""

import dataclasses

from torch import nn

from secchi.training.optimizers import Optimizer


@dataclasses.dataclass
class TrainState:
    """What a training step changes.

    Attributes:
        net: The network; its weights.
        optimizer: Its momenta and counters.
        epoch: Epochs finished over the life of the network.
        step: Steps taken in this call of ``fit``.
    """

    net: nn.Module
    optimizer: Optimizer
    epoch: int = 0
    step: int = 0
