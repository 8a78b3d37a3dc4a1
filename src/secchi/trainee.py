"""What a learner trains: a network, and how it gets its rows. One kind for each kind of data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from secchi.bundle.bundle import Bundle
    from secchi.inspection.predictions import Predictions
    from secchi.training.execution import Execution
    from secchi.training.memory import StepMemory
    from secchi.training.optimizers import ParameterGroup
    from secchi.training.rows import Mixing, Rows
    from secchi.training.spec import Training


class Trainee(Protocol):
    """A network and its data, as a learner sees them.

    :class:`secchi.picture_trainee.PictureTrainee` and :class:`secchi.table_trainee.TableTrainee`
    are the two that there are.

    Attributes:
        equal_batches: Whether a last batch that is shorter is left out, where nobody says.
    """

    equal_batches: bool

    @property
    def trained(self) -> "nn.Module":
        """What is trained and judged."""
        ...

    @property
    def trained_names(self) -> list[str]:
        """The layer groups that train, first layers first."""
        ...

    @property
    def quick(self) -> bool:
        """Whether a step takes so little that it can be looked at after each one."""
        ...

    @property
    def mixing(self) -> "Mixing | None":
        """What mixes the rows of a batch."""
        ...

    @property
    def units(self) -> list[float] | None:
        """What the loss of each target is measured in; None where all are of 1."""
        ...

    def prepare(self) -> None:
        """Do what is done once, before anything is trained."""
        ...

    def parameter_groups(self) -> "list[ParameterGroup]":
        """The parameters that train, by layer group."""
        ...

    def check(self, training: "Training") -> None:
        """Refuse what cannot be trained, before any work."""
        ...

    def training_rows(self, seed: int) -> "Rows":
        """The training rows as what trains is given them, and their labels."""
        ...

    def rows(self, split: str) -> "Rows":
        """The rows of a split as they are, and their labels."""
        ...

    def will_train(self) -> None:
        """Note that weights may differ from now on from those that there were at first."""
        ...

    def prepare_to_train(self, training: "Training") -> None:
        """Settle what depends on how it is trained, and say what a person should know."""
        ...

    def execution(
        self, rows: "Rows | None" = None, training: "Training | None" = None
    ) -> "Execution":
        """Where the network computes; for training, how many rows at once too."""
        ...

    def step_memory(self, training: "Training") -> "StepMemory":
        """What a training step takes, by its rows."""
        ...

    def example(self) -> "Tensor":
        """Some rows as what is trained gets them."""
        ...

    def predictions(self, split: str, training: "Training") -> "Predictions":
        """What the network says of a split's rows; labels of a sealed split are left out.

        Args:
            split: Which.
            training: Names the losses of the rows.
        """
        ...

    def key(self) -> dict[str, Any]:
        """What tells two learners apart before training, as plain values."""
        ...

    def start(self) -> dict[str, Any]:
        """What a call of training starts from, as plain values."""
        ...

    def identity(self) -> dict[str, Any]:
        """What a checkpoint is of."""
        ...

    def record(self) -> dict[str, Any]:
        """What a run's record says of data, network and preparation."""
        ...

    def write_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        """Keep what was trained beside a record."""
        ...

    def read_checkpoint(self, folder: Path, record: dict[str, Any]) -> None:
        """Bring back what was kept."""
        ...

    def bundle(self) -> "Bundle":
        """The model as it stands now; later training spares it."""
        ...
