"""One of the networks that are trained together."""

import dataclasses
from typing import TYPE_CHECKING, Any

from secchi.training.spec import Training

if TYPE_CHECKING:
    from secchi.training.prepared import PreparedTable


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One network that is to be trained.

    Attributes:
        table: What it learns from; one object where members learn from the same rows.
        model: What :func:`secchi.models.build.build_model` takes; all but an
            :class:`secchi.models.mlp.MLP` train alone.
        training: How it is trained.
        seed: Of its first weights.
    """

    table: "PreparedTable"
    model: Any
    training: Training
    seed: int
