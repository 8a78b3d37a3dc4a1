"""All that evolves while a network is trained: what is in it is what a checkpoint keeps."""

import dataclasses
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secchi.training.averaging import WeightAverage
from secchi.training.history import Epoch, no_steps
from secchi.training.optimizers import Optimizer
from secchi.training.stopping import Seen

Weights = dict[str, Tensor]

_BY_STEP = ("step_losses", "step_rates")


@dataclasses.dataclass
class TrainState:
    """What training changes.

    Attributes:
        net: The network; its weights.
        optimizer: Its momenta and counters.
        average: The moving average of the weights, where one is asked for.
        epoch: Epochs finished over the life of the network.
        step: Steps finished in this call of ``fit``.
        batch: Steps finished in this epoch.
        loss_sum: Sum over this epoch's rows of their losses, each by its weight.
        weight_sum: Sum of the weights of those rows.
        micro: Rows that are computed at once; less than a batch where memory or caches are small.
        stopping: What early stopping has seen.
        keeping: What keeping the best has seen.
        good: The weights before this epoch, which were finite.
        best: The weights of the best epoch, where they are kept.
        epochs: The finished epochs of this call.
        step_losses: The loss of each of its steps.
        step_rates: The learning rate of each, of the last layer group.
    """

    net: nn.Module
    optimizer: Optimizer
    average: WeightAverage | None
    epoch: int
    micro: int
    stopping: Seen
    keeping: Seen
    step: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    good: Weights = dataclasses.field(default_factory=dict)
    best: Weights = dataclasses.field(default_factory=dict)
    epochs: list[Epoch] = dataclasses.field(default_factory=list)
    step_losses: "array[float]" = dataclasses.field(default_factory=no_steps)
    step_rates: "array[float]" = dataclasses.field(default_factory=no_steps)

    def weights(self) -> Weights:
        """A copy of the network's weights and buffers."""
        return {key: value.detach().clone() for key, value in self.net.state_dict().items()}

    def tensors(self) -> Weights:
        """Every tensor of it, by name."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state(),
            "average": self.average.averages if self.average else {},
            "good": self.good,
            "best": self.best,
            "steps": {
                name: torch.from_numpy(np.array(getattr(self, name), np.float32))
                for name in _BY_STEP
            },
        }
        return {f"{part}/{key}": v for part, values in parts.items() for key, v in values.items()}

    def numbers(self) -> dict[str, Any]:
        """Everything else of it, as plain JSON values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "loss_sum": self.loss_sum,
            "weight_sum": self.weight_sum,
            "micro": self.micro,
            "average_steps": self.average.steps if self.average else 0,
            "stopping": list(self.stopping),
            "keeping": list(self.keeping),
            "epochs": [dataclasses.asdict(epoch) for epoch in self.epochs],
        }

    def load(self, tensors: Weights, numbers: Mapping[str, Any]) -> None:
        """Go on from what :meth:`tensors` and :meth:`numbers` gave."""

        def part(name: str) -> Weights:
            start = f"{name}/"
            return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

        self.net.load_state_dict(part("net"))
        self.optimizer.load_state(part("optimizer"))
        if self.average:
            self.average.load(numbers["average_steps"], part("average"))
        self.good, self.best = part("good"), part("best")
        for name, values in part("steps").items():
            setattr(self, name, no_steps(values.tolist()))
        for name in ("epoch", "step", "batch", "loss_sum", "weight_sum", "micro"):
            setattr(self, name, numbers[name])
        self.stopping, self.keeping = Seen(*numbers["stopping"]), Seen(*numbers["keeping"])
        self.epochs = [Epoch(**epoch) for epoch in numbers["epochs"]]
